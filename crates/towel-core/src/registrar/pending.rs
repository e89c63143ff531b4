//! Changes that wait for the store: made visible in the order in which they came, or not at all
//! (RFC 3261 section 10.3, step 7).

use crate::io::Ticket;
use std::collections::{BTreeMap, VecDeque};

/// The changes of one address of record.
#[derive(Debug, Default)]
struct Chain {
    /// What the bindings are after each; none once a later change has been made visible.
    waiting: VecDeque<(Ticket, Option<Vec<u8>>)>,
    /// Whether one of them failed. Those after it were built on it, so they fail too.
    broken: bool,
}

/// All changes that wait.
#[derive(Debug, Default)]
pub(super) struct Pending {
    // An ordered map, whose cost no peer can drive up by its choice of keys.
    chains: BTreeMap<Box<[u8]>, Chain>,
}

/// What is to be done for a change whose store has answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What to make visible.
    pub(super) commit: Option<Vec<u8>>,
    /// Whether the change stands.
    pub(super) good: bool,
    /// Whether the store may now hold what failed, and has to be told the truth again.
    pub(super) restore: bool,
}

impl Pending {
    /// The bindings as they will be after all that waits; an error where that has failed.
    pub(super) fn latest(&self, aor: &[u8]) -> Result<Option<&[u8]>, ()> {
        match self.chains.get(aor) {
            None => Ok(None),
            Some(chain) if chain.broken => Err(()),
            Some(chain) => Ok(chain.waiting.back().and_then(|(_, value)| value.as_deref())),
        }
    }

    pub(super) fn is_waiting(&self, aor: &[u8]) -> bool {
        self.chains.contains_key(aor)
    }

    pub(super) fn push(&mut self, ticket: Ticket, aor: &[u8], value: Vec<u8>) {
        self.chains.entry(aor.into()).or_default().waiting.push_back((ticket, Some(value)));
    }

    /// The store has answered.
    pub(super) fn answered(&mut self, aor: &[u8], ticket: Ticket, good: bool) -> Option<Verdict> {
        let chain = self.chains.get_mut(aor)?;
        let at = chain.waiting.iter().position(|(waiting, _)| *waiting == ticket)?;
        let (_, value) = chain.waiting.remove(at)?;
        chain.broken |= !good;
        let good = !chain.broken;
        if good {
            // A store that answers out of order: the earlier changes are in this one.
            chain.waiting.iter_mut().take(at).for_each(|(_, value)| *value = None);
        }
        let restore = chain.broken && chain.waiting.is_empty();
        if chain.waiting.is_empty() {
            self.chains.remove(aor);
        }
        Some(Verdict { commit: value.filter(|_| good), good, restore })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(commit: Option<&[u8]>, good: bool, restore: bool) -> Option<Verdict> {
        Some(Verdict { commit: commit.map(<[u8]>::to_vec), good, restore })
    }

    fn three() -> Pending {
        let mut pending = Pending::default();
        for n in 1..=3 {
            pending.push(Ticket(n), b"a", vec![n as u8]);
        }
        assert_eq!(pending.latest(b"a"), Ok(Some(&[3][..])));
        pending
    }

    #[test]
    fn in_order() {
        let mut pending = three();
        assert_eq!(pending.answered(b"a", Ticket(1), true), verdict(Some(&[1]), true, false));
        assert_eq!(pending.answered(b"a", Ticket(2), true), verdict(Some(&[2]), true, false));
        assert!(pending.is_waiting(b"a"));
        assert_eq!(pending.answered(b"a", Ticket(3), true), verdict(Some(&[3]), true, false));
        assert!(!pending.is_waiting(b"a"));
        assert_eq!(pending.answered(b"a", Ticket(3), true), None);
        assert_eq!(pending.latest(b"a"), Ok(None));
    }

    #[test]
    fn out_of_order() {
        let mut pending = three();
        assert_eq!(pending.answered(b"a", Ticket(2), true), verdict(Some(&[2]), true, false));
        assert_eq!(pending.answered(b"a", Ticket(1), true), verdict(None, true, false));
        assert_eq!(pending.answered(b"a", Ticket(3), true), verdict(Some(&[3]), true, false));
    }

    #[test]
    fn what_was_built_on_a_failure_fails() {
        let mut pending = three();
        assert_eq!(pending.answered(b"a", Ticket(1), true), verdict(Some(&[1]), true, false));
        assert_eq!(pending.answered(b"a", Ticket(2), false), verdict(None, false, false));
        assert_eq!(pending.latest(b"a"), Err(()));
        assert_eq!(pending.answered(b"a", Ticket(3), true), verdict(None, false, true));
        assert_eq!(pending.latest(b"a"), Ok(None));
    }
}
