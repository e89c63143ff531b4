//! What is said about bodies: media types, dispositions, encodings and languages (RFC 3261 sections
//! 20.1 to 20.3, 20.11 to 20.15).

use crate::scan::{after, is_token, is_token_char, run, split, trim, trim_start};
use crate::{Fault, Params, qvalue};

/// A media type or, in Accept, a media range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// The type; `*` in a range.
    pub kind: &'a [u8],
    /// The subtype; `*` in a range.
    pub subtype: &'a [u8],
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Reads a value.
    pub fn parse(value: &'a [u8]) -> Result<Self, Fault> {
        let fault = |at| Fault::new(400, "Malformed Media Type", at);
        let value = trim(value);
        let (kind, rest) = split(value, run(value, is_token_char));
        let rest = trim_start(rest).strip_prefix(b"/").ok_or(fault(kind.len()))?;
        let rest = trim_start(rest);
        let (subtype, params) = split(rest, run(rest, is_token_char));
        let params = Params::new(trim_start(params));
        if kind.is_empty() || subtype.is_empty() {
            return Err(fault(0));
        }
        params.check().map_err(|_| fault(value.len() - rest.len()))?;
        Ok(Self { kind, subtype, params })
    }

    /// Whether type and subtype are these, written `type/subtype`, without regard to case.
    pub fn is(&self, text: &str) -> bool {
        text.split_once('/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind.as_bytes())
                && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
        })
    }

    /// Whether this range takes a type: `*/*`, `type/*` or the type itself.
    pub fn takes(&self, text: &str) -> bool {
        text.split_once('/').is_some_and(|(kind, subtype)| {
            (self.kind == b"*" || self.kind.eq_ignore_ascii_case(kind.as_bytes()))
                && (self.subtype == b"*" || self.subtype.eq_ignore_ascii_case(subtype.as_bytes()))
        })
    }

    /// `q` in thousandths; 1000 where it is not there or malformed.
    pub fn q(&self) -> u16 {
        self.params.value("q").and_then(qvalue).unwrap_or(1000)
    }
}

/// A disposition (RFC 3261 section 20.11, RFC 5621).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disposition<'a> {
    /// `session`, `render`, `early-session`, or another.
    pub kind: &'a [u8],
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Disposition<'a> {
    /// Reads a value.
    pub fn parse(value: &'a [u8]) -> Result<Self, Fault> {
        let value = trim(value);
        let (kind, params) = split(value, run(value, is_token_char));
        let params = Params::new(trim_start(params));
        let fault = Fault::new(400, "Malformed Disposition", kind.len());
        if !is_token(kind) || params.check().is_err() {
            return Err(fault);
        }
        Ok(Self { kind, params })
    }

    /// Whether the body may be passed over by who does not understand it: `handling=optional`. It
    /// may not where nothing is said (RFC 3261 section 20.11).
    pub fn is_optional(&self) -> bool {
        self.params.value("handling").is_some_and(|h| h.eq_ignore_ascii_case(b"optional"))
    }

    /// Whether the disposition is this one, without regard to case.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes())
    }
}

/// A coding or a language with its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighted<'a> {
    /// The coding, the language range, or `*`.
    pub value: &'a [u8],
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Weighted<'a> {
    /// Reads a value.
    pub fn parse(value: &'a [u8]) -> Self {
        let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
        Self { value: trim(split(value, end).0), params: Params::new(after(value, end)) }
    }

    /// `q` in thousandths; 1000 where it is not there or malformed.
    pub fn q(&self) -> u16 {
        self.params.value("q").and_then(qvalue).unwrap_or(1000)
    }
}
