//! The transaction layer (RFC 3261 section 17, RFC 6026, RFC 4320, RFC 4321).

use std::time::Duration;

/// What can be set.
#[derive(Clone, Debug)]
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
    /// an INVITE (RFC 3261 section 17.2.1: within 200 ms); `None` leaves it to the user.
    pub trying_after: Option<Duration>,
    /// How many transactions at most; beyond it requests are answered 503 without state.
    pub max: usize,
    /// What Retry-After says then, in seconds.
    pub retry_after: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            timer_d: Duration::from_secs(32),
            trying_after: Some(Duration::from_millis(150)),
            max: 500_000,
            retry_after: 5,
        }
    }
}
