//! Reading with sixteen bytes looked at at once.
//!
//! Letters, digits, dash, dot and underscore are in every class that the quick readers pass over,
//! and nearly all bytes of a value are of those. So a reader notes once where the others stand, and
//! goes from one to the next.

use crate::scan::{Class, between};
use memchr::memchr;
use wide::u8x16;

/// Bytes that are looked at together.
pub(crate) const BLOCK: usize = 16;

/// A bit for each byte that is no letter, no digit and none of `-`, `.` and `_`.
#[inline]
fn odd(block: [u8; BLOCK]) -> u64 {
    let bytes = u8x16::new(block);
    let within = |from: u8, count: u8| {
        let shifted = bytes - u8x16::splat(from);
        shifted.min(u8x16::splat(count)).simd_eq(shifted)
    };
    let letter = {
        let shifted = (bytes | u8x16::splat(0x20)) - u8x16::splat(b'a');
        shifted.min(u8x16::splat(25)).simd_eq(shifted)
    };
    // From the dash to the nine there is only the slash too many.
    let plain = letter | within(b'-', b'9' - b'-') | bytes.simd_eq(u8x16::splat(b'_'));
    let slash = bytes.simd_eq(u8x16::splat(b'/'));
    u64::from((!plain | slash).to_bitmask() & 0xffff)
}

/// A bit for each byte of a block that is one of those.
#[inline]
pub(crate) fn equal(block: u8x16, byte: u8) -> u32 {
    block.simd_eq(u8x16::splat(byte)).to_bitmask() & 0xffff
}

/// A bit for each byte of a block that is at most this.
#[inline]
pub(crate) fn at_most(block: u8x16, byte: u8) -> u32 {
    block.min(u8x16::splat(byte)).simd_eq(block).to_bitmask() & 0xffff
}

/// Fewer bytes than a block, with NUL after them.
#[inline]
pub(crate) fn padded(bytes: &[u8]) -> [u8; BLOCK] {
    let whole = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let last = u128::from(u64::from_le_bytes(*last));
        u128::from(u64::from_le_bytes(*first)) | last << (8 * (bytes.len() as u32 - 8))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let last = u64::from(u32::from_le_bytes(*last));
        u128::from(u64::from(u32::from_le_bytes(*first)) | last << (8 * (bytes.len() as u32 - 4)))
    } else {
        debug_assert!(bytes.len() < 4);
        let at = |at: usize| bytes.get(at).map_or(0, |byte| u32::from(*byte) << (8 * at));
        u128::from(at(0) | at(1) | at(2))
    };
    whole.to_le_bytes()
}

/// The odd ones among the 64 bytes from `at` on; what is beyond the end is odd.
#[inline]
fn odd_from(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or(&[]);
    let rest = rest.get(..64).unwrap_or(rest);
    let mut plain = 0;
    let mut shift = 0;
    let mut blocks = rest;
    while let Some((block, more)) = blocks.split_first_chunk::<BLOCK>() {
        plain |= (odd(*block) ^ 0xffff) << shift;
        shift += BLOCK;
        blocks = more;
    }
    if !blocks.is_empty() {
        match rest.last_chunk::<BLOCK>() {
            // Some of these were seen before.
            Some(block) => plain |= (odd(*block) ^ 0xffff) << (rest.len() - BLOCK),
            None => plain |= odd(padded(rest)) ^ 0xffff,
        }
    }
    !plain
}

/// The same of a value that is longer than that.
#[inline(never)]
fn odd_further(bytes: &[u8], at: usize) -> u64 {
    odd_from(bytes, at)
}

/// A value that is read from its start to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stops<'a> {
    bytes: &'a [u8],
    /// The bits are of the 64 bytes from here on.
    base: usize,
    odd: u64,
}

impl<'a> Stops<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, base: 0, odd: odd_from(bytes, 0) }
    }

    /// Where the bytes from `at` on are no longer in a class, as [`crate::scan::skip`] has it: of a
    /// class that has letters, digits, dash, dot and underscore.
    #[inline(always)]
    pub(crate) fn skip(&mut self, at: usize, class: Class) -> usize {
        debug_assert!(class.has_plain());
        let mut at = at;
        loop {
            at = self.next(at);
            match self.bytes.get(at) {
                Some(byte) if class.holds(*byte) => at += 1,
                _ => return at,
            }
        }
    }

    /// The next odd byte at `at` or behind it; the end where there is none.
    #[inline(always)]
    pub(crate) fn next(&mut self, at: usize) -> usize {
        let mut from = at;
        loop {
            let shift = from.wrapping_sub(self.base);
            if shift < 64 {
                let left = self.odd >> shift;
                if left != 0 {
                    return from + left.trailing_zeros() as usize;
                }
                from = self.base + 64;
            }
            if from >= self.bytes.len() {
                return self.bytes.len().max(at);
            }
            (self.base, self.odd) = (from, odd_further(self.bytes, from));
        }
    }

    /// The bytes themselves.
    #[inline]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The byte at a place.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// The bytes from `start` up to `end`.
    #[inline]
    pub(crate) fn between(&self, start: usize, end: usize) -> &'a [u8] {
        between(self.bytes, start, end)
    }

    /// Whether a byte is among those from `start` up to `end`.
    #[inline]
    pub(crate) fn has(&self, start: usize, end: usize, byte: u8) -> bool {
        memchr(byte, self.between(start, end)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::skip;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is passed over here is passed over by whoever looks at each byte.
        #[test]
        fn both_ways_to_skip_agree(
            bytes in proptest::collection::vec(
                prop_oneof![6 => b'a'..=b'z', 1 => b'0'..=b'9', 2 => any::<u8>(), 1 => b'-'..=b'/'],
                0..200,
            ),
            places in proptest::collection::vec(0usize..220, 1..8),
        ) {
            let mut stops = Stops::new(&bytes);
            for class in [
                Class::TOKEN, Class::VALUE, Class::USER, Class::PARAM, Class::HOST, Class::URI,
            ] {
                for at in &places {
                    let at = (*at).min(bytes.len());
                    prop_assert_eq!(stops.skip(at, class), skip(&bytes, at, class), "{}", at);
                }
            }
        }

        #[test]
        fn fewer_bytes_than_a_block_are_padded(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            let mut whole = [0; BLOCK];
            whole[..bytes.len()].copy_from_slice(&bytes);
            prop_assert_eq!(padded(&bytes), whole);
        }
    }

    #[test]
    fn every_byte_is_odd_or_plain() {
        for byte in 0..=255u8 {
            let plain = byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            assert_eq!(odd([byte; BLOCK]), if plain { 0 } else { 0xffff }, "{byte}");
            let block = u8x16::splat(byte);
            assert_eq!(at_most(block, 13) != 0, byte <= 13);
            assert_eq!(equal(block, b':') != 0, byte == b':');
        }
    }
}
