//! The program from the command line: what a person types and what comes back.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

const TOWEL: &str = env!("CARGO_BIN_EXE_towel");

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("towel-cli-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server.
struct Server {
    child: Child,
    told: Value,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        Server::start_with_log(arguments, &[], Stdio::inherit())
    }

    fn start_with_log(arguments: &[&str], more: &[&str], log: Stdio) -> Server {
        let mut child = Command::new(TOWEL)
            .args(["serve", "--log-format", "json", "--listen", "udp:127.0.0.1:0"])
            .args(["--listen", "tcp:127.0.0.1:0", "--set", "http.address=\"127.0.0.1:0\""])
            .args(arguments)
            .args(more)
            .stderr(log)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        Server { child, told }
    }

    /// Where it listens.
    fn at(&self, transport: &str) -> String {
        let all = self.told["listeners"].as_array().unwrap();
        let found = all.iter().find(|l| l["transport"] == transport).unwrap();
        format!("127.0.0.1:{}", found["port"])
    }

    fn password(&self, user: &str) -> String {
        let made = self.told["made"].as_array().unwrap();
        let found = made.iter().find(|m| m["user"] == user).unwrap();
        found["password"].as_str().unwrap().to_owned()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
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

fn json(arguments: &[&str]) -> Value {
    let output = towel(arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)))
}

/// A peer on UDP.
struct Peer(std::net::UdpSocket);

impl Peer {
    fn new() -> Peer {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        Peer(socket)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn invite(&self, server: &str, callee: &Peer, call: &str) {
        let (here, there) = (self.port(), callee.port());
        let text = format!(
            "INVITE sip:ford@127.0.0.1:{there} SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:{here};branch=z9hG4bK{call}\r\nMax-Forwards: 70\r\n\
             From: <sip:arthur@far.test>;tag=1\r\nTo: <sip:ford@far.test>\r\nCall-ID: {call}\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:arthur@127.0.0.1:{here}>\r\nContent-Length: 0\r\n\r\n"
        );
        self.0.send_to(text.as_bytes(), server).unwrap();
    }

    /// The next message that begins so.
    fn wait(&self, start: &str) -> (String, std::net::SocketAddr) {
        let mut buffer = [0; 4096];
        loop {
            let (count, from) = self.0.recv_from(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if text.starts_with(start) {
                return (text, from);
            }
        }
    }

    fn answer(&self, (request, from): &(String, std::net::SocketAddr), status: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for line in request.lines().take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap();
            if ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"].contains(&name) {
                text += line;
                text += if name == "To" { ";tag=2\r\n" } else { "\r\n" };
            }
        }
        text += "Contact: <sip:ford@127.0.0.1>\r\nContent-Length: 0\r\n\r\n";
        self.0.send_to(text.as_bytes(), from).unwrap();
    }
}

