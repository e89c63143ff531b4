//! The timer wheel: six levels of 64 lists, linked by index, with a bit for each list that is not
//! empty. Setting, clearing and firing cost the same however many timers there are, and nothing is
//! allocated once the nodes have been made. A list whose time comes is moved on a part at a time, so
//! that no call takes long however many timers are due together.

#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "every index is the wheel's own, and tested so")
)]

use std::time::Duration;

use crate::io::Instant;
use crate::pile::Pile;

const LEVELS: usize = 6;
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const NONE: u32 = u32::MAX;
/// How many timers one call moves from coarse lists to finer ones.
const MOVES: usize = 512;
/// What the wheel cannot hold (over two years in milliseconds) waits at its far end and is set
/// again from there.
const SPAN: u64 = 1 << (BITS * LEVELS as u32);

/// A timer that was set. Stale ones are harmless: clearing one that has fired does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

impl TimerId {
    /// A timer that never was.
    pub const NONE: TimerId = TimerId { index: NONE, generation: 0 };
}

#[derive(Clone, Copy, Debug)]
struct Node<T> {
    /// When, in milliseconds; rounded up, so that nothing fires early.
    at: u64,
    next: u32,
    previous: u32,
    /// Odd while the timer is set.
    generation: u32,
    level: u8,
    slot: u8,
    what: T,
}

/// Timers that each carry a `T` which says what is due.
#[derive(Debug)]
pub struct Wheel<T> {
    nodes: Pile<Node<T>>,
    free: u32,
    heads: [[u32; SLOTS]; LEVELS],
    occupied: [u64; LEVELS],
    /// The coarse list whose time has come, while something of it has still to be moved.
    moving: Option<(usize, usize)>,
    /// Everything before this millisecond has fired.
    elapsed: u64,
    set: usize,
}

