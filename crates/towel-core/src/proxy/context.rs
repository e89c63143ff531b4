//! The response context (RFC 3261 section 16.6): a request under way, its targets, its branches
//! and the responses that they gave.

use super::best;
use super::breadth::Breadth;
use super::mark::BranchMark;
use super::route::Prepared;
use super::settings::Forking;
use crate::contract::{CancelCause, Candidate, Directives, Slots, Woken};
use towel_message::Uri;

use crate::io::{Flow, Instant, Transport};
use crate::stack::{ClientId, ServerId, Stack};
use crate::time::TimerId;
use crate::transaction::slab::Id;

/// How far a branch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Sent, nothing heard.
    Calling,
    /// A provisional response has come.
    Proceeding,
    /// A final response has come, or will not come.
    Done,
}

/// What is known of a binding besides its URI: by what way it can be reached.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// Where its REGISTER came from.
    pub(crate) flow: Flow,
    /// Its Route values, the first hop first.
    pub(crate) routes: Vec<Vec<u8>>,
    /// It registered a sips URI, and is asked for by a sip one: TLS it is all the same.
    pub(crate) tls: bool,
    /// Only the flow leads there.
    pub(crate) direct: bool,
}

impl Way {
    /// The way of a target, if it is a binding.
    pub(crate) fn of<'a>(ways: &'a [Way], target: &Candidate) -> Option<&'a Way> {
        usize::try_from(target.handle).ok()?.checked_sub(1).and_then(|at| ways.get(at))
    }

    /// Whether to go by the flow at once. A client that came by a connection and names another
    /// address than the one that it comes from is behind a NAT: its Contact leads nowhere, and finding
    /// that out takes a time-out.
    pub(crate) fn by_flow(&self, stack: &Stack, uri: &[u8]) -> bool {
        if self.direct {
            return true;
        }
        let leads_there = |flow: Flow| flow.remote == self.flow.remote;
        if !self.flow.connection.and_then(|id| stack.flow_of(id)).is_some_and(leads_there) {
            return false;
        }
        let Ok(Uri::Sip(sip)) = Uri::parse(uri) else { return false };
        let asked = match sip.transport() {
            Some(token) => Transport::from_token(token),
            None => Some(Transport::Udp),
        };
        let asked = match asked {
            Some(Transport::Tcp) if sip.secure => Some(Transport::Tls),
            Some(Transport::Udp) if sip.secure => Some(Transport::Tls),
            other => other,
        };
        let source = self.flow.remote.ip().to_canonical();
        let elsewhere = sip
            .host
            .ip()
            .map(|ip| ip.to_canonical())
            .is_some_and(|ip| ip != source && !(ip.is_loopback() && source.is_loopback()));
        elsewhere && sip.maddr().is_none() && asked == Some(self.flow.transport)
    }
}

/// One copy of the request that was sent.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) client: ClientId,
    pub(super) progress: Progress,
    /// Its share of Max-Breadth, given back when it is done.
    pub(super) breadth: u32,
    /// Which target it is of.
    pub(super) target: u32,
    /// When Timer C fires.
    pub(super) timer_c: Instant,
    /// Whether its CANCEL was asked for.
    pub(super) cancelled: bool,
    /// Whether its client transaction still exists.
    pub(super) alive: bool,
    /// Whether it went by the flow that its target registered by.
    pub(super) by_flow: bool,
    /// When a sequential search goes on to the next target, if that is set.
    pub(super) ring: Option<Instant>,
}

/// The best final response so far.
#[derive(Clone, Debug)]
pub(super) struct Best {
    pub(super) status: u16,
    /// As it will be forwarded, its topmost Via gone; empty for one that is made here.
    pub(super) bytes: Vec<u8>,
    pub(super) branch: usize,
    /// Where it came from; `None` of one that is made here.
    pub(super) source: Option<Flow>,
}

