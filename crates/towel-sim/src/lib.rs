//! A deterministic SIP network on a virtual clock, with flows and ladders.
//!
//! Because the protocol does no I/O of its own, a whole network of servers and phones fits into one
//! value: [`network::Network`] holds the elements, one clock and one seeded random source, and moves
//! datagrams and stream bytes between them with whatever loss, delay, reordering and duplication a
//! run asks for. The same seed gives the same run, byte for byte.
//!
//! A *flow* is a text file that tells one story in that network: who is there, what they send, what
//! they expect. [`run::run_flow`] plays it; the same file is a test, an example in `towel guide`
//! and, when something breaks, the shortest description of the bug. The format is described in
//! [`flow`].

pub mod agent;
mod audit;
mod caller;
mod controller;
pub mod element;
pub mod flow;
pub mod ladder;
pub mod network;
pub mod pattern;
mod phone;
pub mod rng;
pub mod run;
pub mod simulate;
pub mod text;
