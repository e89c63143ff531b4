//! The console as a browser shows it: what stands in the page, at two widths, and no secret.

use crate::{program, towel::*};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Runs Chromium without a screen on a page; what it prints.
fn browse(chromium: &Path, more: &[&str], page: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let printed = profile.path().join("printed");
    let mut child = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
        .args(more)
        .arg(page)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&printed).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!("chromium has not shown {page} in a minute");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success(), "{status}");
    std::fs::read_to_string(&printed).unwrap()
}

fn towel(arguments: &[&str]) {
    let done = Command::new(env!("CARGO_BIN_EXE_towel")).args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Width and height of a PNG, from its first chunk.
fn size(png: &[u8]) -> (u32, u32) {
    assert!(png.starts_with(b"\x89PNG\r\n"), "no PNG");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn the_console_shows_users_bindings_and_calls_and_no_secret() {
    let Some(chromium) = program("chromium") else { return };
    let more = "[trace]\nenabled = true\n[http]\naddress = \"127.0.0.1:0\"\n";
    let server = Towel::start(&["alice", "bob"], more);
    let (user, secret) = (format!("alice@{DOMAIN}"), password("alice"));
    let contact = "sip:alice@192.0.2.77:5062;x=%3Cscript%3E";
    towel(&[
        "register",
        &user,
        "--server",
        &server.address(),
        "-p",
        &secret,
        "--contact",
        contact,
        "--timeout",
        "5",
    ]);
    let address = std::fs::read_to_string(server.data().join("http-address")).unwrap();
    let home = format!("http://{}/", address.trim());

    let page = browse(&chromium, &["--dump-dom"], &home);
    for part in [
        "1 binding<",
        "2 users<",
        "Recent calls",
        "sip:alice@192.0.2.77:5062",
        &format!("sip:alice@{DOMAIN}"),
        "REGISTER",
        &server.address(),
    ] {
        assert!(page.contains(part), "{part} is not shown:\n{page}");
    }
    let link = page.split("href=\"").find(|l| l.starts_with("/calls/")).expect("a ladder");
    let link = link.split('"').next().unwrap();
    let ladder = browse(&chromium, &["--dump-dom"], &format!("{home}{}", &link[1..]));
    for part in ["401 Unauthorized", "200 OK", "Authorization: Digest username=\"alice\""] {
        assert!(ladder.contains(part), "{part} is not shown:\n{ladder}");
    }
    for shown in [&page, &ladder] {
        assert!(!shown.contains(&secret), "a password is shown");
        let proof = shown.split("response=\"").nth(1).map(|r| r.split('"').next().unwrap());
        assert!(proof.is_none_or(|p| p.chars().all(|c| c == '*')), "a proof is shown: {proof:?}");
    }

    let folder = tempfile::tempdir().unwrap();
    for (width, height) in [(1100, 800), (500, 900)] {
        let file = folder.path().join("shot.png");
        let shot = format!("--screenshot={}", file.display());
        browse(&chromium, &[&shot, &format!("--window-size={width},{height}")], &home);
        let png = std::fs::read(&file).unwrap();
        assert_eq!(size(&png), (width, height));
        assert!(png.len() > 5_000, "an empty page: {} bytes", png.len());
    }
}

/// Somebody who looks at the console because calls fail sees what is refused, since when, and who is
/// banned.
#[test]
fn the_console_shows_overload_and_bans() {
    let Some(chromium) = program("chromium") else { return };
    let more = "[auth]\nregister = false\ncalls = false\n[abuse]\nexempt = [\"127.0.0.2\"]\n\
                [overload]\ntarget = \"1ms\"\nlasting = \"50ms\"\nload = 1\n\
                [http]\naddress = \"127.0.0.1:0\"\n";
    let server = Towel::start(&[], more);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    let scan = format!(
        "OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKscan\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:{DOMAIN}>\r\nCall-ID: scan\r\nCSeq: 1 OPTIONS\r\n\
         Max-Forwards: 70\r\nUser-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(scan.as_bytes(), server.address().as_str()).unwrap();
    let address = std::fs::read_to_string(server.data().join("http-address")).unwrap();
    let home = format!("http://{}/", address.trim());
    // More than any machine could serve, for as long as the page is looked at.
    let mut load = Command::new(env!("CARGO_BIN_EXE_towel"))
        .args(["load", &server.address(), "--domain", DOMAIN, "--users", "50", "options"])
        .args(["-w", "4000", "--seconds", "40", "--local", "127.0.0.2"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    let page = loop {
        let page = browse(&chromium, &["--dump-dom"], &home);
        if page.contains("more requests come than can be served") || Instant::now() > end {
            break page;
        }
    };
    let _ = load.kill();
    let _ = load.wait();
    for part in [
        "Overload: more requests come than can be served, for ",
        "of dialogs and urgent",
        "messages wait ",
        " transactions under way or lingering",
        "1 banned<",
        "a scanner's User-Agent",
    ] {
        assert!(page.contains(part), "{part} is not shown:\n{page}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (width, height) in [(1100, 800), (500, 900)] {
        let file = folder.path().join("shot.png");
        let shot = format!("--screenshot={}", file.display());
        browse(&chromium, &[&shot, &format!("--window-size={width},{height}")], &home);
        let png = std::fs::read(&file).unwrap();
        assert_eq!(size(&png), (width, height));
        assert!(png.len() > 5_000, "an empty page: {} bytes", png.len());
    }
}

#[test]
fn the_report_of_a_load_is_a_page_of_its_own() {
    let Some(chromium) = program("chromium") else { return };
    let server = Towel::start(&[], "[auth]\nregister = false\ncalls = false\n");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (one, many) = (path("one.html"), path("many.html"));
    let address = server.address();
    let common = ["load", &address, "--domain", DOMAIN, "--users", "10", "call"];
    towel(&[&common[..], &["-w", "3", "-n", "50", "--html", &one]].concat());
    towel(&[&common[..], &["--sweep", "50,100,150", "-n", "30", "--html", &many]].concat());
    let pages = [
        (&one, &["Latency by percentile", "call: INVITE to 180", "<polyline", "99.99"][..]),
        (&many, &["Goodput", "all that is offered", "150/s", "<polyline"]),
    ];
    for (file, parts) in pages {
        let page = browse(&chromium, &["--dump-dom"], &format!("file://{file}"));
        for part in parts {
            assert!(page.contains(part), "{part} is not shown:\n{page}");
        }
        for (width, height) in [(1100, 1600), (500, 1600)] {
            let shot = path("shot.png");
            let (shot_to, size_of) =
                (format!("--screenshot={shot}"), format!("--window-size={width},{height}"));
            browse(&chromium, &[&shot_to, &size_of], &format!("file://{file}"));
            let png = std::fs::read(&shot).unwrap();
            assert_eq!(size(&png), (width, height));
            assert!(png.len() > 10_000, "an empty page: {} bytes", png.len());
        }
    }
}
