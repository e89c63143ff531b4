//! Telephone events (RFC 4733): digits that are sent beside the sound.

mod receiver;
mod sender;

pub use receiver::{Receiver, Signal};
pub use sender::{EventPacket, Refused, Sender};

use core::time::Duration;

/// The code of a digit `0` to `9`, `*`, `#`, `A` to `D` (RFC 4733 section 3.2).
pub fn code(digit: char) -> Option<u8> {
    let at = "0123456789*#ABCD".find(digit.to_ascii_uppercase())?;
    u8::try_from(at).ok()
}

/// The digit of a code from 0 to 15.
pub fn digit(code: u8) -> Option<char> {
    "0123456789*#ABCD".chars().nth(usize::from(code))
}

/// One event as a payload holds it (RFC 4733 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which event.
    pub code: u8,
    /// It has ended.
    pub end: bool,
    /// Its level in dB below 1 mW at the reference point, 0 to 63.
    pub volume: u8,
    /// How long it has lasted, in units of the timestamp.
    pub duration: u16,
}

impl Event {
    /// The four bytes.
    pub fn bytes(&self) -> [u8; 4] {
        let [d0, d1] = self.duration.to_be_bytes();
        [self.code, u8::from(self.end) << 7 | self.volume & 0x3f, d0, d1]
    }

    /// Reads the four bytes; the reserved bit is ignored.
    pub fn read(bytes: [u8; 4]) -> Self {
        let [code, flags, d0, d1] = bytes;
        let duration = u16::from_be_bytes([d0, d1]);
        Self { code, end: flags & 0x80 != 0, volume: flags & 0x3f, duration }
    }
}

/// A span of timestamps as a time.
fn time(ticks: u64, clock: u32) -> Duration {
    Duration::from_micros(ticks.saturating_mul(1_000_000) / u64::from(clock.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_bytes() {
        assert_eq!(
            ['0', '9', '*', '#', 'a', 'D', 'x'].map(code),
            [Some(0), Some(9), Some(10), Some(11), Some(12), Some(15), None]
        );
        assert!((0..16).all(|c| code(digit(c).unwrap()) == Some(c)) && digit(16).is_none());
        let event = Event { code: 11, end: true, volume: 10, duration: 0x0320 };
        assert_eq!(event.bytes(), [11, 0x8a, 3, 0x20]);
        assert_eq!(Event::read([11, 0xca, 3, 0x20]), event);
    }
}
