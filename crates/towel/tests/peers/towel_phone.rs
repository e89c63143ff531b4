//! `towel call` and `towel answer`: with each other, and with baresip, through the server.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use towel_media::audio::{Detector, Heard, Player, Source};

use crate::baresip::{Phone, Setup};
use crate::{eventually, towel::*};

/// A phone in a terminal.
pub(crate) struct Terminal {
    child: Child,
    /// What it has told, a line each.
    told: Arc<Mutex<Vec<Value>>>,
}

impl Terminal {
    fn start(server: &Towel, user: &str, arguments: &[&str]) -> Terminal {
        let (from, password) = (format!("{user}@{DOMAIN}"), password(user));
        let address = server.address();
        let way = ["--from", &from, "-p", &password, "--server", &address];
        Terminal::alone(&[arguments, &way].concat())
    }

    /// One without a server.
    pub(crate) fn alone(arguments: &[&str]) -> Terminal {
        let mut child = Command::new(env!("CARGO_BIN_EXE_towel"))
            .args(arguments)
            .arg("--json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = Arc::new(Mutex::new(Vec::new()));
        let into = told.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                into.lock().unwrap().push(value);
            }
        });
        Terminal { child, told }
    }

    /// One that waits for calls, and is registered.
    pub(crate) fn answer(server: &Towel, user: &str, arguments: &[&str]) -> Terminal {
        let terminal = Terminal::start(server, user, &[&["answer"], arguments].concat());
        terminal.wait_for("registered");
        terminal
    }

    pub(crate) fn call(server: &Towel, user: &str, whom: &str, arguments: &[&str]) -> Terminal {
        let whom = format!("sip:{whom}@{DOMAIN}");
        Terminal::start(server, user, &[&["call", &whom], arguments].concat())
    }

    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|value| value["event"] == kind).cloned().collect()
    }

    pub(crate) fn wait_for(&self, kind: &str) -> Value {
        eventually(kind, || !self.events(kind).is_empty());
        self.events(kind).remove(0)
    }

    pub(crate) fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }

    /// Its exit code, when it has ended, and how its first call went.
    pub(crate) fn end(&mut self) -> (i32, Value) {
        self.end_with("over")
    }

    /// Its exit code, when it has ended, and the first that it told of this kind.
    pub(crate) fn end_with(&mut self, kind: &str) -> (i32, Value) {
        let mut code = None;
        eventually("the phone to end", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        (code.and_then(|code| code.code()).unwrap(), self.wait_for(kind))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("a phone told: {:#?}", self.told.lock().unwrap());
        }
    }
}

/// What of a tone is in a recording.
pub(crate) fn heard(path: &Path, hertz: f64) -> Heard {
    let mut player = Player::new(BufReader::new(File::open(path).unwrap()), 16_000, false).unwrap();
    let (mut detector, mut frame) = (Detector::new(16_000, hertz), [0; 320]);
    loop {
        let count = player.fill(&mut frame);
        detector.hear(&frame[..count]);
        if count < frame.len() {
            return detector.heard();
        }
    }
}

pub(crate) struct Recordings(tempfile::TempDir);

