//! The table of connections: what is open, to whom, and when it was used (RFC 3261 section 18,
//! RFC 5923).

use std::net::SocketAddr;

use hashbrown::HashMap;
use towel_message::frame::StreamFramer;

use crate::io::{ConnectionId, Flow, Instant, ListenerId, Transport};
use crate::shards::Peer;
use crate::transaction::client::Client;
use crate::transaction::slab::Id;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) flow: Flow,
    /// Not yet: asked for and not answered.
    pub(crate) opened: bool,
    /// What cuts its stream into messages, while a message is half here.
    pub(crate) framer: Option<Box<StreamFramer>>,
    pub(crate) peer: Peer,
    pub(crate) used: Instant,
    /// Since when a message is half here.
    pub(crate) partial: Option<Instant>,
    /// How many of its requests wait for their final response.
    pub(crate) owed: u32,
    /// What comes in by it cannot be cut into messages any more: it is closed once nothing is owed.
    pub(crate) broken: bool,
    /// The other name that it can be found by: RFC 5923's alias.
    alias: Option<Box<(Transport, SocketAddr)>>,
    waiters: Option<Box<Waiters>>,
}

/// The transactions that send by a connection.
#[derive(Debug)]
pub(crate) struct Waiters {
    ids: Vec<Id<Client>>,
    prune_at: usize,
}

impl Connection {
    pub(crate) fn new(flow: Flow, opened: bool, now: Instant) -> Connection {
        Connection {
            flow,
            opened,
            framer: None,
            peer: Peer::default(),
            used: now,
            partial: None,
            owed: 0,
            broken: false,
            alias: None,
            waiters: None,
        }
    }

    /// Remembers a transaction that sends by this connection.
    pub(crate) fn wait(&mut self, id: Id<Client>, live: impl Fn(Id<Client>) -> bool) {
        self.waiters.get_or_insert_default().wait(id, live);
    }

    pub(crate) fn take_waiters(&mut self) -> Vec<Id<Client>> {
        self.waiters.take().map(|waiters| waiters.ids).unwrap_or_default()
    }
}

impl Default for Waiters {
    fn default() -> Waiters {
        Waiters { ids: Vec::new(), prune_at: 16 }
    }
}

impl Waiters {
    pub(crate) fn wait(&mut self, id: Id<Client>, live: impl Fn(Id<Client>) -> bool) {
        if self.ids.len() >= self.prune_at {
            self.ids.retain(|&id| live(id));
            self.prune_at = (2 * self.ids.len()).max(16);
        }
        self.ids.push(id);
    }

    pub(crate) fn ids(&self) -> &[Id<Client>] {
        &self.ids
    }
}

/// An idle connection is what there are most of: its entry is a pointer, so that the table's free
/// places cost little, and what few connections need is a pointer in it.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    table: HashMap<ConnectionId, Box<Connection>>,
    by_remote: HashMap<(Transport, SocketAddr), ConnectionId>,
    last: u64,
    /// The first number of the shard whose they are.
    first: u64,
}

impl Connections {
    /// Those of a shard.
    pub(crate) fn of(shard: u8) -> Connections {
        Connections { first: ConnectionId::first_of(shard).0, ..Connections::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many go by a listener.
    pub(crate) fn by_listener(&self, id: ListenerId) -> usize {
        self.table.values().filter(|connection| connection.flow.listener == id).count()
    }

    /// Whether a message is half here on any of them.
    pub(crate) fn are_receiving(&self) -> bool {
        self.table.values().any(|connection| connection.partial.is_some())
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.table.get(&id).map(AsRef::as_ref)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.table.get_mut(&id).map(AsMut::as_mut)
    }

    pub(crate) fn next_id(&mut self) -> ConnectionId {
        self.last += 1;
        ConnectionId(ConnectionId::OPENED_BY_CORE | self.first | self.last)
    }

    pub(crate) fn insert(&mut self, id: ConnectionId, connection: Connection) {
        self.by_remote.insert((connection.flow.transport, connection.flow.remote), id);
        self.table.insert(id, Box::new(connection));
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let connection = self.table.remove(&id)?;
        let key = (connection.flow.transport, connection.flow.remote);
        for key in [Some(key), connection.alias.as_deref().copied()].into_iter().flatten() {
            if self.by_remote.get(&key) == Some(&id) {
                self.by_remote.remove(&key);
            }
        }
        Some(connection)
    }

    /// A connection to that address that may be used for a request to `name`.
    pub(crate) fn find(
        &self,
        transport: Transport,
        remote: SocketAddr,
        name: Option<&str>,
    ) -> Option<ConnectionId> {
        let id = *self.by_remote.get(&(transport, remote))?;
        let connection = self.table.get(&id)?;
        let fits = !transport.secure() || connection.peer.is(id, connection.flow.remote, name);
        (fits && !connection.broken).then_some(id)
    }

    /// Lets a connection be found by the port that its peer listens at (RFC 5923). Only where the
    /// peer's name is verified: anybody else could draw another's requests to himself. Gives what
    /// it can be found by from now on.
    pub(crate) fn alias(&mut self, id: ConnectionId, port: u16) -> Option<(Transport, SocketAddr)> {
        let connection = self.table.get_mut(&id)?;
        let names = connection.peer.identities.as_deref();
        let verified = names.is_some_and(|names| !names.is_empty());
        if !connection.flow.transport.secure() || !verified || connection.alias.is_some() {
            return None;
        }
        let mut address = connection.flow.remote;
        address.set_port(port);
        let key = (connection.flow.transport, address);
        connection.alias = Some(Box::new(key));
        self.by_remote.insert(key, id);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // There may be a hundred thousand of them. What few need belongs behind a pointer.
        assert!(size_of::<Connection>() <= 192, "{}", size_of::<Connection>());
    }
}
