//! A range of a message's bytes.

/// Where something stands in the bytes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The offset of the first byte.
    pub start: u32,
    /// How many bytes.
    pub len: u32,
}

impl Span {
    /// A span from offsets. Messages are bounded by [`crate::Limits`] far below 4 GiB; an offset
    /// beyond that is clamped, and then reads as empty.
    pub fn new(start: usize, end: usize) -> Self {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        Self { start, len: end.saturating_sub(start) }
    }

    /// The offset after the last byte.
    pub fn end(self) -> u32 {
        self.start.saturating_add(self.len)
    }

    /// As a range of `usize`.
    pub fn range(self) -> core::ops::Range<usize> {
        self.start as usize..self.end() as usize
    }

    /// The bytes, or nothing where the span does not lie in `bytes`.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.range()).unwrap_or(&[])
    }

    /// The same span moved on by `by` bytes.
    pub fn shifted(self, by: u32) -> Self {
        Self { start: self.start.saturating_add(by), len: self.len }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}
