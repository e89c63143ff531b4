//! The jitter buffer: packets in, in any order; packets out, in theirs, at an even pace.

use crate::Instant;
use core::time::Duration;

/// Within what the delay of the buffer moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least delay.
    pub least: Duration,
    /// The greatest.
    pub most: Duration,
}

impl Default for Bounds {
    /// 20 ms to 200 ms.
    fn default() -> Self {
        Self { least: Duration::from_millis(20), most: Duration::from_millis(200) }
    }
}

/// What is to be played next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'b> {
    /// This packet: its payload type and payload. [`Buffer::played`] is told how long it was.
    Packet(u8, &'b [u8]),
    /// This packet, without being heard: the buffer holds more than it needs.
    Skipped(u8, &'b [u8]),
    /// Nothing came for so many units; what comes after is here, the payload of the very next one
    /// too. [`Buffer::played`] is told how much of it was made up.
    Lost(u32, Option<(u8, &'b [u8])>),
    /// Nothing was sent for so many units. [`Buffer::played`] is told how much went by.
    Pause(u32),
    /// Nothing is here. What comes is gathered first.
    Empty,
}

/// What became of a packet that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is kept.
    Kept,
    /// It is there already.
    Duplicate,
    /// Its time has passed.
    Late,
    /// There was no room: older ones gave way to it.
    Overflow,
}

/// How many packets are held at most.
const SLOTS: usize = 64;
/// A jump of timestamps beyond this, in seconds, is a new beginning and no pause.
const JUMP: u32 = 3;
/// After so many packets the least delay is looked at.
const WINDOW: u32 = 40;

#[derive(Clone, Debug, Default)]
struct Slot {
    /// The sequence number, counted on over the wrap; `None` where the slot is free.
    sequence: Option<u64>,
    timestamp: u32,
    payload_type: u8,
    payload: Vec<u8>,
}

/// A jitter buffer for one source at one clock rate.
#[derive(Clone, Debug)]
pub struct Buffer {
    slots: Vec<Slot>,
    clock: u32,
    bounds: Bounds,
    /// The next number, and where in time it is due; `None` while packets are gathered.
    playing: Option<(u64, u32)>,
    /// What comes before this number is too late, gathering or not.
    floor: u64,
    /// When gathering began.
    since: Option<Instant>,
    /// How long the last packet lasted.
    frame: u32,
    /// The arrivals' distance to their timestamps: the least of this window and of the last one.
    base: Option<(i64, i64, u32)>,
    last_arrival: Option<(u32, i64)>,
    /// By how much packets come late at worst; it sinks slowly.
    peak: i64,
    /// The least that was held in this window, and pulls in it.
    spare: (u32, u32),
    deepest: u32,
}

impl Buffer {
    /// A buffer for timestamps at this clock rate, in Hz.
    pub fn new(clock: u32, bounds: Bounds) -> Self {
        let clock = clock.max(1000);
        Self {
            slots: vec![Slot::default(); SLOTS],
            clock,
            bounds,
            playing: None,
            floor: 0,
            since: None,
            frame: clock / 50,
            base: None,
            last_arrival: None,
            peak: 0,
            spare: (u32::MAX, 0),
            deepest: 0,
        }
    }

    /// Forgets all packets, for another source or another clock rate.
    pub fn reset(&mut self, clock: u32) {
        self.clock = clock.max(1000);
        self.slots.iter_mut().for_each(|slot| slot.sequence = None);
        (self.playing, self.floor, self.since) = (None, 0, None);
        self.frame = self.clock / 50;
        (self.base, self.last_arrival, self.peak) = (None, None, 0);
        self.spare = (u32::MAX, 0);
    }

    /// Puts a packet in. `sequence` is counted on over the wrap. One without a payload has its
    /// place in the order alone, such as a telephone event's, whose timestamps stand still: it comes
    /// out in its turn, and what follows is gathered anew.
    pub fn put(
        &mut self,
        sequence: u64,
        timestamp: u32,
        payload_type: u8,
        payload: &[u8],
        at: Instant,
    ) -> Put {
        if !payload.is_empty() {
            self.observe(timestamp, at);
        }
        if sequence < self.floor {
            // What is late shows that the buffer was too short, so it is to grow.
            return Put::Late;
        }
        let mut put = Put::Kept;
        if let Some(newest) = self.slots.iter().filter_map(|slot| slot.sequence).max()
            && sequence >= newest.saturating_add(SLOTS as u64)
        {
            // Far ahead: what is held is of another time.
            self.slots.iter_mut().for_each(|slot| slot.sequence = None);
            self.playing = None;
            self.since = None;
            put = Put::Overflow;
        }
        let place = (sequence % SLOTS as u64) as usize;
        let Some(slot) = self.slots.get_mut(place) else { return Put::Late };
        match slot.sequence {
            Some(held) if held == sequence => return Put::Duplicate,
            Some(held) if held > sequence => return Put::Late,
            Some(_) => put = Put::Overflow,
            None => (),
        }
        slot.sequence = Some(sequence);
        slot.timestamp = timestamp;
        slot.payload_type = payload_type;
        slot.payload.clear();
        slot.payload.extend_from_slice(payload);
        self.since.get_or_insert(at);
        put
    }

    /// Learns from the time of an arrival how late packets come.
    fn observe(&mut self, timestamp: u32, at: Instant) {
        let arrival = i64::try_from(u128::from(at.0) * u128::from(self.clock) / 1_000_000);
        let arrival = arrival.unwrap_or(i64::MAX);
        // The timestamp, counted on over its wrap.
        let extended = match self.last_arrival {
            Some((last, extended)) => extended + i64::from(timestamp.wrapping_sub(last) as i32),
            None => i64::from(timestamp),
        };
        self.last_arrival = Some((timestamp, extended));
        let transit = arrival.saturating_sub(extended);
        let (least, before, count) = self.base.unwrap_or((transit, transit, 0));
        let (least, before, count) = match count {
            // Clocks drift apart, so the least of long ago does not count.
            256.. => (transit, least, 0),
            _ => (least.min(transit), before, count + 1),
        };
        self.base = Some((least, before, count));
        let late = transit.saturating_sub(least.min(before));
        if late > i64::from(self.clock) * i64::from(JUMP) {
            // The source's clock was set: nothing is to be learnt from the step.
            (self.base, self.peak) = (None, 0);
            return;
        }
        self.peak = late.max(self.peak - (self.peak / 256).max(1));
    }

    /// The delay that is aimed at, in units of the timestamp.
    fn target(&self) -> u32 {
        let wanted = u32::try_from(self.peak.max(0)).unwrap_or(u32::MAX);
        let wanted = wanted.saturating_add(self.frame / 2);
        wanted.clamp(self.units(self.bounds.least), self.units(self.bounds.most))
    }

    fn units(&self, time: Duration) -> u32 {
        u32::try_from(time.as_micros() * u128::from(self.clock) / 1_000_000).unwrap_or(u32::MAX)
    }

    fn time(&self, units: u32) -> Duration {
        Duration::from_micros(u64::from(units) * 1_000_000 / u64::from(self.clock))
    }

    /// The delay that is aimed at.
    pub fn delay(&self) -> Duration {
        self.time(self.target())
    }

    /// The greatest that was held so far.
    pub fn deepest(&self) -> Duration {
        self.time(self.deepest)
    }

    /// How many packets are held.
    pub fn held(&self) -> usize {
        self.slots.iter().filter(|slot| slot.sequence.is_some()).count()
    }

    /// The oldest packet.
    fn oldest(&self) -> Option<(usize, u64, u32)> {
        let held = self.slots.iter().enumerate();
        held.filter_map(|(place, slot)| Some((place, slot.sequence?, slot.timestamp)))
            .min_by_key(|(_, sequence, _)| *sequence)
    }

    /// What is held from a timestamp on, in units.
    fn depth(&self, from: u32) -> u32 {
        let newest = self.slots.iter().filter(|slot| slot.sequence.is_some());
        let newest = newest.max_by_key(|slot| slot.sequence).map_or(from, |slot| slot.timestamp);
        let depth = newest.wrapping_add(self.frame).wrapping_sub(from) as i32;
        depth.max(0) as u32
    }

    /// What is to be played next, at this time.
    pub fn next(&mut self, now: Instant) -> Next<'_> {
        let Some((place, sequence, timestamp)) = self.oldest() else {
            (self.playing, self.since) = (None, None);
            return Next::Empty;
        };
        if self.slots.get(place).is_some_and(|slot| slot.payload.is_empty()) {
            let taken = self.take(place, sequence, timestamp, false);
            let Next::Packet(payload_type, _) = taken else { return Next::Empty };
            (self.playing, self.since) = (None, Some(now));
            return Next::Packet(payload_type, &[]);
        }
        let depth = self.depth(self.playing.map_or(timestamp, |playing| playing.1));
        self.deepest = self.deepest.max(depth);
        let Some((next, due)) = self.playing else {
            let waited = self.since.map_or(Duration::ZERO, |since| now.since(since));
            if depth < self.target().saturating_add(self.frame) && waited < self.delay() {
                return Next::Empty;
            }
            self.playing = Some((sequence, timestamp));
            self.spare = (u32::MAX, 0);
            return self.take(place, sequence, timestamp, false);
        };
        let ahead = timestamp.wrapping_sub(due) as i32;
        if ahead <= 0 || ahead.unsigned_abs() > self.clock.saturating_mul(JUMP) {
            let too_much = self.too_much(depth);
            return self.take(place, sequence, timestamp, too_much);
        }
        let ahead = ahead.unsigned_abs();
        if sequence == next {
            return Next::Pause(ahead);
        }
        // The number right before it is the one that would be in it too.
        let after = self.slots.get(place).filter(|_| ahead <= self.frame);
        let after = after.map(|slot| (slot.payload_type, slot.payload.as_slice()));
        Next::Lost(ahead.min(self.frame), after)
    }

    /// Whether more was held than is needed, all the time.
    fn too_much(&mut self, depth: u32) -> bool {
        let (least, count) = self.spare;
        let least = least.min(depth);
        self.spare = (least, count + 1);
        if count < WINDOW {
            return false;
        }
        self.spare = (u32::MAX, 0);
        // What is held includes the frame that is taken now.
        least > self.target().saturating_add(self.frame.saturating_mul(2))
    }

    fn take(&mut self, place: usize, sequence: u64, timestamp: u32, skip: bool) -> Next<'_> {
        self.floor = sequence.saturating_add(1);
        self.playing = Some((self.floor, timestamp));
        let frame = self.frame;
        let Some(slot) = self.slots.get_mut(place) else { return Next::Empty };
        slot.sequence = None;
        if skip {
            self.playing = Some((self.floor, timestamp.wrapping_add(frame)));
            return Next::Skipped(slot.payload_type, &slot.payload);
        }
        Next::Packet(slot.payload_type, &slot.payload)
    }

    /// So many units of the timestamp went by: of a packet, of a loss or of a pause. `frame` says
    /// that they were one packet's.
    pub fn played(&mut self, units: u32, frame: bool) {
        if let Some((_, due)) = &mut self.playing {
            *due = due.wrapping_add(units);
        }
        if frame && units > 0 {
            self.frame = units.min(self.clock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    /// Plays packets of 20 ms that arrive at these times (number, ms); what was played every 20 ms
    /// until the end: the number, or why none.
    fn play(arrivals: &[(u64, u64)], until: u64) -> (Vec<String>, Buffer) {
        let mut buffer = Buffer::new(8000, Bounds::default());
        let mut arrivals = arrivals.to_vec();
        arrivals.sort_by_key(|arrival| arrival.1);
        let mut arrivals = arrivals.into_iter().peekable();
        let mut out = Vec::new();
        for tick in 0..until / 20 {
            let now = tick * 20;
            while let Some((n, at)) = arrivals.next_if(|arrival| arrival.1 <= now) {
                let payload = n.to_string();
                buffer.put(1000 + n, n as u32 * 160, 0, payload.as_bytes(), Instant(at * 1000));
            }
            let (text, units) = match buffer.next(Instant(now * 1000)) {
                Next::Packet(_, payload) => (String::from_utf8_lossy(payload).into_owned(), 160),
                Next::Skipped(..) => ("skip".to_owned(), 0),
                Next::Lost(units, _) => ("lost".to_owned(), units),
                Next::Pause(units) => ("pause".to_owned(), units.min(160)),
                Next::Empty => ("empty".to_owned(), 0),
            };
            buffer.played(units, text.parse::<u64>().is_ok());
            out.push(text);
        }
        (out, buffer)
    }

    fn numbers(out: &[String]) -> Vec<u64> {
        out.iter().filter_map(|text| text.parse().ok()).collect()
    }

    #[test]
    fn order_is_made_of_disorder() {
        let late = |n: u64| n * 20 + if n % 5 == 3 { 35 } else { 0 };
        let arrivals: Vec<_> = (0..200).map(|n| (n, late(n))).collect();
        let (out, _) = play(&arrivals, 4400);
        let numbers = numbers(&out);
        assert!(numbers.is_sorted() && numbers.len() >= 196, "{out:?}");
        // Once it has learnt, nothing is missed.
        assert!(numbers.windows(2).skip(20).all(|w| w[1] == w[0] + 1));
    }

    #[test]
    fn a_loss_is_told_and_what_comes_later_is_late() {
        let mut arrivals: Vec<_> = (0..50).map(|n| (n, n * 20)).collect();
        arrivals.remove(10);
        let (out, mut buffer) = play(&arrivals, 1000);
        let at = out.iter().position(|text| text == "9").unwrap();
        assert_eq!(out[at..at + 3], ["9", "lost", "11"]);
        assert_eq!(buffer.put(1010, 1600, 0, b"10", Instant(1_000_000)), Put::Late);
        assert_eq!(buffer.put(1050, 8000, 0, b"x", Instant(1_000_000)), Put::Kept);
        assert_eq!(buffer.put(1050, 8000, 0, b"x", Instant(1_000_000)), Put::Duplicate);
    }

    #[test]
    fn a_pause_is_no_loss() {
        let mut buffer = Buffer::new(8000, Bounds::default());
        for (n, timestamp) in [(1, 160), (2, 320), (3, 960), (4, 1120)] {
            buffer.put(n, timestamp, 0, b"x", Instant(n * 20_000));
        }
        let now = Instant(100_000);
        for _ in 0..2 {
            assert_eq!(buffer.next(now), Next::Packet(0, b"x"));
            buffer.played(160, true);
        }
        assert_eq!(buffer.next(now), Next::Pause(480));
        buffer.played(480, false);
        assert_eq!(buffer.next(now), Next::Packet(0, b"x"));
    }

    #[test]
    fn the_delay_grows_with_the_jitter_and_sinks_after_it() {
        let mut random = Random::new(5);
        let steady: Vec<_> = (0..500).map(|n| (n, n * 20)).collect();
        let (_, buffer) = play(&steady, 10_000);
        assert_eq!(buffer.delay(), Duration::from_millis(20));
        let rough: Vec<_> =
            (0..500).map(|n| (n, n * 20 + (random.fraction() * 100.0) as u64)).collect();
        let (out, buffer) = play(&rough, 10_200);
        assert!(buffer.delay() > Duration::from_millis(70), "{:?}", buffer.delay());
        // Of the last half nearly nothing is missed.
        let played = numbers(&out);
        assert!(played.iter().filter(|n| **n >= 250).count() > 245, "{}", played.len());
        let calm: Vec<_> = rough.iter().copied().chain((500..2500).map(|n| (n, n * 20))).collect();
        let (out, buffer) = play(&calm, 50_000);
        assert!(buffer.delay() <= Duration::from_millis(40), "{:?}", buffer.delay());
        assert!(out.iter().any(|text| text == "skip"));
        assert!(buffer.held() <= 5, "{}", buffer.held());
    }

    #[test]
    fn a_jump_and_a_flood_are_bounded() {
        let mut buffer = Buffer::new(8000, Bounds::default());
        let mut random = Random::new(11);
        for n in 0..10_000u64 {
            let sequence = n + random.bits() % 300;
            buffer.put(sequence, random.word(), 0, &[0; 100], Instant(n * 1000));
            if n % 3 == 0 {
                let units = match buffer.next(Instant(n * 1000)) {
                    Next::Lost(units, _) | Next::Pause(units) => units,
                    _ => 160,
                };
                assert!(units <= 8000 * JUMP);
                buffer.played(units, false);
            }
            assert!(buffer.held() <= SLOTS);
        }
    }
}