#[test]
fn what_rings_when_the_server_is_stopped_is_answered_and_nothing_new_is_taken() {
    let folder = Folder::new();
    let data = folder.path("data");
    let log = std::fs::File::create(folder.0.join("log")).unwrap();
    let mut server = Server::start_with_log(
        &["--data", &data, "--set", "auth.calls=false", "--set", "proxy.relay=\"anybody\""],
        &["--set", "transport.drain=\"300s\""],
        log.into(),
    );
    let at = server.at("udp");
    let (caller, callee) = (Peer::new(), Peer::new());
    caller.invite(&at, &callee, "first");
    let first = callee.wait("INVITE");
    callee.answer(&first, "180 Ringing");
    caller.wait("SIP/2.0 180");
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    // The listener that takes connections is gone once it has heard.
    let tcp = server.at("tcp");
    while std::net::TcpStream::connect(&tcp).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    caller.invite(&at, &callee, "second");
    let (refused, _) = caller.wait("SIP/2.0 503");
    assert!(refused.contains("Call-ID: second"), "{refused}");
    assert!(server.child.try_wait().unwrap().is_none());
    callee.answer(&first, "200 OK");
    let (answered, _) = caller.wait("SIP/2.0 200");
    assert!(answered.contains("Call-ID: first"), "{answered}");
    // Nothing more is waited for.
    assert!(server.child.wait().unwrap().success());
    let log = std::fs::read_to_string(folder.0.join("log")).unwrap();
    let line =
        log.lines().find(|line| line.contains("call-answered")).unwrap_or_else(|| panic!("{log}"));
    let place = format!("127.0.0.1:{}", caller.port());
    let text = format!(
        "the call of sip:arthur@far.test ({place}) to sip:ford@127.0.0.1:{} was answered",
        callee.port()
    );
    assert!(line.contains(&text), "{line}");
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let folder = Folder::new();
    let data = folder.path("data");
    let mut server = Server::start(&[
        "--data",
        &data,
        "--set",
        "auth.calls=false",
        "--set",
        "proxy.relay=\"anybody\"",
        "--set",
        "transport.drain=\"600s\"",
    ]);
    let (caller, callee) = (Peer::new(), Peer::new());
    caller.invite(&server.at("udp"), &callee, "only");
    callee.wait("INVITE");
    let pid = server.child.id().to_string();
    let mut code = None;
    // Two that come together are one to the system.
    while code.is_none() {
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        std::thread::sleep(std::time::Duration::from_millis(50));
        code = server.child.try_wait().unwrap();
    }
    assert!(code.unwrap().success());
}

