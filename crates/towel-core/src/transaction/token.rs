//! What stands behind the magic cookie in our own branches: the shard, the slot, its generation and
//! which attempt it was, under a message authentication code. A response carries it back, so it finds
//! its transaction without a look-up, and nobody who has not seen a request of ours can make one.
//!
//! The first letter is the shard's alone, so that whoever deals responses out, a filter in the kernel
//! among them, need read no more.

use crate::hash::{Hasher, Key};

/// The magic cookie of RFC 3261 section 8.1.1.7.
pub const COOKIE: &[u8] = b"z9hG4bK";

/// The length of a token as text.
pub const LENGTH: usize = 26;

// Lower case and digits: a branch is compared without regard to case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What each byte counts for as a letter of the alphabet, in either case.
static DIGITS: [u8; 256] = digits();
const NONE: u8 = 0x80;

#[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "done by the compiler"))]
const fn digits() -> [u8; 256] {
    let mut all = [NONE; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        all[ALPHABET[at] as usize] = at as u8;
        all[ALPHABET[at].to_ascii_uppercase() as usize] = at as u8;
        at += 1;
    }
    all
}
/// How many slots a token can tell apart.
pub const SLOTS: usize = 1 << 27;

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The shard that has the transaction, below 32.
    pub shard: u8,
    /// The slot in the table of client transactions, below [`SLOTS`].
    pub slot: u32,
    /// The slot's generation.
    pub generation: u32,
    /// Which target of the request's it was (RFC 3263 section 4.3: a new transaction each).
    pub attempt: u8,
}

fn mac(key: Key, low: u128) -> u128 {
    // 56 bits: 5 + 27 + 32 + 8 + 56 = 128.
    u128::from(Hasher::new(key).bytes(&low.to_le_bytes()).finish() >> 8)
}

impl Token {
    /// As text, without the cookie.
    #[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "five bits and 32 letters"))]
    pub fn write(self, key: Key) -> [u8; LENGTH] {
        let low = u128::from(self.shard & 31)
            | u128::from(self.slot << 5)
            | u128::from(self.generation) << 32
            | u128::from(self.attempt) << 64;
        let mut bits = low | mac(key, low) << 72;
        let mut text = [0; LENGTH];
        for byte in &mut text {
            *byte = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
        }
        text
    }

    /// The shard that a branch names, if it may be one of ours: whether it is, [`Token::read`] tells.
    pub fn shard_of(branch: &[u8]) -> Option<u8> {
        let (cookie, rest) = branch.split_at_checked(COOKIE.len())?;
        let letter = rest.get(..LENGTH)?.first()?.to_ascii_lowercase();
        (cookie.eq_ignore_ascii_case(COOKIE) && letter.is_ascii_lowercase()).then(|| letter - b'a')
    }

    /// Reads a branch, with its cookie and perhaps more after the token; `None` if it is not ours.
    pub fn read(branch: &[u8], key: Key) -> Option<Token> {
        let (cookie, rest) = branch.split_at_checked(COOKIE.len())?;
        if !cookie.eq_ignore_ascii_case(COOKIE) {
            return None;
        }
        let text = rest.first_chunk::<LENGTH>()?;
        let mut wrong = 0;
        let mut part = |text: &[u8]| {
            text.iter().rev().fold(0u64, |bits, byte| {
                let digit = DIGITS.get(usize::from(*byte)).copied().unwrap_or(NONE);
                wrong |= digit;
                bits << 5 | u64::from(digit & 31)
            })
        };
        let (first, rest) = text.split_at(12);
        let (second, third) = rest.split_at(12);
        let (first, second, third) = (part(first), part(second), part(third));
        // The last character holds three bits only.
        if wrong & NONE != 0 || third > 0xff {
            return None;
        }
        let bits = u128::from(first) | u128::from(second) << 60 | u128::from(third) << 120;
        let low = bits & ((1 << 72) - 1);
        (bits >> 72 == mac(key, low)).then_some(Token {
            shard: low as u8 & 31,
            slot: low as u32 >> 5,
            generation: (low >> 32) as u32,
            attempt: (low >> 64) as u8,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key(3, 4);

    fn branch(token: Token) -> Vec<u8> {
        [COOKIE, &token.write(KEY)].concat()
    }

    #[test]
    fn comes_back_in_any_case_and_with_a_tail() {
        let token = Token { shard: 25, slot: SLOTS as u32 - 1, generation: 77, attempt: 3 };
        assert_eq!(Token::read(&branch(token), KEY), Some(token));
        assert_eq!(Token::read(&branch(token).to_ascii_uppercase(), KEY), Some(token));
        let tail = [branch(token), b".loop".to_vec()].concat();
        assert_eq!(Token::read(&tail, KEY), Some(token));
    }

    #[test]
    fn the_first_letter_is_the_shard() {
        for shard in 0..crate::shards::MOST as u8 {
            let text = branch(Token { shard, slot: 77, generation: 1, attempt: 0 });
            assert_eq!(text[COOKIE.len()], b'a' + shard);
            assert_eq!(Token::read(&text, KEY).map(|token| token.shard), Some(shard));
            assert_eq!(Token::shard_of(&text), Some(shard));
            assert_eq!(Token::shard_of(&text.to_ascii_uppercase()), Some(shard));
            assert_eq!(Token::shard_of(&text[..text.len() - 1]), None);
        }
        assert_eq!(Token::shard_of(b"z9hG4bK7aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), None);
    }

    #[test]
    fn a_forgery_is_not_ours() {
        let text = branch(Token { shard: 0, slot: 1, generation: 1, attempt: 0 });
        assert_eq!(Token::read(&text, Key(3, 5)), None);
        for at in 0..text.len() {
            let mut forged = text.clone();
            forged[at] = if forged[at] == b'c' { b'd' } else { b'c' };
            assert_eq!(Token::read(&forged, KEY), None, "changed at {at}");
        }
        for length in 0..text.len() {
            assert_eq!(Token::read(&text[..length], KEY), None);
        }
    }
}
