//! Keyed hashing of what peers choose: SipHash-1-3 (Aumasson and Bernstein), so that nobody
//! outside can aim at one bucket of a table or make a token of ours.

/// A 128-bit key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub u64, pub u64);

/// SipHash-1-3 over what it is fed.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    v: [u64; 4],
    tail: u64,
    length: u64,
}

impl Hasher {
    /// Begins under a key.
    pub fn new(key: Key) -> Hasher {
        Hasher {
            v: [
                key.0 ^ 0x736f_6d65_7073_6575,
                key.1 ^ 0x646f_7261_6e64_6f6d,
                key.0 ^ 0x6c79_6765_6e65_7261,
                key.1 ^ 0x7465_6462_7974_6573,
            ],
            tail: 0,
            length: 0,
        }
    }

    fn round(&mut self) {
        let [a, b, c, d] = &mut self.v;
        *a = a.wrapping_add(*b);
        *b = b.rotate_left(13) ^ *a;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*d);
        *d = d.rotate_left(16) ^ *c;
        *a = a.wrapping_add(*d);
        *d = d.rotate_left(21) ^ *a;
        *c = c.wrapping_add(*b);
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }

    fn byte(&mut self, byte: u8) {
        self.tail |= u64::from(byte) << (8 * (self.length & 7));
        self.length = self.length.wrapping_add(1);
        if self.length & 7 == 0 {
            let word = self.tail;
            self.tail = 0;
            self.word(word);
        }
    }

    fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.v[0] ^= word;
    }

    /// Takes in bytes, and their number, so that ("ab", "c") and ("a", "bc") differ.
    pub fn field(&mut self, bytes: &[u8]) -> &mut Hasher {
        self.bytes(bytes);
        self.bytes(&(bytes.len() as u32).to_le_bytes())
    }

    /// The same with ASCII letters in lower case.
    pub fn folded(&mut self, bytes: &[u8]) -> &mut Hasher {
        for &byte in bytes {
            self.byte(byte.to_ascii_lowercase());
        }
        self.bytes(&(bytes.len() as u32).to_le_bytes())
    }

    /// Takes in bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Hasher {
        let mut rest = bytes;
        if self.length & 7 == 0 {
            while let Some((word, after)) = rest.split_first_chunk::<8>() {
                self.word(u64::from_le_bytes(*word));
                self.length = self.length.wrapping_add(8);
                rest = after;
            }
        }
        for &byte in rest {
            self.byte(byte);
        }
        self
    }

    /// The hash of what was taken in.
    pub fn finish(&self) -> u64 {
        let mut end = *self;
        let word = end.tail | (end.length << 56);
        end.word(word);
        end.v[2] ^= 0xff;
        for _ in 0..3 {
            end.round();
        }
        end.v[0] ^ end.v[1] ^ end.v[2] ^ end.v[3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(deprecated)]
    fn agrees_however_it_is_fed() {
        let text: Vec<u8> = (0..100).collect();
        for split in 0..text.len() {
            let (a, b) = text.split_at(split);
            let whole = Hasher::new(Key(1, 2)).bytes(&text).finish();
            assert_eq!(Hasher::new(Key(1, 2)).bytes(a).bytes(b).finish(), whole);
        }
    }

    #[test]
    fn a_known_answer() {
        // The standard library's default hasher is SipHash-1-3 under the key (0, 0).
        use std::hash::Hasher as _;
        for length in 0..40u8 {
            let text: Vec<u8> = (0..length).collect();
            let mut theirs = std::collections::hash_map::DefaultHasher::new();
            theirs.write(&text);
            assert_eq!(Hasher::new(Key(0, 0)).bytes(&text).finish(), theirs.finish());
        }
    }
}
