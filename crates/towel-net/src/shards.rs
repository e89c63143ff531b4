//! What the drivers of one server's shards have in common.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use towel_core::shards::{Errand, Place};

use crate::notice::Handle;

/// How many errands may wait for a shard, and how many bytes with them; beyond that they are lost, as
/// datagrams are where a socket is full.
const ERRANDS: usize = 16_384;
const BYTES: usize = 16 << 20;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Errands with the bytes that they are about. Emptied it keeps its room.
#[derive(Debug, Default)]
pub(crate) struct Errands {
    pub(crate) all: Vec<(Errand, Range<usize>)>,
    pub(crate) arena: Vec<u8>,
}

impl Errands {
    pub(crate) fn clear(&mut self) {
        self.all.clear();
        self.arena.clear();
    }
}

/// Where the errands for a shard wait.
#[derive(Debug, Default)]
pub(crate) struct Post(Mutex<Errands>);

impl Post {
    /// Gives the shard something to do; says whether there was room.
    pub(crate) fn give(&self, errand: Errand, bytes: &[u8]) -> bool {
        let mut waiting = locked(&self.0);
        let begin = waiting.arena.len();
        if waiting.all.len() >= ERRANDS || begin + bytes.len() > BYTES {
            return false;
        }
        waiting.arena.extend_from_slice(bytes);
        let end = waiting.arena.len();
        waiting.all.push((errand, begin..end));
        true
    }

    /// Takes all that waits, for an empty one.
    pub(crate) fn take(&self, empty: &mut Errands) {
        std::mem::swap(empty, &mut *locked(&self.0));
    }
}

/// How many connections the shards have together, and from where.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    count: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Tally {
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn from(&self, ip: IpAddr) -> usize {
        locked(&self.by_address).get(&ip).copied().unwrap_or(0)
    }

    pub(crate) fn add_from(&self, ip: IpAddr) {
        *locked(&self.by_address).entry(ip).or_default() += 1;
    }

    pub(crate) fn remove_from(&self, ip: IpAddr) {
        let mut all = locked(&self.by_address);
        if let Some(count) = all.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                all.remove(&ip);
            }
        }
    }
}

/// One shard among the others.
#[derive(Debug)]
pub(crate) struct Among {
    pub(crate) place: Place,
    /// How to reach each, this one among them.
    pub(crate) all: Vec<Handle>,
    pub(crate) tally: Arc<Tally>,
    /// Which shards have nothing left to do.
    quiet: Arc<[AtomicBool]>,
    /// From when the time of all is counted.
    pub(crate) origin: std::time::Instant,
}

impl Among {
    /// Those of a server with so many, by their handles.
    pub(crate) fn each(handles: &[Handle]) -> Vec<Among> {
        let of = handles.len() as u8;
        let (tally, origin) = (Arc::new(Tally::default()), std::time::Instant::now());
        let quiet: Arc<[AtomicBool]> = handles.iter().map(|_| AtomicBool::new(false)).collect();
        let one = |shard| Among {
            place: Place { shard, of },
            all: handles.to_vec(),
            tally: Arc::clone(&tally),
            quiet: Arc::clone(&quiet),
            origin,
        };
        (0..of).map(one).collect()
    }

    /// Whether all have nothing left to do, this one as it says. Until then each stays for the others:
    /// what they wait for may come by it.
    pub(crate) fn are_quiet(&self, quiet: bool) -> bool {
        if let Some(own) = self.quiet.get(usize::from(self.place.shard)) {
            own.store(quiet, Ordering::Release);
        }
        self.quiet.iter().all(|shard| shard.load(Ordering::Acquire))
    }
}
