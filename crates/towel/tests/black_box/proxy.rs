//! RFC 3261 section 16, with 5393, 4320 and 6026.

use crate::{
    peer::{Message, Peer, Stream, answer, parameter, unique},
    towel::{DOMAIN, Towel},
};
use std::sync::LazyLock;

static SERVER: LazyLock<Towel> = LazyLock::new(|| {
    Towel::start(
        &[],
        "[auth]\nregister = false\ncalls = false\n[register]\nknown-users-only = false\n",
    )
});

fn peer() -> Peer {
    Peer::new(&SERVER)
}

/// A caller, a registered callee, and the callee's address of record.
fn pair() -> (Peer, Peer, String) {
    let (caller, callee, user) = (peer(), peer(), unique("u"));
    callee.bind(&user);
    (caller, callee, format!("sip:{user}@{DOMAIN}"))
}

fn contact(peer: &Peer) -> String {
    format!("Contact: <sip:x@{}>\r\n", peer.at())
}

#[test]
fn a_request_is_forwarded_to_the_contact_16_6() {
    let (caller, callee, aor) = pair();
    let more = "X-Odd:  kept \t as it is\r\nsubject: s\r\n";
    caller.send(&caller.request_with_body("MESSAGE", &aor, more, "hello"));
    let got = callee.next();
    assert!(got.uri().contains(&callee.at().to_string()), "step 2: {}", got.text);
    assert_eq!(got.field("Max-Forwards"), "69", "step 3");
    assert_eq!(got.all("Via").len(), 2, "step 8");
    assert!(got.all("Via")[1].contains("received=") || got.all("Via")[1].contains("rport="));
    assert!(parameter(got.all("Via")[0], "branch").unwrap().starts_with("z9hG4bK"));
    assert!(got.text.contains("X-Odd:  kept \t as it is\r\nsubject: s\r\n"), "{}", got.text);
    assert_eq!(got.body, "hello");
    callee.send(&answer(&got, "202 Accepted", "t", "X-Back: 1\r\n"));
    let done = caller.final_response();
    assert_eq!((done.status(), done.all("Via").len()), (202, 1));
    assert_eq!(done.field("X-Back"), "1");
}

#[test]
fn a_call_is_set_up_and_ended_through_the_recorded_route() {
    let (caller, callee, aor) = pair();
    caller.send(&caller.request("INVITE", &aor, &contact(&caller)));
    let invite = callee.next();
    let route = invite.field("Record-Route").to_owned();
    assert!(route.contains(";lr"), "{}", invite.text);
    callee.send(&answer(&invite, "180 Ringing", "t", &contact(&callee)));
    assert_eq!(caller.next_but(&[]).status(), 180);
    callee.send(&answer(&invite, "200 OK", "t", &contact(&callee)));
    let ok = caller.final_response();
    assert_eq!(ok.status(), 200);
    let dialog = |method: &str, cseq: u32| {
        let more = format!(
            "Route: {route}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n",
            ok.field("From"),
            ok.field("To"),
            ok.field("Call-ID")
        );
        caller.request(method, &format!("sip:x@{}", callee.at()), &more)
    };
    caller.send(&dialog("ACK", 1));
    let ack = callee.next();
    assert_eq!(ack.method(), "ACK");
    assert!(!ack.has("Route"), "ours was taken off, 16.4: {}", ack.text);
    caller.send(&dialog("BYE", 2));
    let bye = callee.next();
    assert_eq!(bye.method(), "BYE");
    callee.send(&answer(&bye, "200 OK", "", ""));
    assert_eq!(caller.final_response().status(), 200);
}

#[test]
fn an_invite_gets_100_and_other_methods_none_16_2() {
    let (caller, callee, aor) = pair();
    let request = caller.request("INVITE", &aor, &contact(&caller));
    caller.send(&request);
    let trying = caller.next();
    assert_eq!(trying.status(), 100);
    let invite = callee.next();
    callee.send(&answer(&invite, "486 Busy Here", "t", ""));
    let busy = caller.final_response();
    assert_eq!(busy.status(), 486);
    assert_eq!(callee.next_but(&[&invite]).method(), "ACK", "17.1.1.3");
    let sent = Message::parse(request.as_bytes());
    caller.send(&format!(
        "ACK {aor} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: {} ACK\r\nContent-Length: 0\r\n\r\n",
        sent.field("Via"),
        sent.field("From"),
        busy.field("To"),
        sent.field("Call-ID"),
        sent.field("CSeq").split(' ').next().unwrap()
    ));
    caller.send(&caller.request("MESSAGE", &aor, ""));
    let message = callee.next_but(&[&invite]);
    caller.hears_nothing();
    callee.send(&answer(&message, "200 OK", "t", ""));
    assert_eq!(caller.next().status(), 200);
}

