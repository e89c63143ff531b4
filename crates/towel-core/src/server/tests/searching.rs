//! How long a search lasts and what it comes to: sections 16.7 and 16.8 where a target is silent,
//! points elsewhere, or is none.

use super::rig::{Rig, Sent, request, requests, statuses};
use super::{open, register, rig};
use crate::contract::{
    Behaviour, Env, Extension, ProxyTargets, Registry, Role, Roles, Verdict, Wake,
};
use crate::server::{Endpoint, Mode};

const A: &str = "198.51.100.1:5060";
const B: &str = "198.51.100.2:5060";
const C: &str = "198.51.100.3:5060";

fn ask(method: &str, uri: &str, more: &str) -> String {
    request(method, uri, "sip:alice@example.org", uri, "198.51.100.1", more)
}

fn to_bob(rig: &mut Rig<Endpoint>, method: &str, more: &str) -> Vec<Sent> {
    rig.udp(A, &ask(method, "sip:bob@192.0.2.1", more))
}

fn recursive() -> Rig<Endpoint> {
    let mut settings = open();
    settings.proxy.recurse = true;
    let mut rig = rig(settings);
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    rig
}

/// The final response among what was sent.
fn last(sent: &[Sent]) -> &Sent {
    sent.iter().find(|s| s.status() >= 200).unwrap_or_else(|| panic!("{sent:?}"))
}

#[test]
fn a_redirection_to_what_was_tried_already_goes_back_as_it_is() {
    let mut rig = recursive();
    let sent = to_bob(&mut rig, "INVITE", "");
    let invite = requests(&sent, "INVITE")[0].clone();
    let contact = "Contact: <sip:bob@198.51.100.2>\n";
    let sent = rig.udp(B, &invite.answer(302, contact));
    assert_eq!(
        (last(&sent).status(), last(&sent).field("Contact")),
        (302, "<sip:bob@198.51.100.2>")
    );
}

#[test]
fn a_redirection_to_what_was_tried_is_worse_than_any_other_answer() {
    let mut rig = recursive();
    register(&mut rig, "carol", &["<sip:bob@198.51.100.2>", "<sip:bob@198.51.100.3>"]);
    let sent = rig.udp(A, &ask("INVITE", "sip:carol@192.0.2.1", ""));
    let branches: Vec<Sent> = requests(&sent, "INVITE").into_iter().cloned().collect();
    let at = |to: &str| branches.iter().find(|b| b.to.to_string() == to).unwrap();
    let sent = rig.udp(B, &at(B).answer(302, "Contact: <sip:bob@198.51.100.3>\n"));
    assert!(statuses(&sent).is_empty());
    assert_eq!(statuses(&rig.udp(C, &at(C).answer(486, ""))), [486]);
}

#[test]
fn a_redirection_without_a_contact_goes_back() {
    let mut rig = recursive();
    let sent = to_bob(&mut rig, "INVITE", "");
    let invite = requests(&sent, "INVITE")[0].clone();
    assert_eq!(statuses(&rig.udp(B, &invite.answer(302, ""))), [302]);
}

#[test]
fn a_binding_that_is_no_sip_uri_is_no_target() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<mailto:bob@example.org>"]);
    assert_eq!(statuses(&to_bob(&mut rig, "INVITE", "")), [480]);
    register(&mut rig, "carol", &["<mailto:c@example.org>;q=0.9", "<sip:c@198.51.100.2>;q=0.1"]);
    let sent = rig.udp(A, &ask("MESSAGE", "sip:carol@192.0.2.1", ""));
    assert_eq!(requests(&sent, "MESSAGE")[0].uri(), "sip:c@198.51.100.2");
}

