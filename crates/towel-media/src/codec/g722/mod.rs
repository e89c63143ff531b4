//! G.722 at 64 kbit/s: 16000 samples a second, one byte for two of them (ITU-T G.722; RFC 3551
//! section 4.5.2, where its clock is written as 8000).
//!
//! A filter halves the band. The lower half is coded with 6 bits and the upper with 2, each as the
//! difference to a prediction that both ends make in the same way.

mod band;
mod filter;
mod tables;

use band::Band;
use filter::{Analysis, Synthesis};

/// Makes bytes of samples.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    filter: Analysis,
    low: Band<tables::Low>,
    high: Band<tables::High>,
}

impl Encoder {
    /// Appends a byte for each two samples; an odd one at the end is left out.
    pub fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        for pair in samples.as_chunks::<2>().0 {
            let (low, high) = self.filter.split(*pair);
            let low = self.low.encode(low);
            let high = self.high.encode(high);
            out.push(high << 6 | low);
        }
    }
}

/// Makes samples of bytes.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    filter: Synthesis,
    low: Band<tables::Low>,
    high: Band<tables::High>,
}

impl Decoder {
    /// Appends two samples for each byte.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<i16>) {
        for byte in bytes {
            let low = self.low.decode(byte & 0x3f);
            let high = self.high.decode(byte >> 6);
            out.extend(self.filter.join(low, high));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(frequency: f64, count: usize) -> Vec<i16> {
        let step = frequency * core::f64::consts::TAU / 16000.0;
        (0..count).map(|n| (8000.0 * (n as f64 * step).sin()) as i16).collect()
    }

    #[test]
    fn tones_of_both_halves_come_through() {
        for frequency in [300.0, 1000.0, 3000.0, 5000.0, 6500.0] {
            let samples = sine(frequency, 3200);
            let (mut bytes, mut back) = (Vec::new(), Vec::new());
            Encoder::default().encode(&samples, &mut bytes);
            assert_eq!(bytes.len(), 1600);
            Decoder::default().decode(&bytes, &mut back);
            // The filters delay by 22 samples.
            let error = |n: usize| f64::from(back[n + 22]) - f64::from(samples[n]);
            let noise: f64 = (800..3000).map(|n| error(n).powi(2)).sum();
            let signal: f64 = samples[800..3000].iter().map(|s| f64::from(*s).powi(2)).sum();
            let ratio = 10.0 * (signal / noise).log10();
            let least = if frequency < 4000.0 { 25.0 } else { 10.0 };
            assert!(ratio > least, "{frequency} Hz: {ratio:.1} dB");
        }
    }

    #[test]
    fn silence_stays_silence_and_noise_stays_in_bounds() {
        let mut out = Vec::new();
        let mut bytes = Vec::new();
        Encoder::default().encode(&[0; 320], &mut bytes);
        Decoder::default().decode(&bytes, &mut out);
        assert!(out.iter().all(|sample| sample.abs() < 16));
        let mut random = crate::Random::new(42);
        let noise: Vec<u8> = (0..20_000).map(|_| random.bits() as u8).collect();
        let mut decoder = Decoder::default();
        out.clear();
        decoder.decode(&noise, &mut out);
        assert_eq!(out.len(), 40_000);
        let loud: Vec<i16> = (0..20_000).map(|_| random.bits() as i16).collect();
        bytes.clear();
        Encoder::default().encode(&loud, &mut bytes);
        assert_eq!(bytes.len(), 10_000);
    }
}
