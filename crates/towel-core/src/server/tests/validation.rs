//! Section 16.3, and section 8.2 for what the element answers itself.

use super::rig::{request, requests, statuses};
use super::{closed, open, register, rig};

const A: &str = "198.51.100.1:5060";

fn ask(method: &str, uri: &str, more: &str) -> String {
    request(method, uri, "sip:alice@example.org", uri, "198.51.100.1", more)
}

#[test]
fn what_cannot_be_forwarded_is_refused() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let mut one = |text: String| {
        let sent = rig.udp(A, &text);
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent[0].clone()
    };
    assert_eq!(one(ask("MESSAGE", "http://example.com/", "")).status(), 416);
    assert_eq!(one(ask("MESSAGE", "sip:bob@192.0.2.1", "Max-Forwards: 0\n")).status(), 483);
    let bad = one(ask("MESSAGE", "sip:bob@192.0.2.1", "Proxy-Require: foo, bar\n"));
    assert_eq!((bad.status(), bad.field("Unsupported")), (420, "foo, bar"));
    assert_eq!(one(ask("MESSAGE", "sip:nobody@192.0.2.1", "")).status(), 404);
    assert_eq!(one(ask("MESSAGE", "sip:carol@192.0.2.1", "")).status(), 480);
    assert_eq!(one(ask("MESSAGE", "sip:x@foreign.example", "")).status(), 403);
    assert_eq!(one(ask("MESSAGE", "sips:bob@192.0.2.1", "")).status(), 480);
}

#[test]
fn the_server_answers_for_itself() {
    let mut rig = rig(open());
    let mut one = |text: String| {
        let sent = rig.udp(A, &text);
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent[0].clone()
    };
    let options = one(ask("OPTIONS", "sip:192.0.2.1", "Max-Forwards: 0\n"));
    assert_eq!(options.status(), 200);
    for name in ["Allow", "Accept", "Accept-Encoding", "Accept-Language", "Supported"] {
        assert_eq!(options.all(name).len(), 1, "{name}");
    }
    assert!(options.field("To").contains(";tag="));
    let weird = one(ask("WEIRD", "sip:192.0.2.1", ""));
    assert_eq!((weird.status(), weird.field("Allow").is_empty()), (501, false));
    let message = one(ask("MESSAGE", "sip:192.0.2.1", ""));
    assert_eq!((message.status(), message.field("Allow").is_empty()), (405, false));
    assert_eq!(one(ask("OPTIONS", "sip:192.0.2.1", "Require: foo\n")).field("Unsupported"), "foo");
    let stray =
        ask("BYE", "sip:192.0.2.1", "").replace("To: <sip:192.0.2.1>", "To: <sip:192.0.2.1>;tag=x");
    assert_eq!(one(stray).status(), 481);
    assert_eq!(one(ask("CANCEL", "sip:192.0.2.1", "")).status(), 481);
    assert!(rig.udp(A, &ask("ACK", "sip:192.0.2.1", "")).is_empty());
}

#[test]
fn a_registrar_reads_bodies_as_any_uas() {
    let mut rig = rig(open());
    let mut status = |more: &str| {
        let text = request(
            "REGISTER",
            "sip:192.0.2.1",
            "sip:bob@192.0.2.1",
            "sip:bob@192.0.2.1",
            "198.51.100.1",
            more,
        );
        let sent = rig.udp(A, &text);
        rig.pass(40_000);
        statuses(&sent)
    };
    assert_eq!(status("Content-Type: application/x-what\n\nbody"), [415]);
    assert_eq!(status("\nbody of no type"), [200]);
    let optional = "Content-Disposition: render;handling=optional\n";
    assert_eq!(status(&format!("Content-Type: application/x-what\n{optional}\nbody")), [200]);
}

#[test]
fn a_route_that_a_stranger_wrote_leads_nowhere() {
    let mut rig = rig(closed());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let mut one = |method: &str, route: &str| {
        let uri = "sip:bob@example.com";
        let text = request(method, uri, "sip:zaphod@example.org", uri, "198.51.100.1", route);
        let sent = rig.udp(A, &text);
        assert!(requests(&sent, method).is_empty(), "{sent:?}");
        statuses(&sent)
    };
    for route in [
        "Route: <sip:198.51.100.66;lr>\n",
        "Route: <sip:192.0.2.1;lr>, <sip:198.51.100.66;lr>\n",
        "Route: <sip:192.0.2.1;lr>\nRoute: <sip:198.51.100.66>\n",
        "Route: <sip:192.0.2.1;lr>, <sip:example.com;lr>, <sip:198.51.100.66;lr>\n",
    ] {
        assert_eq!(one("MESSAGE", route), [403], "{route}");
        assert_eq!(one("ACK", route), [0; 0]);
    }
}

