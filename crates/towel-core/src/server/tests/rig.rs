//! A rig for whole-element tests: bytes in, bytes out, a clock that the test turns.

use std::net::SocketAddr;

use crate::io::{
    ConnectionId, Flow, Input, Instant, Listener, ListenerId, Machine, Now, Outbox, Output,
    Transport,
};

/// A message that the element sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) to: SocketAddr,
    pub(super) transport: Transport,
    pub(super) connection: Option<ConnectionId>,
    pub(super) text: String,
}

impl Sent {
    pub(super) fn start(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    pub(super) fn status(&self) -> u16 {
        let mut words = self.start().split(' ');
        if words.next() != Some("SIP/2.0") {
            return 0;
        }
        words.next().and_then(|w| w.parse().ok()).unwrap_or(0)
    }

    pub(super) fn method(&self) -> &str {
        self.start().split(' ').next().unwrap_or_default()
    }

    pub(super) fn uri(&self) -> &str {
        self.start().split(' ').nth(1).unwrap_or_default()
    }

    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.text
            .lines()
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_once(':'))
            .filter(|(n, _)| n.trim().eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim())
            .collect()
    }

    pub(super) fn field(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    /// A response to this request, as a user agent makes it.
    pub(super) fn answer(&self, status: u16, more: &str) -> String {
        let mut text = format!("SIP/2.0 {status} Reason\n");
        for name in ["Via", "Record-Route", "From"] {
            for value in self.all(name) {
                text += &format!("{name}: {value}\n");
            }
        }
        let to = self.field("To");
        let tag = if to.contains(";tag=") || status == 100 {
            String::new()
        } else {
            format!(";tag=callee-{}", self.to.port())
        };
        text += &format!(
            "To: {to}{tag}\nCall-ID: {}\nCSeq: {}\n{more}",
            self.field("Call-ID"),
            self.field("CSeq")
        );
        text
    }
}

/// The element under test, with two UDP listeners and a TCP one.
pub(super) struct Rig<M> {
    pub(super) element: M,
    pub(super) now: Now,
    out: Outbox,
    accepted: u64,
    /// Whether connections that the element asks for are refused.
    pub(super) refuse: bool,
}

pub(super) const UDP: ListenerId = ListenerId(0);
pub(super) const TCP: ListenerId = ListenerId(1);
pub(super) const SIX: ListenerId = ListenerId(2);

impl<M: Machine> Rig<M> {
    pub(super) fn new(element: M) -> Self {
        let now = Now { at: Instant(1_000_000), unix: 1_800_000_000 };
        let mut rig = Self { element, now, out: Outbox::new(), accepted: 0, refuse: false };
        for (id, transport, local) in [
            (UDP, Transport::Udp, "192.0.2.1:5060"),
            (TCP, Transport::Tcp, "192.0.2.1:5060"),
            (SIX, Transport::Udp, "[2001:db8::1]:5060"),
        ] {
            let local = local.parse().unwrap();
            let sent =
                rig.input(Input::Listening(Listener { id, transport, local, advertised: None }));
            assert!(sent.is_empty());
        }
        rig
    }

