//! Requests that went out in datagrams and were not answered, by where they went: an ICMP error is
//! for all of those to one address (RFC 3261 section 18.4), and whoever can forge such errors by the
//! thousand is not to have all transactions looked at for each.
//!
//! Lists of slots, one for each of a fixed number of hashes, linked through the transactions: to
//! come and to go costs the same however many there are, and allocates nothing.

use std::net::{IpAddr, SocketAddr};

use super::{ClientId, Stack};
use crate::hash::{Hasher, Key};
use crate::io::{ListenerId, Transport};
use crate::transaction::client::{Near, Work};

/// How many lists; a power of two.
const LISTS: usize = 4096;
const NONE: u32 = u32::MAX;

/// The heads of the lists.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    // None until something is sent.
    heads: Vec<u32>,
    /// How many transactions were looked at.
    pub(super) looked: u64,
}

impl Unanswered {
    /// Whether nothing waits for an answer.
    pub(super) fn is_empty(&self) -> bool {
        self.heads.iter().all(|head| *head == NONE)
    }
}

fn list_of(key: Key, listener: ListenerId, remote: SocketAddr) -> u32 {
    let mut hasher = Hasher::new(key);
    match remote.ip() {
        IpAddr::V4(ip) => hasher.bytes(&ip.octets()),
        IpAddr::V6(ip) => hasher.bytes(&ip.octets()),
    };
    let place = u32::from(remote.port()) << 16 | u32::from(listener.0);
    hasher.bytes(&place.to_le_bytes()).finish() as u32 & (LISTS as u32 - 1)
}

impl Stack {
    fn work_at(&mut self, slot: u32) -> Option<&mut Work> {
        let id = self.clients.at(slot)?;
        self.clients.get_mut(id)?.work.as_deref_mut()
    }

    /// A request leaves, in a datagram or not.
    pub(super) fn await_answer(&mut self, id: ClientId) {
        let flow = self.clients.get(id).and_then(|client| client.flow);
        let Some(flow) = flow.filter(|flow| flow.transport == Transport::Udp) else { return };
        if self.unanswered.heads.is_empty() {
            self.unanswered.heads.resize(LISTS, NONE);
        }
        self.await_no_answer(id);
        let list = list_of(self.match_key, flow.listener, flow.remote);
        let Some(head) = self.unanswered.heads.get_mut(list as usize) else { return };
        let next = std::mem::replace(head, id.slot);
        if let Some(work) = self.work_at(id.slot) {
            work.near = Some(Near { list, next, previous: NONE });
        }
        if let Some(Near { previous, .. }) = self.work_at(next).and_then(|work| work.near.as_mut())
        {
            *previous = id.slot;
        }
    }

    /// It was answered, or is over.
    pub(super) fn await_no_answer(&mut self, id: ClientId) {
        let near = self.clients.get_mut(id).and_then(|client| client.work.as_mut()?.near.take());
        let Some(Near { list, next, previous }) = near else { return };
        if let Some(after) = self.work_at(next).and_then(|work| work.near.as_mut()) {
            after.previous = previous;
        }
        if let Some(before) = self.work_at(previous).and_then(|work| work.near.as_mut()) {
            before.next = next;
        } else if let Some(head) = self.unanswered.heads.get_mut(list as usize) {
            *head = next;
        }
    }

    /// Those that went out by a listener to an address.
    pub(super) fn awaiting(&mut self, listener: ListenerId, remote: SocketAddr) -> Vec<ClientId> {
        let list = list_of(self.match_key, listener, remote);
        let mut found = Vec::new();
        let mut next = self.unanswered.heads.get(list as usize).copied();
        while let Some(id) = next.and_then(|slot| self.clients.at(slot)) {
            self.unanswered.looked += 1;
            let Some(client) = self.clients.get(id) else { break };
            let there =
                client.flow.is_some_and(|flow| (flow.listener, flow.remote) == (listener, remote));
            if there && client.machine.is_unanswered() {
                found.push(id);
            }
            next = client.work.as_ref().and_then(|work| work.near.as_ref()).map(|near| near.next);
        }
        found
    }
}
