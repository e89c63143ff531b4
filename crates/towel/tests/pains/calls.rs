//! Call flows that cross, and reloads in the middle of them.

use crate::{
    OPEN,
    call::Call,
    eventually,
    peer::{Peer, answer},
    ports,
    towel::{DOMAIN, Towel},
};
use std::net::TcpListener;

/// A BYE from one end and a re-INVITE from the other meet under way: both arrive, both are answered,
/// and the call is over.
#[test]
fn a_bye_that_crosses_a_re_invite_is_answered_and_so_is_that() {
    let server = Towel::start(&[], OPEN);
    for _ in 0..10 {
        let call = Call::set_up(&server);
        let (caller, callee) = call.ends();
        callee.send(&call.back("BYE", 1));
        caller.send(&call.within("INVITE", 3));
        let (bye, again) = (caller.next_but(&[]), callee.next_but(&[]));
        assert_eq!((bye.method(), again.method()), ("BYE", "INVITE"));
        callee.send(&answer(&again, "481 Call/Transaction Does Not Exist", "", ""));
        caller.send(&answer(&bye, "200 OK", "", ""));
        assert_eq!(caller.final_response().status(), 481);
        // The proxy has acknowledged the 481 itself.
        let (first, second) = (callee.next_but(&[&again]), callee.next_but(&[&again]));
        let mut got = [first.start.clone(), second.start.clone()];
        got.sort();
        assert!(got[0].starts_with("ACK ") && got[1].starts_with("SIP/2.0 200"), "{got:?}");
    }
}

/// A reload that asks for a port that is taken: nothing changes, the log says why, and calls go on, as
/// do later reloads.
#[test]
fn a_reload_that_cannot_be_had_changes_nothing() {
    let server = Towel::start(&[], OPEN);
    let call = Call::set_up(&server);
    let port = ports::free(1);
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let listen =
        format!("[[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1\"\nport = {port}\n");
    for _ in 0..3 {
        server.reload_refused(|config| config + &listen);
        let peer = Peer::new(&server);
        assert_eq!(peer.ask(&peer.request("OPTIONS", &format!("sip:{DOMAIN}"), "")).status(), 200);
    }
    assert!(server.log().contains(&format!("127.0.0.1:{port}")), "{}", server.log());
    drop(taken);
    server.reload("# once more\n");
    let there = format!("127.0.0.1:{port}");
    eventually("the listener", || std::net::TcpStream::connect(&there).is_ok());
    call.end();
}

/// Users by the ten thousand in a file, read again while calls are made: nobody waits for it who does
/// not want one of them.
#[test]
fn users_by_the_ten_thousand_are_read_again_under_calls() {
    let server = Towel::start(
        &["alice"],
        "[auth]\ncalls = false\nregister = false\n[register]\nknown-users-only = false\n",
    );
    let users: String = (0..50_000).map(|n| format!("user{n},{DOMAIN},secret{n}\n")).collect();
    let file = server.data().join("../users.csv");
    std::fs::write(&file, users).unwrap();
    server.reload_changed(|config| format!("user-files = [\"{}\"]\n{config}", file.display()));
    for round in 0..3 {
        let call = Call::set_up(&server);
        server.reload(&format!("# {round}\n"));
        call.end();
    }
}
