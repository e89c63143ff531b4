//! Responses of ours (RFC 3261 sections 8.2.6, 12.1.1, 13.3.1).

use towel_message::{Index, Limits, Message, Name, Uri};
use towel_sdp::offer_answer::ways::Carrier;

use super::event::{Answer, Ending, Refused};
use super::offers::{final_carrier, is_description};
use super::outgoing::refreshes;
use super::state::{Due, Incoming};
use super::template::contact;
use super::{Core, World, phrase};
use crate::contract::{Delivery, Relation};
use crate::dialog::machines::usage;
use crate::transaction::Id;

/// How many responses wait for one that is sent reliably.
const MOST_HELD: usize = 16;

impl Core {
    /// What an application answers.
    pub(super) fn reply(
        &mut self,
        w: &mut World<'_>,
        id: Id<Incoming>,
        answer: Answer,
    ) -> Result<(), Refused> {
        let incoming = self.incoming.get(id).ok_or(Refused::Stale)?;
        if !(101..700).contains(&answer.status) || incoming.status >= 200 {
            return Err(Refused::State);
        }
        // RFC 4320 section 4.1: no provisional responses but to INVITE.
        if answer.status < 200 && &*incoming.method != "INVITE" {
            return Err(Refused::State);
        }
        self.respond(w, id, answer)
    }

    /// Sends a response, or has it wait until an earlier one has arrived.
    pub(super) fn respond(
        &mut self,
        w: &mut World<'_>,
        id: Id<Incoming>,
        answer: Answer,
    ) -> Result<(), Refused> {
        let incoming = self.incoming.get_mut(id).ok_or(Refused::Stale)?;
        if incoming.status >= 200 {
            return Err(Refused::State);
        }
        let bytes = std::mem::take(&mut incoming.request);
        let mut index = Index::new();
        let result = match Message::parse(&bytes, &mut index, &Limits::default()) {
            Ok(request) => self.respond_to(w, id, &request, answer),
            Err(_) => Err(Refused::Malformed),
        };
        if let Some(incoming) = self.incoming.get_mut(id) {
            incoming.request = bytes;
        }
        result
    }

