mod durability;
mod late;
mod model;

use super::*;
use crate::contract::Durable;
use crate::hash::Key;
use crate::io::{Instant, Now, Outbox, Output, Record, Ticket};
use crate::registrar::binding::tests::flow;
use towel_message::{Host, Index, Limits, Message, Name};

/// biloxi.com with the alias 192.0.2.1 and port 5060, and atlanta.com; all but nobody live there.
struct Town;

impl Served for Town {
    fn canonical(&self, host: &Host<'_>, port: Option<u16>) -> Option<&str> {
        match (host, port) {
            (Host::Name(name), None | Some(5060)) => ["biloxi.com", "atlanta.com"]
                .into_iter()
                .find(|domain| name.eq_ignore_ascii_case(domain.as_bytes())),
            (Host::V4(ip), None | Some(5060)) if ip.octets() == [192, 0, 2, 1] => {
                Some("biloxi.com")
            }
            _ => None,
        }
    }

    fn has_user(&self, user: &[u8], _domain: &str) -> bool {
        user != b"nobody"
    }
}

fn at(unix: u64) -> Now {
    Now { at: Instant(unix * 1_000_000), unix }
}

/// What a REGISTER came to: the Contact values of a 200, or the status of a refusal.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Ok(Vec<String>),
    Held(Vec<String>),
    No(u16),
    Elsewhere,
}

fn ok(contacts: &[&str]) -> Answer {
    Answer::Ok(contacts.iter().map(ToString::to_string).collect())
}

struct Bench {
    registrar: Registrar,
    now: u64,
    ticket: u64,
    user: Option<&'static str>,
    out: Outbox,
    /// The branch of the next request, where it is not to be a new one.
    branch: Option<&'static str>,
    tag: &'static str,
    /// Whether an extension attaches something to the first contact.
    kept: bool,
}

impl Bench {
    fn with(settings: Settings) -> Self {
        let registrar = Registrar::new(settings, Key(1, 2));
        Self {
            registrar,
            now: 1_000_000,
            ticket: 0,
            user: None,
            out: Outbox::new(),
            branch: None,
            tag: TAG,
            kept: false,
        }
    }

    fn new() -> Self {
        Self::with(Settings { durability: Durability::Memory, ..Settings::default() })
    }

    fn durable() -> Self {
        Self::with(Settings::default())
    }

    /// REGISTER by bob for himself; `fields` are whole lines.
    fn bob(&mut self, call_id: &str, cseq: u32, fields: &str) -> Answer {
        self.send(
            "sip:biloxi.com",
            "<sip:bob@biloxi.com>",
            "<sip:bob@biloxi.com>",
            call_id,
            cseq,
            fields,
        )
    }

    fn send(
        &mut self,
        uri: &str,
        from: &str,
        to: &str,
        call_id: &str,
        cseq: u32,
        fields: &str,
    ) -> Answer {
        self.ticket += 1;
        let branch = self.branch.map_or_else(|| format!("z9hG4bK{}", self.ticket), str::to_owned);
        let tag = self.tag;
        let text = format!(
            "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP bobspc;branch={branch}\r\n\
             Max-Forwards: 70\r\nFrom: {from};tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} REGISTER\r\n{}Content-Length: 0\r\n\r\n",
            fields.lines().map(|line| format!("{line}\r\n")).collect::<String>(),
        );
        let mut index = Index::new();
        let message = Message::parse(text.as_bytes(), &mut index, &Limits::default()).unwrap();
        // As an extension does that knows of ways.
        let path: Vec<_> = message.values(Name::Path).map(|value| value.bytes).collect();
        let mut kept = Durable::new();
        kept.set("made", b";q=0;made=\"here\"");
        let request = Request {
            message,
            flow: flow("198.51.100.7:5060", None),
            user: self.user,
            kept: if self.kept { &[kept] } else { &[] },
            route: &path.join(&b',')[..],
        };
        let ticket = Ticket(self.ticket);
        let outcome = self.registrar.register(&request, &Town, at(self.now), ticket, &mut self.out);
        match outcome {
            Outcome::Elsewhere => Answer::Elsewhere,
            Outcome::Refused(refusal) => {
                assert_eq!(refusal.min_expires.is_some(), refusal.status == 423);
                assert!(refusal.status < 600);
                Answer::No(refusal.status)
            }
            Outcome::Registered(registered) => {
                let held = registered.held;
                let mut contacts = Vec::new();
                let mut dates = 0;
                let list = |kept: &[u8], to: &mut Vec<u8>| {
                    to.extend_from_slice(crate::contract::state::find(kept, "made").unwrap());
                };
                registered.fields(list, |name, value| match name {
                    Name::Contact => contacts.push(String::from_utf8(value.to_vec()).unwrap()),
                    Name::Date => dates += 1,
                    other => panic!("{other:?}"),
                });
                assert_eq!(dates, 1);
                if held { Answer::Held(contacts) } else { Answer::Ok(contacts) }
            }
        }
    }

