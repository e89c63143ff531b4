//! The runs themselves.

use super::*;
use crate::element::Elements;

fn hold(seeds: std::ops::RangeInclusive<u64>) {
    let (mut answered, mut crashes) = (0, 0);
    for seed in seeds {
        let report = run(seed, &Cut::default(), &Elements::default()).unwrap();
        assert!(report.passed(), "seed {seed}: {:#?}\n{}", report.complaints, report.drawn(false));
        answered += report.answered;
        crashes += report.crashes;
    }
    assert!(answered > 60 && crashes > 5, "too little happened: {answered}, {crashes}");
}

#[test]
fn what_must_always_be_true_is() {
    hold(1..=30);
}

#[test]
fn the_seed_tells_all_of_it() {
    let draw = |seed| run(seed, &Cut::default(), &Elements::default()).unwrap().drawn(true);
    assert_eq!(draw(3), draw(3));
}
