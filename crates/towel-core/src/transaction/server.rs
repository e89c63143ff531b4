//! A server transaction's slot.

use towel_message::{Index, Limits, Message, Via};

use crate::hash::{Hasher, Key};
use crate::time::TimerId;
use crate::transaction::course::Course;
use crate::transaction::machines::{invite_server, non_invite_server};
use crate::transaction::table::{Action, Guards, Timer};

/// A server transaction; only its handle, a [`crate::stack::ServerId`], is seen outside.
///
/// Tens of thousands that are over linger for half a minute: what only an open one needs is given back
/// with its final response.
#[derive(Debug)]
pub struct Server {
    pub(crate) machine: Machine,
    /// The final response has been given, and the request is no more.
    pub(crate) compact: bool,
    /// Its branch is one of RFC 3261, so that its proof says all.
    pub(crate) unique: bool,
    pub(crate) round: u8,
    /// The port of sent-by: where to connect to if the connection is gone (section 18.2.2).
    pub(crate) port: u16,
    pub(crate) user: u64,
    /// Where the request came from.
    pub(crate) source: Course,
    /// Where responses go, where that is not where the request came from.
    pub(crate) elsewhere: Option<Box<Course>>,
    pub(crate) request: Vec<u8>,
    /// The last response, as long as it may have to be sent again.
    pub(crate) response: Vec<u8>,
    pub(crate) proof: Proof,
    pub(crate) repeat: TimerId,
    pub(crate) end: TimerId,
    /// Nothing is told of it: it is the stack's own (a CANCEL that it answered).
    pub(crate) silent: bool,
}

impl Server {
    /// Where responses go.
    pub(crate) fn reply(&self) -> &Course {
        self.elsewhere.as_deref().unwrap_or(&self.source)
    }

    /// Whether its responses go by a transport that takes care of loss.
    pub(crate) fn is_reliable(&self) -> bool {
        self.reply().transport.reliable()
    }
}

/// What a transaction is known by: a hash of 128 bits, under a key that nobody outside knows, of the
/// branch, the sent-by, the Call-ID and the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proof(u64, u64);

impl Proof {
    /// Its place in a table.
    pub(crate) fn hash(self) -> u32 {
        self.0 as u32
    }
}

/// Which of the two machines, and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    Invite(invite_server::State),
    Other(non_invite_server::State),
}

/// What happens to a server transaction of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Request,
    Ack,
    Provisional,
    Success,
    Failure,
    Transport,
    Dropped,
    Due(Timer),
}

impl Machine {
    /// Goes on; `None` if the event is refused.
    pub(crate) fn step(&mut self, event: Event, reliable: bool) -> Option<&'static [Action]> {
        match self {
            Machine::Invite(state) => {
                use invite_server::Event as E;
                let event = match event {
                    Event::Request => E::Request,
                    Event::Ack => E::Ack,
                    Event::Provisional => E::Provisional,
                    Event::Success => E::Success,
                    Event::Failure => E::Failure,
                    Event::Transport => E::Transport,
                    Event::Dropped => E::Dropped,
                    Event::Due(Timer::Trying) => E::Trying,
                    Event::Due(Timer::G) => E::G,
                    Event::Due(Timer::H) => E::H,
                    Event::Due(Timer::I) => E::I,
                    Event::Due(Timer::L) => E::L,
                    Event::Due(_) => return None,
                };
                let (to, actions) = invite_server::step(*state, event, Guards { reliable })?;
                *state = to;
                Some(actions)
            }
            Machine::Other(state) => {
                use non_invite_server::Event as E;
                let event = match event {
                    Event::Request => E::Request,
                    Event::Ack => return None,
                    Event::Provisional => E::Provisional,
                    Event::Success | Event::Failure => E::Final,
                    Event::Transport => E::Transport,
                    Event::Dropped => E::Dropped,
                    Event::Due(Timer::Trying) => E::Trying,
                    Event::Due(Timer::J) => E::J,
                    Event::Due(Timer::Unanswered) => E::Unanswered,
                    Event::Due(_) => return None,
                };
                let (to, actions) = non_invite_server::step(*state, event, Guards { reliable })?;
                *state = to;
                Some(actions)
            }
        }
    }

    pub(crate) fn is_terminated(self) -> bool {
        matches!(
            self,
            Machine::Invite(invite_server::State::Terminated)
                | Machine::Other(non_invite_server::State::Terminated)
        )
    }

    pub(crate) fn is_invite(self) -> bool {
        matches!(self, Machine::Invite(_))
    }

    pub(crate) fn is_accepted(self) -> bool {
        matches!(self, Machine::Invite(invite_server::State::Accepted))
    }

    /// Whether no final response has been given yet.
    pub(crate) fn is_open(self) -> bool {
        matches!(
            self,
            Machine::Invite(invite_server::State::Proceeding)
                | Machine::Other(
                    non_invite_server::State::Trying | non_invite_server::State::Proceeding
                )
        )
    }
}

