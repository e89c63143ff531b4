//! Making the sockets.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use towel_core::io::{Listener, ListenerId, Transport};

use crate::config::{Bind, Limits};
use crate::steer;
use crate::succession::Given;
use crate::sys;

/// Why a listener could not be had.
#[derive(Debug)]
pub struct BindFault {
    /// What was to be spoken.
    pub transport: Transport,
    /// Where.
    pub addr: SocketAddr,
    /// Why not.
    pub why: io::Error,
}

impl fmt::Display for BindFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen with {} at {}: {}", self.transport, self.addr, self.why)
    }
}

impl std::error::Error for BindFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.why)
    }
}

/// A bound socket and what the core knows of it.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: Listener,
    pub(crate) socket: Listening,
    /// The listener's number in the process that had the socket before.
    pub(crate) given: Option<u16>,
}

#[derive(Debug)]
pub(crate) enum Listening {
    Datagrams(UdpSocket),
    Streams(TcpListener),
    /// It was, and is no more; its number is not used again.
    Gone,
}

/// Sockets for a driver that runs already.
#[derive(Debug)]
pub struct Opened(pub(crate) Vec<Bound>);

impl Opened {
    /// Binds everything or nothing. The listeners are numbered from `first`, which must be above
    /// every number that the driver has ever had.
    ///
    /// # Errors
    /// Which could not be had, and why.
    pub fn bind(binds: &[Bind], limits: &Limits, first: u16) -> Result<Self, BindFault> {
        bind_all(binds, limits, usize::from(first), &mut Vec::new()).map(Self)
    }

    /// The same for each of so many shards.
    ///
    /// # Errors
    /// Which could not be had, and why.
    pub fn shards(
        binds: &[Bind],
        limits: &Limits,
        first: u16,
        count: usize,
    ) -> Result<Vec<Self>, BindFault> {
        let one = bind_all(binds, limits, usize::from(first), &mut Vec::new())?;
        let others = (1..count).map(|_| beside(&one, limits)).collect::<Result<Vec<_>, _>>()?;
        lead(&one, count)?;
        Ok(std::iter::once(one).chain(others).map(Self).collect())
    }

    /// What the core will know of them.
    pub fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.0.iter().map(|bound| &bound.listener)
    }
}

/// Binds the same once more, for another shard. The first ones are bound without leave for others,
/// so that nobody else's are joined; these then join them.
pub(crate) fn beside(first: &[Bound], limits: &Limits) -> Result<Vec<Bound>, BindFault> {
    let another = |bound: &Bound| {
        let Listener { transport, local, .. } = bound.listener;
        let fault = |why| BindFault { transport, addr: local, why };
        match &bound.socket {
            Listening::Datagrams(socket) => SockRef::from(socket).set_reuse_port(true),
            Listening::Streams(socket) => SockRef::from(socket).set_reuse_port(true),
            Listening::Gone => Ok(()),
        }
        .map_err(fault)?;
        let (socket, _) = one(transport, local, limits, true).map_err(fault)?;
        Ok(Bound { listener: bound.listener.clone(), socket, given: None })
    };
    first.iter().map(another).collect()
}

/// Has responses led to their shards, where there are several.
pub(crate) fn lead(first: &[Bound], count: usize) -> Result<(), BindFault> {
    for bound in first.iter().filter(|_| count > 1) {
        if let Listening::Datagrams(socket) = &bound.socket {
            let Listener { transport, local: addr, .. } = bound.listener;
            steer::lead_responses(socket).map_err(|why| BindFault { transport, addr, why })?;
        }
    }
    Ok(())
}