#[test]
fn tls_wants_a_server_that_proves_who_it_is() {
    let folder = Folder::new();
    let data = folder.path("data");
    let server = Server::start(&["--data", &data, "--listen", "tls:127.0.0.1:0"]);
    let at = server.at("tls");
    let run = |more: &[&str]| {
        let usual = ["options", "127.0.0.1", "--server", &at, "-t", "tls", "--timeout", "10"];
        Command::new(TOWEL).args(usual).args(more).output().unwrap()
    };
    // Nobody here has heard of an authority that towel made for itself.
    let refused = run(&[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("--tls-ca"), "{said}");
    let own = folder.path("data/tls-certificate.pem");
    let known = run(&["--tls-ca", &own, "--ladder"]);
    let said = String::from_utf8_lossy(&known.stdout).into_owned();
    assert!(known.status.success() && said.contains("SIP/2.0/TLS 127.0.0.1"), "{said}");
    assert!(run(&["--insecure"]).status.success());
    // Not a server with TLS at all.
    let at = server.at("tcp");
    let plain = ["options", "127.0.0.1", "--server", &at, "-t", "tls", "--insecure"];
    let plain = Command::new(TOWEL).args(plain).args(["--timeout", "4"]).output().unwrap();
    assert!(!plain.status.success());
    // A phone that registers by TLS is reached by the connection that it made.
    let alice = format!("alice@{}", server.at("tls"));
    let password = server.password("alice");
    let register = ["register", &alice, "-p", &password, "-t", "tls", "--tls-ca", &own];
    let done = Command::new(TOWEL).args(register).args(["--timeout", "10"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("transport=tls"), "{said}");
}

#[test]
fn from_nothing_to_a_message_and_through_a_crash() {
    let folder = Folder::new();
    let data = folder.path("data");
    let server = Server::start(&["--data", &data]);
    let (udp, tcp) = (server.at("udp"), server.at("tcp"));
    let (alice, bob) = (server.password("alice"), server.password("bob"));

    let options = json(&["options", &udp, "--json", "--timeout", "5"]);
    assert_eq!(options["status"], 200);
    assert!(options["result"]["Allow"].as_str().unwrap().contains("REGISTER"), "{options}");

    // Bob is a phone made of text.
    let mut phone = Command::new(TOWEL)
        .args([
            "register",
            &format!("bob@{tcp}"),
            "-t",
            "tcp",
            "-p",
            &bob,
            "--stay",
            "60",
            "--json",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut heard = BufReader::new(phone.stdout.take().unwrap());
    let mut line = String::new();
    heard.read_line(&mut line).unwrap();
    let registered: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(registered["status"], 200, "{line}");

    let to = format!("bob@{udp}");
    let send = ["message", &to, "don't panic", "--from", "alice@127.0.0.1", "--timeout", "5"];
    let sent = towel(&[&send[..], &["-p", &alice, "--ladder"]].concat());
    assert!(sent.status.success(), "{}", text(&sent));
    assert!(text(&sent).contains("407 Proxy Authentication"), "{}", text(&sent));
    line.clear();
    heard.read_line(&mut line).unwrap();
    let came: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&came["method"], &came["body"]), (&"MESSAGE".into(), &"don't panic".into()));
    phone.kill().unwrap();
    phone.wait().unwrap();

    // Nobody else speaks in alice's name.
    let forged = towel(&[&send[..], &["-p", "wrong"]].concat());
    assert_eq!(forged.status.code(), Some(1), "{}", text(&forged));

    let user = format!("alice@{udp}");
    let wrong = towel(&["register", &user, "-p", "wrong", "--timeout", "5"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", text(&wrong));
    let right = towel(&["register", &user, "-p", &alice, "--contact", "sip:alice@192.0.2.1"]);
    assert!(right.status.success(), "{}", text(&right));
    let crashed_at = udp.clone();
    server.kill();

    let none = towel(&["options", &crashed_at, "--timeout", "1"]);
    assert!(matches!(none.status.code(), Some(3 | 4)), "{}", text(&none));

    let again = Server::start(&["--data", &data]);
    assert_eq!(again.told["made"], Value::Array(Vec::new()));
    let user = format!("alice@{}", again.at("udp"));
    let found = towel(&["register", &user, "-p", &alice, "--query", "--timeout", "5"]);
    assert!(text(&found).contains("<sip:alice@192.0.2.1>"), "{}", text(&found));
}

#[test]
fn users_come_and_go_with_and_without_a_running_server() {
    let folder = Folder::new();
    let data = folder.path("data");
    let user = |arguments: &[&str]| towel(&[&["user", "--data", &data], arguments].concat());
    let names = || {
        let list = json(&["user", "--data", &data, "--json", "list"]);
        let list: Vec<String> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|u| u["user"].as_str().unwrap().to_owned())
            .collect();
        list.join(" ")
    };
    let added = user(&["add", "carol", "--password", "secret of carol"]);
    assert!(added.status.success(), "{}", text(&added));
    assert!(!text(&added).contains("secret of carol"));
    assert_eq!(names(), "carol");
    // The place may be named before the word and after it.
    let after = towel(&["user", "list", "--data", &data, "--set", "auth.calls=true"]);
    assert!(text(&after).contains("carol"), "{}", text(&after));
    assert!(towel(&["store", "check", "--data", &data]).status.success());
    let twice = user(&["add", "carol"]);
    assert!(text(&twice).contains("there is a user carol"), "{}", text(&twice));

    let server = Server::start(&["--data", &data]);
    let there = format!("carol@{}", server.at("udp"));
    let registered = towel(&["register", &there, "-p", "secret of carol", "--timeout", "5"]);
    assert!(registered.status.success(), "{}", text(&registered));
    // The same commands go through the server now, and what they do holds at once.
    let made = json(&["user", "--data", &data, "--json", "add", "dave"]);
    let password = made["password"].as_str().unwrap();
    let dave = format!("dave@{}", server.at("udp"));
    let registered = towel(&["register", &dave, "-p", password, "--timeout", "5"]);
    assert!(registered.status.success(), "{}", text(&registered));
    assert!(user(&["remove", "carol"]).status.success());
    let refused = towel(&["register", &there, "-p", "secret of carol", "--timeout", "5"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert_eq!(names(), "dave");
    drop(server);
    assert_eq!(names(), "dave");
    let nobody = user(&["remove", "carol"]);
    assert!(text(&nobody).contains("there is no user carol"), "{}", text(&nobody));
}

#[test]
fn a_broken_configuration_starts_nothing_and_changes_nothing() {
    let folder = Folder::new();
    let (file, data) = (folder.path("towel.toml"), folder.path("data"));
    std::fs::write(&file, "domains = [\"example.org\"]\n\n[auth]\nregistr = false\n").unwrap();
    let refused = towel(&["serve", "--config", &file, "--data", &data]);
    assert_eq!(refused.status.code(), Some(3));
    let said = text(&refused);
    assert!(said.contains("towel.toml:4:1: `auth.registr`: unknown key"), "{said}");
    assert!(said.contains("did you mean `register`?"), "{said}");
    assert!(!PathBuf::from(&data).exists());
    assert_eq!(towel(&["check", &file]).status.code(), Some(1));
    let checked = json(&["check", &file, "--json"]);
    assert_eq!(checked["problems"][0]["line"], 4);

    let empty = "[tls]\ncertificate = \"/dev/null\"\nkey = \"/dev/null\"\n";
    std::fs::write(&file, empty).unwrap();
    let (checked, served) =
        (towel(&["check", &file]), towel(&["serve", "--config", &file, "--data", &data]));
    let why = "towel.toml:2:15: `tls.certificate`: /dev/null: there is no certificate in it";
    assert!(text(&checked).contains(why) && text(&served).contains(why), "{}", text(&served));
    assert!(!PathBuf::from(&data).exists());

    std::fs::write(&file, "domains = [\"example.org\"]\n").unwrap();
    assert!(towel(&["check", &file]).status.success());
    let server = Server::start(&["--config", &file, "--data", &data]);
    std::fs::write(&file, "domains = [\"example.org\", \"example.org\"]\n").unwrap();
    let reload = towel(&["reload", "--data", &data]);
    assert_eq!(reload.status.code(), Some(3));
    assert!(text(&reload).contains("towel.toml:1:27: `domains`"), "{}", text(&reload));

    let more = "domains = [\"example.org\", \"example.com\"]\n[[user]]\nname = \"erin\"\n\
                domain = \"example.com\"\npassword = \"mostly\"\n";
    std::fs::write(&file, more).unwrap();
    let reload = towel(&["reload", "--data", &data]);
    assert!(reload.status.success(), "{}", text(&reload));
    let udp = server.at("udp");
    let erin = ["register", "erin@example.com", "--server", &udp, "--timeout", "5"];
    let registered = towel(&[&erin[..], &["-p", "mostly"]].concat());
    assert!(registered.status.success(), "{}", text(&registered));
}

#[test]
fn what_is_dropped_and_refused_stands_in_the_log() {
    let folder = Folder::new();
    let log = PathBuf::from(folder.path("log"));
    let mut child = Command::new(TOWEL)
        .args(["serve", "--log-format", "json", "--log-level", "debug", "--until-eof"])
        .args(["--listen", "udp:127.0.0.1:0", "--set", "http.enabled=false"])
        .args(["--data", &folder.path("data")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    let port = told["listeners"][0]["port"].as_u64().unwrap();
    let phone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let here = phone.local_addr().unwrap();
    let message = |cseq: &str| {
        format!(
            "MESSAGE sip:a@elsewhere.test SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:b@another.test>;tag=1\r\nTo: <sip:a@elsewhere.test>\r\n\
             Call-ID: {cseq}\r\nCSeq: {cseq} MESSAGE\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for text in ["nonsense".to_owned(), message("x"), message("1")] {
        phone.send_to(text.as_bytes(), ("127.0.0.1", port as u16)).unwrap();
    }
    let wanted = [
        ("debug", "dropped", format!(", from {here} over UDP")),
        ("debug", "refused", "(CSeq, byte ".to_owned()),
        ("info", "refused", format!("MESSAGE gets 403 Relaying Forbidden, from {here} over UDP")),
    ];
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let text = std::fs::read_to_string(&log).unwrap();
        let lines: Vec<Value> = text.lines().flat_map(serde_json::from_str).collect();
        let there = |(level, kind, text): &(&str, &str, String)| {
            lines.iter().any(|line| {
                line["level"] == *level
                    && line["kind"] == *kind
                    && line["text"].as_str().is_some_and(|all| all.contains(text.as_str()))
            })
        };
        if wanted.iter().all(there) {
            break;
        }
        assert!(std::time::Instant::now() < end, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_call_of_the_running_server_is_drawn() {
    let folder = Folder::new();
    let data = folder.path("data");
    let server = Server::start(&["--data", &data, "--set", "trace.enabled=true"]);
    let alice = format!("alice@{}", server.at("udp"));
    let done = json(&["register", &alice, "-p", &server.password("alice"), "--json"]);
    let call_id = done["call_id"].as_str().unwrap();
    let drawn = towel(&["trace", "--data", &data, "--call-id", call_id]);
    let drawn = text(&drawn);
    assert!(drawn.contains("REGISTER") && drawn.contains("401 Unauthorized"), "{drawn}");
    let by_user = text(&towel(&["trace", "--data", &data, "--user", "alice", "--messages"]));
    assert!(by_user.contains("Call-ID: ") && by_user.contains("200 OK"), "{by_user}");
    let nobody = towel(&["trace", "--data", &data, "--user", "zaphod"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody).contains("no message of that is kept"), "{}", text(&nobody));
    assert!(towel(&["trace", "--data", &data, "--off"]).status.success());
    let nothing = text(&towel(&["trace", "--data", &data]));
    assert!(nothing.contains("no messages are kept"), "{nothing}");
}

#[test]
fn each_way_of_going_wrong_has_its_exit_code_and_says_what_to_do() {
    let folder = Folder::new();
    let data = folder.path("data");
    let server = Server::start(&["--data", &data]);
    let (at, password) = (server.at("udp"), server.password("alice"));
    let alice = format!("alice@{at}");
    let wrong_usage: [&[&str]; 7] = [
        &["register", &at],
        &["register", &alice, "--q", "7"],
        &["register", &alice, "--timeout", "0"],
        &["register", "alice@"],
        &["options", "a b"],
        &["message", &alice, &"x".repeat(2000)],
        &["guide", "nonsense"],
    ];
    for arguments in wrong_usage {
        assert_eq!(towel(arguments).status.code(), Some(2), "{arguments:?}");
    }
    for (arguments, said) in [
        (&["register", &alice][..], "401 Unauthorized\na password is wanted: --password"),
        (&["register", &alice, "-p", "x"], "401 Unauthorized\nthe password is wrong"),
        (&["message", &alice, "Hi", "--from", &alice], "407 Proxy Authentication Required\na pass"),
        (&["register", &alice, "-p", &password, "--contact", "sip:*"], "400 "),
    ] {
        let done = towel(arguments);
        assert!(text(&done).starts_with(said), "{arguments:?}: {}", text(&done));
        assert_eq!(done.status.code(), Some(1));
    }
    let kept = towel(&["trace", "--data", &folder.path("elsewhere")]);
    assert_eq!(kept.status.code(), Some(3), "{}", text(&kept));
    let deaf = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let deaf = deaf.local_addr().unwrap().to_string();
    let silent = ["options", "sip:x@example.org", "-s", &deaf, "--timeout", "1"];
    // Whether the socket still stands or not, nobody answers there.
    assert!(matches!(towel(&silent).status.code(), Some(3 | 4)));
}

#[test]
fn hops_are_walked_one_by_one() {
    let folder = Folder::new();
    let (far, near) = (folder.path("far"), folder.path("near"));
    // Two servers in a row: one whose domain it is, and one that passes requests on to it.
    let home = Server::start(&["--data", &far]);
    let way = Server::start(&["--data", &near, "--set", "proxy.relay=\"anybody\""]);
    let target = format!("sip:{}", home.at("udp"));
    let (at, ask) = (way.at("udp"), |more: &[&str]| {
        let at = way.at("udp");
        towel(&[&["options", &target, "--hops", "--server", &at][..], more].concat())
    });
    let walked = ask(&[]);
    let lines = text(&walked);
    let lines: Vec<&str> = lines.lines().collect();
    assert!(walked.status.success(), "{lines:?}");
    let starts = [" 0  483 Too Many Hops", "      set out from 127.0.0.1:"];
    assert!(starts.iter().zip(&lines).all(|(start, line)| line.starts_with(start)), "{lines:?}");
    assert!(lines.last().is_some_and(|line| line.starts_with(" 1  200 OK")), "{lines:?}");
    let rows: Vec<Value> = String::from_utf8_lossy(&ask(&["--json"]).stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let walked: Vec<_> =
        rows.iter().map(|row| (row["hops"].as_u64(), row["status"].as_u64())).collect();
    assert_eq!(walked, [(Some(0), Some(483)), (Some(1), Some(200))]);
    // Somebody refuses for another reason than hops: the walk ends there.
    let nobody = format!("sip:zaphod@{}", home.at("udp"));
    let ended = towel(&["options", &nobody, "--hops", "--server", &at]);
    assert_eq!(ended.status.code(), Some(1), "{}", text(&ended));
    assert!(!text(&ended).contains("200 OK"));
}

#[test]
fn the_guide_is_whole_json_and_pages() {
    let guide = json(&["guide", "--json"]);
    let guide = guide.as_array().unwrap();
    assert_eq!(guide.len(), 76);
    let statuses = ["works", "partial", "not yet"];
    let mut section = 0;
    for entry in guide {
        let keys: Vec<&str> = entry.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["documents", "flows", "id", "roles", "section", "status", "title"]);
        assert!(statuses.contains(&entry["status"].as_str().unwrap()), "{entry}");
        // In the Guide's order, which is that of its sections.
        assert!(entry["section"].as_u64().unwrap() >= section, "{entry}");
        section = entry["section"].as_u64().unwrap();
        let works = entry["roles"].as_object().unwrap().values().all(|role| role == "works");
        let flows = entry["flows"].as_array().unwrap();
        assert_eq!(entry["status"] == "works", works && !flows.is_empty(), "{entry}");
    }
    let page = text(&towel(&["guide", "symmetric-response"]));
    assert!(page.contains("RFC 3581") && page.contains("run just now"), "{page}");
    let wrong = towel(&["guide", "symetric-response"]);
    assert!(text(&wrong).contains("did you mean `symmetric-response`?"), "{}", text(&wrong));
    assert_eq!(wrong.status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn a_stop_is_clean() {
    let folder = Folder::new();
    let mut server = Server::start(&["--data", &folder.path("data")]);
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    let check = towel(&["store", "--data", &folder.path("data"), "check"]);
    assert!(text(&check).contains("0 damaged places"), "{}", text(&check));
}

#[cfg(unix)]
#[test]
fn a_damaged_store_starts_nothing_until_it_is_repaired() {
    let folder = Folder::new();
    let data = folder.path("data");
    for name in ["carol", "dave", "erin"] {
        let added = towel(&["user", "--data", &data, "add", name, "--password", "x"]);
        assert!(added.status.success(), "{}", text(&added));
    }
    // Each command made a segment; a byte of the first one turns.
    let segment = PathBuf::from(&data).join("store/00000001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();

    let refused = towel(&["serve", "--data", &data, "--listen", "udp:127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    let said = text(&refused);
    for part in ["00000001.log", "cannot be read from offset 0", "2 records can be read"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("`towel store repair`"), "{said}");
    assert_eq!(std::fs::read(&segment).unwrap(), bytes, "nothing was changed");

    let repaired = towel(&["store", "--data", &data, "repair"]);
    assert!(repaired.status.success(), "{}", text(&repaired));
    let again = text(&towel(&["store", "--data", &data, "repair"]));
    assert!(again.contains("there is nothing to repair"), "{again}");
    let list = text(&towel(&["user", "--data", &data, "list"]));
    assert!(!list.contains("carol") && list.contains("dave") && list.contains("erin"), "{list}");
    Server::start(&["--data", &data]).kill();
}

#[test]
fn a_port_that_is_taken_is_told_of() {
    let folder = Folder::new();
    let first = Server::start(&["--data", &folder.path("one")]);
    let udp = first.at("udp");
    let other = folder.path("two");
    let refused = towel(&["serve", "--data", &other, "--listen", &format!("udp:{udp}")]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    let said = text(&refused);
    assert!(said.contains(&format!("cannot listen with UDP at {udp}")), "{said}");
    assert!(said.contains("Another program has it"), "{said}");
    // Without its console it serves all the same.
    let http = first.told["http"].as_str().unwrap();
    let taken = http.trim_start_matches("http://").trim_end_matches('/');
    let set = format!("http.address=\"{taken}\"");
    let second = Server::start(&["--data", &folder.path("three"), "--set", &set]);
    assert!(second.told["http"].is_null(), "{}", second.told);
    assert!(second.told["http_problem"].as_str().unwrap().contains("http.address"));
    // One data folder is one server's.
    let data = folder.path("one");
    let locked = towel(&["serve", "--data", &data, "--listen", "udp:127.0.0.1:0"]);
    assert!(text(&locked).contains("another towel runs on this data folder"), "{}", text(&locked));
}

#[cfg(unix)]
#[test]
fn a_hangup_reads_the_configuration_again() {
    let folder = Folder::new();
    let (file, data) = (folder.path("towel.toml"), folder.path("data"));
    std::fs::write(&file, "domains = [\"example.org\"]\n").unwrap();
    let server = Server::start(&["--config", &file, "--data", &data]);
    let udp = server.at("udp");
    let register = || {
        let erin = ["register", "erin@example.org", "--server", &udp, "--timeout", "5"];
        towel(&[&erin[..], &["-p", "mostly"]].concat()).status.success()
    };
    let hang_up = || {
        let pid = server.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    };
    assert!(!register());
    // A broken one changes nothing, and ends nothing.
    std::fs::write(&file, "domains = [\"example.org\"]\nnonsense = 1\n").unwrap();
    hang_up();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!register());
    let more = "domains = [\"example.org\"]\n[dns]\nblocklist = \"5s\"\n[[user]]\n\
                name = \"erin\"\npassword = \"mostly\"\n";
    std::fs::write(&file, more).unwrap();
    hang_up();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !register() {
        assert!(std::time::Instant::now() < end, "the new user is not known");
    }
}

#[test]
fn a_first_start_that_fails_keeps_the_passwords_for_the_next() {
    let folder = Folder::new();
    let data = folder.path("data");
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let there = format!("udp:{}", taken.local_addr().unwrap());
    let refused = towel(&["serve", "--data", &data, "--listen", &there]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    assert!(!text(&refused).contains("password"), "{}", text(&refused));
    let server = Server::start(&["--data", &data]);
    let alice = format!("alice@{}", server.at("udp"));
    let registered = towel(&["register", &alice, "-p", &server.password("alice")]);
    assert!(registered.status.success(), "{}", text(&registered));
}

#[test]
fn listeners_come_and_go_with_a_reload() {
    let folder = Folder::new();
    let (file, data) = (folder.path("towel.toml"), folder.path("data"));
    let free = || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    };
    let (one, two, three) = (free(), free(), free());
    let write = |ports: &[u16]| {
        let mut text =
            "domains = [\"example.org\"]\n[http]\naddress = \"127.0.0.1:0\"\n".to_owned();
        for port in ports {
            text.push_str(&format!(
                "[[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1\"\nport = {port}\n"
            ));
        }
        std::fs::write(&file, text).unwrap();
    };
    write(&[one, two]);
    let mut child = Command::new(TOWEL)
        .args(["serve", "--log-format", "json", "--config", &file, "--data", &data])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let server = Server { child, told: serde_json::from_str(&line).unwrap() };
    let answers = |port: u16| {
        let at = format!("127.0.0.1:{port}");
        towel(&["options", &at, "--timeout", "1"]).status.success()
    };
    assert!(answers(one) && answers(two) && !answers(three));
    write(&[two, three]);
    let reload = towel(&["reload", "--data", &data]);
    assert!(reload.status.success(), "{}", text(&reload));
    assert!(!text(&reload).contains("restart"), "{}", text(&reload));
    assert!(!answers(one) && answers(two) && answers(three));
    // A place that cannot be had changes nothing.
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    write(&[three, taken.local_addr().unwrap().port()]);
    let reload = towel(&["reload", "--data", &data]);
    assert!(text(&reload).contains("nothing has changed: cannot listen"), "{}", text(&reload));
    assert!(answers(two) && answers(three));
    drop(server);
}
