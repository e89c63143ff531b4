//! Scripted user agents.
//!
//! An agent does by itself what RFC 3261 asks of any user agent's transaction layer, and nothing
//! more: it retransmits, absorbs retransmissions, acknowledges refusals, answers a challenge when
//! it has a password, and answers a CANCEL. What is left goes into its inbox, where the flow's
//! expectations look. Its transactions are its own, not those of `towel-core`: it is there to judge
//! them.

mod client;
mod compose;
mod digest;
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use towel_core::io::{
    CloseReason, ConnectionId, Flow, Input, Instant, Listener, Machine, Now, Outbox, Output,
    Transport,
};

pub use compose::{Made, Way};

use crate::flow::AgentSpec;
use crate::rng::SimRng;
use crate::text::Text;
use client::Client;
use server::Server;

/// Timer T1 of RFC 3261 section 17.1.1.1, in microseconds.
const T1: u64 = 500_000;
/// Timer T2 of RFC 3261 section 17.1.2.1.
const T2: u64 = 4_000_000;

/// Where to, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The transport.
    pub transport: Transport,
    /// The address.
    pub address: SocketAddr,
}

/// What kind of thing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request.
    Request,
    /// A response.
    Response,
    /// No final response came in time.
    Timeout,
    /// It could not be sent.
    Failure,
}

/// Something that came, or did not.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// When.
    pub at: u64,
    /// What it is.
    pub kind: Kind,
    /// The message; the request itself for a time-out.
    pub text: Text,
    /// The bytes of it.
    pub bytes: Vec<u8>,
    /// Where from.
    pub from: Option<Target>,
    /// The name of its transaction.
    pub name: Option<String>,
    /// Its place among the agent's transactions of that kind.
    transaction: Option<usize>,
    /// The dialog that it belongs to.
    dialog: Option<usize>,
}

/// A dialog (RFC 3261 section 12), as far as a script needs one.
#[derive(Clone, Debug)]
struct Dialog {
    call_id: String,
    local: String,
    remote: String,
    remote_tag: String,
    target: String,
    routes: Vec<String>,
    invite: u32,
}

struct Connection {
    target: Target,
    flow: Option<Flow>,
    waiting: Vec<Vec<u8>>,
    inward: Vec<u8>,
    ours: bool,
}

/// A scripted user agent.
pub struct Agent {
    spec: AgentSpec,
    via: Vec<Target>,
    listeners: Vec<Listener>,
    rng: SimRng,
    now: Now,
    clients: Vec<Client>,
    servers: Vec<Server>,
    dialogs: Vec<Dialog>,
    dialog: Option<usize>,
    connections: BTreeMap<ConnectionId, Connection>,
    opened: u64,
    cseq: u32,
    register_call: String,
    inbox: Vec<Arrived>,
}

impl Agent {
    /// An agent that sends to the first of `via` that speaks its transport, where a flow does not
    /// say otherwise.
    pub fn new(spec: AgentSpec, via: Vec<Target>, mut rng: SimRng) -> Agent {
        let register_call = format!("{}@{}", rng.token(12), spec.name);
        Agent {
            spec,
            via,
            listeners: Vec::new(),
            rng,
            now: Now::default(),
            clients: Vec::new(),
            servers: Vec::new(),
            dialogs: Vec::new(),
            dialog: None,
            connections: BTreeMap::new(),
            opened: 0,
            cseq: 0,
            register_call,
            inbox: Vec::new(),
        }
    }

    /// Tells it the time before it is made to do something.
    pub fn set_time(&mut self, now: Now) {
        self.now = now;
    }

    /// How it was declared.
    pub fn spec(&self) -> &AgentSpec {
        &self.spec
    }

    /// What came and was not taken yet.
    pub fn inbox(&self) -> &[Arrived] {
        &self.inbox
    }

    /// Takes something out of the inbox; what the flow does next is about this.
    pub fn take(&mut self, at: usize) -> Arrived {
        let arrived = self.inbox.remove(at);
        if arrived.dialog.is_some() {
            self.dialog = arrived.dialog;
        }
        arrived
    }

    /// Gives the transaction of a request that was taken a name.
    pub fn name(&mut self, arrived: &Arrived, name: &str) {
        if let (Kind::Request, Some(at)) = (arrived.kind, arrived.transaction) {
            self.servers[at].name = Some(name.into());
        }
    }