/// What an INVITE and its CANCEL, and a request and its retransmissions, have in common and no other
/// request has: a hash that is not finished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity(Hasher);

impl Identity {
    pub(crate) fn new(key: Key, message: Message<'_>, via: Option<&Via<'_>>) -> Self {
        let mut hasher = Hasher::new(key);
        match via.and_then(|via| Some((via.unique_branch()?, via.sent_by))) {
            // The Call-ID as well: a branch that comes again with another is no retransmission but
            // the work of a peer whose branches are not unique (RFC 4475 has many of that kind), and
            // the answer to one call is no business of another.
            Some((branch, sent_by)) => {
                hasher.folded(branch).folded(sent_by).field(message.call_id().unwrap_or_default())
            }
            None => {
                let number = message.cseq().map_or(0, |cseq| cseq.number);
                hasher
                    .field(message.call_id().unwrap_or_default())
                    .field(message.from_tag().unwrap_or_default())
                    .bytes(&number.to_le_bytes())
            }
        };
        Identity(hasher)
    }

    /// A hash for all to see: that of a request without a method, which is asked for by none.
    pub(crate) fn told(self) -> u64 {
        let Identity(mut hasher) = self;
        hasher.field(b"").finish()
    }
}

/// What an incoming request is matched by (RFC 3261 section 17.2.3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) message: Message<'a>,
    pub(crate) via: Via<'a>,
    /// The method of the transaction that is looked for: INVITE for an ACK.
    pub(crate) method: &'a [u8],
    pub(crate) proof: Proof,
}

impl<'a> Question<'a> {
    pub(crate) fn new(who: Identity, message: Message<'a>, via: Via<'a>, method: &'a [u8]) -> Self {
        let Identity(mut hasher) = who;
        let (first, second) = hasher.field(method).finish_twice();
        Question { message, via, method, proof: Proof(first, second) }
    }

    /// Whether a transaction is the one that is looked for.
    pub(crate) fn is(&self, server: &Server, index: &mut Index, limits: &Limits) -> bool {
        if server.proof != self.proof || server.unique != self.via.unique_branch().is_some() {
            return false;
        }
        server.unique || self.is_by_old_rules(server, index, limits)
    }

    /// The rules for a peer of RFC 2543, whose branch says little.
    fn is_by_old_rules(&self, server: &Server, index: &mut Index, limits: &Limits) -> bool {
        let Ok(first) = Message::parse(&server.request, index, limits) else { return false };
        let Ok(via) = first.top_via() else { return false };
        let again = self.message;
        let same = |a: Option<&[u8]>, b: Option<&[u8]>| match (a, b) {
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        if first.method().as_bytes() != self.method
            || !same(via.branch(), self.via.branch())
            || !via.sent_by.eq_ignore_ascii_case(self.via.sent_by)
        {
            return false;
        }
        let number = |message: Message<'_>| message.cseq().map(|cseq| cseq.number).ok();
        if first.request_uri() != again.request_uri()
            || first.call_id() != again.call_id()
            || first.from_tag() != again.from_tag()
            || number(first) != number(again)
        {
            return false;
        }
        if again.method().as_bytes() != b"ACK" {
            return first.to_tag() == again.to_tag();
        }
        // The To tag of an ACK is that of the response which it is for.
        let Ok(response) = Message::parse(&server.response, index, limits) else { return false };
        response.to_tag() == again.to_tag()
    }
}
