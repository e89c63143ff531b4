//! A machine that says back what it hears and does what it is told, on a driver with real sockets.

#![allow(dead_code, unreachable_pub)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use towel_core::io::{
    CloseReason, ConnectionId, Flow, Input, Instant, Listener, ListenerId, Machine, Now, Outbox,
    Output, Ticket, Transport,
};
use towel_net::{Bind, Config, Counters, Driver, Forget, Handle};

/// What the machine was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Datagram(ListenerId, SocketAddr, Vec<u8>),
    Opened(ConnectionId, Flow, Vec<String>),
    Stream(ConnectionId, Vec<u8>),
    Closed(ConnectionId, CloseReason),
    Unreachable(SocketAddr),
    Stored(Ticket),
    Tick,
    Other(String),
}

/// Echoes. Text that begins with a word of these does more:
/// `open TRANSPORT ADDR [NAME]`, `close`, `flood BYTES`, `send ADDR TEXT`, `timer MILLIS`, `store`.
pub struct Echo {
    told: Sender<Told>,
    flows: HashMap<ConnectionId, Flow>,
    listeners: HashMap<ListenerId, Listener>,
    opened: u64,
    timer: Option<Instant>,
}

impl Echo {
    fn obey(&mut self, now: Now, bytes: &[u8], flow: Flow, out: &mut Outbox) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["open", transport, addr, name @ ..] => {
                self.opened += 1;
                out.outputs.push(Output::Open {
                    connection: ConnectionId(ConnectionId::OPENED_BY_CORE | self.opened),
                    transport: Transport::from_token(transport.as_bytes()).unwrap(),
                    listener: None,
                    remote: addr.parse().unwrap(),
                    server_name: name.first().map(ToString::to_string),
                });
            }
            ["close", ..] => {
                out.transmit(flow, b"bye");
                out.outputs.push(Output::Close { connection: flow.connection.unwrap() });
            }
            ["flood", count] => {
                out.transmit(flow, &vec![b'x'; count.parse().unwrap()]);
            }
            ["send", addr, text] => {
                let to = Flow { remote: addr.parse().unwrap(), connection: None, ..flow };
                out.transmit(to, text.as_bytes());
            }
            ["timer", millis] => {
                self.timer = Some(now.at + Duration::from_millis(millis.parse().unwrap()));
            }
            ["store"] => out.outputs.push(Output::Store {
                ticket: Some(Ticket(7)),
                record: towel_core::io::Record { table: 1, key: vec![1], value: None },
            }),
            _ => out.transmit(flow, bytes),
        }
    }
}

impl Machine for Echo {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        let told = match input {
            Input::Listening(listener) => {
                self.listeners.insert(listener.id, listener);
                return;
            }
            Input::Datagram { listener, remote, bytes } => {
                let local = self.listeners.get(&listener).unwrap().local;
                let flow =
                    Flow { transport: Transport::Udp, listener, local, remote, connection: None };
                self.obey(now, bytes, flow, out);
                Told::Datagram(listener, remote, bytes.to_vec())
            }
            Input::Opened { connection, flow, identities } => {
                self.flows.insert(connection, flow);
                if connection.is_ours() {
                    out.transmit(flow, b"hello");
                }
                Told::Opened(connection, flow, identities)
            }
            Input::Stream { connection, bytes } => {
                let flow = *self.flows.get(&connection).expect("opened first");
                if !connection.is_ours() {
                    self.obey(now, bytes, flow, out);
                }
                Told::Stream(connection, bytes.to_vec())
            }
            Input::Closed { connection, why } => {
                self.flows.remove(&connection);
                Told::Closed(connection, why)
            }
            Input::Unreachable { remote, .. } => Told::Unreachable(remote),
            Input::Stored { ticket, .. } => Told::Stored(ticket),
            Input::Tick => {
                assert!(self.timer.take().is_some_and(|at| at <= now.at), "early");
                Told::Tick
            }
            other => Told::Other(format!("{other:?}")),
        };
        let _ = self.told.send(told);
    }

    fn deadline(&self) -> Option<Instant> {
        self.timer
    }
}

/// A driver that runs on a thread.
pub struct Running {
    pub listeners: Vec<Listener>,
    pub handle: Handle,
    pub counters: Arc<Counters>,
    pub told: Receiver<Told>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn start(config: Config) -> Self {
        let driver = Driver::new(config).expect("driver");
        let (sender, told) = channel();
        let (listeners, handle) = (driver.listeners().to_vec(), driver.handle());
        let counters = driver.counters();
        let mut forget = Forget(handle.clone());
        let thread = std::thread::spawn(move || {
            let mut echo = Echo {
                told: sender,
                flows: HashMap::new(),
                listeners: HashMap::new(),
                opened: 0,
                timer: None,
            };
            driver.run(&mut echo, &mut forget, &mut |_| ()).expect("run");
        });
        Self { listeners, handle, counters, told, thread: Some(thread) }
    }

    /// Listens at a free port of the loopback address.
    pub fn at(transport: Transport, addr: &str) -> Self {
        let mut config = Config::new(vec![Bind::new(transport, addr.parse().unwrap())]);
        config.resolver = None;
        Self::start(config)
    }

    pub fn addr(&self, index: usize) -> SocketAddr {
        self.listeners[index].local
    }

    /// Waits for the next thing told that is of interest.
    pub fn wait<T>(&self, mut wanted: impl FnMut(&Told) -> Option<T>) -> T {
        let end = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            let told = self.told.recv_timeout(left).expect("the machine was never told");
            if let Some(found) = wanted(&told) {
                return found;
            }
        }
    }

    /// Waits until the counts are so; they are published once a turn.
    pub fn wait_counted(&self, so: impl Fn(&towel_net::Counts) -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while !so(&self.counters.read()) {
            assert!(std::time::Instant::now() < end, "{:?}", self.counters.read());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn wait_closed(&self) -> CloseReason {
        self.wait(|t| if let Told::Closed(_, why) = t { Some(*why) } else { None })
    }

    pub fn stop(mut self) {
        self.handle.stop(Duration::from_secs(2));
        self.thread.take().unwrap().join().expect("the shard panicked");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop(Duration::ZERO);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether IPv6 works here; said if not.
pub fn has_ipv6() -> bool {
    let works = std::net::UdpSocket::bind("[::1]:0").is_ok();
    if !works {
        eprintln!("skipped: this host has no IPv6 loopback");
    }
    works
}
