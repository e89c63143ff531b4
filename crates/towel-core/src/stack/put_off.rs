//! Work that begins, put off for work that goes on.
//!
//! What waits at a connection is read in the order in which it came, and nothing of it can be thrown away
//! unread. If calls begin faster than they can be carried, each new one takes the time that those have
//! to wait that were let in before; their 200s are sent again since no ACK came (RFC 3261 section
//! 13.3.1.4), and soon most of the work is for nothing. So while the driver is behind, requests that begin
//! work are set aside as they come, and all else is done first: ACK, BYE, responses, what is within
//! dialogs and what is urgent. Those that were set aside have their turn when everything that was there to
//! be read has been ([`Input::Tick`](crate::io::Input::Tick)), a few at a time. Who has waited there for as
//! long as overload may last unheeded is refused, and how long they wait is what the controller holds
//! short.
//!
//! Datagrams need none of it: the kernel lets those through that matter ([`crate::overload::Shed`]).

use std::collections::VecDeque;
use std::time::Duration;

use super::{Stack, TransactionUser, no_names};
use crate::io::{ConnectionId, Flow, Instant, Now, Outbox};
use crate::overload::{Class, Verdict, glance};

/// So many requests wait at most, and so many bytes of them.
const MOST: usize = 8192;
const BYTES: usize = 8 << 20;
/// So many have their turn at a time.
const SLICE: usize = 64;
/// The driver is behind where what it reads has waited for this part of what is allowed.
const BEHIND: u32 = 8;

#[derive(Debug)]
struct Waiting {
    came: Instant,
    connection: ConnectionId,
    message: Vec<u8>,
    fate: Option<Fate>,
}

/// What was decided of a request before it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is let in.
    Serve,
    /// It is refused with an answer.
    Refuse,
    /// It is turned away, with an answer if there may be one.
    TooLate,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    queue: VecDeque<Waiting>,
    bytes: usize,
    /// What the driver told last: how long what it reads has waited, and how full the room for it is.
    told: (Duration, u8),
    behind: bool,
    /// What becomes of the request that is being read.
    pub(super) fate: Option<Fate>,
}

impl PutOff {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// When to go on.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.queue.front().map(|first| first.came)
    }

    /// How long is waited, here or with the driver, and how full it is there.
    pub(super) fn wait(&self, now: Instant) -> (Duration, u8) {
        let here = self.queue.front().map_or(Duration::ZERO, |first| now.since(first.came));
        (self.told.0.max(here), self.told.1)
    }

    fn has_room(&self) -> bool {
        self.queue.len() < MOST && self.bytes < BYTES
    }
}

impl Stack {
    /// How long messages wait now before they are served, as far as was told, and how many have been read
    /// and set aside for others.
    pub fn waiting(&self, now: Now) -> (Duration, usize) {
        (self.put_off.wait(now.at).0, self.put_off.queue.len())
    }

    /// The driver has told how long what it reads has waited.
    pub(super) fn is_behind(&mut self, wait: Duration, fill: u8) {
        let settings = self.overload.settings();
        self.put_off.told = (wait, fill);
        self.put_off.behind = settings.enabled && wait > settings.target / BEHIND;
    }

    /// Sets a message aside, or drops it, where it begins work and there is other work; says whether it has.
    pub(super) fn puts_off(&mut self, now: Now, flow: &Flow, bytes: &[u8]) -> bool {
        let aside = self.put_off.behind || !self.put_off.is_empty();
        if !aside && !self.overload.is_pressed() {
            return false;
        }
        let class = glance(bytes);
        let fate = match class.and_then(|class| self.judge_at_a_glance(now, flow, class)) {
            None => None,
            Some(Verdict::Serve) => Some(Fate::Serve),
            Some(Verdict::Refuse) => {
                self.put_off.fate = Some(Fate::Refuse);
                return false;
            }
            Some(Verdict::Drop) => {
                self.counters.dropped_unread += 1;
                return true;
            }
        };
        let Some(connection) = flow.connection.filter(|_| aside) else {
            self.put_off.fate = fate;
            return false;
        };
        // A CANCEL does not overtake its INVITE.
        let follows = bytes.starts_with(b"CANCEL ") && !self.put_off.is_empty();
        if !matches!(class, Some(Class::New | Class::Known)) && !follows {
            return false;
        }
        if !self.put_off.has_room() {
            self.put_off.fate = class.map(|_| Fate::TooLate);
            return false;
        }
        self.counters.put_off += 1;
        let message = self.kept(bytes);
        self.put_off.bytes += message.len();
        self.put_off.queue.push_back(Waiting { came: now.at, connection, message, fate });
        true
    }

    /// Everything else has been done: a few of those that were set aside have their turn.
    pub(super) fn resume<U: TransactionUser + ?Sized>(
        &mut self,
        now: Now,
        out: &mut Outbox,
        user: &mut U,
    ) {
        if self.put_off.is_empty() {
            return;
        }
        self.waits(now);
        let patience = self.overload.settings().lasting;
        for _ in 0..SLICE {
            let Some(first) = self.put_off.queue.pop_front() else { break };
            let Waiting { came, connection, message, fate } = first;
            self.put_off.bytes -= message.len();
            // Nobody is there any more who would hear the answer.
            let there = self.connections.get(connection).filter(|there| !there.broken);
            if let Some(there) = there {
                let flow = there.flow;
                let names = there.peer.identities.clone().unwrap_or_else(no_names);
                let late = now.at.since(came) > patience;
                self.put_off.fate = if late { Some(Fate::TooLate) } else { fate };
                self.read(now, out, user, flow, &names, &message);
                self.put_off.fate = None;
            }
            self.give_back(message);
        }
        if self.put_off.is_empty() {
            self.waits(now);
        }
    }
}