#[test]
fn a_redirect_server_names_what_is_no_sip_uri_and_knows_nobody_elsewhere() {
    let mut settings = open();
    settings.server.mode = Mode::Redirect;
    settings.server.relay = crate::server::Relay::Anybody;
    let mut rig = rig(settings);
    register(&mut rig, "bob", &["<mailto:bob@example.org>"]);
    // Section 8.3 knows no Max-Forwards: it is no hop.
    let sent = to_bob(&mut rig, "MESSAGE", "Max-Forwards: 0\n");
    assert_eq!(
        (last(&sent).status(), last(&sent).field("Contact")),
        (302, "<mailto:bob@example.org>")
    );
    let sent = rig.udp(A, &ask("INVITE", "sip:x@198.51.100.9", ""));
    assert_eq!((statuses(&sent), sent.len()), (vec![404], 1));
}

#[test]
fn a_route_that_is_no_sip_uri_cannot_be_followed() {
    let mut settings = open();
    settings.server.relay = crate::server::Relay::Anybody;
    let mut rig = rig(settings);
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    for route in ["<news:alt>", "<tel:+123>", "<sip:192.0.2.1;lr>, <news:alt>"] {
        let text = ask("MESSAGE", "sip:bob@192.0.2.1", &format!("Route: {route}\n"));
        let sent = rig.udp(A, &text.replace("198511001message", &format!("{}", route.len())));
        assert_eq!(statuses(&sent), [400], "{route}");
    }
}

#[test]
fn a_maddr_that_names_another_way_in_is_followed_and_no_loop() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let uri = "sip:bob@192.0.2.1;maddr=192.0.2.1;transport=tcp";
    let sent = rig.udp(A, &ask("MESSAGE", uri, ""));
    // Section 16.4: it did not come by TCP, so the maddr stands and leads to our own TCP listener.
    let [again] = requests(&sent, "MESSAGE")[..] else { panic!("{sent:?}") };
    assert_eq!((again.to, again.uri()), ("192.0.2.1:5060".parse().unwrap(), uri));
    let connection = rig.accept("192.0.2.1:40000");
    let sent = rig.tcp(connection, &again.text.clone());
    let [there] = requests(&sent, "MESSAGE")[..] else { panic!("{sent:?}") };
    assert_eq!(there.uri(), "sip:bob@198.51.100.2");
    // The same once more by the same way is a loop (RFC 5393 section 4.2.2).
    let text = there.text.replacen(there.uri(), uri, 1);
    assert_eq!(statuses(&rig.tcp(connection, &text)), [482]);
}

#[test]
fn a_stateless_proxy_forwards_every_response_that_has_its_via() {
    let mut settings = open();
    settings.server.mode = Mode::Stateless;
    let mut rig = rig(settings);
    let response = |sent_by: &str| {
        format!(
            "SIP/2.0 200 OK\nVia: SIP/2.0/UDP {sent_by};branch=z9hG4bKnobody\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx\n\
             From: <sip:a@example.org>;tag=1\nTo: <sip:b@example.org>;tag=2\nCall-ID: c\nCSeq: 1 INVITE\n"
        )
    };
    let sent = rig.udp(B, &response("192.0.2.1"));
    assert_eq!((statuses(&sent), sent[0].to), (vec![200], A.parse().unwrap()));
    assert_eq!(sent[0].all("Via"), ["SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx"]);
    assert!(rig.udp(B, &response("192.0.2.77")).is_empty());
}

#[test]
fn a_silent_target_leaves_time_for_the_next_one() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>;q=0.9", "<sip:bob@198.51.100.3>;q=0.2"]);
    let sent = to_bob(&mut rig, "MESSAGE", "");
    let first = requests(&sent, "MESSAGE")[0].clone();
    assert_eq!(first.to, B.parse().unwrap());
    let sent = rig.pass(16_000);
    let second = sent.iter().find(|s| s.method() == "MESSAGE" && s.to == C.parse().unwrap());
    let second = second.unwrap().clone();
    // Who was silent may still speak, and before the caller gives up the best there is is told.
    assert!(rig.udp(B, &first.answer(404, "")).is_empty());
    assert_eq!(statuses(&rig.udp(C, &second.answer(404, ""))), [404]);
}

