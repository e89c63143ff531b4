//! A shard that follows another process, and one that is followed ([`crate::succession`]).
//!
//! The one that goes reads the datagrams of the sockets that both hold until it is done, and the
//! connections that it has: its machine takes what is of transactions of its own and passes on all
//! else. The one that comes sends datagrams by the shared socket itself, and on those connections by way of
//! the other. When that closes its end, the one that comes reads the sockets itself; what waits in them
//! meanwhile is lost to nobody.
//!
//! If the one that comes ends before the one that goes, all is as before it came: what is new is kept for
//! somebody else, who can have the sockets.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::epoll::{EpollEvent, EpollFlags};
use towel_core::io::{
    CloseReason, Command, ConnectionId, Event, Flow, Input, Instant, Level, ListenerId, Machine,
};

use super::{Listening, Shard, token};
use crate::succession::{Channel, Ends, FORSAKEN, Frame, Given};

/// The bit that marks connections of the predecessor's among ours.
const CARRIED: u64 = 1 << 62;
/// For how long all must have been answered before one that was followed ends: whoever missed the
/// answer asks again within T2, and T4 is how long a message stays in the network (RFC 3261 table 4).
const QUIET: Duration = Duration::from_secs(5);

/// For so long one whose successor has ended waits for another.
const WAIT: Duration = Duration::from_secs(30);

/// Whom we follow.
pub(super) struct Before {
    channel: Channel,
    /// Our listeners by its numbers for them.
    listeners: HashMap<u16, ListenerId>,
    ours: HashMap<u64, ConnectionId>,
    theirs: HashMap<ConnectionId, u64>,
    made: u64,
}

impl Before {
    pub(super) fn new(stream: UnixStream, listeners: HashMap<u16, ListenerId>) -> Before {
        let channel = Channel::new(stream);
        let (ours, theirs) = (HashMap::new(), HashMap::new());
        Before { channel, listeners, ours, theirs, made: 0 }
    }

    /// The predecessor's number of a connection, if it is one of its.
    fn theirs(&self, id: ConnectionId) -> Option<u64> {
        let carried = id.0 & CARRIED != 0 && !id.is_ours();
        carried.then(|| self.theirs.get(&id).copied()).flatten()
    }

    fn forget(&mut self, theirs: u64) -> Option<ConnectionId> {
        let id = self.ours.remove(&theirs)?;
        self.theirs.remove(&id);
        Some(id)
    }
}

/// Who follows us.
#[derive(Default)]
pub(super) struct After {
    channel: Channel,
    /// Since when all have their answers.
    quiet: Option<Instant>,
}

