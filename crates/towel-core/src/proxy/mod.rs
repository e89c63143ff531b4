//! The proxy (RFC 3261 section 16).

pub mod best;
pub mod breadth;
mod mark;
pub mod record_route;
pub mod route;
mod settings;

pub use mark::{BranchMark, Marks, Visits};
pub use route::Prepared;
pub use settings::{Forking, Settings};