/// Binds everything or nothing, numbering from `first`; what was `given` is taken and not bound anew.
pub(crate) fn bind_all(
    binds: &[Bind],
    limits: &Limits,
    first: usize,
    given: &mut Vec<Given>,
) -> Result<Vec<Bound>, BindFault> {
    let mut bound: Vec<Bound> = Vec::new();
    for bind in binds {
        let fault = |why| BindFault { transport: bind.transport, addr: bind.addr, why };
        for addr in expanded(bind.addr).map_err(fault)? {
            let fault = |why| BindFault { transport: bind.transport, addr, why };
            let number = u16::try_from(first + bound.len())
                .map_err(|_| fault(io::Error::other("too many listeners")))?;
            let taken = given.iter().position(|one| is_for(one, bind.transport, addr));
            let taken = taken.map(|at| given.swap_remove(at));
            let (from, (socket, local)) = match taken {
                Some(Given { id, local, socket, .. }) => {
                    let socket = match bind.transport {
                        Transport::Udp => Listening::Datagrams(socket.into()),
                        _ => Listening::Streams(socket.into()),
                    };
                    (Some(id), (socket, local))
                }
                None => (None, one(bind.transport, addr, limits, false).map_err(fault)?),
            };
            bound.push(Bound {
                listener: Listener {
                    id: ListenerId(number),
                    transport: bind.transport,
                    local,
                    advertised: bind.advertised.clone(),
                },
                socket,
                given: from,
            });
        }
    }
    Ok(bound)
}

/// Whether a socket that another process had is what is asked for.
fn is_for(one: &Given, transport: Transport, addr: SocketAddr) -> bool {
    let left_to_the_system = addr.port() == 0 && one.asked == 0 && one.local.ip() == addr.ip();
    one.transport == transport && (one.local == addr || left_to_the_system)
}

/// The addresses that are meant by the unspecified one: those of the interfaces that are up, of
/// its family. Link-local ones are left out: they mean nothing without their interface.
fn expanded(addr: SocketAddr) -> io::Result<Vec<SocketAddr>> {
    if !addr.ip().is_unspecified() {
        return Ok(vec![addr]);
    }
    let interfaces = nix::ifaddrs::getifaddrs()?.filter_map(|interface| {
        let storage = interface.address?;
        match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
            (Some(v4), _) => Some(IpAddr::from(v4.ip())),
            (_, Some(v6)) => Some(IpAddr::from(v6.ip())),
            _ => None,
        }
    });
    among(addr, interfaces)
}

/// The addresses of these interfaces that an unspecified one stands for.
fn among(
    addr: SocketAddr,
    interfaces: impl Iterator<Item = IpAddr>,
) -> io::Result<Vec<SocketAddr>> {
    let mut list: Vec<SocketAddr> = Vec::new();
    for ip in interfaces {
        let link_local = match ip {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let each = SocketAddr::new(ip, addr.port());
        if ip.is_ipv6() == addr.is_ipv6() && !link_local && !list.contains(&each) {
            list.push(each);
        }
    }
    // The address that others can reach comes first: what has to choose one chooses that.
    list.sort_by_key(|a| a.ip().is_loopback());
    if list.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            match addr {
                SocketAddr::V4(_) => "this machine has no IPv4 address",
                SocketAddr::V6(_) => {
                    "this machine has no IPv6 address: it is without IPv6, or that \
                     is switched off. Leave this listener out"
                }
            },
        ));
    }
    Ok(list)
}

fn one(
    transport: Transport,
    addr: SocketAddr,
    limits: &Limits,
    join: bool,
) -> io::Result<(Listening, SocketAddr)> {
    let domain = Domain::for_address(addr);
    match transport {
        Transport::Udp => {
            let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
            if addr.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            // As much as the system grants: a smaller buffer drops more in a burst, and works.
            let _ = socket.set_recv_buffer_size(limits.udp_buffer);
            let _ = socket.set_send_buffer_size(limits.udp_buffer);
            socket.set_nonblocking(true)?;
            sys::want_errors(socket.as_fd(), addr.is_ipv6())?;
            socket.set_reuse_port(join)?;
            socket.bind(&addr.into())?;
            let socket = UdpSocket::from(socket);
            let local = socket.local_addr()?;
            Ok((Listening::Datagrams(socket), local))
        }
        Transport::Tcp | Transport::Tls => {
            let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
            if addr.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            // A restart must not wait for the old connections' TIME_WAIT.
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(join)?;
            socket.set_nonblocking(true)?;
            socket.bind(&addr.into())?;
            socket.listen(limits.backlog)?;
            let socket = TcpListener::from(socket);
            let local = socket.local_addr()?;
            Ok((Listening::Streams(socket), local))
        }
        Transport::Ws | Transport::Wss | Transport::Sctp => {
            Err(io::Error::new(io::ErrorKind::Unsupported, "this transport is not built yet"))
        }
    }
}

