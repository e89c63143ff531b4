//! Timers: each has a place in a table, so that one that was cleared is never taken for another.

use std::time::Duration;

use super::state::{Due, Timed};
use super::{Core, World, id_of};
use crate::transaction::Id;

impl Core {
    pub(super) fn set(&mut self, w: &mut World<'_>, after: Duration, due: Due) -> Id<Timed> {
        let id = self.timed.insert(Timed { due, timer: crate::time::TimerId::NONE });
        let timer = w.stack.set_timer(w.now.at + after, id.number());
        if let Some(timed) = self.timed.get_mut(id) {
            timed.timer = timer;
        }
        id
    }

    pub(super) fn clear(&mut self, w: &mut World<'_>, id: Option<Id<Timed>>) {
        if let Some(timed) = id.and_then(|id| self.timed.remove(id)) {
            w.stack.clear_timer(timed.timer);
        }
    }

    pub(super) fn timer_due(&mut self, w: &mut World<'_>, token: u64) {
        let Some(timed) = self.timed.remove(id_of(token)) else { return };
        match timed.due {
            Due::Again(incoming) => self.send_again(w, incoming),
            Due::Unacknowledged(incoming) => self.never_acknowledged(w, incoming),
            Due::Refresh(incoming) => self.refresh_provisional(w, incoming),
            Due::Slow(outgoing) => self.cancel_slow(w, outgoing),
            Due::Glare(outgoing) => self.try_after_glare(w, outgoing),
            Due::NoAnswer(leg) => self.no_answer_given(w, leg),
            Due::Ringing(call) => self.rang_enough(w, call),
            Due::Extension(leg, id, tag) => self.extension_due(w, leg, id, tag),
            Due::Silence(subscription) => self.silent(w, subscription),
            Due::Expiry(subscription) => self.expired(w, subscription),
            Due::Forget(reference) => self.forget_reference(reference),
        }
    }
}
