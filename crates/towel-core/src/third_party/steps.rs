//! The flows of RFC 3725 section 4, step by step.

use super::description::{Parts, audio_nowhere, without_media};
use super::joint::{Flow, Joint, Step};
use super::{Controller, JointHandle, News, Who};
use crate::b2bua::session_id;
use crate::b2bua::{body_of, is_description, with};
use crate::contract::Fields;
use crate::io::{Now, Outbox};
use crate::stack::Failure;
use crate::ua::user_agent::{
    Ask, CallHandle, Came, Content, DialogHandle, Ending, Refused, RequestHandle,
};

/// How often descriptions go back and forth in flow II before it is given up: each round is a re-INVITE to
/// both.
const MOST_ROUNDS: u8 = 4;

/// The description in a message.
pub(super) fn described(message: &[u8]) -> Option<Content> {
    with(message, body_of).flatten().filter(is_description)
}

impl Controller {
    /// Calls the first end.
    pub(super) fn call_first(
        &mut self,
        now: Now,
        out: &mut Outbox,
        joint: JointHandle,
    ) -> Result<(), Refused> {
        let temporary = self.random_uuid();
        let found = self.joints.get_mut(joint).ok_or(Refused::Stale)?;
        let bytes = match found.flow {
            Flow::I | Flow::III => None,
            Flow::II => Some(audio_nowhere(end_session(found))),
            Flow::IV => Some(without_media(end_session(found))),
        };
        let from = found.from.clone();
        let end = found.end_mut(0).ok_or(Refused::Stale)?;
        if let Some(bytes) = &bytes {
            end.version = 1;
            end.layout = Some(Parts::read(bytes));
        }
        let mut ask = Ask { from, body: bytes.map(Content::sdp), ..Ask::new("INVITE", &end.uri) };
        // RFC 7989 section 7: one of our own until both ends are known.
        if let Some(value) = session_id::write(Some(temporary), None) {
            ask.fields.push("Session-ID", value);
        }
        self.call(now, out, joint, 0, ask)
    }

    fn call(
        &mut self,
        now: Now,
        out: &mut Outbox,
        joint: JointHandle,
        at: usize,
        ask: Ask,
    ) -> Result<(), Refused> {
        let call = self.agent.call(now, out, ask)?;
        self.calls.insert(call, joint);
        if let Some(end) = self.joints.get_mut(joint).and_then(|joint| joint.end_mut(at)) {
            end.call = Some(call);
        }
        Ok(())
    }

    /// Asks the first end, which is there already, for an offer.
    pub(super) fn ask_first(
        &mut self,
        now: Now,
        out: &mut Outbox,
        joint: JointHandle,
    ) -> Result<(), Refused> {
        let found = self.joints.get(joint).ok_or(Refused::Stale)?;
        let dialog = found.end(0).and_then(|end| end.dialog).ok_or(Refused::State)?;
        let sent = self.agent.request(now, out, dialog, &Ask::new("INVITE", ""))?;
        if let Some(found) = self.joints.get_mut(joint) {
            found.asking = Some((sent, 0));
        }
        Ok(())
    }

    /// Calls the second end, or asks it if it is there already; with an offer, or for one.
    fn go_on(&mut self, now: Now, out: &mut Outbox, joint: JointHandle, offer: Option<Content>) {
        let Some(found) = self.joints.get_mut(joint) else { return };
        if found.step != Step::First {
            return;
        }
        found.step = Step::Second;
        let (from, first) = (found.from.clone(), found.ends[0].uuid);
        let Some(end) = found.end_mut(1) else { return };
        let body = offer.map(|offer| end.description(Parts::read(&offer.bytes)));
        let mut ask = Ask { from, body, ..Ask::new("INVITE", &end.uri) };
        if let Some(value) = session_id::write(first, end.uuid) {
            ask.fields.push("Session-ID", value);
        }
        let sent = match end.dialog {
            Some(dialog) => self.agent.request(now, out, dialog, &ask).map(Some),
            None => self.call(now, out, joint, 1, ask).map(|()| None),
        };
        match sent {
            Ok(Some(sent)) => {
                if let Some(found) = self.joints.get_mut(joint) {
                    found.asking = Some((sent, 1));
                }
            }
            Ok(None) => {}
            Err(_) => self.fail(now, out, joint, Who::Second, 503, "Service Unavailable"),
        }
    }

