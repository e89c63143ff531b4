//! Events that are received.

use super::{Event, time};
use crate::Instant;
use core::time::Duration;

/// How long an event goes on without news of it, about three packets (RFC 4733 section 2.5.2.2).
const LAPSE: Duration = Duration::from_millis(150);

/// How long what is past is remembered: timestamps come round again.
const MEMORY: Duration = Duration::from_secs(60);

/// What was made of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// An event has begun.
    Began(u8),
    /// It is over and has lasted so long.
    Ended(u8, Duration),
}

/// Makes signals of packets, each once, whatever is lost, late, or there twice.
#[derive(Clone, Debug)]
pub struct Receiver {
    clock: u32,
    now: Option<Current>,
    /// Up to where the last event that ended reached, and when it was heard last.
    past: Option<(u32, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    code: u8,
    /// When its last segment began.
    timestamp: u32,
    /// How long that has lasted, and all before it.
    duration: u16,
    before: u64,
    heard: Instant,
}

impl Receiver {
    /// Receives at this clock rate, in Hz.
    pub const fn new(clock: u32) -> Self {
        Self { clock, now: None, past: None }
    }

    /// Whether an event sounds.
    pub const fn is_sounding(&self) -> bool {
        self.now.is_some()
    }

    /// Takes a packet: four bytes for each event, one after the other in time (section 2.5.1.5).
    /// What is left over is ignored.
    pub fn packet(
        &mut self,
        timestamp: u32,
        payload: &[u8],
        at: Instant,
        mut signal: impl FnMut(Signal),
    ) {
        let mut timestamp = timestamp;
        for bytes in payload.as_chunks::<4>().0 {
            let event = Event::read(*bytes);
            self.event(timestamp, event, at, &mut signal);
            timestamp = timestamp.wrapping_add(u32::from(event.duration));
        }
    }

    fn event(
        &mut self,
        timestamp: u32,
        event: Event,
        at: Instant,
        signal: &mut impl FnMut(Signal),
    ) {
        // What has been played out is not played again (section 2.5.2.2).
        let played = |(past, heard): (u32, Instant)| {
            (timestamp.wrapping_sub(past) as i32) < 0 && at.since(heard) < MEMORY
        };
        if self.past.is_some_and(played) {
            return;
        }
        let mut now = match self.now {
            Some(now) if now.code == event.code && now.goes_on(timestamp) => now,
            Some(now) if (timestamp.wrapping_sub(now.timestamp) as i32) < 0 => return,
            earlier => {
                if let Some(earlier) = earlier {
                    self.end(earlier, signal);
                }
                signal(Signal::Began(event.code));
                Current { code: event.code, timestamp, duration: 0, before: 0, heard: at }
            }
        };
        if now.timestamp != timestamp {
            now.before = now.before.saturating_add(u64::from(u16::MAX));
            (now.timestamp, now.duration) = (timestamp, 0);
        }
        now.duration = now.duration.max(event.duration);
        now.heard = at;
        match event.end {
            true => self.end(now, signal),
            false => self.now = Some(now),
        }
    }

    /// Ends an event of which nothing more was heard.
    pub fn lapse(&mut self, at: Instant, mut signal: impl FnMut(Signal)) {
        if let Some(now) = self.now.filter(|now| at.since(now.heard) > LAPSE) {
            self.end(now, &mut signal);
        }
    }

