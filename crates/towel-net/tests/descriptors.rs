//! Running out of descriptors; alone in its process, since the limit is the process's.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::Running;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use towel_core::io::Transport;

#[test]
fn without_descriptors_the_driver_turns_away_and_lives_on() {
    let running = Running::at(Transport::Tcp, "127.0.0.1:0");
    let addr = running.addr(0);
    let echo = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"x").unwrap();
        let mut buffer = [0; 1];
        stream.read_exact(&mut buffer).map(|()| buffer[0])
    };
    let mut first = TcpStream::connect(addr).unwrap();
    assert_eq!(echo(&mut first).unwrap(), b'x');

    // Take all there are, and leave one: for the client's end.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 256, hard).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    taken.pop();
    let mut turned_away = 0;
    for _ in 0..10 {
        // The driver holds the one for a moment while it looks for more to accept.
        let mut tries = 0;
        let mut stream = loop {
            match TcpStream::connect(addr) {
                Ok(stream) => break stream,
                Err(e) => assert!(tries < 1000, "{e}"),
            }
            tries += 1;
            std::thread::sleep(Duration::from_millis(2));
        };
        turned_away += u32::from(echo(&mut stream).is_err());
    }
    assert_eq!(turned_away, 10);
    assert_eq!(echo(&mut first).unwrap(), b'x');
    drop(taken);
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(4096), hard).unwrap();
    let mut after = TcpStream::connect(addr).unwrap();
    assert_eq!(echo(&mut after).unwrap(), b'x');
    running.wait_counted(|c| c.turned_away >= 10);
}
