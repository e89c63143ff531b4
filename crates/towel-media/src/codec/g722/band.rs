//! One band: a scale that follows the signal, and a prediction of two poles and six zeros that
//! follows it too (G.722 clauses 3.4 to 3.7).
#![allow(clippy::indexing_slicing)] // Arrays of a fixed size, walked by constant bounds.

use super::tables::{Kind, SCALE};
use core::marker::PhantomData;

/// What one band remembers.
#[derive(Clone, Debug)]
pub(super) struct Band<K> {
    /// The scale of the quantizer, and its logarithm.
    scale: i32,
    log: i32,
    /// The prediction, and the part of it that comes from the zeros.
    prediction: i32,
    zeros_part: i32,
    /// Weights of the poles and of the last two signals.
    poles: [i32; 2],
    signals: [i32; 2],
    /// The last two signals without the part of the poles.
    partial: [i32; 2],
    /// Weights of the zeros and of the last six differences.
    zeros: [i32; 6],
    differences: [i32; 6],
    kind: PhantomData<K>,
}

impl<K: Kind> Default for Band<K> {
    fn default() -> Self {
        Self {
            scale: K::START,
            log: 0,
            prediction: 0,
            zeros_part: 0,
            poles: [0; 2],
            signals: [0; 2],
            partial: [0; 2],
            zeros: [0; 6],
            differences: [0; 6],
            kind: PhantomData,
        }
    }
}

/// Holds a value within 16 bits, as every register of the Recommendation is.
fn held(value: i32) -> i32 {
    value.clamp(-32768, 32767)
}

impl<K: Kind> Band<K> {
    /// The code of a sample.
    pub(super) fn encode(&mut self, sample: i32) -> u8 {
        let code = K::quantize(held(sample - self.prediction), self.scale);
        self.follow(code);
        code
    }

    /// The sample of a code, held within 15 bits.
    pub(super) fn decode(&mut self, code: u8) -> i32 {
        let difference = (self.scale * K::whole(code)) >> 15;
        let sample = (self.prediction + difference).clamp(-16384, 16383);
        self.follow(code);
        sample
    }

    /// Makes scale and prediction for the next sample, the same at both ends.
    fn follow(&mut self, code: u8) {
        let difference = (self.scale * K::predicted(code)) >> 15;
        self.rescale(code);
        self.predict(difference);
    }

    fn rescale(&mut self, code: u8) {
        self.log = (((self.log * 127) >> 7) + K::step(code)).clamp(0, K::MAX_LOG);
        let mantissa = SCALE[(self.log >> 6 & 31) as usize];
        let shift = K::EXPONENT - (self.log >> 11);
        self.scale = (if shift < 0 { mantissa << -shift } else { mantissa >> shift }) << 2;
    }

    fn predict(&mut self, difference: i32) {
        let signal = held(self.prediction + difference);
        let partial = held(self.zeros_part + difference);
        self.move_poles(partial);
        self.move_zeros(difference);
        self.signals = [signal, self.signals[0]];
        self.partial = [partial, self.partial[0]];
        self.differences.rotate_right(1);
        self.differences[0] = difference;

        let part = |weight: i32, value: i32| (weight * held(2 * value)) >> 15;
        let poles =
            held(part(self.poles[0], self.signals[0]) + part(self.poles[1], self.signals[1]));
        let zeros = self.zeros.iter().zip(&self.differences).map(|(w, d)| part(*w, *d)).sum();
        self.zeros_part = held(zeros);
        self.prediction = held(poles + self.zeros_part);
    }

    /// Moves the weights of the poles against the signs of the last signals, within what is
    /// stable (clause 3.6.3).
    fn move_poles(&mut self, partial: i32) {
        let same = |other: i32| partial >> 15 == other >> 15;
        let turned = held(self.poles[0] << 2);
        let turned = if same(self.partial[0]) { held(-turned) } else { turned };
        let second = (turned >> 7) + if same(self.partial[1]) { 128 } else { -128 };
        let second = (second + ((self.poles[1] * 32512) >> 15)).clamp(-12288, 12288);
        let first = if same(self.partial[0]) { 192 } else { -192 };
        let bound = held(15360 - second);
        let first = held(first + ((self.poles[0] * 32640) >> 15)).clamp(-bound, bound);
        self.poles = [first, second];
    }

    /// Moves the weights of the zeros by the signs of the differences (clause 3.6.4).
    fn move_zeros(&mut self, difference: i32) {
        let step = if difference == 0 { 0 } else { 128 };
        for (weight, old) in self.zeros.iter_mut().zip(&self.differences) {
            let turn = if old >> 15 == difference >> 15 { step } else { -step };
            *weight = held(turn + ((*weight * 32640) >> 15));
        }
    }
}
