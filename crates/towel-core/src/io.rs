//! The boundary: everything that crosses between the protocol and the world.
//!
//! A [`Machine`] is handed one [`Input`] at a time, with the time of it, and appends [`Output`]s to
//! an [`Outbox`] which the driver drains before the next input. There is no other way in or out,
//! so a recorder, a tracer, the simulator and the driver each have one place to stand.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

pub use crate::locating::QueryId;
use crate::locating::{Answer, Question};
use crate::overload::Shed;
use crate::settings::Settings;
use crate::shards::{Errand, Journal};

/// A moment on the driver's monotonic clock, in microseconds since an origin of its choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The time from `earlier` to this moment, nought if `earlier` is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, by: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// The time that comes with an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: what timers are set by.
    pub at: Instant,
    /// The wall clock in seconds since 1970: what a Date header field or an expiry on disk needs.
    pub unix: u64,
}

/// A transport that SIP has a name for in Via (RFC 3261 section 20.42, RFC 7118, RFC 4168).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A plain stream.
    Tcp,
    /// A stream under TLS.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket under TLS (RFC 7118).
    Wss,
    /// SCTP (RFC 4168).
    Sctp,
}

impl Transport {
    /// All of them.
    pub const ALL: [Transport; 6] = [
        Transport::Udp,
        Transport::Tcp,
        Transport::Tls,
        Transport::Ws,
        Transport::Wss,
        Transport::Sctp,
    ];

    /// Whether the transport itself takes care of loss (RFC 3261 section 17: "reliable").
    pub fn reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// Whether it is protected by TLS.
    pub fn secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Wss)
    }

    /// The word for it in a Via header field.
    pub fn via_token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
            Transport::Sctp => "SCTP",
        }
    }

    /// The value of a `transport` URI parameter that asks for it. TLS has none of its own
    /// (RFC 3261 section 26.2.2 deprecates `transport=tls`): a sips URI over TCP is what asks
    /// for it; but the word is understood and written where a flow over TLS has to be named.
    pub fn uri_token(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            // RFC 7118 section 5.2: both are "ws" in a URI, sip or sips tells which.
            Transport::Ws | Transport::Wss => "ws",
            Transport::Sctp => "sctp",
        }
    }

    /// The transport that a word names, in any case.
    pub fn from_token(token: &[u8]) -> Option<Transport> {
        Transport::ALL
            .into_iter()
            .find(|transport| token.eq_ignore_ascii_case(transport.via_token().as_bytes()))
    }

    /// The port that is meant where none is written (RFC 3261 section 19.1.2, RFC 7118 section 5).
    pub fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp | Transport::Sctp => 5060,
            Transport::Tls => 5061,
            Transport::Ws => 80,
            Transport::Wss => 443,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.via_token())
    }
}

/// A listener of the driver's, numbered by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u16);

/// What the core must know of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its number.
    pub id: ListenerId,
    /// What it speaks.
    pub transport: Transport,
    /// Where it is bound; the port is the true one, never 0.
    pub local: SocketAddr,
    /// The host (name or address) and port to put into Via, Record-Route and Contact instead of
    /// the bound address: behind a NAT, or when bound to the unspecified address.
    pub advertised: Option<(String, u16)>,
}

/// A connection. Never reused. The driver numbers the accepted ones from 0; the core numbers
/// those that it asks for, with the top bit set. Where a server has several shards, the number says
/// whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// The bit that the ids have that the core makes.
    pub const OPENED_BY_CORE: u64 = 1 << 63;
    /// Where the shard's number begins: below it there is room for as many connections as one shard
    /// will ever have, and six bits are enough for [`crate::shards::MOST`].
    pub const SHARD: u32 = 42;

    /// The shard that accepted or opened it.
    pub fn shard(self) -> u8 {
        (self.0 >> Self::SHARD) as u8 & 63
    }

    /// The first number of a shard.
    pub fn first_of(shard: u8) -> ConnectionId {
        ConnectionId(u64::from(shard) << Self::SHARD)
    }

    /// Whether the core asked for this connection (as opposed to a peer having made it).
    pub fn is_ours(self) -> bool {
        self.0 & Self::OPENED_BY_CORE != 0
    }
}

/// Where a message came from, or is to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The transport.
    pub transport: Transport,
    /// The listener that it came in by; for a connection that we opened the listener whose
    /// address stands for us there.
    pub listener: ListenerId,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// The connection, where the transport has one.
    pub connection: Option<ConnectionId>,
}

