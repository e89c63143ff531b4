//! What was acknowledged survives `kill -9`.

use crate::{
    peer::{Message, unique},
    towel::{DOMAIN, Towel},
};
use std::{
    collections::BTreeSet,
    net::UdpSocket,
    time::{Duration, Instant},
};

const REGISTRATIONS: usize = 10_000;

fn request(socket: &UdpSocket, n: usize, contact: bool) -> String {
    let (me, user) = (socket.local_addr().unwrap(), format!("sip:n{n}@{DOMAIN}"));
    let contact = if contact { format!("Contact: <sip:n{n}@{me}>\r\n") } else { String::new() };
    format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
         From: <{user}>;tag=1\r\nTo: <{user}>\r\nCall-ID: {}\r\nCSeq: 1 REGISTER\r\n{contact}\
         Expires: 3600\r\nContent-Length: 0\r\n\r\n",
        unique("b"),
        unique("c"),
    )
}

/// Registers until `stop`, keeping some in flight; gives those that got their 200.
fn register(
    server: &Towel,
    socket: &UdpSocket,
    from: usize,
    stop: impl Fn(usize) -> bool,
) -> BTreeSet<usize> {
    let at = server.address();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let (mut next, mut done) = (from, BTreeSet::new());
    let mut waiting = 0;
    let mut bytes = [0; 4096];
    while next < REGISTRATIONS && !stop(done.len()) {
        while waiting < 32 && next < REGISTRATIONS {
            socket.send_to(request(socket, next, true).as_bytes(), &at).unwrap();
            next += 1;
            waiting += 1;
        }
        match socket.recv(&mut bytes) {
            Ok(len) => {
                let answer = Message::parse(&bytes[..len]);
                waiting -= 1;
                if answer.status() == 200 {
                    let to = answer.field("To");
                    let n = to.split("sip:n").nth(1).and_then(|t| t.split('@').next()).unwrap();
                    done.insert(n.parse().unwrap());
                }
            }
            Err(_) => waiting = 0,
        }
    }
    done
}

/// Two moments to kill at, each after so many further acknowledgements, from a seed that is printed
/// and can be given again.
fn kill_points() -> [usize; 2] {
    let given = std::env::var("TOWEL_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| {
        std::time::UNIX_EPOCH.elapsed().map_or(1, |now| u64::from(now.subsec_nanos()))
    });
    let mut state = seed;
    let points = [100, 100].map(|least| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        least + (state >> 33) as usize % 4_000
    });
    eprintln!("TOWEL_KILL_SEED={seed}: killed after {points:?}, and at the end");
    points
}

/// `kill -9` at three moments of a run of 10,000 registrations, none of them chosen kindly: with
/// requests in flight. Every one that got its 200 is there in the end.
#[test]
fn every_acknowledged_registration_is_there_after_the_crash() {
    let mut server = Towel::start(
        &[],
        "[auth]\nregister = false\ncalls = false\n[register]\nknown-users-only = false\n",
    );
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut acknowledged = BTreeSet::new();
    let [first, second] = kill_points();
    for until in [first, second, REGISTRATIONS] {
        let from = acknowledged.last().map_or(0, |n| n + 1);
        let more = register(&server, &socket, from, |n| n >= until);
        assert!(!more.is_empty());
        acknowledged.extend(more);
        server.crash_and_restart();
        // Answers that were on their way when it died.
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        while socket.recv(&mut [0; 4096]).is_ok() {}
    }
    // What was in flight when it died is not asked for again, and that is little.
    assert!(acknowledged.len() > 9_500, "only {} were acknowledged", acknowledged.len());
    let (at, started) = (server.address(), Instant::now());
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut bytes = [0; 4096];
    for n in &acknowledged {
        socket.send_to(request(&socket, *n, false).as_bytes(), &at).unwrap();
        let len = socket.recv(&mut bytes).expect("an answer to a fetch");
        let answer = Message::parse(&bytes[..len]);
        assert!(answer.text.contains(&format!("<sip:n{n}@")), "lost:\n{}", answer.text);
    }
    eprintln!("{} bindings looked up in {:?}", acknowledged.len(), started.elapsed());
}

