use super::*;
use crate::io::{ListenerId, Transport};

pub(super) fn guard(change: impl FnOnce(&mut Settings)) -> Guard {
    let mut settings = Settings { entries: 1024, strikes: 30, ..Settings::default() };
    change(&mut settings);
    Guard::new(&settings, Key(1, 2))
}

fn flow(transport: Transport, remote: &str) -> Flow {
    Flow {
        transport,
        listener: ListenerId(0),
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: remote.parse().unwrap(),
        connection: None,
    }
}

pub(super) fn udp(remote: &str) -> Flow {
    flow(Transport::Udp, remote)
}

pub(super) fn tcp(remote: &str) -> Flow {
    flow(Transport::Tcp, remote)
}

pub(super) fn at(seconds: u64) -> Instant {
    Instant((1000 + seconds) * 1_000_000)
}

/// Offends until it is banned.
fn offend(guard: &Guard, now: Instant, flow: &Flow) -> Option<Ban> {
    (0..100).find_map(|_| guard.offended(now, flow, Offence::Refused))
}

#[test]
fn rates_by_address_network_and_method() {
    let guard = guard(|s| {
        (s.rate_address, s.rate_network, s.rate_invite, s.burst) = (10, 20, 2, 1);
    });
    assert!(guard.has_rates());
    let passed = |from: &str, method, now, count: usize| {
        (0..count).filter(|_| !guard.is_too_much(now, &udp(from), method)).count()
    };
    let (a, b, c) = ("198.51.100.1:5060", "198.51.100.2:5060", "198.51.100.3:5060");
    assert_eq!(passed(a, Method::Invite, at(0), 5), 2);
    // Those that were refused came all the same.
    assert_eq!(passed(a, Method::Options, at(0), 20), 5);
    assert_eq!(passed(b, Method::Options, at(1), 20), 10);
    // The network is used up by what came before.
    assert_eq!(passed(c, Method::Options, at(1), 20), 0);
    assert_eq!(passed("203.0.113.1:5060", Method::Options, at(1), 20), 10);
    assert_eq!(passed(c, Method::Options, at(3), 20), 10);
    // One subscriber of IPv6 has many addresses.
    assert_eq!(passed("[2001:db8::1]:5060", Method::Options, at(3), 6), 6);
    assert_eq!(passed("[2001:db8::2]:5060", Method::Options, at(3), 6), 4);
}

/// Each method named has a rate of its own; others, and requests within none of them, have none.
#[test]
fn rates_of_any_method() {
    let guard = guard(|s| {
        s.burst = 1;
        s.rate_methods = vec![("OPTIONS".into(), 3), ("SUBSCRIBE".into(), 5)];
    });
    assert!(guard.has_rates());
    let from = udp("198.51.100.1:5060");
    for (method, passes) in
        [(Method::Options, 3), (Method::Subscribe, 5), (Method::Message, 20), (Method::Invite, 20)]
    {
        let passed = (0..20).filter(|_| !guard.is_too_much(at(0), &from, method)).count();
        assert_eq!(passed, passes, "{method}");
    }
    assert!(!guard.is_too_much(at(0), &udp("198.51.100.2:5060"), Method::Options));
}

#[test]
fn half_the_rate_is_never_refused() {
    let guard = guard(|s| (s.rate_address, s.burst) = (100, 1));
    for n in 0..1000 {
        let now = Instant(5_000_000 + n * 20_000);
        assert!(!guard.is_too_much(now, &udp("198.51.100.1:5060"), Method::Options), "{n}");
    }
}

#[test]
fn a_user_has_a_rate_of_its_own() {
    let guard = guard(|s| (s.rate_user, s.burst) = (3, 1));
    assert!(!guard.has_rates());
    let refused = (0..10).filter(|_| guard.is_too_much_of(at(0), b"alice")).count();
    assert_eq!(refused, 7);
    assert!(!guard.is_too_much_of(at(0), b"bob"));
}

