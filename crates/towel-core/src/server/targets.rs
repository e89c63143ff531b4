//! The target set of a request for a user of ours (RFC 3261 section 16.5), from the location
//! service.

use std::net::{IpAddr, Ipv4Addr};

use towel_message::{Host, SipUri, Uri, uri};

use crate::contract::Candidate;
use crate::io::{Flow, Transport};
use crate::proxy::Way;
use crate::proxy::route::is_sips;
use crate::registrar::{Binding, Location, hops};

/// What the location service knew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Bindings that are in the target set now.
    pub(super) usable: usize,
    /// Bindings that a sips request must not be sent to (RFC 5630 section 5.3).
    pub(super) insecure: usize,
}

/// Puts the bindings of an address of record into the target set, each URI once. `uris` is room for
/// their URIs.
#[expect(clippy::too_many_arguments, reason = "where from, where to, and the bounds")]
pub(super) fn add_bindings(
    location: &Location,
    address_of_record: &[u8],
    request_uri: &[u8],
    unix: u64,
    most: usize,
    targets: &mut Vec<Candidate>,
    ways: &mut Vec<Way>,
    uris: &mut Vec<Vec<u8>>,
) -> Found {
    let mut found = Found::default();
    let secure = is_sips(request_uri);
    for binding in location.lookup(address_of_record, unix) {
        if targets.len() >= most {
            break;
        }
        if secure && !is_sips(binding.uri) {
            found.insecure += 1;
            continue;
        }
        let (mut candidate, way) = from_binding(&binding, secure, uris.pop().unwrap_or_default());
        let known = |target: &Candidate| {
            let routes = Way::of(ways, target).map(|way| &way.routes);
            same_target(&target.uri, &candidate.uri) && routes == Some(&way.routes)
        };
        if targets.iter().any(known) {
            continue;
        }
        found.usable += 1;
        ways.push(way);
        candidate.handle = ways.len() as u64;
        targets.push(candidate);
    }
    found
}

/// `uri` is empty room for its URI.
fn from_binding(binding: &Binding<'_>, secure: bool, mut uri: Vec<u8>) -> (Candidate, Way) {
    write_request_uri(binding.uri, &mut uri);
    // A sip request does not become a sips request on its way, but goes by TLS all the same
    // (RFC 5630 section 5.3).
    let tls = !secure && is_sips(&uri);
    if tls {
        uri.drain(3..4);
    }
    let direct = is_unreachable(&uri, &binding.flow);
    let routes = hops(binding.route).map(<[u8]>::to_vec).collect();
    let way = Way { flow: binding.flow, routes, tls, direct };
    let kept = binding.kept.to_vec();
    (Candidate { uri, q: binding.q, registered: true, kept, ..Candidate::default() }, way)
}

/// Whether a contact cannot be reached by its URI, so that the flow which it registered by is the
/// only way: a WebSocket client (RFC 7118 section 5), a name that means nothing (RFC 2606), or a
/// private address behind another one.
fn is_unreachable(uri: &[u8], flow: &Flow) -> bool {
    let Ok(Uri::Sip(sip)) = Uri::parse(uri) else { return false };
    if matches!(flow.transport, Transport::Ws | Transport::Wss) {
        return true;
    }
    match sip.host {
        Host::Name(name) => name.to_ascii_lowercase().ends_with(b".invalid"),
        Host::V4(contact) => match flow.remote.ip().to_canonical() {
            IpAddr::V4(source) => {
                let hidden =
                    |ip: Ipv4Addr| ip.is_private() || ip.is_loopback() || ip.is_link_local();
                contact != source && hidden(contact) && !hidden(source)
            }
            IpAddr::V6(_) => false,
        },
        Host::V6(_) => false,
    }
}

/// Writes the form of a URI that may stand in a Request-URI: without headers and without a method
/// (sections 16.6 step 2 and 19.1.1 table 1).
pub(crate) fn write_request_uri(text: &[u8], out: &mut Vec<u8>) {
    // Without either there is neither a header nor a parameter.
    if memchr::memchr2(b'?', b';', text).is_none() {
        out.extend_from_slice(text);
        return;
    }
    let Ok(Uri::Sip(sip)) = Uri::parse(text) else {
        out.extend_from_slice(text);
        return;
    };
    if sip.headers.is_empty() && sip.param("method").is_none() {
        out.extend_from_slice(text);
        return;
    }
    crate::proxy::route::write_without(without_headers(text, &sip), &["method"], false, out);
}

fn without_headers<'a>(text: &'a [u8], sip: &SipUri<'_>) -> &'a [u8] {
    let headers = sip.headers.bytes().len();
    if headers == 0 {
        return text;
    }
    let end = text.iter().rposition(|b| *b == b'?').unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}

/// Whether a URI is one that a request can be sent to.
pub(super) fn is_sip(uri: &[u8]) -> bool {
    let scheme = uri.split(|byte| *byte == b':').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"sip") || scheme.eq_ignore_ascii_case(b"sips")
}

/// Whether two target URIs are one (section 16.5: a URI is in the set only once).
pub(crate) fn same_target(a: &[u8], b: &[u8]) -> bool {
    a == b || uri::contacts_equivalent(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_uri(text: &str) -> String {
        let mut out = Vec::new();
        write_request_uri(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_what_a_request_uri_may_have_stays() {
        assert_eq!(
            request_uri("sip:bob@h:5080;transport=tcp;x=1"),
            "sip:bob@h:5080;transport=tcp;x=1"
        );
        assert_eq!(request_uri("sip:bob@h;method=BYE;x=1?Subject=a&Route=b"), "sip:bob@h;x=1");
        assert_eq!(request_uri("sip:a;b@h?Subject=a"), "sip:a;b@h");
        assert_eq!(request_uri("tel:+1555"), "tel:+1555");
    }
}
