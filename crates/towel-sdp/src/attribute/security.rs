//! Keys and conditions: `a=fingerprint`, `a=crypto`, `a=curr`, `a=des`, `a=conf`.

use super::Typed;
use crate::cursor::number;
use crate::{Cursor, Direction, Fault};

/// `a=fingerprint` (RFC 8122 section 5): the hash of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint<'d> {
    /// The hash function, as `sha-256`.
    pub hash: &'d str,
    /// The bytes in hexadecimal, between colons.
    pub text: &'d str,
}

impl<'d> Fingerprint<'d> {
    /// The bytes of the hash.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + use<'d> {
        self.text.split(':').filter_map(|pair| u8::from_str_radix(pair, 16).ok())
    }
}

impl<'d> Typed<'d> for Fingerprint<'d> {
    const NAME: &'static str = "fingerprint";

    fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let hash = cursor.token("the hash function of a=fingerprint")?;
        let place = cursor.at_word();
        let text = cursor.word("the bytes of a=fingerprint")?;
        // The grammar has upper case alone; some send lower.
        let fits = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
        match text.split(':').all(fits) {
            true => Ok(Self { hash, text }),
            false => Err(place.malformed("the bytes of a=fingerprint")),
        }
    }
}

/// `a=crypto` (RFC 4568 section 9.1): a key for SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crypto<'d> {
    /// Its number, which the answer repeats.
    pub tag: u32,
    /// The crypto-suite, as `AES_CM_128_HMAC_SHA1_80`.
    pub suite: &'d str,
    /// The key parameters, as `inline:...`.
    pub keys: &'d str,
    /// The session parameters as they stand.
    pub params: &'d [u8],
}

impl<'d> Typed<'d> for Crypto<'d> {
    const NAME: &'static str = "crypto";

    fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let place = cursor.at_word();
        let tag = cursor.word("the tag of a=crypto")?;
        let tag = number(tag).filter(|_| tag.len() <= 9);
        let tag = tag.ok_or(place.malformed("the tag of a=crypto"))?;
        let suite = cursor.token("the crypto-suite of a=crypto")?;
        let place = cursor.at_word();
        let keys = cursor.word("the key of a=crypto")?;
        match keys.split(';').all(|key| key.split_once(':').is_some_and(|k| !k.1.is_empty())) {
            true => Ok(Self { tag, suite, keys, params: cursor.rest() }),
            false => Err(place.malformed("the key of a=crypto")),
        }
    }
}

/// For which part of the way a precondition is (RFC 3312 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// From end to end.
    EndToEnd,
    /// The access of the one who writes.
    Local,
    /// The access of the other.
    Remote,
}

/// How much a precondition is wanted (RFC 3312 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// No session without it.
    Mandatory,
    /// If it can be had.
    Optional,
    /// Not wanted.
    None,
    /// It could not be met.
    Failure,
    /// The type is not known.
    Unknown,
}

/// `a=curr` (RFC 3312 section 4; RFC 5027 for the type `sec`): what is met. No direction is
/// [`Direction::Inactive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current<'d> {
    /// The type: `qos`, `sec` ...
    pub kind: &'d str,
    /// For which part of the way.
    pub status: Status,
    /// Which way.
    pub direction: Direction,
}

/// `a=des` (RFC 3312 section 4): what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desired<'d> {
    /// The type: `qos`, `sec` ...
    pub kind: &'d str,
    /// How much.
    pub strength: Strength,
    /// For which part of the way.
    pub status: Status,
    /// Which way.
    pub direction: Direction,
}

/// `a=conf` (RFC 3312 section 4): what the writer wants to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm<'d> {
    /// The type: `qos`, `sec` ...
    pub kind: &'d str,
    /// For which part of the way.
    pub status: Status,
    /// Which way.
    pub direction: Direction,
}

/// The next word, which must be one of these.
fn one_of<T: Copy>(
    cursor: &mut Cursor<'_>,
    part: &'static str,
    words: &[(&str, T)],
) -> Result<T, Fault> {
    let place = cursor.at_word();
    let word = cursor.word(part)?;
    let found = words.iter().find(|w| w.0.eq_ignore_ascii_case(word));
    found.map(|w| w.1).ok_or(place.malformed(part))
}

const STATUS: [(&str, Status); 3] =
    [("e2e", Status::EndToEnd), ("local", Status::Local), ("remote", Status::Remote)];
const STRENGTH: [(&str, Strength); 5] = [
    ("mandatory", Strength::Mandatory),
    ("optional", Strength::Optional),
    ("none", Strength::None),
    ("failure", Strength::Failure),
    ("unknown", Strength::Unknown),
];
const WAYS: [(&str, Direction); 4] = [
    ("none", Direction::Inactive),
    ("send", Direction::SendOnly),
    ("recv", Direction::RecvOnly),
    ("sendrecv", Direction::SendRecv),
];

/// The status and the direction that end all three attributes.
fn status_and_way(cursor: &mut Cursor<'_>) -> Result<(Status, Direction), Fault> {
    let status = one_of(cursor, "the status type of a precondition", &STATUS)?;
    Ok((status, one_of(cursor, "the direction of a precondition", &WAYS)?))
}

impl<'d> Typed<'d> for Current<'d> {
    const NAME: &'static str = "curr";

    fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let kind = cursor.token("the type of a precondition")?;
        let (status, direction) = status_and_way(&mut cursor)?;
        Ok(Self { kind, status, direction })
    }
}

impl<'d> Typed<'d> for Desired<'d> {
    const NAME: &'static str = "des";

    fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let kind = cursor.token("the type of a precondition")?;
        let strength = one_of(&mut cursor, "the strength of a precondition", &STRENGTH)?;
        let (status, direction) = status_and_way(&mut cursor)?;
        Ok(Self { kind, strength, status, direction })
    }
}

impl<'d> Typed<'d> for Confirm<'d> {
    const NAME: &'static str = "conf";

    fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let kind = cursor.token("the type of a precondition")?;
        let (status, direction) = status_and_way(&mut cursor)?;
        Ok(Self { kind, status, direction })
    }
}
