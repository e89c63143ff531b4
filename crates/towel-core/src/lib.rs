//! SIP without I/O: transport rules, transactions, locating, registrar, proxy and the extension contract.
//!
//! Nothing in this crate reads a clock, a socket, a file or a random source. The world comes in as
//! [`io::Input`] with the time beside it, and everything that is wanted of the world goes out as
//! [`io::Output`] in a reused [`io::Outbox`].
//!
//! From the bottom up: [`transport`] (RFC 3261 section 18), [`transaction`] (section 17),
//! [`locating`] (RFC 3263), put together in [`stack::Stack`]; above it the transaction users:
//! [`server`] with [`proxy`], [`registrar`] and [`auth`], and [`ua`]. [`contract`] is how an
//! extension takes part.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod abuse;
pub mod auth;
pub mod b2bua;
pub mod contract;
pub mod dialog;
pub mod hash;
mod hex;
pub mod io;
pub mod locating;
pub mod overload;
mod paged;
mod pile;
pub mod proxy;
pub mod registrar;
pub mod rng;
pub mod server;
pub mod settings;
pub mod shards;
pub mod stack;
pub mod third_party;
pub mod time;
pub mod transaction;
pub mod transport;
pub mod ua;
