//! What the log says of a store that cannot be written.

use std::time::{Duration, Instant};

use towel_store::StoreError;

use crate::config::{Durability, LogLevel as Level};
use crate::log::Log;

/// How often a store that fails is told of.
const STILL_FAILS: Duration = Duration::from_secs(10);
/// A write that succeeds sooner after one that failed says little: on a full disk there may be room
/// for a small record between two large ones.
const SURELY_WORKS: Duration = Duration::from_secs(1);

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
enum Say {
    Fails,
    Works,
}

/// How writing went of late.
#[derive(Debug, Default)]
struct Course {
    /// When a write failed last, until it was said that the store works again.
    failed: Option<Instant>,
    /// When it was last said that it fails.
    told: Option<Instant>,
}

impl Course {
    fn next(&mut self, good: bool, now: Instant) -> Option<Say> {
        if !good {
            self.failed = Some(now);
            if self.told.is_some_and(|at| now.duration_since(at) < STILL_FAILS) {
                return None;
            }
            self.told = Some(now);
            return Some(Say::Fails);
        }
        if now.duration_since(self.failed?) < SURELY_WORKS {
            return None;
        }
        (self.failed, self.told) = (None, None);
        Some(Say::Works)
    }
}

/// What fails, and what that means for who registers.
fn failing(fault: &StoreError, durability: Durability) -> String {
    let before = match fault {
        StoreError::Gone(_) => "is kept in memory only",
        _ => "is safe",
    };
    let meanwhile = match durability {
        Durability::BeforeAnswer => "REGISTER gets 500; what was acknowledged before",
        Durability::Soon => {
            "REGISTER gets its 200 but is kept in memory only (durability = \"soon\"); what was \
             stored before"
        }
        Durability::Memory => {
            "no user can be changed; bindings are never stored (durability = \"memory\"); what was \
             stored before"
        }
    };
    format!("{fault}. Until it can be written, {meanwhile} {before}, and calls go on")
}

/// Says in the log that the store fails, and when it no longer does.
pub(crate) fn reporter(
    log: Log,
    durability: Durability,
) -> impl Fn(Result<(), &StoreError>) + Send + Sync {
    let course = std::sync::Mutex::new(Course::default());
    move |result| {
        if let Err(fault @ StoreError::Compaction(_)) = result {
            return log.event(Level::Warn, "store", fault.to_string());
        }
        match crate::control::locked(&course).next(result.is_ok(), Instant::now()) {
            Some(Say::Works) => {
                log.event(Level::Info, "store-works", "the store can be written again");
            }
            Some(Say::Fails) => {
                let text = result.err().map(|fault| failing(fault, durability)).unwrap_or_default();
                log.event(Level::Error, "store", text);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server does then is proved in `towel-core/src/registrar/tests/durability.rs`.
    #[test]
    fn what_a_register_gets_is_said_for_each_durability() {
        let fault = StoreError::Closed;
        let told = |durability| failing(&fault, durability);
        assert!(told(Durability::BeforeAnswer).contains("REGISTER gets 500; what was ack"));
        let soon = told(Durability::Soon);
        assert!(soon.contains("REGISTER gets its 200") && !soon.contains("500"), "{soon}");
        assert!(!told(Durability::Memory).contains("REGISTER"));
    }

    #[test]
    fn what_comes_and_goes_is_told_of_once() {
        let begin = Instant::now();
        let mut course = Course::default();
        let mut at = |ms: u64, good| course.next(good, begin + Duration::from_millis(ms));
        assert_eq!(at(0, true), None);
        assert_eq!(at(100, false), Some(Say::Fails));
        // A small record fits, a larger one does not.
        for n in 0..50 {
            assert_eq!(at(200 + n * 100, n % 2 == 0), None);
        }
        assert_eq!(at(10_200, false), Some(Say::Fails));
        assert_eq!(at(11_100, true), None);
        assert_eq!(at(11_200, true), Some(Say::Works));
        assert_eq!(at(11_300, true), None);
        assert_eq!(at(11_400, false), Some(Say::Fails));
    }
}
