//! What the driver is to do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use towel_core::io::Transport;

use crate::resolver::ResolverConfig;
use crate::tls::Tls;

/// One address to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// What to speak there.
    pub transport: Transport,
    /// Where. The unspecified address stands for every address that the host has when the driver
    /// is made: each becomes a listener of its own, so that an answer always leaves from the
    /// address that was asked, and Via and Record-Route carry one that leads back. Port 0 takes a
    /// free one.
    pub addr: SocketAddr,
    /// What to write into Via and Record-Route instead.
    pub advertised: Option<(String, u16)>,
}

impl Bind {
    /// Listens there under the address itself.
    pub fn new(transport: Transport, addr: SocketAddr) -> Self {
        Self { transport, addr, advertised: None }
    }
}

/// Everything that the driver needs to begin.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub binds: Vec<Bind>,
    /// Certificates and authorities; needed by listeners and connections with TLS.
    pub tls: Option<Arc<Tls>>,
    /// The bounds.
    pub limits: Limits,
    /// How to ask the DNS; none answers every question with failure.
    pub resolver: Option<ResolverConfig>,
    /// Come back at a machine's deadline to the microsecond and not to the millisecond, where the
    /// deadline is near. Costs a system call for each such wait; protocol timers do not need it, a
    /// schedule of sending does.
    pub precise: bool,
}

impl Config {
    /// Listens at these, with everything else as usual.
    pub fn new(binds: Vec<Bind>) -> Self {
        Self {
            binds,
            tls: None,
            limits: Limits::default(),
            resolver: Some(ResolverConfig::default()),
            precise: false,
        }
    }
}

/// The driver's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The kernel's buffers of a UDP socket, each way, as far as the system allows.
    pub udp_buffer: usize,
    /// How many connections there may be. What comes after is turned away.
    pub max_connections: usize,
    /// How many connections one remote address may have.
    pub max_connections_per_address: usize,
    /// How many bytes may wait to be sent on one connection before it is closed as too slow.
    pub max_queue: usize,
    /// For how long what waits to be sent on a connection may make no progress.
    pub stall_time: Duration,
    /// For how long a connect may take.
    pub connect_time: Duration,
    /// For how long a TLS handshake may take.
    pub handshake_time: Duration,
    /// For how long an accepted connection may say nothing at all.
    pub first_word_time: Duration,
    /// For how long a connection may be silent both ways.
    pub idle_time: Duration,
    /// How many connections may be queued by the kernel at a listener.
    pub backlog: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            udp_buffer: 4 << 20,
            max_connections: 100_000,
            max_connections_per_address: 20_000,
            max_queue: 1 << 20,
            stall_time: Duration::from_secs(20),
            connect_time: Duration::from_secs(6),
            handshake_time: Duration::from_secs(10),
            first_word_time: Duration::from_secs(60),
            idle_time: Duration::from_secs(7200),
            backlog: 1024,
        }
    }
}
