//! The server under count: production's own composition, with one listener by UDP and one by TCP, and no sockets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use towel_core::auth::User;
use towel_core::io::{
    ConnectionId, Flow, Input, Instant, Listener, ListenerId, Machine as _, Now, Outbox, Output,
    Record, Transport,
};
use towel_core::server::Endpoint;
use towel_server::{config, run, settings};

use crate::scale;

/// The domain of the server.
pub const DOMAIN: &str = "bench.test";

/// Shards that several threads use.
type Shards = Arc<Vec<Mutex<Endpoint>>>;

/// Whose server it is.
#[derive(Debug)]
enum Place {
    Own(Box<Endpoint>),
    /// Shards, and which of them has what comes next.
    Shared(Shards, usize),
}

impl Place {
    fn with<R>(&mut self, act: impl FnOnce(&mut Endpoint) -> R) -> R {
        match self {
            Place::Own(server) => act(server),
            Place::Shared(all, at) => {
                #[expect(clippy::indexing_slicing, reason = "a shard that there is was set")]
                let shard = &all[*at % all.len()];
                act(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}

/// A server, its clock, and what it sent last.
#[derive(Debug)]
pub struct Rig {
    place: Place,
    /// The time is that of this clock, where several are at one server.
    clock: Option<std::time::Instant>,
    now: Now,
    out: Outbox,
    sent: Vec<(SocketAddr, std::ops::Range<usize>)>,
    room: Vec<u8>,
    step: Duration,
    counting: bool,
    longest: Option<Duration>,
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
        for (id, transport) in [(0, Transport::Udp), (1, Transport::Tcp)] {
            let (id, local) = (ListenerId(id), address(5060));
            let listener = Listener { id, transport, local, advertised: None };
            server.handle(now, Input::Listening(listener), &mut out);
        }
        out.clear();
        Ok(Rig::at(Place::Own(Box::new(server)), now, out))
    }

    /// One of several at the same shards.
    pub(crate) fn shared(shards: Shards, clock: std::time::Instant) -> Rig {
        let now = Now { at: Instant(1_000_000), unix: 1_800_000_000 };
        let mut rig = Rig::at(Place::Shared(shards, 0), now, Outbox::new());
        rig.clock = Some(clock);
        rig
    }

    fn at(place: Place, now: Now, out: Outbox) -> Rig {
        Rig {
            place,
            clock: None,
            now,
            out,
            sent: Vec::new(),
            room: Vec::new(),
            step: Duration::from_millis(1),
            counting: false,
            longest: None,
        }
    }

    /// Which shard has what comes next.
    pub(crate) fn set_shard(&mut self, shard: usize) {
        if let Place::Shared(_, at) = &mut self.place {
            *at = shard;
        }
    }

    /// The server alone.
    ///
    /// # Errors
    /// If others have it, too.
    pub fn into_server(self) -> Result<Endpoint, String> {
        match self.place {
            Place::Own(server) => Ok(*server),
            Place::Shared(..) => Err("the server is shared".into()),
        }
    }

    /// Makes users `u0` to `u(count-1)` with passwords `pw0` and so on.
    pub fn users(&mut self, count: usize) {
        for i in 0..count {
            let user = User::new(&format!("u{i}"), DOMAIN, &format!("pw{i}"));
            self.place.with(|server| server.server_mut().users_mut().insert(user));
        }
    }

    /// Sends a datagram from a port of this machine to the server, and runs what is due.
    pub fn send(&mut self, from: u16, bytes: &[u8]) {
        let remote = address(from);
        self.give(Input::Datagram { listener: ListenerId(0), remote, bytes });
    }

    /// Sends bytes on a connection that was made, and runs what is due.
    pub fn send_on(&mut self, connection: u64, bytes: &[u8]) {
        self.give(Input::Stream { connection: ConnectionId(connection), bytes });
    }

    /// Has a client connect, from an address of its own.
    pub fn connect(&mut self, connection: u64) {
        let flow = Flow {
            transport: Transport::Tcp,
            listener: ListenerId(1),
            local: address(5060),
            remote: client_of(connection),
            connection: Some(ConnectionId(connection)),
        };
        let connection = ConnectionId(connection);
        self.give(Input::Opened { connection, flow, identities: Vec::new() });
    }

    /// Puts bindings where a store would: before anything is served.
    pub fn load(&mut self, records: &[Record]) {
        self.out.clear();
        let (now, out) = (self.now, &mut self.out);
        self.place.with(|server| server.server_mut().load(now, out, records));
    }

    /// What the last input had stored.
    pub fn stored(&self) -> Option<&Record> {
        self.out.outputs.iter().find_map(|output| match output {
            Output::Store { record, .. } => Some(record),
            _ => None,
        })
    }

    /// Whether from now on inputs are given by [`crate::counted`].
    pub fn set_counting(&mut self, counting: bool) {
        self.counting = counting;
    }

    /// The longest time that this thread spent on one input since it was last asked; the first time
    /// nought.
    pub fn take_longest(&mut self) -> Duration {
        self.longest.replace(Duration::ZERO).unwrap_or_default()
    }

    fn handle(&mut self, input: Input<'_>) {
        let (now, out, counting) = (self.now, &mut self.out, self.counting);
        let (place, longest) = (&mut self.place, &mut self.longest);
        place.with(|server| {
            let began = longest.map(|_| scale::thread_time());
            if counting {
                crate::counted(server, now, input, out);
            } else {
                crate::measured(server, now, input, out);
            }
            if let (Some(longest), Some(began)) = (longest, began) {
                *longest = (*longest).max(scale::thread_time().saturating_sub(began));
            }
        });
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.place.with(|server| server.deadline())
    }

    fn give(&mut self, input: Input<'_>) {
        self.out.clear();
        self.now.at = match self.clock {
            // Slowly, so that whoever has to wait for a lock meets no retransmission.
            Some(clock) => Instant(1_000_000) + clock.elapsed() / 1000,
            None => self.now.at + self.step,
        };
        self.now.unix = 1_800_000_000 + self.now.at.0 / 1_000_000;
        self.handle(input);
        if self.deadline().is_some_and(|at| at <= self.now.at) {
            self.handle(Input::Tick);
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
            let Some(at) = self.deadline() else { break };
            if at > self.now.at + Duration::from_secs(300) {
                break;
            }
            self.now.at = at.max(self.now.at);
            self.out.clear();
            let (now, out) = (self.now, &mut self.out);
            self.place.with(|server| server.handle(now, Input::Tick, out));
        }
        self.place.with(|server| server.is_drained())
    }

    /// Sets how far the clock moves with each input; a millisecond at first.
    pub fn set_step(&mut self, step: Duration) {
        self.step = step;
    }

    /// Lets time pass until everything that was begun is over; counted.
    pub fn expire(&mut self) {
        for _ in 0..1_000_000 {
            let Some(at) = self.deadline() else { break };
            if at > self.now.at + Duration::from_secs(300) {
                break;
            }
            self.tick(at);
        }
    }

    /// Lets so much time pass.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.at + time;
        while let Some(at) = self.deadline().filter(|at| *at <= end) {
            self.tick(at);
        }
        self.now.at = end;
    }

    fn tick(&mut self, at: Instant) {
        self.now.at = at.max(self.now.at);
        self.now.unix = 1_800_000_000 + self.now.at.0 / 1_000_000;
        self.out.clear();
        self.handle(Input::Tick);
    }

    /// How many users have bindings.
    pub fn registered(&mut self) -> usize {
        self.place.with(|server| server.server().registrar().records())
    }
}

/// Where the client of a connection is: no two are at the same place.
fn client_of(connection: u64) -> SocketAddr {
    let place = connection.to_be_bytes();
    SocketAddr::from(([10, place[5], place[6], place[7]], 40_002))
}

/// An address of this machine.
pub fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
