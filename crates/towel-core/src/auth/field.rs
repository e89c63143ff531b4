//! The values of Authorization, Proxy-Authorization, WWW-Authenticate and Proxy-Authenticate:
//! `Digest` and its comma-separated parameters (RFC 3261 section 25.1, RFC 7616 sections 3.3, 3.4).

use std::borrow::Cow;

use smallvec::SmallVec;
use towel_message::scan;

/// More parameters than any value has a use for.
const MAX_PARAMETERS: usize = 32;

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Another scheme than Digest: no fault of its sender's, but nothing to us.
    OtherScheme,
    /// Not of the form that the grammar asks for.
    Syntax,
    /// A parameter given more than once.
    Repeated,
    /// A parameter that has to be there is not.
    Missing,
}

/// A name and its value.
type Given<'a> = (&'a [u8], Cow<'a, [u8]>);

/// The parameters of one value of the Digest scheme.
#[derive(Debug, Clone, Default)]
pub struct DigestParams<'a> {
    given: SmallVec<[Given<'a>; 12]>,
}

impl<'a> DigestParams<'a> {
    /// Reads one header field value.
    pub fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = Reader { bytes: value };
        rest.space();
        let scheme = rest.token();
        if scheme.is_empty() {
            return Err(Malformed::Syntax);
        }
        if !scheme.eq_ignore_ascii_case(b"Digest") {
            return Err(Malformed::OtherScheme);
        }
        let mut params = Self::default();
        loop {
            // RFC 7235 section 2.1: a list may have empty elements.
            while rest.space() || rest.take(b',') {}
            if rest.bytes.is_empty() {
                return Ok(params);
            }
            let name = rest.token();
            rest.space();
            if name.is_empty() || !rest.take(b'=') || params.given.len() == MAX_PARAMETERS {
                return Err(Malformed::Syntax);
            }
            rest.space();
            let value = rest.value()?;
            rest.space();
            if !rest.bytes.is_empty() && rest.bytes.first() != Some(&b',') {
                return Err(Malformed::Syntax);
            }
            if params.given.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                return Err(Malformed::Repeated);
            }
            params.given.push((name, value));
        }
    }

    /// The value of a parameter, without quotation marks and escapes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let found =
            self.given.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| &**value)
    }

    /// The value of a parameter that has to be there.
    pub fn require(&self, name: &str) -> Result<&[u8], Malformed> {
        self.get(name).ok_or(Malformed::Missing)
    }
}

/// The realm of a value that may be malformed otherwise: enough to know whether it is meant for us.
#[must_use]
pub fn realm_of(value: &[u8]) -> Option<Vec<u8>> {
    // What another parameter has in its value or its name is no realm.
    if let Ok(params) = DigestParams::parse(value) {
        return params.get("realm").map(<[u8]>::to_vec);
    }
    let start = value.windows(6).position(|w| w.eq_ignore_ascii_case(b"realm="))?;
    let mut rest = Reader { bytes: value.get(start + 6..)? };
    rest.value().ok().map(Cow::into_owned)
}

/// Writes `text` as a quoted string.
pub fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &octet in text {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        // A line end cannot be quoted at all (RFC 3261 section 25.1).
        out.push(if matches!(octet, b'\r' | b'\n') { b' ' } else { octet });
    }
    out.push(b'"');
}

struct Reader<'a> {
    bytes: &'a [u8],
}

/// The octets of a token, as RFC 3261 section 25.1 and RFC 7230 section 3.2.6 have it.
static TOKEN: [bool; 256] = token();

#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "done by the compiler"))]
const fn token() -> [bool; 256] {
    let mut table = [false; 256];
    let mut octet = 0u8;
    while octet < 128 {
        table[octet as usize] = octet.is_ascii_alphanumeric()
            || matches!(
                octet,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~' | b'#' | b'$'
            )
            || matches!(octet, b'&' | b'^' | b'|');
        octet += 1;
    }
    table
}

