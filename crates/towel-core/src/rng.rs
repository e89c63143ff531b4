//! Random bits from a seed that the driver gives.

use crate::hash::{Hasher, Key};

/// A generator: SipHash in counter mode under a secret key, so that what it gives (tags, branches,
/// Call-IDs) tells nothing of what it will give next. Two with one seed give the same.
#[derive(Clone, Debug)]
pub struct Rng {
    key: Key,
    counter: u64,
}

impl Rng {
    /// From a seed; the driver takes it from the operating system, the simulator from a number.
    pub fn new(seed: [u8; 32]) -> Rng {
        let mut words = [0u64; 4];
        for (word, chunk) in words.iter_mut().zip(seed.chunks_exact(8)) {
            *word = chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        }
        let [a, b, c, d] = words;
        // All four words count: the second pair is hashed under the first.
        let mut mix = Hasher::new(Key(a, b));
        mix.bytes(&c.to_le_bytes()).bytes(&d.to_le_bytes());
        let first = mix.finish();
        let second = mix.bytes(&[1]).finish();
        Rng { key: Key(a ^ first, b ^ second), counter: c ^ d }
    }

    /// For tests and the simulator.
    pub fn from_number(number: u64) -> Rng {
        let mut seed = [0; 32];
        for (index, chunk) in seed.chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&number.wrapping_add(index as u64).to_le_bytes());
        }
        Rng::new(seed)
    }

    /// Sixty-four bits.
    pub fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        Hasher::new(self.key).bytes(&self.counter.to_le_bytes()).finish()
    }

    /// A number below `bound`, or nought if that is nought.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of a multiply-shift is below 2^-32 for the small bounds that are asked for.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A key for hashing.
    pub fn key(&mut self) -> Key {
        Key(self.next_u64(), self.next_u64())
    }

    /// Appends `count` characters that are legal in any token.
    #[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "five bits and 32 letters"))]
    pub fn token(&mut self, count: usize, to: &mut Vec<u8>) {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut bits = 0u64;
        for index in 0..count {
            if index % 12 == 0 {
                bits = self.next_u64();
            }
            to.push(LETTERS[(bits & 31) as usize]);
            bits >>= 5;
        }
    }

    /// A token as text.
    pub fn text(&mut self, count: usize) -> String {
        let mut bytes = Vec::with_capacity(count);
        self.token(count, &mut bytes);
        bytes.into_iter().map(char::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_sequence() {
        let (mut a, mut b) = (Rng::from_number(7), Rng::from_number(7));
        assert_eq!(a.text(40), b.text(40));
        assert_ne!(a.text(20), Rng::from_number(8).text(20));
    }

    #[test]
    fn a_bound_holds() {
        let mut rng = Rng::from_number(1);
        assert!((0..1000).all(|_| rng.below(7) < 7));
        assert_eq!(rng.below(0), 0);
    }
}
