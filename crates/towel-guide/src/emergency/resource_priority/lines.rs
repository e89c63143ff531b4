//! The lines of a user agent, who has them, and who waits for one (RFC 4412 sections 4.5, 4.7.2).

use towel_core::contract::DialogId;

/// A call that has a line.
#[derive(Debug, Clone)]
struct Held {
    dialog: DialogId,
    rank: usize,
    /// Whether it is set up, so that a BYE can end it.
    confirmed: bool,
}

/// A call that waits for one.
#[derive(Debug, Clone)]
struct Waiting {
    dialog: DialogId,
    rank: usize,
    /// The order in which they came.
    number: u64,
}

/// What becomes of a call that comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// There is a line for it.
    Free,
    /// There is when this one is over.
    Preempt(DialogId),
    /// It waits; this one has waited in vain for it.
    Queue(Option<DialogId>),
    /// There is none.
    Busy,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    held: Vec<Held>,
    queue: Vec<Waiting>,
    count: u64,
}

fn by_call(call_id: &[u8]) -> DialogId {
    DialogId { call_id: call_id.to_vec(), ..DialogId::default() }
}

impl Lines {
    /// How many lines are taken: a call that forks has one.
    fn used(&self) -> usize {
        let calls = self.held.iter().map(|one| &one.dialog.call_id);
        let first = |at: usize, call: &Vec<u8>| {
            !self.held.iter().take(at).any(|before| before.dialog.call_id == *call)
        };
        calls.enumerate().filter(|(at, call)| first(*at, call)).count()
    }

    /// A call comes; `preempts` and `queues` say by what its priority is served, `like` whether it
    /// displaces its like.
    pub(super) fn come(
        &mut self,
        call_id: &[u8],
        rank: usize,
        like: bool,
        queues: bool,
        lines: usize,
        places: usize,
    ) -> Course {
        if self.used() < lines {
            self.take(by_call(call_id), rank);
            return Course::Free;
        }
        if !queues {
            let below = |one: &&Held| one.rank < rank || (like && one.rank == rank);
            let lowest = self
                .held
                .iter()
                .filter(|one| one.confirmed)
                .filter(below)
                .min_by_key(|one| one.rank);
            let Some(dialog) = lowest.map(|one| one.dialog.clone()) else { return Course::Busy };
            self.held.retain(|one| one.dialog.call_id != dialog.call_id);
            self.take(by_call(call_id), rank);
            return Course::Preempt(dialog);
        }
        let mut out = None;
        if self.queue.len() >= places {
            // Section 4.5.2: the size of all queues is limited, and who waits with less goes.
            let lowest = self.queue.iter().filter(|one| one.rank < rank);
            let Some(number) =
                lowest.min_by_key(|one| (one.rank, u64::MAX - one.number)).map(|one| one.number)
            else {
                return Course::Busy;
            };
            let at = self.queue.iter().position(|one| one.number == number);
            out = at.map(|at| self.queue.remove(at).dialog);
        }
        self.count += 1;
        self.queue.push(Waiting { dialog: by_call(call_id), rank, number: self.count });
        Course::Queue(out)
    }

    fn take(&mut self, dialog: DialogId, rank: usize) {
        self.held.push(Held { dialog, rank, confirmed: false });
    }

    /// A call of ours has a dialog.
    pub(super) fn ours(&mut self, dialog: DialogId, rank: usize, confirmed: bool) {
        match self.held.iter_mut().find(|one| one.dialog == dialog) {
            Some(one) => one.confirmed |= confirmed,
            None => self.held.push(Held { dialog, rank, confirmed }),
        }
    }

    /// The dialog of a call that came is known now. Says whether it has just begun to wait.
    pub(super) fn known(&mut self, dialog: &DialogId, confirmed: bool) -> bool {
        if let Some(one) = self.held.iter_mut().find(|one| one.dialog.call_id == dialog.call_id) {
            one.dialog.clone_from(dialog);
            one.confirmed |= confirmed;
        }
        match self.queue.iter_mut().find(|one| one.dialog.call_id == dialog.call_id) {
            Some(one) => {
                let new = one.dialog != *dialog;
                one.dialog.clone_from(dialog);
                new
            }
            None => false,
        }
    }

