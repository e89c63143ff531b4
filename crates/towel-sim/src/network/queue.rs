//! What is going to happen, in order.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use towel_core::io::{CloseReason, ConnectionId, Flow, ListenerId, QueryId, Record, Ticket};
use towel_core::locating::Answer;

use super::NodeId;

/// Something that reaches a node.
pub(super) enum Happening {
    Datagram { listener: ListenerId, remote: SocketAddr, bytes: Vec<u8> },
    Opened { connection: ConnectionId, flow: Flow, identities: Vec<String> },
    Stream { connection: ConnectionId, bytes: Vec<u8> },
    Closed { connection: ConnectionId, why: CloseReason },
    Unreachable { listener: ListenerId, remote: SocketAddr },
    Resolved { query: QueryId, answer: Answer },
    Stored { ticket: Option<Ticket>, record: Record },
    Tick,
}

/// When it happens, and to which life of which node.
pub(super) struct Due {
    pub(super) at: u64,
    pub(super) node: NodeId,
    pub(super) life: u32,
    pub(super) what: Happening,
}

/// All of it, first things first.
#[derive(Default)]
pub(super) struct Queue {
    due: BTreeMap<(u64, u64), Due>,
    count: u64,
}

impl Queue {
    pub(super) fn push(&mut self, due: Due) {
        self.count += 1;
        self.due.insert((due.at, self.count), due);
    }

    /// The next that is due by `until`.
    pub(super) fn next(&mut self, until: u64) -> Option<Due> {
        let first = self.due.first_entry()?;
        (first.key().0 <= until).then(|| first.remove())
    }

    /// When the first is due.
    pub(super) fn first(&self) -> Option<u64> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Puts off what is due for a node before `until`, in its order.
    pub(super) fn hold_back(&mut self, node: NodeId, until: u64) {
        let keys: Vec<_> = self
            .due
            .iter()
            .filter(|((at, _), d)| d.node == node && *at < until)
            .map(|(k, _)| *k)
            .collect();
        for key in keys {
            if let Some(due) = self.due.remove(&key) {
                self.push(Due { at: until, ..due });
            }
        }
    }

    /// Takes out what was meant for a node, in the order in which it would have happened.
    pub(super) fn take_for(&mut self, node: NodeId) -> Vec<Happening> {
        let keys: Vec<_> =
            self.due.iter().filter(|(_, d)| d.node == node).map(|(k, _)| *k).collect();
        keys.iter().filter_map(|key| self.due.remove(key)).map(|due| due.what).collect()
    }
}
