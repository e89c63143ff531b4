//! Challenges, credentials and Authentication-Info (RFC 3261 sections 20.6, 20.7, 20.27, 20.28,
//! 20.44; RFC 7616, RFC 8760).

use crate::Fault;
use crate::limits::MAX_PARAMS;
use crate::scan::{
    after, cut_at, is_lws, is_token, is_token_char, quoted_len, run, split, strip_quotes, trim,
    trim_start, unquote,
};

/// A scheme and what follows it: a challenge or credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The scheme as it was written: `Digest` in practice.
    pub scheme: &'a [u8],
    /// The parameters. Of a scheme whose rest is no list of parameters they mean nothing, but their
    /// bytes are that rest.
    pub params: AuthParams<'a>,
}

/// Parameters with commas between: `name=token` or `name="text"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthParams<'a> {
    bytes: &'a [u8],
}

impl<'a> Credentials<'a> {
    /// Reads a value. For Digest the parameters have to be well formed; of another scheme nothing
    /// but its name is known here.
    pub fn parse(value: &'a [u8]) -> Result<Self, Fault> {
        let fault = |at| Fault::new(400, "Malformed Credentials", at);
        let value = trim(value);
        let (scheme, rest) = split(value, run(value, is_token_char));
        let params = trim_start(rest);
        if scheme.is_empty() || (params.len() == rest.len() && !rest.is_empty()) {
            return Err(fault(scheme.len()));
        }
        let this = Self { scheme, params: AuthParams::new(params) };
        if this.is_digest() {
            this.params.check().map_err(|f| f.shifted(value.len() - params.len()))?;
        }
        Ok(this)
    }

    /// Whether the scheme is Digest.
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case(b"Digest")
    }
}

impl<'a> AuthParams<'a> {
    /// Parameters from bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: trim(bytes) }
    }

    /// The bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Parameters in order, each with its value as it was written. What is malformed is passed over.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = Some(self.bytes);
        core::iter::from_fn(move || {
            loop {
                let (element, more) = cut_at(rest?, b',');
                rest = more;
                let element = trim(element);
                let name = split(element, run(element, is_token_char)).0;
                let value = trim_start(after(element, name.len()));
                if let Some(value) = value.strip_prefix(b"=").filter(|_| !name.is_empty()) {
                    return Some((name, trim_start(value)));
                }
            }
        })
    }

    /// The value of a parameter as it was written, with its quotes if it has them.
    pub fn raw(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The value of a parameter without its quotes. Backslashes stay: Digest hashes the text as it
    /// was written (RFC 7616 section 3.4.2 means the string between the quotes; see
    /// [`AuthParams::text`] for its meaning).
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.raw(name).map(strip_quotes)
    }

    /// Appends what a parameter means, quoted pairs undone. Returns whether it was there.
    pub fn text(&self, name: &str, out: &mut Vec<u8>) -> bool {
        match self.raw(name) {
            Some(raw) => {
                unquote(raw, out);
                true
            }
            None => false,
        }
    }

    /// `nc`: eight hexadecimal digits.
    pub fn nonce_count(&self) -> Option<u32> {
        let digits = self.get("nc").filter(|nc| nc.len() == 8)?;
        let text = core::str::from_utf8(digits).ok()?;
        if text.starts_with('+') { None } else { u32::from_str_radix(text, 16).ok() }
    }

    /// Whether a list in a parameter (`qop-options`) has a member.
    pub fn has(&self, name: &str, member: &str) -> bool {
        self.get(name).is_some_and(|list| {
            list.split(|b| *b == b',').any(|one| trim(one).eq_ignore_ascii_case(member.as_bytes()))
        })
    }

    /// Whether every parameter is well formed, and none is there twice.
    pub fn check(&self) -> Result<(), Fault> {
        let fault =
            |at: &[u8]| Fault::new(400, "Malformed Parameter", crate::scan::offset(self.bytes, at));
        let mut rest = Some(self.bytes);
        let mut count = 0;
        while let Some(text) = rest {
            let (element, more) = cut_at(text, b',');
            rest = more;
            let element = trim(element);
            count += 1;
            if count > MAX_PARAMS {
                return Err(Fault::new(400, "Too Many Parameters", 0));
            }
            let (name, value) = split(element, run(element, is_token_char));
            let value = trim_start(value).strip_prefix(b"=").map(trim_start);
            let Some(value) = value.filter(|_| !name.is_empty()) else {
                return Err(fault(element));
            };
            let whole = match value.first() {
                Some(b'"') => quoted_len(value) == Some(value.len()),
                // A URI or base64 without quotes is more than a token, and is sent.
                _ => is_token(value) || (!value.is_empty() && !value.iter().any(|b| is_lws(*b))),
            };
            // Those before this one, and it, are few: they are counted above.
            let named = self.iter().take(count).filter(|(n, _)| n.eq_ignore_ascii_case(name));
            let twice = named.count() > 1;
            if !whole || twice {
                return Err(fault(element));
            }
        }
        Ok(())
    }
}
