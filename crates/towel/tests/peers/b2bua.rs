//! `towel b2bua` between two baresips that know nothing of each other.

use crate::{
    baresip::{Phone, Setup},
    eventually, ports,
};
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

/// A back-to-back user agent in front of a port of loopback.
struct Across {
    child: Child,
    said: BufReader<ChildStdout>,
    port: u16,
}

impl Across {
    fn start(next_hop: u16) -> Across {
        let port = ports::free(1);
        let mut child = Command::new(env!("CARGO_BIN_EXE_towel"))
            .arg("b2bua")
            .args(["--listen", &format!("udp:127.0.0.1:{port},tcp:127.0.0.1:{port}")])
            .args(["--next-hop", &format!("sip:127.0.0.1:{next_hop}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        for _ in 0..2 {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            assert!(line.starts_with("listening with "), "{line}");
        }
        Across { child, said, port }
    }

    /// Has it stop, and tells what it says of what it did.
    fn stop(mut self) -> String {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Across {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn baresip_calls_baresip_across_and_either_hangs_up() {
    let (hers, his) = (ports::free(4), ports::free(4));
    let Some(mut alice) = Phone::alone(&Setup::new("alice", "udp", 440.0), hers) else { return };
    let Some(mut bob) = Phone::alone(&Setup::new("bob", "udp", 1000.0), his) else { return };
    let across = Across::start(his);
    let bobs = format!("sip:bob@127.0.0.1:{}", across.port);
    alice.command("dial", &bobs);
    alice.wait_for("CALL_ESTABLISHED");
    bob.wait_for("CALL_ESTABLISHED");
    std::thread::sleep(Duration::from_secs(3));
    // A re-INVITE each, which goes across and back.
    let acknowledged = |phone: &Phone, times| phone.log().matches("\nACK sip:").count() >= times;
    alice.command("hold", "");
    eventually("the hold", || bob.log().contains("a=sendonly") && acknowledged(&bob, 2));
    alice.command("resume", "");
    eventually("the end of the hold", || acknowledged(&bob, 3));
    bob.command("hangup", "");
    alice.wait_for("CALL_CLOSED");
    eventually("both to have heard the other for 2 seconds", || {
        alice.heard(1000.0) >= 2.0 && bob.heard(440.0) >= 2.0
    });
    alice.forget();
    bob.forget();
    alice.command("dial", &bobs);
    bob.wait_for("CALL_ESTABLISHED");
    alice.wait_for("CALL_ESTABLISHED");
    alice.command("hangup", "");
    bob.wait_for("CALL_CLOSED");
    let told = across.stop();
    assert!(told.starts_with("2 calls, 2 answered, 0 refused"), "{told}");
}
