//! Hearing a tone: whether it is of the right pitch, and for how long.

use core::f64::consts::TAU;
use core::time::Duration;

/// Hears one frequency by Goertzel's algorithm, block by block.
#[derive(Clone, Debug)]
pub struct Detector {
    rate: u32,
    block: usize,
    coefficient: f64,
    state: (f64, f64),
    power: f64,
    filled: usize,
    /// Blocks heard, those in which there was sound, and those of sound that were of the tone.
    blocks: u64,
    loud: u64,
    tonal: u64,
    /// The longest row of tonal blocks, and the row now.
    longest: u64,
    row: u64,
    shares: f64,
}

/// What was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heard {
    /// All that was listened to.
    pub listened: Duration,
    /// How long there was sound at all.
    pub sound: Duration,
    /// How long it was the tone and little else.
    pub tone: Duration,
    /// The longest time without a break that it was.
    pub longest: Duration,
}

/// Sound of less than this is silence, in dB below the loudest square wave.
const SILENCE: f64 = -55.0;
/// The tone has at least this share of the power.
const SHARE: f64 = 0.8;

impl Detector {
    /// Hears this frequency, in blocks of 20 ms: what is more than some 60 Hz away is not it.
    pub fn new(rate: u32, frequency: f64) -> Self {
        let block = (rate / 50).max(1) as usize;
        let coefficient = 2.0 * (TAU * frequency / f64::from(rate.max(1))).cos();
        Self {
            rate: rate.max(1),
            block,
            coefficient,
            state: (0.0, 0.0),
            power: 0.0,
            filled: 0,
            blocks: 0,
            loud: 0,
            tonal: 0,
            longest: 0,
            row: 0,
            shares: 0.0,
        }
    }

    /// Hears more.
    pub fn hear(&mut self, samples: &[i16]) {
        for sample in samples {
            let value = f64::from(*sample) / 32768.0;
            let (last, before) = self.state;
            self.state = (value + self.coefficient * last - before, last);
            self.power += value * value;
            self.filled += 1;
            if self.filled == self.block {
                self.end_block();
            }
        }
    }

    fn end_block(&mut self) {
        let (last, before) = self.state;
        let count = self.block as f64;
        let tone = last * last + before * before - self.coefficient * last * before;
        let mean = self.power / count;
        // A pure sine of this frequency has count times its power here, halved.
        let share = if self.power > 0.0 { 2.0 * tone / (count * self.power) } else { 0.0 };
        self.blocks += 1;
        let loud = mean > 10f64.powf(SILENCE / 10.0);
        let tonal = loud && share > SHARE;
        self.loud += u64::from(loud);
        self.tonal += u64::from(tonal);
        self.shares += if loud { share } else { 0.0 };
        self.row = if tonal { self.row + 1 } else { 0 };
        self.longest = self.longest.max(self.row);
        (self.state, self.power, self.filled) = ((0.0, 0.0), 0.0, 0);
    }

    /// The part of the sound's power that is of the frequency, as a mean over all blocks.
    pub fn share(&self) -> f64 {
        if self.loud == 0 { 0.0 } else { self.shares / self.loud as f64 }
    }

    /// What was heard so far, in whole blocks.
    pub fn heard(&self) -> Heard {
        let time = |blocks: u64| {
            let samples = blocks.saturating_mul(self.block as u64);
            Duration::from_micros(samples.saturating_mul(1_000_000) / u64::from(self.rate))
        };
        Heard {
            listened: time(self.blocks),
            sound: time(self.loud),
            tone: time(self.tonal),
            longest: time(self.longest),
        }
    }
}

impl super::Sink for Detector {
    fn take(&mut self, frame: &[i16]) {
        self.hear(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Source, Tone};

    #[test]
    fn the_right_pitch_is_heard_and_its_neighbours_are_not() {
        for rate in [8000, 16_000, 48_000] {
            for (played, is_it) in [(440.0, true), (445.0, true), (520.0, false), (880.0, false)] {
                let mut frame = vec![0; rate as usize];
                Tone::new(rate, &[played], -20.0).fill(&mut frame);
                let mut detector = Detector::new(rate, 440.0);
                detector.hear(&frame);
                let heard = detector.heard();
                assert_eq!(heard.sound, Duration::from_secs(1));
                assert_eq!(heard.tone > Duration::from_millis(900), is_it, "{rate} {played}");
            }
        }
    }

    #[test]
    fn time_is_told_and_silence_and_noise_are_no_tone() {
        let mut detector = Detector::new(8000, 1000.0);
        let mut frame = [0; 8000];
        detector.hear(&frame);
        Tone::new(8000, &[1000.0], -20.0).fill(&mut frame);
        detector.hear(&frame[..4000]);
        let mut random = crate::Random::new(1);
        frame.iter_mut().for_each(|s| *s = (random.bits() >> 52) as i16);
        detector.hear(&frame);
        let half = Duration::from_millis(500);
        let heard = detector.heard();
        assert_eq!((heard.tone, heard.longest, heard.sound), (half, half, 3 * half));
        assert_eq!(heard.listened, 5 * half);
    }
}
