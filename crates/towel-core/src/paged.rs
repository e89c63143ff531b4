//! A hash table that never stops to grow: it is made of pages, and only one of them is split at a
//! time. A table that doubles moves everything that it holds at once, which at a million entries,
//! each hashed anew from somewhere else in memory, is a third of a second in which nobody is served.
//!
//! This is extendible hashing (Fagin, Nievergelt, Pippenger and Strong, 1979): a directory by some
//! bits of the hash leads to the page.

use hashbrown::HashTable;

/// What a page holds before it is split: what a table of 1024 places holds.
const PAGE: usize = 896;
/// The most bits that a directory goes by; beyond sixty million entries the pages grow instead.
const MOST_BITS: u32 = 16;
/// The bits of the hash that lead to the page end here: the tables themselves go by the lowest and
/// by the highest seven.
const END: u32 = 56;

#[derive(Debug)]
struct Page<T> {
    table: HashTable<T>,
    /// How many bits all of its entries have in common.
    bits: u32,
}

/// The table. As with [`HashTable`], whoever uses it hashes and compares.
#[derive(Debug)]
pub(crate) struct Paged<T> {
    /// The page for each value of the bits.
    directory: Vec<u32>,
    bits: u32,
    pages: Vec<Page<T>>,
    length: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        let first = Page { table: HashTable::new(), bits: 0 };
        Self { directory: vec![0], bits: 0, pages: vec![first], length: 0 }
    }
}

impl<T: Clone> Clone for Paged<T> {
    fn clone(&self) -> Self {
        let page = |page: &Page<T>| Page { table: page.table.clone(), bits: page.bits };
        Self {
            directory: self.directory.clone(),
            bits: self.bits,
            pages: self.pages.iter().map(page).collect(),
            length: self.length,
        }
    }
}

impl<T> Paged<T> {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    #[inline]
    fn page(&self, hash: u64) -> usize {
        let place = (hash >> (END - self.bits)) as usize & ((1 << self.bits) - 1);
        self.directory.get(place).copied().unwrap_or_default() as usize
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&T> {
        self.pages.get(self.page(hash))?.table.find(hash, eq)
    }

    pub(crate) fn find_mut(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let page = self.page(hash);
        self.pages.get_mut(page)?.table.find_mut(hash, eq)
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<T> {
        let page = self.page(hash);
        let entry = self.pages.get_mut(page)?.table.find_entry(hash, eq).ok()?;
        self.length -= 1;
        Some(entry.remove().0)
    }

    /// Puts in an entry that is not there yet.
    pub(crate) fn insert_unique(&mut self, hash: u64, value: T, hasher: impl Fn(&T) -> u64) {
        let mut at = self.page(hash);
        let full = |page: &Page<T>| page.table.len() >= PAGE && page.bits < MOST_BITS;
        if self.pages.get(at).is_some_and(full) {
            self.split(at, &hasher);
            at = self.page(hash);
        }
        if let Some(page) = self.pages.get_mut(at) {
            page.table.insert_unique(hash, value, hasher);
            self.length += 1;
        }
    }

    /// Makes two pages of one.
    fn split(&mut self, at: usize, hasher: &impl Fn(&T) -> u64) {
        let new = self.pages.len() as u32;
        let Some(page) = self.pages.get_mut(at) else { return };
        if page.bits == self.bits {
            self.directory = self.directory.iter().flat_map(|page| [*page; 2]).collect();
            self.bits += 1;
        }
        page.bits += 1;
        let bits = page.bits;
        let goes = |hash: u64| hash >> (END - bits) & 1 == 1;
        let mut table = HashTable::with_capacity(PAGE);
        for entry in page.table.extract_if(|entry| goes(hasher(entry))) {
            table.insert_unique(hasher(&entry), entry, hasher);
        }
        self.pages.push(Page { table, bits });
        // Of the places that led to the page, those with the next bit set lead to the new one.
        let bit = 1 << (self.bits - bits);
        for (place, page) in self.directory.iter_mut().enumerate() {
            if *page as usize == at && place & bit != 0 {
                *page = new;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{Hasher, Key};
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn hash(value: &u32) -> u64 {
        Hasher::new(Key(1, 2)).bytes(&value.to_be_bytes()).finish()
    }

    #[test]
    fn it_finds_everything_however_large_it_grows() {
        let mut table = Paged::default();
        for value in 0..200_000_u32 {
            table.insert_unique(hash(&value), value, hash);
        }
        assert_eq!(table.len(), 200_000);
        assert!(table.pages.len() > 200 && table.bits < MOST_BITS);
        assert!(table.pages.iter().all(|page| page.table.len() <= PAGE));
        for value in 0..200_000 {
            assert_eq!(table.find(hash(&value), |known| *known == value), Some(&value));
        }
        for value in 0..200_000 {
            assert_eq!(table.remove(hash(&value), |known| *known == value), Some(value));
            assert_eq!(table.remove(hash(&value), |known| *known == value), None);
        }
        assert!(table.is_empty());
    }

    #[test]
    fn no_step_moves_more_than_a_page() {
        let (mut table, mut most) = (Paged::default(), 0);
        for value in 0..100_000_u32 {
            let moved = std::cell::Cell::new(0);
            table.insert_unique(hash(&value), value, |value| {
                moved.set(moved.get() + 1);
                hash(value)
            });
            most = most.max(moved.get());
        }
        assert!(most <= 2 * PAGE + 8, "{most}");
    }

    #[test]
    fn equal_hashes_make_a_page_longer_and_nothing_else() {
        let mut table = Paged::default();
        for value in 0..5_000_u32 {
            table.insert_unique(7 << 40, value, |_| 7 << 40);
        }
        assert!(table.directory.len() <= 1 << MOST_BITS);
        assert_eq!(table.find(7 << 40, |known| *known == 4_321), Some(&4_321));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn it_does_what_a_set_does(steps in prop::collection::vec((any::<bool>(), 0..6_000_u32), 1..20_000)) {
            let (mut table, mut model) = (Paged::default(), HashSet::new());
            for (insert, value) in steps {
                let known = table.find(hash(&value), |known| *known == value).is_some();
                prop_assert_eq!(known, model.contains(&value));
                if insert && !known {
                    table.insert_unique(hash(&value), value, hash);
                    model.insert(value);
                } else if !insert {
                    let gone = table.remove(hash(&value), |known| *known == value);
                    prop_assert_eq!(gone.is_some(), model.remove(&value));
                }
                prop_assert_eq!(table.len(), model.len());
            }
        }
    }
}