#[test]
fn max_forwards_nought_gets_483_16_3_step_3() {
    let (caller, callee, aor) = pair();
    let done = caller.ask(&caller.request("MESSAGE", &aor, "Max-Forwards: 0\r\n"));
    assert_eq!(done.status(), 483);
    callee.hears_nothing();
}

#[test]
fn a_request_without_max_forwards_gets_one_16_6_step_3() {
    let (caller, callee, aor) = pair();
    let text = caller.request("MESSAGE", &aor, "").replace("Max-Forwards: 70\r\n", "");
    caller.send(&text);
    assert_eq!(callee.next().field("Max-Forwards"), "70");
}

#[test]
fn an_unknown_proxy_requirement_gets_420_16_3_step_5() {
    let (caller, callee, aor) = pair();
    let done = caller.ask(&caller.request("MESSAGE", &aor, "Proxy-Require: a-wonder\r\n"));
    assert_eq!((done.status(), done.field("Unsupported")), (420, "a-wonder"));
    callee.hears_nothing();
}

#[test]
fn require_is_no_business_of_a_proxy() {
    let (caller, callee, aor) = pair();
    caller.send(&caller.request("MESSAGE", &aor, "Require: a-wonder\r\n"));
    assert_eq!(callee.next().field("Require"), "a-wonder");
}

#[test]
fn unknown_methods_and_fields_pass_16_3() {
    let (caller, callee, aor) = pair();
    caller.send(&caller.request("BREW", &aor, "Milk: oat\r\n"));
    let got = callee.next();
    assert_eq!((got.method(), got.field("Milk")), ("BREW", "oat"));
    callee.send(&answer(&got, "200 OK", "t", ""));
    assert_eq!(caller.final_response().status(), 200);
}

#[test]
fn an_unknown_scheme_gets_416_16_3_step_2() {
    let caller = peer();
    assert_eq!(caller.ask(&caller.request("OPTIONS", "nobodyknows:me", "")).status(), 416);
}

#[test]
fn nobody_there_gets_404_or_480_16_5() {
    let caller = peer();
    let done = caller.ask(&caller.request("MESSAGE", &format!("sip:nobody@{DOMAIN}"), ""));
    assert!([404, 480].contains(&done.status()), "{}", done.text);
}

#[test]
fn cancel_gets_200_and_the_invite_487_16_10() {
    let (caller, callee, aor) = pair();
    let request = caller.request("INVITE", &aor, &contact(&caller));
    caller.send(&request);
    let invite = callee.next();
    callee.send(&answer(&invite, "180 Ringing", "t", ""));
    assert_eq!(caller.next_but(&[]).status(), 180);
    let sent = Message::parse(request.as_bytes());
    let cancel = format!(
        "CANCEL {aor} SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: {} CANCEL\r\nContent-Length: 0\r\n\r\n",
        sent.field("Via"),
        sent.field("From"),
        sent.field("To"),
        sent.field("Call-ID"),
        sent.field("CSeq").split(' ').next().unwrap()
    );
    caller.send(&cancel);
    let ok = caller.final_response();
    assert!(ok.status() == 200 && ok.field("CSeq").ends_with("CANCEL"), "{}", ok.text);
    let cancelled = callee.next_but(&[&invite]);
    assert_eq!(cancelled.method(), "CANCEL");
    assert_eq!(
        parameter(cancelled.field("Via"), "branch"),
        parameter(invite.field("Via"), "branch"),
        "9.1: the branch of what it cancels"
    );
    callee.send(&answer(&cancelled, "200 OK", "t", ""));
    callee.send(&answer(&invite, "487 Request Terminated", "t", ""));
    assert_eq!(caller.final_response().status(), 487);
}

