//! A packet as its bytes.

use core::fmt;

/// An RTP packet (RFC 3550 section 5.1): a view of bytes that were found to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'p> {
    /// Begins a talkspurt, as profiles for audio have it (RFC 3551 section 4.1).
    pub marker: bool,
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp, in the clock rate of the payload.
    pub timestamp: u32,
    /// The synchronization source.
    pub ssrc: u32,
    /// The contributing sources, four bytes each.
    csrcs: &'p [u8],
    /// The profile's word and the data of the header extension.
    extension: Option<(u16, &'p [u8])>,
    /// What is carried, without padding.
    pub payload: &'p [u8],
    /// Where the payload begins in the packet.
    pub payload_at: usize,
    /// How many bytes of padding follow the payload.
    pub padding: usize,
}

/// Why bytes are no RTP packet (RFC 3550 appendix A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They end before the header does; this many are there.
    Short(usize),
    /// The version, in the first two bits, is this and not 2.
    Version(u8),
    /// The header extension is longer than the rest of the packet.
    Extension,
    /// The last byte counts more padding than there is room for, or none.
    Padding,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(length) => write!(f, "{length} bytes are too few for an RTP header"),
            Self::Version(version) => write!(f, "byte 0: RTP version {version} instead of 2"),
            Self::Extension => f.write_str("the RTP header extension runs over the packet's end"),
            Self::Padding => f.write_str("the last byte counts more padding than there is"),
        }
    }
}

impl core::error::Error for Fault {}

impl<'p> Packet<'p> {
    /// Reads a packet. Of an encrypted one only the header can be believed; its padding is the
    /// sender's before encryption, so [`Packet::header`] reads that.
    pub fn parse(bytes: &'p [u8]) -> Result<Self, Fault> {
        let mut packet = Self::header(bytes)?;
        if bytes.first().is_some_and(|first| first & 0x20 != 0) {
            let count = usize::from(bytes.last().copied().unwrap_or(0));
            let left = packet.payload.len().checked_sub(count).filter(|_| count > 0);
            let left = left.ok_or(Fault::Padding)?;
            packet.payload = packet.payload.get(..left).ok_or(Fault::Padding)?;
            packet.padding = count;
        }
        Ok(packet)
    }

    /// Reads the header; all that follows is payload.
    pub fn header(bytes: &'p [u8]) -> Result<Self, Fault> {
        let (fixed, rest) = bytes.split_first_chunk::<12>().ok_or(Fault::Short(bytes.len()))?;
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if first >> 6 != 2 {
            return Err(Fault::Version(first >> 6));
        }
        let count = usize::from(first & 0x0f) * 4;
        let (csrcs, mut rest) = rest.split_at_checked(count).ok_or(Fault::Short(bytes.len()))?;
        let mut extension = None;
        if first & 0x10 != 0 {
            let (word, after) = rest.split_first_chunk::<4>().ok_or(Fault::Extension)?;
            let [p0, p1, l0, l1] = *word;
            let length = usize::from(u16::from_be_bytes([l0, l1])) * 4;
            let (data, after) = after.split_at_checked(length).ok_or(Fault::Extension)?;
            extension = Some((u16::from_be_bytes([p0, p1]), data));
            rest = after;
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            csrcs,
            extension,
            payload: rest,
            payload_at: bytes.len().saturating_sub(rest.len()),
            padding: 0,
        })
    }

    /// The contributing sources.
    pub fn csrcs(&self) -> impl Iterator<Item = u32> + use<'p> {
        self.csrcs.as_chunks::<4>().0.iter().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// The header extension (section 5.3.1): the word that the profile defines, and its data.
    pub fn extension(&self) -> Option<(u16, &'p [u8])> {
        self.extension
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Header;
    use proptest::prelude::*;

    #[test]
    fn every_part_is_found() {
        let mut bytes = vec![0xb2, 0x80 | 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 2]); // two CSRCs
        bytes.extend([0xbe, 0xde, 0, 1, 9, 9, 9, 9]); // an extension of one word
        bytes.extend([b'h', b'i', 0, 0, 3]); // two bytes and padding of three
        let packet = Packet::parse(&bytes).unwrap();
        assert!(packet.marker);
        assert_eq!((packet.payload_type, packet.sequence), (8, 0x0102));
        assert_eq!((packet.timestamp, packet.ssrc), (0x0304_0506, 0x0708_090a));
        assert_eq!(packet.csrcs().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(packet.extension(), Some((0xbede, &[9; 4][..])));
        assert_eq!((packet.payload, packet.payload_at, packet.padding), (&b"hi"[..], 28, 3));
    }

    #[test]
    fn what_is_no_packet_says_why() {
        let sound = [0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 7];
        let with = |at: usize, byte: u8| {
            let mut bytes = sound;
            bytes[at] = byte;
            Packet::parse(&bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(Packet::parse(&sound[..11]).unwrap_err(), Fault::Short(11));
        assert_eq!(with(0, 0x40), Fault::Version(1));
        assert_eq!(with(0, 0x81), Fault::Short(13));
        assert_eq!(with(0, 0x90), Fault::Extension);
        // The last byte says 7 bytes of padding where there is one.
        assert_eq!(with(0, 0xa0), Fault::Padding);
        let nothing = [0xa0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0];
        assert_eq!(Packet::parse(&nothing).unwrap_err(), Fault::Padding);
        assert_eq!(Fault::Version(1).to_string(), "byte 0: RTP version 1 instead of 2");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            marker: bool, payload_type in 0u8..128, sequence: u16, timestamp: u32, ssrc: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let header = Header { marker, payload_type, sequence, timestamp, ssrc };
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            bytes.extend_from_slice(&payload);
            let packet = Packet::parse(&bytes).unwrap();
            prop_assert_eq!(Header::of(&packet), header);
            prop_assert_eq!(packet.payload, &payload[..]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(packet) = Packet::parse(&bytes) {
                prop_assert_eq!(
                    packet.payload_at + packet.payload.len() + packet.padding, bytes.len());
                prop_assert!(packet.csrcs().count() <= 15);
            }
        }
    }
}
