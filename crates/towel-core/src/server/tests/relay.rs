//! Sections 16.6 and 16.7 in their simplest form: one caller, one callee, one branch.

use super::rig::{request, requests, statuses, wire};
use super::{open, register, rig};

const A: &str = "198.51.100.1:5060";
const B: &str = "198.51.100.2:5060";

#[test]
fn a_call_goes_through_and_ends() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let invite = request(
        "INVITE",
        "sip:bob@192.0.2.1",
        "sip:alice@example.org",
        "sip:bob@192.0.2.1",
        "198.51.100.1",
        "Max-Forwards: 10\nX-Strange: \"kept,  as it is\"\n\nbody",
    );
    let sent = rig.udp(A, &invite);
    let [forwarded] = requests(&sent, "INVITE")[..] else { panic!("{sent:?}") };
    assert_eq!(forwarded.to, B.parse().unwrap());
    assert_eq!(forwarded.uri(), "sip:bob@198.51.100.2");
    assert_eq!(forwarded.field("Max-Forwards"), "9");
    assert_eq!(forwarded.field("X-Strange"), "\"kept,  as it is\"");
    assert_eq!(forwarded.all("Via").len(), 2);
    assert!(forwarded.all("Via")[0].contains("192.0.2.1"));
    let record_route = forwarded.field("Record-Route").to_owned();
    assert!(record_route.contains(";lr>"), "{record_route}");
    assert!(forwarded.text.ends_with("\n\nbody"));
    assert_eq!(forwarded.field("Max-Breadth"), "60");

    let ringing = forwarded.answer(180, "Contact: <sip:bob@198.51.100.2>\n");
    let sent = rig.udp(B, &ringing);
    assert_eq!(statuses(&sent), [180]);
    assert_eq!(sent[0].all("Via").len(), 1);
    let ok = forwarded.answer(200, "Contact: <sip:bob@198.51.100.2>\n\nanswer");
    let sent = rig.udp(B, &ok);
    assert_eq!(statuses(&sent), [200]);
    assert_eq!(sent[0].to, A.parse().unwrap());
    // The caller is given a value of its own (step 8): where it leads is told in the response.
    let (theirs, record_route) = (record_route, sent[0].field("Record-Route").to_owned());
    assert_ne!(record_route, theirs);
    assert!(record_route.ends_with("@192.0.2.1:5060;lr>"), "{record_route}");
    assert!(sent[0].text.ends_with("\n\nanswer"));
    // A second 2xx goes on as well (RFC 6026 section 7).
    assert_eq!(statuses(&rig.udp(B, &ok)), [200]);

    let in_dialog = |method: &str, number: u32, branch: &str| {
        format!(
            "{method} sip:bob@198.51.100.2 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bK{branch}\nRoute: {record_route}\n\
             From: <sip:alice@example.org>;tag=f198511001\nTo: <sip:bob@192.0.2.1>;tag=callee-5060\n\
             Call-ID: c198511001\nCSeq: {number} {method}\nMax-Forwards: 70\n"
        )
    };
    let sent = rig.udp(A, &in_dialog("ACK", 1, "ack"));
    let [ack] = requests(&sent, "ACK")[..] else { panic!("{sent:?}") };
    assert_eq!((ack.to, ack.field("Route")), (B.parse().unwrap(), ""));
    let sent = rig.udp(A, &in_dialog("BYE", 2, "bye"));
    let [bye] = requests(&sent, "BYE")[..] else { panic!("{sent:?}") };
    assert_eq!(bye.to, B.parse().unwrap());
    let sent = rig.udp(B, &bye.answer(200, ""));
    assert_eq!(statuses(&sent), [200]);
    rig.pass(70_000);
    assert!(crate::io::Machine::is_drained(&rig.element));
}

#[test]
fn every_byte_that_need_not_change_stays() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let head = "MESSAGE sip:bob@192.0.2.1 SIP/2.0\nv:SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx;received=198.51.100.1\n";
    let tail = "f :   <sip:alice@example.org>;tag=1\nt: <sip:bob@192.0.2.1>\ni:c1\nCSeq:  1   MESSAGE\nX:\n  folded\nDate: not a date\nl: 4\n";
    let sent = rig.udp(A, &format!("{head}{tail}\nbody"));
    let [message] = requests(&sent, "MESSAGE")[..] else { panic!("{sent:?}") };
    assert!(message.text.contains(tail), "{}", message.text);
    assert!(message.text.contains("Max-Forwards: 70\n"));
    assert!(message.text.ends_with("\n\nbody"));
    assert_eq!(message.field("Record-Route"), "");
}

#[test]
fn an_unknown_method_is_forwarded() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let sent = rig.udp(
        A,
        &request(
            "WEIRD",
            "sip:bob@192.0.2.1",
            "sip:alice@example.org",
            "sip:bob@192.0.2.1",
            "198.51.100.1",
            "",
        ),
    );
    let [weird] = requests(&sent, "WEIRD")[..] else { panic!("{sent:?}") };
    assert!(weird.field("Record-Route").contains("lr"));
    assert_eq!(statuses(&rig.udp(B, &weird.answer(202, ""))), [202]);
}

#[test]
fn trying_comes_within_200_milliseconds_and_only_for_invite() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let from = "sip:alice@example.org";
    rig.udp(
        A,
        &request("INVITE", "sip:bob@192.0.2.1", from, "sip:bob@192.0.2.1", "198.51.100.1", ""),
    );
    assert!(statuses(&rig.pass(200)).contains(&100));
    rig.udp(
        A,
        &request(
            "MESSAGE",
            "sip:bob@192.0.2.1",
            from,
            "sip:bob@192.0.2.1",
            "198.51.100.1:5070",
            "",
        ),
    );
    assert!(statuses(&rig.pass(400)).is_empty());
}

