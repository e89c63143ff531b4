//! REFERs of peers: asked about, accepted, followed, and told of (RFC 3515, RFC 7614, RFC 7647).

use std::time::Duration;

use towel_message::{Message, Uri};

use super::event::{CallHandle, Ending, Event, ReferenceHandle, Refused};
use super::state::{Call, Due, Incoming, Leg, Notice, NoticeStanding, Owner, Reference};
use super::{Answer, Ask, Core, World, phrase, sipfrag};
use crate::contract::Relation;
use crate::stack::Failure;
use crate::transaction::Id;

impl Core {
    /// A REFER that is not refused by what its header fields say.
    pub(super) fn referred(
        &mut self,
        w: &mut World<'_>,
        message: &Message<'_>,
        id: Id<Incoming>,
        leg: Option<Id<Leg>>,
    ) {
        if self.references.len() >= self.profile.max_subscriptions {
            let _ = self.respond(w, id, Answer::new(503).with("Retry-After", "5"));
            return;
        }
        let dialog = leg.or_else(|| self.related(id, Relation::About));
        let message = message.bytes().to_vec();
        self.events.push_back(Event::Referred { request: id, dialog, message });
    }

    /// Another dialog that a request speaks of, if it lives still.
    pub(super) fn related(&self, id: Id<Incoming>, how: Relation) -> Option<Id<Leg>> {
        let related = &self.incoming.get(id)?.related;
        let (_, leg) = related.iter().find(|(relation, _)| *relation == how)?;
        self.legs.get(*leg).map(|_| *leg)
    }

    /// Accepts a REFER: with a 200 (RFC 7647 section 5), and with word that it is being tried.
    pub(super) fn accept_refer(
        &mut self,
        w: &mut World<'_>,
        id: Id<Incoming>,
    ) -> Result<ReferenceHandle, Refused> {
        let incoming = self.incoming.get(id).ok_or(Refused::Stale)?;
        if incoming.status >= 200 || &*incoming.method != "REFER" {
            return Err(Refused::State);
        }
        let (quiet, events_at) = (incoming.quiet, incoming.events_at);
        let listener = incoming.flow.listener;
        let transport = incoming.flow.transport;
        let reference = self.references.insert(Reference {
            told: Vec::new(),
            call: None,
            followed: false,
            status: 100,
            reason: "Trying".into(),
            at: None,
            kept: None,
        });
        let done = if let Some(field) = events_at {
            // Hard to guess, for who knows it may subscribe (RFC 7614 sections 4.3 and 8).
            let at = format!("refer-{:x}-{}", reference.number(), w.stack.rng().text(24));
            let own = w.stack.sent_by(listener).unwrap_or_default().to_vec();
            let mut uri = format!("<sip:{at}@{}", String::from_utf8_lossy(&own));
            if transport.reliable() {
                uri.push_str(&format!(";transport={}", transport.uri_token()));
            }
            uri.push('>');
            if let Some(found) = self.references.get_mut(reference) {
                found.at = Some(at.into());
            }
            self.respond(w, id, Answer::new(200).with(field, uri))
        } else if quiet {
            self.respond(w, id, Answer::new(200))
        } else {
            let notice = self.notice_of(reference);
            // As long as a call may ring, and its messages may take.
            let seconds = (self.profile.ringing + self.t1 * 128).as_secs();
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.admit(w, id, seconds, notice, Some(reference)).map(|sub| {
                if let Some(found) = self.references.get_mut(reference) {
                    found.told.push(sub);
                }
            })
        };
        match done {
            Ok(()) => {
                // What is neither followed nor declined is not kept for ever.
                let after = (self.profile.ringing + self.t1 * 128) * 2;
                self.forget_later(w, reference, after);
                Ok(reference)
            }
            Err(refused) => {
                self.references.remove(reference);
                Err(refused)
            }
        }
    }

    /// Does what a REFER asks for: an INVITE is a call, any other method a request.
    pub(super) fn follow(
        &mut self,
        w: &mut World<'_>,
        reference: Id<Reference>,
        ask: Ask,
    ) -> Result<Option<CallHandle>, Refused> {
        let found = self.references.get_mut(reference).ok_or(Refused::Stale)?;
        if found.followed || found.status >= 200 {
            return Err(Refused::State);
        }
        found.followed = true;
        let done = match ask.method.as_str() {
            "INVITE" | "" => self.call(w, ask).map(|call| {
                if let Some(found) = self.calls.get_mut(call) {
                    found.reference = Some(reference);
                }
                if let Some(found) = self.references.get_mut(reference) {
                    found.call = Some(call);
                }
                Some(call)
            }),
            "ACK" | "CANCEL" | "BYE" | "PRACK" | "UPDATE" | "INFO" | "NOTIFY" => {
                Err(Refused::State)
            }
            _ => self.outside(w, &ask).and_then(|mut outgoing| {
                outgoing.owner = Owner::Reference(reference);
                self.launch(w, outgoing).map(|_| None)
            }),
        };
        if done.is_err() {
            self.report(w, reference, 503, "Service Unavailable");
        }
        done
    }