    /// A call that came is refused.
    pub(super) fn refused(&mut self, call_id: &[u8]) {
        self.held.retain(|one| one.dialog.call_id != call_id);
        self.queue.retain(|one| one.dialog.call_id != call_id);
    }

    /// A dialog is over.
    pub(super) fn ended(&mut self, dialog: &DialogId) {
        self.held.retain(|one| one.dialog != *dialog);
        self.queue.retain(|one| one.dialog != *dialog);
    }

    /// Takes who has waited for too long out of the queue; says whether it was there.
    pub(super) fn tired(&mut self, dialog: &DialogId) -> bool {
        let before = self.queue.len();
        self.queue.retain(|one| one.dialog != *dialog);
        before != self.queue.len()
    }

    /// Who has a line now: the highest, and of those who came first.
    pub(super) fn next(&mut self, lines: usize) -> Option<DialogId> {
        if self.used() >= lines {
            return None;
        }
        let best = self.queue.iter().max_by_key(|one| (one.rank, u64::MAX - one.number))?;
        let (number, rank, dialog) = (best.number, best.rank, best.dialog.clone());
        self.queue.retain(|one| one.number != number);
        self.take(dialog.clone(), rank);
        Some(dialog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog(call: &str) -> DialogId {
        DialogId { call_id: call.into(), local_tag: b"l".to_vec(), remote_tag: b"r".to_vec() }
    }

    fn come(lines: &mut Lines, call: &str, rank: usize, queues: bool) -> Course {
        let course = lines.come(call.as_bytes(), rank, false, queues, 1, 2);
        lines.known(&dialog(call), true);
        course
    }

    #[test]
    fn who_is_higher_takes_the_line() {
        let mut lines = Lines::default();
        assert_eq!(come(&mut lines, "a", 3, false), Course::Free);
        assert_eq!(come(&mut lines, "b", 3, false), Course::Busy);
        assert_eq!(come(&mut lines, "c", 4, false), Course::Preempt(dialog("a")));
        // The dialog that was ended takes nothing away with it.
        lines.ended(&dialog("a"));
        assert_eq!(come(&mut lines, "d", 4, false), Course::Busy);
        assert_eq!(lines.come(b"e", 4, true, false, 1, 0), Course::Preempt(dialog("c")));
        // One that only rings cannot be ended by a BYE.
        assert_eq!(lines.come(b"f", 9, false, false, 1, 0), Course::Busy);
        lines.refused(b"e");
        assert_eq!(come(&mut lines, "g", 0, false), Course::Free);
    }

    #[test]
    fn who_waits_is_served_in_order() {
        let mut lines = Lines::default();
        come(&mut lines, "a", 0, false);
        assert_eq!(come(&mut lines, "low", 1, true), Course::Queue(None));
        assert_eq!(come(&mut lines, "first", 2, true), Course::Queue(None));
        assert_eq!(come(&mut lines, "second", 2, true), Course::Queue(Some(dialog("low"))));
        assert_eq!(come(&mut lines, "third", 2, true), Course::Busy);
        assert_eq!(lines.next(1), None);
        lines.ended(&dialog("a"));
        assert_eq!(lines.next(1), Some(dialog("first")));
        assert_eq!(lines.next(1), None);
        assert!(lines.tired(&dialog("second")) && !lines.tired(&dialog("second")));
        lines.ended(&dialog("first"));
        assert_eq!(lines.next(1), None);
    }

    #[test]
    fn a_call_that_forks_has_one_line() {
        let mut lines = Lines::default();
        let early = |tag: &str| DialogId { remote_tag: tag.into(), ..dialog("a") };
        lines.ours(early("1"), 1, false);
        lines.ours(early("2"), 1, false);
        lines.ours(early("2"), 1, true);
        assert_eq!(lines.used(), 1);
        lines.ended(&early("1"));
        assert_eq!(come(&mut lines, "b", 5, false), Course::Preempt(early("2")));
    }
}
