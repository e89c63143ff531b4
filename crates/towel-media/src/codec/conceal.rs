//! What is heard in place of a packet that did not come.
#![allow(clippy::indexing_slicing)] // Buffers made here, walked by the bounds they were made with.

/// Goes on with the last pitch of what was heard, softer and softer, and blends into what comes
/// after.
#[derive(Clone, Debug)]
pub struct Concealer {
    rate: usize,
    /// The last 40 ms, the newest at the end.
    history: Vec<i16>,
    /// The period that is repeated, and the place in it; empty while nothing is missing.
    period: Vec<i16>,
    at: usize,
    /// Samples made since the loss began.
    made: usize,
}

impl Concealer {
    /// For samples at this rate.
    pub fn new(rate: u32) -> Self {
        let rate = rate.max(1000) as usize;
        let period = Vec::with_capacity(rate / 50);
        Self { rate, history: vec![0; rate / 25], period, at: 0, made: 0 }
    }

    /// Takes what was decoded. After a loss its first 5 ms are blended with what went before.
    pub fn heard(&mut self, samples: &mut [i16]) {
        if !self.period.is_empty() {
            let length = (self.rate / 200).min(samples.len());
            for (n, sample) in samples.iter_mut().take(length).enumerate() {
                let part = n as f32 / length as f32;
                let old = f32::from(self.next());
                *sample = (f32::from(*sample) * part + old * (1.0 - part)) as i16;
            }
            self.period.clear();
            self.made = 0;
        }
        self.remember(samples);
    }

    /// Appends samples where none came.
    pub fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) {
        if self.period.is_empty() {
            let length = self.pitch();
            let last = self.history.len() - length;
            self.period.extend_from_slice(&self.history[last..]);
            self.at = 0;
            self.smooth(length);
        }
        let start = out.len();
        out.extend((0..samples).map(|_| self.next()));
        let made = core::mem::take(&mut self.history);
        self.history = made;
        let new: &[i16] = &out[start..];
        remember(&mut self.history, new);
    }

    fn remember(&mut self, samples: &[i16]) {
        remember(&mut self.history, samples);
    }

    /// The next sample of the repetition: whole for 10 ms, gone after 60 more.
    fn next(&mut self) -> i16 {
        let value = self.period[self.at];
        self.at = (self.at + 1) % self.period.len();
        let fade =
            self.made.saturating_sub(self.rate / 100) as f32 / (self.rate * 60 / 1000) as f32;
        self.made = self.made.saturating_add(1);
        (f32::from(value) * (1.0 - fade).max(0.0)) as i16
    }

    /// The length, from 2.5 ms to 15 ms, at which the end of the history is most like itself.
    fn pitch(&self) -> usize {
        let (least, most) = (self.rate / 400, self.rate * 15 / 1000);
        let end = self.history.len();
        let window = self.rate / 100;
        // Every other sample at 16 kHz, every sixth at 48: enough to find a pitch by.
        let stride = (self.rate / 8000).max(1);
        let mut best = (0.0, most);
        for lag in (least..=most).step_by(stride) {
            let (mut product, mut energy) = (0.0, 1.0);
            for n in (end - window..end).step_by(stride) {
                let (new, old) = (f32::from(self.history[n]), f32::from(self.history[n - lag]));
                product += new * old;
                energy += old * old;
            }
            let likeness = product.max(0.0) * product / energy;
            // A multiple of a pitch is as like: the longer one needs to be clearly better.
            if likeness > best.0 * 1.02 {
                best = (likeness, lag);
            }
        }
        best.1
    }

    /// Blends the end of the period into what stood before its beginning, so that it can be
    /// repeated without a click.
    fn smooth(&mut self, length: usize) {
        let overlap = length / 4;
        let before = self.history.len() - length - overlap;
        for n in 0..overlap {
            let part = (n + 1) as f32 / (overlap + 1) as f32;
            let place = &mut self.period[length - overlap + n];
            let old = f32::from(self.history[before + n]);
            *place = (f32::from(*place) * (1.0 - part) + old * part) as i16;
        }
    }
}

fn remember(history: &mut [i16], samples: &[i16]) {
    let length = history.len();
    let new = &samples[samples.len().saturating_sub(length)..];
    history.copy_within(new.len().., 0);
    history[length - new.len()..].copy_from_slice(new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Source, Tone, level};

    #[test]
    fn a_loss_goes_on_with_the_pitch_and_fades() {
        for rate in [8000, 16_000] {
            let mut concealer = Concealer::new(rate);
            let mut frame = vec![0; rate as usize / 25];
            let mut tone = Tone::new(rate, &[200.0], -10.0);
            tone.fill(&mut frame);
            concealer.heard(&mut frame);
            let mut out = Vec::new();
            let ten = rate as usize / 100;
            concealer.conceal(ten, &mut out);
            let mut expected = vec![0; ten];
            tone.fill(&mut expected);
            let error: Vec<i16> = out.iter().zip(&expected).map(|(a, b)| a - b).collect();
            assert!(level(&error) < -30.0, "{rate}: {}", level(&error));
            concealer.conceal(9 * ten, &mut out);
            assert!(level(&out[4 * ten..5 * ten]) < -12.0);
            assert_eq!(level(&out[8 * ten..]), -127.0);
            // What comes then begins softly.
            let mut next = vec![10_000; 2 * ten];
            concealer.heard(&mut next);
            assert!(next[0].abs() < 100 && next[ten] == 10_000);
        }
    }

    #[test]
    fn silence_and_odd_lengths_are_taken() {
        let mut concealer = Concealer::new(8000);
        let mut out = Vec::new();
        concealer.conceal(1, &mut out);
        concealer.conceal(0, &mut out);
        concealer.heard(&mut []);
        concealer.heard(&mut [5; 5000]);
        concealer.conceal(3000, &mut out);
        assert_eq!(out.len(), 3001);
    }
}
