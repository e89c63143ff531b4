//! The INVITE usage of a dialog: steps of its table, BYE, re-INVITEs of ours, and what is left when it
//! is over (RFC 3261 sections 14 and 15).

use std::time::Duration;

use towel_message::Message;
use towel_sdp::offer_answer::ways::{Carrier, Meaning};

use super::event::{Came, Content, Ending, Event, Refused};
use super::offers::{carrier, is_description};
use super::outgoing::refreshes;
use super::state::{Call, Due, Leg, Outgoing, Owner};
use super::{Answer, Ask, Core, World};
use crate::dialog::machines::usage::{self, Action, State};
use crate::transaction::Id;

/// How often a re-INVITE is tried again that crosses another.
const MOST_GLARES: u8 = 8;

impl Core {
    /// Makes a step of a usage; gives what is left to do for whoever has the request at hand.
    pub(super) fn step(
        &mut self,
        w: &mut World<'_>,
        leg: Id<Leg>,
        event: usage::Event,
        why: Option<Ending>,
    ) -> Option<&'static [Action]> {
        let found = self.legs.get_mut(leg)?;
        let (next, actions) = usage::step(found.usage?, event)?;
        found.usage = Some(next);
        let call = found.call;
        for action in actions {
            match action {
                Action::SendBye => {
                    self.drop_unacked(w, leg);
                    self.send_bye(w, leg);
                }
                Action::StopRepeating => self.stop_repeating(w, leg),
                Action::AnswerInvite => {
                    let invite = self.legs.get_mut(leg).and_then(|leg| leg.invite.take());
                    if let Some(invite) = invite {
                        let _ = self.respond(w, invite, Answer::new(487));
                    }
                }
                Action::Ended => {
                    let why = why.clone().unwrap_or(Ending::Local);
                    self.drop_unacked(w, leg);
                    if let Some(found) = self.legs.get_mut(leg) {
                        found.why.get_or_insert_with(|| why.clone());
                        self.gone.note(w.now.at, &found.dialog);
                    }
                    let session = call.is_some_and(|call| self.is_session(call, leg));
                    if let Some(call) = call.filter(|_| session) {
                        self.tell_ended(w, call, Some(leg), why);
                    }
                }
                Action::Established
                | Action::Acknowledged
                | Action::TellInvite
                | Action::RefuseBusy
                | Action::RefuseGlare
                | Action::RefuseGone => {}
            }
        }
        if next == State::Over {
            self.settle(w, leg);
        }
        Some(actions)
    }

    /// Whether the end of this dialog is the end of the call.
    fn is_session(&self, call: Id<Call>, leg: Id<Leg>) -> bool {
        self.calls.get(call).is_some_and(|call| {
            call.session == Some(leg) || (call.incoming.is_some() && call.early.contains(&leg))
        })
    }

    fn send_bye(&mut self, w: &mut World<'_>, leg: Id<Leg>) {
        let reason = self.legs.get_mut(leg).and_then(|leg| leg.bye_reason.take());
        let mut ask = Ask::new("BYE", "");
        if let Some(found) = self.legs.get_mut(leg) {
            ask.fields = std::mem::take(&mut found.bye_fields);
        }
        if let Some(reason) = reason {
            ask.fields.push("Reason", &reason);
        }
        let sent = self.inside(leg, &ask).and_then(|mut outgoing| {
            outgoing.owner = Owner::Ourselves;
            self.launch(w, outgoing)
        });
        if sent.is_err() {
            // It is over all the same (section 15.1.1): the peer will find out.
            self.step(w, leg, usage::Event::ByeDone, None);
        }
    }

    /// Tells the end of a call once.
    pub(super) fn tell_ended(
        &mut self,
        w: &mut World<'_>,
        call: Id<Call>,
        leg: Option<Id<Leg>>,
        why: Ending,
    ) {
        let Some(found) = self.calls.get_mut(call) else { return };
        let ringing = found.ringing.take();
        if !found.told {
            self.report_end(w, call, &why);
            self.transfer_gone(w, call, &why);
        }
        let Some(found) = self.calls.get_mut(call) else { return };
        // Of one that was held back nothing was told.
        if !std::mem::replace(&mut found.told, true) && !found.held {
            self.events.push_back(Event::Ended { call, dialog: leg, why });
        }
        self.clear(w, ringing);
    }

    /// Forgets a dialog that has no usage and no request under way (RFC 5057 section 4).
    pub(super) fn settle(&mut self, w: &mut World<'_>, leg: Id<Leg>) {
        let Some(found) = self.legs.get_mut(leg) else { return };
        let lives = found.usage.is_some_and(|usage| usage != State::Over)
            || found.has_subscription()
            || found.open > 0;
        if lives {
            return;
        }
        found.dialog.end();
        self.drop_unacked(w, leg);
        let Some(mut found) = self.legs.remove(leg) else { return };
        for (_, _, timer) in std::mem::take(&mut found.timers) {
            self.clear(w, Some(timer));
        }
        let call = found.call;
        self.tell_dialog_ended(w, found);
        if let Some(call) = call {
            if let Some(call) = self.calls.get_mut(call) {
                call.early.retain(|early| *early != leg);
                if call.session == Some(leg) {
                    call.session = None;
                }
            }
            self.settle_call(w, call);
        }
    }

    /// Forgets a call of which nothing is left.
    pub(super) fn settle_call(&mut self, w: &mut World<'_>, call: Id<Call>) {
        let Some(found) = self.calls.get(call) else { return };
        let lives = found.outgoing.is_some()
            || found.incoming.is_some()
            || found.session.is_some()
            || !found.early.is_empty();
        if !lives && found.told {
            let ringing = found.ringing;
            self.calls.remove(call);
            self.clear(w, ringing);
        }
    }

    /// Ends the wait for an answer that an ACK or a request of an extension's was to carry.
    fn drop_unacked(&mut self, w: &mut World<'_>, leg: Id<Leg>) {
        let Some(found) = self.legs.get_mut(leg) else { return };
        found.unanswered = None;
        let Some(unacked) = found.unacked.take() else { return };
        self.clear(w, Some(unacked.timer));
        // It is acknowledged all the same: the transaction at the peer's end waits for it.
        self.acknowledge(w, unacked.outgoing, leg, unacked.number, None);
    }

    /// The application has not given the answer in time.
    pub(super) fn no_answer_given(&mut self, w: &mut World<'_>, leg: Id<Leg>) {
        self.step(w, leg, usage::Event::HangUp, Some(Ending::Unfit));
    }

    /// The answer for what was held back.
    pub(super) fn supply(
        &mut self,
        w: &mut World<'_>,
        leg: Id<Leg>,
        answer: Content,
    ) -> Result<(), Refused> {
        let found = self.legs.get_mut(leg).ok_or(Refused::Stale)?;
        if let Some(unacked) = found.unacked.take() {
            found.offers.sent.clone_from(&answer.bytes);
            found.offers.pass(Carrier::Ack, true, true);
            self.clear(w, Some(unacked.timer));
            self.acknowledge(w, unacked.outgoing, leg, unacked.number, Some(answer));
            return Ok(());
        }
        let (id, outline) = found.unanswered.take().ok_or(Refused::State)?;
        found.offers.sent.clone_from(&answer.bytes);
        self.send_outline(w, leg, id, outline, Some(answer), &[])
    }

    /// Hangs up whatever there is of a call.
    pub(super) fn hang_up(&mut self, w: &mut World<'_>, call: Id<Call>) -> Result<(), Refused> {
        self.hang_up_with(w, call, crate::contract::Fields::new())
    }

    /// The same, and says something. `fields` are for the BYE or the refusal; a CANCEL has
    /// Reason of them.
    pub(super) fn hang_up_with(
        &mut self,
        w: &mut World<'_>,
        call: Id<Call>,
        fields: crate::contract::Fields,
    ) -> Result<(), Refused> {
        let found = self.calls.get(call).ok_or(Refused::Stale)?;
        if found.told {
            return Err(Refused::Stale);
        }
        if let Some(leg) = found.session {
            if let Some(found) = self.legs.get_mut(leg) {
                found.bye_fields = fields;
            }
            return match self.step(w, leg, usage::Event::HangUp, Some(Ending::Local)) {
                Some(_) => Ok(()),
                None => Err(Refused::State),
            };
        }
        match found.incoming {
            Some(incoming) => self.reply(w, incoming, Answer { fields, ..Answer::new(603) }),
            None => self.give_up_for(w, call, fields.get("Reason")),
        }
    }

    /// Sends a request in a dialog.
    pub(super) fn request_inside(
        &mut self,
        w: &mut World<'_>,
        leg: Id<Leg>,
        ask: &Ask,
        owner: Owner,
    ) -> Result<Id<Outgoing>, Refused> {
        let found = self.legs.get(leg).ok_or(Refused::Stale)?;
        match ask.method.as_str() {
            "ACK" | "CANCEL" => return Err(Refused::State),
            "BYE" => {
                self.step(w, leg, usage::Event::HangUp, Some(Ending::Local));
                return Err(Refused::Stale);
            }
            "INVITE" => match found.usage {
                Some(State::Idle) => {}
                Some(State::Changing | State::Asked | State::Answered) => {
                    return Err(Refused::Pending);
                }
                _ => return Err(Refused::State),
            },
            _ if matches!(found.usage, Some(State::Ending | State::Over))
                && !found.has_subscription() =>
            {
                return Err(Refused::State);
            }
            _ => {}
        }
        let carried = carrier(&ask.method);
        let sdp = ask
            .body
            .as_ref()
            .is_some_and(|body| is_description(body.media_type.as_bytes(), &body.bytes));
        let meaning = carried.map_or(Meaning::Nothing, |one| found.offers.meaning(one, sdp));
        if self.profile.offers && matches!(meaning, Meaning::Misplaced | Meaning::AnswerMissing) {
            return Err(Refused::OfferAnswer);
        }
        let mut outgoing = self.inside(leg, ask)?;
        outgoing.owner = owner;
        if ask.once {
            outgoing.glared = MOST_GLARES;
        }
        let id = self.launch(w, outgoing)?;
        if let (Some(carried), Some(found)) = (carried, self.legs.get_mut(leg)) {
            found.offers.pass(carried, sdp, true);
            if let Some(body) = ask.body.as_ref().filter(|_| sdp) {
                found.offers.sent.clone_from(&body.bytes);
            }
        }
        if ask.method == "INVITE" {
            self.step(w, leg, usage::Event::Change, None);
            if let Some(found) = self.legs.get_mut(leg) {
                found.reinvite = Some(id);
            }
            self.wait_for(w, id);
        }
        Ok(id)
    }

    /// A peer may let a re-INVITE wait, but not for ever.
    fn wait_for(&mut self, w: &mut World<'_>, id: Id<Outgoing>) {
        let most = self.profile.ringing;
        let timer = self.set(w, most, Due::Slow(id));
        let old = self.outgoing.get_mut(id).and_then(|outgoing| outgoing.wait.replace(timer));
        self.clear(w, old);
    }

    /// A re-INVITE has no final response yet: one comes to the CANCEL, or 64*T1 later it is over
    /// (section 9.1).
    pub(super) fn cancel_slow(&mut self, w: &mut World<'_>, id: Id<Outgoing>) {
        let Some(outgoing) = self.outgoing.get_mut(id) else { return };
        outgoing.wait = None;
        if let Some(client) = outgoing.client {
            let _ = w.stack.cancel(w.now, w.out, client, None);
        }
    }

    /// The final response to a re-INVITE of ours (section 14.1).
    pub(super) fn reinvite_answered(
        &mut self,
        w: &mut World<'_>,
        id: Id<Outgoing>,
        message: &Message<'_>,
    ) {
        let status = message.status();
        let Some(outgoing) = self.outgoing.get_mut(id) else { return };
        let Some(leg) = outgoing.leg else { return };
        if status / 100 == 2 {
            outgoing.done = true;
            let wait = outgoing.wait.take();
            self.clear(w, wait);
            if let Some(found) = self.legs.get_mut(leg) {
                found.reinvite = None;
                found.dialog.refresh_target(message);
            }
            self.step(w, leg, usage::Event::Done, None);
            self.tell(id, || Came::Final { response: message.bytes().to_vec(), status });
            self.acknowledge_or_ask(w, id, leg, message);
            return;
        }
        if status == 491 && !self.profile.leg && outgoing.glared < MOST_GLARES {
            self.step(w, leg, usage::Event::Done, None);
            self.pass_failure(leg);
            return self.wait_out(w, id, leg);
        }
        self.tell(id, || Came::Final { response: message.bytes().to_vec(), status });
        self.reinvite_failed(w, id, status);
    }

    /// Section 14.1: the owner of the Call-ID waits longer than the other end, each by chance.
    fn wait_out(&mut self, w: &mut World<'_>, id: Id<Outgoing>, leg: Id<Leg>) {
        let owner = self.legs.get(leg).is_some_and(|leg| leg.dialog.is_initiator());
        let tens = match owner {
            true => 210 + w.stack.rng().below(191),
            false => w.stack.rng().below(201),
        };
        let timer = self.set(w, Duration::from_millis(10 * tens), Due::Glare(id));
        let mut old = None;
        if let Some(outgoing) = self.outgoing.get_mut(id) {
            outgoing.glared += 1;
            old = outgoing.wait.replace(timer);
        }
        self.clear(w, old);
    }

    /// A re-INVITE of ours has failed, and that has been told: the session is as it was (section
    /// 14.1), unless the failure says more (RFC 5057).
    pub(super) fn reinvite_failed(&mut self, w: &mut World<'_>, id: Id<Outgoing>, status: u16) {
        let Some(outgoing) = self.outgoing.remove(id) else { return };
        self.clear(w, outgoing.wait);
        let Some(leg) = outgoing.leg else { return };
        self.pass_failure(leg);
        if let Some(found) = self.legs.get_mut(leg) {
            found.open = found.open.saturating_sub(1);
            found.reinvite = None;
        }
        self.step(w, leg, usage::Event::Done, None);
        self.apply_effect(w, leg, "INVITE", status);
        self.settle(w, leg);
    }

    /// The wait after a glare is over: it is tried once more, or waits again while the peer's is under
    /// way.
    pub(super) fn try_after_glare(&mut self, w: &mut World<'_>, id: Id<Outgoing>) {
        let Some(outgoing) = self.outgoing.get_mut(id) else { return };
        outgoing.wait = None;
        let Some(leg) = outgoing.leg else { return };
        let (kind, body) = (&outgoing.template.media_type, &outgoing.template.body);
        let sdp = is_description(kind, body);
        let idle = self.legs.get(leg).is_some_and(|leg| {
            leg.usage == Some(State::Idle)
                && leg.offers.meaning(Carrier::Invite, sdp) != Meaning::Misplaced
        });
        if idle && self.transmit_anew(w, id) {
            self.step(w, leg, usage::Event::Change, None);
            if let Some(found) = self.legs.get_mut(leg) {
                found.offers.pass(Carrier::Invite, sdp, true);
                found.reinvite = Some(id);
            }
            self.wait_for(w, id);
            return;
        }
        let live = self.legs.get(leg).is_some_and(|leg| {
            matches!(leg.usage, Some(State::Asked | State::Answered | State::Idle))
        });
        let waited = self.outgoing.get(id).map_or(MOST_GLARES, |outgoing| outgoing.glared);
        if !idle && live && waited < MOST_GLARES {
            return self.wait_out(w, id, leg);
        }
        let response = b"SIP/2.0 491 Request Pending\r\n\r\n".to_vec();
        self.tell(id, || Came::Final { response, status: 491 });
        self.reinvite_failed(w, id, 491);
    }

    /// An INVITE in the dialog has failed: the offer that it carried is no more.
    fn pass_failure(&mut self, leg: Id<Leg>) {
        if let Some(found) = self.legs.get_mut(leg) {
            found.offers.pass(Carrier::Failure, false, false);
        }
    }

    /// Whether the peer may be reached elsewhere from now on.
    pub(super) fn refresh_by(&mut self, leg: Id<Leg>, method: &str, request: &Message<'_>) {
        if refreshes(method)
            && let Some(found) = self.legs.get_mut(leg)
        {
            found.dialog.refresh_target(request);
        }
    }
}
