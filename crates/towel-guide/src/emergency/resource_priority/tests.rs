//! Namespaces, orders, and who is refused.

use towel_core::contract::{
    Fields, Given, ProxyPreprocess, Registry, Roles, Slots, Tasks, UacRequest, UacResponse,
    UasRequest, Verdict,
};

use super::namespaces::{Algorithm, NAMESPACES, Order, Value, is_malformed};
use super::{EXTENSION, configure};
use crate::testing::{env, from, request, response};

fn registry(entries: &[(&str, &str)]) -> Registry {
    let mut registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
    registry.configure("resource-priority", entries).expect("settings");
    registry
}

fn value(text: &str) -> Value {
    Value::parse(text.as_bytes()).expect("a value")
}

#[test]
fn values_are_read() {
    assert_eq!(value("dsn.flash"), value("DSN.Flash"));
    assert_eq!(value("q735.0").to_string(), "q735.0");
    for none in ["dsn", "dsn.", ".flash", "dsn.flash.override", "dsn.loud", "x.1", "dsn fl.ash"] {
        assert_eq!(Value::parse(none.as_bytes()), None, "{none}");
    }
    for (list, broken) in [
        ("dsn.flash, wps.3", false),
        ("dsn.flash, x-y.z", false),
        ("dsn.flash, DSN.routine", true),
        ("x.1, x.2", true),
        ("flash", true),
    ] {
        let more = format!("Resource-Priority: {list}");
        let is = request("INVITE", "sip:b@x", &more, |request| is_malformed(&request));
        assert_eq!(is, broken, "{list}");
    }
}

#[test]
fn the_namespaces_are_those_of_the_documents() {
    let highest: Vec<(&str, &str, Algorithm)> = NAMESPACES
        .iter()
        .map(|one| (one.name, one.levels.last().copied().unwrap_or_default(), one.algorithm))
        .collect();
    assert_eq!(
        highest,
        [
            ("esnet", "4", Algorithm::Queue),
            ("ets", "0", Algorithm::Queue),
            ("wps", "0", Algorithm::Queue),
            ("drsn", "flash-override-override", Algorithm::Preemption),
            ("dsn", "flash-override", Algorithm::Preemption),
            ("q735", "0", Algorithm::Preemption),
        ]
    );
    assert!(value("drsn.flash-override-override").displaces_its_like());
    assert!(!value("dsn.flash-override").displaces_its_like());
}

#[test]
fn an_order_keeps_that_of_its_namespaces() {
    let order = |steps: &[&str]| Order::parse(steps.iter().copied());
    // RFC 4412 section 8.2, with esnet for foo and q735 for bar.
    let whole = order(&["esnet", "q735"]).expect("an order");
    assert!(whole.rank(value("esnet.0")) > whole.rank(value("q735.0")));
    let mixed = order(&["q735.0", "esnet.4=q735.1", "esnet.3 = q735.2", "esnet.2"]).expect("one");
    assert_eq!(mixed.rank(value("esnet.4")), mixed.rank(value("q735.1")));
    assert_eq!((mixed.rank(value("esnet.2")), mixed.rank(value("esnet.1"))), (Some(1), None));
    assert_eq!(mixed.list(), "q735.0, esnet.4, q735.1, esnet.3, q735.2, esnet.2");
    // Section 8.3.
    assert!(order(&["esnet.3", "esnet.4"]).is_err());
    assert!(order(&["esnet.4", "esnet.2", "q735", "esnet.3"]).is_err());
    assert!(order(&["esnet.4 = esnet.3"]).is_err());
    assert!(order(&["esnet", "esnet.4"]).is_err());
    assert!(order(&["foo"]).is_err());
    let all = [value("dsn.flash"), value("ets.4"), value("wps.0")];
    let best = Order::default().highest(all.into_iter()).map(|(_, value)| value.to_string());
    assert_eq!(best.as_deref(), Some("ets.4"));
}

/// The status that a request gets, nought if it goes on, with Accept-Resource-Priority.
fn ask(settings: &[(&str, &str)], more: &str) -> (u16, bool) {
    let registry = registry(settings);
    request("INVITE", "sip:bob@192.0.2.2", more, |request| {
        let mut at = UasRequest {
            request,
            source: from("192.0.2.9:5060"),
            user: None,
            fields: &mut Fields::new(),
            slots: &mut Slots::new(),
            agent: &mut Slots::new(),
            notes: &mut Vec::new(),
            dialog: None,
            tasks: &mut Tasks::new(),
            manner: &mut towel_core::contract::Manner::Unsaid,
        };
        match registry.uas_request(registry.woken(&request), env(), &mut at) {
            Verdict::Refuse(reply) => {
                (reply.status, reply.fields.get("Accept-Resource-Priority").is_some())
            }
            _ => (0, false),
        }
    })
}