/// What is needed only until the final response has been sent.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) prepared: Prepared,
    pub(crate) targets: Vec<Candidate>,
    pub(crate) ways: Vec<Way>,
    /// How many targets were begun.
    pub(super) begun: usize,
    pub(super) best: Option<Best>,
    /// A 3xx that named only what had been tried before: better than nothing.
    pub(super) redirection: Option<Best>,
    /// The challenges of 401 and 407 responses: of which branch, the name and the value.
    pub(super) challenges: Vec<(usize, &'static str, Vec<u8>)>,
    pub(crate) slots: Slots,
    pub(crate) woken: Woken,
    pub(crate) directives: Directives,
    pub(super) mark: Option<BranchMark>,
    /// A branch was not sent since its next hop wants to be spared.
    pub(super) held_back: bool,
    /// Whether the Request-URI is a resource of ours, so that targets may be added.
    pub(super) ours: bool,
}

impl Work {
    pub(super) fn reset(&mut self) {
        // Targets and ways are left: who takes this up next has use for their memory.
        self.begun = 0;
        self.best = None;
        self.redirection = None;
        self.challenges.clear();
        self.slots = Slots::new();
        self.woken = Woken::NONE;
        self.directives = Directives::default();
        self.mark = None;
        self.held_back = false;
        self.ours = false;
    }
}

/// A response context.
#[derive(Debug)]
pub(crate) struct Context {
    pub(super) server: ServerId,
    /// Whether the server transaction still exists.
    pub(super) served: bool,
    pub(super) source: Flow,
    pub(super) invite: bool,
    pub(super) branches: Vec<Branch>,
    pub(super) breadth: Breadth,
    /// The status of the final response that was sent.
    pub(super) answered: Option<u16>,
    /// No branches may be added: the caller has cancelled, or a 6xx has come.
    pub(super) stopped: Option<CancelCause>,
    pub(super) work: Option<Box<Work>>,
    /// Timer C, the ring time, or the end of a non-INVITE search: whichever is first.
    pub(super) timer: Option<TimerId>,
    /// The address of record that is searched for, as a hash, until it is found.
    pub(super) sought: Option<u64>,
    /// The search for the same one that was begun before.
    pub(super) older: Option<Id<Context>>,
    /// The one that was begun after.
    pub(super) newer: Option<Id<Context>>,
    /// When the search ends with the best response that there is: for a non-INVITE request that
    /// forked before its client gives up, for an INVITE when it expires.
    pub(super) give_up: Option<Instant>,
    /// What extensions keep for the 2xx that may still come.
    pub(super) kept: Slots,
}

impl Context {
    /// A context without targets, of a request from a flow.
    pub(super) fn new(server: ServerId, source: Flow, invite: bool) -> Context {
        Context {
            server,
            served: true,
            source,
            invite,
            branches: Vec::new(),
            breadth: Breadth::new(None, 0),
            answered: None,
            stopped: None,
            work: None,
            timer: None,
            sought: None,
            older: None,
            newer: None,
            give_up: None,
            kept: Slots::new(),
        }
    }

    /// How many branches have had no final response.
    pub(super) fn pending(&self) -> usize {
        self.branches.iter().filter(|branch| branch.progress != Progress::Done).count()
    }

    /// Whether no final response was sent.
    pub(super) fn is_open(&self) -> bool {
        self.answered.is_none()
    }

    /// Whether nothing more can come.
    pub(super) fn is_over(&self) -> bool {
        !self.served && self.branches.iter().all(|branch| !branch.alive)
    }

    /// The target to begin next, if one may be begun now.
    pub(super) fn next(&self, work: &Work) -> Option<usize> {
        if self.answered.is_some() || self.stopped.is_some() || self.breadth.room() == 0 {
            return None;
        }
        let next = work.targets.get(work.begun)?;
        let group_open = self
            .branches
            .iter()
            .filter(|branch| branch.progress != Progress::Done)
            .filter_map(|branch| work.targets.get(branch.target as usize))
            .all(|target| target.group == next.group);
        group_open.then_some(work.begun)
    }

