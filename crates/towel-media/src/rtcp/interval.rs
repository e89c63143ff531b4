//! When a report is due (RFC 3550 sections 6.2 and 6.3, appendix A.7).

use crate::{Instant, Random};
use core::time::Duration;

/// What is left of the mean interval by reconsideration: e - 3/2 (section 6.3.1).
const COMPENSATION: f64 = core::f64::consts::E - 1.5;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Population {
    /// All, we among them.
    pub members: u32,
    /// Those who sent RTP lately, we among them if so.
    pub senders: u32,
    /// Whether we did.
    pub we_sent: bool,
}

/// The timer of reports.
#[derive(Clone, Debug)]
pub struct Interval {
    /// The bandwidth for RTCP, in bytes a second.
    bandwidth: f64,
    /// The least time between two reports, of which half before the first.
    minimum: f64,
    average_size: f64,
    last: Instant,
    next: Instant,
    initial: bool,
    members: u32,
}

impl Interval {
    /// `bandwidth` is that of the whole media, in bits a second, of which RTCP gets 5 % (section
    /// 6.2); `minimum` the least time between reports, 5 s as a rule. Values out of bounds are
    /// brought within: at least 1 kbit/s, and from 100 ms to a minute.
    pub fn new(bandwidth: u32, minimum: Duration, now: Instant, random: &mut Random) -> Self {
        let minimum = minimum.clamp(Duration::from_millis(100), Duration::from_secs(60));
        let mut this = Self {
            bandwidth: f64::from(bandwidth.max(1000)) * 0.05 / 8.0,
            minimum: minimum.as_secs_f64(),
            // A report with one block, a name, UDP and IP.
            average_size: 120.0,
            last: now,
            next: now,
            initial: true,
            members: 1,
        };
        let alone = Population { members: 1, senders: 0, we_sent: false };
        this.next = now + this.draw(alone, random);
        this
    }

    /// When to look again whether a report is due.
    pub const fn next(&self) -> Instant {
        self.next
    }

    /// Whether a report is to be sent now that the timer ran out: the interval is drawn again, and
    /// the timer is put off if it has become longer (section 6.3.6).
    pub fn expired(&mut self, who: Population, now: Instant, random: &mut Random) -> bool {
        if now < self.next {
            return false;
        }
        self.members = who.members;
        let due = self.last + self.draw(who, random);
        if due > now {
            self.next = due;
            return false;
        }
        self.last = now;
        self.initial = false;
        self.next = now + self.draw(who, random);
        true
    }

    /// A compound of this many bytes was sent or received, without UDP and IP.
    pub fn saw(&mut self, bytes: usize) {
        self.average_size += (bytes as f64 + 28.0 - self.average_size) / 16.0;
    }

    /// Somebody left: the timer is brought nearer in proportion (section 6.3.4).
    pub fn left(&mut self, members: u32, now: Instant) {
        if members >= self.members || self.members == 0 {
            return;
        }
        let part = f64::from(members) / f64::from(self.members);
        let of = |time: Duration| time.mul_f64(part);
        self.next = now + of(self.next.since(now));
        self.last = now.before(of(now.since(self.last)));
        self.members = members;
    }

    /// A random interval (section 6.3.1).
    fn draw(&self, who: Population, random: &mut Random) -> Duration {
        let mean = self.mean(who);
        Duration::from_secs_f64(mean * (random.fraction() + 0.5) / COMPENSATION)
    }

    /// The interval before it is spread.
    fn mean(&self, who: Population) -> f64 {
        let minimum = if self.initial { self.minimum / 2.0 } else { self.minimum };
        let (members, senders) = (f64::from(who.members), f64::from(who.senders));
        let (bandwidth, n) = if senders > members * 0.25 {
            (self.bandwidth, members)
        } else if who.we_sent {
            (self.bandwidth * 0.25, senders)
        } else {
            (self.bandwidth * 0.75, members - senders)
        };
        // Two minutes are long, whatever is counted.
        (self.average_size * n.max(1.0) / bandwidth).max(minimum).min(120.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Population = Population { members: 2, senders: 2, we_sent: true };
    const MINIMUM: Duration = Duration::from_secs(5);

    #[test]
    fn a_call_reports_about_every_five_seconds() {
        let mut random = Random::new(1);
        let mut interval = Interval::new(64_000, MINIMUM, Instant(0), &mut random);
        let mut sent = Vec::new();
        let mut now = Instant(0);
        while sent.len() < 200 {
            now = interval.next().max(now);
            if interval.expired(CALL, now, &mut random) {
                sent.push(now);
                interval.saw(100);
            }
        }
        // The first after at least half of half of five, compensated.
        assert!(sent[0].since(Instant(0)).as_secs_f64() >= 2.5 * 0.5 / COMPENSATION);
        for pair in sent.windows(2) {
            let between = pair[1].since(pair[0]).as_secs_f64();
            assert!((2.5 / COMPENSATION..7.5 / COMPENSATION + 0.001).contains(&between));
        }
        let mean = sent[199].since(sent[0]).as_secs_f64() / 199.0;
        assert!((4.5..5.5).contains(&mean), "{mean}");
    }

    #[test]
    fn the_share_of_the_bandwidth() {
        let random = &mut Random::new(1);
        let mut interval = Interval::new(8_000, MINIMUM, Instant(0), random);
        interval.initial = false;
        // 50 bytes a second. A quarter of it is for few senders.
        let who = |members, senders, we_sent| Population { members, senders, we_sent };
        assert_eq!(interval.mean(who(100, 2, true)), 120.0 * 2.0 / 12.5);
        assert_eq!(interval.mean(who(20, 2, false)), 120.0 * 18.0 / 37.5);
        assert_eq!(interval.mean(who(4, 3, true)), 120.0 * 4.0 / 50.0);
        assert_eq!(interval.mean(who(2, 1, true)), 5.0);
        assert_eq!(interval.mean(who(1_000_000, 0, false)), 120.0);
    }

    #[test]
    fn who_leaves_brings_the_report_nearer() {
        let random = &mut Random::new(3);
        let mut interval = Interval::new(64_000, MINIMUM, Instant(0), random);
        interval.members = 10;
        interval.next = Instant(4_000_000);
        interval.left(5, Instant(2_000_000));
        assert_eq!((interval.next, interval.last), (Instant(3_000_000), Instant(1_000_000)));
    }
}
