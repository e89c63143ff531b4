//! A server of several shards: what comes to the wrong one is done by the right one, and what all have
//! to know each knows.

use super::rig::{Rig, Sent, request, requests, statuses};
use super::{SIP, closed, open};
use crate::auth::User;
use crate::contract::{Registry, Role, Roles};
use crate::io::{
    CloseReason, Flow, Input, Instant, Listener, ListenerId, Machine, Now, Outbox, Output, Record,
    StoreFault, Ticket, Transport,
};
use crate::registrar::Durability;
use crate::server::Endpoint;
use crate::settings::Settings;
use crate::shards::Several;

fn registries(count: usize) -> impl Iterator<Item = Registry> {
    let roles = Roles::of(&[Role::Uas, Role::Proxy, Role::Registrar]);
    (0..count).map(move |_| Registry::assemble(&[&SIP], roles))
}

fn rig(settings: &Settings, count: usize) -> Rig<Several> {
    let mut rig = Rig::new(Several::new(settings, registries(count), [7; 32]));
    for shard in rig.element.shards_mut() {
        for name in ["alice", "bob", "carol"] {
            for realm in ["towel", "example.com"] {
                shard.server_mut().users_mut().insert(User::new(name, realm, "secret"));
            }
        }
    }
    rig
}

/// Addresses of a network from which what comes is dealt to that shard.
fn dealt_to(rig: &Rig<Several>, shard: u8, port: u16) -> String {
    let all = (1..250).map(|last| format!("198.51.100.{last}:{port}"));
    let mut fits = all.filter(|addr| rig.element.dealt(addr.parse().unwrap()) == shard);
    fits.next().unwrap()
}

/// A port of a host from which what comes is dealt to that shard.
fn port_dealt_to(rig: &Rig<Several>, host: &str, shard: u8) -> String {
    let all = (20_000..u16::MAX).map(|port| format!("{host}:{port}"));
    let mut fits = all.filter(|addr| rig.element.dealt(addr.parse().unwrap()) == shard);
    fits.next().unwrap()
}

/// What comes of it in the end, with the errands of shards that others have.
fn settled(rig: &mut Rig<Several>, mut sent: Vec<Sent>) -> Vec<Sent> {
    for _ in 0..20 {
        sent.extend(rig.pass(1));
    }
    sent
}

fn registered(rig: &mut Rig<Several>, from: &str, user: &str, contact: &str) -> Vec<Sent> {
    let text = format!(
        "REGISTER sip:192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP {from};branch=z9hG4bKreg{user}{}\n\
         From: <sip:{user}@192.0.2.1>;tag=1\nTo: <sip:{user}@192.0.2.1>\nCall-ID: reg-{contact}\n\
         CSeq: 1 REGISTER\nContact: <{contact}>\n",
        contact.len()
    );
    let sent = rig.udp(from, &text);
    let sent = settled(rig, sent);
    assert_eq!(statuses(&sent), [200], "{sent:?}");
    sent
}

fn invite(from: &str) -> String {
    let (alice, bob) = ("sip:alice@example.org", "sip:bob@192.0.2.1");
    request("INVITE", bob, alice, bob, from, "")
}

/// The shard that the branch of a request of ours names.
fn shard_of(sent: &Sent) -> u8 {
    let branch = sent.all("Via")[0].split("branch=z9hG4bK").nth(1).unwrap();
    branch.as_bytes()[0] - b'a'
}

