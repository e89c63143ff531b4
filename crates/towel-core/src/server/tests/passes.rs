//! Where the later requests of a dialog may go without proof (RFC 3261 sections 12.1, 16.4, 16.6
//! step 4, 16.7 step 8 and 22.3), and where a stranger who holds a genuine mark tries to send them.

use super::rig::{Rig, Sent, request, requests, statuses};
use super::{closed, register, rig};
use crate::auth::client::Session;
use crate::server::{Endpoint, Mode};
use crate::settings::Settings;

const STRANGER: &str = "198.51.100.9:5060";
const FROM: &str = "sip:zaphod@example.org";
const BOB: &str = "198.51.100.2:5060";
const CONTACT: &str = "sip:bob@198.51.100.2";
const VICTIM: &str = "sip:victim@198.51.100.77";
const METHODS: [&str; 7] = ["INVITE", "BYE", "MESSAGE", "REFER", "UPDATE", "WEIRD", "ACK"];

/// A call, as its two ends know it.
struct Call {
    rig: Rig<Endpoint>,
    /// The Record-Route that the caller got to see, and that of the callee, as Route values.
    caller: String,
    callee: String,
    count: usize,
}

/// A request of a dialog.
#[derive(Clone)]
struct Ask<'a> {
    method: &'a str,
    uri: &'a str,
    route: String,
    from: &'a str,
    from_tag: &'a str,
    to_tag: &'a str,
    more: String,
}

impl Call {
    /// A stranger calls bob, who answers with a status and this Contact.
    fn of_stranger(settings: Settings, status: u16) -> Call {
        let mut rig = rig(settings);
        register(&mut rig, "bob", &[&format!("<{CONTACT}>")]);
        let bob = "sip:bob@example.com";
        let sent = rig.udp(STRANGER, &request("INVITE", bob, FROM, bob, "198.51.100.9", ""));
        Self::answered(rig, &sent, status, "")
    }

    fn answered(mut rig: Rig<Endpoint>, sent: &[Sent], status: u16, more: &str) -> Call {
        let invite = requests(sent, "INVITE")[0].clone();
        let contact = format!("Contact: <sip:bob@{}>\n{more}", invite.to.ip());
        let callee = invite.all("Record-Route").join(", ");
        let sent = rig.udp(&invite.to.to_string(), &invite.answer(status, &contact));
        assert_eq!(statuses(&sent), [status]);
        let response = sent.iter().find(|s| s.status() == status).unwrap();
        let mut values: Vec<_> =
            response.all("Record-Route").iter().flat_map(|line| line.split(", ")).collect();
        values.reverse();
        let caller = values.join(", ");
        Call { rig, caller, callee, count: 0 }
    }

    fn ask<'a>(&self, method: &'a str, uri: &'a str) -> Ask<'a> {
        Ask {
            method,
            uri,
            route: self.caller.clone(),
            from: FROM,
            from_tag: "f198511009",
            to_tag: "callee-5060",
            more: String::new(),
        }
    }

    /// The same by the callee.
    fn ask_back<'a>(&self, method: &'a str, uri: &'a str) -> Ask<'a> {
        Ask {
            route: self.callee.clone(),
            from: "sip:bob@example.com",
            from_tag: "callee-5060",
            to_tag: "f198511009",
            ..self.ask(method, uri)
        }
    }

    fn send(&mut self, from: &str, ask: &Ask<'_>) -> Vec<Sent> {
        self.count += 1;
        let Ask { method, uri, route, from: name, from_tag, to_tag, more } = ask;
        let text = format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP {from};branch=z9hG4bKp{}\nRoute: {route}\n\
             From: <{name}>;tag={from_tag}\nTo: <sip:bob@example.com>;tag={to_tag}\n\
             Call-ID: c198511009\nCSeq: {} {method}\nMax-Forwards: 70\n{more}",
            self.count,
            self.count + 1
        );
        self.rig.udp(from, &text)
    }

    /// Sends it as the stranger; it must be refused with this, or dropped if it is an ACK.
    fn refused(&mut self, status: u16, ask: &Ask<'_>) {
        let sent = self.send(STRANGER, ask);
        let expected = if ask.method == "ACK" { vec![] } else { vec![status] };
        assert_eq!(statuses(&sent), expected, "{} {} {sent:?}", ask.method, ask.uri);
        assert!(requests(&sent, ask.method).is_empty(), "{sent:?}");
    }

    /// Sends it; it must go on to there.
    fn passed(&mut self, from: &str, to: &str, ask: &Ask<'_>) {
        let sent = self.send(from, ask);
        let [forwarded] = requests(&sent, ask.method)[..] else { panic!("{sent:?}") };
        assert_eq!(forwarded.to, to.parse().unwrap(), "{sent:?}");
    }
}

