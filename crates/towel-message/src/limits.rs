//! Bounds on what a message may be.

/// The bounds that a message is read under. Every size and count that a peer chooses has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole message.
    pub max_message: usize,
    /// Bytes of everything before the body.
    pub max_head: usize,
    /// Header fields (lines) of a message.
    pub max_fields: usize,
    /// Bytes of one header field with its continuation lines.
    pub max_field_len: usize,
    /// Bytes of the Request-URI.
    pub max_uri: usize,
    /// Bytes of the body.
    pub max_body: usize,
    /// Values of one header field, over all its lines.
    pub max_values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 256 * 1024,
            max_head: 64 * 1024,
            max_fields: 256,
            max_field_len: 16 * 1024,
            max_uri: 4 * 1024,
            max_body: 128 * 1024,
            max_values: 256,
        }
    }
}

/// Parameters of one header field value or one URI, at most.
pub(crate) const MAX_PARAMS: usize = 128;
