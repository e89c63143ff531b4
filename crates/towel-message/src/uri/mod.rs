//! URIs: sip and sips (RFC 3261 section 19.1), tel (RFC 3966), and any other absolute URI.

mod address_of_record;
mod compare;
mod escape;
mod sip;
mod tel;
#[cfg(test)]
mod tests;

pub use address_of_record::{address_of_record, push_user};
pub use compare::{contacts_equivalent, equivalent};
pub use escape::{escape_user, unescape, unescaped_eq};
pub(crate) use sip::Plain;
pub use sip::{SipUri, UriHeaders, UriParams};
pub use tel::TelUri;

use crate::Fault;
use crate::scan::{after, is_uri_char, split};

/// A URI that was read.
#[derive(Clone, Copy, Debug)]
pub enum Uri<'a> {
    /// `sip:` or `sips:`
    Sip(SipUri<'a>),
    /// `tel:`
    Tel(TelUri<'a>),
    /// Any other scheme.
    Other(AbsoluteUri<'a>),
}

/// A URI of a scheme that has no reader of its own here: im and pres among them, whose form is
/// that of a mail address (RFC 3860, RFC 3859).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsoluteUri<'a> {
    /// The scheme as it was written.
    pub scheme: &'a [u8],
    /// What follows the colon.
    pub rest: &'a [u8],
    /// The whole URI.
    pub bytes: &'a [u8],
}

impl<'a> AbsoluteUri<'a> {
    /// For im and pres (and mailto): what stands before the `@`, and the domain after it without
    /// the headers that may follow.
    pub fn mailbox(&self) -> Option<(&'a [u8], &'a [u8])> {
        let end = self.rest.iter().position(|b| *b == b'?').unwrap_or(self.rest.len());
        let address = split(self.rest, end).0;
        let at = address.iter().rposition(|b| *b == b'@')?;
        Some((split(address, at).0, after(address, at + 1)))
    }
}

impl<'a> Uri<'a> {
    /// Reads a URI. The fault is a 400 that tells "Malformed URI"; a scheme that is not known here
    /// is no fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        // Nearly all of them.
        if let [a, b, c, b':', rest @ ..] = bytes
            && [a | 0x20, b | 0x20, c | 0x20] == *b"sip"
        {
            return SipUri::parse_rest(bytes, rest, false).map(Self::Sip);
        }
        let (scheme, rest) = scheme(bytes).ok_or(Fault::new(400, "Malformed URI", 0))?;
        if scheme.eq_ignore_ascii_case(b"sips") {
            return SipUri::parse_rest(bytes, rest, true).map(Self::Sip);
        }
        if scheme.eq_ignore_ascii_case(b"tel") {
            return TelUri::parse_rest(bytes, rest).map(Self::Tel);
        }
        if let Some(at) = rest.iter().position(|b| !is_uri_char(*b)) {
            return Err(Fault::new(400, "Malformed URI", scheme.len() + 1 + at));
        }
        if rest.is_empty() {
            return Err(Fault::new(400, "Malformed URI", bytes.len()));
        }
        Ok(Self::Other(AbsoluteUri { scheme, rest, bytes }))
    }

    /// The scheme as it was written.
    pub fn scheme(&self) -> &'a [u8] {
        let bytes = self.bytes();
        split(bytes, bytes.iter().position(|b| *b == b':').unwrap_or(0)).0
    }

    /// The whole URI as it was written.
    pub fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Sip(uri) => uri.bytes,
            Self::Tel(uri) => uri.bytes,
            Self::Other(uri) => uri.bytes,
        }
    }

    /// The sip or sips URI, where it is one.
    pub fn sip(&self) -> Option<&SipUri<'a>> {
        match self {
            Self::Sip(uri) => Some(uri),
            _ => None,
        }
    }
}

/// Cuts off the scheme and its colon.
fn scheme(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().position(|b| *b == b':')?;
    let (scheme, _) = split(bytes, colon);
    let right = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    right.then(|| (scheme, after(bytes, colon + 1)))
}
