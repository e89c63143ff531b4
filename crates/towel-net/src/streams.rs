//! All connections of a shard: made, accepted, bounded, timed and ended.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use rustls::pki_types::ServerName;
use towel_core::io::{CloseReason, ConnectionId, Flow, Instant, Listener, ListenerId, Transport};

use crate::bind;
use crate::config::Limits;
use crate::connection::{CIPHERTEXT, Connection, PLAINTEXT, State, Taken, Waits, reason};
use crate::counters::Counts;
use crate::driver::token;
use crate::shards::Tally;
use crate::tls::{Session, Tls};

/// What the machine has to be told.
#[derive(Debug)]
pub(crate) enum Happened {
    Opened { id: ConnectionId, flow: Flow, identities: Vec<String> },
    Closed { id: ConnectionId, why: CloseReason },
}

/// For how long a closed connection may still deliver what it was given.
const LINGER: Duration = Duration::from_secs(3);
/// The grain of deadlines, in microseconds.
const GRAIN: u64 = 100_000;
/// How often all connections are looked at for those that have been idle or stuck.
const SWEEP: Duration = Duration::from_secs(5);
/// How many connections one turn accepts from a listener before others have theirs.
const ACCEPTS: usize = 64;

struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

pub(crate) struct Streams {
    limits: Limits,
    tls: Option<Arc<Tls>>,
    listeners: Vec<Listener>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_id: HashMap<ConnectionId, u32>,
    /// Of all shards.
    tally: Arc<Tally>,
    last_id: u64,
    /// Deadlines of connects, handshakes and lingering, and of the first word.
    deadlines: [VecDeque<(Instant, u32, u32)>; 4],
    next_sweep: Instant,
    /// A descriptor to give up when there are no more, so that a connection can at least be
    /// taken and closed instead of waking us for ever.
    spare: Option<File>,
    pub(crate) happened: VecDeque<Happened>,
    pub(crate) cipher: Vec<u8>,
    /// Connections on which this turn has put something.
    dirty: Vec<(u32, u32)>,
    /// Send buffers that nobody needs now.
    buffers: Vec<Vec<u8>>,
}

/// How much one turn may put on a connection before it is sent at once.
const FLUSH: usize = 16 << 10;
/// How many send buffers are kept for the next ones who need one.
const BUFFERS: usize = 64;

const CONNECT: usize = 0;
const HANDSHAKE: usize = 1;
const FAREWELL: usize = 2;
const FIRST_WORD: usize = 3;

