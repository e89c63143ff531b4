//! RFC 3261 section 22 with 7616 and 8760, and what nobody may be able to do.

use crate::{
    eventually,
    peer::{Credentials, Message, Peer, answer, authorization, challenge, parameter, unique},
    towel::{DOMAIN, Towel, password},
};
use std::{sync::LazyLock, time::Duration};

const USERS: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];

static SERVER: LazyLock<Towel> = LazyLock::new(|| Towel::start(&USERS, ""));

fn peer() -> Peer {
    Peer::new(&SERVER)
}

fn register_with(peer: &Peer, user: &str, field: &str) -> Message {
    let more = format!("Contact: <sip:x@{}>\r\nAuthorization: {field}\r\n", peer.at());
    peer.ask(&peer.register(user, &more))
}

fn credentials<'a>(user: &'a str, password: &'a str, nc: u32) -> Credentials<'a> {
    Credentials { user, password, method: "REGISTER", uri: "sip:towel.test", nc }
}

fn challenged(peer: &Peer, user: &str) -> Message {
    let done = peer.ask(&peer.register(user, &format!("Contact: <sip:x@{}>\r\n", peer.at())));
    assert_eq!(done.status(), 401, "{}", done.text);
    done
}

#[test]
fn all_three_algorithms_are_offered_in_order_and_work() {
    let peer = peer();
    let done = challenged(&peer, "alice");
    let offered: Vec<_> =
        done.all("WWW-Authenticate").iter().map(|c| parameter(c, "algorithm").unwrap()).collect();
    assert_eq!(offered, ["SHA-256", "SHA-512-256", "MD5"]);
    for algorithm in offered {
        let asked = challenged(&peer, "alice");
        let field = authorization(
            challenge(&asked, &algorithm),
            &credentials("alice", &password("alice"), 1),
        );
        let done = register_with(&peer, "alice", &field);
        assert_eq!(done.status(), 200, "{algorithm}: {}", done.text);
    }
}

