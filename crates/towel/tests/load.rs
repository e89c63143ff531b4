//! `towel load` against `towel serve`: small numbers, and asserts on counts alone.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const TOWEL: &str = env!("CARGO_BIN_EXE_towel");
const DOMAIN: &str = "load.test";

/// A running server with users u0 to u49, and a folder that goes with it.
struct Server {
    child: Child,
    told: Value,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(more: &[&str]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let users: String = (0..50).map(|n| format!("u{n},{DOMAIN},pw{n}\n")).collect();
        std::fs::write(folder.path().join("users.csv"), users).unwrap();
        let set = [
            format!("domains=[\"{DOMAIN}\"]"),
            format!("user-files=[\"{}\"]", folder.path().join("users.csv").display()),
            "http.enabled=false".to_owned(),
            "durability=\"memory\"".to_owned(),
        ];
        let set = set.iter().flat_map(|value| ["--set", value.as_str()]);
        let mut child = Command::new(TOWEL)
            .args(["serve", "--log-format", "json", "--listen", "udp:127.0.0.1:0"])
            .args(["--listen", "tcp:127.0.0.1:0", "--until-eof", "--log-level", "error", "--data"])
            .arg(folder.path().join("data"))
            .args(set)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        Server { child, told, folder }
    }

    fn open() -> Server {
        Server::start(&["--set", "auth.register=false", "--set", "auth.calls=false"])
    }

