//! What the tests of the entries share: an element, messages and a clock that stands still.

use std::net::SocketAddr;

use towel_core::contract::{Element, Env};
use towel_core::io::{Flow, ListenerId, Now, Transport};
use towel_message::{Index, Limits, Message};

/// An element at 192.0.2.1 that serves example.com.
pub(crate) struct Here;

impl Element for Here {
    fn is_own_domain(&self, host: &[u8]) -> bool {
        host.eq_ignore_ascii_case(b"example.com") || host == b"192.0.2.1"
    }
    fn domain(&self) -> &str {
        "example.com"
    }
    fn own_uri(&self, flow: &Flow, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("sip:{}", flow.local).as_bytes());
    }
}

/// The environment of that element.
pub(crate) fn env() -> Env<'static> {
    Env::new(Now::default(), &Here)
}

/// A flow from this address.
pub(crate) fn from(remote: &str) -> Flow {
    let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        local: parse("192.0.2.1:5060"),
        remote: parse(remote),
        connection: None,
    }
}

/// A message as bytes: a start line, the header fields that all have, and more.
pub(crate) fn text(start: &str, method: &str, more: &str) -> Vec<u8> {
    let mut lines = format!(
        "{start}\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKa\r\n\
         From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: c\r\nCSeq: 1 {method}\r\n"
    );
    if !start.starts_with("SIP/") {
        lines.push_str("Max-Forwards: 70\r\n");
    }
    for line in more.lines().map(str::trim).filter(|line| !line.is_empty()) {
        lines.push_str(line);
        lines.push_str("\r\n");
    }
    lines.push_str("Content-Length: 0\r\n\r\n");
    lines.into_bytes()
}

/// Runs with the message that a request line's method and URI and more header fields make.
pub(crate) fn request<T>(
    method: &str,
    uri: &str,
    more: &str,
    run: impl FnOnce(Message<'_>) -> T,
) -> T {
    parse(&text(&format!("{method} {uri} SIP/2.0"), method, more), run)
}

/// The same for a response.
pub(crate) fn response<T>(
    status: &str,
    method: &str,
    more: &str,
    run: impl FnOnce(Message<'_>) -> T,
) -> T {
    parse(&text(&format!("SIP/2.0 {status}"), method, more), run)
}

/// Runs with a parsed message.
pub(crate) fn parse<T>(bytes: &[u8], run: impl FnOnce(Message<'_>) -> T) -> T {
    let mut index = Index::new();
    run(Message::parse(bytes, &mut index, &Limits::default()).expect("a message"))
}