    /// What the second end offers goes to the first: by re-INVITE, or by UPDATE while it rings (section 8).
    fn offer_to_first(&mut self, now: Now, out: &mut Outbox, joint: JointHandle, offer: &Content) {
        let Some(found) = self.joints.get_mut(joint) else { return };
        found.step = Step::Offering;
        let uuid = found.ends[1].uuid;
        let Some(first) = found.end_mut(0) else { return };
        let parts = Parts::read(&offer.bytes);
        let (parts, places) = match &first.layout {
            Some(layout) => parts.arranged(layout),
            None => (parts.clone(), (0..MOST_PLACES).collect()),
        };
        let body = Some(first.description(parts));
        let method = if first.up { "INVITE" } else { "UPDATE" };
        let (dialog, mine) = (first.dialog, first.uuid);
        found.places = places;
        let mut ask = Ask { body, ..Ask::new(method, "") };
        if let Some(value) = session_id::write(uuid, mine) {
            ask.fields.push("Session-ID", value);
        }
        let sent = dialog.ok_or(Refused::Stale);
        match sent.and_then(|dialog| self.agent.request(now, out, dialog, &ask)) {
            Ok(sent) => {
                if let Some(found) = self.joints.get_mut(joint) {
                    found.asking = Some((sent, 0));
                }
            }
            Err(_) => self.fail(now, out, joint, Who::First, 491, "Request Pending"),
        }
    }

    /// A provisional response.
    pub(super) fn progress(
        &mut self,
        now: Now,
        out: &mut Outbox,
        call: CallHandle,
        dialog: Option<DialogHandle>,
        reliable: bool,
        response: &[u8],
    ) {
        let Some((joint, at)) = self.whose(call) else { return };
        let status = with(response, |message| message.status()).unwrap_or_default();
        self.hear(joint, at, response);
        self.tell(News::Progress { joint, who: Who::of(at), status });
        let Some(found) = self.joints.get_mut(joint) else { return };
        let (flow, step) = (found.flow, found.step);
        let Some(end) = found.end_mut(at) else { return };
        let body = described(response).filter(|_| reliable);
        if end.dialog.is_none() || body.is_some() {
            end.dialog = dialog.or(end.dialog);
        }
        let Some(body) = body else { return };
        end.note(&body);
        // Figure 9: the first end has answered the offer without media, though nobody picked up yet.
        if at == 0 && flow == Flow::IV && step == Step::First {
            self.go_on(now, out, joint, None);
        }
    }

    /// An end has answered.
    pub(super) fn established(
        &mut self,
        now: Now,
        out: &mut Outbox,
        call: CallHandle,
        dialog: DialogHandle,
        message: &[u8],
    ) {
        let Some((joint, at)) = self.whose(call) else { return };
        self.hear(joint, at, message);
        let Some(found) = self.joints.get_mut(joint) else { return };
        let (flow, step) = (found.flow, found.step);
        let Some(end) = found.end_mut(at) else { return };
        end.dialog = Some(dialog);
        end.up = true;
        let body = described(message);
        if let Some(body) = &body {
            end.note(body);
        }
        match (at, flow, step, body) {
            (0, Flow::IV, Step::First, _) => self.go_on(now, out, joint, None),
            (0, Flow::II, Step::First, Some(body)) => self.go_on(now, out, joint, Some(body)),
            (1, Flow::I, Step::Second, Some(body)) => self.answer_first(now, out, joint, &body),
            (1, Flow::II, Step::Second, Some(body)) => {
                self.offer_to_first(now, out, joint, &body);
            }
            // Its offer follows, or what it has to say has been said.
            _ => {}
        }
        self.perhaps_connected(joint);
    }

    /// An end has made an offer whose answer is waited for.
    pub(super) fn wanted(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        message: &[u8],
    ) {
        let Some((joint, at)) = self.whose_dialog(dialog) else { return };
        let Some(found) = self.joints.get_mut(joint) else { return };
        let (flow, step) = (found.flow, found.step);
        let Some(end) = found.end_mut(at) else { return };
        end.offered = true;
        // One that came in a reliable response has been noted with it.
        if let Some(body) = described(message) {
            end.note(&body);
        }
        let Some(offer) = end.said.clone() else { return };
        match (at, flow, step) {
            (0, Flow::I, Step::First) => {
                found.asking = None;
                self.go_on(now, out, joint, Some(offer));
            }
            (0, Flow::III, Step::First) => {
                end.offered = false;
                let hole = end.description(Parts::read(&offer.bytes).black_hole());
                let _ = self.agent.supply(now, out, dialog, hole);
                self.go_on(now, out, joint, None);
            }
            (1, Flow::III | Flow::IV, Step::Second) => {
                found.asking = None;
                self.offer_to_first(now, out, joint, &offer);
            }
            // What follows later is relayed.
            _ => {}
        }
    }

