//! Whoever waits (for a name server, a connect, a peer that does not read) holds up nobody else. In
//! other servers such a wait took a worker, and in the end all of them.

use crate::{
    OPEN,
    call::Call,
    peer::{Message, Peer, Stream, answer, unique},
    towel::{DOMAIN, Towel},
};
use std::{
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

/// Asks while others wait: the answer comes, and before anything that they get.
fn is_answered_first(server: &Towel, waiting: &Peer) {
    let other = Peer::new(server);
    for _ in 0..20 {
        let done = other.ask(&other.request("OPTIONS", &format!("sip:{DOMAIN}"), ""));
        assert_eq!(done.status(), 200, "{}", done.text);
    }
    while let Some(early) = waiting.heard(Duration::from_millis(1)) {
        assert!(early.status() < 200, "they did not wait:\n{}", early.text);
    }
}

#[test]
fn a_dead_name_server_holds_up_nobody() {
    // It is there, so that nothing tells that it is dead, and never answers.
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let more = format!(
        "{OPEN}[dns]\nservers = [\"{}\"]\n[proxy]\nrelay = \"anybody\"\n",
        dead.local_addr().unwrap()
    );
    let server = Towel::start(&[], &more);
    let peer = Peer::new(&server);
    for n in 0..300 {
        peer.send(&peer.request("MESSAGE", &format!("sip:x@n{n}.far.test"), ""));
    }
    is_answered_first(&server, &peer);
    // And those who asked are told in the end.
    assert!(peer.final_response().status() >= 400);
}

/// A listener whose queue is full: a connect to it neither succeeds nor fails.
fn where_a_connect_hangs() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(300)) {
        held.push(stream);
        assert!(held.len() < 20_000, "its queue has no end");
    }
    (at, listener, held)
}

#[test]
fn a_connect_that_hangs_holds_up_nobody() {
    let (at, _listener, _held) = where_a_connect_hangs();
    let server = Towel::start(&[], &format!("{OPEN}[transport]\nconnect = \"3s\"\n"));
    let (peer, user) = (Peer::new(&server), unique("u"));
    let contact = format!("Contact: <sip:x@{at};transport=tcp>\r\n");
    assert_eq!(peer.ask(&peer.register(&user, &contact)).status(), 200);
    for _ in 0..100 {
        peer.send(&peer.request("MESSAGE", &format!("sip:{user}@{DOMAIN}"), ""));
    }
    is_answered_first(&server, &peer);
    let told = peer.final_response();
    assert!(told.status() >= 400, "{}", told.text);
}

/// The processor time that the server has used so far, in hundredths of a second (proc(5)).
fn used(server: &Towel) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let after = stat.rsplit(')').next().unwrap_or_default();
    after.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum()
}

#[test]
fn connections_that_cannot_go_on_cost_nothing_while_they_wait() {
    let server = Towel::start(&[], OPEN);
    // Some never read what they asked for, some have sent half a message, some half a handshake.
    let mut held = Vec::new();
    for n in 0..60 {
        let mut stream = match n % 3 {
            2 => Stream::to(&format!("127.0.0.1:{}", server.port + 1)),
            _ => Stream::new(&server),
        };
        match n % 3 {
            0 => {
                let long = format!("X: {}\r\n", "y".repeat(1000));
                for _ in 0..100 {
                    let text = stream.request("OPTIONS", &format!("sip:{DOMAIN}"), &long, "");
                    stream.send(text);
                }
            }
            1 => stream.send("OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP x"),
            _ => stream.send([0x16, 3, 1, 0, 200, 1, 0, 0]),
        }
        held.push(stream);
    }
    is_answered_first(&server, &Peer::new(&server));
    let before = used(&server);
    std::thread::sleep(Duration::from_secs(2));
    let spent = used(&server) - before;
    assert!(spent < 10, "{spent} hundredths of a second in two while nothing happened");
    drop(held);
}

/// The way of a message is the same whether it is watched or not: in others a line of the log undid
/// what had been changed.
#[test]
fn watching_changes_nothing() {
    let quiet = Towel::start(&[], OPEN);
    let watched =
        Towel::start(&[], &format!("{OPEN}[trace]\nenabled = true\n[log]\nlevel = \"debug\"\n"));
    let [one, other] = [&quiet, &watched].map(|server| {
        let (peer, phone) = (Peer::new(server), Peer::new(server));
        phone.bind("phone");
        let more = "Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKsame;rport\r\nCall-ID: same\r\n\
                    From: <sip:x@elsewhere.test>;tag=1\r\nX-Odd :  kept  as it is\r\nSubject: a\r\n b\r\n";
        peer.send(&peer.request("INVITE", &format!("sip:phone@{DOMAIN}"), more));
        let invite = phone.next();
        phone.send(&answer(&invite, "486 Busy Here", "t", ""));
        assert_eq!(peer.final_response().status(), 486);
        let known = |message: &Message| {
            let plain = message.text.replace(&server.port.to_string(), "PORT");
            let plain = plain.replace(&phone.at().port().to_string(), "PHONE");
            let plain = plain.replace(&peer.at().port().to_string(), "PEER");
            // What is secret to each server.
            let mut lines: Vec<String> = plain.split("\r\n").map(str::to_owned).collect();
            for line in &mut lines {
                if let Some(at) = line.find("branch=z9hG4bK").filter(|_| !line.contains("same")) {
                    line.truncate(at);
                } else if let Some(at) = line.find("sip:").filter(|_| line.starts_with("Record-")) {
                    line.truncate(at);
                }
            }
            lines
        };
        known(&invite)
    });
    assert_eq!(one, other);
}

/// The machine stands still for a while, as a virtual one does when it is moved, with work under way and
/// timers running out: afterwards all that came is answered, and calls go on.
#[test]
fn a_machine_that_stood_still_goes_on() {
    let server = Towel::start(&[], OPEN);
    let signal = |name: &str| {
        let pid = server.pid().to_string();
        let sent = std::process::Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    };
    let (call, phone, caller) = (Call::set_up(&server), Peer::new(&server), Peer::new(&server));
    phone.bind("phone");
    caller.send(&caller.request("MESSAGE", &format!("sip:phone@{DOMAIN}"), ""));
    let message = phone.next();
    signal("-STOP");
    let (asking, mut over) = (Peer::new(&server), Stream::new(&server));
    for _ in 0..50 {
        asking.send(&asking.request("OPTIONS", &format!("sip:{DOMAIN}"), ""));
        let text = over.request("OPTIONS", &format!("sip:{DOMAIN}"), "", "");
        over.send(text);
    }
    phone.send(&answer(&message, "200 OK", "t", ""));
    std::thread::sleep(Duration::from_secs(3));
    signal("-CONT");
    for _ in 0..50 {
        assert_eq!(asking.final_response().status(), 200);
        assert_eq!(over.final_response().status(), 200);
    }
    assert_eq!(caller.final_response().status(), 200);
    call.end();
}
