//! The header fields that are like no other.

use crate::scan::{
    after, is_lws, is_token, is_token_char, number, quoted_len, run, split, trim, trim_start,
};
use crate::{Fault, Name, Params};

/// A URI with parameters: an element of Alert-Info, Call-Info or Error-Info (RFC 3261 sections 20.4,
/// 20.9, 20.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info<'a> {
    /// The URI, without angle brackets.
    pub uri: &'a [u8],
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Info<'a> {
    /// Reads a value.
    pub fn parse(value: &'a [u8]) -> Result<Self, Fault> {
        let fault = |at| Fault::new(400, "Malformed URI", at);
        let inner = trim(value).strip_prefix(b"<").ok_or(fault(0))?;
        let end = inner.iter().position(|b| *b == b'>').ok_or(fault(value.len()))?;
        let (uri, rest) = split(inner, end);
        let params = Params::new(trim(after(rest, 1)));
        if !uri.contains(&b':') || uri.iter().any(|b| is_lws(*b)) {
            return Err(fault(1));
        }
        params.check()?;
        Ok(Self { uri, params })
    }

    /// `purpose` of Call-Info: `icon`, `info`, `card`, or another.
    pub fn purpose(&self) -> Option<&'a [u8]> {
        self.params.value("purpose")
    }
}

/// Retry-After (RFC 3261 section 20.33).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter<'a> {
    /// Seconds. There is no greatest value; what does not fit is the greatest that does (RFC 4475
    /// section 3.1.2.5).
    pub seconds: u32,
    /// The comment, with its parentheses.
    pub comment: Option<&'a [u8]>,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> RetryAfter<'a> {
    /// Reads a value.
    pub fn parse(value: &'a [u8]) -> Result<Self, Fault> {
        let fault = |at| Fault::malformed(Name::RetryAfter, at);
        let value = trim(value);
        let (digits, rest) = split(value, run(value, |b| b.is_ascii_digit()));
        if digits.is_empty() {
            return Err(fault(0));
        }
        let rest = trim_start(rest);
        let comment_len = match rest.first() {
            Some(b'(') => comment_len(rest).ok_or(fault(digits.len()))?,
            _ => 0,
        };
        let (comment, params) = split(rest, comment_len);
        let params = Params::new(trim_start(params));
        params.check().map_err(|_| fault(digits.len()))?;
        let comment = (!comment.is_empty()).then_some(comment);
        Ok(Self { seconds: number(digits).unwrap_or(u32::MAX), comment, params })
    }

    /// `duration`: how long the callee will be there.
    pub fn duration(&self) -> Option<u32> {
        number(self.params.value("duration")?)
    }
}

/// The length of the comment that the bytes start with, parentheses included. Comments nest.
fn comment_len(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Timestamp (RFC 3261 section 20.38): a time and, in a response, a delay, both in seconds with a
/// fraction, as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp<'a> {
    /// The time.
    pub time: &'a [u8],
    /// The delay.
    pub delay: Option<&'a [u8]>,
}

impl<'a> Timestamp<'a> {
    /// Reads a value.
    pub fn parse(value: &'a [u8]) -> Result<Self, Fault> {
        let decimal = |bytes: &[u8]| {
            let (whole, rest) = split(bytes, run(bytes, |b| b.is_ascii_digit()));
            let fraction = rest.strip_prefix(b".").unwrap_or(rest);
            (rest.is_empty() || rest.starts_with(b"."))
                && fraction.iter().all(u8::is_ascii_digit)
                && !(whole.is_empty() && fraction.is_empty())
        };
        let value = trim(value);
        let (time, rest) = split(value, run(value, |b| !is_lws(b)));
        let delay = trim_start(rest);
        let delay = (!delay.is_empty()).then_some(delay);
        if !decimal(time) || !delay.is_none_or(decimal) {
            return Err(Fault::malformed(Name::Timestamp, 0));
        }
        Ok(Self { time, delay })
    }
}

/// Warning (RFC 3261 section 20.43).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning<'a> {
    /// Three digits.
    pub code: u16,
    /// Host with port, or a pseudonym.
    pub agent: &'a [u8],
    /// The text, with its quotes.
    pub text: &'a [u8],
}

