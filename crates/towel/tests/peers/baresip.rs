//! baresip: phones with audio.

use crate::{eventually, ports, program, tone, towel::*};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

/// A baresip that is registered with the server.
pub(crate) struct Phone {
    child: Child,
    dir: tempfile::TempDir,
    control: TcpStream,
    /// Everything that its control connection has said.
    events: Arc<Mutex<String>>,
}

/// How a phone is set up.
pub(crate) struct Setup<'a> {
    pub(crate) user: &'a str,
    pub(crate) transport: &'a str,
    /// The tone that it speaks, in hertz.
    pub(crate) tone: f64,
    pub(crate) answers: bool,
    pub(crate) max_calls: u32,
    /// More parameters of its account.
    pub(crate) account: &'a str,
}

impl<'a> Setup<'a> {
    pub(crate) fn new(user: &'a str, transport: &'a str, tone: f64) -> Self {
        Setup { user, transport, tone, answers: true, max_calls: 4, account: "" }
    }
}

impl Phone {
    /// Starts one and waits until it is registered; `None` if baresip is not installed.
    pub(crate) fn start(server: &Towel, setup: &Setup<'_>) -> Option<Phone> {
        let at = if setup.transport == "tls" { server.port + 1 } else { server.port };
        let account = format!(
            "<sip:{user}@{DOMAIN};transport={transport}>;auth_user={user};auth_pass={};\
             outbound=\"sip:127.0.0.1:{at};transport={transport}\";regint=600",
            password(setup.user),
            user = setup.user,
            transport = setup.transport,
        );
        let phone = Phone::launch(setup, ports::free(4), &account)?;
        eventually("baresip to register", || {
            phone.log().contains(" 200 OK (") || phone.saw("REGISTER_OK")
        });
        Some(phone)
    }

    /// Starts one that registers nowhere, and is reached at this port of the four from here on.
    pub(crate) fn alone(setup: &Setup<'_>, port: u16) -> Option<Phone> {
        let account =
            format!("<sip:{}@127.0.0.1:{port};transport={}>;regint=0", setup.user, setup.transport);
        Phone::launch(setup, port, &account)
    }

    fn launch(setup: &Setup<'_>, port: u16, account: &str) -> Option<Phone> {
        let baresip = program("baresip")?;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().display();
        let rtp = ports::free(8);
        tone::write(&dir.path().join("tone.wav"), setup.tone);
        fs::write(
            dir.path().join("config"),
            format!(
                "poll_method epoll\nsip_listen 127.0.0.1:{port}\ncall_max_calls {}\n\
                 call_local_timeout 120\naudio_player aubridge,sink\naudio_alert aubridge,alert\n\
                 audio_source aufile,{folder}/tone.wav\naudio_channels 1\nausrc_srate 8000\n\
                 auplay_srate 8000\nausrc_channels 1\nauplay_channels 1\n\
                 rtp_ports {rtp}-{}\nnet_interface 127.0.0.1\n\
                 module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule srtp.so\nmodule aufile.so\n\
                 module aubridge.so\nmodule sndfile.so\nmodule_tmp account.so\n\
                 module_app menu.so\nmodule_app ctrl_tcp.so\n\
                 ctrl_tcp_listen 127.0.0.1:{}\nsnd_path {folder}\n",
                setup.max_calls,
                rtp + 7,
                port + 2,
            ),
        )
        .unwrap();
        let answers = if setup.answers { "auto" } else { "manual" };
        fs::write(
            dir.path().join("accounts"),
            format!("{account};answermode={answers}{}\n", setup.account),
        )
        .unwrap();
        fs::write(dir.path().join("contacts"), "").unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(baresip)
            .args(["-4", "-v", "-s", "-f"])
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut control = None;
        eventually("baresip to take commands", || {
            control = TcpStream::connect(("127.0.0.1", port + 2)).ok();
            control.is_some()
        });
        let control = control.unwrap();
        let events = Arc::new(Mutex::new(String::new()));
        let (mut reader, into) = (control.try_clone().unwrap(), events.clone());
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(len @ 1..) = reader.read(&mut some) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&some[..len]));
            }
        });
        Some(Phone { child, dir, control, events })
    }

    /// Gives it a command of its own language.
    pub(crate) fn command(&mut self, command: &str, params: &str) {
        let json = format!("{{\"command\":\"{command}\",\"params\":\"{params}\"}}");
        write!(self.control, "{}:{json},", json.len()).unwrap();
    }

    /// Calls a user of the server's domain.
    pub(crate) fn dial(&mut self, user: &str) {
        self.command("dial", &format!("sip:{user}@{DOMAIN}"));
    }

    /// Forgets what it has told.
    pub(crate) fn forget(&mut self) {
        self.events.lock().unwrap().clear();
    }

    /// Has it told of this kind of event?
    pub(crate) fn saw(&self, kind: &str) -> bool {
        self.events.lock().unwrap().contains(kind)
    }

    /// Are these words in what it has told?
    pub(crate) fn was_told(&self, words: &str) -> bool {
        self.events.lock().unwrap().contains(words)
    }

    pub(crate) fn wait_for(&self, kind: &str) {
        eventually(kind, || self.saw(kind));
    }

    /// What it has written, every message that it sent or got among it.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// For how long it heard the tone of `hertz`, in seconds.
    pub(crate) fn heard(&self, hertz: f64) -> f64 {
        fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .map(|path| tone::seconds_of(&path, hertz))
            .sum()
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("a phone's log:\n{}", self.log());
        }
    }
}

