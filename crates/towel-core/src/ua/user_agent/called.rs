//! Calls of peers, and their re-INVITEs: the UAS of INVITE (RFC 3261 sections 13.3, 14.2), with
//! CANCEL and ACK.

use std::time::Duration;

use towel_message::Message;
use towel_sdp::offer_answer::ways::{Carrier, Meaning};

use super::event::{Ending, Event};
use super::offers::{Offers, has_description};
use super::state::{Call, Due, Incoming, Leg};
use super::{Answer, Core, World};
use crate::contract::{Fields, Manner, Reply, Slots};
use crate::dialog::Dialog;
use crate::dialog::machines::usage::{self, Action};
use crate::stack::Received;
use crate::transaction::Id;

/// How often a provisional response is repeated (section 13.3.1.1).
pub(super) const MINUTE: Duration = Duration::from_secs(60);

impl Core {
    /// A first INVITE. One that is held back is told of later; `hold` has the response that says so, if
    /// the application is not to prepare for it.
    pub(super) fn called(
        &mut self,
        w: &mut World<'_>,
        message: &Message<'_>,
        id: Id<Incoming>,
        (hold, manner): (Option<Option<Reply>>, Manner),
    ) {
        if self.calls.len() >= self.profile.max_calls {
            let _ = self.respond(w, id, Answer::new(486));
            return;
        }
        if self.legs.len() >= self.profile.max_dialogs {
            let _ = self.respond(w, id, Answer::new(503).with("Retry-After", "5"));
            return;
        }
        // Section 12.1.1: without a Contact there is no way back.
        if let Err(fault) = Dialog::of_request(message, b"x", false, false) {
            let reason = format!("Bad Request: {fault}");
            let _ = self.respond(w, id, Answer { reason, ..Answer::new(400) });
            return;
        }
        let ringing = self.profile.ringing;
        let call = self.calls.insert(Call { incoming: Some(id), manner, ..Call::new() });
        let ringing = self.set(w, ringing, Due::Ringing(call));
        if let Some(found) = self.calls.get_mut(call) {
            found.ringing = Some(ringing);
        }
        if let Some(incoming) = self.incoming.get_mut(id) {
            incoming.call = Some(call);
        }
        let request = message.bytes().to_vec();
        match hold {
            None => self.events.push_back(Event::Incoming { call, request, manner }),
            Some(None) => self.events.push_back(Event::Prepare { call, request }),
            Some(Some(reply)) => {
                if let Some(found) = self.calls.get_mut(call) {
                    found.held = true;
                }
                let answer = Answer {
                    status: reply.status,
                    reason: reply.reason.into(),
                    fields: reply.fields,
                    ..Answer::default()
                };
                let _ = self.respond(w, id, answer);
            }
        }
    }

    /// A call that was held back may be told of.
    pub(super) fn call_after_all(&mut self, leg: Id<Leg>) {
        let Some(call) = self.legs.get(leg).and_then(|leg| leg.call) else { return };
        let Some(found) = self.calls.get_mut(call) else { return };
        let incoming = found.incoming.and_then(|id| self.incoming.get(id));
        let Some(incoming) = incoming.filter(|incoming| incoming.status < 200) else { return };
        found.held = false;
        let (request, manner) = (incoming.request.clone(), found.manner);
        self.events.push_back(Event::Incoming { call, request, manner });
    }

    /// A re-INVITE (section 14.2).
    pub(super) fn reinvited(
        &mut self,
        w: &mut World<'_>,
        message: &Message<'_>,
        id: Id<Incoming>,
        leg: Id<Leg>,
    ) {
        let actions = self.step(w, leg, usage::Event::Invited, None);
        let has = |action| actions.is_some_and(|actions| actions.contains(&action));
        if has(Action::TellInvite) {
            if let Some(found) = self.legs.get_mut(leg) {
                found.invite = Some(id);
                found.offers.pass(Carrier::Invite, has_description(message), false);
            }
            let message = message.bytes().to_vec();
            self.events.push_back(Event::Reinvite { dialog: leg, request: id, message });
            return;
        }
        let answer = if has(Action::RefuseBusy) {
            // Between 0 and 10 seconds, by chance.
            let seconds = w.stack.rng().below(11).to_string();
            Answer::new(500).with("Retry-After", seconds)
        } else if has(Action::RefuseGlare) {
            Answer::new(491)
        } else {
            Answer::new(481)
        };
        let _ = self.respond(w, id, answer);
    }

