//! The loop of one shard.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use towel_core::io::{
    Command, Event, Input, Instant, Level, Listener, ListenerId, Machine, Now, Outbox, Output,
    QueryId,
};
use towel_core::locating::Answer;
use towel_core::overload::Shed;

use crate::bind::{self, BindFault, Bound, Listening, Opened};
use crate::clock::Clock;
use crate::config::{Bind, Config};
use crate::connection::PLAINTEXT;
use crate::counters::{Counters, Counts};
use crate::notice::{Handle, Inbox, Notice};
use crate::persist::Persist;
use crate::resolver::Resolver;
use crate::shards::{Among, Errands};
use crate::shed;
use crate::streams::{Happened, Streams};
use crate::succession::Given;
use crate::sys::{self, BATCH, Receiver, Sender};

mod hand_over;
mod waiting;

/// What epoll gives back for each descriptor.
pub(crate) mod token {
    const KIND: u32 = 56;
    /// The bits of a slot's generation that fit.
    pub(crate) const GENERATION: u32 = 0xff_ffff;

    pub(crate) enum Token {
        Bell,
        Listener(usize),
        Connection { slot: u32, generation: u32 },
        Before,
        After,
    }

    pub(crate) const BELL: u64 = 0;
    /// The process that we follow, and the one that follows us.
    pub(crate) const BEFORE: u64 = 3 << KIND;
    pub(crate) const AFTER: u64 = 4 << KIND;

    pub(crate) fn listener(index: usize) -> u64 {
        (1 << KIND) | index as u64
    }

    pub(crate) fn connection(slot: u32, generation: u32) -> u64 {
        (2 << KIND) | (u64::from(generation & GENERATION) << 32) | u64::from(slot)
    }

    pub(crate) fn read(token: u64) -> Token {
        match token >> KIND {
            1 => Token::Listener((token & 0xffff) as usize),
            2 => Token::Connection {
                slot: token as u32,
                generation: (token >> 32) as u32 & GENERATION,
            },
            3 => Token::Before,
            4 => Token::After,
            _ => Token::Bell,
        }
    }
}

/// Why there is no driver.
#[derive(Debug)]
pub enum DriverFault {
    /// A listener could not be had.
    Bind(BindFault),
    /// The system refused something else.
    Io(io::Error),
}

