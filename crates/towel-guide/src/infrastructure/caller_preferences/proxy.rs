//! What a proxy does: RFC 3841 sections 7.1, 7.2 and 9.1.

use std::cmp::Reverse;

use towel_core::contract::{Candidate, Directives, ProxyTargets, Verdict, state};
use towel_message::{Message, Name, Params};

use super::matching::Preferences;
use crate::infrastructure::capabilities::{self, syntax::Features};

/// A proxy has a target set.
pub(super) fn targets(at: &mut ProxyTargets<'_>) -> Verdict {
    // Sections 7.1 and 7.2: only where the targets are bindings of our own domain.
    if !at.targets.iter().any(|target| target.registered) {
        return Verdict::Pass;
    }
    directives(&at.request, at.directives);
    let Some(preferences) = Preferences::of(&at.request) else {
        return Verdict::refuse(403, "Too Many Caller Preferences");
    };
    let scores: Vec<Option<u32>> = at.targets.iter().map(|one| score(&preferences, one)).collect();
    if scores.iter().all(Option::is_none) {
        if preferences.explicit {
            return Verdict::refuse(480, "Temporarily Unavailable");
        }
        // Implied preferences that leave nobody are no reason to try nobody: the phones then
        // say 405 or 489 themselves.
        return finish(at);
    }
    let mut scored: Vec<(u32, Candidate)> = std::mem::take(at.targets)
        .into_iter()
        .zip(scores)
        .filter_map(|(target, score)| score.map(|score| (score, target)))
        .collect();
    // By the callee's q first; the caller's preference orders those of equal q.
    scored.sort_by_key(|(score, target)| (Reverse(target.q), Reverse(*score)));
    if preferences.explicit {
        let mut group = 0;
        let mut last = None;
        for (score, target) in &mut scored {
            let class = (target.q, *score);
            if last != Some(class) {
                group += 1;
                last = Some(class);
            }
            target.group = group;
        }
    }
    at.targets.extend(scored.into_iter().map(|(_, target)| target));
    finish(at)
}

/// What a directive says about the set as a whole.
fn finish(at: &mut ProxyTargets<'_>) -> Verdict {
    if at.directives.redirect == Some(true) {
        // Section 7.2.4: q-values that give the order; capabilities are never shown.
        for (rank, target) in at.targets.iter_mut().enumerate() {
            let rank = u16::try_from(rank).unwrap_or(u16::MAX);
            target.q = 1000_u16.saturating_sub(rank.saturating_mul(10));
        }
    } else if at.directives.fork == Some(false) {
        // The best address alone: they are in order only if there was something to order by.
        at.targets.sort_by_key(|target| Reverse(target.q));
        at.targets.truncate(1);
    }
    Verdict::Pass
}

/// Qa of one target; those without capabilities are immune (section 7.2.3).
fn score(preferences: &Preferences<'_>, target: &Candidate) -> Option<u32> {
    let features = state::find(&target.kept, capabilities::ID)
        .map(|kept| Features::of(Params::new(kept)))
        .unwrap_or_default();
    if features.is_empty() { Some(1000) } else { preferences.score(&features) }
}

/// Section 9.1: one directive of each kind; of two of a kind the first counts.
fn directives(request: &Message<'_>, directives: &mut Directives) {
    for value in request.values(Name::RequestDisposition) {
        let (slot, choice) = match value.bytes.to_ascii_lowercase().as_slice() {
            b"proxy" => (&mut directives.redirect, false),
            b"redirect" => (&mut directives.redirect, true),
            b"cancel" => (&mut directives.cancel, true),
            b"no-cancel" => (&mut directives.cancel, false),
            b"fork" => (&mut directives.fork, true),
            b"no-fork" => (&mut directives.fork, false),
            b"recurse" => (&mut directives.recurse, true),
            b"no-recurse" => (&mut directives.recurse, false),
            b"parallel" => (&mut directives.parallel, true),
            b"sequential" => (&mut directives.parallel, false),
            b"queue" => (&mut directives.queue, true),
            b"no-queue" => (&mut directives.queue, false),
            _ => continue,
        };
        slot.get_or_insert(choice);
    }
}
