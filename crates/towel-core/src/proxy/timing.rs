//! What only time brings: Timer C (RFC 3261 section 16.8), the next target of a sequential search,
//! and the end of a search that nobody waits for any more.

use std::time::Duration;

use towel_message::{Message, Name};

use super::context::{Branch, Progress, Work};
use super::core::{Around, ContextId, Proxy};
use crate::contract::CancelCause;
use crate::io::{Instant, Outbox};
use crate::stack::{ClientId, Stack};

impl Proxy {
    /// Sets the timer of a context, if it has one.
    pub(super) fn set_timer(&mut self, _around: &Around<'_>, stack: &mut Stack, id: ContextId) {
        let Some(context) = self.contexts.get_mut(id) else { return };
        // A timer that is set is left to fire early rather than moved: most are never needed.
        let ring_on = context.answered.is_some_and(|status| status < 300) && context.invite;
        if context.timer.is_some() || (context.answered.is_some() && !ring_on) {
            return;
        }
        if let Some(at) = context.deadline() {
            context.timer = Some(stack.set_timer(at, id.number()));
        }
    }

    pub(super) fn clear_timer(&mut self, stack: &mut Stack, id: ContextId) {
        if let Some(timer) = self.contexts.get_mut(id).and_then(|context| context.timer.take()) {
            stack.clear_timer(timer);
        }
    }

    /// A timer of ours fired. Says whether the number was one of ours.
    pub(crate) fn timer(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        number: u64,
    ) -> bool {
        let Some(id) = self.find(number) else { return false };
        let now = around.now.at;
        let Some(context) = self.contexts.get_mut(id) else { return false };
        context.timer = None;
        if context.give_up.is_some_and(|at| at <= now) {
            context.give_up = None;
            self.give_up(around, stack, out, id);
            return true;
        }
        let invite = context.invite;
        let mut late: Vec<(usize, ClientId, Progress)> = Vec::new();
        for (at, branch) in context.branches.iter_mut().enumerate() {
            if branch.progress == Progress::Done {
                continue;
            }
            if invite && branch.timer_c <= now {
                late.push((at, branch.client, branch.progress));
                // Once more as long, for the CANCEL to work (section 16.8 allows any value).
                branch.timer_c = now + around.settings.timer_c;
            } else if branch.ring.is_some_and(|ring| ring <= now) {
                branch.ring = None;
                late.push((at, branch.client, branch.progress));
            }
        }
        for (at, client, progress) in late {
            if !invite {
                // The next is tried. This one cannot be cancelled and may still answer: a 2xx of it
                // is as good as any other.
                self.branch_failed(around, stack, out, id, client, 408);
            } else if progress == Progress::Proceeding {
                self.cancel_branch(around, stack, out, id, at, CancelCause::TimedOut, None);
            } else {
                // Nothing was heard at all: as if 408 had come (section 16.8).
                stack.withdraw(client);
            }
        }
        self.set_timer(around, stack, id);
        true
    }

    /// A search for a non-INVITE request that has lasted nearly as long as its client waits, or for
    /// an INVITE that has expired (section 20.19): what there is is given.
    fn give_up(&mut self, around: &Around<'_>, stack: &mut Stack, out: &mut Outbox, id: ContextId) {
        let Some(context) = self.contexts.get_mut(id) else { return };
        let ringing = |branch: &Branch| context.invite && branch.progress == Progress::Proceeding;
        let open: Vec<ClientId> = context
            .branches
            .iter()
            .filter(|branch| branch.progress != Progress::Done && !ringing(branch))
            .map(|branch| branch.client)
            .collect();
        context.stopped.get_or_insert(CancelCause::TimedOut);
        for client in open {
            // Told as a time-out of each.
            stack.withdraw(client);
        }
        self.cancel_pending(around, stack, out, id, CancelCause::TimedOut, None);
        self.set_timer(around, stack, id);
    }
}

/// How long a search for a non-INVITE request lasts at most: not quite as long as its client waits.
pub(super) fn patience(stack: &Stack) -> Duration {
    let patience = stack.patience();
    patience - patience / 32
}

/// When a search ends whoever has not answered.
pub(super) fn gives_up(
    around: &Around<'_>,
    stack: &Stack,
    message: &Message<'_>,
    invite: bool,
    targets: usize,
) -> Option<Instant> {
    if !invite {
        return (targets > 1).then(|| around.now.at + patience(stack));
    }
    // Who sent it wants no answer any more after that long, and who is rung has no use for it
    // (sections 13.2.1 and 13.3.1).
    let seconds: u32 = message.value(Name::Expires).and_then(towel_message::scan::number)?;
    (seconds > 0).then(|| around.now.at + Duration::from_secs(seconds.into()))
}

/// When the search goes on past a target of `group` that has not answered, if there are others.
pub(super) fn ring(
    around: &Around<'_>,
    stack: &Stack,
    give_up: Option<Instant>,
    work: &Work,
    group: u32,
) -> Option<Instant> {
    let now = around.now.at;
    let ring = around.settings.ring.map(|ring| now + ring);
    let Some(end) = give_up else { return ring.filter(|_| work.goes_after(group) > 0) };
    // What a client of a non-INVITE request is ready to wait is shared out.
    let goes = work.goes_after(group);
    let share = end.since(now) / (goes + 1);
    (goes > 0).then(|| now + share.min(stack.patience() / 4))
}