impl Recordings {
    pub(crate) fn new() -> Recordings {
        Recordings(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// Two phones of ours talk; each must have heard the other's tone and not its own.
fn talk(codec: &str, transport: &str) {
    let server = Towel::start(&["alice", "bob"], "");
    let files = Recordings::new();
    let (alices, bobs) = (files.name("alice.wav"), files.name("bob.wav"));
    let way = ["--codec", codec, "--transport", transport];
    let bob = ["--calls", "1", "--play", "tone:1000", "--record", &bobs];
    let mut bob = Terminal::answer(&server, "bob", &[&bob[..], &way].concat());
    let alice = ["--seconds", "4", "--play", "tone:440", "--record", &alices];
    let mut alice = Terminal::call(&server, "alice", "bob", &[&alice[..], &way].concat());
    let ((code, over), (bobs_code, bobs_over)) = (alice.end(), bob.end());
    assert_eq!((code, bobs_code), (0, 0));
    assert_eq!((&over["why"], &bobs_over["why"]), (&"local".into(), &"bye".into()));
    assert!(over["codec"].as_str().unwrap().eq_ignore_ascii_case(codec), "{over}");
    for (name, theirs, own) in [("alice.wav", 1000.0, 440.0), ("bob.wav", 440.0, 1000.0)] {
        let tone = heard(&files.path(name), theirs);
        assert!(tone.tone >= Duration::from_secs(2), "{name}: {tone:?}");
        assert!(tone.listened < Duration::from_secs(8), "{name}: {tone:?}");
        assert_eq!(heard(&files.path(name), own).tone, Duration::ZERO, "{name}");
    }
}

#[test]
fn two_phones_talk_by_opus_over_udp() {
    talk("opus", "udp");
}

#[test]
fn two_phones_talk_by_a_law_over_tcp() {
    talk("pcma", "tcp");
}

#[test]
fn who_is_busy_or_declines_says_so() {
    let server = Towel::start(&["alice", "bob"], "");
    for (how, status) in [("--busy", 486), ("--reject", 603)] {
        let mut bob = Terminal::answer(&server, "bob", &["--calls", "1", how]);
        let (code, over) = Terminal::call(&server, "alice", "bob", &[]).end();
        assert_eq!((code, &over["status"]), (1, &status.into()), "{over}");
        assert_eq!(bob.end().0, 0);
    }
    // It has removed its registration.
    let (code, over) = Terminal::call(&server, "alice", "bob", &[]).end();
    assert_eq!((code, &over["status"]), (1, &480.into()), "{over}");
}

#[test]
fn a_caller_gives_up_by_hand_and_by_the_clock() {
    let server = Towel::start(&["alice", "bob"], "");
    let mut bob = Terminal::answer(&server, "bob", &["--calls", "2", "--after", "100"]);
    let mut alice = Terminal::call(&server, "alice", "bob", &[]);
    alice.wait_for("progress");
    alice.interrupt();
    let (code, over) = alice.end();
    assert_eq!((code, &over["why"], &over["seconds"]), (0, &"local".into(), &Value::Null));
    let (code, over) = Terminal::call(&server, "alice", "bob", &["--timeout", "1"]).end();
    assert_eq!((code, &over["why"]), (4, &"no-answer".into()), "{over}");
    assert_eq!(bob.end().0, 0);
    let ends: Vec<_> = bob.events("over").into_iter().map(|over| over["why"].clone()).collect();
    assert_eq!(ends, ["cancelled", "cancelled"]);
}

#[test]
fn whoever_is_interrupted_hangs_up() {
    let server = Towel::start(&["alice", "bob"], "");
    let mut bob = Terminal::answer(&server, "bob", &["--echo"]);
    let mut alice = Terminal::call(&server, "alice", "bob", &["--register", "--play", "tone:440"]);
    alice.wait_for("up");
    bob.wait_for("up");
    bob.interrupt();
    let ((code, over), (bobs_code, bobs_over)) = (alice.end(), bob.end());
    assert_eq!((code, bobs_code), (0, 0));
    assert_eq!((&over["why"], &bobs_over["why"]), (&"bye".into(), &"local".into()));
}

#[test]
fn a_wrong_password_registers_nobody() {
    let server = Towel::start(&["alice"], "");
    let mut mallory = Terminal::start(&server, "alice", &["answer", "--username", "bob"]);
    assert_eq!(mallory.wait_for("not-registered")["status"], 401);
    let mut code = None;
    eventually("the phone to end", || {
        code = mallory.child.try_wait().unwrap();
        code.is_some()
    });
    assert_eq!(code.unwrap().code(), Some(1));
}

#[test]
fn baresip_is_called_and_both_hear_each_other() {
    let server = Towel::start(&["alice", "bob"], "");
    let files = Recordings::new();
    let Some(bob) = Phone::start(&server, &Setup::new("bob", "udp", 1000.0)) else { return };
    let alices = files.name("alice.wav");
    let arguments = ["--seconds", "5", "--play", "tone:440", "--record", &alices];
    let mut alice = Terminal::call(&server, "alice", "bob", &arguments);
    let (code, over) = alice.end();
    assert_eq!((code, &over["why"]), (0, &"local".into()), "{over}");
    bob.wait_for("CALL_CLOSED");
    let tone = heard(&files.path("alice.wav"), 1000.0);
    assert!(tone.tone >= Duration::from_secs(2), "{tone:?}");
    eventually("baresip to have heard the tone for 2 seconds", || bob.heard(440.0) >= 2.0);
}

#[test]
fn baresip_calls_holds_and_resumes() {
    let server = Towel::start(&["alice", "bob"], "");
    let files = Recordings::new();
    let bobs = files.name("bob.wav");
    let arguments = ["--calls", "1", "--play", "tone:1000", "--record", &bobs];
    let mut bob = Terminal::answer(&server, "bob", &arguments);
    let Some(mut alice) = Phone::start(&server, &Setup::new("alice", "tcp", 440.0)) else { return };
    alice.dial("bob");
    alice.wait_for("CALL_ESTABLISHED");
    bob.wait_for("up");
    std::thread::sleep(Duration::from_secs(3));
    alice.command("hold", "");
    eventually("the hold", || bob.events("changed").len() == 1);
    alice.command("resume", "");
    eventually("the end of the hold", || bob.events("changed").len() == 2);
    std::thread::sleep(Duration::from_secs(2));
    alice.command("hangup", "");
    let (code, over) = bob.end();
    assert_eq!((code, &over["why"]), (0, &"bye".into()), "{over}");
    let tone = heard(&files.path("bob.wav"), 440.0);
    assert!(tone.tone >= Duration::from_secs(2), "{tone:?}");
    eventually("baresip to have heard the tone for 2 seconds", || alice.heard(1000.0) >= 2.0);
}
