//! Transport (RFC 3261 section 18), transactions (section 17) and locating (RFC 3263) in one
//! value: messages come in and are told upwards to a [`TransactionUser`], which answers and sends
//! by the methods of [`Stack`].

mod abuse;
mod answering;
mod client;
mod connection;
mod failover;
mod feedback;
mod handed_over;
mod hop;
mod inbound;
mod listeners;
mod overload;
mod put_off;
mod server;
mod shards;
mod telling;
#[cfg(test)]
mod tests;
mod unanswered;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::paged::Paged;
use towel_message::frame::StreamFramer;
use towel_message::{Index, Message, Via};

use crate::hash::Key;
use crate::io::{ConnectionId, Flow, Input, Instant, Listener, Now, Outbox, Transport};
use crate::locating::{self, Capabilities, LocateFault, Locator, LookupId};
use crate::rng::Rng;
use crate::settings::Settings;
use crate::shards::{Directory, Place};
use crate::time::{TimerId, Wheel};
use crate::transaction::client as client_slot;
use crate::transaction::course::Course;
use crate::transaction::server::{Identity, Proof};
use crate::transaction::slab::Slab;
use crate::transaction::table::Timer;
use crate::transaction::{self, Client, Id, Server};
use crate::transport::connections::{Connections, Waiters};
use crate::transport::via::Station;
use crate::transport::{self, Counters};

pub use crate::transport::ViaStamp;
pub use telling::Settings as Telling;

/// A server transaction.
pub type ServerId = Id<Server>;
/// A request of ours with its client transaction.
pub type ClientId = Id<Client>;

/// A message that came in.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The message. The topmost Via of a request has `received` and `rport` already (RFC 3261
    /// section 18.2.1, RFC 3581 section 4).
    pub message: Message<'a>,
    /// Its topmost Via.
    pub via: Via<'a>,
    /// How it came.
    pub flow: Flow,
    /// The names that the peer's certificate was verified for.
    pub identities: &'a [String],
}

/// Where a request is to go.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// To the next hop that this URI names (RFC 3263), with failover.
    Uri(&'a [u8]),
    /// There and nowhere else.
    Target {
        /// The transport.
        transport: Transport,
        /// The address.
        addr: SocketAddr,
        /// The name that its certificate must have.
        server_name: Option<&'a str>,
    },
    /// By this very flow: a binding's connection, or its address and our listener (RFC 5626).
    Flow(Flow),
}

/// Why a request of ours has come to nothing, all targets tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No response in time: to be treated as a 408 (RFC 3261 section 16.9, 8.1.3.1).
    TimedOut,
    /// It could not be sent: to be treated as a 503 (RFC 3261 section 16.9, 8.1.3.1).
    Transport,
    /// Nowhere to send it to.
    NotLocated(LocateFault),
    /// It was cancelled before it was sent.
    Cancelled,
    /// Whoever it was for wants to be spared (RFC 7339): to be answered 503 without Retry-After
    /// (section 5.10).
    HeldBack,
}

/// What is refused to a transaction user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The handle is of a transaction that has ended.
    Stale,
    /// The table is full.
    Full,
    /// The transaction's state does not allow it: a second final response, say.
    State,
    /// What was written is not a message.
    Malformed,
}