impl Streams {
    /// Those of a shard.
    pub(crate) fn new(
        limits: Limits,
        tls: Option<Arc<Tls>>,
        listeners: Vec<Listener>,
        shard: u8,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            limits,
            tls,
            listeners,
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            tally,
            last_id: ConnectionId::first_of(shard).0,
            deadlines: Default::default(),
            next_sweep: Instant(0),
            spare: File::open("/dev/null").ok(),
            happened: VecDeque::new(),
            cipher: vec![0; CIPHERTEXT],
            dirty: Vec::new(),
            buffers: Vec::new(),
        }
    }

    pub(crate) fn set_tls(&mut self, tls: Arc<Tls>) {
        self.tls = Some(tls);
    }

    pub(crate) fn listening(&mut self, listener: Listener) {
        self.listeners.push(listener);
    }

    pub(crate) fn listener_gone(&mut self, id: ListenerId) {
        self.listeners.retain(|l| l.id != id);
    }

    pub(crate) fn known(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.iter().find(|l| l.id == id)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The connections that can be used, and the names that their peers have proved.
    pub(crate) fn established(&self) -> Vec<(Flow, Vec<String>)> {
        let open = self.connections().filter(|c| c.state == State::Open);
        open.map(|c| (c.flow, c.identities())).collect()
    }

    /// Whether something that was given to a connection has not left yet.
    pub(crate) fn has_queued(&self) -> bool {
        self.connections().any(|c| c.queued() > 0)
    }

    fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().filter_map(|s| s.connection.as_deref())
    }

    fn get(&mut self, slot: u32) -> Option<&mut Connection> {
        self.slots.get_mut(slot as usize)?.connection.as_deref_mut()
    }

    fn generation(&self, slot: u32) -> u32 {
        self.slots.get(slot as usize).map_or(0, |s| s.generation)
    }

    /// Takes what waits at a listener.
    pub(crate) fn accept(
        &mut self,
        epoll: &Epoll,
        socket: &TcpListener,
        listener: ListenerId,
        now: Instant,
        counts: &mut Counts,
    ) {
        for _ in 0..ACCEPTS {
            match socket.accept() {
                Ok((stream, remote)) => {
                    if self.admit(epoll, stream, remote, listener, now, counts).is_err() {
                        counts.turned_away += 1;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e)
                    if matches!(e.raw_os_error(), Some(nix::libc::EMFILE | nix::libc::ENFILE)) =>
                {
                    counts.turned_away += 1;
                    // Without the spare there is nothing to do but to come back later.
                    let Some(spare) = self.spare.take() else { return };
                    drop(spare);
                    drop(socket.accept());
                    self.spare = File::open("/dev/null").ok();
                }
                // The peer was gone before we came.
                Err(_) => {}
            }
        }
    }

    fn admit(
        &mut self,
        epoll: &Epoll,
        stream: TcpStream,
        remote: SocketAddr,
        listener: ListenerId,
        now: Instant,
        counts: &mut Counts,
    ) -> io::Result<()> {
        let ip = remote.ip();
        if self.tally.count() >= self.limits.max_connections
            || self.tally.from(ip) >= self.limits.max_connections_per_address
        {
            return Err(ErrorKind::QuotaExceeded.into());
        }
        let known = self.known(listener).cloned();
        let known = known.ok_or(ErrorKind::NotFound)?;
        let transport = known.transport;
        let session = match (transport.secure(), self.tls.as_ref().and_then(|t| t.server.clone())) {
            (false, _) => None,
            (true, Some(config)) => {
                // What waits for the end of the handshake has the same bound as what waits after.
                let session = Session::server(config, self.limits.max_queue);
                Some(session.map_err(io::Error::other)?)
            }
            (true, None) => return Err(ErrorKind::Unsupported.into()),
        };
        stream.set_nonblocking(true)?;
        bind::prepare(&stream);
        let id = ConnectionId(self.last_id & !ConnectionId::OPENED_BY_CORE);
        self.last_id += 1;
        let local = stream.local_addr().unwrap_or(known.local);
        let flow = Flow { transport, listener, local, remote, connection: Some(id) };
        let secure = session.is_some();
        let state = if secure { State::Handshaking } else { State::Open };
        let connection = Connection::new(id, flow, state, stream, session, now);
        let slot = self.insert(epoll, connection)?;
        counts.accepted += 1;
        self.tally.add_from(ip);
        if secure {
            self.until(HANDSHAKE, now + self.limits.handshake_time, slot);
        } else {
            self.until(FIRST_WORD, now + self.limits.first_word_time, slot);
            self.happened.push_back(Happened::Opened { id, flow, identities: Vec::new() });
        }
        Ok(())
    }

    fn insert(&mut self, epoll: &Epoll, mut connection: Connection) -> io::Result<u32> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.slots.len()).map_err(io::Error::other)?;
                self.slots.push(Slot { generation: 0, connection: None });
                slot
            }
        };
        let token = token::connection(slot, self.generation(slot));
        let event = EpollEvent::new(flags(connection.watches_writes), token);
        if let Err(e) = epoll.add(connection.fd(), event) {
            self.free.push(slot);
            return Err(e.into());
        }
        connection.watches_writes = connection.state == State::Connecting;
        self.by_id.insert(connection.id, slot);
        self.tally.add();
        if let Some(place) = self.slots.get_mut(slot as usize) {
            place.connection = Some(Box::new(connection));
        }
        Ok(slot)
    }

    fn until(&mut self, kind: usize, at: Instant, slot: u32) {
        // Rounded up, so that a thousand deadlines are ten wake-ups a second and not a thousand.
        let at = Instant(at.0.div_ceil(GRAIN).saturating_mul(GRAIN));
        let generation = self.generation(slot);
        let slots = &self.slots;
        if let Some(queue) = self.deadlines.get_mut(kind) {
            queue.push_back((at, slot, generation));
            // Connections that came and went leave their deadlines; not without end.
            if queue.len() > 2 * slots.len() + 64 {
                queue.retain(|(_, slot, generation)| {
                    slots.get(*slot as usize).is_some_and(|s| s.generation == *generation)
                });
            }
        }
    }

    /// Begins a connection for the machine.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn open(
        &mut self,
        epoll: &Epoll,
        id: ConnectionId,
        transport: Transport,
        listener: Option<ListenerId>,
        remote: SocketAddr,
        server_name: Option<&str>,
        now: Instant,
        counts: &mut Counts,
    ) {
        counts.opened += 1;
        match self.begin(epoll, id, transport, listener, remote, server_name, now) {
            Ok(slot) => self.until(CONNECT, now + self.limits.connect_time, slot),
            Err(why) => {
                counts.closed += 1;
                self.happened.push_back(Happened::Closed { id, why });
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn begin(
        &mut self,
        epoll: &Epoll,
        id: ConnectionId,
        transport: Transport,
        listener: Option<ListenerId>,
        remote: SocketAddr,
        server_name: Option<&str>,
        now: Instant,
    ) -> Result<u32, CloseReason> {
        if self.tally.count() >= self.limits.max_connections || self.by_id.contains_key(&id) {
            return Err(CloseReason::Failed);
        }
        let session = match transport {
            Transport::Tcp => None,
            Transport::Tls => Some(self.client(remote, server_name)?),
            _ => return Err(CloseReason::Failed),
        };
        // The listener whose address stands for us: the given one, or the first that fits.
        let stands = match listener {
            Some(id) => self.known(id),
            None => self
                .listeners
                .iter()
                .find(|l| l.transport == transport && l.local.is_ipv6() == remote.is_ipv6()),
        };
        let from = stands.map(|l| l.local).filter(|_| listener.is_some());
        let listener = stands.map_or(ListenerId(0), |l| l.id);
        let stream = bind::connect(remote, from).map_err(|e| reason(&e))?;
        let local = stream.local_addr().map_err(|_| CloseReason::Failed)?;
        let flow = Flow { transport, listener, local, remote, connection: Some(id) };
        let connection = Connection::new(id, flow, State::Connecting, stream, session, now);
        self.insert(epoll, connection).map_err(|_| CloseReason::Failed)
    }

    fn client(&self, remote: SocketAddr, name: Option<&str>) -> Result<Session, CloseReason> {
        let tls = self.tls.as_ref().ok_or(CloseReason::Tls)?;
        let name = match name {
            Some(name) => ServerName::try_from(name.to_string()).map_err(|_| CloseReason::Tls)?,
            None => ServerName::from(remote.ip()),
        };
        Session::client(tls.client.clone(), name, self.limits.max_queue)
            .map_err(|_| CloseReason::Tls)
    }

    /// Sends on a connection. One that takes no more is closed.
    pub(crate) fn send(
        &mut self,
        epoll: &Epoll,
        id: ConnectionId,
        bytes: &[u8],
        now: Instant,
        counts: &mut Counts,
    ) {
        let Some(&slot) = self.by_id.get(&id) else {
            counts.sent_to_nowhere += 1;
            return;
        };
        let most = self.limits.max_queue;
        let Some(connection) = self.get(slot) else { return };
        if matches!(connection.state, State::Closing | State::Lingering) {
            counts.sent_to_nowhere += 1;
            return;
        }
        if connection.queued() + bytes.len() > most {
            counts.slow_closed += 1;
            self.drop_slot(epoll, slot, CloseReason::Slow, counts);
            return;
        }
        let clean = connection.queued() == 0;
        let place = self.slots.get_mut(slot as usize).and_then(|s| s.connection.as_deref_mut());
        let Some(connection) = place else { return };
        if let Err(e) = connection.put(bytes, &mut self.buffers, now) {
            self.drop_slot(epoll, slot, reason(&e), counts);
            return;
        }
        if connection.queued() >= FLUSH {
            self.flush(epoll, slot, now, counts);
        } else if clean {
            let generation = self.generation(slot);
            self.dirty.push((slot, generation));
        }
    }

    /// Whether something waits for [`Streams::flush_all`].
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Sends what this turn has put on connections.
    pub(crate) fn flush_all(&mut self, epoll: &Epoll, now: Instant, counts: &mut Counts) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for (slot, generation) in dirty.drain(..) {
            if self.generation(slot) == generation {
                self.flush(epoll, slot, now, counts);
            }
        }
        self.dirty = dirty;
    }

    /// Sends what waits as far as the kernel takes it. Says whether the connection still is.
    fn flush(&mut self, epoll: &Epoll, slot: u32, now: Instant, counts: &mut Counts) -> bool {
        let Some(connection) = self.get(slot) else { return false };
        match connection.flush(now) {
            Ok(written) => {
                counts.stream_bytes_out += written as u64;
                if let Some(buffer) = connection.give_back()
                    && self.buffers.len() < BUFFERS
                    && buffer.capacity() <= 4 * FLUSH
                {
                    self.buffers.push(buffer);
                }
                self.farewell(slot);
                self.watch(epoll, slot);
                true
            }
            Err(e) => {
                self.drop_slot(epoll, slot, reason(&e), counts);
                false
            }
        }
    }

    /// Ends a connection after what was sent before.
    pub(crate) fn close(
        &mut self,
        epoll: &Epoll,
        id: ConnectionId,
        now: Instant,
        counts: &mut Counts,
    ) {
        let Some(&slot) = self.by_id.get(&id) else { return };
        let Some(connection) = self.get(slot) else { return };
        match connection.state {
            State::Closing | State::Lingering => return,
            State::Connecting | State::Handshaking => {
                self.drop_slot(epoll, slot, CloseReason::Ours, counts);
                return;
            }
            State::Open => {}
        }
        connection.state = State::Closing;
        connection.say_goodbye();
        self.until(FAREWELL, now + LINGER, slot);
        self.flush(epoll, slot, now, counts);
    }

    /// The last byte is with the kernel: say so to the peer, and wait for its end.
    fn farewell(&mut self, slot: u32) {
        if let Some(connection) = self.get(slot)
            && connection.state == State::Closing
            && connection.queued() == 0
        {
            connection.shut();
        }
    }

    /// What epoll said of a connection. Gives the id if there is something to read.
    pub(crate) fn ready(
        &mut self,
        epoll: &Epoll,
        slot: u32,
        generation: u32,
        flags: EpollFlags,
        now: Instant,
        counts: &mut Counts,
    ) -> Option<ConnectionId> {
        if self.generation(slot) & token::GENERATION != generation {
            return None;
        }
        let handshake_time = self.limits.handshake_time;
        let connection = self.get(slot)?;
        let id = connection.id;
        if connection.state == State::Connecting {
            if !flags.intersects(EpollFlags::EPOLLOUT | EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP)
            {
                return None;
            }
            if let Err(why) = connection.connected() {
                self.drop_slot(epoll, slot, why, counts);
                return None;
            }
            let (state, flow) = (connection.state, connection.flow);
            if state == State::Open {
                self.happened.push_back(Happened::Opened { id, flow, identities: Vec::new() });
            } else {
                self.until(HANDSHAKE, now + handshake_time, slot);
            }
        }
        // With TLS a connect has its first words to say now.
        if !self.flush(epoll, slot, now, counts) {
            return None;
        }
        let readable = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLHUP
            | EpollFlags::EPOLLERR;
        flags.intersects(readable).then_some(id)
    }

    /// Reads once, `most` bytes at most. Gives how many bytes for the machine are in `plain`, or nothing
    /// if there is no more to read.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn read(
        &mut self,
        epoll: &Epoll,
        id: ConnectionId,
        plain: &mut [u8],
        most: usize,
        waits: Option<&mut Waits>,
        now: Instant,
        counts: &mut Counts,
    ) -> Option<usize> {
        debug_assert!(plain.len() >= PLAINTEXT);
        let slot = *self.by_id.get(&id)?;
        let connection = self.slots.get_mut(slot as usize)?.connection.as_deref_mut()?;
        let taken =
            connection.read(&mut self.cipher, plain, most, waits, &mut counts.stream_bytes_in, now);
        let done = connection.handshake_done();
        match taken {
            Taken::Nothing => None,
            Taken::End(why) => {
                if connection.state == State::Handshaking {
                    counts.handshakes_failed += 1;
                } else if let Ok(written) = connection.flush(now) {
                    // A peer that has said its last word may still listen for the answer.
                    counts.stream_bytes_out += written as u64;
                }
                self.drop_slot(epoll, slot, why, counts);
                None
            }
            Taken::Bytes(count) => {
                if done {
                    connection.state = State::Open;
                    let identities = connection.identities();
                    let flow = connection.flow;
                    counts.handshakes += 1;
                    self.happened.push_back(Happened::Opened { id, flow, identities });
                }
                // A handshake answers as it goes.
                if self.get(slot)?.wants_flush() && !self.flush(epoll, slot, now, counts) {
                    return None;
                }
                let open = self.get(slot)?.state == State::Open;
                Some(if open { count } else { 0 })
            }
        }
    }

    /// Tells epoll to look for room to write exactly while something waits.
    fn watch(&mut self, epoll: &Epoll, slot: u32) {
        let generation = self.generation(slot);
        let Some(connection) = self.get(slot) else { return };
        let wants = connection.queued() > 0 || connection.state == State::Connecting;
        if wants != connection.watches_writes {
            connection.watches_writes = wants;
            let mut event = EpollEvent::new(flags(wants), token::connection(slot, generation));
            // The descriptor is registered for as long as the connection is in its slot.
            let _ = epoll.modify(connection.fd(), &mut event);
        }
    }

    fn drop_slot(&mut self, epoll: &Epoll, slot: u32, why: CloseReason, counts: &mut Counts) {
        let Some(place) = self.slots.get_mut(slot as usize) else { return };
        let Some(connection) = place.connection.take() else { return };
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
        self.by_id.remove(&connection.id);
        self.tally.remove();
        let _ = epoll.delete(connection.fd());
        if !connection.id.is_ours() {
            self.tally.remove_from(connection.flow.remote.ip());
        }
        counts.closed += 1;
        // A peer that never got through the handshake was never told of.
        let told = connection.id.is_ours() || connection.state != State::Handshaking;
        let why = match connection.state {
            State::Closing | State::Lingering => CloseReason::Ours,
            _ => why,
        };
        if told {
            self.happened.push_back(Happened::Closed { id: connection.id, why });
        }
    }

    /// When [`Streams::due`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let sweep = (!self.by_id.is_empty()).then_some(self.next_sweep);
        self.deadlines.iter().filter_map(|q| q.front().map(|(at, ..)| *at)).chain(sweep).min()
    }

    /// Ends what has taken too long.
    pub(crate) fn due(&mut self, epoll: &Epoll, now: Instant, counts: &mut Counts) {
        for kind in [CONNECT, HANDSHAKE, FAREWELL, FIRST_WORD] {
            while let Some((slot, generation)) = self.pop_due(kind, now) {
                if self.generation(slot) != generation {
                    continue;
                }
                let Some(connection) = self.get(slot) else { continue };
                let (late, why) = match (kind, connection.state) {
                    (CONNECT, State::Connecting) | (HANDSHAKE, State::Handshaking) => {
                        counts.half_open_expired += 1;
                        (true, CloseReason::TimedOut)
                    }
                    (FIRST_WORD, State::Open) if !connection.spoke => {
                        counts.half_open_expired += 1;
                        (true, CloseReason::TimedOut)
                    }
                    (FAREWELL, State::Closing | State::Lingering) => (true, CloseReason::Ours),
                    _ => (false, CloseReason::Ours),
                };
                if late {
                    self.drop_slot(epoll, slot, why, counts);
                }
            }
        }
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP;
            self.sweep(epoll, now, counts);
        }
    }

    fn pop_due(&mut self, kind: usize, now: Instant) -> Option<(u32, u32)> {
        let queue = self.deadlines.get_mut(kind)?;
        let &(at, slot, generation) = queue.front()?;
        if at > now {
            return None;
        }
        queue.pop_front();
        Some((slot, generation))
    }

    fn sweep(&mut self, epoll: &Epoll, now: Instant, counts: &mut Counts) {
        for slot in 0..self.slots.len() as u32 {
            let (stall, idle) = (self.limits.stall_time, self.limits.idle_time);
            let Some(connection) = self.get(slot) else { continue };
            if connection.state != State::Open {
                continue;
            }
            if connection.queued() > 0 && now.since(connection.stalled) >= stall {
                counts.slow_closed += 1;
                self.drop_slot(epoll, slot, CloseReason::Slow, counts);
            } else if now.since(connection.active) >= idle {
                counts.idle_expired += 1;
                let id = connection.id;
                self.close(epoll, id, now, counts);
            }
        }
    }
}

fn flags(writes: bool) -> EpollFlags {
    let read = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
    if writes { read | EpollFlags::EPOLLOUT } else { read }
}
