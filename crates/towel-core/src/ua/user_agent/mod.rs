//! A user agent (RFC 3261 sections 8, 9 and 11 to 15) as a machine: calls in both directions, many at
//! once, dialogs, requests in them and outside of them.
//!
//! # How an application uses it
//!
//! [`UserAgent`] is a [`Machine`]: a driver or the simulator hands it inputs and carries out what it
//! wants. Between inputs the application takes what happened ([`UserAgent::next_event`]) and says what
//! it wants; each command takes the time and the outbox, as an input does.
//!
//! * A call of ours: [`UserAgent::call`], then [`Event::Progress`] for each branch, then
//!   [`Event::Established`] or [`Event::Ended`].
//! * A call of a peer's: [`Event::Incoming`], [`UserAgent::answer`] with 1xx as often as wanted and
//!   one final response, then [`Event::Established`] when the ACK is there.
//! * Either: [`UserAgent::hang_up`] does what fits: CANCEL, BYE, a refusal, a BYE as soon as one
//!   is allowed.
//! * In a dialog: [`UserAgent::request`] with any method, `INVITE` being a re-INVITE; what comes of it
//!   is an [`Event::Response`]. The peer's are [`Event::Reinvite`] and [`Event::Request`], answered by
//!   [`UserAgent::reply`].
//! * Outside of one: [`UserAgent::send`].
//!
//! # REFER, transfer, Replaces
//!
//! * **To transfer a call**: [`UserAgent::transfer`] with [`Transfer::blind`] (a URI) or
//!   [`Transfer::attended`] (another call, which may still ring). What comes of it is told by
//!   [`Event::Refer`]: [`Reported::Accepted`] or [`Reported::Refused`], then [`Reported::Progress`], then
//!   [`Reported::Final`]. The call is hung up when the new one is up ([`HangUp`]); where the transfer
//!   fails it is as it was.
//! * **To be transferred**: [`Event::Referred`] has the REFER and the dialog that it is about. Refuse it
//!   with [`UserAgent::reply`] (603), or [`UserAgent::accept_refer`] it, and then call:
//!   [`UserAgent::follow`] with [`Referral::of`] the message, [`Referral::ask`] with an offer. The peer is
//!   told how it goes, by itself. In between the user may be asked; [`UserAgent::report`] ends a reference
//!   that is not followed (603), and is for whoever does something else for it. A new call that comes up
//!   is an ordinary one; the old one is ended by who referred us.
//! * **To be called in another call's place**: an [`Event::Incoming`] for which
//!   [`UserAgent::replaces`] names the call that is to end; answered as any other, and at once, without
//!   ringing, as a rule. With the 2xx the old one ends with [`Ending::Replaced`]. [`UserAgent::joins`]
//!   is the same for Join, where both go on and the application mixes them.
//! * **Any REFER**: [`UserAgent::refer`] with [`Ask::refer`], in a dialog or outside of any.
//! * **Any subscription** (RFC 6665): [`UserAgent::subscribe`], [`UserAgent::unsubscribe`],
//!   [`Event::Notified`], [`Event::Unsubscribed`]; at the other end [`Event::Subscribing`],
//!   [`UserAgent::admit`], [`UserAgent::notify`]. Refreshing is the user agent's own care.
//!
//! REFER, SUBSCRIBE and NOTIFY are answered with 405 where no extension declares them, and each of
//! Replaces, Join, Target-Dialog and Refer-Sub counts for as much as its extension makes of it.
//!
//! Retransmission, ACK, challenges, the order of requests, glare, and what a failure ends are the
//! user agent's own care. OPTIONS is answered by itself. Bodies are the application's; that they travel
//! where an offer or answer may (RFC 6337) is held to ([`Profile::offers`]): an INVITE without an offer
//! gets it in the 2xx, and its answer is asked for ([`Event::AnswerWanted`]) before the ACK leaves.
//!
//! # How an extension takes part
//!
//! At the stages of [`crate::contract`], which are called here in this order:
//!
//! * **UAC sends** (`uac_request`): for every request but ACK of a 2xx and CANCEL's own; `dialog` is
//!   there inside one. Called again when a request is sent anew ([`Task::Retry`]); what it added before is
//!   gone then, what it keeps in `slots` is not.
//! * **UAC has a response** (`uac_response`): `dialog` is there when the response made or belongs to one,
//!   an early one too. `reliable` may be set for a 1xx. `Verdict::Discard` keeps a 1xx or 2xx from
//!   everything that follows (a repeated reliable 1xx). `Task::Send` sends a request in that dialog:
//!   PRACK, UPDATE, a re-INVITE; with [`Carry::Answer`] the application is asked for its body
//!   ([`Event::AnswerWanted`]).
//! * **UAS has a request** (`uas_request`): after the checks of section 8.2 and the dialog's order of
//!   requests, before the application. `Verdict::Refuse` answers it, with a 200 as well (that is how
//!   an extension answers a method of its own); then the application hears nothing of it. A PRACK or
//!   UPDATE with a description is the application's to answer: let it pass.
//! * **UAS responds** (`uas_response`): the dialog is there already when the response makes one.
//!   `delivery` makes a provisional response reliable or holds it back; [`Task::Arrived`], from
//!   whatever stage of the same dialog, lets the next one go.
//! * **A timer is due** (`dialog_timer`): set by [`Task::Timer`], gone with the dialog.
//!
//! # What is not here
//!
//! A 3xx is told and not followed. Credentials are not kept from one request to the next. From and To of
//! a dialog stay as they were (RFC 4916 is not acted on). Our Contact is no GRUU (RFC 5627), which RFC
//! 7647 section 3 wants of whoever accepts a REFER.
//!
//! [`Task::Retry`]: crate::contract::Task::Retry
//! [`Task::Arrived`]: crate::contract::Task::Arrived
//! [`Task::Timer`]: crate::contract::Task::Timer
//! [`Carry::Answer`]: crate::contract::Carry::Answer