#[test]
fn a_cancel_that_matches_nothing_is_passed_on_without_state_16_10() {
    let (caller, callee, aor) = pair();
    caller.send(&caller.request("CANCEL", &aor, ""));
    let got = callee.next();
    assert_eq!(got.method(), "CANCEL");
    callee.send(&answer(&got, "481 Call/Transaction Does Not Exist", "t", ""));
    assert_eq!(caller.final_response().status(), 481);
}

#[test]
fn parallel_forking_rings_all_and_cancels_the_others_16_7() {
    let (caller, one, two, user) = (peer(), peer(), peer(), unique("u"));
    one.bind(&user);
    two.bind(&user);
    caller.send(&caller.request("INVITE", &format!("sip:{user}@{DOMAIN}"), &contact(&caller)));
    let (first, second) = (one.next(), two.next());
    assert_ne!(parameter(first.field("Via"), "branch"), parameter(second.field("Via"), "branch"));
    one.send(&answer(&first, "180 Ringing", "one", ""));
    two.send(&answer(&second, "180 Ringing", "two", ""));
    two.send(&answer(&second, "200 OK", "two", &contact(&two)));
    let ok = caller.final_response();
    assert!(ok.status() == 200 && ok.field("To").contains("tag=two"));
    let cancel = one.next_but(&[&first]);
    assert_eq!(cancel.method(), "CANCEL", "step 10");
    one.send(&answer(&cancel, "200 OK", "one", ""));
    one.send(&answer(&first, "487 Request Terminated", "one", ""));
    assert_eq!(one.next_but(&[&first, &cancel]).method(), "ACK");
    caller.hears_nothing();
}

#[test]
fn sequential_forking_goes_by_q_16_6() {
    let (caller, one, two, user) = (peer(), peer(), peer(), unique("u"));
    let bind = |p: &Peer, q: &str| {
        p.ask(&p.register(&user, &format!("Contact: <sip:{user}@{}>;q={q}\r\n", p.at())))
    };
    assert_eq!(bind(&one, "0.9").status(), 200);
    assert_eq!(bind(&two, "0.3").status(), 200);
    caller.send(&caller.request("INVITE", &format!("sip:{user}@{DOMAIN}"), &contact(&caller)));
    let first = one.next();
    two.hears_nothing();
    one.send(&answer(&first, "486 Busy Here", "one", ""));
    let second = two.next();
    two.send(&answer(&second, "200 OK", "two", &contact(&two)));
    assert_eq!(caller.final_response().status(), 200);
}

#[test]
fn a_6xx_ends_the_search_and_goes_before_others_16_7_step_5() {
    let (caller, one, two, user) = (peer(), peer(), peer(), unique("u"));
    one.bind(&user);
    two.bind(&user);
    caller.send(&caller.request("INVITE", &format!("sip:{user}@{DOMAIN}"), &contact(&caller)));
    let (first, second) = (one.next(), two.next());
    one.send(&answer(&first, "180 Ringing", "one", ""));
    two.send(&answer(&second, "603 Decline", "two", ""));
    let cancel = one.next_but(&[&first]);
    assert_eq!(cancel.method(), "CANCEL");
    one.send(&answer(&cancel, "200 OK", "one", ""));
    one.send(&answer(&first, "487 Request Terminated", "one", ""));
    assert_eq!(caller.final_response().status(), 603);
}

#[test]
fn challenges_of_all_branches_are_gathered_16_7_step_7() {
    let (caller, one, two, user) = (peer(), peer(), peer(), unique("u"));
    one.bind(&user);
    two.bind(&user);
    caller.send(&caller.request("INVITE", &format!("sip:{user}@{DOMAIN}"), &contact(&caller)));
    let (first, second) = (one.next(), two.next());
    let ask = |r: &str| format!("WWW-Authenticate: Digest realm=\"{r}\", nonce=\"n\"\r\n");
    one.send(&answer(&first, "401 Unauthorized", "one", &ask("one")));
    two.send(&answer(&second, "401 Unauthorized", "two", &ask("two")));
    let done = caller.final_response();
    assert_eq!(done.status(), 401);
    assert!(done.text.contains("realm=\"one\"") && done.text.contains("realm=\"two\""));
}

