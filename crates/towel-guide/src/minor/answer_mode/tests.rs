//! Who is answered automatically.

use towel_core::contract::{Fields, Manner, Registry, Roles, Slots, Tasks, UasRequest, Verdict};

use super::{EXTENSION, configure};
use crate::testing::{env, from, request};

/// What becomes of an INVITE: its manner, or the status that it gets.
fn ask(more: &str, source: &str) -> Result<Manner, u16> {
    ask_with(&[], more, source)
}

fn ask_with(settings: &[(&str, &str)], more: &str, source: &str) -> Result<Manner, u16> {
    let mut registry = Registry::assemble(&[&EXTENSION], Roles::UA);
    let mut all = vec![
        ("auto", "sip:alice@example.com, sip:boss@example.com"),
        ("privileged", "sip:boss@example.com"),
        ("trusted", "192.0.2.1"),
    ];
    all.extend_from_slice(settings);
    registry.configure("answer-mode", &all).expect("settings");
    request("INVITE", "sip:bob@192.0.2.51", more, |request| {
        let mut manner = Manner::Unsaid;
        let mut at = UasRequest {
            request,
            source: from(source),
            user: None,
            fields: &mut Fields::new(),
            slots: &mut Slots::new(),
            agent: &mut Slots::new(),
            notes: &mut Vec::new(),
            dialog: None,
            tasks: &mut Tasks::new(),
            manner: &mut manner,
        };
        match registry.uas_request(registry.woken(&request), env(), &mut at) {
            Verdict::Refuse(reply) => Err(reply.status),
            _ => Ok(manner),
        }
    })
}

const PROXY: &str = "192.0.2.1:5060";
const ALICE: &str = "P-Asserted-Identity: <sip:alice@example.com>\n";
const BOSS: &str = "P-Asserted-Identity: <sip:boss@example.com>\n";

#[test]
fn who_is_not_known_is_answered_by_the_user() {
    let auto = format!("{ALICE}Answer-Mode: auto");
    assert_eq!(ask(&auto, PROXY), Ok(Manner::Auto));
    assert_eq!(ask(&auto, "192.0.2.66:5060"), Ok(Manner::Manual));
    // From alone proves nothing.
    assert_eq!(ask("Answer-Mode: Auto", PROXY), Ok(Manner::Manual));
    assert_eq!(ask(&auto.replace("alice", "eve"), PROXY), Ok(Manner::Manual));
    assert_eq!(ask_with(&[("auto", "*")], &auto.replace("alice", "eve"), PROXY), Ok(Manner::Auto));
    assert_eq!(ask(&format!("{auto};require").replace("alice", "eve"), PROXY), Err(403));
    assert_eq!(ask(&format!("{ALICE}Answer-Mode: Manual;require"), PROXY), Ok(Manner::Manual));
    let machine = &[("manual", "no")][..];
    assert_eq!(ask_with(machine, &format!("{ALICE}Answer-Mode: Manual;require"), PROXY), Err(403));
    assert_eq!(ask_with(machine, "Answer-Mode: Auto", PROXY), Err(403));
    assert_eq!(ask("", PROXY), Ok(Manner::Unsaid));
}

#[test]
fn the_privileged_are_others() {
    let privileged = "Priv-Answer-Mode: Auto";
    assert_eq!(ask(&format!("{BOSS}{privileged}"), PROXY), Ok(Manner::Auto));
    assert_eq!(ask(&format!("{ALICE}{privileged}"), PROXY), Ok(Manner::Manual));
    assert_eq!(ask(&format!("{ALICE}{privileged};require"), PROXY), Err(403));
    // Who is not privileged is judged by the other one.
    assert_eq!(
        ask(&format!("{ALICE}{privileged};require\nAnswer-Mode: Auto"), PROXY),
        Ok(Manner::Auto)
    );
    assert_eq!(ask(&format!("{BOSS}{privileged}\nAnswer-Mode: Manual"), PROXY), Ok(Manner::Auto));
    assert!(configure(&[("privileged", "sip:boss@example.com, *")]).is_err());
}

#[test]
fn what_is_not_known_is_ignored() {
    assert_eq!(ask(&format!("{ALICE}Answer-Mode: Loudly;require"), PROXY), Ok(Manner::Unsaid));
    assert_eq!(ask(&format!("{ALICE}Answer-Mode: AUTO;x=y"), PROXY), Ok(Manner::Auto));
    assert!(configure(&[("own", "Auto;require")]).is_ok());
    assert!(configure(&[("own", "Loudly")]).is_err());
    assert!(configure(&[("trusted", "proxy")]).is_err());
}