impl<'a> Reader<'a> {
    /// Skips white space, folded lines among it; whether there was any.
    fn space(&mut self) -> bool {
        let start = self.bytes.len();
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.bytes {
            self.bytes = rest;
        }
        self.bytes.len() < start
    }

    fn take(&mut self, octet: u8) -> bool {
        let Some(rest) = self.bytes.strip_prefix(&[octet]) else { return false };
        self.bytes = rest;
        true
    }

    fn token(&mut self) -> &'a [u8] {
        let is_none = |c: &u8| TOKEN.get(usize::from(*c)).is_none_or(|is| !is);
        let length = self.bytes.iter().position(is_none).unwrap_or(self.bytes.len());
        let (token, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        token
    }

    /// A quoted string, or whatever stands up to the next separator: peers leave quotation marks
    /// out where the grammar wants them (uri, nonce) and write them where it does not (qop).
    fn value(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        if !self.take(b'"') {
            let ends = |c: &u8| matches!(c, b',' | b' ' | b'\t' | b'\r' | b'\n' | b'"');
            let length = self.bytes.iter().position(ends).unwrap_or(self.bytes.len());
            let (value, rest) = self.bytes.split_at(length);
            self.bytes = rest;
            return if value.is_empty() {
                Err(Malformed::Syntax)
            } else {
                Ok(Cow::Borrowed(value))
            };
        }
        // Hardly ever is anything escaped or folded.
        let special = |c: &u8| matches!(c, b'"' | b'\\' | b'\r' | b'\n');
        if let Some((value, [b'"', rest @ ..])) =
            self.bytes.iter().position(special).and_then(|end| self.bytes.split_at_checked(end))
        {
            self.bytes = rest;
            return Ok(Cow::Borrowed(value));
        }
        let mut escaped = false;
        let mut escapes = false;
        let closed = self.bytes.iter().position(|&c| {
            let closes = c == b'"' && !escaped;
            escaped = c == b'\\' && !escaped;
            escapes |= escaped;
            closes
        });
        let (value, rest) = self.bytes.split_at(closed.ok_or(Malformed::Syntax)?);
        self.bytes = rest.get(1..).unwrap_or_default();
        // A fold within the quotes is a space (RFC 3261 section 7.3.1), for who reads it and for who
        // makes a digest of it.
        let folded = value.iter().any(|octet| matches!(octet, b'\r' | b'\n'));
        if !escapes && !folded {
            return Ok(Cow::Borrowed(value));
        }
        let mut unfolded = Vec::new();
        let value = if folded {
            scan::unfold(value, &mut unfolded);
            &unfolded
        } else {
            value
        };
        let mut plain = Vec::with_capacity(value.len());
        let mut octets = value.iter();
        while let Some(&octet) = octets.next() {
            let octet = if octet == b'\\' { octets.next().copied() } else { Some(octet) };
            plain.extend(octet);
        }
        Ok(Cow::Owned(plain))
    }
}