#[test]
fn who_is_exempt_may_do_everything() {
    let guard = guard(|s| {
        s.rate_address = 1;
        s.exempt = vec![Network { address: "198.51.100.0".parse().unwrap(), prefix: 24 }];
    });
    let from = tcp("198.51.100.7:5060");
    for _ in 0..100 {
        assert!(!guard.is_too_much(at(0), &from, Method::Invite));
        let place = guard.place(&from);
        guard.failed(at(0), place, b"alice");
        assert!(guard.may_try(at(0), place, b"alice"));
    }
    assert_eq!(offend(&guard, at(0), &from), None);
}

#[test]
fn a_datagram_bans_no_more_than_its_port_and_for_the_shortest_time() {
    let guard = guard(|_| {});
    let from = udp("198.51.100.7:5060");
    for _ in 0..3 {
        let ban = offend(&guard, at(0), &from).unwrap();
        assert_eq!((ban.port, ban.until), (Some(5060), at(60)));
    }
    assert!(guard.is_banned(at(59), &from));
    assert!(!guard.is_banned(at(59), &udp("198.51.100.7:5061")));
    assert!(!guard.is_banned(at(59), &tcp("198.51.100.7:5060")));
    assert!(!guard.is_banned(at(59), &udp("198.51.100.8:5060")));
    assert!(!guard.is_banned(at(60), &from));
    // What has ended is swept out, and then nothing is asked any more.
    guard.is_banned(at(100), &from);
    assert!(!guard.has_bans());
}

#[test]
fn a_connection_bans_its_address_longer_each_time() {
    let guard = guard(|_| {});
    let mut now = 0;
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        let ban = offend(&guard, at(now), &tcp("198.51.100.7:40000")).unwrap();
        assert_eq!((ban.port, ban.until), (None, at(now + 60 * minutes)));
        assert!(guard.is_banned(at(now), &tcp("198.51.100.7:40001")));
        assert!(guard.is_banned(at(now), &udp("198.51.100.7:5060")));
        now += 60 * minutes;
        assert!(!guard.is_banned(at(now), &tcp("198.51.100.7:40001")));
    }
    // After four hours without a word it is as if nothing had been.
    now += 5 * 3600;
    let ban = offend(&guard, at(now), &tcp("198.51.100.7:40000")).unwrap();
    assert_eq!(ban.until, at(now + 60));
}

#[test]
fn the_address_of_a_registered_phone_is_not_banned_by_what_anybody_can_send() {
    let guard = guard(|_| {});
    let phone = udp("198.51.100.7:5060");
    guard.succeeded(at(0), &phone, guard.place(&phone), b"alice");
    assert_eq!(offend(&guard, at(1), &udp("198.51.100.7:5060")), None);
    assert_eq!(guard.offended(at(1), &udp("198.51.100.7:5060"), Offence::Scanner), None);
    // One phone behind a shared address takes none of the others with it.
    let ban = offend(&guard, at(1), &tcp("198.51.100.7:40000")).unwrap();
    assert_eq!((ban.port, ban.stream), (Some(40000), true));
    assert!(guard.is_banned(at(1), &tcp("198.51.100.7:40000")));
    assert!(!guard.is_banned(at(1), &tcp("198.51.100.7:40001")));
    assert!(!guard.is_banned(at(1), &udp("198.51.100.7:40000")));
    // For a day.
    assert!(offend(&guard, at(90_000), &udp("198.51.100.7:5060")).is_some());
}

/// Somebody who knows a password writes an address upon it where the nonce was never sent.
#[test]
fn an_address_is_known_only_where_a_nonce_has_arrived() {
    let guard = guard(|_| {});
    let (own, forged) = (udp("203.0.113.5:5060"), udp("198.51.100.7:5060"));
    guard.succeeded(at(0), &forged, guard.place(&own), b"mallory");
    assert!(offend(&guard, at(1), &forged).is_some());
}

