//! RFC 3261 section 10.

use crate::{
    peer::{Peer, unique},
    towel::{DOMAIN, Towel},
};
use std::sync::LazyLock;

static SERVER: LazyLock<Towel> = LazyLock::new(|| {
    Towel::start(
        &[],
        "[auth]\nregister = false\ncalls = false\n[register]\nknown-users-only = false\n\
         min-expires = 60\ndefault-expires = 3600\nmax-expires = 7200\ncontacts = 5\n",
    )
});

fn peer() -> Peer {
    Peer::new(&SERVER)
}

fn expires_of(response: &crate::peer::Message, contact: &str) -> u32 {
    let line = response
        .all("Contact")
        .into_iter()
        .flat_map(|v| v.split(','))
        .find(|v| v.contains(contact))
        .unwrap_or_else(|| panic!("{contact} is not among\n{}", response.text));
    crate::peer::parameter(line, "expires").unwrap().parse().unwrap()
}

#[test]
fn a_binding_is_added_and_listed_with_its_expiry_10_3_step_8() {
    let (peer, user) = (peer(), unique("u"));
    let done = peer.ask(&peer.register(&user, "Contact: <sip:a@192.0.2.1>\r\nExpires: 600\r\n"));
    assert_eq!(done.status(), 200, "{}", done.text);
    assert!((590..=600).contains(&expires_of(&done, "sip:a@192.0.2.1")));
    assert!(done.has("Date") && done.field("To").contains(";tag="));
}

#[test]
fn the_expires_parameter_goes_before_the_header_field_10_2_1_1() {
    let (peer, user) = (peer(), unique("u"));
    let more =
        "Contact: <sip:a@192.0.2.1>;expires=300\r\nContact: <sip:b@192.0.2.1>\r\nExpires: 600\r\n";
    let done = peer.ask(&peer.register(&user, more));
    assert!(expires_of(&done, "sip:a@").abs_diff(300) <= 2, "{}", done.text);
    assert!(expires_of(&done, "sip:b@").abs_diff(600) <= 2, "{}", done.text);
}

#[test]
fn without_an_expiry_the_default_holds_and_a_long_one_is_cut() {
    let (peer, user) = (peer(), unique("u"));
    let done = peer.ask(&peer.register(&user, "Contact: <sip:a@192.0.2.1>\r\n"));
    assert!(expires_of(&done, "sip:a@").abs_diff(3600) <= 2);
    let done = peer.ask(&peer.register(&user, "Contact: <sip:a@192.0.2.1>;expires=99999\r\n"));
    assert!(expires_of(&done, "sip:a@").abs_diff(7200) <= 2);
}

#[test]
fn a_malformed_expiry_counts_as_the_default_20_10() {
    let (peer, user) = (peer(), unique("u"));
    let done = peer.ask(&peer.register(&user, "Contact: <sip:a@192.0.2.1>;expires=soon\r\n"));
    assert_eq!(done.status(), 200, "{}", done.text);
    assert!(expires_of(&done, "sip:a@").abs_diff(3600) <= 2);
}

#[test]
fn too_brief_an_expiry_gets_423_with_min_expires_10_3_step_7() {
    let (peer, user) = (peer(), unique("u"));
    let done = peer.ask(&peer.register(&user, "Contact: <sip:a@192.0.2.1>;expires=10\r\n"));
    assert_eq!(done.status(), 423, "{}", done.text);
    assert_eq!(done.field("Min-Expires"), "60");
    let fetched = peer.ask(&peer.register(&user, ""));
    assert!(!fetched.has("Contact"), "nothing was bound");
}

#[test]
fn a_fetch_lists_and_changes_nothing_10_2_3() {
    let (peer, user) = (peer(), unique("u"));
    peer.ask(&peer.register(&user, "Contact: <sip:a@192.0.2.1>;q=0.7\r\n"));
    for _ in 0..2 {
        let done = peer.ask(&peer.register(&user, ""));
        assert_eq!(done.status(), 200);
        assert_eq!(done.all("Contact").len(), 1);
        assert!(done.field("Contact").contains("q=0.7"), "{}", done.text);
    }
}

