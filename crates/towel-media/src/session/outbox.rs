//! What is to be sent.

use core::net::SocketAddr;
use core::ops::Range;

/// By which of a session's sockets a packet goes. Where both share a port they are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// That of RTP.
    Rtp,
    /// That of RTCP.
    Rtcp,
}

/// Packets to be sent, in one piece of memory that is used again.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    pub(super) bytes: Vec<u8>,
    packets: Vec<(Channel, SocketAddr, Range<usize>)>,
}

impl Outbox {
    /// An empty one.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), packets: Vec::new() }
    }

    /// The packets: by which socket, where to, and their bytes.
    pub fn packets(&self) -> impl Iterator<Item = (Channel, SocketAddr, &[u8])> {
        self.packets.iter().map(|(channel, to, range)| {
            (*channel, *to, self.bytes.get(range.clone()).unwrap_or_default())
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Forgets them, once they are sent.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.packets.clear();
    }

    /// What stands in the bytes from `start` on is a packet.
    pub(super) fn push(&mut self, channel: Channel, to: SocketAddr, start: usize) {
        self.packets.push((channel, to, start..self.bytes.len()));
    }
}
