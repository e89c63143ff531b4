//! `a=crypto` (RFC 4568): keys in SDP.

use super::{MAX_MKI, MasterKey, base64};
use core::fmt;
use towel_sdp::attribute::Crypto;

/// A crypto-suite (RFC 4568 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// AES in counter mode, a tag of 80 bits.
    AesCm128HmacSha1_80,
    /// The same with a tag of 32 bits for SRTP.
    AesCm128HmacSha1_32,
}

impl Suite {
    /// All, the preferred first.
    pub const ALL: [Self; 2] = [Self::AesCm128HmacSha1_80, Self::AesCm128HmacSha1_32];

    /// The name in SDP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// The suite of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }
}

/// The longest life of a master key, in packets of SRTP (RFC 3711 section 9.2).
pub(super) const MAX_SRTP: u64 = 1 << 48;
/// The same for SRTCP.
pub(super) const MAX_SRTCP: u64 = 1 << 31;

/// What one end says with one `a=crypto`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CryptoLine {
    /// Its number, which the answer repeats.
    pub tag: u32,
    /// The suite.
    pub suite: Suite,
    /// The key for what its writer sends.
    pub key: MasterKey,
    /// How many packets may be sent with it.
    pub lifetime: Option<u64>,
    /// The identifier of the key that stands in each packet; empty for none.
    pub mki: Vec<u8>,
    /// `UNENCRYPTED_SRTP`.
    pub plain_rtp: bool,
    /// `UNENCRYPTED_SRTCP`.
    pub plain_rtcp: bool,
}

/// Why an `a=crypto` cannot be used (RFC 4568 sections 6.1 and 6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The suite of this name is not known here.
    Suite(String),
    /// The key is not `inline:` and 30 bytes in Base64.
    Key,
    /// More than one key: they are told apart by an MKI, which is not done here.
    SeveralKeys,
    /// The lifetime is no number that the suite allows.
    Lifetime,
    /// The MKI is no number, or does not fit its length.
    Mki,
    /// A parameter that is not known, or not done here.
    Parameter(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suite(name) => write!(f, "a=crypto: the suite {name} is not known"),
            Self::Key => f.write_str("a=crypto: the key is not inline: and 30 bytes of base64"),
            Self::SeveralKeys => f.write_str("a=crypto: more than one key in a line"),
            Self::Lifetime => f.write_str("a=crypto: the lifetime is not from 1 to 2^48"),
            Self::Mki => write!(f, "a=crypto: the MKI is not number:length of 1 to {MAX_MKI}"),
            Self::Parameter(name) => write!(f, "a=crypto: the parameter {name} is not supported"),
        }
    }
}

impl core::error::Error for Fault {}

impl CryptoLine {
    /// A line for an offer. `key` are 30 random bytes that are used for nothing else.
    pub fn new(tag: u32, suite: Suite, key: &[u8; 30]) -> Self {
        Self {
            tag,
            suite,
            key: MasterKey::of(key),
            lifetime: None,
            mki: Vec::new(),
            plain_rtp: false,
            plain_rtcp: false,
        }
    }

    /// The line that answers this one with a key of our own (RFC 4568 section 5.1.2): the same
    /// number, suite and negotiated parameters.
    pub fn answer(&self, key: &[u8; 30]) -> Self {
        Self {
            plain_rtp: self.plain_rtp,
            plain_rtcp: self.plain_rtcp,
            ..Self::new(self.tag, self.suite, key)
        }
    }

    /// Reads an attribute.
    pub fn read(crypto: &Crypto<'_>) -> Result<Self, Fault> {
        let suite = Suite::of_name(crypto.suite);
        let suite = suite.ok_or_else(|| Fault::Suite(crypto.suite.to_owned()))?;
        if crypto.keys.contains(';') {
            return Err(Fault::SeveralKeys);
        }
        let inline = crypto.keys.get(..7).filter(|p| p.eq_ignore_ascii_case("inline:"));
        let rest = inline.and_then(|_| crypto.keys.get(7..)).ok_or(Fault::Key)?;
        let mut parts = rest.split('|');
        let key = parts.next().and_then(base64::decode).and_then(|key| key.try_into().ok());
        let mut this = Self::new(crypto.tag, suite, &key.ok_or(Fault::Key)?);
        let mut part = parts.next();
        if let Some(text) = part.filter(|text| !text.contains(':')) {
            this.lifetime = Some(lifetime(text).ok_or(Fault::Lifetime)?);
            part = parts.next();
        }
        if let Some(text) = part {
            this.mki = mki(text).ok_or(Fault::Mki)?;
        }
        if parts.next().is_some() {
            return Err(Fault::Key);
        }
        let params = str::from_utf8(crypto.params);
        let params = params.map_err(|_| Fault::Parameter("that is no text".to_owned()))?;
        for param in params.split_ascii_whitespace() {
            match param.split('=').next().unwrap_or_default() {
                "UNENCRYPTED_SRTP" => this.plain_rtp = true,
                "UNENCRYPTED_SRTCP" => this.plain_rtcp = true,
                // A hint; the window here is 128.
                "WSH" => (),
                optional if optional.starts_with('-') => (),
                // KDR, UNAUTHENTICATED_SRTP and FEC among them.
                other => return Err(Fault::Parameter(other.to_owned())),
            }
        }
        Ok(this)
    }

