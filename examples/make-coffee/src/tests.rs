//! Coffee beside the whole Guide: declared, asked for, made, refused and weakened.

use std::net::SocketAddr;

use towel_core::contract::check::{Weight, check};
use towel_core::contract::{Element, Fields, Registry, Slots, Tasks};
use towel_core::io::{Flow, ListenerId, Now, Transport};
use towel_message::{Draft, Index, Limits, Message};

use super::*;

struct Kitchen;

impl Element for Kitchen {
    fn is_own_domain(&self, host: &[u8]) -> bool {
        host == b"kitchen.example"
    }
    fn domain(&self) -> &str {
        "kitchen.example"
    }
    fn own_uri(&self, _: &Flow, out: &mut Vec<u8>) {
        out.extend_from_slice(b"sip:kitchen.example");
    }
}

fn extensions() -> Vec<&'static Extension> {
    let mut all = towel_guide::extensions();
    all.push(&EXTENSION);
    all
}

fn registry(entries: &[(&str, &str)]) -> Registry {
    let mut registry = Registry::assemble(&extensions(), Roles::ALL);
    registry.configure(TAG, entries).expect("settings");
    registry
}

fn env() -> Env<'static> {
    Env::new(Now::default(), &Kitchen)
}

fn source() -> Flow {
    let address: SocketAddr = "192.0.2.7:5060".parse().expect("an address");
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        local: address,
        remote: address,
        connection: None,
    }
}

fn with<T>(start: &str, more: &str, run: impl FnOnce(Message<'_>) -> T) -> T {
    let bytes = format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKcup\r\nFrom: <sip:a@x>;tag=1\r\n\
         To: <sip:kitchen.example>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\
         {more}\r\nContent-Length: 0\r\n\r\n"
    );
    let mut index = Index::new();
    run(Message::parse(bytes.as_bytes(), &mut index, &Limits::default()).expect("a message"))
}

const OPTIONS: &str = "OPTIONS sip:kitchen.example SIP/2.0";

#[test]
fn the_declaration_follows_rfc_4485() {
    let findings = check(&extensions());
    let must =
        findings.iter().filter(|one| one.asked.weight() == Weight::Must || one.extension == TAG);
    assert_eq!(must.map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
    assert!(registry(&[]).supported().contains(TAG));
}

#[test]
fn a_server_makes_what_it_has() {
    let registry = registry(&[("kinds", "espresso"), ("kinds", "lungo")]);
    let ask = |kind: &str| {
        with(OPTIONS, &format!("Make-Coffee: {kind}\r\nRequire: make-coffee"), |request| {
            assert!(registry.check_require(&request).is_pass());
            let mut fields = Fields::new();
            let mut at = UasRequest {
                request,
                source: source(),
                user: None,
                fields: &mut fields,
                slots: &mut Slots::new(),
                notes: &mut Vec::new(),
                dialog: None,
                tasks: &mut Tasks::new(),
                agent: &mut Slots::new(),
                manner: &mut towel_core::contract::Manner::Unsaid,
            };
            let verdict = registry.uas_request(registry.woken(&request), env(), &mut at);
            (verdict, fields.get(FIELD).map(<[u8]>::to_vec))
        })
    };
    let (verdict, made) = ask("Espresso;strength=3");
    assert!(verdict.is_pass());
    assert_eq!(made.as_deref(), Some(&b"Espresso;wait=240"[..]));
    let Verdict::Refuse(reply) = ask("tea").0 else { panic!("tea was made") };
    assert_eq!((reply.status, reply.fields.get(FIELD)), (406, Some(&b"espresso, lungo"[..])));
}

#[test]
fn a_proxy_makes_it_weaker() {
    let registry = registry(&[("strongest", "4")]);
    for (wanted, sent) in [("espresso;strength=9", "espresso;strength=4"), ("lungo", "lungo")] {
        with(OPTIONS, &format!("Make-Coffee: {wanted}"), |request| {
            let mut draft = Draft::new(request);
            let mut at = ProxyForward {
                request,
                source: source(),
                user: None,
                draft: &mut draft,
                next_hop: b"sip:192.0.2.8",
                registered: false,
                slots: None,
                target: &towel_core::contract::Candidate::default(),
                branch: 0,
            };
            registry.proxy_forward(registry.woken(&request), env(), &mut at);
            let mut out = Vec::new();
            draft.write(&mut out);
            assert!(String::from_utf8_lossy(&out).contains(&format!("Make-Coffee: {sent}\r\n")));
        });
    }
}

#[test]
fn a_client_asks_and_is_told() {
    let registry = registry(&[("want", "espresso")]);
    let (mut fields, mut slots) = (Fields::new(), Slots::new());
    let mut at = UacRequest {
        method: b"OPTIONS",
        request_uri: &mut Vec::new(),
        fields: &mut fields,
        contact_parameters: &mut Vec::new(),
        next_hop: b"sip:kitchen.example",
        slots: &mut slots,
        agent: &mut Slots::new(),
        dialog: None,
        tasks: &mut Tasks::new(),
        body: &[],
        own: None,
        given: towel_core::contract::Given::default(),
    };
    registry.uac_request(registry.woken_for_method(b"OPTIONS"), env(), &mut at);
    assert_eq!(fields.get(FIELD), Some(&b"espresso"[..]));
    assert_eq!(fields.get("Require"), Some(TAG.as_bytes()));
    for (start, more, told) in [
        ("SIP/2.0 200 OK", "Make-Coffee: espresso;wait=240", "coffee: espresso;wait=240"),
        ("SIP/2.0 420 Bad Extension", "Unsupported: make-coffee", "no espresso there"),
    ] {
        let mut notes = Vec::new();
        with(start, more, |response| {
            let woken = registry.woken(&response);
            let (method, slots) = (&b"OPTIONS"[..], &mut slots);
            let (notes, agent, source) = (&mut notes, &mut Slots::new(), source());
            let (tasks, reliable) = (&mut Tasks::new(), &mut false);
            let mut at = UacResponse {
                response,
                method,
                notes,
                slots,
                agent,
                source,
                dialog: None,
                tasks,
                own: None,
                reliable,
            };
            registry.uac_response(woken, env(), &mut at);
        });
        assert_eq!(notes, [told]);
    }
}

#[test]
fn a_message_without_coffee_wakes_nobody_at_the_proxy() {
    let registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
    with("MESSAGE sip:kitchen.example SIP/2.0", "X: y", |request| {
        assert!(registry.woken(&request).is_empty());
    });
}
