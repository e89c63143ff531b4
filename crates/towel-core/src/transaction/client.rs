//! A client transaction's slot.

use crate::io::{Flow, ListenerId, Transport};
use crate::locating::{LookupId, Target, Targets};
use crate::time::TimerId;
use crate::transaction::machines::{invite_client, non_invite_client};
use crate::transaction::slab::Id;
use crate::transaction::table::{Action, Guards, Timer};

/// A request of ours with the transaction that it is in; only its handle, a
/// [`crate::stack::ClientId`], is seen outside. Where there are several targets there is one
/// transaction after the other (RFC 3263 section 4.3) under one handle.
#[derive(Debug)]
pub struct Client {
    pub(crate) machine: Machine,
    pub(crate) user: u64,
    pub(crate) request: Vec<u8>,
    /// The ACK for a non-2xx response, once there is one.
    pub(crate) ack: Vec<u8>,
    pub(crate) flow: Option<Flow>,
    /// Where it is being sent now.
    pub(crate) target: Option<Target>,
    /// Where to try before the next of `targets`: UDP after TCP was chosen for size alone.
    pub(crate) fallback: Option<Target>,
    pub(crate) targets: Targets,
    pub(crate) lookup: Option<LookupId>,
    pub(crate) attempt: u8,
    /// The transaction of the attempt before, which goes on absorbing what belongs to it.
    pub(crate) previous: Option<Id<Client>>,
    /// The CANCEL for it.
    pub(crate) cancel: Option<Id<Client>>,
    /// A CANCEL is wanted as soon as one may be sent, with this Reason.
    pub(crate) cancelling: Option<Vec<u8>>,
    pub(crate) silent: bool,
    /// The request has been cut down to its method.
    pub(crate) compact: bool,
    /// What the Via says that stands in the request now.
    pub(crate) written: (Transport, ListenerId, u8),
    pub(crate) repeat: TimerId,
    pub(crate) end: TimerId,
    pub(crate) round: u32,
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
