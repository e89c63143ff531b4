//! Somebody who sends what nobody should: messages that were seen in the network, changed.

use std::net::SocketAddr;

use towel_core::io::{Flow, Listener, ListenerId, Transport};

use crate::agent::{Agent, Target};
use crate::flow::AgentSpec;
use crate::network::{Network, NodeId};
use crate::rng::SimRng;

/// What stands in messages and means something.
const WORDS: [&str; 24] = [
    "\r\n",
    "\r\n\r\n",
    ";",
    ",",
    "\"",
    "<",
    ">",
    ":",
    "@",
    "%",
    "=",
    " ",
    "\0",
    "\u{fe}",
    "sip:",
    "sips:",
    ";lr",
    ";tag=",
    ";branch=z9hG4bK",
    "SIP/2.0",
    "99999999999999999999",
    "-1",
    "Via: ",
    "Content-Length: 100000\r\n",
];

/// One that has seen everything.
pub(super) struct Attacker {
    node: NodeId,
    address: SocketAddr,
}

impl Attacker {
    pub(super) fn new(net: &mut Network<Agent>, seed: u64) -> Attacker {
        let address = SocketAddr::from(([192, 0, 2, 250], 5060));
        let spec = AgentSpec {
            line: 0,
            name: "mallory".into(),
            address,
            transport: Transport::Udp,
            uri: "sip:mallory@nowhere.example".into(),
            contact: None,
            user: "mallory".into(),
            password: None,
            via: None,
            manual: Vec::new(),
        };
        let listener = Listener {
            id: ListenerId(0),
            transport: Transport::Udp,
            local: address,
            advertised: None,
        };
        let agent = Agent::new(spec, Vec::new(), SimRng::new(seed));
        Attacker { node: net.add_agent("mallory", vec![listener], agent), address }
    }

    /// Sends one changed message to a server.
    pub(super) fn strike(&mut self, net: &mut Network<Agent>, servers: &[NodeId], dice: u64) {
        let mut rng = SimRng::new(dice);
        let seen = net.trace().len() as u64;
        if seen == 0 || servers.is_empty() {
            return;
        }
        // What was sent lately is what still means something.
        let window = if rng.chance(700_000) { 20 } else { seen };
        let back = rng.below(seen.min(window));
        let mut bytes = net.trace()[(seen - 1 - back) as usize].bytes.clone();
        let server = servers[rng.below(servers.len() as u64) as usize];
        mutate(&mut rng, &mut bytes);
        bytes.truncate(60_000);
        let Some(door) = net.listeners(server).first().map(|l| l.local.ip()) else { return };
        let remote = SocketAddr::new(door, 5060);
        let stream = rng.chance(300_000);
        let local = self.address;
        net.drive(self.node, |agent, now, out| {
            agent.set_time(now);
            if stream {
                let target = Target { transport: Transport::Tcp, address: remote };
                agent.send_raw(&bytes, target, out);
            } else {
                let listener = ListenerId(0);
                let transport = Transport::Udp;
                let flow = Flow { transport, listener, local, remote, connection: None };
                out.transmit(flow, &bytes);
            }
        });
        if let Some(agent) = net.agent(self.node) {
            while !agent.inbox().is_empty() {
                agent.take(0);
            }
        }
    }
}

/// Changes some of it; now and then nothing, which makes it a replay.
pub(super) fn mutate(rng: &mut SimRng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.below(6) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len() as u64;
        let at = rng.below(length) as usize;
        match rng.below(9) {
            0 => bytes[at] = rng.below(256) as u8,
            1 => bytes[at] ^= 1 << rng.below(8),
            2 => {
                let end = (at + rng.between(1, 40) as usize).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => bytes.truncate(at),
            4 | 5 => {
                let word = WORDS[rng.below(WORDS.len() as u64) as usize];
                bytes.splice(at..at, word.bytes());
            }
            6 => {
                // A piece of it once more.
                let end = (at + rng.between(1, 200) as usize).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            7 => line(rng, bytes),
            _ => {
                let word = [b'z'; 300];
                let many = rng.between(1, 20) as usize;
                let long: Vec<u8> = word.iter().copied().cycle().take(300 * many).collect();
                bytes.splice(at..at, long);
            }
        }
    }
}

/// Doubles, drops or moves a whole line.
fn line(rng: &mut SimRng, bytes: &mut Vec<u8>) {
    let mut lines: Vec<Vec<u8>> =
        bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let count = lines.len() as u64;
    let (from, to) = (rng.below(count) as usize, rng.below(count) as usize);
    match rng.below(3) {
        0 => {
            let copy = lines[from].clone();
            lines.insert(to, copy);
        }
        1 => {
            lines.remove(from);
        }
        _ => lines.swap(from, to),
    }
    *bytes = lines.concat();
}
