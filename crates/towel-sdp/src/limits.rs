//! Bounds on what a description may be.

/// The bounds that a description is read under. Every size and count that a peer chooses has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole description.
    pub max_bytes: usize,
    /// Lines of the whole description.
    pub max_lines: usize,
    /// Bytes of one line, without its end.
    pub max_line: usize,
    /// Media descriptions (`m=` lines).
    pub max_media: usize,
    /// Formats of one `m=` line.
    pub max_formats: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 64 * 1024,
            max_lines: 1024,
            max_line: 8 * 1024,
            max_media: 32,
            max_formats: 128,
        }
    }
}