/// Reads the extended notation of `username*` (RFC 5987 section 3.2): `UTF-8''J%C3%A4s`.
#[must_use]
pub fn extended(value: &[u8]) -> Option<Vec<u8>> {
    let mut parts = value.splitn(3, |c| *c == b'\'');
    let (charset, _language, text) = (parts.next()?, parts.next()?, parts.next()?);
    if !charset.eq_ignore_ascii_case(b"UTF-8") {
        return None;
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut octets = text.iter();
    while let Some(&octet) = octets.next() {
        if octet != b'%' {
            plain.push(octet);
            continue;
        }
        let (high, low) = (octets.next()?, octets.next()?);
        let digit = |c: &u8| char::from(*c).to_digit(16);
        plain.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_in_every_spelling() {
        let value = b"dIgEsT username = \"bo\\\"b\\\\\" ,\r\n realm=\"biloxi.com\", ,uri=sip:a@b;x=y, qop=\"auth\",\tnc=00000001,";
        let params = DigestParams::parse(value).unwrap();
        assert_eq!(params.get("USERNAME"), Some(&b"bo\"b\\"[..]));
        assert_eq!(params.get("realm"), Some(&b"biloxi.com"[..]));
        assert_eq!(params.get("uri"), Some(&b"sip:a@b;x=y"[..]));
        assert_eq!(params.get("qop"), Some(&b"auth"[..]));
        assert_eq!(params.get("nc"), Some(&b"00000001"[..]));
        assert_eq!(params.require("cnonce"), Err(Malformed::Missing));
        assert!(DigestParams::parse(b"Digest").unwrap().get("realm").is_none());
    }

    #[test]
    fn what_is_malformed() {
        for (value, fault) in [
            (&b""[..], Malformed::Syntax),
            (b"Basic QWxhZGRpbg==", Malformed::OtherScheme),
            (b"Digest realm", Malformed::Syntax),
            (b"Digest realm=", Malformed::Syntax),
            (b"Digest realm=\"a", Malformed::Syntax),
            (b"Digest realm=\"a\\\"", Malformed::Syntax),
            (b"Digest realm=\"a\" nonce=\"b\"", Malformed::Syntax),
            (b"Digest =\"a\"", Malformed::Syntax),
            (b"Digest realm=\"a\", REALM=\"b\"", Malformed::Repeated),
        ] {
            assert_eq!(DigestParams::parse(value).err(), Some(fault));
        }
        let many = [&b"Digest "[..], "a=1,".repeat(3).as_bytes()].concat();
        assert_eq!(DigestParams::parse(&many).err(), Some(Malformed::Repeated));
        let many: String = (0..40).map(|n| format!("p{n}=1,")).collect();
        assert!(DigestParams::parse(format!("Digest {many}").as_bytes()).is_err());
    }

    #[test]
    fn the_realm_of_a_broken_value() {
        assert_eq!(realm_of(b"Digest Realm=\"a b\", nonce"), Some(b"a b".to_vec()));
        assert_eq!(realm_of(b"Digest xrealm=a, o=\"realm=b\", realm = \"c\""), Some(b"c".to_vec()));
        assert_eq!(realm_of(b"Digest nonce=\"x"), None);
        assert_eq!(realm_of(b"realm="), None);
    }

    #[test]
    fn quoting_can_be_undone() {
        let mut out = b"Digest x=".to_vec();
        quote(b"a\"b\\c", &mut out);
        assert_eq!(DigestParams::parse(&out).unwrap().get("x"), Some(&b"a\"b\\c"[..]));
    }

    #[test]
    fn a_fold_within_quotes_is_a_space() {
        let params = DigestParams::parse(b"Digest realm=\"a \r\n\t b\\\"\r\n c\"").unwrap();
        assert_eq!(params.get("realm"), Some(&b"a b\" c"[..]));
        // What is hashed is what is sent.
        let session = crate::auth::client::Session::new(
            b"Digest realm=\"a\r\n b\", nonce=\"n\"",
            "user",
            "password",
        );
        assert_eq!(session.map(|session| session.realm().to_vec()), Some(b"a b".to_vec()));
    }

    #[test]
    fn extended_notation() {
        let name = "J\u{e4}s\u{f8}n Doe".as_bytes().to_vec();
        assert_eq!(extended(b"UTF-8''J%C3%A4s%C3%B8n%20Doe"), Some(name));
        for bad in ["", "UTF-8''%C", "UTF-8''%zz", "latin1''a", "UTF-8'a"] {
            assert_eq!(extended(bad.as_bytes()), None);
        }
    }

    #[test]
    fn no_input_panics() {
        let seed = b"Digest username=\"a\\\", realm=\"b\", nc=1";
        for at in 0..seed.len() {
            for octet in 0..=255 {
                let mut value = seed.to_vec();
                value[at] = octet;
                let _ = DigestParams::parse(&value);
                let _ = realm_of(&value);
                let _ = extended(&value[at..]);
            }
        }
    }
}
