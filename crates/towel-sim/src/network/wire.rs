//! Connections: ordered streams between two nodes.

use std::net::SocketAddr;

use towel_core::io::{CloseReason, ConnectionId, Flow, ListenerId, Machine, Transport};

use super::queue::Happening;
use super::{Network, NodeId};

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) node: NodeId,
    pub(super) connection: ConnectionId,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    ends: [End; 2],
    transport: Transport,
    /// When the last bytes arrive at each end: nothing may arrive before them.
    last: [u64; 2],
    /// What a cut link holds back, by the end that it is for.
    held: Vec<(usize, Vec<u8>)>,
}

/// How long a connection attempt to nowhere takes to fail.
const CONNECT_TIMEOUT: u64 = 20_000_000;

impl<A: Machine> Network<A> {
    pub(super) fn open(
        &mut self,
        id: NodeId,
        connection: ConnectionId,
        transport: Transport,
        listener: Option<ListenerId>,
        remote: SocketAddr,
        server_name: Option<String>,
    ) {
        let failed = |why| Happening::Closed { connection, why };
        let host = self.host(remote.ip());
        if host.is_none_or(|host| self.links.is_cut(id, host) || !self.nodes[host.0].up) {
            self.later(CONNECT_TIMEOUT, id, failed(CloseReason::TimedOut));
            return;
        }
        let Some((peer, theirs)) = self.find(transport, remote) else {
            let time = 2 * self.links.stream_time(&mut self.rng, id, host.unwrap_or(id));
            self.later(time, id, failed(CloseReason::Refused));
            return;
        };
        let time = self.links.stream_time(&mut self.rng, id, peer);
        let names = &self.nodes[peer.0].names;
        let mut identities = Vec::new();
        if transport.secure() {
            match (server_name, names.is_empty()) {
                (Some(name), false) if !names.iter().any(|n| n.eq_ignore_ascii_case(&name)) => {
                    self.later(3 * time, id, failed(CloseReason::Tls));
                    return;
                }
                (Some(name), true) => identities.push(name),
                _ => identities.extend(names.iter().cloned()),
            }
        }
        let ours = self.nodes[id.0].listeners.iter();
        let same = |a: &SocketAddr| a.is_ipv4() == remote.is_ipv4();
        let chosen = ours
            .clone()
            .find(|l| Some(l.id) == listener && same(&l.local))
            .or_else(|| ours.clone().find(|l| l.transport == transport && same(&l.local)))
            .or_else(|| ours.clone().find(|l| same(&l.local)));
        let Some(chosen) = chosen.cloned() else {
            self.later(0, id, failed(CloseReason::Failed));
            return;
        };
        self.next_wire += 1;
        let wire = self.next_wire;
        let local = SocketAddr::new(chosen.local.ip(), 40_000 + (wire % 20_000) as u16);
        let accepted = ConnectionId(self.nodes[peer.0].accepted);
        self.nodes[peer.0].accepted += 1;
        self.nodes[peer.0].connections.insert(accepted, wire);
        self.nodes[id.0].connections.insert(connection, wire);
        let flow = Flow {
            transport,
            listener: theirs,
            local: remote,
            remote: local,
            connection: Some(accepted),
        };
        let there = Happening::Opened { connection: accepted, flow, identities: Vec::new() };
        self.later(time, peer, there);
        let flow =
            Flow { transport, listener: chosen.id, local, remote, connection: Some(connection) };
        self.later(2 * time, id, Happening::Opened { connection, flow, identities });
        let ends = [End { node: id, connection }, End { node: peer, connection: accepted }];
        let last = [self.now + 2 * time, self.now + time];
        self.wires.insert(wire, Wire { ends, transport, last, held: Vec::new() });
    }

    /// Who is at the other end, where the connection still stands.
    pub(super) fn peer(
        &self,
        id: NodeId,
        connection: ConnectionId,
    ) -> Option<(u64, usize, NodeId)> {
        let number = *self.nodes[id.0].connections.get(&connection)?;
        let wire = self.wires.get(&number)?;
        let there = wire
            .ends
            .iter()
            .position(|end| end.node == id && end.connection == connection)
            .map(|here| 1 - here)?;
        Some((number, there, wire.ends[there].node))
    }

    /// Sends bytes along a connection; false where it is gone.
    pub(super) fn stream(&mut self, id: NodeId, connection: ConnectionId, bytes: &[u8]) -> bool {
        let Some((number, there, peer)) = self.peer(id, connection) else { return false };
        if self.links.is_cut(id, peer) {
            if let Some(wire) = self.wires.get_mut(&number) {
                wire.held.push((there, bytes.to_vec()));
            }
            return true;
        }
        // A WebSocket connection carries whole messages; the others carry bytes, and where one
        // piece ends says nothing about where a message does.
        let whole = self
            .wires
            .get(&number)
            .is_none_or(|wire| matches!(wire.transport, Transport::Ws | Transport::Wss));
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = rest.len() as u64;
            let cut = if self.chop && !whole && self.rng.chance(600_000) {
                self.rng.between(1, most) as usize
            } else {
                rest.len()
            };
            let (piece, after) = rest.split_at(cut);
            rest = after;
            let time = self.now + self.links.stream_time(&mut self.rng, id, peer);
            let Some(wire) = self.wires.get_mut(&number) else { return false };
            wire.last[there] = wire.last[there].max(time);
            let (at, connection) = (wire.last[there], wire.ends[there].connection);
            let what = Happening::Stream { connection, bytes: piece.to_vec() };
            self.later(at - self.now, peer, what);
        }
        true
    }

    /// Ends a connection from one side; the other hears of it after what was sent before.
    pub(super) fn close(&mut self, id: NodeId, connection: ConnectionId, why: CloseReason) {
        let Some((number, there, peer)) = self.peer(id, connection) else { return };
        let time = self.now + self.links.stream_time(&mut self.rng, id, peer);
        self.nodes[id.0].connections.remove(&connection);
        let Some(wire) = self.wires.remove(&number) else { return };
        let end = wire.ends[there];
        self.nodes[end.node.0].connections.remove(&end.connection);
        let at = time.max(wire.last[there]) - self.now;
        self.later(at, end.node, Happening::Closed { connection: end.connection, why });
    }

    /// Breaks every connection of a node.
    pub(super) fn break_all(&mut self, id: NodeId) {
        let all: Vec<_> = self.nodes[id.0].connections.keys().copied().collect();
        for connection in all {
            self.close(id, connection, CloseReason::Reset);
        }
    }

    /// Breaks the connections between two nodes, for both of them.
    pub fn reset(&mut self, a: NodeId, b: NodeId) {
        let all: Vec<_> = self.nodes[a.0].connections.keys().copied().collect();
        for connection in all {
            if self.peer(a, connection).is_some_and(|(_, _, peer)| peer == b) {
                self.close(a, connection, CloseReason::Reset);
                let why = CloseReason::Reset;
                self.later(0, a, Happening::Closed { connection, why });
            }
        }
    }

    /// The links are whole again: what connections held back goes on its way.
    pub fn release(&mut self) {
        let numbers: Vec<_> = self.wires.keys().copied().collect();
        for number in numbers {
            let Some(wire) = self.wires.get_mut(&number) else { continue };
            let (held, ends) = (std::mem::take(&mut wire.held), wire.ends);
            for (there, bytes) in held {
                let from = ends[1 - there];
                self.stream(from.node, from.connection, &bytes);
            }
        }
    }
}
