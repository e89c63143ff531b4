//! The INVITE that makes a call, and its responses.

use towel_message::{Index, Limits, Message, Name, Uri};

use super::B2bua;
use super::bridge::{Bridge, Pair, Side};
use super::fields::{body, is_description, party, user};
use super::session_id::{self, Uuid};
use crate::contract::Fields;
use crate::io::{Now, Outbox};
use crate::transaction::Id;
use crate::ua::user_agent::{Answer, Ask, CallHandle, Content, DialogHandle};

/// Reads a message that our user agent has read before.
pub(crate) fn with<R>(bytes: &[u8], read: impl FnOnce(&Message<'_>) -> R) -> Option<R> {
    let mut index = Index::new();
    Some(read(&Message::parse(bytes, &mut index, &Limits::default()).ok()?))
}

impl B2bua {
    /// Where a request goes: its Request-URI and the Route of the next hop, if it has to name that.
    pub(super) fn target(&self, message: &Message<'_>) -> (String, Option<String>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let route = Some(self.settings.next_hop.clone());
        let Ok(Uri::Sip(uri)) = message.uri() else { return (text(message.request_uri()), route) };
        let named = uri.host_port.to_ascii_lowercase();
        if !self.own.contains(&named) {
            return (text(message.request_uri()), route);
        }
        // It names ourselves: the same user at the next hop.
        let Ok(Uri::Sip(next)) = Uri::parse(self.settings.next_hop.as_bytes()) else {
            return (self.settings.next_hop.clone(), None);
        };
        let scheme = if next.secure { "sips" } else { "sip" };
        let user = uri.user.map(|user| format!("{}@", text(user))).unwrap_or_default();
        let params = next.params.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"transport"));
        let params: String = params
            .map(|(_, value)| format!(";transport={}", text(value.unwrap_or_default())))
            .collect();
        (format!("{scheme}:{user}{}{params}", text(next.host_port)), None)
    }

    /// What is wrong with a request before it may go on, but for its dialog.
    pub(super) fn unfit(&self, message: &Message<'_>) -> Option<Answer> {
        // RFC 3261 section 16.3 item 3: two of us that send to each other must come to an end as well.
        if matches!(message.max_forwards(), Ok(Some(0))) {
            return Some(Answer::new(483));
        }
        let missing = self.unsupported(message)?;
        Some(Answer::new(420).with("Unsupported", missing))
    }

    /// How many hops are left.
    pub(super) fn hops(message: &Message<'_>) -> Option<u8> {
        let left = message.max_forwards().ok().flatten().unwrap_or(70);
        Some(u8::try_from(left.saturating_sub(1)).unwrap_or(u8::MAX))
    }

    /// Somebody calls.
    pub(super) fn called(&mut self, now: Now, out: &mut Outbox, call: CallHandle, request: &[u8]) {
        let source = self.agent.source_of(call);
        self.counters.calls += 1;
        let refusal = if !self.may(source) {
            Some(Answer::new(403))
        } else if self.bridges.len() >= self.settings.max_calls {
            self.counters.full += 1;
            Some(Answer::new(503).with("Retry-After", "10"))
        } else {
            with(request, |message| self.unfit(message)).unwrap_or(Some(Answer::new(400)))
        };
        if let Some(refusal) = refusal {
            let _ = self.agent.answer(now, out, call, refusal);
            return;
        }
        let Some((mut ask, said)) = with(request, |message| {
            let (uri, route) = self.target(message);
            let ask = Ask {
                to: party(message, Name::To),
                from: party(message, Name::From),
                fields: self.carried(message),
                body: body(message),
                max_forwards: Self::hops(message),
                direct: route.is_none(),
                route,
                contact: Some(user(message, Name::From)),
                supported: Some(self.supported(message)),
                ..Ask::new("INVITE", &uri)
            };
            (ask, session_id::read(message))
        }) else {
            return;
        };
        let mut bridge = Bridge::new(call, ask.body.clone().filter(is_description));
        bridge.uuid = self.uuid(said.local);
        if let Some(value) = session_id::write(bridge.uuid, said.remote) {
            ask.fields.push("Session-ID", value);
        }
        match self.agent.call(now, out, ask) {
            Ok(other) => {
                bridge.calls = [Some(call), Some(other)];
                let id = self.bridges.insert(bridge);
                self.calls.insert(call, (id, Side::Caller));
                self.calls.insert(other, (id, Side::Callee));
            }
            Err(_) => {
                let _ = self.agent.answer(now, out, call, Answer::new(500));
            }
        }
    }

    /// The UUID of an end: its own, or one that we give it.
    pub(super) fn uuid(&mut self, said: Option<Uuid>) -> Option<Uuid> {
        said.or_else(|| self.settings.session_ids.then(|| Uuid::random(&mut self.rng)))
    }

    /// The pair of a dialog of the callee's leg, made if it is not there.
    fn pair(&mut self, id: Id<Bridge>, dialog: Option<DialogHandle>) -> Option<usize> {
        let bridge = self.bridges.get_mut(id)?;
        let found = match dialog {
            Some(dialog) => bridge.pair_of(Side::Callee, dialog),
            // Without a tag it is in no dialog there: it goes on in the first.
            None => (!bridge.pairs.is_empty()).then_some(0),
        };
        if let Some(found) = found {
            return Some(found);
        }
        // One that was made without knowing the dialog is this one's.
        let open = bridge.pairs.iter().position(|pair| pair.dialog(Side::Callee).is_none());
        let at = match open {
            Some(at) => at,
            None => {
                let branch = u32::try_from(bridge.pairs.len()).ok()?;
                let said = [bridge.offer.clone(), None];
                bridge.pairs.push(Pair { branch, said, ..Pair::default() });
                bridge.pairs.len() - 1
            }
        };
        let pair = bridge.pairs.get_mut(at)?;
        if let Some(dialog) = dialog {
            pair.dialogs[1] = Some(dialog);
            self.dialogs.insert(dialog, (id, Side::Callee));
        }
        Some(at)
    }

    /// Notes the caller's dialog of a pair.
    fn pair_caller(&mut self, id: Id<Bridge>, at: usize, dialog: Option<DialogHandle>) {
        let Some(dialog) = dialog else { return };
        let Some(pair) = self.bridges.get_mut(id).and_then(|bridge| bridge.pairs.get_mut(at))
        else {
            return;
        };
        pair.dialogs[0] = Some(dialog);
        self.dialogs.insert(dialog, (id, Side::Caller));
    }

    /// A response of the callee's as the caller gets it; `keep` tells whether its body counts there.
    fn passed(
        &mut self,
        id: Id<Bridge>,
        at: usize,
        message: &Message<'_>,
        keep: bool,
    ) -> Option<Answer> {
        let said = session_id::read(message);
        let known = self.bridges.get(id)?.pairs.get(at)?.uuid;
        let uuid = said.local.or(known).or_else(|| self.uuid(None));
        let mut answer = Answer {
            status: message.status(),
            reason: String::from_utf8_lossy(message.reason()).into_owned(),
            fields: self.carried(message),
            body: body(message).filter(|_| keep),
            ..Answer::default()
        };
        if message.status() / 100 == 2 {
            answer.fields.push("Supported", self.supported(message));
        }
        let bridge = self.bridges.get_mut(id)?;
        let pair = bridge.pairs.get_mut(at)?;
        pair.uuid = uuid;
        answer.branch = pair.branch;
        if let Some(value) = session_id::write(uuid, bridge.uuid) {
            answer.fields.push("Session-ID", value);
        }
        Some(answer)
    }

    /// A provisional response of the callee's.
    pub(super) fn progress(
        &mut self,
        now: Now,
        out: &mut Outbox,
        call: CallHandle,
        dialog: Option<DialogHandle>,
        reliable: bool,
        response: &[u8],
    ) {
        let Some((id, Side::Callee)) = self.calls.get(&call).copied() else { return };
        let Some(at) = self.pair(id, dialog) else { return };
        // Where the INVITE has no offer the first reliable response has it (RFC 3261 section 13.2.1):
        // what stands in an unreliable one is none, and would be taken for it once it goes reliably.
        let keep = reliable || self.bridges.get(id).is_some_and(|bridge| bridge.offer.is_some());
        let answer = with(response, |message| self.passed(id, at, message, keep)).flatten();
        let Some(answer) = answer else { return };
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        let Some(caller) = bridge.call(Side::Caller) else { return };
        if let Some(pair) = bridge.pairs.get_mut(at) {
            pair.note(Side::Callee, answer.body.as_ref());
        }
        let branch = answer.branch;
        let _ = self.agent.answer(now, out, caller, answer);
        let early = self.agent.early_of(caller, branch);
        self.pair_caller(id, at, early);
    }

    /// A session is set up on one of the legs.
    pub(super) fn established(
        &mut self,
        now: Now,
        out: &mut Outbox,
        call: CallHandle,
        dialog: DialogHandle,
        message: &[u8],
    ) {
        match self.calls.get(&call).copied() {
            Some((id, Side::Callee)) => self.answered(now, out, id, call, dialog, message),
            Some((_, Side::Caller)) => self.acknowledged(now, out, dialog, message),
            None => {}
        }
    }

    /// The callee's 2xx.
    fn answered(
        &mut self,
        now: Now,
        out: &mut Outbox,
        id: Id<Bridge>,
        call: CallHandle,
        dialog: DialogHandle,
        response: &[u8],
    ) {
        let Some(at) = self.pair(id, Some(dialog)) else { return };
        let answer = with(response, |message| self.passed(id, at, message, true)).flatten();
        let Some(mut answer) = answer else { return };
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        bridge.session = Some(at);
        let caller = bridge.call(Side::Caller);
        let before = bridge.pairs.get_mut(at).and_then(|pair| {
            pair.note(Side::Callee, answer.body.as_ref());
            pair.last(Side::Callee)
        });
        // The answer may have come reliably on that leg, and on this one it did not.
        let again = answer.body.is_none().then_some(before).flatten();
        let mut done = false;
        if let Some(caller) = caller {
            let plain = answer.clone();
            done = self.agent.answer(now, out, caller, answer).is_ok();
            if !done && again.is_some() {
                answer = Answer { body: again, ..plain };
                done = self.agent.answer(now, out, caller, answer).is_ok();
            }
        }
        let Some(caller) = caller.filter(|_| done) else {
            // Nobody is there any more, or there is no answer for whoever is.
            let _ = self.agent.hang_up(now, out, call);
            if let Some(caller) = caller {
                let _ = self.agent.answer(now, out, caller, Answer::new(500));
            }
            return;
        };
        self.counters.answered += 1;
        if let Some(bridge) = self.bridges.get_mut(id) {
            bridge.answered = true;
        }
        let session = self.agent.session_of(caller);
        let early = session.or_else(|| {
            let branch = self.bridges.get(id)?.pairs.get(at)?.branch;
            self.agent.early_of(caller, branch)
        });
        self.pair_caller(id, at, early);
    }

    /// What came on this leg has an offer, and the answer has to go back in this request.
    pub(super) fn wanted(&mut self, dialog: DialogHandle, method: &str) {
        if !matches!(method, "ACK" | "PRACK") {
            return;
        }
        let Some((id, side)) = self.dialogs.get(&dialog).copied() else { return };
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        let pair = bridge.pair_of(side, dialog).and_then(|at| bridge.pairs.get_mut(at));
        if let Some(pair) = pair {
            pair.want(side, true);
        }
    }

    /// The ACK on one leg: if the other waits for the answer in it, it goes on.
    pub(super) fn acknowledged(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        ack: &[u8],
    ) {
        let Some(answer) = with(ack, |message| {
            self.hear(dialog, session_id::read(message).local);
            body(message)
        })
        .flatten() else {
            return;
        };
        self.give_answer(now, out, dialog, answer);
    }

    /// The answer that came on this leg, for the offer that came on the other.
    pub(super) fn give_answer(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        answer: Content,
    ) -> bool {
        let Some((id, side)) = self.dialogs.get(&dialog).copied() else { return false };
        let Some(bridge) = self.bridges.get_mut(id) else { return false };
        let Some(at) = bridge.pair_of(side, dialog) else { return false };
        let Some(pair) = bridge.pairs.get_mut(at) else { return false };
        pair.note(side, Some(&answer));
        let other = side.other();
        let (true, Some(waiting)) = (pair.is_wanted(other), pair.dialog(other)) else {
            return false;
        };
        pair.want(other, false);
        self.agent.supply(now, out, waiting, answer).is_ok()
    }

    /// Who is on that leg has said who it is: what is new is taken (RFC 7989 section 8).
    pub(super) fn hear(&mut self, dialog: DialogHandle, uuid: Option<Uuid>) {
        let (Some(uuid), Some((id, side))) = (uuid, self.dialogs.get(&dialog).copied()) else {
            return;
        };
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        match side {
            Side::Caller => bridge.uuid = Some(uuid),
            Side::Callee => {
                let pair = bridge.pair_of(side, dialog).and_then(|at| bridge.pairs.get_mut(at));
                if let Some(pair) = pair {
                    pair.uuid = Some(uuid);
                }
            }
        }
    }

    /// A final refusal for the caller, as it came from the callee.
    pub(super) fn refused(&self, message: &Message<'_>, bridge: &Bridge) -> Answer {
        let mut fields: Fields = self.carried(message);
        // RFC 3261 section 8.1.3.4: where else to look is what a 3xx is about.
        if matches!(message.status(), 300..400 | 485) {
            for field in message.fields(Name::Contact) {
                fields.push("Contact", field.value);
            }
        }
        let said = session_id::read(message);
        let known = bridge.pairs.first().and_then(|pair| pair.uuid);
        if let Some(value) = session_id::write(said.local.or(known), bridge.uuid) {
            fields.push("Session-ID", value);
        }
        Answer {
            status: message.status(),
            reason: String::from_utf8_lossy(message.reason()).into_owned(),
            fields,
            body: body(message),
            ..Answer::default()
        }
    }
}
