//! Requests in a dialog, from either side to the other, and their responses.

use towel_message::{Message, Method, Name};

use super::bridge::Side;
use super::calls::with;
use super::fields::{body, is_description};
use super::session_id;
use super::{B2bua, Standing};
use crate::io::{Now, Outbox};
use crate::ua::user_agent::{
    Answer, Ask, Came, Content, DialogHandle, IncomingHandle, Refused, RequestHandle,
};

impl B2bua {
    /// A request in a dialog: it goes on in the dialog of the other leg.
    pub(super) fn relay(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        request: IncomingHandle,
        message: &[u8],
    ) {
        let Some((id, side)) = self.dialogs.get(&dialog).copied() else {
            let _ = self.agent.reply(now, out, request, Answer::new(481));
            return;
        };
        if with(message, |message| message.method() == Method::Prack).unwrap_or_default() {
            return self.prack(now, out, dialog, request, message);
        }
        let refusal = with(message, |message| self.unfit(message)).flatten();
        if let Some(refusal) = refusal {
            let _ = self.agent.reply(now, out, request, refusal);
            return;
        }
        let Some(other) = self.opposite(dialog) else {
            // The other end has no such dialog yet, or no more.
            let _ = self.agent.reply(now, out, request, Answer::new(481));
            return;
        };
        let ask = with(message, |message| {
            let mut ask = Ask {
                body: body(message),
                max_forwards: Self::hops(message),
                supported: Some(self.supported(message)),
                ..Ask::new(&String::from_utf8_lossy(message.method().as_bytes()), "")
            };
            // The dialog that a transfer is to replace is known by another name over there.
            for (name, value) in self.carried(message).iter() {
                let mapped = match name.eq_ignore_ascii_case(Name::ReferTo.as_str()) {
                    true => self.refer_to(value),
                    false => None,
                };
                ask.fields.push(name, mapped.as_deref().unwrap_or(value));
            }
            (ask, session_id::read(message))
        });
        let Some((mut ask, said)) = ask else { return };
        if let Some(bridge) = self.bridges.get_mut(id) {
            let pair = bridge.pair_of(side, dialog);
            let mine = said.local.or(bridge.uuid_of(side, pair));
            if let Some(value) = session_id::write(mine, bridge.uuid_of(side.other(), pair)) {
                ask.fields.push("Session-ID", value);
            }
        }
        let standing = Standing {
            dialog: Some(dialog),
            brought: ask.body.clone().filter(is_description),
            uuid: said.local,
            ..Standing::of(request)
        };
        self.stand_for(now, out, other, &ask, standing);
    }

    /// Sends a request that stands for one of a peer's.
    fn stand_for(
        &mut self,
        now: Now,
        out: &mut Outbox,
        other: DialogHandle,
        ask: &Ask,
        standing: Standing,
    ) {
        match self.agent.request(now, out, other, ask) {
            Ok(sent) => {
                self.standing.insert(sent, standing);
            }
            Err(refused) => {
                let status = match refused {
                    // The other end is asking something itself: whoever was first has it (RFC 3261
                    // section 14.2, RFC 3311 section 5.2).
                    Refused::Pending | Refused::OfferAnswer => 491,
                    Refused::Stale | Refused::State => 481,
                    Refused::Forbidden(_) => 403,
                    Refused::Full => 503,
                    Refused::Malformed => 400,
                };
                let _ = self.agent.reply(now, out, standing.request, Answer::new(status));
            }
        }
    }

    /// A PRACK of the caller's with a description: the answer to the offer that came in a reliable
    /// response, or an offer, which goes on as an UPDATE, since the PRACK over there is done.
    fn prack(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: DialogHandle,
        request: IncomingHandle,
        message: &[u8],
    ) {
        let brought = with(message, body).flatten();
        let Some(brought) = brought.filter(is_description) else {
            let _ = self.agent.reply(now, out, request, Answer::new(200));
            return;
        };
        if self.give_answer(now, out, dialog, brought.clone()) {
            let _ = self.agent.reply(now, out, request, Answer::new(200));
            return;
        }
        let Some(other) = self.opposite(dialog) else {
            let _ = self.agent.reply(now, out, request, Answer::new(488));
            return;
        };
        let standing = Standing {
            dialog: Some(dialog),
            prack: true,
            brought: Some(brought.clone()),
            ..Standing::of(request)
        };
        let ask = Ask { body: Some(brought), ..Ask::new("UPDATE", "") };
        self.stand_for(now, out, other, &ask, standing);
    }

