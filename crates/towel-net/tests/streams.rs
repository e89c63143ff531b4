//! TCP over the loopback, with peers that behave and peers that do not.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::{Running, Told, has_ipv6};
use towel_core::io::{CloseReason, Transport};
use towel_net::{Bind, Config, Limits};

fn start(limits: Limits) -> Running {
    let binds = vec![
        Bind::new(Transport::Tcp, "127.0.0.1:0".parse().unwrap()),
        Bind::new(Transport::Udp, "127.0.0.1:0".parse().unwrap()),
    ];
    let mut config = Config::new(binds);
    config.limits = limits;
    config.resolver = None;
    Running::start(config)
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    let mut buffer = vec![0; text.len()];
    stream.read_exact(&mut buffer).unwrap();
    String::from_utf8(buffer).unwrap()
}

/// Makes the machine open a connection.
fn tell(running: &Running, text: &str) {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(text.as_bytes(), running.addr(1)).unwrap();
}

#[test]
fn echo_over_both_families_and_the_end_is_told() {
    let running = start(Limits::default());
    let mut stream = connect(running.addr(0));
    assert_eq!(ask(&mut stream, "one"), "one");
    let me = stream.local_addr().unwrap();
    running.wait(|t| matches!(t, Told::Opened(_, flow, _) if flow.remote == me).then_some(()));
    drop(stream);
    assert_eq!(running.wait_closed(), CloseReason::Peer);
    if has_ipv6() {
        let running = Running::at(Transport::Tcp, "[::1]:0");
        assert_eq!(ask(&mut connect(running.addr(0)), "six"), "six");
    }
}

#[test]
fn who_half_closes_after_a_question_still_gets_the_answer() {
    let running = start(Limits::default());
    for length in [1, 100, 20_000, 60_000] {
        let mut stream = connect(running.addr(0));
        let text = "h".repeat(length);
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert!(all == text.as_bytes(), "{} of {length}", all.len());
    }
}

#[test]
fn large_amounts_pass_in_pieces() {
    let running = start(Limits { max_queue: 64 << 20, ..Limits::default() });
    let mut stream = connect(running.addr(0));
    let text = "z".repeat(5 << 20);
    let mut writer = stream.try_clone().unwrap();
    let sent = text.clone();
    let thread = std::thread::spawn(move || writer.write_all(sent.as_bytes()).unwrap());
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == text.as_bytes());
    thread.join().unwrap();
}

#[test]
fn a_connection_of_ours() {
    let running = start(Limits::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    tell(&running, &format!("open tcp {}", listener.local_addr().unwrap()));
    let (mut peer, _) = listener.accept().unwrap();
    let mut buffer = [0; 5];
    peer.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"hello");
    let (id, flow) =
        running.wait(|t| if let Told::Opened(id, flow, _) = t { Some((*id, *flow)) } else { None });
    assert!(id.is_ours());
    assert_eq!(flow.local, peer.peer_addr().unwrap());
    assert_eq!(flow.listener, running.listeners[0].id);
    peer.write_all(b"news").unwrap();
    running.wait(|t| matches!(t, Told::Stream(i, b) if *i == id && b == b"news").then_some(()));
}

#[test]
fn nobody_there_is_told_at_once() {
    let running = start(Limits::default());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    tell(&running, &format!("open tcp {nobody}"));
    assert_eq!(running.wait_closed(), CloseReason::Refused);
}

#[test]
fn last_words_arrive_although_the_peer_goes_on_talking() {
    let running = start(Limits::default());
    let mut stream = connect(running.addr(0));
    stream.write_all(b"close ").unwrap();
    for _ in 0..20 {
        // Unread bytes at the other end would reset the connection.
        let _ = stream.write_all(&[b'n'; 1000]);
    }
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"bye");
    drop(stream);
    assert_eq!(running.wait_closed(), CloseReason::Ours);
}

#[test]
fn a_peer_that_does_not_read_is_closed_and_holds_up_nobody() {
    let running = start(Limits { max_queue: 256 << 10, ..Limits::default() });
    let mut deaf = connect(running.addr(0));
    let mut well = connect(running.addr(0));
    while running.counters.read().slow_closed == 0 {
        let _ = deaf.write_all(b"flood 100000");
        // Were it held up by the deaf one, this would have no answer: that queue never moves.
        assert_eq!(ask(&mut well, "quick"), "quick");
    }
    assert_eq!(running.wait_closed(), CloseReason::Slow);
    assert_eq!(ask(&mut well, "still"), "still");
}

