//! Floods and guesses from several addresses (all of 127.0.0.0/8 are this machine's), and TCP peers that
//! take their time: each limit of the configuration in the running program.

use crate::{
    eventually,
    peer::{Credentials, Peer, Stream, authorization, challenge},
    towel::{DOMAIN, Towel, password},
};
use std::{net::TcpStream, time::Duration};

/// A REGISTER of `user` with this password; the status of the second answer.
fn log_in(peer: &Peer, user: &str, secret: &str) -> u16 {
    let contact = format!("Contact: <sip:{user}@{}>\r\n", peer.at());
    let asked = peer.ask(&peer.register(user, &contact));
    if asked.status() != 401 {
        return asked.status();
    }
    let uri = format!("sip:{DOMAIN}");
    let credentials = Credentials { user, password: secret, method: "REGISTER", uri: &uri, nc: 1 };
    let field = authorization(challenge(&asked, "SHA-256"), &credentials);
    peer.ask(&peer.register(user, &format!("{contact}Authorization: {field}\r\n"))).status()
}

/// Passwords tried from many addresses at once wait, and the user, from an address of her own or from
/// where she was before, does not.
#[test]
fn guessing_from_everywhere_does_not_lock_the_user_out() {
    let server = Towel::start(&["alice"], "[abuse]\nexempt = []\nstrikes = 0\nfailures = 3\n");
    let home = Peer::from(&server, "127.0.9.1");
    assert_eq!(log_in(&home, "alice", &password("alice")), 200);
    let mut right = 0;
    for n in 1..=40 {
        let thief = Peer::from(&server, &format!("127.0.{}.1", 20 + n));
        for guess in 0..4 {
            assert_eq!(log_in(&thief, "alice", &format!("guess{guess}")), 401);
        }
        // Now it might be right, and nothing is learned of that.
        right += u32::from(log_in(&thief, "alice", &password("alice")) == 200);
    }
    assert_eq!(right, 0, "the fifth attempt has to wait");
    assert_eq!(log_in(&home, "alice", &password("alice")), 200, "from where she was");
    let away = Peer::from(&server, "127.0.9.2");
    assert_eq!(log_in(&away, "alice", &password("alice")), 200, "from elsewhere");
}

/// How many of `n` requests got through, and how many were told to come later.
fn through(peer: &Peer, n: usize, request: impl Fn(&Peer) -> String) -> (usize, usize) {
    let (mut well, mut later) = (0, 0);
    for _ in 0..n {
        let done = peer.ask(&request(peer));
        let told = done.status() == 503 && done.has("Retry-After");
        later += usize::from(told);
        well += usize::from(!told);
    }
    (well, later)
}

#[test]
fn rates_hold_by_address_network_method_and_user() {
    let options = |peer: &Peer| peer.request("OPTIONS", &format!("sip:{DOMAIN}"), "");
    let register = |peer: &Peer| peer.register("alice", "");
    let limits = |more: &str| format!("[abuse]\nexempt = []\nstrikes = 0\nburst = 1\n{more}\n");

    let server = Towel::start(&["alice"], &limits("rate-address = 5"));
    let (one, other) = (Peer::from(&server, "127.0.1.1"), Peer::from(&server, "127.0.1.2"));
    let (well, later) = through(&one, 40, options);
    assert!(well >= 5 && later >= 20, "{well} and {later}");
    assert_eq!(through(&other, 3, options), (3, 0), "its neighbour");

    let server = Towel::start(&["alice"], &limits("rate-network = 5"));
    let (one, other) = (Peer::from(&server, "127.0.1.1"), Peer::from(&server, "127.0.1.2"));
    let far = Peer::from(&server, "127.0.2.1");
    assert!(through(&one, 40, options).1 >= 20);
    assert!(through(&other, 20, options).1 >= 5, "of the same network");
    assert_eq!(through(&far, 3, options), (3, 0), "of another");

    let server = Towel::start(&["alice"], &limits("rate-register = 5"));
    let one = Peer::from(&server, "127.0.1.1");
    assert!(through(&one, 40, register).1 >= 20);
    assert_eq!(through(&one, 20, options), (20, 0), "another method");

    let server = Towel::start(&["alice", "bob"], &limits("rate-user = 5"));
    let phones = [1, 2, 3, 4].map(|n| Peer::from(&server, &format!("127.0.{n}.1")));
    let all: Vec<u16> =
        (0..40).map(|n: usize| log_in(&phones[n % 4], "alice", &password("alice"))).collect();
    let refused = all.iter().filter(|status| **status != 200).count();
    assert!(refused >= 20, "from wherever she comes: {all:?}");
    assert_eq!(log_in(&phones[0], "bob", &password("bob")), 200, "another user");
}

/// A peer that sends a byte now and then is cut off when its message should be whole, one that opens
/// connections without end gets no more than its share, and nobody else notices.
#[test]
fn slow_and_greedy_peers_take_nobody_elses_place() {
    let server = Towel::start(
        &["alice"],
        "[limits]\nconnections-per-address = 30\n[transport]\nread = \"1s\"\n[abuse]\nexempt = []\n",
    );
    let mut slow = Stream::new(&server);
    let mut bytes = slow.request("OPTIONS", &format!("sip:{DOMAIN}"), "", "").into_bytes();
    bytes.truncate(60);
    let greedy: Vec<TcpStream> =
        (0..100).filter_map(|_| TcpStream::connect(server.address()).ok()).collect();
    let other = Peer::from(&server, "127.0.1.2");
    let asks = |peer: &Peer| peer.ask(&peer.request("OPTIONS", &format!("sip:{DOMAIN}"), ""));
    for byte in bytes {
        slow.send([byte]);
        assert_eq!(asks(&other).status(), 200);
        std::thread::sleep(Duration::from_millis(30));
    }
    assert!(slow.is_closed(), "its message never became whole");
    // Who comes by TCP from elsewhere is let in.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.1.3:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let at: std::net::SocketAddr = server.address().parse().unwrap();
    socket.connect(&at.into()).unwrap();
    let mut elsewhere = Stream::of(socket.into());
    let text = elsewhere.request("OPTIONS", &format!("sip:{DOMAIN}"), "", "");
    elsewhere.send(text);
    assert_eq!(elsewhere.final_response().status(), 200);
    let turned_away = || server.log().contains("turned away");
    eventually("the log to tell of connections that were turned away", turned_away);
    drop(greedy);
}
