//! Where records go that must survive.

use towel_core::io::{Record, Ticket};

/// A store that works on a thread of its own. `submit` must not wait for the disk; when a record
/// with a ticket is safe, or is known not to be, the store tells the shard with
/// [`Handle::stored`](crate::Handle::stored).
pub trait Persist {
    /// Takes a record; nobody waits for one without a ticket.
    fn submit(&mut self, ticket: Option<Ticket>, record: Record);
}

/// Forgets everything at once, and says that it is safe: for tests and for elements that keep
/// nothing.
#[derive(Debug, Clone)]
pub struct Forget(pub crate::Handle);

impl Persist for Forget {
    fn submit(&mut self, ticket: Option<Ticket>, _record: Record) {
        if let Some(ticket) = ticket {
            self.0.stored(ticket, Ok(()));
        }
    }
}
