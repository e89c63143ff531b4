//! What is sent back, and what is not.

use towel_core::contract::{Fields, ProxyReply, Registry, Roles, Slots, UacResponse};
use towel_message::{Index, Limits, Message};

use super::{EXTENSION, fragment};
use crate::testing::{env, from, parse, request, response};

const MORE: &str = "v: SIP/2.0/TCP 203.0.113.5:5070;branch=z9hG4bKb\n\
    Proxy-Authorization: Digest username=\"alice\", response=\"secret\"\n\
    Authorization: Digest username=\"alice\", response=\"secret\"\n\
    User-Agent: phone\nX-Note: something";

#[test]
fn no_secrets() {
    request("INVITE", "sip:bob@example.com", MORE, |message| {
        let registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
        for (status, there) in [(483, true), (482, true), (440, true), (404, false)] {
            let mut body = None;
            let mut at = ProxyReply {
                request: message,
                source: from("198.51.100.7:5060"),
                status,
                fields: &mut Fields::new(),
                body: &mut body,
                slots: None,
            };
            let woken = registry.woken_for_reply(registry.woken(&message), status);
            registry.proxy_reply(woken, env(), &mut at);
            assert_eq!(body.is_some(), there, "{status}");
            let Some(body) = body else { continue };
            let text = String::from_utf8(body.bytes).expect("text");
            assert_eq!(body.media_type, "message/sipfrag");
            assert!(text.starts_with("INVITE sip:bob@example.com SIP/2.0\r\nVia: "));
            assert!(text.contains("Max-Forwards: 70\r\n") && text.contains("X-Note"));
            assert!(!text.contains("secret") && !text.contains("Content-Length"));
        }
    });
}

#[test]
fn cut_to_size() {
    let more = format!("{MORE}\n{}", "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n".repeat(40));
    request("INVITE", "sip:bob@example.com", &more, |message| {
        for most in [0, 10, 60, 130, 260, 800, 5000] {
            let bytes = fragment::of(&message, most);
            assert!(bytes.len() <= most, "{} bytes where {most} are allowed", bytes.len());
        }
        let small = String::from_utf8(fragment::of(&message, 200)).expect("text");
        assert!(small.contains("198.51.100.7") && small.contains("203.0.113.5"), "{small}");
        assert!(!small.contains("X-Filler"));
    });
}

#[test]
fn a_client_shows_the_hops() {
    let body = "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP p2.example.com;branch=z9hG4bK2,\r\n \
                SIP/2.0/TCP p1.example.com:5070;branch=z9hG4bK1\r\nMax-Forwards: 0\r\n";
    let bytes = format!(
        "SIP/2.0 483 Too Many Hops\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa\r\n\
         From: <sip:a@x>;tag=1\r\nTo: <sip:x>;tag=2\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\
         Content-Type: message/sipfrag;version=2.0\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
    let notes = |message: Message<'_>| {
        let mut notes = Vec::new();
        let mut at = UacResponse {
            response: message,
            method: b"OPTIONS",
            notes: &mut notes,
            slots: &mut Slots::new(),
            agent: &mut Slots::new(),
            source: crate::testing::from("198.51.100.7:5060"),
            dialog: None,
            tasks: &mut towel_core::contract::Tasks::new(),
            own: None,
            reliable: &mut false,
        };
        registry.uac_response(registry.woken(&message), env(), &mut at);
        notes
    };
    let shown = parse(bytes.as_bytes(), notes);
    assert_eq!(
        shown,
        ["set out from p1.example.com:5070 (TCP)", "went through p2.example.com (UDP)"]
    );
    assert!(response("483 Too Many Hops", "OPTIONS", "", notes).is_empty());
}

#[test]
fn any_bytes_make_no_trouble() {
    for bytes in [&b"\xff\xfe\r\nVia: \r\nv:,,,"[..], b"Via", b""] {
        assert!(fragment::vias(bytes).is_empty());
    }
    let mut index = Index::new();
    let message = Message::parse(b"A b SIP/2.0\r\n\r\n", &mut index, &Limits::default());
    if let Ok(message) = message {
        assert!(fragment::of(&message, 100).len() <= 100);
    }
}