/// Who sits above the stack.
///
/// While it is told something it may use every method of the stack that it is handed.
#[allow(unused_variables)]
pub trait TransactionUser {
    /// A new request, neither ACK nor CANCEL, for which there is no transaction yet.
    fn request(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, request: Received<'_>);

    /// Whether a request with a To tag is of a dialog for all that can be known. Asked in overload
    /// alone: whoever only claims that is served no sooner than all others.
    fn vouches(&self, request: &Received<'_>) -> bool {
        true
    }

    /// An ACK that no transaction has absorbed: that for a 2xx. `matched` tells the INVITE
    /// transaction in the Accepted state that it belongs to, and its user's number.
    fn ack(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        ack: Received<'_>,
        matched: Option<(ServerId, u64)>,
    ) {
    }

    /// A CANCEL. If it is for a transaction of ours, it has been answered 200 by now, and `invite`
    /// tells the transaction if that is an INVITE one without a final response. If it is for
    /// none (`known` is false), the user answers 481, or forwards it without state (RFC 3261
    /// section 16.10).
    fn cancelled(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        cancel: Received<'_>,
        known: bool,
        invite: Option<(ServerId, u64)>,
    ) {
        if !known {
            stack.respond_stateless(
                now,
                out,
                &cancel,
                481,
                "Call/Transaction Does Not Exist",
                |writer| writer.end(),
            );
        }
    }

    /// A response to a request of ours: every provisional one, every 2xx, one other final one.
    fn response(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        response: Received<'_>,
        id: ClientId,
        user: u64,
    ) {
    }

    /// A response that belongs to no transaction though its topmost Via is ours. RFC 6026 section
    /// 8.2 forbids a stateful proxy to forward it.
    fn stray_response(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        response: Received<'_>,
    ) {
    }

    /// A request of ours has come to nothing.
    fn failed(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        id: ClientId,
        user: u64,
        why: Failure,
    ) {
    }

    /// A request of ours leaves by another way than was thought when it was written: DNS said so,
    /// or the next target speaks another transport. A user for whom more than the Via depends
    /// on that writes the whole of it to `to` and says so.
    fn rewrite(
        &mut self,
        stack: &Stack,
        now: Now,
        id: ClientId,
        user: u64,
        stamp: &ViaStamp<'_>,
        to: &mut Vec<u8>,
    ) -> bool {
        false
    }

    /// A client transaction is over; its handle is stale after this.
    fn client_ended(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        id: ClientId,
        user: u64,
    ) {
    }

    /// A server transaction is over; its handle is stale after this.
    fn server_ended(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        id: ServerId,
        user: u64,
    ) {
    }

    /// No ACK came for a non-2xx final response (Timer H).
    fn unacknowledged(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        id: ServerId,
        user: u64,
    ) {
    }

    /// A response could not be sent.
    fn response_undeliverable(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        id: ServerId,
        user: u64,
    ) {
    }

    /// A connection has ended: bindings that live on it have no way any more (RFC 5626).
    fn closed(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, connection: ConnectionId) {}

    /// A timer that was set with [`Stack::set_timer`].
    fn timer(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, token: u64) {}
}

/// What a timer of the stack's is for.
#[derive(Clone, Copy, Debug)]
enum Due {
    Server(ServerId, Timer),
    Client(ClientId, Timer),
    Idle(ConnectionId),
    Partial(ConnectionId),
    User(u64),
}

/// What is told as soon as the call that found it is over.
#[derive(Clone, Copy, Debug)]
enum Pending {
    ClientFailed(ClientId, Failure),
    ServerTransport(ServerId),
    ClientTransport(ClientId),
    ClientHeldBack(ClientId),
    ClientWithdrawn(ClientId),
    ServerEnded(ServerId),
    ServerOver(ServerId),
    Closed(ConnectionId),
}

/// Transport, transactions and locating.
pub struct Stack {
    settings: transaction::Settings,
    transport: transport::Settings,
    rng: Rng,
    branch_key: Key,
    match_key: Key,
    stations: Vec<Station>,
    former: Vec<listeners::Former>,
    former_changed: bool,
    servers: Slab<Server>,
    /// Server transactions: the hash of the proof, the slot.
    matches: Paged<(u32, u32)>,
    /// The proof of the request that is being handled, under its own method.
    asked: Option<Proof>,
    /// Where that request is, and what it is told from others by.
    identity: Option<((usize, usize), Identity)>,
    clients: Slab<Client>,
    unanswered: unanswered::Unanswered,
    lookups: hashbrown::HashMap<LookupId, ClientId>,
    /// Responses by the connection that is made for them, and by the look-up that they wait for.
    answering: hashbrown::HashMap<crate::io::ConnectionId, Vec<answering::Answering>>,
    seeking: hashbrown::HashMap<LookupId, answering::Answering>,
    locator: Locator,
    connections: Connections,
    wheel: Wheel<Due>,
    pending: Vec<Pending>,
    user_timers: usize,
    connection_timers: usize,
    counters: Counters,
    teller: telling::Teller,
    overload: overload::Guard,
    put_off: put_off::PutOff,
    abuse: crate::abuse::Guard,
    // Reused: buffers that hold at least as much as `ROOM` says, by its index.
    buffers: [Vec<Vec<u8>>; ROOM.len()],
    #[expect(clippy::vec_box, reason = "a client transaction holds it in a box")]
    works: Vec<Box<client_slot::Work>>,
    #[expect(clippy::vec_box, reason = "an index is a kilobyte; what is moved is the pointer")]
    indexes: Vec<Box<Index>>,
    /// For the next connection that says something.
    framer: Option<Box<StreamFramer>>,
    /// Whether somebody else takes what is new.
    handed_over: bool,
    place: Place,
    /// The connections of all shards, where there are others.
    directory: Option<Arc<Directory>>,
    /// Who sends by connections of other shards.
    lent: hashbrown::HashMap<ConnectionId, Waiters>,
    /// What is read now was handed over, when so many shards had had it.
    handed: Option<u8>,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack")
            .field("servers", &self.servers.len())
            .field("clients", &self.clients.len())
            .field("connections", &self.connections.len())
            .finish_non_exhaustive()
    }
}