    /// Whether its transactions have all come to their end.
    pub fn is_idle(&self) -> bool {
        self.clients.iter().all(Client::is_over) && self.servers.iter().all(Server::is_over)
    }

    /// For each of its requests: the request, how many final responses came, and whether the agent
    /// has given up waiting. Retried requests count as one with the retry.
    pub fn callers(&self) -> impl Iterator<Item = (&Text, usize, bool)> {
        self.clients
            .iter()
            .filter(|c| !c.superseded && c.text.method() != "CANCEL")
            .map(|c| (&c.text, c.finals(), c.timed_out))
    }

    /// Responses that contradict an earlier final response: the request and the two codes.
    pub fn contradictions(&self) -> impl Iterator<Item = (&Text, u16, u16)> {
        self.clients.iter().filter_map(|c| c.contradicted.map(|(a, b)| (&c.text, a, b)))
    }

    /// The dialog that requests without a URI go into.
    pub fn dialog(&self) -> Option<usize> {
        self.dialog
    }

    /// The number of the last request that it numbered.
    pub fn last_cseq(&self) -> u32 {
        self.cseq
    }

    /// The Call-ID of the INVITE of that name that came to it, if it is one that begins a call.
    pub fn call_begun_by(&self, name: &str) -> Option<String> {
        let server = self.servers.iter().rfind(|s| s.name.as_deref() == Some(name))?;
        let begins = server.text.method() == "INVITE" && server.text.tag("To").is_none();
        server.text.first("Call-ID").filter(|_| begins).map(Into::into)
    }

    /// The first final response to its request of that name, its retry after a challenge included.
    pub fn final_of(&self, name: &str) -> Option<u16> {
        let client = self.clients.iter().rfind(|c| c.name.as_deref() == Some(name))?;
        client.answered
    }

    /// The requests that have no final response and are not given up: the name of each and its
    /// message.
    pub fn waiting(&self) -> impl Iterator<Item = (Option<&str>, &Text)> {
        let waits = |c: &&Client| !c.superseded && c.finals() == 0 && !c.timed_out;
        self.clients.iter().filter(waits).map(|c| (c.name.as_deref(), &c.text))
    }

    /// Turns to the dialog that a request of this name made, sent or received.
    pub fn turn(&mut self, name: &str) -> Result<(), String> {
        let sent = self.clients.iter().rfind(|one| one.name.as_deref() == Some(name));
        let came = self.servers.iter().rfind(|one| one.name.as_deref() == Some(name));
        let text = sent.map(|one| &one.text).or(came.map(|one| &one.text));
        let call = text.and_then(|text| text.first("Call-ID"));
        let call = call.ok_or_else(|| format!("{} knows nothing of {name}", self.spec.name))?;
        let found = self.dialogs.iter().rposition(|dialog| dialog.call_id == call);
        let found = found.ok_or_else(|| format!("{name} is in no dialog"))?;
        self.enter(found);
        Ok(())
    }

    /// Turns to a dialog.
    pub fn enter(&mut self, dialog: usize) {
        self.dialog = Some(dialog);
    }

    /// Where a request goes where nothing else is said.
    pub fn default_target(&self, over: Option<Transport>) -> Result<Target, String> {
        let transport = over.unwrap_or(self.spec.transport);
        let fits = |target: &&Target| {
            target.transport == transport && target.address.is_ipv4() == self.spec.address.is_ipv4()
        };
        self.via
            .iter()
            .find(fits)
            .copied()
            .ok_or_else(|| format!("{} knows nobody who speaks {transport}", self.spec.name))
    }

