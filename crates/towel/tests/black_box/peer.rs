//! A peer made of a socket and text.

use crate::towel::{DOMAIN, Towel};
use md5::{Digest, Md5};
use std::{
    cell::Cell,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A word that no other message of this run has.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How long an answer may take before it counts as missing. Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long silence is listened to where nothing must come.
const SILENCE: Duration = Duration::from_millis(700);

/// A received message, taken apart just so far as a test needs.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) text: String,
}

impl Message {
    pub(crate) fn parse(bytes: &[u8]) -> Message {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = lines
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_owned()))
            .collect();
        let body = body.to_owned();
        Message { start, fields, body, text }
    }

    pub(crate) fn status(&self) -> u16 {
        self.start.strip_prefix("SIP/2.0 ").and_then(|s| s.get(..3)?.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// Every value of a field, in order; the lines as they stand.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let name = name.to_ascii_lowercase();
        self.fields.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.as_str()).collect()
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }
}

/// A UDP socket that speaks SIP to one server.
pub(crate) struct Peer {
    socket: UdpSocket,
    server: SocketAddr,
    cseq: Cell<u32>,
}

impl Peer {
    pub(crate) fn new(server: &Towel) -> Peer {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Peer { socket, server: server.address().parse().unwrap(), cseq: Cell::new(1) }
    }

    /// The same from another address of this machine.
    #[allow(dead_code)]
    pub(crate) fn from(server: &Towel, address: &str) -> Peer {
        Peer { socket: UdpSocket::bind((address, 0)).unwrap(), ..Peer::new(server) }
    }

    pub(crate) fn at(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
    }

    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.server).unwrap();
    }

    fn receive(&self, patience: Duration) -> Option<Message> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut bytes = vec![0; 65536];
        let len = self.socket.recv(&mut bytes).ok()?;
        Some(Message::parse(&bytes[..len]))
    }

    /// The next message, if one comes by then.
    pub(crate) fn heard(&self, patience: Duration) -> Option<Message> {
        self.receive(patience)
    }

    /// The next message.
    pub(crate) fn next(&self) -> Message {
        self.receive(PATIENCE).expect("no message came")
    }

    /// The next message that is neither a 100 nor a retransmission of `not`.
    pub(crate) fn next_but(&self, not: &[&Message]) -> Message {
        let end = Instant::now() + PATIENCE;
        loop {
            let message = self.next();
            if message.status() != 100 && !not.iter().any(|m| m.text == message.text) {
                return message;
            }
            assert!(Instant::now() < end, "only retransmissions came");
        }
    }

    /// Nothing comes.
    pub(crate) fn hears_nothing(&self) {
        if let Some(message) = self.receive(SILENCE) {
            panic!("unexpected:\n{}", message.text);
        }
    }

    /// Sends a request and gives its final response.
    pub(crate) fn ask(&self, text: &str) -> Message {
        self.send(text);
        self.final_response()
    }

    /// The next final response.
    pub(crate) fn final_response(&self) -> Message {
        loop {
            let message = self.next();
            if message.status() >= 200 {
                return message;
            }
        }
    }

    /// A request with all that it must have; `more` are lines of header fields, each ended by
    /// CRLF. A line there for Max-Forwards, To, From, CSeq or Call-ID replaces the usual one.
    pub(crate) fn request(&self, method: &str, uri: &str, more: &str) -> String {
        self.request_with_body(method, uri, more, "")
    }

    pub(crate) fn request_with_body(
        &self,
        method: &str,
        uri: &str,
        more: &str,
        body: &str,
    ) -> String {
        let cseq = self.cseq.get();
        self.cseq.set(cseq + 1);
        let mut usual = vec![
            format!("Via: SIP/2.0/UDP {};branch=z9hG4bK{};rport", self.at(), unique("b")),
            "Max-Forwards: 70".into(),
            format!("From: <sip:peer@elsewhere.test>;tag={}", unique("f")),
            format!("To: <{uri}>"),
            format!("Call-ID: {}", unique("c")),
            format!("CSeq: {cseq} {method}"),
            format!("Content-Length: {}", body.len()),
        ];
        usual.retain(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !more.lines().any(|m| m.split(':').next() == Some(name))
        });
        format!("{method} {uri} SIP/2.0\r\n{}\r\n{more}\r\n{body}", usual.join("\r\n"))
    }

    /// A REGISTER of `user` with these lines.
    pub(crate) fn register(&self, user: &str, more: &str) -> String {
        let aor = format!("sip:{user}@{DOMAIN}");
        let has = |name: &str| more.lines().any(|l| l.starts_with(name));
        let mut lines = String::new();
        if !has("From:") {
            lines += &format!("From: <{aor}>;tag={}\r\n", unique("f"));
        }
        if !has("To:") {
            lines += &format!("To: <{aor}>\r\n");
        }
        self.request("REGISTER", &format!("sip:{DOMAIN}"), &(lines + more))
    }

    /// Registers this peer's own address for `user`.
    pub(crate) fn bind(&self, user: &str) {
        let more = format!("Contact: <sip:{user}@{}>\r\n", self.at());
        let done = self.ask(&self.register(user, &more));
        assert_eq!(done.status(), 200, "{}", done.text);
    }
}

