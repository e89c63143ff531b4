//! The element that listens: one transaction user that is proxy, registrar and redirect server.

/// What can be set.
#[derive(Clone, Debug, Default)]
pub struct Settings {}