    fn uris(&self) -> Vec<String> {
        let location = self.registrar.location(b"sip:bob@biloxi.com");
        let found = location.lookup(b"sip:bob@biloxi.com", self.now);
        found.map(|b| String::from_utf8(b.uri.to_vec()).unwrap()).collect()
    }

    fn stores(&mut self) -> Vec<(Option<Ticket>, Record)> {
        let outputs = core::mem::take(&mut self.out.outputs).into_iter();
        let stores = outputs.filter_map(|output| match output {
            Output::Store { ticket, record } => Some((ticket, record)),
            Output::Event(_) => None,
            other => panic!("{other:?}"),
        });
        stores.collect()
    }
}

const TAG: &str = "456248";
const ONE: &str = "Contact: <sip:bob@192.0.2.4>";

#[test]
fn the_example_of_section_24_1() {
    let mut bench = Bench::new();
    let answer = bench.bob(
        "843817637684230@998sdasdh09",
        1826,
        "Contact: <sip:bob@192.0.2.4>\nExpires: 7200",
    );
    assert_eq!(answer, ok(&["<sip:bob@192.0.2.4>;expires=7200"]));
    assert_eq!(bench.uris(), ["sip:bob@192.0.2.4"]);
}

// Step 1.

#[test]
fn another_domain_is_not_ours_to_register_in() {
    let mut bench = Bench::new();
    for uri in ["sip:chicago.com", "sip:biloxi.com:5070", "sip:192.0.2.2"] {
        let answer = bench.send(uri, "<sip:bob@biloxi.com>", "<sip:bob@biloxi.com>", "a", 1, ONE);
        assert_eq!(answer, Answer::Elsewhere, "{uri}");
    }
    let answer =
        bench.send("tel:+15550100", "<sip:bob@biloxi.com>", "<sip:bob@biloxi.com>", "a", 1, ONE);
    assert_eq!(answer, Answer::No(416));
}

// Step 4.

#[test]
fn only_who_may_registers_somebody_else() {
    let mut bench = Bench::new();
    let mut register = |user, from: &str| {
        bench.user = user;
        bench.ticket += 1;
        let cseq = bench.ticket as u32 + 1;
        bench.send("sip:biloxi.com", from, "<sip:bob@biloxi.com>", "a", cseq, ONE)
    };
    let good = ok(&["<sip:bob@192.0.2.4>;expires=3600"]);
    assert_eq!(register(Some("alice"), "<sip:bob@biloxi.com>"), Answer::No(403));
    assert_eq!(register(Some("Bob"), "<sip:bob@biloxi.com>"), Answer::No(403));
    assert_eq!(register(Some("bob"), "<sip:alice@biloxi.com>"), good);
    // Where nobody has to prove anything, From says who they are.
    assert_eq!(register(None, "<sip:alice@biloxi.com>"), Answer::No(403));
    assert_eq!(register(None, "<sip:bob@chicago.com>"), Answer::No(403));
    assert_eq!(register(None, "<sips:b%6Fb@192.0.2.1;x=y>"), good);

    let third_party = vec!["desk".to_owned()];
    let settings = Settings { third_party, durability: Durability::Memory, ..Settings::default() };
    let mut bench = Bench::with(settings.clone());
    bench.user = Some("desk");
    assert_eq!(bench.bob("a", 1, ONE), good);
    let mut bench = Bench::with(Settings { open_third_party: true, ..settings });
    let answer =
        bench.send("sip:biloxi.com", "<sip:x@y.example>", "<sip:bob@biloxi.com>", "a", 1, ONE);
    assert_eq!(answer, good);
}

// Step 5.

