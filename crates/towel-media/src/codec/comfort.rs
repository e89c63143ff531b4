//! Comfort noise (RFC 3389): the sound of a silence, in a few bytes.
#![allow(clippy::indexing_slicing)] // Arrays of a fixed size, walked by their own bounds.

use crate::Random;

/// Coefficients that are used; a payload with more loses its last.
const ORDER: usize = 12;

/// Makes noise by the last payload that came.
#[derive(Clone, Debug)]
pub struct ComfortNoise {
    random: Random,
    /// What the noise is to be multiplied with, and what it is now: it moves softly.
    wanted: f32,
    gain: f32,
    reflections: [f32; ORDER],
    order: usize,
    state: [f32; ORDER + 1],
}

/// The payload for silence of this level: how many dB it is below the loudest sound there can be
/// (section 3.1), without a spectrum.
pub fn noise_payload(level: f64) -> [u8; 1] {
    [(-level).clamp(0.0, 127.0) as u8]
}

impl ComfortNoise {
    /// Silence, as long as no payload has come.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            wanted: 0.0,
            gain: 0.0,
            reflections: [0.0; ORDER],
            order: 0,
            state: [0.0; ORDER + 1],
        }
    }

    /// Takes a payload: the level, then reflection coefficients of a byte each (section 3). An
    /// empty one changes nothing.
    pub fn payload(&mut self, payload: &[u8]) {
        let Some((level, coefficients)) = payload.split_first() else { return };
        // The first bit is not part of the level. A square wave is the loudest sound.
        let power = 10f32.powf(f32::from(level & 0x7f) / -10.0);
        self.order = coefficients.len().min(ORDER);
        let mut gain = 1.0;
        for (place, byte) in self.reflections.iter_mut().zip(coefficients) {
            // Section 3.2: 127 is nought, 254 nearly one. The bound keeps the filter stable.
            *place = ((f32::from(*byte) - 127.0) * 258.0 / 32768.0).clamp(-0.98, 0.98);
            gain *= 1.0 - *place * *place;
        }
        // What the filter adds is taken off. White noise from -1 to 1 has a third of the power.
        self.wanted = 32768.0 * (power * gain * 3.0).sqrt();
    }

    /// Forgets the last payload.
    pub fn stop(&mut self) {
        (self.wanted, self.gain) = (0.0, 0.0);
    }

    /// Appends noise.
    pub fn make(&mut self, samples: usize, out: &mut Vec<i16>) {
        for _ in 0..samples {
            self.gain += (self.wanted - self.gain) * 0.005;
            let noise = (self.random.fraction() * 2.0 - 1.0) as f32 * self.gain;
            // The conversion saturates.
            out.push(self.lattice(noise).round() as i16);
        }
    }

    /// The all-pole lattice of the reflection coefficients. The RFC leaves their sign open: a
    /// negative first one makes the noise darker, as in the speech coders it comes from.
    fn lattice(&mut self, input: f32) -> f32 {
        let mut value = input;
        for n in (0..self.order).rev() {
            let k = self.reflections[n];
            value -= k * self.state[n];
            self.state[n + 1] = self.state[n] + k * value;
        }
        self.state[0] = value;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level;

    fn noise(payload: &[u8]) -> Vec<i16> {
        let mut noise = ComfortNoise::new(3);
        noise.payload(payload);
        let mut out = Vec::new();
        noise.make(16_000, &mut out);
        out.split_off(8000)
    }

    #[test]
    fn noise_has_the_level_that_was_said() {
        for wanted in [20u8, 40, 60] {
            for spectrum in [&[][..], &[200], &[60, 140, 127], &[127; 20]] {
                let payload = [&[wanted], spectrum].concat();
                let level = level(&noise(&payload));
                assert!((level + f64::from(wanted)).abs() < 1.0, "{payload:?}: {level}");
            }
        }
        assert_eq!(noise_payload(-47.3), [47]);
        assert_eq!([noise_payload(3.0), noise_payload(-500.0)], [[0], [127]]);
    }

    #[test]
    fn a_spectrum_is_heard() {
        // How much of the power is above.
        let rough = |samples: &[i16]| {
            let step = |w: &[i16]| f64::from(w[1]) - f64::from(w[0]);
            let steps: f64 = samples.windows(2).map(|w| step(w).powi(2)).sum();
            steps / samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>()
        };
        let (low, flat, high) = (noise(&[30, 20]), noise(&[30]), noise(&[30, 234]));
        assert!(rough(&low) < 0.5 && (1.8..2.2).contains(&rough(&flat)) && rough(&high) > 3.5);
    }

    #[test]
    fn no_payload_makes_it_unstable() {
        let mut random = Random::new(9);
        for _ in 0..200 {
            let length = random.word() as usize % 30;
            let payload: Vec<u8> = (0..length).map(|_| random.bits() as u8).collect();
            let out = noise(&payload);
            assert!(level(&out) <= 0.0);
        }
        let mut noise = ComfortNoise::new(1);
        noise.payload(&[40]);
        noise.stop();
        let mut out = Vec::new();
        noise.make(10, &mut out);
        assert_eq!(out, [0; 10]);
    }
}
