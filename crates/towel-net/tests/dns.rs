//! Locating servers with a real DNS server, started here: knotd or nsd from the distribution.

mod common;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use towel_core::io::{Flow, Input, Machine, Now, Outbox, Transport};
use towel_core::locating::{
    Capabilities, Destination, Failure, LocateFault, Located, Locator, LookupId, Settings, Targets,
};
use towel_net::{Bind, Config, Driver, Forget, ResolverConfig};

const ZONE: &str = r#"$ORIGIN towel.test.
$TTL 300
@ IN SOA ns hostmaster 1 3600 600 86400 7
@ IN NS ns
ns IN A 127.0.0.1
@ 300 IN NAPTR 50 50 "s" "SIPS+D2T" "" _sips._tcp.towel.test.
@ 300 IN NAPTR 90 50 "s" "SIP+D2T" "" _sip._tcp.towel.test.
@ 300 IN NAPTR 100 50 "s" "SIP+D2U" "" _sip._udp.towel.test.
_sips._tcp IN SRV 0 1 5061 server2
_sip._tcp IN SRV 0 1 5060 server1
_sip._tcp IN SRV 1 2 5060 server2
_sip._udp IN SRV 0 1 5070 server1
server1 IN A 127.0.0.11
server1 IN AAAA 2001:db8::11
server2 IN A 127.0.0.12
plain IN A 127.0.0.13
plain IN A 127.0.0.14
alias 60 IN CNAME plain
_sip._udp.srvonly IN SRV 10 0 5080 second
_sip._udp.srvonly IN SRV 5 0 5081 first
first IN A 127.0.0.15
second IN A 127.0.0.16
_sip._udp.closed IN SRV 0 0 0 .
closed IN A 127.0.0.17
short 1 IN A 127.0.0.18
"#;

/// The zone with an SRV answer that does not fit into a datagram.
fn zone() -> String {
    let mut zone = ZONE.to_string();
    for i in 0..120 {
        zone += &format!("_sip._udp.big IN SRV {i} 0 5060 a-host-with-a-rather-long-name-{i}\n");
        zone += &format!("a-host-with-a-rather-long-name-{i} IN A 10.1.0.{i}\n");
    }
    zone
}

struct Server {
    child: Child,
    dir: PathBuf,
    addr: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// A port that is free for UDP and TCP alike.
fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn knot(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "server:\n    rundir: \"{dir}\"\n    listen: 127.0.0.1@{port}\n    pidfile: knot.pid\n\
         database:\n    storage: \"{dir}\"\n\
         log:\n  - target: stderr\n    any: error\n\
         template:\n  - id: default\n    storage: \"{dir}\"\n    zonefile-load: whole\n    \
         journal-content: none\n\
         zone:\n  - domain: towel.test\n    file: towel.test.zone\n"
    )
}

fn nsd(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  zonesdir: \"{dir}\"\n  database: \"\"\n  \
         pidfile: \"{dir}/nsd.pid\"\n  xfrdfile: \"{dir}/xfrd.state\"\n  \
         zonelistfile: \"{dir}/zone.list\"\n  xfrdir: \"{dir}\"\n  username: \"\"\n  \
         server-count: 1\nremote-control:\n  control-enable: no\n\
         zone:\n  name: towel.test\n  zonefile: towel.test.zone\n"
    )
}

