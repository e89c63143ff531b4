//! `name-addr` and `addr-spec` with parameters: From, To, Contact, Route and their kin
//! (RFC 3261 sections 20.10, 20.20, 20.30, 20.34, 20.39).

use crate::params::{One, read_one};
use crate::scan::{
    Class, after, between, is_lws, is_token_char, is_uri_char, number, offset, quoted_len, run,
    skip_lws, split, trim, trim_end, trim_start,
};
use crate::stops::Stops;
use crate::{Fault, Params, Span, Uri, uri};

/// An address with its display name and the parameters after it.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// The display name as it was written, with its quotes if it has them.
    pub display: Option<&'a [u8]>,
    /// The URI, without angle brackets; `*` for the Contact of a REGISTER that removes all.
    pub uri: &'a [u8],
    /// Whether the URI stood in angle brackets.
    pub bracketed: bool,
    /// The header field parameters.
    pub params: Params<'a>,
    /// The whole value.
    pub bytes: &'a [u8],
    /// Where it stands in its message.
    pub span: Span,
    pub(crate) tag: Option<&'a [u8]>,
    /// The parameters are generic-params, none is there twice, and a tag has a value; else
    /// [`NameAddr::check`] looks closer.
    pub(crate) sound: bool,
    /// The URI was read, and is a sip one that is well formed.
    pub(crate) read: bool,
}

/// Where the parts of an address of the usual form stand in its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain<'a> {
    /// The end of the display name; nought where there is none.
    pub(crate) name: usize,
    pub(crate) uri: (usize, usize),
    /// The parts of the URI, where that has the usual form as well.
    pub(crate) sip: Option<uri::Plain<'a>>,
    pub(crate) params: (usize, usize),
    pub(crate) tag: Option<&'a [u8]>,
    pub(crate) sound: bool,
}

impl<'a> Plain<'a> {
    #[inline]
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut stops = Stops::new(bytes);
        let name = match bytes.first()? {
            b'<' => 0,
            b'"' => quoted_len(bytes)?,
            _ => stops.skip(0, Class::TOKEN),
        };
        let open = skip_lws(bytes, name);
        if stops.get(open) != Some(b'<') {
            return None;
        }
        let start = open + 1;
        let mut sip = None;
        if let Some([a, b, c, b':']) = bytes.get(start..start + 4)
            && [a | 0x20, b | 0x20, c | 0x20] == *b"sip"
        {
            let plain = uri::Plain::read(&mut stops, start + 4);
            sip = plain.filter(|plain| stops.get(plain.end) == Some(b'>'));
        }
        let end = match &sip {
            Some(plain) => plain.end,
            None => stops.skip(start, Class::URI),
        };
        if start == end || stops.get(end) != Some(b'>') {
            return None;
        }
        let (from, to) = (end + 1, trim_end(bytes).len());
        let (tag, sound) = match stops.get(from) {
            _ if from >= to => (None, true),
            Some(b';') => tag_of(&mut stops, from)?,
            _ => return None,
        };
        Some(Self { name, uri: (start, end), sip, params: (from, to.max(from)), tag, sound })
    }
}

impl<'a> NameAddr<'a> {
    /// Reads one value.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        Self::parse_at(bytes, Span::new(0, bytes.len()))
    }

    /// Reads one value that stands at `span` of a message.
    pub fn parse_at(bytes: &'a [u8], span: Span) -> Result<Self, Fault> {
        match Self::read_plain(bytes, span) {
            Some(address) => Ok(address),
            None => Self::read_with_care(bytes, span),
        }
    }

    /// The form that almost every address has: perhaps a display name, a URI in angle brackets,
    /// parameters.
    #[inline]
    fn read_plain(bytes: &'a [u8], span: Span) -> Option<Self> {
        let Plain { name, uri: (start, end), sip, params: (from, to), tag, sound } =
            Plain::read(bytes)?;
        Some(Self {
            display: (name > 0).then(|| between(bytes, 0, name)),
            uri: between(bytes, start, end),
            bracketed: true,
            params: Params::new(between(bytes, from, to)),
            bytes,
            span,
            tag,
            sound,
            read: sip.is_some(),
        })
    }

    fn read_with_care(bytes: &'a [u8], span: Span) -> Result<Self, Fault> {
        let fault = |at: &[u8]| {
            Fault::new(400, "Malformed Address", span.start as usize + offset(bytes, at))
        };
        let text = trim(bytes);
        let (display, rest) = display_name(text).ok_or(fault(text))?;
        let rest = trim_start(rest);
        let (uri, params, bracketed) = match rest.strip_prefix(b"<") {
            Some(inner) => {
                let end = inner.iter().position(|b| *b == b'>').ok_or(fault(inner))?;
                (split(inner, end).0, after(inner, end + 1), true)
            }
            None if display.is_some() => return Err(fault(rest)),
            None => {
                // Without brackets a semicolon starts the header field's parameters, and a question
                // mark or comma cannot be there (section 20.10).
                let end = rest.iter().position(|b| *b == b';' || is_lws(*b)).unwrap_or(rest.len());
                let (uri, params) = split(rest, end);
                if uri.iter().any(|b| matches!(b, b'?' | b',')) {
                    return Err(fault(rest));
                }
                (uri, params, false)
            }
        };
        let star = uri == b"*" && !bracketed;
        if !star && (uri.is_empty() || !uri.iter().all(|b| is_uri_char(*b))) {
            return Err(fault(rest));
        }
        if !matches!(trim_start(params).first(), None | Some(b';')) {
            return Err(fault(params));
        }
        let display = display.map(trim).filter(|d| !d.is_empty());
        let params = Params::new(trim_end(params));
        let tag = params.value("tag").filter(|tag| !tag.is_empty());
        Ok(Self { display, uri, bracketed, params, bytes, span, tag, sound: false, read: false })
    }

    /// The tag.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.tag
    }

    /// A parameter: `Some(None)` where it is there without a value.
    pub fn param(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.params.get(name).map(|p| p.value)
    }

    /// Whether this is the `*` of a REGISTER.
    pub fn is_star(&self) -> bool {
        self.uri == b"*" && !self.bracketed
    }

    /// The URI, read.
    pub fn parse_uri(&self) -> Result<Uri<'a>, Fault> {
        let at = self.span.start as usize + offset(self.bytes, self.uri);
        Uri::parse(self.uri).map_err(|fault| fault.shifted(at))
    }

    /// The `expires` parameter of a Contact: `Some(None)` where it is there and malformed or too
    /// large, which means one hour (RFC 3261 section 10.2.1.1 and 20.10).
    pub fn expires(&self) -> Option<Option<u32>> {
        self.params.get("expires").map(|p| p.value.and_then(number))
    }

    /// The `q` parameter in thousandths: `Some(None)` where it is malformed.
    pub fn q(&self) -> Option<Option<u16>> {
        self.params.get("q").map(|p| p.value.and_then(qvalue))
    }

    /// Whether the parameters are well formed, and the URI where its scheme is known here.
    pub fn check(&self) -> Result<(), Fault> {
        self.check_params()?;
        if !self.read && !self.is_star() {
            self.parse_uri()?;
        }
        Ok(())
    }

    /// Whether the parameters are well formed.
    pub(crate) fn check_params(&self) -> Result<(), Fault> {
        let at = self.span.start as usize;
        if !self.sound {
            self.params.check().map_err(|f| f.shifted(at))?;
            if self.params.get("tag").is_some_and(|tag| tag.value.is_none_or(<[u8]>::is_empty)) {
                return Err(Fault::new(400, "Malformed Tag", at));
            }
        }
        Ok(())
    }
}