impl<T: Copy> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel.
    pub fn new() -> Wheel<T> {
        Wheel {
            nodes: Pile::default(),
            free: NONE,
            heads: [[NONE; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
            moving: None,
            elapsed: 0,
            set: 0,
        }
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.set
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.set == 0
    }

    /// Sets a timer.
    pub fn set(&mut self, at: Instant, what: T) -> TimerId {
        let at = at.0.div_ceil(1000);
        let index = match self.nodes.get(self.free as usize) {
            Some(node) => std::mem::replace(&mut self.free, node.next),
            None => {
                let index = self.nodes.len() as u32;
                let (level, slot) = (0, 0);
                let node =
                    Node { at, next: NONE, previous: NONE, generation: 0, level, slot, what };
                self.nodes.push(node);
                index
            }
        };
        let node = &mut self.nodes[index as usize];
        node.generation = node.generation.wrapping_add(1);
        node.at = at;
        node.what = what;
        let generation = node.generation;
        self.set += 1;
        self.link(index);
        TimerId { index, generation }
    }

    /// Clears a timer; says whether it was still set.
    pub fn clear(&mut self, id: TimerId) -> bool {
        let live = |node: &Node<T>| node.generation == id.generation && id.generation & 1 == 1;
        if !self.nodes.get(id.index as usize).is_some_and(live) {
            return false;
        }
        self.unlink(id.index);
        self.release(id.index);
        true
    }

    /// A moment not later than that of the first timer: the driver is to come back then.
    pub fn deadline(&self) -> Option<Instant> {
        if self.moving.is_some() {
            return Some(Instant(self.elapsed.saturating_mul(1000)));
        }
        self.first().map(|(_, _, at)| Instant(at.saturating_mul(1000)))
    }

    /// What is due at `now`, one at a time, in order of time. Where very much is due together it may
    /// say none before all were told; then [`Wheel::deadline`] is still not after `now`.
    pub fn due(&mut self, now: Instant) -> Option<T> {
        let now = now.0 / 1000;
        let mut moves = MOVES;
        loop {
            if let Some((level, slot)) = self.moving {
                self.cascade(level, slot, &mut moves);
                if moves == 0 {
                    return None;
                }
            }
            match self.first() {
                Some((level, slot, at)) if at <= now => {
                    self.elapsed = self.elapsed.max(at);
                    let index = self.heads[level][slot];
                    if level > 0 {
                        self.moving = Some((level, slot));
                        continue;
                    }
                    self.unlink(index);
                    if self.nodes[index as usize].at > self.elapsed {
                        // It was beyond the span of the wheel.
                        self.link(index);
                        continue;
                    }
                    let what = self.nodes[index as usize].what;
                    self.release(index);
                    return Some(what);
                }
                _ => {
                    self.elapsed = self.elapsed.max(now);
                    return None;
                }
            }
        }
    }

    /// Moves a coarse list to finer ones, now that its time has come, or as much of it as may be.
    fn cascade(&mut self, level: usize, slot: usize, moves: &mut usize) {
        while *moves > 0 {
            let index = self.heads[level][slot];
            if index == NONE {
                self.moving = None;
                return;
            }
            self.unlink(index);
            self.link(index);
            *moves -= 1;
        }
    }

    fn release(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        node.generation = node.generation.wrapping_add(1);
        node.next = self.free;
        self.free = index;
        self.set -= 1;
    }

    /// The list that comes first and the time at which it begins.
    fn first(&self) -> Option<(usize, usize, u64)> {
        (0..LEVELS).find_map(|level| {
            let bits = self.occupied[level];
            if bits == 0 {
                return None;
            }
            let shift = BITS * level as u32;
            let here = (self.elapsed >> shift) as u32 & (SLOTS as u32 - 1);
            let ahead = bits.rotate_right(here).trailing_zeros();
            let slot = (here + ahead) & (SLOTS as u32 - 1);
            let turn = (self.elapsed >> shift >> BITS) << BITS;
            // A list behind the hand (only at the last level) belongs to the next turn.
            let turn = if slot < here { turn + SLOTS as u64 } else { turn };
            Some((level, slot as usize, ((turn + u64::from(slot)) << shift).max(self.elapsed)))
        })
    }

    fn link(&mut self, index: u32) {
        let at = self.nodes[index as usize].at.clamp(self.elapsed, self.elapsed + SPAN - 1);
        // The level is that of the highest bit in which the time differs from now.
        let differ = (at ^ self.elapsed) | (SLOTS as u64 - 1);
        let level = (((63 - differ.leading_zeros()) / BITS) as usize).min(LEVELS - 1);
        let slot = (at >> (BITS * level as u32)) as usize & (SLOTS - 1);
        let head = self.heads[level][slot];
        let node = &mut self.nodes[index as usize];
        (node.level, node.slot) = (level as u8, slot as u8);
        if let Some(tail) = self.nodes.get(head as usize).map(|first| first.previous) {
            // In a ring, so that the end is known: equal times fire in the order they were set.
            let node = &mut self.nodes[index as usize];
            (node.next, node.previous) = (head, tail);
            self.nodes[tail as usize].next = index;
            self.nodes[head as usize].previous = index;
        } else {
            let node = &mut self.nodes[index as usize];
            (node.next, node.previous) = (index, index);
            self.heads[level][slot] = index;
            self.occupied[level] |= 1 << slot;
        }
    }

    fn unlink(&mut self, index: u32) {
        let Node { next, previous, level, slot, .. } = self.nodes[index as usize];
        let (level, slot) = (usize::from(level), usize::from(slot));
        if next == index {
            self.heads[level][slot] = NONE;
            self.occupied[level] &= !(1 << slot);
        } else {
            self.nodes[previous as usize].next = next;
            self.nodes[next as usize].previous = previous;
            if self.heads[level][slot] == index {
                self.heads[level][slot] = next;
            }
        }
    }
}

/// `base` doubled `times` times, `limit` at most.
pub fn doubled(base: Duration, times: u32, limit: Duration) -> Duration {
    base.checked_mul(1 << times.min(20)).unwrap_or(limit).min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn in_order_of_time_then_of_setting() {
        let mut wheel = Wheel::new();
        for (at, what) in
            [(5_000, 'c'), (1_000, 'a'), (5_000, 'd'), (900_000_000, 'e'), (2_500, 'b')]
        {
            wheel.set(Instant(at), what);
        }
        let mut seen = String::new();
        while let Some(at) = wheel.deadline() {
            while let Some(what) = wheel.due(at) {
                seen.push(what);
            }
        }
        assert_eq!(seen, "abcde");
        assert!(wheel.is_empty());
    }

    #[test]
    fn very_many_together_come_in_order_and_a_part_at_a_time() {
        let mut wheel = Wheel::new();
        let at = |n: usize| Instant(5_000_000 + (n as u64 * 7 % 3_000) * 1000);
        let ids: Vec<_> = (0..20_000).map(|n| wheel.set(at(n), n)).collect();
        for id in ids.iter().step_by(3) {
            assert!(wheel.clear(*id));
        }
        let (mut fired, mut pauses, mut later) = (Vec::new(), 0, None);
        while let Some(deadline) = wheel.deadline() {
            match wheel.due(deadline) {
                Some(n) => fired.push(n),
                None => pauses += 1,
            }
            // What is set meanwhile has its place among them.
            if fired.len() == 1 {
                later.get_or_insert_with(|| wheel.set(at(20_000), 20_000));
            }
        }
        assert!(fired.is_sorted_by_key(|n| at(*n)));
        fired.sort_unstable();
        let expected: Vec<_> = (0..20_000).filter(|n| n % 3 != 0).chain([20_000]).collect();
        assert_eq!(fired, expected);
        assert!(pauses > 20, "{pauses}");
    }

    #[test]
    fn a_cleared_timer_is_silent_and_its_id_stale() {
        let mut wheel = Wheel::new();
        let id = wheel.set(Instant(1_000), 1);
        assert!(wheel.clear(id));
        let other = wheel.set(Instant(1_000), 2);
        assert!(!wheel.clear(id));
        assert_eq!(wheel.due(Instant(1_000)), Some(2));
        assert!(!wheel.clear(other));
        assert!(!wheel.clear(TimerId::NONE));
    }

    proptest! {
        #[test]
        fn never_early_never_late(steps in prop::collection::vec((0u64..5_000_000_000, 0u64..100_000_000, any::<bool>()), 1..60)) {
            let mut wheel = Wheel::new();
            let mut expected: Vec<(u64, usize)> = Vec::new();
            let mut ids = Vec::new();
            let mut now = 0u64;
            for (index, (delay, step, clear)) in steps.into_iter().enumerate() {
                ids.push(wheel.set(Instant(now + delay), index));
                expected.push((now + delay, index));
                if clear && index % 3 == 0 {
                    let cleared = wheel.clear(ids[index / 2]);
                    let had = expected.iter().position(|&(_, what)| what == index / 2);
                    prop_assert_eq!(cleared, had.is_some());
                    if let Some(had) = had { expected.remove(had); }
                }
                now += step;
                // Time goes in whole milliseconds here, as the wheel's does.
                let ms = |at: u64| at.div_ceil(1000);
                let mut fired = Vec::new();
                while let Some(what) = wheel.due(Instant(now)) { fired.push(what); }
                let mut due: Vec<_> = expected.iter().filter(|&&(at, _)| ms(at) <= now / 1000).copied().collect();
                expected.retain(|&(at, _)| ms(at) > now / 1000);
                due.sort_by_key(|&(at, what)| (ms(at), what));
                let mut fired_sorted = fired.clone();
                fired_sorted.sort();
                let mut want: Vec<_> = due.iter().map(|&(_, what)| what).collect();
                want.sort();
                prop_assert_eq!(fired_sorted, want);
                if let Some(&(first, _)) = expected.iter().min() {
                    let deadline = wheel.deadline().map(|at| at.0);
                    prop_assert!(deadline.is_some_and(|at| at <= ms(first) * 1000));
                } else {
                    prop_assert!(wheel.deadline().is_none());
                }
            }
        }
    }
}
