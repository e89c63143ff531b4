//! What is refused, and what is not, while messages wait too long.

use super::*;
use crate::overload::Shed;

fn numbered(method: &str, number: usize) -> String {
    request(method, &format!("z9hG4bK{number}"))
        .replace("Call-ID: towel", &format!("Call-ID: {number}"))
}

impl World {
    /// Messages wait for so long, for a while, and half fill the socket's buffer.
    fn wait(&mut self, wait: Duration, time: Duration) {
        self.wait_in(if wait.is_zero() { 0 } else { 45 }, wait, time);
    }

    fn wait_in(&mut self, fill: u8, wait: Duration, time: Duration) {
        let end = self.now.at + time;
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

fn by_stream(method: &str, number: usize) -> String {
    numbered(method, number).replace("SIP/2.0/UDP", "SIP/2.0/TCP")
}

/// Over a connection nothing is sent again: what is refused is answered, as long as that can be borne.
#[test]
fn over_a_connection_more_is_answered() {
    let mut world = World::overloaded();
    let id = world.accept(1, 1, "192.0.2.9:40000");
    for number in 0..100 {
        world.stream(id, &by_stream("INVITE", number));
    }
    world.pass(ms(0));
    let refused = world.sent.iter().filter(|s| s.2.starts_with("SIP/2.0 503 ")).count();
    assert!(refused > 90, "{refused}");
    assert_eq!(world.stack.counters().dropped_unread, 0);
    assert_eq!(world.told().len() + refused, 100);
    for number in 100..300 {
        world.stream(id, &by_stream("INVITE", number));
    }
    world.pass(ms(0));
    let refused = world.sent.iter().filter(|s| s.2.starts_with("SIP/2.0 503 ")).count();
    assert_eq!(refused, 128);
    assert!(world.stack.counters().dropped_unread > 100);
}

/// Where even that was too much it is dropped at a glance; what belongs to calls never is.
#[test]
fn over_a_connection_what_cannot_be_answered_is_dropped_at_a_glance() {
    let mut world = World::overloaded();
    let id = world.accept(1, 1, "192.0.2.9:40000");
    for number in 0..8000 {
        world.stream(id, &by_stream("INVITE", number));
        if number % 64 == 0 {
            world.wait(ms(200), ms(4));
        }
    }
    let before = *world.stack.counters();
    assert!(before.dropped_unread > 1000, "{}", before.dropped_unread);
    world.told();
    for number in 0..50 {
        for method in ["ACK", "BYE", "CANCEL", "PRACK"] {
            let inside = by_stream(method, 10_000 + number);
            world.stream(id, &inside.replace("com>\r\nCall", "com>;tag=x\r\nCall"));
        }
        let prior = by_stream("INVITE", 20_000 + number);
        world.stream(id, &prior.replace("From:", "Priority: emergency\r\nFrom:"));
        // What follows an INVITE that waits does so too.
        world.pass(ms(0));
        world.stream(
            id,
            &by_stream("INFO", 30_000 + number).replace("com>\r\nCall", "com>;tag=x\r\nCall"),
        );
    }
    assert_eq!(world.stack.counters().dropped_unread, before.dropped_unread);
    assert_eq!(world.told().len(), 300);
}

/// While the driver is behind, what begins waits until all else is done, and whatever may follow it
/// does not overtake it.
#[test]
fn work_that_begins_is_put_off_for_what_goes_on() {
    let mut world = World::new();
    let id = world.accept(1, 1, "192.0.2.9:40000");
    let of = |method: &str, number| by_stream(method, number);
    world.stream(id, &of("MESSAGE", 1));
    assert_eq!(world.told().len(), 1);
    world.handle(Input::Backlog { wait: ms(20), fill: 0 });
    let urgent = of("INVITE", 4).replace("sip:ford@192.0.2.1", "urn:service:sos");
    let all = [of("INVITE", 2), of("CANCEL", 2), of("BYE", 3), urgent, of("REGISTER", 5)];
    world.stream(id, &all.concat());
    let of_those = |world: &mut World, methods: &[&str]| {
        let told = world.told();
        assert_eq!(told.len(), methods.len(), "{told:?}");
        for (told, method) in told.iter().zip(methods) {
            assert!(told.contains(method), "{told}");
        }
    };
    of_those(&mut world, &["BYE", "INVITE"]);
    assert!(world.stack.deadline().is_some_and(|at| at <= world.now.at));
    assert!(!world.stack.is_quiet() && !world.stack.is_drained());
    world.handle(Input::Tick);
    of_those(&mut world, &["INVITE", "cancelled", "REGISTER"]);
    assert_eq!(world.stack.counters().put_off, 3);
    // Once the driver is not behind any more nothing waits.
    world.handle(Input::Backlog { wait: ms(0), fill: 0 });
    world.stream(id, &of("INVITE", 6));
    of_those(&mut world, &["INVITE"]);
    // Nor is anybody served who is gone.
    world.handle(Input::Backlog { wait: ms(20), fill: 0 });
    world.stream(id, &of("INVITE", 7));
    world.closed(id, CloseReason::Peer);
    world.told();
    world.handle(Input::Tick);
    of_those(&mut world, &[]);
}

#[test]
fn who_was_put_off_for_too_long_or_finds_no_room_is_refused() {
    let mut world = World::new();
    let id = world.accept(1, 1, "192.0.2.9:40000");
    world.handle(Input::Backlog { wait: ms(20), fill: 0 });
    for number in 0..20 {
        world.stream(id, &by_stream("INVITE", number));
    }
    // The driver had no time to say that it is done.
    world.now.at = world.now.at + ms(600);
    world.handle(Input::Tick);
    assert!(world.told().is_empty());
    let answered = world.sent.iter().filter(|s| s.2.starts_with("SIP/2.0 503 ")).count();
    let dropped = world.stack.counters().dropped_overload;
    assert_eq!(answered + dropped as usize, 20);
    world.pass(ms(50));
    world.sent.clear();
    world.handle(Input::Backlog { wait: ms(20), fill: 0 });
    for number in 0..8192 {
        world.stream(id, &by_stream("MESSAGE", 100 + number));
    }
    assert!(world.told().is_empty() && world.sent.is_empty());
    world.stream(id, &by_stream("MESSAGE", 9000));
    assert!(world.told().is_empty());
    assert_eq!(world.stack.counters().put_off, 8212);
    // What is within a dialog is heard all the same.
    world.stream(id, &by_stream("BYE", 9001));
    assert_eq!(world.told().len(), 1);
    world.pass(ms(0));
    assert_eq!(world.told().len(), 8192);
}

/// A full buffer loses what comes: then it is chosen, before anything is refused with an answer.
#[test]
fn what_a_full_buffer_would_lose_is_chosen_at_once() {
    let mut world = World::new();
    world.wait_in(100, ms(200), ms(100));
    let shed = world.wanted.iter().rev().find_map(|output| match output {
        Output::Shed(share) => Some(*share),
        _ => None,
    });
    assert!(shed.is_some_and(|share| share.new > 500 && share.known == 0), "{shed:?}");
    for number in 0..100 {
        world.datagram("192.0.2.9:5070", &numbered("INVITE", number));
    }
    assert!(world.stack.counters().dropped_overload > 20);
    assert_eq!(world.stack.counters().refused_overload, 0);
    assert!(world.sent.is_empty());
    // A burst is over before anybody is told of it.
    world.wait(ms(0), ms(300));
    assert!(!world.stack.overload().is_overloaded() && !world.stack.overload().is_pressed());
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
            let inside = numbered(method, number).replace("com>\r\nCall", "com>;tag=x\r\nCall");
            world.datagram("192.0.2.9:5070", &inside);
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
