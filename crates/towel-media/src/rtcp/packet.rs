//! Compound packets as their bytes.

use super::{Blocks, kind};
use crate::NtpTime;
use core::fmt;

/// A compound packet whose frame was found to be sound (RFC 3550 appendix A.2): versions, lengths,
/// a report in front, padding in the last alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compound<'p>(&'p [u8]);

/// Why bytes are no RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A packet of the compound that begins at this byte is cut off.
    Short(usize),
    /// At this byte the version is not 2.
    Version(usize),
    /// The first packet is of this type and not a report.
    NoReport(u8),
    /// The packet at this byte is padded and not the last, or pads more than it has.
    Padding(usize),
    /// The packet of this type at this byte holds less than its count says.
    Content(u8, usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(at) => write!(f, "byte {at}: the RTCP packet is cut off"),
            Self::Version(at) => write!(f, "byte {at}: the RTCP version is not 2"),
            Self::NoReport(kind) => write!(f, "RTCP begins with type {kind}, not with a report"),
            Self::Padding(at) => write!(f, "byte {at}: RTCP padding where none can be"),
            Self::Content(kind, at) => {
                write!(f, "byte {at}: RTCP packet of type {kind} holds less than it says")
            }
        }
    }
}

impl core::error::Error for Fault {}

/// The sender's part of an SR (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// When the report was sent, by the sender's clock.
    pub ntp: NtpTime,
    /// The same moment as an RTP timestamp.
    pub rtp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Bytes of payload sent so far.
    pub octets: u32,
}

/// What a receiver says of a source (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source that is spoken of.
    pub ssrc: u32,
    /// The part lost since the last report, in 256 parts.
    pub fraction_lost: u8,
    /// Packets lost so far; of 24 bits, with a sign.
    pub lost: i32,
    /// The greatest sequence number, with cycles.
    pub extended_max: u32,
    /// The jitter, in units of the timestamp.
    pub jitter: u32,
    /// The middle of the time in the last SR, 0 for none.
    pub last_sr: u32,
    /// How long ago that came, in 65536 parts of a second.
    pub delay: u32,
}

impl ReportBlock {
    fn read(bytes: &[u8; 24]) -> Self {
        let word = |n: usize| word(bytes, n * 4);
        let lost = word(1);
        Self {
            ssrc: word(0),
            fraction_lost: (lost >> 24) as u8,
            // The sign is bit 23.
            lost: (lost << 8) as i32 >> 8,
            extended_max: word(2),
            jitter: word(3),
            last_sr: word(4),
            delay: word(5),
        }
    }
}

/// An SR or RR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'p> {
    /// Who reports.
    pub ssrc: u32,
    /// What a sender says of itself; none in an RR.
    pub sender: Option<SenderInfo>,
    blocks: &'p [u8],
}

impl<'p> Report<'p> {
    /// What it says of others.
    pub fn blocks(&self) -> impl Iterator<Item = ReportBlock> + use<'p> {
        self.blocks.as_chunks::<24>().0.iter().map(ReportBlock::read)
    }
}

/// The items of an SDES packet (RFC 3550 section 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdesItems<'p> {
    rest: &'p [u8],
    chunks: u8,
    ssrc: Option<u32>,
}

impl<'p> Iterator for SdesItems<'p> {
    /// Source, type of item, text.
    type Item = (u32, u8, &'p [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(ssrc) = self.ssrc else {
                self.chunks = self.chunks.checked_sub(1)?;
                let (ssrc, rest) = self.rest.split_first_chunk::<4>()?;
                self.ssrc = Some(u32::from_be_bytes(*ssrc));
                self.rest = rest;
                continue;
            };
            let (kind, rest) = self.rest.split_first()?;
            if *kind == 0 {
                // The list ends with zeros up to the next word; chunks stand on words, and the
                // first does at the packet's fifth byte.
                let pad = self.rest.len() % 4;
                let pad = if pad == 0 { 4 } else { pad };
                self.rest = self.rest.get(pad..)?;
                self.ssrc = None;
                continue;
            }
            let (length, rest) = rest.split_first()?;
            let (text, rest) = rest.split_at_checked(usize::from(*length))?;
            self.rest = rest;
            return Some((ssrc, *kind, text));
        }
    }
}

