//! Requests of peers: what RFC 3261 section 8.2 asks of every one, and section 12.2.2 of those in a
//! dialog, before anybody is told.

use towel_message::{Message, Method, Uri, check, check_contacts};

use super::event::Event;
use super::offers::{carrier, has_description, unreadable};
use super::state::{Incoming, Leg};
use super::{Answer, Core, World};
use crate::contract::{Fields, Manner, Reply, Slots, Task, Verdict};
use crate::dialog::Order;
use crate::dialog::machines::usage;
use crate::stack::Received;
use crate::transaction::Id;

impl Core {
    /// A request that is neither ACK nor CANCEL.
    pub(super) fn take_request(&mut self, w: &mut World<'_>, received: &Received<'_>) {
        let message = &received.message;
        let method = message.method();
        let makes_dialog = matches!(method, Method::Invite | Method::Subscribe | Method::Refer);
        let form = check(message).and_then(|()| match makes_dialog {
            true => check_contacts(message),
            false => Ok(()),
        });
        if let Err(fault) = form {
            return w.stack.respond_stateless(
                w.now,
                w.out,
                received,
                fault.status,
                fault.reason,
                |writer| writer.end(),
            );
        }
        let full = self.events.len() >= self.profile.max_events;
        let taken = w.stack.server_transaction(w.now, received, u64::MAX);
        let (Ok(server), false) = (taken, full) else {
            let reason = "Service Unavailable";
            return w.stack.respond_stateless(w.now, w.out, received, 503, reason, |mut writer| {
                writer.field(towel_message::Name::RetryAfter, b"5");
                writer.end();
            });
        };
        let leg = self.leg_of(message);
        let leg = match method {
            Method::Notify if leg.is_none() => self.leg_of_notify(w, message),
            _ => leg,
        };
        let id = self.incoming.insert(Incoming {
            server,
            flow: received.flow,
            call: None,
            leg,
            method: String::from_utf8_lossy(method.as_bytes()).into(),
            number: message.cseq().map_or(0, |cseq| cseq.number),
            request: message.bytes().to_vec(),
            slots: Slots::new(),
            fields: Fields::new(),
            status: 0,
            response: Vec::new(),
            round: 0,
            again: None,
            end: None,
            refresh: None,
            delivering: false,
            delivering_for: None,
            held: std::collections::VecDeque::new(),
            last: None,
            related: Vec::new(),
            quiet: false,
            events_at: None,
            branch: 0,
            branches: Vec::new(),
        });
        w.stack.set_server_user(server, id.number());
        if let Some(leg) = leg.and_then(|leg| self.legs.get_mut(leg)) {
            leg.open += 1;
        }
        if let Some(refusal) = self.judge(w, received, leg) {
            return self.refuse(w, id, refusal);
        }
        let mut outcome = self.read_request(w, received, id, leg);
        self.note_allow(leg, message);
        self.relate(id, &mut outcome.tasks);
        self.hear_session(leg, message);
        let refusal = outcome.refusal.take();
        self.do_elsewhere(w, &mut outcome.tasks);
        let taken = refusal.as_ref().is_none_or(|reply| reply.status / 100 == 2);
        if taken
            && method != Method::Invite
            && let Some(carrier) = carrier(&String::from_utf8_lossy(method.as_bytes()))
            && let Some(found) = leg.and_then(|leg| self.legs.get_mut(leg))
        {
            found.offers.pass(carrier, has_description(message), false);
        }
        match refusal {
            Some(reply) => self.refuse(w, id, reply),
            None => self.act_on(w, received, id, leg, (outcome.hold, outcome.manner)),
        }
        let leg = self.incoming.get(id).and_then(|incoming| incoming.leg).or(leg);
        self.do_tasks(w, leg, outcome.tasks);
    }

    /// The dialog that a message of the peer's is in.
    pub(super) fn leg_of(&self, message: &Message<'_>) -> Option<Id<Leg>> {
        let local = message.to_tag()?;
        let remote = message.from_tag().unwrap_or_default();
        self.legs.find(message.call_id()?, local, remote)
    }

