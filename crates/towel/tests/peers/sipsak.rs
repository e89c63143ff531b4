//! sipsak: registers, asks for OPTIONS, calls.

use crate::{
    baresip::{Phone, Setup},
    program,
    towel::*,
};
use std::process::Command;

#[test]
fn sipsak_registers_with_digest_and_is_refused_with_a_wrong_password() {
    // sipsak cuts off ports of five digits in a URI, so its domain goes without one.
    let server = Towel::start(&["alice"], "aliases = [\"127.0.0.1\"]\n");
    let Some(sipsak) = program("sipsak") else { return };
    let run = |password: &str| {
        Command::new(&sipsak)
            .args(["-U", "-C", "sip:alice@127.0.0.1:9", "-x", "600", "-u", "alice", "-a", password])
            .args(["-s", "sip:alice@127.0.0.1", "-p", &server.address(), "-vvv"])
            .output()
            .unwrap()
    };
    let good = run(&password("alice"));
    let text = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(good.status.success(), "{text}");
    let bad = run("not-the-password");
    assert!(!bad.status.success());
}

#[test]
fn sipsak_asks_for_options() {
    let server = Towel::start(&[], "");
    let Some(sipsak) = program("sipsak") else { return };
    let done = Command::new(sipsak)
        .args(["-s", "sip:127.0.0.1", "-p", &server.address(), "-vv"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{text}");
    assert!(text.contains("Allow:"), "{text}");
}

#[test]
fn sipsak_reaches_a_phone_through_the_proxy() {
    let server = Towel::start(&["bob"], "aliases = [\"127.0.0.1\"]\n[auth]\ncalls = false\n");
    let Some(sipsak) = program("sipsak") else { return };
    let Some(_bob) = Phone::start(&server, &Setup::new("bob", "tcp", 1000.0)) else { return };
    let done = Command::new(sipsak)
        .args(["-s", "sip:bob@127.0.0.1", "-p", &server.address(), "-vv"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{text}");
    assert!(text.contains("baresip"), "the phone itself answers: {text}");
}

#[test]
fn sipsak_calls_a_phone_that_answers() {
    // Its own mode for calls ends in a segmentation fault; a call that is told it word by word does
    // not. It acknowledges nothing, so the phone gives the call up again.
    let server = Towel::start(&["bob"], "aliases = [\"127.0.0.1\"]\n[auth]\ncalls = false\n");
    let Some(sipsak) = program("sipsak") else { return };
    let Some(_bob) = Phone::start(&server, &Setup::new("bob", "udp", 1000.0)) else { return };
    let sdp = "v=0\r\no=sak 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
               m=audio 9 RTP/AVP 0\r\n";
    let invite = format!(
        "INVITE sip:bob@127.0.0.1 SIP/2.0\r\nMax-Forwards: 70\r\n\
         From: <sip:sak@127.0.0.1>;tag=1\r\nTo: <sip:bob@127.0.0.1>\r\nCall-ID: sak-{}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:sak@127.0.0.1:9>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{sdp}",
        server.port,
        sdp.len()
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("invite");
    std::fs::write(&file, invite).unwrap();
    let done = Command::new(sipsak)
        .arg("-f")
        .arg(&file)
        .args(["-s", "sip:bob@127.0.0.1", "-p", &server.address(), "-vvv"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && text.contains("SIP/2.0 200 "), "{text}");
    assert!(
        text.contains("CSeq: 1 INVITE") && text.contains("baresip"),
        "the phone answers: {text}"
    );
}
