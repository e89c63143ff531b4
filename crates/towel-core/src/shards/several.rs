//! The shards of a server as one machine: for the simulator and for tests, where one thread plays
//! them all.
//!
//! Datagrams and connections are dealt out by a hash of where they come from, as the kernel does,
//! and by nothing else: the filter that leads responses to their shards spares a hand-over and is not
//! needed. What shards have for each other is done at once or a little later, by chance.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::Errand;
use crate::auth::credentials;
use crate::contract::Registry;
use crate::hash::{Hasher, Key};
use crate::io::{
    Command, ConnectionId, Flow, Input, Instant, Machine, Now, Outbox, Output, QueryId, Record,
};
use crate::rng::Rng;
use crate::server::Endpoint;
use crate::settings::Settings;

/// Some shards, driven as one.
#[derive(Debug)]
pub struct Several {
    shards: Vec<Endpoint>,
    /// Errands that wait, and the shard that each is for.
    waiting: VecDeque<(u8, Errand, Vec<u8>)>,
    /// The shards of the connections that were accepted, by the world's numbers for them.
    accepted: HashMap<ConnectionId, u8>,
    key: Key,
    chance: Rng,
    /// How many errands there were.
    errands: u64,
}

impl Several {
    /// A server of as many shards as there are registries.
    pub fn new(
        settings: &Settings,
        registries: impl IntoIterator<Item = Registry>,
        seed: [u8; 32],
    ) -> Several {
        let mut chance = Rng::new(seed.map(|byte| byte ^ 0x5a));
        Several {
            shards: Endpoint::shards(settings, registries, seed),
            waiting: VecDeque::new(),
            accepted: HashMap::new(),
            key: chance.key(),
            chance,
            errands: 0,
        }
    }

    /// The shards.
    pub fn shards(&self) -> &[Endpoint] {
        &self.shards
    }

    /// The shards, to change.
    pub fn shards_mut(&mut self) -> &mut [Endpoint] {
        &mut self.shards
    }

    /// How many errands they have given each other.
    pub fn errands(&self) -> u64 {
        self.errands
    }

    /// The shard that the kernel would choose for what comes from there.
    pub fn dealt(&self, remote: SocketAddr) -> u8 {
        let text = remote.to_string();
        let hash = Hasher::new(self.key).bytes(text.as_bytes()).finish();
        (hash % self.shards.len().max(1) as u64) as u8
    }

    /// The number that a shard knows a connection by.
    fn inner(&self, connection: ConnectionId) -> ConnectionId {
        match self.accepted.get(&connection) {
            Some(shard) if !connection.is_ours() => {
                ConnectionId(ConnectionId::first_of(*shard).0 | connection.0)
            }
            _ => connection,
        }
    }

    fn tell(&mut self, now: Now, shard: u8, input: Input<'_>, out: &mut Outbox) {
        let Some(machine) = self.shards.get_mut(usize::from(shard)) else { return };
        let from = out.outputs.len();
        machine.handle(now, input, out);
        let count = self.shards.len() as u64;
        let wanted = out.outputs.split_off(from);
        for output in wanted {
            match output {
                Output::ToShard { shard, errand, bytes } => {
                    self.errands += 1;
                    self.waiting.push_back((shard, errand, out.bytes(&bytes).to_vec()));
                }
                Output::Journal(journal) => journal.submit(|ticket, record| {
                    out.outputs.push(Output::Store { ticket, record });
                }),
                Output::Transmit { flow, bytes } => {
                    out.outputs.push(Output::Transmit { flow: outer_flow(flow), bytes });
                }
                Output::Close { connection } => {
                    out.outputs.push(Output::Close { connection: outer(connection) });
                }
                Output::Resolve { query, question } => {
                    let query = QueryId(query.0 * count + u64::from(shard));
                    out.outputs.push(Output::Resolve { query, question });
                }
                other => out.outputs.push(other),
            }
        }
    }

    fn tell_all(&mut self, now: Now, input: &Input<'_>, out: &mut Outbox) {
        for shard in 0..self.shards.len() as u8 {
            self.tell(now, shard, input.clone(), out);
        }
    }

    /// Does what waits, as much of it as chance will have.
    fn run_errands(&mut self, now: Now, out: &mut Outbox) {
        while let Some((shard, errand, bytes)) = self.waiting.pop_front() {
            self.tell(now, shard, Input::FromShard { errand, bytes: &bytes }, out);
            if self.chance.below(2) == 0 {
                return;
            }
        }
    }
}

/// The number that the world knows a connection by.
fn outer(connection: ConnectionId) -> ConnectionId {
    if connection.is_ours() {
        return connection;
    }
    ConnectionId(connection.0 & (ConnectionId::first_of(1).0 - 1))
}

fn outer_flow(flow: Flow) -> Flow {
    Flow { connection: flow.connection.map(outer), ..flow }
}

impl Machine for Several {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        let count = self.shards.len().max(1) as u64;
        match input {
            Input::Datagram { remote, .. } => self.tell(now, self.dealt(remote), input, out),
            Input::Opened { connection, flow, identities } => {
                if !connection.is_ours() {
                    self.accepted.insert(connection, self.dealt(flow.remote));
                }
                let connection = self.inner(connection);
                let flow = Flow { connection: Some(connection), ..flow };
                let opened = Input::Opened { connection, flow, identities };
                self.tell(now, connection.shard(), opened, out);
            }
            Input::Stream { connection, bytes } => {
                let connection = self.inner(connection);
                self.tell(now, connection.shard(), Input::Stream { connection, bytes }, out);
            }
            Input::Closed { connection, why } => {
                let inner = self.inner(connection);
                self.accepted.remove(&connection);
                self.tell(now, inner.shard(), Input::Closed { connection: inner, why }, out);
            }
            Input::Resolved { query, answer } => {
                let shard = (query.0 % count) as u8;
                let query = QueryId(query.0 / count);
                self.tell(now, shard, Input::Resolved { query, answer }, out);
            }
            Input::Stored { ticket, .. } => self.tell(now, ticket.shard(), input, out),
            // What all share is loaded once, what each has by itself into each.
            Input::Command(Command::Load(records)) => {
                let of_users = |record: &Record| record.table == credentials::TABLE;
                let (users, rest): (Vec<_>, Vec<_>) = records.into_iter().partition(of_users);
                self.tell_all(now, &Input::Command(Command::Load(users)), out);
                self.tell(now, 0, Input::Command(Command::Load(rest)), out);
            }
            Input::FromShard { .. } => {}
            Input::Listening(_)
            | Input::ListenerGone(_)
            | Input::Unreachable { .. }
            | Input::Backlog { .. }
            | Input::Tick
            | Input::Command(_) => self.tell_all(now, &input, out),
        }
        let late = self.chance.below(4) == 0;
        if !late {
            self.run_errands(now, out);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if !self.waiting.is_empty() {
            return Some(Instant(0));
        }
        self.shards.iter().filter_map(Endpoint::deadline).min()
    }

    fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.shards.iter().all(Endpoint::is_drained)
    }

    fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.shards.iter().all(Endpoint::is_quiet)
    }

    fn flow_of(&self, connection: ConnectionId) -> Option<Flow> {
        let inner = self.inner(connection);
        let shard = self.shards.get(usize::from(inner.shard()))?;
        shard.flow_of(inner).map(outer_flow)
    }
}
