//! From one rate to another.
#![allow(clippy::indexing_slicing)] // Tables made here, walked by the bounds they were made with.

use core::f64::consts::PI;
use core::fmt;

/// Changes the rate by a whole ratio, with a filter that is made once: what the lower of both rates
/// cannot hold is taken out.
///
/// The samples are filtered in phases: of a ratio L to M, each sample that goes out is one of L
/// filters over the last ones that came in.
#[derive(Clone, Debug)]
pub struct Resampler {
    up: usize,
    down: usize,
    /// The taps of all phases, one phase behind the other, the newest sample's tap first.
    taps: Vec<f32>,
    per_phase: usize,
    /// The last samples, each twice, so that any `per_phase` of them stand in a row.
    history: Vec<f32>,
    at: usize,
    /// The phase of the next sample that goes out.
    phase: usize,
}

/// Rates that nothing can be done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The rate that comes in.
    pub from: u32,
    /// The rate that goes out.
    pub to: u32,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "cannot resample from {from} Hz to {to} Hz: use 4000 to 192000 Hz, in hundreds")
    }
}

impl core::error::Error for Unfit {}

/// Zero crossings of the filter on each side.
const CROSSINGS: usize = 16;

impl Resampler {
    /// From a rate to another, in Hz: 4000 to 192000, and multiples of 25.
    pub fn new(from: u32, to: u32) -> Result<Self, Unfit> {
        let fits = |rate: &u32| (4000..=192_000).contains(rate) && rate.is_multiple_of(25);
        if ![from, to].iter().all(fits) {
            return Err(Unfit { from, to });
        }
        let common = common(from, to);
        let (up, down) = ((to / common) as usize, (from / common) as usize);
        if up == down {
            return Ok(Self {
                up,
                down,
                taps: vec![1.0],
                per_phase: 1,
                history: vec![0.0; 2],
                at: 0,
                phase: 0,
            });
        }
        // At the rate of up times what comes in, the band ends at the narrower of both.
        let wide = up.max(down);
        let per_phase = (2 * CROSSINGS * wide).div_ceil(up);
        let length = per_phase * up;
        let middle = (length - 1) as f64 / 2.0;
        let cutoff = 0.92 / wide as f64;
        let mut taps = vec![0.0; length];
        for n in 0..length {
            let x = n as f64 - middle;
            let sinc = if x == 0.0 { 1.0 } else { (PI * cutoff * x).sin() / (PI * cutoff * x) };
            let turn = 2.0 * PI * (n as f64 + 0.5) / length as f64;
            let window = 0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos();
            taps[(n % up) * per_phase + n / up] = (sinc * cutoff * up as f64 * window) as f32;
        }
        Ok(Self { up, down, taps, per_phase, history: vec![0.0; 2 * per_phase], at: 0, phase: 0 })
    }

    /// Whether both rates are the same.
    pub fn is_idle(&self) -> bool {
        self.up == self.down
    }

    /// Appends what these samples become.
    pub fn run(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        if self.is_idle() {
            out.extend_from_slice(samples);
            return;
        }
        for sample in samples {
            // Newest first: the place walks down.
            self.at = if self.at == 0 { self.per_phase - 1 } else { self.at - 1 };
            self.history[self.at] = f32::from(*sample);
            self.history[self.at + self.per_phase] = f32::from(*sample);
            while self.phase < self.up {
                let taps = &self.taps[self.phase * self.per_phase..][..self.per_phase];
                let last = &self.history[self.at..][..self.per_phase];
                let sum: f32 = taps.iter().zip(last).map(|(tap, value)| tap * value).sum();
                // The conversion saturates.
                out.push(sum.round() as i16);
                self.phase += self.down;
            }
            self.phase -= self.up;
        }
    }
}

fn common(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Detector, Source, Tone, level};

    fn through(from: u32, to: u32, frequency: f64) -> (Vec<i16>, Detector) {
        let mut samples = vec![0; from as usize];
        Tone::new(from, &[frequency], -10.0).fill(&mut samples);
        let mut out = Vec::new();
        let mut resampler = Resampler::new(from, to).unwrap();
        // In odd pieces: they make no difference.
        samples.chunks(317).for_each(|part| resampler.run(part, &mut out));
        let mut detector = Detector::new(to, frequency);
        detector.hear(&out);
        (out, detector)
    }

    #[test]
    fn a_tone_keeps_its_pitch_and_level() {
        let rates = [8000, 16_000, 44_100, 48_000, 11_025];
        for (from, to) in rates.iter().flat_map(|from| rates.map(|to| (*from, to))) {
            for frequency in [400.0, 3000.0] {
                let (out, detector) = through(from, to, frequency);
                assert!(out.len().abs_diff(to as usize) <= 1, "{from} {to}: {}", out.len());
                let middle = &out[out.len() / 4..out.len() * 3 / 4];
                let level = level(middle);
                assert!((level + 10.0).abs() < 0.3, "{from} {to} {frequency}: {level}");
                assert!(detector.share() > 0.9, "{from} {to} {frequency}");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_taken_out() {
        for (from, to, frequency) in [(16_000, 8000, 5000.0), (48_000, 8000, 7000.0)] {
            let (out, _) = through(from, to, frequency);
            let level = level(&out[1000..7000]);
            assert!(level < -60.0, "{from} {to} {frequency}: {level}");
        }
    }

    #[test]
    fn odd_rates_are_refused() {
        for (from, to) in [(0, 8000), (8000, 1), (8001, 16_000), (8000, 400_000)] {
            assert_eq!(Resampler::new(from, to).unwrap_err(), Unfit { from, to });
        }
    }
}
