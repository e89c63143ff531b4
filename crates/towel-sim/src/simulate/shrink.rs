//! Making a failure small: fewer acts, and with them fewer phones, as long as it still fails.

use std::collections::BTreeSet;

use super::scenario::{Cut, Scenario};

/// The smallest cut found with which the scenario of that seed still fails. `fails` plays one and
/// says whether it does; it is asked at most `most` times.
pub fn shrink(seed: u64, cut: &Cut, most: usize, fails: &mut dyn FnMut(&Cut) -> bool) -> Cut {
    let mut left = most;
    let mut try_one = |cut: &Cut| {
        let may = left > 0;
        left = left.saturating_sub(1);
        may && fails(cut)
    };
    let mut best = cut.clone();
    let whole = Scenario::new(seed, best.clone());
    let mut acts: Vec<usize> = whole.acts.iter().map(|act| act.number).collect();
    // Halves first, then smaller and smaller pieces, then one by one until nothing can go.
    let mut piece = acts.len().div_ceil(2);
    while piece > 0 && !acts.is_empty() {
        let (mut at, mut went) = (0, false);
        while at < acts.len() {
            let end = (at + piece).min(acts.len());
            let kept: BTreeSet<usize> = acts[..at].iter().chain(&acts[end..]).copied().collect();
            let smaller = Cut { only: Some(kept.clone()), ..best.clone() };
            if try_one(&smaller) {
                acts = kept.into_iter().collect();
                best = smaller;
                went = true;
            } else {
                at = end;
            }
        }
        if piece == 1 && !went {
            break;
        }
        piece = if piece == 1 { 1 } else { piece.div_ceil(2) };
    }
    for change in [|cut: &mut Cut| cut.calm = true, |cut: &mut Cut| cut.plain = true] {
        let mut simpler = best.clone();
        change(&mut simpler);
        if simpler != best && try_one(&simpler) {
            best = simpler;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_goes() {
        let (mut asked, needed) = (0, [2, 4]);
        let cut = shrink(5, &Cut::default(), 500, &mut |cut| {
            asked += 1;
            needed.iter().all(|act| cut.keeps(*act)) && !cut.plain
        });
        assert_eq!(cut.only, Some(needed.into()));
        assert!(cut.calm && !cut.plain && asked < 200, "{asked}");
    }

    #[test]
    fn it_ends_when_it_was_asked_often_enough() {
        let mut asked = 0;
        shrink(5, &Cut::default(), 7, &mut |_| {
            asked += 1;
            false
        });
        assert_eq!(asked, 7);
    }
}
