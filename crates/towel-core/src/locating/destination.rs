//! Where a message is to go, before and after it is known: the [`Destination`] that a URI or a Via
//! header field value names, and the [`Target`]s that it turns out to be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::io::Transport;

/// What RFC 3263 calls the URI or the sent-by to resolve, taken apart. Borrowed: making one costs
/// nothing, since most destinations are numeric and need no look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination<'a> {
    /// Whether the scheme is "sips".
    pub secure: bool,
    /// The host of the URI or sent-by, IPv6 references with or without their brackets.
    pub host: &'a [u8],
    /// The port, if one is written.
    pub port: Option<u16>,
    /// The transport, if one is written or (for a response) given by the Via header field.
    pub transport: Option<Transport>,
    /// The maddr parameter, which takes the place of the host as the one to be contacted.
    pub maddr: Option<&'a [u8]>,
    /// Where nothing else decides it, choose TCP instead of UDP: the request is near the path MTU
    /// (RFC 3261 section 18.1.1, RFC 3263 section 4.1).
    pub large: bool,
    /// Orders equal records always alike for equal seeds, as a stateless proxy must (RFC 3263
    /// section 4.4); none takes the locator's own random numbers.
    pub seed: Option<u64>,
}

impl<'a> Destination<'a> {
    /// Where requests to `sip:host` go.
    pub fn sip(host: &'a [u8]) -> Self {
        Self {
            secure: false,
            host,
            port: None,
            transport: None,
            maddr: None,
            large: false,
            seed: None,
        }
    }

    /// Where requests to `sips:host` go.
    pub fn sips(host: &'a [u8]) -> Self {
        Self { secure: true, ..Self::sip(host) }
    }

    /// Where a response goes whose way back has failed: the sent-by of the topmost Via header
    /// field value (RFC 3263 section 5).
    pub fn response(transport: Transport, host: &'a [u8], port: Option<u16>) -> Self {
        Self { transport: Some(transport), port, ..Self::sip(host) }
    }

    /// The same with a port.
    pub fn port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    /// The same with a transport.
    pub fn transport(self, transport: Transport) -> Self {
        Self { transport: Some(transport), ..self }
    }
}

/// One place to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How to speak to it.
    pub transport: Transport,
    /// Where it is.
    pub addr: SocketAddr,
    /// The name that its certificate must carry if the transport is secure: the domain that was
    /// asked for, never a name that the DNS put in its place (RFC 5922 section 7.3).
    pub server_name: Option<Arc<str>>,
}

/// The places to try, best first. A single one, the usual case, takes no allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    first: Option<Target>,
    rest: Vec<Target>,
    taken: usize,
}

impl Targets {
    pub(super) fn one(target: Target) -> Self {
        Self { first: Some(target), rest: Vec::new(), taken: 0 }
    }

    pub(super) fn many(list: Vec<Target>) -> Self {
        Self { first: None, rest: list, taken: 0 }
    }

    /// Moves those that `is_blocked` says to the end: they are tried when nothing else is left.
    pub(super) fn put_last(&mut self, is_blocked: impl Fn(&Target) -> bool) {
        if self.rest.iter().any(&is_blocked) {
            self.rest.sort_by_key(is_blocked);
        }
    }

    /// The next place to try, in the order of preference; each is given once.
    pub fn take_next(&mut self) -> Option<Target> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let next = self.rest.get(self.taken).cloned();
        self.taken += usize::from(next.is_some());
        next
    }

    /// How many are left to try.
    pub fn left(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len().saturating_sub(self.taken)
    }

    /// What is left to try.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.first.iter().chain(self.rest.iter().skip(self.taken))
    }
}

/// Why a destination leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocateFault {
    /// The host is neither an address nor a domain name.
    BadHost,
    /// The transport or address family is none of ours, or contradicts the scheme.
    Unsupported,
    /// The name has no addresses.
    NoSuchName,
    /// The domain says that it does not offer SIP (RFC 2782: a target of ".").
    NotOffered,
    /// The DNS gave no answer.
    NoAnswer,
    /// More look-ups are in flight than are allowed.
    Overloaded,
}

/// Which transports this element can send with, over which address families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u16);

impl Capabilities {
    /// None at all.
    pub fn none() -> Self {
        Self(0)
    }

    /// UDP, TCP and TLS over both address families.
    pub fn usual() -> Self {
        [Transport::Udp, Transport::Tcp, Transport::Tls]
            .into_iter()
            .fold(Self::none(), |c, t| c.with(t, false).with(t, true))
    }

    /// These and `transport` over IPv4, or over IPv6 if `v6`.
    #[must_use]
    pub fn with(self, transport: Transport, v6: bool) -> Self {
        Self(self.0 | Self::bit(transport, v6))
    }

    /// Whether `transport` can be used to an address of that family.
    pub fn can(self, transport: Transport, v6: bool) -> bool {
        self.0 & Self::bit(transport, v6) != 0
    }

    /// Whether `transport` can be used at all.
    pub fn can_any(self, transport: Transport) -> bool {
        self.can(transport, false) || self.can(transport, true)
    }

    fn bit(transport: Transport, v6: bool) -> u16 {
        let row = match transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
            Transport::Ws => 3,
            Transport::Wss => 4,
            Transport::Sctp => 5,
        };
        1 << (2 * row + u16::from(v6))
    }
}

/// A host as it is written: an address or a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host<'a> {
    Address(IpAddr),
    Name(&'a str),
}

impl<'a> Host<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if let Some(inner) = text.strip_prefix('[') {
            let v6: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(v6.into()));
        }
        if let Ok(v4) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(v4.into()));
        }
        if text.contains(':') {
            return text.parse::<Ipv6Addr>().ok().map(|v6| Self::Address(v6.into()));
        }
        // A name whose last label is all digits is a broken IPv4 address. One that only begins
        // with a digit is against RFC 3261 section 25.1 (toplabel), and yet hosts are called so.
        let top = text.strip_suffix('.').unwrap_or(text).rsplit('.').next()?;
        (!top.is_empty() && !top.bytes().all(|b| b.is_ascii_digit())).then_some(Self::Name(text))
    }
}
