//! The end of a call.

use std::time::Duration;

use towel_core::io::{Now, Outbox};
use towel_core::ua::user_agent::{CallHandle, Ending};
use towel_media::session::Stats;

use super::Phone;
use crate::{News, Over};

/// How long the end of a call's audio is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

impl Phone {
    /// A call could not be made.
    pub(super) fn never(&mut self, number: u32, fault: String) {
        self.over += 1;
        self.news.push_back(News::Over(Box::new(Over {
            call: number,
            why: Ending::Unfit,
            unanswered: false,
            setup: None,
            lasted: None,
            stats: None,
            fault: Some(fault),
        })));
    }

    pub(super) fn ended(&mut self, now: Now, out: &mut Outbox, call: CallHandle, why: Ending) {
        let Some(number) = self.number_of(call) else { return };
        if let Ending::Failed { status: 415 | 488 | 606, .. } = why
            && self.call_plainly(now, out, number)
        {
            return;
        }
        self.numbers.remove(&call.number());
        let Some(mut held) = self.calls.remove(&number) else { return };
        self.lines.remove(&held.line.id());
        self.clock.forget(number);
        if let Some(first) = held.consults.filter(|_| held.up.is_none()) {
            let status = match &why {
                Ending::Failed { status, .. } => *status,
                _ => 0,
            };
            self.news.push_back(News::Refused(first, "transfer: nobody is there".into(), status));
        }
        // What comes of them is of no use any more.
        let requests = [held.key, held.change.and_then(|change| change.request)];
        for request in requests.into_iter().flatten() {
            self.requests.remove(&request.number());
        }
        let over = Box::new(Over {
            call: number,
            why,
            unanswered: held.unanswered,
            setup: held.up.map(|up| up.since(held.began)),
            lasted: held.up.map(|up| now.at.since(up)),
            stats: None,
            fault: held.fault.take(),
        });
        if held.line.end() {
            let line = held.line.id();
            self.ending.insert(line, (now.at + PATIENCE, over));
            self.ending_due.push_back((now.at + PATIENCE, line));
        } else {
            self.tell_over(over);
        }
    }

    fn tell_over(&mut self, over: Box<Over>) {
        self.over += 1;
        self.news.push_back(News::Over(over));
    }

    /// The audio of a call has ended.
    pub(super) fn silenced(&mut self, line: u64, stats: Option<Box<Stats>>, fault: Option<String>) {
        if let Some((_, mut over)) = self.ending.remove(&line) {
            over.stats = stats.map(|stats| *stats);
            over.fault = over.fault.or(fault);
            return self.tell_over(over);
        }
        // It ended before its call.
        let held = self.lines.get(&line).and_then(|number| self.calls.get_mut(number));
        if let Some(held) = held {
            held.fault = held.fault.take().or(fault);
        }
    }

    /// Audio whose end is not told is waited for no more.
    pub(super) fn lapse(&mut self, now: Now) {
        while let Some((at, line)) = self.ending_due.front().copied() {
            let told = !self.ending.contains_key(&line);
            if !told && at > now.at {
                return;
            }
            self.ending_due.pop_front();
            if let Some((_, mut over)) = self.ending.remove(&line) {
                over.fault.get_or_insert_with(|| "the audio has broken down".into());
                self.tell_over(over);
            }
        }
    }
}