mod branches;
mod called;
mod calling;
mod commands;
mod event;
mod notifier;
mod offers;
mod others;
mod outgoing;
mod references;
mod referral;
mod responding;
mod session;
mod session_id;
pub mod sipfrag;
mod stages;
mod state;
mod subscriber;
mod template;
#[cfg(test)]
mod tests;
mod timing;
mod transfer;
mod uas;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use towel_message::{Index, Limits, Message};

use crate::contract::{Registry, Slots};
use crate::dialog::Dialogs;
use crate::io::{Input, Instant, Machine, Now, Outbox};
use crate::rng::Rng;
use crate::server::merged::Merged;
use crate::settings::Settings;
use crate::stack::{ClientId, Failure, Received, ServerId, Stack, TransactionUser, ViaStamp};
use crate::transaction::slab::Slab;

use super::Account;

pub use event::{
    Answer, Ask, CallHandle, Came, Content, DialogHandle, Ending, Event, IncomingHandle,
    ReferenceHandle, Refused, Reported, RequestHandle, SubscriptionHandle, SubscriptionState,
};
pub use referral::{Referral, features, refer_to, replaces, target_dialog};
use state::{Call, Incoming, Leg, Outgoing, Reference, Subscribed, Timed};
pub use transfer::{HangUp, Transfer, TransferTo};

/// What is done with a second branch of a call that is answered with a 2xx.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forks {
    /// It is acknowledged and ended at once (RFC 3261 section 13.2.2.4).
    #[default]
    EndOthers,
    /// It becomes a call of its own: [`Event::Forked`].
    Keep,
}

