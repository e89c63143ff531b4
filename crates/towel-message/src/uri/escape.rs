//! `%` HEX HEX (RFC 3261 section 19.1.2, RFC 3986). Unescaping is never done twice.

use crate::scan::is_unreserved;

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// The bytes that an escaped text means, one by one, with whether each was escaped.
pub(crate) struct Unescaped<'a> {
    rest: &'a [u8],
}

impl<'a> Unescaped<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }
}

impl Iterator for Unescaped<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<(u8, bool)> {
        if let [b'%', a, b, rest @ ..] = self.rest
            && let (Some(high), Some(low)) = (hex(*a), hex(*b))
        {
            self.rest = rest;
            return Some((high << 4 | low, true));
        }
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some((*first, false))
    }
}

/// Appends what an escaped text means. A `%` that starts no escape stands for itself.
pub fn unescape(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(Unescaped::new(bytes).map(|(byte, _)| byte));
}

/// Whether two escaped texts mean the same bytes. An escaped character is equal to the character
/// itself only where it is not reserved (RFC 3261 section 19.1.4); `fold` compares without regard
/// to case.
pub fn unescaped_eq(a: &[u8], b: &[u8], reserved: impl Fn(u8) -> bool, fold: bool) -> bool {
    let mut a = Unescaped::new(a);
    let mut b = Unescaped::new(b);
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some((x, x_escaped)), Some((y, y_escaped))) => {
                let same = if fold { x.eq_ignore_ascii_case(&y) } else { x == y };
                if !same || (x_escaped != y_escaped && reserved(x)) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// The reserved set of RFC 3261 section 25.1.
pub(crate) fn is_reserved(byte: u8) -> bool {
    matches!(byte, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',')
}

/// Appends `bytes` as the user part of a sip URI: what may not stand there is escaped.
pub fn escape_user(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        if is_unreserved(*byte) || b"&=+$,;?/".contains(byte) {
            out.push(*byte);
        } else {
            push_escaped(*byte, out);
        }
    }
}

/// Appends one byte escaped.
pub(crate) fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(b'%');
    for digit in [byte >> 4, byte & 15] {
        out.push(DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0'));
    }
}

/// Whether every `%` starts an escape and every other byte is in the class.
#[inline]
pub(crate) fn is_escaped_text(bytes: &[u8], class: impl Fn(u8) -> bool) -> bool {
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let [a, b, tail @ ..] = tail else { return false };
            if hex(*a).is_none() || hex(*b).is_none() {
                return false;
            }
            rest = tail;
        } else if !class(*first) {
            return false;
        }
    }
    true
}
