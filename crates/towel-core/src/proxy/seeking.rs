//! Whom the searches under way look for, so that a contact which registers meanwhile can join them
//! (RFC 3261 section 16.5: the source of targets is watched while a request is processed).

use std::collections::HashMap;

use super::core::{Around, ContextId, Proxy};
use super::settings::Forking;
use crate::contract::Candidate;
use crate::io::Outbox;
use crate::stack::Stack;

/// How many searches for one address of record a contact joins: the newest ones.
const MOST: usize = 16;

/// The newest search for each address of record, by the hash of that; each knows the one before.
#[derive(Debug, Default)]
pub(super) struct Seeking(HashMap<u64, ContextId>);

impl Proxy {
    /// Whether nobody is searched for.
    pub(crate) fn seeks_nobody(&self) -> bool {
        self.seeking.0.is_empty()
    }

    /// A search for an address of record begins.
    pub(super) fn seek(&mut self, id: ContextId, address: u64) {
        let older = self.seeking.0.insert(address, id);
        if let Some(older) = older.and_then(|older| self.contexts.get_mut(older)) {
            older.newer = Some(id);
        }
        if let Some(context) = self.contexts.get_mut(id) {
            context.sought = Some(address);
            context.older = older;
        }
    }

    /// The search is over.
    pub(super) fn found(&mut self, id: ContextId) {
        let Some(context) = self.contexts.get_mut(id) else { return };
        let Some(address) = context.sought.take() else { return };
        let (older, newer) = (context.older.take(), context.newer.take());
        if let Some(older) = older.and_then(|older| self.contexts.get_mut(older)) {
            older.newer = newer;
        }
        match (newer.and_then(|newer| self.contexts.get_mut(newer)), older) {
            (Some(newer), _) => newer.older = older,
            (None, Some(older)) => drop(self.seeking.0.insert(address, older)),
            (None, None) => drop(self.seeking.0.remove(&address)),
        }
    }

    /// The searches for an address of record that a target may still join, the newest first.
    pub(crate) fn searches_for(&self, address: u64) -> Vec<ContextId> {
        let mut searches = Vec::new();
        let mut next = self.seeking.0.get(&address).copied();
        while let Some(id) = next.filter(|_| searches.len() < MOST) {
            let Some(context) = self.contexts.get(id) else { break };
            if context.is_open() && context.stopped.is_none() {
                searches.push(id);
            }
            next = context.older;
        }
        searches
    }

    /// Puts new targets into a search whose work was taken out, and goes on with it.
    pub(crate) fn join(
        &mut self,
        around: &Around<'_>,
        stack: &mut Stack,
        out: &mut Outbox,
        id: ContextId,
        mut work: Box<super::context::Work>,
        targets: Vec<Candidate>,
    ) {
        if targets.is_empty() {
            return self.put_work(id, work);
        }
        let forking = super::context::asked(around.settings.forking, &work.directives);
        for target in targets {
            insert(&mut work.targets, work.begun, target, forking);
            if let Some(context) = self.contexts.get_mut(id) {
                context.breadth.make_room();
            }
        }
        self.put_work(id, work);
        self.advance(around, stack, out, id);
    }
}

/// Puts a target where it belongs among those that were not begun, or beside those that ring.
fn insert(targets: &mut Vec<Candidate>, begun: usize, mut target: Candidate, forking: Forking) {
    let now = begun.checked_sub(1).and_then(|last| targets.get(last));
    let joins_now = match (forking, now) {
        (Forking::Parallel, _) => true,
        (Forking::ByQ, Some(now)) => target.q >= now.q,
        _ => false,
    };
    let later = targets.iter().skip(begun).position(|other| match forking {
        Forking::Sequential => other.q < target.q,
        _ => other.q <= target.q,
    });
    let (at, group, apart) = match (now.filter(|_| joins_now), later) {
        (Some(now), _) => (begun, now.group, false),
        (None, Some(later)) => {
            let next = targets.get(begun + later);
            let beside = forking != Forking::Sequential && next.is_some_and(|n| n.q == target.q);
            (begun + later, next.map_or(0, |next| next.group), !beside)
        }
        (None, None) => {
            (targets.len(), targets.last().map_or(0, |last| last.group).saturating_add(1), false)
        }
    };
    if apart {
        for other in targets.iter_mut().skip(at) {
            other.group = other.group.saturating_add(1);
        }
    }
    target.group = group;
    targets.insert(at, target);
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::io::{Flow, ListenerId, Transport};
    use crate::proxy::context::Context;
    use crate::transaction::slab::Id;

    #[test]
    fn a_search_that_ends_hides_none_of_the_others() {
        let remote = SocketAddr::from(([192, 0, 2, 9], 5060));
        let transport = Transport::Udp;
        let source =
            Flow { transport, listener: ListenerId(0), local: remote, remote, connection: None };
        let mut proxy = Proxy::default();
        let mut begin = || {
            let id = proxy.contexts.insert(Context::new(Id::new(0, 0), source, true));
            proxy.seek(id, 7);
            id
        };
        let [a, b, c, d] = [begin(), begin(), begin(), begin()];
        assert_eq!(proxy.searches_for(7), [d, c, b, a]);
        proxy.found(c);
        assert_eq!(proxy.searches_for(7), [d, b, a]);
        proxy.found(d);
        assert_eq!(proxy.searches_for(7), [b, a]);
        proxy.found(a);
        assert_eq!(proxy.searches_for(7), [b]);
        proxy.found(b);
        assert!(proxy.searches_for(7).is_empty() && proxy.seeks_nobody());
    }

    /// Targets as (q, group), the first `begun` of them begun, joined by one of `q`.
    fn joined(before: &[(u16, u32)], begun: usize, q: u16, forking: Forking) -> Vec<(u16, u32)> {
        let target = |(q, group): (u16, u32)| Candidate { q, group, ..Candidate::default() };
        let mut targets: Vec<Candidate> = before.iter().copied().map(target).collect();
        insert(&mut targets, begun, target((q, 0)), forking);
        targets.iter().map(|t| (t.q, t.group)).collect()
    }

    #[test]
    fn who_is_preferred_no_less_than_those_that_ring_rings_beside_them() {
        assert_eq!(joined(&[(500, 1)], 1, 500, Forking::ByQ), [(500, 1), (500, 1)]);
        assert_eq!(joined(&[(500, 1)], 1, 900, Forking::ByQ), [(500, 1), (900, 1)]);
        assert_eq!(joined(&[(900, 1)], 1, 100, Forking::Parallel), [(900, 1), (100, 1)]);
    }

    #[test]
    fn others_wait_for_their_turn() {
        let before = [(900, 1), (500, 2), (100, 3)];
        assert_eq!(joined(&before, 1, 500, Forking::ByQ), [(900, 1), (500, 2), (500, 2), (100, 3)]);
        assert_eq!(joined(&before, 1, 300, Forking::ByQ), [(900, 1), (500, 2), (300, 3), (100, 4)]);
        assert_eq!(joined(&[(900, 1)], 1, 100, Forking::ByQ), [(900, 1), (100, 2)]);
        assert_eq!(joined(&[(500, 1)], 1, 500, Forking::Sequential), [(500, 1), (500, 2)]);
        assert_eq!(
            joined(&[(500, 1), (100, 2)], 1, 900, Forking::Sequential),
            [(500, 1), (900, 2), (100, 3)]
        );
    }
}
