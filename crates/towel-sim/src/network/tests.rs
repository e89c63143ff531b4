use std::time::Duration;

use towel_core::io::{Flow, Output};

use super::link::Which;
use super::*;

/// Sends what it is told to, keeps what comes.
#[derive(Default)]
struct Post {
    got: Vec<(u64, Vec<u8>)>,
    opened: Vec<ConnectionId>,
    closed: usize,
    alarm: Option<Instant>,
}

impl Machine for Post {
    fn handle(&mut self, now: Now, input: Input<'_>, _out: &mut Outbox) {
        match input {
            Input::Datagram { bytes, .. } | Input::Stream { bytes, .. } => {
                self.got.push((now.at.0, bytes.to_vec()));
            }
            Input::Opened { connection, .. } => self.opened.push(connection),
            Input::Closed { .. } => self.closed += 1,
            Input::Tick => {
                self.alarm = None;
                self.got.push((now.at.0, b"tick".to_vec()));
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.alarm
    }
}

fn listener(ip: &str, transport: Transport) -> Listener {
    let local = SocketAddr::new(ip.parse().unwrap(), 5060);
    Listener { id: ListenerId(0), transport, local, advertised: None }
}

fn pair(seed: u64, transport: Transport) -> (Network<Post>, NodeId, NodeId) {
    let mut net = Network::new(seed);
    let a = net.add_agent("a", vec![listener("192.0.2.1", transport)], Post::default());
    let b = net.add_agent("b", vec![listener("192.0.2.2", transport)], Post::default());
    (net, a, b)
}

fn udp() -> Flow {
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "192.0.2.2:5060".parse().unwrap(),
        connection: None,
    }
}

#[test]
fn datagrams_are_lost_and_overtake_and_the_seed_tells_which() {
    let run = |seed| {
        let (mut net, a, b) = pair(seed, Transport::Udp);
        net.links.loss(Which::All, 200_000);
        net.links.delay(Which::All, 1_000, 50_000);
        for n in 0..100u8 {
            net.drive(a, |_, _, out| out.transmit(udp(), &[n]));
        }
        net.run_until(1_000_000);
        net.agent(b).unwrap().got.clone()
    };
    let got = run(1);
    assert!((60..95).contains(&got.len()), "{}", got.len());
    assert!(got.windows(2).any(|w| w[0].1 > w[1].1), "nothing overtook anything");
    assert_eq!(run(1), got);
    assert_ne!(run(2), got);
}

#[test]
fn a_stream_keeps_its_order_whatever_the_pieces() {
    let (mut net, a, b) = pair(5, Transport::Tcp);
    net.chop = true;
    net.links.loss(Which::All, 200_000);
    let connection = ConnectionId(ConnectionId::OPENED_BY_CORE);
    net.drive(a, |_, _, out| {
        out.outputs.push(Output::Open {
            connection,
            transport: Transport::Tcp,
            listener: None,
            remote: udp().remote,
            server_name: None,
        });
    });
    net.run_until(3_000_000);
    assert_eq!(net.agent(a).unwrap().opened, [connection]);
    let flow = Flow { transport: Transport::Tcp, connection: Some(connection), ..udp() };
    for n in 0..20u8 {
        net.drive(a, |_, _, out| out.transmit(flow, &[n, n, n]));
    }
    net.run_until(60_000_000);
    let got: Vec<u8> = net.agent(b).unwrap().got.iter().flat_map(|(_, b)| b.clone()).collect();
    assert_eq!(got, (0..20u8).flat_map(|n| [n, n, n]).collect::<Vec<_>>());
    assert!(net.agent(b).unwrap().got.len() > 20);
    net.reset(a, b);
    net.run_until(61_000_000);
    assert_eq!((net.agent(a).unwrap().closed, net.agent(b).unwrap().closed), (1, 1));
}

#[test]
fn a_timer_is_told_once_when_it_is_due() {
    let (mut net, a, _) = pair(1, Transport::Udp);
    net.drive(a, |post, now, _| post.alarm = Some(now.at + Duration::from_secs(3)));
    net.drive(a, |post, now, _| post.alarm = Some(now.at + Duration::from_secs(2)));
    net.run_until(10_000_000);
    assert_eq!(net.agent(a).unwrap().got, [(2_000_000, b"tick".to_vec())]);
    assert_eq!(net.now(), 10_000_000);
}

#[test]
fn a_partition_stops_everything_until_it_heals() {
    let (mut net, a, b) = pair(1, Transport::Udp);
    net.links.cut(Which::Two(b, a));
    net.drive(a, |_, _, out| out.transmit(udp(), b"1"));
    net.run_until(1_000_000);
    net.links.heal();
    net.drive(a, |_, _, out| out.transmit(udp(), b"2"));
    net.run_until(2_000_000);
    let got: Vec<_> = net.agent(b).unwrap().got.iter().map(|(_, b)| b.clone()).collect();
    assert_eq!(got, [b"2".to_vec()]);
    assert_eq!(net.trace()[0].fate, Fate::Lost);
}
