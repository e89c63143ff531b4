//! Numbers that follow from a seed.

/// A generator of numbers from a seed (SplitMix64). It is for SSRCs, first sequence numbers,
/// timer spread and noise, never for keys. A caller who wants numbers that nobody guesses gives a
/// seed that nobody guesses (RFC 3550 section 8.1).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers from this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next 32 bits.
    pub const fn word(&mut self) -> u32 {
        (self.bits() >> 32) as u32
    }

    /// A number from 0 to below 1.
    pub fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_a_fraction_is_one() {
        let (mut one, mut other) = (Random::new(42), Random::new(42));
        assert!((0..100).all(|_| one.bits() == other.bits()));
        assert!((0..1000).all(|_| (0.0..1.0).contains(&one.fraction())));
        let mean = (0..1000).map(|_| one.fraction()).sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