    /// How many more targets of the group of `at` will be begun at once with it.
    pub(super) fn companions(work: &Work, at: usize) -> u32 {
        let group = work.targets.get(at).map(|target| target.group);
        let rest =
            work.targets.iter().skip(at + 1).take_while(|target| Some(target.group) == group);
        u32::try_from(rest.count()).unwrap_or(u32::MAX)
    }

    /// Marks a branch as done. False if it was already.
    pub(super) fn done(&mut self, at: usize) -> bool {
        let Some(branch) = self.branches.get_mut(at) else { return false };
        if branch.progress == Progress::Done {
            return false;
        }
        branch.progress = Progress::Done;
        let share = std::mem::take(&mut branch.breadth);
        self.breadth.give_back(share);
        true
    }

    /// When something is due that only time brings.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.branches.iter().filter(|branch| branch.progress != Progress::Done);
        let timers = open.flat_map(|branch| {
            let ring = branch.ring.filter(|_| !branch.cancelled);
            Some(branch.timer_c).filter(|_| self.invite).into_iter().chain(ring)
        });
        timers.chain(self.give_up).min()
    }
}

impl Work {
    /// In how many goes the targets after those of `group` are tried.
    pub(super) fn goes_after(&self, group: u32) -> u32 {
        let mut last = group;
        let mut goes = 0;
        for target in self.targets.iter().filter(|target| target.group > group) {
            goes += u32::from(target.group != last);
            last = target.group;
        }
        goes
    }

    /// Whether a final response of `status` would be the best so far.
    pub(super) fn is_better(&self, status: u16) -> bool {
        self.best.as_ref().is_none_or(|best| best::rank(status) < best::rank(best.status))
    }
}

/// How targets are tried: as the caller asks, or as it is set.
pub(super) fn asked(forking: Forking, directives: &Directives) -> Forking {
    match directives.parallel {
        Some(true) => Forking::Parallel,
        Some(false) => Forking::Sequential,
        None => forking,
    }
}

/// Puts targets in order and numbers their groups: from the highest q to the lowest, those of one
/// q together (RFC 3261 section 16.6), unless something else is asked for. Groups that an
/// extension has numbered stay as they are.
pub(super) fn arrange(targets: &mut [Candidate], forking: Forking, directives: &Directives) {
    let forking = asked(forking, directives);
    if targets.iter().any(|target| target.group != 0) {
        targets.sort_by_key(|target| target.group);
        return;
    }
    targets.sort_by_key(|target| std::cmp::Reverse(target.q));
    let mut group = 1;
    let mut before: Option<u16> = None;
    for target in targets {
        let apart = match forking {
            Forking::Parallel => false,
            Forking::Sequential => before.is_some(),
            Forking::ByQ => before.is_some_and(|q| q != target.q),
        };
        group += u32::from(apart);
        target.group = group;
        before = Some(target.q);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(qs: &[u16]) -> Vec<Candidate> {
        qs.iter().map(|q| Candidate { q: *q, ..Candidate::default() }).collect()
    }

    fn groups(qs: &[u16], forking: Forking) -> Vec<(u16, u32)> {
        let mut list = targets(qs);
        arrange(&mut list, forking, &Directives::default());
        list.iter().map(|t| (t.q, t.group)).collect()
    }

    #[test]
    fn targets_are_tried_from_the_highest_q() {
        assert_eq!(groups(&[500, 1000, 500], Forking::ByQ), [(1000, 1), (500, 2), (500, 2)]);
        assert_eq!(groups(&[500, 1000], Forking::Parallel), [(1000, 1), (500, 1)]);
        assert_eq!(groups(&[7, 7], Forking::Sequential), [(7, 1), (7, 2)]);
    }

    #[test]
    fn what_an_extension_ordered_stays() {
        let mut list = targets(&[1000, 1]);
        list[0].group = 2;
        list[1].group = 1;
        arrange(&mut list, Forking::ByQ, &Directives::default());
        assert_eq!(list[0].q, 1);
    }
}