#[test]
fn a_caller_reaches_where_the_callee_said_and_nothing_else() {
    let mut call = Call::of_stranger(closed(), 200);
    for method in METHODS {
        call.passed(STRANGER, BOB, &call.ask(method, CONTACT));
        call.passed(STRANGER, BOB, &call.ask(method, "sip:bob@198.51.100.2:5060;transport=udp"));
        for uri in [
            VICTIM,
            "sip:+1900@198.51.100.2",
            "sip:198.51.100.2",
            "sip:bob@198.51.100.2:5070",
            "sip:bob@198.51.100.2;maddr=198.51.100.77",
            "sips:bob@198.51.100.2",
        ] {
            call.refused(407, &call.ask(method, uri));
            // A tag that nobody has, under a foreign name, and under one of ours.
            call.refused(403, &Ask { to_tag: "made-up", ..call.ask(method, uri) });
            let from = "sip:alice@example.com";
            call.refused(407, &Ask { to_tag: "made-up", from, ..call.ask(method, uri) });
            // As if the callee sent it.
            let back = Ask { from_tag: "x", to_tag: "f198511009", ..call.ask(method, uri) };
            call.refused(403, &back);
            // With what the callee was given.
            let told = Ask { route: call.callee.clone(), ..call.ask(method, VICTIM) };
            call.refused(407, &told);
        }
        // In the way, whatever the Request-URI.
        for more in [
            "<sip:198.51.100.77;lr>",
            "<sip:198.51.100.77>",
            "<sip:192.0.2.1;maddr=198.51.100.77;lr>",
            "<sip:192.0.2.1;lr>, <sip:198.51.100.77;lr>",
        ] {
            let route = format!("{}, {more}", call.caller);
            call.refused(407, &Ask { route, ..call.ask(method, CONTACT) });
            let route = format!("{more}, {}", call.caller);
            call.refused(403, &Ask { route, ..call.ask(method, CONTACT) });
        }
        // As a strict router brings it.
        let own = call.caller.trim_matches(['<', '>']).to_owned();
        let strict = |target: &str| Ask { route: format!("<{target}>"), ..call.ask(method, &own) };
        let (there, elsewhere) = (strict(CONTACT), strict(VICTIM));
        call.passed(STRANGER, BOB, &there);
        call.refused(407, &elsewhere);
    }
}

#[test]
fn nobody_is_impersonated_by_the_mark_of_a_dialog() {
    let mut call = Call::of_stranger(closed(), 200);
    register(&mut call.rig, "carol", &["<sip:carol@198.51.100.3>"]);
    let alice =
        Ask { from: "sip:alice@example.com", ..call.ask("MESSAGE", "sip:carol@example.com") };
    call.refused(407, &alice);
}

#[test]
fn a_callee_reaches_the_contact_of_the_caller_and_proves_itself_for_more() {
    let mut call = Call::of_stranger(closed(), 200);
    for method in METHODS {
        let back = call.ask_back(method, "sip:caller@198.51.100.9");
        call.passed(BOB, STRANGER, &back);
    }
    // The caller is elsewhere now: bob may call whom he likes, so he may send that as well.
    let moved = call.ask_back("BYE", "sip:caller@203.0.113.9");
    let sent = call.send(BOB, &moved);
    assert_eq!(statuses(&sent), [407]);
    let challenge = sent[0].field("Proxy-Authenticate").as_bytes();
    let mut session = Session::new(challenge, "bob", "secret").unwrap();
    let answer = session.answer(b"BYE", moved.uri.as_bytes(), b"", "c");
    let more = format!("Proxy-Authorization: {}\n", String::from_utf8(answer).unwrap());
    // Whatever he was called by.
    let moved = Ask { more, from: "sip:helpdesk@example.com", ..moved };
    call.passed(BOB, "203.0.113.9:5060", &moved);
    // An ACK for which there is no challenge is dropped.
    let ack = call.ask_back("ACK", "sip:caller@203.0.113.9");
    assert!(call.send(BOB, &ack).is_empty());
}