    fn end(&mut self, now: Current, signal: &mut impl FnMut(Signal)) {
        let lasted = now.before.saturating_add(u64::from(now.duration));
        self.now = None;
        // An event of no length is past too.
        let end = now.timestamp.wrapping_add(u32::from(now.duration.max(1)));
        self.past = Some((end, now.heard));
        signal(Signal::Ended(now.code, time(lasted, self.clock)));
    }
}

impl Current {
    /// Whether a packet of this timestamp is of the same event: of this segment, or of the next
    /// (section 2.5.2.3).
    fn goes_on(&self, timestamp: u32) -> bool {
        let next = self.timestamp.wrapping_add(u32::from(u16::MAX));
        timestamp == self.timestamp || timestamp == next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;
    use crate::dtmf::{EventPacket, Sender};

    fn all(codes: &[(u8, u64)]) -> Vec<EventPacket> {
        let mut sender = Sender::new(8000);
        for (code, ms) in codes {
            sender.queue(*code, Duration::from_millis(*ms)).unwrap();
        }
        (0..3000).flat_map(|n| sender.step(n * 160, 160)).flatten().collect()
    }

    fn received(packets: &[EventPacket]) -> Vec<Signal> {
        let mut receiver = Receiver::new(8000);
        let mut signals = Vec::new();
        for (n, packet) in packets.iter().enumerate() {
            let at = Instant(n as u64 * 20_000);
            receiver.packet(packet.timestamp, &packet.event.bytes(), at, |s| signals.push(s));
        }
        receiver.lapse(Instant(u64::MAX), |s| signals.push(s));
        signals
    }

    #[test]
    fn each_event_comes_once_with_its_length() {
        let codes = [(1, 100), (1, 60), (9, 20_000), (11, 200)];
        let expected: Vec<_> = codes
            .iter()
            .flat_map(|(code, ms)| {
                [Signal::Began(*code), Signal::Ended(*code, Duration::from_millis(*ms))]
            })
            .collect();
        assert_eq!(received(&all(&codes)), expected);
        let twice: Vec<_> = all(&codes).iter().flat_map(|packet| [*packet; 2]).collect();
        assert_eq!(received(&twice), expected);
    }

    #[test]
    fn loss_and_disorder_lose_no_digit() {
        let codes: Vec<(u8, u64)> = (0..16).map(|code| (code, 100)).collect();
        let mut random = Random::new(42);
        for _ in 0..200 {
            let mut packets = all(&codes);
            packets.retain(|_| random.fraction() > 0.2);
            for n in 1..packets.len() {
                // Neighbours of the same event change places.
                if random.fraction() < 0.1 && packets[n].timestamp == packets[n - 1].timestamp {
                    packets.swap(n, n - 1);
                }
            }
            let began = |s: &Signal| matches!(s, Signal::Began(_));
            let signals = received(&packets);
            let (began, ended): (Vec<_>, Vec<_>) = signals.into_iter().partition(began);
            assert_eq!(began, (0..16).map(Signal::Began).collect::<Vec<_>>());
            let most = Duration::from_millis(100);
            assert!(ended.iter().all(|s| matches!(s, Signal::Ended(_, t) if *t <= most)));
            assert_eq!(ended.len(), 16);
        }
    }

    #[test]
    fn an_event_whose_end_is_lost_lapses() {
        let mut receiver = Receiver::new(8000);
        let mut signals = Vec::new();
        let event = Event { code: 4, end: false, volume: 0, duration: 800 };
        receiver.packet(7, &event.bytes(), Instant(0), |s| signals.push(s));
        receiver.lapse(Instant(100_000), |s| signals.push(s));
        assert_eq!(signals, [Signal::Began(4)]);
        receiver.lapse(Instant(200_000), |s| signals.push(s));
        assert_eq!(signals[1..], [Signal::Ended(4, Duration::from_millis(100))]);
        // Its end comes late and begins nothing anew.
        receiver.packet(7, &Event { end: true, ..event }.bytes(), Instant(0), |s| signals.push(s));
        assert_eq!(signals.len(), 2);
    }

    #[test]
    fn events_in_one_packet() {
        let mut signals = Vec::new();
        let event = |code, end| Event { code, end, volume: 0, duration: 400 }.bytes();
        let payload = [&event(1, true)[..], &event(2, true), &[1, 2]].concat();
        Receiver::new(8000).packet(5, &payload, Instant(0), |s| signals.push(s));
        let lasted = Duration::from_millis(50);
        assert_eq!(
            signals,
            [
                Signal::Began(1),
                Signal::Ended(1, lasted),
                Signal::Began(2),
                Signal::Ended(2, lasted)
            ]
        );
    }
}
