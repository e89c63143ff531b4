//! RFC 7339 and RFC 7415 with neighbours on both sides.

use super::*;
use crate::overload;
use crate::server::Network;

const ASKS: &str = ";rport;oc;oc-algo=\"loss,rate\"";

fn world() -> World {
    let network = Network { address: addr("192.0.2.9:1").ip(), prefix: 32 };
    let overload = overload::Settings { neighbours: vec![network], ..Default::default() };
    World::with(&Settings { overload, ..Settings::default() })
}

/// A request whose Via has such parameters.
fn asking(method: &str, number: usize, more: &str) -> String {
    request(method, &format!("z9hG4bK{number}{more}"))
        .replace("Call-ID: towel", &format!("Call-ID: {number}"))
}

impl World {
    fn pressed(&mut self) {
        let end = self.now.at + ms(3000);
        while self.now.at < end {
            self.handle(Input::Backlog { wait: ms(200), fill: 90 });
            self.pass(ms(4));
        }
    }

    /// The topmost Via of the answer to a request from there.
    fn answer_to(&mut self, from: &str, text: &str) -> String {
        self.sent.clear();
        self.user.answer = Some(200);
        self.datagram(from, text);
        field(&self.sent.last().unwrap().2, "Via").to_owned()
    }
}

#[test]
fn whoever_asks_is_told_that_all_is_well() {
    let mut world = world();
    let via = world.answer_to("192.0.2.9:5070", &asking("OPTIONS", 1, ASKS));
    assert!(via.contains(";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq="), "{via}");
    assert!(via.contains("rport=5070"), "{via}");
    assert_eq!(via.matches("oc-algo").count(), 1, "{via}");
    // Who did not ask is told nothing, nor who is no neighbour.
    let via = world.answer_to("192.0.2.9:5070", &asking("OPTIONS", 2, ""));
    assert!(!via.contains("oc"), "{via}");
    let via = world.answer_to("192.0.2.77:5070", &asking("OPTIONS", 3, ASKS));
    assert!(via.contains(";oc;oc-algo=\"loss,rate\""), "{via}");
    assert_eq!(world.stack.counters().feedback_given, 1);
}

#[test]
fn in_overload_neighbours_are_told_how_much() {
    let mut world = world();
    world.pressed();
    let via = world.answer_to("192.0.2.9:5070", &asking("BYE", 1, ASKS));
    let told = overload::Told::read(&towel_message::Via::parse(via.as_bytes()).unwrap().params);
    let told = told.unwrap();
    assert_eq!((told.algorithm, told.validity), (overload::Algorithm::Loss, ms(500)));
    assert!((20..=100).contains(&told.value), "{via}");
    // Each response has a greater number, so that what it says holds anew.
    world.pass(ms(1));
    let via = world.answer_to("192.0.2.9:5070", &asking("BYE", 2, ASKS));
    let next = overload::Told::read(&towel_message::Via::parse(via.as_bytes()).unwrap().params);
    assert!(next.unwrap().sequence > told.sequence, "{via}");
    // By preference a rate.
    let via = world.answer_to("192.0.2.9:5070", &asking("BYE", 3, ";oc;oc-algo=\"rate,loss\""));
    assert!(via.contains("oc-algo=\"rate\";oc-validity=500"), "{via}");
}

/// What a server further down wrote into the Via of whoever asked us goes no further.
#[test]
fn what_others_wrote_there_is_taken_out() {
    let mut world = world();
    let forged = ";oc=99;oc-algo=\"loss\";oc-validity=60000;oc-seq=9999999999.1";
    let via = world.answer_to("192.0.2.9:5070", &asking("OPTIONS", 1, forged));
    assert!(via.contains(";oc=0;") && !via.contains("99;") && !via.contains("60000"), "{via}");
}

#[test]
fn a_neighbour_is_asked_and_heeded() {
    let mut world = world();
    let id = world.send("OPTIONS");
    let asked = world.sent.last().unwrap().2.clone();
    assert!(field(&asked, "Via").ends_with(";oc;oc-algo=\"loss,rate\""), "{asked}");
    let spare = |text: &str, seq: &str| {
        answer(text, 200).replace(
            ";oc;oc-algo=\"loss,rate\"",
            &format!(";oc=100;oc-algo=\"loss\";oc-validity=500;oc-seq={seq}"),
        )
    };
    world.datagram("192.0.2.9:5070", &spare(&asked, "5.1"));
    assert!(world.stack.sent(id).is_none());
    assert_eq!(world.stack.neighbours().all(world.now.at).count(), 1);
    world.told();
    world.sent.clear();
    // Nothing goes there, and whoever wanted it is told at once.
    world.send("INVITE");
    assert!(world.sent.is_empty());
    assert_eq!(world.told(), ["failed 42 HeldBack"]);
    assert_eq!(world.stack.counters().requests_held_back, 1);
    // Until the time is over.
    world.pass(ms(501));
    world.send("INVITE");
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.stack.neighbours().all(world.now.at).count(), 0);
    world.pass(ms(64_000));
    world.drained();
}

#[test]
fn others_are_neither_asked_nor_heeded() {
    let mut world = World::new();
    world.send("OPTIONS");
    let asked = world.sent.last().unwrap().2.clone();
    assert!(!field(&asked, "Via").contains("oc"), "{asked}");
    let via = field(&asked, "Via").to_owned();
    let text = answer(&asked, 200).replace(&via, &format!("{via};oc=100;oc-seq=1.1"));
    world.datagram("192.0.2.9:5070", &text);
    world.sent.clear();
    world.send("OPTIONS");
    assert_eq!(world.sent.len(), 1);
}
