//! Look-ups against a zone in memory, answered in any order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::io::{Instant, Outbox, Output, QueryId};

/// A resolver: what it knows, and how often it was asked.
#[derive(Default)]
struct Zone {
    answers: BTreeMap<(String, &'static str), Answer>,
    asked: Vec<String>,
}

impl Zone {
    fn kind(question: &Question) -> &'static str {
        match question.kind() {
            QuestionKind::Naptr => "NAPTR",
            QuestionKind::Srv => "SRV",
            QuestionKind::A => "A",
            QuestionKind::Aaaa => "AAAA",
        }
    }

    /// From lines as in a zone file: `name TTL type data`.
    fn of(text: &str) -> Self {
        let mut zone = Self::default();
        for line in text.lines().filter(|l| !l.trim().is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = words[0].trim_end_matches('.').to_ascii_lowercase();
            let ttl: u32 = words[1].parse().unwrap();
            let number = |i: usize| words[i].parse::<u16>().unwrap();
            let quoted = |i: usize| words[i].trim_matches('"').into();
            let host = |i: usize| words[i].into();
            let (kind, record) = match words[2] {
                "NAPTR" => (
                    "NAPTR",
                    Records::Naptr(vec![Naptr {
                        order: number(3),
                        preference: number(4),
                        flags: quoted(5),
                        services: quoted(6),
                        regexp: quoted(7),
                        replacement: host(8),
                    }]),
                ),
                "SRV" => (
                    "SRV",
                    Records::Srv(vec![Srv {
                        priority: number(3),
                        weight: number(4),
                        port: number(5),
                        target: host(6),
                    }]),
                ),
                "A" => ("A", Records::A(vec![words[3].parse().unwrap()])),
                "AAAA" => ("AAAA", Records::Aaaa(vec![words[3].parse().unwrap()])),
                other => panic!("{other}"),
            };
            let entry = zone
                .answers
                .entry((name, kind))
                .or_insert(Answer { ttl, outcome: Outcome::Nothing });
            match (&mut entry.outcome, record) {
                (Outcome::Records(Records::Naptr(all)), Records::Naptr(one)) => all.extend(one),
                (Outcome::Records(Records::Srv(all)), Records::Srv(one)) => all.extend(one),
                (Outcome::Records(Records::A(all)), Records::A(one)) => all.extend(one),
                (Outcome::Records(Records::Aaaa(all)), Records::Aaaa(one)) => all.extend(one),
                (outcome, one) => *outcome = Outcome::Records(one),
            }
        }
        zone
    }

    fn answer(&mut self, question: &Question) -> Answer {
        let kind = Self::kind(question);
        self.asked.push(format!("{} {kind}", question.name()));
        self.answers
            .get(&(question.name().to_string(), kind))
            .cloned()
            .unwrap_or(Answer::nothing(60))
    }
}

fn locator() -> Locator {
    Locator::new(Settings::default(), Capabilities::usual(), 1)
}

const START: Instant = Instant(1_000_000);

