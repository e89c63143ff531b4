//! Load for SIP servers: callers and callees at a given rate, and what they measured.
//!
//! [`Load`] is a [`Machine`](towel_core::io::Machine): it plays both ends of every call, so that a
//! unit of work is followed from end to end on one clock. It speaks by script and keeps no
//! transactions: that a full user agent would cost as much as the server that it is to drive, and
//! would smooth over the duplicates and losses that are to be counted. Everything goes to the
//! server, whatever Route and Contact say, as to an outbound proxy.
//!
//! A unit is a call, a registration, an OPTIONS or a MESSAGE. In an open loop ([`Pace::Open`]) it is
//! due when the schedule says, and its latencies count from then; in a closed loop
//! ([`Pace::Closed`]) the next begins when one ends.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod call;
mod chart;
pub mod cpu;
mod crowd;
mod figures;
mod html;
mod load;
mod pace;
mod people;
mod plan;
mod report;
mod run;
mod unit;
mod write;

pub use chart::{Chart, Line};
pub use figures::{
    GeneratorReport, LatencyReport, Point, ServerReport, StepReport, Wait, WorkReport,
};
pub use html::page;
pub use load::{Load, Watch};
pub use pace::{Arrivals, Schedule};
pub use people::{MOST, People, Person};
pub use plan::{Amount, Mix, Nonces, Pace, Plan, Purpose, Step, Work};
pub use report::{Report, table_head, table_line};
pub use run::{Screen, run};
