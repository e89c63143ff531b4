//! The network: elements, one virtual clock, and links that do what a run asks of them.
//!
//! Everything that will happen stands in one queue, ordered by time and then by the order in which
//! it was put in; [`Network::step`] takes the next thing out, moves the clock there and lets the
//! element concerned handle it. All randomness comes from one seed, so a run can be repeated
//! exactly: nothing here asks the real world for anything.

mod dispatch;
mod link;
mod queue;
mod wire;
mod zone;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use towel_core::io::{
    Command, ConnectionId, Event, Input, Instant, Level, Listener, ListenerId, Machine, Now,
    Outbox, Record, Transport,
};

pub use link::{Links, NextLost, Which};
pub use zone::Zone;

use crate::ladder::{Fate, Ladder};
use crate::rng::SimRng;
use queue::{Happening, Queue};
use wire::Wire;

/// The wall clock at the beginning of every run: the first second of 2030.
pub const EPOCH: u64 = 1_893_456_000;

/// How many inputs one instant may bring before the run is called a loop without end.
const LIVELOCK: u32 = 50_000;

/// An element of the network, by its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// Makes an element, at the start and after each restart; the seed is another each time.
pub type Maker = Box<dyn FnMut(u64) -> Box<dyn Machine>>;

/// One element, or one scripted agent, and what the network keeps for it.
struct Node<A> {
    name: String,
    body: Body<A>,
    listeners: Vec<Listener>,
    names: Vec<String>,
    up: bool,
    /// Counts restarts: what was meant for an earlier life does not reach a later one.
    life: u32,
    /// Seconds by which its wall clock is ahead.
    skew: i64,
    store: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    connections: BTreeMap<ConnectionId, u64>,
    /// Those that it closed itself: what was under way to it is not read any more.
    closed: BTreeSet<ConnectionId>,
    accepted: u64,
    wake: Option<u64>,
    /// How often in a row it was woken and its deadline stayed in the past.
    stale: u32,
    stored_until: u64,
    asleep_until: u64,
    disk_full: bool,
    /// How late its timers are, in microseconds.
    behind: u64,
}

enum Body<A> {
    Element { machine: Box<dyn Machine>, maker: Maker },
    Agent(A),
}

/// A message, or a piece of a stream, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When, in microseconds.
    pub at: u64,
    /// By whom.
    pub from: NodeId,
    /// To whom, where anybody is there.
    pub to: Option<NodeId>,
    /// The address that it was sent to.
    pub remote: SocketAddr,
    /// The transport.
    pub transport: Transport,
    /// What.
    pub bytes: Vec<u8>,
    /// What became of it.
    pub fate: Fate,
    /// Whether one of our elements sent it (as opposed to a scripted agent).
    pub by_element: bool,
    /// How often it arrives: the network may double a datagram.
    pub copies: u8,
}

/// What an element was handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// A datagram.
    Datagram,
    /// Bytes of a stream.
    Stream(ConnectionId),
    /// The passing of time.
    Tick,
    /// Anything else: an answer of DNS, a record made safe, a connection that came or went.
    Other,
}

/// One input of an element, and what came of it.
#[derive(Clone, Debug)]
pub struct Handled {
    /// When, in microseconds.
    pub at: u64,
    /// Whose.
    pub node: NodeId,
    /// Which of its lives.
    pub life: u32,
    /// What it was handed.
    pub came: Came,
    /// The bytes of a datagram or a piece of a stream.
    pub bytes: Vec<u8>,
    /// What it sent for it, by place in the trace.
    pub sent: std::ops::Range<usize>,
    /// How many outputs there were in all.
    pub outputs: usize,
    /// Whether it asks to be called again for a time that is past.
    pub late: bool,
}

