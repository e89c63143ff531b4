//! WAV files, by way of `hound`; the caller opens the file.

use super::{Resampler, Sink, Source, Unfit};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use std::fmt;
use std::io::{Read, Seek, Write};

/// Why a WAV file cannot be played or written.
#[derive(Debug)]
pub enum WavFault {
    /// The file is not read or written, or is none.
    File(hound::Error),
    /// Its rate is not one that can be brought to ours.
    Rate(Unfit),
    /// It has no channel, or samples of a form that is not known.
    Form(WavSpec),
}

impl fmt::Display for WavFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "WAV: {error}"),
            Self::Rate(error) => write!(f, "WAV: {error}"),
            Self::Form(spec) => write!(
                f,
                "WAV: {} channels of {} bits: use 8, 16, 24 or 32 bits, or floating point",
                spec.channels, spec.bits_per_sample
            ),
        }
    }
}

impl std::error::Error for WavFault {}

impl From<hound::Error> for WavFault {
    fn from(error: hound::Error) -> Self {
        Self::File(error)
    }
}

/// Plays a WAV file, brought to one channel and to the rate that is wanted.
pub struct Player<R> {
    reader: WavReader<R>,
    spec: WavSpec,
    resampler: Resampler,
    ready: Vec<i16>,
    given: usize,
    again: bool,
    damaged: bool,
}

impl<R> fmt::Debug for Player<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// Frames that are read at once.
const AT_ONCE: usize = 512;

impl<R: Read + Seek> Player<R> {
    /// Plays what stands in a file at this rate, once, or `again` and again.
    pub fn new(file: R, rate: u32, again: bool) -> Result<Self, WavFault> {
        let reader = WavReader::new(file)?;
        let spec = reader.spec();
        let known = match spec.sample_format {
            SampleFormat::Int => (8..=32).contains(&spec.bits_per_sample),
            SampleFormat::Float => spec.bits_per_sample == 32,
        };
        if spec.channels == 0 || !known {
            return Err(WavFault::Form(spec));
        }
        let resampler = Resampler::new(spec.sample_rate, rate).map_err(WavFault::Rate)?;
        // One that has nothing would be begun again for ever.
        let again = again && reader.duration() > 0;
        Ok(Self { reader, spec, resampler, ready: Vec::new(), given: 0, again, damaged: false })
    }

    /// Reads more; nothing at the end, and where the file is damaged.
    fn read(&mut self) {
        self.ready.clear();
        self.given = 0;
        let mut mono = [0; AT_ONCE];
        let mut count = 0;
        for place in &mut mono {
            let Some(value) = self.frame() else { break };
            *place = (value * 32768.0).round() as i16;
            count += 1;
        }
        self.resampler.run(mono.get(..count).unwrap_or_default(), &mut self.ready);
    }

    /// The mean of the channels; `None` at the end.
    fn frame(&mut self) -> Option<f32> {
        let mut sum = 0.0;
        for _ in 0..self.spec.channels {
            sum += self.sample()?;
        }
        Some(sum / f32::from(self.spec.channels))
    }

    fn sample(&mut self) -> Option<f32> {
        let sample = match self.spec.sample_format {
            SampleFormat::Float => self.reader.samples::<f32>().next()?,
            SampleFormat::Int => {
                let scale = 2f32.powi(i32::from(self.spec.bits_per_sample) - 1);
                self.reader.samples::<i32>().next()?.map(|sample| sample as f32 / scale)
            }
        };
        // The reader does not know where it stands after that, so there is no going back.
        self.damaged |= sample.is_err();
        sample.ok()
    }
}

impl<R: Read + Seek> Source for Player<R> {
    fn fill(&mut self, frame: &mut [i16]) -> usize {
        let mut filled = 0;
        while filled < frame.len() {
            let left = self.ready.get(self.given..).unwrap_or_default();
            if left.is_empty() {
                self.read();
                let again = self.again && !self.damaged;
                if self.ready.is_empty() && !(again && self.reader.seek(0).is_ok()) {
                    break;
                }
                continue;
            }
            let rest = frame.get_mut(filled..).unwrap_or_default();
            let count = left.len().min(rest.len());
            rest.iter_mut().zip(left).for_each(|(to, from)| *to = *from);
            filled += count;
            self.given += count;
        }
        filled
    }
}

/// Writes a WAV file of one channel and 16 bits.
pub struct Recorder<W: Write + Seek> {
    writer: Option<WavWriter<W>>,
    /// How many samples may still be written.
    left: u64,
    fault: Option<WavFault>,
}

