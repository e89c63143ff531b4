//! Path, role by role.

use towel_core::contract::{
    Contacting, Durable, Env, Fields, ProxyForward, Register, Registered, Registry, Roles, Verdict,
};
use towel_message::{Draft, Message, Name};

use super::EXTENSION;
use crate::testing::{env, from, parse, request};

fn registry(entries: &[(&str, &str)]) -> Registry {
    let mut registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
    registry.configure("path", entries).expect("settings");
    registry
}

fn forward(registry: &Registry, more: &str) -> (Verdict, Vec<u8>) {
    request("REGISTER", "sip:example.com", more, |message| {
        let mut draft = Draft::new(message);
        let verdict = registry.proxy_forward(
            registry.woken(&message),
            env(),
            &mut ProxyForward {
                request: message,
                source: from("198.51.100.7:5060"),
                user: None,
                draft: &mut draft,
                next_hop: b"sip:example.com",
                registered: false,
                slots: None,
                target: &towel_core::contract::Candidate::default(),
                branch: 0,
            },
        );
        let mut out = Vec::new();
        draft.write(&mut out);
        (verdict, out)
    })
}

fn path_of(bytes: &[u8]) -> Vec<String> {
    parse(bytes, |message: Message<'_>| {
        message
            .values(Name::Path)
            .map(|value| String::from_utf8_lossy(value.bytes).into_owned())
            .collect()
    })
}

#[test]
fn a_proxy_goes_on_top() {
    let registry = registry(&[("insert", "true")]);
    let (verdict, out) = forward(&registry, "Supported: path\nPath: <sip:edge.example.net;lr>");
    assert!(verdict.is_pass());
    assert_eq!(path_of(&out), ["<sip:192.0.2.1:5060;lr>", "<sip:edge.example.net;lr>"]);
}

#[test]
fn nothing_for_a_client_without_it() {
    let (verdict, out) = forward(&registry(&[("insert", "true")]), "");
    assert!(verdict.is_pass());
    assert!(path_of(&out).is_empty());
    let (_, out) = forward(&registry(&[]), "Supported: path");
    assert!(path_of(&out).is_empty());
}

#[test]
fn a_demand_is_made_or_refused() {
    let registry = registry(&[("insert", "true"), ("demand", "true")]);
    let (verdict, _) = forward(&registry, "");
    let Verdict::Refuse(reply) = verdict else { panic!("not refused") };
    assert_eq!((reply.status, reply.fields.get("Require")), (421, Some(&b"path"[..])));
    let (verdict, out) = forward(&registry, "Supported: path");
    assert!(verdict.is_pass());
    assert!(parse(&out, |message| message.has_token(Name::Require, "path")));
}

fn register(env: Env<'_>, more: &str) -> (Verdict, Vec<u8>, Fields) {
    let registry = registry(&[]);
    request("REGISTER", "sip:example.com", more, |message| {
        let contact = message.contacts().next().expect("a contact").expect("well formed");
        let mut contacts = [Contacting { contact, kept: Durable::new() }];
        let woken = registry.woken(&message);
        let source = from("198.51.100.7:5060");
        let address_of_record = b"sip:bob@example.com";
        let (contacts, route) = (&mut contacts[..], &mut Vec::new());
        let mut at = Register { request: message, source, address_of_record, contacts, route };
        let verdict = registry.register(woken, env, &mut at);
        let mut fields = Fields::new();
        registry.registered(
            woken,
            env,
            &mut Registered {
                request: message,
                source,
                address_of_record,
                bindings: 1,
                fields: &mut fields,
            },
        );
        (verdict, std::mem::take(route), fields)
    })
}

#[test]
fn the_list_is_kept_and_shown() {
    let (verdict, route, fields) = register(
        env(),
        "Supported: path\nContact: <sip:bob@10.0.0.1>\n\
         Path: <sip:p3.example.com;lr>, <sip:p1.example.net;lr>\nPath: <sip:p0.example.net;lr>",
    );
    assert!(verdict.is_pass());
    let list = "<sip:p3.example.com;lr>, <sip:p1.example.net;lr>, <sip:p0.example.net;lr>";
    assert_eq!(fields.get("Path"), Some(list.as_bytes()));
    assert_eq!(String::from_utf8_lossy(&route), list.replace(", ", ","));
}

#[test]
fn a_path_without_support_is_refused() {
    let (verdict, route, _) =
        register(env(), "Contact: <sip:bob@10.0.0.1>\nPath: <sip:p1.example.net;lr>");
    let Verdict::Refuse(reply) = verdict else { panic!("not refused") };
    assert_eq!((reply.status, reply.fields.get("Unsupported")), (420, Some(&b"path"[..])));
    assert!(route.is_empty());
}

#[test]
fn a_path_that_is_no_route_is_refused() {
    let more = "Supported: path\nContact: <sip:bob@10.0.0.1>\nPath: <tel:+1>";
    let (verdict, ..) = register(env(), more);
    assert!(matches!(verdict, Verdict::Refuse(reply) if reply.status == 400));
}
