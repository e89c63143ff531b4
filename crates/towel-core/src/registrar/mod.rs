//! The registrar and the location service (RFC 3261 section 10).

/// What can be set.
#[derive(Clone, Debug, Default)]
pub struct Settings {}