#[test]
fn an_address_of_record_that_is_not_of_the_domain_is_not_found() {
    let mut bench = Bench::new();
    for to in [
        "<sip:bob@chicago.com>",
        "<sip:bob@atlanta.com>",
        "<sip:biloxi.com>",
        "<sip:nobody@biloxi.com>",
    ] {
        assert_eq!(bench.send("sip:biloxi.com", to, to, "a", 1, ONE), Answer::No(404), "{to}");
    }
    let others = ["<tel:+15550100>", "<mailto:bob@biloxi.com>", "isbn:2983792873"];
    for to in ["<sip:@biloxi.com", "<sip:bob@>", "bob"].into_iter().chain(others) {
        assert_eq!(bench.send("sip:biloxi.com", to, to, "a", 1, ONE), Answer::No(400), "{to}");
    }
}

#[test]
fn the_address_of_record_is_canonical() {
    let mut bench = Bench::new();
    let all = ["<sip:bob@192.0.2.4>;expires=3600"];
    for (n, to) in [
        "<sip:bob@biloxi.com>",
        "\"Bob\" <sip:%62ob@BILOXI.com;user=phone;transport=tcp>",
        "sip:bob:secret@biloxi.com;tag=x",
        "<sips:bob@biloxi.com:5060>",
        "<sip:bob@192.0.2.1>",
    ]
    .into_iter()
    .enumerate()
    {
        let cseq = n as u32 + 1;
        assert_eq!(bench.send("sip:192.0.2.1", to, to, "a", cseq, ONE), ok(&all), "{to}");
    }
    assert_eq!(bench.registrar.records(), 1);
    // The user part is compared with regard to case.
    let bob = "<sip:Bob@biloxi.com>";
    assert_eq!(bench.send("sip:biloxi.com", bob, bob, "a", 1, ""), ok(&[]));
}

// Step 6.

#[test]
fn without_contact_the_bindings_are_told() {
    let mut bench = Bench::new();
    assert_eq!(bench.bob("a", 1, ""), ok(&[]));
    bench.bob("a", 2, ONE);
    bench.now += 600;
    // Whatever its Call-ID and CSeq, and though an Expires header field is there.
    assert_eq!(bench.bob("a", 1, "Expires: 0"), ok(&["<sip:bob@192.0.2.4>;expires=3000"]));
    assert_eq!(bench.bob("b", 1, ""), ok(&["<sip:bob@192.0.2.4>;expires=3000"]));
}

#[test]
fn the_star_removes_all() {
    let mut bench = Bench::new();
    bench.bob("a", 1, "Contact: <sip:bob@192.0.2.4>, <tel:+15550100>");
    bench.bob("b", 9, "Contact: <sip:bob@192.0.2.5>");
    // In order for Call-ID a, and of another Call-ID than b.
    assert_eq!(bench.bob("a", 2, "Contact: *\nExpires: 0"), ok(&[]));
    assert!(bench.uris().is_empty());
    assert_eq!(bench.registrar.records(), 0);
    assert_eq!(bench.bob("a", 3, "Contact: *\nExpires: 0"), ok(&[]));
}

#[test]
fn the_star_wants_to_be_alone_and_with_expires_nought() {
    let mut bench = Bench::new();
    bench.bob("a", 1, ONE);
    for fields in [
        "Contact: *",
        "Contact: *\nExpires: 1",
        "Contact: *\nExpires: soon",
        "Contact: *;expires=0",
        "Contact: *;expires=0\nExpires: 0",
        "Contact: *, *\nExpires: 0",
        "Contact: *\nContact: *\nExpires: 0",
        "Contact: *, <sip:bob@192.0.2.4>\nExpires: 0",
        "Contact: <sip:bob@192.0.2.4>;expires=0\nm: *\nExpires: 0",
    ] {
        assert_eq!(bench.bob("a", 2, fields), Answer::No(400), "{fields}");
    }
    assert_eq!(bench.uris().len(), 1);
}

#[test]
fn a_star_out_of_order_fails_as_a_whole() {
    let mut bench = Bench::new();
    bench.bob("b", 9, "Contact: <sip:bob@192.0.2.5>");
    bench.bob("a", 5, ONE);
    for (cseq, status) in [(4, 500), (5, 482)] {
        assert_eq!(bench.bob("a", cseq, "Contact: *\nExpires: 0"), Answer::No(status));
        assert_eq!(bench.uris().len(), 2);
    }
    assert_eq!(bench.bob("a", 6, "Contact: *\nExpires: 0"), ok(&[]));
}

