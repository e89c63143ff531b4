//! The location service: which contacts an address of record is bound to (RFC 3261 section 10.1).
//!
//! An address of record with all its bindings is one block of bytes; a slot of 32 bytes holds the
//! block and its place in the expiry wheel; the index is a table of slot numbers that copies no
//! key. A typical phone costs a little over 200 bytes.

use super::binding::{Binding, Bindings, assemble};
use crate::hash::{Hasher, Key};
use crate::paged::Paged;
use crate::pile::Pile;

/// Buckets of the expiry wheel, a second each. What ends later than a turn of the wheel is looked
/// at once a turn.
const TURN: u32 = 4096;
const NONE: u32 = u32::MAX;
/// How many addresses of record one sweep looks at; what is due beyond that has its turn after the
/// messages that came meanwhile.
const SWEEP: usize = 250;

#[derive(Debug)]
struct Slot {
    /// Length of the address of record (two octets), the address of record, its bindings. Empty
    /// where the slot is free.
    block: Box<[u8]>,
    /// The first second in which a binding of it no longer holds.
    due: u32,
    /// The next one in its bucket, or the next free one.
    next: u32,
    previous: u32,
}

impl Slot {
    fn aor(&self) -> &[u8] {
        self.parts().0
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        let Some((length, rest)) = self.block.split_first_chunk() else { return (&[], &[]) };
        rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).unwrap_or_default()
    }
}

/// The table of all bindings.
#[derive(Debug)]
pub struct Location {
    key: Key,
    index: Paged<u32>,
    slots: Pile<Slot>,
    free: u32,
    heads: Box<[u32]>,
    /// Up to which second (inclusive) the wheel has been turned.
    swept: u64,
    /// The first second after that in which something may be due.
    next: u64,
    behind: bool,
    bindings: usize,
}

