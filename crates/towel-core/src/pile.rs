//! A growing row of places that never moves what stands in it: it grows by a chunk at a time, so
//! that growing copies nothing, and no more than a chunk is ever there for nothing.

use std::ops::{Index, IndexMut};

/// Places a chunk; a power of two.
const CHUNK: usize = 256;
const BITS: u32 = CHUNK.trailing_zeros();

/// The row.
#[derive(Debug)]
pub(crate) struct Pile<T> {
    chunks: Vec<Vec<T>>,
    length: usize,
}

impl<T> Default for Pile<T> {
    fn default() -> Self {
        Pile { chunks: Vec::new(), length: 0 }
    }
}

impl<T> Pile<T> {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at >> BITS)?.get(at & (CHUNK - 1))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.chunks.get_mut(at >> BITS)?.get_mut(at & (CHUNK - 1))
    }

    pub(crate) fn push(&mut self, value: T) {
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(value),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
        self.length += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

#[expect(clippy::indexing_slicing, reason = "an index is one, as it is of a Vec")]
impl<T> Index<usize> for Pile<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.chunks[at >> BITS][at & (CHUNK - 1)]
    }
}

#[expect(clippy::indexing_slicing, reason = "an index is one, as it is of a Vec")]
impl<T> IndexMut<usize> for Pile<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.chunks[at >> BITS][at & (CHUNK - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_row_whose_places_stay_where_they_are() {
        let mut pile = Pile::default();
        pile.push(0);
        let first: *const usize = &pile[0];
        for value in 1..3 * CHUNK + 1 {
            pile.push(value);
        }
        assert_eq!((pile.len(), std::ptr::from_ref(&pile[0])), (3 * CHUNK + 1, first));
        pile[2 * CHUNK] += 1;
        *pile.get_mut(CHUNK).unwrap() += 1;
        assert_eq!((pile[2 * CHUNK], pile.get(CHUNK)), (2 * CHUNK + 1, Some(&(CHUNK + 1))));
        assert!(pile.get(3 * CHUNK + 1).is_none() && pile.get(usize::MAX).is_none());
        assert_eq!(pile.iter().count(), pile.len());
    }
}