impl fmt::Display for DriverFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(fault) => fault.fmt(f),
            Self::Io(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for DriverFault {}

impl From<io::Error> for DriverFault {
    fn from(fault: io::Error) -> Self {
        Self::Io(fault)
    }
}

impl From<BindFault> for DriverFault {
    fn from(fault: BindFault) -> Self {
        Self::Bind(fault)
    }
}

/// The sockets of a shard, bound and not yet served.
pub struct Driver {
    config: Config,
    bound: Vec<Bound>,
    listeners: Vec<Listener>,
    groups: Vec<(Bind, Vec<Listener>)>,
    handle: Handle,
    inbox: Inbox,
    counters: Arc<Counters>,
    follows: Option<UnixStream>,
    among: Among,
}

/// How many datagram batches one turn takes from a socket before others have theirs.
const BATCHES: usize = 32;
/// How often at most it is looked how long datagrams wait.
const LOOK: Duration = Duration::from_millis(3);
/// How often one turn reads from a connection before others have theirs.
const READS: usize = 4;
/// How near a deadline must be to be kept to the microsecond.
const NEAR: Duration = Duration::from_millis(5);
/// How many events one turn takes from epoll.
const EVENTS: usize = 256;
/// How often a shard that is to end looks whether it can.
const STOP_LOOK: Duration = Duration::from_millis(20);
/// How many notices one turn takes before the sockets have theirs.
const NOTICES: usize = 1024;

impl Driver {
    /// Binds every listener of the configuration, or none.
    pub fn new(config: Config) -> Result<Self, DriverFault> {
        Self::with(config, Vec::new())
    }

    /// The same, with the sockets that another process gave where they are what the configuration
    /// asks for.
    pub fn with(config: Config, mut given: Vec<Given>) -> Result<Self, DriverFault> {
        let certified = config.tls.as_ref().is_some_and(|tls| tls.server.is_some());
        if let Some(bind) = config.binds.iter().find(|b| b.transport.secure() && !certified) {
            let why = io::Error::new(io::ErrorKind::InvalidInput, "there is no certificate");
            return Err(BindFault { transport: bind.transport, addr: bind.addr, why }.into());
        }
        let (mut bound, mut groups) = (Vec::new(), Vec::new());
        for bind in &config.binds {
            let one = std::slice::from_ref(bind);
            let more = bind::bind_all(one, &config.limits, bound.len(), &mut given)?;
            groups.push((bind.clone(), more.iter().map(|b: &Bound| b.listener.clone()).collect()));
            bound.extend(more);
        }
        let mut all = Self::of(config, groups, vec![bound])?;
        all.pop().ok_or_else(|| io::Error::other("no shard").into())
    }

    /// The drivers of a server in so many shards, one for each, for a thread of its own each. They
    /// have sockets of their own at the same addresses; what comes to the wrong one they give each
    /// other, and they end together.
    ///
    /// # Errors
    /// As [`Driver::new`].
    pub fn several(config: Config, count: usize) -> Result<Vec<Self>, DriverFault> {
        let one = Self::new(config)?;
        if count <= 1 {
            return Ok(vec![one]);
        }
        let Self { config, bound, groups, .. } = one;
        let others = (1..count).map(|_| bind::beside(&bound, &config.limits));
        let others = others.collect::<Result<Vec<_>, _>>()?;
        bind::lead(&bound, count)?;
        Self::of(config, groups, std::iter::once(bound).chain(others).collect())
    }

    fn of(
        config: Config,
        groups: Vec<(Bind, Vec<Listener>)>,
        all: Vec<Vec<Bound>>,
    ) -> Result<Vec<Self>, DriverFault> {
        let mut pairs = Vec::new();
        for _ in &all {
            pairs.push(Inbox::pair()?);
        }
        let handles: Vec<Handle> = pairs.iter().map(|(handle, _)| handle.clone()).collect();
        let each = all.into_iter().zip(pairs).zip(Among::each(&handles));
        let made = each.map(|((bound, (handle, inbox)), among)| Self {
            config: config.clone(),
            listeners: bound.iter().map(|b| b.listener.clone()).collect(),
            groups: groups.clone(),
            bound,
            handle,
            inbox,
            counters: Arc::default(),
            follows: None,
            among,
        });
        Ok(made.collect())
    }

    /// The process that gave the sockets speaks there until it ends. Until then it reads the
    /// datagrams of those sockets.
    pub fn follow(&mut self, stream: UnixStream) {
        self.follows = Some(stream);
    }

    /// The listeners, with the ports that they truly have.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// The listeners by what was asked for.
    pub fn groups(&self) -> &[(Bind, Vec<Listener>)] {
        &self.groups
    }

    /// How to reach the driver from other threads, before and while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What the driver counts.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Runs the machine on this thread until [`Handle::stop`]. Events of the machine go to
    /// `onlooker`, which must not wait.
    pub fn run<M: Machine + ?Sized>(
        self,
        machine: &mut M,
        persist: &mut dyn Persist,
        onlooker: &mut dyn FnMut(Event),
    ) -> Result<(), DriverFault> {
        let resolver = match &self.config.resolver {
            Some(config) => Some(Resolver::start(config, self.handle.clone())?),
            None => None,
        };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(io::Error::from)?;
        let add = |fd, token| {
            epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token)).map_err(io::Error::from)
        };
        add(self.inbox.fd(), token::BELL)?;
        let mut held_back = Vec::new();
        let mut numbers = std::collections::HashMap::new();
        for (index, bound) in self.bound.iter().enumerate() {
            if let Some(given) = bound.given {
                numbers.insert(given, bound.listener.id);
            }
            match &bound.socket {
                // The process that had it before reads it.
                Listening::Datagrams(_) if self.follows.is_some() && bound.given.is_some() => {
                    held_back.push(index);
                }
                Listening::Datagrams(socket) => add(socket.as_fd(), token::listener(index))?,
                Listening::Streams(socket) => add(socket.as_fd(), token::listener(index))?,
                Listening::Gone => {}
            }
        }
        let before = match self.follows {
            None => None,
            Some(stream) => {
                stream.set_nonblocking(true)?;
                let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
                let event = EpollEvent::new(flags, token::BEFORE);
                epoll.add(stream.as_fd(), event).map_err(io::Error::from)?;
                Some(hand_over::Before::new(stream, numbers))
            }
        };
        let mut clock = Clock::since(self.among.origin);
        let streams = Streams::new(
            self.config.limits.clone(),
            self.config.tls.clone(),
            self.listeners.clone(),
            self.among.place.shard,
            self.among.tally.clone(),
        );
        let mut shard = Shard {
            now: clock.now(),
            clock,
            epoll,
            sockets: self.bound.into_iter().map(|b| b.socket).collect(),
            streams,
            out: Outbox::new(),
            waiting: Vec::with_capacity(2 * BATCH),
            sender: Sender::new(),
            lost: Vec::new(),
            unanswered: Vec::new(),
            counts: Counts::default(),
            looked: (Instant(0), None),
            queues: waiting::Queues::default(),
            turned_away: (Instant(0), 0),
            resolver,
            persist,
            onlooker,
            stop: None,
            stopping: false,
            precise: self.config.precise,
            stop_look: Instant(0),
            before,
            after: None,
            held_back,
            among: self.among,
            errands: Errands::default(),
        };
        for listener in self.listeners {
            shard.tell(machine, Input::Listening(listener));
        }
        // What the machine says at once does not wait until something comes.
        shard.flush(machine);
        shard.serve(machine, &self.inbox, &self.counters)
    }
}

