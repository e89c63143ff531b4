//! linphone's command-line phone.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use towel_media::audio::{Detector, Heard};

use crate::{
    baresip::{Phone, Setup},
    eventually, ports, program, tone,
    towel::*,
    towel_phone::{Recordings, Terminal, heard},
};

/// A linphone that is registered, says a tone and keeps what it hears; ended when dropped.
struct Linphone {
    child: Child,
    input: ChildStdin,
    dir: tempfile::TempDir,
}

impl Linphone {
    /// One for this user; `None` where there is no linphone.
    fn start(server: &Towel, user: &str, hertz: f64, arguments: &[&str]) -> Option<Linphone> {
        let linphonec = program("linphonec")?;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".local/share/linphone")).unwrap();
        tone::write(&dir.path().join("tone.wav"), hertz);
        fs::write(
            dir.path().join("rc"),
            format!(
                "[sip]\nsip_port={}\nsip_tcp_port=-1\nsip_tls_port=-1\nbind_address=127.0.0.1\n\
                 guess_hostname=0\ncontact=\"{user}\" <sip:{user}@127.0.0.1>\ndefault_proxy=0\n\
                 register_only_when_network_is_up=0\nuse_ipv6=0\n\n\
                 [proxy_0]\nreg_proxy=<sip:{at}>\nreg_route=<sip:{at};lr>\n\
                 reg_identity=sip:{user}@{DOMAIN}\nreg_expires=600\nreg_sendregister=1\n\n\
                 [auth_info_0]\nusername={user}\npasswd={}\nrealm={DOMAIN}\n\n\
                 [rtp]\naudio_rtp_port={}\n",
                ports::free(1),
                password(user),
                ports::free(2),
                at = server.address(),
            ),
        )
        .unwrap();
        let log = fs::File::create(dir.path().join("out")).unwrap();
        let mut child = Command::new(linphonec)
            .args(["-c", "rc", "-d", "5", "-l", "log"])
            .args(arguments)
            .current_dir(dir.path())
            .env("HOME", dir.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut phone = Linphone { child, input, dir };
        phone.tell("soundcard use files");
        eventually("linphone to register", || {
            phone.tell("status register");
            std::thread::sleep(Duration::from_millis(300));
            phone.said("registered, identity=") > 0
        });
        phone.tell("play tone.wav");
        phone.tell("record heard.wav");
        Some(phone)
    }

    /// A command of its own language.
    fn tell(&mut self, command: &str) {
        let _ = writeln!(self.input, "{command}");
    }

    /// How often it said these words.
    fn said(&self, words: &str) -> usize {
        fs::read_to_string(self.dir.path().join("out")).unwrap_or_default().matches(words).count()
    }

    fn wait_for(&self, words: &str) {
        self.wait_for_times(words, 1);
    }

    fn wait_for_times(&self, words: &str, times: usize) {
        eventually(words, || self.said(words) >= times);
    }

    /// What it heard of a tone, once it has ended.
    fn end(mut self, hertz: f64) -> Heard {
        self.tell("quit");
        eventually("linphone to end", || self.child.try_wait().is_ok_and(|done| done.is_some()));
        let path: PathBuf = self.dir.path().join("heard.wav");
        let wav = fs::read(path).unwrap_or_default();
        // Its own length in the header is not to be relied on; the rate, behind 24 bytes, is.
        let rate = wav.get(24..28).map_or(16_000, |b| u32::from_le_bytes(b.try_into().unwrap()));
        let mut detector = Detector::new(rate, hertz);
        let samples: Vec<i16> = wav
            .get(44..)
            .unwrap_or_default()
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        for frame in samples.chunks(rate as usize / 50) {
            detector.hear(frame);
        }
        detector.heard()
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let out = fs::read_to_string(self.dir.path().join("out")).unwrap_or_default();
            eprintln!("linphone said:\n{out}");
        }
    }
}

