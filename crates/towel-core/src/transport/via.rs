//! Our own Via header field value.

use crate::io::{ConnectionId, Listener, Transport};
use crate::transaction::token::COOKIE;

/// A listener with what is written of it.
#[derive(Clone, Debug)]
pub(crate) struct Station {
    pub(crate) listener: Listener,
    /// Host and port as they stand in Via.
    pub(crate) sent_by: Vec<u8>,
    host: Vec<u8>,
    port: u16,
}

impl Station {
    pub(crate) fn new(listener: Listener) -> Station {
        let (host, port) = match &listener.advertised {
            Some((host, port)) => (host.clone(), *port),
            None => {
                let ip = listener.local.ip();
                // Nobody can answer to the unspecified address; a driver that binds to it has to
                // say what to advertise, or is reached from its own machine only.
                let host = match (ip.is_unspecified(), ip.is_ipv6()) {
                    (true, false) => "127.0.0.1".into(),
                    (true, true) => "[::1]".into(),
                    (false, false) => ip.to_string(),
                    (false, true) => format!("[{ip}]"),
                };
                (host, listener.local.port())
            }
        };
        let host =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
        let mut sent_by = host.clone().into_bytes();
        if port != listener.transport.default_port() {
            sent_by.extend_from_slice(format!(":{port}").as_bytes());
        }
        Station { sent_by, host: host.into_bytes(), port, listener }
    }

    /// Whether a sent-by is what this station writes.
    pub(crate) fn is(&self, host: &[u8], port: Option<u16>, transport: Transport) -> bool {
        self.port == port.unwrap_or(transport.default_port())
            && self.host.eq_ignore_ascii_case(host)
    }
}

/// The Via that a request of ours is to carry on top, and what else there is to know about the way
/// that it will leave by.
#[derive(Debug)]
pub struct ViaStamp<'a> {
    transport: Transport,
    station: &'a Station,
    value: &'a [u8],
    branch: usize,
    connection: Option<ConnectionId>,
}

impl<'a> ViaStamp<'a> {
    pub(crate) fn new(
        transport: Transport,
        station: &'a Station,
        value: &'a [u8],
        branch: usize,
        connection: Option<ConnectionId>,
    ) -> Self {
        ViaStamp { transport, station, value, branch, connection }
    }

    /// The header field value. More may be written after it, to become part of the branch: the
    /// branch is the last parameter (a proxy puts its loop detection hash there, RFC 3261 section
    /// 16.6 item 8), or further parameters after a semicolon.
    pub fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The branch.
    pub fn branch(&self) -> &'a [u8] {
        self.value.get(self.branch..).unwrap_or_default()
    }

    /// The connection that it was told to leave by.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.connection
    }

    /// The transport that the request leaves by.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The listener that stands for us there: what Record-Route and Contact should name.
    pub fn listener(&self) -> &'a Listener {
        &self.station.listener
    }

    /// Our host and port as Via has them.
    pub fn sent_by(&self) -> &'a [u8] {
        &self.station.sent_by
    }
}

/// Writes a Via value whose branch is the cookie and `token`, and gives the place of the branch.
pub(crate) fn write_value(
    transport: Transport,
    station: &Station,
    alias: bool,
    token: &[u8],
    to: &mut Vec<u8>,
) -> usize {
    write_prefix(transport, station, alias, to);
    let branch = to.len();
    to.extend_from_slice(COOKIE);
    to.extend_from_slice(token);
    branch
}

/// What stands before the branch.
pub(crate) fn write_prefix(transport: Transport, station: &Station, alias: bool, to: &mut Vec<u8>) {
    to.extend_from_slice(b"SIP/2.0/");
    to.extend_from_slice(transport.via_token().as_bytes());
    to.push(b' ');
    if station.listener.transport == transport {
        to.extend_from_slice(&station.sent_by);
    } else {
        // Another transport's default port is not this one's.
        to.extend_from_slice(&station.host);
        to.extend_from_slice(format!(":{}", station.port).as_bytes());
    }
    // RFC 3581 section 3 for datagrams, RFC 5923 section 4 for TLS.
    if !transport.reliable() {
        to.extend_from_slice(b";rport");
    } else if alias && transport == Transport::Tls {
        to.extend_from_slice(b";alias");
    }
    to.extend_from_slice(b";branch=");
}
