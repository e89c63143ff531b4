//! Peers that mean no good: noise, resets, connections by the hundred. The driver lives on, and
//! nothing of them stays.

mod common;

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use common::Running;
use socket2::SockRef;
use towel_core::io::Transport;
use towel_net::{Bind, Config, TlsConfig};

/// Bytes without meaning, the same in every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn noise_and_resets_leave_nothing_behind() {
    let key = rcgen::generate_simple_self_signed(vec!["towel.example".to_string()]).unwrap();
    let pair = (key.cert.pem().into_bytes(), key.signing_key.serialize_pem().into_bytes());
    let tls = TlsConfig { certificate: Some(pair), ..TlsConfig::default() };
    let binds = [Transport::Udp, Transport::Tcp, Transport::Tls]
        .map(|t| Bind::new(t, "127.0.0.1:0".parse().unwrap()))
        .to_vec();
    let mut config = Config::new(binds);
    config.tls = Some(Arc::new(tls.build().unwrap()));
    config.resolver = None;
    let running = Running::start(config);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();

    for seed in 0..300u64 {
        for index in [1, 2] {
            let mut stream = TcpStream::connect(running.addr(index)).unwrap();
            let mut bytes = noise(seed, (seed as usize * 37) % 5000);
            if index == 2 && seed % 2 == 0 {
                // A record's beginning, so that the noise gets further in.
                let length = bytes.len().min(16_000) as u16;
                let mut record = vec![22, 3, 1];
                record.extend(length.to_be_bytes());
                record.extend(&bytes);
                bytes = record;
            }
            let _ = stream.write_all(&bytes);
            match seed % 3 {
                // A reset.
                0 => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
                // An orderly end that waits for what comes.
                1 => {
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                    let _ = stream.read_to_end(&mut Vec::new());
                }
                _ => {}
            }
        }
        let _ = socket.send_to(&noise(seed, seed as usize % 1400), running.addr(0));
    }
    running.wait_counted(|c| c.accepted == 600 && c.closed == 600 && c.connections == 0);
    // The noise came back, and fills the socket: what comes next would be lost behind it.
    let mut buffer = [0; 2000];
    socket.set_nonblocking(true).unwrap();
    while socket.recv(&mut buffer).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    // Still there, by every door.
    socket.send_to(b"well?", running.addr(0)).unwrap();
    while socket.recv(&mut buffer).unwrap() != 5 || &buffer[..5] != b"well?" {}
    let mut stream = TcpStream::connect(running.addr(1)).unwrap();
    stream.write_all(b"well?").unwrap();
    stream.read_exact(&mut buffer[..5]).unwrap();
    assert_eq!(&buffer[..5], b"well?");
}
