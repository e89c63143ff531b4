//! Join at the end that is asked.

use towel_core::contract::Relation;

use super::EXTENSION;
use crate::call_control::replaces::tests::asked;

const ACCEPT: &[(&str, &str)] = &[("accept", "yes")];

#[test]
fn each_dialog_gets_the_answer_that_it_deserves() {
    let invite = |value: &str| asked(&EXTENSION, ACCEPT, "INVITE", &format!("Join: {value}"));
    let yes = (0, Some(Relation::Joins));
    for value in ["up", "calling", "ringing"] {
        assert_eq!(invite(&format!("{value};to-tag=ours;from-tag=theirs")), yes, "{value}");
    }
    for (value, status) in [
        ("up;to-tag=theirs;from-tag=ours", 481),
        ("over;to-tag=ours;from-tag=theirs", 603),
        ("told;to-tag=ours;from-tag=theirs", 481),
        ("never;to-tag=ours;from-tag=theirs", 481),
    ] {
        assert_eq!(invite(value), (status, None), "{value}");
    }
}

#[test]
fn who_mixes_nothing_says_so() {
    let good = "Join: up;to-tag=ours;from-tag=theirs";
    assert_eq!(asked(&EXTENSION, &[], "INVITE", good), (488, None));
}

#[test]
fn what_cannot_be_meant_gets_a_400() {
    let good = "Join: up;to-tag=ours;from-tag=theirs";
    for (method, fields) in [
        ("INVITE", format!("{good}\n{good}")),
        ("INVITE", format!("{good}\nReplaces: up;to-tag=ours;from-tag=theirs")),
        ("INVITE", "Join: up;from-tag=ours".into()),
        ("MESSAGE", good.into()),
    ] {
        assert_eq!(asked(&EXTENSION, ACCEPT, method, &fields), (400, None), "{method} {fields}");
    }
}

#[test]
fn where_it_matters_who_it_is() {
    let party = &[("accept", "yes"), ("from", "party")][..];
    let good = "Join: up;to-tag=ours;from-tag=theirs";
    assert_eq!(asked(&EXTENSION, party, "INVITE", good), (403, None));
    let referred = format!("{good}\nReferred-By: <sip:zaphod@example.com>");
    assert_eq!(asked(&EXTENSION, party, "INVITE", &referred).0, 0);
}
