//! The arithmetic of Digest: RFC 7616 section 3.4, with the SIP readings of RFC 8760 section 2.6.

use md5::Md5;
use sha2::{Sha256, Sha512_256};

/// A hash algorithm of the Digest scheme (RFC 7616 section 6.1, RFC 8760 section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Algorithm {
    /// MD5, kept for peers that know nothing else.
    Md5,
    /// SHA-512/256, named `SHA-512-256` on the wire.
    Sha512_256,
    /// SHA-256, which everyone has to know.
    Sha256,
}

impl Algorithm {
    /// Every algorithm, the one that we would rather see first (RFC 8760 section 2.3).
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha512_256, Self::Md5];

    /// The token of the `algorithm` parameter.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// Reads an `algorithm` token, in any case; true when it is the `-sess` variant.
    #[must_use]
    pub fn from_token(token: &[u8]) -> Option<(Self, bool)> {
        let session = token.len() > 5
            && token.get(token.len() - 5..).is_some_and(|end| end.eq_ignore_ascii_case(b"-sess"));
        let name = if session { token.get(..token.len() - 5)? } else { token };
        let found = Self::ALL.into_iter().find(|a| name.eq_ignore_ascii_case(a.token().as_bytes()));
        found.map(|algorithm| (algorithm, session))
    }

    /// The hash of the parts, one after the other, as lower-case hexadecimal digits.
    #[must_use]
    pub fn hash(self, parts: &[&[u8]]) -> Hex {
        match self {
            Self::Md5 => Hex::of(&run::<Md5>(parts)),
            Self::Sha256 => Hex::of(&run::<Sha256>(parts)),
            Self::Sha512_256 => Hex::of(&run::<Sha512_256>(parts)),
        }
    }

    /// How many hexadecimal digits a digest of this algorithm has (RFC 8760 section 2.2).
    #[must_use]
    pub fn digits(self) -> usize {
        if self == Self::Md5 { 32 } else { 64 }
    }
}

fn run<D: sha2::Digest>(parts: &[&[u8]]) -> sha2::digest::Output<D> {
    let mut hash = D::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize()
}

/// A digest in the hexadecimal digits that the wire and the formulas use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex {
    digits: [u8; 64],
    len: u8,
}

impl Hex {
    /// The digits of at most 32 octets.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        let mut hex = Self { digits: [0; 64], len: 0 };
        for (pair, octet) in hex.digits.chunks_exact_mut(2).zip(octets) {
            pair.copy_from_slice(&digits_of(*octet));
            hex.len += 2;
        }
        hex
    }

    /// The digits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The digits as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Whether `given` has the same digits, in any case, in a time that does not tell where they differ.
    #[must_use]
    pub fn matches(&self, given: &[u8]) -> bool {
        let ours = self.as_bytes();
        // How long a digest is, is no secret.
        if given.len() != ours.len() {
            return false;
        }
        let differs = |(ours, given): (&u8, &u8)| ours ^ given.to_ascii_lowercase();
        let difference = ours.iter().zip(given).map(differs).fold(0, |all, one| all | one);
        core::hint::black_box(difference) == 0
    }
}

/// The two digits of an octet.
#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "four bits and sixteen digits"))]
pub(super) fn digits_of(octet: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]]
}

/// Quality of protection (RFC 7616 section 3.4): what the digest covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qop {
    /// The method and the URI.
    Auth,
    /// The body as well.
    AuthInt,
}

impl Qop {
    /// The token of the `qop` parameter.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }

    /// Reads a `qop` token, in any case.
    #[must_use]
    pub fn from_token(token: &[u8]) -> Option<Self> {
        [Self::Auth, Self::AuthInt]
            .into_iter()
            .find(|qop| token.eq_ignore_ascii_case(qop.token().as_bytes()))
    }
}

/// H(A1) of an ordinary (not `-sess`) algorithm: the only form in which a password is kept.
#[must_use]
pub fn ha1(algorithm: Algorithm, username: &[u8], realm: &[u8], password: &[u8]) -> Hex {
    algorithm.hash(&[username, b":", realm, b":", password])
}

/// All that a digest is computed over, apart from the secret.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The hash algorithm.
    pub algorithm: Algorithm,
    /// Whether it is the `-sess` variant.
    pub session: bool,
    /// The method; empty for the `rspauth` of Authentication-Info (RFC 7616 section 3.5).
    pub method: &'a [u8],
    /// The `uri` parameter, unquoted.
    pub uri: &'a [u8],
    /// The `nonce` parameter, unquoted.
    pub nonce: &'a [u8],
    /// The `nc` parameter as it stands.
    pub count: &'a [u8],
    /// The `cnonce` parameter, unquoted.
    pub cnonce: &'a [u8],
    /// Quality of protection; none is the form of RFC 2069.
    pub qop: Option<Qop>,
    /// The body, for `auth-int`.
    pub body: &'a [u8],
}