    /// Flow I: the second end's answer is the first one's.
    fn answer_first(&mut self, now: Now, out: &mut Outbox, joint: JointHandle, answer: &Content) {
        let Some(found) = self.joints.get_mut(joint) else { return };
        let parts = Parts::read(&answer.bytes);
        if !parts.has_media() {
            return self.fail(now, out, joint, Who::Second, 488, "No Media in Common");
        }
        found.step = Step::Joined;
        found.asking = None;
        let Some(first) = found.end_mut(0) else { return };
        first.offered = false;
        let (body, dialog) = (first.description(parts), first.dialog);
        if let Some(dialog) = dialog {
            let _ = self.agent.supply(now, out, dialog, body);
        }
        self.perhaps_connected(joint);
    }

    /// What came of what was sent for these steps.
    pub(super) fn stepped(
        &mut self,
        now: Now,
        out: &mut Outbox,
        joint: JointHandle,
        at: usize,
        came: &Came,
    ) {
        let Came::Final { response, status } = came else {
            let (status, reason) = (came.status(), "No Answer");
            return self.fail(now, out, joint, Who::of(at), status, reason);
        };
        if status / 100 != 2 {
            let reason =
                with(response, |message| String::from_utf8_lossy(message.reason()).into_owned());
            return self.fail(now, out, joint, Who::of(at), *status, &reason.unwrap_or_default());
        }
        self.hear(joint, at, response);
        let Some(found) = self.joints.get_mut(joint) else { return };
        let (flow, step) = (found.flow, found.step);
        let body = described(response);
        match (at, flow, step) {
            (0, _, Step::Offering) => {
                found.asking = None;
                let Some(body) = body else {
                    return self.fail(now, out, joint, Who::First, 488, "No Answer to the Offer");
                };
                self.first_answered(now, out, joint, &body);
            }
            (1, Flow::I, Step::Second) => {
                found.asking = None;
                if let Some(body) = body {
                    self.answer_first(now, out, joint, &body);
                }
            }
            (1, Flow::II, Step::Second) => {
                found.asking = None;
                if let Some(body) = body {
                    if let Some(end) = found.end_mut(1) {
                        end.note(&body);
                    }
                    self.offer_to_first(now, out, joint, &body);
                }
            }
            // Asked for an offer, which follows.
            _ => {}
        }
    }

    /// The first end has answered what the second one offered.
    fn first_answered(&mut self, now: Now, out: &mut Outbox, joint: JointHandle, body: &Content) {
        let Some(found) = self.joints.get_mut(joint) else { return };
        let parts = Parts::read(&body.bytes);
        if !parts.has_media() {
            return self.fail(now, out, joint, Who::First, 488, "No Media in Common");
        }
        let Some(first) = found.end_mut(0) else { return };
        let before = first.said.replace(body.clone());
        first.layout = Some(parts.clone());
        if found.flow == Flow::II {
            let same = before.is_some_and(|before| Parts::read(&before.bytes).agrees(&parts));
            found.rounds += 1;
            if same {
                found.step = Step::Joined;
                return self.perhaps_connected(joint);
            }
            if found.rounds >= MOST_ROUNDS {
                return self.fail(now, out, joint, Who::First, 488, "No Agreement");
            }
            // What it says has changed, and the second end has to hear of it.
            found.step = Step::First;
            return self.go_on(now, out, joint, Some(body.clone()));
        }
        found.step = Step::Joined;
        let answer = parts.taken_back(&found.places);
        let Some(second) = found.end_mut(1) else { return };
        second.offered = false;
        let (answer, dialog) = (second.description(answer), second.dialog);
        if let Some(dialog) = dialog {
            let _ = self.agent.supply(now, out, dialog, answer);
        }
        self.perhaps_connected(joint);
    }

    /// Tells once that both talk.
    fn perhaps_connected(&mut self, joint: JointHandle) {
        let Some(found) = self.joints.get_mut(joint) else { return };
        let both = found.ends.iter().all(|end| end.up);
        if found.step == Step::Joined && both && !std::mem::replace(&mut found.told, true) {
            self.tell(News::Connected { joint });
        }
    }