#[test]
fn a_callee_that_moves_is_reached_where_it_registers() {
    let mut call = Call::of_stranger(closed(), 200);
    let moved = call.ask("BYE", "sip:bob@203.0.113.2:5062;ob");
    call.refused(407, &moved);
    let text = "REGISTER sip:192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.200;branch=z9hG4bKmoved\n\
                From: <sip:bob@192.0.2.1>;tag=1\nTo: <sip:bob@192.0.2.1>\nCall-ID: moved\nCSeq: 1 REGISTER\n\
                Contact: <sip:bob@203.0.113.2:5062>\n";
    assert_eq!(statuses(&call.rig.udp("198.51.100.200:5060", text)), [200]);
    call.passed(STRANGER, "203.0.113.2:5062", &moved);
    call.refused(407, &call.ask("BYE", "sip:carol@203.0.113.2:5062"));
    let to_nobody = Ask { to_tag: "made-up", ..call.ask("BYE", "sip:bob@203.0.113.2:5062") };
    call.refused(403, &to_nobody);
    // With what only the callee can have told it, it reaches that device under any name.
    let told = Ask { route: call.callee.clone(), ..call.ask("BYE", "sip:x@203.0.113.2:5062") };
    call.passed(STRANGER, "203.0.113.2:5062", &told);
}

#[test]
fn an_early_dialog_has_a_pass_of_its_own() {
    let mut call = Call::of_stranger(closed(), 183);
    for method in ["PRACK", "UPDATE"] {
        call.passed(STRANGER, BOB, &call.ask(method, CONTACT));
        call.refused(407, &call.ask(method, VICTIM));
        call.refused(403, &Ask { to_tag: "of-another-branch", ..call.ask(method, CONTACT) });
    }
}

#[test]
fn each_branch_of_a_forked_call_is_reached_by_its_own_pass() {
    let mut rig = rig(closed());
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>", "<sip:bob@198.51.100.3>"]);
    let bob = "sip:bob@example.com";
    let sent = rig.udp(STRANGER, &request("INVITE", bob, FROM, bob, "198.51.100.9", ""));
    let invites: Vec<Sent> = requests(&sent, "INVITE").into_iter().cloned().collect();
    let mut routes = Vec::new();
    for (n, invite) in invites.iter().enumerate() {
        // Both devices say that they are somewhere where they are not registered.
        let ringing = invite
            .answer(180, &format!("Contact: <sip:b@203.0.113.{n}>\n"))
            .replace("callee-5060", &format!("t{n}"));
        let sent = rig.udp(&invite.to.to_string(), &ringing);
        routes.push(sent[0].field("Record-Route").to_owned());
    }
    let mut call = Call { rig, caller: String::new(), callee: String::new(), count: 0 };
    for (n, other) in [(0, 1), (1, 0)] {
        let (tag, uri) = (format!("t{n}"), format!("sip:b@203.0.113.{n}"));
        let mut ask = Ask { route: routes[n].clone(), to_tag: &tag, ..call.ask("PRACK", &uri) };
        call.passed(STRANGER, &format!("203.0.113.{n}:5060"), &ask);
        ask.route.clone_from(&routes[other]);
        call.refused(403, &ask);
    }
}

