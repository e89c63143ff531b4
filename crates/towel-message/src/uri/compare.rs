//! When two URIs are the same (RFC 3261 section 19.1.4, RFC 3966 section 4, RFC 5954 section 4.2).

use super::escape::{is_reserved, unescaped_eq};
use super::{SipUri, Uri};

/// Whether two URIs are equivalent. Not transitive, as the RFC says; symmetric it is.
pub fn equivalent(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    match (a, b) {
        (Uri::Sip(a), Uri::Sip(b)) => sip(a, b),
        (Uri::Tel(a), Uri::Tel(b)) => a.equivalent(b),
        (Uri::Other(a), Uri::Other(b)) => {
            if !a.scheme.eq_ignore_ascii_case(b.scheme) {
                return false;
            }
            let mail = |s: &[u8]| {
                [&b"im"[..], b"pres", b"mailto"].iter().any(|m| s.eq_ignore_ascii_case(m))
            };
            match (a.mailbox(), b.mailbox()) {
                (Some((user, domain)), Some((other, there))) if mail(a.scheme) => {
                    unescaped_eq(user, other, is_reserved, false)
                        && domain.eq_ignore_ascii_case(there)
                }
                _ => unescaped_eq(a.rest, b.rest, is_reserved, false),
            }
        }
        _ => false,
    }
}

/// Whether two Contact URIs of a REGISTER name the same binding: equivalent, as section 10.3 asks.
/// URIs that cannot be read are equal when their bytes are.
pub fn contacts_equivalent(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    match (Uri::parse(a), Uri::parse(b)) {
        (Ok(a), Ok(b)) => equivalent(&a, &b),
        _ => false,
    }
}

fn sip(a: &SipUri<'_>, b: &SipUri<'_>) -> bool {
    let optional = |x: Option<&[u8]>, y: Option<&[u8]>| match (x, y) {
        (None, None) => true,
        (Some(x), Some(y)) => unescaped_eq(x, y, is_reserved, false),
        _ => false,
    };
    // A port that is left out does not match the default port written down.
    a.secure == b.secure
        && optional(a.user, b.user)
        && optional(a.password, b.password)
        && a.host == b.host
        && a.port == b.port
        && params(a, b)
        && params(b, a)
        && headers(a, b)
        && headers(b, a)
}

/// Each parameter of `a` against `b`: one that is in both matches; user, ttl, method and maddr must
/// be in both or neither (transport too, by the RFC's own examples); any other that is in one only
/// is passed over.
fn params(a: &SipUri<'_>, b: &SipUri<'_>) -> bool {
    a.params.iter().enumerate().all(|(place, (name, value))| {
        let same = |n: &[u8]| unescaped_eq(n, name, is_reserved, true);
        // A name that is there twice (which section 19.1.1 forbids) is compared one by one.
        let before = a.params.iter().take(place).filter(|(n, _)| same(n)).count();
        let there = b.params.iter().filter(|(n, _)| same(n)).nth(before).map(|(_, v)| v);
        match there {
            Some(other) => match (value, other) {
                (None, None) => true,
                (Some(x), Some(y)) => unescaped_eq(x, y, is_reserved, true),
                _ => false,
            },
            None => !["user", "ttl", "method", "maddr", "transport"]
                .iter()
                .any(|n| unescaped_eq(name, n.as_bytes(), |_| false, true)),
        }
    })
}

/// Headers are never passed over: each must be in both, as often, with the same value.
fn headers(a: &SipUri<'_>, b: &SipUri<'_>) -> bool {
    let count = |uri: &SipUri<'_>, name: &[u8], value: &[u8]| {
        uri.headers
            .iter()
            .filter(|(n, v)| {
                unescaped_eq(n, name, |_| false, true) && unescaped_eq(v, value, is_reserved, false)
            })
            .count()
    };
    a.headers.iter().all(|(name, value)| count(a, name, value) == count(b, name, value))
}
