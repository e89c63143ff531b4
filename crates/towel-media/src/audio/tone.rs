//! Tones.

use super::Source;
use core::f64::consts::TAU;
use core::time::Duration;

/// How a tone goes on and off; times in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    /// How long it sounds, then how long it does not.
    pub on: Duration,
    /// The pause after it.
    pub off: Duration,
}

/// One or more sines together, with a cadence or without, for a time or for ever.
#[derive(Clone, Debug)]
pub struct Tone {
    rate: u32,
    /// The phase of each sine and what it moves with each sample, in turns.
    sines: Vec<(f64, f64)>,
    amplitude: f64,
    at: u64,
    end: Option<u64>,
    on: u64,
    period: u64,
}

impl Tone {
    /// Sines of these frequencies in Hz, together as loud as `level` says, in dB below the loudest
    /// square wave. -3 is the loudest sine there is.
    pub fn new(rate: u32, frequencies: &[f64], level: f64) -> Self {
        let rate = rate.max(1);
        let count = frequencies.len().max(1) as f64;
        let sines = frequencies.iter().map(|f| (0.0, f / f64::from(rate))).collect();
        // A sine has half the power of a square wave.
        let amplitude = 32768.0 * 10f64.powf(level / 20.0) * (2.0 / count).sqrt();
        Self { rate, sines, amplitude, at: 0, end: None, on: u64::MAX, period: u64::MAX }
    }

    /// The same, ending after a time.
    pub fn lasting(mut self, time: Duration) -> Self {
        self.end = Some(samples(self.rate, time));
        self
    }

    /// The same, going on and off.
    pub fn with(mut self, cadence: Cadence) -> Self {
        self.on = samples(self.rate, cadence.on);
        self.period = self.on.saturating_add(samples(self.rate, cadence.off)).max(1);
        self
    }

    /// What a caller hears while the far end rings, as in most of Europe (ITU-T E.180).
    pub fn ringing(rate: u32) -> Self {
        let cadence = Cadence { on: Duration::from_secs(1), off: Duration::from_secs(4) };
        Self::new(rate, &[425.0], -16.0).with(cadence)
    }

    /// What a caller hears when the far end is busy.
    pub fn busy(rate: u32) -> Self {
        let half = Duration::from_millis(500);
        Self::new(rate, &[425.0], -16.0).with(Cadence { on: half, off: half })
    }

    /// What says that a number may be dialled.
    pub fn dial(rate: u32) -> Self {
        Self::new(rate, &[425.0], -16.0)
    }

    /// The two tones of a digit `0` to `9`, `*`, `#`, `A` to `D` (ITU-T Q.23).
    pub fn digit(rate: u32, digit: char) -> Option<Self> {
        let rows = [697.0, 770.0, 852.0, 941.0];
        let columns = [1209.0, 1336.0, 1477.0, 1633.0];
        let keys = "123A456B789C*0#D";
        let at = keys.find(digit.to_ascii_uppercase())?;
        let (row, column) = (rows.get(at / 4)?, columns.get(at % 4)?);
        Some(Self::new(rate, &[*row, *column], -10.0))
    }
}

fn samples(rate: u32, time: Duration) -> u64 {
    u64::try_from(time.as_micros() * u128::from(rate) / 1_000_000).unwrap_or(u64::MAX)
}

impl Source for Tone {
    fn fill(&mut self, frame: &mut [i16]) -> usize {
        let left = self.end.map_or(u64::MAX, |end| end.saturating_sub(self.at));
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(frame.len());
        for sample in frame.iter_mut().take(count) {
            let mut sum = 0.0;
            for (phase, step) in &mut self.sines {
                sum += (*phase * TAU).sin();
                *phase = (*phase + *step).fract();
            }
            let sounds = self.at % self.period < self.on;
            // The conversion saturates.
            *sample = if sounds { (sum * self.amplitude).round() as i16 } else { 0 };
            self.at += 1;
        }
        count
    }
}

/// A sine whose pitch moves evenly from one frequency to another, over and over.
#[derive(Clone, Debug)]
pub struct Sweep {
    rate: f64,
    from: f64,
    to: f64,
    amplitude: f64,
    phase: f64,
    at: u64,
    length: u64,
}

impl Sweep {
    /// From a frequency to another, in Hz, in so much time.
    pub fn new(rate: u32, from: f64, to: f64, level: f64, time: Duration) -> Self {
        let amplitude = 32768.0 * 10f64.powf(level / 20.0) * core::f64::consts::SQRT_2;
        let length = samples(rate, time).max(1);
        Self { rate: f64::from(rate.max(1)), from, to, amplitude, phase: 0.0, at: 0, length }
    }
}

impl Source for Sweep {
    fn fill(&mut self, frame: &mut [i16]) -> usize {
        for sample in frame.iter_mut() {
            let part = self.at as f64 / self.length as f64;
            let frequency = self.from + (self.to - self.from) * part;
            *sample = ((self.phase * TAU).sin() * self.amplitude).round() as i16;
            self.phase = (self.phase + frequency / self.rate).fract();
            self.at = (self.at + 1) % self.length;
        }
        frame.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Detector, level};

    #[test]
    fn a_cadence_goes_on_and_off_and_a_tone_ends() {
        let mut frame = vec![0; 48_000];
        let mut tone =
            Tone::ringing(8000).lasting(Duration::from_secs(5) + Duration::from_millis(500));
        assert_eq!(tone.fill(&mut frame), 44_000);
        assert_eq!(tone.fill(&mut frame[..10]), 0);
        assert!((level(&frame[..8000]) + 16.0).abs() < 0.1);
        assert_eq!(level(&frame[8000..40_000]), -127.0);
        assert!((level(&frame[40_000..44_000]) + 16.0).abs() < 0.1);
    }

    #[test]
    fn digits_have_their_two_tones() {
        assert!(Tone::digit(8000, 'x').is_none());
        let mut frame = vec![0; 8000];
        Tone::digit(8000, '#').unwrap().fill(&mut frame);
        for (frequency, there) in [(941.0, true), (1477.0, true), (697.0, false), (1336.0, false)] {
            let mut detector = Detector::new(8000, frequency);
            detector.hear(&frame);
            // Two tones of the same power: each has half of it.
            assert_eq!(detector.share() > 0.4, there, "{frequency}");
        }
    }

    #[test]
    fn a_sweep_moves() {
        let mut frame = vec![0; 8000];
        Sweep::new(8000, 300.0, 3000.0, -10.0, Duration::from_secs(1)).fill(&mut frame);
        let crossings = |part: &[i16]| part.windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count();
        let (first, last) = (crossings(&frame[..800]), crossings(&frame[7200..]));
        // 100 ms each, of 435 Hz and of 2865 Hz in the middle.
        assert!((42..46).contains(&first) && (284..290).contains(&last), "{first} {last}");
    }
}
