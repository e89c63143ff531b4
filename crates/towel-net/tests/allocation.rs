//! A datagram's way in and out allocates nothing, and a stream's neither.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use towel_core::io::{Flow, Input, Machine, Now, Outbox, Transport};
use towel_counting::Counting;
use towel_net::{Bind, Config, Driver, Forget};

thread_local!(static COUNTED: Cell<bool> = const { Cell::new(false) });

// The thread-local is gone while a thread ends; nothing is counted then.
#[global_allocator]
static ALLOCATOR: Counting = Counting::when(|| COUNTED.try_with(Cell::get).unwrap_or(false));

/// Sends back what comes.
#[derive(Default)]
struct Mirror {
    datagrams: Option<Flow>,
    stream: Option<Flow>,
}

impl Machine for Mirror {
    fn handle(&mut self, _: Now, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Listening(l) if l.transport == Transport::Udp => {
                self.datagrams = Some(Flow {
                    transport: l.transport,
                    listener: l.id,
                    local: l.local,
                    remote: l.local,
                    connection: None,
                });
            }
            Input::Opened { flow, .. } => self.stream = Some(flow),
            Input::Datagram { remote, bytes, .. } => {
                out.transmit(Flow { remote, ..self.datagrams.unwrap() }, bytes);
            }
            Input::Stream { bytes, .. } => out.transmit(self.stream.unwrap(), bytes),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<towel_core::io::Instant> {
        None
    }
}

#[test]
fn the_way_of_a_message_allocates_nothing() {
    let binds = [Transport::Udp, Transport::Tcp]
        .map(|t| Bind::new(t, "127.0.0.1:0".parse().unwrap()))
        .to_vec();
    let mut config = Config::new(binds);
    config.resolver = None;
    let driver = Driver::new(config).unwrap();
    let (udp, tcp) = (driver.listeners()[0].local, driver.listeners()[1].local);
    let handle = driver.handle();
    let mut forget = Forget(handle.clone());
    let thread = std::thread::spawn(move || {
        COUNTED.with(|c| c.set(true));
        driver.run(&mut Mirror::default(), &mut forget, &mut |_| ()).unwrap();
        COUNTED.with(|c| c.set(false));
    });
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(udp).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut stream = TcpStream::connect(tcp).unwrap();
    stream.set_nodelay(true).unwrap();
    let message = [b'm'; 700];
    let mut buffer = [0; 2048];
    let mut run = |rounds: usize| {
        for _ in 0..rounds {
            for _ in 0..20 {
                socket.send(&message).unwrap();
            }
            for _ in 0..20 {
                assert_eq!(socket.recv(&mut buffer).unwrap(), message.len());
            }
            stream.write_all(&message).unwrap();
            stream.read_exact(&mut buffer[..message.len()]).unwrap();
        }
    };
    run(50);
    let before = ALLOCATOR.made();
    run(500);
    let allocated = ALLOCATOR.made() - before;
    assert_eq!(allocated, 0);
    handle.stop(Duration::ZERO);
    thread.join().unwrap();
}