// Step 7: intervals.

#[test]
fn the_interval_is_the_contacts_or_the_requests_or_ours() {
    let mut bench = Bench::new();
    for (n, (fields, granted)) in [
        ("Contact: <sip:bob@192.0.2.4>;expires=120\nExpires: 240", 120),
        ("Contact: <sip:bob@192.0.2.4>;Expires=120", 120),
        ("Contact: <sip:bob@192.0.2.4>\nExpires: 240", 240),
        ("Contact: sip:bob@192.0.2.4;expires=120", 120),
        ("Contact: <sip:bob@192.0.2.4;expires=7>\nExpires: 240", 240),
        ("Contact: <sip:bob@192.0.2.4>", 3_600),
        // Malformed ones count as an hour, those that are too great as the greatest there is.
        ("Contact: <sip:bob@192.0.2.4>;expires=1h", 3_600),
        ("Contact: <sip:bob@192.0.2.4>;expires", 3_600),
        ("Contact: <sip:bob@192.0.2.4>;expires=\"60\"", 3_600),
        ("Contact: <sip:bob@192.0.2.4>\nExpires: -1", 3_600),
        ("Contact: <sip:bob@192.0.2.4>\nExpires: 4294967296", 86_400),
        ("Contact: <sip:bob@192.0.2.4>;expires=99999999999999999999", 86_400),
        ("Contact: <sip:bob@192.0.2.4>\nExpires: 86401", 86_400),
        ("Contact: <sip:bob@192.0.2.4>\nExpires: 60", 60),
    ]
    .into_iter()
    .enumerate()
    {
        let Answer::Ok(contacts) = bench.bob("a", n as u32 + 1, fields) else { panic!("{fields}") };
        assert_eq!(contacts.len(), 1, "{contacts:?}");
        let end = format!(";expires={granted}");
        assert!(
            contacts[0].ends_with(&end) && contacts[0].matches(";expires=").count() <= 2,
            "{contacts:?}"
        );
    }
}

#[test]
fn too_brief_is_less_than_the_least_and_less_than_an_hour() {
    let mut bench = Bench::new();
    for fields in [
        "Contact: <sip:bob@192.0.2.4>;expires=59",
        "Contact: <sip:bob@192.0.2.4>\nExpires: 1",
        "Contact: <sip:bob@192.0.2.4>;expires=600, <sip:bob@192.0.2.5>;expires=1",
    ] {
        assert_eq!(bench.bob("a", 1, fields), Answer::No(423), "{fields}");
        assert!(bench.uris().is_empty());
    }
    let settings =
        Settings { min_expires: 7_200, durability: Durability::Memory, ..Settings::default() };
    let mut bench = Bench::with(settings);
    assert_eq!(bench.bob("a", 1, "Contact: <sip:bob@192.0.2.4>;expires=3599"), Answer::No(423));
    let answer = bench.bob("a", 1, "Contact: <sip:bob@192.0.2.4>;expires=3600");
    assert_eq!(answer, ok(&["<sip:bob@192.0.2.4>;expires=3600"]));
}

#[test]
fn a_binding_ends_when_its_time_is_up_and_not_before() {
    let mut bench = Bench::new();
    bench.bob("a", 1, "Contact: <sip:bob@192.0.2.4>;expires=60, <sip:bob@192.0.2.5>;expires=120");
    bench.now += 60;
    assert_eq!(bench.uris().len(), 2);
    bench.now += 1;
    assert_eq!(bench.uris(), ["sip:bob@192.0.2.5"]);
    // One that has ended is none: its Call-ID and CSeq bind nobody any more.
    let answer = bench.bob("a", 1, ONE);
    assert_eq!(answer, ok(&["<sip:bob@192.0.2.5>;expires=59", "<sip:bob@192.0.2.4>;expires=3600"]));
}

// Step 7: which binding, and in which order.

