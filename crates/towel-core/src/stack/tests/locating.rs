//! Requests to names: look-ups, and failover between what they give.

use super::*;
use crate::locating::{Answer, QuestionKind, Records, Srv};

/// Answers all questions: no NAPTR, no SRV, these addresses.
pub(super) fn resolve(world: &mut World, addresses: &[&str]) {
    while let Some(at) =
        world.wanted.iter().position(|output| matches!(output, Output::Resolve { .. }))
    {
        let Output::Resolve { query, question } = world.wanted.remove(at) else { return };
        let answer = match question.kind() {
            QuestionKind::A if !addresses.is_empty() => Answer::records(
                Records::A(addresses.iter().map(|text| text.parse().unwrap()).collect()),
                60,
            ),
            _ => Answer::nothing(60),
        };
        world.handle(Input::Resolved { query, answer });
    }
}

#[test]
fn the_next_target_after_a_time_out_with_another_branch() {
    let mut world = World::new();
    world.send_to("OPTIONS", Destination::Uri(b"sip:ford@example.com"));
    assert!(world.lines().is_empty());
    resolve(&mut world, &["192.0.2.10", "192.0.2.11"]);
    let (_, first, text) = world.sent.remove(0);
    world.pass(ms(32_000));
    assert!(world.told().is_empty());
    let (_, second, again) = world.sent.pop().unwrap();
    assert_ne!(first.remote, second.remote);
    assert_ne!(field(&text, "Via"), field(&again, "Via"));
    // What comes late for the first is nobody's.
    world.datagram("192.0.2.10:5060", &answer(&text, 200));
    assert!(world.told().is_empty());
    world.datagram("192.0.2.11:5060", &answer(&again, 200));
    assert_eq!(world.told(), ["response 200 to 42"]);
    world.drained();
}

#[test]
fn the_next_target_after_a_503_while_the_first_is_acknowledged() {
    let mut world = World::new();
    world.send_to("INVITE", Destination::Uri(b"sip:ford@example.com"));
    resolve(&mut world, &["192.0.2.10", "192.0.2.11"]);
    let (_, first, text) = world.sent.remove(0);
    world.datagram("192.0.2.10:5060", &answer(&text, 503));
    let lines: Vec<_> = world
        .sent
        .iter()
        .map(|(_, flow, text)| {
            (flow.remote == first.remote, text.split(' ').next().unwrap().to_owned())
        })
        .collect();
    assert_eq!(lines, [(true, "ACK".to_owned()), (false, "INVITE".to_owned())]);
    let again = world.sent.pop().unwrap().2;
    world.sent.clear();
    // The 503 comes again: acknowledged again, to whom it came from.
    world.datagram("192.0.2.10:5060", &answer(&text, 503));
    assert_eq!(world.sent.len(), 1);
    assert!(world.sent[0].2.starts_with("ACK") && world.sent[0].1.remote == first.remote);
    assert!(world.told().is_empty());
    // The last one's 503 goes up.
    world.datagram("192.0.2.11:5060", &answer(&again, 503));
    assert_eq!(world.told(), ["response 503 to 42"]);
    world.drained();
}

#[test]
fn nowhere_to_go_is_told() {
    let mut world = World::new();
    world.send_to("OPTIONS", Destination::Uri(b"sip:ford@example.com"));
    resolve(&mut world, &[]);
    assert_eq!(world.told(), ["failed 42 NotLocated(NoSuchName)"]);
    world.send_to("OPTIONS", Destination::Uri(b"tel:+42"));
    assert_eq!(world.told(), ["failed 42 NotLocated(BadHost)"]);
    assert!(world.stack.is_drained());
    // Nobody answers.
    world.send_to("OPTIONS", Destination::Uri(b"sip:ford@slow.example"));
    world.pass(ms(30_000));
    assert_eq!(world.told(), ["failed 42 NotLocated(NoAnswer)"]);
    world.drained();
}

#[test]
fn cancelled_while_it_is_being_located() {
    let mut world = World::new();
    let id = world.send_to("INVITE", Destination::Uri(b"sip:ford@example.com"));
    world.call(|stack, now, out| stack.cancel(now, out, id, None)).unwrap();
    assert_eq!(world.told(), ["failed 42 Cancelled"]);
    resolve(&mut world, &["192.0.2.10"]);
    assert!(world.lines().is_empty());
    world.drained();
}

#[test]
fn an_ack_waits_for_its_name() {
    let mut world = World::new();
    let to = Destination::Uri(b"sip:ford@example.com");
    world
        .call(|stack, now, out| {
            stack.send_stateless(now, out, to, b"x", |via, bytes| write("ACK", via, bytes))
        })
        .unwrap();
    assert!(world.lines().is_empty());
    resolve(&mut world, &["192.0.2.10"]);
    assert_eq!(world.sent[0].1.remote, addr("192.0.2.10:5060"));
    world.drained();
}

#[test]
fn the_via_of_a_request_without_a_transaction_tells_the_way_that_dns_gave() {
    let mut world = World::new();
    let to = Destination::Uri(b"sip:ford@example.com");
    world
        .call(|stack, now, out| {
            stack.send_stateless(now, out, to, b"x", |via, bytes| write("OPTIONS", via, bytes))
        })
        .unwrap();
    for _ in 0..8 {
        let wanted = world.wanted.iter().position(|out| matches!(out, Output::Resolve { .. }));
        let Some(at) = wanted else { break };
        let Output::Resolve { query, question } = world.wanted.remove(at) else { return };
        let service = Srv { priority: 0, weight: 0, port: 5070, target: "a.example.com".into() };
        let answer = match question.kind() {
            QuestionKind::Srv if question.name().starts_with("_sip._tcp.") => {
                Answer::records(Records::Srv(vec![service]), 60)
            }
            QuestionKind::A => Answer::records(Records::A(vec!["192.0.2.10".parse().unwrap()]), 60),
            _ => Answer::nothing(60),
        };
        world.handle(Input::Resolved { query, answer });
    }
    let (_, flow, text) = &world.sent[0];
    assert_eq!((flow.transport, flow.remote), (Transport::Tcp, addr("192.0.2.10:5070")));
    assert!(field(text, "Via").starts_with("SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKs"), "{text}");
}
