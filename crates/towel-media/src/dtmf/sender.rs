//! Events that are sent.

use super::Event;
use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

/// How many digits may wait.
const WAITING: usize = 128;
/// The longest event.
const LONGEST: Duration = Duration::from_secs(120);
/// The level that is said, in dB below 1 mW.
const VOLUME: u8 = 10;

/// A packet to be sent in place of one of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// Set on the first packet of an event.
    pub marker: bool,
    /// When the event or segment began.
    pub timestamp: u32,
    /// The payload.
    pub event: Event,
}

/// Why a digit is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such digit.
    NoDigit(char),
    /// Too many wait already.
    Full,
    /// The peer takes no events of this code, or none at all (RFC 4733 section 2.5.1.1).
    NotTaken(char),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDigit(digit) => write!(f, "{digit:?} is none of 0-9, *, #, A-D"),
            Self::Full => write!(f, "{WAITING} digits wait already; send more later"),
            Self::NotTaken(digit) => write!(f, "the peer takes no telephone-event for {digit:?}"),
        }
    }
}

impl core::error::Error for Refused {}

/// Sends one event after the other (RFC 4733 section 2.5.1).
#[derive(Clone, Debug)]
pub struct Sender {
    clock: u32,
    waiting: VecDeque<(u8, Duration)>,
    state: State,
    /// The end of a segment that is still to be repeated, and how often.
    segment: Option<(EventPacket, u8)>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    /// An event sounds: when its segment began, how long that has lasted, how much is left.
    Sounding {
        code: u8,
        start: u32,
        lasted: u32,
        left: u32,
        first: bool,
    },
    /// The last packet is repeated.
    Ending {
        packet: EventPacket,
        copies: u8,
    },
    /// Between two events; so many units are left.
    Pause(u32),
}

impl Sender {
    /// Sends at this clock rate, in Hz.
    pub fn new(clock: u32) -> Self {
        let waiting = VecDeque::with_capacity(WAITING);
        Self { clock: clock.max(1), waiting, state: State::Idle, segment: None }
    }

    /// Has an event wait for its turn. What is too short or too long is brought within 40 ms and
    /// two minutes.
    pub fn queue(&mut self, code: u8, lasting: Duration) -> Result<(), Refused> {
        if self.waiting.len() >= WAITING {
            return Err(Refused::Full);
        }
        self.waiting.push_back((code, lasting.clamp(Duration::from_millis(40), LONGEST)));
        Ok(())
    }

    /// Whether there is something to send.
    pub fn is_busy(&self) -> bool {
        !matches!(self.state, State::Idle | State::Pause(_)) || !self.waiting.is_empty()
    }

    /// Whether audio has to keep silent at this time: an event sounds, or the pause after it.
    pub fn is_sounding(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// Forgets what waits, and what sounds.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.state = State::Idle;
        self.segment = None;
    }

    /// The packets for the time from `timestamp` on that lasts `step` units: at most one of an
    /// event and one that repeats the end of a segment before it.
    pub fn step(&mut self, timestamp: u32, step: u32) -> [Option<EventPacket>; 2] {
        if let State::Pause(left) = self.state {
            self.state = if left > step { State::Pause(left - step) } else { State::Idle };
        }
        if let State::Idle = self.state
            && let Some((code, lasting)) = self.waiting.pop_front()
        {
            let left = lasting.as_micros() * u128::from(self.clock) / 1_000_000;
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            self.state = State::Sounding { code, start: timestamp, lasted: 0, left, first: true };
        }
        match self.state {
            State::Idle | State::Pause(_) => [None, None],
            State::Ending { packet, copies } => {
                self.state = match copies {
                    // 50 ms of silence, of which two steps have gone by with the repetitions.
                    0 | 1 => State::Pause((self.clock / 20).saturating_sub(step * 2)),
                    _ => State::Ending { packet, copies: copies - 1 },
                };
                [self.repeat(), Some(packet)]
            }
            State::Sounding { code, start, lasted, left, first } => {
                self.sound(code, start, lasted, left, first, step)
            }
        }
    }