    /// What is wrong with a request.
    fn judge(
        &mut self,
        w: &mut World<'_>,
        received: &Received<'_>,
        leg: Option<Id<Leg>>,
    ) -> Option<Reply> {
        let message = &received.message;
        let method = message.method();
        if message.to_tag().is_some() {
            let Some(leg) = leg.and_then(|leg| self.legs.get_mut(leg)) else {
                return Some(Reply::new(481, "Call/Transaction Does Not Exist"));
            };
            let number = message.cseq().map_or(0, |cseq| cseq.number);
            let over = matches!(leg.usage, Some(usage::State::Ending | usage::State::Over))
                && !leg.has_subscription()
                && method != Method::Bye;
            // Section 15.1.1: once our BYE is sent there is no session any more.
            if over {
                return Some(Reply::new(481, "Call/Transaction Does Not Exist"));
            }
            if leg.dialog.take_request(number) == Order::Late {
                // No phrase with the name of a header field: some peers look for the first `CSeq`.
                return Some(Reply::new(500, "Request Out of Order"));
            }
        }
        // Section 8.2.1.
        let name = method.as_bytes();
        let own = matches!(method, Method::Invite | Method::Bye | Method::Options);
        if !own && !self.profile.leg && !self.registry.allows(name) {
            let known = method.is_known() || self.registry.method(name).is_some();
            let reply = match known {
                true => Reply::new(405, "Method Not Allowed"),
                false => Reply::new(501, "Not Implemented"),
            };
            return Some(reply.with("Allow", self.allow()));
        }
        if message.to_tag().is_none() {
            // Section 8.2.2.1: a scheme that nobody here understands.
            let known = match message.uri() {
                Ok(Uri::Sip(_)) => true,
                Ok(Uri::Tel(_)) => self.registry.knows_scheme(b"tel"),
                _ => false,
            };
            if !known && !self.profile.leg {
                return Some(Reply::new(416, "Unsupported URI Scheme"));
            }
            // Section 8.2.2.2.
            if self.merged.is_merged(w.now.at, message, &received.via) {
                return Some(Reply::new(482, "Loop Detected"));
            }
            if method == Method::Bye {
                return Some(Reply::new(481, "Call/Transaction Does Not Exist"));
            }
        }
        if !self.profile.leg
            && let Verdict::Refuse(reply) = self.registry.check_require(message)
        {
            return Some(*reply);
        }
        // RFC 6665 section 4.2.1.1.
        if method == Method::Subscribe
            && !self.profile.leg
            && let Verdict::Refuse(reply) = self.registry.check_event(message)
        {
            return Some(*reply);
        }
        // Section 8.2.3, for the bodies that we speak of ourselves.
        if method == Method::Invite
            && !self.profile.leg
            && !self.registry.accept().is_empty()
            && let Verdict::Refuse(reply) = self.registry.check_body(message)
        {
            return Some(*reply);
        }
        let carrier = carrier(&String::from_utf8_lossy(name)).filter(|_| self.profile.offers)?;
        // A leg leaves it to the other end to make something of what is in it.
        if let Some(reply) = unreadable(message).filter(|_| !self.profile.leg) {
            return Some(reply);
        }
        let seconds = w.stack.rng().below(11);
        let leg = self.legs.get(leg?)?;
        // Of two INVITEs the usage knows more.
        if method == Method::Invite && leg.usage != Some(usage::State::Idle) {
            return None;
        }
        leg.offers.refusal(carrier, has_description(message), seconds)
    }

    /// What extensions say that a request has to do with other dialogs and subscriptions.
    fn relate(&mut self, id: Id<Incoming>, tasks: &mut super::stages::Wanted) {
        let Some(incoming) = self.incoming.get_mut(id) else { return };
        tasks.retain(|(_, task)| {
            match task {
                Task::Relate { how, call_id, local_tag, remote_tag } => {
                    let found = super::others::find(&self.legs, call_id, local_tag, remote_tag);
                    incoming.related.extend(found.map(|leg| (*how, leg)));
                }
                Task::NoSubscription => incoming.quiet = true,
                Task::EventsAt(field) => incoming.events_at = Some(field),
                _ => return true,
            }
            false
        });
    }

    /// Tells a leg with which message its peer leaves.
    pub(super) fn tell_parting(
        &mut self,
        call: Option<Id<super::state::Call>>,
        message: &Message<'_>,
    ) {
        if let Some(call) = call.filter(|_| self.profile.leg) {
            self.events.push_back(Event::Parting { call, message: message.bytes().to_vec() });
        }
    }

    fn refuse(&mut self, w: &mut World<'_>, id: Id<Incoming>, reply: Reply) {
        let body = reply
            .body
            .map(|body| super::Content { media_type: body.media_type.into(), bytes: body.bytes });
        let answer = Answer {
            status: reply.status,
            reason: reply.reason.into(),
            fields: reply.fields,
            body,
            ..Answer::default()
        };
        if self.respond(w, id, answer).is_err() {
            // What an extension answered cannot be sent: an answer to an offer is missing in it.
            let _ = self.respond(w, id, Answer::new(500));
        }
    }

    /// What the request asks for.
    fn act_on(
        &mut self,
        w: &mut World<'_>,
        received: &Received<'_>,
        id: Id<Incoming>,
        leg: Option<Id<Leg>>,
        hold: (Option<Option<Reply>>, Manner),
    ) {
        let message = &received.message;
        match (message.method(), leg) {
            (Method::Invite, None) => self.called(w, message, id, hold),
            (Method::Invite, Some(leg)) => self.reinvited(w, message, id, leg),
            (Method::Bye, Some(leg)) => {
                let known = self.legs.get(leg).is_some_and(|leg| leg.usage.is_some());
                let status = if known { 200 } else { 481 };
                let _ = self.respond(w, id, Answer::new(status));
                self.tell_parting(self.legs.get(leg).and_then(|leg| leg.call), message);
                self.step(w, leg, usage::Event::ByeCame, Some(super::Ending::Bye));
                self.settle(w, leg);
            }
            (Method::Options, _) if !self.profile.leg => self.tell_abilities(w, id),
            (Method::Refer, leg) if !self.profile.leg => self.referred(w, message, id, leg),
            (Method::Subscribe, leg) if !self.profile.leg => self.subscribed(w, message, id, leg),
            (Method::Notify, leg) if !self.profile.leg => self.notified(w, message, id, leg),
            _ => {
                let message = message.bytes().to_vec();
                self.events.push_back(Event::Request { dialog: leg, request: id, message });
            }
        }
    }

    /// Section 11.2: what we can do, in the words of what an INVITE would get.
    fn tell_abilities(&mut self, w: &mut World<'_>, id: Id<Incoming>) {
        let busy = self.calls.len() >= self.profile.max_calls;
        let registry = &self.registry;
        let accept = match registry.accept() {
            "" => "application/sdp",
            accept => accept,
        };
        let mut answer = Answer::new(if busy { 486 } else { 200 })
            .with("Allow", self.allow())
            .with("Accept", accept)
            .with("Accept-Encoding", registry.accept_encoding())
            .with("Accept-Language", registry.accept_language());
        if !registry.supported().is_empty() {
            answer = answer.with("Supported", registry.supported());
        }
        if !registry.allow_events().is_empty() {
            answer = answer.with("Allow-Events", registry.allow_events());
        }
        let _ = self.respond(w, id, answer);
    }
}