impl Location {
    /// An empty table. The key keeps strangers from aiming at one bucket of it.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self {
            key,
            index: Paged::default(),
            slots: Pile::default(),
            free: NONE,
            heads: vec![NONE; TURN as usize].into_boxed_slice(),
            swept: 0,
            next: u64::MAX,
            behind: false,
            bindings: 0,
        }
    }

    /// How many addresses of record have bindings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// How many bindings there are in all.
    #[must_use]
    pub fn bindings(&self) -> usize {
        self.bindings
    }

    /// The contacts that an address of record is bound to at a time, the highest q first.
    pub fn lookup(&self, aor: &[u8], unix: u64) -> impl Iterator<Item = Binding<'_>> {
        self.get(aor).live(unix)
    }

    /// All bindings of an address of record, those among them that have ended but were not yet
    /// swept out.
    #[must_use]
    pub fn get(&self, aor: &[u8]) -> Bindings<'_> {
        self.value(aor).map_or(Bindings::default(), Bindings::trusted)
    }

    /// Every address of record with its bindings, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Bindings<'_>)> {
        let taken = self.slots.iter().filter(|slot| !slot.block.is_empty());
        taken.map(Slot::parts).map(|(aor, value)| (aor, Bindings::trusted(value)))
    }

    pub(super) fn value(&self, aor: &[u8]) -> Option<&[u8]> {
        self.slots.get(self.position(aor)? as usize).map(|slot| slot.parts().1)
    }

    /// Puts bindings in the place of those that the address of record had. The value must have been
    /// made by [`assemble`] or checked; one without bindings removes. False where it is too large.
    pub(super) fn put(&mut self, aor: &[u8], value: &[u8]) -> bool {
        self.replace(aor, value).is_some()
    }

    /// The same; says whether the address of record had any. None where it is too large.
    pub(super) fn replace(&mut self, aor: &[u8], value: &[u8]) -> Option<bool> {
        let bindings = Bindings::trusted(value);
        let Some(due) = bindings.earliest().map(|end| end.saturating_add(1)) else {
            return Some(self.remove(aor));
        };
        let length = u16::try_from(aor.len()).ok()?;
        let (at, known) = match self.position(aor) {
            Some(at) => (at, true),
            None => (self.take_slot()?, false),
        };
        if known {
            self.unlink(at);
        }
        let slot = self.slots.get_mut(at as usize)?;
        self.bindings -= Bindings::trusted(slot.parts().1).ends().count();
        self.bindings += bindings.ends().count();
        let size = 2 + aor.len() + value.len();
        if slot.block.len() != size {
            // Grown to the octet: a Vec pushed to would keep spare room.
            slot.block = vec![0; size].into_boxed_slice();
        }
        let parts = [&length.to_be_bytes()[..], aor, value];
        let mut rest = &mut slot.block[..];
        for part in parts {
            let Some((here, after)) = rest.split_at_mut_checked(part.len()) else { break };
            here.copy_from_slice(part);
            rest = after;
        }
        slot.due = due;
        self.link(at);
        if !known {
            let (slots, key) = (&self.slots, self.key);
            let hash = Hasher::new(key).bytes(aor).finish();
            self.index.insert_unique(hash, at, |&at| hash_at(slots, key, at));
        }
        Some(known)
    }

    /// Removes an address of record; whether it was there.
    pub(super) fn remove(&mut self, aor: &[u8]) -> bool {
        let hash = Hasher::new(self.key).bytes(aor).finish();
        let slots = &self.slots;
        let fits = |&at: &u32| slots.get(at as usize).is_some_and(|slot| slot.aor() == aor);
        let Some(at) = self.index.remove(hash, fits) else { return false };
        self.unlink(at);
        let free = self.free;
        if let Some(slot) = self.slots.get_mut(at as usize) {
            self.bindings -= Bindings::trusted(slot.parts().1).ends().count();
            slot.block = Box::default();
            slot.next = free;
            self.free = at;
        }
        true
    }

    /// Drops what has ended by now, or as much of it as one sweep may: then [`Location::is_behind`]. `emptied` is
    /// told the addresses of record that have no binding left.
    pub fn expire(&mut self, unix: u64, mut emptied: impl FnMut(&[u8])) {
        if unix < self.next {
            self.swept = unix;
            return;
        }
        // A clock that was set back turns the wheel again over the time that comes again.
        let from = self.swept.min(unix).max(unix.saturating_sub(u64::from(TURN)));
        let mut due = Vec::new();
        let mut until = unix;
        for second in from..unix {
            let bucket = ((second + 1) % u64::from(TURN)) as usize;
            let mut at = self.heads.get(bucket).copied().unwrap_or(NONE);
            while let Some(slot) = self.slots.get(at as usize).filter(|_| due.len() < SWEEP) {
                if u64::from(slot.due) <= unix {
                    due.push(at);
                }
                at = slot.next;
            }
            if due.len() >= SWEEP {
                until = second;
                break;
            }
        }
        self.swept = until;
        self.behind = until < unix;
        let (mut value, mut key) = (Vec::new(), Vec::new());
        for at in due {
            let Some(slot) = self.slots.get(at as usize) else { continue };
            let (aor, bindings) = slot.parts();
            // One buffer for all: asking for another while very much is given back takes long.
            key.clear();
            key.extend_from_slice(aor);
            let aor = &key;
            let live = Bindings::trusted(bindings).raw().filter(|(b, _)| b.is_live(unix));
            assemble(&mut live.map(|(b, kept)| (b.q, kept)).collect::<Vec<_>>(), &mut value);
            self.put(aor, &value);
            if self.position(aor).is_none() {
                emptied(aor);
            }
        }
        if self.behind {
            self.next = until + 1;
            return;
        }
        let mut seconds = unix + 1..=unix + u64::from(TURN);
        let filled =
            |s: &u64| self.heads.get((s % u64::from(TURN)) as usize).is_some_and(|&h| h != NONE);
        self.next = seconds.find(filled).unwrap_or(u64::MAX);
    }

    /// Whether more has ended than one sweep could drop.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// The second in which [`Location::expire`] should be called next; it may find nothing then.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        (self.next != u64::MAX).then_some(self.next)
    }

    fn position(&self, aor: &[u8]) -> Option<u32> {
        let hash = Hasher::new(self.key).bytes(aor).finish();
        let fits = |&at: &u32| self.slots.get(at as usize).is_some_and(|slot| slot.aor() == aor);
        self.index.find(hash, fits).copied()
    }

    fn take_slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.slots.get(self.free as usize) {
            let at = self.free;
            self.free = slot.next;
            return Some(at);
        }
        let at = u32::try_from(self.slots.len()).ok().filter(|at| *at != NONE)?;
        self.slots.push(Slot { block: Box::default(), due: 0, next: NONE, previous: NONE });
        Some(at)
    }

    fn link(&mut self, at: u32) {
        let Some(slot) = self.slots.get_mut(at as usize) else { return };
        let Some(head) = self.heads.get_mut((slot.due % TURN) as usize) else { return };
        (slot.next, slot.previous) = (*head, NONE);
        self.next = self.next.min(u64::from(slot.due));
        // A second that the wheel has left behind (the clock was set back) is turned to again.
        self.swept = self.swept.min(u64::from(slot.due).saturating_sub(1));
        let next = core::mem::replace(head, at);
        if let Some(next) = self.slots.get_mut(next as usize) {
            next.previous = at;
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(slot) = self.slots.get(at as usize) else { return };
        let (next, previous, bucket) = (slot.next, slot.previous, slot.due % TURN);
        if let Some(next) = self.slots.get_mut(next as usize) {
            next.previous = previous;
        }
        if let Some(previous) = self.slots.get_mut(previous as usize) {
            previous.next = next;
        } else if let Some(head) = self.heads.get_mut(bucket as usize) {
            *head = next;
        }
    }
}

