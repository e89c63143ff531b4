//! A disk that is truly full, and one that nobody may write to: a file system of memory, which root alone
//! can make.

use crate::{
    OPEN,
    peer::{Peer, answer},
    towel::{DOMAIN, Mount, Towel},
};
use std::{
    fs,
    process::{Command, Stdio},
};

/// Whoever gets a 200 is there after a crash, whoever gets a 500 is told to come again; calls go on; the
/// log says what to do; and with room again the server goes on by itself.
#[test]
fn a_full_disk_stops_registrations_and_nothing_else() {
    if !Mount::allowed() {
        return;
    }
    let mut server = Towel::start(&[], &format!("# tmpfs 4m\n{OPEN}"));
    let (phone, caller) = (Peer::new(&server), Peer::new(&server));
    phone.bind("kept");
    let ballast = server.data().join("ballast");
    // To the last byte: the system says no in the end.
    let fill = || {
        use std::io::Write as _;
        let mut file = fs::File::options().append(true).create(true).open(&ballast).unwrap();
        for piece in [64 << 10, 4 << 10, 1] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
    };
    fill();
    let (mut held, mut refused) = (vec!["kept".to_owned()], Vec::new());
    // What the store had set aside for itself may take some more.
    for n in 0..5_000 {
        let user = format!("user{n}");
        let contact = format!("Contact: <sip:{user}@{}>\r\n", phone.at());
        let done = phone.ask(&phone.register(&user, &contact));
        match done.status() {
            200 => held.push(user),
            500 => {
                assert!(done.field("Retry-After").parse::<u32>().is_ok(), "{}", done.text);
                refused.push(user);
            }
            _ => panic!("{}", done.text),
        }
        fill();
        if refused.len() == 3 {
            break;
        }
    }
    assert_eq!(refused.len(), 3, "{} are held", held.len());
    crate::eventually("the log to say so", || server.log().contains("REGISTER gets 500"));
    caller.send(&caller.request("MESSAGE", &format!("sip:kept@{DOMAIN}"), ""));
    phone.send(&answer(&phone.next(), "200 OK", "t", ""));
    assert_eq!(caller.final_response().status(), 200, "calls go on");
    fs::remove_file(&ballast).unwrap();
    let late = refused.pop().unwrap();
    phone.bind(&late);
    held.push(late);
    server.crash_and_restart();
    for user in &held {
        assert!(phone.ask(&phone.register(user, "")).has("Contact"), "{user} is lost");
    }
    for user in &refused {
        assert!(!phone.ask(&phone.register(user, "")).has("Contact"), "{user} was refused");
    }
}

/// Nothing is started on a disk that cannot be written to, and what is said names the place and the
/// reason; with the disk as it was everything is there.
#[test]
fn a_read_only_disk_starts_nothing_and_says_so() {
    if !Mount::allowed() {
        return;
    }
    let mut server = Towel::start(&[], &format!("# tmpfs 4m\n{OPEN}"));
    let phone = Peer::new(&server);
    phone.bind("kept");
    server.kill();
    server.remount("ro");
    let out = Command::new(env!("CARGO_BIN_EXE_towel"))
        .args(["serve", "--until-eof", "--config"])
        .arg(server.data().join("../towel.toml"))
        .arg("--data")
        .arg(server.data())
        .stdin(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success(), "{text}");
    assert!(text.contains("ead-only file system"), "{text}");
    assert!(text.contains(&server.data().display().to_string()), "{text}");
    server.remount("rw");
    server.start_again();
    assert!(phone.ask(&phone.register("kept", "")).has("Contact"));
}

/// A store with a byte changed in the middle of what was acknowledged: nothing is started, and what is
/// said names the file, the place and the command that goes on.
#[test]
fn a_damaged_store_is_told_of_and_is_not_touched() {
    let mut server = Towel::start(&[], OPEN);
    let phone = Peer::new(&server);
    for n in 0..20 {
        phone.bind(&format!("user{n}"));
    }
    server.kill();
    let store = server.data().join("store");
    let mut logs: Vec<_> = fs::read_dir(&store)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    logs.sort();
    let path = &logs[0];
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2;
    bytes[middle] ^= 0x55;
    fs::write(path, &bytes).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_towel"))
        .args(["serve", "--until-eof", "--config"])
        .arg(server.data().join("../towel.toml"))
        .arg("--data")
        .arg(server.data())
        .stdin(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success(), "{text}");
    let name = path.file_name().unwrap().to_string_lossy();
    assert!(text.contains(&*name) && text.contains("towel store"), "{text}");
    assert_eq!(fs::read(path).unwrap(), bytes, "it is as it was");
}
