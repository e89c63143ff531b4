//! The way to ourselves: a copy whose next hop is a domain of ours (a user registered as another
//! user's contact, a Route that names us twice) comes in again by a listener of ours. No DNS is
//! asked: what it says of our own name may be unknown here, or be the address of a balancer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use towel_message::{Host, SipUri, Uri};

use crate::io::{Flow, Listener, Transport};
use crate::server::Domains;

/// Where to send what goes to `uri`, if that is one of our names.
pub(super) fn way_home(
    uri: &[u8],
    source: &Flow,
    domains: &Domains,
) -> Option<(Transport, SocketAddr)> {
    let Ok(Uri::Sip(uri)) = Uri::parse(uri) else { return None };
    if uri.maddr().is_some() || !domains.owns_uri(&uri) {
        return None;
    }
    let transport = match (uri.transport(), uri.secure) {
        (None, false) => Transport::Udp,
        (None, true) => Transport::Tls,
        (Some(token), secure) => match Transport::from_token(token)? {
            Transport::Tcp if secure => Transport::Tls,
            other => other,
        },
    };
    // An address means what it says, but for one that stands for us outside only.
    let fits = |listener: &&Listener| match uri.host {
        Host::Name(_) => true,
        Host::V4(_) | Host::V6(_) => is_advertised(listener, &uri, transport),
    };
    let rank = |listener: &&Listener| {
        (
            uri.port.is_some_and(|port| port != listener.local.port()),
            listener.id != source.listener,
            listener.local.is_ipv4() != source.local.is_ipv4(),
        )
    };
    let listener = domains
        .listeners()
        .iter()
        .filter(|listener| listener.transport == transport)
        .filter(fits)
        .min_by_key(rank)?;
    let ip = match listener.local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    Some((transport, SocketAddr::new(ip, listener.local.port())))
}

fn is_advertised(listener: &Listener, uri: &SipUri<'_>, transport: Transport) -> bool {
    let Some((host, port)) = &listener.advertised else { return false };
    let ip = Host::parse(host.as_bytes()).and_then(|host| host.ip());
    ip.is_some() && ip == uri.host.ip() && uri.port.unwrap_or(transport.default_port()) == *port
}
