//! What was removed of late, so that a late copy of an older REGISTER cannot bring it back.
//!
//! A binding keeps the Call-ID and CSeq of the request that made it, and what is older than it is
//! refused (RFC 3261 section 10.3 step 7). With the binding that memory would go, while copies of
//! requests may still be on their way for 64*T1; so it is kept here for as long.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::hash::{Hasher, Key};
use crate::io::Instant;

/// As long as a request may be sent again: 64*T1 (RFC 3261 section 17.1.2.2, Timer F).
const LASTS: Duration = Duration::from_secs(32);

/// How many may be remembered; then the oldest go before their time.
const MOST: usize = 65_536;

/// A request after which nothing older of its Call-ID counts for an address of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    /// Its CSeq.
    pub(super) cseq: u32,
    /// As [`super::Binding::mark`].
    pub(super) mark: u32,
}

/// The last requests of what is gone, by address of record and Call-ID.
#[derive(Debug)]
pub(super) struct Removed {
    key: Key,
    most: usize,
    // The keys are hashes with a secret, so no peer can aim at one bucket.
    all: HashMap<u64, (Last, Instant)>,
    /// In the order of their ends; one that was noted again since stands here twice.
    order: VecDeque<(u64, Instant)>,
    /// How many went before their time.
    crowded_out: u64,
}

impl Removed {
    /// One of so many tables.
    pub(super) fn one_of(key: Key, count: usize) -> Self {
        Self::of_size(key, MOST / count.max(1))
    }

    fn of_size(key: Key, most: usize) -> Self {
        let (all, order) = (HashMap::new(), VecDeque::new());
        Self { key, most, all, order, crowded_out: 0 }
    }

    /// What stands for a Call-ID at an address of record.
    pub(super) fn place(&self, aor: &[u8], call_id: &[u8]) -> u64 {
        Hasher::new(self.key).field(aor).field(call_id).finish()
    }

    /// The last request of what was removed there; `place` is made only if there is any.
    pub(super) fn last(&self, now: Instant, aor: &[u8], call_id: &[u8]) -> Option<Last> {
        if self.all.is_empty() {
            return None;
        }
        let (last, until) = self.all.get(&self.place(aor, call_id))?;
        (*until > now).then_some(*last)
    }

    /// Notes one, unless a later one of that Call-ID is known.
    pub(super) fn note(&mut self, now: Instant, place: u64, last: Last) {
        self.forget(now);
        if self.all.get(&place).is_some_and(|(known, _)| known.cseq > last.cseq) {
            return;
        }
        if self.order.len() >= self.most {
            self.crowded_out += u64::from(self.drop_oldest());
        }
        let until = now + LASTS;
        self.all.insert(place, (last, until));
        self.order.push_back((place, until));
    }

    /// How many went before their time, for want of room.
    pub(super) fn crowded_out(&self) -> u64 {
        self.crowded_out
    }

    fn forget(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(_, until)| *until <= now) {
            self.drop_oldest();
        }
    }

    /// Whether it was still the last word on its place.
    fn drop_oldest(&mut self) -> bool {
        let Some((place, end)) = self.order.pop_front() else { return false };
        let current = self.all.get(&place).is_some_and(|(_, until)| *until == end);
        if current {
            self.all.remove(&place);
        }
        current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant(0) + Duration::from_secs(seconds)
    }

    fn noted(removed: &mut Removed, seconds: u64, call_id: &[u8], cseq: u32) {
        let place = removed.place(b"bob", call_id);
        removed.note(at(seconds), place, Last { cseq, mark: 7 });
    }

    fn cseq(removed: &Removed, seconds: u64, call_id: &[u8]) -> Option<u32> {
        removed.last(at(seconds), b"bob", call_id).map(|last| last.cseq)
    }

    #[test]
    fn it_lasts_as_long_as_copies_may_come() {
        let mut removed = Removed::one_of(Key(1, 2), 1);
        noted(&mut removed, 10, b"a", 5);
        assert_eq!(cseq(&removed, 41, b"a"), Some(5));
        assert_eq!((cseq(&removed, 42, b"a"), cseq(&removed, 41, b"b")), (None, None));
        assert_eq!(removed.last(at(41), b"carol", b"a"), None);
        noted(&mut removed, 50, b"b", 1);
        assert_eq!((removed.all.len(), removed.order.len()), (1, 1));
    }

    #[test]
    fn the_greatest_cseq_stands_for_its_time() {
        let mut removed = Removed::one_of(Key(1, 2), 1);
        noted(&mut removed, 0, b"a", 5);
        noted(&mut removed, 20, b"a", 4);
        assert_eq!(cseq(&removed, 20, b"a"), Some(5));
        noted(&mut removed, 20, b"a", 6);
        noted(&mut removed, 40, b"b", 1);
        assert_eq!(cseq(&removed, 51, b"a"), Some(6));
    }

    #[test]
    fn it_is_bounded_and_the_oldest_go_first() {
        let mut removed = Removed::of_size(Key(1, 2), 3);
        for n in 0..5_u8 {
            noted(&mut removed, u64::from(n), &[n], 1);
        }
        let left: Vec<_> = (0..5_u8).map(|n| cseq(&removed, 5, &[n]).is_some()).collect();
        assert_eq!(left, [false, false, true, true, true]);
        assert_eq!((removed.crowded_out(), removed.order.len()), (2, 3));
    }
}
