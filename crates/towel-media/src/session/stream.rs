//! What was negotiated for a stream.

use crate::codec::{Codec, MAX_PTIME};
use crate::srtp::CryptoLine;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use towel_sdp::Direction;
use towel_sdp::offer_answer::{AgreedFormat, AgreedStream};

/// A payload format, with its payload types in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format<T = Codec> {
    /// What it is.
    pub kind: T,
    /// The payload type in what we send.
    pub send: u8,
    /// The payload type in what we receive.
    pub receive: u8,
    /// The clock rate of its timestamps, in Hz.
    pub clock: u32,
}

/// The keys of both directions (RFC 4568).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The line that we wrote: for what we send.
    pub ours: CryptoLine,
    /// The line that the peer wrote: for what we receive.
    pub theirs: CryptoLine,
}

/// A stream as both ends agreed on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Where the peer wants RTP.
    pub remote: SocketAddr,
    /// Where it wants RTCP; the same where they share a port.
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share a port (RFC 5761).
    pub mux: bool,
    /// Which way audio goes, as we see it.
    pub direction: Direction,
    /// Neither RTP nor RTCP is sent: the peer gave no address (RFC 3264 section 8.4).
    pub unreachable: bool,
    /// The codecs, the one to send with in front.
    pub codecs: Vec<Format>,
    /// Telephone events.
    pub events: Option<Format<()>>,
    /// The events that the peer takes, a bit for each code from 0 on.
    pub event_codes: u64,
    /// Comfort noise.
    pub noise: Option<Format<()>>,
    /// How much audio a packet of ours holds.
    pub ptime: Duration,
    /// The keys, where the stream is protected.
    pub keys: Option<Keys>,
}

/// Why a stream cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamFault {
    /// None of the formats is a codec that is done here.
    NoCodec,
    /// The peer's address is a name that somebody has to look up.
    Address(String),
    /// The transport is this one: neither `RTP/AVP`, nor `RTP/SAVP` with keys.
    Transport(String),
}

impl fmt::Display for StreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCodec => f.write_str("no codec of the stream is known"),
            Self::Address(name) => write!(f, "the peer's media address {name:?} is no IP address"),
            Self::Transport(proto) => write!(f, "{proto} does not go with the keys that are there"),
        }
    }
}

impl core::error::Error for StreamFault {}

impl Stream {
    /// What an offer and an answer agree on. `keys` are those of the `a=crypto` that was chosen.
    pub fn agreed(agreed: &AgreedStream, keys: Option<Keys>) -> Result<Self, StreamFault> {
        let address: IpAddr = match agreed.remote_address.parse() {
            Ok(address) => address,
            Err(_) => return Err(StreamFault::Address(agreed.remote_address.clone())),
        };
        // RTP/SAVP and RTP/SAVPF are protected; a key beside RTP/AVP is nobody's offer.
        let protected = agreed.proto.to_ascii_uppercase().contains("SAVP");
        if protected != keys.is_some() {
            return Err(StreamFault::Transport(agreed.proto.clone()));
        }
        let codecs: Vec<_> = agreed.formats.iter().filter_map(codec).collect();
        let clock = codecs.first().ok_or(StreamFault::NoCodec)?.clock;
        let noise = agreed.formats.iter().filter(|f| f.name.eq_ignore_ascii_case("CN"));
        // Comfort noise of another clock rate is none for this codec (RFC 3389 section 4).
        let noise = noise.filter_map(numbers).find(|noise| noise.clock == clock);
        let ptime = agreed.ptime.unwrap_or(Duration::from_millis(20));
        let events = agreed.events.as_ref();
        let codes = events.and_then(|events| events.fmtp.as_deref());
        Ok(Self {
            remote: SocketAddr::new(address, agreed.remote_port),
            remote_rtcp: SocketAddr::new(address, agreed.remote_rtcp_port),
            mux: agreed.rtcp_mux,
            direction: agreed.direction,
            unreachable: agreed.unreachable,
            codecs,
            events: events.and_then(numbers),
            // Without a list it is 0 to 15 (RFC 4733 section 2.5.1.1).
            event_codes: codes.map_or(0xffff, event_codes),
            noise,
            ptime,
            keys,
        })
    }

    /// A plain stream of one codec with these payload types, both ways.
    pub fn of(codec: Codec, payload_type: u8, remote: SocketAddr) -> Self {
        let clock = codec.clock();
        let format = Format { kind: codec, send: payload_type, receive: payload_type, clock };
        let rtcp = SocketAddr::new(remote.ip(), remote.port().saturating_add(1));
        Self {
            remote,
            remote_rtcp: rtcp,
            mux: false,
            direction: Direction::SendRecv,
            unreachable: false,
            codecs: vec![format],
            events: None,
            event_codes: 0xffff,
            noise: None,
            ptime: Duration::from_millis(20),
            keys: None,
        }
    }

    /// Whether the peer takes a telephone event.
    pub fn takes_event(&self, code: u8) -> bool {
        self.events.is_some() && self.event_codes >> code.min(63) & 1 == 1
    }

    /// Whether anything is sent at all.
    pub(super) fn sends(&self) -> bool {
        self.direction.sends() && !self.unreachable
    }

    /// How many ms of audio a packet of this codec holds: tens of them, and for Opus the length of
    /// one of its frames.
    pub(super) fn ptime_for(&self, codec: Codec) -> u32 {
        let wanted = u32::try_from(self.ptime.as_millis()).unwrap_or(MAX_PTIME);
        let wanted = wanted.clamp(10, MAX_PTIME) / 10 * 10;
        match codec {
            Codec::Opus => [60, 40, 20].into_iter().find(|ptime| *ptime <= wanted).unwrap_or(10),
            _ => wanted,
        }
    }
}

