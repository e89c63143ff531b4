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

    #[inline(always)]
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

    /// Takes in the lowest `count` bytes of a word whose others are nought; at least one.
    #[inline(always)]
    fn some(&mut self, word: u64, count: u64) {
        let filled = 8 * (self.length & 7);
        self.length = self.length.wrapping_add(count);
        self.tail |= word << filled;
        if filled + 8 * count >= 64 {
            let whole = self.tail;
            // By 64 where nothing was there.
            self.tail = word >> 1 >> (63 - filled);
            self.word(whole);
        }
    }

    /// Takes in bytes after a change to each word of them.
    #[inline(always)]
    fn each(&mut self, bytes: &[u8], change: impl Fn(u64) -> u64) {
        let filled = 8 * (self.length & 7);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let word = change(u64::from_le_bytes(*word));
            self.word(self.tail | word << filled);
            self.tail = word >> 1 >> (63 - filled);
        }
        self.length = self.length.wrapping_add(8 * words.len() as u64);
        if !rest.is_empty() {
            self.some(change(few(rest, bytes)), rest.len() as u64);
        }
    }

    #[inline(always)]
    fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.v[0] ^= word;
    }

    /// Takes in bytes, and their number, so that ("ab", "c") and ("a", "bc") differ.
    pub fn field(&mut self, bytes: &[u8]) -> &mut Hasher {
        self.each(bytes, |word| word);
        self.some(u64::from(bytes.len() as u32), 4);
        self
    }

    /// The same with ASCII letters in lower case.
    pub fn folded(&mut self, bytes: &[u8]) -> &mut Hasher {
        self.each(bytes, lower);
        self.some(u64::from(bytes.len() as u32), 4);
        self
    }

    /// Takes in bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Hasher {
        self.each(bytes, |word| word);
        self
    }

    /// The hash of what was taken in.
    pub fn finish(&self) -> u64 {
        self.ended().all()
    }

    /// The hash of what was taken in, and as many bits again: two values for which no stranger to
    /// the key finds two things that are equal in both.
    pub fn finish_twice(&self) -> (u64, u64) {
        let mut end = self.ended();
        let first = end.all();
        end.v[1] ^= 0xdd;
        for _ in 0..3 {
            end.round();
        }
        (first, end.all())
    }

    fn ended(&self) -> Hasher {
        let mut end = *self;
        let word = end.tail | (end.length << 56);
        end.word(word);
        end.v[2] ^= 0xff;
        for _ in 0..3 {
            end.round();
        }
        end
    }

    fn all(&self) -> u64 {
        self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3]
    }
}

/// The bytes of `rest`, fewer than eight, in a word; they are the last of `bytes`.
#[inline(always)]
fn few(rest: &[u8], bytes: &[u8]) -> u64 {
    let len = rest.len() as u32;
    if let Some(last) = bytes.last_chunk::<8>() {
        return u64::from_le_bytes(*last) >> (8 * (8 - (len & 7)));
    }
    if let (Some(first), Some(last)) = (rest.first_chunk(), rest.last_chunk()) {
        let last = u64::from(u32::from_le_bytes(*last));
        return u64::from(u32::from_le_bytes(*first)) | last << (8 * (len - 4));
    }
    let at = |at: usize| rest.get(at).map_or(0, |byte| u64::from(*byte) << (8 * at));
    at(0) | at(1) | at(2)
}

/// Eight bytes with their ASCII letters in lower case.
#[inline]
fn lower(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The top bit of each byte tells, of the seven below, whether it is at least 'A', or above 'Z'.
    let low = word & (0x7f * EACH);
    let from = low + (0x80 - b'A' as u64) * EACH;
    let above = low + (0x80 - b'Z' as u64 - 1) * EACH;
    let capital = from & !above & !word & (0x80 * EACH);
    word | capital >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_is_the_hash_of_lower_case() {
        for length in 0..70u8 {
            for start in [0u8, 60, 130, 200] {
                let text: Vec<u8> = (0..length).map(|at| start.wrapping_add(at)).collect();
                let folded = Hasher::new(Key(3, 4)).folded(b"x").folded(&text).finish();
                let plain = text.to_ascii_lowercase();
                assert_eq!(Hasher::new(Key(3, 4)).field(b"x").field(&plain).finish(), folded);
            }
        }
    }

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