impl Exchange<'_> {
    /// The digest that proves knowledge of `ha1` (RFC 7616 sections 3.4.1 to 3.4.3).
    #[must_use]
    pub fn digest(&self, ha1: &Hex) -> Hex {
        let a = self.algorithm;
        let session_key;
        let ha1 = if self.session {
            session_key = a.hash(&[ha1.as_bytes(), b":", self.nonce, b":", self.cnonce]);
            &session_key
        } else {
            ha1
        };
        let ha2 = if self.qop == Some(Qop::AuthInt) {
            let body = a.hash(&[self.body]);
            a.hash(&[self.method, b":", self.uri, b":", body.as_bytes()])
        } else {
            a.hash(&[self.method, b":", self.uri])
        };
        match self.qop {
            Some(qop) => a.hash(&[
                ha1.as_bytes(),
                b":",
                self.nonce,
                b":",
                self.count,
                b":",
                self.cnonce,
                b":",
                qop.token().as_bytes(),
                b":",
                ha2.as_bytes(),
            ]),
            // RFC 2617 section 3.2.2.1, for peers of RFC 2069.
            None => a.hash(&[ha1.as_bytes(), b":", self.nonce, b":", ha2.as_bytes()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange<'a>(algorithm: Algorithm) -> Exchange<'a> {
        Exchange {
            algorithm,
            session: false,
            method: b"GET",
            uri: b"/dir/index.html",
            nonce: b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            count: b"00000001",
            cnonce: b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            qop: Some(Qop::Auth),
            body: b"",
        }
    }

    #[test]
    fn rfc_7616_section_3_9_1() {
        let realm = b"http-auth@example.org";
        let secret = ha1(Algorithm::Md5, b"Mufasa", realm, b"Circle of Life");
        let got = exchange(Algorithm::Md5).digest(&secret);
        assert_eq!(got.as_str(), "8ca523f5e9506fed4657c9700eebdbec");
        let secret = ha1(Algorithm::Sha256, b"Mufasa", realm, b"Circle of Life");
        let got = exchange(Algorithm::Sha256).digest(&secret);
        assert_eq!(
            got.as_str(),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
        assert!(got.matches(got.as_str().to_uppercase().as_bytes()));
        assert!(!got.matches(b"753927fa"));
        assert!(!got.matches(b""));
    }

    /// Section 3.9.2 as printed was made with another hash than SHA-512/256; these are the values
    /// of its erratum 4897.
    #[test]
    fn rfc_7616_section_3_9_2_as_corrected() {
        let user = "J\u{e4}s\u{f8}n Doe".as_bytes();
        let realm = b"api@example.org";
        let secret = ha1(Algorithm::Sha512_256, user, realm, b"Secret, or not?");
        let got = Exchange {
            uri: b"/doe.json",
            nonce: b"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            cnonce: b"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            ..exchange(Algorithm::Sha512_256)
        }
        .digest(&secret);
        assert_eq!(
            got.as_str(),
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
        );
        let userhash = Algorithm::Sha512_256.hash(&[user, b":", realm]);
        assert_eq!(
            userhash.as_str(),
            "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
        );
    }

    #[test]
    fn rfc_2617_section_3_5() {
        let secret = ha1(Algorithm::Md5, b"Mufasa", b"testrealm@host.com", b"Circle Of Life");
        let exchange = Exchange {
            nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093",
            cnonce: b"0a4f113b",
            ..exchange(Algorithm::Md5)
        };
        assert_eq!(exchange.digest(&secret).as_str(), "6629fae49393a05397450978507c4ef1");
        // The same without qop is the calculation of RFC 2069.
        let old = Exchange { qop: None, ..exchange }.digest(&secret);
        assert_eq!(old.as_str(), "670fd8c2df070c60b045671b8b24ff02");
    }

    #[test]
    fn the_hash_of_no_body_is_the_hash_of_the_empty_string() {
        assert_eq!(Algorithm::Md5.hash(&[]).as_str(), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(
            Algorithm::Sha256.hash(&[b""]).as_str(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            Algorithm::Sha512_256.hash(&[]).as_str(),
            "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a"
        );
    }

    #[test]
    fn tokens() {
        assert_eq!(Algorithm::from_token(b"md5"), Some((Algorithm::Md5, false)));
        assert_eq!(Algorithm::from_token(b"SHA-512-256-SESS"), Some((Algorithm::Sha512_256, true)));
        assert_eq!(Algorithm::from_token(b"-sess"), None);
        assert_eq!(Algorithm::from_token(b"AKAv1-MD5"), None);
        assert_eq!(Qop::from_token(b"Auth-Int"), Some(Qop::AuthInt));
        assert_eq!(Qop::from_token(b"auth-conf"), None);
    }
}