/// The network. `A` is what a scripted agent is.
pub struct Network<A> {
    now: u64,
    queue: Queue,
    rng: SimRng,
    nodes: Vec<Node<A>>,
    wires: BTreeMap<u64, Wire>,
    next_wire: u64,
    /// How the links behave.
    pub links: Links,
    /// What DNS knows.
    pub zone: Zone,
    /// How long a record takes to be safe, in microseconds: the least and the most.
    pub store_delay: (u64, u64),
    /// Whether streams are cut into arbitrary pieces.
    pub chop: bool,
    /// Whether it is kept what every element was handed.
    pub watched: bool,
    handled: Vec<Handled>,
    trace: Vec<Sent>,
    ladder: Ladder,
    events: Vec<(u64, NodeId, Event)>,
    out: Outbox,
    here: u32,
    stuck: Option<String>,
}

impl<A: Machine> Network<A> {
    /// An empty network whose every chance is told by `seed`.
    pub fn new(seed: u64) -> Self {
        Network {
            now: 0,
            queue: Queue::default(),
            rng: SimRng::new(seed),
            nodes: Vec::new(),
            wires: BTreeMap::new(),
            next_wire: 0,
            links: Links::default(),
            zone: Zone::default(),
            store_delay: (500, 3_000),
            chop: false,
            watched: false,
            handled: Vec::new(),
            trace: Vec::new(),
            ladder: Ladder::default(),
            events: Vec::new(),
            out: Outbox::new(),
            here: 0,
            stuck: None,
        }
    }

    /// Puts an element in. `names` are those that its certificate is valid for; where there are
    /// none, any name is. `records` are in its store from the beginning.
    pub fn add_element(
        &mut self,
        name: &str,
        listeners: Vec<Listener>,
        names: Vec<String>,
        records: Vec<Record>,
        mut maker: Maker,
    ) -> NodeId {
        let machine = maker(self.rng.next());
        self.add(name, listeners, names, records, Body::Element { machine, maker })
    }

    /// Puts a scripted agent in.
    pub fn add_agent(&mut self, name: &str, listeners: Vec<Listener>, agent: A) -> NodeId {
        self.add(name, listeners, Vec::new(), Vec::new(), Body::Agent(agent))
    }

