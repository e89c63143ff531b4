//! What a binding costs in memory; how long they take to load is printed.
#![allow(unsafe_code)] // A counting allocator cannot be had without.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant as Clock;
use towel_core::hash::Key;
use towel_core::io::{Flow, Instant, ListenerId, Now, Outbox, Output, Record, Ticket, Transport};
use towel_core::registrar::{Durability, Outcome, Registrar, Request, Served, Settings};
use towel_message::{Host, Index, Limits, Message};

/// Bytes in use, with what the common allocators add to each piece: eight bytes, then rounded up
/// to sixteen.
static IN_USE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn cost(size: usize) -> usize {
    (size + 8).next_multiple_of(16).max(32)
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(cost(layout.size()), Ordering::Relaxed);
        // SAFETY: as asked of us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(cost(layout.size()), Ordering::Relaxed);
        // SAFETY: as asked of us.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Town;

impl Served for Town {
    fn canonical(&self, _host: &Host<'_>, _port: Option<u16>) -> Option<&str> {
        Some("example.com")
    }
}

fn registrar(durability: Durability) -> Registrar {
    Registrar::new(Settings { durability, ..Settings::default() }, Key(1, 2))
}

const NOW: Now = Now { at: Instant(0), unix: 1_700_000_000 };

/// What an ordinary desk phone sends.
fn register(registrar: &mut Registrar, n: usize, cseq: usize, out: &mut Outbox) {
    let (a, b) = (n / 250 % 250, n % 250);
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.{a}.{b}:5060;branch=z9hG4bK1\r\n\
         From: <sip:user{n:07}@example.com>;tag=1\r\nTo: <sip:user{n:07}@example.com>\r\n\
         Call-ID: 7f3c2a90-{n:07}@10.1.{a}.{b}\r\nCSeq: {cseq} REGISTER\r\nExpires: 3600\r\n\
         Contact: <sip:user{n:07}@10.1.{a}.{b}:5060;transport=udp>\r\nContent-Length: 0\r\n\r\n"
    );
    let mut index = Index::new();
    let message = Message::parse(text.as_bytes(), &mut index, &Limits::default()).unwrap();
    let flow = Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "198.51.100.7:5060".parse().unwrap(),
        connection: None,
    };
    let request = Request { message, flow, user: None, kept: &[], route: b"" };
    let outcome = registrar.register(&request, &Town, NOW, Ticket(n as u64), out);
    assert!(matches!(outcome, Outcome::Registered(_)));
}

// One test, for the counter counts everything in the process.
#[test]
fn memory_and_loading() {
    let mut out = Outbox::new();
    let mut worst = 0;
    let before = IN_USE.load(Ordering::Relaxed);
    let mut kept = registrar(Durability::Memory);
    for n in 1..=100_000 {
        register(&mut kept, n, 1, &mut out);
        out.clear();
        if n >= 1_000 {
            worst = worst.max((IN_USE.load(Ordering::Relaxed) - before) / n);
        }
    }
    let each = (IN_USE.load(Ordering::Relaxed) - before) / 100_000;
    println!("{each} bytes a binding, {worst} at the worst moment of growing");
    assert!(each <= 256, "{each}");
    assert!(worst <= 400, "{worst}");
    // A refresh takes no more.
    let full = IN_USE.load(Ordering::Relaxed);
    for n in 1..=1_000 {
        register(&mut kept, n, 2, &mut out);
        assert!(out.is_empty());
    }
    assert_eq!(IN_USE.load(Ordering::Relaxed), full);
    // And what has ended gives back all but the empty slots.
    kept.expire(Now { unix: NOW.unix + 3_602, ..NOW }, &mut Outbox::new());
    while kept.is_behind() {
        kept.expire(Now { unix: NOW.unix + 3_602, ..NOW }, &mut Outbox::new());
    }
    assert_eq!(kept.records(), 0);
    assert!((IN_USE.load(Ordering::Relaxed) - before) / 100_000 <= 64);

    let mut soon = registrar(Durability::Soon);
    for n in 0..10_000 {
        register(&mut soon, n, 1, &mut out);
    }
    let one: Vec<Record> = out
        .outputs
        .drain(..)
        .filter_map(|output| match output {
            Output::Store { record, .. } => Some(record),
            _ => None,
        })
        .collect();
    let started = Clock::now();
    let mut loaded = registrar(Durability::Memory);
    let mut record = one[0].clone();
    for n in 0..100_000_usize {
        record.value.clone_from(&one[n % one.len()].value);
        record.key.clear();
        record.key.extend_from_slice(format!("sip:{n}@example.com").as_bytes());
        assert!(loaded.load(&record, NOW, &mut out));
    }
    let took = started.elapsed();
    println!("{took:?} to load 100 000 records");
    assert_eq!(loaded.bindings(), 100_000);
}