#[test]
fn linphone_registers_and_calls_a_baresip() {
    let server = Towel::start(&["lin", "bob"], "");
    let Some(bob) = Phone::start(&server, &Setup::new("bob", "udp", 1000.0)) else { return };
    let Some(mut lin) = Linphone::start(&server, "lin", 440.0, &[]) else { return };
    lin.tell(&format!("call sip:bob@{DOMAIN}"));
    bob.wait_for("CALL_ESTABLISHED");
    lin.wait_for("connected.");
    lin.tell("terminate");
    bob.wait_for("CALL_CLOSED");
    lin.end(1000.0);
}

#[test]
fn linphone_calls_us_and_both_hear_each_other() {
    let server = Towel::start(&["lin", "bob"], "");
    let files = Recordings::new();
    let bobs = files.name("bob.wav");
    let arguments = ["--calls", "1", "--play", "tone:1000", "--record", &bobs];
    let mut bob = Terminal::answer(&server, "bob", &arguments);
    let Some(mut lin) = Linphone::start(&server, "lin", 440.0, &[]) else { return };
    lin.tell(&format!("call sip:bob@{DOMAIN}"));
    lin.wait_for("connected.");
    std::thread::sleep(Duration::from_secs(4));
    lin.tell("terminate");
    let (code, over) = bob.end();
    assert_eq!((code, &over["why"]), (0, &"bye".into()), "{over}");
    let (tone, theirs) = (heard(&files.path("bob.wav"), 440.0), lin.end(1000.0));
    assert!(tone.tone >= Duration::from_secs(2), "{tone:?}");
    assert!(theirs.tone >= Duration::from_secs(2), "{theirs:?}");
}

#[test]
fn we_call_linphone_which_holds_resumes_and_presses_a_key() {
    let server = Towel::start(&["lin", "bob"], "");
    let files = Recordings::new();
    let Some(mut lin) = Linphone::start(&server, "lin", 440.0, &["-a"]) else { return };
    let bobs = files.name("bob.wav");
    let mut bob =
        Terminal::call(&server, "bob", "lin", &["--play", "tone:1000", "--record", &bobs]);
    bob.wait_for("up");
    lin.wait_for("Media streams established");
    std::thread::sleep(Duration::from_secs(2));
    lin.tell("pause");
    eventually("the hold", || bob.events("changed").len() == 1);
    assert_eq!(bob.events("changed")[0]["direction"], "recvonly");
    lin.wait_for("is now paused");
    lin.tell("resume 1");
    eventually("the end of the hold", || bob.events("changed").len() == 2);
    assert_eq!(bob.events("changed")[1]["direction"], "sendrecv");
    lin.tell("5");
    assert_eq!(bob.wait_for("digit")["digit"], "5");
    std::thread::sleep(Duration::from_secs(2));
    lin.tell("terminate");
    let (code, over) = bob.end();
    assert_eq!((code, &over["why"]), (0, &"bye".into()), "{over}");
    let (tone, theirs) = (heard(&files.path("bob.wav"), 440.0), lin.end(1000.0));
    assert!(tone.tone >= Duration::from_secs(2), "{tone:?}");
    assert!(theirs.tone >= Duration::from_secs(2), "{theirs:?}");
}

#[test]
fn linphone_is_put_on_hold_and_taken_back() {
    let server = Towel::start(&["lin", "bob"], "");
    let Some(lin) = Linphone::start(&server, "lin", 440.0, &["-a"]) else { return };
    let steps = ["--do", "after 1s hold", "--do", "after 2s resume", "--do", "after 2s hangup"];
    let mut bob =
        Terminal::call(&server, "bob", "lin", &[&steps[..], &["--play", "tone:1000"]].concat());
    lin.wait_for("paused by");
    // Once when it began and once more now.
    lin.wait_for_times("Media streams established", 2);
    let (code, over) = bob.end();
    assert_eq!((code, &over["why"]), (0, &"local".into()), "{over}");
    lin.wait_for("ended");
    lin.end(1000.0);
}
