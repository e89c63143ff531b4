//! What this element is responsible for: its domains and their aliases, and its own addresses.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use towel_message::{Host, SipUri};

use super::Settings;
use crate::contract::Element;
use crate::io::{Flow, Listener, ListenerId, Transport};

/// A host and port by which this element is known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Own {
    address: IpAddr,
    port: u16,
    transport: Transport,
}

/// The domains of RFC 3261 section 16.5 and the addresses that stand for the element itself.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    names: Vec<(String, Option<u16>)>,
    /// Those of them that are domains of their own.
    domains: Vec<(String, Option<u16>)>,
    /// Addresses that were configured as domains.
    addresses: Vec<(IpAddr, Option<u16>)>,
    own: Vec<Own>,
    listeners: Vec<Listener>,
    former: Vec<Listener>,
    /// What each listener is known by, as it stands in a URI, and its port.
    places: Vec<(ListenerId, String, u16)>,
    first: String,
}

impl Domains {
    /// From the settings and the listeners that are up.
    pub fn new(settings: &Settings, listeners: &[Listener]) -> Self {
        let mut domains = Self { listeners: listeners.to_vec(), ..Self::default() };
        for name in settings.domains.iter().chain(&settings.aliases) {
            let (host, port) = split_port(name);
            domains.add_name(host, port);
        }
        for name in &settings.domains {
            let (host, port) = split_port(name);
            domains.domains.push((host.trim_end_matches('.').to_ascii_lowercase(), port));
        }
        for listener in listeners {
            domains.add_listener(listener, settings);
        }
        domains.first = match settings.domains.first() {
            Some(name) => split_port(name).0.trim_end_matches('.').to_ascii_lowercase(),
            // Bindings are kept under it, so it must not change with an address.
            None => "localhost".to_owned(),
        };
        domains
    }

    /// With the names of listeners that are gone, or are known by other names now, for as long as
    /// somebody may come by them: theirs, but nothing that is begun is given to them.
    #[must_use]
    pub fn with_former(mut self, settings: &Settings, former: &[Listener]) -> Self {
        for listener in former {
            self.add_listener(listener, settings);
        }
        self.former = former.to_vec();
        self
    }

    fn add_name(&mut self, host: &str, port: Option<u16>) {
        match unbracket(host).parse() {
            Ok(address) => self.addresses.push((address, port)),
            Err(_) => self.names.push((host.trim_end_matches('.').to_ascii_lowercase(), port)),
        }
    }

    fn add_listener(&mut self, listener: &Listener, settings: &Settings) {
        let transport = listener.transport;
        let mut add = |address: IpAddr, port: u16| {
            let own = Own { address, port, transport };
            if !self.own.contains(&own) {
                self.own.push(own);
            }
        };
        let local = listener.local;
        if local.ip().is_unspecified() {
            for address in &settings.addresses {
                if address.is_ipv4() == local.is_ipv4() || local.is_ipv6() {
                    add(*address, local.port());
                }
            }
        } else {
            add(local.ip(), local.port());
        }
        if local.ip().is_loopback() || local.ip().is_unspecified() {
            self.names.push(("localhost".to_owned(), Some(local.port())));
        }
        let (host, port) = match &listener.advertised {
            Some((host, port)) => {
                self.add_name(host, Some(*port));
                (host.clone(), *port)
            }
            None => (bracketed(local.ip()), local.port()),
        };
        self.places.push((listener.id, host, port));
    }

