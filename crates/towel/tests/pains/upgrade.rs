//! One process takes over from another under calls (`towel serve --take-over`): no call is lost, no
//! registration, no connection that is in use.

use crate::{
    OPEN, eventually,
    peer::{Peer, Stream, answer, unique},
    towel::{DOMAIN, Towel, password},
};
use std::process::{Command, Stdio};

/// `towel load` on a server, in the background.
fn load(server: &Towel, transport: &str, more: &[&str]) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_towel"))
        .args(["load", &server.address(), "--domain", DOMAIN, "-t", transport, "--json"])
        .args(["--users", "50", "--sockets", "4"])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What it says in the end: all was well, and how much there was.
fn all_was_well(load: std::process::Child) -> u64 {
    let out = load.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    let report: serde_json::Value = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&out.stderr)));
    let step = &report["steps"][0];
    for none in ["failed", "lost", "withheld"] {
        assert_eq!(step[none], 0, "{none}: {step:#}");
    }
    assert_eq!(step["ok"], step["offered"], "{step:#}");
    step["ok"].as_u64().unwrap()
}

/// Three upgrades, one after the other, under 200 calls, registrations and messages a second with
/// digest: nothing fails.
#[test]
fn three_upgrades_under_load_lose_nothing() {
    let users: Vec<String> = (0..50).map(|n| format!("u{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut server = Towel::start(&users, "");
    let pattern = format!("u{{n}}:u{{n}}-secret@{DOMAIN}");
    assert_eq!(password("u7"), "u7-secret");
    let work =
        ["call=6", "register=2", "message=2", "--hold", "0.2", "-r", "200", "--seconds", "22"];
    let load = load(&server, "udp", &[&work[..], &["--user", &pattern, "--users-call"]].concat());
    // Not before the callers have registered.
    eventually("the load to begin", || server.log().matches("registered").count() >= 50);
    let mut before = Vec::new();
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let old = server.take_over();
        before.push(old);
        // One that still follows another gives nothing away.
        eventually("the one before to end", || {
            before.last_mut().unwrap().try_wait().unwrap().is_some()
        });
    }
    for mut old in before {
        assert!(old.wait().unwrap().success(), "{}", server.log());
    }
    let done = all_was_well(load);
    assert!(done > 4_000, "{done}");
    let log = server.log();
    assert_eq!(log.matches("handed-over").count(), 3, "{log}");
    assert!(!log.contains(" error "), "{log}");
}

/// A call that rings when the upgrade comes is answered, acknowledged and ended; what was registered is
/// there; and what is registered afterwards survives a crash.
#[test]
fn what_rings_during_an_upgrade_is_answered() {
    let mut server = Towel::start(&[], OPEN);
    let (caller, callee, late) = (Peer::new(&server), Peer::new(&server), Peer::new(&server));
    callee.bind("callee");
    let contact = |peer: &Peer| format!("Contact: <sip:x@{}>\r\n", peer.at());
    let uri = format!("sip:callee@{DOMAIN}");
    let text = caller.request("INVITE", &uri, &contact(&caller));
    caller.send(&text);
    let invite = callee.next();
    callee.send(&answer(&invite, "180 Ringing", "t", ""));
    while caller.next().status() != 180 {}
    let mut old = server.take_over();
    assert!(old.try_wait().unwrap().is_none(), "it rings still");
    // To the old one a retransmission, to the new one something new, by the same socket.
    caller.send(&text);
    late.bind("late");
    assert_eq!(late.ask(&late.request("OPTIONS", &format!("sip:{DOMAIN}"), "")).status(), 200);
    callee.send(&answer(&invite, "200 OK", "t", &contact(&callee)));
    let ok = caller.final_response();
    assert_eq!(ok.status(), 200, "{}", ok.text);
    let within = |method: &str, cseq: u32| {
        let more = format!(
            "Route: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n",
            ok.field("Record-Route"),
            ok.field("From"),
            ok.field("To"),
            ok.field("Call-ID")
        );
        caller.request(method, &format!("sip:x@{}", callee.at()), &more)
    };
    caller.send(&within("ACK", 1));
    assert_eq!(callee.next_but(&[&invite]).method(), "ACK");
    caller.send(&within("BYE", 2));
    let bye = callee.next_but(&[&invite]);
    assert_eq!(bye.method(), "BYE", "{}", bye.text);
    callee.send(&answer(&bye, "200 OK", "", ""));
    assert_eq!(caller.final_response().status(), 200);
    assert!(old.wait().unwrap().success());
    server.crash_and_restart();
    for user in ["callee", "late"] {
        assert!(late.ask(&late.register(user, "")).has("Contact"), "{user} is lost");
    }
}

/// Connections stay with the old process for a while and reach the new one through it: both ways, for
/// those who call and those who are called. Then they are closed, and whoever comes back is served.
#[test]
fn connections_outlive_an_upgrade_for_a_while() {
    let mut server = Towel::start(&[], &format!("{OPEN}[transport]\nhand-over = \"6s\"\n"));
    let (mut phone, peer) = (Stream::new(&server), Peer::new(&server));
    let user = unique("u");
    let contact = format!("Contact: <sip:{user}@{};transport=tcp>\r\n", phone.at());
    let register = |phone: &Stream, cseq: u32| {
        let text = phone.request("REGISTER", &format!("sip:{DOMAIN}"), &contact, "");
        let text = text.replace("CSeq: 1 ", &format!("CSeq: {cseq} "));
        text.replace(&format!("To: <sip:{DOMAIN}>"), &format!("To: <sip:{user}@{DOMAIN}>"))
    };
    phone.send(register(&phone, 1));
    assert_eq!(phone.final_response().status(), 200);
    let mut other = crate::tls::connect(&format!("127.0.0.1:{}", server.port + 1));
    let mut old = server.take_over();
    // To a phone by the connection that the old one has.
    let uri = format!("sip:{user}@{DOMAIN}");
    peer.send(&peer.request("MESSAGE", &uri, ""));
    let asked = phone.next().expect("the message by the connection that there is");
    assert_eq!(asked.method(), "MESSAGE");
    phone.send(answer(&asked, "200 OK", "t", ""));
    assert_eq!(peer.final_response().status(), 200);
    // From it, to the new one's store; in pieces.
    let text = register(&phone, 2);
    phone.send(&text[..40]);
    phone.send(&text[40..]);
    let done = phone.final_response();
    assert_eq!(done.status(), 200, "{}", done.text);
    // By TLS, whose keys nobody else has.
    use std::io::{Read as _, Write as _};
    let question = peer.request("OPTIONS", &format!("sip:{DOMAIN}"), "").replace("/UDP ", "/TLS ");
    other.write_all(question.as_bytes()).unwrap();
    let mut some = [0; 4096];
    let len = other.read(&mut some).unwrap();
    assert!(some[..len].starts_with(b"SIP/2.0 200"), "{}", String::from_utf8_lossy(&some[..len]));
    // Meanwhile others connect, to the new one.
    let mut fresh = Stream::new(&server);
    fresh.send(fresh.request("OPTIONS", &format!("sip:{DOMAIN}"), "", ""));
    assert_eq!(fresh.final_response().status(), 200);
    assert!(phone.is_closed(), "in the end it is");
    assert!(old.wait().unwrap().success());
    let mut again = Stream::new(&server);
    again.send(register(&again, 3));
    assert_eq!(again.final_response().status(), 200);
    fresh.send(fresh.request("OPTIONS", &format!("sip:{DOMAIN}"), "", ""));
    assert_eq!(fresh.final_response().status(), 200, "the new one's own connections stay");
}

/// A new process that cannot start leaves the old one as it was, and one that asks too early is told so.
#[test]
fn a_take_over_that_fails_changes_nothing() {
    let mut server = Towel::start(&["alice"], "");
    let works = |server: &Towel| {
        let peer = Peer::new(server);
        peer.ask(&peer.request("OPTIONS", &format!("sip:{DOMAIN}"), "")).status() == 200
    };
    // An address that no machine has.
    let bad = server.take_over_refused(&["--listen", "udp:192.0.2.1:5060"]);
    assert!(bad.contains("192.0.2.1:5060") && bad.contains("goes on"), "{bad}");
    assert!(works(&server));
    let ringing = Peer::new(&server);
    let mut old = server.take_over();
    let early = server.take_over_refused(&[]);
    assert!(early.contains("try again"), "{early}");
    assert!(works(&server));
    assert!(old.wait().unwrap().success());
    drop(ringing);
    let mut next = server.take_over();
    assert!(works(&server));
    assert!(next.wait().unwrap().success());
    assert!(works(&server));
}

/// A new process that serves for a while and dies under the calls of the old one: the old one starts another,
/// which knows what both of them were told.
#[test]
fn one_that_took_over_and_died_is_replaced() {
    let more = "[abuse]\nexempt = []\n[http]\naddress = \"127.0.0.1:0\"\n";
    let mut server = Towel::start(&[], &format!("{OPEN}{more}"));
    let (caller, callee, late) = (Peer::new(&server), Peer::new(&server), Peer::new(&server));
    let scanner = Peer::new(&server);
    let agent = "User-Agent: friendly-scanner\r\n";
    scanner.send(&scanner.request("OPTIONS", &format!("sip:{DOMAIN}"), agent));
    let bans = |server: &Towel| {
        let out = Command::new(env!("CARGO_BIN_EXE_towel"))
            .args(["bans", "--data"])
            .arg(server.data())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    eventually("the scanner to be banned", || bans(&server).contains("a scanner's User-Agent"));
    callee.bind("callee");
    // It rings, so the old one cannot end.
    let contact = |peer: &Peer| format!("Contact: <sip:x@{}>\r\n", peer.at());
    let text = caller.request("INVITE", &format!("sip:callee@{DOMAIN}"), &contact(&caller));
    caller.send(&text);
    let invite = callee.next();
    callee.send(&answer(&invite, "180 Ringing", "t", ""));
    while caller.next().status() != 180 {}
    let mut old = server.take_over();
    assert!(bans(&server).contains("a scanner's User-Agent"), "{}", bans(&server));
    late.bind("late");
    let ups = |server: &Towel| server.log().matches(" is up\n").count();
    let before = ups(&server);
    server.kill();
    eventually("another to be up", || ups(&server) > before);
    assert!(late.ask(&late.request("OPTIONS", &format!("sip:{DOMAIN}"), "")).status() == 200);
    let mut fresh = Stream::new(&server);
    fresh.send(fresh.request("OPTIONS", &format!("sip:{DOMAIN}"), "", ""));
    assert_eq!(fresh.final_response().status(), 200);
    for user in ["callee", "late"] {
        assert!(late.ask(&late.register(user, "")).has("Contact"), "{user} is lost");
    }
    callee.send(&answer(&invite, "200 OK", "t", &contact(&callee)));
    assert_eq!(caller.final_response().status(), 200);
    // The one that was started has the input of the old one, whose end is that of both. Nobody is started
    // for one who stops because it was told to.
    assert!(old.wait().unwrap().success(), "{}", server.log());
    eventually("both to end", || server.log().matches(" stopped ").count() == 2);
    assert_eq!(server.log().matches("started again").count(), 1, "{}", server.log());
}
