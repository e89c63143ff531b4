//! What scanners, floods and guesses at passwords come to.

use super::rig::{Sent, request, statuses};
use super::{closed, open, register, rig};
use crate::auth::client::Session;
use crate::settings::Settings;

const A: &str = "198.51.100.1:5060";

fn strict(mut settings: Settings) -> Settings {
    settings.abuse.strikes = 10;
    settings
}

/// A request out of a dialog, one of many.
fn ask(method: &str, uri: &str, number: usize, more: &str) -> String {
    let via = format!("198.51.100.1:{}", 6000 + number);
    request(method, uri, "sip:mallory@example.org", uri, &via, more)
}

#[test]
fn a_scanner_hears_nothing() {
    let mut rig = rig(strict(closed()));
    for (n, (method, uri)) in [
        ("OPTIONS", "sip:192.0.2.1"),
        ("REGISTER", "sip:example.com"),
        ("INVITE", "sip:nobody@example.com"),
        ("INVITE", "sip:alice@foreign.example"),
        ("MESSAGE", "sip:alice@example.com"),
    ]
    .into_iter()
    .enumerate()
    {
        let from = format!("198.51.100.{}:5060", n + 10);
        let sent = rig.udp(&from, &ask(method, uri, n, "User-Agent: friendly-scanner\n"));
        assert_eq!(statuses(&sent), [0u16; 0], "{method} {uri}");
        // And whatever it calls itself from now on.
        let sent = rig.udp(&from, &ask("OPTIONS", "sip:192.0.2.1", 100 + n, ""));
        assert!(sent.is_empty());
    }
    assert_eq!(rig.element.stack().abuse().bans(rig.now.at).len(), 5);
    assert_eq!(rig.element.stack().counters().silenced_scanners, 5);
    assert_eq!(rig.element.stack().counters().dropped_banned, 5);
    rig.pass(61_000);
    assert_eq!(
        statuses(&rig.udp("198.51.100.10:5060", &ask("OPTIONS", "sip:192.0.2.1", 1, ""))),
        [200]
    );
}

#[test]
fn a_sweep_for_users_ends_in_silence() {
    let mut rig = rig(strict(closed()));
    let mut answered = 0;
    for n in 0..50 {
        let sent = rig.udp(A, &ask("OPTIONS", &format!("sip:{n}@example.com"), n, ""));
        answered += sent.len();
    }
    assert_eq!(answered, 10);
    // Nobody else is concerned, not even at the same address.
    let other = ask("OPTIONS", "sip:192.0.2.1", 99, "");
    assert_eq!(statuses(&rig.udp("198.51.100.1:5061", &other)), [200]);
}

#[test]
fn a_sweep_by_tcp_bans_the_address_and_closes() {
    let mut rig = rig(strict(closed()));
    let connection = rig.accept(A);
    let mut answered = 0;
    for n in 0..20 {
        answered +=
            rig.tcp(connection, &ask("OPTIONS", &format!("sip:{n}@example.com"), n, "")).len();
    }
    assert_eq!(answered, 10);
    assert_eq!(rig.element.stack().sizes().2, 0);
    let again = rig.accept("198.51.100.1:7000");
    assert!(rig.tcp(again, &ask("OPTIONS", "sip:192.0.2.1", 99, "")).is_empty());
    let lifted = rig.element.stack_mut().lift_bans("198.51.100.1".parse().unwrap());
    assert_eq!(lifted, 1);
    let again = rig.accept("198.51.100.1:7001");
    assert_eq!(statuses(&rig.tcp(again, &ask("OPTIONS", "sip:192.0.2.1", 98, ""))), [200]);
}

#[test]
fn calls_that_go_through_outweigh_those_that_do_not() {
    let mut rig = rig(strict(open()));
    register(&mut rig, "bob", &["<sip:bob@198.51.100.2>"]);
    for n in 0..60 {
        let wrong = ask("MESSAGE", "sip:nobody@192.0.2.1", 2 * n, "");
        assert_eq!(statuses(&rig.udp(A, &wrong)), [404], "{n}");
        let right = ask("MESSAGE", "sip:bob@192.0.2.1", 2 * n + 1, "");
        assert_eq!(rig.udp(A, &right).len(), 1, "{n}");
    }
}

#[test]
fn a_rate_is_kept_with_an_answer_or_in_silence() {
    for silent in [false, true] {
        let mut settings = open();
        (settings.abuse.rate_address, settings.abuse.burst, settings.abuse.silent) = (5, 1, silent);
        let mut rig = rig(settings);
        let mut sent = Vec::new();
        for n in 0..20 {
            sent.extend(rig.udp(A, &ask("OPTIONS", "sip:192.0.2.1", n, "")));
        }
        let count = |status| statuses(&sent).iter().filter(|s| **s == status).count();
        assert_eq!((count(200), count(503)), (5, if silent { 0 } else { 15 }));
        // What ends a dialog goes through, wherever it is to go.
        let bye = ask("BYE", "sip:192.0.2.1", 30, "")
            .replace("To: <sip:192.0.2.1>", "To: <sip:192.0.2.1>;tag=x");
        assert_eq!(statuses(&rig.udp(A, &bye)), [481]);
        rig.pass(1000);
        assert_eq!(statuses(&rig.udp(A, &ask("OPTIONS", "sip:192.0.2.1", 31, ""))), [200]);
    }
}

