//! Calls of ours: the UAC of the first INVITE (RFC 3261 section 13.2).

use towel_message::Message;
use towel_sdp::offer_answer::ways::{Carrier, Meaning};

use super::event::{CallHandle, Ending, Event, Refused};
use super::offers::{Offers, has_description, is_description};
use super::state::{Ack, Call, Due, Leg, Outgoing, Unacked};
use super::template::Template;
use super::{Ask, Core, Forks, World};
use crate::dialog::Dialog;
use crate::dialog::machines::inviting::{self, Action};
use crate::dialog::machines::usage;
use crate::stack::{Destination, Failure, Received};
use crate::transaction::Id;

impl Core {
    /// Sends the first INVITE of a call.
    pub(super) fn call(&mut self, w: &mut World<'_>, mut ask: Ask) -> Result<CallHandle, Refused> {
        if self.calls.len() >= self.profile.max_calls {
            return Err(Refused::Full);
        }
        ask.method = "INVITE".into();
        let mut outgoing = self.outside(w, &ask)?;
        let call =
            self.calls.insert(Call { inviting: Some(inviting::State::Calling), ..Call::new() });
        outgoing.call = Some(call);
        match self.launch(w, outgoing) {
            Ok(id) => {
                let ringing = self.profile.ringing;
                let ringing = self.set(w, ringing, Due::Ringing(call));
                if let Some(call) = self.calls.get_mut(call) {
                    call.outgoing = Some(id);
                    call.ringing = Some(ringing);
                }
                Ok(call)
            }
            Err(refused) => {
                self.calls.remove(call);
                Err(refused)
            }
        }
    }