fn codec(format: &AgreedFormat) -> Option<Format> {
    let codec = Codec::of_name(&format.name, format.clock)?;
    // G.711 and G.722 of two channels are other formats; Opus always says two.
    let channels = if codec == Codec::Opus { 2 } else { 1 };
    let numbers = numbers(format).filter(|_| format.channels == channels)?;
    Some(Format { kind: codec, send: numbers.send, receive: numbers.receive, clock: numbers.clock })
}

fn numbers(format: &AgreedFormat) -> Option<Format<()>> {
    let number = |text: &str| text.parse().ok().filter(|number: &u8| *number < 128);
    let (send, receive) = (number(&format.send)?, number(&format.receive)?);
    Some(Format { kind: (), send, receive, clock: format.clock })
}

/// A list such as `0-15,66` (RFC 4733 section 2.4.1); codes over 63 are not kept.
fn event_codes(list: &[u8]) -> u64 {
    let list = str::from_utf8(list).unwrap_or_default();
    // Some write it as a parameter.
    let list = list.strip_prefix("events=").unwrap_or(list);
    let mut codes = 0;
    for part in list.split(',').map(str::trim) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (Ok(from), Ok(to)) = (from.parse::<u8>(), to.parse::<u8>()) else { continue };
        (from..=to).filter(|code| *code < 64).for_each(|code| codes |= 1 << code);
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Suite;
    use towel_sdp::Limits;
    use towel_sdp::offer_answer::{
        Codec as Offered, Formats, Identity, Negotiation, Plan, Stream as Wanted,
    };

    /// What two ends agree on, as the first sees it.
    fn agreed(ours: Wanted, theirs: Wanted) -> Vec<AgreedStream> {
        let us = |n: u8| IpAddr::from([192, 0, 2, n]);
        let who = |n| Identity { username: "-".into(), session_id: 1, version: 1, address: us(n) };
        let mut ford = Negotiation::new(who(1), Limits::default());
        let mut zaphod = Negotiation::new(who(2), Limits::default());
        let offer = ford.offer(&Plan::new(us(1)).with(ours)).unwrap();
        zaphod.receive_offer(&offer).unwrap();
        let answer = zaphod.answer(&Plan::new(us(2)).with(theirs)).unwrap();
        ford.receive_answer(&answer).unwrap();
        ford.streams().to_vec()
    }

    #[test]
    fn a_stream_is_made_of_what_was_agreed() {
        let codecs = |events| {
            let noise = Offered::new("CN", 8000, 13);
            let all = [Codec::Opus, Codec::G722, Codec::Pcmu].map(|codec| codec.offered(111));
            [&all[1..], &[noise, Offered::telephone_event(8000, events)], &all[..1]].concat()
        };
        let ours = Wanted { rtcp_mux: true, ..Wanted::audio(4000, codecs(101)) };
        let theirs = Wanted { ptime: 30, rtcp_mux: true, ..Wanted::audio(5000, codecs(97)) };
        let streams = agreed(ours, theirs);
        let stream = Stream::agreed(&streams[0], None).unwrap();
        assert_eq!((stream.remote, stream.mux), ("192.0.2.2:5000".parse().unwrap(), true));
        let kinds: Vec<_> = stream.codecs.iter().map(|format| format.kind).collect();
        assert_eq!(kinds, [Codec::G722, Codec::Pcmu, Codec::Opus]);
        assert_eq!(stream.noise.map(|noise| noise.send), Some(13));
        assert!(stream.events.is_some() && stream.takes_event(15) && !stream.takes_event(16));
        assert_eq!(stream.ptime_for(Codec::Pcmu), 30);
        assert_eq!(stream.ptime_for(Codec::Opus), 20);
        assert_eq!(
            Stream::agreed(&streams[0], Some(keys())).unwrap_err().to_string(),
            "RTP/AVP does not go with the keys that are there"
        );
    }

    fn keys() -> Keys {
        let line = |n| CryptoLine::new(1, Suite::AesCm128HmacSha1_80, &[n; 30]);
        Keys { ours: line(1), theirs: line(2) }
    }

    #[test]
    fn keys_go_with_savp_and_a_codec_must_be_known() {
        let wanted = |port, name| {
            let codec = match name {
                "PCMA" => Offered::pcma(),
                name => Offered::new(name, 8000, 98),
            };
            Wanted::new("audio", "RTP/SAVP", port, Formats::Rtp(vec![codec]))
        };
        let protected = agreed(wanted(4000, "PCMA"), wanted(5000, "PCMA"));
        assert!(Stream::agreed(&protected[0], Some(keys())).is_ok());
        assert!(matches!(Stream::agreed(&protected[0], None), Err(StreamFault::Transport(_))));
        let unknown = agreed(wanted(4000, "iLBC"), wanted(5000, "iLBC"));
        assert_eq!(Stream::agreed(&unknown[0], Some(keys())), Err(StreamFault::NoCodec));
    }

    #[test]
    fn lists_of_events() {
        assert_eq!(event_codes(b"0-3,5"), 0b10_1111);
        assert_eq!(event_codes(b"events=0-15"), 0xffff);
        assert_eq!(event_codes(b"60-255, 1,x,9-2"), 0xf << 60 | 2);
    }
}
