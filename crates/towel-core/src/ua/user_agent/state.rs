//! What a user agent keeps: calls, dialogs, requests of either side, timers.

use towel_message::Name;

use super::event::{Content, Ending};
use super::template::Template;
use super::transfer::Transfer;
use crate::contract::{Outline, Relation, Slots};
use crate::dialog::Dialog;
use crate::dialog::machines::{inviting, notifier, subscriber, usage};
use crate::io::{Flow, Instant};
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
    /// It is what a REFER of the peer's asked for.
    pub(super) reference: Option<Id<Reference>>,
    /// The call that is transferred here once it is answered (RFC 5589 section 7.6).
    pub(super) waiting: Option<Id<Subscribed>>,
    /// Whether the application has not been told of it yet.
    pub(super) held: bool,
    /// How it is to be answered.
    pub(super) manner: crate::contract::Manner,
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
    /// What it supports.
    pub(super) supports: Option<Box<[u8]>>,
    /// The feature tags of its last Contact, each with its semicolon (RFC 3840).
    pub(super) features: Box<[u8]>,
    /// The subscriptions in it, at either end.
    pub(super) subscribed: Vec<Id<Subscribed>>,
    /// How many REFERs of the peer's it has had (RFC 3515 section 2.4.6).
    pub(super) references: u32,
    /// Timers of extensions, by id and tag.
    pub(super) timers: Vec<(&'static str, u32, Id<Timed>)>,
    /// Where offers and answers stand.
    pub(super) offers: super::offers::Offers,
    /// What the BYE says why.
    pub(super) bye_reason: Option<Vec<u8>>,
    /// What else the BYE says.
    pub(super) bye_fields: crate::contract::Fields,
    /// The value of Session-ID in what we send by ourselves (RFC 7989).
    pub(super) session_id: Option<Box<[u8]>>,
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
            reference: None,
            waiting: None,
            held: false,
            manner: crate::contract::Manner::Unsaid,
        }
    }
}

impl Leg {
    /// Whether it has a subscription.
    pub(super) fn has_subscription(&self) -> bool {
        !self.subscribed.is_empty() || !self.dialog.subscriptions.is_empty()
    }

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
            supports: None,
            features: Box::default(),
            subscribed: Vec::new(),
            references: 0,
            timers: Vec::new(),
            offers: super::offers::Offers::default(),
            bye_reason: None,
            bye_fields: crate::contract::Fields::new(),
            session_id: None,
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
    /// A subscription's: REFER, SUBSCRIBE or NOTIFY.
    Subscription(Id<Subscribed>),
    /// A REFER of the peer's asked for it.
    Reference(Id<Reference>),
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
    /// A REFER whose 2xx makes no subscription.
    pub(super) quiet: bool,
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
    /// In which early dialog.
    pub(super) delivering_for: Option<Id<Leg>>,
    /// Responses that wait until it has arrived.
    pub(super) held: std::collections::VecDeque<super::Answer>,
    /// The last provisional response, to be repeated.
    pub(super) last: Option<super::Answer>,
    /// Other dialogs that it speaks of.
    pub(super) related: Vec<(Relation, Id<Leg>)>,
    /// A REFER whose 2xx makes no subscription.
    pub(super) quiet: bool,
    /// And the header field that says where there is one.
    pub(super) events_at: Option<&'static str>,
    /// Which of the early dialogs of a first INVITE `leg` is.
    pub(super) branch: u32,
    /// The others.
    pub(super) branches: Vec<(u32, Id<Leg>)>,
}

/// What a subscriber is told of a subscription.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) standing: NoticeStanding,
    pub(super) body: Option<Content>,
}

/// The state of a subscription as its notifier says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoticeStanding {
    Pending,
    Active,
    /// Why it is over: the reason parameter.
    Terminated(String),
}

/// Which end we are.
#[derive(Debug)]
pub(super) enum Side {
    Subscriber(subscriber::State),
    Notifier(notifier::State),
}

/// The request that asked for a subscription outside of a dialog: its NOTIFYs make the dialogs (RFC
/// 6665 section 4.4.1).
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) call_id: Box<[u8]>,
    pub(super) tag: Box<[u8]>,
    pub(super) number: u32,
    pub(super) contact: Box<[u8]>,
    pub(super) secure: bool,
}

/// What a REFER of ours is for.
#[derive(Debug, Default)]
pub(super) struct Referring {
    /// The call that is transferred, and how.
    pub(super) transfer: Option<(Id<Call>, Transfer)>,
    /// Whether the peer's 2xx has been told.
    pub(super) accepted: bool,
    /// The last status that the peer told.
    pub(super) status: u16,
}

/// A subscription; only its handle is seen outside.
#[derive(Debug)]
pub struct Subscribed {
    pub(super) side: Side,
    pub(super) package: Box<str>,
    /// The id parameter of Event; of one that a REFER made, the REFER's CSeq number.
    pub(super) id: Box<str>,
    /// Whether it need not stand in NOTIFY (RFC 3515 section 2.4.6).
    pub(super) bare: bool,
    pub(super) leg: Option<Id<Leg>>,
    pub(super) origin: Option<Origin>,
    /// Our REFER, if it made it.
    pub(super) referring: Option<Referring>,
    /// What it tells of.
    pub(super) reference: Option<Id<Reference>>,
    /// The header fields of our SUBSCRIBE, for later ones.
    pub(super) fields: crate::contract::Fields,
    /// How many seconds are asked for.
    pub(super) seconds: u32,
    /// Timer N (RFC 6665 section 4.1.2.4).
    pub(super) wait: Option<Id<Timed>>,
    /// When it is over, or refreshed.
    pub(super) expiry: Option<Id<Timed>>,
    pub(super) until: Instant,
    /// What was told last.
    pub(super) notice: Notice,
    /// How often a NOTIFY was sent again.
    pub(super) again: u8,
}

impl Subscribed {
    pub(super) fn new(side: Side, package: &str) -> Subscribed {
        Subscribed {
            side,
            package: package.into(),
            id: Box::default(),
            bare: false,
            leg: None,
            origin: None,
            referring: None,
            reference: None,
            fields: crate::contract::Fields::new(),
            seconds: 0,
            wait: None,
            expiry: None,
            until: Instant(0),
            notice: Notice { standing: NoticeStanding::Active, body: None },
            again: 0,
        }
    }
}

/// What a REFER of the peer's asked for, and how far it is; only its handle is seen outside.
#[derive(Debug)]
pub struct Reference {
    /// Who is told.
    pub(super) told: Vec<Id<Subscribed>>,
    /// The call that was made for it.
    pub(super) call: Option<Id<Call>>,
    /// Whether something is being done.
    pub(super) followed: bool,
    /// How far it is, as a status line has it.
    pub(super) status: u16,
    pub(super) reason: Box<str>,
    /// The user part of the URI at which it can be subscribed to (RFC 7614).
    pub(super) at: Option<Box<str>>,
    /// When it is forgotten.
    pub(super) kept: Option<Id<Timed>>,
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
    /// No NOTIFY has come (RFC 6665: Timer N).
    Silence(Id<Subscribed>),
    /// The time of a subscription is over, or it is to be refreshed.
    Expiry(Id<Subscribed>),
    /// What came of a REFER is forgotten.
    Forget(Id<Reference>),
}

/// A timer that is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    pub(super) due: Due,
    pub(super) timer: TimerId,
}

/// Credentials: the header field and its value.
pub(super) type Credentials = Vec<(Name, Vec<u8>)>;