#[test]
fn the_server_proves_itself_where_it_is_told_to_rfc_7616_3_5() {
    let server = Towel::start(&["alice"], "[auth]\nauthentication-info = true\n");
    let peer = Peer::new(&server);
    for algorithm in ["SHA-256", "SHA-512-256", "MD5"] {
        let asked = challenged(&peer, "alice");
        let (challenge, password) = (challenge(&asked, algorithm), password("alice"));
        let field = authorization(challenge, &credentials("alice", &password, 1));
        let done = register_with(&peer, "alice", &field);
        assert_eq!(done.status(), 200, "{}", done.text);
        // The same sum with no method in it.
        let proof = Credentials { method: "", ..credentials("alice", &password, 1) };
        let proof = parameter(&authorization(challenge, &proof), "response");
        let info = done.field("Authentication-Info");
        assert_eq!(parameter(info, "rspauth"), proof, "{info}");
        assert_eq!(parameter(info, "qop").as_deref(), Some("auth"));
        assert_eq!(parameter(info, "nc").as_deref(), Some("00000001"));
        assert_eq!(parameter(info, "cnonce"), parameter(&field, "cnonce"));
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let peer = peer();
    let mut answers = Vec::new();
    for user in ["alice", "nobody"] {
        let asked = challenged(&peer, user);
        let field = authorization(challenge(&asked, "MD5"), &credentials(user, "wrong", 1));
        let done = register_with(&peer, user, &field);
        let names: Vec<_> = done.fields.iter().map(|(n, _)| n.clone()).collect();
        answers.push((done.start.clone(), names));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0.split(' ').nth(1), Some("401"));
}

#[test]
fn a_replay_is_refused() {
    let peer = peer();
    let asked = challenged(&peer, "bob");
    let field =
        authorization(challenge(&asked, "SHA-256"), &credentials("bob", &password("bob"), 1));
    assert_eq!(register_with(&peer, "bob", &field).status(), 200);
    assert_eq!(register_with(&peer, "bob", &field).status(), 401, "the same nonce count again");
    let next =
        authorization(challenge(&asked, "SHA-256"), &credentials("bob", &password("bob"), 2));
    assert_eq!(register_with(&peer, "bob", &next).status(), 200, "the next nonce count");
}

#[test]
fn a_made_up_nonce_is_stale_or_refused() {
    let peer = peer();
    let asked = challenged(&peer, "carol");
    let real = parameter(challenge(&asked, "MD5"), "nonce").unwrap();
    let forged = challenge(&asked, "MD5").replace(&real, "AAAAAAAAAAAAAAAAAAAAAAAA");
    let field = authorization(&forged, &credentials("carol", &password("carol"), 1));
    assert_eq!(register_with(&peer, "carol", &field).status(), 401);
}

#[test]
fn nobody_registers_for_another() {
    let peer = peer();
    let asked = challenged(&peer, "dave");
    let field = authorization(challenge(&asked, "MD5"), &credentials("dave", &password("dave"), 1));
    let done = register_with(&peer, "erin", &field);
    assert_eq!(done.status(), 403, "{}", done.text);
}

#[test]
fn nothing_is_relayed_out_of_our_domains_for_strangers() {
    let (peer, target) = (peer(), peer());
    let uri = format!("sip:x@{}", target.at());
    for more in [
        String::new(),
        format!("Route: <sip:{};lr>\r\n", SERVER.address()),
        format!("Route: <sip:forged@{};lr>\r\n", SERVER.address()),
        format!("Route: <sip:{};lr>\r\nTo: <{uri}>;tag=made-up\r\n", SERVER.address()),
    ] {
        for method in ["INVITE", "MESSAGE", "BYE", "REGISTER"] {
            let done = peer.ask(&peer.request(method, &uri, &more));
            assert!((400..500).contains(&done.status()), "{method} {more}: {}", done.text);
        }
        peer.send(&peer.request("ACK", &uri, &more));
    }
    target.hears_nothing();
}

#[test]
fn who_claims_to_be_ours_must_prove_it() {
    let (peer, callee) = (peer(), peer());
    let asked = challenged(&callee, "frank");
    let field =
        authorization(challenge(&asked, "MD5"), &credentials("frank", &password("frank"), 1));
    let more = format!("Contact: <sip:frank@{}>\r\nAuthorization: {field}\r\n", callee.at());
    assert_eq!(callee.ask(&callee.register("frank", &more)).status(), 200);

    let aor = format!("sip:frank@{DOMAIN}");
    let from = |user: &str| format!("From: <sip:{user}@{DOMAIN}>;tag={}\r\n", unique("f"));
    let done = peer.ask(&peer.request("MESSAGE", &aor, &from("alice")));
    assert_eq!(done.status(), 407, "{}", done.text);
    let prove = |as_user: &str, from_user: &str| {
        let asked = peer.ask(&peer.request("MESSAGE", &aor, &from(from_user)));
        let password = password(as_user);
        let c =
            Credentials { user: as_user, password: &password, method: "MESSAGE", uri: &aor, nc: 1 };
        let field = authorization(challenge(&asked, "SHA-256"), &c);
        peer.request(
            "MESSAGE",
            &aor,
            &format!("{}Proxy-Authorization: {field}\r\n", from(from_user)),
        )
    };
    assert_eq!(peer.ask(&prove("bob", "alice")).status(), 403);
    callee.hears_nothing();
    peer.send(&prove("alice", "alice"));
    let got = callee.next();
    assert!(!got.has("Proxy-Authorization"), "ours is taken off: {}", got.text);
}

#[test]
fn the_record_route_of_one_call_opens_no_other_way() {
    let (stranger, callee, target) = (peer(), peer(), peer());
    let asked = challenged(&callee, "dave");
    let field = authorization(challenge(&asked, "MD5"), &credentials("dave", &password("dave"), 1));
    let more = format!("Contact: <sip:dave@{}>\r\nAuthorization: {field}\r\n", callee.at());
    assert_eq!(callee.ask(&callee.register("dave", &more)).status(), 200);
    // A stranger sees the Record-Route once. Call-ID and tag are its own.
    let (call, tag, dave) = (unique("call"), unique("tag"), format!("sip:dave@{DOMAIN}"));
    let own = |from: &str, n: u32, method: &str, more: &str| {
        format!("From: <{from}>;tag={tag}\r\nCall-ID: {call}\r\nCSeq: {n} {method}\r\n{more}")
    };
    let zaphod = "sip:zaphod@elsewhere.test";
    let first = own(zaphod, 1, "SUBSCRIBE", "Event: dialog\r\n");
    stranger.send(&stranger.request("SUBSCRIBE", &dave, &first));
    let got = callee.next();
    callee.send(&answer(&got, "403 Forbidden", "t", ""));
    let route = format!("Route: {}\r\n", got.field("Record-Route"));
    assert_eq!(stranger.next_but(&[]).status(), 403);
    let alice = format!("sip:alice@{DOMAIN}");
    let done =
        stranger.ask(&stranger.request("MESSAGE", &dave, &own(&alice, 2, "MESSAGE", &route)));
    assert_eq!(done.status(), 407, "{}", done.text);
    let out = format!("sip:x@{}", target.at());
    let done = stranger.ask(&stranger.request("MESSAGE", &out, &own(zaphod, 3, "MESSAGE", &route)));
    assert_eq!(done.status(), 403, "{}", done.text);
    target.hears_nothing();
}

#[test]
fn a_dialog_leads_where_its_ends_said_and_nowhere_else() {
    let (stranger, callee, target) = (peer(), peer(), peer());
    let asked = challenged(&callee, "erin");
    let field = authorization(challenge(&asked, "MD5"), &credentials("erin", &password("erin"), 1));
    let more = format!("Contact: <sip:erin@{}>\r\nAuthorization: {field}\r\n", callee.at());
    assert_eq!(callee.ask(&callee.register("erin", &more)).status(), 200);
    // The device says another Contact in the call than the one that it registers.
    let (here, there) = (format!("sip:z@{}", stranger.at()), format!("sip:room@{}", callee.at()));
    let erin = format!("sip:erin@{DOMAIN}");
    let contact = |uri: &str| format!("Contact: <{uri}>\r\n");
    stranger.send(&stranger.request("INVITE", &erin, &contact(&here)));
    let invite = callee.next();
    callee.send(&answer(&invite, "180 Ringing", "t", &contact(&there)));
    let ringing = stranger.next_but(&[]);
    callee.send(&answer(&invite, "200 OK", "t", &contact(&there)));
    let ok = stranger.final_response();
    assert_eq!((ringing.status(), ok.status()), (180, 200));
    assert_ne!(ok.field("Record-Route"), invite.field("Record-Route"));
    let dialog = |route: &str, from: &str, to: &str, cseq: u32, method: &str| {
        let call = ok.field("Call-ID");
        format!(
            "Route: {route}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\n"
        )
    };
    let (from, to, route) = (ok.field("From"), ok.field("To"), ok.field("Record-Route"));
    stranger.send(&stranger.request("ACK", &there, &dialog(route, from, to, 1, "ACK")));
    assert_eq!(callee.next_but(&[&invite]).method(), "ACK");
    // Elsewhere, by way of elsewhere, or in a dialog that nobody has.
    let out = format!("sip:x@{}", target.at());
    let by_way = format!("{route}, <sip:{};lr>", target.at());
    let made_up = to.replace(";tag=t", ";tag=made-up");
    for (n, (uri, route, to, status)) in [
        (&out, route, to, 407),
        (&out, invite.field("Record-Route"), to, 407),
        (&there, by_way.as_str(), to, 407),
        (&out, route, made_up.as_str(), 403),
        (&there, route, made_up.as_str(), 403),
    ]
    .into_iter()
    .enumerate()
    {
        for (m, method) in ["SUBSCRIBE", "MESSAGE", "BYE"].into_iter().enumerate() {
            let cseq = (10 + 10 * n + m) as u32;
            let text = stranger.request(method, uri, &dialog(route, from, to, cseq, method));
            let done = stranger.ask(&text);
            assert_eq!(done.status(), status, "{method} {uri} {route}: {}", done.text);
        }
        let ack = dialog(route, from, to, 1, "ACK");
        stranger.send(&stranger.request("ACK", uri, &ack));
    }
    // The callee reaches the caller, and not somebody else either.
    let route = invite.field("Record-Route");
    let done = callee.ask(&callee.request("INFO", &out, &dialog(route, to, from, 1, "INFO")));
    assert_eq!(done.status(), 407, "{}", done.text);
    target.hears_nothing();
    callee.send(&callee.request("BYE", &here, &dialog(route, to, from, 2, "BYE")));
    let bye = stranger.next_but(&[&ringing, &ok]);
    assert_eq!(bye.method(), "BYE", "{}", bye.text);
    stranger.send(&answer(&bye, "200 OK", "", ""));
    assert_eq!(callee.final_response().status(), 200);
}

#[test]
fn odd_credentials_are_no_way_in() {
    let peer = peer();
    for field in [
        "Basic YWxpY2U6eA==",
        "Digest",
        "Digest username=\"alice\"",
        "Digest username=\"alice\", realm=\"towel.test\", nonce=\"\", uri=\"\", response=\"\"",
        "Digest username=\"alice\", realm=\"other\", nonce=\"x\", uri=\"sip:towel.test\", response=\"x\"",
        "Digest username=\"alice, realm=towel.test",
    ] {
        let done = register_with(&peer, "alice", field);
        assert!([400, 401].contains(&done.status()), "{field}: {}", done.text);
    }
}

#[test]
fn garbage_is_dropped_and_the_server_lives() {
    // Of its own, since while it lasts others may be told to come again.
    let server = Towel::start(&["alice"], "");
    let peer = Peer::new(&server);
    let mut seed = 1u64;
    let valid = peer.register("alice", "Contact: <sip:a@192.0.2.1>\r\n").into_bytes();
    for _ in 0..3000 {
        let mut bytes = valid.clone();
        for _ in 0..1 + seed % 7 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (seed >> 33) as usize % bytes.len();
            bytes[at] = (seed >> 24) as u8;
        }
        peer.send_bytes(&bytes[..(seed >> 40) as usize % bytes.len()]);
        peer.send_bytes(&bytes);
    }
    let again = Peer::new(&server);
    eventually("the server to be well again", || {
        again.send(&again.request("OPTIONS", &format!("sip:{DOMAIN}"), ""));
        again.heard(Duration::from_millis(200)).is_some_and(|answer| answer.status() == 200)
    });
}
