//! The 200 and the store; what ends and what is told of it.

use super::*;
use crate::io::StoreFault;

#[test]
fn the_answer_waits_for_the_store_and_the_binding_is_visible_then() {
    let mut bench = Bench::durable();
    let held = bench.bob("a", 1, ONE);
    assert_eq!(held, Answer::Held(vec!["<sip:bob@192.0.2.4>;expires=3600".into()]));
    assert!(bench.uris().is_empty());
    let stores = bench.stores();
    assert_eq!(stores.len(), 1);
    assert_eq!(stores[0].0, Some(Ticket(1)));
    assert_eq!(stores[0].1.key, b"sip:bob@biloxi.com");
    assert_eq!(bench.registrar.waiting(), 1);
    assert_eq!(bench.registrar.stored(Ticket(1), Ok(()), &mut bench.out), Some(Stored::Good));
    assert_eq!(bench.registrar.stored(Ticket(1), Ok(()), &mut bench.out), None);
    assert_eq!(bench.uris(), ["sip:bob@192.0.2.4"]);
    // What changes nothing does not wait.
    assert_eq!(bench.bob("a", 1, ""), ok(&["<sip:bob@192.0.2.4>;expires=3600"]));
    assert_eq!(
        bench.bob("b", 1, "Contact: <sip:x@y>;expires=0"),
        ok(&["<sip:bob@192.0.2.4>;expires=3600"])
    );
    assert!(bench.stores().is_empty());
    // The last one taken away deletes the record.
    assert_eq!(bench.bob("a", 2, "Contact: *\nExpires: 0"), Answer::Held(vec![]));
    assert_eq!(bench.stores()[0].1.value, None);
    bench.registrar.stored(Ticket(4), Ok(()), &mut bench.out);
    assert_eq!(bench.registrar.records(), 0);
}

#[test]
fn requests_that_wait_are_built_on_each_other() {
    let mut bench = Bench::durable();
    bench.bob("a", 1, ONE);
    // The same request again, in a new transaction, is merged though the first is not safe yet.
    assert_eq!(bench.bob("a", 1, ONE), Answer::No(482));
    let both = bench.bob("b", 1, "Contact: <sip:bob@192.0.2.5>");
    assert!(matches!(both, Answer::Held(all) if all.len() == 2));
    bench.registrar.stored(Ticket(1), Ok(()), &mut bench.out);
    assert_eq!(bench.uris().len(), 1);
    bench.registrar.stored(Ticket(3), Ok(()), &mut bench.out);
    assert_eq!(bench.uris().len(), 2);
}

#[test]
fn a_store_that_fails_brings_the_former_bindings_back() {
    let mut bench = Bench::durable();
    bench.bob("a", 1, ONE);
    bench.registrar.stored(Ticket(1), Ok(()), &mut bench.out);
    let before = bench.stores()[0].1.value.clone();
    bench.bob("a", 2, "Contact: <sip:bob@192.0.2.5>");
    bench.bob("a", 3, "Contact: <sip:bob@192.0.2.6>");
    bench.stores();
    let full = Err(StoreFault::Full);
    assert_eq!(bench.registrar.stored(Ticket(2), full, &mut bench.out), Some(Stored::Failed));
    assert_eq!(bench.bob("a", 4, "Contact: <sip:bob@192.0.2.7>"), Answer::No(500));
    // It was safe, but it holds the change that failed: the store is told the truth again.
    assert_eq!(bench.registrar.stored(Ticket(3), Ok(()), &mut bench.out), Some(Stored::Failed));
    let stores = bench.stores();
    assert_eq!(stores.len(), 1);
    assert_eq!((stores[0].0, &stores[0].1.value), (None, &before));
    assert_eq!(bench.uris(), ["sip:bob@192.0.2.4"]);
    assert!(matches!(bench.bob("a", 5, "Contact: <sip:bob@192.0.2.7>"), Answer::Held(_)));
}

