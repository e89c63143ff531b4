//! Where the peer is: where SDP says, until it is seen to send from elsewhere (RFC 4961).

use super::{Channel, Stream};
use core::net::SocketAddr;

/// The peer's addresses.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    rtp: Place,
    rtcp: Place,
    mux: bool,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// What SDP says.
    said: SocketAddr,
    /// Where packets were seen to come from.
    seen: Option<SocketAddr>,
}

impl Place {
    /// Whether a packet from there may be the peer's. The address that SDP says is always heard:
    /// whoever came before it from elsewhere was somebody else.
    fn admits(&self, from: SocketAddr) -> bool {
        from == self.said || self.seen.is_none_or(|seen| seen == from)
    }

    /// Notes that the peer was heard from there; whether that is news.
    fn heard(&mut self, from: SocketAddr) -> bool {
        if self.seen == Some(from) {
            return false;
        }
        self.seen = Some(from);
        true
    }

    fn address(&self) -> SocketAddr {
        self.seen.unwrap_or(self.said)
    }
}

impl Peer {
    pub(super) fn new(stream: &Stream) -> Self {
        let place = |said| Place { said, seen: None };
        Self { rtp: place(stream.remote), rtcp: place(stream.remote_rtcp), mux: stream.mux }
    }

    fn place(&mut self, channel: Channel) -> &mut Place {
        match channel {
            Channel::Rtcp if !self.mux => &mut self.rtcp,
            _ => &mut self.rtp,
        }
    }

    /// Whether a packet from there may be the peer's.
    pub(super) fn admits(&mut self, channel: Channel, from: SocketAddr) -> bool {
        // RTCP on a port of its own comes from the host of RTP at least.
        let near = from.ip() == self.rtp.address().ip() || channel == Channel::Rtp || self.mux;
        let place = self.place(channel);
        place.admits(from) && (near || from == place.said)
    }

    /// Notes that a packet from there was found to be the peer's; whether that is news.
    pub(super) fn heard(&mut self, channel: Channel, from: SocketAddr) -> bool {
        self.place(channel).heard(from)
    }

    /// Where to send.
    pub(super) fn address(&mut self, channel: Channel) -> SocketAddr {
        self.place(channel).address()
    }
}
