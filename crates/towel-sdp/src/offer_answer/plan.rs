//! What a user agent wants: its streams and what it can do with them.

use crate::fields::is_rtp;
use crate::payload::{Encoding, is_dynamic, static_encoding};
use crate::{Direction, Setup};
use core::net::IpAddr;

/// What a user agent wants at this time: its address and its streams.
///
/// A stream is known by its place in the list; a stream that is no longer wanted stays there with
/// port 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where media is wanted, unless a stream says otherwise.
    pub address: IpAddr,
    /// The streams.
    pub streams: Vec<Stream>,
    /// Whose order of formats an answer has.
    pub order: Order,
}

/// Whose order of formats an answer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The offer's, as RFC 3264 section 6.1 recommends: then both ends use the same codec.
    #[default]
    Offerer,
    /// Our own.
    Own,
}

/// Whether the peer is on hold, by our own wish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// No.
    #[default]
    Off,
    /// Yes, and something is played to it (RFC 3264 section 8.4).
    Playing,
    /// Yes, and nothing is sent (RFC 6337 section 5.3).
    Silent,
}

/// One stream that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The media type, as `audio`.
    pub media: String,
    /// The transport, as `RTP/AVP`. Only an offer of the same is taken.
    pub proto: String,
    /// The port where the stream is wanted. 0: the stream is not wanted.
    pub port: u16,
    /// Where, if not at the plan's address.
    pub address: Option<IpAddr>,
    /// What can be carried, the preferred first.
    pub formats: Formats,
    /// Which way, as long as nobody is on hold.
    pub direction: Direction,
    /// Whether the peer is on hold.
    pub hold: Hold,
    /// How many milliseconds of media a packet to us is wished to hold; 0 for no wish.
    pub ptime: u32,
    /// Where RTCP is wanted, if not at the port above.
    pub rtcp_port: Option<u16>,
    /// Whether RTP and RTCP may share the port (RFC 5761).
    pub rtcp_mux: bool,
    /// Who opens the connection, for a stream that has one (RFC 4145).
    pub setup: Option<Setup>,
    /// More attributes, without their `a=`: keys, preconditions. They are written as they stand.
    pub attributes: Vec<String>,
}

/// What a stream can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formats {
    /// Codecs over RTP.
    Rtp(Vec<Codec>),
    /// Formats by name, over another transport (`t38`).
    Named(Vec<String>),
}

/// How the `a=fmtp` of an offer and ours go together (RFC 3264 section 6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FmtpRule {
    /// Each end says what it likes to receive.
    #[default]
    Own,
    /// They choose the format itself: only the same parameters are the same format.
    Same,
}

/// A codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// The name of the encoding.
    pub name: String,
    /// The clock rate of its RTP timestamps, in Hz.
    pub clock: u32,
    /// The number of channels.
    pub channels: u32,
    /// The payload type that is offered. A dynamic one gives way to another if it is taken.
    pub payload: u8,
    /// The value of its `a=fmtp`, without the format.
    pub fmtp: Option<String>,
    /// How the `a=fmtp` of an offer and ours go together.
    pub fmtp_rule: FmtpRule,
}

impl Codec {
    /// A codec of one channel without parameters.
    pub fn new(name: &str, clock: u32, payload: u8) -> Self {
        Self {
            name: name.to_owned(),
            clock,
            channels: 1,
            payload,
            fmtp: None,
            fmtp_rule: FmtpRule::Own,
        }
    }

    /// G.711 mu-law.
    pub fn pcmu() -> Self {
        Self::new("PCMU", 8000, 0)
    }

    /// G.711 A-law.
    pub fn pcma() -> Self {
        Self::new("PCMA", 8000, 8)
    }

    /// G.722, whose clock rate is written as 8000 (RFC 3551 section 4.5.2).
    pub fn g722() -> Self {
        Self::new("G722", 8000, 9)
    }

