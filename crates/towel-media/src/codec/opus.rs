//! Opus (RFC 6716, RFC 7587) by way of `rusty-opus`, one channel.

use super::{Fault, MAX_PAYLOAD, MAX_PTIME};
use rusty_opus::{Application, OpusDecoder, OpusEncoder};

pub(super) struct Encoder {
    opus: OpusEncoder,
    rate: u32,
    floats: Vec<f32>,
}

impl Encoder {
    pub(super) fn new(rate: u32) -> Result<Self, Fault> {
        let opus = OpusEncoder::new(rate as i32, 1, Application::Voip);
        let mut opus = opus.map_err(|_| Fault::Rate(rate))?;
        // What RFC 7587 section 3.1.1 has for speech of the whole band.
        opus.bitrate_bps = if rate > 16_000 { 32_000 } else { 24_000 };
        opus.complexity = 5;
        opus.use_inband_fec = true;
        opus.packet_loss_perc = 5;
        Ok(Self { opus, rate, floats: Vec::with_capacity(rate as usize / 25) })
    }

    pub(super) fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) -> Result<(), Fault> {
        // 2.5 ms to 60 ms in one frame (RFC 6716 section 2.1.4).
        let unit = self.rate as usize / 400;
        if ![1, 2, 4, 8, 16, 24].iter().any(|n| unit * n == samples.len()) {
            return Err(Fault::Frame(samples.len()));
        }
        self.floats.clear();
        self.floats.extend(samples.iter().map(|sample| f32::from(*sample) / 32768.0));
        let start = out.len();
        out.resize(start + MAX_PAYLOAD, 0);
        let place = out.get_mut(start..).unwrap_or_default();
        let length = self.opus.encode(&self.floats, samples.len(), place);
        out.truncate(start + *length.as_ref().unwrap_or(&0));
        length.map(drop).map_err(|_| Fault::Frame(samples.len()))
    }
}

pub(super) struct Decoder {
    opus: OpusDecoder,
    rate: u32,
    floats: Vec<f32>,
}

impl Decoder {
    pub(super) fn new(rate: u32) -> Result<Self, Fault> {
        let opus = OpusDecoder::new(rate as i32, 1).map_err(|_| Fault::Rate(rate))?;
        Ok(Self { opus, rate, floats: vec![0.0; (rate * MAX_PTIME / 1000) as usize] })
    }

    pub(super) fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), Fault> {
        let most = self.floats.len();
        let count = self.opus.decode(payload, most, &mut self.floats);
        self.give(count.map_err(|_| Fault::Payload)?, out);
        Ok(())
    }

    pub(super) fn conceal(&mut self, samples: usize, next: Option<&[u8]>, out: &mut Vec<i16>) {
        // Whole units of 2.5 ms; what is left over is not worth a frame.
        let unit = self.rate as usize / 400;
        let samples = (samples / unit * unit).min(self.floats.len());
        if samples == 0 {
            return;
        }
        let held = next.and_then(|next| self.opus.decode_fec(next, samples, &mut self.floats).ok());
        let count = match held {
            Some(count) if count > 0 => count,
            _ => self.opus.decode(&[], samples, &mut self.floats).unwrap_or(0),
        };
        self.give(count, out);
        // Should the decoder give less, the rest is silence: the time must go on.
        out.extend(core::iter::repeat_n(0, samples.saturating_sub(count)));
    }

    fn give(&self, count: usize, out: &mut Vec<i16>) {
        // The conversion saturates.
        out.extend(self.floats.iter().take(count).map(|value| (value * 32768.0).round() as i16));
    }
}
