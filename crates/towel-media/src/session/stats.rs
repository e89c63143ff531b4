//! What there is to tell of a session, as plain figures.

use super::Session;
use crate::Instant;
use crate::rtcp::VoipMetrics;
use crate::rtp::Loss;
use core::net::SocketAddr;
use core::time::Duration;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// RTP packets sent, and the bytes of their payloads.
    pub sent: u64,
    /// Bytes of payload sent.
    pub sent_bytes: u64,
    /// RTP packets taken.
    pub received: u64,
    /// Bytes of payload taken.
    pub received_bytes: u64,
    /// RTCP compounds sent.
    pub reports_sent: u64,
    /// RTCP compounds taken.
    pub reports_received: u64,
    /// Packets from addresses that are not the peer's.
    pub strangers: u64,
    /// Packets that are no RTP or RTCP.
    pub malformed: u64,
    /// RTP packets of a payload type that was not agreed on.
    pub wrong_payload_type: u64,
    /// SRTP packets that were there already or are too old.
    pub replayed: u64,
    /// SRTP packets whose tag is wrong, or that are not protected as agreed.
    pub unauthentic: u64,
    /// RTP packets of sources that were not believed yet, and of numbers far from what was
    /// expected.
    pub improbable: u64,
    /// RTP packets while nothing was to be received.
    pub unwanted: u64,
    /// RTP packets that came twice.
    pub duplicates: u64,
    /// RTP packets that came too late to be played, or again after they were.
    pub late: u64,
    /// RTP packets that were pushed out of the jitter buffer.
    pub overflowed: u64,
    /// RTP packets that were dropped to make the delay shorter.
    pub skipped: u64,
    /// RTP packets whose payload was none of its codec.
    pub undecodable: u64,
    /// Packets with our own SSRC that came back to us.
    pub looped: u64,
    /// Times that our SSRC was somebody else's too.
    pub collisions: u64,
    /// Times that there was nothing to play.
    pub underruns: u64,
    /// Samples that were made up for lost ones, at the rate of the codec.
    pub concealed: u64,
    /// Telephone events taken.
    pub events: u64,
}

/// What the peer's last report says of what we send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerView {
    /// The part lost, in 256 parts.
    pub fraction_lost: u8,
    /// Packets lost in all.
    pub lost: i32,
    /// The jitter.
    pub jitter: Duration,
}

/// A session in figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The name of the codec that is sent with.
    pub codec: &'static str,
    /// Our SSRC.
    pub ssrc: u32,
    /// The peer's SSRC.
    pub remote_ssrc: Option<u32>,
    /// Where RTP is sent.
    pub remote: SocketAddr,
    /// What was counted.
    pub counts: Counts,
    /// What was lost on the way to us.
    pub loss: Loss,
    /// The jitter on the way to us.
    pub jitter: Duration,
    /// The delay that the jitter buffer aims at.
    pub delay: Duration,
    /// The last round trip that was measured.
    pub round_trip: Option<Duration>,
    /// What the peer says of what we send.
    pub peer: Option<PeerView>,
    /// The peer's VoIP metrics of what we send, if it reports them (RFC 3611).
    pub metrics: Option<VoipMetrics>,
    /// When RTP was taken last.
    pub heard: Option<Instant>,
}

impl Session {
    /// The session in figures.
    pub fn stats(&self) -> Stats {
        let source = self.receiving.active();
        let clock = u64::from(self.playing.clock().max(1));
        let time = |units: u32| Duration::from_micros(u64::from(units) * 1_000_000 / clock);
        let mut peer = self.peer.clone();
        Stats {
            codec: self.sending.codec().name(),
            ssrc: self.sending.ssrc,
            remote_ssrc: source.map(|source| source.ssrc),
            remote: peer.address(super::Channel::Rtp),
            counts: self.counts,
            loss: source
                .map(|source| source.sequence.loss())
                .or(self.receiving.past)
                .unwrap_or_default(),
            jitter: time(source.map_or(0, |source| source.jitter())),
            delay: self.playing.buffer.delay(),
            round_trip: self.reports.round_trip,
            peer: self.reports.peer,
            metrics: self.reports.metrics,
            heard: self.receiving.heard,
        }
    }
}