impl Stack {
    /// A stack without listeners: those come as [`Input::Listening`]. All that is random in it
    /// follows from the seed.
    pub fn new(settings: &Settings, seed: [u8; 32]) -> Stack {
        Stack::one_of(settings, seed, Place::ONE, None)
    }

    /// One of the stacks of a server, beside the first of them. All are made of one seed: what they
    /// write into messages can be read by each.
    pub(crate) fn one_of(
        settings: &Settings,
        seed: [u8; 32],
        place: Place,
        first: Option<&Stack>,
    ) -> Stack {
        let mut rng = Rng::new(seed);
        let locator = Locator::new(settings.locating.clone(), Capabilities::none(), rng.next_u64());
        let (branch_key, match_key) = (rng.key(), rng.key());
        let key = rng.key();
        let abuse = match first {
            Some(first) => first.abuse.beside(),
            None => crate::abuse::Guard::one_of(&settings.abuse, key, place),
        };
        let made = || place.has_others().then(|| Arc::new(Directory::new(place)));
        Stack {
            place,
            directory: first.map_or_else(made, |first| first.directory.clone()),
            lent: hashbrown::HashMap::new(),
            handed: None,
            settings: shards::share(&settings.transaction, place),
            transport: settings.transport.clone(),
            branch_key,
            match_key,
            rng: shards::own_random(rng, place),
            stations: Vec::new(),
            former: Vec::new(),
            former_changed: false,
            servers: Slab::new(),
            matches: Paged::default(),
            asked: None,
            identity: None,
            clients: Slab::new(),
            unanswered: unanswered::Unanswered::default(),
            lookups: hashbrown::HashMap::new(),
            answering: hashbrown::HashMap::new(),
            seeking: hashbrown::HashMap::new(),
            locator,
            connections: Connections::of(place.shard),
            wheel: Wheel::new(),
            pending: Vec::new(),
            user_timers: 0,
            connection_timers: 0,
            counters: Counters::default(),
            teller: telling::Teller::new(&settings.telling),
            overload: overload::Guard::new(&settings.overload),
            put_off: put_off::PutOff::default(),
            abuse,
            buffers: Default::default(),
            works: Vec::new(),
            indexes: Vec::new(),
            framer: None,
            handed_over: false,
        }
    }

