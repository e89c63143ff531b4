//! A stack beside others of the same server ([`crate::shards`]): what comes to the wrong one, and what
//! leaves by connections of another.

use std::net::SocketAddr;

use towel_message::{Message, Via};

use super::{Received, Stack, TransactionUser, no_names};
use crate::io::{CloseReason, ConnectionId, Flow, Now, Outbox, Output, Transport};
use crate::rng::Rng;
use crate::shards::{Errand, Place};
use crate::transaction::token::{SLOTS, Token};
use crate::transaction::{Client, Id};

/// From so many connections of others on it is looked which of them nobody waits for any more.
const LENT: usize = 1024;

/// What a shard may have of what the whole server may.
pub(super) fn share(
    settings: &crate::transaction::Settings,
    place: Place,
) -> crate::transaction::Settings {
    let of = usize::from(place.of);
    let max = settings.max.div_ceil(of).min(SLOTS);
    crate::transaction::Settings { max, crowded: settings.crowded.div_ceil(of), ..settings.clone() }
}

/// The first shard goes on where the keys that all have came from; the others have bits of their own.
pub(super) fn own_random(mut rng: Rng, place: Place) -> Rng {
    if place.shard == 0 {
        return rng;
    }
    let mut seed = [0; 32];
    for (at, chunk) in seed.chunks_exact_mut(8).enumerate() {
        let word = rng.next_u64() ^ if at == 0 { u64::from(place.shard) } else { 0 };
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    Rng::new(seed)
}

impl Stack {
    /// Which shard it is of.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Does what another shard has for this one.
    pub(super) fn errand<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        errand: Errand,
        bytes: &[u8],
    ) {
        match errand {
            Errand::Message { flow, tried } => {
                self.handed = Some(tried);
                self.read(now, out, user, flow, &no_names(), bytes);
                self.handed = None;
            }
            Errand::Send { connection, remote } => {
                // Whoever gave it is told of the end of a connection that was there a moment ago.
                let flow = self.connections.get(connection).map(|connection| connection.flow);
                if let Some(flow) = flow.filter(|flow| flow.remote == remote) {
                    out.transmit(flow, bytes);
                    self.touch(now, &flow);
                } else {
                    self.counters.transport_failures += 1;
                }
            }
            Errand::Closed { connection, why } => {
                let Some(waiters) = self.lent.remove(&connection) else { return };
                for &client in waiters.ids() {
                    if !self.waits_on(client, connection) {
                        continue;
                    }
                    if why == CloseReason::Peer {
                        self.hasten_client(now, client);
                    } else {
                        self.client_transport_failed(now, out, user, client);
                    }
                }
            }
            Errand::Registered { .. } => {}
        }
    }

    /// Hands over a response to a request that another shard has sent; says whether it is one.
    pub(super) fn is_of_another_shard(
        &self,
        out: &mut Outbox,
        flow: &Flow,
        message: Message<'_>,
        via: Via<'_>,
    ) -> bool {
        if !self.place.has_others() || self.handed.is_some() || message.is_request() {
            return false;
        }
        let shard = Token::shard_of(via.branch().unwrap_or_default());
        let Some(shard) = shard.filter(|shard| self.place.is_other(*shard)) else { return false };
        out.to_shard(shard, Errand::Message { flow: *flow, tried: 0 }, message.bytes());
        true
    }

    /// A CANCEL for nothing that is here may have come by another connection than its INVITE, and so to
    /// the wrong shard: each is asked in turn. Says whether there is another to ask.
    pub(super) fn asks_next_shard(&self, out: &mut Outbox, request: &Received<'_>) -> bool {
        let tried = self.handed.unwrap_or(0) + 1;
        if tried >= self.place.of {
            return false;
        }
        let next = (self.place.shard + 1) % self.place.of;
        let errand = Errand::Message { flow: request.flow, tried };
        out.to_shard(next, errand, request.message.bytes());
        true
    }

    /// A connection of ours is open, and may be sent on by others.
    pub(super) fn lend(&self, id: ConnectionId) {
        if let Some(directory) = &self.directory
            && let Some(connection) = self.connections.get(id)
        {
            directory.opened(id, connection.flow, connection.peer.clone());
        }
    }

    /// It may not any more; those who did are told.
    pub(super) fn lend_no_more(&self, out: &mut Outbox, id: ConnectionId, why: CloseReason) {
        let Some(directory) = &self.directory else { return };
        for shard in directory.closed(id) {
            out.to_shard(shard, Errand::Closed { connection: id, why }, b"");
        }
    }

    /// Lets a connection of ours be found by the port that its peer listens at (RFC 5923).
    pub(super) fn alias(&mut self, id: ConnectionId, port: u16) {
        let key = self.connections.alias(id, port);
        if let Some((directory, key)) = self.directory.as_ref().zip(key) {
            directory.alias(id, key);
        }
    }

    /// Whether a connection is another shard's, is open, and leads there.
    pub(super) fn is_lent(&self, id: ConnectionId, remote: SocketAddr) -> bool {
        if !self.place.is_other(id.shard()) {
            return false;
        }
        let watched = |directory: &std::sync::Arc<crate::shards::Directory>| {
            directory.watch(id, self.place.shard)
        };
        let found = self.directory.as_ref().and_then(watched);
        found.is_some_and(|flow| flow.remote == remote)
    }

    /// A connection of another shard to an address, that may be used for a request to `name`.
    pub(super) fn lent_to(
        &self,
        transport: Transport,
        remote: SocketAddr,
        name: Option<&str>,
    ) -> Option<Flow> {
        let directory = self.directory.as_ref().filter(|_| transport.reliable())?;
        let flow = directory.find(transport, remote, name)?;
        self.is_lent(flow.connection?, flow.remote).then_some(flow)
    }

    /// The ends of a connection of another shard.
    pub(super) fn flow_elsewhere(&self, id: ConnectionId) -> Option<Flow> {
        let directory = self.directory.as_ref().filter(|_| self.place.is_other(id.shard()))?;
        directory.flow(id)
    }

    /// Gives what leaves by connections of other shards to those shards, from the output `from` on.
    pub(crate) fn give_to_owners(&mut self, out: &mut Outbox, from: usize) {
        if !self.place.has_others() {
            return;
        }
        for output in out.outputs.iter_mut().skip(from) {
            let Output::Transmit { flow, bytes } = output else { continue };
            let Some(connection) = flow.connection else { continue };
            if self.place.is_other(connection.shard()) {
                *output = Output::ToShard {
                    shard: connection.shard(),
                    errand: Errand::Send { connection, remote: flow.remote },
                    bytes: bytes.clone(),
                };
            }
        }
        if self.lent.len() >= LENT {
            let clients = &self.clients;
            let live = |id: &Id<Client>| clients.get(*id).is_some();
            self.lent.retain(|_, waiters| waiters.ids().iter().any(live));
        }
    }
}
