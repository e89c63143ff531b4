//! sipvicious, which half of the Internet's scans are made with: it finds nothing, and users go on.

use crate::{program, towel::*};
use std::{
    net::UdpSocket,
    process::{Command, Stdio},
};

/// What one of its tools says of the server, with its home in a folder that goes.
fn scan(server: &Towel, tool: &str, arguments: &[&str]) -> Option<String> {
    let program = program(tool)?;
    let home = tempfile::tempdir().unwrap();
    let port = server.port.to_string();
    let out = Command::new("timeout")
        .arg("30")
        .arg(program)
        .args(["-p", &port, "-b", "127.0.0.1", "-x", "127.0.0.1"])
        .args(arguments)
        .arg("127.0.0.1")
        .env("HOME", home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Some(String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
}

/// Where nobody is exempt.
const STRICT: &str = "[abuse]\nexempt = []\n";

/// The status that OPTIONS gets from a socket of its own.
fn serves(server: &Towel) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let me = socket.local_addr().unwrap();
    let text = format!(
        "OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKafter;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:x@elsewhere.test>;tag=1\r\nTo: <sip:{DOMAIN}>\r\n\
         Call-ID: after@{me}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(text.as_bytes(), server.address()).unwrap();
    let mut answer = [0; 2048];
    socket.recv(&mut answer).is_ok_and(|len| answer[..len].starts_with(b"SIP/2.0 200"))
}

#[test]
fn svmap_finds_a_server_that_answers_and_none_where_scanners_get_no_answer() {
    let friendly = Towel::start(&["100"], "");
    let Some(found) = scan(&friendly, "sipvicious_svmap", &[]) else { return };
    assert!(found.contains(&format!("127.0.0.1:{}", friendly.port)), "{found}");
    let strict = Towel::start(&["100"], STRICT);
    let found = scan(&strict, "sipvicious_svmap", &[]).unwrap_or_default();
    assert!(!found.contains(&format!("127.0.0.1:{}", strict.port)), "{found}");
    assert!(strict.log().contains("banned") && serves(&strict), "{}", strict.log());
}

#[test]
fn svwar_learns_of_no_user() {
    for more in [STRICT, "[abuse]\nexempt = []\nscanners = []\n"] {
        let server = Towel::start(&["103", "107"], more);
        for method in ["REGISTER", "OPTIONS", "INVITE"] {
            let arguments = ["-e", "100-110", "-m", method, "--force"];
            let Some(found) = scan(&server, "sipvicious_svwar", &arguments) else { return };
            // Its table has those whose answer differs from that of a user who cannot be.
            let named = |user: &str| found.lines().any(|l| l.starts_with(&format!("| {user} ")));
            let all: Vec<bool> = (100..=110).map(|n| named(&n.to_string())).collect();
            assert!(all.iter().all(|one| *one == all[0]), "{method}: {found}");
        }
        assert!(serves(&server), "{}", server.log());
    }
}

#[test]
fn svcrack_does_not_find_the_password() {
    // Even where it is not known by its name: the right one is the 61st.
    for more in [STRICT, "[abuse]\nexempt = []\nscanners = []\nfailures = 3\n"] {
        let server = Towel::start(&["100"], &format!("{more}# the password is 100-secret\n"));
        let words = tempfile::NamedTempFile::new().unwrap();
        let list: String = (0..60).map(|n| format!("word{n}\n")).collect();
        std::fs::write(words.path(), list + "100-secret\n").unwrap();
        let file = words.path().to_str().unwrap();
        let Some(found) = scan(&server, "sipvicious_svcrack", &["-u", "100", "-d", file]) else {
            return;
        };
        assert!(!found.contains("100-secret"), "{found}");
        assert!(!server.log().contains("registered"), "{}", server.log());
        assert!(serves(&server), "{}", server.log());
    }
    let open = Towel::start(&["100"], "");
    let words = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(words.path(), "100-secret\n").unwrap();
    let file = words.path().to_str().unwrap();
    let Some(found) = scan(&open, "sipvicious_svcrack", &["-u", "100", "-d", file]) else { return };
    assert!(found.contains("100-secret"), "who guesses right at once gets in: {found}");
}