#[test]
fn a_503_is_not_passed_on_as_such_16_7_step_6() {
    let (caller, callee, aor) = pair();
    caller.send(&caller.request("INVITE", &aor, &contact(&caller)));
    let invite = callee.next();
    callee.send(&answer(&invite, "503 Service Unavailable", "t", ""));
    assert_eq!(caller.final_response().status(), 500);
}

#[test]
fn a_loop_is_found_16_3_step_4() {
    let (caller, user) = (peer(), unique("u"));
    // A binding that leads back to the server for the same user.
    let more = format!("Contact: <sip:{user}@{DOMAIN}>\r\n");
    assert_eq!(caller.ask(&caller.register(&user, &more)).status(), 200);
    let done = caller.ask(&caller.request("OPTIONS", &format!("sip:{user}@{DOMAIN}"), ""));
    assert!([482, 483].contains(&done.status()), "{}", done.text);
}

#[test]
fn a_strict_router_before_us_is_understood_16_4() {
    let (caller, callee, aor) = pair();
    caller.send(&caller.request("INVITE", &aor, &contact(&caller)));
    let invite = callee.next();
    callee.send(&answer(&invite, "200 OK", "t", &contact(&callee)));
    let ok = caller.final_response();
    let route = ok.field("Record-Route").trim_matches(['<', '>']).to_owned();
    let more = format!(
        "Route: <sip:x@{}>\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 2 BYE\r\n",
        callee.at(),
        ok.field("From"),
        ok.field("To"),
        ok.field("Call-ID")
    );
    // The Request-URI is what we recorded; the last Route is where it is meant to go.
    caller.send(&caller.request("BYE", &route, &more));
    let bye = callee.next_but(&[&invite]);
    assert_eq!((bye.method(), bye.uri()), ("BYE", format!("sip:x@{}", callee.at()).as_str()));
    assert!(!bye.has("Route"), "{}", bye.text);
}

#[test]
fn a_retransmission_is_not_forwarded_twice() {
    let (caller, callee, aor) = pair();
    let request = caller.request("MESSAGE", &aor, "");
    caller.send(&request);
    caller.send(&request);
    let got = callee.next();
    callee.send(&answer(&got, "200 OK", "t", ""));
    callee.hears_nothing();
    let ok = caller.final_response();
    caller.send(&request);
    assert_eq!(caller.next_but(&[]).start, ok.start);
}

#[test]
fn a_stray_response_goes_nowhere() {
    let (caller, callee, _aor) = pair();
    callee.send(&format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKstray\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKx\r\n\
         From: <sip:a@x.test>;tag=1\r\nTo: <sip:b@x.test>;tag=2\r\nCall-ID: stray\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n",
        SERVER.address(),
        caller.at()
    ));
    caller.hears_nothing();
}

#[test]
fn a_call_goes_from_udp_to_tcp_over_the_connection_of_the_callee() {
    let (caller, user) = (peer(), unique("u"));
    let mut callee = Stream::new(&SERVER);
    let aor = format!("sip:{user}@{DOMAIN}");
    let more = format!("Contact: <sip:{user}@{};transport=tcp>\r\n", callee.at());
    let register = callee
        .request("REGISTER", &format!("sip:{DOMAIN}"), &more, "")
        .replace("To: <sip:towel.test>", &format!("To: <{aor}>"))
        .replace("sip:peer@elsewhere.test", &aor);
    callee.send(register);
    assert_eq!(callee.final_response().status(), 200);
    caller.send(&caller.request("INVITE", &aor, &contact(&caller)));
    let invite = callee.next().expect("the INVITE comes over the connection");
    assert_eq!(invite.method(), "INVITE");
    assert_eq!(invite.all("Record-Route").iter().flat_map(|v| v.split(',')).count(), 2);
    callee.send(answer(&invite, "200 OK", "t", &more));
    assert_eq!(caller.final_response().status(), 200);
}