#[test]
fn other_proxies_on_the_way_are_bound_as_well() {
    let mut rig = rig(closed());
    register(&mut rig, "bob", &[&format!("<{CONTACT}>")]);
    let bob = "sip:bob@example.com";
    let before = "<sip:first@203.0.113.1;lr>, <sip:203.0.113.2;lr>";
    let invite =
        request("INVITE", bob, FROM, bob, "198.51.100.9", &format!("Record-Route: {before}\n"));
    let sent = rig.udp(STRANGER, &invite);
    let mut invite = requests(&sent, "INVITE")[0].clone();
    let ours = invite.field("Record-Route").to_owned();
    invite.text = invite.text.replacen(
        "Record-Route: ",
        "Record-Route: <sip:203.0.113.4;lr>, <sip:203.0.113.3;lr>\nRecord-Route: ",
        1,
    );
    let mut call = Call::answered(rig, std::slice::from_ref(&invite), 200, "");
    // What stands before us in a route is gone when the request comes here.
    let caller = call.caller.replacen("<sip:203.0.113.2;lr>, <sip:first@203.0.113.1;lr>, ", "", 1);
    assert!(caller.starts_with("<sip:ra-"), "{caller}");
    let ask = Ask { route: caller.clone(), ..call.ask("BYE", CONTACT) };
    call.passed(STRANGER, "203.0.113.3:5060", &ask);
    for other in ["203.0.113.77", "203.0.113.4"] {
        let route = caller.replace("203.0.113.3", other);
        call.refused(407, &Ask { route, ..ask.clone() });
    }
    let (shorter, _) = caller.rsplit_once(", ").unwrap();
    call.refused(407, &Ask { route: shorter.to_owned(), ..ask });
    let back = call.ask_back("BYE", "sip:caller@198.51.100.9");
    let back = Ask { route: format!("{ours}, {before}"), ..back };
    call.passed(BOB, "203.0.113.1:5060", &back);
    let route = back.route.replace("203.0.113.2", "203.0.113.77");
    let sent = call.send(BOB, &Ask { route, ..back });
    assert_eq!(statuses(&sent), [407]);
}

#[test]
fn a_refusal_and_a_redirection_lead_nowhere() {
    for status in [302, 486] {
        let mut call = Call::of_stranger(closed(), status);
        assert!(call.caller.starts_with("<sip:ra-"), "{}", call.caller);
        // To where the callee is registered it may go; what the callee named in it is nothing.
        call.refused(407, &call.ask("INVITE", "sip:x@198.51.100.2"));
        call.passed(STRANGER, BOB, &call.ask("INVITE", CONTACT));
    }
}

#[test]
fn what_the_callee_was_given_is_not_told_in_a_refusal() {
    let mut rig = rig(closed());
    register(&mut rig, "bob", &[&format!("<{CONTACT}>")]);
    let bob = "sip:bob@example.com";
    let sent = rig.udp(STRANGER, &request("INVITE", bob, FROM, bob, "198.51.100.9", ""));
    let invite = requests(&sent, "INVITE")[0].clone();
    let fragment = format!("Content-Type: message/sipfrag\n\n{}", invite.text);
    let sent = rig.udp(BOB, &invite.answer(483, &fragment));
    assert_eq!(statuses(&sent), [483]);
    let pass = invite.field("Record-Route").split(['-', '@']).nth(1).unwrap();
    assert_eq!(pass.len(), 24);
    let body = sent.iter().find(|s| s.status() == 483).unwrap().text.clone();
    assert!(!body.contains(pass) && body.contains(&"0".repeat(24)), "{body}");
}

/// alice calls somebody abroad; her INVITE as it went out.
fn abroad(rig: &mut Rig<Endpoint>) -> Sent {
    let uri = "sip:ford@203.0.113.8";
    let text = |more: &str| {
        request("INVITE", uri, "sip:alice@example.com", uri, "198.51.100.9", more)
            .replace("branch=z9hG4bK", &format!("branch=z9hG4bK{}", more.len()))
    };
    let sent = rig.udp(STRANGER, &text(""));
    assert_eq!(statuses(&sent), [407]);
    let challenge = sent[0].field("Proxy-Authenticate").as_bytes();
    let mut session = Session::new(challenge, "alice", "secret").unwrap();
    let answer = String::from_utf8(session.answer(b"INVITE", uri.as_bytes(), b"", "c")).unwrap();
    let sent = rig.udp(STRANGER, &text(&format!("Proxy-Authorization: {answer}\n")));
    requests(&sent, "INVITE")[0].clone()
}

#[test]
fn a_foreign_callee_reaches_our_user_and_nobody_else() {
    let (abroad_at, alice) = ("203.0.113.8:5060", STRANGER);
    let mut rig = rig(closed());
    let invite = abroad(&mut rig);
    let mut call = Call::answered(rig, std::slice::from_ref(&invite), 200, "");
    for method in METHODS {
        call.passed(alice, abroad_at, &call.ask(method, "sip:bob@203.0.113.8"));
        let foreign = "sip:ford@203.0.113.8";
        let back = Ask { from: foreign, ..call.ask_back(method, "sip:caller@198.51.100.9") };
        call.passed(abroad_at, alice, &back);
        let out = Ask { uri: VICTIM, ..back };
        let sent = call.send(abroad_at, &out);
        assert_eq!(statuses(&sent), if method == "ACK" { vec![] } else { vec![407] });
        assert!(requests(&sent, method).is_empty());
        // As if alice sent it.
        let route = call.callee.clone();
        let out = Ask { route, from: "sip:alice@example.com", ..call.ask(method, VICTIM) };
        call.refused(407, &out);
    }
}