    fn add(
        &mut self,
        name: &str,
        listeners: Vec<Listener>,
        names: Vec<String>,
        records: Vec<Record>,
        body: Body<A>,
    ) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node {
            name: name.into(),
            body,
            listeners,
            names,
            up: true,
            life: 0,
            skew: 0,
            store: BTreeMap::new(),
            connections: BTreeMap::new(),
            closed: BTreeSet::new(),
            accepted: 0,
            wake: None,
            stale: 0,
            stored_until: 0,
            asleep_until: 0,
            disk_full: false,
            behind: 0,
        });
        self.ladder.column(name);
        for record in records.clone() {
            self.keep(id, record);
        }
        self.wake_up(id, records);
        id
    }

    /// Tells a new machine of its listeners and of what its store held.
    fn wake_up(&mut self, id: NodeId, records: Vec<Record>) {
        for listener in self.nodes[id.0].listeners.clone() {
            self.hand(id, Input::Listening(listener));
        }
        if !records.is_empty() {
            self.hand(id, Input::Command(Command::Load(records)));
        }
    }

    /// The virtual time in microseconds since the beginning.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The time as that element is told it.
    pub fn now_at(&self, id: NodeId) -> Now {
        let unix = EPOCH + self.now / 1_000_000;
        Now { at: Instant(self.now), unix: unix.saturating_add_signed(self.nodes[id.0].skew) }
    }

    /// Everything that was sent so far.
    pub fn trace(&self) -> &[Sent] {
        &self.trace
    }

    /// What elements were handed since this was last asked; nothing where nobody watches.
    pub fn take_handled(&mut self) -> Vec<Handled> {
        std::mem::take(&mut self.handled)
    }

    /// When the next thing happens.
    pub fn next_due(&self) -> Option<u64> {
        self.queue.first()
    }

    /// How often the element was started anew.
    pub fn life(&self, id: NodeId) -> u32 {
        self.nodes[id.0].life
    }

    /// Whether the node is there.
    pub fn is_up(&self, id: NodeId) -> bool {
        self.nodes[id.0].up
    }

    /// The node does nothing for so long, as a process that its machine has put to sleep: what is
    /// for it waits, and comes all at once.
    pub fn stall(&mut self, id: NodeId, time: u64) {
        let until = (self.now + time).max(self.nodes[id.0].asleep_until);
        self.queue.hold_back(id, until);
        self.nodes[id.0].asleep_until = until;
    }

    /// From now on the store of an element takes nothing, or does so again.
    pub fn set_disk_full(&mut self, id: NodeId, full: bool) {
        self.nodes[id.0].disk_full = full;
    }

    /// From now on more comes to an element than it can do, or no more than that.
    pub fn set_overload(&mut self, id: NodeId, begins: bool) {
        // Four times what is allowed, in a buffer that is beyond its aim and does not run over.
        let (wait, fill) = if begins { (200, 45) } else { (0, 0) };
        let wait = std::time::Duration::from_millis(wait);
        self.hand(id, Input::Backlog { wait, fill });
    }

    /// From now on an element is so many microseconds behind with its work, or no more: what it reads has
    /// waited for that long, and so have its timers.
    pub fn set_behind(&mut self, id: NodeId, behind: u64) {
        self.nodes[id.0].behind = behind;
        if self.nodes[id.0].up {
            let wait = std::time::Duration::from_micros(behind);
            self.hand(id, Input::Backlog { wait, fill: 0 });
        }
    }

    /// The ladder so far.
    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// The events that elements told of, with time and teller.
    pub fn events(&self) -> &[(u64, NodeId, Event)] {
        &self.events
    }

    /// Why the run cannot go on, where it cannot.
    pub fn stuck(&self) -> Option<&str> {
        self.stuck.as_deref()
    }

    /// Puts a remark into the ladder.
    pub fn note(&mut self, at: Option<NodeId>, text: impl Into<String>) {
        let column = at.map(|id| self.ladder.column(&self.nodes[id.0].name));
        self.ladder.note(self.now, column, text);
    }

    /// In what order the ladder shows the nodes, from left to right. To be told before they are
    /// put in.
    pub fn order(&mut self, names: &[&str]) {
        for name in names {
            self.ladder.column(name);
        }
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|n| n.name == name).map(NodeId)
    }

    /// Its name.
    pub fn name(&self, id: NodeId) -> &str {
        &self.nodes[id.0].name
    }

    /// Its listeners.
    pub fn listeners(&self, id: NodeId) -> &[Listener] {
        &self.nodes[id.0].listeners
    }

    /// All nodes.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<A> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// The scripted agent there, if one is.
    pub fn agent(&mut self, id: NodeId) -> Option<&mut A> {
        match &mut self.nodes[id.0].body {
            Body::Agent(agent) => Some(agent),
            Body::Element { .. } => None,
        }
    }

    /// The element there, if one is.
    pub fn machine(&self, id: NodeId) -> Option<&dyn Machine> {
        match &self.nodes[id.0].body {
            Body::Agent(_) => None,
            Body::Element { machine, .. } => Some(machine.as_ref()),
        }
    }

    /// Lets a scripted agent do something, and carries out what it wants of the world.
    pub fn drive<R>(
        &mut self,
        id: NodeId,
        act: impl FnOnce(&mut A, Now, &mut Outbox) -> R,
    ) -> Option<R> {
        let now = self.now_at(id);
        let mut out = std::mem::take(&mut self.out);
        let result = self.agent(id).map(|agent| act(agent, now, &mut out));
        self.carry_out(id, &mut out);
        self.out = out;
        result
    }

    /// Gives an element a command.
    pub fn command(&mut self, id: NodeId, command: Command) {
        self.hand(id, Input::Command(command));
    }

    /// Lets the next thing happen that is due by `until`; false where there is none, and then the
    /// clock stands at `until`.
    pub fn step(&mut self, until: u64) -> bool {
        if self.stuck.is_some() {
            return false;
        }
        let Some(due) = self.queue.next(until) else {
            self.now = self.now.max(until);
            return false;
        };
        if due.at > self.now {
            self.here = 0;
        }
        self.here += 1;
        self.now = self.now.max(due.at);
        if self.here > LIVELOCK {
            let name = &self.nodes[due.node.0].name;
            self.stuck = Some(format!("{name} is busy without end at one instant"));
            return false;
        }
        self.happen(due);
        true
    }

    /// Runs until then.
    pub fn run_until(&mut self, until: u64) {
        while self.step(until) {}
    }

    /// Jumps the wall clock of a node by so many seconds; timers are not touched, as on a real
    /// machine.
    pub fn clock(&mut self, id: NodeId, by: i64) {
        self.nodes[id.0].skew += by;
    }

    /// Whether nobody has anything left to do: no message under way and every element drained.
    pub fn undrained(&self) -> Vec<String> {
        let full = |node: &&Node<A>| match &node.body {
            Body::Element { machine, .. } => node.up && !machine.is_drained(),
            Body::Agent(_) => false,
        };
        self.nodes.iter().filter(full).map(|node| node.name.clone()).collect()
    }

    /// Takes a node off the network: its connections break and what it held in memory is gone.
    pub fn stop(&mut self, id: NodeId) {
        self.break_all(id);
        let lost = self.queue.take_for(id);
        let writes: Vec<Record> = lost
            .into_iter()
            .filter_map(|what| match what {
                Happening::Stored { record, .. } => Some(record),
                _ => None,
            })
            .collect();
        // What was on its way to the disk is there up to a point that chance decides: an append
        // log keeps a beginning of what was written, never a later part without an earlier one.
        let kept = self.rng.below(writes.len() as u64 + 1) as usize;
        for record in writes.into_iter().take(kept) {
            self.keep(id, record);
        }
        let node = &mut self.nodes[id.0];
        node.up = false;
        node.life += 1;
        node.wake = None;
        node.asleep_until = 0;
        node.connections.clear();
        node.closed.clear();
    }

    /// Puts a stopped node back: an element begins anew with what its store kept.
    pub fn start(&mut self, id: NodeId) {
        let seed = self.rng.next();
        let node = &mut self.nodes[id.0];
        if node.up {
            return;
        }
        node.up = true;
        if let Body::Element { machine, maker } = &mut node.body {
            *machine = maker(seed);
        }
        let records = node
            .store
            .iter()
            .map(|((table, key), value)| Record {
                table: *table,
                key: key.clone(),
                value: Some(value.clone()),
            })
            .collect();
        self.wake_up(id, records);
    }

    /// A crash and an immediate start.
    pub fn restart(&mut self, id: NodeId) {
        let name = self.nodes[id.0].name.clone();
        self.note(Some(id), format!("{name} crashes and starts again"));
        self.stop(id);
        self.start(id);
    }

    fn keep(&mut self, id: NodeId, record: Record) {
        let store = &mut self.nodes[id.0].store;
        match record.value {
            Some(value) => store.insert((record.table, record.key), value),
            None => store.remove(&(record.table, record.key)),
        };
    }

    fn find(&self, transport: Transport, address: SocketAddr) -> Option<(NodeId, ListenerId)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.up).find_map(|(at, node)| {
            let fits = |l: &&Listener| l.transport == transport && l.local == address;
            node.listeners.iter().find(fits).map(|listener| (NodeId(at), listener.id))
        })
    }

    fn host(&self, ip: IpAddr) -> Option<NodeId> {
        self.nodes
            .iter()
            .position(|node| node.listeners.iter().any(|l| l.local.ip() == ip))
            .map(NodeId)
    }

    /// Records an event of an element; the grave ones stand in the ladder too.
    fn tell(&mut self, id: NodeId, event: Event) {
        if event.level >= Level::Error {
            self.note(Some(id), format!("{}: {}", event.kind, event.text));
        }
        self.events.push((self.now, id, event));
    }
}