struct Shard<'a> {
    clock: Clock,
    /// The time of this turn, or of this batch.
    now: Now,
    epoll: Epoll,
    sockets: Vec<Listening>,
    streams: Streams,
    /// Its arena is kept until the datagrams in it are sent.
    out: Outbox,
    /// Datagrams to be sent with the next batch.
    waiting: Vec<(ListenerId, SocketAddr, Range<usize>)>,
    sender: Sender,
    /// Destinations that the machine must be told of.
    lost: Vec<(ListenerId, SocketAddr)>,
    /// Questions for which there is nobody to ask.
    unanswered: Vec<QueryId>,
    counts: Counts,
    /// When it was last looked how long datagrams wait, and the socket where they did.
    looked: (Instant, Option<ListenerId>),
    /// What waits at connections.
    queues: waiting::Queues,
    /// When it was last told that connections were turned away, and how many had been by then.
    turned_away: (Instant, u64),
    resolver: Option<Resolver>,
    persist: &'a mut dyn Persist,
    onlooker: &'a mut dyn FnMut(Event),
    /// When to end at the latest, once that was asked for.
    stop: Option<Instant>,
    /// Whether we were told to stop, and not only that somebody else takes what is new.
    stopping: bool,
    /// See [`Config::precise`].
    precise: bool,
    /// When to look again whether that can be now.
    stop_look: Instant,
    /// The process that we follow.
    before: Option<hand_over::Before>,
    /// The process that follows us.
    after: Option<hand_over::After>,
    /// Listeners whose datagrams the process before us reads.
    held_back: Vec<usize>,
    among: Among,
    /// Empty: room for what other shards give.
    errands: Errands,
}