    fn respond_to(
        &mut self,
        w: &mut World<'_>,
        id: Id<Incoming>,
        request: &Message<'_>,
        answer: Answer,
    ) -> Result<(), Refused> {
        let incoming = self.incoming.get(id).ok_or(Refused::Stale)?;
        let (status, invite) = (answer.status, &*incoming.method == "INVITE");
        let method = incoming.method.clone();
        if invite && (101..300).contains(&status) {
            self.take_branch(w, id, request, answer.branch)?;
        }
        let incoming = self.incoming.get(id).ok_or(Refused::Stale)?;
        let leg = incoming.leg;
        let sdp = answer
            .body
            .as_ref()
            .is_some_and(|body| is_description(body.media_type.as_bytes(), &body.bytes));
        let carried = match status {
            200.. => final_carrier(&method, status < 300),
            _ => None,
        };
        let meaning =
            carried.and_then(|carrier| Some(self.legs.get(leg?)?.offers.meaning(carrier, sdp)));
        if meaning.is_some_and(|meaning| self.is_missing(meaning)) {
            return Err(Refused::OfferAnswer);
        }
        // Of what several branches send reliably, one at a time is on its way.
        let other = status < 200 && incoming.delivering_for.is_some_and(|one| Some(one) != leg);
        let blocked = (!incoming.held.is_empty() || other) && status < 300;
        let mut outcome = match blocked {
            true => super::stages::Responding::held(),
            false => self.extend_response(w, id, request, leg, &answer),
        };
        if outcome.delivery == Delivery::Hold && status < 300 {
            let incoming = self.incoming.get_mut(id).ok_or(Refused::Stale)?;
            if incoming.held.len() >= MOST_HELD {
                return Err(Refused::Full);
            }
            incoming.held.push_back(answer);
            self.do_tasks(w, leg, outcome.tasks);
            return Ok(());
        }
        if outcome.discarded {
            return Ok(());
        }
        if let Some(leg) = leg.filter(|_| invite && status / 100 == 2) {
            // It is refused where it would be a second one.
            self.step(w, leg, usage::Event::Answer, None).ok_or(Refused::State)?;
        }
        self.write(w, id, request, &answer, &outcome)?;
        let incoming = self.incoming.get_mut(id).ok_or(Refused::Stale)?;
        incoming.status = status;
        let call = incoming.call;
        let tasks = std::mem::take(&mut outcome.tasks);
        let provisional = match outcome.delivery {
            Delivery::Reliable => Carrier::Reliable,
            Delivery::Plain | Delivery::Hold => Carrier::Unreliable,
        };
        let carrier = if status < 200 && invite { Some(provisional) } else { carried };
        if let (Some(carrier), Some(found)) = (carrier, leg.and_then(|leg| self.legs.get_mut(leg)))
        {
            found.offers.pass(carrier, sdp, true);
            if let Some(body) = answer.body.as_ref().filter(|_| sdp) {
                found.offers.sent.clone_from(&body.bytes);
            }
        }
        if status < 200 {
            if invite && status > 100 {
                incoming.last = Some(answer);
                self.deliver(w, id, outcome.delivery);
                self.refresh_later(w, id);
            }
            self.do_tasks(w, leg, tasks);
            return Ok(());
        }
        self.answered(w, id, leg, status);
        self.end_branches(w, id);
        match (invite, status / 100, leg) {
            (true, 2, Some(leg)) => {
                if let Some(found) = self.legs.get_mut(leg) {
                    found.invite = Some(id);
                    found.dialog.confirm_answered();
                    if call.is_none() {
                        found.dialog.refresh_target(request);
                    }
                }
                if let Some(found) = call.and_then(|call| self.calls.get_mut(call)) {
                    found.early.retain(|early| *early != leg);
                    found.session = Some(leg);
                    let ringing = found.ringing.take();
                    self.clear(w, ringing);
                }
                self.await_ack(w, id);
                // RFC 3891 section 3: once this one is accepted the other one is ended.
                if let Some(other) = self.related(id, Relation::Replaces) {
                    self.take_place(w, other);
                }
            }
            (true, ..) => {
                if let Some(call) = call {
                    self.tell_ended(w, call, leg, Ending::Local);
                }
                if let Some(leg) = leg {
                    self.step(w, leg, usage::Event::Refuse, Some(Ending::Local));
                }
                self.forget(w, id);
            }
            (false, success, leg) => {
                if let Some(leg) = leg.filter(|_| success == 2) {
                    self.refresh_by(leg, &method, request);
                }
                self.forget(w, id);
            }
        }
        self.do_tasks(w, leg, tasks);
        if let Some(leg) = leg {
            self.settle(w, leg);
        }
        Ok(())
    }

    /// A final response has been sent.
    fn answered(
        &mut self,
        w: &mut World<'_>,
        id: Id<Incoming>,
        leg: Option<Id<super::state::Leg>>,
        _status: u16,
    ) {
        if let Some(leg) = leg.and_then(|leg| self.legs.get_mut(leg)) {
            leg.open = leg.open.saturating_sub(1);
        }
        let Some(incoming) = self.incoming.get_mut(id) else { return };
        incoming.delivering = false;
        incoming.delivering_for = None;
        incoming.held.clear();
        incoming.last = None;
        let timers = [incoming.again.take(), incoming.end.take(), incoming.refresh.take()];
        for timer in timers {
            self.clear(w, timer);
        }
    }

    /// Has a provisional response sent until it is known to have arrived.
    fn deliver(&mut self, w: &mut World<'_>, id: Id<Incoming>, delivery: Delivery) {
        if delivery != Delivery::Reliable {
            return;
        }
        let (again, end) = (self.t1, self.t1 * 64);
        let again = self.set(w, again, Due::Again(id));
        let end = self.set(w, end, Due::Unacknowledged(id));
        if let Some(incoming) = self.incoming.get_mut(id) {
            incoming.delivering = true;
            incoming.delivering_for = incoming.leg;
            incoming.round = 0;
            incoming.again = Some(again);
            incoming.end = Some(end);
        }
    }