#[test]
fn a_queue_that_does_not_move_ends_the_connection() {
    let limits =
        Limits { max_queue: 64 << 20, stall_time: Duration::from_millis(200), ..Limits::default() };
    let running = start(limits);
    let mut deaf = connect(running.addr(0));
    deaf.write_all(b"flood 30000000").unwrap();
    assert_eq!(running.wait_closed(), CloseReason::Slow);
}

#[test]
fn a_slow_reader_gets_everything() {
    let running = start(Limits { max_queue: 16 << 20, ..Limits::default() });
    let mut slow = connect(running.addr(0));
    slow.write_all(b"flood 12000000").unwrap();
    let mut got = 0;
    let mut buffer = vec![0; 400_000];
    while got < 12_000_000 {
        std::thread::sleep(Duration::from_millis(5));
        let count = slow.read(&mut buffer).unwrap();
        assert!(count > 0 && buffer[..count].iter().all(|b| *b == b'x'));
        got += count;
    }
    assert_eq!(got, 12_000_000);
}

#[test]
fn silence_after_the_connect_ends_it() {
    let limits = Limits { first_word_time: Duration::from_millis(200), ..Limits::default() };
    let running = start(limits);
    let mut talks = connect(running.addr(0));
    assert_eq!(ask(&mut talks, "x"), "x");
    let mut silent = connect(running.addr(0));
    assert_eq!(silent.read(&mut [0; 9]).unwrap(), 0);
    assert_eq!(running.wait_closed(), CloseReason::TimedOut);
    assert_eq!(ask(&mut talks, "y"), "y");
}

#[test]
fn an_idle_connection_is_closed_in_order() {
    let limits = Limits { idle_time: Duration::from_millis(300), ..Limits::default() };
    let running = start(limits);
    let mut stream = connect(running.addr(0));
    assert_eq!(ask(&mut stream, "x"), "x");
    assert_eq!(stream.read(&mut [0; 9]).unwrap(), 0);
    drop(stream);
    assert_eq!(running.wait_closed(), CloseReason::Ours);
    running.wait_counted(|c| c.idle_expired == 1);
}

#[test]
fn connections_are_bounded() {
    let running = start(Limits { max_connections: 3, ..Limits::default() });
    let mut kept: Vec<TcpStream> = (0..3).map(|_| connect(running.addr(0))).collect();
    for stream in &mut kept {
        assert_eq!(ask(stream, "x"), "x");
    }
    let mut refused = connect(running.addr(0));
    assert!(matches!(refused.read(&mut [0; 9]), Ok(0) | Err(_)));
    kept.pop();
    running.wait_closed();
    assert_eq!(ask(&mut connect(running.addr(0)), "x"), "x");
    running.wait_counted(|c| c.turned_away >= 1);
}

#[test]
fn one_address_cannot_take_all_connections() {
    let running = start(Limits { max_connections_per_address: 2, ..Limits::default() });
    let mut kept: Vec<TcpStream> = (0..2).map(|_| connect(running.addr(0))).collect();
    for stream in &mut kept {
        assert_eq!(ask(stream, "x"), "x");
    }
    let mut refused = connect(running.addr(0));
    assert!(matches!(refused.read(&mut [0; 9]), Ok(0) | Err(_)));
}

#[test]
fn many_connections_come_and_go() {
    let running = start(Limits::default());
    for _ in 0..20 {
        let mut streams: Vec<TcpStream> = (0..50).map(|_| connect(running.addr(0))).collect();
        for (i, stream) in streams.iter_mut().enumerate() {
            let text = format!("number {i}");
            assert_eq!(ask(stream, &text), text);
        }
    }
    let begin = Instant::now();
    while running.counters.read().connections > 0 {
        assert!(begin.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(10));
        tell(&running, "turn");
    }
    let counts = running.counters.read();
    assert_eq!((counts.accepted, counts.closed), (1000, 1000));
}
