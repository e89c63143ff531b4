//! What can be set of the proxy.

use std::time::Duration;

use super::breadth;

/// In what order the targets of a request are tried (RFC 3261 section 16.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forking {
    /// Those of equal q at once, the groups from the highest q to the lowest.
    #[default]
    ByQ,
    /// All at once.
    Parallel,
    /// One after the other.
    Sequential,
}

/// What can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// In what order targets are tried.
    pub forking: Forking,
    /// Whether the proxy itself follows the Contacts of a 3xx for a user of ours (section 16.7
    /// step 4).
    pub recurse: bool,
    /// Whether the proxy stays on the path of dialogs (section 16.6 step 4).
    pub record_route: bool,
    /// Timer C: how long an INVITE may ring; more than three minutes (section 16.6 step 11).
    pub timer_c: Duration,
    /// How long a target of a sequential search may ring before the next one is tried, if there
    /// is one; `None` leaves it to Timer C.
    pub ring: Option<Duration>,
    /// What Max-Forwards is where a request has none (section 16.6 step 3).
    pub max_forwards: u32,
    /// The most that is accepted in Max-Breadth, and its value where a request has none (RFC 5393
    /// section 5.3.3).
    pub max_breadth: u32,
    /// How many targets one request may have altogether.
    pub max_targets: usize,
    /// How many requests may be under way at once.
    pub max_contexts: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            forking: Forking::default(),
            recurse: false,
            record_route: true,
            timer_c: Duration::from_secs(185),
            ring: None,
            max_forwards: 70,
            max_breadth: breadth::USUAL,
            max_targets: 32,
            max_contexts: 250_000,
        }
    }
}