    /// The value of `a=crypto`.
    pub fn value(&self) -> String {
        let mut text = format!(
            "{} {} inline:{}",
            self.tag,
            self.suite.name(),
            base64::encode(&self.key.bytes())
        );
        if let Some(lifetime) = self.lifetime {
            text += &format!("|{lifetime}");
        }
        if !self.mki.is_empty() {
            let number = self.mki.iter().fold(0, |n, byte| n << 8 | u128::from(*byte));
            text += &format!("|{number}:{}", self.mki.len());
        }
        let flags =
            [(self.plain_rtp, " UNENCRYPTED_SRTP"), (self.plain_rtcp, " UNENCRYPTED_SRTCP")];
        flags.iter().filter(|flag| flag.0).for_each(|flag| text += flag.1);
        text
    }
}

/// A number that does not begin with 0, or `2^` and a power.
fn lifetime(text: &str) -> Option<u64> {
    let number = match text.strip_prefix("2^") {
        Some(power) => 1u64.checked_shl(digits(power)?.try_into().ok()?)?,
        None => digits(text)?.try_into().ok()?,
    };
    (1..=MAX_SRTP).contains(&number).then_some(number)
}

fn mki(text: &str) -> Option<Vec<u8>> {
    let (number, length) = text.split_once(':')?;
    let (number, length) = (digits(number)?, usize::try_from(digits(length)?).ok()?);
    let bytes = number.to_be_bytes();
    let at = bytes.len().checked_sub(length).filter(|_| (1..=MAX_MKI).contains(&length))?;
    let (above, mki) = bytes.split_at_checked(at)?;
    above.iter().all(|byte| *byte == 0).then(|| mki.to_vec())
}

fn digits(text: &str) -> Option<u128> {
    let sound = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    sound.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use towel_sdp::{Cursor, attribute::Typed};

    fn read(text: &str) -> Result<CryptoLine, Fault> {
        let text = text.to_owned();
        // A cursor is had from a description alone.
        let sdp = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\na=crypto:{text}\r\n");
        let limits = towel_sdp::Limits::default();
        let description = towel_sdp::Description::parse(sdp.as_bytes(), &limits).unwrap();
        let attribute = description.session().attributes().next().unwrap();
        let cursor: Cursor<'_> = attribute.cursor();
        CryptoLine::read(&Crypto::read(cursor).unwrap())
    }

    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    #[test]
    fn lines_are_read_and_written() {
        let text = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4");
        let line = read(&text).unwrap();
        assert_eq!((line.tag, line.suite), (1, Suite::AesCm128HmacSha1_80));
        assert_eq!((line.lifetime, &line.mki[..]), (Some(1 << 20), &[0, 0, 0, 1][..]));
        assert_eq!(line.value(), text.replace("2^20", "1048576"));
        let text = format!("7 AES_CM_128_HMAC_SHA1_32 inline:{KEY} UNENCRYPTED_SRTCP");
        assert_eq!(read(&text).unwrap().value(), text);
        assert_eq!(read(&format!("{text} WSH=128 -later=1")).unwrap().value(), text);
        // RFC 4568 section 6.1: an MKI without a lifetime.
        let line = read(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1066:4")).unwrap();
        assert_eq!((line.lifetime, &line.mki[..]), (None, &[0, 0, 4, 42][..]));
    }

    #[test]
    fn lines_that_cannot_be_used_say_why() {
        let with = |rest: &str| read(&format!("1 AES_CM_128_HMAC_SHA1_80 {rest}")).unwrap_err();
        assert_eq!(with("uri:x"), Fault::Key);
        assert_eq!(with("inline:d0Rm"), Fault::Key);
        assert_eq!(with(&format!("inline:{KEY};inline:{KEY}")), Fault::SeveralKeys);
        for lifetime in ["0", "2^49", "2^99", "020", "x", ""] {
            assert_eq!(with(&format!("inline:{KEY}|{lifetime}")), Fault::Lifetime, "{lifetime}");
        }
        for mki in ["1:0", "1:17", "256:1", "x:1", "1:"] {
            assert_eq!(with(&format!("inline:{KEY}|{mki}")), Fault::Mki, "{mki}");
        }
        for param in ["KDR=1", "UNAUTHENTICATED_SRTP", "FEC_ORDER=FEC_SRTP", "NEW=1"] {
            let fault = with(&format!("inline:{KEY} {param}"));
            let name = param.split('=').next().unwrap();
            assert_eq!(fault, Fault::Parameter(name.to_owned()));
        }
        let fault = read(&format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}")).unwrap_err();
        assert_eq!(fault.to_string(), "a=crypto: the suite F8_128_HMAC_SHA1_80 is not known");
        assert!(!format!("{:?}", CryptoLine::new(1, Suite::ALL[0], &[7; 30])).contains('7'));
    }
}