    fn sound(
        &mut self,
        code: u8,
        mut start: u32,
        lasted: u32,
        left: u32,
        first: bool,
        step: u32,
    ) -> [Option<EventPacket>; 2] {
        let more = step.min(left);
        let (mut lasted, left) = (lasted + more, left - more);
        let packet = |marker, timestamp, end, duration| EventPacket {
            marker,
            timestamp,
            event: Event { code, end, volume: VOLUME, duration },
        };
        if lasted > u32::from(u16::MAX) {
            // Section 2.5.1.3: the segment ends without an E, the next begins where it ended.
            self.segment = Some((packet(false, start, false, u16::MAX), 3));
            start = start.wrapping_add(u32::from(u16::MAX));
            lasted -= u32::from(u16::MAX);
        }
        let end = left == 0;
        let packet = packet(first, start, end, lasted as u16);
        self.state = match end {
            // Three in all (section 2.5.1.4).
            true => State::Ending { packet: EventPacket { marker: false, ..packet }, copies: 2 },
            false => State::Sounding { code, start, lasted, left, first: false },
        };
        [self.repeat(), Some(packet)]
    }

    fn repeat(&mut self) -> Option<EventPacket> {
        let (packet, copies) = self.segment?;
        self.segment = (copies > 1).then_some((packet, copies - 1));
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of 20 ms from timestamp 1000 on.
    fn sent(sender: &mut Sender, steps: u32) -> Vec<(u32, EventPacket)> {
        let mut all = Vec::new();
        for n in 0..steps {
            all.extend(sender.step(1000 + n * 160, 160).into_iter().flatten().map(|p| (n, p)));
        }
        all
    }

    #[test]
    fn an_event_grows_and_ends_three_times() {
        let mut sender = Sender::new(8000);
        sender.queue(5, Duration::from_millis(100)).unwrap();
        sender.queue(6, Duration::from_millis(40)).unwrap();
        let all = sent(&mut sender, 30);
        let seen: Vec<_> = all
            .iter()
            .map(|(n, p)| (*n, p.marker, p.timestamp, p.event.code, p.event.end, p.event.duration))
            .collect();
        assert_eq!(
            seen,
            [
                (0, true, 1000, 5, false, 160),
                (1, false, 1000, 5, false, 320),
                (2, false, 1000, 5, false, 480),
                (3, false, 1000, 5, false, 640),
                (4, false, 1000, 5, true, 800),
                (5, false, 1000, 5, true, 800),
                (6, false, 1000, 5, true, 800),
                (7, true, 2120, 6, false, 160),
                (8, false, 2120, 6, true, 320),
                (9, false, 2120, 6, true, 320),
                (10, false, 2120, 6, true, 320),
            ]
        );
        assert!(!sender.is_busy());
    }

    #[test]
    fn a_long_event_has_segments() {
        let mut sender = Sender::new(8000);
        sender.queue(1, Duration::from_secs(20)).unwrap();
        let all = sent(&mut sender, 1100);
        let starts: Vec<u32> = {
            let mut starts: Vec<u32> = all.iter().map(|(_, p)| p.timestamp).collect();
            starts.sort_unstable();
            starts.dedup();
            starts
        };
        assert_eq!(starts, [1000, 1000 + 65535, 1000 + 2 * 65535]);
        assert_eq!(all.iter().filter(|(_, p)| p.marker).count(), 1);
        let full = all.iter().filter(|(_, p)| p.event.duration == u16::MAX && !p.event.end);
        assert_eq!(full.count(), 6);
        let ends: Vec<_> = all.iter().filter(|(_, p)| p.event.end).collect();
        assert_eq!(ends.len(), 3);
        assert!(ends.iter().all(|(_, p)| u32::from(p.event.duration) == 160_000 - 2 * 65535));
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut sender = Sender::new(8000);
        assert!((0..WAITING).all(|_| sender.queue(1, Duration::ZERO).is_ok()));
        assert_eq!(sender.queue(1, Duration::ZERO), Err(Refused::Full));
        sender.clear();
        assert!(!sender.is_busy() && sender.step(0, 160) == [None, None]);
    }
}