#[test]
fn expires_nought_removes_one_and_a_star_removes_all_10_2_2() {
    let (peer, user) = (peer(), unique("u"));
    let two = "Contact: <sip:a@192.0.2.1>, <sip:b@192.0.2.1>\r\n";
    assert_eq!(peer.ask(&peer.register(&user, two)).status(), 200);
    let one = peer.ask(&peer.register(&user, "Contact: <sip:a@192.0.2.1>;expires=0\r\n"));
    assert!(!one.text.contains("sip:a@") && one.text.contains("sip:b@"), "{}", one.text);
    let none = peer.ask(&peer.register(&user, "Contact: *\r\nExpires: 0\r\n"));
    assert_eq!(none.status(), 200);
    assert!(!none.has("Contact"), "{}", none.text);
}

#[test]
fn a_star_with_an_expiry_or_with_another_contact_is_refused_10_3_step_6() {
    let (peer, user) = (peer(), unique("u"));
    for more in [
        "Contact: *\r\n",
        "Contact: *\r\nExpires: 60\r\n",
        "Contact: *\r\nContact: <sip:a@192.0.2.1>\r\nExpires: 0\r\n",
        "Contact: *, <sip:a@192.0.2.1>\r\nExpires: 0\r\n",
    ] {
        assert_eq!(peer.ask(&peer.register(&user, more)).status(), 400, "{more}");
    }
}

#[test]
fn an_older_cseq_of_the_same_call_changes_nothing_10_3_step_7() {
    let (peer, user) = (peer(), unique("u"));
    let call = unique("call");
    let at = |cseq: u32, more: &str| {
        peer.ask(
            &peer.register(&user, &format!("Call-ID: {call}\r\nCSeq: {cseq} REGISTER\r\n{more}")),
        )
    };
    assert_eq!(at(10, "Contact: <sip:a@192.0.2.1>;expires=600\r\n").status(), 200);
    let late = at(9, "Contact: <sip:a@192.0.2.1>;expires=0\r\n");
    assert!(late.status() >= 400, "{}", late.text);
    let star = at(8, "Contact: *\r\nExpires: 0\r\n");
    assert!(star.status() >= 400, "{}", star.text);
    let fetched = peer.ask(&peer.register(&user, ""));
    assert!(fetched.text.contains("sip:a@192.0.2.1"), "{}", fetched.text);
    assert_eq!(at(11, "Contact: <sip:a@192.0.2.1>;expires=0\r\n").status(), 200);
}

#[test]
fn what_comes_by_two_ways_is_carried_out_once_8_2_2_2() {
    let (peer, user) = (peer(), unique("u"));
    let (call, tag) = (unique("call"), unique("tag"));
    let ask = |more: &str| {
        let from = format!("From: <sip:{user}@{DOMAIN}>;tag={tag}\r\n");
        let fields = format!("{from}Call-ID: {call}\r\nCSeq: 7 REGISTER\r\n{more}");
        peer.ask(&peer.register(&user, &fields))
    };
    assert_eq!(ask("Contact: <sip:a@192.0.2.1>;expires=600\r\n").status(), 200);
    assert_eq!(ask("Contact: <sip:a@192.0.2.1>;expires=900\r\n").status(), 482);
    assert_eq!(ask("Contact: *\r\nExpires: 0\r\n").status(), 482);
    assert!(expires_of(&ask(""), "sip:a@").abs_diff(600) <= 2, "the first one holds");
}

#[test]
fn all_or_nothing_10_3_step_7() {
    let (peer, user) = (peer(), unique("u"));
    let bad = "Contact: <sip:good@192.0.2.1>\r\nContact: <sip:bad@192.0.2.1>;expires=5\r\n";
    assert_eq!(peer.ask(&peer.register(&user, bad)).status(), 423);
    assert!(!peer.ask(&peer.register(&user, "")).has("Contact"));
    let many: String = (0..6).map(|n| format!("Contact: <sip:n{n}@192.0.2.1>\r\n")).collect();
    assert!(peer.ask(&peer.register(&user, &many)).status() >= 400);
    assert!(!peer.ask(&peer.register(&user, "")).has("Contact"));
}

