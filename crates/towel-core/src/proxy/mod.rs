//! The proxy (RFC 3261 section 16).

/// What can be set.
#[derive(Clone, Debug, Default)]
pub struct Settings {}
