//! Many calls in figures.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use towel_core::ua::user_agent::Ending;
use towel_media::session::Counts;

use crate::{News, Over};

/// Many calls in figures. It is told the news.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Calls that were begun, from either end.
    pub begun: u64,
    /// Calls that were up.
    pub up: u64,
    /// Calls that are over.
    pub over: u64,
    /// The most calls at a time.
    pub most: u64,
    /// How many ended so: the status of a refusal, or a word.
    pub ends: BTreeMap<String, u64>,
    /// How often a peer was put on hold, and taken off it.
    pub changes: u64,
    /// Calls that peers transferred as we asked for.
    pub transferred: u64,
    /// Changes of the session that were refused.
    pub refused: u64,
    /// How often the peer changed a session.
    pub changed: u64,
    /// Keys that peers pressed.
    pub digits: u64,
    /// Calls whose audio had a fault; the first of them in words.
    pub faults: u64,
    /// The first fault in words.
    pub fault: Option<String>,
    /// What was counted of all audio.
    pub counts: Counts,
    /// RTP packets that did not arrive here.
    pub lost: u64,
    setup: Option<Histogram<u64>>,
    lasted: Duration,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            begun: 0,
            up: 0,
            over: 0,
            most: 0,
            ends: BTreeMap::new(),
            changes: 0,
            transferred: 0,
            refused: 0,
            changed: 0,
            digits: 0,
            faults: 0,
            fault: None,
            counts: Counts::default(),
            lost: 0,
            // Microseconds up to an hour; the bounds are sound.
            setup: Histogram::new_with_bounds(1, 3_600_000_000, 3).ok(),
            lasted: Duration::ZERO,
        }
    }
}

/// The end of a call in a word.
pub(crate) fn word(over: &Over) -> String {
    if over.unanswered && over.lasted.is_none() {
        return "no-answer".into();
    }
    match &over.why {
        Ending::Local => "local".into(),
        Ending::Bye => "bye".into(),
        Ending::Cancelled => "cancelled".into(),
        Ending::Failed { status, .. } => status.to_string(),
        Ending::NoResponse(_) => "no-response".into(),
        Ending::NoAck => "no-ack".into(),
        Ending::Lost { status } => format!("lost-{status}"),
        Ending::Fork => "fork".into(),
        Ending::Unfit => "unfit".into(),
        Ending::Replaced => "replaced".into(),
    }
}

impl Tally {
    /// Something happened.
    pub fn hear(&mut self, news: &News) {
        match news {
            News::Calling(_) | News::Incoming(..) | News::Referred { .. } => {
                self.begun += 1;
                self.most = self.most.max(self.begun.saturating_sub(self.over));
            }
            News::Up(_) => self.up += 1,
            News::Held(_) | News::Resumed(_) => self.changes += 1,
            News::Transferred(_) => self.transferred += 1,
            News::Refused(..) => self.refused += 1,
            News::Changed(..) => self.changed += 1,
            News::Digit(..) => self.digits += 1,
            News::Over(over) => self.end(over),
            _ => {}
        }
    }

    fn end(&mut self, over: &Over) {
        self.over += 1;
        *self.ends.entry(word(over)).or_default() += 1;
        self.lasted += over.lasted.unwrap_or_default();
        if let (Some(setup), Some(histogram)) = (over.setup, &mut self.setup) {
            histogram.saturating_record(u64::try_from(setup.as_micros()).unwrap_or(u64::MAX));
        }
        if let Some(fault) = &over.fault {
            self.faults += 1;
            self.fault.get_or_insert_with(|| fault.clone());
        }
        let Some(stats) = &over.stats else { return };
        self.lost += u64::try_from(stats.loss.lost).unwrap_or(0);
        let (all, one) = (&mut self.counts, &stats.counts);
        all.sent += one.sent;
        all.sent_bytes += one.sent_bytes;
        all.received += one.received;
        all.received_bytes += one.received_bytes;
        all.reports_sent += one.reports_sent;
        all.reports_received += one.reports_received;
        all.strangers += one.strangers;
        all.malformed += one.malformed;
        all.wrong_payload_type += one.wrong_payload_type;
        all.replayed += one.replayed;
        all.unauthentic += one.unauthentic;
        all.improbable += one.improbable;
        all.unwanted += one.unwanted;
        all.duplicates += one.duplicates;
        all.late += one.late;
        all.overflowed += one.overflowed;
        all.undecodable += one.undecodable;
        all.events += one.events;
    }

    /// How long it took at most until a call was up, for this share of them.
    pub fn setup(&self, share: f64) -> Option<Duration> {
        let histogram = self.setup.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(Duration::from_micros(histogram.value_at_quantile(share)))
    }

    /// How long calls were up, on the average.
    pub fn lasted(&self) -> Option<Duration> {
        let up = u32::try_from(self.up).ok().filter(|up| *up > 0)?;
        Some(self.lasted / up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(why: Ending, setup: Option<u64>) -> News {
        let setup = setup.map(Duration::from_millis);
        let lasted = setup.map(|_| Duration::from_secs(2));
        let (unanswered, stats, fault) = (false, None, None);
        News::Over(Box::new(Over { call: 1, why, unanswered, setup, lasted, stats, fault }))
    }

    #[test]
    fn calls_are_counted() {
        let mut tally = Tally::default();
        for news in [
            News::Calling(1),
            News::Calling(2),
            News::Up(1),
            over(Ending::Bye, Some(100)),
            over(Ending::Failed { response: Vec::new(), status: 486 }, None),
            News::Calling(3),
        ] {
            tally.hear(&news);
        }
        assert_eq!((tally.begun, tally.up, tally.over, tally.most), (3, 1, 2, 2));
        assert_eq!(tally.ends.get("486"), Some(&1));
        let half = tally.setup(0.5).unwrap();
        assert!((100..=101).contains(&half.as_millis()), "{half:?}");
        assert_eq!(tally.lasted(), Some(Duration::from_secs(2)));
    }
}
