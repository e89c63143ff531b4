//! How other threads reach a shard: a channel, and an eventfd that wakes it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use towel_core::io::{Command, Listener, ListenerId, StoreFault, Ticket};
use towel_core::locating::{Answer, QueryId};
use towel_core::shards::Errand;

use crate::bind::Opened;
use crate::shards::{Errands, Post};
use crate::succession::Given;
use crate::tls::Tls;

/// What other threads tell a shard.
#[derive(Debug)]
pub(crate) enum Notice {
    Resolved(QueryId, Answer),
    Stored(Ticket, Result<(), StoreFault>),
    Command(Command),
    Tls(Arc<Tls>),
    Listen(Opened),
    Unlisten(Vec<ListenerId>),
    Rename(Vec<Listener>),
    /// End: let the machine drain for so long, then close everything.
    Stop(Duration),
    /// Tell which sockets could be handed over.
    Offer(Sender<Option<Vec<Given>>>),
    /// What is new is somebody else's; end within so long.
    HandOver(Duration),
    /// That somebody listens there.
    FollowedBy(UnixStream),
}

#[derive(Debug)]
struct Bell {
    fd: EventFd,
    /// Rung and not yet heard: spares the system call of every further notice.
    rung: AtomicBool,
}

/// Reaches a running driver from any thread.
#[derive(Debug, Clone)]
pub struct Handle {
    sender: Sender<Notice>,
    bell: Arc<Bell>,
    post: Arc<Post>,
}

impl Bell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Fails only if the counter is full, and then the shard is awake anyway.
            let _ = self.fd.write(1);
        }
    }
}

impl Handle {
    /// A record is safe, or could not be made so.
    pub fn stored(&self, ticket: Ticket, result: Result<(), StoreFault>) {
        self.tell(Notice::Stored(ticket, result));
    }

    /// The answer to a question.
    pub fn resolved(&self, query: QueryId, answer: Answer) {
        self.tell(Notice::Resolved(query, answer));
    }

    /// Something for the machine.
    pub fn command(&self, command: Command) {
        self.tell(Notice::Command(command));
    }

    /// Other certificates and authorities, for connections from now on.
    pub fn set_tls(&self, tls: Arc<Tls>) {
        self.tell(Notice::Tls(tls));
    }

    /// Listens at more places.
    pub fn listen(&self, opened: Opened) {
        self.tell(Notice::Listen(opened));
    }

    /// Listens at these no more. Connections that were accepted there stay.
    pub fn unlisten(&self, gone: Vec<ListenerId>) {
        self.tell(Notice::Unlisten(gone));
    }

    /// Has these be known by other names from now on; their sockets stay as they are.
    pub fn rename(&self, listeners: Vec<Listener>) {
        self.tell(Notice::Rename(listeners));
    }

    /// The sockets that listen, for another process; `None` if there is a process before or after
    /// this one already, or no answer within `patience`.
    pub fn offer(&self, patience: Duration) -> Option<Vec<Given>> {
        let (tell, told) = channel();
        self.tell(Notice::Offer(tell));
        told.recv_timeout(patience).ok().flatten()
    }

    /// From now on what is new is for the process that was given the sockets: it is kept until
    /// [`Handle::followed_by`]. The driver ends when all that it has begun is done, or `within` so
    /// long.
    pub fn hand_over(&self, within: Duration) {
        self.tell(Notice::HandOver(within));
    }

    /// The process that takes what is new listens there.
    pub fn followed_by(&self, stream: UnixStream) {
        self.tell(Notice::FollowedBy(stream));
    }

    /// Ends the driver: the machine is told to drain, and when it has, or after `within`, what is
    /// queued is sent and everything closed.
    pub fn stop(&self, within: Duration) {
        self.tell(Notice::Stop(within));
    }

    fn tell(&self, notice: Notice) {
        // A shard that has ended hears nothing more, and needs nothing more.
        if self.sender.send(notice).is_ok() {
            self.bell.ring();
        }
    }

    /// Gives the shard something to do for another; says whether there was room.
    pub(crate) fn give(&self, errand: Errand, bytes: &[u8]) -> bool {
        let given = self.post.give(errand, bytes);
        self.bell.ring();
        given
    }
}

/// The shard's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    receiver: Receiver<Notice>,
    bell: Arc<Bell>,
    post: Arc<Post>,
}

impl Inbox {
    pub(crate) fn pair() -> io::Result<(Handle, Self)> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let fd = EventFd::from_value_and_flags(0, flags)?;
        let bell = Arc::new(Bell { fd, rung: AtomicBool::new(false) });
        let (sender, receiver) = channel();
        let post = Arc::<Post>::default();
        let handle = Handle { sender, bell: bell.clone(), post: post.clone() };
        Ok((handle, Self { receiver, bell, post }))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.bell.fd.as_fd()
    }

    /// To be called when the bell was heard and before the notices are taken: whatever comes
    /// after that rings again.
    pub(crate) fn hush(&self) {
        let _ = self.bell.fd.read();
        self.bell.rung.store(false, Ordering::Release);
    }

    /// Rings for itself: not everything was taken.
    pub(crate) fn ring(&self) {
        let _ = self.bell.fd.write(1);
    }

    /// Takes what other shards have given this one, for an empty one.
    pub(crate) fn errands(&self, empty: &mut Errands) {
        self.post.take(empty);
    }

    pub(crate) fn next(&self) -> Option<Notice> {
        self.receiver.try_recv().ok()
    }
}
