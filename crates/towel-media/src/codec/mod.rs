//! Codecs: samples to bytes and back.

mod comfort;
mod conceal;
pub mod g711;
pub mod g722;
mod opus;

pub use comfort::{ComfortNoise, noise_payload};
pub use conceal::Concealer;

use core::fmt;
use g711::Law;

/// A codec that is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722.
    G722,
    /// Opus (RFC 7587).
    Opus,
}

/// An encoder or a payload that does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The codec has no such rate; see [`Codec::rate_for`].
    Rate(u32),
    /// The payload is not of the codec.
    Payload,
    /// The frame has a length that the codec does not know, in samples.
    Frame(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => write!(f, "the codec does not work at {rate} Hz"),
            Self::Payload => f.write_str("the payload is not of the codec"),
            Self::Frame(samples) => write!(f, "the codec has no frame of {samples} samples"),
        }
    }
}

impl core::error::Error for Fault {}

/// The longest payload that is made or taken, in bytes: 120 ms of G.711, and more than Opus needs.
pub const MAX_PAYLOAD: usize = 1275;

/// The longest time in one packet, in ms.
pub const MAX_PTIME: u32 = 120;

impl Codec {
    /// All, as a phone would rather have them.
    pub const ALL: [Self; 4] = [Self::Opus, Self::G722, Self::Pcma, Self::Pcmu];

    /// The codec of a name and clock rate in SDP.
    pub fn of_name(name: &str, clock: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name().eq_ignore_ascii_case(name) && c.clock() == clock)
    }

    /// The name of the encoding in SDP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }

    /// The clock rate of its timestamps, in Hz. That of G.722 is half of its true one (RFC 3551
    /// section 4.5.2).
    pub const fn clock(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            _ => 8000,
        }
    }

    /// The rate of samples to use it with where `wanted` is what the rest works at.
    pub const fn rate_for(self, wanted: u32) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8000,
            Self::G722 => 16_000,
            // Opus works at these; other rates are brought to the greatest.
            Self::Opus => match wanted {
                8000 | 12_000 | 16_000 | 24_000 => wanted,
                _ => 48_000,
            },
        }
    }

    /// How it is offered, by its static payload type or this dynamic one.
    pub fn offered(self, dynamic: u8) -> towel_sdp::offer_answer::Codec {
        use towel_sdp::offer_answer::Codec as Offered;
        match self {
            Self::Pcmu => Offered::pcmu(),
            Self::Pcma => Offered::pcma(),
            Self::G722 => Offered::g722(),
            Self::Opus => {
                Offered { fmtp: Some("useinbandfec=1".to_owned()), ..Offered::opus(dynamic) }
            }
        }
    }
}

/// Makes payloads of samples.
#[derive(Debug)]
pub struct Encoder(Encoding);

enum Encoding {
    G711(Law),
    G722(Box<g722::Encoder>),
    Opus(Box<opus::Encoder>),
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::G711(Law::Mu) => "PCMU",
            Self::G711(Law::A) => "PCMA",
            Self::G722(_) => "G722",
            Self::Opus(_) => "opus",
        })
    }
}

impl Encoder {
    /// An encoder of samples at a rate that the codec has.
    pub fn new(codec: Codec, rate: u32) -> Result<Self, Fault> {
        if codec.rate_for(rate) != rate {
            return Err(Fault::Rate(rate));
        }
        Ok(Self(match codec {
            Codec::Pcmu => Encoding::G711(Law::Mu),
            Codec::Pcma => Encoding::G711(Law::A),
            Codec::G722 => Encoding::G722(Box::default()),
            Codec::Opus => Encoding::Opus(Box::new(opus::Encoder::new(rate)?)),
        }))
    }

    /// Appends the payload of one packet's samples.
    pub fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) -> Result<(), Fault> {
        match &mut self.0 {
            Encoding::G711(law) => out.extend(samples.iter().map(|sample| law.encode(*sample))),
            Encoding::G722(encoder) => encoder.encode(samples, out),
            Encoding::Opus(encoder) => encoder.encode(samples, out)?,
        }
        Ok(())
    }
}

/// Makes samples of payloads, and of those that are missing.
#[derive(Debug)]
pub struct Decoder {
    decoding: Decoding,
    concealer: Concealer,
}

enum Decoding {
    G711(Law),
    G722(Box<g722::Decoder>),
    Opus(Box<opus::Decoder>),
}

impl fmt::Debug for Decoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::G711(Law::Mu) => "PCMU",
            Self::G711(Law::A) => "PCMA",
            Self::G722(_) => "G722",
            Self::Opus(_) => "opus",
        })
    }
}