impl Shard<'_> {
    /// The sockets that listen, for another process; none while we are not alone ourselves, or stop.
    pub(super) fn offer(&self) -> Option<Vec<Given>> {
        let alone = match &self.after {
            None => self.stop.is_none(),
            Some(after) => after.channel.stream.is_none() && !self.stopping,
        };
        if self.before.is_some() || !alone {
            return None;
        }
        let mut all = Vec::new();
        for (index, place) in self.sockets.iter().enumerate() {
            let socket = match place {
                Listening::Datagrams(socket) => socket.try_clone().map(Into::into),
                Listening::Streams(socket) => socket.try_clone().map(Into::into),
                Listening::Gone => continue,
            };
            let id = u16::try_from(index).ok()?;
            let listener = self.streams.known(ListenerId(id))?;
            let (transport, local) = (listener.transport, listener.local);
            all.push(Given { id, transport, local, asked: local.port(), socket: socket.ok()? });
        }
        Some(all)
    }

    /// From now on what is new is somebody else's, who will listen soon.
    pub(super) fn hand_over<M: Machine + ?Sized>(&mut self, machine: &mut M, within: Duration) {
        // Nobody who connects now is turned away: the successor holds the sockets too. They stay ours
        // as well, in case it ends.
        for socket in &self.sockets {
            if let Listening::Streams(socket) = socket {
                let _ = self.epoll.delete(socket.as_fd());
            }
        }
        // What came since another successor ended is for this one.
        let after = self.after.take().unwrap_or_else(|| self.told_all());
        self.after = Some(after);
        self.stop = Some(self.now.at + within);
        self.stop_look = self.now.at;
        self.tell(machine, Input::Command(Command::HandOver));
    }

    /// What a successor has to know first: the connections that there are.
    fn told_all(&self) -> After {
        let mut after = After::default();
        for (flow, identities) in self.streams.established() {
            opened(&mut after.channel, &flow, identities);
        }
        after
    }

    /// The successor listens.
    pub(super) fn followed_by(&mut self, stream: UnixStream) {
        let Some(after) = &mut self.after else { return };
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        let ready = stream.set_nonblocking(true).is_ok()
            && self.epoll.add(stream.as_fd(), EpollEvent::new(flags, token::AFTER)).is_ok();
        if ready {
            after.channel.stream = Some(stream);
            after.channel.flush();
        }
    }

    /// What is not of ours and came by that way goes to the successor.
    pub(super) fn pass_on(&mut self, flow: &Flow, bytes: std::ops::Range<usize>) {
        let Some(after) = &mut self.after else { return };
        let bytes = self.out.arena.get(bytes).unwrap_or_default();
        after.channel.tell(&match flow.connection {
            None => Frame::Datagram { listener: flow.listener.0, remote: flow.remote, bytes },
            Some(id) => Frame::Stream { id: id.0, bytes },
        });
    }

    /// The successor must know of a connection.
    pub(super) fn tell_opened(&mut self, flow: &Flow, identities: &[String]) {
        if let Some(after) = &mut self.after {
            opened(&mut after.channel, flow, identities.to_vec());
        }
    }

    /// The successor must know that it is gone.
    pub(super) fn tell_closed(&mut self, id: ConnectionId) {
        if let Some(after) = &mut self.after {
            after.channel.tell(&Frame::Closed { id: id.0 });
        }
    }

    /// Sends on a connection of the predecessor's; says whether it is one.
    pub(super) fn send_by_before(
        &mut self,
        id: ConnectionId,
        bytes: &std::ops::Range<usize>,
    ) -> bool {
        let Some(before) = &mut self.before else { return false };
        let Some(id) = before.theirs(id) else { return false };
        let bytes = self.out.arena.get(bytes.clone()).unwrap_or_default();
        before.channel.tell(&Frame::Stream { id, bytes });
        true
    }

    /// Has a connection of the predecessor's closed; says whether it is one.
    pub(super) fn close_by_before(&mut self, id: ConnectionId) -> bool {
        let Some(before) = &mut self.before else { return false };
        let Some(theirs) = before.theirs(id) else { return false };
        before.channel.tell(&Frame::Closed { id: theirs });
        before.forget(theirs);
        true
    }

    /// We were told to stop: the predecessor is not to take that for an accident.
    pub(super) fn say_farewell(&mut self) {
        self.stopping = true;
        if let Some(before) = &mut self.before {
            before.channel.tell(&Frame::Farewell);
            before.channel.flush();
        }
    }

    /// Tells the others what they are to know.
    pub(super) fn flush_succession(&mut self) {
        if let Some(before) = &mut self.before {
            before.channel.flush();
        }
        if let Some(after) = &mut self.after {
            after.channel.flush();
        }
    }

    /// The predecessor has told something, or has ended.
    pub(super) fn heard_before<M: Machine + ?Sized>(&mut self, machine: &mut M) {
        // Taken out, so that the machine can be told of what is in it.
        let Some(mut before) = self.before.take() else { return };
        before.channel.flush();
        let open = before.channel.fill();
        let mut channel = std::mem::take(&mut before.channel);
        self.before = Some(before);
        let sound = channel.frames(|_, frame| self.take_in(machine, frame));
        let Some(before) = &mut self.before else { return };
        // What was wanted of the predecessor meanwhile is in the new one.
        let wanted = std::mem::replace(&mut before.channel, channel);
        before.channel.append(wanted);
        before.channel.flush();
        if !open || !sound {
            self.alone(machine);
        }
    }

    fn take_in<M: Machine + ?Sized>(&mut self, machine: &mut M, frame: Frame<'_>) {
        let Some(before) = &mut self.before else { return };
        let input = match frame {
            Frame::Datagram { listener, remote, bytes } => {
                let Some(listener) = before.listeners.get(&listener) else { return };
                self.counts.datagrams_in += 1;
                Input::Datagram { listener: *listener, remote, bytes }
            }
            Frame::Opened { id, ends, identities } => {
                let connection = ConnectionId(CARRIED | before.made);
                before.made += 1;
                before.ours.insert(id, connection);
                before.theirs.insert(connection, id);
                let Ends { transport, listener, local, remote } = ends;
                // By a listener that is no more it is as if it had come by the first.
                let listener = before.listeners.get(&listener).copied().unwrap_or_default();
                let connection = Some(connection);
                let flow = Flow { transport, listener, local, remote, connection };
                let Some(connection) = connection else { return };
                Input::Opened { connection, flow, identities }
            }
            Frame::Stream { id, bytes } => {
                let Some(connection) = before.ours.get(&id) else { return };
                Input::Stream { connection: *connection, bytes }
            }
            Frame::Closed { id } => {
                let Some(connection) = before.forget(id) else { return };
                Input::Closed { connection, why: CloseReason::Peer }
            }
            Frame::Farewell => return,
        };
        self.tell(machine, input);
    }

    /// The predecessor is gone: its connections are, and the sockets are ours alone.
    fn alone<M: Machine + ?Sized>(&mut self, machine: &mut M) {
        let Some(before) = self.before.take() else { return };
        for connection in before.theirs.into_keys() {
            self.tell(machine, Input::Closed { connection, why: CloseReason::Peer });
        }
        for index in std::mem::take(&mut self.held_back) {
            if let Some(Listening::Datagrams(socket)) = self.sockets.get(index) {
                let event = EpollEvent::new(EpollFlags::EPOLLIN, token::listener(index));
                // Out of kernel memory there is nothing that could be done without it.
                let _ = self.epoll.add(socket.as_fd(), event);
            }
        }
        (self.onlooker)(Event {
            level: Level::Info,
            kind: "taken-over",
            text: "the server before this one has ended".to_owned(),
        });
    }

    /// The successor has told something, or has ended.
    pub(super) fn heard_after(&mut self) {
        let Some(mut after) = self.after.take() else { return };
        after.channel.flush();
        let open = after.channel.fill();
        let (at, epoll) = (self.now.at, &self.epoll);
        let (streams, counts) = (&mut self.streams, &mut self.counts);
        let mut on_purpose = self.stopping;
        after.channel.frames(|_, frame| match frame {
            Frame::Stream { id, bytes } => {
                streams.send(epoll, ConnectionId(id), bytes, at, counts);
            }
            Frame::Closed { id } => streams.close(epoll, ConnectionId(id), at, counts),
            Frame::Farewell => on_purpose = true,
            Frame::Datagram { .. } | Frame::Opened { .. } => {}
        });
        self.stopping = on_purpose;
        if open {
            self.after = Some(after);
            return;
        }
        if on_purpose {
            self.after = Some(After::default());
            self.stop = Some(at);
            return (self.onlooker)(Event {
                level: Level::Info,
                kind: "hand-over",
                text: "the server that took over was stopped; this one stops".to_owned(),
            });
        }
        // Somebody else has to be found who takes what is new.
        self.after = Some(self.told_all());
        self.stop = Some(self.stop.unwrap_or(at).max(at + WAIT));
        (self.onlooker)(Event {
            level: Level::Error,
            kind: FORSAKEN,
            text: "the server that took over has ended before this one was done".to_owned(),
        });
    }

    /// Whether one that was asked to stop, and has done all, may.
    pub(super) fn may_end(&mut self, quiet: bool) -> bool {
        let Some(after) = &mut self.after else { return quiet };
        if after.channel.stream.is_none() || after.channel.waits() || !quiet {
            after.quiet = None;
            return false;
        }
        let since = *after.quiet.get_or_insert(self.now.at);
        // Those who are connected stay as long as they may: they would have to come back.
        self.streams.len() == 0 && self.now.at.since(since) >= QUIET
    }
}

fn opened(channel: &mut Channel, flow: &Flow, identities: Vec<String>) {
    let Some(id) = flow.connection else { return };
    let Flow { transport, listener, local, remote, .. } = *flow;
    let ends = Ends { transport, listener: listener.0, local, remote };
    channel.tell(&Frame::Opened { id: id.0, ends, identities });
}
