//! The blocks of extended reports (RFC 3611 section 4).

use super::packet::word;
use crate::NtpTime;

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block<'p> {
    /// The reporter's time, for one who sends nothing (section 4.4).
    ReceiverTime(NtpTime),
    /// When the reporter last had such a time (section 4.5), twelve bytes each.
    Dlrr(&'p [Dlrr]),
    /// The same, as it came.
    DlrrBytes(&'p [[u8; 12]]),
    /// Of a call (section 4.7).
    VoipMetrics(VoipMetrics),
    /// A type that is not read here.
    Other(u8),
}

/// When a receiver's time came (RFC 3611 section 4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dlrr {
    /// Whose time.
    pub ssrc: u32,
    /// The middle of that time.
    pub last_rr: u32,
    /// How long ago it came, in 65536 parts of a second.
    pub delay: u32,
}

impl Dlrr {
    /// Reads twelve bytes.
    pub fn read(bytes: &[u8; 12]) -> Self {
        Self { ssrc: word(bytes, 0), last_rr: word(bytes, 4), delay: word(bytes, 8) }
    }
}

/// What a receiver says of a call (RFC 3611 section 4.7). 127 in a level, R factor or MOS says
/// that it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoipMetrics {
    /// The source.
    pub ssrc: u32,
    /// The part lost, in 256 parts.
    pub loss_rate: u8,
    /// The part discarded by the jitter buffer, in 256 parts.
    pub discard_rate: u8,
    /// The part lost or discarded within bursts, in 256 parts.
    pub burst_density: u8,
    /// The same within gaps.
    pub gap_density: u8,
    /// The mean length of a burst, in ms.
    pub burst_duration: u16,
    /// The mean length of a gap, in ms.
    pub gap_duration: u16,
    /// The round trip of RTP, in ms.
    pub round_trip: u16,
    /// The delay in this end, in ms.
    pub end_system: u16,
    /// Level of speech, in dBm0.
    pub signal_level: u8,
    /// Level of noise, in dBm0.
    pub noise_level: u8,
    /// What is left of the echo, in dB.
    pub echo_loss: u8,
    /// How many received in a row end a burst.
    pub gmin: u8,
    /// R factor of this part of the way.
    pub r_factor: u8,
    /// R factor of a network beyond.
    pub external_r: u8,
    /// Listening quality, times ten.
    pub mos_lq: u8,
    /// Conversational quality, times ten.
    pub mos_cq: u8,
    /// Concealment and kind of jitter buffer.
    pub receiver: u8,
    /// Delay of the jitter buffer now, in ms.
    pub buffer: u16,
    /// Greatest delay so far, in ms.
    pub buffer_maximum: u16,
    /// Greatest delay that it may have, in ms.
    pub buffer_limit: u16,
}

impl Default for VoipMetrics {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            ssrc: 0,
            loss_rate: 0,
            discard_rate: 0,
            burst_density: 0,
            gap_density: 0,
            burst_duration: 0,
            gap_duration: 0,
            round_trip: 0,
            end_system: 0,
            signal_level: 127,
            noise_level: 127,
            echo_loss: 127,
            gmin: 16,
            r_factor: 127,
            external_r: 127,
            mos_lq: 127,
            mos_cq: 127,
            receiver: 0,
            buffer: 0,
            buffer_maximum: 0,
            buffer_limit: 0,
        }
    }
}