    /// Opus (RFC 7587 section 7): always 48000 and two channels.
    pub fn opus(payload: u8) -> Self {
        Self { channels: 2, ..Self::new("opus", 48000, payload) }
    }

    /// Telephone events 0 to 15 (RFC 4733 section 2.4.1).
    pub fn telephone_event(clock: u32, payload: u8) -> Self {
        Self { fmtp: Some("0-15".to_owned()), ..Self::new("telephone-event", clock, payload) }
    }

    /// The same codec with parameters.
    pub fn with_fmtp(self, fmtp: &str, rule: FmtpRule) -> Self {
        Self { fmtp: Some(fmtp.to_owned()), fmtp_rule: rule, ..self }
    }

    /// What is carried.
    pub fn encoding(&self) -> Encoding<'_> {
        Encoding { name: &self.name, clock: self.clock, channels: self.channels }
    }

    /// Whether its payload type is fixed by the profile.
    pub(crate) fn is_static(&self) -> bool {
        !is_dynamic(self.payload) && static_encoding(self.payload) == Some(self.encoding())
    }

    /// Whether an offered `a=fmtp` is of the same format.
    pub(crate) fn takes_fmtp(&self, offered: Option<&[u8]>) -> bool {
        match self.fmtp_rule {
            FmtpRule::Own => true,
            FmtpRule::Same => {
                let own = self.fmtp.as_deref().unwrap_or_default();
                parameters(own.as_bytes()) == parameters(offered.unwrap_or_default())
            }
        }
    }
}

/// The parameters in an order of their own, so that two lists can be held against each other.
fn parameters(text: &[u8]) -> Vec<Vec<u8>> {
    let parts = text.split(|b| *b == b';').map(<[u8]>::trim_ascii).filter(|p| !p.is_empty());
    let mut parts: Vec<Vec<u8>> = parts.map(<[u8]>::to_ascii_lowercase).collect();
    parts.sort();
    parts
}

impl Plan {
    /// A plan without streams.
    pub const fn new(address: IpAddr) -> Self {
        Self { address, streams: Vec::new(), order: Order::Offerer }
    }

    /// The same with another stream.
    pub fn with(mut self, stream: Stream) -> Self {
        self.streams.push(stream);
        self
    }

    /// Puts the peer on hold in every stream, or takes it off hold.
    pub fn hold(&mut self, hold: Hold) {
        for stream in &mut self.streams {
            stream.hold = hold;
        }
    }
}

impl Stream {
    /// Sound over RTP, both ways.
    pub fn audio(port: u16, codecs: impl Into<Vec<Codec>>) -> Self {
        Self::new("audio", "RTP/AVP", port, Formats::Rtp(codecs.into()))
    }

    /// A stream, both ways.
    pub fn new(media: &str, proto: &str, port: u16, formats: Formats) -> Self {
        Self {
            media: media.to_owned(),
            proto: proto.to_owned(),
            port,
            address: None,
            formats,
            direction: Direction::SendRecv,
            hold: Hold::Off,
            ptime: 0,
            rtcp_port: None,
            rtcp_mux: false,
            setup: None,
            attributes: Vec::new(),
        }
    }

    /// The same in one direction.
    pub fn with_direction(self, direction: Direction) -> Self {
        Self { direction, ..self }
    }

    /// The direction that is wanted now.
    pub const fn wanted(&self) -> Direction {
        match self.hold {
            Hold::Off => self.direction,
            Hold::Playing => self.direction.held(),
            Hold::Silent => Direction::Inactive,
        }
    }

    /// Whether the formats are codecs just where the transport carries RTP, and there is one.
    pub(crate) fn is_sound(&self) -> bool {
        match &self.formats {
            Formats::Rtp(codecs) => is_rtp(&self.proto) && !codecs.is_empty(),
            Formats::Named(names) => !is_rtp(&self.proto) && !names.is_empty(),
        }
    }
}