impl Decoder {
    /// A decoder to a rate that the codec has.
    pub fn new(codec: Codec, rate: u32) -> Result<Self, Fault> {
        if codec.rate_for(rate) != rate {
            return Err(Fault::Rate(rate));
        }
        let decoding = match codec {
            Codec::Pcmu => Decoding::G711(Law::Mu),
            Codec::Pcma => Decoding::G711(Law::A),
            Codec::G722 => Decoding::G722(Box::default()),
            Codec::Opus => Decoding::Opus(Box::new(opus::Decoder::new(rate)?)),
        };
        Ok(Self { decoding, concealer: Concealer::new(rate) })
    }

    /// Appends the samples of a payload.
    pub fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) -> Result<(), Fault> {
        if payload.is_empty() || payload.len() > MAX_PAYLOAD {
            return Err(Fault::Payload);
        }
        let start = out.len();
        match &mut self.decoding {
            Decoding::G711(law) => out.extend(payload.iter().map(|byte| law.decode(*byte))),
            Decoding::G722(decoder) => decoder.decode(payload, out),
            // It conceals by itself.
            Decoding::Opus(decoder) => return decoder.decode(payload, out),
        }
        self.concealer.heard(out.get_mut(start..).unwrap_or_default());
        Ok(())
    }

    /// Appends so many samples in place of a packet that did not come. `next` is the packet after
    /// it, if that is there: Opus may hold the lost one in it too (RFC 6716 section 2.1.7).
    pub fn conceal(&mut self, samples: usize, next: Option<&[u8]>, out: &mut Vec<i16>) {
        match &mut self.decoding {
            Decoding::Opus(decoder) => decoder.conceal(samples, next, out),
            _ => self.concealer.conceal(samples, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Detector, Source, Tone, level};

    #[test]
    fn a_tone_goes_through_each_codec_and_over_a_loss() {
        for codec in Codec::ALL {
            for wanted in [8000, 16_000, 48_000] {
                let rate = codec.rate_for(wanted);
                let mut encoder = Encoder::new(codec, rate).unwrap();
                let mut decoder = Decoder::new(codec, rate).unwrap();
                let mut tone = Tone::new(rate, &[440.0], -15.0);
                let mut frame = vec![0; rate as usize / 50];
                let mut heard = Vec::new();
                for n in 0..100 {
                    tone.fill(&mut frame);
                    let mut payload = Vec::new();
                    encoder.encode(&frame, &mut payload).unwrap();
                    assert!(payload.len() <= MAX_PAYLOAD);
                    match n % 20 {
                        19 => decoder.conceal(frame.len(), None, &mut heard),
                        _ => decoder.decode(&payload, &mut heard).unwrap(),
                    }
                }
                assert_eq!(heard.len(), 2 * rate as usize, "{codec:?}");
                let mut detector = Detector::new(rate, 440.0);
                detector.hear(&heard);
                let tone = detector.heard().tone.as_millis();
                assert!(tone >= 1800, "{codec:?} at {rate}: {tone} ms");
                let level = level(&heard[rate as usize / 5..rate as usize / 4]);
                assert!((level + 15.0).abs() < 1.5, "{codec:?}: {level} dB");
            }
        }
    }

    #[test]
    fn a_codec_is_known_by_name_and_clock() {
        assert_eq!(Codec::of_name("PcMu", 8000), Some(Codec::Pcmu));
        assert_eq!(Codec::of_name("OPUS", 48_000), Some(Codec::Opus));
        assert_eq!(Codec::of_name("G722", 16_000), None);
        assert_eq!(Encoder::new(Codec::G722, 8000).unwrap_err(), Fault::Rate(8000));
        assert_eq!(Codec::Opus.offered(111).payload, 111);
    }

    #[test]
    fn no_payload_makes_a_decoder_panic() {
        let mut random = crate::Random::new(7);
        for codec in Codec::ALL {
            let mut decoder = Decoder::new(codec, codec.rate_for(16_000)).unwrap();
            let mut out = Vec::new();
            for n in 0..3000 {
                let length = random.word() as usize % 200;
                let payload: Vec<u8> = (0..length).map(|_| random.bits() as u8).collect();
                out.clear();
                match n % 5 {
                    0 => decoder.conceal(320, Some(&payload), &mut out),
                    _ => drop(decoder.decode(&payload, &mut out)),
                }
                assert!(out.len() <= 48 * MAX_PTIME as usize);
            }
        }
    }
}
