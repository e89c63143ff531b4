//! The end of a leg is the end of the other.

use super::B2bua;
use super::bridge::{Bridge, Side};
use super::calls::with;
use super::session_id;
use crate::contract::Fields;
use crate::io::{Now, Outbox};
use crate::stack::Failure;
use crate::transaction::Id;
use crate::ua::user_agent::{Answer, CallHandle, DialogHandle, Ending};

impl B2bua {
    /// The BYE or CANCEL with which somebody leaves: what it says goes on.
    pub(super) fn parting(&mut self, call: CallHandle, message: &[u8]) {
        let Some((id, side)) = self.calls.get(&call).copied() else { return };
        let read = with(message, |message| (self.carried(message), session_id::read(message)));
        let Some((mut fields, said)) = read else { return };
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        let mine = said.local.or(bridge.uuid_of(side, None));
        if let Some(value) = session_id::write(mine, bridge.uuid_of(side.other(), None)) {
            fields.push("Session-ID", value);
        }
        bridge.parting = fields;
    }

    /// A leg is over.
    pub(super) fn ended(&mut self, now: Now, out: &mut Outbox, call: CallHandle, why: Ending) {
        let Some((id, side)) = self.calls.remove(&call) else { return };
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        if let Some(place) = bridge.calls.get_mut(side.at()) {
            *place = None;
        }
        let (other, answered) = (bridge.call(side.other()), bridge.answered);
        let parting = std::mem::take(&mut bridge.parting);
        match (side, other) {
            (_, None) => {}
            (Side::Callee, Some(caller)) if !answered => {
                let answer = self.last_word(id, why);
                if self.agent.answer(now, out, caller, answer).is_err() {
                    let _ = self.agent.hang_up(now, out, caller);
                }
            }
            (_, Some(other)) => {
                let _ = self.agent.hang_up_with(now, out, other, self.reason(parting, &why));
            }
        }
        self.forget_bridge(id);
    }

    /// Why the other leg is ended, where the one that ended did not say it.
    fn reason(&self, parting: Fields, why: &Ending) -> Fields {
        let mut fields = parting;
        if fields.get("Reason").is_none() {
            // RFC 3326: for whoever wonders.
            let reason = match why {
                Ending::NoAck => Some("SIP;cause=408;text=\"No ACK\""),
                Ending::Lost { status: 408 } => Some("SIP;cause=408;text=\"No Answer\""),
                Ending::Lost { .. } => Some("SIP;cause=481;text=\"Call Lost\""),
                Ending::Unfit => Some("SIP;cause=488;text=\"No Session Agreed\""),
                _ => None,
            };
            if let Some(reason) = reason {
                fields.push("Reason", reason);
            }
        }
        fields
    }

    /// What the caller is told of a call that was not answered.
    fn last_word(&self, id: Id<Bridge>, why: Ending) -> Answer {
        let Some(bridge) = self.bridges.get(id) else { return Answer::new(500) };
        let status = match why {
            Ending::Failed { response, status } => {
                let answer = with(&response, |message| self.refused(message, bridge));
                return answer.unwrap_or_else(|| Answer::new(status));
            }
            Ending::NoResponse(Failure::TimedOut | Failure::Cancelled) => 408,
            // RFC 3261 section 16.7 step 6: a 503 would speak of ourselves.
            Ending::NoResponse(Failure::Transport | Failure::HeldBack) => 502,
            Ending::NoResponse(Failure::NotLocated(_)) => 404,
            Ending::Local => 480,
            Ending::Lost { status } => status,
            Ending::Bye | Ending::Cancelled | Ending::Fork | Ending::Replaced => 480,
            Ending::NoAck | Ending::Unfit => 500,
        };
        let known = bridge.pairs.first().and_then(|pair| pair.uuid);
        let mut answer = Answer::new(status);
        if let Some(value) = session_id::write(known, bridge.uuid) {
            answer.fields.push("Session-ID", value);
        }
        answer
    }

    /// Forgets a call across once both legs are over.
    fn forget_bridge(&mut self, id: Id<Bridge>) {
        let over = |bridge: &Bridge| bridge.calls.iter().all(Option::is_none);
        if !self.bridges.get(id).is_some_and(over) {
            return;
        }
        let Some(bridge) = self.bridges.remove(id) else { return };
        for dialog in bridge.pairs.iter().flat_map(|pair| pair.dialogs).flatten() {
            self.dialogs.remove(&dialog);
        }
    }

    /// An early dialog is over while its call goes on.
    pub(super) fn forget_dialog(&mut self, dialog: DialogHandle) {
        let Some((id, side)) = self.dialogs.remove(&dialog) else { return };
        let Some(bridge) = self.bridges.get_mut(id) else { return };
        let pair = bridge.pair_of(side, dialog).and_then(|at| bridge.pairs.get_mut(at));
        if let Some(place) = pair.and_then(|pair| pair.dialogs.get_mut(side.at())) {
            *place = None;
        }
    }
}
