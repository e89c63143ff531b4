//! The stack in virtual time, with a user that notes what it is told.

mod answering;
mod client;
mod drain;
mod feedback;
mod handed_over;
mod listeners;
mod locating;
mod overload;
mod server;
mod transport;

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::io::{CloseReason, Level, ListenerId, Output};

/// Notes what it is told, and answers as it was asked to.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) told: Vec<String>,
    /// The status to answer each request with at once.
    pub(super) answer: Option<u16>,
    /// Make a transaction for each request and leave it open.
    pub(super) keep: bool,
    pub(super) servers: Vec<ServerId>,
}

impl TransactionUser for Notes {
    fn request(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, request: Received<'_>) {
        self.told.push(format!("request {}", request.message.method()));
        if self.keep || self.answer.is_some() {
            let id = stack.server_transaction(now, &request, 1).unwrap();
            self.servers.push(id);
            if let Some(status) = self.answer {
                stack.reply(now, out, id, status, "Answer", |writer| writer.end()).unwrap();
            }
        }
    }

    fn ack(
        &mut self,
        _: &mut Stack,
        _: Now,
        _: &mut Outbox,
        _: Received<'_>,
        matched: Option<(ServerId, u64)>,
    ) {
        self.told.push(format!("ack {}", if matched.is_some() { "matched" } else { "unmatched" }));
    }

    fn cancelled(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        cancel: Received<'_>,
        known: bool,
        invite: Option<(ServerId, u64)>,
    ) {
        self.told.push(format!("cancelled known={known} invite={}", invite.is_some()));
        if !known {
            stack.respond_stateless(
                now,
                out,
                &cancel,
                481,
                "Call/Transaction Does Not Exist",
                |writer| writer.end(),
            );
        }
        if let Some((id, _)) = invite {
            stack.reply(now, out, id, 487, "Request Terminated", |writer| writer.end()).unwrap();
        }
    }

    fn response(
        &mut self,
        _: &mut Stack,
        _: Now,
        _: &mut Outbox,
        response: Received<'_>,
        _: ClientId,
        user: u64,
    ) {
        self.told.push(format!("response {} to {user}", response.message.status()));
    }

    fn stray_response(&mut self, _: &mut Stack, _: Now, _: &mut Outbox, response: Received<'_>) {
        self.told.push(format!("stray {}", response.message.status()));
    }

    fn failed(
        &mut self,
        _: &mut Stack,
        _: Now,
        _: &mut Outbox,
        _: ClientId,
        user: u64,
        why: Failure,
    ) {
        self.told.push(format!("failed {user} {why:?}"));
    }

    fn unacknowledged(&mut self, _: &mut Stack, _: Now, _: &mut Outbox, _: ServerId, _: u64) {
        self.told.push("unacknowledged".into());
    }

    fn response_undeliverable(
        &mut self,
        _: &mut Stack,
        _: Now,
        _: &mut Outbox,
        _: ServerId,
        _: u64,
    ) {
        self.told.push("undeliverable".into());
    }

    fn timer(&mut self, _: &mut Stack, _: Now, _: &mut Outbox, token: u64) {
        self.told.push(format!("timer {token}"));
    }
}

/// A stack with UDP, TCP and TLS at 192.0.2.1, and what leaves it.
pub(super) struct World {
    pub(super) stack: Stack,
    pub(super) user: Notes,
    pub(super) now: Now,
    pub(super) out: Outbox,
    /// What left: the millisecond, the flow and the text.
    pub(super) sent: Vec<(u64, Flow, String)>,
    /// Everything else that was wanted.
    pub(super) wanted: Vec<Output>,
}

