//! Replaces at the end that is asked.

use towel_core::contract::{
    Element, Env, Extension, Fields, OtherDialog, Registry, Relation, Roles, Slots, Standing, Task,
    Tasks, UasRequest, Verdict,
};
use towel_core::io::{Flow, Now};

use super::EXTENSION;
use crate::testing::{from, request};

/// A user agent with some dialogs: the Call-ID says how they stand.
pub(crate) struct Busy;

impl Element for Busy {
    fn is_own_domain(&self, _: &[u8]) -> bool {
        false
    }
    fn domain(&self) -> &str {
        ""
    }
    fn own_uri(&self, _: &Flow, _: &mut Vec<u8>) {}
    fn other_dialog(&self, call: &[u8], local: &[u8], remote: &[u8]) -> Option<OtherDialog<'_>> {
        let (standing, initiator, session) = match call {
            b"up" => (Standing::Confirmed, false, true),
            b"ringing" => (Standing::Early, false, true),
            b"calling" => (Standing::Early, true, true),
            b"over" => (Standing::Over, true, true),
            b"told" => (Standing::Confirmed, true, false),
            _ => return None,
        };
        let remote_address = b"\"Zaphod\" <sip:zaphod@example.com>;tag=theirs";
        (local == b"ours" && remote == b"theirs").then_some(OtherDialog {
            standing,
            initiator,
            session,
            secure: false,
            remote: remote_address,
        })
    }
}

/// What a request with these header fields gets, nought if it passes, and what it has to do with another
/// dialog.
pub(crate) fn asked(
    extension: &'static Extension,
    settings: &[(&str, &str)],
    method: &str,
    fields: &str,
) -> (u16, Option<Relation>) {
    let mut tasks = Tasks::new();
    let mut registry = Registry::assemble(&[extension], Roles::UA);
    registry.configure(extension.id, settings).expect("settings");
    let verdict = request(method, "sip:arthur@192.0.2.2", fields, |request| {
        registry.uas_request(
            registry.woken(&request),
            Env::new(Now::default(), &Busy),
            &mut UasRequest {
                request,
                source: from("192.0.2.9:5060"),
                user: None,
                fields: &mut Fields::new(),
                slots: &mut Slots::new(),
                notes: &mut Vec::new(),
                dialog: None,
                tasks: &mut tasks,
                agent: &mut Slots::new(),
                manner: &mut towel_core::contract::Manner::Unsaid,
            },
        )
    });
    let how = tasks.iter().find_map(|(_, task)| match task {
        Task::Relate { how, .. } => Some(*how),
        _ => None,
    });
    match verdict {
        Verdict::Refuse(reply) => (reply.status, how),
        _ => (0, how),
    }
}

fn invite(value: &str) -> (u16, Option<Relation>) {
    asked(&EXTENSION, &[], "INVITE", &format!("Replaces: {value}"))
}

#[test]
fn each_dialog_gets_the_answer_that_it_deserves() {
    let yes = (0, Some(Relation::Replaces));
    assert_eq!(invite("up;to-tag=ours;from-tag=theirs"), yes);
    assert_eq!(invite("calling;to-tag=ours;from-tag=theirs"), yes);
    assert_eq!(invite("calling;to-tag=ours;from-tag=theirs;early-only"), yes);
    for (value, status) in [
        ("up;to-tag=theirs;from-tag=ours", 481),
        ("up;to-tag=ours;from-tag=theirs;early-only", 486),
        ("ringing;to-tag=ours;from-tag=theirs", 481),
        ("over;to-tag=ours;from-tag=theirs", 603),
        ("told;to-tag=ours;from-tag=theirs", 481),
        ("never;to-tag=ours;from-tag=theirs", 481),
    ] {
        assert_eq!(invite(value), (status, None), "{value}");
    }
}

#[test]
fn what_cannot_be_meant_gets_a_400() {
    let good = "Replaces: up;to-tag=ours;from-tag=theirs";
    for (method, fields) in [
        ("INVITE", format!("{good}\n{good}")),
        ("INVITE", format!("{good}\nJoin: up;to-tag=ours;from-tag=theirs")),
        ("INVITE", "Replaces: up;to-tag=ours".into()),
        ("OPTIONS", good.into()),
        ("REFER", good.into()),
    ] {
        assert_eq!(asked(&EXTENSION, &[], method, &fields), (400, None), "{method} {fields}");
    }
    assert_eq!(asked(&EXTENSION, &[], "INVITE", ""), (0, None));
}

#[test]
fn where_it_matters_who_it_is() {
    let party = &[("from", "party")][..];
    let good = "Replaces: up;to-tag=ours;from-tag=theirs";
    // From is alice's.
    assert_eq!(asked(&EXTENSION, party, "INVITE", good), (403, None));
    for by in ["<sip:zaphod@example.com>", "sip:zaphod@EXAMPLE.com;cid=\"x@y\""] {
        let fields = format!("{good}\nReferred-By: {by}");
        let yes = (0, Some(Relation::Replaces));
        assert_eq!(asked(&EXTENSION, party, "INVITE", &fields), yes, "{by}");
    }
    let other = format!("{good}\nReferred-By: <sip:ford@example.com>");
    assert_eq!(asked(&EXTENSION, party, "INVITE", &other), (403, None));
}