#[test]
fn a_late_2xx_of_a_silent_target_is_taken() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>;q=0.9", "<sip:bob@198.51.100.3>;q=0.2"]);
    let sent = to_bob(&mut rig, "MESSAGE", "");
    let first = requests(&sent, "MESSAGE")[0].clone();
    rig.pass(16_000);
    assert_eq!(statuses(&rig.udp(B, &first.answer(200, ""))), [200]);
}

#[test]
fn an_invite_that_has_expired_is_cancelled() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>;q=0.9", "<sip:bob@198.51.100.3>;q=0.2"]);
    let sent = to_bob(&mut rig, "INVITE", "Expires: 30\n");
    let invite = requests(&sent, "INVITE")[0].clone();
    rig.udp(B, &invite.answer(180, ""));
    assert!(requests(&rig.pass(29_000), "CANCEL").is_empty());
    assert!(!requests(&rig.pass(1_100), "CANCEL").is_empty());
    // Nobody else is rung.
    let sent = rig.udp(B, &invite.answer(487, ""));
    assert_eq!((statuses(&sent), requests(&sent, "INVITE").len()), (vec![487], 0));
}

#[test]
fn an_invite_that_has_expired_unheard_ends() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    to_bob(&mut rig, "INVITE", "Expires: 5\n");
    assert!(!statuses(&rig.pass(4_900)).iter().any(|s| *s >= 200));
    assert!(statuses(&rig.pass(200)).contains(&408));
}

#[test]
fn timer_c_is_what_it_is_set_to() {
    let mut settings = open();
    settings.proxy.timer_c = std::time::Duration::from_secs(4);
    let mut rig = rig(settings);
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let sent = to_bob(&mut rig, "INVITE", "");
    let invite = requests(&sent, "INVITE")[0].clone();
    rig.udp(B, &invite.answer(180, ""));
    assert!(!requests(&rig.pass(4_100), "CANCEL").is_empty());
}

struct RingOn;

impl Behaviour for RingOn {
    fn proxy_targets(&self, _: &Env<'_>, at: &mut ProxyTargets<'_>) -> Verdict {
        at.directives.cancel = Some(false);
        Verdict::Pass
    }
}

static RING_ON: Extension =
    Extension { id: "ring-on", wake: &[Wake::Always], behaviour: &RingOn, ..Extension::EMPTY };

fn ringing_on() -> (Rig<Endpoint>, Vec<Sent>) {
    let registry = Registry::assemble(&[&RING_ON], Roles::of(&[Role::Proxy]));
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>", "<sip:bob@198.51.100.3>"]);
    rig.element.server_mut().set_registry(registry);
    let sent = to_bob(&mut rig, "INVITE", "");
    let branches: Vec<Sent> = requests(&sent, "INVITE").into_iter().cloned().collect();
    rig.udp(C, &branches[1].answer(180, ""));
    (rig, branches)
}

#[test]
fn a_caller_who_wants_no_cancel_gets_none_after_a_2xx() {
    // RFC 3841 section 9.1.
    let (mut rig, branches) = ringing_on();
    let sent = rig.udp(B, &branches[0].answer(200, ""));
    assert_eq!((statuses(&sent), requests(&sent, "CANCEL").len()), (vec![200], 0));
    assert!(requests(&rig.pass(100_000), "CANCEL").is_empty());
    // It does not ring for ever (section 16.8).
    assert!(!requests(&rig.pass(90_000), "CANCEL").is_empty());
    rig.pass(70_000);
    assert!(crate::io::Machine::is_drained(&rig.element));
}

#[test]
fn a_decline_cancels_whatever_the_caller_wants() {
    let (mut rig, branches) = ringing_on();
    let sent = rig.udp(B, &branches[0].answer(603, ""));
    assert_eq!(requests(&sent, "CANCEL").len(), 1);
}

