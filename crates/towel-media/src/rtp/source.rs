//! What a receiver knows of one source: RFC 3550 appendix A.1, A.3 and A.8.

use crate::Instant;

/// How far ahead a sequence number may jump (RFC 3550 appendix A.1).
const MAX_DROPOUT: u16 = 3000;
/// How far behind a packet may come.
const MAX_MISORDER: u16 = 100;
/// How many in a row make a source that is believed.
const MIN_SEQUENTIAL: u8 = 2;

/// What a sequence number tells of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to the source. Its number, counted on over the wrap.
    Valid(u64),
    /// The source restarted: this packet is the first of a new count.
    Restarted(u64),
    /// The source is not believed yet.
    Probation,
    /// Far from what was expected; another in row will be believed.
    Jump,
}

impl Verdict {
    /// The number of a packet that is to be used.
    pub const fn sequence(self) -> Option<u64> {
        match self {
            Self::Valid(sequence) | Self::Restarted(sequence) => Some(sequence),
            Self::Probation | Self::Jump => None,
        }
    }
}

/// The sequence numbers of one source.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The greatest number, counted on over the wrap.
    max: u64,
    /// The first.
    base: u64,
    /// What would follow the one that jumped.
    bad: Option<u16>,
    probation: u8,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
}

/// What has been lost (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// The greatest sequence number with its cycles, as a report carries it.
    pub extended_max: u32,
    /// Packets that should have come.
    pub expected: u64,
    /// Packets that came, late and duplicate ones among them.
    pub received: u64,
    /// The difference, which duplicates can make negative.
    pub lost: i64,
}

impl Sequence {
    /// Begins with the first packet that was seen, on probation.
    pub fn new(first: u16) -> Self {
        // One cycle ahead, so that what came before the first can be counted too.
        let max = (1 << 16 | u64::from(first)).wrapping_sub(1);
        Self {
            max,
            base: max,
            bad: None,
            probation: MIN_SEQUENTIAL,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
        }
    }

    /// Whether the source has been believed.
    pub const fn is_valid(&self) -> bool {
        self.probation == 0
    }

    /// Takes the number of a packet.
    pub fn update(&mut self, sequence: u16) -> Verdict {
        let ahead = sequence.wrapping_sub(self.max as u16);
        if self.probation > 0 {
            return self.on_probation(sequence, ahead);
        }
        let mut verdict: fn(u64) -> Verdict = Verdict::Valid;
        let number = if ahead < MAX_DROPOUT {
            self.max = self.max.saturating_add(u64::from(ahead));
            self.max
        } else if ahead <= u16::MAX - MAX_MISORDER + 1 {
            if self.bad != Some(sequence) {
                self.bad = Some(sequence.wrapping_add(1));
                return Verdict::Jump;
            }
            self.restart(sequence);
            verdict = Verdict::Restarted;
            self.max
        } else {
            // Behind: late, reordered, or there twice.
            self.max.saturating_sub(u64::from(ahead.wrapping_neg()))
        };
        self.bad = None;
        self.received = self.received.saturating_add(1);
        verdict(number)
    }

    fn on_probation(&mut self, sequence: u16, ahead: u16) -> Verdict {
        if ahead != 1 {
            self.probation = MIN_SEQUENTIAL - 1;
            self.max = 1 << 16 | u64::from(sequence);
            return Verdict::Probation;
        }
        self.probation -= 1;
        self.max = self.max.saturating_add(1);
        if self.probation > 0 {
            return Verdict::Probation;
        }
        self.restart(sequence);
        self.received = 1;
        Verdict::Valid(self.max)
    }

    /// Counts from here. The cycle goes up, so that no number comes twice within a source.
    fn restart(&mut self, sequence: u16) {
        let cycle =
            (self.max >> 16).saturating_add(u64::from(self.probation == 0 && self.received > 0));
        self.max = cycle << 16 | u64::from(sequence);
        self.base = self.max;
        self.received = 0;
        self.expected_prior = 0;
        self.received_prior = 0;
    }

    /// What has been lost so far (appendix A.3).
    pub fn loss(&self) -> Loss {
        if !self.is_valid() {
            return Loss::default();
        }
        let expected = self.max.saturating_sub(self.base).saturating_add(1);
        // The count of cycles begins with nought in a report.
        let cycles = (self.max >> 16).saturating_sub(self.base >> 16);
        Loss {
            extended_max: (cycles << 16) as u32 | (self.max & 0xffff) as u32,
            expected,
            received: self.received,
            lost: expected as i64 - self.received as i64,
        }
    }