pub(super) const UDP: ListenerId = ListenerId(0);

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl World {
    pub(super) fn new() -> World {
        World::with(&Settings::default())
    }

    pub(super) fn with(settings: &Settings) -> World {
        let mut world = World {
            stack: Stack::new(settings, [7; 32]),
            user: Notes::default(),
            now: Now { at: Instant(1_000_000_000), unix: 1_800_000_000 },
            out: Outbox::new(),
            sent: Vec::new(),
            wanted: Vec::new(),
        };
        for (id, transport, port) in
            [(0, Transport::Udp, 5060), (1, Transport::Tcp, 5060), (2, Transport::Tls, 5061)]
        {
            let local = SocketAddr::new(addr("192.0.2.1:1").ip(), port);
            world.handle(Input::Listening(Listener {
                id: ListenerId(id),
                transport,
                local,
                advertised: None,
            }));
        }
        world
    }

    pub(super) fn handle(&mut self, input: Input<'_>) {
        self.stack.handle(self.now, input, &mut self.out, &mut self.user);
        self.drain_outbox();
    }

    /// Lets the test call the stack, and tells the user what came of it.
    pub(super) fn call<R>(&mut self, act: impl FnOnce(&mut Stack, Now, &mut Outbox) -> R) -> R {
        let result = act(&mut self.stack, self.now, &mut self.out);
        self.stack.run_due(self.now, &mut self.out, &mut self.user);
        self.drain_outbox();
        result
    }

    fn drain_outbox(&mut self) {
        for output in std::mem::take(&mut self.out.outputs) {
            match output {
                Output::Transmit { flow, bytes } => {
                    let text = String::from_utf8_lossy(self.out.bytes(&bytes)).into_owned();
                    self.sent.push(((self.now.at.0 - 1_000_000_000) / 1000, flow, text));
                }
                other => self.wanted.push(other),
            }
        }
        self.out.clear();
    }

    pub(super) fn datagram(&mut self, from: &str, text: &str) {
        self.handle(Input::Datagram { listener: UDP, remote: addr(from), bytes: text.as_bytes() });
    }

    /// A connection that a peer makes, and bytes on it.
    pub(super) fn accept(&mut self, number: u64, listener: u16, from: &str) -> ConnectionId {
        let connection = ConnectionId(number);
        let transport = if listener == 2 { Transport::Tls } else { Transport::Tcp };
        let local = addr(if listener == 2 { "192.0.2.1:5061" } else { "192.0.2.1:5060" });
        let flow = Flow {
            transport,
            listener: ListenerId(listener),
            local,
            remote: addr(from),
            connection: Some(connection),
        };
        self.handle(Input::Opened { connection, flow, identities: Vec::new() });
        connection
    }

    pub(super) fn stream(&mut self, connection: ConnectionId, text: &str) {
        self.handle(Input::Stream { connection, bytes: text.as_bytes() });
    }

    pub(super) fn closed(&mut self, connection: ConnectionId, why: CloseReason) {
        self.handle(Input::Closed { connection, why });
    }

    /// Lets time pass, stopping wherever something is due.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now.at + time;
        while let Some(at) = self.stack.deadline().filter(|at| *at <= end) {
            self.now.at = self.now.at.max(at);
            self.handle(Input::Tick);
        }
        self.now.at = end;
        self.handle(Input::Tick);
    }

    /// The start lines of what left since this was last asked, with the time of each.
    pub(super) fn lines(&mut self) -> Vec<String> {
        self.sent
            .drain(..)
            .map(|(at, _, text)| format!("{at} {}", text.lines().next().unwrap_or("")))
            .collect()
    }

    pub(super) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.user.told)
    }

    /// After two minutes nothing is left.
    pub(super) fn drained(&mut self) {
        self.pass(Duration::from_secs(120));
        assert!(self.stack.is_drained(), "{:?}", self.stack);
    }
}

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A request as a peer sends it, with a branch of its own.
pub(super) fn request(method: &str, branch: &str) -> String {
    format!(
        "{method} sip:ford@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5070;branch={branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:arthur@example.com>;tag=a1\r\nTo: <sip:ford@example.com>\r\n\
         Call-ID: towel\r\nCSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The value of a header field in a text.
pub(super) fn field<'t>(text: &'t str, name: &str) -> &'t str {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("")
}

/// What a peer answers to a request that left.
pub(super) fn answer(request: &str, status: u16) -> String {
    format!(
        "SIP/2.0 {status} Answer\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=b2\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Content-Length: 0\r\n\r\n",
        field(request, "Via"),
        field(request, "From"),
        field(request, "To"),
        field(request, "Call-ID"),
        field(request, "CSeq"),
    )
}

/// Writes a request of ours.
pub(super) fn write(method: &str, via: &ViaStamp<'_>, to: &mut Vec<u8>) {
    let via = String::from_utf8(via.value().to_vec()).unwrap();
    to.extend_from_slice(
        format!(
            "{method} sip:ford@192.0.2.9:5070 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n\
             From: <sip:arthur@example.com>;tag=a1\r\nTo: <sip:ford@example.com>\r\nCall-ID: fish\r\n\
             CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        )
        .as_bytes(),
    );
}

impl World {
    /// Sends a request of ours by UDP to 192.0.2.9:5070, user number 42.
    pub(super) fn send(&mut self, method: &str) -> ClientId {
        self.send_to(
            method,
            Destination::Target {
                transport: Transport::Udp,
                addr: addr("192.0.2.9:5070"),
                server_name: None,
            },
        )
    }

    pub(super) fn send_to(&mut self, method: &str, to: Destination<'_>) -> ClientId {
        self.call(|stack, now, out| {
            stack.client_transaction(now, out, to, 42, |via, bytes| write(method, via, bytes))
        })
        .unwrap()
    }
}