    /// Sends bytes, by a connection where the transport has them.
    fn transmit(&mut self, target: Target, bytes: &[u8], out: &mut Outbox) {
        if !target.transport.reliable() {
            let local = self.local(target.transport);
            let flow = Flow {
                transport: target.transport,
                listener: self.listener(target.transport),
                local,
                remote: target.address,
                connection: None,
            };
            out.transmit(flow, bytes);
            return;
        }
        let standing = self.connections.values_mut().find(|c| c.ours && c.target == target);
        if let Some(connection) = standing {
            match connection.flow {
                Some(flow) => out.transmit(flow, bytes),
                None => connection.waiting.push(bytes.to_vec()),
            }
            return;
        }
        let id = ConnectionId(ConnectionId::OPENED_BY_CORE | self.opened);
        self.opened += 1;
        let waiting = vec![bytes.to_vec()];
        let connection = Connection { target, flow: None, waiting, inward: Vec::new(), ours: true };
        self.connections.insert(id, connection);
        out.outputs.push(Output::Open {
            connection: id,
            transport: target.transport,
            listener: None,
            remote: target.address,
            server_name: None,
        });
    }

    /// Sends a response the way its request came.
    fn transmit_back(&mut self, flow: Flow, bytes: &[u8], out: &mut Outbox) {
        match flow.connection {
            Some(id) if !self.connections.contains_key(&id) => {
                // The connection is gone: RFC 3261 section 18.2.2 opens one to where it came from.
                let target = Target { transport: flow.transport, address: flow.remote };
                self.transmit(target, bytes, out);
            }
            _ => out.transmit(flow, bytes),
        }
    }

    fn local(&self, transport: Transport) -> SocketAddr {
        let own = self.listeners.iter().find(|l| l.transport == transport);
        own.map_or(self.spec.address, |listener| listener.local)
    }

    fn listener(&self, transport: Transport) -> towel_core::io::ListenerId {
        let own = self.listeners.iter().find(|l| l.transport == transport);
        own.map(|listener| listener.id).unwrap_or_default()
    }

    fn received(&mut self, flow: Flow, bytes: &[u8], out: &mut Outbox) {
        let Some(text) = Text::datagram(bytes) else { return };
        if text.is_request() {
            self.request(flow, text, bytes, out);
        } else {
            self.response(flow, text, bytes, out);
        }
    }

    fn stream(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Outbox) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.inward.extend_from_slice(bytes);
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            let skip = connection.inward.iter().take_while(|b| b"\r\n".contains(b)).count();
            connection.inward.drain(..skip);
            let Some((text, taken)) = Text::read(&connection.inward, true) else { return };
            let message: Vec<u8> = connection.inward.drain(..taken).collect();
            let Some(flow) = connection.flow else { return };
            if text.is_request() {
                self.request(flow, text, &message, out);
            } else {
                self.response(flow, text, &message, out);
            }
        }
    }

    fn opened(&mut self, id: ConnectionId, flow: Flow, out: &mut Outbox) {
        let target = Target { transport: flow.transport, address: flow.remote };
        let connection = self.connections.entry(id).or_insert(Connection {
            target,
            flow: None,
            waiting: Vec::new(),
            inward: Vec::new(),
            ours: false,
        });
        connection.flow = Some(flow);
        for bytes in std::mem::take(&mut connection.waiting) {
            out.transmit(flow, &bytes);
        }
    }

    fn closed(&mut self, id: ConnectionId, why: CloseReason) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if connection.flow.is_none() {
            self.unreachable(connection.target, why);
        }
    }
}

impl Machine for Agent {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        self.now = now;
        match input {
            Input::Listening(listener) => self.listeners.push(listener),
            Input::ListenerGone(id) => self.listeners.retain(|l| l.id != id),
            Input::Datagram { listener, remote, bytes } => {
                let own = self.listeners.iter().find(|l| l.id == listener);
                let Some(own) = own else { return };
                let flow = Flow {
                    transport: own.transport,
                    listener,
                    local: own.local,
                    remote,
                    connection: None,
                };
                self.received(flow, bytes, out);
            }
            Input::Opened { connection, flow, .. } => self.opened(connection, flow, out),
            Input::Stream { connection, bytes } => self.stream(connection, bytes, out),
            Input::Closed { connection, why } => self.closed(connection, why),
            Input::Tick => {
                self.tick_clients(out);
                self.tick_servers(out);
            }
            Input::Unreachable { .. }
            | Input::Backlog { .. }
            | Input::FromShard { .. }
            | Input::Resolved { .. }
            | Input::Stored { .. }
            | Input::Command(_) => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let clients = self.clients.iter().filter_map(Client::deadline);
        let servers = self.servers.iter().filter_map(Server::deadline);
        clients.chain(servers).min().map(Instant)
    }
}