/// One packet of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'p> {
    /// SR or RR.
    Report(Report<'p>),
    /// Source descriptions.
    Sdes(SdesItems<'p>),
    /// Sources that leave, four bytes each, and the reason (section 6.6).
    Bye {
        /// The sources, four bytes each.
        sources: &'p [[u8; 4]],
        /// Why, as text for people; empty if not said.
        reason: &'p [u8],
    },
    /// An extended report (RFC 3611): who reports, and its blocks.
    Extended(u32, Blocks<'p>),
    /// A type that is not read here: APP, feedback and whatever comes.
    Other(u8),
}

impl<'p> Compound<'p> {
    /// Checks the frame.
    pub fn parse(bytes: &'p [u8]) -> Result<Self, Fault> {
        let mut at = 0;
        while at < bytes.len() || at == 0 {
            let rest = bytes.get(at..).unwrap_or_default();
            let header = rest.first_chunk::<4>().ok_or(Fault::Short(at))?;
            let [first, kind, l0, l1] = *header;
            if first >> 6 != 2 {
                return Err(Fault::Version(at));
            }
            if at == 0 && kind != kind::SR && kind != kind::RR {
                return Err(Fault::NoReport(kind));
            }
            let length = (usize::from(u16::from_be_bytes([l0, l1])) + 1) * 4;
            let body = rest.get(4..length).ok_or(Fault::Short(at))?;
            let body = match first & 0x20 != 0 {
                false => body,
                true if at + length != bytes.len() => return Err(Fault::Padding(at)),
                true => unpadded(body).ok_or(Fault::Padding(at))?,
            };
            read(first & 0x1f, kind, body).ok_or(Fault::Content(kind, at))?;
            at += length;
        }
        Ok(Self(bytes))
    }

    /// The packets of the compound.
    pub fn packets(&self) -> Packets<'p> {
        Packets(self.0)
    }
}

fn unpadded(body: &[u8]) -> Option<&[u8]> {
    let count = usize::from(*body.last()?);
    (count > 0).then_some(())?;
    body.get(..body.len().checked_sub(count)?)
}

/// The packets of a compound, in their order.
#[derive(Clone, Debug)]
pub struct Packets<'p>(&'p [u8]);

impl<'p> Iterator for Packets<'p> {
    type Item = Packet<'p>;

    fn next(&mut self) -> Option<Packet<'p>> {
        let [first, kind, l0, l1] = *self.0.first_chunk::<4>()?;
        let length = (usize::from(u16::from_be_bytes([l0, l1])) + 1) * 4;
        let (packet, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        let mut body = packet.get(4..)?;
        if first & 0x20 != 0 {
            body = unpadded(body)?;
        }
        read(first & 0x1f, kind, body)
    }
}

/// Reads what follows the common header; `None` if it holds less than it says.
fn read(count: u8, kind: u8, body: &[u8]) -> Option<Packet<'_>> {
    Some(match kind {
        kind::SR | kind::RR => {
            let (ssrc, mut rest) = body.split_first_chunk::<4>()?;
            let mut sender = None;
            if kind == kind::SR {
                let (info, after) = rest.split_first_chunk::<20>()?;
                let ntp = u64::from(word(info, 0)) << 32 | u64::from(word(info, 4));
                sender = Some(SenderInfo {
                    ntp: NtpTime(ntp),
                    rtp: word(info, 8),
                    packets: word(info, 12),
                    octets: word(info, 16),
                });
                rest = after;
            }
            // What follows the blocks is a profile's extension.
            let blocks = rest.get(..usize::from(count) * 24)?;
            Packet::Report(Report { ssrc: u32::from_be_bytes(*ssrc), sender, blocks })
        }
        kind::SDES => {
            let items = SdesItems { rest: body, chunks: count, ssrc: None };
            (body.len() >= usize::from(count) * 4).then_some(Packet::Sdes(items))?
        }
        kind::BYE => {
            let (sources, rest) = body.split_at_checked(usize::from(count) * 4)?;
            let reason = match rest.split_first() {
                None => &[][..],
                Some((length, text)) => text.get(..usize::from(*length))?,
            };
            Packet::Bye { sources: sources.as_chunks::<4>().0, reason }
        }
        kind::XR => {
            let (ssrc, rest) = body.split_first_chunk::<4>()?;
            Packet::Extended(u32::from_be_bytes(*ssrc), Blocks::new(rest))
        }
        other => Packet::Other(other),
    })
}

