//! Recent messages, kept in a bounded ring for `towel trace` and the console.
//!
//! Nothing is kept unless it is switched on; then every message is copied once, and the oldest
//! make room. A message is found by its Call-ID or by a user that From, To, the Request-URI or a
//! Contact names.

use std::collections::VecDeque;
use std::net::SocketAddr;

use towel_sim::ladder::{Fate, Ladder, Style};
use towel_sim::text::{Text, uri_of};

/// One message as it passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// When, in microseconds of the wall clock.
    pub at: u64,
    /// Whether it came in.
    pub inward: bool,
    /// The transport's word.
    pub transport: &'static str,
    /// The peer.
    pub peer: SocketAddr,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The ring.
#[derive(Debug, Default)]
pub struct Ring {
    messages: VecDeque<Passed>,
    bytes: usize,
    most_messages: usize,
    most_bytes: usize,
}

impl Ring {
    /// A ring of at most so many messages and bytes.
    pub fn new(most_messages: usize, most_bytes: usize) -> Self {
        Ring { most_messages, most_bytes, ..Ring::default() }
    }

    /// Keeps a message.
    pub fn push(&mut self, message: Passed) {
        self.bytes += message.bytes.len();
        self.messages.push_back(message);
        while self.messages.len() > self.most_messages || self.bytes > self.most_bytes {
            match self.messages.pop_front() {
                Some(old) => self.bytes -= old.bytes.len(),
                None => break,
            }
        }
    }

    /// How many messages it holds.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// A copy of what matches, in the order in which it passed.
    pub fn select(&self, wanted: &Wanted) -> Vec<Passed> {
        let Wanted::User(user) = wanted else {
            return self.messages.iter().filter(|m| wanted.matches(&m.bytes)).cloned().collect();
        };
        // A user is named by some messages of a call; all of the call is wanted.
        let calls: std::collections::HashSet<String> = self
            .messages
            .iter()
            .filter_map(|m| Text::datagram(&m.bytes))
            .filter(|t| names(t, user))
            .filter_map(|t| t.first("Call-ID").map(str::to_owned))
            .collect();
        self.messages
            .iter()
            .filter(|m| call_id(&m.bytes).is_some_and(|id| calls.contains(&id)))
            .cloned()
            .collect()
    }

    /// The Call-IDs of the newest calls, newest first, with the first message's label and parties.
    pub fn calls(&self, most: usize) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        for message in self.messages.iter().rev() {
            let Some(text) = Text::datagram(&message.bytes) else { continue };
            let Some(id) = text.first("Call-ID") else { continue };
            if let Some(call) = calls.iter_mut().find(|c| c.call_id == id) {
                call.messages += 1;
                call.began = message.at;
                if text.is_request() && message.inward {
                    call.method = text.method().to_owned();
                }
                continue;
            }
            if calls.len() == most {
                continue;
            }
            calls.push(Call {
                call_id: id.to_owned(),
                method: text.method().to_owned(),
                from: text.first("From").map(|v| uri_of(v).to_owned()).unwrap_or_default(),
                to: text.first("To").map(|v| uri_of(v).to_owned()).unwrap_or_default(),
                began: message.at,
                ended: message.at,
                messages: 1,
            });
        }
        calls
    }
}

/// A line of the list of recent calls.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Call {
    /// The Call-ID.
    pub call_id: String,
    /// The method of its first request.
    pub method: String,
    /// The URI in From.
    pub from: String,
    /// The URI in To.
    pub to: String,
    /// First message, in microseconds of the wall clock.
    pub began: u64,
    /// Last message.
    pub ended: u64,
    /// How many messages.
    pub messages: usize,
}

/// Which messages are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Of one call.
    CallId(String),
    /// Of calls that name a user: `alice` or `alice@example.org`.
    User(String),
    /// All.
    All,
}

impl Wanted {
    fn matches(&self, bytes: &[u8]) -> bool {
        match self {
            Wanted::All => true,
            Wanted::CallId(id) => call_id(bytes).as_deref() == Some(id),
            Wanted::User(user) => Text::datagram(bytes).is_some_and(|t| names(&t, user)),
        }
    }
}

fn call_id(bytes: &[u8]) -> Option<String> {
    Text::datagram(bytes)?.first("Call-ID").map(str::to_owned)
}