    /// Section 6: whoever is there already is let go, and told why.
    pub(super) fn fail(
        &mut self,
        now: Now,
        out: &mut Outbox,
        joint: JointHandle,
        who: Who,
        status: u16,
        reason: &str,
    ) {
        let text: String =
            reason.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
        let mut fields = Fields::new();
        fields.push("Reason", format!("SIP;cause={status};text=\"{text}\""));
        self.tell(News::Failed { joint, who, status });
        let _ = self.let_go(now, out, joint, fields);
    }

    /// A call is over.
    pub(super) fn ended(&mut self, now: Now, out: &mut Outbox, call: CallHandle, why: &Ending) {
        let Some((joint, at)) = self.whose(call) else { return };
        self.calls.remove(&call);
        let Some(found) = self.joints.get_mut(joint) else { return };
        if let Some(end) = found.end_mut(at) {
            (end.call, end.dialog, end.up) = (None, None, false);
        }
        let nobody = (0..3).all(|at| found.end(at).is_none_or(|end| end.call.is_none()));
        let step = found.step;
        match step {
            Step::Leaving => {}
            // The machine has said what it had to say.
            Step::Joined if at == 1 && found.parked.is_some() => {
                return self.come_back(now, out, joint);
            }
            Step::Joined if at == 2 => found.parked = None,
            Step::Joined if found.keep && !nobody => {
                self.tell(News::Left { joint, who: Who::of(at) });
                return;
            }
            Step::Joined => {
                let _ = self.let_go(now, out, joint, Fields::new());
            }
            Step::First | Step::Second | Step::Offering => {
                let (status, reason) = told(why);
                self.fail(now, out, joint, Who::of(at), status, &reason);
            }
        }
        if nobody && self.joints.remove(joint).is_some() {
            self.tell(News::Over { joint });
        }
    }

    /// Section 10.2: the one that was parked and the one that heard the machine are together again.
    fn come_back(&mut self, now: Now, out: &mut Outbox, joint: JointHandle) {
        let Some(found) = self.joints.get_mut(joint) else { return };
        let Some(parked) = found.parked.take() else { return };
        found.ends[1] = parked;
        (found.flow, found.step, found.told) = (Flow::III, Step::First, false);
        self.go_on(now, out, joint, None);
    }

    pub(super) fn whose(&self, call: CallHandle) -> Option<(JointHandle, usize)> {
        let joint = *self.calls.get(&call)?;
        Some((joint, self.joints.get(joint)?.whose(call)?))
    }

    pub(super) fn whose_dialog(&self, dialog: DialogHandle) -> Option<(JointHandle, usize)> {
        // An early dialog has no session yet, but its call.
        let call = self.agent.call_of(dialog)?;
        self.whose(call)
    }

    /// Who an end is (RFC 7989).
    pub(super) fn hear(&mut self, joint: JointHandle, at: usize, message: &[u8]) {
        let said = with(message, |message| session_id::read(message).local).flatten();
        if let Some(end) = self.joints.get_mut(joint).and_then(|joint| joint.end_mut(at)) {
            end.uuid = said.or(end.uuid);
        }
    }

    /// What was sent for a step.
    pub(super) fn asking(&self, joint: JointHandle, request: RequestHandle) -> Option<usize> {
        let (asking, at) = self.joints.get(joint)?.asking?;
        (asking == request).then_some(at)
    }
}

/// How many media lines are in their places where nothing was arranged.
const MOST_PLACES: usize = 64;

fn end_session(joint: &Joint) -> u64 {
    joint.end(0).map_or(0, |end| end.session)
}

/// What the end of a call says of why, as a status.
fn told(why: &Ending) -> (u16, String) {
    match why {
        Ending::Failed { response, status } => {
            let reason =
                with(response, |message| String::from_utf8_lossy(message.reason()).into_owned());
            (*status, reason.unwrap_or_default())
        }
        Ending::NoResponse(Failure::TimedOut | Failure::Cancelled) => (408, "No Answer".into()),
        Ending::NoResponse(_) => (503, "Not Reached".into()),
        Ending::Lost { status } => (*status, "Call Lost".into()),
        Ending::Unfit => (488, "No Session Agreed".into()),
        _ => (487, "Call Ended".into()),
    }
}
