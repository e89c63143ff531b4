//! One connection: its socket, its TLS if it has one, and what waits to be sent.
//!
//! It holds no read buffer. What comes in goes through the shard's scratch to the machine at
//! once, so that an idle connection costs its socket, this struct and (with TLS) the session.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use towel_core::io::{CloseReason, ConnectionId, Flow, Instant};

use crate::sys;
use crate::tls::{Session, identities};

/// Room for ciphertext on its way through.
pub(crate) const CIPHERTEXT: usize = 16 << 10;
/// Room for what is handed to the machine at once; holds all that one read of ciphertext can
/// set free, together with what was kept of a record before.
pub(crate) const PLAINTEXT: usize = 64 << 10;

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The connect is under way.
    Connecting,
    /// TLS is being agreed.
    Handshaking,
    /// In use.
    Open,
    /// To be closed when everything is sent. What comes in is thrown away: closing with unread
    /// bytes would make the kernel reset the connection, and the peer lose our last words.
    Closing,
    /// All is sent, the peer knows, and its end is waited for.
    Lingering,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) flow: Flow,
    pub(crate) state: State,
    stream: TcpStream,
    session: Option<Box<Session>>,
    /// Whether the kernel notes when bytes come.
    timed: bool,
    queue: Vec<u8>,
    sent: usize,
    /// Whether epoll is told to look for room to write.
    pub(crate) watches_writes: bool,
    /// Whether the peer has ever said anything.
    pub(crate) spoke: bool,
    /// When anything last went either way.
    pub(crate) active: Instant,
    /// Since when what is queued has not moved.
    pub(crate) stalled: Instant,
}

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// So many bytes are in the plaintext scratch, perhaps none; more may follow.
    Bytes(usize),
    /// There is nothing now.
    Nothing,
    /// It is over.
    End(CloseReason),
}