    fn at(&self, transport: &str) -> String {
        let all = self.told["listeners"].as_array().unwrap();
        let found = all.iter().find(|l| l["transport"] == transport).unwrap();
        format!("127.0.0.1:{}", found["port"])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Loads it over a transport, with twenty users; the report.
    fn load(&self, transport: &str, arguments: &[&str]) -> Value {
        let place = self.at(transport);
        let before = ["load", &place, "--domain", DOMAIN, "-t", transport, "--json"];
        let few = ["--users", "20", "--sockets", "2"];
        let output = towel(&[&before[..], &few, arguments].concat());
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn towel(arguments: &[&str]) -> Output {
    Command::new(TOWEL).args(arguments).env_remove("TOWEL_PASSWORD").output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The only step of a report.
fn step(report: &Value) -> &Value {
    let steps = report["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 1, "{report}");
    &steps[0]
}

fn all_well(step: &Value, count: u64) {
    assert_eq!(step["offered"], count, "{step}");
    assert_eq!(step["ok"], count, "{step}");
    for none in ["failed", "lost", "withheld"] {
        assert_eq!(step[none], 0, "{none}: {step}");
    }
}

#[test]
fn every_work_over_every_transport() {
    let server = Server::open();
    for transport in ["udp", "tcp"] {
        for (work, latencies) in [
            ("call", &["answered", "bye", "ringing"][..]),
            ("register", &["final"]),
            ("options", &["final"]),
            ("message", &["final"]),
        ] {
            let report = server.load(transport, &[work, "--window", "5", "-n", "60"]);
            let step = step(&report);
            all_well(step, 60);
            assert_eq!((&step["work"], &step["window"]), (&work.into(), &5.into()));
            let waits = step["works"][work]["latency"].as_object().unwrap();
            assert_eq!(waits.keys().collect::<Vec<_>>(), latencies, "{waits:?}");
            assert!(waits.values().all(|wait| wait["count"] == 60), "{waits:?}");
            if transport == "tcp" {
                assert_eq!((&step["retransmissions"], &step["duplicates"]), (&0.into(), &0.into()));
            }
        }
    }
}

#[test]
fn an_open_loop_a_mix_a_sweep_and_calls_that_stay_up() {
    let server = Server::open();
    let pid = server.child.id().to_string();
    let report = server.load(
        "udp",
        &["call=2", "options", "message=3", "-r", "200", "-n", "120", "--server-pid", &pid],
    );
    let mixed = step(&report);
    all_well(mixed, 120);
    let works = mixed["works"].as_object().unwrap();
    let sum: u64 = works.values().map(|work| work["ok"].as_u64().unwrap()).sum();
    assert_eq!((works.len(), sum), (3, 120));
    assert!(mixed["server"]["us_per_unit"].as_f64().unwrap() > 0.0, "{mixed}");
    assert!(mixed["server"]["memory"].as_u64().unwrap() > 1_000_000, "{mixed}");

    let (out, html) = (server.path("one.json"), server.path("one.html"));
    let (out, html) = (out.to_str().unwrap(), html.to_str().unwrap());
    let files = ["--out", out, "--html", html, "--name", "towel"];
    let sweep = ["call", "--sweep", "40,80", "-n", "40", "--hold", "0.2", "--poisson"];
    let report = server.load("udp", &[&sweep[..], &files].concat());
    let steps = report["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2);
    for step in steps {
        all_well(step, 40);
    }
    assert_eq!((&steps[0]["name"], &steps[1]["rate"]), (&"40/s".into(), &80.0.into()));
    let page = std::fs::read_to_string(html).unwrap();
    assert!(page.contains("Goodput") && page.contains("80/s") && !page.contains("<script"));

    let live = ["call", "--live", "10,30", "-w", "4", "-n", "20", "--out"];
    let second = server.path("two.json");
    let report = server.load("udp", &[&live[..], &[second.to_str().unwrap()]].concat());
    let steps = report["steps"].as_array().unwrap();
    assert_eq!(steps.iter().map(|s| s["live"].as_u64().unwrap()).collect::<Vec<_>>(), [10, 30]);

    let both = server.path("both.html");
    let compared = towel(&[
        "load",
        "compare",
        out,
        second.to_str().unwrap(),
        "--html",
        both.to_str().unwrap(),
    ]);
    assert!(compared.status.success(), "{}", text(&compared));
    assert!(text(&compared).contains("40/s") && text(&compared).contains("30 live"));
    assert!(std::fs::read_to_string(both).unwrap().contains("towel: p99"));
}

#[test]
fn digest_with_a_pattern_a_file_and_new_nonces() {
    let server = Server::start(&[]);
    let pattern = format!("u{{n}}:pw{{n}}@{DOMAIN}");
    let by_pattern = ["register", "--user", &pattern, "-w", "4", "-n", "60"];
    let step1 = server.load("udp", &by_pattern);
    // Each has met a challenge beforehand, and its nonce still counts.
    all_well(step(&step1), 60);
    assert_eq!(step(&step1)["challenges"], 0);

    let file = server.path("users.csv");
    let by_file = ["register", "--users-file", file.to_str().unwrap(), "-w", "4", "-n", "60"];
    let step2 = server.load("udp", &[&by_file[..], &["--new-nonce"]].concat());
    all_well(step(&step2), 60);
    assert_eq!(step(&step2)["challenges"], 60);

    // Callers of the server's own domain are challenged, and the users can answer.
    let step3 = server.load("udp", &["call", "--user", &pattern, "--users-call", "-n", "40"]);
    all_well(step(&step3), 40);
    assert_eq!(step(&step3)["challenges"], 20);

    let wrong = format!("u{{n}}:wrong@{DOMAIN}");
    let place = server.at("udp");
    let refused = towel(&["load", &place, "call", "--user", &wrong, "--users", "5"]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    assert!(text(&refused).contains("only 0 of 5 succeeded"), "{}", text(&refused));
}

#[test]
fn no_server_is_loaded_by_mistake() {
    for arguments in [
        &["192.0.2.1"][..],
        &["192.0.2.1:5070", "register", "--rate", "5"],
        &["127.0.0.1", "dance"],
        &["127.0.0.1", "--user", "all@same.test", "--users", "5"],
        &["127.0.0.1", "--rate", "0"],
        &["127.0.0.1", "-n", "0"],
        &[],
    ] {
        let output = towel(&[&["load"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(!text(&output).contains("panicked"), "{}", text(&output));
    }
    let output = towel(&["load", "192.0.2.1"]);
    assert!(text(&output).contains("--i-may-load-this-server"), "{}", text(&output));

    // Nobody there: told at once, over either transport.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = free.local_addr().unwrap().to_string();
    drop(free);
    for transport in ["udp", "tcp"] {
        let output = towel(&["load", &place, "call", "-t", transport, "-n", "5"]);
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert!(text(&output).contains(&place), "{}", text(&output));
    }
}

#[test]
fn an_interrupt_shows_what_was_measured_so_far() {
    let server = Server::open();
    let child = Command::new(TOWEL)
        .args(["load", &server.at("udp"), "--domain", DOMAIN, "--users", "5", "--json"])
        .args(["options", "-r", "200", "--warm-up", "0", "--seconds", "3600", "--out"])
        .arg(server.path("never.json"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Long enough for some to be measured; how many does not matter.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(step(&report)["interrupted"], true);
    assert!(step(&report)["ok"].as_u64().unwrap() > 0, "{report}");
}