/// Something given to the store whose safety is waited for. The uppermost octet is the number of the
/// shard that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

impl Ticket {
    /// The one with that number of a shard.
    pub fn of(shard: u8, number: u64) -> Ticket {
        Ticket(u64::from(shard) << 56 | number)
    }

    /// The shard that waits.
    pub fn shard(self) -> u8 {
        (self.0 >> 56) as u8
    }
}

/// A durable key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which table it is of.
    pub table: u8,
    /// The key, unique in its table.
    pub key: Vec<u8>,
    /// The value; `None` deletes.
    pub value: Option<Vec<u8>>,
}

/// Why a record could not be made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// The disk is full.
    Full,
    /// It could not be written.
    Io,
    /// The store is closing.
    Closed,
}

/// Why a connection ended, or never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed it in order.
    Peer,
    /// The peer reset it, or it failed in use.
    Reset,
    /// Nobody listens there: the connect was refused.
    Refused,
    /// No route, or another failure to connect.
    Failed,
    /// The connect or the handshake took too long.
    TimedOut,
    /// TLS was not agreed, or the certificate does not name who was asked for.
    Tls,
    /// We closed it: idle, or at the core's word.
    Ours,
    /// The peer did not take what we sent.
    Slow,
}

/// What the world tells.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A listener is up. Told before anything comes in by it, and again when it is to be known by
    /// another name.
    Listening(Listener),
    /// A listener is gone: nothing comes in or leaves by it any more. Its connections stay.
    ListenerGone(ListenerId),
    /// A datagram.
    Datagram {
        /// By which listener.
        listener: ListenerId,
        /// From where.
        remote: SocketAddr,
        /// What.
        bytes: &'a [u8],
    },
    /// A connection is ready for use: accepted, or one that [`Output::Open`] asked for.
    Opened {
        /// Which.
        connection: ConnectionId,
        /// Its ends.
        flow: Flow,
        /// The names that the peer's certificate is valid for and was verified for.
        identities: Vec<String>,
    },
    /// Bytes of a stream; for WebSocket one whole message.
    Stream {
        /// Which.
        connection: ConnectionId,
        /// What.
        bytes: &'a [u8],
    },
    /// A connection has ended, or could not be made.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// Why.
        why: CloseReason,
    },
    /// The network says that datagrams do not get there (an ICMP error).
    Unreachable {
        /// By which listener.
        listener: ListenerId,
        /// Where.
        remote: SocketAddr,
    },
    /// DNS has answered.
    Resolved {
        /// Which query.
        query: QueryId,
        /// The answer.
        answer: Answer,
    },
    /// The store has made a record safe, or could not.
    Stored {
        /// Which.
        ticket: Ticket,
        /// How it went.
        result: Result<(), StoreFault>,
    },
    /// Another shard of this server has something for this one to do.
    FromShard {
        /// What.
        errand: Errand,
        /// The message that it is about, if any.
        bytes: &'a [u8],
    },
    /// How long what is read now has waited with the driver. Told while messages come faster than
    /// they are taken in, and once when that is over.
    Backlog {
        /// How long; nought: nothing waits.
        wait: Duration,
        /// How much of the room where it waits is taken, in hundredths.
        fill: u8,
    },
    /// Time has passed: run what is due.
    Tick,
    /// Somebody in charge wants something.
    Command(Command),
}

/// What somebody in charge wants.
#[derive(Clone, Debug)]
pub enum Command {
    /// New settings; calls in progress go on.
    Reload(Box<Settings>),
    /// Records that the store held at the start.
    Load(Vec<Record>),
    /// Take nothing new, end what there is.
    Drain,
    /// Somebody else takes what is new: end what there is, and pass on what belongs to none of it
    /// ([`Output::PassOn`]).
    HandOver,
}

