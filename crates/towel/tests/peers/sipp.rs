//! SIPp: a caller and a callee from scenario files, with digest for registering and calling.

use crate::{eventually, ports, program, towel::*};
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

const CALLS: u32 = 50;

fn sipp(
    dir: &Path,
    server: &Towel,
    transport: &str,
    scenario: &str,
    user: &str,
    port: u16,
    calls: u32,
) -> Child {
    let file = dir.join(format!("{user}-{scenario}.xml"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/scenarios");
    let text = fs::read_to_string(source.join(format!("{scenario}.xml"))).unwrap();
    let text =
        text.replace("DOMAIN", DOMAIN).replace("USER", user).replace("PASSWORD", &password(user));
    fs::write(&file, text).unwrap();
    let out = fs::File::create(dir.join(format!("{user}-{scenario}.out"))).unwrap();
    Command::new("sipp")
        .arg(server.address())
        .arg("-sf")
        .arg(&file)
        .args(["-i", "127.0.0.1", "-p", &port.to_string(), "-t", transport])
        .args(["-m", &calls.to_string(), "-r", "25", "-timeout", "60", "-timeout_error"])
        .args(["-nostdin", "-trace_err", "-error_file"])
        .arg(dir.join(format!("{user}-{scenario}.err")))
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap()
}

fn finish(mut child: Child, dir: &Path, name: &str) {
    let mut ended = None;
    eventually(&format!("sipp {name} to end"), || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    let err = fs::read_to_string(dir.join(format!("{name}.err"))).unwrap_or_default();
    let out = fs::read_to_string(dir.join(format!("{name}.out"))).unwrap_or_default();
    let out: String = out.chars().rev().take(3000).collect::<Vec<_>>().into_iter().rev().collect();
    assert!(ended.is_some_and(|e| e.success()), "sipp {name}: {ended:?}\n{err}\n{out}");
}

fn run(transport: &str) {
    if program("sipp").is_none() {
        return;
    }
    let server = Towel::start(&["caller", "callee"], "");
    let dir = tempfile::tempdir().unwrap();
    let (caller, callee) = (ports::free(1), ports::free(1));
    // Registering and answering share the callee's port, so that the binding leads to it.
    let register = sipp(dir.path(), &server, transport, "register", "callee", callee, 1);
    finish(register, dir.path(), "callee-register");
    let uas = sipp(dir.path(), &server, transport, "answer", "callee", callee, CALLS);
    let uac = sipp(dir.path(), &server, transport, "call", "caller", caller, CALLS);
    finish(uac, dir.path(), "caller-call");
    finish(uas, dir.path(), "callee-answer");
}

#[test]
fn sipp_registers_and_calls_over_udp() {
    run("u1");
}

#[test]
fn sipp_registers_and_calls_over_tcp() {
    run("t1");
}