/// Begins a connection, from the address of one of our listeners if that is given.
pub(crate) fn connect(
    remote: SocketAddr,
    from: Option<SocketAddr>,
) -> io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // From a loopback address nothing leads outside.
    let fits = |f: &SocketAddr| {
        f.is_ipv6() == remote.is_ipv6() && (!f.ip().is_loopback() || remote.ip().is_loopback())
    };
    if let Some(from) = from.filter(fits) {
        socket.bind(&SocketAddr::new(from.ip(), 0).into())?;
    }
    match socket.connect(&remote.into()) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(nix::libc::EINPROGRESS) => {}
        Err(e) => return Err(e),
    }
    let stream = std::net::TcpStream::from(socket);
    prepare(&stream);
    Ok(stream)
}

/// What every connection gets: no waiting for full segments, and an end when the peer's machine
/// is gone although bytes wait for it. None of it is worth failing for.
pub(crate) fn prepare(stream: &std::net::TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(std::time::Duration::from_secs(30)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> impl Iterator<Item = IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn the_unspecified_address_stands_for_those_of_its_family() {
        let here = ["127.0.0.1", "::1", "192.0.2.1", "fe80::1", "169.254.3.4", "2001:db8::1"];
        let of = |addr: &str| -> Vec<String> {
            let all = among(addr.parse().unwrap(), ips(&here)).unwrap();
            all.iter().map(ToString::to_string).collect()
        };
        assert_eq!(of("0.0.0.0:5060"), ["192.0.2.1:5060", "127.0.0.1:5060"]);
        assert_eq!(of("[::]:5060"), ["[2001:db8::1]:5060", "[::1]:5060"]);
    }

    #[test]
    fn a_socket_that_was_given_is_taken_where_it_is_what_is_asked_for() {
        let limits = Limits::default();
        let any = Bind::new(Transport::Udp, "127.0.0.1:0".parse().unwrap());
        let first = bind_all(std::slice::from_ref(&any), &limits, 0, &mut Vec::new()).unwrap();
        let local = first[0].listener.local;
        let give = |asked| {
            let Listening::Datagrams(socket) = &first[0].socket else { unreachable!() };
            let socket = socket.try_clone().unwrap().into();
            vec![Given { id: 7, transport: Transport::Udp, local, asked, socket }]
        };
        for (bind, asked, is_taken) in [
            (&any, 0, true),
            // That port was chosen by somebody; any other will do.
            (&any, local.port(), false),
            (&Bind::new(Transport::Udp, local), local.port(), true),
            (&Bind::new(Transport::Udp, local), 0, true),
            (&Bind::new(Transport::Tcp, local), local.port(), false),
        ] {
            let mut given = give(asked);
            let bound = bind_all(std::slice::from_ref(bind), &limits, 3, &mut given).unwrap();
            assert_eq!(given.is_empty(), is_taken, "{bind:?} {asked}");
            assert_eq!(bound[0].given, is_taken.then_some(7));
            assert_eq!(bound[0].listener.local == local && is_taken, is_taken);
            assert_eq!(bound[0].listener.id, ListenerId(3));
        }
    }

    #[test]
    fn a_machine_without_ipv6_is_told_so() {
        let none = among("[::]:5060".parse().unwrap(), ips(&["127.0.0.1", "fe80::1"])).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::AddrNotAvailable);
        let why = none.to_string();
        assert!(
            why.contains("no IPv6 address") && why.contains("Leave this listener out"),
            "{why}"
        );
    }
}
