//! Answers kept for as long as their TTL says, and no more of them than a bound.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use super::dns::{Answer, Outcome, Question};
use crate::io::Instant;

struct Entry {
    answer: Arc<Answer>,
    until: Instant,
}

/// Two generations: what is asked for moves to the young one, and when that is full the old one is
/// forgotten whole. Bounded at a constant cost, and whoever floods it with names throws out what
/// nobody uses first.
pub(super) struct Cache {
    young: HashMap<Question, Entry>,
    old: HashMap<Question, Entry>,
    most: usize,
}

/// The longest that anything is kept, whatever its TTL says: a mistyped TTL must not need a restart.
const LONGEST: u32 = 86_400;
/// The longest for which an absence is believed (RFC 2308 section 5 advises one to three hours at
/// most; a phone system that just got its records should not wait for that).
const LONGEST_NOTHING: u32 = 900;

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most }
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    pub(super) fn get(&mut self, now: Instant, question: &Question) -> Option<Arc<Answer>> {
        if let Some(entry) = self.young.get(question) {
            return (entry.until > now).then(|| entry.answer.clone());
        }
        let entry = self.old.remove(question)?;
        if entry.until <= now {
            return None;
        }
        let answer = entry.answer.clone();
        self.put(question.clone(), entry);
        Some(answer)
    }

    /// Keeps an answer; a failure for `failure`, so that a broken server is not asked by every
    /// request.
    pub(super) fn keep(
        &mut self,
        now: Instant,
        question: Question,
        answer: Arc<Answer>,
        failure: Duration,
    ) {
        let holds = match &answer.outcome {
            Outcome::Records(_) => Duration::from_secs(answer.ttl.min(LONGEST).into()),
            Outcome::Nothing => Duration::from_secs(answer.ttl.min(LONGEST_NOTHING).into()),
            Outcome::Failure => failure,
        };
        if holds.is_zero() {
            // RFC 1035 section 3.2.1: for the transaction in progress only.
            self.young.remove(&question);
            self.old.remove(&question);
            return;
        }
        self.put(question, Entry { answer, until: now + holds });
    }

    fn put(&mut self, question: Question, entry: Entry) {
        if self.young.len() >= (self.most / 2).max(1) && !self.young.contains_key(&question) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(question, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::super::dns::QuestionKind;
    use super::*;

    fn question(i: usize) -> Question {
        Question::new(&format!("h{i}.example"), QuestionKind::A).unwrap()
    }

    #[test]
    fn bounded_and_the_used_ones_stay() {
        let mut cache = Cache::new(100);
        let now = Instant(0);
        for i in 0..10_000 {
            cache.keep(now, question(i), Arc::new(Answer::nothing(60)), Duration::ZERO);
            assert!(cache.get(now, &question(0)).is_some(), "{i}");
            assert!(cache.len() <= 100);
        }
        assert!(cache.get(now, &question(5)).is_none());
    }

    #[test]
    fn an_expired_answer_is_not_given() {
        let mut cache = Cache::new(100);
        cache.keep(Instant(0), question(1), Arc::new(Answer::nothing(2)), Duration::ZERO);
        assert!(cache.get(Instant(1_999_999), &question(1)).is_some());
        assert!(cache.get(Instant(2_000_000), &question(1)).is_none());
        cache.keep(Instant(0), question(2), Arc::new(Answer::nothing(0)), Duration::ZERO);
        assert!(cache.get(Instant(0), &question(2)).is_none());
    }
}
