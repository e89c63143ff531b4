//! A million bindings: how long the program takes to start with them, and what each costs.
//!
//! Not run with the others; the figures are those of an optimised build:
//! `cargo test --release -p towel --test scale -- --ignored --nocapture`

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use towel_core::hash::Key;
use towel_core::io::{
    Flow, Instant as Moment, ListenerId, Now, Outbox, Output, Record, Ticket, Transport,
};
use towel_core::registrar::{Durability, Registrar, Request, Served, Settings};
use towel_message::{Host, Index, Limits, Message};

struct Town;

impl Served for Town {
    fn canonical(&self, _: &Host<'_>, _: Option<u16>) -> Option<&str> {
        Some("example.com")
    }
}

/// What the registrar would have stored for the REGISTER of phone `n`.
fn record(registrar: &mut Registrar, n: usize, now: Now, out: &mut Outbox) -> Record {
    let (a, b) = (n / 250 % 250, n % 250);
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.{a}.{b}:5060;branch=z9hG4bK1\r\n\
         From: <sip:user{n:07}@example.com>;tag=1\r\nTo: <sip:user{n:07}@example.com>\r\n\
         Call-ID: 7f3c2a90-{n:07}@10.1.{a}.{b}\r\nCSeq: 1 REGISTER\r\nExpires: 3600\r\n\
         Contact: <sip:user{n:07}@10.1.{a}.{b}:5060;transport=udp>\r\nContent-Length: 0\r\n\r\n"
    );
    let mut index = Index::new();
    let message = Message::parse(text.as_bytes(), &mut index, &Limits::default()).unwrap();
    let flow = Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "198.51.100.7:5060".parse().unwrap(),
        connection: None,
    };
    let request = Request { message, flow, user: None, kept: &[], route: b"" };
    out.clear();
    let _ = registrar.register(&request, &Town, now, Ticket(n as u64), out);
    let stored = out.outputs.drain(..).find_map(|output| match output {
        Output::Store { record, .. } => Some(record),
        _ => None,
    });
    stored.unwrap()
}

/// Ends the server with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts on the data of a folder; how long that took, and the records that it read.
    fn start(data: &std::path::Path) -> (Server, Duration, u64) {
        let began = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_towel"))
            .args(["serve", "--log-format", "json", "--listen", "udp:127.0.0.1:0"])
            .args(["--listen", "tcp:127.0.0.1:0", "--set", "http.address=\"127.0.0.1:0\""])
            .args(["--set", "domains=[\"example.com\"]", "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut server = Server(child);
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let took = began.elapsed();
        let told: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        (server, took, told["records"].as_u64().unwrap())
    }

    /// A line of `/proc/PID/status`, in bytes.
    fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let found = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        let kilobytes = found.trim_matches([':', ' ', '\t']).trim_end_matches(" kB");
        kilobytes.parse::<u64>().unwrap() * 1024
    }
}

#[test]
#[ignore = "a measurement; wants an optimised build"]
fn a_million_bindings() {
    const BINDINGS: usize = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let (empty, full) = (folder.path().join("empty"), folder.path().join("full"));
    std::fs::create_dir_all(&full).unwrap();

    let options = towel_store::Options {
        sync: towel_store::Sync::Every(Duration::from_secs(1)),
        ..towel_store::Options::default()
    };
    let store = full.join("store");
    let (store, _) =
        towel_store::Store::open(&store, options, &mut |_| {}, &mut |_, _| {}, Box::new(|_, _| {}))
            .unwrap();
    let settings = Settings { durability: Durability::Soon, ..Settings::default() };
    let mut registrar = Registrar::new(settings, Key(1, 2));
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (now, mut out) = (Now { at: Moment(0), unix }, Outbox::new());
    let mut written = 0;
    while written < BINDINGS {
        let some: Vec<towel_store::Record> = (written..BINDINGS.min(written + 10_000))
            .map(|n| record(&mut registrar, n, now, &mut out))
            .map(|r| towel_store::Record { table: r.table, key: r.key, value: r.value })
            .collect();
        written += some.len();
        store.put(some).unwrap();
    }
    drop((store, registrar));

    let (server, first, _) = Server::start(&empty);
    std::thread::sleep(Duration::from_secs(1));
    let base = server.memory("VmRSS");
    drop(server);
    // A store that was never written afresh is, in the background, at its first start; so both.
    for start in ["first", "second"] {
        let (server, took, records) = Server::start(&full);
        let at_once = server.memory("VmRSS");
        std::thread::sleep(Duration::from_secs(8));
        let (rss, peak) = (server.memory("VmRSS"), server.memory("VmHWM"));
        let each = |bytes: u64| bytes.saturating_sub(base) / BINDINGS as u64;
        println!(
            "{start} start with {records} records: {took:.2?} (with none {first:.2?}); bytes a \
             binding: {} at once, {} later, {} at the peak; {base} bytes with none",
            each(at_once),
            each(rss),
            each(peak)
        );
        assert!(records >= BINDINGS as u64, "{records}");
        if !cfg!(debug_assertions) {
            assert!(each(rss) <= 400, "{}", each(rss));
        }
    }
}
