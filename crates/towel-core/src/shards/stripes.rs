//! Tables that shards share.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Place;

/// How many stripes a table has that is shared: many more than threads, so that two seldom meet.
const STRIPES: usize = 64;

/// A table in parts, each under a lock of its own; one part where nobody shares it.
#[derive(Debug)]
pub(crate) struct Stripes<T>(Box<[Mutex<T>]>);

impl<T> Stripes<T> {
    /// As many as shards in that place have use for.
    pub(crate) fn wanted(place: Place) -> usize {
        if place.has_others() { STRIPES } else { 1 }
    }

    /// So many, a power of two.
    pub(crate) fn new(count: usize, mut make: impl FnMut() -> T) -> Stripes<T> {
        let count = count.max(1).next_power_of_two();
        Stripes((0..count).map(|_| Mutex::new(make())).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The stripe that a hash falls into; it is made only where there are several.
    #[cfg_attr(
        not(test),
        expect(
            clippy::indexing_slicing,
            reason = "a remainder of the length; there is one always"
        )
    )]
    pub(crate) fn at(&self, hash: impl FnOnce() -> u64) -> MutexGuard<'_, T> {
        let count = self.0.len();
        let at = if count == 1 { 0 } else { hash() as usize % count };
        locked(&self.0[at % count])
    }

    /// All of them, one at a time.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.0.iter().map(locked)
    }
}

/// Whoever panicked with it in hand has taken its shard with it; what is in it is used on.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all shards have in common until a reload makes it anew: the first of them that reloads makes it
/// for the others, who come to it with their own reload.
#[derive(Debug)]
pub(crate) struct Current<T> {
    latest: Arc<Mutex<(u32, Arc<T>)>>,
    generation: u32,
    now: Arc<T>,
}

impl<T> Current<T> {
    pub(crate) fn new(value: T) -> Current<T> {
        let now = Arc::new(value);
        Current { latest: Arc::new(Mutex::new((0, Arc::clone(&now)))), generation: 0, now }
    }

    /// The same for another shard, made before any has reloaded.
    pub(crate) fn beside(&self) -> Current<T> {
        let now = Arc::clone(&self.now);
        Current { latest: Arc::clone(&self.latest), generation: self.generation, now }
    }

    /// The next one.
    pub(crate) fn renew(&mut self, make: impl FnOnce() -> T) {
        self.generation += 1;
        let mut latest = locked(&self.latest);
        if latest.0 < self.generation {
            *latest = (self.generation, Arc::new(make()));
        }
        // Where others are further on already this shard soon will be, too.
        self.now = Arc::clone(&latest.1);
    }
}

impl<T> Deref for Current<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.now
    }
}
