//! The element that listens: one transaction user that is proxy, registrar and redirect server.
//!
//! A request goes through what RFC 3261 asks of it in that order: is it well formed, can it be
//! routed on (section 16.3), what does its route say (16.4), is it for the server itself (8.2) or
//! its registrar (10.3), may its sender do this (22.3), who is meant (16.5). What remains is
//! forwarded by [`crate::proxy`].

mod admit;
mod decide;
mod devices;
mod domains;
mod element;
mod endpoint;
mod late;
mod login;
pub(crate) mod merged;
mod register;
mod reply;
mod settings;
mod targets;
#[cfg(test)]
mod tests;
mod uas;
mod user;

pub use domains::Domains;
pub use element::Server;
pub use endpoint::Endpoint;
pub use settings::{Mode, Network, Relay, Settings};
pub(crate) use targets::{same_target, write_request_uri};
pub(crate) use uas::phrase;
