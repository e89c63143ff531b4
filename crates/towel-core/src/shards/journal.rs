//! Records of several shards on their way to one store.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::stripes::locked;
use crate::io::{Record, Ticket};

/// Records in the order in which they were decided upon.
///
/// Two shards may change one address of record shortly after another. Whoever changes it holds its
/// stripe, and puts the record in here while it does; so what the store is given is in the order of
/// the changes, whichever shard carries its outputs out first.
#[derive(Clone, Default)]
pub struct Journal(Arc<Mutex<VecDeque<Waiting>>>);

/// A record, and who waits for it.
type Waiting = (Option<Ticket>, Record);

impl Journal {
    pub(crate) fn push(&self, ticket: Option<Ticket>, record: Record) {
        locked(&self.0).push_back((ticket, record));
    }

    /// Gives everything that is in it to the store, which must not wait: others wait meanwhile.
    pub fn submit(&self, mut each: impl FnMut(Option<Ticket>, Record)) {
        let mut waiting = locked(&self.0);
        while let Some((ticket, record)) = waiting.pop_front() {
            each(ticket, record);
        }
    }
}

impl PartialEq for Journal {
    fn eq(&self, other: &Journal) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}
