//! Many at once: connections that register together, handshakes that are left, floods.

use crate::{
    OPEN,
    peer::{Message, Peer, Stream, unique},
    tls,
    towel::{DOMAIN, Towel},
};
use std::io::{Read, Write};

fn register_over(stream: &Stream, user: &str) -> String {
    let contact = format!("Contact: <sip:{user}@{};transport=tcp>\r\n", stream.at());
    let text = stream.request("REGISTER", &format!("sip:{DOMAIN}"), &contact, "");
    text.replace(&format!("To: <sip:{DOMAIN}>"), &format!("To: <sip:{user}@{DOMAIN}>"))
}

/// All phones of an office come back at once, as after a power cut: all are registered, each over a
/// connection of its own that stays and takes calls.
#[test]
fn a_crowd_registers_at_once_over_tcp() {
    let server = Towel::start(&[], OPEN);
    let mut phones: Vec<(String, Stream)> =
        (0..400).map(|n| (format!("phone{n}"), Stream::new(&server))).collect();
    for (user, stream) in &mut phones {
        let text = register_over(stream, user);
        stream.send(text);
    }
    for (user, stream) in &mut phones {
        let done = stream.final_response();
        assert_eq!(done.status(), 200, "{user}: {}", done.text);
    }
    let caller = Peer::new(&server);
    for (user, stream) in phones.iter_mut().step_by(40) {
        caller.send(&caller.request("MESSAGE", &format!("sip:{user}@{DOMAIN}"), ""));
        let asked = stream.next().expect("the message");
        stream.send(crate::peer::answer(&asked, "200 OK", "t", ""));
        assert_eq!(caller.final_response().status(), 200, "{user}");
    }
}

/// A hundred TLS peers that say nothing, and a hundred that vanish in the middle of their handshake,
/// leave room and time for one that means it; a message longer than a record of TLS (16,384 bytes)
/// passes both ways.
#[test]
fn left_handshakes_leave_room_and_long_messages_pass_over_tls() {
    let server = Towel::start(&[], OPEN);
    let place = format!("127.0.0.1:{}", server.port + 1);
    let silent: Vec<Stream> = (0..100).map(|_| Stream::to(&place)).collect();
    for _ in 0..100 {
        let mut stream = Stream::to(&place);
        stream.send([0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]);
        stream.reset();
    }
    let (mut client, phone, user) = (tls::connect(&place), Peer::new(&server), unique("u"));
    phone.bind(&user);
    let long = "b".repeat(40_000);
    let text = format!(
        "MESSAGE sip:{user}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:1;branch=z9hG4bKlong\r\n\
         Max-Forwards: 70\r\nFrom: <sip:x@elsewhere.test>;tag=1\r\nTo: <sip:{user}@{DOMAIN}>\r\n\
         Call-ID: long\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 40000\r\n\r\n{long}"
    );
    client.write_all(text.as_bytes()).unwrap();
    let got = phone.next_but(&[]);
    assert_eq!(got.body, long, "the whole body");
    let back =
        crate::peer::answer(&got, "200 OK", "t", &format!("X-Long: {}\r\n", "x".repeat(30_000)));
    phone.send(&back);
    let mut held = Vec::new();
    let mut some = [0; 4096];
    while !held.ends_with(b"\r\n\r\n") {
        let len = client.read(&mut some).unwrap();
        assert!(len > 0, "{}", String::from_utf8_lossy(&held));
        held.extend_from_slice(&some[..len]);
    }
    let told = Message::parse(&held);
    assert_eq!((told.status(), told.field("X-Long").len()), (200, 30_000));
    drop(silent);
}