    /// The early dialog of a first INVITE of a peer's, made if it is not there yet.
    pub(super) fn early_leg(
        &mut self,
        id: Id<Incoming>,
        request: &Message<'_>,
        tag: &[u8],
    ) -> Option<Id<Leg>> {
        let incoming = self.incoming.get_mut(id)?;
        if incoming.leg.is_some() || incoming.call.is_none() {
            return incoming.leg;
        }
        let secure = incoming.flow.transport.secure()
            && request.uri().is_ok_and(|uri| uri.sip().is_some_and(|uri| uri.secure));
        let dialog = Dialog::of_request(request, tag, secure, false).ok()?;
        let mut offers = Offers::default();
        offers.pass(Carrier::Invite, has_description(request), false);
        let leg = self.legs.insert(Leg {
            offers,
            call: incoming.call,
            usage: Some(usage::State::Called),
            open: 1,
            invite: Some(id),
            contact: super::responding::called_user(request).into(),
            ..Leg::of(dialog)
        });
        incoming.leg = Some(leg);
        if let Some(call) = incoming.call.and_then(|call| self.calls.get_mut(call)) {
            call.early.push(leg);
        }
        self.note_allow(Some(leg), request);
        Some(leg)
    }

    /// Our 2xx is to be repeated until its ACK comes, over any transport (section 13.3.1.4).
    pub(super) fn await_ack(&mut self, w: &mut World<'_>, id: Id<Incoming>) {
        let (again, end) = (self.t1, self.t1 * 64);
        let again = self.set(w, again, Due::Again(id));
        let end = self.set(w, end, Due::Unacknowledged(id));
        if let Some(incoming) = self.incoming.get_mut(id) {
            incoming.round = 0;
            incoming.again = Some(again);
            incoming.end = Some(end);
        }
    }

    /// Sends a 2xx, or a reliable provisional response, again.
    pub(super) fn send_again(&mut self, w: &mut World<'_>, id: Id<Incoming>) {
        let (t1, t2) = (self.t1, self.t2);
        let Some(incoming) = self.incoming.get_mut(id) else { return };
        incoming.round += 1;
        // RFC 3262 section 3 doubles without a limit; 64*T1 ends it.
        let most = if incoming.delivering { t1 * 64 } else { t2 };
        let after = crate::time::doubled(t1, incoming.round, most);
        let bytes = &incoming.response;
        let _ = w.stack.respond(w.now, w.out, incoming.server, |to| to.extend_from_slice(bytes));
        let again = self.set(w, after, Due::Again(id));
        if let Some(incoming) = self.incoming.get_mut(id) {
            incoming.again = Some(again);
        }
    }

    /// 64*T1 have passed without the ACK, or without word that a reliable response arrived.
    pub(super) fn never_acknowledged(&mut self, w: &mut World<'_>, id: Id<Incoming>) {
        let Some(incoming) = self.incoming.get_mut(id) else { return };
        incoming.end = None;
        if incoming.delivering {
            incoming.delivering = false;
            incoming.delivering_for = None;
            incoming.held.clear();
            let again = incoming.again.take();
            self.clear(w, again);
            let _ = self.respond(w, id, Answer::new(504));
            return;
        }
        if let Some(leg) = incoming.leg {
            self.step(w, leg, usage::Event::NoAck, Some(Ending::NoAck));
        }
    }

    /// What was sent reliably has arrived: the next one that waits may go.
    pub(super) fn arrived(&mut self, w: &mut World<'_>, leg: Id<Leg>) {
        let Some(id) = self.legs.get(leg).and_then(|leg| leg.invite) else { return };
        let Some(incoming) = self.incoming.get_mut(id) else { return };
        if incoming.delivering_for != Some(leg) || !std::mem::take(&mut incoming.delivering) {
            return;
        }
        incoming.delivering_for = None;
        let (again, end) = (incoming.again.take(), incoming.end.take());
        self.clear(w, again);
        self.clear(w, end);
        self.release(w, id);
    }

    /// Sends responses that were held back, until one has to wait again.
    pub(super) fn release(&mut self, w: &mut World<'_>, id: Id<Incoming>) {
        // Bounded by what is held; each is put back only at the end of it.
        let held = self.incoming.get(id).map_or(0, |incoming| incoming.held.len());
        for _ in 0..held {
            let Some(incoming) = self.incoming.get_mut(id).filter(|one| !one.delivering) else {
                return;
            };
            let Some(answer) = incoming.held.pop_front() else { return };
            let left = std::mem::take(&mut incoming.held);
            let _ = self.respond(w, id, answer);
            if let Some(incoming) = self.incoming.get_mut(id) {
                // One that was held anew stays before those that came after it.
                incoming.held.extend(left);
                if incoming.held.len() >= held {
                    return;
                }
            }
        }
    }

    /// The last provisional response once more, so that no proxy on the way gives up.
    pub(super) fn refresh_provisional(&mut self, w: &mut World<'_>, id: Id<Incoming>) {
        let Some(incoming) = self.incoming.get_mut(id) else { return };
        incoming.refresh = None;
        let delivering = incoming.delivering;
        match incoming.last.clone() {
            Some(last) if !delivering => {
                let _ = self.respond(w, id, last);
            }
            _ => self.refresh_later(w, id),
        }
    }