impl Connection {
    pub(crate) fn new(
        id: ConnectionId,
        flow: Flow,
        state: State,
        stream: TcpStream,
        session: Option<Session>,
        now: Instant,
    ) -> Self {
        Self {
            id,
            flow,
            state,
            stream,
            session: session.map(Box::new),
            timed: false,
            queue: Vec::new(),
            sent: 0,
            watches_writes: state == State::Connecting,
            spoke: false,
            active: now,
            stalled: now,
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// The connect has ended, one way or the other.
    pub(crate) fn connected(&mut self) -> Result<(), CloseReason> {
        match self.stream.take_error() {
            Ok(None) => {}
            Ok(Some(e)) => return Err(reason(&e)),
            Err(_) => return Err(CloseReason::Failed),
        }
        if let Ok(local) = self.stream.local_addr() {
            self.flow.local = local;
        }
        self.state = match &mut self.session {
            Some(session) => {
                session.begin(&mut self.queue).map_err(|_| CloseReason::Tls)?;
                State::Handshaking
            }
            None => State::Open,
        };
        Ok(())
    }

    /// How many bytes wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len() - self.sent
    }

    /// Queues bytes, to be sent by [`Connection::flush`] at the end of the turn: what one turn has
    /// for one peer then takes one call. `buffer` is used if there is none yet.
    pub(crate) fn put(
        &mut self,
        bytes: &[u8],
        buffer: &mut Vec<Vec<u8>>,
        now: Instant,
    ) -> io::Result<()> {
        self.active = now;
        if self.queued() == 0 {
            self.queue.clear();
            self.sent = 0;
            self.stalled = now;
        }
        if self.queue.capacity() == 0 {
            self.queue = buffer.pop().unwrap_or_default();
        }
        match &mut self.session {
            Some(session) => session.put(bytes, &mut self.queue)?,
            None => self.queue.extend_from_slice(bytes),
        }
        Ok(())
    }

    /// Gives up the buffer if nothing is in it, since an idle connection needs none.
    pub(crate) fn give_back(&mut self) -> Option<Vec<u8>> {
        let idle = self.queue.is_empty() && self.queue.capacity() > 0;
        idle.then(|| std::mem::take(&mut self.queue))
    }

    /// Sends of what waits as much as the kernel takes. Gives how many bytes that were.
    pub(crate) fn flush(&mut self, now: Instant) -> io::Result<usize> {
        if self.state == State::Connecting {
            return Ok(0);
        }
        let mut total = 0;
        loop {
            if self.queued() == 0 {
                self.queue.clear();
                self.sent = 0;
                self.stalled = now;
                break;
            }
            let rest = self.queue.get(self.sent..).unwrap_or_default();
            let written = write_some(&mut self.stream, rest)?;
            if written == 0 {
                break;
            }
            self.sent += written;
            self.stalled = now;
            total += written;
        }
        // A queue that moves does not grow at its front.
        if self.sent > self.queue.len() / 2 {
            self.queue.drain(..self.sent);
            self.sent = 0;
        }
        Ok(total)
    }

    /// Takes in what the peer sent, in one piece no longer than `most`. `counted` grows by the bytes of
    /// the stream; `waits` is told how long they waited if it wants to know.
    pub(crate) fn read(
        &mut self,
        cipher: &mut [u8],
        plain: &mut [u8],
        most: usize,
        waits: Option<&mut Waits>,
        counted: &mut u64,
        now: Instant,
    ) -> Taken {
        let target = if self.session.is_some() { &mut *cipher } else { &mut *plain };
        let most = most.min(target.len());
        let target = target.get_mut(..most).unwrap_or_default();
        let read = match waits {
            None => self.stream.read(target),
            Some(waits) => read_timed(&self.stream, &mut self.timed, target, waits),
        };
        let count = match read {
            Ok(0) => return Taken::End(self.end()),
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Taken::Nothing,
            Err(e) if e.kind() == ErrorKind::Interrupted => return Taken::Bytes(0),
            Err(e) => return Taken::End(reason(&e)),
        };
        *counted += count as u64;
        self.spoke = true;
        self.active = now;
        let Some(session) = &mut self.session else { return Taken::Bytes(count) };
        let bytes = cipher.get_mut(..count).unwrap_or_default();
        match session.take(bytes, plain, &mut self.queue) {
            Ok(taken) if taken.closed && taken.plain == 0 => Taken::End(CloseReason::Peer),
            Ok(taken) => Taken::Bytes(taken.plain),
            Err(_) => {
                // The alert that says why is worth a try.
                let _ = self.flush(now);
                Taken::End(CloseReason::Tls)
            }
        }
    }

    fn end(&self) -> CloseReason {
        match self.state {
            State::Handshaking => CloseReason::Tls,
            _ => CloseReason::Peer,
        }
    }

    /// Whether the handshake has just been completed.
    pub(crate) fn handshake_done(&self) -> bool {
        self.state == State::Handshaking
            && self.session.as_ref().is_some_and(|s| !s.is_handshaking())
    }

    /// The SIP domains that the peer has proved to speak for.
    pub(crate) fn identities(&self) -> Vec<String> {
        self.session.as_ref().and_then(|s| s.peer_certificate()).map(identities).unwrap_or_default()
    }

    /// Says that nothing more comes from us.
    pub(crate) fn say_goodbye(&mut self) {
        if let Some(session) = &mut self.session {
            session.goodbye(&mut self.queue);
        }
    }

    /// Whether TLS has something to say of its own.
    pub(crate) fn wants_flush(&self) -> bool {
        self.session.is_some() && self.queued() > 0
    }

    pub(crate) fn shut(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        self.state = State::Lingering;
    }
}

/// How long bytes have waited at connections, and how full the fullest was.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) wait: Duration,
    pub(crate) fill: u8,
}

/// A connection counts as having so much room, as the sockets of datagrams have.
const ROOM: u32 = 4 << 20;

fn read_timed(
    stream: &TcpStream,
    timed: &mut bool,
    to: &mut [u8],
    waits: &mut Waits,
) -> io::Result<usize> {
    if !std::mem::replace(timed, true) {
        sys::want_times(stream.as_fd());
    }
    let (count, wait) = sys::read_timed(stream.as_fd(), to)?;
    waits.wait = waits.wait.max(wait);
    waits.fill = waits.fill.max(sys::fill(stream.as_fd(), ROOM));
    Ok(count)
}

fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Ok(written) => return Ok(written),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The core's word for a failure of the socket.
pub(crate) fn reason(error: &io::Error) -> CloseReason {
    match error.kind() {
        ErrorKind::ConnectionRefused => CloseReason::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
            CloseReason::Reset
        }
        ErrorKind::TimedOut => CloseReason::TimedOut,
        _ => CloseReason::Failed,
    }
}