impl Shard<'_> {
    fn serve<M: Machine + ?Sized>(
        &mut self,
        machine: &mut M,
        inbox: &Inbox,
        counters: &Counters,
    ) -> Result<(), DriverFault> {
        let mut events = vec![EpollEvent::empty(); EVENTS];
        let mut receiver = Receiver::new();
        let mut plain = vec![0; PLAINTEXT];
        loop {
            self.counts.connections = self.streams.len() as u64;
            counters.publish(&self.counts);
            let timeout = if self.precise && self.wait_precisely(machine)? {
                EpollTimeout::ZERO
            } else {
                self.timeout(machine)
            };
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(e) => return Err(io::Error::from(e).into()),
            };
            self.counts.turns += 1;
            self.now = self.clock.now();
            self.queues.turn(count);
            for event in events.iter().take(count) {
                let flags = event.events();
                match token::read(event.data()) {
                    token::Token::Bell => self.notices(machine, inbox),
                    token::Token::Before => self.heard_before(machine),
                    token::Token::After => self.heard_after(),
                    token::Token::Listener(index) => {
                        self.listener(machine, index, flags, &mut receiver);
                    }
                    token::Token::Connection { slot, generation } => {
                        self.connection(machine, slot, generation, flags, &mut plain);
                    }
                }
            }
            self.tell_queues(machine, true);
            if machine.deadline().is_some_and(|at| at <= self.now.at) {
                self.tell(machine, Input::Tick);
            }
            if self.streams.deadline().is_some_and(|at| at <= self.now.at) {
                self.streams.due(&self.epoll, self.now.at, &mut self.counts);
                self.settle(machine);
            }
            self.flush(machine);
            if let Some(at) = self.stop
                && self.now.at >= self.stop_look.min(at)
            {
                // Not at every datagram: it takes a look at everything that there is.
                self.stop_look = self.now.at + STOP_LOOK;
                let quiet = machine.is_quiet() && !self.streams.has_queued();
                let quiet = self.among.are_quiet(quiet);
                if self.may_end(quiet) || self.now.at >= at {
                    self.counts.connections = 0;
                    counters.publish(&self.counts);
                    return Ok(());
                }
            }
        }
    }

    /// Waits until something is ready or the machine's deadline has come, if that is less than
    /// [`NEAR`] away; says whether it waited.
    fn wait_precisely<M: Machine + ?Sized>(&mut self, machine: &M) -> Result<bool, DriverFault> {
        let Some(at) = machine.deadline() else { return Ok(false) };
        // This turn has taken time itself.
        let left = at.since(self.clock.now().at);
        if left > NEAR {
            return Ok(false);
        }
        let mut ready = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
        if !left.is_zero() {
            match nix::poll::ppoll(&mut ready, Some(TimeSpec::from_duration(left)), None) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(io::Error::from(e).into()),
            }
        }
        Ok(true)
    }

    fn timeout<M: Machine + ?Sized>(&self, machine: &M) -> EpollTimeout {
        let stop = self.stop.map(|at| at.min(self.stop_look));
        let next = [machine.deadline(), self.streams.deadline(), stop];
        match next.into_iter().flatten().min() {
            None => EpollTimeout::NONE,
            // Rounded up: a millisecond early would be a turn for nothing.
            Some(at) => {
                let millis = at.since(self.now.at).as_micros().div_ceil(1000).min(3_600_000);
                EpollTimeout::try_from(millis as i32).unwrap_or(EpollTimeout::ZERO)
            }
        }
    }

    fn notices<M: Machine + ?Sized>(&mut self, machine: &mut M, inbox: &Inbox) {
        inbox.hush();
        self.run_errands(machine, inbox);
        for _ in 0..NOTICES {
            match inbox.next() {
                None => return,
                Some(Notice::Resolved(query, answer)) => {
                    self.tell(machine, Input::Resolved { query, answer });
                }
                Some(Notice::Stored(ticket, result)) => {
                    self.tell(machine, Input::Stored { ticket, result });
                }
                Some(Notice::Command(command)) => self.tell(machine, Input::Command(command)),
                Some(Notice::Tls(tls)) => self.streams.set_tls(tls),
                Some(Notice::Listen(opened)) => self.listen(machine, opened),
                Some(Notice::Unlisten(gone)) => self.unlisten(machine, gone),
                Some(Notice::Rename(listeners)) => {
                    for listener in listeners {
                        self.tell(machine, Input::Listening(listener));
                    }
                }
                Some(Notice::Offer(tell)) => {
                    // Who asked may have lost patience.
                    let _ = tell.send(self.offer());
                }
                Some(Notice::HandOver(within)) => self.hand_over(machine, within),
                Some(Notice::FollowedBy(stream)) => self.followed_by(stream),
                Some(Notice::Stop(within)) => {
                    self.say_farewell();
                    self.stop = Some(self.now.at + within);
                    self.accept_no_more();
                    self.tell(machine, Input::Command(Command::Drain));
                }
            }
        }
        inbox.ring();
    }

    /// Does what other shards have given this one.
    fn run_errands<M: Machine + ?Sized>(&mut self, machine: &mut M, inbox: &Inbox) {
        if !self.among.place.has_others() {
            return;
        }
        let mut errands = std::mem::take(&mut self.errands);
        inbox.errands(&mut errands);
        self.counts.errands_in += errands.all.len() as u64;
        for (errand, bytes) in &errands.all {
            let bytes = errands.arena.get(bytes.clone()).unwrap_or_default();
            self.tell(machine, Input::FromShard { errand: *errand, bytes });
        }
        errands.clear();
        self.errands = errands;
    }

    fn listener<M: Machine + ?Sized>(
        &mut self,
        machine: &mut M,
        index: usize,
        flags: EpollFlags,
        receiver: &mut Receiver,
    ) {
        let id = ListenerId(index as u16);
        match self.sockets.get(index) {
            Some(Listening::Datagrams(_)) => {
                if flags.contains(EpollFlags::EPOLLERR) {
                    self.icmp(id);
                    self.settle(machine);
                }
                self.datagrams(machine, id, receiver);
            }
            Some(Listening::Streams(socket)) => {
                self.streams.accept(&self.epoll, socket, id, self.now.at, &mut self.counts);
                self.tell_turned_away();
                self.settle(machine);
            }
            Some(Listening::Gone) | None => {}
        }
    }

    /// Begins to listen at more places.
    fn listen<M: Machine + ?Sized>(&mut self, machine: &mut M, opened: Opened) {
        for bound in opened.0 {
            let index = usize::from(bound.listener.id.0);
            let event = EpollEvent::new(EpollFlags::EPOLLIN, token::listener(index));
            let added = match &bound.socket {
                Listening::Datagrams(socket) => self.epoll.add(socket.as_fd(), event),
                Listening::Streams(socket) => self.epoll.add(socket.as_fd(), event),
                Listening::Gone => continue,
            };
            // Out of kernel memory: as if it had not been asked for.
            if added.is_err() {
                continue;
            }
            while self.sockets.len() <= index {
                self.sockets.push(Listening::Gone);
            }
            if let Some(place) = self.sockets.get_mut(index) {
                *place = bound.socket;
            }
            self.streams.listening(bound.listener.clone());
            self.tell(machine, Input::Listening(bound.listener));
        }
    }

    /// Listens no more, once what waits there has left.
    fn unlisten<M: Machine + ?Sized>(&mut self, machine: &mut M, gone: Vec<ListenerId>) {
        self.flush(machine);
        for id in gone {
            // Dropping the socket takes it out of epoll.
            if let Some(place) = self.sockets.get_mut(usize::from(id.0)) {
                *place = Listening::Gone;
            }
            self.streams.listener_gone(id);
            self.tell(machine, Input::ListenerGone(id));
        }
    }

    /// Whoever connects from now on finds nobody, and goes elsewhere; the connections that there
    /// are serve what is under way.
    fn accept_no_more(&mut self) {
        for place in &mut self.sockets {
            if matches!(place, Listening::Streams(_)) {
                *place = Listening::Gone;
            }
        }
    }

    /// Tells of connections that were turned away, once a second at most.
    fn tell_turned_away(&mut self) {
        let (told_at, told) = self.turned_away;
        let more = self.counts.turned_away - told;
        if more == 0 || (told > 0 && self.now.at.since(told_at) < Duration::from_secs(1)) {
            return;
        }
        self.turned_away = (self.now.at, self.counts.turned_away);
        (self.onlooker)(Event {
            level: Level::Warn,
            kind: "connection-refused",
            text: format!("{more} connections turned away: too many, or no descriptor left"),
        });
    }

    fn datagram_socket(&self, id: ListenerId) -> Option<&UdpSocket> {
        match self.sockets.get(usize::from(id.0)) {
            Some(Listening::Datagrams(socket)) => Some(socket),
            _ => None,
        }
    }

    fn datagrams<M: Machine + ?Sized>(
        &mut self,
        machine: &mut M,
        id: ListenerId,
        receiver: &mut Receiver,
    ) {
        for batch in 0..BATCHES {
            let Some(socket) = self.datagram_socket(id) else { return };
            let count = match receiver.receive(socket.as_fd()) {
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.look(machine, id, false);
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // An ICMP error that was told of a datagram sent earlier.
                Err(_) => {
                    self.icmp(id);
                    self.settle(machine);
                    continue;
                }
            };
            if batch > 0 {
                self.now = self.clock.now();
            }
            self.look(machine, id, count == BATCH);
            for index in 0..count {
                let Some((remote, bytes)) = receiver.datagram(index) else { continue };
                self.counts.datagrams_in += 1;
                self.counts.datagram_bytes_in += bytes.len() as u64;
                // Nought bytes are a keep-alive or a datagram that was too long to be one.
                if !bytes.is_empty() {
                    self.tell(machine, Input::Datagram { listener: id, remote, bytes });
                }
            }
            // A batch that was not full has emptied the socket, and if not, epoll says so.
            if count < BATCH {
                break;
            }
        }
        self.flush(machine);
    }

    /// Tells the machine how long what was just read has waited, while whole batches do, and once
    /// when none do any more.
    fn look<M: Machine + ?Sized>(&mut self, machine: &mut M, id: ListenerId, whole: bool) {
        let (at, waited) = self.looked;
        // Another socket that has little tells nothing of the one that has much.
        if !whole && waited != Some(id) || whole && self.now.at.since(at) < LOOK {
            return;
        }
        let Some(socket) = self.datagram_socket(id).filter(|_| whole) else {
            self.looked = (self.now.at, None);
            return self.tell(machine, Input::Backlog { wait: Duration::ZERO, fill: 0 });
        };
        let (wait, fill) = sys::backlog(socket.as_fd());
        self.looked = (self.now.at, Some(id));
        self.tell(machine, Input::Backlog { wait, fill });
    }

    /// Has the kernel throw away such shares of the datagrams that ask for work.
    fn shed(&mut self, share: Shed) {
        self.counts.shed_changes += 1;
        self.counts.shed_share = u64::from(share.new);
        self.counts.shed_share_known = u64::from(share.known);
        for socket in &self.sockets {
            if let Listening::Datagrams(socket) = socket {
                // Where the kernel does not do it they are refused with an answer.
                let _ = shed::set(socket, share);
            }
        }
    }

    /// Takes in what ICMP told of destinations.
    fn icmp(&mut self, id: ListenerId) {
        // Bounded: whoever sends such errors faster than they are read has the rest forgotten.
        for _ in 0..64 {
            let Some(socket) = self.datagram_socket(id) else { return };
            let Some((remote, errno)) = sys::unreachable(socket.as_fd()) else { break };
            // EMSGSIZE tells of the path's MTU, and that it was learnt: the datagram was lost,
            // and the next one will be fragmented.
            if errno != nix::libc::EMSGSIZE {
                self.counts.unreachable += 1;
                self.lost.push((id, remote));
            }
        }
        if let Some(socket) = self.datagram_socket(id) {
            // The error that stands at the socket itself has been told with the others.
            let _ = socket.take_error();
        }
    }

    fn connection<M: Machine + ?Sized>(
        &mut self,
        machine: &mut M,
        slot: u32,
        generation: u32,
        flags: EpollFlags,
        plain: &mut [u8],
    ) {
        let (epoll, at) = (&self.epoll, self.now.at);
        let readable = self.streams.ready(epoll, slot, generation, flags, at, &mut self.counts);
        self.settle(machine);
        let Some(connection) = readable else { return };
        for _ in 0..READS {
            let (most, waits) = self.queues.next(self.now.at, plain.len());
            let (epoll, at) = (&self.epoll, self.now.at);
            let read =
                self.streams.read(epoll, connection, plain, most, waits, at, &mut self.counts);
            // Opened comes before the bytes, and Closed comes after all that was read.
            self.settle(machine);
            let Some(count) = read else { break };
            self.queues.read(count);
            if let Some(bytes) = plain.get(..count).filter(|b| !b.is_empty()) {
                self.tell(machine, Input::Stream { connection, bytes });
            }
            if count < plain.len() / 4 {
                break;
            }
        }
        if self.queues.is_busy() {
            // This turn may be long.
            self.now = self.clock.now();
            self.tell_queues(machine, false);
        }
    }

    /// One input, and everything that follows from it.
    fn tell<M: Machine + ?Sized>(&mut self, machine: &mut M, input: Input<'_>) {
        machine.handle(self.now, input, &mut self.out);
        self.carry_out();
        self.settle(machine);
    }

    /// What happened to connections while outputs were carried out.
    fn settle<M: Machine + ?Sized>(&mut self, machine: &mut M) {
        loop {
            if self.waiting.len() >= BATCH {
                self.send_waiting();
            }
            let input = if let Some(happened) = self.streams.happened.pop_front() {
                match happened {
                    Happened::Opened { id, flow, identities } => {
                        self.tell_opened(&flow, &identities);
                        Input::Opened { connection: id, flow, identities }
                    }
                    Happened::Closed { id, why } => {
                        self.tell_closed(id);
                        Input::Closed { connection: id, why }
                    }
                }
            } else if let Some((listener, remote)) = self.lost.pop() {
                Input::Unreachable { listener, remote }
            } else if let Some(query) = self.unanswered.pop() {
                Input::Resolved { query, answer: Answer::failure() }
            } else {
                return;
            };
            machine.handle(self.now, input, &mut self.out);
            self.carry_out();
        }
    }

    fn carry_out(&mut self) {
        let mut shed = None;
        let mut outputs = std::mem::take(&mut self.out.outputs);
        let at = self.now.at;
        for output in outputs.drain(..) {
            match output {
                Output::Transmit { flow, bytes } => match flow.connection {
                    None => self.waiting.push((flow.listener, flow.remote, bytes)),
                    Some(id) if self.send_by_before(id, &bytes) => {}
                    Some(id) => {
                        let bytes = self.out.arena.get(bytes).unwrap_or_default();
                        self.streams.send(&self.epoll, id, bytes, at, &mut self.counts);
                    }
                },
                Output::Open { connection, transport, listener, remote, server_name } => {
                    self.streams.open(
                        &self.epoll,
                        connection,
                        transport,
                        listener,
                        remote,
                        server_name.as_deref(),
                        at,
                        &mut self.counts,
                    );
                }
                Output::Close { connection } if self.close_by_before(connection) => {}
                Output::Close { connection } => {
                    self.streams.close(&self.epoll, connection, at, &mut self.counts);
                }
                Output::Resolve { query, question } => {
                    self.counts.questions += 1;
                    match &self.resolver {
                        Some(resolver) => resolver.ask(query, question),
                        None => self.unanswered.push(query),
                    }
                }
                Output::Store { ticket, record } => {
                    self.counts.records += 1;
                    self.persist.submit(ticket, record);
                }
                Output::PassOn { flow, bytes } => self.pass_on(&flow, bytes),
                Output::Shed(share) => shed = Some(share),
                Output::ToShard { shard, errand, bytes } => {
                    let bytes = self.out.arena.get(bytes).unwrap_or_default();
                    let other = self.among.all.get(usize::from(shard));
                    let given = other.is_some_and(|other| other.give(errand, bytes));
                    self.counts.errands_out += u64::from(given);
                    self.counts.errands_lost += u64::from(!given);
                }
                Output::Journal(journal) => journal.submit(|ticket, record| {
                    self.counts.records += 1;
                    self.persist.submit(ticket, record);
                }),
                Output::Event(event) => (self.onlooker)(event),
            }
        }
        self.out.outputs = outputs;
        if let Some(share) = shed {
            self.shed(share);
        }
        if self.waiting.is_empty() {
            self.out.arena.clear();
        }
    }

    /// Sends everything that waits, and tells the machine what could not be sent.
    fn flush<M: Machine + ?Sized>(&mut self, machine: &mut M) {
        while !self.waiting.is_empty() || !self.lost.is_empty() || self.streams.is_dirty() {
            self.send_waiting();
            self.streams.flush_all(&self.epoll, self.now.at, &mut self.counts);
            self.settle(machine);
        }
        self.flush_succession();
    }

    fn send_waiting(&mut self) {
        let mut next = 0;
        let mut retried = false;
        while let Some((id, first, _)) = self.waiting.get(next) {
            let (id, first) = (*id, *first);
            let run = self.waiting.get(next..).unwrap_or_default();
            let run = run.iter().take_while(|(l, ..)| *l == id).take(BATCH);
            let arena = &self.out.arena;
            let datagrams = run
                .map(|(_, remote, range)| (*remote, arena.get(range.clone()).unwrap_or_default()));
            let Some(Listening::Datagrams(socket)) = self.sockets.get(usize::from(id.0)) else {
                self.counts.datagrams_unsent += 1;
                next += 1;
                continue;
            };
            match self.sender.send(socket.as_fd(), datagrams) {
                Ok(sent) => {
                    let range = self.waiting.get(next..next + sent).unwrap_or_default();
                    let bytes: usize = range.iter().map(|(.., r)| r.len()).sum();
                    self.counts.datagrams_out += sent as u64;
                    self.counts.datagram_bytes_out += bytes as u64;
                    next += sent.max(1);
                    retried = false;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    // The kernel has no room: lost, as on a full wire, and sent again by timer.
                    self.counts.datagrams_unsent += 1;
                    next += 1;
                }
                // The error may be that of an earlier datagram, so this one gets another try.
                Err(_) if !retried => {
                    retried = true;
                    self.icmp(id);
                }
                Err(_) => {
                    retried = false;
                    self.counts.datagrams_unsent += 1;
                    self.lost.push((id, first));
                    next += 1;
                }
            }
        }
        self.waiting.clear();
        self.out.arena.clear();
    }
}