#[test]
fn our_via_that_somebody_has_seen_opens_no_relay() {
    let mut rig = rig(closed());
    let invite = abroad(&mut rig);
    let via = invite.field("Via").to_owned();
    let text = invite
        .text
        .replacen("Via: ", "Via: SIP/2.0/UDP 203.0.113.8;branch=z9hG4bKown\nVia: ", 1)
        .replacen("sip:ford@203.0.113.8", VICTIM, 1);
    assert!(text.contains(&via));
    let sent = rig.udp("203.0.113.8:5060", &text);
    assert_eq!(statuses(&sent), [407]);
    assert!(requests(&sent, "INVITE").is_empty());
    // From ourselves it is a spiral.
    let text = text.replace("z9hG4bKown", "z9hG4bKspiral");
    let sent = rig.udp("192.0.2.1:5060", &text);
    assert_eq!(requests(&sent, "INVITE").len(), 1, "{sent:?}");
}

#[test]
fn passes_outlive_a_restart_and_do_without_state() {
    for mode in [Mode::Stateful, Mode::Stateless] {
        let mut settings = closed();
        settings.server.secret = Some([9; 16]);
        settings.server.mode = mode;
        let before = Call::of_stranger(settings.clone(), 200);
        let mut call = Call { rig: rig(settings), count: 50, ..before };
        call.passed(STRANGER, BOB, &call.ask("BYE", CONTACT));
        call.refused(407, &call.ask("BYE", VICTIM));
        let back = call.ask_back("BYE", "sip:caller@198.51.100.9");
        call.passed(BOB, STRANGER, &back);
    }
}

#[test]
fn a_foreign_caller_that_says_nothing_of_where_it_is_needs_proof_from_the_callee() {
    let mut rig = rig(closed());
    register(&mut rig, "bob", &[&format!("<{CONTACT}>")]);
    let bob = "sip:bob@example.com";
    let invite = request("INVITE", bob, FROM, bob, "198.51.100.9", "")
        .replace("Contact: <sip:caller@198.51.100.9>\n", "");
    let sent = rig.udp(STRANGER, &invite);
    let mut call = Call::answered(rig, &sent, 200, "");
    let back = call.ask_back("BYE", "sip:caller@198.51.100.9");
    assert_eq!(statuses(&call.send(BOB, &back)), [407]);
}

/// In overload those come first who are in a dialog, and not those who write a tag upon what they send.
#[test]
fn a_made_up_dialog_is_served_no_sooner_than_new_work() {
    let mut call = Call::of_stranger(closed(), 200);
    call.rig.overload();
    let served = |call: &mut Call, method: &str, route: &str| {
        (0..200)
            .filter(|number| {
                let text = request(
                    method,
                    "sip:bob@example.com",
                    FROM,
                    "sip:bob@example.com",
                    "198.51.100.66",
                    "",
                )
                .replace("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=made-up")
                .replacen("Call-ID: ", &format!("Call-ID: {method}{number}{}", route.len()), 1)
                .replacen(
                    "branch=z9hG4bK",
                    &format!("branch=z9hG4bK{number}{}", route.len()),
                    1,
                ) + route;
                let sent = call.rig.udp("198.51.100.66:5060", &text);
                sent.iter().any(|s| s.status() != 503)
            })
            .count()
    };
    let genuine = format!("Route: {}\n", call.caller);
    for method in ["INVITE", "BYE", "PRACK", "MESSAGE"] {
        for route in ["", "Route: <sip:rr-abc@192.0.2.1;lr>\n", &genuine] {
            let count = served(&mut call, method, route);
            assert!(count < 20, "{method} {route:?}: {count} of 200");
        }
    }
    // Those of the dialog itself are all served.
    for method in ["MESSAGE", "INFO", "BYE"] {
        let ask = call.ask(method, CONTACT);
        let sent = call.send(STRANGER, &ask);
        assert_eq!(requests(&sent, method).len(), 1, "{method}: {sent:?}");
    }
}