fn questions(out: &mut Outbox) -> Vec<(QueryId, Question)> {
    let list = out
        .outputs
        .iter()
        .map(|o| match o {
            Output::Resolve { query, question } => (*query, question.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    out.clear();
    list
}

/// Runs one look-up to its end.
fn run(
    locator: &mut Locator,
    zone: &mut Zone,
    now: Instant,
    destination: &Destination<'_>,
) -> Result<Targets, LocateFault> {
    let mut out = Outbox::new();
    let id = match locator.locate(now, destination, &mut out) {
        Located::Ready(targets) => {
            assert!(out.is_empty());
            return Ok(targets);
        }
        Located::Fault(fault) => return Err(fault),
        Located::Waiting(id) => id,
    };
    for _ in 0..10 {
        // The last question first: the order of answers must not matter.
        for (query, question) in questions(&mut out).into_iter().rev() {
            let answer = zone.answer(&question);
            let done = locator.answered(now, query, answer, &mut out);
            if let Some(done) = done.into_iter().next() {
                assert_eq!(done.lookup, id);
                assert!(locator.is_drained());
                return done.result;
            }
        }
    }
    panic!("no end");
}

fn text(result: Result<Targets, LocateFault>) -> Vec<String> {
    let mut targets = result.expect("targets");
    let mut list = Vec::new();
    while let Some(t) = targets.take_next() {
        let name = t.server_name.map(|n| format!(" {n}")).unwrap_or_default();
        list.push(format!("{} {}{name}", t.transport, t.addr));
    }
    list
}

fn find(zone: &mut Zone, destination: Destination<'_>) -> Vec<String> {
    text(run(&mut locator(), zone, START, &destination))
}

const EXAMPLE: &str = r#"
example.com 600 NAPTR 50 50 "s" "SIPS+D2T" "" _sips._tcp.example.com.
example.com 600 NAPTR 90 50 "s" "SIP+D2T" "" _sip._tcp.example.com
example.com 600 NAPTR 100 50 "s" "SIP+D2U" "" _sip._udp.example.com.
_sip._tcp.example.com 600 SRV 0 1 5060 server1.example.com
_sip._tcp.example.com 600 SRV 1 2 5060 server2.example.com
_sips._tcp.example.com 600 SRV 0 1 5061 server2.example.com
server1.example.com 600 A 192.0.2.1
server2.example.com 600 A 192.0.2.2
"#;

#[test]
fn the_example_of_section_4_1() {
    let mut zone = Zone::of(EXAMPLE);
    let without_tls = Capabilities::none().with(Transport::Udp, false).with(Transport::Tcp, false);
    let mut locator = Locator::new(Settings::default(), without_tls, 1);
    let found = text(run(&mut locator, &mut zone, START, &Destination::sip(b"example.com")));
    assert_eq!(found, ["TCP 192.0.2.1:5060", "TCP 192.0.2.2:5060"]);
    assert_eq!(
        zone.asked,
        [
            "example.com NAPTR",
            "_sip._tcp.example.com SRV",
            "server2.example.com A",
            "server1.example.com A"
        ]
    );
}

#[test]
fn with_tls_the_same_example_gives_tls_under_the_name_that_was_asked_for() {
    let found = find(&mut Zone::of(EXAMPLE), Destination::sip(b"Example.COM."));
    assert_eq!(found, ["TLS 192.0.2.2:5061 example.com"]);
}

#[test]
fn sips_takes_no_other_service() {
    let zone = r#"
example.com 600 NAPTR 1 1 "s" "SIP+D2T" "" _sip._tcp.example.com
example.com 600 NAPTR 2 1 "s" "SIPS+D2U" "" _sips._udp.example.com
example.com 600 NAPTR 9 1 "s" "sips+d2t" "" _sips._tcp.other.example
_sips._tcp.other.example 60 SRV 0 0 5081 h.other.example
h.other.example 60 A 192.0.2.9
"#;
    let found = find(&mut Zone::of(zone), Destination::sips(b"example.com"));
    assert_eq!(found, ["TLS 192.0.2.9:5081 example.com"]);
}

#[test]
fn unusable_naptr_records_are_no_naptr_records() {
    let zone = r#"
example.com 600 NAPTR 1 1 "u" "E2U+sip" "!^.*$!sip:x@y!" .
example.com 600 NAPTR 1 1 "s" "SIP+D2S" "" _sip._sctp.example.com
example.com 600 NAPTR 1 1 "s" "SIP+D2U" "!a!b!" _sip._udp.example.net
_sip._udp.example.com 60 SRV 0 0 5070 h.example.com
h.example.com 60 A 192.0.2.9
"#;
    let found = find(&mut Zone::of(zone), Destination::sip(b"example.com"));
    assert_eq!(found, ["UDP 192.0.2.9:5070"]);
}

#[test]
fn no_naptr_asks_for_srv_of_every_transport_and_takes_the_preferred() {
    let mut zone = Zone::of(
        "_sip._tcp.example.com 60 SRV 0 0 5062 h.example.com
         h.example.com 60 A 192.0.2.9",
    );
    assert_eq!(find(&mut zone, Destination::sip(b"example.com")), ["TCP 192.0.2.9:5062"]);
    assert!(zone.asked.contains(&"_sip._udp.example.com SRV".to_string()));
    assert!(zone.asked.iter().all(|q| !q.starts_with("_sips.")));
}

#[test]
fn a_transport_leaves_naptr_out() {
    let mut zone = Zone::of(EXAMPLE);
    let found = find(&mut zone, Destination::sip(b"example.com").transport(Transport::Tcp));
    assert_eq!(found, ["TCP 192.0.2.1:5060", "TCP 192.0.2.2:5060"]);
    assert_eq!(zone.asked.first().unwrap(), "_sip._tcp.example.com SRV");

    let mut zone = Zone::of(EXAMPLE);
    let found = find(&mut zone, Destination::sip(b"example.com").transport(Transport::Tls));
    assert_eq!(found, ["TLS 192.0.2.2:5061 example.com"]);
    let found = find(&mut zone, Destination::sips(b"example.com").transport(Transport::Tcp));
    assert_eq!(found, ["TLS 192.0.2.2:5061 example.com"]);
}

#[test]
fn a_port_leaves_srv_out_even_if_it_is_5060() {
    let mut zone = Zone::of(
        "example.com 60 A 192.0.2.3
         _sip._udp.example.com 60 SRV 0 0 5070 h.example.com",
    );
    let found = find(&mut zone, Destination::sip(b"example.com").port(5060));
    assert_eq!(found, ["UDP 192.0.2.3:5060"]);
    assert!(zone.asked.iter().all(|q| q.starts_with("example.com A")), "{:?}", zone.asked);
    let found = find(&mut zone, Destination::sips(b"example.com").port(5070));
    assert_eq!(found, ["TLS 192.0.2.3:5070 example.com"]);
}

#[test]
fn nothing_but_addresses_takes_the_default_port() {
    let mut zone = Zone::of("example.com 60 A 192.0.2.3");
    assert_eq!(find(&mut zone, Destination::sip(b"example.com")), ["UDP 192.0.2.3:5060"]);
    assert_eq!(
        find(&mut zone, Destination::sips(b"example.com")),
        ["TLS 192.0.2.3:5061 example.com"]
    );
    let large = Destination { large: true, ..Destination::sip(b"example.com") };
    assert_eq!(find(&mut zone, large), ["TCP 192.0.2.3:5060"]);
}

#[test]
fn a_large_request_takes_a_reliable_transport_where_there_is_one() {
    let zone = r#"
example.com 600 NAPTR 1 1 "s" "SIP+D2U" "" _sip._udp.example.com
example.com 600 NAPTR 2 1 "s" "SIP+D2T" "" _sip._tcp.example.com
_sip._udp.example.com 60 SRV 0 0 5060 h.example.com
_sip._tcp.example.com 60 SRV 0 0 5062 h.example.com
h.example.com 60 A 192.0.2.9
"#;
    let large = Destination { large: true, ..Destination::sip(b"example.com") };
    assert_eq!(find(&mut Zone::of(zone), large), ["TCP 192.0.2.9:5062"]);
}

#[test]
fn numeric_destinations_ask_nothing() {
    let mut zone = Zone::default();
    let cases: [(Destination<'_>, &str); 8] = [
        (Destination::sip(b"192.0.2.1"), "UDP 192.0.2.1:5060"),
        (Destination::sip(b"192.0.2.1").port(9), "UDP 192.0.2.1:9"),
        (Destination::sips(b"192.0.2.1"), "TLS 192.0.2.1:5061 192.0.2.1"),
        (Destination::sip(b"[2001:db8::1]"), "UDP [2001:db8::1]:5060"),
        (Destination::sip(b"2001:db8::1").transport(Transport::Tcp), "TCP [2001:db8::1]:5060"),
        (Destination::sip(b"[::ffff:192.0.2.1]"), "UDP 192.0.2.1:5060"),
        (Destination { large: true, ..Destination::sip(b"192.0.2.1") }, "TCP 192.0.2.1:5060"),
        (
            Destination { maddr: Some(b"192.0.2.7"), ..Destination::sips(b"example.com") },
            "TLS 192.0.2.7:5061 example.com",
        ),
    ];
    for (destination, expected) in cases {
        assert_eq!(find(&mut zone, destination), [expected]);
    }
    assert!(zone.asked.is_empty());
}

#[test]
fn faults() {
    let mut zone = Zone::of(
        "none.example 60 SRV 0 0 0 .
         _sip._udp.closed.example 60 SRV 0 0 0 .
         closed.example 60 A 192.0.2.1
         lost.example 60 A 192.0.2.1",
    );
    for (name, kind) in [("lost.example", "A"), ("lost.example", "AAAA")] {
        zone.answers.insert((name.into(), kind), Answer::failure());
    }
    let long = [b'a'; 300];
    let cases: [(Destination<'_>, LocateFault); 13] = [
        (Destination::sip(b""), LocateFault::BadHost),
        (Destination::sip(b"a..b"), LocateFault::BadHost),
        (Destination::sip(b"a b.example"), LocateFault::BadHost),
        (Destination::sip(b"1.2.3.4.5"), LocateFault::BadHost),
        (Destination::sip(b"[::1"), LocateFault::BadHost),
        (Destination::sip(b"\xff\xfe"), LocateFault::BadHost),
        (Destination::sip(b"0.0.0.0"), LocateFault::BadHost),
        (Destination::sip(&long), LocateFault::BadHost),
        (Destination::sips(b"192.0.2.1").transport(Transport::Udp), LocateFault::Unsupported),
        (Destination::sip(b"example.com").transport(Transport::Sctp), LocateFault::Unsupported),
        (Destination::sip(b"nowhere.example"), LocateFault::NoSuchName),
        (Destination::sip(b"closed.example"), LocateFault::NotOffered),
        (Destination::sip(b"lost.example"), LocateFault::NoAnswer),
    ];
    for (destination, fault) in cases {
        assert_eq!(run(&mut locator(), &mut zone, START, &destination), Err(fault));
    }
    let v4 = Capabilities::none().with(Transport::Udp, false);
    let mut only_v4 = Locator::new(Settings::default(), v4, 1);
    let v6 = Destination::sip(b"[2001:db8::1]");
    assert_eq!(run(&mut only_v4, &mut zone, START, &v6), Err(LocateFault::Unsupported));
}

#[test]
fn failing_naptr_and_srv_still_lead_to_the_addresses() {
    let mut zone = Zone::of("example.com 60 A 192.0.2.3");
    for (name, kind) in [
        ("example.com", "NAPTR"),
        ("_sip._udp.example.com", "SRV"),
        ("_sip._tcp.example.com", "SRV"),
    ] {
        zone.answers.insert((name.into(), kind), Answer::failure());
    }
    assert_eq!(find(&mut zone, Destination::sip(b"example.com")), ["UDP 192.0.2.3:5060"]);
}

#[test]
fn a_naptr_that_leads_nowhere_gives_way_to_the_next() {
    let zone = r#"
example.com 600 NAPTR 1 1 "s" "SIP+D2T" "" _sip._tcp.gone.example
example.com 600 NAPTR 2 1 "s" "SIP+D2T" "" not/a/name
example.com 600 NAPTR 3 1 "s" "SIP+D2U" "" _sip._udp.example.com
_sip._udp.example.com 60 SRV 0 0 5070 h.example.com
h.example.com 60 A 192.0.2.9
"#;
    let found = find(&mut Zone::of(zone), Destination::sip(b"example.com"));
    assert_eq!(found, ["UDP 192.0.2.9:5070"]);
}

#[test]
fn addresses_of_srv_records_are_not_interleaved() {
    // The example of RFC 7984 section 4, cut short.
    let zone = "
_sip._tcp.example.com 300 SRV 10 1 5060 sip-1.example.com
_sip._tcp.example.com 300 SRV 20 1 5060 sip-2.example.com
sip-1.example.com 300 A 192.0.2.45
sip-1.example.com 300 A 203.0.113.109
sip-1.example.com 300 AAAA 2001:db8:58:c02::face
sip-2.example.com 300 A 192.0.2.75
sip-2.example.com 300 AAAA 2001:db8:58:c02::dead
";
    let destination = Destination::sip(b"example.com").transport(Transport::Tcp);
    assert_eq!(
        find(&mut Zone::of(zone), destination),
        [
            "TCP [2001:db8:58:c02::face]:5060",
            "TCP 192.0.2.45:5060",
            "TCP 203.0.113.109:5060",
            "TCP [2001:db8:58:c02::dead]:5060",
            "TCP 192.0.2.75:5060",
        ]
    );
    let v4 = Capabilities::none().with(Transport::Tcp, false);
    let mut only_v4 = Locator::new(Settings::default(), v4, 1);
    let mut zone = Zone::of(zone);
    assert_eq!(text(run(&mut only_v4, &mut zone, START, &destination)).len(), 3);
    assert!(zone.asked.iter().all(|q| !q.ends_with("AAAA")));
}

#[test]
fn responses_follow_the_sent_by() {
    let mut zone = Zone::of(EXAMPLE);
    let by_name = Destination::response(Transport::Tls, b"example.com", None);
    assert_eq!(find(&mut zone, by_name), ["TLS 192.0.2.2:5061 example.com"]);
    let by_port = Destination::response(Transport::Udp, b"server1.example.com", Some(5080));
    assert_eq!(find(&mut zone, by_port), ["UDP 192.0.2.1:5080"]);
    let numeric = Destination::response(Transport::Tcp, b"192.0.2.4", None);
    assert_eq!(find(&mut zone, numeric), ["TCP 192.0.2.4:5060"]);
    assert!(zone.asked.iter().all(|q| !q.contains("NAPTR")));
}

#[test]
fn huge_answers_are_cut_and_not_choked_on() {
    let mut zone = String::new();
    for i in 0..250 {
        zone += &format!("_sip._udp.big.example 60 SRV {} {i} 5060 h{i}.big.example\n", i % 7);
        for j in 0..9 {
            zone += &format!("h{i}.big.example 60 A 10.{i}.0.{j}\n");
        }
        zone += &format!("many.example 60 A 10.9.9.{i}\n");
        zone +=
            &format!("ptr.example 60 NAPTR {i} 1 \"s\" \"SIP+D2U\" \"\" _sip._udp.n{i}.example\n");
    }
    let mut zone = Zone::of(&zone);
    let found = find(&mut zone, Destination::sip(b"big.example").transport(Transport::Udp));
    assert_eq!(found.len(), Settings::default().max_targets);
    assert!(zone.asked.len() < 40);
    assert_eq!(find(&mut zone, Destination::sip(b"many.example").port(5060)).len(), 32);
    let nowhere = run(&mut locator(), &mut zone, START, &Destination::sip(b"ptr.example"));
    assert_eq!(nowhere, Err(LocateFault::NoSuchName));
}

#[test]
fn answers_are_kept_for_their_ttl() {
    let mut zone = Zone::of("example.com 30 A 192.0.2.3");
    let mut locator = locator();
    let destination = Destination::sip(b"example.com").port(5060);
    let mut out = Outbox::new();
    text(run(&mut locator, &mut zone, START, &destination));
    let asked = zone.asked.len();
    let later = START + Duration::from_secs(29);
    assert!(matches!(locator.locate(later, &destination, &mut out), Located::Ready(_)));
    // The negative answer for AAAA holds for 60 seconds, the A record for 30.
    let expired = START + Duration::from_secs(30);
    text(run(&mut locator, &mut zone, expired, &destination));
    assert_eq!(zone.asked.len(), asked + 1);
}

#[test]
fn a_ttl_of_nought_serves_those_who_wait_and_no_other() {
    let mut zone = Zone::of(
        "_sip._udp.example.com 0 SRV 0 0 5060 example.com
         example.com 0 A 192.0.2.3",
    );
    let mut locator = locator();
    let destination = Destination::sip(b"example.com").transport(Transport::Udp);
    for round in 1..=2 {
        let found = text(run(&mut locator, &mut zone, START, &destination));
        assert_eq!(found, ["UDP 192.0.2.3:5060"]);
        assert_eq!(zone.asked.iter().filter(|q| q.contains("SRV")).count(), round);
    }
}

#[test]
fn equal_questions_in_flight_are_asked_once() {
    let mut zone = Zone::of("example.com 30 A 192.0.2.3");
    let mut locator = locator();
    let mut out = Outbox::new();
    let one = Destination::sip(b"example.com").port(5060);
    let other = Destination::sip(b"EXAMPLE.com").port(5090);
    let mut waiting = Vec::new();
    for destination in [one, other, one] {
        match locator.locate(START, &destination, &mut out) {
            Located::Waiting(id) => waiting.push(id),
            other => panic!("{other:?}"),
        }
    }
    locator.abandon(waiting.pop().unwrap());
    let asked = questions(&mut out);
    assert_eq!(asked.len(), 2);
    let mut done = Vec::new();
    for (query, question) in asked {
        let answer = zone.answer(&question);
        done.extend(locator.answered(START, query, answer, &mut out));
    }
    let ids: Vec<LookupId> = done.iter().map(|d| d.lookup).collect();
    assert_eq!(ids, waiting);
    let found: Vec<String> = done.into_iter().flat_map(|d| text(d.result)).collect();
    assert_eq!(found, ["UDP 192.0.2.3:5060", "UDP 192.0.2.3:5090"]);
    assert!(locator.is_drained());
}

#[test]
fn a_failed_address_goes_last_and_its_neighbours_stay() {
    let mut zone = Zone::of(
        "example.com 300 A 192.0.2.1
         example.com 300 A 192.0.2.2
         example.com 300 A 192.0.2.3",
    );
    let mut locator = locator();
    let destination = Destination::sip(b"example.com").port(5060);
    let first: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    let order = |locator: &mut Locator, zone: &mut Zone, now| -> Vec<String> {
        let list = text(run(locator, zone, now, &destination));
        list.into_iter().map(|t| t[12..13].to_string()).collect()
    };
    assert_eq!(order(&mut locator, &mut zone, START), ["1", "2", "3"]);
    locator.failed(START, Transport::Udp, first, Failure::Unavailable(None));
    assert_eq!(order(&mut locator, &mut zone, START), ["1", "2", "3"]);
    locator.failed(START, Transport::Udp, first, Failure::TimedOut);
    assert_eq!(order(&mut locator, &mut zone, START), ["2", "3", "1"]);
    let later = START + Duration::from_secs(31);
    assert_eq!(order(&mut locator, &mut zone, later), ["1", "2", "3"]);
    let retry = Failure::Unavailable(Some(Duration::from_secs(100_000)));
    locator.failed(START, Transport::Udp, first, retry);
    assert_eq!(order(&mut locator, &mut zone, later), ["2", "3", "1"]);
    locator.succeeded(Transport::Udp, first);
    assert_eq!(order(&mut locator, &mut zone, later), ["1", "2", "3"]);
    // Blocked and alone it is still tried.
    locator.failed(START, Transport::Udp, first, Failure::Transport);
    let alone = Destination::sip(b"192.0.2.1");
    assert_eq!(text(run(&mut locator, &mut zone, START, &alone)).len(), 1);
}

#[test]
fn silence_ends_a_look_up() {
    let mut locator = locator();
    let mut out = Outbox::new();
    let destination = Destination::sip(b"example.com");
    let Located::Waiting(id) = locator.locate(START, &destination, &mut out) else { panic!() };
    let mut now = START;
    let mut done = Vec::new();
    while let Some(at) = locator.deadline() {
        assert!(at > now);
        now = at;
        let over = locator.due(now, &mut out);
        // All of them together: NAPTR, SRV and addresses do not wait for each other's silence.
        assert_eq!(over.is_empty(), now.since(START) != Settings::default().lookup_time);
        done.extend(over);
    }
    assert_eq!(done, [Completed { lookup: id, result: Err(LocateFault::NoAnswer) }]);
    assert!(locator.is_drained());
    // An answer that comes too late is not taken for another's.
    for (query, _) in questions(&mut out) {
        assert!(locator.answered(now, query, Answer::nothing(9), &mut out).is_empty());
    }
}

#[test]
fn a_slow_dns_is_asked_everything_at_once_and_what_came_in_time_is_taken() {
    let mut locator = locator();
    let mut out = Outbox::new();
    let destination = Destination::sip(b"example.com");
    let Located::Waiting(id) = locator.locate(START, &destination, &mut out) else { panic!() };
    assert_eq!(questions(&mut out).len(), 1);
    let settings = Settings::default();
    assert_eq!(locator.deadline(), Some(START + settings.hurry_after));
    assert!(locator.due(START + settings.hurry_after, &mut out).is_empty());
    let asked = questions(&mut out);
    let kinds: Vec<_> = asked.iter().map(|(_, q)| Zone::kind(q)).collect();
    assert_eq!(kinds, ["SRV", "SRV", "AAAA", "A"]);
    // Only the address is answered, and with a TTL that keeps it out of the cache.
    let (query, _) = asked.into_iter().find(|(_, q)| q.kind() == QuestionKind::A).unwrap();
    let address = Answer::records(Records::A(vec!["192.0.2.7".parse().unwrap()]), 0);
    let later = START + settings.hurry_after + Duration::from_millis(300);
    assert!(locator.answered(later, query, address, &mut out).is_empty());
    let mut done = locator.due(START + settings.lookup_time, &mut out);
    let Completed { lookup, result } = done.remove(0);
    assert_eq!((lookup, text(result)), (id, vec!["UDP 192.0.2.7:5060".to_string()]));
    assert!(out.is_empty());
    let mut now = START + settings.lookup_time;
    while let Some(at) = locator.deadline() {
        now = now.max(at);
        assert!(locator.due(now, &mut out).is_empty());
    }
    assert!(locator.is_drained());
}

#[test]
fn a_host_whose_address_does_not_come_holds_up_no_other() {
    let mut zone = Zone::of(
        "_sip._udp.example.com 60 SRV 1 0 5070 dead.example.com
         _sip._udp.example.com 60 SRV 2 0 5070 well.example.com
         well.example.com 60 A 192.0.2.2",
    );
    let mut locator = locator();
    let mut out = Outbox::new();
    let destination = Destination::sip(b"example.com");
    let Located::Waiting(id) = locator.locate(START, &destination, &mut out) else { panic!() };
    loop {
        let asked = questions(&mut out);
        if asked.is_empty() {
            break;
        }
        for (query, question) in asked {
            if question.name() != "dead.example.com" {
                let answer = zone.answer(&question);
                assert!(locator.answered(START, query, answer, &mut out).is_empty());
            }
        }
    }
    let done = locator.due(START + Settings::default().lookup_time, &mut out);
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].lookup, id);
    assert_eq!(text(done[0].result.clone()), ["UDP 192.0.2.2:5070"]);
}

#[test]
fn look_ups_are_bounded() {
    let settings = Settings { max_lookups: 3, ..Settings::default() };
    let mut locator = Locator::new(settings, Capabilities::usual(), 1);
    let mut out = Outbox::new();
    for i in 0..10 {
        let host = format!("h{i}.example");
        let located = locator.locate(START, &Destination::sip(host.as_bytes()), &mut out);
        let full = located == Located::Fault(LocateFault::Overloaded);
        assert_eq!(full, i >= 3);
    }
    assert_eq!(questions(&mut out).len(), 3);
}

#[test]
fn an_answer_of_another_type_is_a_failure() {
    let mut locator = locator();
    let mut out = Outbox::new();
    let destination = Destination::sip(b"example.com").port(5060);
    locator.locate(START, &destination, &mut out);
    let mut done = Vec::new();
    for (query, _) in questions(&mut out) {
        let wrong = Answer::records(Records::Srv(Vec::new()), 60);
        done.extend(locator.answered(START, query, wrong, &mut out));
    }
    assert_eq!(done.first().map(|d| d.result.clone()), Some(Err(LocateFault::NoAnswer)));
}

#[test]
fn a_stateless_proxy_gets_the_same_order_again() {
    let mut zone = String::new();
    for i in 0..9 {
        zone += &format!("_sip._udp.example.com 60 SRV 0 10 5060 h{i}.example.com\n");
        zone += &format!("h{i}.example.com 60 A 192.0.2.{i}\n");
    }
    let mut zone = Zone::of(&zone);
    let of_seed = |zone: &mut Zone, own: u64, seed: u64| {
        let mut locator = Locator::new(Settings::default(), Capabilities::usual(), own);
        let destination = Destination {
            seed: Some(seed),
            ..Destination::sip(b"example.com").transport(Transport::Udp)
        };
        text(run(&mut locator, zone, START, &destination))
    };
    assert_eq!(of_seed(&mut zone, 1, 5), of_seed(&mut zone, 2, 5));
    let distinct: std::collections::BTreeSet<_> =
        (0..9).map(|s| of_seed(&mut zone, 1, s)).collect();
    assert!(distinct.len() > 3);
}
