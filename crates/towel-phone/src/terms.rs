//! What a call's two ends agree on: offer and answer (RFC 3264) for one stream of audio.

mod keys;

use std::fmt;
use std::net::IpAddr;

use towel_media::codec::Codec;
use towel_media::session::{Stream, StreamFault};
use towel_sdp::offer_answer::{
    Agreed, AgreedStream, Codec as Offered, Hold, Identity, Negotiation, Plan, Refused, State,
};
use towel_sdp::{Description, Limits};

use keys::Ring;

/// Where Opus and telephone events are offered.
const OPUS: u8 = 96;
const EVENTS: u8 = 101;
/// Comfort noise at 8000 Hz (RFC 3551 section 6).
const NOISE: u8 = 13;
/// The extended reports that are sent, and asked for (RFC 3611 section 5.1).
const REPORTS: &str = "rtcp-xr:rcvr-rtt=all voip-metrics";

/// Whether audio is protected by SRTP with keys in SDP (RFC 4568).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Srtp {
    /// It is not.
    #[default]
    Off,
    /// It is offered, and if the peer cannot do it the call is made again without; an offer of either
    /// is taken.
    Offer,
    /// It is, or there is no call.
    Require,
}

/// What is wanted of the audio of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wants {
    /// The codecs, the preferred first.
    pub codecs: Vec<Codec>,
    /// Whether it is protected.
    pub srtp: Srtp,
    /// Whether RTP and RTCP may share a port (RFC 5761).
    pub mux: bool,
    /// Whether comfort noise is offered (RFC 3389).
    pub noise: bool,
    /// Whether extended reports are (RFC 3611).
    pub extended_reports: bool,
}

impl Default for Wants {
    /// All codecs, comfort noise, one port, extended reports, no keys.
    fn default() -> Wants {
        Wants {
            codecs: vec![Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu],
            srtp: Srtp::Off,
            mux: true,
            noise: true,
            extended_reports: true,
        }
    }
}

/// Why there is nothing to agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The description cannot be worked with, or came at a wrong time.
    Description(Refused),
    /// No stream of audio is offered.
    NoAudio,
    /// None of the offered codecs is known, or the peer wants none of ours.
    NoCodec,
    /// Audio is offered by another transport: this one.
    Transport(String),
    /// There are no keys, or none that can be used; why.
    Keys(String),
    /// There is a stream, but it cannot be had.
    Stream(StreamFault),
}

