//! Responses to peers whose connection is gone (RFC 3261 section 18.2.2, RFC 3263 section 5).

use super::locating::resolve;
use super::*;
use crate::locating::QuestionKind;

const PEER: &str = "198.51.100.4:4444";

/// An open transaction of a request by TCP whose connection has ended since.
fn left_alone(world: &mut World, sent_by: &str) -> ServerId {
    world.user.keep = true;
    let connection = world.accept(1, 1, PEER);
    let via = format!("Via: SIP/2.0/TCP {sent_by}");
    let text = request("INVITE", "z9hG4bK1").replace("Via: SIP/2.0/UDP 192.0.2.9:5070", &via);
    world.stream(connection, &text);
    world.closed(connection, CloseReason::Peer);
    world.wanted.clear();
    world.sent.clear();
    world.told();
    world.user.servers[0]
}

fn reply(world: &mut World, id: ServerId, status: u16) {
    world.call(|stack, now, out| {
        stack.reply(now, out, id, status, "Answer", |writer| writer.end()).unwrap();
    });
}

/// The connection that is asked for, and to whom.
fn opening(world: &mut World) -> Option<(ConnectionId, String)> {
    let at = world.wanted.iter().position(|output| matches!(output, Output::Open { .. }))?;
    match world.wanted.remove(at) {
        Output::Open { connection, remote, .. } => Some((connection, remote.to_string())),
        _ => None,
    }
}

fn asks(world: &World) -> usize {
    world.wanted.iter().filter(|output| matches!(output, Output::Resolve { .. })).count()
}

#[test]
fn to_the_source_and_then_to_whom_sent_by_names() {
    let mut world = World::new();
    let id = left_alone(&mut world, "phone.example.com:5070");
    reply(&mut world, id, 486);
    let (first, to) = opening(&mut world).unwrap();
    assert_eq!((to.as_str(), asks(&world)), ("198.51.100.4:5070", 0));
    assert_eq!(world.lines(), ["0 SIP/2.0 486 Answer"]);
    world.closed(first, CloseReason::Refused);
    assert_eq!(asks(&world), 1, "a port is written, so addresses alone are asked for");
    resolve(&mut world, &["192.0.2.50", "192.0.2.51"]);
    // Nobody at the one, somebody at the other.
    let (second, to) = opening(&mut world).unwrap();
    assert!(to == "192.0.2.50:5070" || to == "192.0.2.51:5070", "{to}");
    world.closed(second, CloseReason::TimedOut);
    let (third, other) = opening(&mut world).unwrap();
    assert!(other != to && other.ends_with(":5070"), "{other}");
    let flow = world.sent.last().unwrap().1;
    assert_eq!((flow.connection, world.sent.len()), (Some(third), 2));
    world.handle(Input::Opened { connection: third, flow, identities: Vec::new() });
    // What follows goes the same way.
    world.sent.clear();
    world.stream(
        third,
        &request("INVITE", "z9hG4bK1").replace("UDP 192.0.2.9", "TCP phone.example.com"),
    );
    assert_eq!(world.sent.pop().unwrap().1.connection, Some(third));
    assert_eq!(world.told(), Vec::<String>::new());
    world.drained();
}

#[test]
fn each_response_that_waits_is_followed() {
    let mut world = World::new();
    let id = left_alone(&mut world, "phone.example.com:5070");
    reply(&mut world, id, 180);
    reply(&mut world, id, 200);
    let (first, _) = opening(&mut world).unwrap();
    assert!(opening(&mut world).is_none(), "one connection for both");
    world.sent.clear();
    world.closed(first, CloseReason::Refused);
    resolve(&mut world, &["192.0.2.50"]);
    let (second, to) = opening(&mut world).unwrap();
    assert_eq!(to, "192.0.2.50:5070");
    assert_eq!(world.lines(), ["0 SIP/2.0 180 Answer", "0 SIP/2.0 200 Answer"]);
    world.closed(second, CloseReason::Refused);
    world.drained();
}

#[test]
fn a_sent_by_without_a_port_is_a_service() {
    let mut world = World::new();
    let id = left_alone(&mut world, "phone.example.com");
    reply(&mut world, id, 486);
    let (first, to) = opening(&mut world).unwrap();
    assert_eq!(to, "198.51.100.4:5060");
    world.closed(first, CloseReason::Refused);
    let service = world.wanted.iter().any(|output| {
        matches!(output, Output::Resolve { question, .. } if question.kind() == QuestionKind::Srv
            && question.name() == "_sip._tcp.phone.example.com")
    });
    assert!(service, "{:?}", world.wanted);
    world.drained();
}

#[test]
fn what_cannot_be_delivered_is_told_once_and_for_all() {
    for (sent_by, asked) in
        [("198.51.100.4:5070", false), ("phone.example.com:5070", true), ("192.0.2.77", true)]
    {
        let mut world = World::new();
        let id = left_alone(&mut world, sent_by);
        reply(&mut world, id, 486);
        let (first, _) = opening(&mut world).unwrap();
        world.closed(first, CloseReason::Refused);
        if sent_by.starts_with("phone") {
            resolve(&mut world, &["192.0.2.50"]);
        }
        if asked {
            let (second, _) = opening(&mut world).unwrap();
            assert!(world.told().is_empty());
            world.closed(second, CloseReason::Refused);
        }
        assert_eq!((asks(&world), opening(&mut world)), (0, None), "{sent_by}");
        assert_eq!(world.told(), ["undeliverable"], "{sent_by}");
        world.drained();
    }
    // No such name.
    let mut world = World::new();
    let id = left_alone(&mut world, "phone.example.com:5070");
    reply(&mut world, id, 486);
    let (first, _) = opening(&mut world).unwrap();
    world.closed(first, CloseReason::Refused);
    resolve(&mut world, &[]);
    assert_eq!(world.told(), ["undeliverable"]);
    world.drained();
}

#[test]
fn without_a_transaction_too() {
    let mut world = World::new();
    let text = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP proxy.example.com:5080;branch=z9hG4bK9;\
                received=198.51.100.9\r\nFrom: <sip:a@example.com>;tag=1\r\n\
                To: <sip:b@example.com>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INFO\r\n\
                Content-Length: 0\r\n\r\n";
    world.call(|stack, now, out| {
        stack.forward_response(now, out, |to| to.extend_from_slice(text.as_bytes()));
    });
    let (first, to) = opening(&mut world).unwrap();
    assert_eq!(to, "198.51.100.9:5080");
    world.sent.clear();
    world.closed(first, CloseReason::Refused);
    resolve(&mut world, &["192.0.2.50"]);
    let (second, to) = opening(&mut world).unwrap();
    assert_eq!(to, "192.0.2.50:5080");
    assert_eq!(world.sent[0].2, text);
    world.closed(second, CloseReason::Refused);
    // And one whose Via has nothing but a name.
    world.sent.clear();
    let text = text.replace(";received=198.51.100.9", "").replace("TCP", "UDP");
    world.call(|stack, now, out| {
        stack.forward_response(now, out, |to| to.extend_from_slice(text.as_bytes()));
    });
    resolve(&mut world, &["192.0.2.50"]);
    assert_eq!(world.sent[0].1.remote, addr("192.0.2.50:5080"));
    world.drained();
}
