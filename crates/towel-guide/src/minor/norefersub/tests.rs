//! Refer-Sub at both ends.

use towel_core::contract::{
    Env, Fields, Given, InDialog, Registry, Roles, Slots, Task, Tasks, UacRequest, UasRequest,
    Verdict,
};
use towel_core::io::Now;

use super::EXTENSION;
use crate::testing::{Here, from, request};

fn registry(entries: &[(&str, &str)]) -> Registry {
    let mut registry = Registry::assemble(&[&EXTENSION], Roles::UA);
    registry.configure("norefersub", entries).expect("settings");
    registry
}

/// What a REFER of ours says.
fn sent(inside: bool, given: &[u8]) -> bool {
    let registry = registry(&[("ask", "yes")]);
    let (mut slots, mut kept, mut fields) = (Slots::new(), Slots::new(), Fields::new());
    let dialog = inside.then_some(InDialog {
        call_id: b"c",
        local_tag: b"1",
        remote_tag: b"2",
        initiator: true,
        confirmed: true,
        session: true,
        invite: None,
        peer_allows: None,
        slots: &mut kept,
    });
    let _ = registry.uac_request(
        registry.woken_for_own_request(),
        Env::new(Now::default(), &Here),
        &mut UacRequest {
            method: b"REFER",
            request_uri: &mut b"sip:bob@example.com".to_vec(),
            fields: &mut fields,
            contact_parameters: &mut Vec::new(),
            next_hop: b"sip:bob@example.com",
            slots: &mut slots,
            agent: &mut Slots::new(),
            dialog,
            tasks: &mut Tasks::new(),
            body: b"",
            own: None,
            given: Given(given),
        },
    );
    fields.get("Refer-Sub") == Some(b"false")
}

#[test]
fn it_is_asked_for_only_in_a_dialog() {
    assert!(sent(true, b""));
    assert!(!sent(false, b""), "it might fork");
    assert!(!sent(true, b"Refer-Sub: true\r\n"), "the application knows better");
}

/// What a REFER of a peer's gets, nought if it passes, and whether it makes no subscription.
fn came(entries: &[(&str, &str)], fields: &str) -> (u16, bool) {
    let registry = registry(entries);
    let mut tasks = Tasks::new();
    let verdict = request("REFER", "sip:bob@192.0.2.2", fields, |request| {
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
                tasks: &mut tasks,
                agent: &mut Slots::new(),
                manner: &mut towel_core::contract::Manner::Unsaid,
            },
        )
    });
    let without = tasks.iter().any(|(_, task)| *task == Task::NoSubscription);
    match verdict {
        Verdict::Refuse(reply) => (reply.status, without),
        _ => (0, without),
    }
}

#[test]
fn what_is_asked_for_is_granted_or_not() {
    assert_eq!(came(&[], "Refer-Sub: false"), (0, true));
    assert_eq!(came(&[], "Refer-Sub: FALSE ;why=busy"), (0, true));
    assert_eq!(came(&[], "Refer-Sub: true"), (0, false));
    assert_eq!(came(&[], ""), (0, false));
    assert_eq!(came(&[("grant", "no")], "Refer-Sub: false"), (0, false));
    assert_eq!(came(&[], "Refer-Sub: perhaps"), (400, false));
    assert_eq!(came(&[], "Refer-Sub: false\nRefer-Sub: false"), (400, false));
}

#[test]
fn who_requires_it_is_understood() {
    let has = registry(&[]);
    let lacks = Registry::assemble(&[], Roles::UA);
    request("REFER", "sip:bob@192.0.2.2", "Require: norefersub", |request| {
        assert!(has.check_require(&request).is_pass());
        let Verdict::Refuse(reply) = lacks.check_require(&request) else { panic!("no 420") };
        assert_eq!(
            (reply.status, reply.fields.get("Unsupported")),
            (420, Some(&b"norefersub"[..]))
        );
    });
}
