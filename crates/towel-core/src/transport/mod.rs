//! Transport without I/O (RFC 3261 section 18, RFC 3581, RFC 5923).

use std::time::Duration;

pub(crate) mod connections;
mod counters;
pub(crate) mod stun;
pub(crate) mod via;

pub use counters::Counters;
pub use towel_message::Limits;
pub use via::ViaStamp;

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Requests longer than this go by TCP where UDP was chosen (RFC 3261 section 18.1.1: within
    /// 200 bytes of the path MTU, or 1300 bytes where that is not known).
    pub max_udp_request: usize,
    /// A connection that carried nothing for so long is closed.
    pub idle: Duration,
    /// A message begun on a stream must be whole within this time.
    pub partial: Duration,
    /// How many connections at most.
    pub max_connections: usize,
    /// Ask for reuse of our connections with `alias` (RFC 5923) in Via.
    pub alias: bool,
    /// Transports that connections may be made with although nothing listens there, as a user
    /// agent client does that has no certificate of its own.
    pub connects: Vec<crate::io::Transport>,
    /// Limits on what is parsed.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_udp_request: 1300,
            idle: Duration::from_secs(900),
            partial: Duration::from_secs(32),
            max_connections: 100_000,
            alias: true,
            connects: Vec::new(),
            limits: Limits::default(),
        }
    }
}
