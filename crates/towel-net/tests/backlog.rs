//! A machine slower than what comes is told how long things wait, and may have some of it thrown away.

use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use towel_core::io::{Input, Instant, Machine, Now, Outbox, Output, Transport};
use towel_core::overload::Shed;
use towel_net::{Bind, Config, Driver, Forget};

#[derive(Debug, PartialEq)]
enum Told {
    Datagram(String),
    Backlog(Duration, u8),
}

/// Takes its time for each datagram; `shed N` has it ask for that share to be thrown away.
struct Slow(Sender<Told>);

impl Machine for Slow {
    fn handle(&mut self, _: Now, input: Input<'_>, out: &mut Outbox) {
        let told = match input {
            Input::Datagram { bytes, .. } => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                if let Some(share) = text.strip_prefix("shed ") {
                    out.outputs.push(Output::Shed(Shed { new: share.parse().unwrap(), known: 0 }));
                } else {
                    std::thread::sleep(Duration::from_micros(200));
                }
                Told::Datagram(text)
            }
            Input::Backlog { wait, fill } => Told::Backlog(wait, fill),
            _ => return,
        };
        let _ = self.0.send(told);
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

fn run(test: impl FnOnce(&UdpSocket, &Receiver<Told>)) {
    let mut config = Config::new(vec![Bind::new(Transport::Udp, "127.0.0.1:0".parse().unwrap())]);
    config.resolver = None;
    let driver = Driver::new(config).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(driver.listeners()[0].local).unwrap();
    let handle = driver.handle();
    let (sender, told) = channel();
    let mut forget = Forget(handle.clone());
    let thread = std::thread::spawn(move || {
        driver.run(&mut Slow(sender), &mut forget, &mut |_| ()).unwrap();
    });
    test(&client, &told);
    handle.stop(Duration::ZERO);
    thread.join().unwrap();
}

fn next(told: &Receiver<Told>) -> Told {
    told.recv_timeout(Duration::from_secs(20)).expect("the machine was never told")
}

#[test]
fn what_waits_is_told_and_that_it_does_no_longer() {
    run(|client, told| {
        for _ in 0..2000 {
            client.send(b"some").unwrap();
        }
        // The kernel notes the times once it was asked: those that come from now on have them.
        while !matches!(next(told), Told::Backlog(_, fill) if fill > 0) {}
        for _ in 0..200 {
            client.send(b"more").unwrap();
        }
        while !matches!(next(told), Told::Backlog(wait, _) if wait > Duration::ZERO) {}
        while next(told) != Told::Backlog(Duration::ZERO, 0) {}
        // In good times nothing of this is told.
        client.send(b"one").unwrap();
        let mut last = next(told);
        while last != Told::Datagram("one".into()) {
            assert!(!matches!(last, Told::Backlog(..)), "{last:?}");
            last = next(told);
        }
    });
}

#[test]
fn new_work_is_thrown_away_on_demand() {
    run(|client, told| {
        let invite = "INVITE sip:bob@example.org SIP/2.0\r\n";
        let bye = "BYE sip:bob@example.org SIP/2.0\r\n";
        for text in ["shed 1000", "first"] {
            client.send(text.as_bytes()).unwrap();
            assert_eq!(next(told), Told::Datagram(text.into()));
        }
        for text in [invite, bye, "shed 0", "second"] {
            client.send(text.as_bytes()).unwrap();
        }
        for text in [bye, "shed 0", "second"] {
            assert_eq!(next(told), Told::Datagram(text.into()));
        }
        client.send(invite.as_bytes()).unwrap();
        assert_eq!(next(told), Told::Datagram(invite.into()));
    });
}
