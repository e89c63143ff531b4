//! Session timers, at the two ends of a call.

use towel_core::contract::{
    Delivery, Fields, InDialog, Registry, Roles, Slots, Task, Tasks, UacRequest, UacResponse,
    UasResponse,
};

use super::EXTENSION;
use super::agreed::{self, EXPIRE, REFRESH};
use crate::testing::{env, from, request, response};

fn registry(entries: &[(&str, &str)]) -> Registry {
    let mut registry = Registry::assemble(&[&EXTENSION], Roles::UA);
    registry.configure("session-timer", entries).expect("settings");
    registry
}

fn dialog(slots: &mut Slots) -> InDialog<'_> {
    InDialog {
        call_id: b"c",
        local_tag: b"ours",
        remote_tag: b"1",
        initiator: false,
        confirmed: true,
        session: true,
        invite: None,
        peer_allows: None,
        slots,
    }
}

/// The timers that are set, in milliseconds.
fn timers(tasks: &Tasks) -> Vec<(u32, u64)> {
    let set = tasks.iter().filter_map(|(_, task)| match task {
        Task::Timer { tag, after } => Some((*tag, after.as_millis() as u64)),
        _ => None,
    });
    set.collect()
}

fn text(fields: &Fields, name: &str) -> Option<String> {
    fields.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
}

/// What our 200 to an INVITE says, and the timers that it sets.
fn accept(registry: &Registry, more: &str) -> (Option<String>, bool, Vec<(u32, u64)>) {
    let (mut fields, mut tasks, mut kept) = (Fields::new(), Tasks::new(), Slots::new());
    request("INVITE", "sip:bob@example.com", more, |request| {
        let mut at = UasResponse {
            request,
            status: 200,
            fields: &mut fields,
            contact_parameters: &mut Vec::new(),
            slots: &mut Slots::new(),
            dialog: Some(dialog(&mut kept)),
            tasks: &mut tasks,
            body: &[],
            delivery: &mut Delivery::Plain,
            agent: &mut Slots::new(),
        };
        assert!(registry.uas_response(registry.woken(&request), env(), &mut at).is_pass());
    });
    (text(&fields, "Session-Expires"), fields.get("Require").is_some(), timers(&tasks))
}

#[test]
fn who_answers_settles_who_refreshes() {
    let plain = registry(&[]);
    let ours = vec![(REFRESH, 450_000), (EXPIRE, 900_000)];
    let theirs = vec![(EXPIRE, 868_000)];
    let says = |text: &str| Some(text.to_owned());
    // Table 2, row by row.
    let asks = "Session-Expires: 900";
    assert_eq!(accept(&plain, asks), (says("900;refresher=uas"), false, ours.clone()));
    let knows = "Supported: timer\nSession-Expires: 900";
    assert_eq!(accept(&plain, knows), (says("900;refresher=uac"), true, theirs.clone()));
    let chosen = format!("{knows};refresher=uac");
    assert_eq!(accept(&plain, &chosen), (says("900;refresher=uac"), true, theirs));
    let chosen = format!("{knows};refresher=uas");
    assert_eq!(accept(&plain, &chosen), (says("900;refresher=uas"), true, ours));
    assert_eq!(accept(&plain, "Supported: timer"), (None, false, Vec::new()));
    assert_eq!(accept(&plain, ""), (None, false, Vec::new()));
}

#[test]
fn an_interval_is_made_shorter_and_never_longer() {
    let registry = registry(&[("expires", "600")]);
    let interval = |more: &str| accept(&registry, &format!("Supported: timer\n{more}")).0;
    let says = |text: &str| Some(text.to_owned());
    assert_eq!(interval("Session-Expires: 900"), says("600;refresher=uac"));
    assert_eq!(interval("Session-Expires: 300"), says("300;refresher=uac"));
    assert_eq!(interval("Session-Expires: 900\nMin-SE: 700"), says("700;refresher=uac"));
    assert_eq!(interval("Min-SE: 700"), says("700;refresher=uac"));
    assert_eq!(interval(""), says("600;refresher=uac"));
    assert_eq!(interval("Session-Expires: 10"), says("90;refresher=uac"));
}

/// What an INVITE of ours says, with what is kept with it.
fn ask(registry: &Registry, slots: &mut Slots) -> [Option<String>; 2] {
    let mut fields = Fields::new();
    let mut at = UacRequest {
        method: b"INVITE",
        request_uri: &mut Vec::new(),
        fields: &mut fields,
        contact_parameters: &mut Vec::new(),
        next_hop: b"sip:bob@example.com",
        slots,
        agent: &mut Slots::new(),
        dialog: None,
        tasks: &mut Tasks::new(),
        body: &[],
        own: None,
        given: towel_core::contract::Given::default(),
    };
    assert!(registry.uac_request(registry.woken_for_own_request(), env(), &mut at).is_pass());
    [text(&fields, "Session-Expires"), text(&fields, "Min-SE")]
}

/// A response comes: the tasks, and what is kept with the dialog.
fn hear(registry: &Registry, slots: &mut Slots, status: &str, more: &str) -> (Tasks, Slots) {
    let (mut tasks, mut kept) = (Tasks::new(), Slots::new());
    response(status, "INVITE", more, |response| {
        let mut at = UacResponse {
            response,
            method: b"INVITE",
            notes: &mut Vec::new(),
            slots,
            agent: &mut Slots::new(),
            source: from("192.0.2.9:5060"),
            dialog: Some(dialog(&mut kept)),
            tasks: &mut tasks,
            own: None,
            reliable: &mut false,
        };
        assert!(registry.uac_response(registry.woken(&response), env(), &mut at).is_pass());
    });
    (tasks, kept)
}

#[test]
fn a_refused_interval_is_asked_for_again_once() {
    let registry = registry(&[("expires", "120")]);
    let mut slots = Slots::new();
    assert_eq!(ask(&registry, &mut slots), [Some("120".into()), None]);
    let retried = |tasks: &Tasks| tasks.iter().any(|(_, task)| *task == Task::Retry);
    let refusal = "Min-SE: 300";
    let too_small = "422 Session Interval Too Small";
    assert!(retried(&hear(&registry, &mut slots, too_small, refusal).0));
    assert_eq!(ask(&registry, &mut slots), [Some("300".into()), Some("300".into())]);
    assert!(!retried(&hear(&registry, &mut slots, too_small, refusal).0));
    // It is larger yet: that is another matter.
    assert!(retried(&hear(&registry, &mut slots, too_small, "Min-SE: 301").0));
}

#[test]
fn what_the_answer_says_holds() {
    let registry = registry(&[("expires", "900")]);
    let mut slots = Slots::new();
    ask(&registry, &mut slots);
    let mut agreed = |more: &str| {
        let (tasks, mut kept) = hear(&registry, &mut slots, "200 OK", more);
        let agreed = agreed::of(&dialog(&mut kept));
        (agreed.interval, agreed.ours, timers(&tasks).len())
    };
    assert_eq!(agreed("Session-Expires: 600;refresher=uac\nRequire: timer"), (600, true, 2));
    assert_eq!(agreed("Session-Expires: 600;refresher=uas\nRequire: timer"), (600, false, 1));
    // The other end knows nothing of it: for ourselves alone.
    assert_eq!(agreed(""), (900, true, 2));
    assert_eq!(agreed("Session-Expires: 1;refresher=uac"), (90, true, 2));
}