fn names(text: &Text, user: &str) -> bool {
    let of = |value: &str| {
        let uri = uri_of(value);
        let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
        let end = rest.find([';', '?', '>']).unwrap_or(rest.len());
        let rest = rest.get(..end).unwrap_or(rest);
        match rest.split_once('@') {
            Some((name, host)) => {
                let host = host.split(':').next().unwrap_or(host);
                match user.split_once('@') {
                    Some((wanted, domain)) => wanted == name && host.eq_ignore_ascii_case(domain),
                    None => user == name,
                }
            }
            None => false,
        }
    };
    (text.is_request() && of(text.uri()))
        || ["From", "To", "Contact"].iter().any(|name| text.values(name).iter().any(|v| of(v)))
}

/// Draws messages as a ladder: towel in the middle of its peers, whom From and Contact name.
pub fn ladder(messages: &[Passed], whole: bool) -> String {
    let mut peers: Vec<(SocketAddr, String)> = Vec::new();
    for message in messages {
        if !peers.iter().any(|(peer, _)| *peer == message.peer) {
            peers.push((message.peer, peer_name(message, messages)));
        }
    }
    // The first peer stands at the left, the server next to it, the others at the right.
    let mut columns: Vec<String> = peers.iter().map(|(_, name)| name.clone()).collect();
    let own = columns.len().min(1);
    columns.insert(own, "towel".to_owned());
    let mut ladder = Ladder::new(columns);
    let began = messages.first().map_or(0, |m| m.at);
    for message in messages {
        let at = message.at.saturating_sub(began);
        let place = peers.iter().position(|(peer, _)| *peer == message.peer).unwrap_or(0);
        let place = if place >= own { place + 1 } else { place };
        let (from, to) = if message.inward { (place, own) } else { (own, place) };
        ladder.arrow(at, from, to, Fate::Arrived, &message.bytes);
    }
    ladder.render(Style { messages: whole })
}

/// What to call a peer: the user that it speaks for, and its address.
fn peer_name(seen: &Passed, messages: &[Passed]) -> String {
    let of = |value: Option<&str>| {
        let uri = uri_of(value?);
        let rest = uri.split_once(':')?.1;
        rest.split_once('@').map(|(name, _)| name.to_owned())
    };
    let user = messages.iter().filter(|m| m.peer == seen.peer).find_map(|m| {
        let text = Text::datagram(&m.bytes)?;
        match (text.is_request(), m.inward) {
            (true, true) => of(text.first("From")),
            (true, false) => of(Some(text.uri())).or_else(|| of(text.first("To"))),
            (false, true) => of(text.first("Contact")).or_else(|| of(text.first("To"))),
            (false, false) => of(text.first("From")),
        }
    });
    match user {
        Some(user) => format!("{user} {}", seen.peer),
        None => seen.peer.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(at: u64, inward: bool, peer: u16, call: &str, from: &str) -> Passed {
        Passed {
            at,
            inward,
            transport: "UDP",
            peer: SocketAddr::from(([192, 0, 2, 1], peer)),
            bytes: format!(
                "INVITE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\
                 From: <sip:{from}@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\n\
                 Call-ID: {call}\r\nCSeq: 1 INVITE\r\n\r\n"
            )
            .into_bytes(),
        }
    }

    #[test]
    fn the_oldest_make_room() {
        let mut ring = Ring::new(2, 1 << 20);
        for i in 0..5 {
            ring.push(message(i, true, 5060, &format!("c{i}"), "alice"));
        }
        assert_eq!(ring.len(), 2);
        assert_eq!(ring.select(&Wanted::All)[0].at, 3);
        let mut small = Ring::new(100, 300);
        for i in 0..5 {
            small.push(message(i, true, 5060, "c", "alice"));
        }
        assert!(small.len() < 3 && !small.is_empty());
    }

    #[test]
    fn messages_are_found_by_call_and_by_user() {
        let mut ring = Ring::new(10, 1 << 20);
        ring.push(message(0, true, 5060, "one", "alice"));
        ring.push(message(10, false, 5070, "one", "alice"));
        ring.push(message(20, true, 5080, "two", "carol"));
        assert_eq!(ring.select(&Wanted::CallId("one".into())).len(), 2);
        assert_eq!(ring.select(&Wanted::User("carol".into())).len(), 1);
        assert_eq!(ring.select(&Wanted::User("bob@example.org".into())).len(), 3);
        assert_eq!(ring.select(&Wanted::User("bob@example.com".into())).len(), 0);
        let calls = ring.calls(10);
        assert_eq!(calls.len(), 2);
        assert_eq!((calls[1].messages, calls[1].from.as_str()), (2, "sip:alice@example.org"));
        let drawn = ladder(&ring.select(&Wanted::CallId("one".into())), false);
        assert!(drawn.contains("alice 192.0.2.1:5060") && drawn.contains("INVITE"), "{drawn}");
    }
}
