//! The registrar's tables: in stripes where several shards share them, each with a lock that is held
//! for one request at most.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};

use super::location::Location;
use super::pending::Pending;
use super::removed::Removed;
use crate::hash::{Hasher, Key};
use crate::shards::{Journal, Place, Stripes};

/// What belongs to the addresses of record of one stripe.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) location: Location,
    pub(super) pending: Pending,
    pub(super) removed: Removed,
    /// How many of its addresses of record are in the sum.
    counted: usize,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Tables {
    key: Key,
    stripes: Stripes<Table>,
    records: AtomicUsize,
    /// Where records for the store go that are not one shard's alone.
    pub(super) journal: Option<Journal>,
}

/// The bindings among which those of an address of record are.
#[derive(Debug)]
pub struct Looked<'a>(MutexGuard<'a, Table>);

impl Deref for Looked<'_> {
    type Target = Location;

    fn deref(&self) -> &Location {
        &self.0.location
    }
}

impl Tables {
    pub(super) fn new(key: Key, place: Place) -> Arc<Tables> {
        let count = Stripes::<()>::wanted(place);
        let make = || Table {
            location: Location::new(key),
            pending: Pending::default(),
            removed: Removed::one_of(key, count),
            counted: 0,
        };
        let journal = place.has_others().then(Journal::default);
        let stripes = Stripes::new(count, make);
        Arc::new(Tables { key, stripes, records: AtomicUsize::new(0), journal })
    }

    /// The stripe of an address of record.
    pub(super) fn at(&self, aor: &[u8]) -> MutexGuard<'_, Table> {
        // The other half than the one that its own index goes by.
        self.stripes.at(|| Hasher::new(self.key).bytes(aor).finish() >> 32)
    }

    pub(super) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Table>> {
        self.stripes.each()
    }

    pub(super) fn looked(&self, aor: &[u8]) -> Looked<'_> {
        Looked(self.at(aor))
    }

    pub(super) fn all_looked(&self) -> impl Iterator<Item = Looked<'_>> {
        self.each().map(Looked)
    }

    /// How many addresses of record have bindings.
    pub(super) fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    /// Takes into the sum what has changed in a stripe.
    pub(super) fn count(&self, table: &mut Table) {
        let (was, is) = (table.counted, table.location.len());
        if was == is {
            return;
        }
        table.counted = is;
        if is > was {
            self.records.fetch_add(is - was, Ordering::Relaxed);
        } else {
            self.records.fetch_sub(was - is, Ordering::Relaxed);
        }
    }
}
