//! The element that listens: one transaction user that is proxy, registrar and redirect server.

mod domains;
mod settings;

pub use domains::Domains;
pub use settings::{Mode, Network, Relay, Settings};