/// Two phones talk for some seconds; each must have heard the other's tone.
fn talk(caller: &str, callee: &str) {
    let server = Towel::start(&["alice", "bob"], "");
    let Some(mut alice) = Phone::start(&server, &Setup::new("alice", caller, 440.0)) else {
        return;
    };
    let Some(bob) = Phone::start(&server, &Setup::new("bob", callee, 1000.0)) else { return };
    alice.dial("bob");
    alice.wait_for("CALL_ESTABLISHED");
    bob.wait_for("CALL_ESTABLISHED");
    std::thread::sleep(std::time::Duration::from_secs(4));
    alice.command("hangup", "");
    alice.wait_for("CALL_CLOSED");
    bob.wait_for("CALL_CLOSED");
    eventually("both to have heard the other for 2 seconds", || {
        alice.heard(1000.0) >= 2.0 && bob.heard(440.0) >= 2.0
    });
    assert!(alice.heard(440.0) < 0.5, "alice hears herself");
}

#[test]
fn a_call_with_audio_from_udp_to_tcp() {
    talk("udp", "tcp");
}

#[test]
fn a_call_with_audio_from_tls_to_udp() {
    talk("tls", "udp");
}

#[test]
fn a_caller_gives_up() {
    let server = Towel::start(&["alice", "bob"], "");
    let silent = Setup { answers: false, ..Setup::new("bob", "tcp", 1000.0) };
    let Some(mut alice) = Phone::start(&server, &Setup::new("alice", "udp", 440.0)) else { return };
    let Some(bob) = Phone::start(&server, &silent) else { return };
    alice.dial("bob");
    bob.wait_for("CALL_INCOMING");
    alice.wait_for("CALL_RINGING");
    alice.command("hangup", "");
    bob.wait_for("CALL_CLOSED");
    assert!(!bob.saw("CALL_ESTABLISHED"));
}

#[test]
fn a_third_phone_meets_a_busy_one() {
    let server = Towel::start(&["alice", "bob", "carol"], "");
    let one_call = Setup { max_calls: 1, ..Setup::new("bob", "udp", 1000.0) };
    let Some(mut alice) = Phone::start(&server, &Setup::new("alice", "udp", 440.0)) else { return };
    let Some(bob) = Phone::start(&server, &one_call) else { return };
    let Some(mut carol) = Phone::start(&server, &Setup::new("carol", "tcp", 600.0)) else { return };
    alice.dial("bob");
    bob.wait_for("CALL_ESTABLISHED");
    carol.dial("bob");
    carol.wait_for("CALL_CLOSED");
    assert!(carol.saw("486 "), "{}", carol.events.lock().unwrap());
    assert!(!alice.saw("CALL_CLOSED"), "the call that stands goes on");
}

#[test]
fn a_phone_in_three_places_rings_in_all_and_is_answered_in_one() {
    let server = Towel::start(&["alice", "bob"], "");
    let silent = Setup { answers: false, ..Setup::new("bob", "udp", 1000.0) };
    let Some(mut alice) = Phone::start(&server, &Setup::new("alice", "udp", 440.0)) else { return };
    let mut places = Vec::new();
    for transport in ["udp", "tcp", "tls"] {
        let setup = Setup { transport, ..Setup { user: "bob", ..silent } };
        let Some(place) = Phone::start(&server, &setup) else { return };
        places.push(place);
    }
    alice.dial("bob");
    places.iter().for_each(|place| place.wait_for("CALL_INCOMING"));
    places[1].command("accept", "");
    alice.wait_for("CALL_ESTABLISHED");
    places[1].wait_for("CALL_ESTABLISHED");
    places[0].wait_for("CALL_CLOSED");
    places[2].wait_for("CALL_CLOSED");
    assert!(!places[1].saw("CALL_CLOSED"));
}

#[test]
fn phones_are_still_registered_after_a_crash() {
    let mut server = Towel::start(&["alice", "bob"], "");
    let Some(mut alice) = Phone::start(&server, &Setup::new("alice", "udp", 440.0)) else { return };
    let Some(bob) = Phone::start(&server, &Setup::new("bob", "udp", 1000.0)) else { return };
    server.crash_and_restart();
    alice.dial("bob");
    bob.wait_for("CALL_ESTABLISHED");
    alice.wait_for("CALL_ESTABLISHED");
}

#[test]
fn a_call_outlives_a_reload() {
    let server = Towel::start(&["alice", "bob"], "");
    let Some(mut alice) = Phone::start(&server, &Setup::new("alice", "tcp", 440.0)) else { return };
    let Some(bob) = Phone::start(&server, &Setup::new("bob", "udp", 1000.0)) else { return };
    alice.dial("bob");
    bob.wait_for("CALL_ESTABLISHED");
    server.reload("[[user]]\nname = \"carol\"\npassword = \"carol-secret\"\n");
    let Some(mut carol) = Phone::start(&server, &Setup::new("carol", "udp", 600.0)) else { return };
    assert!(!alice.saw("CALL_CLOSED") && !bob.saw("CALL_CLOSED"));
    alice.command("hangup", "");
    bob.wait_for("CALL_CLOSED");
    carol.dial("bob");
    carol.wait_for("CALL_ESTABLISHED");
}