    /// What came of a request that we sent.
    pub(super) fn responded(
        &mut self,
        now: Now,
        out: &mut Outbox,
        dialog: Option<DialogHandle>,
        sent: RequestHandle,
        came: &Came,
    ) {
        let Some(standing) = self.standing.get(&sent) else { return };
        let (request, asker) = (standing.request, standing.uuid);
        let answer = match came {
            Came::Provisional(response) => {
                // RFC 4320 section 4.1: only an INVITE has any but 100.
                if let Some(answer) = with(response, |message| self.answer(dialog, message, asker))
                {
                    let _ = self.agent.reply(now, out, request, answer);
                }
                return;
            }
            Came::Final { response, .. } => with(response, |message| {
                if let Some(dialog) = dialog {
                    self.hear(dialog, session_id::read(message).local);
                }
                self.answer(dialog, message, asker)
            }),
            Came::Failed(_) => None,
        };
        let Some(standing) = self.standing.remove(&sent) else { return };
        let mut answer = answer.unwrap_or_else(|| Answer::new(came.status()));
        let success = answer.status / 100 == 2;
        if standing.prack && !success {
            answer = Answer::new(488);
        }
        let answered = answer.body.clone().filter(|_| success);
        let taken = self.agent.reply(now, out, request, answer).is_ok();
        let Some(dialog) = dialog.filter(|_| success) else { return };
        if !taken {
            return self.take_back(now, out, dialog);
        }
        self.note(dialog, answered.as_ref());
        if let Some(from) = standing.dialog {
            self.note(from, standing.brought.as_ref());
            // RFC 7989 section 8: a new one counts once its request is answered with a 2xx.
            self.hear(from, standing.uuid);
        }
    }

    /// Notes the session description that came in a dialog.
    fn note(&mut self, dialog: DialogHandle, body: Option<&Content>) {
        let Some((id, side)) = self.dialogs.get(&dialog).copied() else { return };
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        let pair = bridge.pair_of(side, dialog).and_then(|at| bridge.pairs.get_mut(at));
        if let Some(pair) = pair {
            pair.note(side, body);
        }
    }

    /// A response as the other side gets it. `asker` is who sent the request, if it said so (RFC 7989
    /// section 8: its responses name it, though it be new).
    fn answer(
        &self,
        dialog: Option<DialogHandle>,
        message: &Message<'_>,
        asker: Option<session_id::Uuid>,
    ) -> Answer {
        let mut fields = self.carried(message);
        if matches!(message.status(), 300..400 | 485) {
            for field in message.fields(Name::Contact) {
                fields.push("Contact", field.value);
            }
        }
        if message.status() / 100 == 2 {
            fields.push("Supported", self.supported(message));
        }
        let said = session_id::read(message);
        let known = dialog.and_then(|dialog| {
            let (id, side) = self.dialogs.get(&dialog)?;
            let bridge = self.bridges.get(*id)?;
            let pair = bridge.pair_of(*side, dialog);
            Some((bridge.uuid_of(*side, pair), bridge.uuid_of(Side::other(*side), pair)))
        });
        let (mine, theirs) = known.unwrap_or_default();
        if let Some(value) =
            session_id::write(said.local.or(mine), asker.or(theirs).or(said.remote))
        {
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

    /// A re-INVITE was cancelled: so is the one that stands for it.
    pub(super) fn cancelled_inside(&mut self, now: Now, out: &mut Outbox, request: IncomingHandle) {
        let sent = self.standing.iter().find(|(_, standing)| standing.request == request);
        if let Some(sent) = sent.map(|(sent, _)| *sent) {
            let _ = self.agent.cancel(now, out, sent);
        }
    }

    /// A change that whoever asked for it has given up was taken on the other side all the same: there the
    /// session goes back to what it was, so that both ends speak of the same one.
    fn take_back(&mut self, now: Now, out: &mut Outbox, dialog: DialogHandle) {
        let Some((id, side)) = self.dialogs.get(&dialog).copied() else { return };
        let Some(bridge) = self.bridges.get(id) else { return };
        let pair = bridge.pair_of(side, dialog).and_then(|at| bridge.pairs.get(at));
        let before = pair.and_then(|pair| pair.last(side.other()));
        if before.is_some() {
            let ask = Ask { body: before, ..Ask::new("INVITE", "") };
            let _ = self.agent.request(now, out, dialog, &ask);
        }
    }
}
