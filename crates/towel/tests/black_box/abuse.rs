//! Scanners, floods and guesses, over real sockets with small limits.

use std::process::Command;

use crate::{
    peer::{Credentials, Peer, Stream, authorization, challenge},
    towel::{DOMAIN, Towel, password},
};

/// Limits that hold for this machine too.
const STRICT: &str =
    "[abuse]\nexempt = []\nstrikes = 5\nfailures = 3\n[http]\naddress = \"127.0.0.1:0\"\n";

fn bans(server: &Towel, more: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_towel"))
        .args(["bans", "--data"])
        .arg(server.data())
        .args(more)
        .output()
        .unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

#[test]
fn a_scanner_is_banned_without_a_word_and_the_ban_can_be_lifted() {
    let server = Towel::start(&["alice"], STRICT);
    let scanner = Peer::new(&server);
    let uri = format!("sip:{DOMAIN}");
    assert_eq!(bans(&server, &[]), "nobody is banned\n");
    scanner.send(&scanner.request("OPTIONS", &uri, "User-Agent: friendly-scanner\r\n"));
    scanner.hears_nothing();
    scanner.send(&scanner.request("OPTIONS", &uri, ""));
    scanner.hears_nothing();
    let port = scanner.at().port();
    let list = bans(&server, &[]);
    assert!(list.starts_with(&format!("127.0.0.1 UDP port {port}  ")), "{list}");
    assert!(list.ends_with("a scanner's User-Agent\n"), "{list}");
    // Another phone behind the same address goes on.
    let other = Peer::new(&server);
    assert_eq!(other.ask(&other.request("OPTIONS", &uri, "")).status(), 200);
    assert_eq!(bans(&server, &["--lift", "127.0.0.1"]), "127.0.0.1 is banned no more\n");
    assert_eq!(scanner.ask(&scanner.request("OPTIONS", &uri, "")).status(), 200);
    assert!(bans(&server, &["--lift", "127.0.0.1"]).contains("is not banned"));
    assert!(server.log().contains("banned"), "{}", server.log());
}

#[test]
fn a_sweep_by_tcp_closes_the_door() {
    let server = Towel::start(&["alice"], STRICT);
    let mut sweep = Stream::new(&server);
    for n in 0..5 {
        let uri = format!("sip:{n}@{DOMAIN}");
        let text = sweep.request("MESSAGE", &uri, "", "");
        sweep.send(text);
        sweep.final_response();
    }
    let text = sweep.request("OPTIONS", &format!("sip:{DOMAIN}"), "", "");
    sweep.send(text);
    assert!(sweep.is_closed());
    assert!(Stream::new(&server).is_closed());
}

#[test]
fn passwords_cannot_be_tried_as_fast_as_one_likes() {
    let server = Towel::start(&["alice"], STRICT);
    let home = Peer::new(&server);
    let try_one = |peer: &Peer, secret: &str| {
        let contact = format!("Contact: <sip:x@{}>\r\n", peer.at());
        let asked = peer.ask(&peer.register("alice", &contact));
        assert_eq!(asked.status(), 401, "{}", asked.text);
        let uri = format!("sip:{DOMAIN}");
        let credentials =
            Credentials { user: "alice", password: secret, method: "REGISTER", uri: &uri, nc: 1 };
        let field = authorization(challenge(&asked, "SHA-256"), &credentials);
        peer.ask(&peer.register("alice", &format!("{contact}Authorization: {field}\r\n"))).status()
    };
    for _ in 0..3 {
        assert_eq!(try_one(&home, "guess"), 401);
    }
    // Right or wrong, nothing is learned for a while; and then it goes on.
    assert_eq!(try_one(&home, &password("alice")), 401);
    crate::eventually("the right password to be looked at again", || {
        try_one(&home, &password("alice")) == 200
    });
}

#[test]
fn a_flood_gets_503() {
    let limits = "[abuse]\nexempt = []\nrate-address = 5\nburst = 1\nstrikes = 0\n";
    let server = Towel::start(&["alice"], limits);
    let peer = Peer::new(&server);
    let mut refused = 0;
    for _ in 0..50 {
        let answer = peer.ask(&peer.request("OPTIONS", &format!("sip:{DOMAIN}"), ""));
        refused += usize::from(answer.status() == 503 && answer.has("Retry-After"));
    }
    assert!(refused > 0);
}
