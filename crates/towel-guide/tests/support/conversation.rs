//! A whole server talked to by whoever chose these bytes: requests, answers to what it sent, streams,
//! lost connections, DNS and store that answer or do not, time that passes. Shared by path with `/fuzz`.
//!
//! What must hold whatever is said: nothing panics; what the server sends is a message, within a bound
//! for each thing that came in; and when everybody falls silent every table is empty.

#![allow(dead_code, unreachable_pub, reason = "each user takes what it needs")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use towel_core::auth::User;
use towel_core::auth::client::Session;
use towel_core::io::{
    CloseReason, Command, ConnectionId, Flow, Input, Instant, Listener, ListenerId, Machine, Now,
    Outbox, Output, StoreFault, Ticket, Transport,
};
use towel_core::locating::{Answer, QueryId, Records};
use towel_core::server::{Endpoint, Mode, Relay};
use towel_core::settings::Settings;
use towel_message::{Index, Limits, Message, Name, check};

const DOMAIN: &str = "example.com";
const UDP: ListenerId = ListenerId(0);
const TCP: ListenerId = ListenerId(1);
const SIX: ListenerId = ListenerId(2);
/// Who talks: on loopback addresses of documentation, one of them a phone.
const PEERS: [&str; 4] =
    ["198.51.100.1:5060", "198.51.100.2:5060", "198.51.100.3:40000", "[2001:db8::9]:5060"];

const METHODS: [&str; 12] = [
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "REGISTER",
    "MESSAGE",
    "SUBSCRIBE",
    "PRACK",
    "REFER",
    "NOTIFY",
    "BREW",
];
const URIS: [&str; 12] = [
    "sip:bob@example.com",
    "sip:example.com",
    "sip:alice@example.com",
    "sip:bob@198.51.100.2",
    "sip:192.0.2.1",
    "sip:x@elsewhere.example",
    "sips:bob@example.com",
    "tel:+15551234",
    "sip:bob@198.51.100.3:40000;transport=tcp",
    "sip:bob@[2001:db8::9]",
    "urn:service:sos",
    "sip:bob@example.com;maddr=198.51.100.2",
];
const LINES: [&str; 32] = [
    "Route: <sip:192.0.2.1;lr>",
    "Route: <sip:192.0.2.1;lr>, <sip:198.51.100.2;lr>",
    "Route: <sip:198.51.100.2>",
    "Record-Route: <sip:198.51.100.1;lr>",
    "Max-Forwards: 0",
    "Max-Forwards: 1",
    "Proxy-Require: foo",
    "Require: path",
    "Require: pref",
    "Supported: path, outbound, foo",
    "Path: <sip:198.51.100.2;lr>",
    "Contact: <sip:bob@198.51.100.2>;q=0.7",
    "Contact: <sip:bob@198.51.100.3:40000;transport=tcp>;expires=60",
    "Contact: <sip:bob@host.example>, <sip:bob@198.51.100.1>;expires=0",
    "Contact: *",
    "Contact: <sips:bob@198.51.100.2>;+sip.instance=\"<urn:uuid:0>\";reg-id=1;audio",
    "Expires: 0",
    "Expires: 7200",
    "Accept-Contact: *;audio;require;explicit",
    "Reject-Contact: *;video",
    "Request-Disposition: parallel, no-cancel, queue",
    "Reason: SIP;cause=200;text=\"elsewhere\", Q.850;cause=16",
    "P-Asserted-Identity: <sip:bob@example.com>, tel:+1",
    "P-Preferred-Identity: \"x\" <sip:bob@example.com>",
    "Privacy: id;critical",
    "Max-Breadth: 1",
    "Max-Breadth: 0",
    "Timestamp: 5.4",
    "Event: presence;id=1",
    "Content-Type: multipart/mixed;boundary=b",
    "Content-Disposition: session;handling=optional",
    "Proxy-Authorization: Digest realm=\"example.com\", nonce=\"\", username=\"bob\"",
];
const PIECES: [&str; 32] = [
    ";tag=",
    "\r\n ",
    "\r\n",
    "<",
    ">",
    "\"",
    "\\",
    "%00",
    ";;",
    ",",
    "sip:",
    "[::1]",
    "SIP/2.0/UDP ",
    "z9hG4bK",
    "99999999999",
    "-1",
    "\0",
    ";lr",
    ";received=[",
    ";rport=x",
    ";maddr=224.0.0.1",
    "=",
    "@",
    "?Route=%3C",
    "Via: ",
    "l: 5\r\n",
    "Content-Length: 9999\r\n",
    "\u{fffd}",
    "*",
    ";expires=",
    ";q=0.",
    ";transport=ws",
];
const STATUSES: [u16; 16] =
    [100, 180, 183, 200, 202, 300, 302, 401, 404, 407, 408, 480, 486, 487, 503, 603];
