//! Several targets: section 16.6's order, section 16.7's choice, RFC 5393.

use super::rig::{request, requests, statuses};
use super::{open, register, rig};

const A: &str = "198.51.100.1:5060";

fn invite(more: &str) -> String {
    request(
        "INVITE",
        "sip:bob@192.0.2.1",
        "sip:alice@example.org",
        "sip:bob@192.0.2.1",
        "198.51.100.1",
        more,
    )
}

fn three(rig: &mut super::Rig<crate::server::Endpoint>) {
    register(
        rig,
        "bob",
        &["<sip:bob@198.51.100.2>", "<sip:bob@198.51.100.3>", "<sip:bob@198.51.100.4>"],
    );
}

#[test]
fn equal_q_rings_everywhere_and_the_first_wins() {
    let mut rig = rig(open());
    three(&mut rig);
    let sent = rig.udp(A, &invite(""));
    let branches: Vec<_> = requests(&sent, "INVITE").into_iter().cloned().collect();
    assert_eq!(branches.len(), 3);
    let breadth: Vec<u32> =
        branches.iter().map(|b| b.field("Max-Breadth").parse().unwrap()).collect();
    assert_eq!(breadth.iter().sum::<u32>(), 60);
    let vias: std::collections::HashSet<_> = branches.iter().map(|b| b.all("Via")[0]).collect();
    assert_eq!(vias.len(), 3);
    for branch in &branches {
        assert_eq!(statuses(&rig.udp(&branch.to.to_string(), &branch.answer(180, ""))), [180]);
    }
    let sent = rig.udp(&branches[1].to.to_string(), &branches[1].answer(200, ""));
    assert_eq!(statuses(&sent), [200]);
    assert_eq!(requests(&sent, "CANCEL").len(), 2);
    for at in [0, 2] {
        let sent = rig.udp(&branches[at].to.to_string(), &branches[at].answer(487, ""));
        assert_eq!((statuses(&sent).len(), requests(&sent, "ACK").len()), (0, 1));
    }
    rig.pass(70_000);
    assert!(crate::io::Machine::is_drained(&rig.element));
}

#[test]
fn two_branches_may_both_answer() {
    let mut rig = rig(open());
    three(&mut rig);
    let sent = rig.udp(A, &invite(""));
    let branches: Vec<_> = requests(&sent, "INVITE").into_iter().cloned().collect();
    for branch in branches.iter().take(2) {
        let sent = rig.udp(&branch.to.to_string(), &branch.answer(200, ""));
        assert!(statuses(&sent).contains(&200));
    }
}

#[test]
fn q_orders_the_search() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>;q=0.2", "<sip:bob@198.51.100.3>;q=0.9"]);
    let sent = rig.udp(A, &invite(""));
    let first = requests(&sent, "INVITE")[0].clone();
    assert_eq!(requests(&sent, "INVITE").len(), 1);
    assert_eq!(first.uri(), "sip:bob@198.51.100.3");
    assert_eq!(first.field("Max-Breadth"), "60");
    let sent = rig.udp("198.51.100.3:5060", &first.answer(486, ""));
    assert!(statuses(&sent).is_empty());
    let second = requests(&sent, "INVITE")[0].clone();
    assert_eq!(second.uri(), "sip:bob@198.51.100.2");
    let sent = rig.udp("198.51.100.2:5060", &second.answer(404, ""));
    assert_eq!(statuses(&sent), [486]);
}

#[test]
fn the_best_response_waits_for_all_and_a_decline_cancels() {
    let mut rig = rig(open());
    three(&mut rig);
    let sent = rig.udp(A, &invite(""));
    let branches: Vec<_> = requests(&sent, "INVITE").into_iter().cloned().collect();
    rig.udp(&branches[2].to.to_string(), &branches[2].answer(180, ""));
    assert!(
        statuses(&rig.udp(&branches[0].to.to_string(), &branches[0].answer(404, ""))).is_empty()
    );
    let sent = rig.udp(&branches[1].to.to_string(), &branches[1].answer(603, ""));
    assert!(statuses(&sent).is_empty());
    assert_eq!(requests(&sent, "CANCEL").len(), 1);
    let sent = rig.udp(&branches[2].to.to_string(), &branches[2].answer(487, ""));
    assert_eq!(statuses(&sent), [603]);
}

