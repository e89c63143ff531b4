//! What a call's two ends agree on: offer and answer (RFC 3264) for one stream of audio.

use std::fmt;
use std::net::IpAddr;

use towel_media::codec::Codec;
use towel_media::session::{Stream, StreamFault};
use towel_sdp::Limits;
use towel_sdp::offer_answer::{Codec as Offered, Identity, Negotiation, Plan, Refused, State};

/// Where Opus and telephone events are offered.
const OPUS: u8 = 96;
const EVENTS: u8 = 101;

/// Why there is nothing to agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The description cannot be worked with, or came at a wrong time.
    Description(Refused),
    /// No stream of audio is wanted by both.
    NoAudio,
    /// There is one, but it cannot be had.
    Stream(StreamFault),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Description(refused) => refused.fmt(f),
            Unfit::NoAudio => f.write_str("there is no audio that both ends can do"),
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

/// Offer and answer of one call.
#[derive(Debug)]
pub struct Terms {
    negotiation: Negotiation,
    plan: Plan,
}

impl Terms {
    /// Audio at this address and port, with these codecs and telephone events. `session` is a number
    /// that nobody else at this address has.
    pub fn new(address: IpAddr, port: u16, codecs: &[Codec], session: u64) -> Terms {
        let mut offered: Vec<Offered> = codecs.iter().map(|codec| codec.offered(OPUS)).collect();
        offered.push(Offered::telephone_event(8000, EVENTS));
        let identity = Identity {
            username: "-".into(),
            // Some read it into 63 bits (RFC 8866 section 5.2 suggests a time).
            session_id: session >> 2,
            version: 1,
            address,
        };
        let audio = towel_sdp::offer_answer::Stream::audio(port, offered);
        Terms {
            negotiation: Negotiation::new(identity, Limits::default()),
            plan: Plan::new(address).with(audio),
        }
    }

    /// An offer.
    ///
    /// # Errors
    /// If one is under way.
    pub fn offer(&mut self) -> Result<Vec<u8>, Unfit> {
        Ok(self.negotiation.offer(&self.plan)?)
    }

    /// Whether an offer of ours waits for its answer.
    pub fn waits(&self) -> bool {
        self.negotiation.state() == State::OfferSent
    }

    /// The peer's answer to our offer.
    ///
    /// # Errors
    /// If it cannot be worked with.
    pub fn take_answer(&mut self, sdp: &[u8]) -> Result<Stream, Unfit> {
        self.negotiation.receive_answer(sdp)?;
        self.stream()
    }

    /// What carried our offer came to nothing.
    pub fn refused(&mut self) {
        let _ = self.negotiation.refused();
    }

    /// Answers the peer's offer. If it cannot be met it is refused, and what held before holds.
    ///
    /// # Errors
    /// If it cannot be met.
    pub fn answer(&mut self, offer: &[u8]) -> Result<(Vec<u8>, Stream), Unfit> {
        let before = self.negotiation.mark();
        self.negotiation.receive_offer(offer)?;
        let done = self.meet();
        if done.is_err() {
            let _ = self.negotiation.roll_back(before);
        }
        done
    }

    fn meet(&mut self) -> Result<(Vec<u8>, Stream), Unfit> {
        if self.negotiation.acceptable(&self.plan)? == 0 {
            return Err(Unfit::NoAudio);
        }
        let answer = self.negotiation.answer(&self.plan)?;
        Ok((answer, self.stream()?))
    }

    fn stream(&self) -> Result<Stream, Unfit> {
        let streams = self.negotiation.streams();
        let audio = streams.iter().find(|stream| stream.media == "audio").ok_or(Unfit::NoAudio)?;
        Stream::agreed(audio, None).map_err(Unfit::Stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(n: u8, codecs: &[Codec]) -> Terms {
        Terms::new(IpAddr::from([192, 0, 2, n]), 4000 + u16::from(n), codecs, 42)
    }

    #[test]
    fn two_ends_agree_and_change_it() {
        let (mut ford, mut zaphod) = (terms(1, &Codec::ALL), terms(2, &[Codec::Pcmu, Codec::Pcma]));
        let offer = ford.offer().unwrap();
        assert!(ford.waits());
        let (answer, theirs) = zaphod.answer(&offer).unwrap();
        let ours = ford.take_answer(&answer).unwrap();
        assert!(!ford.waits());
        assert_eq!(ours.remote, "192.0.2.2:4002".parse().unwrap());
        assert_eq!(theirs.remote, "192.0.2.1:4001".parse().unwrap());
        assert_eq!((ours.codecs[0].kind, theirs.codecs[0].kind), (Codec::Pcma, Codec::Pcma));
        let again = zaphod.offer().unwrap();
        let (answer, _) = ford.answer(&again).unwrap();
        assert_eq!(zaphod.take_answer(&answer).unwrap().remote, theirs.remote);
    }

    #[test]
    fn what_nobody_here_can_do_is_refused_and_another_offer_is_met() {
        let mut zaphod = terms(2, &[Codec::Pcma]);
        let offer = terms(1, &[Codec::Opus]).offer().unwrap();
        // Telephone events alone are no audio.
        assert!(zaphod.answer(&offer).is_err());
        assert!(zaphod.answer(b"v=nonsense").is_err());
        assert!(zaphod.answer(&terms(1, &[Codec::Pcma]).offer().unwrap()).is_ok());
    }
}