/// Who a user agent is, and its limits.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its address, as it stands in From without a tag: `Arthur <sip:arthur@example.com>`.
    pub address: String,
    /// The user part of its Contact.
    pub contact: String,
    /// Who it is when it is challenged.
    pub account: Option<Account>,
    /// An outbound proxy: a URI that becomes the first Route of requests outside of dialogs.
    pub route: Option<String>,
    /// What becomes of second branches.
    pub forks: Forks,
    /// Whether offers and answers are held to RFC 3261 section 13.2.1 and RFC 6337: one that cannot be
    /// read is refused, one in the wrong place as well, and a 2xx without the one that it must have is
    /// not sent. A user agent whose sessions need no description sets it to `false`.
    pub offers: bool,
    /// Whether it is one side of a back-to-back user agent: the application is told what a user agent
    /// would otherwise answer from what it is itself able to do (OPTIONS, methods and option tags that
    /// nobody here knows, a re-INVITE of ours that crossed another), and of the BYE or CANCEL that
    /// ends a call.
    pub leg: bool,
    /// The most calls at a time, of both directions; an INVITE beyond it gets 486.
    pub max_calls: usize,
    /// The most dialogs; what would make one beyond it is refused with 503.
    pub max_dialogs: usize,
    /// The most early dialogs of one call of ours; provisional responses of further branches are
    /// passed over.
    pub max_branches: usize,
    /// The most subscriptions, and the most REFERs of peers that are followed; a request that would make
    /// one more is refused with 503.
    pub max_subscriptions: usize,
    /// The most events that wait for the application; beyond it new requests get 503.
    pub max_events: usize,
    /// How long a call may ring at either end: then it is given up, or answered 480.
    pub ringing: Duration,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile {
            address: "<sip:anonymous@anonymous.invalid>".into(),
            contact: String::new(),
            account: None,
            route: None,
            forks: Forks::EndOthers,
            offers: true,
            leg: false,
            max_calls: 100_000,
            max_dialogs: 200_000,
            max_branches: 32,
            max_subscriptions: 100_000,
            max_events: 100_000,
            ringing: Duration::from_secs(180),
        }
    }
}

/// The user agent.
#[derive(Debug)]
pub struct UserAgent {
    stack: Stack,
    core: Core,
}

/// All of it but the stack.
#[derive(Debug)]
struct Core {
    profile: Profile,
    keyring: super::keyring::Keyring,
    registry: Registry,
    t1: Duration,
    t2: Duration,
    calls: Slab<Call>,
    legs: Dialogs<Leg>,
    outgoing: Slab<Outgoing>,
    incoming: Slab<Incoming>,
    timed: Slab<Timed>,
    subs: Slab<Subscribed>,
    references: Slab<Reference>,
    /// Requests of ours outside of dialogs whose NOTIFYs make dialogs.
    origins: BTreeMap<u64, crate::transaction::Id<Subscribed>>,
    key: crate::hash::Key,
    /// Sessions that are over.
    gone: others::Gone,
    merged: Merged,
    events: VecDeque<Event>,
    /// What extensions keep with the user agent.
    kept: Slots,
    /// How deep tasks have called for tasks.
    depth: u8,
}

/// The stack, the time and the outbox: what everything here works with.
struct World<'a> {
    stack: &'a mut Stack,
    now: Now,
    out: &'a mut Outbox,
}

impl UserAgent {
    /// A user agent with these extensions. Listeners have to be up ([`Input::Listening`]) before it
    /// can send.
    pub fn new(
        settings: &Settings,
        profile: Profile,
        registry: Registry,
        seed: [u8; 32],
    ) -> UserAgent {
        let mut rng = Rng::new(seed);
        let mut stack_seed = [0; 32];
        for chunk in stack_seed.chunks_exact_mut(8) {
            chunk.copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        UserAgent {
            stack: Stack::new(settings, stack_seed),
            core: Core {
                profile,
                keyring: Default::default(),
                registry,
                t1: settings.transaction.t1,
                t2: settings.transaction.t2,
                calls: Slab::new(),
                legs: Dialogs::new(rng.key()),
                outgoing: Slab::new(),
                incoming: Slab::new(),
                timed: Slab::new(),
                subs: Slab::new(),
                references: Slab::new(),
                origins: BTreeMap::new(),
                key: rng.key(),
                gone: others::Gone::new(rng.key()),
                merged: Merged::new(rng.key()),
                events: VecDeque::new(),
                kept: Slots::new(),
                depth: 0,
            },
        }
    }

    /// What happened since this was last asked.
    pub fn next_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// The stack below.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The extensions.
    pub fn registry(&self) -> &Registry {
        &self.core.registry
    }

    /// How many calls, dialogs, requests of ours and requests of peers there are, and how many timers
    /// are set.
    pub fn sizes(&self) -> [usize; 5] {
        [
            self.core.calls.len(),
            self.core.legs.len(),
            self.core.outgoing.len(),
            self.core.incoming.len(),
            self.core.timed.len(),
        ]
    }

    /// How many subscriptions there are at either end, and how many REFERs of peers that are not over.
    pub fn subscriptions(&self) -> [usize; 2] {
        [self.core.subs.len(), self.core.references.len()]
    }

    /// Does something with the core, and tells the stack what followed.
    fn act<R>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        act: impl FnOnce(&mut Core, &mut World<'_>) -> R,
    ) -> R {
        let result = act(&mut self.core, &mut World { stack: &mut self.stack, now, out });
        self.stack.run_due(now, out, &mut self.core);
        result
    }
}

impl Machine for UserAgent {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        self.stack.handle(now, input, out, &mut self.core);
    }

