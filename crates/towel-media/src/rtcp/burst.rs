//! Bursts and gaps of loss (RFC 3611 section 4.7.2).

/// How many received in a row end a burst, as section 4.7.6 recommends.
const GMIN: u64 = 16;

/// Counts bursts and gaps as packets are played or missed, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Bursts {
    lost: u64,
    discarded: u64,
    total: u64,
    /// Since the last miss.
    run: u64,
    /// Packets of the burst that may be under way: from the first miss to the last one.
    open: u64,
    open_missed: u64,
    /// Bursts that ended.
    bursts: u64,
    burst_packets: u64,
    burst_missed: u64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Lost by the network, in 256 parts.
    pub loss_rate: u8,
    /// Discarded by the buffer, in 256 parts.
    pub discard_rate: u8,
    /// Missed within bursts, in 256 parts.
    pub burst_density: u8,
    /// Missed within gaps, in 256 parts.
    pub gap_density: u8,
    /// The mean length of a burst, in packets.
    pub burst_packets: u64,
    /// The mean length of a gap, in packets.
    pub gap_packets: u64,
}

impl Bursts {
    /// A packet was in time.
    pub fn received(&mut self) {
        self.total = self.total.saturating_add(1);
        self.run = self.run.saturating_add(1);
        if self.run == GMIN {
            self.close();
        }
    }

    /// A packet did not come.
    pub fn lost(&mut self) {
        self.lost = self.lost.saturating_add(1);
        self.missed();
    }

    /// A packet came too late or too early.
    pub fn discarded(&mut self) {
        self.discarded = self.discarded.saturating_add(1);
        self.missed();
    }

    fn missed(&mut self) {
        self.total = self.total.saturating_add(1);
        match self.open {
            0 => self.open = 1,
            _ => self.open = self.open.saturating_add(self.run).saturating_add(1),
        }
        self.open_missed = self.open_missed.saturating_add(1);
        self.run = 0;
    }

    /// What was open is over: a burst if it has more than one miss, otherwise part of the gap.
    fn close(&mut self) {
        if self.open_missed > 1 {
            self.bursts = self.bursts.saturating_add(1);
            self.burst_packets = self.burst_packets.saturating_add(self.open);
            self.burst_missed = self.burst_missed.saturating_add(self.open_missed);
        }
        (self.open, self.open_missed) = (0, 0);
    }

    /// What was counted until now, as if only received packets followed.
    pub fn metrics(&self) -> Metrics {
        let mut all = self.clone();
        all.close();
        let rate = |part: u64, of: u64| (part * 256).checked_div(of).unwrap_or(0).min(255) as u8;
        let gap_packets = all.total.saturating_sub(all.burst_packets);
        let missed = all.lost.saturating_add(all.discarded);
        // One gap before the first burst, one after each; none of them may be empty.
        let gaps = if all.total == 0 { 0 } else { all.bursts + 1 };
        Metrics {
            loss_rate: rate(all.lost, all.total),
            discard_rate: rate(all.discarded, all.total),
            burst_density: rate(all.burst_missed, all.burst_packets),
            gap_density: rate(missed.saturating_sub(all.burst_missed), gap_packets),
            burst_packets: all.burst_packets.checked_div(all.bursts).unwrap_or(0),
            gap_packets: gap_packets.checked_div(gaps).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let mut bursts = Bursts::default();
        for c in "11110111111111111111111X111X1011110111111111111111111X111111111".chars() {
            match c {
                '1' => bursts.received(),
                '0' => bursts.lost(),
                _ => bursts.discarded(),
            }
        }
        let metrics = bursts.metrics();
        assert_eq!((metrics.loss_rate, metrics.discard_rate), (12, 12));
        // Four of twelve. The RFC's text has 84 for the 33% that it shortens.
        assert_eq!(metrics.burst_density, 85);
        assert_eq!(metrics.gap_density, 10);
        assert_eq!(metrics.burst_packets, 12);
        // The mean; the RFC's example adds both gaps, against its own definition.
        assert_eq!(metrics.gap_packets, (23 + 28) / 2);
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(Bursts::default().metrics(), Metrics::default());
    }
}