#[test]
fn what_is_not_known_or_not_allowed_is_refused() {
    let known = &[("order", "q735")][..];
    assert_eq!(ask(known, "Resource-Priority: dsn.flash"), (0, false));
    let must = "Require: resource-priority\nResource-Priority: dsn.flash";
    assert_eq!(ask(known, must), (417, true));
    assert_eq!(ask(&[("order", "q735"), ("tell", "no")], must), (417, false));
    assert_eq!(ask(known, "Require: resource-priority"), (417, true));
    assert_eq!(ask(known, &must.replace("flash", "flash, q735.4")), (0, false));
    assert_eq!(ask(known, "Resource-Priority: q735.0, q735.1"), (400, false));
    let some = &[("allow", "sip:alice@example.com dsn.flash, sip:eve@example.com q735.0")][..];
    for (more, status) in [
        ("Resource-Priority: dsn.flash", 0),
        ("Resource-Priority: dsn.routine", 0),
        ("Resource-Priority: dsn.flash-override", 403),
        ("Resource-Priority: q735.4", 403),
        ("Resource-Priority: unknown.4", 0),
    ] {
        assert_eq!(ask(some, more).0, status, "{more}");
    }
}

#[test]
fn a_proxy_asks_who_it_is() {
    let run = |user: Option<&[u8]>, more: &str| {
        let registry = registry(&[("allow", "sip:alice@example.com dsn.flash")]);
        request("INVITE", "sip:bob@example.com", more, |request| {
            let mut at = ProxyPreprocess {
                request,
                request_uri: &mut b"sip:bob@example.com".to_vec(),
                source: from("192.0.2.9:5060"),
                user,
            };
            match registry.proxy_preprocess(registry.woken(&request), env(), &mut at) {
                Verdict::Refuse(reply) => reply.status,
                _ => 0,
            }
        })
    };
    let flash = "Resource-Priority: dsn.flash";
    assert_eq!(run(Some(b"sip:alice@example.com"), flash), 0);
    assert_eq!(run(Some(b"sip:bob@example.com"), flash), 403);
    // From says alice, and that proves nothing.
    assert_eq!(run(None, flash), 403);
    assert_eq!(run(None, "Resource-Priority: x.flash"), 0);
    assert_eq!(run(None, "Proxy-Require: resource-priority\nResource-Priority: x.flash"), 417);
}

#[test]
fn after_a_refusal_another_value_is_chosen_once() {
    let registry = registry(&[
        ("own", "dsn.flash, wps.3"),
        ("authorized", "q735.3, q735.2, dsn.routine"),
        ("require", "yes"),
    ]);
    let mut slots = Slots::new();
    let send = |slots: &mut Slots, given: &str| {
        let mut fields = Fields::new();
        let mut at = UacRequest {
            method: b"INVITE",
            request_uri: &mut b"sip:bob@192.0.2.2".to_vec(),
            fields: &mut fields,
            contact_parameters: &mut Vec::new(),
            next_hop: b"sip:bob@192.0.2.2",
            slots,
            agent: &mut Slots::new(),
            dialog: None,
            tasks: &mut Tasks::new(),
            body: &[],
            own: None,
            given: Given(given.as_bytes()),
        };
        assert!(registry.uac_request(registry.woken_for_own_request(), env(), &mut at).is_pass());
        assert!(fields.get("Require").is_some());
        fields.get("Resource-Priority").map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let refused = |slots: &mut Slots, accepted: &str| {
        let mut tasks = Tasks::new();
        let more = format!("Accept-Resource-Priority: {accepted}");
        response("417 Unknown", "INVITE", &more, |response| {
            let mut at = UacResponse {
                response,
                method: b"INVITE",
                notes: &mut Vec::new(),
                slots,
                agent: &mut Slots::new(),
                source: from("192.0.2.9:5060"),
                dialog: None,
                tasks: &mut tasks,
                own: None,
                reliable: &mut false,
            };
            let _ = registry.uac_response(registry.woken(&response), env(), &mut at);
        });
        !tasks.is_empty()
    };
    assert_eq!(send(&mut slots, "Resource-Priority: ets.0\r\n"), None, "it says so itself");
    assert_eq!(send(&mut slots, "").as_deref(), Some("dsn.flash, wps.3"));
    assert!(!refused(&mut slots, "esnet.0, q735.0"), "none of these is ours");
    assert!(refused(&mut slots, "q735.3, Q735.2, q735.1"));
    assert_eq!(send(&mut slots, "").as_deref(), Some("q735.2"));
    assert!(!refused(&mut slots, "q735.3"));
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    for (key, text) in [
        ("order", "esnet.0, esnet.1"),
        ("allow", "sip:a@x"),
        ("allow", "sip:a@x dsn.loud"),
        ("own", "dsn"),
        ("lines", "many"),
        ("tell", "maybe"),
    ] {
        assert!(configure(&[(key, text)]).is_err(), "{key} = {text}");
    }
}