const PAUSES: [u64; 8] = [1, 200, 500, 4_000, 32_000, 64_000, 200_000, 4_000_000];

/// A message that the server sent.
struct Heard {
    flow: Flow,
    bytes: Vec<u8>,
}

struct World<'b> {
    machine: Endpoint,
    now: Now,
    out: Outbox,
    bytes: std::slice::Iter<'b, u8>,
    heard: VecDeque<Heard>,
    queries: VecDeque<QueryId>,
    tickets: VecDeque<Ticket>,
    opening: VecDeque<(ConnectionId, Flow)>,
    open: VecDeque<(ConnectionId, Flow)>,
    accepted: u64,
    last: Option<(usize, Vec<u8>)>,
}

fn peer(at: usize) -> SocketAddr {
    PEERS[at % PEERS.len()].parse().expect("an address")
}

/// Holds that conversation, and sees that it comes to an end.
pub fn conversation(bytes: &[u8]) {
    let mut bytes = bytes.iter();
    let kind = bytes.next().copied().unwrap_or_default();
    let mut machine = Endpoint::new(settings(kind), towel_guide::server(), [kind; 32]);
    for name in ["alice", "bob"] {
        machine.server_mut().users_mut().insert(User::new(name, DOMAIN, "secret"));
    }
    let mut world = World {
        machine,
        now: Now { at: Instant(1_000_000), unix: 1_800_000_000 },
        out: Outbox::new(),
        bytes,
        heard: VecDeque::new(),
        queries: VecDeque::new(),
        tickets: VecDeque::new(),
        opening: VecDeque::new(),
        open: VecDeque::new(),
        accepted: 0,
        last: None,
    };
    for (id, transport, local) in [
        (UDP, Transport::Udp, "192.0.2.1:5060"),
        (TCP, Transport::Tcp, "192.0.2.1:5060"),
        (SIX, Transport::Udp, "[2001:db8::1]:5060"),
    ] {
        let local = local.parse().expect("an address");
        world.give(Input::Listening(Listener { id, transport, local, advertised: None }));
    }
    for _ in 0..300 {
        if !world.step() {
            break;
        }
    }
    world.fall_silent();
}

fn settings(kind: u8) -> Settings {
    let mut settings = Settings::default();
    settings.server.domains = vec![DOMAIN.to_owned()];
    settings.server.mode = match kind % 8 {
        6 => Mode::Stateless,
        7 => Mode::Redirect,
        _ => Mode::Stateful,
    };
    settings.server.relay = if kind & 8 == 0 { Relay::Anybody } else { Relay::Users };
    settings.server.authenticate = kind & 16 != 0;
    settings.server.authenticate_register = kind & 32 != 0;
    settings.server.known_users_only = kind & 64 != 0;
    settings.proxy.recurse = kind & 128 != 0;
    // Small enough to be reached.
    settings.transaction.max = 24;
    settings.transport.max_connections = 6;
    settings.transport.limits = Limits { max_message: 4096, max_body: 2048, ..Limits::default() };
    settings
}

