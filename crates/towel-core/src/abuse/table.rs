//! Memory of a fixed size for what strangers choose: four places a key, and the entry that is worth
//! least makes room. Nothing is allocated before the first entry, and never more after it. Shards share
//! it, in stripes.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::shards::{Place, Stripes};

/// How many entries share the places that a key may have.
const WAYS: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Table<V> {
    stripes: Stripes<Vec<[(u64, V); WAYS]>>,
    /// How many sets a stripe has once it has any.
    wanted: usize,
    /// Whether anything was ever put in: what is asked of each message takes no lock.
    used: AtomicBool,
}

impl<V: Copy + Default> Table<V> {
    /// One for about so many entries.
    pub(super) fn new(entries: usize, place: Place) -> Table<V> {
        let sets = (entries / WAYS).clamp(1, 1 << 24).next_power_of_two();
        let stripes = Stripes::new(Stripes::<()>::wanted(place).min(sets), Vec::new);
        Table { wanted: sets / stripes.len(), stripes, used: AtomicBool::new(false) }
    }

    /// Whether nothing was ever put in.
    pub(super) fn is_empty(&self) -> bool {
        !self.used.load(Ordering::Relaxed)
    }

    fn place(&self, key: u64) -> usize {
        (key >> 20) as usize & (self.wanted - 1)
    }

    /// What stands under a key, which must come from a keyed hash.
    pub(super) fn get(&self, key: u64) -> Option<V> {
        // Nought marks a free place.
        let key = key | 1;
        let sets = self.stripes.at(|| key >> 50);
        let set = sets.get(self.place(key))?;
        set.iter().find(|(of, _)| *of == key).map(|(_, value)| *value)
    }

    #[cfg_attr(
        not(test),
        expect(
            clippy::indexing_slicing,
            reason = "remainders of the lengths; there is a set by then"
        )
    )]
    /// Changes what stands under a key; a new entry takes the place of the one of the least worth.
    pub(super) fn at<T>(
        &self,
        key: u64,
        worth: impl Fn(&V) -> u64,
        change: impl FnOnce(&mut V) -> T,
    ) -> T {
        let key = key | 1;
        let place = self.place(key);
        let mut sets = self.stripes.at(|| key >> 50);
        if sets.is_empty() {
            sets.resize(self.wanted, [(0, V::default()); WAYS]);
            self.used.store(true, Ordering::Relaxed);
        }
        let count = sets.len();
        // The remainder is what the mask gave already; it tells the compiler that there is one.
        let set = &mut sets[place % count];
        let worth = |(of, value): &(u64, V)| match *of {
            of if of == key => (0, 0),
            0 => (1, 0),
            _ => (2, worth(value)),
        };
        let mut best = 0;
        let mut least = (u8::MAX, u64::MAX);
        for (at, entry) in set.iter().enumerate() {
            if worth(entry) < least {
                (best, least) = (at, worth(entry));
            }
        }
        let entry = &mut set[best % WAYS];
        if entry.0 != key {
            *entry = (key, V::default());
        }
        change(&mut entry.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_worth_makes_room_and_it_never_grows() {
        let table: Table<u64> = Table::new(16, Place::ONE);
        assert!(table.is_empty());
        assert_eq!(table.get(5 << 20), None);
        // All in one set.
        let keys: Vec<u64> = (1..=4).map(|n| (n * 4) << 20).collect();
        for (worth, key) in keys.iter().enumerate() {
            table.at(*key, |v| *v, |v| *v = 10 + worth as u64);
        }
        assert_eq!(table.get(keys[0]), Some(10));
        table.at((5 * 4) << 20, |v| *v, |v| *v = 99);
        assert_eq!(table.get(keys[0]), None);
        assert_eq!(table.get(keys[1]), Some(11));
        table.at(keys[1], |v| *v, |v| *v += 1);
        assert_eq!(table.get(keys[1]), Some(12));
        for key in 0..10_000u64 {
            table.at(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), |v| *v, |v| *v = key);
        }
        assert_eq!(table.stripes.each().map(|sets| sets.len()).sum::<usize>(), 4);
    }
}
