//! The proxy (RFC 3261 section 16).
//!
//! A request that is to be forwarded gets a response context: its target set, a branch for each
//! target that was begun, and the best response so far. What does not need one (an ACK for a 2xx,
//! a CANCEL that belongs to nothing, everything where the settings say so) is forwarded without
//! state.

pub mod best;
pub mod breadth;
mod context;
mod contexts;
mod copying;
pub(crate) mod core;
mod forward;
mod home;
mod mark;
pub(crate) mod pass;
pub mod record_route;
mod response;
mod rewrite;
pub mod route;
mod seeking;
mod settings;
mod stateless;
mod timing;

pub(crate) use context::Way;
pub use mark::{BranchMark, Marks, Visits};
pub use pass::{Pass, Side};
pub use route::Prepared;
pub(crate) use route::is_of_dialog;
pub use settings::{Forking, Settings};