#[test]
fn a_call_goes_through_whichever_shards_its_messages_come_to() {
    for (caller, callee) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1)] {
        let mut rig = rig(&open(), 3);
        let (a, b) = (dealt_to(&rig, caller, 5060), dealt_to(&rig, callee, 5070));
        registered(&mut rig, &b, "bob", &format!("sip:bob@{b}"));
        let sent = rig.udp(&a, &invite(&a));
        let sent = settled(&mut rig, sent);
        let asked = requests(&sent, "INVITE")[0].clone();
        assert_eq!((asked.to.to_string(), shard_of(&asked)), (b.clone(), caller));
        for status in [180, 200] {
            let sent = rig.udp(&b, &asked.answer(status, &format!("Contact: <sip:bob@{b}>\n")));
            let sent = settled(&mut rig, sent);
            assert_eq!(statuses(&sent), [status]);
            if status == 180 {
                continue;
            }
            // The ACK has its own way, by the Record-Route.
            let answer = &sent[0];
            let route = answer.all("Record-Route").join(", ");
            let ack = format!(
                "ACK sip:bob@{b} SIP/2.0\nVia: SIP/2.0/UDP {a};branch=z9hG4bKack\nRoute: {route}\n\
                 From: {}\nTo: {}\nCall-ID: {}\nCSeq: 1 ACK\n",
                answer.field("From"),
                answer.field("To"),
                answer.field("Call-ID")
            );
            let sent = rig.udp(&a, &ack);
            assert_eq!(requests(&settled(&mut rig, sent), "ACK")[0].to.to_string(), b);
        }
        // It is another's alone to end.
        let record: Vec<&str> = asked.all("Record-Route");
        let bye = format!(
            "BYE sip:caller@{a} SIP/2.0\nVia: SIP/2.0/UDP {b};branch=z9hG4bKbye\nRoute: {}\n\
             From: {};tag=callee-5070\nTo: {}\nCall-ID: {}\nCSeq: 1 BYE\n",
            record.join(", "),
            asked.field("To"),
            asked.field("From"),
            asked.field("Call-ID")
        );
        let sent = rig.udp(&b, &bye);
        let sent = settled(&mut rig, sent);
        let bye = requests(&sent, "BYE")[0].clone();
        assert_eq!((bye.to.to_string(), shard_of(&bye)), (a.clone(), callee));
        let sent = rig.udp(&a, &bye.answer(200, ""));
        assert_eq!(statuses(&settled(&mut rig, sent)), [200]);
        assert_eq!(rig.element.errands() > 0, caller != callee);
        rig.pass(70_000);
        assert!(rig.element.is_drained());
    }
}

#[test]
fn a_response_with_a_letter_of_another_shard_and_nothing_behind_it_is_dropped_there() {
    let mut rig = rig(&open(), 2);
    let a = dealt_to(&rig, 0, 5060);
    let text = format!(
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKb{}\nFrom: <sip:a@b>;tag=1\n\
         To: <sip:b@c>;tag=2\nCall-ID: 1\nCSeq: 1 INVITE\n",
        "a".repeat(25)
    );
    let sent = rig.udp(&a, &text);
    assert!(settled(&mut rig, sent).is_empty());
    assert_eq!(rig.element.errands(), 1);
    let strays = |at: usize| rig.element.shards()[at].stack().counters().stray_responses;
    assert_eq!((strays(0), strays(1)), (0, 1));
}

#[test]
fn a_nonce_is_good_at_every_shard_and_each_count_of_it_once() {
    let mut rig = rig(&closed(), 2);
    let (a, b) = (dealt_to(&rig, 0, 5060), dealt_to(&rig, 1, 5060));
    let register = |branch: &str, from: &str, more: &str| {
        format!(
            "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{branch}\n\
             From: <sip:bob@example.com>;tag=1\nTo: <sip:bob@example.com>\nCall-ID: {branch}\n\
             CSeq: 1 REGISTER\nContact: <sip:bob@{from}>\n{more}"
        )
    };
    for shard in rig.element.shards_mut() {
        let mut settings = closed();
        settings.server.authenticate_register = true;
        let reload = crate::io::Command::Reload(Box::new(settings));
        shard.handle(rig.now, Input::Command(reload), &mut Outbox::new());
    }
    let sent = rig.udp(&a, &register("one", &a, ""));
    let challenge = sent[0].all("WWW-Authenticate").pop().unwrap().to_owned();
    let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let credentials = |count: u32| {
        use md5::{Digest, Md5};
        let hex = |text: String| -> String {
            Md5::digest(text).iter().map(|octet| format!("{octet:02x}")).collect()
        };
        let (secret, what) =
            (hex("bob:example.com:secret".into()), hex("REGISTER:sip:example.com".into()));
        let response = hex(format!("{secret}:{nonce}:{count:08x}:c:auth:{what}"));
        format!(
            "Authorization: Digest username=\"bob\", realm=\"example.com\", nonce=\"{nonce}\", \
             uri=\"sip:example.com\", response=\"{response}\", algorithm=MD5, qop=auth, \
             nc={count:08x}, cnonce=\"c\"\n"
        )
    };
    // The shard that the count came to first, and the other.
    for (n, (from, count, status)) in
        [(&b, 1, 200), (&a, 1, 401), (&a, 2, 200), (&b, 2, 401), (&b, 3, 200)].iter().enumerate()
    {
        let sent = rig.udp(from, &register(&format!("again{n}"), from, &credentials(*count)));
        assert_eq!(statuses(&sent), [*status], "{n}");
        if *status == 401 {
            assert!(sent[0].field("WWW-Authenticate").contains("stale=true"));
        }
    }
    assert_eq!(rig.element.shards()[0].server().registrar().bindings(), 2);
}

