//! What is refused, and what is not, while messages wait too long.

use super::*;
use crate::overload::Shed;

fn numbered(method: &str, number: usize) -> String {
    request(method, &format!("z9hG4bK{number}"))
        .replace("Call-ID: towel", &format!("Call-ID: {number}"))
}

impl World {
    /// Messages wait for so long, for a while, and nearly fill the socket's buffer.
    fn wait(&mut self, wait: Duration, time: Duration) {
        let end = self.now.at + time;
        let fill = if wait.is_zero() { 0 } else { 90 };
        while self.now.at < end {
            self.handle(Input::Backlog { wait, fill });
            self.pass(ms(4));
        }
    }

    fn overloaded() -> World {
        let mut world = World::new();
        world.wait(ms(200), ms(3000));
        world
    }
}

#[test]
fn new_work_gets_503_without_a_transaction() {
    let mut world = World::overloaded();
    for number in 0..100 {
        world.datagram("192.0.2.9:5070", &numbered("INVITE", number));
    }
    let refused: Vec<String> = world
        .sent
        .iter()
        .filter(|s| s.2.starts_with("SIP/2.0 503 "))
        .map(|s| s.2.clone())
        .collect();
    assert!((10..30).contains(&refused.len()), "{}", refused.len());
    let counters = world.stack.counters();
    assert_eq!(counters.refused_overload, refused.len() as u64);
    // Answers cost, too: there are not more than so many, and the rest is dropped.
    let dropped = counters.dropped_overload as usize;
    assert_eq!(world.told().len() + refused.len() + dropped, 100);
    assert!(dropped > 50, "{dropped}");
    assert_eq!(world.stack.sizes(), (0, 0, 0));
    for text in refused {
        let seconds: u32 = field(&text, "Retry-After").parse().unwrap();
        assert!((5..=15).contains(&seconds));
    }
    world.drained();
}

/// Over a connection nothing is sent again: all that is refused is answered.
#[test]
fn over_a_connection_all_is_answered() {
    let mut world = World::overloaded();
    let id = world.accept(1, 1, "192.0.2.9:40000");
    for number in 0..100 {
        let text = numbered("INVITE", number).replace("SIP/2.0/UDP", "SIP/2.0/TCP");
        world.stream(id, &text);
    }
    let refused = world.sent.iter().filter(|s| s.2.starts_with("SIP/2.0 503 ")).count();
    assert!(refused > 90, "{refused}");
    assert_eq!(world.stack.counters().dropped_overload, 0);
    assert_eq!(world.told().len() + refused, 100);
}

/// Where answers have not been enough for a while, new work is not even to be read.
#[test]
fn what_cannot_be_answered_is_not_to_be_read() {
    let mut world = World::overloaded();
    for number in 0..4000 {
        world.datagram("192.0.2.9:5070", &numbered("INVITE", number));
        if number % 16 == 0 {
            world.wait(ms(200), ms(4));
        }
    }
    let mut shed = world.wanted.iter().filter_map(|output| match output {
        Output::Shed(share) => Some(*share),
        _ => None,
    });
    assert!(shed.next_back().is_some_and(|share| share.new > 500 && share.known == 0));
    world.wait(ms(0), ms(10_000));
    assert_eq!(
        world.wanted.iter().rev().find(|o| matches!(o, Output::Shed(_))),
        Some(&Output::Shed(Shed::default()))
    );
}

#[test]
fn the_ack_for_a_refusal_is_known() {
    let mut world = World::overloaded();
    let mut refused = (0..100).filter_map(|number| {
        world.sent.clear();
        world.datagram("192.0.2.9:5070", &numbered("INVITE", number));
        Some((number, world.sent.first()?.2.clone()))
    });
    let (number, refusal) = refused.next().unwrap();
    let to = field(&refusal, "To").to_owned();
    let mut index = towel_message::Index::default();
    let ack = numbered("ACK", number).replace("To: <sip:ford@example.com>", &format!("To: {to}"));
    let ack =
        towel_message::Message::parse(ack.as_bytes(), &mut index, &Default::default()).unwrap();
    assert_eq!(ack.to_tag(), Some(&world.stack.to_tag(&ack)[..]));
}

#[test]
fn a_proxy_is_not_told_to_send_nothing() {
    let mut world = World::overloaded();
    for number in 0..50 {
        let text = numbered("INVITE", number);
        let text = text.replacen(
            "\r\n",
            "\r\nVia: SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKp, SIP/2.0/UDP 192.0.2.9:5070\r\nX-",
            1,
        );
        world.datagram("192.0.2.8:5060", &text.replace("X-Via: ", "Via: "));
    }
    assert!(!world.sent.is_empty());
    for (_, _, text) in &world.sent {
        assert!(text.starts_with("SIP/2.0 503 "), "{text}");
        assert_eq!(field(text, "Retry-After"), "");
    }
}

#[test]
fn what_goes_on_is_not_refused() {
    let mut world = World::overloaded();
    for number in 0..50 {
        for method in ["ACK", "BYE", "CANCEL", "PRACK"] {
            world.datagram("192.0.2.9:5070", &numbered(method, number));
        }
        let inside =
            numbered("INVITE", 1000 + number).replace("com>\r\nCall", "com>;tag=x\r\nCall");
        world.datagram("192.0.2.9:5070", &inside);
        let urgent =
            numbered("INVITE", 2000 + number).replace("sip:ford@192.0.2.1", "urn:service:sos");
        world.datagram("192.0.2.9:5070", &urgent);
    }
    assert_eq!(world.stack.counters().refused_overload, 0);
    assert_eq!(world.told().len(), 300);
}

#[test]
fn what_was_let_in_and_comes_again_is_not_refused() {
    let mut world = World::new();
    world.user.keep = true;
    for number in 0..50 {
        world.datagram("192.0.2.9:5070", &numbered("INVITE", number));
    }
    world.wait(ms(200), ms(3000));
    world.sent.clear();
    for number in 0..50 {
        world.datagram("192.0.2.9:5070", &numbered("INVITE", number));
        world.datagram("192.0.2.9:5070", &numbered("CANCEL", number));
    }
    assert!(world.sent.iter().all(|sent| !sent.2.starts_with("SIP/2.0 503 ")));
    assert_eq!(world.stack.counters().refused_overload, 0);
}

/// One message that has waited, for whatever reason, is none too many.
#[test]
fn a_few_that_have_waited_are_not_refused() {
    let mut world = World::new();
    for number in 0..200 {
        world.handle(Input::Backlog { wait: ms(80), fill: 1 });
        world.datagram("192.0.2.9:5070", &numbered("OPTIONS", number));
        world.pass(ms(16));
    }
    assert_eq!(world.stack.counters().refused_overload, 0);
    assert_eq!(world.told().len(), 200);
}

#[test]
fn it_is_told_when_it_begins_and_ends() {
    let settings =
        Settings { telling: Telling { level: crate::io::Level::Warn }, ..Settings::default() };
    let mut world = World::with(&settings);
    world.wait(ms(200), ms(3000));
    world.wait(ms(0), ms(10_000));
    let told: Vec<&str> = world
        .wanted
        .iter()
        .filter_map(|output| match output {
            Output::Event(event) => Some(event.kind),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["overload-began", "overload-ended"]);
    assert!(!world.stack.overload().is_pressed());
    assert_eq!(world.stack.deadline(), None);
    world.drained();
}