    fn deadline(&self) -> Option<Instant> {
        self.stack.deadline()
    }

    fn is_drained(&self) -> bool {
        self.stack.is_drained() && self.sizes() == [0; 5] && self.subscriptions() == [0; 2]
    }

    fn is_quiet(&self) -> bool {
        self.stack.is_quiet() && self.core.calls.len() == 0
    }

    fn flow_of(&self, connection: crate::io::ConnectionId) -> Option<crate::io::Flow> {
        self.stack.flow_of(connection)
    }
}

impl TransactionUser for Core {
    fn request(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, request: Received<'_>) {
        self.take_request(&mut World { stack, now, out }, &request);
    }

    fn ack(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        ack: Received<'_>,
        _: Option<(ServerId, u64)>,
    ) {
        self.take_ack(&mut World { stack, now, out }, &ack);
    }

    fn cancelled(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        cancel: Received<'_>,
        known: bool,
        invite: Option<(ServerId, u64)>,
    ) {
        let user = invite.map(|(_, user)| user);
        self.take_cancel(&mut World { stack, now, out }, &cancel, known, user);
    }

    fn response(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        response: Received<'_>,
        _: ClientId,
        user: u64,
    ) {
        self.take_response(&mut World { stack, now, out }, &response, id_of(user));
    }

    fn failed(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        _: ClientId,
        user: u64,
        why: Failure,
    ) {
        self.take_failure(&mut World { stack, now, out }, id_of(user), why);
    }

    fn rewrite(
        &mut self,
        _: &Stack,
        _: Now,
        _: ClientId,
        user: u64,
        stamp: &ViaStamp<'_>,
        to: &mut Vec<u8>,
    ) -> bool {
        match self.outgoing.get(id_of(user)) {
            Some(outgoing) => {
                outgoing.template.write(stamp, to);
                true
            }
            None => false,
        }
    }

    fn client_ended(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        client: ClientId,
        user: u64,
    ) {
        self.client_over(&mut World { stack, now, out }, client, id_of(user));
    }

    fn server_ended(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        server: ServerId,
        user: u64,
    ) {
        self.server_over(&mut World { stack, now, out }, server, id_of(user));
    }

    fn timer(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, token: u64) {
        self.timer_due(&mut World { stack, now, out }, token);
    }
}

/// The handle that a number was made of.
fn id_of<T>(number: u64) -> crate::transaction::Id<T> {
    crate::transaction::Id::new(number as u32, (number >> 32) as u32)
}

/// Reads a message that was read before.
fn reading<R>(bytes: &[u8], read: impl FnOnce(&Message<'_>) -> R) -> Option<R> {
    let mut index = Index::new();
    let message = Message::parse(bytes, &mut index, &Limits::default()).ok()?;
    Some(read(&message))
}

/// The phrase for a status.
fn phrase(status: u16) -> &'static str {
    match status {
        429 => "Provide Referrer Identity",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        486 => "Busy Here",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        504 => "Server Time-out",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => crate::server::phrase(status),
    }
}