#[test]
fn a_connection_of_one_shard_is_the_way_for_all() {
    let mut rig = rig(&open(), 2);
    let (a, b) = (dealt_to(&rig, 0, 5060), dealt_to(&rig, 1, 40_000));
    let connection = rig.accept(&b);
    let text = "REGISTER sip:192.0.2.1 SIP/2.0\nVia: SIP/2.0/TCP 10.0.0.9:5060;branch=z9hG4bKr\n\
        From: <sip:bob@192.0.2.1>;tag=1\nTo: <sip:bob@192.0.2.1>\nCall-ID: r\nCSeq: 1 REGISTER\n\
        Contact: <sip:bob@10.0.0.9:5060;transport=tcp>\n";
    let sent = rig.tcp(connection, text);
    assert_eq!(statuses(&settled(&mut rig, sent)), [200]);
    let sent = rig.udp(&a, &invite(&a));
    let sent = settled(&mut rig, sent);
    let asked = requests(&sent, "INVITE")[0].clone();
    assert_eq!((asked.to.to_string(), asked.connection), (b.clone(), Some(connection)));
    assert_eq!(shard_of(&asked), 0);
    let sent = rig.tcp(connection, &asked.answer(180, ""));
    assert_eq!(statuses(&settled(&mut rig, sent)), [180]);
    // Its ACK goes the same way.
    let sent = rig.tcp(connection, &asked.answer(486, ""));
    let sent = settled(&mut rig, sent);
    assert_eq!(statuses(&sent), [486]);
    assert_eq!(requests(&sent, "ACK")[0].connection, Some(connection));
    // Who sends by it hears of its end, and does not wait for nothing.
    let again = invite(&a).replace("z9hG4bK", "z9hG4bKx").replace("Call-ID: ", "Call-ID: x");
    let sent = rig.udp(&a, &again);
    assert_eq!(requests(&settled(&mut rig, sent), "INVITE").len(), 1);
    let sent = rig.input_closed(connection, CloseReason::Reset);
    let sent = settled(&mut rig, sent);
    assert!(statuses(&sent).iter().any(|status| *status >= 400), "{sent:?}");
    rig.pass(200_000);
    assert!(rig.element.is_drained());
}

#[test]
fn a_cancel_by_another_connection_finds_its_invite() {
    let mut rig = rig(&open(), 3);
    let (a, b) = (dealt_to(&rig, 0, 5060), dealt_to(&rig, 1, 5070));
    registered(&mut rig, &b, "bob", &format!("sip:bob@{b}"));
    // From one host, or it might not cancel.
    let host = a.split(':').next().unwrap();
    let (one, other) = (port_dealt_to(&rig, host, 2), port_dealt_to(&rig, host, 1));
    let (first, second) = (rig.accept(&one), rig.accept(&other));
    let text = invite(&format!("{host}:5060")).replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    let sent = rig.tcp(first, &text);
    let sent = settled(&mut rig, sent);
    let asked = requests(&sent, "INVITE")[0].clone();
    let sent = rig.udp(&b, &asked.answer(180, ""));
    assert_eq!(statuses(&settled(&mut rig, sent)), [180]);
    let cancel = text.replace("INVITE sip", "CANCEL sip").replace("1 INVITE", "1 CANCEL");
    let sent = rig.tcp(second, &cancel);
    let sent = settled(&mut rig, sent);
    let ends = |sent: &&Sent| sent.status() == 200 && sent.field("CSeq") == "1 CANCEL";
    assert_eq!(sent.iter().find(ends).unwrap().connection, Some(second));
    assert_eq!(requests(&sent, "CANCEL")[0].to.to_string(), b);
    // One for nothing at all has been asked about everywhere before it goes on, once, to where its
    // INVITE may have gone without state (section 16.10).
    let unknown = cancel.replace("branch=z9hG4bK", "branch=z9hG4bKnever");
    let sent = rig.tcp(second, &unknown);
    let sent = settled(&mut rig, sent);
    assert_eq!((statuses(&sent).len(), requests(&sent, "CANCEL").len()), (0, 1));
}

