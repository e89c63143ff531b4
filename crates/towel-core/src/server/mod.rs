//! The element that listens: one transaction user that is proxy, registrar and redirect server.

mod settings;

pub use settings::{Mode, Network, Relay, Settings};