#[test]
fn who_ends_the_connection_after_a_request_is_not_waited_for_long() {
    let mut rig = rig(open());
    register(
        &mut rig,
        "bob",
        &["<sip:bob@198.51.100.2;transport=tcp>;q=0.9", "<sip:bob@198.51.100.3>;q=0.2"],
    );
    for method in ["INVITE", "MESSAGE"] {
        let sent = to_bob(&mut rig, method, "");
        let connection = requests(&sent, method)[0].connection.unwrap();
        rig.closed(connection);
        let sent = rig.pass(4_100);
        assert_eq!(requests(&sent, method)[0].to, C.parse().unwrap(), "{method}");
    }
}

#[test]
fn a_contact_that_registers_while_it_rings_rings_too() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let sent = to_bob(&mut rig, "INVITE", "");
    let first = requests(&sent, "INVITE")[0].clone();
    rig.udp(B, &first.answer(180, ""));
    let again = |rig: &mut Rig<Endpoint>, number: u32| {
        let text = request(
            "REGISTER",
            "sip:192.0.2.1",
            "sip:bob@192.0.2.1",
            "sip:bob@192.0.2.1",
            "198.51.100.3",
            "",
        );
        let text = text.replace("CSeq: 1", &format!("CSeq: {number}"));
        let text = text.replace("z9hG4bK", &format!("z9hG4bK{number}"));
        rig.udp(C, &text.replace("sip:caller@", "sip:bob@"))
    };
    let sent = again(&mut rig, 1);
    assert_eq!(statuses(&sent), [200]);
    let [second] = requests(&sent, "INVITE")[..] else { panic!("{sent:?}") };
    let second = second.clone();
    assert_eq!((second.to, second.uri()), (C.parse().unwrap(), "sip:bob@198.51.100.3"));
    assert_eq!(second.field("Max-Breadth"), "1");
    // A refresh is no new location, and a URI is tried once.
    assert_eq!(requests(&again(&mut rig, 2), "INVITE").len(), 0);
    let sent = rig.udp(C, &second.answer(200, ""));
    assert_eq!((statuses(&sent), requests(&sent, "CANCEL").len()), (vec![200], 1));
    rig.udp(B, &first.answer(487, ""));
    // Nobody is searched for any more.
    assert!(rig.element.server().is_searching_nobody());
    assert_eq!(requests(&again(&mut rig, 3), "INVITE").len(), 0);
}

#[test]
fn a_less_preferred_contact_that_registers_while_it_rings_is_tried_later() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>;q=0.8"]);
    let sent = to_bob(&mut rig, "INVITE", "");
    let first = requests(&sent, "INVITE")[0].clone();
    let text = request(
        "REGISTER",
        "sip:192.0.2.1",
        "sip:bob@192.0.2.1",
        "sip:bob@192.0.2.1",
        "198.51.100.3",
        "",
    );
    let sent = rig.udp(C, &text.replace("caller@198.51.100.3>", "bob@198.51.100.3>;q=0.1"));
    assert_eq!((statuses(&sent), requests(&sent, "INVITE").len()), (vec![200], 0));
    let sent = rig.udp(B, &first.answer(486, ""));
    assert_eq!(requests(&sent, "INVITE")[0].to, C.parse().unwrap());
}

#[test]
fn two_searches_for_one_user_are_both_joined() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let mut calls = Vec::new();
    for port in [5080, 5081, 5082] {
        let via = format!("198.51.100.1:{port}");
        let uri = "sip:bob@192.0.2.1";
        let sent = rig.udp(A, &request("INVITE", uri, "sip:alice@example.org", uri, &via, ""));
        calls.push(requests(&sent, "INVITE")[0].clone());
    }
    // The newest is over; the others go on.
    rig.udp(B, &calls[2].answer(486, ""));
    register(&mut rig, "carol", &["<sip:bob@198.51.100.3>"]);
    let text = "REGISTER sip:192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.3;branch=z9hG4bKlate\n\
         From: <sip:bob@192.0.2.1>;tag=1\nTo: <sip:bob@192.0.2.1>\nCall-ID: late\nCSeq: 1 REGISTER\nContact: <sip:bob@198.51.100.3>\n";
    let sent = rig.udp(C, text);
    assert_eq!(requests(&sent, "INVITE").len(), 2);
}