#[test]
fn a_request_that_comes_by_two_ways_to_two_shards_is_merged() {
    let mut rig = rig(&open(), 2);
    let (a, b) = (dealt_to(&rig, 0, 5060), dealt_to(&rig, 1, 5060));
    let options = |from: &str| {
        format!(
            "OPTIONS sip:192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{}\n\
             From: <sip:a@b>;tag=1\nTo: <sip:192.0.2.1>\nCall-ID: merged\nCSeq: 7 OPTIONS\n",
            from.replace(['.', ':'], "")
        )
    };
    assert_eq!(statuses(&rig.udp(&a, &options(&a))), [200]);
    assert_eq!(statuses(&rig.udp(&b, &options(&b))), [482]);
    assert_eq!(statuses(&rig.udp(&a, &options(&a))), [200]);
}

#[test]
fn who_registers_at_one_shard_is_rung_by_the_search_of_another() {
    let mut rig = rig(&open(), 2);
    let (a, b) = (dealt_to(&rig, 0, 5060), dealt_to(&rig, 1, 5070));
    let late = dealt_to(&rig, 1, 5080);
    registered(&mut rig, &b, "bob", &format!("sip:bob@{b}"));
    let sent = rig.udp(&a, &invite(&a));
    let sent = settled(&mut rig, sent);
    let asked = requests(&sent, "INVITE")[0].clone();
    let sent = rig.udp(&b, &asked.answer(180, ""));
    settled(&mut rig, sent);
    let text = format!(
        "REGISTER sip:192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP {late};branch=z9hG4bKlate\n\
         From: <sip:bob@192.0.2.1>;tag=1\nTo: <sip:bob@192.0.2.1>\nCall-ID: late\n\
         CSeq: 1 REGISTER\nContact: <sip:bob@{late}>\n"
    );
    let sent = rig.udp(&late, &text);
    let sent = settled(&mut rig, sent);
    assert_eq!(requests(&sent, "INVITE")[0].to.to_string(), late);
}

#[test]
fn a_ban_holds_at_every_shard_and_is_lifted_for_all() {
    let mut settings = open();
    settings.abuse.strikes = 3;
    let mut rig = rig(&settings, 2);
    let host = "198.51.100.9";
    let (one, other) = (port_dealt_to(&rig, host, 0), port_dealt_to(&rig, host, 1));
    let connection = rig.accept(&one);
    let nobody = |n: usize| {
        request("INVITE", "sip:x@192.0.2.1", "sip:a@b", "sip:x@192.0.2.1", &format!("h{n}"), "")
    };
    // A little of what it did is forgotten meanwhile.
    for n in 0..4 {
        let sent = rig.tcp(connection, &nobody(n).replace("/UDP", "/TCP"));
        settled(&mut rig, sent);
    }
    assert_eq!(rig.element.shards()[1].stack().abuse().bans(rig.now.at).len(), 1);
    assert!(rig.udp(&other, &nobody(9)).is_empty());
    let lifted = rig.element.shards_mut()[1].stack_mut().lift_bans(host.parse().unwrap());
    assert_eq!(lifted, 1);
    assert_eq!(statuses(&rig.udp(&other, &nobody(9))), [404]);
}

/// Two machines by themselves, as two threads have them, with a store between them.
struct Two {
    shards: Vec<Endpoint>,
    now: Now,
    stored: Vec<(Option<Ticket>, Record)>,
}

impl Two {
    fn new() -> Two {
        let mut settings = open();
        settings.registrar.durability = Durability::BeforeAnswer;
        let shards = Endpoint::shards(&settings, registries(2), [7; 32]);
        let now = Now { at: Instant(1_000_000), unix: 1_800_000_000 };
        let mut two = Two { shards, now, stored: Vec::new() };
        for shard in 0..2 {
            let local = "192.0.2.1:5060".parse().unwrap();
            let (id, transport) = (ListenerId(0), Transport::Udp);
            let up = Input::Listening(Listener { id, transport, local, advertised: None });
            two.tell(shard, up);
        }
        two
    }

