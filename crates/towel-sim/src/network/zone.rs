//! The DNS of the simulated network.

use std::collections::BTreeMap;

use towel_core::locating::{Answer, Naptr, Question, QuestionKind, Records, Srv};

use crate::flow::{DnsLine, FlowError};

/// How long a name that nobody wrote down takes to be denied, in microseconds.
const DENIAL: u64 = 20_000;

#[derive(Clone, Debug)]
struct Entry {
    answer: Answer,
    after: u64,
}

/// What the simulated DNS knows.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    entries: BTreeMap<(String, u8), Entry>,
    failing: BTreeMap<String, u64>,
    asked: Vec<Question>,
}

fn kind_number(kind: QuestionKind) -> u8 {
    match kind {
        QuestionKind::Naptr => 0,
        QuestionKind::Srv => 1,
        QuestionKind::A => 2,
        QuestionKind::Aaaa => 3,
    }
}

impl Zone {
    /// Answers a question, and tells how long that takes.
    pub fn answer(&mut self, question: &Question) -> (Answer, u64) {
        self.asked.push(question.clone());
        if let Some(after) = self.failing.get(question.name()) {
            return (Answer::failure(), *after);
        }
        match self.entries.get(&(question.name().to_string(), kind_number(question.kind()))) {
            Some(entry) => (entry.answer.clone(), entry.after),
            None => (Answer::nothing(60), DENIAL),
        }
    }

    /// From now on there is no answer about that name but that there is none, after so long.
    pub fn fail(&mut self, name: &str, after: u64) {
        self.failing.insert(name.into(), after);
    }

    /// Every name is answered about again.
    pub fn recover(&mut self) {
        self.failing.clear();
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> &[Question] {
        &self.asked
    }

    /// Takes a line of a flow in.
    pub fn add(&mut self, line: &DnsLine) -> Result<(), FlowError> {
        let wrong = |what: &str| FlowError { line: line.line, what: what.into() };
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        let number = |text: &str| text.parse::<u16>().map_err(|_| wrong("not a number"));
        let (kind, records) = match words.as_slice() {
            ["fails"] => {
                self.failing.insert(line.name.clone(), line.after);
                return Ok(());
            }
            ["A", address] => {
                let address = address.parse().map_err(|_| wrong("not an IPv4 address"))?;
                (QuestionKind::A, Records::A(vec![address]))
            }
            ["AAAA", address] => {
                let address = address.parse().map_err(|_| wrong("not an IPv6 address"))?;
                (QuestionKind::Aaaa, Records::Aaaa(vec![address]))
            }
            ["SRV", priority, weight, port, target] => {
                let srv = Srv {
                    priority: number(priority)?,
                    weight: number(weight)?,
                    port: number(port)?,
                    target: (*target).into(),
                };
                (QuestionKind::Srv, Records::Srv(vec![srv]))
            }
            ["NAPTR", order, preference, flags, services, rest @ ..] => {
                let naptr = Naptr {
                    order: number(order)?,
                    preference: number(preference)?,
                    flags: (*flags).into(),
                    services: (*services).into(),
                    regexp: if rest.len() > 1 { rest[0].into() } else { "".into() },
                    replacement: rest.last().copied().unwrap_or_default().into(),
                };
                (QuestionKind::Naptr, Records::Naptr(vec![naptr]))
            }
            _ => return Err(wrong("as: NAME A|AAAA|SRV|NAPTR DATA, or NAME fails")),
        };
        let key = (line.name.clone(), kind_number(kind));
        let fresh = Entry { answer: Answer::records(records.clone(), line.ttl), after: line.after };
        match self.entries.get_mut(&key) {
            None => {
                self.entries.insert(key, fresh);
            }
            Some(entry) => {
                let towel_core::locating::Outcome::Records(old) = &mut entry.answer.outcome else {
                    return Ok(());
                };
                match (old, records) {
                    (Records::A(old), Records::A(new)) => old.extend(new),
                    (Records::Aaaa(old), Records::Aaaa(new)) => old.extend(new),
                    (Records::Srv(old), Records::Srv(new)) => old.extend(new),
                    (Records::Naptr(old), Records::Naptr(new)) => old.extend(new),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