#[test]
fn a_100_from_downstream_stays_here() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let sent = rig.udp(
        A,
        &request(
            "INVITE",
            "sip:bob@192.0.2.1",
            "sip:alice@example.org",
            "sip:bob@192.0.2.1",
            "198.51.100.1",
            "",
        ),
    );
    let [invite] = requests(&sent, "INVITE")[..] else { panic!("{sent:?}") };
    assert!(rig.udp(B, &invite.answer(100, "")).is_empty());
}

#[test]
fn an_invite_that_nobody_answers_gets_408_and_a_message_nothing() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let from = "sip:alice@example.org";
    rig.udp(
        A,
        &request("INVITE", "sip:bob@192.0.2.1", from, "sip:bob@192.0.2.1", "198.51.100.1", ""),
    );
    let sent = rig.pass(33_000);
    assert!(statuses(&sent).contains(&408), "{:?}", statuses(&sent));
    rig.udp(
        A,
        &request(
            "MESSAGE",
            "sip:bob@192.0.2.1",
            from,
            "sip:bob@192.0.2.1",
            "198.51.100.1:5070",
            "",
        ),
    );
    let sent = rig.pass(40_000);
    assert!(
        statuses(&sent).iter().all(|status| *status < 200 || *status == 408),
        "{:?}",
        statuses(&sent)
    );
    assert!(!sent.iter().any(|s| s.status() == 408 && s.field("CSeq").contains("MESSAGE")));
}

#[test]
fn a_caller_gives_up() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let make = |method: &str| {
        request(
            method,
            "sip:bob@192.0.2.1",
            "sip:alice@example.org",
            "sip:bob@192.0.2.1",
            "198.51.100.1",
            "",
        )
    };
    let sent = rig.udp(A, &make("INVITE"));
    let invite = requests(&sent, "INVITE")[0].clone();
    // Before any provisional response no CANCEL goes on (section 9.1).
    let sent = rig.udp(A, &make("CANCEL"));
    assert_eq!(statuses(&sent), [200]);
    assert!(requests(&sent, "CANCEL").is_empty());
    let sent = rig.udp(B, &invite.answer(180, ""));
    let [cancel] = requests(&sent, "CANCEL")[..] else { panic!("{sent:?}") };
    assert_eq!(cancel.all("Via"), [invite.all("Via")[0]]);
    assert_eq!((cancel.uri(), cancel.field("CSeq")), (invite.uri(), "1 CANCEL"));
    assert!(rig.udp(B, &cancel.answer(200, "")).is_empty());
    let sent = rig.udp(B, &invite.answer(487, ""));
    assert_eq!(statuses(&sent), [487]);
    assert_eq!(requests(&sent, "ACK").len(), 1);
}

#[test]
fn a_503_becomes_a_500() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let sent = rig.udp(
        A,
        &request(
            "INVITE",
            "sip:bob@192.0.2.1",
            "sip:alice@example.org",
            "sip:bob@192.0.2.1",
            "198.51.100.1",
            "",
        ),
    );
    let invite = requests(&sent, "INVITE")[0].clone();
    let sent = rig.udp(B, &invite.answer(503, "Retry-After: 10\n"));
    assert_eq!(statuses(&sent), [500]);
}

#[test]
fn stray_responses_go_nowhere() {
    let mut rig = rig(open());
    let text = "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKnobodys\nVia: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bKx\n\
                From: <sip:a@h>;tag=1\nTo: <sip:b@h>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\n";
    assert!(rig.udp(B, text).is_empty());
}

#[test]
fn a_stream_gets_a_content_length_and_double_record_route() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2:5070;transport=tcp>"]);
    let invite = request(
        "INVITE",
        "sip:bob@192.0.2.1",
        "sip:alice@example.org",
        "sip:bob@192.0.2.1",
        "198.51.100.1",
        "",
    );
    let bytes = wire(&invite);
    let text = String::from_utf8(bytes)
        .unwrap()
        .replace("Content-Length: 0\r\n", "")
        .replace("\r\n", "\n");
    let sent = rig.raw_udp(A, text.replace('\n', "\r\n").as_bytes());
    let invites = requests(&sent, "INVITE");
    let [forwarded] = invites[..] else { panic!("{sent:?}") };
    assert!(forwarded.connection.is_some());
    assert_eq!(forwarded.field("Content-Length"), "0");
    let values = forwarded.all("Record-Route");
    assert_eq!(values.len(), 2, "{values:?}");
    assert!(values[0].contains("transport=tcp") && values[1].contains("transport=udp"));
    assert!(forwarded.all("Via")[0].starts_with("SIP/2.0/TCP"));
}

#[test]
fn one_that_shuts_down_says_when_to_ask_again() {
    use crate::io::{Command, Input, Machine, Outbox};
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    rig.element.handle(rig.now, Input::Command(Command::Drain), &mut Outbox::new());
    let (to, from) = ("sip:bob@192.0.2.1", "sip:alice@example.org");
    let sent = rig.udp(A, &request("MESSAGE", to, from, to, "198.51.100.1", "Max-Forwards: 10\n"));
    assert_eq!(statuses(&sent), [503]);
    assert_eq!(sent[0].field("Retry-After"), "5");
}
