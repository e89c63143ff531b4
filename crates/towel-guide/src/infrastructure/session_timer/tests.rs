//! Session timers, at a proxy.

use towel_core::contract::{
    ProxyForward, ProxyResponse, ProxyValidate, Registry, Roles, Slots, Verdict,
};
use towel_message::{Draft, Message, Name};

use super::{EXTENSION, configure};
use crate::testing::{env, from, parse, request, response};

fn registry(entries: &[(&str, &str)]) -> Registry {
    let mut registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
    registry.configure("session-timer", entries).expect("settings");
    registry
}

fn ours() -> Registry {
    registry(&[("interval", "1800"), ("minimum", "300")])
}

/// Forwards an INVITE with these header fields; `Session-Expires` and `Min-SE` as they leave.
fn forward(registry: &Registry, more: &str, slots: Option<&mut Slots>) -> [Option<String>; 2] {
    request("INVITE", "sip:bob@example.com", more, |message| {
        let mut draft = Draft::new(message);
        let verdict = registry.proxy_forward(
            registry.woken(&message),
            env(),
            &mut ProxyForward {
                request: message,
                source: from("198.51.100.7:5060"),
                user: None,
                draft: &mut draft,
                next_hop: b"sip:bob@example.com",
                registered: false,
                slots,
                target: &towel_core::contract::Candidate::default(),
                branch: 0,
            },
        );
        assert!(verdict.is_pass());
        let mut out = Vec::new();
        draft.write(&mut out);
        fields(&out, [Name::SessionExpires, Name::MinSe])
    })
}

fn fields<const N: usize>(bytes: &[u8], names: [Name; N]) -> [Option<String>; N] {
    parse(bytes, |message: Message<'_>| {
        names.map(|name| {
            assert!(message.fields(name).count() < 2, "{name:?} twice");
            message.value(name).map(|value| String::from_utf8_lossy(value).into_owned())
        })
    })
}

/// What leaves upstream of a response.
fn back(registry: &Registry, status: &str, more: &str, slots: &mut Slots) -> [Option<String>; 2] {
    response(status, "INVITE", more, |message| {
        let mut draft = Draft::new(message);
        let mut at = ProxyResponse {
            response: message,
            method: b"INVITE",
            source: from("198.51.100.8:5060"),
            upstream: None,
            draft: &mut draft,
            slots: Some(slots),
        };
        assert!(registry.proxy_response(registry.woken(&message), env(), &mut at).is_pass());
        let mut out = Vec::new();
        draft.write(&mut out);
        fields(&out, [Name::SessionExpires, Name::Require])
    })
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn an_interval_is_shortened() {
    let left = |more| forward(&ours(), more, Some(&mut Slots::new()));
    assert_eq!(left(""), [some("1800"), None]);
    assert_eq!(left("Min-SE: 2400"), [some("2400"), some("2400")]);
    assert_eq!(left("Session-Expires: 600"), [some("600"), None]);
    let refresher = "Session-Expires: 7200;refresher=uas";
    assert_eq!(left(refresher), [some("1800;refresher=uas"), None]);
    let floor = "x: 7200;refresher=uac\nMin-SE: 3600";
    assert_eq!(left(floor), [some("3600;refresher=uac"), some("3600")]);
}

#[test]
fn min_se_is_raised() {
    let left = |more| forward(&ours(), more, Some(&mut Slots::new()));
    assert_eq!(left("Session-Expires: 100"), [some("300"), some("300")]);
    assert_eq!(left("Session-Expires: 100\nMin-SE: 95"), [some("300"), some("300")]);
    assert_eq!(left("Session-Expires: 100\nMin-SE: 400"), [some("400"), some("400")]);
    // Who supports timers was refused before; if not, its Min-SE is left alone.
    assert_eq!(left("Supported: timer\nSession-Expires: 400"), [some("400"), None]);
    // A value that cannot be read is not ours to mend.
    assert_eq!(left("Session-Expires: soon"), [some("soon"), None]);
}

#[test]
fn too_small_is_refused_to_who_can_ask_again() {
    let refused = |registry: &Registry, more: &str| {
        request("INVITE", "sip:bob@example.com", more, |message| {
            let mut at = ProxyValidate { request: message, source: from("198.51.100.7:5060") };
            match registry.proxy_validate(registry.woken(&message), env(), &mut at) {
                Verdict::Refuse(reply) => {
                    Some((reply.status, reply.fields.get("Min-SE").map(<[u8]>::to_vec)))
                }
                _ => None,
            }
        })
    };
    let small = "Supported: timer\nSession-Expires: 299";
    assert_eq!(refused(&ours(), small), Some((422, Some(b"300".to_vec()))));
    assert_eq!(refused(&ours(), "Session-Expires: 299"), None);
    assert_eq!(refused(&ours(), "Supported: timer\nSession-Expires: 300"), None);
    assert_eq!(refused(&registry(&[]), small), None);
}

#[test]
fn what_was_agreed_stays() {
    let registry = ours();
    let answer = |request: &str, status: &str, more: &str| {
        let mut slots = Slots::new();
        forward(&registry, request, Some(&mut slots));
        back(&registry, status, more, &mut slots)
    };
    let knows = "Supported: timer\nSession-Expires: 900";
    let agreed = "Require: timer\nSession-Expires: 600;refresher=uas";
    assert_eq!(answer(knows, "200 OK", agreed), [some("600;refresher=uas"), some("timer")]);
    assert_eq!(answer(knows, "200 OK", ""), [some("900;refresher=uac"), some("timer")]);
    assert_eq!(answer(knows, "180 Ringing", ""), [None, None]);
    assert_eq!(answer(knows, "486 Busy Here", ""), [None, None]);
    assert_eq!(answer("", "200 OK", ""), [None, None]);
}

#[test]
fn who_keeps_nothing_or_is_not_set_to_asks_for_nothing() {
    assert_eq!(forward(&ours(), "", None), [None, None]);
    assert_eq!(forward(&registry(&[]), "", Some(&mut Slots::new())), [None, None]);
}

#[test]
fn settings_that_break_the_rules_are_refused() {
    assert!(configure(&[("minimum", "60")]).is_err());
    assert!(configure(&[("interval", "100"), ("minimum", "200")]).is_err());
    assert!(configure(&[("interval", "soon")]).is_err());
    assert!(configure(&[("interval", "90")]).is_ok());
}