    /// Tells a shard something; gives what it wants, in the order in which it wants it.
    fn tell(&mut self, shard: usize, input: Input<'_>) -> Outbox {
        let mut out = Outbox::new();
        self.shards[shard].handle(self.now, input, &mut out);
        out
    }

    fn carry_out(&mut self, out: &Outbox) -> Vec<(Flow, String)> {
        let mut sent = Vec::new();
        for output in &out.outputs {
            match output {
                Output::Journal(journal) => {
                    journal.submit(|ticket, record| self.stored.push((ticket, record)));
                }
                Output::Store { .. } => panic!("past the journal"),
                Output::Transmit { flow, bytes } => {
                    sent.push((*flow, String::from_utf8_lossy(out.bytes(bytes)).into_owned()));
                }
                _ => {}
            }
        }
        sent
    }

    fn register(&mut self, shard: usize, cseq: u32, contact: &str) -> Outbox {
        let text = format!(
            "REGISTER sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bK{contact}\r\n\
             From: <sip:bob@192.0.2.1>;tag=1\r\nTo: <sip:bob@192.0.2.1>\r\nCall-ID: {contact}\r\n\
             CSeq: {cseq} REGISTER\r\nContact: <sip:{contact}@198.51.100.1>\r\nContent-Length: 0\r\n\r\n"
        );
        let remote = "198.51.100.1:5060".parse().unwrap();
        let (listener, bytes) = (ListenerId(0), text.as_bytes());
        self.tell(shard, Input::Datagram { listener, remote, bytes })
    }
}

#[test]
fn the_store_is_given_changes_in_the_order_in_which_they_were_made() {
    let mut two = Two::new();
    let first = two.register(0, 1, "one");
    let second = two.register(1, 1, "two");
    // The other thread is faster with what it has to carry out.
    assert!(two.carry_out(&second).is_empty());
    assert!(two.carry_out(&first).is_empty());
    let contacts: Vec<usize> = two
        .stored
        .iter()
        .map(|(_, record)| {
            let value = record.value.as_deref().unwrap();
            value.windows(13).filter(|part| part.starts_with(b"@198.51.100.1")).count()
        })
        .collect();
    // What is written last has both, each contact standing there as it is and as a URI.
    assert!(contacts[0] < contacts[1], "{contacts:?}");
    let tickets: Vec<Ticket> = two.stored.iter().map(|(ticket, _)| ticket.unwrap()).collect();
    assert_eq!(tickets.iter().map(|ticket| ticket.shard()).collect::<Vec<_>>(), [0, 1]);
    for (shard, ticket) in tickets.into_iter().enumerate().rev() {
        let out = two.tell(shard, Input::Stored { ticket, result: Ok(()) });
        let sent = two.carry_out(&out);
        assert!(sent[0].1.starts_with("SIP/2.0 200"), "{sent:?}");
    }
    let registrar = two.shards[0].server().registrar();
    assert_eq!((registrar.records(), registrar.bindings()), (1, 2));
    // An answer to a ticket of the other's is not taken for one's own.
    let out = two.tell(0, Input::Stored { ticket: Ticket::of(1, 1), result: Err(StoreFault::Io) });
    assert!(two.carry_out(&out).is_empty());
}

#[test]
fn what_one_shard_has_bound_ends_though_another_has_looked_since() {
    let mut two = Two::new();
    for shard in 0..2 {
        let out = two.register(shard, 1, ["one", "two"][shard]);
        two.carry_out(&out);
    }
    for (ticket, _) in std::mem::take(&mut two.stored) {
        let ticket = ticket.unwrap();
        let out = two.tell(ticket.shard().into(), Input::Stored { ticket, result: Ok(()) });
        two.carry_out(&out);
    }
    two.now.unix += 4_000;
    two.now.at = Instant(two.now.at.0 + 4_000_000_000);
    for shard in 0..2 {
        let out = two.tell(shard, Input::Tick);
        two.carry_out(&out);
    }
    assert_eq!(two.shards[0].server().registrar().records(), 0);
    // It was taken out of the store once.
    assert_eq!(two.stored.iter().filter(|(_, record)| record.value.is_none()).count(), 1);
}
