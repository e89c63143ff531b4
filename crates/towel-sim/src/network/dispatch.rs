//! Inputs to the nodes, and what comes out of them.

use towel_core::io::{CloseReason, Flow, Input, Machine, Outbox, Output, StoreFault};

use super::queue::{Due, Happening};
use super::{Body, Came, Handled, Network, Node, NodeId, Sent};
use crate::ladder::Fate;

/// How long a stopped clock is given before it is asked again: a deadline that stays in the past
/// must not stop the others' time.
const STALE: u64 = 1_000;
/// How often in a row an element may want to be woken for a time that is past: a driver would do
/// nothing else but wake it.
const RESTLESS: u32 = 1_000;

impl<A: Machine> Network<A> {
    pub(super) fn later(&mut self, after: u64, node: NodeId, what: Happening) {
        let Node { life, asleep_until, .. } = self.nodes[node.0];
        let at = (self.now + after).max(asleep_until);
        self.queue.push(Due { at, node, life, what });
    }

    pub(super) fn happen(&mut self, due: Due) {
        let id = due.node;
        let node = &mut self.nodes[id.0];
        if !node.up || node.life != due.life {
            return;
        }
        match due.what {
            Happening::Tick => {
                if node.wake.is_some_and(|wake| wake <= due.at) {
                    node.wake = None;
                    if self.deadline(id).is_some_and(|at| at <= self.now) {
                        self.hand(id, Input::Tick);
                        let past = self.deadline(id).is_some_and(|at| at <= self.now);
                        let node = &mut self.nodes[id.0];
                        node.stale = if past { node.stale + 1 } else { 0 };
                        if node.stale > RESTLESS {
                            self.stuck = Some(format!(
                                "{} is woken for a time that is past, without end",
                                node.name
                            ));
                        }
                    } else {
                        self.schedule(id);
                    }
                }
            }
            Happening::Datagram { listener, remote, bytes } => {
                self.hand(id, Input::Datagram { listener, remote, bytes: &bytes });
            }
            Happening::Opened { connection, flow, identities } => {
                self.hand(id, Input::Opened { connection, flow, identities });
            }
            Happening::Stream { connection, .. } if node.closed.contains(&connection) => {}
            Happening::Stream { connection, bytes } => {
                self.hand(id, Input::Stream { connection, bytes: &bytes });
            }
            Happening::Closed { connection, why } => {
                self.hand(id, Input::Closed { connection, why });
            }
            Happening::Unreachable { listener, remote } => {
                self.hand(id, Input::Unreachable { listener, remote });
            }
            Happening::Resolved { query, answer } => {
                self.hand(id, Input::Resolved { query, answer });
            }
            Happening::Stored { ticket, record } => {
                let full = self.nodes[id.0].disk_full;
                if !full {
                    self.keep(id, record);
                }
                if let Some(ticket) = ticket {
                    let result = if full { Err(StoreFault::Full) } else { Ok(()) };
                    self.hand(id, Input::Stored { ticket, result });
                }
            }
        }
    }

    pub(super) fn hand(&mut self, id: NodeId, input: Input<'_>) {
        let now = self.now_at(id);
        let mut out = std::mem::take(&mut self.out);
        let watched = self.watched && matches!(self.nodes[id.0].body, Body::Element { .. });
        let came = watched.then(|| match &input {
            Input::Datagram { bytes, .. } => (Came::Datagram, bytes.to_vec()),
            Input::Stream { connection, bytes } => (Came::Stream(*connection), bytes.to_vec()),
            Input::Tick => (Came::Tick, Vec::new()),
            _ => (Came::Other, Vec::new()),
        });
        match &mut self.nodes[id.0].body {
            Body::Element { machine, .. } => machine.handle(now, input, &mut out),
            Body::Agent(agent) => agent.handle(now, input, &mut out),
        }
        let (outputs, sent) = (out.outputs.len(), self.trace.len());
        self.carry_out(id, &mut out);
        self.out = out;
        if let Some((came, bytes)) = came {
            let late = self.deadline(id).is_some_and(|at| at <= self.now);
            self.handled.push(Handled {
                at: self.now,
                node: id,
                life: self.nodes[id.0].life,
                came,
                bytes,
                sent: sent..self.trace.len(),
                outputs,
                late,
            });
        }
    }

