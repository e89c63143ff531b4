//! Moments, as the caller counts them and as RTCP writes them.

use core::time::Duration;

/// A moment on the caller's monotonic clock, in microseconds since an origin of its choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The time from `earlier` to this moment; nought if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The moment `by` earlier, or the origin.
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A time as NTP writes it (RFC 3550 section 4): seconds since 1900 and 2^32 parts of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

/// From 1900 to 1970, in seconds.
const TO_UNIX: u64 = 2_208_988_800;

impl NtpTime {
    /// The time that is so long after the beginning of 1970.
    pub fn of_unix(time: Duration) -> Self {
        let seconds = time.as_secs().wrapping_add(TO_UNIX) << 32;
        let part = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
        Self(seconds | part)
    }

    /// The middle 32 bits, which reports use: seconds and 65536 parts of one.
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// A span in 65536 parts of a second as a duration.
pub(crate) fn of_short(span: u32) -> Duration {
    Duration::from_nanos((u64::from(span) * 1_000_000_000) >> 16)
}

/// A duration in 65536 parts of a second.
pub(crate) fn to_short(span: Duration) -> u32 {
    u32::try_from((span.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_a_round_trip() {
        // RFC 3550 section 6.4.1, Figure 2.
        let sent = NtpTime(0xb44d_b705_2000_0000);
        assert_eq!(sent.middle(), 0xb705_2000);
        let (arrived, delay) = (0xb710_8000_u32, 0x0005_4000_u32);
        let way = arrived.wrapping_sub(sent.middle()).wrapping_sub(delay);
        assert_eq!(of_short(way), Duration::from_millis(6125));
        assert_eq!(to_short(Duration::from_millis(5250)), delay);
    }

    #[test]
    fn ntp_begins_seventy_years_earlier() {
        let time = NtpTime::of_unix(Duration::from_millis(1500));
        assert_eq!(time.0 >> 32, TO_UNIX + 1);
        assert_eq!(time.0 & 0xffff_ffff, 1 << 31);
    }
}
