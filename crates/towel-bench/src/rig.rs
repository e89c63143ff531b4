//! The server under count: production's own composition, with one UDP listener and no sockets.

use std::net::SocketAddr;
use std::time::Duration;

use towel_core::auth::User;
use towel_core::io::{
    Input, Instant, Listener, ListenerId, Machine as _, Now, Outbox, Output, Transport,
};
use towel_core::server::Endpoint;
use towel_server::{config, run, settings};

/// The domain of the server.
pub const DOMAIN: &str = "bench.test";

/// A server, its clock, and what it sent last.
#[derive(Debug)]
pub struct Rig {
    server: Endpoint,
    now: Now,
    out: Outbox,
    sent: Vec<(SocketAddr, std::ops::Range<usize>)>,
    room: Vec<u8>,
    step: Duration,
}

impl Rig {
    /// A server of these settings, in TOML.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(toml: &str) -> Result<Rig, String> {
        let config = config::parse("bench", toml).map_err(|problems| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        })?;
        let settings = settings::core(&config, [7; 16]);
        let mut server = Endpoint::new(settings, run::registry(&config)?, [9; 32]);
        let now = Now { at: Instant(1_000_000), unix: 1_800_000_000 };
        let mut out = Outbox::new();
        let listener = Listener {
            id: ListenerId(0),
            transport: Transport::Udp,
            local: address(5060),
            advertised: None,
        };
        server.handle(now, Input::Listening(listener), &mut out);
        out.clear();
        Ok(Rig {
            server,
            now,
            out,
            sent: Vec::new(),
            room: Vec::new(),
            step: Duration::from_millis(1),
        })
    }

    /// Makes users `u0` to `u(count-1)` with passwords `pw0` and so on.
    pub fn users(&mut self, count: usize) {
        for i in 0..count {
            let user = User::new(&format!("u{i}"), DOMAIN, &format!("pw{i}"));
            self.server.server_mut().users_mut().insert(user);
        }
    }

    /// Sends a datagram from a port of this machine to the server, and runs what is due.
    pub fn send(&mut self, from: u16, bytes: &[u8]) {
        self.out.clear();
        self.now.at = self.now.at + self.step;
        self.now.unix = 1_800_000_000 + self.now.at.0 / 1_000_000;
        let input = Input::Datagram { listener: ListenerId(0), remote: address(from), bytes };
        crate::measured(&mut self.server, self.now, input, &mut self.out);
        if self.server.deadline().is_some_and(|at| at <= self.now.at) {
            crate::measured(&mut self.server, self.now, Input::Tick, &mut self.out);
        }
        self.sent.clear();
        for output in &self.out.outputs {
            if let Output::Transmit { flow, bytes } = output {
                self.sent.push((flow.remote, bytes.clone()));
            }
        }
        std::mem::swap(&mut self.room, &mut self.out.arena);
    }

    /// What the last input made the server send to a port, in order.
    pub fn sent_to(&self, port: u16) -> impl Iterator<Item = &[u8]> {
        let to = address(port);
        self.sent
            .iter()
            .filter(move |(remote, _)| *remote == to)
            .filter_map(|(_, range)| self.room.get(range.clone()))
    }

    /// How much the last input made the server send.
    pub fn sent(&self) -> usize {
        self.sent.len()
    }

    /// Whether every table is empty; time is moved on so that all timers have had their turn.
    pub fn drains(&mut self) -> bool {
        for _ in 0..10_000 {
            let Some(at) = self.server.deadline() else { break };
            if at > self.now.at + Duration::from_secs(300) {
                break;
            }
            self.now.at = at.max(self.now.at);
            self.out.clear();
            self.server.handle(self.now, Input::Tick, &mut self.out);
        }
        self.server.is_drained()
    }

    /// Sets how far the clock moves with each input; a millisecond at first.
    pub fn set_step(&mut self, step: Duration) {
        self.step = step;
    }

    /// Lets time pass until everything that was begun is over; counted.
    pub fn expire(&mut self) {
        for _ in 0..1_000_000 {
            let Some(at) = self.server.deadline() else { break };
            if at > self.now.at + Duration::from_secs(300) {
                break;
            }
            self.now.at = at.max(self.now.at);
            self.out.clear();
            crate::measured(&mut self.server, self.now, Input::Tick, &mut self.out);
        }
    }
}

/// An address of this machine.
pub fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
