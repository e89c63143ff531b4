//! Passwords guessed at, at random and in earnest.

use super::tests::{at, guard, tcp, udp};
use super::*;

/// Tries a wrong password with a nonce that was sent to a flow; whether it was looked at.
fn guess(guard: &Guard, seconds: u64, flow: &Flow, user: &[u8]) -> bool {
    let place = guard.place(flow);
    let looked_at = guard.may_try(at(seconds), place, user);
    if looked_at {
        guard.failed(at(seconds), place, user);
    }
    looked_at
}

fn may(guard: &Guard, seconds: u64, flow: &Flow, user: &[u8]) -> bool {
    guard.may_try(at(seconds), guard.place(flow), user)
}

fn succeed(guard: &Guard, seconds: u64, flow: &Flow, user: &[u8]) {
    guard.succeeded(at(seconds), flow, guard.place(flow), user);
}

#[test]
fn guesses_wait_longer_and_longer_and_the_user_goes_on() {
    let guard = guard(|_| {});
    let home = udp("203.0.113.5:5060");
    succeed(&guard, 0, &home, b"alice");
    let attacker = udp("198.51.100.7:5060");
    let tried = (0..3600).filter(|now| guess(&guard, *now, &attacker, b"alice")).count();
    assert!((50..80).contains(&tried), "{tried} of 3600");
    // Others of the same address, and the user from elsewhere, are none the worse.
    assert!(may(&guard, 3600, &attacker, b"bob"));
    assert!(may(&guard, 3600, &home, b"alice"));
    // Whoever only mistyped waits a second, and the right password makes good for all.
    let new = udp("203.0.113.99:5060");
    for _ in 0..5 {
        assert!(guess(&guard, 3600, &new, b"alice"));
    }
    assert!(!may(&guard, 3600, &new, b"alice"));
    assert!(may(&guard, 3601, &new, b"alice"));
    succeed(&guard, 3601, &new, b"alice");
    for _ in 0..5 {
        assert!(guess(&guard, 3601, &new, b"alice"));
    }
}

/// Guesses of others at the same host, by one port or by many, do not touch a phone that has logged in.
#[test]
fn nobody_behind_the_same_address_keeps_a_phone_out() {
    let guard = guard(|_| {});
    let home = udp("203.0.113.5:5060");
    succeed(&guard, 0, &home, b"alice");
    let mut tried = 0;
    for now in 1..3600 {
        for n in 0..10 {
            let from = tcp(&format!("203.0.113.5:{}", 6000 + (now * 10 + n) % 50_000));
            tried += u32::from(guess(&guard, now, &from, b"alice"));
        }
        assert!(may(&guard, now, &home, b"alice"), "{now}");
    }
    assert!((50..=50 + 300).contains(&tried), "bounded all the same: {tried}");
}

/// A phone with an old password tries for ever from one port; another, never seen before, behind the
/// same address still gets in when it first comes, or soon after.
#[test]
fn a_bad_phone_leaves_room_for_a_good_one() {
    let guard = guard(|_| {});
    let bad = udp("203.0.113.5:5060");
    for now in 0..7200 {
        guess(&guard, now, &bad, b"alice");
    }
    for begin in 7200..7300 {
        let good = udp(&format!("203.0.113.5:{begin}"));
        let waited = (0..).find(|n| may(&guard, begin + n, &good, b"alice")).unwrap();
        assert!(waited <= 60, "{waited} seconds from {begin}");
    }
}

/// One password, many names, changing ports.
#[test]
fn spraying_over_names_is_slowed() {
    let guard = guard(|_| {});
    let clerk = udp("198.51.100.7:5060");
    succeed(&guard, 0, &clerk, b"clerk");
    let tried = (0..10_000u32)
        .filter(|n| {
            let from = udp(&format!("198.51.100.7:{}", 1024 + n % 60_000));
            guess(&guard, u64::from(n / 100), &from, format!("user{n}").as_bytes())
        })
        .count();
    assert!((50..=60).contains(&tried), "{tried} of 10000 within 100 seconds");
    // Who has logged in there goes on, and so does everybody elsewhere.
    assert!(may(&guard, 100, &clerk, b"clerk"));
    assert!(may(&guard, 100, &tcp("198.51.100.7:9999"), b"clerk"));
    assert!(may(&guard, 100, &udp("198.51.100.8:5060"), b"user3"));
}

/// One name, many addresses.
#[test]
fn a_user_is_guessed_at_from_everywhere_so_often_and_no_more() {
    let guard = guard(|_| {});
    let home = udp("203.0.113.5:5060");
    succeed(&guard, 0, &home, b"alice");
    let mut tried = 0;
    for n in 0..5_000u32 {
        let from = udp(&format!("{}:5060", std::net::Ipv4Addr::from_bits(0xc633_0000 + n)));
        for _ in 0..3 {
            tried += u32::from(guess(&guard, u64::from(n / 50), &from, b"alice"));
        }
        assert!(may(&guard, u64::from(n / 50), &home, b"alice"));
    }
    assert!((200..=240).contains(&tried), "{tried} of 15000 within 100 seconds");
    // Another user is not concerned.
    assert!(may(&guard, 100, &udp("198.51.100.1:5060"), b"bob"));
    // When it is over, a new place is let try again.
    assert!(may(&guard, 110, &udp("192.0.2.77:5060"), b"alice"));
}