#[test]
fn only_so_many_wait() {
    let mut bench = Bench::with(Settings { max_pending: 1, ..Settings::default() });
    assert!(matches!(bench.bob("a", 1, ONE), Answer::Held(_)));
    assert_eq!(bench.bob("b", 1, "Contact: <sip:bob@192.0.2.5>"), Answer::No(503));
}

#[test]
fn soon_and_memory_do_not_wait() {
    for (durability, stores) in [(Durability::Soon, 1), (Durability::Memory, 0)] {
        let mut bench = Bench::with(Settings { durability, ..Settings::default() });
        assert!(matches!(bench.bob("a", 1, ONE), Answer::Ok(_)));
        assert_eq!(bench.uris().len(), 1);
        let made = bench.stores();
        assert_eq!(made.len(), stores);
        assert!(made.iter().all(|(ticket, _)| ticket.is_none()));
    }
}

#[test]
fn what_was_stored_is_there_after_a_restart() {
    let mut bench = Bench::durable();
    bench.bob(
        "a",
        7,
        "Contact: <sip:bob@192.0.2.4>;q=0.2;expires=60, <sip:bob@192.0.2.5>;q=0.1;expires=600",
    );
    let record = bench.stores().pop().unwrap().1;

    let mut bench = Bench::durable();
    bench.now += 30;
    assert!(bench.registrar.load(&record, at(bench.now), &mut bench.out));
    let told =
        ok(&["<sip:bob@192.0.2.4>;q=0.2;expires=30", "<sip:bob@192.0.2.5>;q=0.1;expires=570"]);
    assert_eq!(bench.bob("x", 1, ""), told);
    // Call-ID and CSeq are remembered too.
    assert_eq!(bench.bob("a", 6, ONE), Answer::No(500));

    let mut bench = Bench::durable();
    bench.now += 61;
    assert!(bench.registrar.load(&record, at(bench.now), &mut bench.out));
    assert_eq!(bench.uris(), ["sip:bob@192.0.2.5"]);
    assert!(bench.stores().is_empty());

    let mut bench = Bench::durable();
    bench.now += 601;
    assert!(bench.registrar.load(&record, at(bench.now), &mut bench.out));
    assert_eq!(bench.registrar.records(), 0);
    assert_eq!(bench.stores()[0].1.value, None);

    let damaged = Record {
        value: record.value.clone().map(|mut v| {
            v.pop();
            v
        }),
        ..record.clone()
    };
    assert!(!bench.registrar.load(&damaged, at(bench.now), &mut bench.out));
    assert!(!bench.registrar.load(&Record { table: 77, ..record }, at(bench.now), &mut bench.out));
}

#[test]
fn a_request_whose_answer_a_crash_swallowed_may_come_again() {
    let mut bench = Bench::durable();
    bench.branch = Some("z9hG4bKnashds7");
    bench.bob("a", 7, "Contact: <sip:bob@192.0.2.4>, <sip:bob@192.0.2.5>");
    let record = bench.stores().pop().unwrap().1;

    let mut bench = Bench::durable();
    assert!(bench.registrar.load(&record, at(bench.now), &mut bench.out));
    // The same CSeq in another transaction is a merged request.
    assert_eq!(bench.bob("a", 7, "Contact: <sip:bob@192.0.2.4>"), Answer::No(482));
    bench.branch = Some("z9hG4bKnashds7");
    let again = bench.bob("a", 7, "Contact: <sip:bob@192.0.2.4>, <sip:bob@192.0.2.5>");
    assert!(matches!(again, Answer::Held(all) if all.len() == 2));
    assert_eq!(bench.bob("a", 6, "Contact: <sip:bob@192.0.2.4>"), Answer::No(500));
}