impl World<'_> {
    fn byte(&mut self) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or_default())
    }

    fn pick<'t, T: ?Sized>(&mut self, among: &[&'t T]) -> &'t T {
        among[self.byte() % among.len()]
    }

    /// One thing happens; false when there is nothing left to say.
    fn step(&mut self) -> bool {
        if self.bytes.len() == 0 {
            return false;
        }
        match self.byte() % 20 {
            0..=5 => {
                let message = self.request();
                self.say(message);
            }
            6..=9 => self.answer(),
            10 => {
                // What it sent comes back to it.
                let at = self.byte();
                if let Some(heard) = self.heard.get(at % self.heard.len().max(1)) {
                    let bytes = heard.bytes.clone();
                    let bytes = self.mutated(bytes);
                    self.say(bytes);
                }
            }
            11 => {
                if let Some((whence, bytes)) = self.last.clone() {
                    self.deliver(whence, bytes);
                }
            }
            12 | 13 => {
                let pause = PAUSES[self.byte() % PAUSES.len()];
                self.pass(pause * 1000);
            }
            14 => self.resolve(),
            15 => {
                let fails = self.byte().is_multiple_of(4);
                if let Some(ticket) = self.tickets.pop_front() {
                    let result = if fails { Err(StoreFault::Full) } else { Ok(()) };
                    self.give(Input::Stored { ticket, result });
                }
            }
            16 => self.connections(),
            17 => {
                let (listener, remote) = (UDP, peer(self.byte()));
                self.give(Input::Unreachable { listener, remote });
            }
            18 => {
                let length = self.byte() * 2;
                let raw: Vec<u8> = self.bytes.by_ref().take(length).copied().collect();
                self.say(raw);
            }
            _ => {
                let kind = self.byte();
                let command = match kind % 4 {
                    0 => Command::Drain,
                    _ => Command::Reload(Box::new(settings(kind as u8))),
                };
                self.give(Input::Command(command));
            }
        }
        true
    }

    fn request(&mut self) -> Vec<u8> {
        let (method, uri) = (self.pick(&METHODS), self.pick(&URIS));
        let (ids, more) = (self.byte(), self.byte());
        let from = ["sip:alice@example.com", "sip:x@elsewhere.example", "sip:bob@example.com", "a"]
            [ids >> 6 & 3];
        let to_tag = match self.byte() {
            0..=127 => String::new(),
            128..=200 => ";tag=t".to_owned(),
            at => self.heard_value(at, Name::To).map_or_else(String::new, |to| {
                to.find(";tag=").map_or(String::new(), |tag| to[tag..].to_owned())
            }),
        };
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={}{}\r\nFrom: <{from}>;tag=f{}\r\n\
             To: <{uri}>{to_tag}\r\nCall-ID: c{}\r\nCSeq: {} {method}\r\n",
            PEERS[ids & 3],
            if ids & 4 == 0 { "z9hG4bK" } else { "old" },
            ids >> 3 & 3,
            ids & 1,
            ids >> 3 & 1,
            1 + (ids >> 5 & 1),
        );
        for _ in 0..more % 4 {
            text += self.pick(&LINES);
            text += "\r\n";
        }
        if more & 4 != 0 {
            // The way that its dialog goes.
            let at = self.byte();
            if let Some(route) = self.heard_value(at, Name::RecordRoute) {
                text += &format!("Route: {route}\r\n");
            }
        }
        if more & 8 != 0
            && let Some(line) = self.credentials(method, uri)
        {
            text += &line;
        }
        let body: &[u8] = match more >> 4 & 3 {
            1 => b"v=0\r\n",
            2 => b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\n\r\n\0--b--",
            _ => b"",
        };
        text += &format!("Content-Length: {}\r\n\r\n", body.len());
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        if more & 64 != 0 { self.mutated(bytes) } else { bytes }
    }

    fn heard_value(&self, at: usize, name: Name) -> Option<String> {
        let heard = self.heard.get(at % self.heard.len().max(1))?;
        let mut index = Index::new();
        let message = Message::parse(&heard.bytes, &mut index, &Limits::default()).ok()?;
        message.value(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The answer to the last challenge, right or wrong.
    fn credentials(&mut self, method: &str, uri: &str) -> Option<String> {
        let (at, who) = (self.byte(), self.byte());
        let (name, value) = [Name::WwwAuthenticate, Name::ProxyAuthenticate]
            .into_iter()
            .find_map(|name| Some((name, self.heard_value(at, name)?)))?;
        let user = ["alice", "bob", "zaphod"][who % 3];
        let password = if who & 8 == 0 { "secret" } else { "guess" };
        let mut session = Session::new(value.as_bytes(), user, password)?;
        let answer = session.answer(method.as_bytes(), uri.as_bytes(), b"", "c");
        let field = match name {
            Name::WwwAuthenticate => "Authorization",
            _ => "Proxy-Authorization",
        };
        Some(format!("{field}: {}\r\n", String::from_utf8_lossy(&answer)))
    }

    /// Somebody answers a request of the server's.
    fn answer(&mut self) {
        let at = self.byte();
        let status = STATUSES[self.byte() % STATUSES.len()];
        let how = self.byte();
        let Some(heard) = self.heard.get(at % self.heard.len().max(1)) else { return };
        let (flow, bytes) = (heard.flow, heard.bytes.clone());
        let mut index = Index::new();
        let Ok(request) = Message::parse(&bytes, &mut index, &Limits::default()) else { return };
        if !request.is_request() {
            return;
        }
        let mut text = format!("SIP/2.0 {status} Reason\r\n").into_bytes();
        for field in request.all() {
            let copied =
                [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq, Name::RecordRoute];
            if field.name.is_some_and(|name| copied.contains(&name)) {
                text.extend_from_slice(field.name_bytes);
                text.extend_from_slice(b": ");
                text.extend_from_slice(field.value);
                if field.name == Some(Name::To) && request.to_tag().is_none() && how & 1 == 0 {
                    text.extend_from_slice(if how & 2 == 0 { b";tag=t" } else { b";tag=u" });
                }
                text.extend_from_slice(b"\r\n");
            }
        }
        if how & 4 != 0 {
            text.extend_from_slice(self.pick(&LINES).as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(match how >> 3 & 3 {
            0 => b"Retry-After: 5\r\nContent-Length: 0\r\n\r\n",
            1 => b"WWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\nContent-Length: 0\r\n\r\n",
            _ => b"Content-Length: 0\r\n\r\n",
        });
        let text = if how & 32 != 0 { self.mutated(text) } else { text };
        match flow.connection {
            Some(connection) => self.give(Input::Stream { connection, bytes: &text }),
            None => {
                let (listener, remote) = (flow.listener, flow.remote);
                self.give(Input::Datagram { listener, remote, bytes: &text });
            }
        }
    }

    fn mutated(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..1 + self.byte() % 4 {
            let at = (self.byte() << 8 | self.byte()) % (bytes.len() + 1);
            let length = self.byte();
            match length % 6 {
                0 => {
                    let end = (at + length / 6).min(bytes.len());
                    bytes.drain(at..end);
                }
                1 | 2 => {
                    let piece = self.pick(&PIECES);
                    bytes.splice(at..at, piece.bytes());
                }
                3 => {
                    let byte = self.byte() as u8;
                    if let Some(place) = bytes.get_mut(at) {
                        *place = byte;
                    }
                }
                4 => {
                    // A line again.
                    let line = bytes.split_inclusive(|b| *b == b'\n').nth(length / 6);
                    let line = line.unwrap_or_default().to_vec();
                    bytes.splice(at..at, line);
                }
                _ if length > 250 => bytes.truncate(at),
                _ => {
                    // A line less.
                    let lines = bytes.split_inclusive(|b| *b == b'\n');
                    let kept: Vec<&[u8]> = lines
                        .enumerate()
                        .filter(|(at, _)| *at != length / 6)
                        .map(|(_, l)| l)
                        .collect();
                    bytes = kept.concat();
                }
            }
            if bytes.len() > 8192 {
                bytes.truncate(8192);
            }
        }
        bytes
    }

    fn say(&mut self, bytes: Vec<u8>) {
        let whence = self.byte();
        self.deliver(whence, bytes.clone());
        self.last = Some((whence, bytes));
    }

    fn deliver(&mut self, whence: usize, bytes: Vec<u8>) {
        let remote = peer(whence);
        if whence & 4 == 0 {
            let listener = if remote.is_ipv4() { UDP } else { SIX };
            return self.give(Input::Datagram { listener, remote, bytes: &bytes });
        }
        let at = whence >> 3;
        let connection = match self.open.get(at % self.open.len().max(1)) {
            Some((connection, _)) if at & 4 == 0 => *connection,
            _ => {
                self.accepted += 1;
                let connection = ConnectionId(self.accepted);
                let flow = Flow {
                    transport: Transport::Tcp,
                    listener: TCP,
                    local: "192.0.2.1:5060".parse().expect("an address"),
                    remote: peer(whence % 3),
                    connection: Some(connection),
                };
                self.open.push_back((connection, flow));
                self.give(Input::Opened { connection, flow, identities: Vec::new() });
                connection
            }
        };
        // In two pieces.
        let cut = if at & 8 == 0 { bytes.len() } else { bytes.len() * (whence & 63) / 64 };
        let (one, two) = bytes.split_at(cut);
        for bytes in [one, two] {
            if self.open.iter().any(|(open, _)| *open == connection) {
                self.give(Input::Stream { connection, bytes });
            }
        }
    }

    fn resolve(&mut self) {
        let how = self.byte();
        let Some(query) = self.queries.pop_front() else { return };
        let answer = match how % 4 {
            0 => Answer::failure(),
            1 => Answer::nothing(30),
            2 => Answer::records(
                Records::A(vec![[198, 51, 100, 2].into(), [198, 51, 100, 3].into()]),
                60,
            ),
            _ => Answer::records(Records::Srv(Vec::new()), 1),
        };
        self.give(Input::Resolved { query, answer });
    }

    fn connections(&mut self) {
        let how = self.byte();
        let why = [CloseReason::Peer, CloseReason::Reset, CloseReason::Slow, CloseReason::Refused]
            [how >> 2 & 3];
        match (how & 3, self.opening.pop_front()) {
            (0 | 1, Some((connection, flow))) => {
                self.open.push_back((connection, flow));
                self.give(Input::Opened { connection, flow, identities: Vec::new() });
            }
            (_, Some((connection, _))) => self.give(Input::Closed { connection, why }),
            (_, None) => {
                if let Some((connection, _)) = self.open.pop_front() {
                    self.give(Input::Closed { connection, why });
                }
            }
        }
    }

    fn pass(&mut self, micros: u64) {
        let until = self.now.at + Duration::from_micros(micros);
        let start = self.now;
        for _ in 0..2_000 {
            let Some(next) = self.machine.deadline().filter(|next| *next <= until) else { break };
            self.turn(start, next.max(self.now.at));
            self.give(Input::Tick);
        }
        self.turn(start, until.max(self.now.at));
        self.give(Input::Tick);
    }

    fn turn(&mut self, start: Now, to: Instant) {
        self.now = Now { at: to, unix: start.unix + to.since(start.at).as_secs() };
    }

    fn give(&mut self, input: Input<'_>) {
        // A name that is not found or a connection that breaks may be waited for by any number.
        let message = matches!(input, Input::Datagram { .. } | Input::Stream { .. });
        self.machine.handle(self.now, input, &mut self.out);
        let outputs = std::mem::take(&mut self.out.outputs);
        let arena = std::mem::take(&mut self.out.arena);
        // One message makes a handful: a fork to all contacts with what CANCELs them, at most.
        let sent =
            outputs.iter().filter(|output| matches!(output, Output::Transmit { .. })).count();
        assert!(!message || sent <= 64, "{sent} messages at once");
        for output in outputs {
            match output {
                Output::Transmit { flow, bytes } => self.hear(flow, arena[bytes].to_vec()),
                Output::Open { connection, transport, remote, listener, .. } => {
                    let flow = Flow {
                        transport,
                        listener: listener.unwrap_or(TCP),
                        local: "192.0.2.1:40000".parse().expect("an address"),
                        remote,
                        connection: Some(connection),
                    };
                    self.opening.push_back((connection, flow));
                }
                Output::Close { connection } => {
                    self.open.retain(|(open, _)| *open != connection);
                    self.opening.retain(|(open, _)| *open != connection);
                }
                Output::Resolve { query, .. } => self.queries.push_back(query),
                Output::Store { ticket, .. } => self.tickets.extend(ticket),
                Output::Event(_)
                | Output::Shed(_)
                | Output::PassOn { .. }
                | Output::ToShard { .. }
                | Output::Journal(_) => {}
            }
        }
        self.out.arena = arena;
        self.out.clear();
    }

    fn hear(&mut self, flow: Flow, bytes: Vec<u8>) {
        if bytes == b"\r\n" || bytes.first().is_some_and(|byte| *byte < 4) {
            return;
        }
        let mut index = Index::new();
        let message = Message::parse(&bytes, &mut index, &Limits::default());
        let message =
            message.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&bytes)));
        // A response to what was malformed repeats it; a request is passed on only if it is sound.
        if message.is_request() {
            let sound = check(&message);
            assert!(sound.is_ok(), "{sound:?}: {}", String::from_utf8_lossy(&bytes));
        } else {
            let fault = message.index_fault();
            assert!(fault.is_none(), "{fault:?}: {}", String::from_utf8_lossy(&bytes));
        }
        assert_eq!(message.bytes().len(), bytes.len(), "what follows the message");
        self.heard.push_back(Heard { flow, bytes });
        if self.heard.len() > 16 {
            self.heard.pop_front();
        }
    }

    /// Nobody says anything any more: DNS and store end what they were asked, connections break, and
    /// time passes until nothing is left.
    fn fall_silent(&mut self) {
        let end = self.now.at + Duration::from_secs(4 * 3600);
        for _ in 0..100_000 {
            if let Some(query) = self.queries.pop_front() {
                self.give(Input::Resolved { query, answer: Answer::failure() });
            } else if let Some(ticket) = self.tickets.pop_front() {
                self.give(Input::Stored { ticket, result: Ok(()) });
            } else if let Some((connection, _)) = self.opening.pop_front() {
                self.give(Input::Closed { connection, why: CloseReason::Refused });
            } else if let Some((connection, _)) = self.open.pop_front() {
                self.give(Input::Closed { connection, why: CloseReason::Peer });
            } else if self.machine.is_drained() {
                let sizes = self.machine.stack().sizes();
                assert_eq!((sizes, self.machine.server().contexts()), ((0, 0, 0), 0));
                return;
            } else {
                let next = self.machine.deadline().expect("something is left that nothing ends");
                assert!(next <= end, "something is left after hours");
                let start = self.now;
                self.turn(start, next.max(start.at));
                self.give(Input::Tick);
            }
        }
        panic!("no end of it: {:?}", self.machine.stack().sizes());
    }
}
