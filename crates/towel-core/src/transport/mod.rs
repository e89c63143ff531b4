//! Transport without I/O (RFC 3261 section 18, RFC 3581, RFC 5923).

use std::time::Duration;

/// What can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The path MTU where it is known; 1500 stands in (RFC 3261 section 18.1.1).
    pub mtu: usize,
    /// Requests longer than this go by a stream where UDP was chosen; by default what section
    /// 18.1.1 says (within 200 bytes of the path MTU, or 1300 where it is not known).
    pub max_udp_request: usize,
    /// A connection that carried nothing for so long is closed.
    pub idle: Duration,
    /// A message begun on a stream must be whole within this time.
    pub partial: Duration,
    /// A connection must be up within this time, or the next target is tried.
    pub connect: Duration,
    /// How many connections at most.
    pub max_connections: usize,
    /// How many bytes may wait for a connection that is being made.
    pub max_pending: usize,
    /// Ask for reuse of our connections with `alias` (RFC 5923) in Via.
    pub alias: bool,
    /// Limits on what is parsed.
    pub limits: Limits,
}

/// A stand-in until the message crate's own.
#[derive(Clone, Debug, Default)]
pub struct Limits {}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            mtu: 1500,
            max_udp_request: 1300,
            idle: Duration::from_secs(900),
            partial: Duration::from_secs(32),
            connect: Duration::from_secs(5),
            max_connections: 100_000,
            max_pending: 256 * 1024,
            alias: true,
            limits: Limits::default(),
        }
    }
}