    /// Messages wait for so long that new work is refused.
    pub(super) fn overload(&mut self) {
        for _ in 0..750 {
            let wait = std::time::Duration::from_millis(200);
            self.input(Input::Backlog { wait, fill: 45 });
            self.pass(4);
        }
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Sent> {
        self.element.handle(self.now, input, &mut self.out);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        loop {
            let outputs = std::mem::take(&mut self.out.outputs);
            let arena = std::mem::take(&mut self.out.arena);
            let mut inputs: Vec<(ConnectionId, Flow)> = Vec::new();
            for output in outputs {
                match output {
                    Output::Transmit { flow, bytes } => sent.push(Sent {
                        to: flow.remote,
                        transport: flow.transport,
                        connection: flow.connection,
                        text: String::from_utf8_lossy(&arena[bytes]).replace("\r\n", "\n"),
                    }),
                    Output::Open { connection, transport, remote, .. } => {
                        let local = "192.0.2.1:40000".parse().unwrap();
                        inputs.push((
                            connection,
                            Flow {
                                transport,
                                listener: TCP,
                                local,
                                remote,
                                connection: Some(connection),
                            },
                        ));
                    }
                    _ => {}
                }
            }
            if inputs.is_empty() {
                return sent;
            }
            for (connection, flow) in inputs {
                let input = if self.refuse {
                    Input::Closed { connection, why: crate::io::CloseReason::Refused }
                } else {
                    Input::Opened { connection, flow, identities: Vec::new() }
                };
                self.element.handle(self.now, input, &mut self.out);
            }
        }
    }

    /// A datagram from `remote`; lines end as the test writes them.
    pub(super) fn udp(&mut self, remote: &str, text: &str) -> Vec<Sent> {
        let remote: SocketAddr = remote.parse().unwrap();
        let listener = if remote.is_ipv4() { UDP } else { SIX };
        let bytes = wire(text);
        self.input(Input::Datagram { listener, remote, bytes: &bytes })
    }

    /// A datagram as it is.
    pub(super) fn raw_udp(&mut self, remote: &str, bytes: &[u8]) -> Vec<Sent> {
        self.input(Input::Datagram { listener: UDP, remote: remote.parse().unwrap(), bytes })
    }

    /// A TCP connection from `remote`.
    pub(super) fn accept(&mut self, remote: &str) -> ConnectionId {
        let connection = ConnectionId(self.accepted);
        self.accepted += 1;
        let flow = Flow {
            transport: Transport::Tcp,
            listener: TCP,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: remote.parse().unwrap(),
            connection: Some(connection),
        };
        let sent = self.input(Input::Opened { connection, flow, identities: Vec::new() });
        assert!(sent.is_empty());
        connection
    }

    /// Bytes on a connection.
    pub(super) fn tcp(&mut self, connection: ConnectionId, text: &str) -> Vec<Sent> {
        let bytes = wire(text);
        self.input(Input::Stream { connection, bytes: &bytes })
    }

    /// The peer has ended a connection in good order.
    pub(super) fn closed(&mut self, connection: ConnectionId) -> Vec<Sent> {
        self.input(Input::Closed { connection, why: crate::io::CloseReason::Peer })
    }

    /// A connection has ended.
    pub(super) fn input_closed(
        &mut self,
        connection: ConnectionId,
        why: crate::io::CloseReason,
    ) -> Vec<Sent> {
        self.input(Input::Closed { connection, why })
    }

    /// Lets time pass, running what is due when it is due.
    pub(super) fn pass(&mut self, milliseconds: u64) -> Vec<Sent> {
        let end = self.now.at.0 + milliseconds * 1000;
        let mut sent = Vec::new();
        while let Some(due) = self.element.deadline() {
            if due.0 > end {
                break;
            }
            self.now.at = Instant(due.0.max(self.now.at.0 + 1));
            sent.extend(self.input(Input::Tick));
        }
        self.now.at = Instant(end);
        sent.extend(self.input(Input::Tick));
        sent
    }
}

/// Text as it goes on the wire, with a Content-Length where the test wrote none.
pub(super) fn wire(text: &str) -> Vec<u8> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end_matches('\n'), ""));
    let mut bytes = head.replace('\n', "\r\n");
    bytes.push_str("\r\n");
    if !head.to_ascii_lowercase().contains("\ncontent-length:") && !head.contains("\nl:") {
        bytes.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    bytes.push_str("\r\n");
    bytes.push_str(body);
    bytes.into_bytes()
}

/// A request of a client at `host:port`.
pub(super) fn request(
    method: &str,
    uri: &str,
    from: &str,
    to: &str,
    via: &str,
    more: &str,
) -> String {
    let unique: String = via.chars().filter(char::is_ascii_alphanumeric).collect();
    format!(
        "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP {via};branch=z9hG4bK{unique}{}\n\
         From: <{from}>;tag=f{unique}\nTo: <{to}>\nCall-ID: c{unique}\nCSeq: 1 {method}\n\
         Contact: <sip:caller@{via}>\n{more}",
        method.to_ascii_lowercase().replace("ack", "invite").replace("cancel", "invite"),
    )
}

/// The requests among what was sent.
pub(super) fn requests<'a>(sent: &'a [Sent], method: &str) -> Vec<&'a Sent> {
    sent.iter().filter(|s| s.method() == method).collect()
}

/// The responses among what was sent, as status codes.
pub(super) fn statuses(sent: &[Sent]) -> Vec<u16> {
    sent.iter().map(Sent::status).filter(|s| *s != 0).collect()
}