type Rig = super::Rig<super::Endpoint>;

/// A REGISTER of alice's.
fn registering(from: &str, number: usize, sequence: usize, more: &str) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{number}x{sequence}\n\
         From: <sip:alice@example.com>;tag=1\nTo: <sip:alice@example.com>\nCall-ID: {from}-{number}\n\
         CSeq: {sequence} REGISTER\nContact: <sip:alice@{from}>\n{more}"
    )
}

/// Asks for a challenge and answers it; the header field to send with it.
fn answer(rig: &mut Rig, from: &str, user: &str, password: &str, number: usize) -> String {
    let sent: Vec<Sent> = rig.udp(from, &registering(from, number, 1, ""));
    assert_eq!(statuses(&sent), [401]);
    let challenge = sent[0].field("WWW-Authenticate").as_bytes();
    let mut session = Session::new(challenge, user, password).unwrap();
    let credentials = session.answer(b"REGISTER", b"sip:example.com", b"", "c");
    format!("Authorization: {}\n", String::from_utf8(credentials).unwrap())
}

/// Asks for registration as alice from somewhere with a password; the status that comes of it.
fn log_in(rig: &mut Rig, from: &str, password: &str, number: usize) -> u16 {
    let field = answer(rig, from, "alice", password, number);
    let sent = rig.udp(from, &registering(from, number, 2, &field));
    statuses(&sent)[0]
}

/// Ten thousand datagrams with the user's own address upon them: with nonces that were never given
/// out, with one that the forger was sent, and with one that was sent long ago.
#[test]
fn forged_failures_lock_nobody_out() {
    let mut settings = closed();
    settings.server.authenticate_register = true;
    settings.abuse.strikes = 30;
    let mut rig = rig(settings);
    let (home, forger) = ("203.0.113.5:5060", "198.51.100.66:5060");
    assert_eq!(log_in(&mut rig, home, "secret", 0), 200);
    let own = answer(&mut rig, forger, "alice", "guess", 1);
    let nonce = own.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    for n in 0..10_000 {
        let field = match n % 2 {
            0 => own.clone(),
            _ => own.replace(nonce, &format!("{n:056x}")),
        };
        rig.udp(home, &registering(home, 10 + n, 2, &field));
    }
    assert_eq!(log_in(&mut rig, home, "secret", 2), 200, "from home");
    assert_eq!(log_in(&mut rig, "203.0.113.5:5070", "secret", 3), 200, "from another port");
    assert_eq!(log_in(&mut rig, "203.0.113.77:5060", "secret", 4), 200, "from elsewhere");
    // The forger alone has used up patience.
    assert_eq!(log_in(&mut rig, forger, "secret", 5), 401);
}

/// Two phones of one user behind one address, one of which has an old password.
#[test]
fn a_bad_phone_does_not_keep_the_other_out() {
    let mut settings = closed();
    settings.server.authenticate_register = true;
    let mut rig = rig(settings);
    let (good, bad) = ("203.0.113.5:5060", "203.0.113.5:5061");
    assert_eq!(log_in(&mut rig, good, "secret", 0), 200);
    for n in 1..500 {
        log_in(&mut rig, bad, "old", n);
        rig.pass(500);
        if n % 50 == 0 {
            assert_eq!(log_in(&mut rig, good, "secret", n), 200, "{n}");
        }
    }
    // After the phone has lost its port, or at another of the same house.
    assert_eq!(log_in(&mut rig, "203.0.113.5:6000", "secret", 1000), 200);
}

#[test]
fn guesses_are_slowed_and_the_user_still_comes_in() {
    let mut settings = closed();
    settings.server.authenticate_register = true;
    let mut rig = rig(settings);
    let (home, attacker) = ("203.0.113.5:5060", "198.51.100.66:5060");
    assert_eq!(log_in(&mut rig, home, "secret", 1000), 200);
    for n in 0..5 {
        assert_eq!(log_in(&mut rig, attacker, "guess", n), 401);
    }
    // Not even the right one is told from the others now.
    assert_eq!(log_in(&mut rig, attacker, "secret", 5), 401);
    assert_eq!(rig.element.stack().counters().logins_delayed, 1);
    assert_eq!(log_in(&mut rig, home, "secret", 1001), 200);
    // Whoever only mistyped waits a second.
    rig.pass(1100);
    assert_eq!(log_in(&mut rig, attacker, "secret", 6), 200);
    assert_eq!(log_in(&mut rig, attacker, "guess", 7), 401);
    assert_eq!(log_in(&mut rig, attacker, "secret", 8), 200);
}

#[test]
fn a_user_has_a_rate() {
    let mut settings = closed();
    settings.server.authenticate_register = true;
    (settings.abuse.rate_user, settings.abuse.burst) = (3, 1);
    let mut rig = rig(settings);
    let all: Vec<u16> = (0..5).map(|n| log_in(&mut rig, "203.0.113.5:5060", "secret", n)).collect();
    assert_eq!(all, [200, 200, 200, 503, 503]);
}
