//! What a dialog's mark in Route opens, and what it does not (RFC 3261 sections 16.4 and 22.3).

use super::rig::{Rig, request, requests, statuses};
use super::{closed, register, rig};
use crate::server::Endpoint;

const STRANGER: &str = "198.51.100.9:5060";
const FROM: &str = "sip:zaphod@example.org";

/// A stranger calls bob; the Record-Route that it gets to see, and the element.
fn called() -> (Rig<Endpoint>, String) {
    let mut rig = rig(closed());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let bob = "sip:bob@example.com";
    let invite = request("INVITE", bob, FROM, bob, "198.51.100.9", "");
    let sent = rig.udp(STRANGER, &invite);
    let [forwarded] = requests(&sent, "INVITE")[..] else { panic!("{sent:?}") };
    let sent =
        rig.udp("198.51.100.2:5060", &forwarded.answer(200, "Contact: <sip:bob@198.51.100.2>\n"));
    assert_eq!(statuses(&sent), [200]);
    (rig, sent[0].field("Record-Route").to_owned())
}

/// A request with the dialog's Call-ID and the stranger's own tag.
fn with_mark(method: &str, uri: &str, from: &str, to: &str, route: &str) -> String {
    request(method, uri, from, to, "198.51.100.9", &format!("Route: {route}\n"))
        .replace("branch=z9hG4bK", "branch=z9hG4bKlater")
        .replace("CSeq: 1 ", "CSeq: 2 ")
}

#[test]
fn requests_of_the_dialog_pass() {
    let (mut rig, route) = called();
    let bye = with_mark("BYE", "sip:bob@198.51.100.2", FROM, "sip:bob@example.com", &route)
        .replace("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=callee-5060");
    assert_eq!(requests(&rig.udp(STRANGER, &bye), "BYE").len(), 1);
}

#[test]
fn the_mark_of_a_dialog_begins_no_other() {
    let (mut rig, route) = called();
    // Under the name of a user of ours.
    let alice = "sip:alice@example.com";
    let bob = "sip:bob@example.com";
    for method in ["INVITE", "MESSAGE"] {
        let text = with_mark(method, bob, alice, bob, &route);
        let sent = rig.udp(STRANGER, &text);
        assert_eq!(statuses(&sent), [407], "{method}");
        assert!(requests(&sent, method).is_empty());
    }
    // Out of our domains.
    let out = "sip:victim@198.51.100.77";
    let text = with_mark("MESSAGE", out, FROM, out, &route).replace("CSeq: 2", "CSeq: 3");
    let sent = rig.udp(STRANGER, &text.replace("z9hG4bKlater", "z9hG4bKout"));
    assert_eq!(statuses(&sent), [403]);
    assert!(requests(&sent, "MESSAGE").is_empty());
    // As a strict router would bring it.
    let own = route.trim_matches(['<', '>']);
    let text = with_mark("MESSAGE", own, FROM, out, &format!("<{out}>"));
    let sent = rig.udp(STRANGER, &text.replace("z9hG4bKlater", "z9hG4bKstrict"));
    assert!(requests(&sent, "MESSAGE").is_empty(), "{sent:?}");
}

#[test]
fn a_contact_that_a_proxy_need_not_read_is_passed_on_as_it_came() {
    let mut rig = rig(closed());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let bob = "sip:bob@example.com";
    for (n, contact) in
        ["<sip:zaphod@198.51.100.9", "", "<sip:a@b>;;x=", "<:>, *"].iter().enumerate()
    {
        let text = request("INVITE", bob, FROM, bob, "198.51.100.9", "")
            .replace("<sip:caller@198.51.100.9>", contact)
            .replace("z9hG4bK", &format!("z9hG4bK{n}"))
            .replace("Call-ID: ", &format!("Call-ID: {n}"));
        let sent = rig.udp(STRANGER, &text);
        let [forwarded] = requests(&sent, "INVITE")[..] else { panic!("{contact}: {sent:?}") };
        assert_eq!(forwarded.field("Contact"), *contact);
    }
}
