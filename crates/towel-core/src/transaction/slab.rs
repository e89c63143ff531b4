//! Slots with generations: a handle to something that has gone is an error and never a stranger.

use std::marker::PhantomData;

use crate::pile::Pile;

/// A handle to a slot of a table of `T`s.
pub struct Id<T> {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    pub(crate) fn new(slot: u32, generation: u32) -> Self {
        Id { slot, generation, of: PhantomData }
    }

    /// The handle of the same place in a table of something else.
    pub(crate) fn cast<U>(self) -> Id<U> {
        Id::new(self.slot, self.generation)
    }

    /// The handle as a number: for a table of the owner's, or a log.
    pub fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }
}

// Derived, these would ask the same of `T`.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.slot, self.generation) == (other.slot, other.generation)
    }
}
impl<T> Eq for Id<T> {}
impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.number().hash(state);
    }
}
impl<T> std::fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    next_free: u32,
    value: Option<T>,
}

/// A table of `T`s.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Pile<Slot<T>>,
    free: u32,
    live: usize,
}

const NONE: u32 = u32::MAX;

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Slab { slots: Pile::default(), free: NONE, live: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn insert(&mut self, value: T) -> Id<T> {
        self.live += 1;
        if let Some(slot) = self.slots.get_mut(self.free as usize) {
            let index = std::mem::replace(&mut self.free, slot.next_free);
            slot.value = Some(value);
            return Id::new(index, slot.generation);
        }
        let index = self.slots.len() as u32;
        self.slots.push(Slot { generation: 1, next_free: NONE, value: Some(value) });
        Id::new(index, 1)
    }

    pub(crate) fn get(&self, id: Id<T>) -> Option<&T> {
        let slot = self.slots.get(id.slot as usize)?;
        if slot.generation == id.generation { slot.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation == id.generation { slot.value.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, id: Id<T>) -> Option<T> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next_free = std::mem::replace(&mut self.free, id.slot);
        self.live -= 1;
        Some(value)
    }

    /// The handle of what stands in a slot now.
    pub(crate) fn at(&self, slot: u32) -> Option<Id<T>> {
        let found = self.slots.get(slot as usize)?;
        found.value.is_some().then(|| Id::new(slot, found.generation))
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = Id<T>> + '_ {
        (0..self.slots.len() as u32).filter_map(|slot| self.at(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_handle_finds_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(second.slot, first.slot);
        assert!(slab.get(first).is_none() && slab.remove(first).is_none());
        assert_eq!(slab.get(second), Some(&'b'));
        assert_eq!((slab.len(), slab.ids().count()), (1, 1));
    }
}
