//! RTP packets (RFC 3550 section 5) and what is known of who sends them.

mod packet;
mod source;
mod writer;

pub use packet::{Fault, Packet};
pub use source::{Loss, Sequence, Source, Verdict};
pub use writer::Header;

/// The bytes of a header without CSRCs and extension.
pub const HEADER: usize = 12;

/// Whether a packet is RTCP where both share a port: its second byte is 192 to 223
/// (RFC 5761 section 4).
pub fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|kind| (192..=223).contains(kind))
}
