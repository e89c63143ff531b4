//! A client transaction's slot.

use crate::io::{ListenerId, Transport};
use crate::locating::{LookupId, Target, Targets};
use crate::time::TimerId;
use crate::transaction::course::Course;
use crate::transaction::machines::{invite_client, non_invite_client};
use crate::transaction::slab::Id;
use crate::transaction::table::{Action, Guards, Timer};

/// A request of ours with the transaction that it is in; only its handle, a
/// [`crate::stack::ClientId`], is seen outside. Where there are several targets there is one
/// transaction after the other (RFC 3263 section 4.3) under one handle.
///
/// Tens of thousands that are over linger for half a minute: what only an open one needs is given back
/// with the final response.
#[derive(Debug)]
pub struct Client {
    pub(crate) machine: Machine,
    pub(crate) silent: bool,
    pub(crate) attempt: u8,
    pub(crate) round: u8,
    /// The method of the request.
    pub(crate) method: Word,
    pub(crate) user: u64,
    pub(crate) flow: Option<Course>,
    /// The transaction of the attempt before, which goes on absorbing what belongs to it.
    pub(crate) previous: Option<Id<Client>>,
    /// The CANCEL for it.
    pub(crate) cancel: Option<Id<Client>>,
    pub(crate) repeat: TimerId,
    pub(crate) end: TimerId,
    /// The ACK for a non-2xx response, once there is one.
    pub(crate) ack: Vec<u8>,
    /// Until the final response has come.
    pub(crate) work: Option<Box<Work>>,
}

/// What a client transaction needs that may have to send its request, or make another of it.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) request: Vec<u8>,
    /// Where it is being sent now.
    pub(crate) target: Option<Target>,
    /// Where to try before the next of `targets`: UDP after TCP was chosen for size alone.
    pub(crate) fallback: Option<Target>,
    pub(crate) targets: Targets,
    pub(crate) lookup: Option<LookupId>,
    /// A CANCEL is wanted as soon as one may be sent, with this Reason.
    pub(crate) cancelling: Option<Vec<u8>>,
    /// What the Via says that stands in the request now.
    pub(crate) written: (Transport, ListenerId, u8),
    /// Its place among those that were sent to about the same address and not answered.
    pub(crate) near: Option<Near>,
}

/// A place in a list: which list, and the slots beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near {
    pub(crate) list: u32,
    pub(crate) next: u32,
    pub(crate) previous: u32,
}

impl Work {
    pub(crate) fn new(request: Vec<u8>, transport: Transport, listener: ListenerId) -> Work {
        Work {
            request,
            target: None,
            fallback: None,
            targets: Targets::default(),
            lookup: None,
            cancelling: None,
            written: (transport, listener, 0),
            near: None,
        }
    }
}

impl Client {
    /// A request that is about to be sent.
    pub(crate) fn new(machine: Machine, user: u64, work: Box<Work>) -> Client {
        Client {
            machine,
            silent: false,
            attempt: 0,
            round: 0,
            method: Word::new(method_of(&work.request)),
            user,
            flow: None,
            previous: None,
            cancel: None,
            repeat: TimerId::NONE,
            end: TimerId::NONE,
            ack: Vec::new(),
            work: Some(work),
        }
    }

    /// What is left of an attempt that was refused, in a slot of its own: it goes on acknowledging.
    pub(crate) fn rest(&mut self) -> Client {
        Client {
            machine: self.machine,
            silent: true,
            attempt: self.attempt,
            round: 0,
            method: self.method.clone(),
            user: 0,
            flow: self.flow,
            previous: self.previous,
            cancel: None,
            repeat: TimerId::NONE,
            end: TimerId::NONE,
            ack: std::mem::take(&mut self.ack),
            work: None,
        }
    }

    /// Whether its requests go by a transport that takes care of loss.
    pub(crate) fn is_reliable(&self) -> bool {
        self.flow.is_some_and(|flow| flow.transport.reliable())
    }

    /// Where it is being sent now.
    pub(crate) fn target(&self) -> Option<&Target> {
        self.work.as_ref()?.target.as_ref()
    }

    /// Whether its CANCEL was asked for.
    pub(crate) fn is_cancelling(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.cancelling.is_some())
    }
}

/// The method of a request as it is written.
pub(crate) fn method_of(request: &[u8]) -> &[u8] {
    request.split(|byte| *byte == b' ').next().unwrap_or_default()
}