    fn step_inviting(&mut self, call: Id<Call>, event: inviting::Event) -> &'static [Action] {
        let Some(found) = self.calls.get_mut(call) else { return &[] };
        let Some(state) = found.inviting else { return &[] };
        let Some((next, actions)) = inviting::step(state, event) else { return &[] };
        found.inviting = Some(next);
        actions
    }

    /// A response to the first INVITE.
    pub(super) fn invite_response(
        &mut self,
        w: &mut World<'_>,
        received: &Received<'_>,
        id: Id<Outgoing>,
    ) {
        let message = &received.message;
        let status = message.status();
        let Some(call) = self.outgoing.get(id).and_then(|outgoing| outgoing.call) else { return };
        if status / 100 == 2 && self.acknowledge_again(w, id, message) {
            return;
        }
        let leg = if (101..300).contains(&status) { self.branch(call, id, message) } else { None };
        self.note_allow(leg, message);
        self.open_session(leg, id, message);
        let mut outcome = self.read_response(w, received, id, leg);
        if status < 200 {
            let carrier = if outcome.reliable { Carrier::Reliable } else { Carrier::Unreliable };
            if let Some(leg) = leg.and_then(|leg| self.legs.get_mut(leg))
                && !outcome.discarded
            {
                leg.offers.pass(carrier, has_description(message), false);
            }
            let actions = self.step_inviting(call, inviting::Event::Provisional);
            if !outcome.discarded && status > 100 {
                self.report_call(w, call, message);
            }
            if actions.contains(&Action::TellProgress) && !outcome.discarded && status > 100 {
                self.events.push_back(Event::Progress {
                    call,
                    dialog: leg,
                    reliable: outcome.reliable,
                    response: message.bytes().to_vec(),
                });
            }
            return self.do_tasks_with(w, leg, outcome.tasks, message.bytes());
        }
        if status >= 300 {
            let again = !self.calls.get(call).is_some_and(|call| call.given_up)
                && (self.answer_challenge(w, message, id) || self.retry(w, id, &mut outcome.tasks));
            if again {
                return self.end_early(w, call, None);
            }
            let failed = Ending::Failed { response: message.bytes().to_vec(), status };
            return self.inviting_failed(w, call, id, failed);
        }
        if let Some(outgoing) = self.outgoing.get_mut(id) {
            outgoing.done = true;
        }
        let actions = self.step_inviting(call, inviting::Event::Success);
        let Some(leg) = leg else {
            // Nothing to work with: the peer will end it when no ACK comes.
            if actions.contains(&Action::Establish) {
                self.tell_ended(w, call, None, Ending::Unfit);
            }
            return;
        };
        if actions.contains(&Action::Establish) {
            self.establish(w, call, id, leg, message);
        } else if actions.contains(&Action::Another) {
            self.another(w, call, id, leg, message);
        } else if actions.contains(&Action::Acknowledge) {
            self.acknowledge(w, id, leg, message.cseq().map_or(1, |cseq| cseq.number), None);
            self.step(w, leg, usage::Event::Accepted, None);
            self.step(w, leg, usage::Event::HangUp, Some(Ending::Local));
            if actions.contains(&Action::Fail) {
                self.tell_ended(w, call, Some(leg), Ending::Local);
            }
        }
        self.do_tasks_with(w, Some(leg), outcome.tasks, message.bytes());
    }

    /// The dialog of a branch: found by its tags, or made (section 12.1.2).
    fn branch(
        &mut self,
        call: Id<Call>,
        id: Id<Outgoing>,
        message: &Message<'_>,
    ) -> Option<Id<Leg>> {
        let tag = message.to_tag()?;
        let found = self.legs.find(message.call_id()?, message.from_tag()?, tag);
        let confirmed = message.status() >= 200;
        if let Some(leg) = found {
            let one = self.legs.get_mut(leg)?;
            if confirmed && one.dialog.confirm(message).is_err() {
                one.dialog.confirm_answered();
            }
            return Some(leg);
        }
        let outgoing = self.outgoing.get(id)?;
        let (secure, contact) =
            (outgoing.template.secure, outgoing.template.contact.clone().unwrap_or_default());
        let full = self.legs.len() >= self.profile.max_dialogs;
        let branches = self.calls.get(call)?.early.len();
        // A 2xx is never passed over: somebody has a session there.
        if !confirmed && (full || branches >= self.profile.max_branches) {
            return None;
        }
        let dialog = Dialog::of_response(message, secure, confirmed).ok()?;
        let (kind, body) = (&outgoing.template.media_type, &outgoing.template.body);
        let mut offers = Offers::default();
        offers.sent.clone_from(body);
        offers.pass(Carrier::Invite, is_description(kind, body), true);
        let leg = self.legs.insert(Leg {
            call: Some(call),
            usage: Some(usage::State::Calling),
            contact: contact.into(),
            offers,
            ..Leg::of(dialog)
        });
        self.calls.get_mut(call)?.early.push(leg);
        Some(leg)
    }

    /// The 2xx that makes the session.
    fn establish(
        &mut self,
        w: &mut World<'_>,
        call: Id<Call>,
        id: Id<Outgoing>,
        leg: Id<Leg>,
        message: &Message<'_>,
    ) {
        if self.legs.get(leg).and_then(|leg| leg.usage) != Some(usage::State::Calling) {
            // It crosses the BYE that ended this branch.
            self.acknowledge(w, id, leg, message.cseq().map_or(1, |cseq| cseq.number), None);
            return self.tell_ended(w, call, Some(leg), Ending::Local);
        }
        let mut ringing = None;
        if let Some(found) = self.calls.get_mut(call) {
            found.session = Some(leg);
            found.early.retain(|early| *early != leg);
            ringing = found.ringing.take();
        }
        self.clear(w, ringing);
        self.step(w, leg, usage::Event::Accepted, None);
        let bytes = message.bytes().to_vec();
        self.events.push_back(Event::Established { call, dialog: leg, message: bytes });
        self.acknowledge_or_ask(w, id, leg, message);
        self.report_call(w, call, message);
        self.transfer_waiting(w, call);
    }

    /// A 2xx of another branch.
    fn another(
        &mut self,
        w: &mut World<'_>,
        call: Id<Call>,
        id: Id<Outgoing>,
        leg: Id<Leg>,
        message: &Message<'_>,
    ) {
        if self.legs.get(leg).and_then(|leg| leg.usage) != Some(usage::State::Calling) {
            // The one that is kept, whose ACK still waits for its answer.
            return;
        }
        let number = message.cseq().map_or(1, |cseq| cseq.number);
        if let Some(found) = self.calls.get_mut(call) {
            found.early.retain(|early| *early != leg);
        }
        if self.profile.forks == Forks::EndOthers {
            self.acknowledge(w, id, leg, number, None);
            self.step(w, leg, usage::Event::Accepted, None);
            if let Some(found) = self.legs.get_mut(leg) {
                found.call = None;
            }
            self.step(w, leg, usage::Event::HangUp, Some(Ending::Fork));
            self.events.push_back(Event::ForkEnded { call, dialog: leg });
            return;
        }
        let new = self.calls.insert(Call { session: Some(leg), ..Call::new() });
        if let Some(found) = self.legs.get_mut(leg) {
            found.call = Some(new);
        }
        self.step(w, leg, usage::Event::Accepted, None);
        let bytes = message.bytes().to_vec();
        self.events.push_back(Event::Forked { from: call, call: new, dialog: leg, message: bytes });
        self.acknowledge_or_ask(w, id, leg, message);
    }

    /// Acknowledges a 2xx; where it has the offer, asks for the answer first (section 13.2.2.4).
    pub(super) fn acknowledge_or_ask(
        &mut self,
        w: &mut World<'_>,
        id: Id<Outgoing>,
        leg: Id<Leg>,
        message: &Message<'_>,
    ) {
        let number = message.cseq().map_or(1, |cseq| cseq.number);
        let sdp = has_description(message);
        let found = self.legs.get_mut(leg);
        let meaning =
            found.map_or(Meaning::Nothing, |leg| leg.offers.pass(Carrier::Success, sdp, false));
        if meaning != Meaning::Offer {
            self.acknowledge(w, id, leg, number, None);
            // Section 13.2.2.4: what cannot be worked with is acknowledged, and ended.
            if self.is_missing(meaning) {
                self.step(w, leg, usage::Event::HangUp, Some(Ending::Unfit));
            }
            return;
        }
        // The peer gives up after 64*T1 (section 13.3.1.4).
        let after = self.t1 * 32;
        let timer = self.set(w, after, Due::NoAnswer(leg));
        if let Some(found) = self.legs.get_mut(leg) {
            found.unacked = Some(Unacked { number, outgoing: id, timer });
        }
        let message = message.bytes().to_vec();
        let method = "ACK".into();
        self.events.push_back(Event::AnswerWanted { dialog: leg, method, message });
    }

    /// Whether a 2xx lacks what it must have. Two ends that never speak of a session may do so across
    /// a leg.
    pub(super) fn is_missing(&self, meaning: Meaning) -> bool {
        let profile = &self.profile;
        match meaning {
            Meaning::AnswerMissing => profile.offers,
            Meaning::OfferMissing => profile.offers && !profile.leg,
            _ => false,
        }
    }

    /// Sends the ACK of a 2xx and keeps it for the copies that may come (section 13.2.2.4).
    pub(super) fn acknowledge(
        &mut self,
        w: &mut World<'_>,
        id: Id<Outgoing>,
        leg: Id<Leg>,
        number: u32,
        answer: Option<super::Content>,
    ) {
        let Some(found) = self.legs.get(leg) else { return };
        let way = found.dialog.way();
        let credentials = self.outgoing.get(id).map(|outgoing| &outgoing.template.credentials);
        let mut template = Template {
            method: "ACK".into(),
            uri: way.uri,
            route: way.route,
            from: found.dialog.local().to_vec(),
            to: found.dialog.remote().to_vec(),
            call_id: found.dialog.call_id().to_vec(),
            number,
            max_forwards: 70,
            // Section 22.1: the credentials of the INVITE are good for its ACK.
            credentials: credentials.cloned().unwrap_or_default(),
            ..Template::default()
        };
        if let Some(value) = &found.session_id {
            super::template::line(&mut template.fields, b"Session-ID", value);
        }
        self.extend_ack(w, id, leg, &mut template);
        let Some(found) = self.legs.get(leg) else { return };
        if let Some(answer) = answer {
            template.media_type = answer.media_type.into_bytes();
            template.body = answer.bytes;
        }
        let tag = found.dialog.remote_tag().into();
        let ack =
            Ack { tag, next_hop: way.next_hop.into(), seed: w.stack.rng().next_u64(), template };
        send_ack(w, &ack);
        if let Some(outgoing) = self.outgoing.get_mut(id) {
            outgoing.acks.push(ack);
        }
    }

    /// Sends an ACK again; says whether there was one for this 2xx.
    pub(super) fn acknowledge_again(
        &mut self,
        w: &mut World<'_>,
        id: Id<Outgoing>,
        message: &Message<'_>,
    ) -> bool {
        let tag = message.to_tag().unwrap_or_default();
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        let acks = self.outgoing.get(id).map_or(&[][..], |outgoing| &outgoing.acks);
        match acks.iter().find(|ack| *ack.tag == *tag && ack.template.number == number) {
            Some(ack) => {
                send_ack(w, ack);
                true
            }
            None => false,
        }
    }

    /// No final response came.
    pub(super) fn invite_failed(&mut self, w: &mut World<'_>, id: Id<Outgoing>, why: Failure) {
        let Some(call) = self.outgoing.get(id).and_then(|outgoing| outgoing.call) else { return };
        self.inviting_failed(w, call, id, Ending::NoResponse(why));
    }

    fn inviting_failed(
        &mut self,
        w: &mut World<'_>,
        call: Id<Call>,
        id: Id<Outgoing>,
        why: Ending,
    ) {
        self.step_inviting(call, inviting::Event::Failure);
        self.outgoing.remove(id);
        let given_up = self.calls.get_mut(call).is_some_and(|call| {
            call.outgoing = None;
            call.given_up
        });
        // A CANCEL that did its work, or a cancelled call that nobody answered.
        let why = if given_up { Ending::Local } else { why };
        self.end_early(w, call, None);
        self.tell_ended(w, call, None, why);
        self.settle_call(w, call);
    }

    /// No further 2xx can come for the INVITE of this call (RFC 6026, Timer M).
    pub(super) fn inviting_over(&mut self, w: &mut World<'_>, call: Id<Call>) {
        self.step_inviting(call, inviting::Event::Lingered);
        if let Some(call) = self.calls.get_mut(call) {
            call.outgoing = None;
        }
        self.end_early(w, call, Some(()));
        self.settle_call(w, call);
    }

    /// Ends the early dialogs that are left of a call; tells so where the call goes on.
    fn end_early(&mut self, w: &mut World<'_>, call: Id<Call>, tell: Option<()>) {
        let early = self.calls.get_mut(call).map(|call| std::mem::take(&mut call.early));
        for leg in early.unwrap_or_default() {
            if let Some(found) = self.legs.get_mut(leg) {
                found.call = None;
            }
            self.step(w, leg, usage::Event::Refused, None);
            if tell.is_some() {
                self.events.push_back(Event::ForkEnded { call, dialog: leg });
            }
            self.settle(w, leg);
        }
    }

    /// Gives up a call of ours that has no session yet (section 9.1).
    pub(super) fn give_up(&mut self, w: &mut World<'_>, call: Id<Call>) -> Result<(), Refused> {
        self.give_up_for(w, call, None)
    }

    /// The same for a reason of the application's (RFC 3326).
    pub(super) fn give_up_for(
        &mut self,
        w: &mut World<'_>,
        call: Id<Call>,
        reason: Option<&[u8]>,
    ) -> Result<(), Refused> {
        let actions = self.step_inviting(call, inviting::Event::Cancel);
        if !actions.contains(&Action::SendCancel) {
            return Err(Refused::State);
        }
        let Some(found) = self.calls.get_mut(call) else { return Err(Refused::Stale) };
        found.given_up = true;
        let client = found.outgoing.and_then(|id| self.outgoing.get(id)?.client);
        let reason = match reason {
            Some(reason) => Some(reason.to_vec()),
            None => self.reason_of_cancel(w, call),
        };
        match client {
            Some(client) => {
                let _ = w.stack.cancel(w.now, w.out, client, reason.as_deref());
                Ok(())
            }
            None => Err(Refused::State),
        }
    }

    /// A call has rung for long enough.
    pub(super) fn rang_enough(&mut self, w: &mut World<'_>, call: Id<Call>) {
        let Some(found) = self.calls.get(call) else { return };
        if found.session.is_some() || found.told {
            return;
        }
        if let Some(incoming) = found.incoming {
            let _ = self.reply(w, incoming, super::Answer::new(480));
        } else if self.give_up(w, call).is_ok()
            && let Some(found) = self.calls.get_mut(call)
        {
            found.given_up = false;
        }
    }
}

fn send_ack(w: &mut World<'_>, ack: &Ack) {
    let seed = ack.seed.to_le_bytes();
    let to = Destination::Uri(&ack.next_hop);
    let _ = w.stack.send_stateless(w.now, w.out, to, &seed, |stamp, to| {
        ack.template.write(stamp, to);
    });
}