#[test]
fn options_to_the_server_itself_are_answered_11_2() {
    let caller = peer();
    let done = caller.ask(&caller.request("OPTIONS", &format!("sip:{DOMAIN}"), ""));
    assert_eq!(done.status(), 200);
    for field in ["Allow", "Accept", "Supported"] {
        assert!(done.has(field), "{field}: {}", done.text);
    }
    let done = caller.ask(&caller.request("MESSAGE", &format!("sip:{DOMAIN}"), ""));
    assert!([405, 501].contains(&done.status()), "8.2.1, 21.5.2: {}", done.text);
    assert!(done.has("Allow"));
    // 21.5.2; RFC 4475 sections 3.1.1.2 and 3.1.1.5.
    let done = caller.ask(&caller.request("BREW", &format!("sip:{DOMAIN}"), ""));
    assert_eq!(done.status(), 501);
    assert!(done.has("Allow"));
}

#[test]
fn too_little_breadth_gets_440_rfc_5393() {
    let (caller, one, two, user) = (peer(), peer(), peer(), unique("u"));
    one.bind(&user);
    two.bind(&user);
    let aor = format!("sip:{user}@{DOMAIN}");
    let done = caller.ask(&caller.request("OPTIONS", &aor, "Max-Breadth: 0\r\n"));
    assert_eq!(done.status(), 440, "{}", done.text);
    caller.send(&caller.request("OPTIONS", &aor, "Max-Breadth: 2\r\n"));
    let (first, second) = (one.next(), two.next());
    assert_eq!((first.field("Max-Breadth"), second.field("Max-Breadth")), ("1", "1"));
}

#[test]
fn a_contact_that_registers_while_it_rings_is_tried_16_5() {
    let (caller, one, two, user) = (peer(), peer(), peer(), unique("u"));
    one.bind(&user);
    caller.send(&caller.request("INVITE", &format!("sip:{user}@{DOMAIN}"), &contact(&caller)));
    let first = one.next();
    one.send(&answer(&first, "180 Ringing", "one", ""));
    two.bind(&user);
    let second = two.next();
    assert_eq!(second.method(), "INVITE", "{}", second.text);
    two.send(&answer(&second, "200 OK", "two", &contact(&two)));
    assert_eq!(caller.final_response().status(), 200);
    assert_eq!(one.next_but(&[&first]).method(), "CANCEL");
}

#[test]
fn an_invite_that_has_expired_is_cancelled_20_19() {
    let (caller, callee, aor) = pair();
    let more = format!("Expires: 1\r\n{}", contact(&caller));
    caller.send(&caller.request("INVITE", &aor, &more));
    let invite = callee.next();
    callee.send(&answer(&invite, "180 Ringing", "t", ""));
    let cancel = callee.next_but(&[&invite]);
    assert_eq!(cancel.method(), "CANCEL", "{}", cancel.text);
    callee.send(&answer(&cancel, "200 OK", "t", ""));
    callee.send(&answer(&invite, "487 Request Terminated", "t", ""));
    assert_eq!(caller.final_response().status(), 487);
}

#[test]
fn a_response_without_another_via_goes_no_further_16_7_step_3() {
    let (caller, callee, aor) = pair();
    caller.send(&caller.request("INVITE", &aor, &contact(&caller)));
    let invite = callee.next();
    let whole = answer(&invite, "200 OK", "t", &contact(&callee));
    let mine = format!("via: {}\r\n", invite.all("Via")[1]);
    assert!(whole.contains(&mine), "{whole}");
    callee.send(&whole.replace(&mine, ""));
    caller.next();
    caller.hears_nothing();
    callee.send(&whole);
    assert_eq!(caller.final_response().status(), 200);
}

#[test]
fn nobody_can_be_reached_by_what_is_no_sip_uri() {
    let (caller, callee, aor) = pair();
    let user = unique("u");
    let more = "Contact: <mailto:someone@elsewhere.test>\r\n";
    assert_eq!(caller.ask(&caller.register(&user, more)).status(), 200);
    let only = format!("sip:{user}@{DOMAIN}");
    assert_eq!(caller.ask(&caller.request("MESSAGE", &only, "")).status(), 480);
    let routed = caller.request("MESSAGE", &aor, "Route: <news:comp.sip>\r\n");
    assert!((400..500).contains(&caller.ask(&routed).status()));
    callee.hears_nothing();
}
