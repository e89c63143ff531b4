//! How long bytes wait at connections: the sign of overload there (`towel_core::overload`).
//!
//! The kernel notes when bytes came, once it has been asked to, and tells so when they are read; of bytes that it
//! has put together, when the last came. It is asked where a turn of the loop had much to read, and
//! told for some of the connections: all of them wait for the same thread. What waits on the other side,
//! because the connection takes no more, nobody tells; but what the kernel holds is then old as well.

use std::time::Duration;

use towel_core::io::{Input, Instant, Machine};

use super::{LOOK, Shard};
use crate::connection::Waits;

/// So many events in a turn, or so many bytes, are much.
const MANY: usize = 16;
const MUCH: usize = 32 << 10;
/// Of so many reads one is looked at, and more where they take long.
const EACH: usize = 8;
/// What a turn with many connections reads from all of them, and the least that it reads from one: each
/// is to wait for the others only so long.
const TURN: usize = 512 << 10;
const LEAST: usize = 8 << 10;

/// What is known of it.
#[derive(Default)]
pub(super) struct Queues {
    /// How many events this turn has, and how many reads and bytes there have been in it.
    events: usize,
    reads: usize,
    bytes: usize,
    /// Whether this turn, or the last, had much to read.
    busy: bool,
    /// Since it was last told: the worst that was seen, if any was looked at.
    worst: Option<Waits>,
    /// When one was last looked at, when it was told, and whether that was of a wait.
    looked: Instant,
    told: Instant,
    waited: bool,
}

impl Queues {
    /// A turn begins with so many events.
    pub(super) fn turn(&mut self, events: usize) {
        self.busy = self.reads > 0 && (self.bytes >= MUCH || self.events >= MANY);
        (self.events, self.reads, self.bytes) = (events, 0, 0);
    }

    /// How much the next read may take, and where to say how long that has waited.
    pub(super) fn next(&mut self, now: Instant, room: usize) -> (usize, Option<&mut Waits>) {
        self.reads += 1;
        if !self.busy {
            return (room, None);
        }
        let most = (TURN / self.events.max(1)).clamp(LEAST, room.max(LEAST));
        let look = self.reads % EACH == 1 || now.since(self.looked) >= LOOK;
        if look {
            self.looked = now;
        }
        (most, look.then(|| self.worst.get_or_insert_default()))
    }

    /// So many bytes were read.
    pub(super) fn read(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// What the machine is to be told now, if anything. `end`: of a turn.
    fn news(&mut self, now: Instant, end: bool) -> Option<Waits> {
        match self.worst {
            Some(worst) if now.since(self.told) >= LOOK => {
                (self.worst, self.told) = (None, now);
                // Somebody who begins and has not waited is no news.
                let waited = std::mem::replace(&mut self.waited, worst.wait > Duration::ZERO);
                (waited || self.waited).then_some(worst)
            }
            Some(_) => None,
            None if end && !self.busy && std::mem::take(&mut self.waited) => Some(Waits::default()),
            None => None,
        }
    }
}

impl Shard<'_> {
    /// Tells the machine of what waits, or that nothing does any more.
    pub(super) fn tell_queues<M: Machine + ?Sized>(&mut self, machine: &mut M, end: bool) {
        if let Some(Waits { wait, fill }) = self.queues.news(self.now.at, end) {
            self.tell(machine, Input::Backlog { wait, fill });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant(1_000_000 + 1000 * millis)
    }

    fn turn(queues: &mut Queues, now: u64, events: usize, wait: u64) -> Option<Waits> {
        queues.turn(events);
        for _ in 0..events {
            if let (_, Some(waits)) = queues.next(at(now), 64 << 10) {
                waits.wait = waits.wait.max(Duration::from_millis(wait));
            }
            queues.read(4000);
        }
        queues.news(at(now), true)
    }

    #[test]
    fn what_waits_is_told_now_and_then_and_its_end_once() {
        let mut queues = Queues::default();
        // The first turn tells only that there is much.
        assert_eq!(turn(&mut queues, 0, 20, 70), None);
        let told = turn(&mut queues, 10, 20, 70).unwrap();
        assert_eq!(told.wait, Duration::from_millis(70));
        assert_eq!(turn(&mut queues, 12, 20, 90), None);
        assert_eq!(turn(&mut queues, 13, 20, 10).unwrap().wait, Duration::from_millis(90));
        // A turn that has little comes after one that had much, and only then is it over.
        assert_eq!(turn(&mut queues, 14, 1, 0), None);
        assert_eq!(turn(&mut queues, 20, 1, 0), Some(Waits::default()));
        assert_eq!(turn(&mut queues, 30, 1, 0), None);
    }

    #[test]
    fn a_turn_with_little_to_read_is_not_looked_at() {
        let mut queues = Queues::default();
        for now in 0..50 {
            assert_eq!(turn(&mut queues, 10 * now, 3, 70), None);
        }
        // One connection with much is enough.
        queues.turn(1);
        assert!(queues.next(at(0), 64 << 10).1.is_none());
        queues.read(60 << 10);
        queues.turn(1);
        let (most, waits) = queues.next(at(0), 64 << 10);
        assert_eq!(most, 64 << 10);
        assert!(waits.is_some());
    }

    #[test]
    fn many_share_a_turn() {
        let mut queues = Queues::default();
        turn(&mut queues, 0, 64, 0);
        queues.turn(64);
        assert_eq!(queues.next(at(0), 64 << 10).0, 8 << 10);
        queues.turn(16);
        assert_eq!(queues.next(at(0), 64 << 10).0, 32 << 10);
        queues.turn(16);
        assert_eq!((0..16).filter(|_| queues.next(at(0), 64 << 10).1.is_some()).count(), 2);
    }
}