impl VoipMetrics {
    fn read(bytes: &[u8; 32]) -> Self {
        let rates = word(bytes, 4).to_be_bytes();
        let halves = |at: usize| ((word(bytes, at) >> 16) as u16, word(bytes, at) as u16);
        let [signal_level, noise_level, echo_loss, gmin] = word(bytes, 16).to_be_bytes();
        let [r_factor, external_r, mos_lq, mos_cq] = word(bytes, 20).to_be_bytes();
        let [loss_rate, discard_rate, burst_density, gap_density] = rates;
        let ((burst_duration, gap_duration), (round_trip, end_system)) = (halves(8), halves(12));
        Self {
            ssrc: word(bytes, 0),
            loss_rate,
            discard_rate,
            burst_density,
            gap_density,
            burst_duration,
            gap_duration,
            round_trip,
            end_system,
            signal_level,
            noise_level,
            echo_loss,
            gmin,
            r_factor,
            external_r,
            mos_lq,
            mos_cq,
            receiver: word(bytes, 24).to_be_bytes()[0],
            buffer: halves(24).1,
            buffer_maximum: halves(28).0,
            buffer_limit: halves(28).1,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend([self.loss_rate, self.discard_rate, self.burst_density, self.gap_density]);
        for half in [self.burst_duration, self.gap_duration, self.round_trip, self.end_system] {
            out.extend_from_slice(&half.to_be_bytes());
        }
        out.extend([self.signal_level, self.noise_level, self.echo_loss, self.gmin]);
        out.extend([self.r_factor, self.external_r, self.mos_lq, self.mos_cq]);
        out.extend([self.receiver, 0]);
        for half in [self.buffer, self.buffer_maximum, self.buffer_limit] {
            out.extend_from_slice(&half.to_be_bytes());
        }
    }
}

const RECEIVER_TIME: u8 = 4;
const DLRR: u8 = 5;
const VOIP_METRICS: u8 = 7;

impl Block<'_> {
    /// Appends the block; one of another type is left out.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let header = |out: &mut Vec<u8>, kind: u8, words: usize| {
            out.extend_from_slice(&[kind, 0]);
            out.extend_from_slice(&(words as u16).to_be_bytes());
        };
        match self {
            Self::ReceiverTime(time) => {
                header(out, RECEIVER_TIME, 2);
                out.extend_from_slice(&time.0.to_be_bytes());
            }
            Self::Dlrr(parts) => {
                header(out, DLRR, parts.len() * 3);
                for part in *parts {
                    let words = [part.ssrc, part.last_rr, part.delay];
                    words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
                }
            }
            Self::DlrrBytes(parts) => {
                header(out, DLRR, parts.len() * 3);
                out.extend_from_slice(parts.as_flattened());
            }
            Self::VoipMetrics(metrics) => {
                header(out, VOIP_METRICS, 8);
                metrics.write(out);
            }
            Self::Other(_) => (),
        }
    }
}

/// The blocks of a report, in their order; they end where one is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks<'p>(&'p [u8]);

impl<'p> Blocks<'p> {
    pub(super) fn new(bytes: &'p [u8]) -> Self {
        Self(bytes)
    }
}

impl<'p> Iterator for Blocks<'p> {
    type Item = Block<'p>;

    fn next(&mut self) -> Option<Block<'p>> {
        let ([kind, _, l0, l1], rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([*l0, *l1])) * 4;
        let (body, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        // A block of another length than its type has is left alone.
        Some(match (*kind, body.len()) {
            (RECEIVER_TIME, 8) => {
                let time = u64::from(word(body, 0)) << 32 | u64::from(word(body, 4));
                Block::ReceiverTime(NtpTime(time))
            }
            (DLRR, _) => Block::DlrrBytes(body.as_chunks::<12>().0),
            (VOIP_METRICS, 32) => match body.first_chunk::<32>() {
                Some(body) => Block::VoipMetrics(VoipMetrics::read(body)),
                None => Block::Other(*kind),
            },
            _ => Block::Other(*kind),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Compound, Packet, Writer};

    #[test]
    fn blocks_are_written_and_read() {
        let metrics = VoipMetrics {
            ssrc: 9,
            loss_rate: 12,
            discard_rate: 13,
            burst_density: 84,
            gap_density: 10,
            burst_duration: 120,
            gap_duration: 520,
            round_trip: 77,
            end_system: 66,
            receiver: 0b1011_0000,
            buffer: 40,
            buffer_maximum: 60,
            buffer_limit: 200,
            ..VoipMetrics::default()
        };
        let dlrr = Dlrr { ssrc: 1, last_rr: 2, delay: 3 };
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.report(1, None, &[]);
        let blocks = [
            Block::ReceiverTime(NtpTime(5 << 32 | 6)),
            Block::Dlrr(&[dlrr]),
            Block::VoipMetrics(metrics),
        ];
        writer.extended(1, &blocks);
        let packets: Vec<_> = Compound::parse(&out).unwrap().packets().collect();
        let Packet::Extended(1, read) = packets[1] else { panic!("{packets:?}") };
        let read: Vec<_> = read.collect();
        assert_eq!(read[0], blocks[0]);
        let Block::DlrrBytes([bytes]) = read[1] else { panic!("{read:?}") };
        assert_eq!(Dlrr::read(bytes), dlrr);
        assert_eq!(read[2], blocks[2]);
        // Four bytes of header, eight words.
        assert_eq!(out.len(), 8 + 8 + 12 + 16 + 36);
    }

    #[test]
    fn a_block_that_is_cut_off_ends_the_list() {
        let bytes = [4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 7, 0, 0, 8, 1];
        let found: Vec<_> = Blocks::new(&bytes).collect();
        assert_eq!(found, [Block::ReceiverTime(NtpTime(0x0102_0304_0506_0708))]);
    }
}
