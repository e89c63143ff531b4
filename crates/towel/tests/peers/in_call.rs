//! What `towel call` and `towel answer` do while a call is up, with baresip at the other end.

use std::time::Duration;

use crate::baresip::{Phone, Setup};
use crate::eventually;
use crate::towel::*;
use crate::towel_phone::{Recordings, Terminal, heard};

#[test]
fn baresip_is_put_on_hold_and_hears_keys() {
    let server = Towel::start(&["alice", "bob"], "");
    let files = Recordings::new();
    let Some(bob) = Phone::start(&server, &Setup::new("bob", "udp", 1000.0)) else { return };
    let alices = files.name("alice.wav");
    let steps = ["after 3s hold", "after 1s resume", "after 1s dtmf 15#", "after 3s hangup"];
    let mut arguments = vec!["--play", "tone:440", "--record", &alices];
    arguments.extend(steps.iter().flat_map(|step| ["--do", step]));
    let mut alice = Terminal::call(&server, "alice", "bob", &arguments);
    let (code, over) = alice.end();
    assert_eq!((code, &over["why"]), (0, &"local".into()), "{over}");
    assert_eq!((alice.events("held").len(), alice.events("resumed").len()), (1, 1));
    bob.wait_for("CALL_CLOSED");
    for key in ["1", "5", "#"] {
        assert!(bob.was_told(&format!("\"param\":\"{key}\"")), "baresip hears {key}");
    }
    let tone = heard(&files.path("alice.wav"), 1000.0);
    assert!(tone.tone >= Duration::from_secs(2), "{tone:?}");
    eventually("baresip to have heard the tone for 2 seconds", || bob.heard(440.0) >= 2.0);
}

#[test]
fn keys_of_baresip_are_heard() {
    let server = Towel::start(&["alice", "bob"], "");
    let mut bob = Terminal::answer(&server, "bob", &["--calls", "1"]);
    let Some(mut alice) = Phone::start(&server, &Setup::new("alice", "udp", 440.0)) else { return };
    alice.dial("bob");
    bob.wait_for("up");
    bob.wait_for("audio");
    for key in ["7", "*"] {
        alice.command("sndcode", key);
        std::thread::sleep(Duration::from_millis(400));
    }
    eventually("both keys", || bob.events("digit").len() >= 2);
    let keys: Vec<_> = bob.events("digit").iter().map(|news| news["digit"].clone()).collect();
    assert_eq!(keys, ["7", "*"]);
    alice.command("hangup", "");
    assert_eq!(bob.end().0, 0);
}

#[test]
fn audio_is_protected_with_baresip_at_either_end() {
    let server = Towel::start(&["alice", "bob"], "");
    let files = Recordings::new();
    let secret = |user| Setup { account: ";mediaenc=srtp-mand", ..Setup::new(user, "udp", 1000.0) };
    let Some(bob) = Phone::start(&server, &secret("bob")) else { return };
    let alices = files.name("alice.wav");
    let arguments =
        ["--seconds", "4", "--play", "tone:440", "--record", &alices, "--srtp", "require"];
    let mut alice = Terminal::call(&server, "alice", "bob", &arguments);
    let (code, over) = alice.end();
    assert_eq!((code, &over["packets"]["unauthentic"]), (0, &0.into()), "{over}");
    assert_eq!(alice.wait_for("audio")["srtp"], true);
    let tone = heard(&files.path("alice.wav"), 1000.0);
    assert!(tone.tone >= Duration::from_secs(2), "{tone:?}");
    eventually("baresip to have heard the tone for 2 seconds", || bob.heard(440.0) >= 2.0);
    drop(bob);

    let bobs = files.name("bob.wav");
    let arguments = ["--calls", "1", "--record", &bobs, "--srtp", "offer"];
    let mut bob = Terminal::answer(&server, "bob", &arguments);
    let Some(mut alice) = Phone::start(&server, &secret("alice")) else { return };
    alice.dial("bob");
    bob.wait_for("up");
    std::thread::sleep(Duration::from_secs(3));
    alice.command("hangup", "");
    let (code, over) = bob.end();
    assert_eq!((code, &over["packets"]["unauthentic"]), (0, &0.into()), "{over}");
    assert_eq!(bob.wait_for("audio")["srtp"], true);
    let tone = heard(&files.path("bob.wav"), 1000.0);
    assert!(tone.tone >= Duration::from_secs(1), "{tone:?}");
}

#[test]
fn who_takes_no_keys_is_called_again_without_and_who_insists_is_refused() {
    let server = Towel::start(&["alice", "bob"], "");
    let Some(bob) = Phone::start(&server, &Setup::new("bob", "udp", 1000.0)) else { return };
    let mut alice = Terminal::call(&server, "alice", "bob", &["--seconds", "1", "--srtp", "offer"]);
    let (code, over) = alice.end();
    assert_eq!(code, 0, "{over}");
    assert_eq!(alice.wait_for("audio")["srtp"], false);
    bob.wait_for("CALL_CLOSED");
    let (code, over) = Terminal::call(&server, "alice", "bob", &["--srtp", "require"]).end();
    assert_eq!((code, &over["status"]), (1, &488.into()), "{over}");
}

#[test]
fn rules_are_for_callers() {
    let server = Towel::start(&["alice", "bob", "carol"], "");
    let rules = ["--when", "alice@*=busy", "--when", "carol@*=redirect sip:dave@192.0.2.1"];
    let bob = Terminal::answer(&server, "bob", &rules);
    let (code, over) = Terminal::call(&server, "alice", "bob", &[]).end();
    assert_eq!((code, &over["status"]), (1, &486.into()), "{over}");
    drop(bob);
    let mut bob = Terminal::answer(&server, "bob", &["--calls", "1", "--reject", "480"]);
    let (code, over) = Terminal::call(&server, "carol", "bob", &[]).end();
    assert_eq!((code, &over["status"]), (1, &480.into()), "{over}");
    assert_eq!(bob.end().0, 0);
}

#[test]
fn many_calls_are_told_as_a_sum() {
    let server = Towel::start(&["alice", "bob"], "");
    let arguments = ["--calls", "30", "--summary", "--codec", "pcma"];
    let mut bob = Terminal::answer(&server, "bob", &arguments);
    let arguments =
        ["--calls", "30", "--rate", "20", "--codec", "pcma", "--do", "after 100ms..1s hangup"];
    let mut alice = Terminal::call(&server, "alice", "bob", &arguments);
    let (code, sum) = alice.end_with("summary");
    assert_eq!((code, &sum["up"], &sum["ends"]["local"]), (0, &30.into(), &30.into()), "{sum}");
    assert!(sum["packets"]["received"].as_u64().unwrap() > 100, "{sum}");
    assert!(alice.events("over").is_empty());
    let (code, sum) = bob.end_with("summary");
    assert_eq!((code, &sum["over"], &sum["ends"]["bye"]), (0, &30.into(), &30.into()), "{sum}");
}