/// A wrong password by UDP with a nonce that was sent there comes from there, whatever the port.
#[test]
fn wrong_passwords_from_changing_ports_ban_the_address() {
    let guard = guard(|_| {});
    let mut ban = None;
    for port in 5000..5030 {
        let from = udp(&format!("198.51.100.7:{port}"));
        assert!(guard.is_there(guard.place(&from), &from));
        ban = ban.or(guard.offended(at(0), &from, Offence::Failed { there: true }));
    }
    assert_eq!(ban.map(|ban| ban.port), Some(None));
    assert!(guard.is_banned(at(1), &udp("198.51.100.7:7000")));
    // Without the proof the address may be forged.
    for port in 5000..5200 {
        let from = udp(&format!("203.0.113.7:{port}"));
        assert_eq!(guard.offended(at(0), &from, Offence::Failed { there: false }), None);
    }
}

#[test]
fn a_dialog_that_goes_on_makes_an_address_known() {
    let guard = guard(|_| {});
    let from = udp("198.51.100.7:5060");
    guard.offended(at(0), &from, Offence::Refused);
    guard.behaved(at(0), &from, true);
    assert_eq!(offend(&guard, at(1), &from), None);
}

#[test]
fn a_scanner_is_banned_at_once() {
    let guard = guard(|_| {});
    assert!(guard.is_scanner(b"friendly-scanner"));
    assert!(guard.is_scanner(b"SIPVicious 0.3"));
    assert!(!guard.is_scanner(b"friend"));
    assert!(!guard.is_scanner(b""));
    assert!(guard.offended(at(0), &udp("198.51.100.7:5060"), Offence::Scanner).is_some());
}

#[test]
fn few_refusals_among_many_that_pass_are_no_reason() {
    let guard = guard(|_| {});
    let from = tcp("198.51.100.7:5060");
    for n in 0..1000 {
        assert_eq!(guard.offended(at(n / 100), &from, Offence::Refused), None, "{n}");
        guard.behaved(at(n / 100), &from, false);
    }
    // Nor are those that come slowly.
    for n in 0..1000 {
        assert_eq!(guard.offended(at(20 + n * 3), &from, Offence::Refused), None, "{n}");
    }
}

#[test]
fn bans_are_listed_lifted_and_bounded() {
    let guard = guard(|s| s.bans = 3);
    for n in 1..10 {
        offend(&guard, at(0), &tcp(&format!("198.51.100.{n}:1")));
    }
    assert_eq!(guard.bans(at(0)).len(), 3);
    assert_eq!(guard.lift("198.51.100.2".parse().unwrap()), 1);
    assert_eq!(guard.lift("198.51.100.2".parse().unwrap()), 0);
    assert!(!guard.is_banned(at(0), &tcp("198.51.100.2:1")));
    assert_eq!(guard.bans(at(0)).len(), 2);
    assert_eq!(guard.bans(at(60)).len(), 0);
    assert!(offend(&guard, at(60), &tcp("198.51.100.77:1")).is_some());
    offend(&guard, at(60), &tcp("[2001:db8:0:1::5]:1"));
    assert!(guard.is_banned(at(60), &tcp("[2001:db8:0:1::6]:1")));
    assert!(!guard.is_banned(at(60), &tcp("[2001:db8:0:2::6]:1")));
    assert_eq!(guard.lift("2001:db8:0:1::77".parse().unwrap()), 1);
}

#[test]
fn a_flood_of_sources_takes_no_more_memory() {
    let guard = guard(|s| (s.rate_address, s.bans) = (1, 50));
    for n in 0..100_000u32 {
        let from =
            udp(&format!("{}:5060", std::net::Ipv4Addr::from_bits(n.wrapping_mul(2_654_435_761))));
        guard.is_too_much(at(0), &from, Method::Invite);
        guard.failed(at(0), guard.place(&from), b"alice");
        guard.offended(at(0), &from, Offence::Scanner);
    }
    assert_eq!(guard.bans(at(0)).len(), 50);
}
