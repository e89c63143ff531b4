//! When what is due for which call.

use std::collections::{BTreeSet, HashMap};

use towel_core::io::Instant;

/// What is done with a call at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Due {
    /// It has rung for long enough: the rule is carried out.
    Answer,
    /// It has lasted for long enough.
    HangUp,
    /// Nobody answers it.
    GiveUp,
    /// The next step of its script.
    Step,
    /// A change that crossed another is tried again.
    Again,
}

/// One time for each call and thing.
#[derive(Debug, Default)]
pub(super) struct Clock {
    order: BTreeSet<(Instant, u32, Due)>,
    set: HashMap<(u32, Due), Instant>,
}

impl Clock {
    pub(super) fn set(&mut self, number: u32, due: Due, at: Instant) {
        self.clear(number, due);
        self.set.insert((number, due), at);
        self.order.insert((at, number, due));
    }

    pub(super) fn clear(&mut self, number: u32, due: Due) {
        if let Some(at) = self.set.remove(&(number, due)) {
            self.order.remove(&(at, number, due));
        }
    }

    /// A call is over.
    pub(super) fn forget(&mut self, number: u32) {
        for due in [Due::Answer, Due::HangUp, Due::GiveUp, Due::Step, Due::Again] {
            self.clear(number, due);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.order.first().map(|(at, ..)| *at)
    }

    /// Takes what is due now.
    pub(super) fn next(&mut self, now: Instant) -> Option<(u32, Due)> {
        let (_, number, due) = *self.order.first().filter(|(at, ..)| *at <= now)?;
        self.clear(number, due);
        Some((number, due))
    }

    pub(super) fn len(&self) -> usize {
        self.order.len().max(self.set.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_anew_is_due_once_and_what_is_forgotten_never() {
        let mut clock = Clock::default();
        clock.set(1, Due::Step, Instant(5));
        clock.set(2, Due::HangUp, Instant(6));
        clock.set(1, Due::Step, Instant(9));
        clock.set(3, Due::Answer, Instant(1));
        clock.forget(3);
        assert_eq!((clock.len(), clock.deadline()), (2, Some(Instant(6))));
        assert_eq!(clock.next(Instant(5)), None);
        assert_eq!(clock.next(Instant(10)), Some((2, Due::HangUp)));
        assert_eq!(clock.next(Instant(10)), Some((1, Due::Step)));
        assert_eq!((clock.next(Instant(10)), clock.len()), (None, 0));
    }
}
