//! A core that fails, and the one that takes its place.

use towel_core::io::{Command, Flow, ListenerId, Machine, Output, Transport};
use towel_core::server::Endpoint;
use towel_core::settings::Settings;
use towel_store::{Options, Store};

use super::*;
use crate::element::{Element, Jobs};
use crate::persist;

const UDP: ListenerId = ListenerId(0);
const TCP: ListenerId = ListenerId(1);

fn endpoint(random: u8) -> Endpoint {
    let mut settings = Settings::default();
    settings.server.authenticate = false;
    settings.server.authenticate_register = false;
    settings.server.domains = vec!["example.com".into()];
    settings.server.secret = Some([3; 16]);
    settings.registrar.open_third_party = true;
    Endpoint::new(settings, towel_guide::server(), [random; 32])
}

struct World {
    element: Element<Endpoint>,
    jobs: Jobs<Endpoint>,
    store: std::sync::Arc<Store>,
    now: Now,
    _dir: tempfile::TempDir,
    data: PathBuf,
    out: Outbox,
    events: Vec<String>,
}

impl World {
    fn new(most: usize) -> World {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().to_path_buf();
        let (store, _) = Store::open(
            &data.join("store"),
            Options::default(),
            &mut |_| {},
            &mut |_, _| {},
            Box::new(|_, _| {}),
        )
        .unwrap();
        let store = std::sync::Arc::new(store);
        let (mut element, jobs) = Element::new(endpoint(1), || {});
        let again = std::sync::Arc::clone(&store);
        element.set_mend(Mend::new(
            &data,
            most,
            Box::new(move |now, out, failed, listeners| {
                let mut next = endpoint(2);
                again
                    .read(&mut |some| {
                        let of_core = some.into_iter().filter_map(persist::of_core).collect();
                        next.handle(now, Input::Command(Command::Load(of_core)), out);
                    })
                    .unwrap();
                for listener in listeners {
                    next.handle(now, Input::Listening(listener.clone()), out);
                }
                next.succeed(now, out, failed);
                Some(next)
            }),
        ));
        let now = Now { at: Instant(1_000_000), unix: 1_800_000_000 };
        let (out, events) = (Outbox::new(), Vec::new());
        let mut world = World { element, jobs, store, now, _dir: dir, data, out, events };
        for (id, transport) in [(UDP, Transport::Udp), (TCP, Transport::Tcp)] {
            let local = "192.0.2.1:5060".parse().unwrap();
            world.tell(Input::Listening(Listener { id, transport, local, advertised: None }));
        }
        world
    }

    /// Tells the machine something and stores what it wants stored; gives what it sends.
    fn tell(&mut self, input: Input<'_>) -> Vec<(Flow, String)> {
        self.element.handle(self.now, input, &mut self.out);
        let mut sent = Vec::new();
        loop {
            let outputs: Vec<Output> = self.out.outputs.drain(..).collect();
            let mut stored = Vec::new();
            for output in outputs {
                match output {
                    Output::Transmit { flow, bytes } => {
                        let text = String::from_utf8_lossy(self.out.bytes(&bytes)).into_owned();
                        sent.push((flow, text));
                    }
                    Output::Store { ticket, record } => {
                        self.store.put(vec![persist::to_store(record)]).unwrap();
                        stored.extend(ticket);
                    }
                    Output::Event(event) => {
                        self.events.push(format!("{} {}", event.kind, event.text))
                    }
                    Output::Close { connection } => sent.push((closed(connection), String::new())),
                    _ => {}
                }
            }
            self.out.clear();
            if stored.is_empty() {
                return sent;
            }
            for ticket in stored {
                let done = Input::Stored { ticket, result: Ok(()) };
                self.element.handle(self.now, done, &mut self.out);
            }
        }
    }

    fn datagram(&mut self, text: &str) -> Vec<(Flow, String)> {
        let remote = "192.0.2.9:5060".parse().unwrap();
        self.tell(Input::Datagram { listener: UDP, remote, bytes: text.as_bytes() })
    }

    fn stream(&mut self, number: u64, text: &str) -> Vec<(Flow, String)> {
        self.tell(Input::Stream { connection: ConnectionId(number), bytes: text.as_bytes() })
    }

    fn accept(&mut self, number: u64) {
        let connection = ConnectionId(number);
        let flow = Flow { connection: Some(connection), ..closed(connection) };
        self.tell(Input::Opened { connection, flow, identities: Vec::new() });
    }

    /// Has a job fail on the machine's thread; what the machine wants then.
    fn fail(&mut self) -> Vec<(Flow, String)> {
        let jobs = self.jobs.clone();
        let asking = std::thread::spawn(move || jobs.ask(|_, _, _| -> u8 { panic!("a fault") }));
        let mut sent = Vec::new();
        while !asking.is_finished() {
            sent.extend(self.tell(Input::Command(Command::Load(Vec::new()))));
            std::thread::yield_now();
        }
        assert!(asking.join().unwrap().is_err());
        sent
    }
}

