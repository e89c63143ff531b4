//! Audio as samples: where it comes from, where it goes, and what is heard in it.
//!
//! Samples are 16 bits, of one channel.

mod detect;
mod echo;
mod resample;
mod tone;
mod wav;

pub use detect::{Detector, Heard};
pub use echo::Echo;
pub use resample::{Resampler, Unfit};
pub use tone::{Cadence, Sweep, Tone};
pub use wav::{Player, Recorder, WavFault};

/// Where audio comes from.
pub trait Source {
    /// Fills the frame from its front and says how many samples that were. Fewer than the frame
    /// holds: the source has ended, the caller fills up with silence.
    fn fill(&mut self, frame: &mut [i16]) -> usize;
}

/// Where audio goes.
pub trait Sink {
    /// Takes the next samples.
    fn take(&mut self, frame: &[i16]);
}

/// A source that says nothing and never ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence;

impl Source for Silence {
    fn fill(&mut self, frame: &mut [i16]) -> usize {
        frame.fill(0);
        frame.len()
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn fill(&mut self, frame: &mut [i16]) -> usize {
        (**self).fill(frame)
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn take(&mut self, frame: &[i16]) {
        (**self).take(frame);
    }
}

/// The level of some samples, in dB below the loudest square wave; -127 is silence.
pub fn level(samples: &[i16]) -> f64 {
    let power: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    let mean = power / (samples.len().max(1) as f64 * 32768.0 * 32768.0);
    (10.0 * mean.log10()).max(-127.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        assert_eq!(level(&[0; 100]), -127.0);
        assert_eq!(level(&[]), -127.0);
        assert!(level(&[-32768; 100]).abs() < 0.01);
        let mut frame = [0; 8000];
        assert_eq!(Tone::new(8000, &[1000.0], -10.0).fill(&mut frame), 8000);
        assert!((level(&frame) + 10.0).abs() < 0.1);
    }
}