/// Starts a server for the zone, or says why not.
fn server(name: &str) -> Option<Server> {
    let found = program("knotd").map(|p| (p, true)).or(program("nsd").map(|p| (p, false)));
    let Some((program, is_knot)) = found else {
        let why = "neither knotd nor nsd is installed";
        assert!(std::env::var_os("TOWEL_REQUIRE_PEERS").is_none_or(|v| v != "1"), "{why}");
        eprintln!("skipped: {why}");
        return None;
    };
    let dir = std::env::temp_dir().join(format!("towel-dns-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("towel.test.zone"), zone()).unwrap();
    let port = free_port();
    let text = if is_knot { knot(&dir, port) } else { nsd(&dir, port) };
    let config = dir.join("server.conf");
    std::fs::File::create(&config).unwrap().write_all(text.as_bytes()).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
    if !is_knot {
        command.arg("-d");
    }
    let child = command.spawn().unwrap();
    let server = Server { child, dir, addr: ([127, 0, 0, 1], port).into() };
    // A question in so many bytes: the SOA of towel.test.
    let question =
        b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05towel\x04test\x00\x00\x06\x00\x01";
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < Duration::from_secs(20), "the DNS server does not answer");
        let _ = socket.send_to(question, server.addr);
        let mut answer = [0; 512];
        // Answered, without error and with a record.
        if let Ok(n) = socket.recv(&mut answer)
            && n > 12
            && answer[3] & 15 == 0
            && answer[7] > 0
        {
            return Some(server);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Answers `SCHEME HOST [PORT|-] [TRANSPORT]` with the list of targets, and avoids `failed ADDR`.
struct Finder {
    locator: Locator,
    waiting: Vec<(LookupId, Flow)>,
    flow: Option<Flow>,
}

impl Finder {
    fn say(flow: Flow, result: Result<Targets, LocateFault>, out: &mut Outbox) {
        let text = match result {
            Ok(targets) => {
                let list: Vec<String> =
                    targets.iter().map(|t| format!("{} {}", t.transport, t.addr)).collect();
                list.join(", ")
            }
            Err(fault) => format!("{fault:?}"),
        };
        out.transmit(flow, text.as_bytes());
    }
}

impl Machine for Finder {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Listening(l) => {
                self.flow = Some(Flow {
                    transport: Transport::Udp,
                    listener: l.id,
                    local: l.local,
                    remote: l.local,
                    connection: None,
                });
            }
            Input::Datagram { remote, bytes, .. } => {
                let flow = Flow { remote, ..self.flow.unwrap() };
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                let words: Vec<&str> = text.split(' ').collect();
                if words[0] == "failed" {
                    let addr = words[1].parse().unwrap();
                    self.locator.failed(now.at, Transport::Udp, addr, Failure::TimedOut);
                    return;
                }
                let destination = Destination {
                    secure: words[0] == "sips",
                    port: words.get(2).and_then(|p| p.parse().ok()),
                    transport: words.get(3).and_then(|t| Transport::from_token(t.as_bytes())),
                    ..Destination::sip(words[1].as_bytes())
                };
                match self.locator.locate(now.at, &destination, out) {
                    Located::Ready(targets) => Self::say(flow, Ok(targets), out),
                    Located::Fault(fault) => Self::say(flow, Err(fault), out),
                    Located::Waiting(id) => self.waiting.push((id, flow)),
                }
            }
            Input::Resolved { query, answer } => {
                for done in self.locator.answered(now.at, query, answer, out) {
                    let index = self.waiting.iter().position(|(id, _)| *id == done.lookup);
                    let (_, flow) = self.waiting.swap_remove(index.unwrap());
                    Self::say(flow, done.result, out);
                }
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<towel_core::io::Instant> {
        None
    }
}

/// A driver with a finder that asks these servers.
struct Asker {
    addr: SocketAddr,
    handle: towel_net::Handle,
    counters: std::sync::Arc<towel_net::Counters>,
    thread: Option<std::thread::JoinHandle<()>>,
    socket: UdpSocket,
}

impl Asker {
    fn new(servers: Vec<SocketAddr>) -> Self {
        let timeout = Duration::from_millis(500);
        let resolver = ResolverConfig { servers, timeout, ..ResolverConfig::default() };
        Self::with(Some(resolver), Settings::default())
    }

    fn with(resolver: Option<ResolverConfig>, settings: Settings) -> Self {
        let bind = Bind::new(Transport::Udp, "127.0.0.1:0".parse().unwrap());
        let mut config = Config::new(vec![bind]);
        config.resolver = resolver;
        let driver = Driver::new(config).unwrap();
        let (addr, handle, counters) =
            (driver.listeners()[0].local, driver.handle(), driver.counters());
        let mut forget = Forget(handle.clone());
        let thread = std::thread::spawn(move || {
            let locator = Locator::new(settings, Capabilities::usual(), 5);
            let mut finder = Finder { locator, waiting: Vec::new(), flow: None };
            driver.run(&mut finder, &mut forget, &mut |_| ()).unwrap();
        });
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { addr, handle, counters, thread: Some(thread), socket }
    }

    fn find(&self, text: &str) -> String {
        self.socket.send_to(text.as_bytes(), self.addr).unwrap();
        let mut buffer = [0; 4096];
        let count = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    fn questions(&self) -> u64 {
        std::thread::sleep(Duration::from_millis(30));
        self.counters.read().questions
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.handle.stop(Duration::ZERO);
        let _ = self.thread.take().unwrap().join();
    }
}

#[test]
fn a_domain_with_everything() {
    let Some(server) = server("everything") else { return };
    let asker = Asker::new(vec![server.addr]);
    assert_eq!(asker.find("sip towel.test"), "TLS 127.0.0.12:5061");
    assert_eq!(asker.find("sips towel.test"), "TLS 127.0.0.12:5061");
    assert_eq!(
        asker.find("sip towel.test - tcp"),
        "TCP [2001:db8::11]:5060, TCP 127.0.0.11:5060, TCP 127.0.0.12:5060"
    );
    assert_eq!(asker.find("sip towel.test - udp"), "UDP [2001:db8::11]:5070, UDP 127.0.0.11:5070");
    assert_eq!(asker.find("sip server2.towel.test 5090"), "UDP 127.0.0.12:5090");
    assert_eq!(asker.find("sip srvonly.towel.test"), "UDP 127.0.0.15:5081, UDP 127.0.0.16:5080");
    let plain = asker.find("sip plain.towel.test");
    assert!(plain.contains("UDP 127.0.0.13:5060") && plain.contains("UDP 127.0.0.14:5060"));
    let alias = asker.find("sip alias.towel.test 5099");
    assert!(alias.contains("UDP 127.0.0.13:5099") && alias.contains("UDP 127.0.0.14:5099"));
    assert_eq!(asker.find("sip closed.towel.test"), "NotOffered");
    assert_eq!(asker.find("sip nowhere.towel.test"), "NoSuchName");
    assert!(asker.find("sip localhost 5099").contains("127.0.0.1:5099"));
}

#[test]
fn an_answer_too_large_for_a_datagram_comes_over_tcp() {
    let Some(server) = server("large") else { return };
    let asker = Asker::new(vec![server.addr]);
    let list = asker.find("sip big.towel.test - udp");
    assert!(list.starts_with("UDP 10.1.0.0:5060, UDP 10.1.0.1:5060, "), "{list}");
    assert_eq!(list.split(", ").count(), 16);
}

#[test]
fn answers_are_kept_for_their_time_to_live() {
    let Some(server) = server("ttl") else { return };
    let asker = Asker::new(vec![server.addr]);
    assert_eq!(asker.find("sip short.towel.test 5060"), "UDP 127.0.0.18:5060");
    assert_eq!(asker.find("sip nowhere.towel.test 5060"), "NoSuchName");
    let asked = asker.questions();
    assert_eq!(asker.find("sip short.towel.test 5060"), "UDP 127.0.0.18:5060");
    assert_eq!(asker.find("sip nowhere.towel.test 5060"), "NoSuchName");
    assert_eq!(asker.questions(), asked);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(asker.find("sip short.towel.test 5060"), "UDP 127.0.0.18:5060");
    // The A record had a second to live; that there is no AAAA holds for the SOA's seven.
    assert_eq!(asker.questions(), asked + 1);
    assert_eq!(asker.find("sip nowhere.towel.test 5060"), "NoSuchName");
    assert_eq!(asker.questions(), asked + 1);
}

#[test]
fn with_nobody_to_ask_every_question_has_its_answer_at_once() {
    // Longer than this test may take: what ends it is the answer.
    let long = Duration::from_secs(3600);
    let settings = Settings { query_time: long, lookup_time: long, ..Settings::default() };
    let asker = Asker::with(None, settings);
    assert_eq!(asker.find("sip towel.test"), "NoAnswer");
    assert_eq!(asker.find("sip 127.0.0.1"), "UDP 127.0.0.1:5060");
}

#[test]
fn a_failed_destination_goes_last() {
    let Some(server) = server("failover") else { return };
    let asker = Asker::new(vec![server.addr]);
    let (first, second) = ("UDP 127.0.0.15:5081", "UDP 127.0.0.16:5080");
    assert_eq!(asker.find("sip srvonly.towel.test"), format!("{first}, {second}"));
    asker.socket.send_to(b"failed 127.0.0.15:5081", asker.addr).unwrap();
    assert_eq!(asker.find("sip srvonly.towel.test"), format!("{second}, {first}"));
}

#[test]
fn a_dead_server_gives_way_to_the_next_and_holds_up_nobody() {
    let Some(server) = server("dead") else { return };
    // Bound and mute.
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let asker = Asker::new(vec![mute.local_addr().unwrap(), server.addr]);
    assert_eq!(asker.find("sip server2.towel.test 5060"), "UDP 127.0.0.12:5060");
    let alone = Asker::new(vec![mute.local_addr().unwrap()]);
    alone.socket.send_to(b"sip server2.towel.test 5060", alone.addr).unwrap();
    // Numeric destinations are not held up by the question that waits: asked later, told earlier.
    assert_eq!(alone.find("sip 192.0.2.1"), "UDP 192.0.2.1:5060");
    let mut buffer = [0; 100];
    let count = alone.socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"NoAnswer");
}
