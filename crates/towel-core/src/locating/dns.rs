//! What is asked of the Domain Name System and what comes back: the only words that the locating
//! procedures and the driver's resolver have in common.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Names one question in flight, so that its answer finds the way back. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// The record types that locating a SIP server needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuestionKind {
    /// RFC 3403: which transports a domain offers, in its own order of preference.
    Naptr,
    /// RFC 2782: the hosts and ports of one service.
    Srv,
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
}

/// One question. The name is held in lower case, without the dot of the root, so that equal
/// questions are equal values; cloning copies a pointer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    name: Arc<str>,
    kind: QuestionKind,
}

impl Question {
    /// A question about `name`, or nothing where `name` can be no domain name (RFC 1035 section
    /// 2.3.4's lengths; letters, digits, hyphens and underscores only, since nothing else is a
    /// host or a service).
    pub fn new(name: &str, kind: QuestionKind) -> Option<Self> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if !is_domain_name(name) {
            return None;
        }
        Some(Self { name: name.to_ascii_lowercase().into(), kind })
    }

    /// The name that is asked about.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of the records that are asked for.
    pub fn kind(&self) -> QuestionKind {
        self.kind
    }
}

fn is_domain_name(name: &str) -> bool {
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').all(fits)
}

/// What the resolver found. Aliases (CNAME) are followed by the resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For how many seconds this holds: the least TTL of the records, or of the SOA that proves
    /// their absence (RFC 2308 section 5).
    pub ttl: u32,
    /// The records, or why there are none.
    pub outcome: Outcome,
}

impl Answer {
    /// Records that hold for `ttl` seconds.
    pub fn records(records: Records, ttl: u32) -> Self {
        Self { ttl, outcome: Outcome::Records(records) }
    }

    /// No such name, or no records of that type, for `ttl` seconds.
    pub fn nothing(ttl: u32) -> Self {
        Self { ttl, outcome: Outcome::Nothing }
    }

    /// No answer could be had.
    pub fn failure() -> Self {
        Self { ttl: 0, outcome: Outcome::Failure }
    }
}

/// The three ways in which a question ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There are such records.
    Records(Records),
    /// The name does not exist, or has no records of that type.
    Nothing,
    /// No server answered, or none gave an answer that could be used.
    Failure,
}

/// Records of one type, in the order in which the server gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// Answers to [`QuestionKind::Naptr`].
    Naptr(Vec<Naptr>),
    /// Answers to [`QuestionKind::Srv`].
    Srv(Vec<Srv>),
    /// Answers to [`QuestionKind::A`].
    A(Vec<Ipv4Addr>),
    /// Answers to [`QuestionKind::Aaaa`].
    Aaaa(Vec<Ipv6Addr>),
}

impl Records {
    /// The record type.
    pub fn kind(&self) -> QuestionKind {
        match self {
            Self::Naptr(_) => QuestionKind::Naptr,
            Self::Srv(_) => QuestionKind::Srv,
            Self::A(_) => QuestionKind::A,
            Self::Aaaa(_) => QuestionKind::Aaaa,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Naptr(r) => r.is_empty(),
            Self::Srv(r) => r.is_empty(),
            Self::A(r) => r.is_empty(),
            Self::Aaaa(r) => r.is_empty(),
        }
    }

    /// Forgets all but the first `most` records.
    pub(super) fn truncate(&mut self, most: usize) {
        match self {
            Self::Naptr(r) => r.truncate(most),
            Self::Srv(r) => r.truncate(most),
            Self::A(r) => r.truncate(most),
            Self::Aaaa(r) => r.truncate(most),
        }
    }
}

/// A NAPTR record (RFC 3403 section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    /// Lower first, and a rule of another order is not looked at once one has matched.
    pub order: u16,
    /// Lower first among equal orders.
    pub preference: u16,
    /// "s" where the replacement is the name of SRV records.
    pub flags: Box<str>,
    /// Such as "SIP+D2U".
    pub services: Box<str>,
    /// Empty for SIP (RFC 3263 section 4.1).
    pub regexp: Box<str>,
    /// The name to ask about next.
    pub replacement: Box<str>,
}

/// An SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// The share of this host among those of its priority.
    pub weight: u16,
    /// The port of the service on that host.
    pub port: u16,
    /// The host, or "." where the service is decidedly not offered.
    pub target: Box<str>,
}