/// Four bytes at a place, which is known to be there.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|b| b.first_chunk::<4>()).map_or(0, |b| u32::from_be_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Writer, item};
    use proptest::prelude::*;

    fn full() -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        let sender = SenderInfo { ntp: NtpTime(7 << 32), rtp: 8, packets: 9, octets: 10 };
        let block = ReportBlock {
            ssrc: 5,
            fraction_lost: 6,
            lost: -3,
            extended_max: 1 << 16,
            jitter: 4,
            last_sr: 2,
            delay: 1,
        };
        writer.report(1, Some(sender), &[block]);
        writer.sdes(1, &[(item::CNAME, b"ford@192.0.2.1"), (item::TOOL, b"towel")]);
        writer.bye(&[1, 2], b"thumb");
        out
    }

    #[test]
    fn a_compound_comes_apart() {
        let out = full();
        let packets: Vec<_> = Compound::parse(&out).unwrap().packets().collect();
        let [Packet::Report(report), Packet::Sdes(items), Packet::Bye { sources, reason }] =
            packets[..]
        else {
            panic!("{packets:?}")
        };
        let blocks: Vec<_> = report.blocks().collect();
        assert_eq!((report.ssrc, report.sender.unwrap().octets), (1, 10));
        assert_eq!((blocks.len(), blocks[0].lost, blocks[0].fraction_lost), (1, -3, 6));
        let items: Vec<_> = items.collect();
        assert_eq!(items, [(1, 1, &b"ford@192.0.2.1"[..]), (1, 6, &b"towel"[..])]);
        assert_eq!((sources, reason), (&[[0, 0, 0, 1], [0, 0, 0, 2]][..], &b"thumb"[..]));
    }

    #[test]
    fn every_cut_and_wrong_frame_is_told() {
        let out = full();
        let ends = [52, 52 + 32];
        for length in 0..out.len() {
            let whole = Compound::parse(&out[..length]);
            assert_eq!(whole.is_ok(), ends.contains(&length), "{length}: {whole:?}");
        }
        let mut other = out.clone();
        other[1] = 202;
        assert_eq!(Compound::parse(&other).unwrap_err(), Fault::NoReport(202));
        let mut other = out.clone();
        other[0] |= 0x20;
        assert_eq!(Compound::parse(&other).unwrap_err(), Fault::Padding(0));
        let mut other = out.clone();
        other[0] = 0x82;
        assert_eq!(Compound::parse(&other).unwrap_err(), Fault::Content(200, 0));
        let mut other = out;
        other[52] = 0;
        assert_eq!(Compound::parse(&other).unwrap_err(), Fault::Version(52));
    }

    #[test]
    fn sdes_of_several_sources() {
        let body = [
            0, 0, 0, 1, 1, 1, b'a', 0, // ends with one zero
            0, 0, 0, 2, 1, 2, b'b', b'c', 0, 0, 0, 0, // ends with four
            0, 0, 0, 3, 0, 0, 0, 0, // no items
            0, 0, 0, 4, 1, 0, 0, 0, // an empty text
        ];
        let Some(Packet::Sdes(items)) = read(4, kind::SDES, &body) else { panic!() };
        let found: Vec<_> = items.map(|(ssrc, _, text)| (ssrc, text)).collect();
        assert_eq!(found, [(1, &b"a"[..]), (2, b"bc"), (4, b"")]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..120),
                                         count in 0u8..8, kind in 198u8..210) {
            if bytes.len() >= 8 {
                bytes.truncate(bytes.len() / 4 * 4);
                bytes[0] = 0x80 | count;
                bytes[1] = kind;
                let words = (bytes.len() / 4 - 1) as u16;
                bytes[2..4].copy_from_slice(&words.to_be_bytes());
            }
            if let Ok(compound) = Compound::parse(&bytes) {
                for packet in compound.packets() {
                    match packet {
                        Packet::Sdes(items) => prop_assert!(items.count() <= bytes.len()),
                        Packet::Extended(_, blocks) => prop_assert!(blocks.count() <= bytes.len()),
                        Packet::Report(report) => prop_assert!(report.blocks().count() < 32),
                        _ => (),
                    }
                }
            }
        }
    }
}
