//! The embedded durable store: an append log with group commit.
//!
//! What the server acknowledged must survive `kill -9`, and a registration must not wait long
//! for the disk. So there is one file that only grows, one thread that writes it, and one
//! `fdatasync` for all the records that arrived while the last one was under way.
//!
//! A store is a folder:
//!
//! ```text
//! lock            held while a process has the store open
//! 00000001.log    segments in the order of their numbers; each is a run of batches
//! 00000002.log    the newest one is being written
//! ```
//!
//! A batch is what one `fdatasync` covered. It carries its number, its length and a checksum, so
//! after a crash the one batch that may be torn (the last, which nobody was told of) is told from
//! damage, which is reported and never repaired behind the operator's back.
//!
//! Records are keys with values in numbered tables; the last one of a key counts. When the dead
//! ones outweigh the living, a segment with only the living takes the place of the older ones.

mod batch;
mod compact;
mod error;
mod folder;
mod open;
mod repair;
mod scan;
mod segment;
mod writer;

#[cfg(test)]
mod tests;

pub use batch::{Record, RecordRef};
pub use error::{Damage, StoreError};
pub use open::{Done, Loaded, Options, Store, Sync};
pub use repair::{Repaired, inspect, repair};