    /// The part lost since this was asked last, in 256 parts (appendix A.3).
    pub fn fraction(&mut self) -> u8 {
        let loss = self.loss();
        let expected = loss.expected.saturating_sub(self.expected_prior);
        let received = loss.received.saturating_sub(self.received_prior);
        (self.expected_prior, self.received_prior) = (loss.expected, loss.received);
        let lost = expected.saturating_sub(received);
        ((lost << 8).checked_div(expected).unwrap_or(0)).min(255) as u8
    }
}

/// One source: its numbers, its jitter, and what its last SR said.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its SSRC.
    pub ssrc: u32,
    /// Its sequence numbers.
    pub sequence: Sequence,
    /// Sixteen times the jitter, in units of the timestamp (appendix A.8).
    jitter: u64,
    /// The last packet's difference of arrival and timestamp.
    transit: Option<(u32, u32)>,
}

impl Source {
    /// A source that was first seen by a packet of this number.
    pub fn new(ssrc: u32, first: u16) -> Self {
        Self { ssrc, sequence: Sequence::new(first), jitter: 0, transit: None }
    }

    /// Takes the timestamp of a packet that was valid, and when it came. `clock` is in Hz; a
    /// change of it starts the estimate's difference anew.
    pub fn arrived(&mut self, timestamp: u32, at: Instant, clock: u32) {
        let arrival = (u128::from(at.0) * u128::from(clock) / 1_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some((last, rate)) = self.transit.replace((transit, clock))
            && rate == clock
        {
            let change = u64::from((transit.wrapping_sub(last) as i32).unsigned_abs());
            self.jitter = self.jitter.saturating_add(change).saturating_sub((self.jitter + 8) >> 4);
        }
    }

    /// The jitter, in units of the timestamp.
    pub fn jitter(&self) -> u32 {
        u32::try_from(self.jitter >> 4).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(first: u16) -> Sequence {
        let mut sequence = Sequence::new(first);
        assert_eq!(sequence.update(first), Verdict::Probation);
        assert!(matches!(sequence.update(first.wrapping_add(1)), Verdict::Valid(_)));
        sequence
    }

    #[test]
    fn two_in_a_row_are_believed() {
        let mut sequence = Sequence::new(10);
        let verdicts = [10, 20, 30, 31].map(|number| sequence.update(number));
        assert_eq!(&verdicts[..3], &[Verdict::Probation; 3]);
        assert!(matches!(verdicts[3], Verdict::Valid(n) if n as u16 == 31));
        let loss = sequence.loss();
        assert_eq!((loss.expected, loss.received, loss.lost), (1, 1, 0));
    }

    #[test]
    fn cycles_losses_and_duplicates_are_counted() {
        let mut sequence = valid(65530);
        for number in [65532, 65533, 65535, 0, 2, 1, 1] {
            assert!(sequence.update(number).sequence().is_some());
        }
        let loss = sequence.loss();
        // 65531 to 65538 are eight; 65534 is lost, 1 came twice.
        assert_eq!((loss.expected, loss.received, loss.lost), (8, 8, 0));
        assert_eq!(loss.extended_max, 1 << 16 | 2);
        assert_eq!(sequence.fraction(), 0);
        sequence.update(6);
        // Four more were expected, one came.
        assert_eq!(sequence.fraction(), 192);
        assert_eq!(sequence.fraction(), 0);
    }

    #[test]
    fn numbers_go_on_over_the_wrap_and_back() {
        let mut sequence = valid(65533);
        let at = |verdict: Verdict| verdict.sequence().unwrap();
        let last = at(sequence.update(65535));
        assert_eq!(at(sequence.update(1)), last + 2);
        assert_eq!(at(sequence.update(0)), last + 1);
        assert_eq!(at(sequence.update(65534)), last - 1);
    }

    #[test]
    fn a_jump_is_believed_when_it_goes_on() {
        let mut sequence = valid(100);
        assert_eq!(sequence.update(20000), Verdict::Jump);
        assert!(matches!(sequence.update(102), Verdict::Valid(_)));
        assert_eq!(sequence.update(20001), Verdict::Jump);
        assert!(matches!(sequence.update(20002), Verdict::Restarted(n) if n as u16 == 20002));
        let loss = sequence.loss();
        assert_eq!((loss.expected, loss.received), (1, 1));
    }

    #[test]
    fn steady_packets_have_no_jitter_and_late_ones_have() {
        let mut source = Source::new(1, 0);
        for n in 0..50u32 {
            source.arrived(n * 160, Instant(u64::from(n) * 20_000), 8000);
        }
        assert_eq!(source.jitter(), 0);
        for n in 50..500u32 {
            let late = if n % 2 == 0 { 0 } else { 10_000 };
            source.arrived(n * 160, Instant(u64::from(n) * 20_000 + late), 8000);
        }
        // Each differs from the last by 10 ms, which is 80 units.
        assert!((75..=80).contains(&source.jitter()), "{}", source.jitter());
    }
}
