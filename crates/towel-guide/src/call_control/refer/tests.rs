//! What a REFER and its NOTIFYs must look like.

use towel_core::contract::{Env, Fields, Registry, Roles, Slots, Task, Tasks, UasRequest, Verdict};
use towel_core::io::Now;
use towel_core::ua::user_agent::Referral;

use super::EXTENSION;
use crate::testing::{Here, from, parse, request, text};

/// What a request gets, nought if it passes, and what is to be done.
fn asked(bytes: &[u8]) -> (u16, Vec<Task>) {
    let registry = Registry::assemble(&[&EXTENSION], Roles::UA);
    let mut tasks = Tasks::new();
    let verdict = parse(bytes, |request| {
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
    let tasks = tasks.take().into_iter().map(|(_, task)| task).collect();
    match verdict {
        Verdict::Refuse(reply) => (reply.status, tasks),
        _ => (0, tasks),
    }
}

fn refer(fields: &str) -> (u16, Vec<Task>) {
    asked(&text("REFER sip:bob@192.0.2.2 SIP/2.0", "REFER", fields))
}

#[test]
fn there_is_one_refer_to_that_can_be_followed() {
    for (fields, status) in [
        ("Refer-To: <sip:carol@example.com>", 0),
        ("r: sip:carol@example.com;x=1", 0),
        ("Refer-To: <sips:carol@example.com;method=INVITE?Replaces=a%3Bto-tag%3D1>", 0),
        ("Refer-To: <tel:+431234>", 0),
        ("Refer-To: <sip:carol@example.com;method=SUBSCRIBE>", 0),
        ("", 400),
        ("Refer-To: <sip:carol@example.com>\nRefer-To: <sip:carol@example.com>", 400),
        ("Refer-To: <sip:carol@example.com>\nr: <sip:carol@example.com>", 400),
        ("Refer-To: <sip:carol@example.com>, <sip:dave@example.com>", 400),
        ("Refer-To: <sip:carol@example.com", 400),
        ("Refer-To: <sip:>", 400),
        ("Refer-To:", 400),
        ("Refer-To: <http://www.example.com>", 403),
        ("Refer-To: <cid:a@b>", 403),
        ("Refer-To: <sip:carol@example.com;method=BYE>", 403),
        ("Refer-To: <sip:carol@example.com;method=CANCEL>", 403),
    ] {
        assert_eq!(refer(fields).0, status, "{fields}");
    }
}

#[test]
fn who_requires_that_there_is_no_subscription_makes_none() {
    let good = "Refer-To: <sip:carol@example.com>";
    assert_eq!(refer(good).1, []);
    assert_eq!(refer(&format!("{good}\nRequire: nosub")).1, [Task::NoSubscription]);
    assert_eq!(
        refer(&format!("{good}\nRequire: explicitsub")).1,
        [Task::NoSubscription, Task::EventsAt("Refer-Events-At")]
    );
}

#[test]
fn what_is_told_begins_with_a_status_line() {
    let notify = |state: &str, kind: &str, body: &str| {
        let head = format!("Event: refer;id=7\nSubscription-State: {state}\n{kind}");
        let bytes = text("NOTIFY sip:bob@192.0.2.2 SIP/2.0", "NOTIFY", &head);
        let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let whole = String::from_utf8_lossy(&bytes).replace("Content-Length: 0\r\n\r\n", &length);
        asked(whole.as_bytes()).0
    };
    let kind = "Content-Type: message/sipfrag;version=2.0";
    assert_eq!(notify("active;expires=60", kind, "SIP/2.0 180 Ringing\r\n"), 0);
    assert_eq!(notify("active;expires=60", kind, "SIP/2.0 100 Trying\r\nTo: x\r\n"), 0);
    assert_eq!(notify("terminated;reason=timeout", "", ""), 0);
    assert_eq!(notify("active;expires=60", "", ""), 400);
    assert_eq!(notify("active;expires=60", kind, "To: x\r\n"), 400);
    assert_eq!(notify("active;expires=60", kind, "INVITE sip:a SIP/2.0\r\n"), 400);
    assert_eq!(notify("active;expires=60", "Content-Type: text/plain", "SIP/2.0 200 OK\r\n"), 415);
}

#[test]
fn what_a_uri_may_not_say_is_left_out() {
    let refer_to = "<sip:carol@example.com;method=INVITE;transport=tcp?Replaces=c%40x%3Bto-tag%3D1%3B\
                    from-tag%3D2&Require=replaces&From=sip:evil@example.com&Call-ID=1&Route=%3Csip:e%3E\
                    &Via=x&Subject=a%0D%0AVia:%20x&Bad%20Name=1>;audio;x=1";
    let bytes =
        request("REFER", "sip:bob@192.0.2.2", &format!("Refer-To: {refer_to}"), |message| {
            message.bytes().to_vec()
        });
    let referral = Referral::of(&bytes).expect("it can be read");
    assert_eq!(referral.uri, "sip:carol@example.com;transport=tcp");
    assert_eq!(referral.method, "INVITE");
    assert_eq!(referral.features, ";audio");
    assert!(referral.replaces());
    let fields: Vec<(&str, String)> = referral
        .fields
        .iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(value).into_owned()))
        .collect();
    let is = |name, value: &str| (name, value.to_owned());
    assert_eq!(
        fields,
        [
            is("Replaces", "c@x;to-tag=1;from-tag=2"),
            is("Require", "replaces"),
            is("Subject", "a  Via: x"),
        ]
    );
}
