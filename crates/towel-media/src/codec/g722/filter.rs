//! The pair of filters that halve the band and join it again (G.722 clauses 3.1 and 4.4).
#![allow(clippy::indexing_slicing)] // Arrays of a fixed size, walked by constant bounds.

/// Every second coefficient of 24; the others are the same backwards (G.722 table 11).
const COEFFICIENTS: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// The last 24 samples, held twice so that any 24 of them stand in a row.
#[derive(Clone, Debug)]
struct History {
    values: [i32; 48],
    at: usize,
}

impl Default for History {
    fn default() -> Self {
        Self { values: [0; 48], at: 0 }
    }
}

impl History {
    fn push(&mut self, pair: [i32; 2]) {
        for value in pair {
            self.values[self.at] = value;
            self.values[self.at + 24] = value;
            self.at = (self.at + 1) % 24;
        }
    }

    /// The sums over the older and the newer sample of each pair.
    fn sums(&self) -> (i32, i32) {
        let last = &self.values[self.at..self.at + 24];
        let mut sums = (0, 0);
        for (n, pair) in last.as_chunks::<2>().0.iter().enumerate() {
            sums.0 += pair[0] * COEFFICIENTS[n];
            sums.1 += pair[1] * COEFFICIENTS[11 - n];
        }
        sums
    }
}

/// Divides samples into two bands.
#[derive(Clone, Debug, Default)]
pub(super) struct Analysis(History);

impl Analysis {
    pub(super) fn split(&mut self, pair: [i16; 2]) -> (i32, i32) {
        self.0.push(pair.map(i32::from));
        let (older, newer) = self.0.sums();
        ((newer + older) >> 14, (newer - older) >> 14)
    }
}

/// Joins two bands.
#[derive(Clone, Debug, Default)]
pub(super) struct Synthesis(History);

impl Synthesis {
    pub(super) fn join(&mut self, low: i32, high: i32) -> [i16; 2] {
        self.0.push([low + high, low - high]);
        let (older, newer) = self.0.sums();
        [newer, older].map(|sum| (sum >> 11).clamp(-32768, 32767) as i16)
    }
}