/// A store that takes no more: whoever gets a 200 is there after the restart, everybody else gets a
/// 500 and is told when to try again, the log says what to do, and with room it goes on by itself.
#[test]
fn a_full_store_acknowledges_nothing_that_it_does_not_hold() {
    let mut server = Towel::start(
        &[],
        "# ulimit -f 64\n[auth]\nregister = false\ncalls = false\n\
         [register]\nknown-users-only = false\n",
    );
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut bytes = [0; 4096];
    let mut ask = |server: &Towel, n: usize, contact: bool| {
        socket.send_to(request(&socket, n, contact).as_bytes(), server.address()).unwrap();
        let len = socket.recv(&mut bytes).expect("an answer");
        Message::parse(&bytes[..len])
    };
    let (mut held, mut refused) = (Vec::new(), Vec::new());
    for n in 0..2000 {
        let answer = ask(&server, n, true);
        match answer.status() {
            200 => held.push(n),
            500 => {
                assert!(answer.field("Retry-After").parse::<u32>().is_ok(), "{}", answer.text);
                refused.push(n);
            }
            other => panic!("{other}"),
        }
        if refused.len() == 3 {
            break;
        }
    }
    assert!(held.len() > 10 && refused.len() == 3, "{} held, {refused:?}", held.len());
    for n in &refused {
        assert!(!ask(&server, *n, false).has("Contact"), "{n} is not registered");
    }
    let log = server.log();
    assert!(log.contains("ulimit -f") && log.contains("REGISTER gets 500"), "{log}");
    assert!(log.matches("REGISTER gets 500").count() <= 2, "once in ten seconds:\n{log}");
    server.make_room();
    let late = refused.pop().unwrap();
    assert_eq!(ask(&server, late, true).status(), 200, "there is room again");
    held.push(late);
    server.restart_unlimited();
    for n in &held {
        assert!(ask(&server, *n, false).has("Contact"), "{n} was acknowledged and is lost");
    }
    assert!(!ask(&server, refused[0], false).has("Contact"));
    assert_eq!(ask(&server, refused[0], true).status(), 200);
}

/// A store whose folder is taken away while it is in use: a REGISTER gets 500 and not a 200 that the
/// next start knows nothing of, the log says what happened, calls go on; and with the folder back
/// everything is as before.
#[test]
fn a_store_that_was_moved_away_acknowledges_nothing() {
    let mut server = Towel::start(
        &[],
        "[auth]\nregister = false\ncalls = false\n[register]\nknown-users-only = false\n",
    );
    let (there, away) = (server.data().join("store"), server.data().join("away"));
    let phone = crate::peer::Peer::new(&server);
    phone.bind("kept");
    std::fs::rename(&there, &away).unwrap();
    let contact = format!("Contact: <sip:late@{}>\r\n", phone.at());
    let refused = phone.ask(&phone.register("late", &contact));
    assert_eq!(refused.status(), 500, "{}", refused.text);
    assert!(refused.field("Retry-After").parse::<u32>().is_ok(), "{}", refused.text);
    // The log is written by a thread of its own.
    crate::eventually("the log to say what happened", || {
        let log = server.log();
        log.contains("00000001.log is gone") && log.contains("REGISTER gets 500")
    });
    let caller = crate::peer::Peer::new(&server);
    caller.send(&caller.request("MESSAGE", &format!("sip:kept@{DOMAIN}"), ""));
    phone.send(&crate::peer::answer(&phone.next(), "200 OK", "t", ""));
    assert_eq!(caller.final_response().status(), 200, "calls go on");
    std::fs::rename(&away, &there).unwrap();
    phone.bind("late");
    server.crash_and_restart();
    for user in ["kept", "late"] {
        assert!(phone.ask(&phone.register(user, "")).has("Contact"), "{user} is lost");
    }
}
