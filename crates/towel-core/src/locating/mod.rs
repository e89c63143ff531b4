//! Locating SIP servers (RFC 3263, with RFC 2782, 3403, 6157 and 7984), without a socket: questions
//! go out, answers come in, an ordered list of targets is the result.
//!
//! One [`Locator`] serves a whole element. [`Locator::locate`] gives the list at once when the
//! destination is numeric or the cache knows everything; otherwise it emits
//! [`Output::Resolve`](crate::io::Output::Resolve) and the list comes out of
//! [`Locator::answered`] when the last answer is in. The user of the list tries one target after
//! the other, and says with [`Locator::failed`] which of them was no good (RFC 3263 section 4.3),
//! so that the next request does not run into the same wall.

mod address;
mod blocklist;
mod cache;
mod destination;
mod dns;
mod locator;
mod srv;
#[cfg(test)]
mod tests;
mod walk;

use std::time::Duration;

pub use destination::{Capabilities, Destination, LocateFault, Target, Targets};
pub use dns::{Answer, Naptr, Outcome, QueryId, Question, QuestionKind, Records, Srv};
pub use locator::{Completed, Failure, Located, Locator, LookupId};

use crate::io::Transport;

/// What can be set about locating servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The order in which to like transports where a domain leaves the choice to us (RFC 3263
    /// section 4.1: SRV records but no NAPTR record).
    pub preference: Vec<Transport>,
    /// Whether to try the IPv4 addresses of a name before its IPv6 addresses.
    pub prefer_ipv4: bool,
    /// How many NAPTR records of one domain to follow.
    pub max_rules: usize,
    /// How many hosts of one SRV answer to consider, after ordering.
    pub max_hosts: usize,
    /// How many targets a list may have.
    pub max_targets: usize,
    /// How many records of one answer to look at.
    pub max_records: usize,
    /// How many answers to keep.
    pub max_cached: usize,
    /// How many look-ups may be in flight.
    pub max_lookups: usize,
    /// How long to wait for one answer.
    pub query_time: Duration,
    /// How long the whole of one location may take. After it, what is known by then is what there
    /// is: the request must not wait for a dead DNS until its sender has given up (Timer B and F
    /// of RFC 3261 section 17.1 run for 32 s).
    pub lookup_time: Duration,
    /// After how much of that everything that may still be needed is asked at once, instead of one
    /// question after the answer to the other.
    pub hurry_after: Duration,
    /// For how long to believe that the DNS cannot answer a question.
    pub failure_time: Duration,
    /// For how long to avoid a destination that timed out or could not be reached.
    pub block_time: Duration,
    /// The longest Retry-After to heed.
    pub max_block_time: Duration,
    /// How many destinations may be avoided at one time.
    pub max_blocked: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            preference: vec![Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Sctp],
            prefer_ipv4: false,
            max_rules: 4,
            max_hosts: 16,
            max_targets: 32,
            max_records: 1000,
            max_cached: 20_000,
            max_lookups: 20_000,
            query_time: Duration::from_secs(5),
            lookup_time: Duration::from_secs(5),
            hurry_after: Duration::from_secs(1),
            failure_time: Duration::from_secs(5),
            block_time: Duration::from_secs(30),
            max_block_time: Duration::from_secs(300),
            max_blocked: 4096,
        }
    }
}
