//! The seeded random source of a simulated run.

/// A small generator (SplitMix64): good enough to shake a network, and the same on every machine.
#[derive(Clone, Debug)]
pub struct SimRng(u64);

impl SimRng {
    /// A generator whose whole future is told by `seed`.
    pub fn new(seed: u64) -> Self {
        let mut rng = SimRng(seed ^ 0x7061_7065_7274_6f77);
        rng.next();
        rng
    }

    /// The next 64 random bits.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 where the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// A number between the two, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        if high <= low { low } else { low + self.below(high - low + 1) }
    }

    /// True in `parts` of a million cases. Draws only where the outcome is open, so that a run
    /// without loss does not depend on how many packets it sent.
    pub fn chance(&mut self, parts: u32) -> bool {
        match parts {
            0 => false,
            1_000_000.. => true,
            _ => self.below(1_000_000) < u64::from(parts),
        }
    }

    /// A generator of its own for one part of the run, so that parts do not disturb each other.
    pub fn fork(&mut self) -> SimRng {
        SimRng::new(self.next())
    }

    /// `count` characters that may stand in any token.
    pub fn token(&mut self, count: usize) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        (0..count).map(|_| ALPHABET[(self.next() & 31) as usize] as char).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let mut a = SimRng::new(7);
        let mut b = SimRng::new(7);
        assert_eq!((0..9).map(|_| a.next()).collect::<Vec<_>>(), {
            (0..9).map(|_| b.next()).collect::<Vec<_>>()
        });
        assert_ne!(SimRng::new(1).next(), SimRng::new(2).next());
    }

    #[test]
    fn a_chance_is_about_as_likely_as_it_says() {
        let mut rng = SimRng::new(1);
        let hits = (0..10_000).filter(|_| rng.chance(200_000)).count();
        assert!((1_850..2_150).contains(&hits), "{hits}");
        assert!(!rng.chance(0) && rng.chance(1_000_000));
    }
}
