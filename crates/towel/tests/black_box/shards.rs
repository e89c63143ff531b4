//! A server on several threads is one server: what is known by one of them holds at all, whichever of
//! them the kernel gives a message to. The sockets of these peers differ by their ports alone, and by
//! those the kernel chooses: some sixteen of them come to both of two.

use crate::{
    call::Call,
    eventually,
    peer::{Credentials, Peer, Stream, answer, authorization, challenge, unique},
    ports,
    towel::{DOMAIN, Towel},
};
use std::net::TcpStream;

const TWO: &str = "[transport]\nthreads = 2\n";
const OPEN: &str = "[transport]\nthreads = 2\n[auth]\nregister = false\ncalls = false\n\
                    [register]\nknown-users-only = false\n";
const MANY: usize = 16;

#[test]
fn calls_go_through_by_udp_and_outlive_a_kill() {
    let mut server = Towel::start(&[], OPEN);
    let calls: Vec<Call> = (0..MANY).map(|_| Call::set_up(&server)).collect();
    let (end, outlive) = calls.into_iter().enumerate().partition::<Vec<_>, _>(|(n, _)| n % 2 == 0);
    for (_, call) in end {
        call.end();
    }
    server.crash_and_restart();
    for (_, call) in outlive {
        call.end();
    }
}

#[test]
fn a_binding_is_known_to_all_and_outlives_a_kill() {
    let mut server = Towel::start(&[], OPEN);
    let user = unique("u");
    let bind = |peer: &Peer, n: usize| {
        peer.ask(&peer.register(&user, &format!("Contact: <sip:n{n}@{}>\r\n", peer.at())))
    };
    let peers: Vec<Peer> = (0..8).map(|_| Peer::new(&server)).collect();
    for (n, peer) in peers.iter().enumerate() {
        let done = bind(peer, n);
        assert_eq!((done.status(), done.all("Contact").len()), (200, n + 1), "{}", done.text);
    }
    server.crash_and_restart();
    for _ in 0..MANY {
        let peer = Peer::new(&server);
        let found = peer.ask(&peer.register(&user, ""));
        assert_eq!(found.all("Contact").len(), 8, "{}", found.text);
    }
    // One of them takes all away.
    let done = peers[3].ask(&peers[3].register(&user, "Contact: *\r\nExpires: 0\r\n"));
    assert_eq!((done.status(), done.all("Contact").len()), (200, 0), "{}", done.text);
    for _ in 0..MANY {
        let peer = Peer::new(&server);
        assert!(!peer.ask(&peer.register(&user, "")).has("Contact"));
    }
}

/// A nonce is good wherever it was made, and each count of it once, wherever that came.
#[test]
fn a_nonce_count_is_good_once_in_all() {
    let server = Towel::start(&["alice"], TWO);
    let peers: Vec<Peer> = (0..MANY).map(|_| Peer::new(&server)).collect();
    let first = peers[0].ask(&peers[0].register("alice", ""));
    let challenge = challenge(&first, "SHA-256").to_owned();
    let uri = format!("sip:{DOMAIN}");
    let ask = |peer: &Peer, nc: u32| {
        let password = crate::towel::password("alice");
        let credentials =
            Credentials { user: "alice", password: &password, method: "REGISTER", uri: &uri, nc };
        let line = format!("Authorization: {}\r\n", authorization(&challenge, &credentials));
        peer.ask(&peer.register("alice", &line))
    };
    for (n, peer) in peers.iter().enumerate() {
        assert_eq!(ask(peer, n as u32 + 1).status(), 200);
    }
    for (n, peer) in peers.iter().rev().enumerate() {
        let again = ask(peer, n as u32 + 1);
        assert_eq!(again.status(), 401);
        assert!(again.field("WWW-Authenticate").contains("stale=true"), "{}", again.text);
    }
}

/// Whoever came by a connection is reached by it from every thread, and its answers find back.
#[test]
fn connections_are_the_way_for_all() {
    let server = Towel::start(&[], OPEN);
    let mut streams: Vec<(String, Stream)> =
        (0..8).map(|_| (unique("u"), Stream::new(&server))).collect();
    for (user, stream) in &mut streams {
        let aor = format!("sip:{user}@{DOMAIN}");
        // Behind a NAT: only the connection leads there.
        let contact = format!("Contact: <sip:{user}@10.1.2.3:5060;transport=tcp>\r\n");
        let text = stream.request("REGISTER", &format!("sip:{DOMAIN}"), &contact, "");
        let text = text
            .replace(&format!("To: <sip:{DOMAIN}>"), &format!("To: <{aor}>"))
            .replace("From: <sip:peer@elsewhere.test>", &format!("From: <{aor}>"));
        stream.send(text);
        assert_eq!(stream.final_response().status(), 200);
    }
    for (user, stream) in &mut streams {
        for _ in 0..4 {
            let caller = Peer::new(&server);
            let contact = format!("Contact: <sip:x@{}>\r\n", caller.at());
            caller.send(&caller.request("INVITE", &format!("sip:{user}@{DOMAIN}"), &contact));
            let invite = stream.next().unwrap();
            assert_eq!(invite.method(), "INVITE", "{}", invite.text);
            stream.send(answer(&invite, "486 Busy Here", "t", ""));
            assert_eq!(caller.final_response().status(), 486);
            assert_eq!(stream.next().unwrap().method(), "ACK");
        }
    }
    // And between two connections.
    let (mut caller, callee) = (Stream::new(&server), &mut streams[0]);
    for _ in 0..4 {
        let uri = format!("sip:{}@{DOMAIN}", callee.0);
        caller.send(caller.request("MESSAGE", &uri, "", ""));
        let message = callee.1.next().unwrap();
        callee.1.send(answer(&message, "200 OK", "t", ""));
        assert_eq!(caller.final_response().status(), 200);
        caller = Stream::new(&server);
    }
}

/// A reload reaches all of them: listeners come and go for each, and users are known to each.
#[test]
fn a_reload_reaches_all() {
    let server = Towel::start(&[], OPEN);
    let port = ports::free(1);
    let listen = |transport: &str| {
        format!("[[listen]]\ntransport = \"{transport}\"\naddress = \"127.0.0.1\"\nport = {port}\n")
    };
    let both = listen("udp") + &listen("tcp");
    let call = Call::set_up(&server);
    server.reload(&both);
    for _ in 0..8 {
        let mut stream = Stream::to(&format!("127.0.0.1:{port}"));
        stream.send(stream.request("OPTIONS", &format!("sip:{DOMAIN}"), "", ""));
        assert_eq!(stream.final_response().status(), 200);
    }
    server.reload_changed(|config| config.replacen(&both, "", 1));
    eventually("the listener to be gone", || TcpStream::connect(("127.0.0.1", port)).is_err());
    server.reload_changed(|config| config.replace("register = false", "register = true"));
    for _ in 0..MANY {
        let peer = Peer::new(&server);
        assert_eq!(peer.ask(&peer.register("bob", "")).status(), 401);
    }
    call.end();
}

/// A server on several threads cannot be taken over from, and says so; nothing has happened to it.
#[test]
fn it_does_not_hand_over() {
    let server = Towel::start(&[], OPEN);
    let call = Call::set_up(&server);
    let why = server.take_over_refused(&[]);
    assert!(why.contains("transport.threads"), "{why}");
    call.end();
    Call::set_up(&server).end();
}