/// A response to a received request: its Via, From, To, Call-ID, CSeq and Record-Route copied.
pub(crate) fn answer(request: &Message, status: &str, to_tag: &str, more: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for (name, value) in &request.fields {
        let copied = ["via", "from", "call-id", "cseq", "record-route"].contains(&name.as_str());
        if copied {
            text += &format!("{name}: {value}\r\n");
        } else if name == "to" {
            let tag = if value.contains(";tag=") || to_tag.is_empty() {
                String::new()
            } else {
                format!(";tag={to_tag}")
            };
            text += &format!("To: {value}{tag}\r\n");
        }
    }
    text + more + "Content-Length: 0\r\n\r\n"
}

/// A parameter of a challenge or of any list of `name=value`.
pub(crate) fn parameter(value: &str, name: &str) -> Option<String> {
    value.split([',', ' ', ';']).find_map(|p| {
        let (n, v) = p.trim().split_once('=')?;
        n.eq_ignore_ascii_case(name).then(|| v.trim_matches('"').to_owned())
    })
}

/// The challenge for an algorithm among those of a response.
pub(crate) fn challenge<'m>(response: &'m Message, algorithm: &str) -> &'m str {
    let mut all = response.all("WWW-Authenticate");
    all.extend(response.all("Proxy-Authenticate"));
    all.into_iter()
        .find(|c| parameter(c, "algorithm").is_some_and(|a| a.eq_ignore_ascii_case(algorithm)))
        .unwrap_or_else(|| panic!("no challenge for {algorithm}:\n{}", response.text))
}

/// What a digest is made from.
pub(crate) struct Credentials<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) nc: u32,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The value of an Authorization header field that answers a challenge (RFC 7616 section 3.4).
pub(crate) fn authorization(challenge: &str, c: &Credentials<'_>) -> String {
    let get = |name| parameter(challenge, name).unwrap_or_default();
    let (realm, nonce, algorithm) = (get("realm"), get("nonce"), get("algorithm"));
    let h = |text: String| match algorithm.as_str() {
        "SHA-256" => hex(&sha2::Sha256::digest(text)),
        "SHA-512-256" => hex(&sha2::Sha512_256::digest(text)),
        _ => hex(&Md5::digest(text)),
    };
    let (nc, cnonce) = (format!("{:08x}", c.nc), "0a4f113b");
    let ha1 = h(format!("{}:{realm}:{}", c.user, c.password));
    let ha2 = h(format!("{}:{}", c.method, c.uri));
    let response = h(format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}"));
    format!(
        "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{}\", \
         response=\"{response}\", algorithm={algorithm}, cnonce=\"{cnonce}\", qop=auth, nc={nc}",
        c.user, c.uri
    )
}

/// A TCP connection that speaks SIP to the server.
pub(crate) struct Stream {
    socket: TcpStream,
    held: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(server: &Towel) -> Stream {
        Stream::to(&server.address())
    }

    pub(crate) fn to(address: &str) -> Stream {
        Stream::of(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn of(socket: TcpStream) -> Stream {
        socket.set_nodelay(true).unwrap();
        Stream { socket, held: Vec::new() }
    }

    pub(crate) fn at(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.socket.write_all(bytes.as_ref());
    }

    /// Ends it at once and without a word of farewell.
    #[allow(dead_code)]
    pub(crate) fn reset(self) {
        let linger = socket2::SockRef::from(&self.socket);
        linger.set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn fill(&mut self, patience: Duration) -> bool {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut some = [0; 4096];
        match self.socket.read(&mut some) {
            Ok(len @ 1..) => {
                self.held.extend_from_slice(&some[..len]);
                true
            }
            _ => false,
        }
    }

    /// The next message, framed by its Content-Length.
    pub(crate) fn next(&mut self) -> Option<Message> {
        loop {
            while self.held.starts_with(b"\r\n") {
                self.held.drain(..2);
            }
            let head = self.held.windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(head) = head {
                let message = Message::parse(&self.held[..head + 4]);
                let end = head + 4 + message.field("Content-Length").parse::<usize>().unwrap_or(0);
                if self.held.len() >= end {
                    let whole = Message::parse(&self.held[..end]);
                    self.held.drain(..end);
                    return Some(whole);
                }
            }
            if !self.fill(PATIENCE) {
                return None;
            }
        }
    }

    pub(crate) fn final_response(&mut self) -> Message {
        loop {
            let message = self.next().expect("no response came");
            if message.status() >= 200 {
                return message;
            }
        }
    }

    /// Raw bytes as they come next.
    pub(crate) fn raw(&mut self) -> Vec<u8> {
        if self.held.is_empty() {
            self.fill(PATIENCE);
        }
        std::mem::take(&mut self.held)
    }

    /// The server has closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut some = [0; 4096];
        while Instant::now() < end {
            match self.socket.read(&mut some) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(e) => return e.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
        false
    }

    pub(crate) fn request(&self, method: &str, uri: &str, more: &str, body: &str) -> String {
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TCP {};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
             From: <sip:peer@elsewhere.test>;tag={}\r\nTo: <{uri}>\r\nCall-ID: {}\r\n\
             CSeq: 1 {method}\r\n{more}Content-Length: {}\r\n\r\n{body}",
            self.at(),
            unique("b"),
            unique("f"),
            unique("c"),
            body.len()
        )
    }
}