#[test]
fn what_was_let_through_is_not_changed_and_let_through_again() {
    let mut rig = rig(closed());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    register(&mut rig, "carol", &["<sip:carol@198.51.100.3>"]);
    let bob = "sip:bob@example.com";
    let text = request("MESSAGE", bob, "sip:zaphod@example.org", bob, "198.51.100.1", "");
    let sent = rig.udp(A, &text);
    let seen = requests(&sent, "MESSAGE")[0].text.clone();
    let mut count = 0;
    // Bob's phone sends it back, as whose and where it likes.
    let mut again = |from: &str, uri: &str| {
        count += 1;
        let via = format!("\nVia: SIP/2.0/UDP 198.51.100.2;branch=z9hG4bK{count}\nVia:");
        let text = seen
            .replacen("\nVia:", &via, 1)
            .replace("MESSAGE sip:bob@198.51.100.2 ", &format!("MESSAGE {uri} "))
            .replace("sip:zaphod@example.org", from);
        let sent = rig.udp("198.51.100.2:5060", &text);
        (requests(&sent, "MESSAGE").len(), statuses(&sent))
    };
    assert_eq!(again("sip:zaphod@example.org", "sip:carol@example.com"), (1, vec![]));
    assert_eq!(again("sip:zaphod@example.org", "sip:x@198.51.100.66"), (0, vec![403]));
    assert_eq!(again("sip:alice@example.com", "sip:carol@example.com"), (0, vec![407]));
    assert_eq!(again("sip:alice@example.com", "sip:x@198.51.100.66"), (0, vec![407]));
}

#[test]
fn another_port_makes_no_other_name() {
    let mut rig = rig(closed());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let bob = "sip:bob@example.com";
    let text = request("MESSAGE", bob, "sip:alice@example.com:9999", bob, "198.51.100.1", "");
    assert_eq!(statuses(&rig.udp(A, &text)), [407]);
}

#[test]
fn a_loop_is_found_and_a_spiral_passes() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:carol@192.0.2.1>"]);
    register(&mut rig, "carol", &["<sip:carol@198.51.100.4>"]);
    let sent = rig.udp(A, &ask("MESSAGE", "sip:bob@192.0.2.1", ""));
    let spiral = requests(&sent, "MESSAGE")[0].clone();
    assert_eq!(spiral.to, "192.0.2.1:5060".parse().unwrap());
    let sent = rig.udp("192.0.2.1:5060", &spiral.text);
    let forwarded = requests(&sent, "MESSAGE")[0].clone();
    assert_eq!(forwarded.uri(), "sip:carol@198.51.100.4");
    assert_eq!(forwarded.all("Via").len(), 3);
    // The same request once more, as somebody downstream would send it back to where it began.
    let looped = spiral
        .text
        .replace("MESSAGE sip:carol@192.0.2.1", "MESSAGE sip:bob@192.0.2.1")
        .replacen("branch=z9hG4bK", "branch=z9hG4bKagain", 0);
    let looped = format!(
        "MESSAGE sip:bob@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bKelse\n{}",
        looped.split_once('\n').unwrap().1
    );
    let sent = rig.udp("198.51.100.9:5060", &looped);
    assert_eq!(statuses(&sent), [482]);
}

#[test]
fn who_claims_to_be_ours_must_prove_it() {
    let mut rig = rig(closed());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let text = request(
        "INVITE",
        "sip:bob@example.com",
        "sip:alice@example.com",
        "sip:bob@example.com",
        "198.51.100.1",
        "",
    );
    let sent = rig.udp(A, &text);
    assert_eq!(statuses(&sent), [407]);
    assert!(sent[0].field("Proxy-Authenticate").contains("realm=\"example.com\""));
    // Its ACK goes no further.
    let tag = sent[0].field("To").to_owned();
    let ack = request(
        "ACK",
        "sip:bob@example.com",
        "sip:alice@example.com",
        "sip:bob@example.com",
        "198.51.100.1",
        "",
    )
    .replace("To: <sip:bob@example.com>", &format!("To: {tag}"));
    assert!(rig.udp(A, &ack).is_empty());
    // A stranger reaches our user.
    let text = request(
        "INVITE",
        "sip:bob@example.com",
        "sip:zaphod@example.org",
        "sip:bob@example.com",
        "198.51.100.9",
        "",
    );
    assert_eq!(requests(&rig.udp("198.51.100.9:5060", &text), "INVITE").len(), 1);
}