/// What is wanted of the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send these bytes of the outbox's arena.
    Transmit {
        /// Where to.
        flow: Flow,
        /// Which bytes of [`Outbox::arena`].
        bytes: Range<usize>,
    },
    /// Make a connection; answered by [`Input::Opened`] or [`Input::Closed`]. What is transmitted
    /// on it before that is kept by the driver, within a bound, and goes out when it is up.
    Open {
        /// The id that it shall have.
        connection: ConnectionId,
        /// What to speak.
        transport: Transport,
        /// From the address of this listener, where it can be.
        listener: Option<ListenerId>,
        /// Where to.
        remote: SocketAddr,
        /// The name that its certificate must be valid for (RFC 5922).
        server_name: Option<String>,
    },
    /// End a connection, after what was sent before.
    Close {
        /// Which.
        connection: ConnectionId,
    },
    /// Ask DNS.
    Resolve {
        /// The id that the answer shall have.
        query: QueryId,
        /// What to ask.
        question: Question,
    },
    /// Make a record safe.
    Store {
        /// The ticket that the answer shall have; nobody waits for it if `None`.
        ticket: Option<Ticket>,
        /// What.
        record: Record,
    },
    /// Throw away such shares, chosen by chance, of the datagrams that ask for work, unread and as
    /// early as can be; nought: none. Requests of dialogs and those that say that they are urgent are
    /// to pass. A driver that cannot does nothing: more is refused after reading then.
    Shed(Shed),
    /// A message that is for whoever takes what is new since [`Command::HandOver`]: these bytes of
    /// the outbox's arena, as they came.
    PassOn {
        /// Where it came from.
        flow: Flow,
        /// Which bytes of [`Outbox::arena`].
        bytes: Range<usize>,
    },
    /// Something for another shard of this server to do: [`Input::FromShard`] there, if it has room.
    ToShard {
        /// Which.
        shard: u8,
        /// What.
        errand: Errand,
        /// Which bytes of [`Outbox::arena`] it is about.
        bytes: Range<usize>,
    },
    /// Make safe what is in there, in its order. It stands for [`Output::Store`] where a server has
    /// several shards.
    Journal(Journal),
    /// Something that an onlooker may care for.
    Event(Event),
}

/// How grave an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For one who looks into a fault.
    Debug,
    /// Ordinary, worth a line.
    Info,
    /// Not as it should be.
    Warn,
    /// Something does not work.
    Error,
}

/// Something that an onlooker may care for: a line of a log, a count, a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// How grave.
    pub level: Level,
    /// A short fixed word for machines: `registered`, `dropped`, `transport-failed`.
    pub kind: &'static str,
    /// For people.
    pub text: String,
}

/// Where a machine puts what it wants of the world. Reused: the driver drains it after each input.
#[derive(Debug, Default)]
pub struct Outbox {
    /// In the order in which they are to be done.
    pub outputs: Vec<Output>,
    /// The bytes that [`Output::Transmit`], [`Output::PassOn`] and [`Output::ToShard`] point into.
    pub arena: Vec<u8>,
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Sends bytes that are copied.
    pub fn transmit(&mut self, flow: Flow, bytes: &[u8]) {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        self.outputs.push(Output::Transmit { flow, bytes: start..self.arena.len() });
    }

    /// Passes on a message that is copied.
    pub fn pass_on(&mut self, flow: Flow, bytes: &[u8]) {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        self.outputs.push(Output::PassOn { flow, bytes: start..self.arena.len() });
    }

    /// Gives another shard something to do, with a message that is copied.
    pub fn to_shard(&mut self, shard: u8, errand: Errand, bytes: &[u8]) {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        self.outputs.push(Output::ToShard { shard, errand, bytes: start..self.arena.len() });
    }

    /// Tells an onlooker.
    pub fn event(&mut self, level: Level, kind: &'static str, text: String) {
        self.outputs.push(Output::Event(Event { level, kind, text }));
    }

    /// The bytes of a transmit.
    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.arena.get(range.clone()).unwrap_or_default()
    }

    /// Forgets everything and keeps the room.
    pub fn clear(&mut self) {
        self.outputs.clear();
        self.arena.clear();
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }
}

/// A protocol element without I/O.
///
/// The contract: hand in one input, then drain the outbox and carry out what it says in order,
/// before the next input. Come back with [`Input::Tick`] no later than [`Machine::deadline`] says
/// (it may change with every input).
pub trait Machine {
    /// Takes in one thing that happened.
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox);

    /// When to come back with [`Input::Tick`], if nothing happens before.
    fn deadline(&self) -> Option<Instant>;

    /// Whether every table that empties itself with time is empty: what the simulator asserts at
    /// the end of a run.
    fn is_drained(&self) -> bool {
        true
    }

    /// Whether nobody waits for anything: every request has its final response, and what is left
    /// only lingers. It is when an element that was told to drain can be ended.
    fn is_quiet(&self) -> bool {
        self.is_drained()
    }

    /// The ends of a connection that is open, for onlookers.
    fn flow_of(&self, connection: ConnectionId) -> Option<Flow> {
        let _ = connection;
        None
    }
}
