//! The transaction layer (RFC 3261 section 17, RFC 6026, RFC 4320, RFC 4321).
//!
//! The machines are tables in [`machines`]; [`crate::stack::Stack`] carries out what they say.

use std::time::Duration;

pub(crate) mod client;
pub(crate) mod course;
pub mod machines;
pub(crate) mod server;
pub(crate) mod slab;
pub mod table;
pub mod token;

pub use client::Client;
pub use server::Server;
pub use slab::Id;

use table::Timer;

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// T1: the round-trip time estimate.
    pub t1: Duration,
    /// T2: the longest retransmission interval for non-INVITE requests and INVITE responses.
    pub t2: Duration,
    /// T4: how long a message stays in the network.
    pub t4: Duration,
    /// Timer D: how long an INVITE client transaction absorbs retransmitted final responses on an
    /// unreliable transport; at least 32 s.
    pub timer_d: Duration,
    /// When the server transaction sends 100 by itself if the transaction user has not answered
    /// an INVITE (RFC 3261 section 17.2.1: within 200 ms, however busy the machine is). Nought
    /// sends it at once unless the user answers while it is given the request; `None` leaves it to
    /// the user.
    pub trying_after: Option<Duration>,
    /// How many transactions at most, of servers and of clients each; beyond it requests are
    /// answered 503 without state. A sixteenth more is kept for BYE within dialogs: they free what is
    /// short.
    pub max: usize,
    /// Above this many transactions, those that are over and only absorb what comes again (Timers
    /// D, J, L and M) do so for T4 instead of 64*T1: at great load, half a minute of memory for
    /// each call would be the first thing to run out, and what is still in the network after T4 is
    /// next to nothing.
    pub crowded: usize,
    /// What Retry-After says when the table is full, in seconds.
    pub retry_after: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            timer_d: Duration::from_secs(32),
            trying_after: Some(Duration::from_millis(50)),
            max: 500_000,
            crowded: 100_000,
            retry_after: 5,
        }
    }
}

impl Settings {
    /// The most transactions of either kind, with those that end a dialog.
    pub(crate) fn max_with_ends(&self) -> usize {
        self.max + self.max.div_ceil(16)
    }

    /// How long a timer runs (RFC 3261 table 4), the `round`th time that it is set.
    pub fn interval(&self, timer: Timer, round: u32) -> Duration {
        match timer {
            // Timer A doubles without a limit; Timer B ends it (17.1.1.2).
            Timer::A => crate::time::doubled(self.t1, round, self.t1 * 64),
            Timer::E | Timer::G => crate::time::doubled(self.t1, round, self.t2),
            Timer::B | Timer::F | Timer::H | Timer::J | Timer::L | Timer::M => self.t1 * 64,
            Timer::Cancelled | Timer::Unanswered => self.t1 * 64,
            Timer::D => self.timer_d,
            Timer::I | Timer::K => self.t4,
            Timer::Trying => self.until_t2(),
        }
    }

    /// The same in a table that holds `count` transactions.
    pub fn interval_among(&self, count: usize, timer: Timer, round: u32) -> Duration {
        let interval = self.interval(timer, round);
        let absorbs = matches!(timer, Timer::D | Timer::J | Timer::L | Timer::M);
        if absorbs && count > self.crowded { interval.min(self.t4) } else { interval }
    }

    /// When a client's Timer E, set at T1 and doubled, comes to be set to T2 (RFC 4320 section 4.1).
    pub fn until_t2(&self) -> Duration {
        let mut sum = Duration::ZERO;
        let mut interval = self.t1.max(Duration::from_millis(1));
        while interval < self.t2 {
            sum += interval;
            interval *= 2;
        }
        sum
    }
}
