//! The address of record: the index into the bindings (RFC 3261 section 10.3, step 5).

use towel_message::{Host, SipUri, uri};

/// What the registrar has to know of the element: its domains and who lives there.
pub trait Served {
    /// The name under which a domain of ours is kept: the same for a domain and its aliases. None
    /// where host and port are not ours.
    fn canonical(&self, host: &Host<'_>, port: Option<u16>) -> Option<&str>;

    /// Whether a user, by the unescaped user part, exists in a domain.
    fn has_user(&self, _user: &[u8], _domain: &str) -> bool {
        true
    }
}

/// The canonical form of an address of record of ours: a sip URI of the user part, unescaped as far
/// as a URI can be, and the name of its domain. Parameters and password are no part of it, nor is
/// sips: sip and sips name the same user (RFC 5630 section 5.2). None where the URI is not of a
/// domain of ours or names no user.
#[must_use]
pub fn address_of_record(uri: &SipUri<'_>, served: &(impl Served + ?Sized)) -> Option<Vec<u8>> {
    let mut aor = Vec::with_capacity(uri.bytes.len());
    write_address_of_record(uri, served, &mut aor).then_some(aor)
}

/// Makes `aor` the canonical form; false, and `aor` of no use, where there is none.
pub fn write_address_of_record(
    uri: &SipUri<'_>,
    served: &(impl Served + ?Sized),
    aor: &mut Vec<u8>,
) -> bool {
    aor.clear();
    let Some(domain) = served.canonical(&uri.host, uri.port) else { return false };
    let Some(user) = uri.user.filter(|user| !user.is_empty()) else { return false };
    aor.extend_from_slice(b"sip:");
    uri::push_user(user, aor);
    aor.push(b'@');
    // What stands as the host may be an alias of ours or an address.
    aor.extend_from_slice(domain.as_bytes());
    true
}
