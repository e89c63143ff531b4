//! What a user agent keeps: calls, dialogs, requests of either side, timers.

use towel_message::Name;

use super::event::Ending;
use super::template::Template;
use crate::contract::{Outline, Slots};
use crate::dialog::Dialog;
use crate::dialog::machines::{inviting, usage};
use crate::io::Flow;
use crate::stack::{ClientId, ServerId};
use crate::time::TimerId;
use crate::transaction::Id;

/// A call; only its handle is seen outside.
#[derive(Debug)]
pub struct Call {
    /// Where our INVITE stands; `None` for a call that came.
    pub(super) inviting: Option<inviting::State>,
    /// Our INVITE.
    pub(super) outgoing: Option<Id<Outgoing>>,
    /// The peer's INVITE.
    pub(super) incoming: Option<Id<Incoming>>,
    /// Dialogs that are early.
    pub(super) early: Vec<Id<Leg>>,
    /// The dialog of the session.
    pub(super) session: Option<Id<Leg>>,
    /// When it has rung for long enough.
    pub(super) ringing: Option<Id<Timed>>,
    /// The user gave it up.
    pub(super) given_up: bool,
    /// Whether its end has been told.
    pub(super) told: bool,
}

/// A dialog with what a user agent keeps with it; only its handle is seen outside.
#[derive(Debug)]
pub struct Leg {
    pub(super) dialog: Dialog,
    pub(super) call: Option<Id<Call>>,
    /// The INVITE usage, if it has one.
    pub(super) usage: Option<usage::State>,
    /// How many requests are under way in it, either way.
    pub(super) open: u32,
    /// The peer's INVITE that has no final response, or whose 2xx is not acknowledged.
    pub(super) invite: Option<Id<Incoming>>,
    /// Our re-INVITE.
    pub(super) reinvite: Option<Id<Outgoing>>,
    /// An ACK that waits for the answer which it is to carry.
    pub(super) unacked: Option<Unacked>,
    /// A request of an extension's that waits for its answer.
    pub(super) unanswered: Option<(&'static str, Outline)>,
    /// Our Contact's user part, as the peer knows it.
    pub(super) contact: Box<[u8]>,
    /// What the peer allows.
    pub(super) allows: Option<Box<[u8]>>,
    /// Timers of extensions, by id and tag.
    pub(super) timers: Vec<(&'static str, u32, Id<Timed>)>,
    /// Where offers and answers stand.
    pub(super) offers: super::offers::Offers,
    /// What the BYE says why.
    pub(super) bye_reason: Option<Vec<u8>>,
    /// How it ended, once it has.
    pub(super) why: Option<Ending>,
}

impl Call {
    /// One that nothing is known of yet.
    pub(super) fn new() -> Call {
        Call {
            inviting: None,
            outgoing: None,
            incoming: None,
            early: Vec::new(),
            session: None,
            ringing: None,
            given_up: false,
            told: false,
        }
    }
}

impl Leg {
    /// One that has no usage yet.
    pub(super) fn of(dialog: Dialog) -> Leg {
        Leg {
            dialog,
            call: None,
            usage: None,
            open: 0,
            invite: None,
            reinvite: None,
            unacked: None,
            unanswered: None,
            contact: Box::default(),
            allows: None,
            timers: Vec::new(),
            offers: super::offers::Offers::default(),
            bye_reason: None,
            why: None,
        }
    }
}

impl AsRef<Dialog> for Leg {
    fn as_ref(&self) -> &Dialog {
        &self.dialog
    }
}

/// A 2xx that still has to be acknowledged, since its offer wants an answer.
#[derive(Debug)]
pub(super) struct Unacked {
    /// The CSeq number of the INVITE.
    pub(super) number: u32,
    /// The INVITE.
    pub(super) outgoing: Id<Outgoing>,
    /// When the wait for the answer ends.
    pub(super) timer: Id<Timed>,
}

/// An ACK that has been sent: it is sent again for each copy of its 2xx (RFC 3261 section 13.2.2.4).
#[derive(Debug)]
pub(super) struct Ack {
    /// The tag of the peer that it went to.
    pub(super) tag: Box<[u8]>,
    pub(super) next_hop: Box<[u8]>,
    /// The branch follows from it.
    pub(super) seed: u64,
    pub(super) template: Template,
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The application's: it is told what comes.
    Application,
    /// An extension's.
    Extension(&'static str),
    /// Our own: a BYE that follows from the rules.
    Ourselves,
}

/// A request of ours; only its handle is seen outside.
#[derive(Debug)]
pub struct Outgoing {
    pub(super) owner: Owner,
    pub(super) call: Option<Id<Call>>,
    pub(super) leg: Option<Id<Leg>>,
    pub(super) template: Template,
    pub(super) next_hop: Vec<u8>,
    pub(super) client: Option<ClientId>,
    /// How often a challenge has been answered.
    pub(super) answered: u32,
    /// How often an extension has had it sent again.
    pub(super) retried: u32,
    pub(super) slots: Slots,
    pub(super) acks: Vec<Ack>,
    /// Whether the final response has come.
    pub(super) done: bool,
    /// Of a re-INVITE: when it has waited for long enough, or when it is sent anew after a 491 (RFC
    /// 3261 section 14.1).
    pub(super) wait: Option<Id<Timed>>,
    /// How often a glare has been waited out.
    pub(super) glared: u8,
}

/// A request of a peer's; only its handle is seen outside.
#[derive(Debug)]
pub struct Incoming {
    pub(super) server: ServerId,
    pub(super) flow: Flow,
    pub(super) call: Option<Id<Call>>,
    pub(super) leg: Option<Id<Leg>>,
    pub(super) method: Box<str>,
    pub(super) number: u32,
    /// The request, until its final response is sent.
    pub(super) request: Vec<u8>,
    pub(super) slots: Slots,
    pub(super) fields: crate::contract::Fields,
    /// The last status sent; nought before.
    pub(super) status: u16,
    /// What is sent again: a 2xx until its ACK comes, or a reliable provisional response.
    pub(super) response: Vec<u8>,
    /// How often it was sent again.
    pub(super) round: u32,
    /// When it is sent again.
    pub(super) again: Option<Id<Timed>>,
    /// When the wait is over.
    pub(super) end: Option<Id<Timed>>,
    /// When the last provisional response is repeated so that no proxy gives up (section 13.3.1.1).
    pub(super) refresh: Option<Id<Timed>>,
    /// Whether a provisional response is being sent reliably.
    pub(super) delivering: bool,
    /// Responses that wait until it has arrived.
    pub(super) held: std::collections::VecDeque<super::Answer>,
    /// The last provisional response, to be repeated.
    pub(super) last: Option<super::Answer>,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// A response is sent again.
    Again(Id<Incoming>),
    /// No ACK, or no PRACK, has come.
    Unacknowledged(Id<Incoming>),
    /// A provisional response is repeated.
    Refresh(Id<Incoming>),
    /// A re-INVITE has no final response: it is cancelled.
    Slow(Id<Outgoing>),
    /// A re-INVITE is tried again after a glare.
    Glare(Id<Outgoing>),
    /// The application gave no answer for an ACK.
    NoAnswer(Id<Leg>),
    /// Nobody has answered a call that rings.
    Ringing(Id<Call>),
    /// A timer of an extension's.
    Extension(Id<Leg>, &'static str, u32),
}

/// A timer that is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    pub(super) due: Due,
    pub(super) timer: TimerId,
}

/// Credentials: the header field and its value.
pub(super) type Credentials = Vec<(Name, Vec<u8>)>;