    /// The domain that is served first: under it stands whatever is addressed to an alias.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// The listeners that are up.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// A listener.
    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.iter().chain(&self.former).find(|listener| listener.id == id)
    }

    /// Whether a host and port are ours. A domain without a port, or one of our addresses without
    /// one, is ours whatever the ports that we listen on; a port that is written must be one of
    /// those, or the URI means somebody else on the same host.
    pub fn owns(&self, host: &Host<'_>, port: Option<u16>) -> bool {
        match host {
            Host::Name(name) => self.owns_name(name, port),
            Host::V4(address) => self.owns_address(IpAddr::V4(*address), port),
            Host::V6(address) => self.owns_address(IpAddr::V6(*address), port),
        }
    }

    /// The domain that a host and port of ours mean: a configured one is itself, every other name
    /// and every address of ours is the first. `None` if it is not ours.
    pub fn canonical(&self, host: &Host<'_>, port: Option<u16>) -> Option<&str> {
        if let Host::Name(name) = host {
            let name = name.strip_suffix(b".").unwrap_or(name);
            let own = self
                .domains
                .iter()
                .find(|(own, own_port)| is_name(own, name) && self.port_fits(port, *own_port));
            if let Some((own, _)) = own {
                return Some(own);
            }
        }
        self.owns(host, port).then_some(self.first.as_str())
    }

    /// Whether the host of a URI is ours.
    pub fn owns_uri(&self, uri: &SipUri<'_>) -> bool {
        self.owns(&uri.host, uri.port)
    }

    fn owns_name(&self, name: &[u8], port: Option<u16>) -> bool {
        let name = name.strip_suffix(b".").unwrap_or(name);
        self.names
            .iter()
            .any(|(own, own_port)| is_name(own, name) && self.port_fits(port, *own_port))
    }

    fn owns_address(&self, address: IpAddr, port: Option<u16>) -> bool {
        let address = address.to_canonical();
        self.own
            .iter()
            .any(|own| own.address == address && port.is_none_or(|port| port == own.port))
            || self
                .addresses
                .iter()
                .any(|(own, own_port)| *own == address && self.port_fits(port, *own_port))
    }

    fn port_fits(&self, port: Option<u16>, own: Option<u16>) -> bool {
        match (port, own) {
            (None, _) => true,
            (Some(port), Some(own)) => port == own,
            (Some(port), None) => self.listens_on(port),
        }
    }

    fn listens_on(&self, port: u16) -> bool {
        // 5060 and 5061 are what a domain's port means where a balancer stands before us.
        port == 5060
            || port == 5061
            || self.own.iter().any(|own| own.port == port)
            || self.places.iter().any(|place| place.2 == port)
    }

    /// Whether a socket address is one of our own: a message from there has come round.
    pub fn is_self(&self, address: SocketAddr) -> bool {
        self.own
            .iter()
            .any(|own| own.address == address.ip().to_canonical() && own.port == address.port())
    }

    /// Whether a message that came by `flow` comes from ourselves: over UDP from a listener of ours,
    /// over a stream from the address where it came in.
    pub fn is_from_self(&self, flow: &Flow) -> bool {
        let (local, remote) = (flow.local.ip().to_canonical(), flow.remote.ip().to_canonical());
        let here = local == remote || self.own.iter().any(|own| own.address == remote);
        let own_port = |own: &Own| own.port == flow.remote.port();
        // One that listens everywhere sends from whatever address leads there.
        let port = flow.transport.reliable() || self.own.iter().any(own_port);
        port && (here || (remote.is_loopback() && local.is_unspecified()))
    }

    /// Writes the host and port at which this element can be reached where `local` is its end of
    /// a flow through `listener`.
    pub fn write_place(&self, listener: ListenerId, local: SocketAddr, out: &mut Vec<u8>) {
        let known = self
            .listener(listener)
            .is_some_and(|l| l.advertised.is_some() || !l.local.ip().is_unspecified());
        let place = self.places.iter().find(|place| place.0 == listener);
        // Writing into a Vec cannot fail.
        let _ = match place {
            Some((_, host, port)) if known => write!(out, "{host}:{port}"),
            Some((_, _, port)) => write!(out, "{}:{port}", bracketed(local.ip())),
            None => write!(out, "{}:{}", bracketed(local.ip()), local.port()),
        };
    }

    /// The port on which a transport is listened on at the same address as `listener`, if it is.
    pub fn sibling(&self, id: ListenerId, transport: Transport) -> Option<&Listener> {
        let of = self.listener(id)?;
        self.listeners.iter().find(|l| l.transport == transport && l.local.ip() == of.local.ip())
    }
}

impl Element for Domains {
    fn is_own_domain(&self, host: &[u8]) -> bool {
        Host::parse(host).is_some_and(|host| self.owns(&host, None))
    }

    fn domain(&self) -> &str {
        &self.first
    }

    fn own_uri(&self, flow: &Flow, out: &mut Vec<u8>) {
        out.extend_from_slice(if flow.transport.secure() { b"sips:" } else { b"sip:" });
        self.write_place(flow.listener, flow.local, out);
        match flow.transport {
            Transport::Udp | Transport::Tls => {}
            other => {
                out.extend_from_slice(b";transport=");
                out.extend_from_slice(other.uri_token().as_bytes());
            }
        }
    }
}

/// Whether a host is a name, without regard to case. Mostly it is written in the same way.
fn is_name(own: &str, host: &[u8]) -> bool {
    own.as_bytes() == host || own.as_bytes().eq_ignore_ascii_case(host)
}

fn bracketed(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn unbracket(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// A host with or without a port, as a configuration writes it.
fn split_port(text: &str) -> (&str, Option<u16>) {
    if let Some((host, port)) = text.rsplit_once(':')
        && (!host.contains(':') || host.ends_with(']'))
        && let Ok(port) = port.parse()
    {
        return (host, Some(port));
    }
    (text, None)
}
