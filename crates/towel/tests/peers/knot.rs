//! knotd: a real DNS server on loopback, and targets that fail while an INVITE is on its way
//! (RFC 3263 section 4.3).

use crate::{eventually, ports, program, towel::*};
use std::{
    fmt::Write,
    fs,
    net::{SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A running DNS server for the zone `far.test`; killed when dropped.
struct Knot {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Knot {
    fn start(zone: &str) -> Option<Knot> {
        let knotd = program("knotd")?;
        let dir = tempfile::tempdir().unwrap();
        let port = ports::free(1);
        let path = dir.path().display();
        let config = format!(
            "server:\n    listen: 127.0.0.1@{port}\n    rundir: {path}\n\
             database:\n    storage: {path}\nlog:\n  - target: stderr\n    any: warning\n\
             zone:\n  - domain: far.test\n    storage: {path}\n    file: far.zone\n    zonefile-load: whole\n"
        );
        let start = "$ORIGIN far.test.\n$TTL 60\n@ SOA ns hostmaster 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n";
        fs::write(dir.path().join("knot.conf"), config).unwrap();
        fs::write(dir.path().join("far.zone"), format!("{start}{zone}")).unwrap();
        let child = Command::new(knotd)
            .arg("-c")
            .arg(dir.path().join("knot.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let knot = Knot { child, port, _dir: dir };
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        // ns.far.test, A, IN.
        let question = b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x02ns\x03far\x04test\0\0\x01\0\x01";
        let log = knot._dir.path().join("log");
        eventually(&format!("knotd; see {}", log.display()), || {
            let _ = socket.send_to(question, ("127.0.0.1", port));
            let mut answer = [0; 512];
            // One answer and no error.
            socket.recv(&mut answer).is_ok() && answer[3] & 15 == 0 && answer[7] == 1
        });
        Some(knot)
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A SIP element of the test.
struct Peer(UdpSocket);

impl Peer {
    fn new() -> Peer {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Peer(socket)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// The next message that begins so, from whom.
    fn wait(&self, start: &str, most: Duration) -> Option<(String, SocketAddr)> {
        let end = Instant::now() + most;
        let mut buffer = [0; 8192];
        while Instant::now() < end {
            if let Ok((len, from)) = self.0.recv_from(&mut buffer)
                && buffer[..len].starts_with(start.as_bytes())
            {
                return Some((String::from_utf8_lossy(&buffer[..len]).into_owned(), from));
            }
        }
        None
    }

    fn answer(&self, request: &str, to: SocketAddr, status: u16) {
        let mut text = format!("SIP/2.0 {status} Said\r\n");
        for line in request.lines().take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default();
            if name == "To" && !line.contains("tag=") {
                write!(text, "{line};tag=far\r\n").unwrap();
            } else if ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"].contains(&name) {
                write!(text, "{line}\r\n").unwrap();
            }
        }
        text += "Contact: <sip:far@127.0.0.1>\r\nContent-Length: 0\r\n\r\n";
        self.0.send_to(text.as_bytes(), to).unwrap();
    }

    fn invite(&self, server: &Towel, uri: &str, call: &str) {
        let port = self.port();
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:near@near.test>;tag=1\r\nTo: <{uri}>\r\nCall-ID: {call}\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:near@127.0.0.1:{port}>\r\nContent-Length: 0\r\n\r\n"
        );
        self.0.send_to(text.as_bytes(), server.address()).unwrap();
    }
}

const LONG: Duration = Duration::from_secs(25);

fn server(knot: &Knot) -> Towel {
    let more = format!(
        "[dns]\nservers = [\"127.0.0.1:{}\"]\n[auth]\ncalls = false\n[proxy]\nrelay = \"anybody\"\n\
         [timers]\nt1 = \"50ms\"\n",
        knot.port
    );
    Towel::start(&[], &more)
}

#[test]
fn an_invite_goes_on_to_the_next_srv_target_after_a_503_and_after_silence() {
    let (caller, silent, busy, last) = (Peer::new(), Peer::new(), Peer::new(), Peer::new());
    let zone = format!(
        "@ NAPTR 10 10 \"s\" \"SIP+D2U\" \"\" _sip._udp\n\
         _sip._udp SRV 1 0 {} one\n_sip._udp SRV 2 0 {} two\n_sip._udp SRV 3 0 {} three\n\
         one A 127.0.0.1\ntwo A 127.0.0.1\nthree A 127.0.0.1\n",
        busy.port(),
        silent.port(),
        last.port()
    );
    let Some(knot) = Knot::start(&zone) else { return };
    let server = server(&knot);
    caller.invite(&server, "sip:x@far.test", "first");
    let (request, from) = busy.wait("INVITE", LONG).expect("the first target to be asked");
    busy.answer(&request, from, 503);
    assert!(busy.wait("ACK", LONG).is_some(), "the 503 is acknowledged");
    // Timer B of 64 * T1 passes at the second.
    let (request, _) = silent.wait("INVITE", LONG).expect("the second target to be asked");
    let (again, from) = last.wait("INVITE", LONG).expect("the third target to be asked");
    let branch = |text: &str| text.split("branch=").nth(1).unwrap_or_default()[..40].to_owned();
    assert_ne!(branch(&request), branch(&again), "a new transaction has a new branch");
    last.answer(&again, from, 200);
    assert!(caller.wait("SIP/2.0 200", LONG).is_some(), "the call is answered");
    // The silent one is on the blocklist now: the next call does not wait for it.
    caller.invite(&server, "sip:x@far.test", "second");
    let (request, from) =
        busy.wait("INVITE", LONG).expect("a 503 without Retry-After blocks nobody");
    busy.answer(&request, from, 503);
    let (request, from) = last.wait("INVITE", Duration::from_secs(2)).expect("past the silent one");
    last.answer(&request, from, 200);
    assert!(caller.wait("SIP/2.0 200", LONG).is_some(), "the second call is answered");
}

#[test]
fn a_name_without_records_and_one_that_offers_nothing_are_answered_at_once() {
    let Some(knot) = Knot::start("none SRV 0 0 0 .\n_sip._udp.none SRV 0 0 0 .\n") else { return };
    let (server, caller) = (server(&knot), Peer::new());
    for (name, call) in [("nobody.far.test", "nobody"), ("none.far.test", "none")] {
        caller.invite(&server, &format!("sip:x@{name}"), call);
        let answer = caller.wait("SIP/2.0 5", Duration::from_secs(5));
        assert!(answer.is_some(), "{name}");
    }
}