#[test]
fn what_ends_leaves_the_store_too() {
    let mut bench = Bench::durable();
    bench.bob("a", 1, "Contact: <sip:bob@192.0.2.4>;expires=60");
    bench.registrar.stored(Ticket(1), Ok(()), &mut bench.out);
    bench.stores();
    assert_eq!(bench.registrar.deadline(), Some(at(bench.now + 61).at));
    bench.now += 61;
    // A refresh that waits must not be undone by the end of what it refreshes.
    bench.bob("a", 2, "Contact: <sip:bob@192.0.2.4>;expires=60");
    bench.stores();
    bench.registrar.expire(at(bench.now), &mut bench.out);
    assert!(bench.stores().is_empty());
    bench.registrar.stored(Ticket(2), Ok(()), &mut bench.out);
    assert_eq!(bench.uris().len(), 1);
    bench.now += 61;
    bench.registrar.expire(at(bench.now), &mut bench.out);
    let stores = bench.stores();
    assert_eq!((stores.len(), &stores[0].1.value), (1, &None));
    assert_eq!(bench.registrar.deadline(), None);
    assert_eq!(bench.registrar.records(), 0);
}

#[test]
fn who_comes_and_goes_is_told() {
    let mut bench = Bench::new();
    let told = |bench: &mut Bench| -> Vec<_> {
        let outputs = core::mem::take(&mut bench.out.outputs).into_iter();
        let texts = outputs.map(|output| match output {
            Output::Event(event) => format!("{}: {}", event.kind, event.text),
            other => panic!("{other:?}"),
        });
        texts.collect()
    };
    bench.bob("a", 1, ONE);
    assert_eq!(
        told(&mut bench),
        ["registered: sip:bob@biloxi.com from 198.51.100.7:5060 over UDP"]
    );
    bench.bob("a", 2, ONE);
    assert!(told(&mut bench).is_empty());
    bench.bob("a", 3, "Contact: *\nExpires: 0");
    assert_eq!(told(&mut bench), ["unregistered: sip:bob@biloxi.com"]);
    bench.bob("a", 4, ONE);
    told(&mut bench);
    bench.registrar.expire(at(bench.now + 3_601), &mut bench.out);
    assert_eq!(told(&mut bench), ["expired: sip:bob@biloxi.com"]);
}

#[test]
fn somebody_in_charge_can_remove_them() {
    let mut bench = Bench::durable();
    bench.bob("a", 1, ONE);
    bench.registrar.stored(Ticket(1), Ok(()), &mut bench.out);
    bench.stores();
    assert!(bench.registrar.forget(b"sip:bob@biloxi.com", &mut bench.out));
    assert_eq!(bench.stores()[0].1.value, None);
    assert!(bench.uris().is_empty());
    assert!(!bench.registrar.forget(b"sip:bob@biloxi.com", &mut bench.out));
}

#[test]
fn what_was_taken_away_is_not_loaded_again() {
    let mut bench = Bench::durable();
    bench.bob("a", 1, ONE);
    bench.registrar.stored(Ticket(1), Ok(()), &mut bench.out);
    bench.bob("a", 2, "Contact: *\nExpires: 0");
    let log: Vec<_> = bench.stores().into_iter().map(|(_, record)| record).collect();
    assert_eq!(log.len(), 2);
    let mut again = Bench::durable();
    let now = at(again.now);
    assert!(again.registrar.load(&log[0], now, &mut again.out));
    assert_eq!(again.uris(), ["sip:bob@192.0.2.4"]);
    assert!(again.registrar.load(&log[1], now, &mut again.out));
    assert_eq!(again.registrar.records(), 0);
    // Nor does an older, longer registration come back behind one that has ended.
    bench.bob("a", 3, "Contact: <sip:bob@192.0.2.4>;expires=60");
    let short = bench.stores().remove(0).1;
    assert!(again.registrar.load(&log[0], now, &mut again.out));
    let later = Now { unix: now.unix + 100, ..now };
    assert!(again.registrar.load(&short, later, &mut again.out));
    assert_eq!(again.registrar.records(), 0);
}