impl<W: Write + Seek> fmt::Debug for Recorder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<W: Write + Seek> Recorder<W> {
    /// Writes at this rate, at most so many samples: what is more is dropped. A WAV file can hold
    /// 2^31 of them.
    pub fn new(file: W, rate: u32, most: u64) -> Result<Self, WavFault> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let writer = Some(WavWriter::new(file, spec)?);
        Ok(Self { writer, left: most.min((1 << 31) - 64), fault: None })
    }

    /// Writes the lengths into the header; says what went wrong since the beginning.
    pub fn finish(mut self) -> Result<(), WavFault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        self.writer.take().map_or(Ok(()), |writer| Ok(writer.finalize()?))
    }
}

impl<W: Write + Seek> Sink for Recorder<W> {
    /// After a fault nothing more is written; [`Recorder::finish`] tells of it.
    fn take(&mut self, frame: &[i16]) {
        let Some(writer) = self.writer.as_mut().filter(|_| self.fault.is_none()) else { return };
        for sample in frame {
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            if let Err(error) = writer.write_sample(*sample) {
                self.fault = Some(error.into());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Detector, Tone};
    use std::io::Cursor;

    fn write(rate: u32, most: u64, samples: &[i16]) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let mut recorder = Recorder::new(&mut file, rate, most).unwrap();
        samples.chunks(77).for_each(|part| recorder.take(part));
        recorder.finish().unwrap();
        file.into_inner()
    }

    #[test]
    fn what_is_recorded_is_played() {
        let samples: Vec<i16> = (0..2000).map(|n| (n * 16 - 16_000) as i16).collect();
        let file = write(8000, 1500, &samples);
        let mut player = Player::new(Cursor::new(file.clone()), 8000, false).unwrap();
        let mut frame = [7; 2000];
        assert_eq!(player.fill(&mut frame), 1500);
        assert_eq!(frame[..1500], samples[..1500]);
        assert_eq!(player.fill(&mut frame), 0);
        let mut player = Player::new(Cursor::new(file), 8000, true).unwrap();
        assert_eq!(player.fill(&mut frame), 2000);
        assert_eq!(frame[1500..], samples[..500]);
    }

    #[test]
    fn other_rates_and_channels_are_brought_to_ours() {
        let spec = |format, bits| WavSpec {
            channels: 2,
            sample_rate: 44_100,
            bits_per_sample: bits,
            sample_format: format,
        };
        let mut tone = vec![0; 44_100];
        Tone::new(44_100, &[600.0], -10.0).fill(&mut tone);
        for (format, bits) in
            [(SampleFormat::Int, 24), (SampleFormat::Int, 8), (SampleFormat::Float, 32)]
        {
            let mut file = Cursor::new(Vec::new());
            let mut writer = WavWriter::new(&mut file, spec(format, bits)).unwrap();
            for sample in &tone {
                for _ in 0..2 {
                    match format {
                        SampleFormat::Float => writer.write_sample(f32::from(*sample) / 32768.0),
                        SampleFormat::Int if bits == 8 => writer.write_sample(*sample >> 8),
                        SampleFormat::Int => writer.write_sample(i32::from(*sample) << 8),
                    }
                    .unwrap();
                }
            }
            writer.finalize().unwrap();
            file.set_position(0);
            let mut player = Player::new(file, 16_000, false).unwrap();
            let mut out = vec![0; 20_000];
            let count = player.fill(&mut out);
            assert!(count.abs_diff(16_000) <= 1, "{count}");
            let mut detector = Detector::new(16_000, 600.0);
            detector.hear(&out[..count]);
            assert!(detector.share() > 0.95, "{format:?} {bits}: {}", detector.share());
        }
    }

    #[test]
    fn a_file_that_is_cut_off_or_empty_ends() {
        let file = write(8000, 100, &[5; 100]);
        for length in 44..file.len() {
            let Ok(mut player) = Player::new(Cursor::new(&file[..length]), 8000, false) else {
                continue;
            };
            assert_eq!(player.fill(&mut [0; 200]), (length - 44) / 2);
        }
        for again in [true, false] {
            let mut player = Player::new(Cursor::new(write(8000, 0, &[])), 8000, again).unwrap();
            assert_eq!(player.fill(&mut [0; 200]), 0);
            // The header promises what is not there.
            let mut player = Player::new(Cursor::new(&file[..44]), 8000, again).unwrap();
            assert_eq!(player.fill(&mut [0; 200]), 0);
        }
        assert!(matches!(Player::new(Cursor::new(b"RIFF"), 8000, false), Err(WavFault::File(_))));
    }
}
