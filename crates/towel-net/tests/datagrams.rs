//! UDP over the loopback.

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use common::{Running, Told, has_ipv6};
use towel_core::io::{Flow, Input, Instant, Machine, Now, Outbox, Transport};
use towel_net::{Bind, Config, Driver, Forget};

fn client(addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind(addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

fn ask(running: &Running, from: &str, text: &str) -> String {
    let socket = client(from);
    socket.send_to(text.as_bytes(), running.addr(0)).unwrap();
    let mut buffer = [0; 65_536];
    let (count, remote) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(remote, running.addr(0));
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

#[test]
fn echo_over_both_families() {
    let running = Running::at(Transport::Udp, "127.0.0.1:0");
    assert_eq!(ask(&running, "127.0.0.1:0", "one"), "one");
    let long = "y".repeat(60_000);
    assert_eq!(ask(&running, "127.0.0.1:0", &long), long);
    running.stop();
    if has_ipv6() {
        let running = Running::at(Transport::Udp, "[::1]:0");
        assert_eq!(ask(&running, "[::1]:0", "six"), "six");
    }
}

#[test]
fn a_burst_is_answered_whole_and_in_order() {
    let running = Running::at(Transport::Udp, "127.0.0.1:0");
    let socket = client("127.0.0.1:0");
    let mut buffer = [0; 2048];
    for round in 0..50 {
        for i in 0..100 {
            let text = format!("message {}", round * 100 + i);
            socket.send_to(text.as_bytes(), running.addr(0)).unwrap();
        }
        for i in 0..100 {
            let count = socket.recv(&mut buffer).unwrap();
            let expected = format!("message {}", round * 100 + i);
            assert_eq!(&buffer[..count], expected.as_bytes());
        }
    }
    std::thread::sleep(Duration::from_millis(50));
    ask(&running, "127.0.0.1:0", "end");
    let counts = running.counters.read();
    assert!(counts.datagrams_in >= 5000 && counts.datagrams_out >= 5000, "{counts:?}");
    assert_eq!(counts.datagrams_unsent, 0);
}

#[test]
fn a_port_where_nobody_listens_is_told_of() {
    let running = Running::at(Transport::Udp, "127.0.0.1:0");
    let nobody = client("127.0.0.1:0").local_addr().unwrap();
    let socket = client("127.0.0.1:0");
    socket.send_to(format!("send {nobody} x").as_bytes(), running.addr(0)).unwrap();
    let lost =
        running.wait(|t| if let Told::Unreachable(remote) = t { Some(*remote) } else { None });
    assert_eq!(lost, nobody);
    // And the socket is none the worse for it.
    assert_eq!(ask(&running, "127.0.0.1:0", "still here"), "still here");
    if has_ipv6() {
        let running = Running::at(Transport::Udp, "[::1]:0");
        let nobody = client("[::1]:0").local_addr().unwrap();
        let socket = client("[::1]:0");
        socket.send_to(format!("send {nobody} x").as_bytes(), running.addr(0)).unwrap();
        let lost = running.wait(|t| if let Told::Unreachable(r) = t { Some(*r) } else { None });
        assert_eq!(lost, nobody);
    }
}

#[test]
fn what_cannot_be_sent_is_told_of_and_the_rest_is_sent() {
    let running = Running::at(Transport::Udp, "127.0.0.1:0");
    let socket = client("127.0.0.1:0");
    // From a loopback address there is no way to the outside.
    socket.send_to(b"send 192.0.2.1:5060 x", running.addr(0)).unwrap();
    let me = socket.local_addr().unwrap();
    socket.send_to(format!("send {me} y").as_bytes(), running.addr(0)).unwrap();
    let mut buffer = [0; 100];
    assert_eq!(socket.recv(&mut buffer).unwrap(), 1);
    running.wait(|t| matches!(t, Told::Unreachable(_)).then_some(()));
}

#[test]
fn timers_stores_and_the_end() {
    let running = Running::at(Transport::Udp, "127.0.0.1:0");
    let socket = client("127.0.0.1:0");
    socket.send_to(b"timer 50", running.addr(0)).unwrap();
    running.wait(|t| matches!(t, Told::Tick).then_some(()));
    socket.send_to(b"store", running.addr(0)).unwrap();
    running.wait(|t| matches!(t, Told::Stored(t) if t.0 == 7).then_some(()));
    running.stop();
}

#[test]
fn the_unspecified_address_becomes_every_address() {
    let mut config = Config::new(vec![Bind::new(Transport::Udp, "0.0.0.0:0".parse().unwrap())]);
    config.resolver = None;
    let running = Running::start(config);
    assert!(running.listeners.iter().all(|l| !l.local.ip().is_unspecified()));
    let loopback = running.listeners.iter().find(|l| l.local.ip().is_loopback()).unwrap();
    let socket = client("127.0.0.1:0");
    socket.send_to(b"x", loopback.local).unwrap();
    let (_, from) = socket.recv_from(&mut [0; 9]).unwrap();
    assert_eq!(from, loopback.local);
}

#[test]
fn a_taken_port_is_named() {
    let taken = client("127.0.0.1:0").local_addr().unwrap();
    let socket = UdpSocket::bind(taken).unwrap();
    let config = Config::new(vec![Bind::new(Transport::Udp, taken)]);
    let fault = towel_net::Driver::new(config).err().unwrap().to_string();
    assert!(fault.contains(&taken.to_string()), "{fault}");
    drop(socket);
}

/// Sends one datagram as soon as it can, and waits for nothing.
struct Eager(std::net::SocketAddr);

impl Machine for Eager {
    fn handle(&mut self, _now: Now, input: Input<'_>, out: &mut Outbox) {
        if let Input::Listening(listener) = input {
            let (listener, local) = (listener.id, listener.local);
            let flow = Flow {
                transport: Transport::Udp,
                listener,
                local,
                remote: self.0,
                connection: None,
            };
            out.transmit(flow, b"here I am");
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

#[test]
fn what_is_said_first_waits_for_nothing() {
    let socket = client("127.0.0.1:0");
    let mut machine = Eager(socket.local_addr().unwrap());
    let bind = Bind::new(Transport::Udp, "127.0.0.1:0".parse().unwrap());
    let mut config = Config::new(vec![bind]);
    config.resolver = None;
    let driver = Driver::new(config).unwrap();
    let handle = driver.handle();
    let mut forget = Forget(handle.clone());
    let shard = std::thread::spawn(move || driver.run(&mut machine, &mut forget, &mut |_| ()));
    let mut buffer = [0; 64];
    // Nothing else would ever wake the driver.
    let count = socket.recv(&mut buffer);
    handle.stop(Duration::ZERO);
    shard.join().unwrap().unwrap();
    assert_eq!(&buffer[..count.expect("it was never sent")], b"here I am");
}