fn hash_at(slots: &Pile<Slot>, key: Key, at: u32) -> u64 {
    slots.get(at as usize).map_or(0, |slot| Hasher::new(key).bytes(slot.aor()).finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registrar::binding::tests::binding;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn value(of: &[Binding<'_>]) -> Vec<u8> {
        let kept: Vec<_> = of
            .iter()
            .map(|b| {
                let mut bytes = Vec::new();
                b.write(&mut bytes).unwrap();
                (b.q, bytes)
            })
            .collect();
        let mut value = Vec::new();
        assemble(&mut kept.iter().map(|(q, k)| (*q, &k[..])).collect::<Vec<_>>(), &mut value);
        value
    }

    #[test]
    fn look_up_in_the_order_of_q_and_only_while_they_last() {
        let mut location = Location::new(Key(1, 2));
        let a = binding("<sip:a@192.0.2.4>;q=0.1", 100, 1_060);
        let b = binding("<sip:b@192.0.2.4>", 1000, 1_030);
        let c = binding("<sip:c@192.0.2.4>;q=0.5", 500, 1_060);
        assert!(location.put(b"bob@biloxi.com", &value(&[a, b, c])));
        let uris = |unix| -> Vec<_> {
            location.lookup(b"bob@biloxi.com", unix).map(|b| b.uri.to_vec()).collect()
        };
        assert_eq!(uris(1_030), [b"sip:b@192.0.2.4", b"sip:c@192.0.2.4", b"sip:a@192.0.2.4"]);
        assert_eq!(uris(1_031), [b"sip:c@192.0.2.4", b"sip:a@192.0.2.4"]);
        assert!(uris(1_061).is_empty());
        assert!(location.lookup(b"Bob@biloxi.com", 1_000).next().is_none());
        assert_eq!((location.len(), location.bindings()), (1, 3));
    }

    #[test]
    fn what_has_ended_is_swept_out_and_the_rest_stays() {
        let mut location = Location::new(Key(1, 2));
        let soon = binding("<sip:a@192.0.2.4>", 1000, 1_010);
        let later = binding("<sip:b@192.0.2.4>", 1000, 9_000);
        location.expire(1_000, |_| panic!("nothing yet"));
        location.put(b"x", &value(&[soon]));
        location.put(b"y", &value(&[soon, later]));
        assert_eq!(location.next_expiry(), Some(1_011));
        location.expire(1_010, |_| panic!("still there"));
        let mut gone = Vec::new();
        location.expire(1_011, |aor| gone.push(aor.to_vec()));
        assert_eq!(gone, [b"x"]);
        assert_eq!((location.len(), location.bindings()), (1, 1));
        // A clock that jumps further than a turn of the wheel.
        location.expire(100_000, |aor| gone.push(aor.to_vec()));
        assert_eq!(gone, [b"x", b"y"]);
        assert!(location.is_empty());
        assert_eq!(location.next_expiry(), None);
        // And one that is set back.
        location.put(b"z", &value(&[soon]));
        location.expire(1_000, |_| panic!("not yet"));
        location.expire(1_011, |aor| gone.push(aor.to_vec()));
        assert_eq!(gone.len(), 3);
    }

    #[test]
    fn what_ends_together_is_swept_out_a_part_at_a_time() {
        let mut location = Location::new(Key(1, 2));
        location.expire(1_000, |_| ());
        let count = 2 * SWEEP as u32 + 100;
        for n in 0..count {
            let end = 1_010 + n % 3;
            location.put(&n.to_be_bytes(), &value(&[binding("<sip:a@192.0.2.4>", 1000, end)]));
        }
        location.put(b"later", &value(&[binding("<sip:a@192.0.2.4>", 1000, 5_500)]));
        let mut left = vec![];
        for _ in 0..3 {
            let mut gone = 0;
            location.expire(1_020, |_| gone += 1);
            assert!(gone <= SWEEP);
            assert_eq!(location.is_behind(), location.len() > 1);
            assert_eq!(location.next_expiry().is_some_and(|at| at <= 1_020), location.is_behind());
            left.push(location.len() - 1);
        }
        assert_eq!(left, [SWEEP + 100, 100, 0]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(u8, Vec<u32>),
        Remove(u8),
        Pass(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..40_u8, prop::collection::vec(1..6_000_u32, 0..4)).prop_map(|(a, e)| Step::Put(a, e)),
            1 => (0..40_u8).prop_map(Step::Remove),
            2 => (0..5_000_u32).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_does_what_a_map_does(steps in prop::collection::vec(step(), 1..200)) {
            let mut now = 1_000_000_u32;
            let mut location = Location::new(Key(5, 6));
            location.expire(u64::from(now), |_| ());
            let mut model: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Put(aor, ends) => {
                        let ends: Vec<u32> = ends.iter().map(|e| now + e).collect();
                        let bindings: Vec<_> =
                            ends.iter().map(|e| binding("<sip:a@192.0.2.4>", 1000, *e)).collect();
                        prop_assert!(location.put(&[aor], &value(&bindings)));
                        model.insert(aor, ends);
                    }
                    Step::Remove(aor) => {
                        location.remove(&[aor]);
                        model.remove(&aor);
                    }
                    Step::Pass(seconds) => {
                        now += seconds;
                        location.expire(u64::from(now), |_| ());
                    }
                }
                model.values_mut().for_each(|ends| ends.retain(|end| *end >= now));
                model.retain(|_, ends| !ends.is_empty());
                prop_assert_eq!(location.len(), model.len());
                prop_assert_eq!(location.bindings(), model.values().map(Vec::len).sum::<usize>());
                prop_assert_eq!(location.iter().count(), model.len());
                for aor in 0..40_u8 {
                    let found: Vec<u32> =
                        location.lookup(&[aor], u64::from(now)).map(|b| b.expires).collect();
                    prop_assert_eq!(found, model.get(&aor).cloned().unwrap_or_default());
                }
                if let Some(earliest) = model.values().flatten().min() {
                    let next = location.next_expiry();
                    prop_assert!(next.is_some_and(|next| next <= u64::from(earliest + 1)));
                }
            }
        }
    }
}
