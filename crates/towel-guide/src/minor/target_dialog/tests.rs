//! Target-Dialog at the end that is asked.

use towel_core::contract::Relation;

use super::EXTENSION;
use crate::call_control::replaces::tests::asked;

#[test]
fn what_names_no_dialog_is_ignored() {
    let refer = |value: &str| asked(&EXTENSION, &[], "REFER", &format!("Target-Dialog: {value}"));
    assert_eq!(refer("up;local-tag=ours;remote-tag=theirs"), (0, Some(Relation::About)));
    for value in [
        "up;local-tag=theirs;remote-tag=ours",
        "up;local-tag=ours",
        "over;local-tag=ours;remote-tag=theirs",
        "never;local-tag=ours;remote-tag=theirs",
    ] {
        assert_eq!(refer(value), (0, None), "{value}");
    }
}

#[test]
fn where_it_is_demanded_of_a_refer_a_stranger_is_refused() {
    let demand = &[("demand", "yes")][..];
    let good = "Target-Dialog: up;local-tag=ours;remote-tag=theirs";
    assert_eq!(asked(&EXTENSION, demand, "REFER", good), (0, Some(Relation::About)));
    assert_eq!(asked(&EXTENSION, demand, "REFER", "").0, 403);
    assert_eq!(asked(&EXTENSION, demand, "REFER", "Target-Dialog: up;local-tag=ours").0, 403);
    assert_eq!(asked(&EXTENSION, demand, "INVITE", "").0, 0);
}