    fn write(
        &mut self,
        w: &mut World<'_>,
        id: Id<Incoming>,
        request: &Message<'_>,
        answer: &Answer,
        outcome: &super::stages::Responding,
    ) -> Result<(), Refused> {
        let incoming = self.incoming.get(id).ok_or(Refused::Stale)?;
        let (status, method) = (answer.status, &*incoming.method);
        let invite = method == "INVITE";
        let mut own = Vec::new();
        // Sections 12.1.1, 13.3.1: whoever makes or refreshes a dialog says where it is reached.
        let says = (invite && (101..300).contains(&status))
            || (status / 100 == 2 && (refreshes(method) || method == "OPTIONS"));
        if says && let Some(sent_by) = w.stack.sent_by(incoming.flow.listener) {
            let user = match incoming.leg.and_then(|leg| self.legs.get(leg)) {
                Some(leg) => leg.contact.to_vec(),
                None => called_user(request),
            };
            let secure = match incoming.leg.and_then(|leg| self.legs.get(leg)) {
                Some(leg) => leg.dialog.is_secure(),
                None => false,
            };
            let transport = incoming.flow.transport;
            contact(&user, sent_by, transport, secure, &outcome.contact_parameters, &mut own);
        }
        let reason = match answer.reason.as_str() {
            "" => phrase(status),
            reason => reason,
        };
        let has =
            |name: &str| answer.fields.get(name).is_some() || outcome.fields.get(name).is_some();
        // What arrives for certain says what may be sent back in the dialog (RFC 3261 section 13.3.1.4; RFC
        // 3311 section 4).
        let certain = invite && (status / 100 == 2 || outcome.delivery == Delivery::Reliable);
        let allow = (certain || status == 405) && !has("Allow");
        let supported = invite && status / 100 == 2 && !has("Supported");
        let registry = &self.registry;
        let allowed = self.allow();
        let server = incoming.server;
        let found = incoming.leg.and_then(|leg| self.legs.get(leg));
        let tag = found.filter(|_| invite).map(|leg| leg.dialog.local_tag().to_vec());
        let session = match has("Session-ID") {
            true => None,
            false => found.and_then(|leg| leg.session_id.clone()),
        };
        let written =
            w.stack.reply_tagged(w.now, w.out, server, (status, reason), tag, |mut writer| {
                if !own.is_empty() {
                    writer.field(Name::Contact, &own);
                }
                if allow {
                    writer.field(Name::Allow, allowed.as_bytes());
                }
                if supported && !registry.supported().is_empty() {
                    writer.field(Name::Supported, registry.supported().as_bytes());
                }
                // RFC 6665 section 4.4.4.
                if supported && !registry.allow_events().is_empty() {
                    writer.field(Name::AllowEvents, registry.allow_events().as_bytes());
                }
                if let Some(session) = &session {
                    writer.field(Name::SessionId, session);
                }
                for (name, value) in outcome.fields.iter().chain(answer.fields.iter()) {
                    writer.field(name, value);
                }
                match &answer.body {
                    Some(body) => writer.body(body.media_type.as_bytes(), &body.bytes),
                    None => writer.end(),
                }
            });
        written.map_err(|refusal| match refusal {
            crate::stack::Refusal::Stale => Refused::Stale,
            _ => Refused::State,
        })?;
        if let Some(value) = answer.fields.get("Session-ID") {
            let leg = self.incoming.get(id).and_then(|incoming| incoming.leg);
            self.say_session(leg, value);
        }
        // What is sent again must be the same, byte for byte.
        let repeats = invite && (status / 100 == 2 || outcome.delivery == Delivery::Reliable);
        if repeats
            && let Some(bytes) = w.stack.response(server)
            && let Some(incoming) = self.incoming.get_mut(id)
        {
            incoming.response.clear();
            incoming.response.extend_from_slice(bytes);
        }
        Ok(())
    }
}

/// The user part by which we were called: whoever has our Contact reaches the same user again (RFC
/// 3261 section 8.1.1.8).
pub(super) fn called_user(message: &Message<'_>) -> Vec<u8> {
    match message.uri() {
        Ok(Uri::Sip(sip)) => sip.user.unwrap_or_default().to_vec(),
        _ => Vec::new(),
    }
}
