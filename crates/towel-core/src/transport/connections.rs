//! The table of connections: what is open, to whom, and when it was used (RFC 3261 section 18,
//! RFC 5923).

use std::collections::VecDeque;
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
    /// Whether its peer is more than somebody who has connected: a user of ours, one whom we send
    /// requests, or one with a name that was verified.
    pub(crate) proven: bool,
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
            proven: false,
            alias: None,
            waiters: None,
        }
    }

    /// Remembers a transaction that sends by this connection.
    pub(crate) fn wait(&mut self, id: Id<Client>, live: impl Fn(Id<Client>) -> bool) {
        self.proven = true;
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
    /// Those that were accepted of strangers, and when they had last been used when that was looked at.
    strangers: VecDeque<(ConnectionId, Instant)>,
    last: u64,
    /// The first number of the shard whose they are.
    first: u64,
}

/// How many strangers are looked at to find one that may go.
const LOOKED_AT: usize = 16;

impl Connections {
    /// Those of a shard.
    pub(crate) fn of(shard: u8) -> Connections {
        Connections { first: ConnectionId::first_of(shard).0, ..Connections::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Numbers connections from behind those of another table.
    pub(crate) fn number_after(&mut self, other: &Connections) {
        self.last = self.last.max(other.last);
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.table.iter().map(|(id, connection)| (*id, connection.as_ref()))
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

    /// Notes that a connection is a stranger's, until that is known better.
    pub(crate) fn is_strangers(&mut self, id: ConnectionId, now: Instant) {
        // Those that are gone are left out when they make up the half.
        if self.strangers.len() > 2 * self.table.len() + 64 {
            let table = &self.table;
            self.strangers.retain(|(id, _)| table.get(id).is_some_and(|c| !c.proven));
        }
        self.strangers.push_back((id, now));
    }

    /// The peer of a connection has proved to be somebody.
    pub(crate) fn prove(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(&id) {
            connection.proven = true;
        }
    }

    /// The stranger's connection that has been idle for about the longest: which one is not looked for
    /// among all of them.
    pub(crate) fn idlest_stranger(&mut self) -> Option<ConnectionId> {
        for _ in 0..LOOKED_AT {
            let (id, seen) = self.strangers.pop_front()?;
            let Some(connection) = self.table.get(&id).filter(|c| !c.proven) else { continue };
            if connection.used <= seen && connection.owed == 0 {
                return Some(id);
            }
            self.strangers.push_back((id, connection.used));
        }
        // All that were looked at are in use: one has to go all the same.
        let unused =
            |id: &ConnectionId| self.table.get(id).is_some_and(|c| !c.proven && c.owed == 0);
        let at = self.strangers.iter().take(LOOKED_AT).position(|(id, _)| unused(id))?;
        self.strangers.remove(at).map(|(id, _)| id)
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
