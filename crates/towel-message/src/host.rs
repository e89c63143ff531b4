//! Host names and addresses (RFC 3261 section 25.1, RFC 5954).

use crate::scan::{Class, after, skip};
use crate::stops::{BLOCK, equal, padded};
use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wide::u8x16;

/// The host of a URI, or of a sent-by.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    /// A name, as it was written.
    Name(&'a [u8]),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// Reads a host. An IPv6 address has its brackets.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.first().is_some_and(u8::is_ascii_digit)
            && let Some(ip) = v4(bytes)
        {
            return Some(Self::V4(ip));
        }
        if let Some(inner) = bytes.strip_prefix(b"[") {
            return v6(inner.strip_suffix(b"]")?).map(Self::V6);
        }
        let name = bytes.strip_suffix(b".").unwrap_or(bytes);
        if bytes.len() > 255 {
            return None;
        }
        // Labels are not empty, and a dash neither starts nor ends one.
        let (mut label, mut at) = (0, 0);
        loop {
            let end = skip(name, at, Class::LABEL);
            at = end + 1;
            let byte = name.get(end);
            if byte == Some(&b'-') && end > label {
                continue;
            }
            if end == label || name.get(end - 1) == Some(&b'-') {
                return None;
            }
            match byte {
                Some(b'.') => label = at,
                Some(_) => return None,
                None => break,
            }
        }
        // A name does not end in a label of digits; what does is an IPv4 address or nothing.
        if after(name, label).iter().all(u8::is_ascii_digit) {
            return v4(bytes).map(Self::V4);
        }
        Some(Self::Name(bytes))
    }

    /// Reads a host of bytes all of which may stand in a name.
    #[inline]
    pub(crate) fn of_name_bytes(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first() {
            Some(b'0'..=b'9') => Self::parse(bytes),
            _ if is_plain_name(bytes) => Some(Self::Name(bytes)),
            _ => Self::parse(bytes),
        }
    }

    /// The address, where it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match *self {
            Self::Name(_) => None,
            Self::V4(ip) => Some(IpAddr::V4(ip)),
            Self::V6(ip) => Some(IpAddr::V6(ip)),
        }
    }

    /// The host of an address.
    pub fn from_ip(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => Self::V6(ip),
        }
    }

    /// Appends the canonical form: a name in lower case without a dot at its end, an address as
    /// RFC 5952 writes it.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        match self {
            Self::Name(name) => {
                let name = name.strip_suffix(b".").unwrap_or(name);
                out.extend(name.iter().map(u8::to_ascii_lowercase));
            }
            Self::V4(ip) => push_ip(out, IpAddr::V4(*ip)),
            other => out.extend_from_slice(other.to_string().as_bytes()),
        }
    }
}

/// Names are equal without regard to case, addresses by their bits (RFC 5954 section 4.2). A name
/// never equals an address.
impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => {
                let a = a.strip_suffix(b".").unwrap_or(a);
                let b = b.strip_suffix(b".").unwrap_or(b);
                a.eq_ignore_ascii_case(b)
            }
            (Self::V4(a), Self::V4(b)) => a == b,
            (Self::V6(a), Self::V6(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Host<'_> {}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(&String::from_utf8_lossy(name)),
            Self::V4(ip) => write!(f, "{ip}"),
            Self::V6(ip) => write!(f, "[{ip}]"),
        }
    }
}

/// Whether bytes that may stand in a host name, at most a block of them, are one that has nothing
/// unusual: dots and dashes stand alone and between others, and the last label starts with no digit.
#[inline]
fn is_plain_name(bytes: &[u8]) -> bool {
    let Some(last) = bytes.len().checked_sub(1).filter(|last| *last < BLOCK) else { return false };
    let block = u8x16::new(padded(bytes));
    let dots = equal(block, b'.');
    let marks = dots | equal(block, b'-');
    // None at either end, and no two beside each other.
    if marks & (1 | 1 << last) != 0 || marks & marks << 1 != 0 {
        return false;
    }
    let label = 32 - dots.leading_zeros();
    bytes.get(label as usize).is_some_and(|first| *first > b'9')
}

/// Four numbers of one to three digits; zeros before them mean nothing (RFC 5954 section 3.2).
fn v4(bytes: &[u8]) -> Option<Ipv4Addr> {
    let (mut all, mut octet, mut start, mut dots) = (0u32, 0u32, 0, 0);
    if bytes.len() > 15 {
        return None;
    }
    for (at, byte) in bytes.iter().enumerate() {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        if digit <= 9 {
            octet = octet * 10 + digit;
        } else if *byte == b'.' && octet <= 255 && (1..=3).contains(&(at - start)) {
            (all, octet, start, dots) = (all << 8 | octet, 0, at + 1, dots + 1);
        } else {
            return None;
        }
    }
    let last = octet <= 255 && (1..=3).contains(&(bytes.len() - start));
    (dots == 3 && last).then(|| Ipv4Addr::from_bits(all << 8 | octet))
}