/// The tag among the parameters whose first semicolon stands at a place, and whether they are sound.
/// None if they are not generic-params.
#[inline]
fn tag_of<'a>(stops: &mut Stops<'a>, at: usize) -> Option<(Option<&'a [u8]>, bool)> {
    let mut tag = None;
    let mut count = 0u32;
    let mut at = at;
    loop {
        match read_one(stops, at) {
            One::Param(param, next) => {
                at = next;
                count += 1;
                if param.name.len() == 3 && param.name.eq_ignore_ascii_case(b"tag") {
                    tag = tag.or(Some(param.value));
                }
            }
            // Of more than one a repeated one is looked for by whoever checks.
            One::End => return Some((tag.flatten(), count <= 1 && tag != Some(None))),
            One::Malformed => return None,
        }
    }
}

/// A `qvalue` in thousandths (RFC 3261 section 25.1).
pub fn qvalue(bytes: &[u8]) -> Option<u16> {
    let (whole, rest) = split(bytes, 1);
    let whole: u16 = number(whole)?;
    let digits = match rest.strip_prefix(b".") {
        Some(digits) => digits,
        None if rest.is_empty() => rest,
        None => return None,
    };
    if digits.len() > 3 {
        return None;
    }
    let mut fraction: u16 = if digits.is_empty() { 0 } else { number(digits)? };
    for _ in digits.len()..3 {
        fraction *= 10;
    }
    let value = whole.checked_mul(1000)?.checked_add(fraction)?;
    (value <= 1000).then_some(value)
}

/// Cuts the display name off: a quoted string, or tokens with white space between them, before an
/// angle bracket. No white space is needed before the bracket (RFC 4475 section 3.1.1.6).
fn display_name(text: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    if text.first() == Some(&b'"') {
        let (quoted, rest) = split(text, quoted_len(text)?);
        return Some((Some(quoted), rest));
    }
    let len = run(text, |b| is_token_char(b) || is_lws(b) || b >= 0x80);
    let (name, rest) = split(text, len);
    if rest.first() == Some(&b'<') {
        return Some((Some(name), rest));
    }
    Some((None, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The quick reader takes only what the careful one reads in the same way.
        #[test]
        fn both_readers_agree(
            name in r"(|Bob|Bob B|\x22B \\\x22 b\x22|\x22|a@b|é)( |)",
            uri in r"<?(sip:a@b|sip:h;lr|sip:a,b@c|tel:\+1|\*|sip:a b|)>?",
            params in r"( ?; ?(tag|TAG|expires|q|)( ?= ?(a1|\x22a;b\x22|\x22|<|)|)){0,4} ?",
        ) {
            let text = format!("{name}{uri}{params}");
            let bytes = text.as_bytes();
            let span = Span::new(7, 7 + bytes.len());
            if let Some(quick) = NameAddr::read_plain(bytes, span) {
                let careful = NameAddr::read_with_care(bytes, span);
                prop_assert!(careful.is_ok());
                if let Ok(careful) = careful {
                    // The careful one leaves it to whoever checks whether they are sound.
                    let careful = NameAddr { sound: quick.sound, read: quick.read, ..careful };
                    prop_assert_eq!(format!("{quick:?}"), format!("{careful:?}"));
                }
                if quick.read {
                    prop_assert!(matches!(quick.parse_uri(), Ok(Uri::Sip(_))));
                }
                if quick.sound {
                    let again = NameAddr { sound: false, ..quick };
                    prop_assert!(again.check().is_ok() || quick.parse_uri().is_err());
                }
            }
        }
    }
}