    pub(super) fn carry_out(&mut self, id: NodeId, out: &mut Outbox) {
        for output in std::mem::take(&mut out.outputs) {
            match output {
                Output::Transmit { flow, bytes } => {
                    let bytes = out.arena.get(bytes).unwrap_or_default().to_vec();
                    self.transmit(id, flow, bytes);
                }
                Output::Open { connection, transport, listener, remote, server_name } => {
                    self.open(id, connection, transport, listener, remote, server_name);
                }
                Output::Close { connection } => {
                    self.nodes[id.0].closed.insert(connection);
                    self.close(id, connection, CloseReason::Peer);
                }
                Output::Resolve { query, question } => {
                    let (answer, after) = self.zone.answer(&question);
                    self.later(after, id, Happening::Resolved { query, answer });
                }
                Output::Store { ticket, record } => {
                    // One log, written in order: a record is never safe before an earlier one.
                    let (least, most) = self.store_delay;
                    let time = self.now + self.rng.between(least, most);
                    let at = time.max(self.nodes[id.0].stored_until);
                    self.nodes[id.0].stored_until = at;
                    self.later(at - self.now, id, Happening::Stored { ticket, record });
                }
                // Nothing waits in this network: what comes is handed over at once. Shards settle
                // among themselves what they have for each other (`shards::Several`).
                Output::Shed(_)
                | Output::PassOn { .. }
                | Output::ToShard { .. }
                | Output::Journal(_) => {}
                Output::Event(event) => self.tell(id, event),
            }
        }
        out.clear();
        self.schedule(id);
    }

    fn deadline(&self, id: NodeId) -> Option<u64> {
        match &self.nodes[id.0].body {
            Body::Element { machine, .. } => machine.deadline(),
            Body::Agent(agent) => agent.deadline(),
        }
        .map(|at| at.0)
    }

    fn schedule(&mut self, id: NodeId) {
        let node = &self.nodes[id.0];
        let Some(deadline) = self.deadline(id) else { return };
        let at = if deadline <= self.now { self.now + STALE } else { deadline };
        let at = at + node.behind;
        if node.wake.is_some_and(|wake| wake <= at && wake > self.now) {
            // An earlier tick will come and ask again.
            return;
        }
        self.nodes[id.0].wake = Some(at);
        self.later(at - self.now, id, Happening::Tick);
    }

    fn transmit(&mut self, id: NodeId, flow: Flow, bytes: Vec<u8>) {
        let (to, fate, copies) = match flow.connection {
            Some(connection) => {
                let peer = self.peer(id, connection).map(|(_, _, peer)| peer);
                let sent = self.stream(id, connection, &bytes);
                (peer, if sent { Fate::Arrived } else { Fate::Unreachable }, u8::from(sent))
            }
            None => self.datagram(id, flow, &bytes),
        };
        let by_element = matches!(self.nodes[id.0].body, Body::Element { .. });
        let to_name =
            to.map_or_else(|| flow.remote.to_string(), |to| self.nodes[to.0].name.clone());
        let to_column = self.ladder.column(&to_name);
        let from_column = self.ladder.column(&self.nodes[id.0].name);
        self.ladder.arrow(self.now, from_column, to_column, fate, &bytes);
        self.trace.push(Sent {
            at: self.now,
            from: id,
            to,
            remote: flow.remote,
            transport: flow.transport,
            bytes,
            fate,
            by_element,
            copies,
        });
    }

    fn datagram(&mut self, id: NodeId, flow: Flow, bytes: &[u8]) -> (Option<NodeId>, Fate, u8) {
        let Some((to, listener)) = self.find(flow.transport, flow.remote) else {
            let host = self.host(flow.remote.ip());
            // A host without that port says so; a host that is off, or none, says nothing.
            if let Some(host) = host.filter(|h| self.nodes[h.0].up && !self.links.is_cut(id, *h)) {
                let time = 2 * self.links.time(&mut self.rng, id, host);
                let remote = flow.remote;
                self.later(time, id, Happening::Unreachable { listener: flow.listener, remote });
            }
            return (host, Fate::Unreachable, 0);
        };
        if self.links.loses(&mut self.rng, id, to, bytes) {
            return (Some(to), Fate::Lost, 0);
        }
        let copies = if self.links.doubles(&mut self.rng, id, to) { 2 } else { 1 };
        for _ in 0..copies {
            let time = self.links.time(&mut self.rng, id, to);
            let what = Happening::Datagram { listener, remote: flow.local, bytes: bytes.to_vec() };
            self.later(time, to, what);
        }
        (Some(to), Fate::Arrived, copies)
    }
}
