//! tel URIs (RFC 3966).

use super::escape::is_escaped_text;
use crate::Fault;
use crate::scan::{after, is_param_char, split};

/// A tel URI.
#[derive(Clone, Copy, Debug)]
pub struct TelUri<'a> {
    /// Whether the number is global: it starts with `+`.
    pub global: bool,
    /// The number as it was written, `+` and visual separators included.
    pub number: &'a [u8],
    /// Everything from the first semicolon on.
    params: &'a [u8],
    /// The whole URI.
    pub bytes: &'a [u8],
}

/// The visual separators of section 5.1.1.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'(' | b')')
}

/// Digits of a number without its separators and in one case.
fn digits(number: &[u8]) -> impl Iterator<Item = u8> + use<'_> {
    number.iter().filter(|b| !is_separator(**b)).map(u8::to_ascii_lowercase)
}

impl<'a> TelUri<'a> {
    pub(crate) fn parse_rest(bytes: &'a [u8], rest: &'a [u8]) -> Result<Self, Fault> {
        let end = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
        let (number, params) = split(rest, end);
        let global = number.first() == Some(&b'+');
        let right = if global {
            let digits = after(number, 1);
            digits.iter().all(|b| b.is_ascii_digit() || is_separator(*b))
                && digits.iter().any(u8::is_ascii_digit)
        } else {
            let digit = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b'*' | b'#');
            number.iter().all(|b| digit(b) || is_separator(*b)) && number.iter().any(digit)
        };
        let uri = Self { global, number, params, bytes };
        let fine = params.is_empty()
            || after(params, 1).split(|b| *b == b';').enumerate().all(|(count, param)| {
                let equals = param.iter().position(|b| *b == b'=').unwrap_or(param.len());
                let (name, value) = split(param, equals);
                count < crate::limits::MAX_PARAMS
                    && !name.is_empty()
                    && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
                    && value
                        .strip_prefix(b"=")
                        .is_none_or(|v| !v.is_empty() && is_escaped_text(v, is_param_char))
            });
        if !right || !fine {
            return Err(Fault::new(400, "Malformed tel URI", bytes.len() - rest.len()));
        }
        Ok(uri)
    }

    /// Parameters in order: name and value.
    pub fn params(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        after(self.params, 1).split(|b| *b == b';').filter(|e| !e.is_empty()).map(|element| {
            match element.iter().position(|b| *b == b'=') {
                Some(at) => (split(element, at).0, Some(after(element, at + 1))),
                None => (element, None),
            }
        })
    }

    /// A parameter: `Some(None)` where it is there without a value.
    pub fn param(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.params().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// The parameters with the first semicolon.
    pub fn params_bytes(&self) -> &'a [u8] {
        self.params
    }

    /// `ext`.
    pub fn extension(&self) -> Option<&'a [u8]> {
        self.param("ext").flatten()
    }

    /// `phone-context`, which a local number must have (section 5.1.5).
    pub fn phone_context(&self) -> Option<&'a [u8]> {
        self.param("phone-context").flatten()
    }

    /// `isub`.
    pub fn subaddress(&self) -> Option<&'a [u8]> {
        self.param("isub").flatten()
    }

    /// The number without visual separators, in lower case.
    pub fn write_digits(&self, out: &mut Vec<u8>) {
        out.extend(digits(self.number));
    }

    /// The comparison of section 4: the same number but for visual separators and case, the same
    /// parameters in any order; a phone-context that is a number without its separators.
    pub fn equivalent(&self, other: &TelUri<'_>) -> bool {
        if self.global != other.global || !digits(self.number).eq(digits(other.number)) {
            return false;
        }
        let same = |a: &TelUri<'_>, b: &TelUri<'_>| {
            a.params().enumerate().all(|(place, (name, value))| {
                let named = |n: &[u8]| n.eq_ignore_ascii_case(name);
                let before = a.params().take(place).filter(|(n, _)| named(n)).count();
                let Some((_, there)) = b.params().filter(|(n, _)| named(n)).nth(before) else {
                    return false;
                };
                match (value, there) {
                    (None, None) => true,
                    (Some(x), Some(y)) => {
                        let number = name.eq_ignore_ascii_case(b"ext")
                            || (name.eq_ignore_ascii_case(b"phone-context")
                                && x.first() == Some(&b'+'));
                        if number { digits(x).eq(digits(y)) } else { x.eq_ignore_ascii_case(y) }
                    }
                    _ => false,
                }
            })
        };
        same(self, other) && same(other, self)
    }
}