fn closed(connection: ConnectionId) -> Flow {
    Flow {
        transport: Transport::Tcp,
        listener: TCP,
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: format!("192.0.2.9:{}", 4000 + connection.0).parse().unwrap(),
        connection: Some(connection),
    }
}

fn request(method: &str, user: &str, transport: &str, more: &str) -> String {
    format!(
        "{method} sip:{user}example.com SIP/2.0\r\nVia: SIP/2.0/{transport} 192.0.2.9;branch=z9hG4bK{method}{}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\n\
         Call-ID: {method}\r\nCSeq: 1 {method}\r\n{more}Content-Length: 0\r\n\r\n",
        more.len()
    )
}

#[test]
fn the_next_core_knows_the_bindings_and_the_connections() {
    let mut world = World::new(5);
    let contact = "Contact: <sip:alice@192.0.2.9:4001;transport=tcp>\r\n";
    world.accept(1);
    let sent = world.stream(1, &request("REGISTER", "", "TCP", contact));
    assert!(sent[0].1.starts_with("SIP/2.0 200 "), "{sent:?}");
    // On one connection a message is half here.
    world.accept(2);
    world.stream(2, "OPTIONS sip:example.com SIP/2.0\r\nVia: ");
    let sent = world.fail();
    assert_eq!(sent, [(closed(ConnectionId(2)), String::new())]);
    assert!(
        world.events.iter().any(|e| e.starts_with("core-failed a fault at ")),
        "{:?}",
        world.events
    );
    // What was acknowledged is there, and the phone is reached by the connection that it has.
    let sent = world.datagram(&request("MESSAGE", "alice@", "UDP", ""));
    let (flow, text) = sent.iter().find(|(_, text)| text.starts_with("MESSAGE")).unwrap();
    assert_eq!(flow.connection, Some(ConnectionId(1)), "{text}");
    let sent = world.stream(1, &request("OPTIONS", "", "TCP", ""));
    assert!(sent[0].1.starts_with("SIP/2.0 200 "), "{sent:?}");
    // The input is kept for whoever mends the fault.
    let kept = std::fs::read_dir(world.data.join("failures")).unwrap().count();
    assert_eq!(kept, 2);
}

/// What a core of the kind fails at it fails at each time; then the process ends after all.
#[test]
fn a_loop_of_failures_ends() {
    let mut world = World::new(3);
    for _ in 0..3 {
        world.fail();
    }
    let jobs = world.jobs.clone();
    let asking = std::thread::spawn(move || jobs.ask(|_, _, _| -> u8 { panic!("a fault") }));
    let ended = catch_all(|| {
        while !asking.is_finished() {
            world.tell(Input::Command(Command::Load(Vec::new())));
        }
    });
    assert!(ended.is_err());
    // Ten minutes later it would be forgiven.
    world.now.at = world.now.at + WITHIN;
    world.fail();
}

fn catch_all(work: impl FnOnce()) -> Result<(), Box<dyn Any + Send>> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
}

/// A machine that fails at one datagram and knows how often it was made.
struct Frail(u32);

impl Machine for Frail {
    fn handle(&mut self, _: Now, input: Input<'_>, out: &mut Outbox) {
        if let Input::Datagram { bytes, .. } = input {
            out.event(Level::Info, "half", String::new());
            assert!(bytes != b"poison", "it was {}", "poison");
            out.event(Level::Info, "whole", self.0.to_string());
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

#[test]
fn the_input_is_kept_and_what_it_half_did_is_undone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut element, _jobs) = Element::new(Frail(0), || {});
    element.set_mend(Mend::new(
        dir.path(),
        2,
        Box::new(|_, _, failed: &Frail, _| Some(Frail(failed.0 + 1))),
    ));
    let mut out = Outbox::new();
    for bytes in [&b"bread"[..], b"poison", b"bread"] {
        let remote = "192.0.2.9:5060".parse().unwrap();
        element.handle(Now::default(), Input::Datagram { listener: UDP, remote, bytes }, &mut out);
    }
    let kinds: Vec<(&str, &str)> = out
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Event(event) => Some((event.kind, event.text.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    assert_eq!((kinds[1], kinds[4]), (("whole", "0"), ("whole", "1")));
    assert_eq!(kinds[2].0, "core-failed");
    assert!(kinds[2].1.starts_with("it was poison at "), "{}", kinds[2].1);
    assert!(kinds[2].1.contains("a datagram from 192.0.2.9:5060"), "{}", kinds[2].1);
    let input = std::fs::read_dir(dir.path().join("failures"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "input"))
        .unwrap();
    assert_eq!(std::fs::read(input).unwrap(), b"poison");
}
