//! Session-ID (RFC 7989): one name for a call, on both sides of whoever stands in between.
//!
//! Each end has a UUID; every message names its sender's first and the other one's as `remote`. We carry
//! them across, take a new one from whoever has changed (section 8), and stand in for an end that has
//! none (section 7).

use towel_message::{Message, Name, Params};

use crate::rng::Rng;

/// The UUID of an end: 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid([u8; 32]);

/// That of nobody (section 5).
const NIL: [u8; 32] = [b'0'; 32];

impl std::fmt::Debug for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl Uuid {
    /// Reads one; nothing of any other length or with anything else in it, and not the nil one.
    pub fn parse(text: &[u8]) -> Option<Uuid> {
        let digits: [u8; 32] = text.try_into().ok()?;
        let good = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        (good && digits != NIL).then_some(Uuid(digits))
    }

    /// A random one: version 4 (section 4.1).
    pub fn random(rng: &mut Rng) -> Uuid {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 32];
        for chunk in digits.chunks_exact_mut(16) {
            let mut bits = rng.next_u64();
            for digit in chunk {
                *digit = DIGITS.get((bits & 15) as usize).copied().unwrap_or(b'0');
                bits >>= 4;
            }
        }
        // RFC 4122 section 4.4: the version, and the variant in the two highest bits of its octet.
        let variant = b"89ab".get((rng.next_u64() & 3) as usize).copied();
        for (at, digit) in [(12, Some(b'4')), (16, variant)] {
            if let (Some(place), Some(digit)) = (digits.get_mut(at), digit) {
                *place = digit;
            }
        }
        Uuid(digits)
    }

    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Who sent a message, and to whom it thinks it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The sender.
    pub local: Option<Uuid>,
    /// The other end.
    pub remote: Option<Uuid>,
}

/// What a message says; nothing where the header field is malformed or not there (section 7: it is
/// discarded, and the rest of the message is not the worse for it).
pub fn read(message: &Message<'_>) -> Said {
    let Some(value) = message.value(Name::SessionId) else { return Said::default() };
    let (local, params) =
        value.split_at(value.iter().position(|b| *b == b';').unwrap_or(value.len()));
    let local = local.trim_ascii();
    let valid = local == NIL || Uuid::parse(local).is_some();
    if !valid {
        return Said::default();
    }
    let remote = Params::new(params).value("remote").and_then(Uuid::parse);
    Said { local: Uuid::parse(local), remote }
}

/// The value for a message from one end to the other; none where neither is known (section 7).
pub fn write(local: Option<Uuid>, remote: Option<Uuid>) -> Option<Vec<u8>> {
    if local.is_none() && remote.is_none() {
        return None;
    }
    let text = |uuid: Option<Uuid>| uuid.map_or(NIL, |uuid| uuid.0);
    Some([&text(local)[..], b";remote=", &text(remote)].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use towel_message::{Index, Limits};

    const ALICE: &str = "ab30317f1a784dc48ff824d0d3715d86";
    const BOB: &str = "47755a9de7794ba387653f2099600ef2";

    fn said(value: &str) -> Said {
        let text = format!("OPTIONS sip:a SIP/2.0\r\nSession-ID: {value}\r\n\r\n");
        let mut index = Index::new();
        read(&Message::parse(text.as_bytes(), &mut index, &Limits::default()).unwrap())
    }

    #[test]
    fn both_are_read_and_the_nil_one_is_nobody() {
        let both = said(&format!("{ALICE};remote={BOB}"));
        assert_eq!(both.local, Uuid::parse(ALICE.as_bytes()));
        assert_eq!(both.remote, Uuid::parse(BOB.as_bytes()));
        let first = said(&format!("{ALICE} ; remote={}", "0".repeat(32)));
        assert_eq!((first.local.is_some(), first.remote), (true, None));
        let nobody = said(&format!("{};remote={BOB}", "0".repeat(32)));
        assert_eq!((nobody.local, nobody.remote.is_some()), (None, true));
    }

    #[test]
    fn what_is_malformed_says_nothing() {
        let upper = ALICE.to_uppercase();
        for value in ["ab", "", &ALICE[1..], &upper, &format!("{ALICE}0;remote={BOB}")] {
            assert_eq!(said(value), Said::default(), "{value}");
        }
    }

    #[test]
    fn a_random_one_has_version_four() {
        let mut rng = Rng::new([7; 32]);
        for _ in 0..100 {
            let uuid = Uuid::random(&mut rng);
            assert_eq!(Uuid::parse(uuid.as_bytes()), Some(uuid));
            assert_eq!(uuid.0[12], b'4');
            assert!(b"89ab".contains(&uuid.0[16]));
        }
    }

    #[test]
    fn nothing_is_written_where_nobody_is_known() {
        let alice = Uuid::parse(ALICE.as_bytes());
        assert_eq!(write(None, None), None);
        let text = write(alice, None).unwrap();
        assert_eq!(text, format!("{ALICE};remote={}", "0".repeat(32)).into_bytes());
    }
}