#[test]
fn proved_credentials_pass_and_end_here() {
    let mut rig = rig(closed());
    let text = |more: &str, cseq: u32| {
        request(
            "MESSAGE",
            "sip:x@198.51.100.8",
            "sip:alice@example.com",
            "sip:x@198.51.100.8",
            "198.51.100.1",
            more,
        )
        .replace("CSeq: 1", &format!("CSeq: {cseq}"))
        .replace("branch=z9hG4bK", &format!("branch=z9hG4bK{cseq}"))
    };
    let sent = rig.udp(A, &text("", 1));
    assert_eq!(statuses(&sent), [407]);
    let challenge = sent[0]
        .all("Proxy-Authenticate")
        .into_iter()
        .find(|c| c.contains("algorithm=MD5"))
        .unwrap()
        .to_owned();
    let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    use md5::{Digest, Md5};
    let hex = |text: String| {
        Md5::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let answer = |user: &'static str| {
        let (one, two) = (
            hex(format!("{user}:example.com:secret")),
            hex("MESSAGE:sip:x@198.51.100.8".to_owned()),
        );
        move |count: u32| {
            let response = hex(format!("{one}:{nonce}:{count:08x}:c:auth:{two}"));
            format!(
                "Proxy-Authorization: Digest username=\"{user}\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"sip:x@198.51.100.8\", response=\"{response}\", algorithm=MD5, qop=auth, nc={count:08x}, cnonce=\"c\"\n"
            )
        }
    };
    let others = "Proxy-Authorization: Digest username=\"z\", realm=\"other\", nonce=\"n\", uri=\"sip:x\", response=\"r\"\n";
    let sent = rig.udp(A, &text(&format!("{others}{}", answer("alice")(1)), 2));
    let [forwarded] = requests(&sent, "MESSAGE")[..] else { panic!("{sent:?}") };
    assert_eq!(forwarded.all("Proxy-Authorization").len(), 1);
    assert!(forwarded.field("Proxy-Authorization").contains("other"));
    // Somebody else's name in From.
    let sent = rig.udp(A, &text(&answer("bob")(2), 3));
    assert_eq!(statuses(&sent), [403]);
}

#[test]
fn a_forged_route_opens_no_relay() {
    let mut rig = rig(closed());
    let text = request(
        "MESSAGE",
        "sip:x@198.51.100.8",
        "sip:z@example.org",
        "sip:x@198.51.100.8",
        "198.51.100.1",
        "Route: <sip:192.0.2.1;lr>\n",
    );
    let text = text.replace("To: <sip:x@198.51.100.8>", "To: <sip:x@198.51.100.8>;tag=1");
    assert_eq!(statuses(&rig.udp(A, &text)), [403]);
    let text = text
        .replace("<sip:192.0.2.1;lr>", "<sip:rr-0123456789abcdef01234567@192.0.2.1;lr>")
        .replace("z9hG4bK", "z9hG4bKother");
    assert_eq!(statuses(&rig.udp(A, &text)), [403]);
}

#[test]
fn the_server_itself_takes_a_request_once_whatever_way_it_comes() {
    let mut rig = rig(open());
    let text = ask("OPTIONS", "sip:192.0.2.1", "");
    assert_eq!(statuses(&rig.udp(A, &text)), [200]);
    assert_eq!(statuses(&rig.udp(A, &text)), [200]);
    let other = text.replace("branch=z9hG4bK", "branch=z9hG4bKother");
    assert_eq!(statuses(&rig.udp(A, &other)), [482]);
    assert_eq!(statuses(&rig.udp(A, &text.replace("CSeq: 1", "CSeq: 2"))), [200]);
    rig.pass(32_000);
    assert_eq!(statuses(&rig.udp(A, &other)), [200]);
}

#[test]
fn where_everybody_may_come_nobody_is_missed() {
    let mut settings = open();
    settings.server.known_users_only = false;
    let mut rig = rig(settings);
    let ask = |user| ask("MESSAGE", &format!("sip:{user}@192.0.2.1"), "");
    assert_eq!(statuses(&rig.udp(A, &ask("nobody"))), [404]);
    assert_eq!(statuses(&rig.udp(A, &ask("carol"))), [480]);
}

#[test]
fn the_server_itself_asks_in_the_order_of_section_8_2() {
    let mut rig = rig(open());
    let mut both = |method: &str, more: &str| {
        let text = ask(method, "sip:192.0.2.1", more);
        let branch = text.find("branch=z9hG4bK").map(|at| at + 14).expect("a branch");
        let other = format!("{}other{}", &text[..branch], &text[branch..]);
        let (first, second) = (rig.udp(A, &text), rig.udp(A, &other));
        (first[0].clone(), second[0].clone())
    };
    // A method that is not allowed is not allowed by either way; what is, has been answered.
    let (first, second) = both("MESSAGE", "");
    assert_eq!((first.status(), second.status()), (405, 405));
    let (first, second) = both("OPTIONS", "");
    assert_eq!((first.status(), second.status()), (200, 482));
    // Proxy and UAS in one, it lists what both do not know.
    let (bad, _) = both("OPTIONS", "Require: a\nProxy-Require: b, c\nRequire: d\n");
    assert_eq!((bad.status(), bad.field("Unsupported")), (420, "a, d, b, c"));
    let text = request(
        "REGISTER",
        "sip:192.0.2.1",
        "sip:bob@192.0.2.1",
        "sip:bob@192.0.2.1",
        "198.51.100.1",
        "Proxy-Require: b\nRequire: a\n",
    );
    assert_eq!(rig.udp(A, &text)[0].field("Unsupported"), "a, b");
}