    /// Takes in one thing that happened. What is for the user alone ([`Input::Stored`],
    /// [`Input::Command`]) is passed over.
    pub fn handle<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        input: Input<'_>,
        out: &mut Outbox,
        user: &mut U,
    ) {
        match input {
            Input::Listening(listener) => self.listening(listener),
            Input::ListenerGone(id) => self.listener_gone(id),
            Input::Datagram { listener, remote, bytes } => {
                self.datagram(now, out, user, listener, remote, bytes)
            }
            Input::Stream { connection, bytes } => self.stream(now, out, user, connection, bytes),
            Input::Opened { connection, flow, identities } => {
                self.opened(now, out, connection, flow, identities)
            }
            Input::Closed { connection, why } => self.closed(now, out, user, connection, why),
            Input::Unreachable { listener, remote } => {
                self.unreachable(now, out, user, listener, remote)
            }
            Input::Resolved { query, answer } => {
                let completed = self.locator.answered(now.at, query, answer, out);
                self.located(now, out, user, completed);
            }
            Input::Backlog { wait, fill } => self.backlog(now, wait, fill),
            Input::Tick => self.resume(now, out, user),
            Input::Stored { .. } | Input::Command(_) => {}
            Input::FromShard { errand, bytes } => self.errand(now, out, user, errand, bytes),
        }
        // After the input: a response that waited with the driver wins over the timer.
        self.run_due(now, out, user);
    }

    /// When to be called next, at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        if !self.pending.is_empty() {
            return Some(Instant(0));
        }
        let all = [
            self.wheel.deadline(),
            self.locator.deadline(),
            self.teller.deadline(),
            self.overload.deadline(),
            self.put_off.deadline(),
        ];
        all.into_iter().flatten().min()
    }

    /// Tells what was found during calls of the user's, and runs what is due. A user that calls
    /// methods of the stack outside of [`Stack::handle`] has this called afterwards.
    pub fn run_due<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
    ) {
        self.tell_pending(now, out, user);
        self.teller.due(now, out);
        if self.overload.deadline().is_some_and(|at| at <= now.at) {
            self.overload_due(now, out);
        }
        for _ in 0..DUE {
            let Some(due) = self.wheel.due(now.at) else { break };
            self.fire(now, out, user, due);
            self.tell_pending(now, out, user);
        }
        if self.locator.deadline().is_some_and(|at| at <= now.at) {
            let completed = self.locator.due(now.at, out);
            self.located(now, out, user, completed);
            self.tell_pending(now, out, user);
        }
    }

    /// Not merged into its caller, who mostly finds nothing due.
    #[inline(never)]
    fn fire<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
        due: Due,
    ) {
        match due {
            Due::Server(id, timer) => self.server_due(now, out, user, id, timer),
            Due::Client(id, timer) => self.client_due(now, out, user, id, timer),
            Due::Idle(connection) => {
                self.connection_timers -= 1;
                self.idle_due(now, out, connection);
            }
            Due::Partial(connection) => {
                self.connection_timers -= 1;
                self.partial_due(now, out, connection);
            }
            Due::User(token) => {
                self.user_timers -= 1;
                user.timer(self, now, out, token);
            }
        }
    }

    fn tell_pending<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
    ) {
        while let Some(pending) = self.pending.pop() {
            match pending {
                Pending::ClientFailed(id, why) => self.client_failed(now, out, user, id, why),
                Pending::ClientTransport(id) => self.client_transport_failed(now, out, user, id),
                Pending::ClientHeldBack(id) => self.client_held_back(now, out, user, id),
                Pending::ClientWithdrawn(id) => self.client_withdrawn(now, out, user, id),
                Pending::ServerTransport(id) => self.server_transport_failed(now, out, user, id),
                Pending::Closed(id) => user.closed(self, now, out, id),
                Pending::ServerOver(id) => self.compact_server(id),
                Pending::ServerEnded(id) => self.end_server(now, out, user, id),
            }
        }
    }

    /// Takes over new settings; what is under way goes on.
    pub fn reload(&mut self, settings: &Settings) {
        self.settings = shards::share(&settings.transaction, self.place);
        self.transport = settings.transport.clone();
        // It has the old limits.
        self.framer = None;
        self.count_capabilities();
        self.teller.reload(&settings.telling);
        self.overload.reload(&settings.overload);
        self.abuse.reload(&settings.abuse);
        self.locator.set_settings(settings.locating.clone());
    }

    /// Whether every table is empty that empties itself with time: transactions, look-ups, timers,
    /// messages that are half here. Connections and their idle timers do not count, nor do
    /// timers of the user's.
    pub fn is_drained(&self) -> bool {
        self.servers.len() == 0
            && self.clients.len() == 0
            && self.matches.is_empty()
            && self.lookups.is_empty()
            && self.seeking.is_empty()
            && self.unanswered.is_empty()
            && self.locator.is_drained()
            && self.pending.is_empty()
            && self.put_off.is_empty()
            && self.wheel.len() == self.user_timers + self.connection_timers
            && !self.connections.are_receiving()
    }

    /// Whether every request that came in has its final response, and nothing waits to be told.
    pub fn is_quiet(&self) -> bool {
        let open = |id| self.servers.get(id).is_some_and(|server| server.machine.is_open());
        self.pending.is_empty() && self.put_off.is_empty() && !self.servers.ids().any(open)
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many server transactions, client transactions and connections there are.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.servers.len(), self.clients.len(), self.connections.len())
    }

    /// How many server transactions there may be, and as many client transactions.
    pub fn most_transactions(&self) -> usize {
        self.settings.max
    }

    /// How many timers of the user's are set.
    pub fn user_timers(&self) -> usize {
        self.user_timers
    }

    /// How long a request that is no INVITE is waited for (Timer F of section 17.1.2.2).
    pub fn patience(&self) -> std::time::Duration {
        self.settings.interval(Timer::F, 0)
    }

    /// Random bits.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Who finds servers.
    pub fn locator(&mut self) -> &mut Locator {
        &mut self.locator
    }

    /// The listeners that are up.
    pub fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.stations.iter().map(|station| &station.listener)
    }

    /// The host and port that stand for us in a Via of that listener.
    pub fn sent_by(&self, listener: crate::io::ListenerId) -> Option<&[u8]> {
        self.station(listener).map(|station| station.sent_by.as_slice())
    }

    /// Whether host and port (the transport's own where none is written) are a listener's, as it is
    /// bound or as it is advertised.
    pub fn is_ours(&self, host: &[u8], port: Option<u16>, transport: Option<Transport>) -> bool {
        let ip =
            towel_message::Host::parse(host).and_then(|host| host.ip()).map(|ip| ip.to_canonical());
        self.all_stations().any(|station| {
            let spoken = station.listener.transport;
            if transport.is_some_and(|transport| transport != spoken) {
                return false;
            }
            let port = port.unwrap_or(spoken.default_port());
            station.is(host, Some(port), spoken)
                || (ip == Some(station.listener.local.ip().to_canonical())
                    && port == station.listener.local.port())
        })
    }

    /// Sets a timer for the user.
    pub fn set_timer(&mut self, at: Instant, token: u64) -> TimerId {
        self.user_timers += 1;
        self.wheel.set(at, Due::User(token))
    }

    /// Clears a timer of the user's; says whether it was still set.
    pub fn clear_timer(&mut self, timer: TimerId) -> bool {
        let cleared = self.wheel.clear(timer);
        self.user_timers -= usize::from(cleared);
        cleared
    }

    /// The flow that a transaction uses.
    fn flow(&self, course: &Course) -> Flow {
        let connected = course.connection().and_then(|id| self.connections.get(id));
        let local = match connected {
            Some(connection) => connection.flow.local,
            None => self
                .station(course.listener)
                .map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |station| station.listener.local),
        };
        course.from(local)
    }

    fn buffer(&mut self) -> Vec<u8> {
        // Room for a usual message at once, so that it does not grow by halves.
        self.with_room(USUAL)
    }

    /// A buffer that just holds `bytes`, for as long as a transaction lingers.
    fn kept(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.with_room(bytes.len());
        buffer.extend_from_slice(bytes);
        buffer
    }

    fn with_room(&mut self, length: usize) -> Vec<u8> {
        match self.buffers.iter_mut().zip(ROOM).find(|(_, room)| *room >= length) {
            Some((pool, room)) => pool.pop().unwrap_or_else(|| Vec::with_capacity(room)),
            None => Vec::with_capacity(length),
        }
    }

    fn give_back(&mut self, mut buffer: Vec<u8>) {
        // One great message is not to keep its memory for ever, nor is one burst.
        let capacity = buffer.capacity();
        let pool =
            ROOM.iter().rposition(|room| *room <= capacity).filter(|_| capacity <= 8 * USUAL);
        if let Some(pool) = pool.and_then(|at| self.buffers.get_mut(at))
            && pool.len() < POOLED
        {
            buffer.clear();
            pool.push(buffer);
        }
    }

    fn index(&mut self) -> Box<Index> {
        self.indexes.pop().unwrap_or_default()
    }

    fn give_back_index(&mut self, index: Box<Index>) {
        self.indexes.push(index);
    }
}

