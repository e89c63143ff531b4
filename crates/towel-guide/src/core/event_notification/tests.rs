//! SUBSCRIBE at the end that is asked.

use towel_core::contract::{Env, Fields, Registry, Roles, Slots, Tasks, UasRequest, Verdict};
use towel_core::io::Now;

use super::EXTENSION;
use crate::testing::{Here, from, request};

fn asked(minimum: &str, method: &str, fields: &str) -> u16 {
    let mut registry = Registry::assemble(&[&EXTENSION], Roles::UA);
    registry.configure("event-notification", &[("minimum", minimum)]).expect("settings");
    let verdict = request(method, "sip:bob@192.0.2.2", fields, |request| {
        registry.uas_request(
            registry.woken(&request),
            Env::new(Now::default(), &Here),
            &mut UasRequest {
                request,
                source: from("192.0.2.9:5060"),
                user: None,
                fields: &mut Fields::new(),
                slots: &mut Slots::new(),
                notes: &mut Vec::new(),
                dialog: None,
                tasks: &mut Tasks::new(),
                agent: &mut Slots::new(),
                manner: &mut towel_core::contract::Manner::Unsaid,
            },
        )
    });
    match verdict {
        Verdict::Refuse(reply) => {
            let minimum = reply.fields.get("Min-Expires").map(<[u8]>::to_vec);
            assert_eq!(minimum.is_some(), reply.status == 423);
            reply.status
        }
        _ => 0,
    }
}

#[test]
fn only_what_is_too_brief_is_refused() {
    for (expires, status) in [("0", 0), ("1", 423), ("59", 423), ("60", 0), ("3600", 0)] {
        assert_eq!(asked("60", "SUBSCRIBE", &format!("Expires: {expires}")), status, "{expires}");
    }
    assert_eq!(asked("60", "SUBSCRIBE", ""), 0);
    assert_eq!(asked("3600", "SUBSCRIBE", "Expires: 3599"), 423);
    assert_eq!(asked("0", "SUBSCRIBE", "Expires: 1"), 0);
}

#[test]
fn there_is_one_event() {
    for method in ["SUBSCRIBE", "NOTIFY"] {
        assert_eq!(asked("0", method, "Event: refer\nEvent: refer"), 400, "{method}");
        assert_eq!(asked("0", method, "Event: refer\no: refer"), 400, "{method}");
    }
}

#[test]
fn a_minimum_is_at_most_an_hour() {
    assert!((EXTENSION.configure.expect("settings"))(&[("minimum", "3601")]).is_err());
    assert!((EXTENSION.configure.expect("settings"))(&[("minimum", "soon")]).is_err());
}