#[test]
fn challenges_are_collected() {
    let mut rig = rig(open());
    three(&mut rig);
    let sent = rig.udp(A, &invite(""));
    let branches: Vec<_> = requests(&sent, "INVITE").into_iter().cloned().collect();
    let at = |n: usize| branches[n].to.to_string();
    rig.udp(
        &at(0),
        &branches[0].answer(401, "WWW-Authenticate: Digest realm=\"a\", nonce=\"1\"\n"),
    );
    rig.udp(
        &at(1),
        &branches[1].answer(407, "Proxy-Authenticate: Digest realm=\"b\", nonce=\"2\"\n"),
    );
    let sent = rig.udp(&at(2), &branches[2].answer(404, ""));
    let [response] = sent.iter().filter(|s| s.status() > 200).collect::<Vec<_>>()[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(response.status(), 401);
    assert_eq!(response.all("WWW-Authenticate").len(), 1);
    assert_eq!(response.all("Proxy-Authenticate"), ["Digest realm=\"b\", nonce=\"2\""]);
}

#[test]
fn little_breadth_makes_the_search_sequential_and_none_refuses_it() {
    let mut rig = rig(open());
    three(&mut rig);
    let sent = rig.udp(A, &invite("Max-Breadth: 1\n"));
    assert_eq!(requests(&sent, "INVITE").len(), 1);
    let first = requests(&sent, "INVITE")[0].clone();
    assert_eq!(first.field("Max-Breadth"), "1");
    let sent = rig.udp(&first.to.to_string(), &first.answer(486, ""));
    assert_eq!(requests(&sent, "INVITE").len(), 1);
    let sent = rig.udp(
        A,
        &request(
            "INVITE",
            "sip:bob@192.0.2.1",
            "sip:alice@example.org",
            "sip:bob@192.0.2.1",
            "198.51.100.1:5070",
            "Max-Breadth: 0\n",
        ),
    );
    assert_eq!(statuses(&sent), [440]);
}

#[test]
fn a_redirect_is_followed_where_asked() {
    let mut settings = open();
    settings.proxy.recurse = true;
    let mut rig = rig(settings);
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let sent = rig.udp(A, &invite(""));
    let first = requests(&sent, "INVITE")[0].clone();
    let sent = rig.udp(
        "198.51.100.2:5060",
        &first.answer(302, "Contact: <sip:bob@198.51.100.7>, <mailto:b@h>\n"),
    );
    let second = requests(&sent, "INVITE")[0].clone();
    assert_eq!(second.uri(), "sip:bob@198.51.100.7");
    let sent = rig.udp("198.51.100.7:5060", &second.answer(486, ""));
    let response = sent.iter().find(|s| s.status() > 200).unwrap();
    assert_eq!((response.status(), response.field("Contact")), (302, "<mailto:b@h>"));
}

#[test]
fn a_redirect_goes_back_as_it_is_by_default() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let sent = rig.udp(A, &invite(""));
    let first = requests(&sent, "INVITE")[0].clone();
    let sent =
        rig.udp("198.51.100.2:5060", &first.answer(302, "Contact: <sip:bob@198.51.100.7>\n"));
    assert_eq!(statuses(&sent), [302]);
}

#[test]
fn timer_c_cancels_what_rings_for_ever() {
    let mut rig = rig(open());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    let sent = rig.udp(A, &invite(""));
    let first = requests(&sent, "INVITE")[0].clone();
    rig.udp("198.51.100.2:5060", &first.answer(180, ""));
    assert!(requests(&rig.pass(180_000), "CANCEL").is_empty());
    // Another 180 sets it anew (section 16.7 step 2).
    rig.udp("198.51.100.2:5060", &first.answer(180, ""));
    assert!(requests(&rig.pass(180_000), "CANCEL").is_empty());
    assert!(!requests(&rig.pass(10_000), "CANCEL").is_empty());
    let sent = rig.udp("198.51.100.2:5060", &first.answer(487, ""));
    assert_eq!(statuses(&sent), [487]);
}

#[test]
fn a_search_for_another_request_ends_before_its_client_gives_up() {
    let mut settings = open();
    settings.transaction.t1 = std::time::Duration::from_millis(50);
    let mut rig = rig(settings);
    three(&mut rig);
    let sent = rig.udp(A, &invite("").replace("INVITE", "MESSAGE"));
    let branches: Vec<_> = requests(&sent, "MESSAGE").into_iter().cloned().collect();
    for branch in &branches[1..] {
        rig.udp(&branch.to.to_string(), &branch.answer(404, ""));
    }
    assert_eq!(statuses(&rig.pass(64 * 50 - 1)), [404]);
}