/// Whether a request ends a dialog, and so frees what is held for it.
pub(crate) fn ends_dialog(request: &towel_message::Message<'_>) -> bool {
    request.method() == towel_message::Method::Bye && request.to_tag().is_some()
}

/// How many buffers of a kind are kept for the next that need one.
const POOLED: usize = 4096;
/// The room that a message is given at first.
const USUAL: usize = 1024;
/// The sizes of buffers: for what is kept with little to spare, and for a message.
const ROOM: [usize; 9] = [256, 320, 384, 448, 512, 576, 640, 768, USUAL];

/// How many timers have their turn before the next message has its own: at twenty thousand calls a
/// second as many transactions are forgotten at once. The rest stays due, as the deadline tells.
const DUE: usize = 256;

/// What is only forgotten is forgotten four times a second: at a modest rate waking up for each would
/// cost more than all the rest of the call.
const FORGETTING: u64 = 250_000;

/// When a timer is due.
fn due_at(now: Now, timer: Timer, interval: std::time::Duration) -> Instant {
    let at = now.at + interval;
    // With timers as short as tests have them it would be no small part.
    if timer.forgets() && interval.as_micros() >= u128::from(4 * FORGETTING) {
        Instant(at.0.next_multiple_of(FORGETTING))
    } else {
        at
    }
}

fn no_names() -> Arc<[String]> {
    Arc::from([])
}

/// The destination that a URI names for the locator.
fn located_by<'a>(uri: &'a [u8], large: bool) -> Option<locating::Destination<'a>> {
    let towel_message::Uri::Sip(sip) = towel_message::Uri::parse(uri).ok()? else { return None };
    let transport = match sip.transport() {
        Some(token) => Some(Transport::from_token(token)?),
        None => None,
    };
    Some(locating::Destination {
        secure: sip.secure,
        host: inbound::host_of(sip.host_port, sip.port),
        port: sip.port,
        transport,
        maddr: sip.param("maddr").flatten(),
        large,
        seed: None,
    })
}