#[test]
fn contacts_are_compared_as_uris_19_1_4() {
    let (peer, user) = (peer(), unique("u"));
    peer.ask(&peer.register(&user, "Contact: <sip:a@EXAMPLE.test;Transport=TCP>\r\n"));
    let done = peer.ask(&peer.register(&user, "Contact: <sip:%61@example.TEST;transport=tcp>\r\n"));
    assert_eq!(done.all("Contact").iter().flat_map(|v| v.split(',')).count(), 1, "{}", done.text);
    let done = peer.ask(&peer.register(&user, "Contact: <sip:A@example.test;transport=tcp>\r\n"));
    assert_eq!(done.all("Contact").iter().flat_map(|v| v.split(',')).count(), 2, "{}", done.text);
}

#[test]
fn the_address_of_record_is_canonical_10_3_step_5() {
    let (peer, user) = (peer(), unique("u"));
    peer.ask(&peer.register(&user, "Contact: <sip:a@192.0.2.1>\r\n"));
    let escaped = user.replacen('u', "%75", 1);
    let more = format!("To: \"Me\" <sip:{escaped}@TOWEL.Test;x=y>\r\n");
    let done = peer.ask(&peer.register(&user, &more));
    assert_eq!(done.status(), 200, "{}", done.text);
    assert!(done.text.contains("sip:a@192.0.2.1"), "{}", done.text);
}

#[test]
fn another_domain_is_not_ours_to_register_10_3_step_5() {
    let peer = peer();
    let done =
        peer.ask(&peer.register("x", "To: <sip:x@foreign.test>\r\nContact: <sip:a@192.0.2.1>\r\n"));
    assert_eq!(done.status(), 404, "{}", done.text);
}

#[test]
fn an_unknown_requirement_gets_420_10_3_step_2() {
    let (peer, user) = (peer(), unique("u"));
    let done = peer
        .ask(&peer.register(&user, "Require: nothing-like-it\r\nContact: <sip:a@192.0.2.1>\r\n"));
    assert_eq!(done.status(), 420);
    assert_eq!(done.field("Unsupported"), "nothing-like-it");
}

#[test]
fn malformed_contacts_and_tos_get_400() {
    let (peer, user) = (peer(), unique("u"));
    for more in [
        "Contact: <sip:a@192.0.2.1\r\n",
        "Contact: <sip:a@192.0.2.1>;q=1.5\r\n",
        "To: <sip:no-end\r\nContact: <sip:a@192.0.2.1>\r\n",
    ] {
        let done = peer.ask(&peer.register(&user, more));
        assert_eq!(done.status(), 400, "{more} {}", done.text);
    }
}

#[test]
fn a_retransmission_gets_the_same_answer_17_2_2() {
    let (peer, user) = (peer(), unique("u"));
    let request = peer.register(&user, "Contact: <sip:a@192.0.2.1>\r\n");
    let (first, second) = (peer.ask(&request), peer.ask(&request));
    assert_eq!(first.text, second.text);
}

#[test]
fn contact_parameters_come_back_as_they_were_given() {
    let (peer, user) = (peer(), unique("u"));
    let more = "Contact: \"A\" <sip:a@192.0.2.1>;+sip.instance=\"<urn:uuid:1>\";audio;q=0.5\r\n";
    let done = peer.ask(&peer.register(&user, more));
    for part in ["+sip.instance=\"<urn:uuid:1>\"", ";audio", "q=0.5"] {
        assert!(done.text.contains(part), "{part}: {}", done.text);
    }
}

#[test]
fn other_schemes_may_be_bound() {
    let (peer, user) = (peer(), unique("u"));
    let more = "Contact: <tel:+15551234>, <mailto:a@example.test>;q=0.1\r\n";
    let done = peer.ask(&peer.register(&user, more));
    assert_eq!(done.status(), 200, "{}", done.text);
    assert!(done.text.contains("tel:+15551234") && done.text.contains("mailto:"));
}

#[test]
fn the_server_is_its_own_domain_by_address_and_port() {
    let (peer, user) = (peer(), unique("u"));
    let at = SERVER.address();
    let lines = format!(
        "From: <sip:{user}@{at}>;tag=1\r\nTo: <sip:{user}@{at}>\r\nContact: <sip:a@192.0.2.9>\r\n"
    );
    let done = peer.ask(&peer.request("REGISTER", &format!("sip:{at}"), &lines));
    assert_eq!(done.status(), 200, "{}", done.text);
    assert_ne!(at, DOMAIN);
}