/// Appends an address as RFC 5952 writes it, without brackets.
pub(crate) fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let (mut text, mut len) = ([0; 16], 0);
            let mut put = |byte: u8| {
                if let Some(place) = text.get_mut(len) {
                    *place = byte;
                }
                len += 1;
            };
            for (at, octet) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    put(b'.');
                }
                if octet >= 100 {
                    put(b'0' + octet / 100);
                }
                if octet >= 10 {
                    put(b'0' + octet / 10 % 10);
                }
                put(b'0' + octet % 10);
            }
            out.extend_from_slice(text.get(..len).unwrap_or(&text));
        }
        IpAddr::V6(ip) => {
            use std::io::Write;
            // Writing to a Vec does not fail.
            let _ = write!(out, "{ip}");
        }
    }
}

/// An IPv6 address without brackets. Three colons before an embedded IPv4 address, which the
/// grammar of RFC 3261 allows by mistake, read as two (RFC 5118 section 4.10).
pub(crate) fn v6(bytes: &[u8]) -> Option<Ipv6Addr> {
    let text = core::str::from_utf8(bytes).ok()?;
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    let (before, after) = text.split_once(":::")?;
    if !after.contains('.') {
        return None;
    }
    let mut mended = [0u8; 64];
    let mut at = 0;
    for part in [before, "::", after] {
        mended.get_mut(at..at + part.len())?.copy_from_slice(part.as_bytes());
        at += part.len();
    }
    core::str::from_utf8(mended.get(..at)?).ok()?.parse().ok()
}

/// An address with or without brackets, as `received` has it (RFC 5118 section 4.5).
pub(crate) fn lenient_ip(bytes: &[u8]) -> Option<IpAddr> {
    let inner = bytes.strip_prefix(b"[").and_then(|b| b.strip_suffix(b"]")).unwrap_or(bytes);
    v4(inner).map(IpAddr::V4).or_else(|| v6(inner).map(IpAddr::V6))
}

/// `host [":" port]` with white space around the colon, as a sent-by has it. The port is `Err`
/// where it is no port.
pub(crate) fn host_port(bytes: &[u8]) -> Option<(Host<'_>, Option<u16>)> {
    let end = match bytes.first() {
        Some(b'[') => bytes.iter().position(|b| *b == b']')? + 1,
        _ => bytes.iter().position(|b| *b == b':').unwrap_or(bytes.len()),
    };
    let (host, rest) = crate::scan::split(bytes, end);
    let rest = crate::scan::trim_start(rest);
    let port = match rest.strip_prefix(b":") {
        Some(port) => Some(crate::scan::number::<u16>(crate::scan::trim(port))?),
        None if rest.is_empty() => None,
        None => return None,
    };
    Some((Host::parse(crate::scan::trim_end(host))?, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_address_is_written_as_the_library_writes_it(octets in any::<[u8; 4]>()) {
            let mut out = Vec::new();
            push_ip(&mut out, IpAddr::from(octets));
            prop_assert_eq!(out, IpAddr::from(octets).to_string().into_bytes());
        }

        #[test]
        fn an_address_is_four_numbers(text in r"([0-9]{0,4}|[1-3][0-9]{2}|a)(\.([0-9]{0,4}|[1-3][0-9]{2})){2,4}") {
            let parts: Vec<_> = text.split('.').collect();
            let octet = |part: &&str| (1..4).contains(&part.len()) && part.parse::<u8>().is_ok();
            let right = parts.len() == 4 && parts.iter().all(octet) && text.len() <= 15;
            prop_assert_eq!(v4(text.as_bytes()).is_some(), right, "{}", text);
            if let Some(ip) = v4(text.as_bytes()) {
                let octets: Vec<u8> = parts.iter().map(|part| part.parse().unwrap()).collect();
                prop_assert_eq!(&ip.octets()[..], octets);
            }
        }

        /// A host name is labels with dots between them, read letter by letter.
        #[test]
        fn a_name_is_its_labels(text in r"([a-zA-Z0-9_.-]|--|\.\.|[^a]){0,12}") {
            let bytes = text.as_bytes();
            let name = bytes.strip_suffix(b".").unwrap_or(bytes);
            let part = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
            let sound = |label: &[u8]| {
                label.iter().all(part)
                    && !label.is_empty()
                    && !label.starts_with(b"-")
                    && !label.ends_with(b"-")
            };
            let labels: Vec<&[u8]> = name.split(|c| *c == b'.').collect();
            let digits = labels.last().is_some_and(|label| label.iter().all(u8::is_ascii_digit));
            let expected = labels.iter().all(|label| sound(label)) && !digits;
            let read = matches!(Host::parse(bytes), Some(Host::Name(whole)) if whole == bytes);
            prop_assert_eq!(read, expected, "{}", text);
            if bytes.iter().all(|c| Class::HOST.holds(*c)) {
                let quick = Host::of_name_bytes(bytes);
                prop_assert_eq!(format!("{quick:?}"), format!("{:?}", Host::parse(bytes)));
            }
        }
    }
}
