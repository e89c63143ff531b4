//! Which connections the shards of a server have, so that each can be reached by what another has
//! open (RFC 3261 section 18, RFC 5626, RFC 5923).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hashbrown::HashMap;

use super::stripes::{Stripes, locked};
use super::{MOST, Place};
use crate::io::{ConnectionId, Flow, Transport};

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// The names that its certificate was verified for.
    pub(crate) identities: Option<Arc<[String]>>,
    /// The name that we asked it to have.
    pub(crate) server_name: Option<Arc<str>>,
}

impl Peer {
    /// Whether it is known to be who is asked for.
    ///
    /// A client's own end of a connection is who it is: where a contact is that very address and
    /// port, as with phones that listen nowhere, nobody else can be reached by it.
    pub(crate) fn is(&self, id: ConnectionId, remote: SocketAddr, name: Option<&str>) -> bool {
        let Some(name) = name else { return true };
        let remote = remote.ip().to_canonical();
        if !id.is_ours() && name.trim_matches(['[', ']']).parse() == Ok(remote) {
            return true;
        }
        self.server_name.as_deref().is_some_and(|ours| ours.eq_ignore_ascii_case(name))
            || self.identities.as_deref().is_some_and(|names| {
                names.iter().any(|verified| verified.eq_ignore_ascii_case(name))
            })
    }
}

#[derive(Debug)]
struct Entry {
    flow: Flow,
    peer: Peer,
    alias: Option<(Transport, SocketAddr)>,
    /// A bit for each shard that has sent on it.
    watchers: u32,
}

const _: () = assert!(MOST <= u32::BITS as usize);

/// The connections that are open, of all shards.
#[derive(Debug)]
pub(crate) struct Directory {
    entries: Stripes<HashMap<ConnectionId, Entry>>,
    by_remote: Mutex<HashMap<(Transport, SocketAddr), ConnectionId>>,
}

impl Directory {
    pub(crate) fn new(place: Place) -> Directory {
        let entries = Stripes::new(Stripes::<()>::wanted(place), HashMap::new);
        Directory { entries, by_remote: Mutex::new(HashMap::new()) }
    }

    fn entries(&self, id: ConnectionId) -> std::sync::MutexGuard<'_, HashMap<ConnectionId, Entry>> {
        // The shards' numbers stand in the upper bits, those of connections count up.
        self.entries.at(|| id.0)
    }

    /// A connection is open.
    pub(crate) fn opened(&self, id: ConnectionId, flow: Flow, peer: Peer) {
        self.entries(id).insert(id, Entry { flow, peer, alias: None, watchers: 0 });
        locked(&self.by_remote).insert((flow.transport, flow.remote), id);
    }

    /// It can be found by another port as well.
    pub(crate) fn alias(&self, id: ConnectionId, key: (Transport, SocketAddr)) {
        if let Some(entry) = self.entries(id).get_mut(&id) {
            entry.alias = Some(key);
        } else {
            return;
        }
        locked(&self.by_remote).insert(key, id);
    }

    /// It is to be found no more. Gives the shards that have sent on it.
    pub(crate) fn closed(&self, id: ConnectionId) -> impl Iterator<Item = u8> + use<> {
        let entry = self.entries(id).remove(&id);
        if let Some(entry) = &entry {
            let mut by_remote = locked(&self.by_remote);
            let key = (entry.flow.transport, entry.flow.remote);
            for key in [Some(key), entry.alias].into_iter().flatten() {
                if by_remote.get(&key) == Some(&id) {
                    by_remote.remove(&key);
                }
            }
        }
        let watchers = entry.map_or(0, |entry| entry.watchers);
        (0..MOST as u8).filter(move |shard| watchers & (1 << shard) != 0)
    }

    /// The ends of a connection.
    pub(crate) fn flow(&self, id: ConnectionId) -> Option<Flow> {
        self.entries(id).get(&id).map(|entry| entry.flow)
    }

    /// Has a shard told when it ends; gives its ends, if it is there.
    pub(crate) fn watch(&self, id: ConnectionId, shard: u8) -> Option<Flow> {
        let mut entries = self.entries(id);
        let entry = entries.get_mut(&id)?;
        entry.watchers |= 1 << shard;
        Some(entry.flow)
    }

    /// A connection to that address that may be used for a request to `name`.
    pub(crate) fn find(
        &self,
        transport: Transport,
        remote: SocketAddr,
        name: Option<&str>,
    ) -> Option<Flow> {
        let id = *locked(&self.by_remote).get(&(transport, remote))?;
        let entries = self.entries(id);
        let entry = entries.get(&id)?;
        let fits = !transport.secure() || entry.peer.is(id, entry.flow.remote, name);
        fits.then_some(entry.flow)
    }
}
