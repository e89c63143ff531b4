//! The quantizers of the two bands (G.722 clauses 3.3 to 3.6).
#![allow(clippy::indexing_slicing)] // Tables of as many entries as the masked index has values.

/// What differs between the bands.
pub(super) trait Kind: Default {
    /// The scale at the beginning.
    const START: i32;
    /// The greatest logarithm of the scale.
    const MAX_LOG: i32;
    /// By how much the exponent of the scale is lessened.
    const EXPONENT: i32;
    /// The code of a difference at this scale.
    fn quantize(difference: i32, scale: i32) -> u8;
    /// The code as far as the prediction uses it, on a scale of 15 bits.
    fn predicted(code: u8) -> i32;
    /// The whole code on the same scale.
    fn whole(code: u8) -> i32;
    /// How the code moves the logarithm of the scale.
    fn step(code: u8) -> i32;
}

/// The lower band: six bits, of which the prediction uses the upper four.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Low;

/// The upper band: two bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct High;

/// Where the 6-bit levels part (table 14).
const LEVELS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
    1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];

/// The positive values of the 4-bit quantizer, from the greatest down (table 15).
const FOUR: [i32; 7] = [20456, 12896, 8968, 6288, 4240, 2584, 1200];

/// The positive values of the 6-bit quantizer, from the greatest down.
const SIX: [i32; 30] = [
    24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576,
    6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136,
];

/// How the 4-bit code moves the scale, by the size of its level (table 17).
const STEPS: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];

impl Kind for Low {
    const START: i32 = 32;
    const MAX_LOG: i32 = 18432;
    const EXPONENT: i32 = 8;

    fn quantize(difference: i32, scale: i32) -> u8 {
        let negative = difference < 0;
        let magnitude = if negative { -(difference + 1) } else { difference };
        let level = LEVELS.iter().position(|level| magnitude < (level * scale) >> 12);
        // The greatest level has number 30. Codes count down from it; the two smallest negative
        // levels stand at the end, so that no code is all zeros.
        let level = level.map_or(30, |n| n as u8 + 1);
        match (negative, level) {
            (false, _) => 62 - level,
            (true, 1..=2) => 64 - level,
            (true, _) => 34 - level,
        }
    }

    fn predicted(code: u8) -> i32 {
        match code >> 2 {
            0 | 15 => 0,
            n @ 1..=7 => -FOUR[usize::from(n - 1)],
            n => FOUR[usize::from(n.min(14) - 8)],
        }
    }

    fn whole(code: u8) -> i32 {
        match code {
            // Codes that are never sent stand for the smallest negative value.
            0..=3 => -136,
            4..=31 => -SIX[usize::from(code - 4)],
            32..=61 => SIX[usize::from(code - 32)],
            62 => -432,
            _ => -136,
        }
    }

    fn step(code: u8) -> i32 {
        let level = match code >> 2 {
            0 | 15 => 0,
            n @ 1..=7 => 8 - n,
            n => 15 - n,
        };
        STEPS[usize::from(level & 7)]
    }
}

impl Kind for High {
    const START: i32 = 8;
    const MAX_LOG: i32 = 22528;
    const EXPONENT: i32 = 10;

    fn quantize(difference: i32, scale: i32) -> u8 {
        let negative = difference < 0;
        let magnitude = if negative { -(difference + 1) } else { difference };
        let great = magnitude >= (564 * scale) >> 12;
        match (negative, great) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        }
    }

    fn predicted(code: u8) -> i32 {
        [-7408, -1616, 7408, 1616][usize::from(code & 3)]
    }

    fn whole(code: u8) -> i32 {
        Self::predicted(code)
    }

    fn step(code: u8) -> i32 {
        [798, -214, 798, -214][usize::from(code & 3)]
    }
}

/// The scale of a logarithm's fraction: 2048 times two to the power of n / 32 (table 20).
pub(super) const SCALE: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_reached_and_the_levels_are_in_order() {
        let scale = 4096;
        let codes: Vec<u8> = (-4000..4000).map(|d| Low::quantize(d, scale)).collect();
        let values: Vec<i32> = codes.iter().map(|code| Low::whole(*code)).collect();
        assert!(values.is_sorted());
        let mut distinct = values.clone();
        distinct.dedup();
        assert_eq!(distinct.len(), 60);
        // A code's value stands within its level, on 8 times the scale of the levels.
        for difference in [-2000, -300, -36, -1, 0, 36, 300, 2000] {
            let value = Low::whole(Low::quantize(difference, scale)) / 8;
            assert!(
                (value - difference).abs() <= 40 + difference.abs() / 8,
                "{difference} {value}"
            );
            let value = Low::predicted(Low::quantize(difference, scale)) / 8;
            assert!(
                (value - difference).abs() <= 150 + difference.abs() / 3,
                "{difference} {value}"
            );
        }
        assert!((0..63).all(|n| SCALE[n % 32] >= 2048));
    }
}
