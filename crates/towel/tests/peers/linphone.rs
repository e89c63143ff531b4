//! linphone's command-line phone.

use crate::{
    baresip::{Phone, Setup},
    eventually, ports, program,
    towel::*,
};
use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

#[test]
fn linphone_registers_and_calls_a_baresip() {
    let server = Towel::start(&["lin", "bob"], "");
    let Some(linphonec) = program("linphonec") else { return };
    let Some(bob) = Phone::start(&server, &Setup::new("bob", "udp", 1000.0)) else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(".local/share/linphone")).unwrap();
    fs::write(
        dir.path().join("rc"),
        format!(
            "[sip]\nsip_port={}\nsip_tcp_port=-1\nsip_tls_port=-1\nbind_address=127.0.0.1\n\
             guess_hostname=0\ncontact=\"lin\" <sip:lin@127.0.0.1>\ndefault_proxy=0\n\
             register_only_when_network_is_up=0\nuse_ipv6=0\n\n\
             [proxy_0]\nreg_proxy=<sip:{at}>\nreg_route=<sip:{at};lr>\n\
             reg_identity=sip:lin@{DOMAIN}\nreg_expires=600\nreg_sendregister=1\n\n\
             [auth_info_0]\nusername=lin\npasswd={}\nrealm={DOMAIN}\n\n\
             [rtp]\naudio_rtp_port={}\n",
            ports::free(1),
            password("lin"),
            ports::free(2),
            at = server.address(),
        ),
    )
    .unwrap();
    let log = fs::File::create(dir.path().join("out")).unwrap();
    let mut child = Command::new(linphonec)
        .args(["-c", "rc", "-d", "5", "-l", "log"])
        .current_dir(dir.path())
        .env("HOME", dir.path())
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let said = || fs::read_to_string(dir.path().join("out")).unwrap_or_default();
    writeln!(input, "soundcard use files").unwrap();
    eventually("linphone to register", || {
        let _ = writeln!(input, "status register");
        std::thread::sleep(std::time::Duration::from_millis(300));
        said().contains("registered, identity=")
    });
    writeln!(input, "call sip:bob@{DOMAIN}").unwrap();
    bob.wait_for("CALL_ESTABLISHED");
    eventually("linphone to be connected", || said().contains("connected."));
    writeln!(input, "terminate").unwrap();
    bob.wait_for("CALL_CLOSED");
    let _ = writeln!(input, "quit");
    eventually("linphone to end", || child.try_wait().is_ok_and(|done| done.is_some()));
}