impl Unfit {
    /// The code of a Warning that says so (RFC 3261 section 20.43).
    pub fn warning(&self) -> u16 {
        match self {
            Unfit::Transport(_) => 302,
            Unfit::NoAudio => 304,
            Unfit::NoCodec => 305,
            Unfit::Keys(_) => 306,
            Unfit::Stream(StreamFault::Address(_)) => 301,
            Unfit::Stream(StreamFault::Transport(_)) => 302,
            Unfit::Stream(StreamFault::NoCodec) => 305,
            Unfit::Description(_) => 399,
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Description(refused) => refused.fmt(f),
            Unfit::NoAudio => f.write_str("there is no stream of audio"),
            Unfit::NoCodec => f.write_str("there is no codec that both ends can do"),
            Unfit::Transport(proto) => write!(f, "audio over {proto} is not taken here"),
            Unfit::Keys(why) => f.write_str(why),
            Unfit::Stream(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for Unfit {}

impl From<Refused> for Unfit {
    fn from(refused: Refused) -> Unfit {
        Unfit::Description(refused)
    }
}

/// A stream that was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accord {
    /// The stream.
    pub stream: Stream,
    /// The peer wants extended reports (RFC 3611 section 5.2).
    pub extended_reports: bool,
}

/// Offer and answer of one call.
#[derive(Clone, Debug)]
pub struct Terms {
    negotiation: Negotiation,
    plan: Plan,
    srtp: Srtp,
    reports: bool,
    ring: Ring,
}

impl Terms {
    /// Audio at this address and port. `session` is a number that nobody else at this address has.
    pub fn new(address: IpAddr, port: u16, wants: &Wants, session: u64) -> Terms {
        let mut offered: Vec<Offered> =
            wants.codecs.iter().map(|codec| codec.offered(OPUS)).collect();
        // It has the clock of G.711 and G.722, and goes with nothing else (RFC 3389 section 4).
        if wants.noise && wants.codecs.iter().any(|codec| *codec != Codec::Opus) {
            offered.push(Offered::new("CN", 8000, NOISE));
        }
        offered.push(Offered::telephone_event(8000, EVENTS));
        let identity = Identity {
            username: "-".into(),
            // Some read it into 63 bits (RFC 8866 section 5.2 suggests a time).
            session_id: session >> 2,
            version: 1,
            address,
        };
        let mut audio = towel_sdp::offer_answer::Stream::audio(port, offered);
        audio.rtcp_mux = wants.mux;
        let (srtp, reports) = (wants.srtp, wants.extended_reports);
        let mut terms = Terms {
            negotiation: Negotiation::new(identity, Limits::default()),
            plan: Plan::new(address).with(audio),
            srtp,
            reports,
            ring: Ring::default(),
        };
        terms.write_plan(srtp != Srtp::Off);
        terms
    }

    /// An offer.
    ///
    /// # Errors
    /// If one is under way, or there are no random bytes for keys.
    pub fn offer(&mut self) -> Result<Vec<u8>, Unfit> {
        if self.is_protected() {
            self.ring.offer()?;
            self.write_plan(true);
        }
        Ok(self.negotiation.offer(&self.plan)?)
    }

    /// Whether an offer of ours waits for its answer.
    pub fn waits(&self) -> bool {
        self.negotiation.state() == State::OfferSent
    }

    /// Whether something is agreed on and nothing else is under way.
    pub fn is_agreed(&self) -> bool {
        self.negotiation.state() == State::Agreed
    }

    /// Puts the peer on hold with the next offer, or takes it off hold. While it is on hold it still
    /// hears what is played, and is not heard (RFC 3264 section 8.4).
    pub fn hold(&mut self, hold: bool) {
        self.plan.hold(if hold { Hold::Playing } else { Hold::Off });
    }

    /// Whether the peer is on hold by our wish.
    pub fn holds(&self) -> bool {
        self.plan.streams.first().is_some_and(|stream| stream.hold != Hold::Off)
    }

    /// The peer's answer to our offer.
    ///
    /// # Errors
    /// If it cannot be worked with, or refuses the stream ([`Unfit::NoAudio`]).
    pub fn take_answer(&mut self, sdp: &[u8]) -> Result<Accord, Unfit> {
        self.negotiation.receive_answer(sdp)?;
        self.accord()
    }

    /// What an unreliable response shows of the answer (RFC 6337 section 3.1.1).
    ///
    /// # Errors
    /// If it cannot be worked with.
    pub fn take_preview(&mut self, sdp: &[u8]) -> Result<Accord, Unfit> {
        self.negotiation.receive_preview(sdp)?;
        let streams = self.negotiation.early_streams();
        let audio = streams.iter().find(|stream| stream.media == "audio").ok_or(Unfit::NoAudio)?;
        // No key of the plan is settled by what may still change.
        let mut ring = self.ring.clone();
        let remote = Description::parse(sdp, &Limits::default());
        let remote = remote.map_err(|fault| Unfit::Description(Refused::Peer(fault)))?;
        accord(audio, &remote, &mut ring, self.reports)
    }

    /// What carried our offer came to nothing.
    pub fn refused(&mut self) {
        let _ = self.negotiation.refused();
    }

    /// Answers the peer's offer. If it cannot be met it is refused, and what held before holds.
    ///
    /// # Errors
    /// If it cannot be met.
    pub fn answer(&mut self, offer: &[u8]) -> Result<(Vec<u8>, Accord), Unfit> {
        let before = (self.negotiation.mark(), self.ring.clone(), self.plan.clone());
        if self.negotiation.state() != State::OfferReceived {
            self.negotiation.receive_offer(offer)?;
        }
        let done = self.meet(offer);
        if done.is_err() {
            let (mark, ring, plan) = before;
            let _ = self.negotiation.roll_back(mark);
            (self.ring, self.plan) = (ring, plan);
        }
        done
    }

    /// Shows the answer in a response that may be lost; the answer itself will be the same.
    ///
    /// # Errors
    /// If the offer cannot be met.
    pub fn preview(&mut self, offer: &[u8]) -> Result<(Vec<u8>, Accord), Unfit> {
        self.negotiation.receive_offer(offer)?;
        let made = self.fit(offer).and_then(|()| {
            let shown = self.negotiation.preview(&self.plan)?;
            let streams = self.negotiation.early_streams();
            let audio = streams.iter().find(|stream| stream.media == "audio");
            let remote = Description::parse(offer, &Limits::default());
            let remote = remote.map_err(|fault| Unfit::Description(Refused::Peer(fault)))?;
            let audio = audio.ok_or(Unfit::NoAudio)?;
            let accord = accord(audio, &remote, &mut self.ring.clone(), self.reports)?;
            Ok((shown, accord))
        });
        if made.is_err() {
            let _ = self.negotiation.refuse();
        }
        made
    }

    /// Answers the peer's offer where it may not be refused as a whole: streams that cannot be met are
    /// refused one by one (RFC 6337 section 5.2.3). No accord: none is left.
    ///
    /// # Errors
    /// If there is nothing that can be answered.
    pub fn answer_anyhow(&mut self, offer: &[u8]) -> Result<(Vec<u8>, Option<Accord>), Unfit> {
        if let Ok((answer, accord)) = self.answer(offer) {
            return Ok((answer, Some(accord)));
        }
        self.negotiation.receive_offer(offer)?;
        Ok((self.negotiation.answer(&self.plan)?, None))
    }

    fn meet(&mut self, offer: &[u8]) -> Result<(Vec<u8>, Accord), Unfit> {
        self.fit(offer)?;
        let answer = self.negotiation.answer(&self.plan)?;
        Ok((answer, self.accord()?))
    }

    /// Has the plan fit the offer, if it can.
    fn fit(&mut self, offer: &[u8]) -> Result<(), Unfit> {
        let offered = Description::parse(offer, &Limits::default());
        let offered = offered.map_err(|fault| Unfit::Description(Refused::Peer(fault)))?;
        let wanted = |media: &towel_sdp::Media<'_>| {
            media.line().is_ok_and(|line| line.media == "audio" && line.port != 0)
        };
        let of = |proto: &str| {
            let same = |media: &towel_sdp::Media<'_>| {
                media.line().is_ok_and(|line| line.proto.eq_ignore_ascii_case(proto))
            };
            offered.media().find(|media| wanted(media) && same(media))
        };
        let protected = if self.srtp == Srtp::Off { None } else { of("RTP/SAVP") };
        match &protected {
            Some(media) => self.ring.answer(media)?,
            None if self.srtp == Srtp::Require || of("RTP/AVP").is_none() => {
                let other = offered.media().find(wanted);
                let proto = other.and_then(|media| Some(media.line().ok()?.proto.to_owned()));
                return Err(proto.map_or(Unfit::NoAudio, Unfit::Transport));
            }
            None => {}
        }
        self.write_plan(protected.is_some());
        match self.negotiation.acceptable(&self.plan)? {
            0 => Err(Unfit::NoCodec),
            _ => Ok(()),
        }
    }

    fn is_protected(&self) -> bool {
        self.plan.streams.first().is_some_and(|stream| stream.proto == "RTP/SAVP")
    }

    /// Writes the transport and what goes with it into the plan.
    fn write_plan(&mut self, protected: bool) {
        let Some(stream) = self.plan.streams.first_mut() else { return };
        stream.proto = if protected { "RTP/SAVP" } else { "RTP/AVP" }.into();
        stream.attributes.clear();
        if protected {
            stream.attributes.extend(self.ring.attributes());
        }
        if self.reports {
            stream.attributes.push(REPORTS.into());
        }
    }

    /// What holds now.
    fn accord(&mut self) -> Result<Accord, Unfit> {
        let streams = self.negotiation.streams();
        let audio = streams.iter().find(|stream| stream.media == "audio").ok_or(Unfit::NoAudio)?;
        let Some(Agreed { remote, .. }) = self.negotiation.agreed() else {
            return Err(Unfit::NoAudio);
        };
        let remote = Description::parse(remote, &Limits::default());
        let remote = remote.map_err(|fault| Unfit::Description(Refused::Peer(fault)))?;
        let accord = accord(audio, &remote, &mut self.ring, self.reports)?;
        let protected = accord.stream.keys.is_some();
        self.write_plan(protected);
        Ok(accord)
    }
}

/// What two descriptions agree on.
fn accord(
    audio: &AgreedStream,
    remote: &Description<'_>,
    ring: &mut Ring,
    reports: bool,
) -> Result<Accord, Unfit> {
    let media = remote.media_at(audio.index).ok_or(Unfit::NoAudio)?;
    let keys = match audio.proto.eq_ignore_ascii_case("RTP/SAVP") {
        true => Some(ring.settle(&media)?),
        false => None,
    };
    let stream = Stream::agreed(audio, keys).map_err(Unfit::Stream)?;
    let asks = |attribute: towel_sdp::Attribute<'_>| {
        attribute.is("rtcp-xr")
            && attribute.value.is_some_and(|value| {
                value.split(u8::is_ascii_whitespace).any(|one| one.starts_with(b"voip-metrics"))
            })
    };
    let extended_reports = reports
        && (media.section().attributes().any(asks) || remote.session().attributes().any(asks));
    Ok(Accord { stream, extended_reports })
}

#[cfg(test)]
mod tests;
