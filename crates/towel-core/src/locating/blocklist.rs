//! Destinations that have just failed, by transport and address: another address of the same name
//! may be well, and another name may lead to the same broken host.

use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::io::{Instant, Transport};

pub(super) struct Blocklist {
    until: HashMap<(Transport, SocketAddr), Instant>,
    most: usize,
}

impl Blocklist {
    pub(super) fn new(most: usize) -> Self {
        Self { until: HashMap::new(), most }
    }

    pub(super) fn len(&self) -> usize {
        self.until.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// Blocks until then, or longer if it is blocked for longer already.
    pub(super) fn block(
        &mut self,
        now: Instant,
        transport: Transport,
        addr: SocketAddr,
        until: Instant,
    ) {
        if let Some(entry) = self.until.get_mut(&(transport, addr)) {
            *entry = until.max(*entry);
            return;
        }
        if self.until.len() >= self.most {
            self.until.retain(|_, until| *until > now);
        }
        // Still full: the block is a convenience, and forgetting one costs a time-out at most.
        if self.until.len() < self.most {
            self.until.insert((transport, addr), until);
        }
    }

    pub(super) fn unblock(&mut self, transport: Transport, addr: SocketAddr) {
        if !self.until.is_empty() {
            self.until.remove(&(transport, addr));
        }
    }

    pub(super) fn is_blocked(&self, now: Instant, transport: Transport, addr: SocketAddr) -> bool {
        !self.until.is_empty()
            && self.until.get(&(transport, addr)).is_some_and(|until| *until > now)
    }
}