#[test]
fn contacts_are_found_again_by_the_rules_of_section_19_1_4() {
    let mut bench = Bench::new();
    let mut count = |cseq, contact: &str| match bench.bob("a", cseq, &format!("Contact: {contact}"))
    {
        Answer::Ok(contacts) => contacts.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(count(1, "<sip:bob@192.0.2.4;transport=tcp>"), 1);
    assert_eq!(count(2, "<SIP:%62ob@192.0.2.4;Transport=TCP>;q=0.3"), 1);
    assert_eq!(count(3, "<sip:bob@192.0.2.4;transport=tcp;newparam=5>"), 1);
    assert_eq!(count(4, "<sip:bob@192.0.2.4:5060;transport=tcp>"), 2);
    assert_eq!(count(6, "<sip:Bob@192.0.2.4;transport=tcp>"), 3);
    assert_eq!(count(7, "<sip:bob@192.0.2.4;transport=udp>"), 4);
    assert_eq!(count(8, "<tel:+1-555-0100>"), 5);
    assert_eq!(count(9, "<tel:+15550100>"), 5);
    assert_eq!(count(10, "<mailto:bob@biloxi.com>"), 6);
}

#[test]
fn a_sips_contact_is_secure_all_the_way_or_refused() {
    let mut bench = Bench::new();
    let mut cseq = 0;
    let mut register = |uri: &str, fields: &str| {
        cseq += 1;
        match bench.send(uri, "<sip:bob@biloxi.com>", "<sip:bob@biloxi.com>", "a", cseq, fields) {
            Answer::Ok(_) => 200,
            Answer::No(status) => status,
            other => panic!("{other:?}"),
        }
    };
    const SIPS: &str = "Contact: <sips:bob@192.0.2.4>";
    assert_eq!(register("sip:biloxi.com", SIPS), 400);
    assert_eq!(register("sips:biloxi.com", SIPS), 200);
    assert_eq!(register("sips:biloxi.com", &format!("{SIPS}, <sip:bob@192.0.2.4>")), 400);
    assert_eq!(register("sips:biloxi.com", &format!("{SIPS}\nPath: <sip:p.biloxi.com;lr>")), 400);
    assert_eq!(register("sips:biloxi.com", &format!("{SIPS}\nPath: <sips:p.biloxi.com;lr>")), 200);
    assert_eq!(register("sip:biloxi.com", &format!("{SIPS};expires=0")), 200);
    assert_eq!(register("sips:biloxi.com", "Contact: <sip:bob@192.0.2.4>"), 200);
}

#[test]
fn the_same_call_id_needs_a_higher_cseq() {
    let mut bench = Bench::new();
    bench.bob("a", 5, "Contact: <sip:bob@192.0.2.4>;expires=600");
    // A CSeq that came before with the same From tag is a merged request (section 8.2.2.2); with
    // another one it is of a client that cannot count.
    for (cseq, tag, status) in [(4, TAG, 500), (5, TAG, 482), (5, "other", 500)] {
        bench.tag = tag;
        let refused = Answer::No(status);
        let longer = bench.bob("a", cseq, "Contact: <sip:bob@192.0.2.4>;expires=700");
        assert_eq!(longer, refused, "{cseq} {tag}");
        assert_eq!(bench.bob("a", cseq, "Contact: <sip:bob@192.0.2.4>;expires=0"), refused);
        // Nothing of a request that fails is kept, in whatever order its contacts stand.
        for fields in [
            "Contact: <sip:new@192.0.2.9>, <sip:bob@192.0.2.4>",
            "Contact: <sip:bob@192.0.2.4>, <sip:new@192.0.2.9>",
        ] {
            assert_eq!(bench.bob("a", cseq, fields), refused);
        }
        assert_eq!(bench.bob("x", 1, ""), ok(&["<sip:bob@192.0.2.4>;expires=600"]));
    }
    let answer = bench.bob("a", 6, "Contact: <sip:bob@192.0.2.4>;expires=700");
    assert_eq!(answer, ok(&["<sip:bob@192.0.2.4>;expires=700"]));
    // Another Call-ID: a client that was started anew counts from wherever it likes.
    let answer = bench.bob("b", 1, "Contact: <sip:bob@192.0.2.4>;expires=800");
    assert_eq!(answer, ok(&["<sip:bob@192.0.2.4>;expires=800"]));
    // The binding is now of Call-ID b.
    assert_eq!(bench.bob("a", 7, "Contact: <sip:bob@192.0.2.4>;expires=0"), ok(&[]));
    // A lower CSeq for a contact that is not bound is no fault, once it cannot be a late copy.
    assert_eq!(bench.bob("b", 1, ONE), Answer::No(482));
    bench.now += 32;
    assert_eq!(bench.bob("b", 1, ONE), ok(&["<sip:bob@192.0.2.4>;expires=3600"]));
}

#[test]
fn nought_removes_one_and_leaves_the_others() {
    let mut bench = Bench::new();
    bench.bob("a", 1, "Contact: <sip:bob@192.0.2.4>, <sip:bob@192.0.2.5>, <sip:bob@192.0.2.6>");
    let answer = bench.bob(
        "a",
        2,
        "Contact: <sip:bob@192.0.2.4>;expires=600\nContact: <sip:bob@192.0.2.5>\nExpires: 0",
    );
    assert_eq!(
        answer,
        ok(&["<sip:bob@192.0.2.4>;expires=600", "<sip:bob@192.0.2.6>;expires=3600"])
    );
    let answer = bench.bob("b", 1, "Contact: <sip:bob@192.0.2.7>;expires=0");
    assert_eq!(
        answer,
        ok(&["<sip:bob@192.0.2.4>;expires=600", "<sip:bob@192.0.2.6>;expires=3600"])
    );
    let answer =
        bench.bob("b", 2, "Contact: <sip:bob@192.0.2.4>;expires=0, <sip:bob@192.0.2.6>;expires=0");
    assert_eq!(answer, ok(&[]));
    assert_eq!(bench.registrar.records(), 0);
}

#[test]
fn one_contact_twice_in_a_request_is_one_binding() {
    let mut bench = Bench::new();
    let answer = bench.bob(
        "a",
        1,
        "Contact: <sip:bob@192.0.2.4>;expires=100, <sip:bob@192.0.2.4>;expires=200",
    );
    assert_eq!(answer, ok(&["<sip:bob@192.0.2.4>;expires=200"]));
}

#[test]
fn what_a_contact_came_with_is_told_again() {
    let mut bench = Bench::new();
    let answer = bench.bob(
        "a",
        1,
        "Contact: \"Mr. Watson\" <sip:watson@bell.example;x=y?Subject=z>;q=0.7; expires=3600,\n \
         Watson <mailto:watson@bell.example> ;q=0.1;+sip.instance=\"<urn:uuid:1,2;3>\" ;reg-id=1;flag\n\
         m: sip:a@192.0.2.4;q=1.0, <sip:192.0.2.9;lr>",
    );
    let expected = [
        "<sip:a@192.0.2.4>;q=1.0;expires=3600",
        "<sip:192.0.2.9;lr>;expires=3600",
        "\"Mr. Watson\" <sip:watson@bell.example;x=y?Subject=z>;q=0.7;expires=3600",
        "Watson <mailto:watson@bell.example>;q=0.1;+sip.instance=\"<urn:uuid:1,2;3>\";reg-id=1;flag;expires=3600",
    ];
    assert_eq!(answer, ok(&expected));
    let location = bench.registrar.location(b"sip:bob@biloxi.com");
    let found = location.lookup(b"sip:bob@biloxi.com", bench.now);
    let found: Vec<_> = found.map(|b| (b.q, b.params().to_vec())).collect();
    assert_eq!(found[0], (1_000, b";q=1.0".to_vec()));
    assert_eq!(found[3].0, 100);
    assert!(found[3].1.starts_with(b";q=0.1;+sip.instance="));
}

#[test]
fn malformed_contacts_are_refused_and_nothing_is_kept() {
    let mut bench = Bench::new();
    for contact in [
        "",
        "bob",
        "<sip:bob@192.0.2.4",
        "<sip:>",
        "<sip:bob@192.0.2.4>;q=1.1",
        "<sip:bob@192.0.2.4>;q=-1",
        "<sip:bob@192.0.2.4>;q=high",
        "<sip:bob@192.0.2.4>;q",
        "<sip:bob@192.0.2.4>;q=0.1234",
        "<sip:bob@192.0.2.4:99999>",
        "<sip:ok@192.0.2.5>, <sip:bob@192.0.2.4",
        "<sip:ok@192.0.2.5>, <sip:bob@192.0.2.4>;=x",
    ] {
        assert_eq!(bench.bob("a", 1, &format!("Contact: {contact}")), Answer::No(400), "{contact}");
    }
    let long = format!("Contact: <sip:{}@192.0.2.4>", "x".repeat(3_000));
    assert_eq!(bench.bob("a", 1, &long), Answer::No(400));
    let long = format!("{ONE}\nPath: <sip:{}@192.0.2.4;lr>", "x".repeat(3_000));
    assert_eq!(bench.bob("a", 1, &long), Answer::No(400));
    assert_eq!(bench.registrar.records(), 0);
}

#[test]
fn only_so_many_contacts() {
    let mut bench = Bench::new();
    let contact = |n: u32| format!("<sip:bob@192.0.2.{n}>");
    let ten: Vec<_> = (0..10).map(contact).collect();
    assert!(
        matches!(bench.bob("a", 1, &format!("Contact: {}", ten.join(", "))), Answer::Ok(all) if all.len() == 10)
    );
    assert_eq!(bench.bob("a", 2, &format!("Contact: {}", contact(10))), Answer::No(403));
    // One may take the place of another in one request.
    let swap = format!("Contact: {}, {};expires=0", contact(10), contact(0));
    assert!(matches!(bench.bob("a", 2, &swap), Answer::Ok(all) if all.len() == 10));
    // Fewer allowed than there are: they can still be told and removed.
    bench.registrar.reload(Settings {
        max_contacts: 1,
        durability: Durability::Memory,
        ..Settings::default()
    });
    assert!(matches!(bench.bob("a", 1, ""), Answer::Ok(all) if all.len() == 10));
    let one = format!("Contact: {};expires=0", contact(1));
    assert!(matches!(bench.bob("a", 3, &one), Answer::Ok(all) if all.len() == 9));
    assert_eq!(bench.bob("a", 4, "Contact: *\nExpires: 0"), ok(&[]));
}

#[test]
fn only_so_many_addresses_of_record() {
    let settings =
        Settings { max_records: 1, durability: Durability::Memory, ..Settings::default() };
    let mut bench = Bench::with(settings);
    bench.bob("a", 1, ONE);
    let carol = "<sip:carol@biloxi.com>";
    assert_eq!(bench.send("sip:biloxi.com", carol, carol, "c", 1, ONE), Answer::No(503));
    assert!(matches!(bench.bob("a", 2, ONE), Answer::Ok(_)));
}

#[test]
fn the_way_and_the_flow_are_kept_with_the_binding() {
    let mut bench = Bench::new();
    bench.bob(
        "a",
        1,
        &format!(
            "{ONE}\nPath: <sip:p1.example;lr>,\n  <sip:p2.example;lr>\nPath: <sip:p3.example;lr>"
        ),
    );
    let location = bench.registrar.location(b"sip:bob@biloxi.com");
    let binding = location.lookup(b"sip:bob@biloxi.com", bench.now).next().unwrap();
    assert_eq!(binding.route, b"<sip:p1.example;lr>,<sip:p2.example;lr>,<sip:p3.example;lr>");
    assert_eq!(binding.flow, flow("198.51.100.7:5060", None));
    assert_eq!((binding.call_id, binding.cseq), (&b"a"[..], 1));
}

#[test]
fn what_extensions_attach_is_kept_and_listed() {
    let mut bench = Bench::new();
    bench.kept = true;
    let answer = bench.bob("a", 1, "Contact: <sip:bob@192.0.2.4>;q=0.9, <sip:bob@192.0.2.5>;q=0.1");
    let told = [
        "<sip:bob@192.0.2.4>;q=0.9;expires=3600;made=\"here\"",
        "<sip:bob@192.0.2.5>;q=0.1;expires=3600",
    ];
    assert_eq!(answer, ok(&told));
    let location = bench.registrar.location(b"sip:bob@biloxi.com");
    let kept: Vec<_> =
        location.lookup(b"sip:bob@biloxi.com", bench.now).map(|b| b.kept.len()).collect();
    assert_eq!(kept, [23, 0]);
    drop(location);
    bench.kept = false;
    let answer = bench.bob("a", 2, "Contact: <sip:bob@192.0.2.4>;q=0.9");
    assert_eq!(answer, ok(&["<sip:bob@192.0.2.4>;q=0.9;expires=3600", told[1]]));
}
