//! Two of these phones, a server between them, and what each heard.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use towel_core::io::Transport;
use towel_core::server::Endpoint;
use towel_media::audio::{Detector, Heard, Player, Source as _};
use towel_net::{Bind, Config, Driver, Forget};
use towel_server::{config, run, settings};

/// A server on loopback: its port. It runs as long as this process.
fn server() -> u16 {
    let toml = "domains = [\"127.0.0.1\"]\n[auth]\nregister = false\ncalls = false\n";
    let config = config::parse("test", toml).map_err(|all| format!("{}", all[0])).unwrap();
    let settings = settings::core(&config, [7; 16]);
    let mut server = Endpoint::new(settings, run::registry(&config).unwrap(), [9; 32]);
    // One port that is free for both transports.
    let (port, driver) = (0..100)
        .find_map(|_| {
            let any = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let at = SocketAddr::new(any.ip(), any.port());
            let binds = [Transport::Udp, Transport::Tcp].map(|over| Bind::new(over, at));
            Some((any.port(), Driver::new(Config::new(binds.into())).ok()?))
        })
        .unwrap();
    std::thread::spawn(move || {
        let mut forget = Forget(driver.handle());
        driver.run(&mut server, &mut forget, &mut |_| {}).unwrap();
    });
    port
}

/// Ends with its test.
struct Phone(Child);

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn phone(folder: &Path, words: &[&str]) -> Phone {
    let command = Command::new(env!("CARGO_BIN_EXE_phone"))
        .args(words)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn();
    Phone(command.unwrap())
}

/// What of a tone is in a recording.
fn heard(folder: &Path, hertz: f64) -> Heard {
    let file = BufReader::new(File::open(folder.join("heard.wav")).unwrap());
    let mut player = Player::new(file, 16_000, false).unwrap();
    let (mut detector, mut frame) = (Detector::new(16_000, hertz), [0; 320]);
    loop {
        let count = player.fill(&mut frame);
        detector.hear(&frame[..count]);
        if count < frame.len() {
            return detector.heard();
        }
    }
}

#[test]
fn one_registers_and_answers_the_other_calls_and_both_hear() {
    let port = server();
    let (bobs, alices) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let user = |name: &str| format!("sip:{name}@127.0.0.1:{port}");
    let mut bob = phone(bobs.path(), &[&user("bob"), "secret", "tone:1000"]);
    let mut told = BufReader::new(bob.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(told.next().as_deref(), Some("registered"));
    let mut alice = phone(alices.path(), &[&user("alice"), "secret", "tone:440", &user("bob")]);
    assert!(alice.0.wait().unwrap().success());
    assert!(bob.0.wait().unwrap().success());
    let told: Vec<_> = told.collect();
    assert!(told.iter().any(|line| line == "key 1"), "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("over: Bye"));
    let most = Duration::from_secs(2);
    assert!(heard(alices.path(), 1000.0).tone >= most, "{:?}", heard(alices.path(), 1000.0));
    assert!(heard(bobs.path(), 440.0).tone >= most, "{:?}", heard(bobs.path(), 440.0));
}

#[test]
fn it_is_forty_lines() {
    let source = include_str!("../src/main.rs");
    let code = source.lines().skip_while(|line| line.starts_with("//!") || line.is_empty());
    assert!(code.count() <= 40);
}