impl<'a> Warning<'a> {
    /// Reads a value.
    pub fn parse(value: &'a [u8]) -> Result<Self, Fault> {
        let fault = |at| Fault::malformed(Name::Warning, at);
        let value = trim(value);
        let (code, rest) = split(value, run(value, |b| b.is_ascii_digit()));
        let rest = trim_start(rest);
        let (agent, rest) = split(rest, run(rest, |b| !is_lws(b) && b != b'"'));
        let text = trim_start(rest);
        if code.len() != 3 || agent.is_empty() || quoted_len(text) != Some(text.len()) {
            return Err(fault(0));
        }
        Ok(Self { code: number(code).ok_or(fault(0))?, agent, text })
    }
}

/// One product or comment of Server or User-Agent (RFC 3261 sections 20.35 and 20.41).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product<'a> {
    /// A product, perhaps with a version.
    Name(&'a [u8], Option<&'a [u8]>),
    /// A comment, with its parentheses.
    Comment(&'a [u8]),
}

/// The products and comments of Server or User-Agent, in order. What is neither ends them.
pub fn products(value: &[u8]) -> impl Iterator<Item = Product<'_>> + use<'_> {
    let mut rest = trim(value);
    core::iter::from_fn(move || {
        rest = trim_start(rest);
        if rest.first() == Some(&b'(') {
            let (comment, tail) = split(rest, comment_len(rest)?);
            rest = tail;
            return Some(Product::Comment(comment));
        }
        let (name, tail) = split(rest, run(rest, is_token_char));
        if name.is_empty() {
            return None;
        }
        let Some(version) = trim_start(tail).strip_prefix(b"/").map(trim_start) else {
            rest = tail;
            return Some(Product::Name(name, None));
        };
        let (version, tail) = split(version, run(version, is_token_char));
        rest = tail;
        Some(Product::Name(name, (!version.is_empty()).then_some(version)))
    })
}

/// Reason (RFC 3326).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason<'a> {
    /// `SIP`, `Q.850`, or another.
    pub protocol: &'a [u8],
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Reason<'a> {
    /// Reads a value.
    pub fn parse(value: &'a [u8]) -> Result<Self, Fault> {
        let value = trim(value);
        let (protocol, params) = split(value, run(value, is_token_char));
        let params = Params::new(trim_start(params));
        if !is_token(protocol) || params.check().is_err() {
            return Err(Fault::malformed(Name::Reason, protocol.len()));
        }
        Ok(Self { protocol, params })
    }

    /// `cause`.
    pub fn cause(&self) -> Option<u16> {
        number(self.params.value("cause")?)
    }

    /// `text`, with its quotes.
    pub fn text(&self) -> Option<&'a [u8]> {
        self.params.value("text")
    }
}

/// An element of Accept-Contact or Reject-Contact (RFC 3841 section 9.2): feature parameters after
/// an asterisk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preference<'a> {
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Preference<'a> {
    /// Reads a value. RFC 3841 section 9.2 writes an asterisk; a name-addr in its place, as drafts
    /// before it had, is passed over.
    pub fn parse(value: &'a [u8]) -> Result<Self, Fault> {
        let value = trim(value);
        let params = match value.strip_prefix(b"*") {
            Some(params) => Params::new(trim_start(params)),
            None => {
                let address = crate::NameAddr::parse(value)?;
                address.check()?;
                address.params
            }
        };
        params.check()?;
        Ok(Self { params })
    }

    /// `require`: who does not match is dropped.
    pub fn require(&self) -> bool {
        self.params.has("require")
    }

    /// `explicit`: who says nothing does not match.
    pub fn explicit(&self) -> bool {
        self.params.has("explicit")
    }
}

/// MIME-Version (RFC 3261 section 20.24): major and minor.
pub fn mime_version(value: &[u8]) -> Option<(u32, u32)> {
    let value = trim(value);
    let dot = value.iter().position(|b| *b == b'.')?;
    Some((number(split(value, dot).0)?, number(after(value, dot + 1))?))
}
