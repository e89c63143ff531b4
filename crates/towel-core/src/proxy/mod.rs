//! The proxy (RFC 3261 section 16).

pub mod best;
pub mod breadth;
mod settings;

pub use settings::{Forking, Settings};