/// The connection goes while its INVITE is under way: before an answer, with a challenge on its way,
/// while it rings.
#[test]
fn whoever_hangs_up_the_connection_under_an_invite_harms_nobody() {
    let (open, closed) = (Towel::start(&[], OPEN), Towel::start(&["alice"], ""));
    let phone = Peer::new(&open);
    phone.bind("phone");
    for server in [&open, &closed] {
        for n in 0..60 {
            let mut stream = Stream::new(server);
            let uri = format!("sip:phone@{DOMAIN}");
            let text = stream.request("INVITE", &uri, "Contact: <sip:x@127.0.0.1:9>\r\n", "");
            // Now and then not even all of it.
            let cut = if n % 5 == 4 { text.len() - n } else { text.len() };
            stream.send(&text[..cut]);
            if n % 2 == 0 {
                stream.reset();
            }
        }
    }
    for _ in 0..20 {
        let asked = phone.next();
        if asked.method() == "INVITE" {
            phone.send(&crate::peer::answer(&asked, "180 Ringing", "t", ""));
            phone.send(&crate::peer::answer(&asked, "486 Busy Here", "t", ""));
        }
    }
    for server in [&open, &closed] {
        let peer = Peer::new(server);
        let done = peer.ask(&peer.request("OPTIONS", &format!("sip:{DOMAIN}"), ""));
        assert_eq!(done.status(), 200, "{}", done.text);
    }
}

/// REGISTER after REGISTER without credentials, each with tags of its own: the server keeps nothing of
/// them, and whoever has a password gets in.
#[test]
fn a_flood_of_registers_leaves_nothing_behind() {
    let server = Towel::start(&["alice"], "");
    let peer = Peer::new(&server);
    let send = |n: usize| {
        for k in 0..n {
            peer.send(&peer.register("alice", &format!("Contact: <sip:x@{}>\r\n", peer.at())));
            // So that none is lost in the socket of the test.
            if k % 50 == 49 {
                (0..50).for_each(|_| assert_eq!(peer.final_response().status(), 401));
            }
        }
    };
    send(5_000);
    let before = server.memory();
    send(20_000);
    let grown = server.memory().saturating_sub(before);
    // A transaction takes a kilobyte; nothing is kept of what was refused without one.
    assert!(grown < 8 << 20, "{grown} bytes more after 20,000 refused");
    let (mut ask, uri) = (peer.ask(&peer.register("alice", "")), format!("sip:{DOMAIN}"));
    let credentials = crate::peer::Credentials {
        user: "alice",
        password: &crate::towel::password("alice"),
        method: "REGISTER",
        uri: &uri,
        nc: 1,
    };
    let field = crate::peer::authorization(crate::peer::challenge(&ask, "SHA-256"), &credentials);
    ask = peer.ask(&peer.register("alice", &format!("Authorization: {field}\r\n")));
    assert_eq!(ask.status(), 200, "{}", ask.text);
}

/// A flood of calls that nobody answers fills the table of transactions and no more: beyond it there is 503,
/// and memory stays below what the bound allows for.
#[test]
fn a_flood_of_calls_stays_within_its_bound_of_memory() {
    const TRANSACTIONS: usize = 2_000;
    /// What one call under way may take: the transactions of both sides, the copies of what was sent in
    /// them, the proxy's context, and room in the tables.
    const EACH: usize = 24 << 10;
    /// What the first messages of any kind make the program keep.
    const ONCE: usize = 24 << 20;
    let limits =
        format!("{OPEN}[limits]\ntransactions = {TRANSACTIONS}\n[overload]\nenabled = false\n");
    let server = Towel::start(&[], &limits);
    let (deaf, flood, user) = (Peer::new(&server), Peer::new(&server), unique("deaf"));
    deaf.bind(&user);
    let before = server.memory();
    let (mut busy, mut full) = (0, before);
    for number in 0..5 * TRANSACTIONS {
        flood.send(&flood.request("INVITE", &format!("sip:{user}@{DOMAIN}"), ""));
        if number % 100 == 99 {
            // No faster than the answers come.
            while let Some(told) = flood.heard(std::time::Duration::from_millis(5)) {
                busy += usize::from(told.status() == 503 && told.has("Retry-After"));
            }
        }
        if number == TRANSACTIONS + TRANSACTIONS / 2 {
            full = server.memory();
        }
    }
    let after = server.memory();
    assert!(busy > TRANSACTIONS / 2, "{busy} were told that there are too many");
    let grown = after.saturating_sub(before);
    assert!(grown < TRANSACTIONS * EACH + ONCE, "{grown} bytes for {TRANSACTIONS} calls");
    // When the table is full the rest of the flood takes nothing.
    assert!(after < full + (8 << 20), "{full} bytes when it was full, {after} in the end");
}