/// A short word, kept in place where it is no longer than a method usually is.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    Short(u8, [u8; 22]),
    Long(Box<[u8]>),
}

impl Word {
    pub(crate) fn new(text: &[u8]) -> Word {
        let mut short = [0; 22];
        match short.get_mut(..text.len()) {
            Some(room) => {
                room.copy_from_slice(text);
                Word::Short(text.len() as u8, short)
            }
            None => Word::Long(text.into()),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Word::Short(length, text) => text.get(..usize::from(*length)).unwrap_or_default(),
            Word::Long(text) => text,
        }
    }
}

/// Which machine, and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    Invite(invite_client::State),
    Other(non_invite_client::State),
    /// No transaction: an ACK for a 2xx, or what a stateless proxy forwards, waiting for its
    /// target to be located.
    Once,
}

/// What happens to a client transaction of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Provisional,
    Success,
    Failure,
    Transport,
    Cancelling,
    Withdrawn,
    Due(Timer),
}

impl Machine {
    pub(crate) fn for_request(request: &[u8]) -> Machine {
        if request.starts_with(b"INVITE ") {
            Machine::Invite(invite_client::State::Calling)
        } else {
            Machine::Other(non_invite_client::State::Trying)
        }
    }

    /// Back to the first state, for the next attempt.
    pub(crate) fn restarted(self) -> Machine {
        match self {
            Machine::Invite(_) => Machine::Invite(invite_client::State::Calling),
            Machine::Other(_) => Machine::Other(non_invite_client::State::Trying),
            Machine::Once => Machine::Once,
        }
    }

    /// Goes on; `None` if the event is refused.
    pub(crate) fn step(&mut self, event: Event, reliable: bool) -> Option<&'static [Action]> {
        match self {
            Machine::Invite(state) => {
                use invite_client::Event as E;
                let event = match event {
                    Event::Provisional => E::Provisional,
                    Event::Success => E::Success,
                    Event::Failure => E::Failure,
                    Event::Transport => E::Transport,
                    Event::Cancelling => E::Cancelling,
                    Event::Withdrawn => E::Withdrawn,
                    Event::Due(Timer::A) => E::A,
                    Event::Due(Timer::B) => E::B,
                    Event::Due(Timer::D) => E::D,
                    Event::Due(Timer::M) => E::M,
                    Event::Due(Timer::Cancelled) => E::Cancelled,
                    Event::Due(_) => return None,
                };
                let (to, actions) = invite_client::step(*state, event, Guards { reliable })?;
                *state = to;
                Some(actions)
            }
            Machine::Other(state) => {
                use non_invite_client::Event as E;
                let event = match event {
                    Event::Provisional => E::Provisional,
                    Event::Success | Event::Failure => E::Final,
                    Event::Transport => E::Transport,
                    Event::Withdrawn => E::Withdrawn,
                    Event::Due(Timer::E) => E::E,
                    Event::Due(Timer::F) => E::F,
                    Event::Due(Timer::K) => E::K,
                    Event::Cancelling | Event::Due(_) => return None,
                };
                let (to, actions) = non_invite_client::step(*state, event, Guards { reliable })?;
                *state = to;
                Some(actions)
            }
            Machine::Once => None,
        }
    }

    pub(crate) fn is_terminated(self) -> bool {
        matches!(
            self,
            Machine::Invite(invite_client::State::Terminated)
                | Machine::Other(non_invite_client::State::Terminated)
        )
    }

    pub(crate) fn is_invite(self) -> bool {
        matches!(self, Machine::Invite(_))
    }

    /// Whether nothing at all has been heard.
    pub(crate) fn is_unanswered(self) -> bool {
        matches!(
            self,
            Machine::Invite(invite_client::State::Calling)
                | Machine::Other(non_invite_client::State::Trying)
        )
    }

    /// Whether the request may still be sent, or made an ACK or CANCEL of.
    pub(crate) fn needs_request(self) -> bool {
        self == Machine::Once || self.is_unanswered() || self.is_proceeding()
    }

    /// Whether only provisional responses have been heard.
    pub(crate) fn is_proceeding(self) -> bool {
        matches!(
            self,
            Machine::Invite(invite_client::State::Proceeding)
                | Machine::Other(non_invite_client::State::Proceeding)
        )
    }
}
