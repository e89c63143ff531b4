//! Many dialogs, found by their identifiers.

use hashbrown::HashTable;

use super::Dialog;
use crate::hash::{Hasher, Key};
use crate::transaction::Id;
use crate::transaction::slab::Slab;

/// Dialogs, or what holds them, by handle, and by Call-ID, local and remote tag (RFC 3261 section 12): one keyed hash and
/// one look at the slot. A peer that chooses identifiers cannot aim at a bucket.
#[derive(Debug)]
pub struct Dialogs<T> {
    key: Key,
    slab: Slab<T>,
    table: HashTable<(u64, u32)>,
}

impl<T: AsRef<Dialog>> Dialogs<T> {
    /// None.
    pub fn new(key: Key) -> Self {
        Dialogs { key, slab: Slab::new(), table: HashTable::new() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slab.len() == 0
    }

    fn hash(&self, call_id: &[u8], local: &[u8], remote: &[u8]) -> u64 {
        Hasher::new(self.key).field(call_id).field(local).field(remote).finish()
    }

    fn hash_of(&self, dialog: &Dialog) -> u64 {
        self.hash(dialog.call_id(), dialog.local_tag(), dialog.remote_tag())
    }

    /// Adds one.
    pub fn insert(&mut self, dialog: T) -> Id<T> {
        let hash = self.hash_of(dialog.as_ref());
        let id = self.slab.insert(dialog);
        self.table.insert_unique(hash, (hash, id.slot), |entry| entry.0);
        id
    }

    /// The one with these identifiers, as they stand at our end.
    pub fn find(&self, call_id: &[u8], local: &[u8], remote: &[u8]) -> Option<Id<T>> {
        let hash = self.hash(call_id, local, remote);
        let is = |&(have, slot): &(u64, u32)| {
            have == hash
                && self.slab.at(slot).and_then(|id| self.slab.get(id)).is_some_and(|found| {
                    let dialog = found.as_ref();
                    dialog.call_id() == call_id
                        && dialog.local_tag() == local
                        && dialog.remote_tag() == remote
                })
        };
        self.table.find(hash, is).and_then(|&(_, slot)| self.slab.at(slot))
    }

    /// One by its handle.
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        self.slab.get(id)
    }

    /// The same, to change. Its identifiers never change.
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        self.slab.get_mut(id)
    }

    /// Takes one out.
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        let dialog = self.slab.remove(id)?;
        let hash = self.hash_of(dialog.as_ref());
        if let Ok(entry) =
            self.table.find_entry(hash, |&(have, slot)| have == hash && slot == id.slot)
        {
            entry.remove();
        }
        Some(dialog)
    }

    /// All handles.
    pub fn ids(&self) -> impl Iterator<Item = Id<T>> + '_ {
        self.slab.ids()
    }
}
