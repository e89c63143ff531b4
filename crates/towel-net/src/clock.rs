//! Real time, read once a turn of the loop.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use towel_core::io::{Instant, Now};

/// The monotonic clock since the start, and the wall clock.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: std::time::Instant,
    unix: u64,
    /// When to look at the wall clock again.
    stale: Instant,
}

impl Clock {
    /// One that counts from there.
    pub(crate) fn since(origin: std::time::Instant) -> Self {
        Self { origin, unix: 0, stale: Instant(0) }
    }

    pub(crate) fn now(&mut self) -> Now {
        // Begins at one second, so that no moment is the default value.
        let since = self.origin.elapsed() + Duration::from_secs(1);
        let at = Instant(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        if at >= self.stale {
            self.stale = at + Duration::from_millis(100);
            self.unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        }
        Now { at, unix: self.unix }
    }
}