    pub(super) fn refresh_later(&mut self, w: &mut World<'_>, id: Id<Incoming>) {
        let timer = self.set(w, MINUTE, Due::Refresh(id));
        let old = self.incoming.get_mut(id).and_then(|incoming| incoming.refresh.replace(timer));
        self.clear(w, old);
    }

    /// The ACK of a 2xx of ours.
    pub(super) fn take_ack(&mut self, w: &mut World<'_>, received: &Received<'_>) {
        let message = &received.message;
        let Some(leg) = self.leg_of(message) else { return };
        let Some(id) = self.legs.get(leg).and_then(|leg| leg.invite) else { return };
        let Some(incoming) = self.incoming.get(id) else { return };
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        if incoming.status / 100 != 2 || incoming.number != number {
            return;
        }
        let call = incoming.call;
        let actions = self.step(w, leg, usage::Event::Ack, None).unwrap_or_default();
        if !actions.contains(&Action::Acknowledged) {
            return;
        }
        let sdp = has_description(message);
        let found = self.legs.get_mut(leg);
        let meaning =
            found.map_or(Meaning::Nothing, |leg| leg.offers.pass(Carrier::Ack, sdp, false));
        let message = message.bytes().to_vec();
        self.events.push_back(match call {
            Some(call) => Event::Established { call, dialog: leg, message },
            None => Event::Acknowledged { dialog: leg, message },
        });
        if let Some(call) = call {
            self.transfer_waiting(w, call);
        }
        // Our 2xx had the offer, and its answer will not come any more.
        if meaning == Meaning::AnswerMissing && self.profile.offers {
            self.step(w, leg, usage::Event::HangUp, Some(Ending::Unfit));
        }
    }

    /// Repeats no more: the ACK is there, or will never be.
    pub(super) fn stop_repeating(&mut self, w: &mut World<'_>, leg: Id<Leg>) {
        let Some(id) = self.legs.get_mut(leg).and_then(|leg| leg.invite.take()) else { return };
        self.forget(w, id);
    }

    /// Forgets a request of a peer's.
    pub(super) fn forget(&mut self, w: &mut World<'_>, id: Id<Incoming>) {
        self.end_branches(w, id);
        let Some(incoming) = self.incoming.remove(id) else { return };
        for timer in [incoming.again, incoming.end, incoming.refresh] {
            self.clear(w, timer);
        }
        if let Some(leg) = incoming.leg.and_then(|leg| self.legs.get_mut(leg))
            && leg.invite == Some(id)
        {
            leg.invite = None;
        }
        if let Some(call) = incoming.call {
            if let Some(call) = self.calls.get_mut(call) {
                call.incoming = None;
            }
            self.settle_call(w, call);
        }
    }

    /// A CANCEL (section 9.2).
    pub(super) fn take_cancel(
        &mut self,
        w: &mut World<'_>,
        received: &Received<'_>,
        known: bool,
        user: Option<u64>,
    ) {
        if !known {
            let reason = "Call/Transaction Does Not Exist";
            let end = |writer: towel_message::build::ResponseWriter<'_>| writer.end();
            return w.stack.respond_stateless(w.now, w.out, received, 481, reason, end);
        }
        let Some(id) = user.map(super::id_of::<Incoming>) else { return };
        let Some(incoming) = self.incoming.get_mut(id) else { return };
        let (call, leg) = (incoming.call, incoming.leg);
        incoming.held.clear();
        let outcome = self.read_cancel(w, received, leg, &mut Fields::new(), &mut Slots::new());
        self.tell_parting(call, &received.message);
        if let Some(call) = call {
            self.tell_ended(w, call, leg, Ending::Cancelled);
        } else if let Some(dialog) = leg {
            self.events.push_back(Event::ReinviteCancelled { dialog, request: id });
        }
        let _ = self.respond(w, id, Answer::new(487));
        self.do_tasks(w, leg, outcome);
    }

    /// A server transaction is over: who has not answered by now cannot any more.
    pub(super) fn server_over(
        &mut self,
        w: &mut World<'_>,
        server: crate::stack::ServerId,
        id: Id<Incoming>,
    ) {
        let Some(incoming) = self.incoming.get(id) else { return };
        // A 2xx that waits for its ACK has timers of its own.
        if incoming.server != server || (incoming.status / 100 == 2 && incoming.end.is_some()) {
            return;
        }
        let leg = incoming.leg;
        let open = incoming.status < 200;
        self.forget(w, id);
        if let Some(leg) = leg {
            if let Some(found) = self.legs.get_mut(leg).filter(|_| open) {
                found.open = found.open.saturating_sub(1);
            }
            self.settle(w, leg);
        }
    }
}