    /// How far it is. The last word is a final status.
    pub(super) fn report(
        &mut self,
        w: &mut World<'_>,
        reference: Id<Reference>,
        status: u16,
        reason: &str,
    ) {
        let Some(found) = self.references.get_mut(reference) else { return };
        if found.status >= 200 || (found.status == status && *found.reason == *reason) {
            return;
        }
        found.status = status;
        found.reason = reason.into();
        let told = found.told.clone();
        let call = if status >= 200 { found.call.take() } else { None };
        if let Some(call) = call.and_then(|call| self.calls.get_mut(call)) {
            call.reference = None;
        }
        let notice = self.notice_of(reference);
        for sub in told {
            self.notify(w, sub, notice.clone());
        }
        if status < 200 {
            return;
        }
        // RFC 7614 section 4.7: who is about to subscribe gets to know it still.
        let explicit = self.references.get(reference).is_some_and(|found| found.at.is_some());
        if explicit {
            let after = self.t1 * 128;
            self.forget_later(w, reference, after);
        } else if let Some(found) = self.references.remove(reference) {
            self.clear(w, found.kept);
        }
    }

    fn forget_later(&mut self, w: &mut World<'_>, reference: Id<Reference>, after: Duration) {
        let timer = self.set(w, after, Due::Forget(reference));
        let old = self.references.get_mut(reference).and_then(|found| found.kept.replace(timer));
        self.clear(w, old);
    }

    /// Its time is over.
    pub(super) fn forget_reference(&mut self, reference: Id<Reference>) {
        let Some(found) = self.references.remove(reference) else { return };
        if let Some(call) = found.call.and_then(|call| self.calls.get_mut(call)) {
            call.reference = None;
        }
    }

    /// What is told of a reference now.
    fn notice_of(&self, reference: Id<Reference>) -> Notice {
        let (status, reason) = match self.references.get(reference) {
            Some(found) => (found.status, &*found.reason),
            None => (503, "Service Unavailable"),
        };
        let standing = match status {
            // RFC 3515 section 2.4.7.
            200.. => NoticeStanding::Terminated("noresource".into()),
            _ => NoticeStanding::Active,
        };
        Notice { standing, body: Some(sipfrag::fragment(status, reason)) }
    }

    /// A SUBSCRIBE to what came of a REFER: at its own URI alone (RFC 7614 sections 4.5 and 7; RFC 3515
    /// section 2.4.4).
    pub(super) fn reference_subscribed(
        &mut self,
        w: &mut World<'_>,
        message: &Message<'_>,
        id: Id<Incoming>,
    ) {
        let user = match message.uri() {
            Ok(Uri::Sip(uri)) => uri.user.and_then(|user| std::str::from_utf8(user).ok()),
            _ => None,
        };
        let is = |found: &Reference| found.at.as_deref() == user;
        let found = user
            .and_then(|user| u64::from_str_radix(user.split('-').nth(1)?, 16).ok())
            .map(super::id_of::<Reference>)
            .filter(|id| self.references.get(*id).is_some_and(is));
        let Some(reference) = found.filter(|_| message.to_tag().is_none()) else {
            let _ = self.respond(w, id, Answer::new(403));
            return;
        };
        let notice = self.notice_of(reference);
        let seconds = (self.profile.ringing + self.t1 * 128).as_secs();
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        if let Ok(sub) = self.admit(w, id, seconds, notice, Some(reference))
            && let Some(found) = self.references.get_mut(reference)
        {
            found.told.push(sub);
        }
    }

    /// A provisional response to a call that a REFER asked for, or its 2xx.
    pub(super) fn report_call(&mut self, w: &mut World<'_>, call: Id<Call>, message: &Message<'_>) {
        let Some(reference) = self.calls.get(call).and_then(|call| call.reference) else { return };
        let reason = String::from_utf8_lossy(message.reason()).into_owned();
        self.report(w, reference, message.status(), &reason);
    }

    /// A call that a REFER asked for is over, and was never answered.
    pub(super) fn report_end(&mut self, w: &mut World<'_>, call: Id<Call>, why: &Ending) {
        let Some(reference) = self.calls.get(call).and_then(|call| call.reference) else { return };
        let (status, reason) = match why {
            Ending::Failed { response, status } => match sipfrag::status_line(response) {
                Some((status, reason)) => (status, reason),
                None => (*status, phrase(*status).into()),
            },
            Ending::NoResponse(why) => {
                let status = status_of(*why);
                (status, phrase(status).into())
            }
            Ending::Unfit => (488, phrase(488).into()),
            _ => (487, phrase(487).into()),
        };
        self.report(w, reference, status, &reason);
    }

    /// A request that a REFER asked for has a response, or none.
    pub(super) fn report_request(
        &mut self,
        w: &mut World<'_>,
        reference: Id<Reference>,
        status: u16,
        message: Option<&Message<'_>>,
    ) {
        let reason = match message {
            Some(message) => String::from_utf8_lossy(message.reason()).into_owned(),
            None => phrase(status).into(),
        };
        self.report(w, reference, status, &reason);
    }

    /// The INVITE speaks of another dialog, whose place its session takes now (RFC 3891 section 3).
    pub(super) fn take_place(&mut self, w: &mut World<'_>, leg: Id<Leg>) {
        use crate::dialog::machines::{dialog, usage};
        let Some(found) = self.legs.get(leg) else { return };
        if found.dialog.state() == dialog::State::Confirmed {
            self.step(w, leg, usage::Event::HangUp, Some(Ending::Replaced));
        } else if let Some(call) = found.call {
            self.tell_ended(w, call, Some(leg), Ending::Replaced);
            let _ = self.give_up(w, call);
        }
    }
}

/// What a failure counts as (RFC 3261 section 8.1.3.1).
fn status_of(why: Failure) -> u16 {
    match why {
        Failure::TimedOut | Failure::Cancelled => 408,
        Failure::Transport | Failure::NotLocated(_) | Failure::HeldBack => 503,
    }
}
