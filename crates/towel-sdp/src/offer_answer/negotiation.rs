//! Offer and answer with one peer: the state, and the descriptions.

use super::machine::{Action, Event, State, find};
use super::plan::Plan;
use super::slots::{Slot, restore, settle};
use super::{AgreedStream, judge, streams, write};
use crate::build::addrtype;
use crate::{BuildFault, Description, Fault, Limits, Origin, What};
use core::fmt;
use core::net::IpAddr;

/// Who we are in `o=`, the same for the life of a session (RFC 8866 section 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user name; `-` for none. No spaces.
    pub username: String,
    /// A number that nobody else at this address has: the time, or a random one.
    pub session_id: u64,
    /// The first version; less than 2^62 (RFC 3264 section 5).
    pub version: u64,
    /// Our address.
    pub address: IpAddr,
}

/// The two descriptions that hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Ours.
    pub local: Vec<u8>,
    /// The peer's.
    pub remote: Vec<u8>,
}

/// Why something was not done. The state is as it was, but for an unfit answer, which ends the
/// offer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// In this state this cannot happen: an offer while one waits (glare, or a mistake), or an
    /// answer without one.
    State {
        /// The state.
        state: State,
        /// What was to happen.
        event: Event,
    },
    /// The peer's description cannot be read, or breaks the rules.
    Peer(Fault),
    /// The plan holds what cannot be written.
    Plan(BuildFault),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { state, event } => write!(f, "{event:?} cannot be in state {state:?}"),
            Self::Peer(fault) => fault.fmt(f),
            Self::Plan(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for Refused {}

/// What held at one time, to be put back if a re-INVITE fails (RFC 6141 section 3.2).
#[derive(Clone, Debug)]
pub struct Mark {
    agreed: Option<Agreed>,
    slots: Vec<Slot>,
}

/// Offer and answer with one peer, in one dialog.
///
/// Commands are the methods that send; what the peer says is handed in. Which message a
/// description travels in is the caller's ([`super::ways`]), as is glare: an offer at the wrong
/// time is refused here, and the dialog knows whether that is a 491 or a 500.
#[derive(Clone, Debug)]
pub struct Negotiation {
    identity: Identity,
    limits: Limits,
    state: State,
    /// The last description that we sent, and its version. Never rolled back: a version is used
    /// once (RFC 6337 section 5.2.5).
    sent: Option<(u64, Vec<u8>)>,
    /// The last description from the peer.
    heard: Option<Vec<u8>>,
    offer: Vec<u8>,
    preview: Option<Vec<u8>>,
    agreed: Option<Agreed>,
    slots: Vec<Slot>,
    before: Vec<Slot>,
}

impl Negotiation {
    /// Nothing was said yet.
    pub const fn new(identity: Identity, limits: Limits) -> Self {
        Self {
            identity,
            limits,
            state: State::None,
            sent: None,
            heard: None,
            offer: Vec::new(),
            preview: None,
            agreed: None,
            slots: Vec::new(),
            before: Vec::new(),
        }
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The descriptions that hold.
    pub const fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// The streams that hold, with what we are to send and receive.
    pub fn streams(&self) -> Vec<AgreedStream> {
        let Some(agreed) = &self.agreed else { return Vec::new() };
        self.between(&agreed.local, &agreed.remote)
    }

    /// The streams as they will be if the answer is what was shown of it.
    pub fn early_streams(&self) -> Vec<AgreedStream> {
        match (&self.preview, self.state) {
            (Some(preview), State::OfferSent) => self.between(&self.offer, preview),
            (Some(preview), State::OfferReceived) => self.between(preview, &self.offer),
            _ => Vec::new(),
        }
    }

    fn between(&self, local: &[u8], remote: &[u8]) -> Vec<AgreedStream> {
        match (self.read(local), self.read(remote)) {
            (Ok(local), Ok(remote)) => streams(&local, &remote),
            _ => Vec::new(),
        }
    }

    fn read<'b>(&self, bytes: &'b [u8]) -> Result<Description<'b>, Fault> {
        // What we wrote ourselves is not held against the bounds for a peer.
        let max = usize::MAX;
        let own = Limits {
            max_bytes: max,
            max_lines: max,
            max_line: max,
            max_media: max,
            max_formats: max.saturating_sub(3),
        };
        Description::parse(bytes, &own)
    }

    fn peer<'b>(&self, bytes: &'b [u8]) -> Result<(Description<'b>, Vec<Fault>), Refused> {
        let description = Description::parse(bytes, &self.limits).map_err(Refused::Peer)?;
        let faults = description.check();
        match faults.iter().find(|fault| fault.is_broken()) {
            Some(fault) => Err(Refused::Peer(*fault)),
            None => Ok((description, faults)),
        }
    }

    /// Whether this may happen now.
    pub fn may(&self, event: Event) -> bool {
        find(self.state, event, self.agreed.is_some()).is_some()
    }

    fn allowed(&self, event: Event) -> Result<(), Refused> {
        match self.may(event) {
            true => Ok(()),
            false => Err(Refused::State { state: self.state, event }),
        }
    }

    /// Goes by the table. `body` is the description that the event is about.
    fn happen(&mut self, event: Event, body: Vec<u8>, mark: Option<Mark>) -> Result<(), Refused> {
        let before = mark.as_ref().map_or(self.agreed.is_some(), |mark| mark.agreed.is_some());
        let row =
            find(self.state, event, before).ok_or(Refused::State { state: self.state, event })?;
        let from = core::mem::replace(&mut self.state, row.to);
        let mut body = Some(body);
        let mut mark = mark;
        for action in row.actions {
            match action {
                Action::KeepOffer => self.offer = body.take().unwrap_or_default(),
                Action::KeepPreview => self.preview = body.take(),
                Action::Agree => self.agree(from, body.take().unwrap_or_default()),
                Action::DropOffer => {
                    self.offer = Vec::new();
                    self.preview = None;
                    if !row.actions.contains(&Action::Agree) {
                        self.slots = core::mem::take(&mut self.before);
                    }
                }
                Action::Restore => {
                    if let Some(mark) = mark.take() {
                        self.agreed = mark.agreed;
                        self.slots = restore(mark.slots, &self.slots);
                    }
                }
            }
        }
        Ok(())
    }

    fn agree(&mut self, from: State, answer: Vec<u8>) {
        let offer = core::mem::take(&mut self.offer);
        let mut slots = core::mem::take(&mut self.slots);
        if let (Ok(offered), Ok(answered)) = (self.read(&offer), self.read(&answer)) {
            settle(&mut slots, &offered, &answered);
        }
        self.slots = slots;
        self.before = Vec::new();
        self.agreed = Some(match from {
            State::OfferSent => Agreed { local: offer, remote: answer },
            _ => Agreed { local: answer, remote: offer },
        });
    }

    /// Writes a description with the version that it must have: the last one if it is the same
    /// as the last that was sent, otherwise one more (RFC 3264 section 8).
    fn versioned<T>(
        &self,
        make: impl Fn(&Origin<'_>) -> Result<T, BuildFault>,
        body: impl Fn(&T) -> &[u8],
    ) -> Result<(u64, T), Refused> {
        let made = |version: u64| {
            let Identity { username, session_id, address, .. } = &self.identity;
            let origin = Origin {
                username,
                session_id: &session_id.to_string(),
                version: &version.to_string(),
                nettype: "IN",
                addrtype: addrtype(*address),
                address: &address.to_string(),
            };
            make(&origin).map(|made| (version, made)).map_err(Refused::Plan)
        };
        match &self.sent {
            None => made(self.identity.version),
            Some((version, last)) => {
                let same = made(*version)?;
                match body(&same.1) == last.as_slice() {
                    true => Ok(same),
                    false => made(version.saturating_add(1)),
                }
            }
        }
    }

    /// Makes an offer from the plan and sends it.
    pub fn offer(&mut self, plan: &Plan) -> Result<Vec<u8>, Refused> {
        self.allowed(Event::SendOffer)?;
        let make = |origin: &Origin<'_>| write::offer(origin, plan, &self.slots);
        let (version, (body, slots)) = self.versioned(make, |made| &made.0)?;
        self.before = core::mem::replace(&mut self.slots, slots);
        self.sent = Some((version, body.clone()));
        self.happen(Event::SendOffer, body.clone(), None)?;
        Ok(body)
    }

    /// The peer's offer. Gives what is untidy in it.
    pub fn receive_offer(&mut self, body: &[u8]) -> Result<Vec<Fault>, Refused> {
        self.allowed(Event::ReceiveOffer)?;
        let (offer, mut faults) = self.peer(body)?;
        faults.extend(self.since(&offer));
        // The count that binds is that of the session: the peer may never have been heard, or
        // what it said last may have been refused.
        let (before, now) = (self.slots.len(), offer.media_count());
        let fewer = faults.iter().position(|f| matches!(f.what, What::FewerMedia { .. }));
        if let (Some(at), true) = (fewer, now >= before) {
            faults.remove(at);
        }
        if fewer.is_none() && now < before {
            faults.push(Fault::whole(What::FewerMedia { before, now }));
        }
        if let Some(fault) = faults.iter().find(|fault| fault.is_broken()) {
            return Err(Refused::Peer(*fault));
        }
        self.heard = Some(body.to_vec());
        self.before = self.slots.clone();
        self.happen(Event::ReceiveOffer, body.to_vec(), None)?;
        Ok(faults)
    }

    fn make_answer(&self, plan: &Plan) -> Result<(u64, write::Made), Refused> {
        let offer = self.read(&self.offer).map_err(Refused::Peer)?;
        let make = |origin: &Origin<'_>| write::answer(origin, plan, &self.slots, &offer);
        self.versioned(make, |made| &made.body)
    }

    /// How many streams of the peer's offer the plan accepts. None of some: the offer can be
    /// refused as a whole (RFC 6337 section 5.2.3).
    pub fn acceptable(&self, plan: &Plan) -> Result<usize, Refused> {
        self.allowed(Event::SendAnswer)?;
        Ok(self.make_answer(plan)?.1.accepted)
    }

    /// Makes the answer from the plan, to be shown in an unreliable response. The answer itself
    /// will be the same (RFC 6337 section 3.1.1), whatever is planned by then.
    pub fn preview(&mut self, plan: &Plan) -> Result<Vec<u8>, Refused> {
        self.allowed(Event::SendPreview)?;
        if let Some(preview) = &self.preview {
            return Ok(preview.clone());
        }
        let (version, made) = self.make_answer(plan)?;
        self.slots = made.slots;
        self.sent = Some((version, made.body.clone()));
        self.happen(Event::SendPreview, made.body.clone(), None)?;
        Ok(made.body)
    }

    /// Makes the answer from the plan and sends it; where it was shown before, that is the answer.
    pub fn answer(&mut self, plan: &Plan) -> Result<Vec<u8>, Refused> {
        self.allowed(Event::SendAnswer)?;
        if let Some(preview) = self.preview.clone() {
            self.happen(Event::SendAnswer, preview.clone(), None)?;
            return Ok(preview);
        }
        let (version, made) = self.make_answer(plan)?;
        self.slots = made.slots;
        self.sent = Some((version, made.body.clone()));
        self.happen(Event::SendAnswer, made.body.clone(), None)?;
        Ok(made.body)
    }

    /// The peer's answer. Gives what is untidy in it. One that cannot be worked with ends the
    /// offer, and what held before holds.
    pub fn receive_answer(&mut self, body: &[u8]) -> Result<Vec<Fault>, Refused> {
        self.allowed(Event::ReceiveAnswer)?;
        match self.judged(body) {
            Ok(faults) => {
                self.heard = Some(body.to_vec());
                self.happen(Event::ReceiveAnswer, body.to_vec(), None)?;
                Ok(faults)
            }
            Err(refused) => {
                self.happen(Event::ReceiveUnfit, Vec::new(), None)?;
                Err(refused)
            }
        }
    }

    /// What an unreliable response shows of the answer. One that cannot be worked with is refused
    /// and changes nothing; only the first counts (RFC 6337 section 3.1.1).
    pub fn receive_preview(&mut self, body: &[u8]) -> Result<Vec<Fault>, Refused> {
        self.allowed(Event::ReceivePreview)?;
        let faults = self.judged(body)?;
        if self.preview.is_none() {
            self.happen(Event::ReceivePreview, body.to_vec(), None)?;
        }
        Ok(faults)
    }

    /// What is wrong in the peer's description after those before: its `o=` follows what it said
    /// last, its payload types what was agreed.
    fn since(&self, now: &Description<'_>) -> Vec<Fault> {
        let said = self.heard.as_deref().and_then(|bytes| self.read(bytes).ok());
        let mut faults = said.map(|said| judge::next(&said, now)).unwrap_or_default();
        if let Some(Agreed { local, remote }) = &self.agreed
            && let (Ok(local), Ok(remote)) = (self.read(local), self.read(remote))
        {
            faults.extend(judge::remapped(&local, &remote, now));
        }
        faults
    }

    fn judged(&self, body: &[u8]) -> Result<Vec<Fault>, Refused> {
        let (answer, mut faults) = self.peer(body)?;
        let offer = self.read(&self.offer).map_err(Refused::Peer)?;
        faults.extend(judge::answer(&offer, &answer));
        // The number of lines is the offer's, and was held against it.
        faults.extend(self.since(&answer).into_iter().filter(|fault| !fault.is_broken()));
        match faults.iter().find(|fault| fault.is_broken()) {
            Some(fault) => Err(Refused::Peer(*fault)),
            None => Ok(faults),
        }
    }

    /// We refuse the peer's offer.
    pub fn refuse(&mut self) -> Result<(), Refused> {
        self.happen(Event::Refuse, Vec::new(), None)
    }

    /// The peer refuses our offer, or what carried it came to nothing.
    pub fn refused(&mut self) -> Result<(), Refused> {
        self.happen(Event::Refused, Vec::new(), None)
    }

    /// What holds now, to be put back if what begins now fails.
    pub fn mark(&self) -> Mark {
        Mark { agreed: self.agreed.clone(), slots: self.slots.clone() }
    }

    /// Puts back what held at the mark.
    pub fn roll_back(&mut self, mark: Mark) -> Result<(), Refused> {
        self.happen(Event::RollBack, Vec::new(), Some(mark))
    }
}
