//! Random runs: some servers, some phones, a network as bad as the seed has it, and things
//! happening without a script. Nothing is expected of such a run but what must always be true.

use std::net::SocketAddr;

use towel_core::io::Transport;

use crate::agent::{Agent, Kind, Made, Target, Way};
use crate::audit;
use crate::flow::{AgentSpec, DnsLine, FieldLine, FlowError, ServerSpec, Template};
use crate::ladder::Ladder;
use crate::network::{Network, NodeId, Which};
use crate::pattern::Vars;
use crate::rng::SimRng;
use crate::run::{Factory, agent_listeners};

/// How often the phones look at what came, in microseconds.
const SLICE: u64 = 50_000;

/// How a random run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed that tells all of it.
    pub seed: u64,
    /// What was not as it must always be.
    pub complaints: Vec<String>,
    /// Who sent what to whom.
    pub ladder: Ladder,
    /// How many messages there were.
    pub messages: usize,
    /// How many calls were answered.
    pub answered: usize,
    /// How often a server was killed.
    pub crashes: usize,
}

/// What a phone has still to do, and when.
enum Plan {
    Reply { request: String, status: u16 },
    Hang { dialog: usize },
}

struct World {
    net: Network<Agent>,
    rng: SimRng,
    servers: Vec<NodeId>,
    phones: Vec<NodeId>,
    plans: Vec<(u64, NodeId, Plan)>,
    loss: u32,
    named: usize,
    answered: usize,
    crashes: usize,
    /// Who has the 200 to a registration.
    registered: Vec<NodeId>,
}

/// Plays `steps` random things among random elements.
pub fn run(seed: u64, steps: usize, factory: &dyn Factory) -> Result<Report, FlowError> {
    let mut world = World::new(seed, factory)?;
    for phone in world.phones.clone() {
        world.send(phone, "REGISTER", None);
    }
    world.pass(5_000_000);
    for _ in 0..steps {
        world.something();
        let pause = world.rng.below(2_000_000);
        world.pass(pause);
    }
    // From here on the network is well, so that everything can come to an end.
    world.weather(0);
    world.net.links.delay(Which::All, 10_000, 10_000);
    world.pass(420_000_000);
    let mut complaints = world.bindings();
    world.pass(60_000_000);
    complaints.extend(audit::messages(&world.net, factory));
    complaints.extend(world.endings());
    Ok(Report {
        seed,
        complaints,
        messages: world.net.trace().len(),
        answered: world.answered,
        crashes: world.crashes,
        ladder: world.net.ladder().clone(),
    })
}

impl World {
    fn new(seed: u64, factory: &dyn Factory) -> Result<World, FlowError> {
        let mut rng = SimRng::new(seed);
        let mut net = Network::new(rng.next());
        net.chop = true;
        let loss = [0, 50_000, 200_000][rng.below(3) as usize];
        net.links.loss(Which::All, loss);
        net.links.duplicate(Which::All, [0, 50_000][rng.below(2) as usize]);
        if rng.chance(500_000) {
            net.links.delay(Which::All, 1_000, 300_000);
        }
        let mut servers = Vec::new();
        let mut homes: Vec<Vec<Target>> = Vec::new();
        for number in 1..=rng.between(1, 3) {
            let host = format!("192.0.2.{number}");
            let domain = format!("d{number}.example");
            let line = |name: String, words: &[&str]| DnsLine {
                line: 0,
                name,
                words: words.iter().map(ToString::to_string).collect(),
                after: 30_000,
                ttl: 60,
            };
            let server = format!("p.{domain}");
            net.zone
                .add(&line(format!("_sip._udp.{domain}"), &["SRV", "1", "1", "5060", &server]))?;
            net.zone.add(&line(server, &["A", &host]))?;
            let settings =
                [("domains", domain.as_str()), ("authenticate", "no"), ("relay", "anybody")];
            let spec = ServerSpec {
                line: 0,
                name: format!("p{number}"),
                addresses: host.parse().into_iter().collect(),
                settings: settings.iter().map(|(k, v)| (0, k.to_string(), v.to_string())).collect(),
            };
            let built = factory.server(&spec)?;
            homes.push(
                built
                    .listeners
                    .iter()
                    .map(|l| Target { transport: l.transport, address: l.local })
                    .collect(),
            );
            servers.push(net.add_element(
                &spec.name,
                built.listeners,
                built.names,
                built.records,
                built.maker,
            ));
        }
        let mut phones = Vec::new();
        for number in 1..=rng.between(2, 6) {
            let home = rng.below(homes.len() as u64) as usize;
            // Some users have two phones.
            let user = rng.between(1, number);
            let transport = if rng.chance(300_000) { Transport::Tcp } else { Transport::Udp };
            let spec = AgentSpec {
                line: 0,
                name: format!("a{number}"),
                address: SocketAddr::from(([192, 0, 2, 100 + number as u8], 5060)),
                transport,
                uri: format!("sip:u{user}@d{}.example", home + 1),
                contact: None,
                user: format!("u{user}"),
                password: None,
                via: None,
                manual: Vec::new(),
            };
            let agent = Agent::new(spec.clone(), homes[home].clone(), rng.fork());
            phones.push(net.add_agent(&spec.name, agent_listeners(&spec), agent));
        }
        Ok(World {
            net,
            rng,
            servers,
            phones,
            plans: Vec::new(),
            loss,
            named: 0,
            answered: 0,
            crashes: 0,
            registered: Vec::new(),
        })
    }

    fn one_of(&mut self, nodes: &[NodeId]) -> NodeId {
        nodes[self.rng.below(nodes.len() as u64) as usize]
    }

    fn something(&mut self) {
        let phone = self.one_of(&self.phones.clone());
        let other = self.one_of(&self.phones.clone());
        let uri = self.net.agent(other).map(|a| a.spec().uri.clone()).unwrap_or_default();
        match self.rng.below(100) {
            0..45 => self.send(phone, "INVITE", Some(uri)),
            45..65 => self.send(phone, "MESSAGE", Some(uri)),
            65..75 => self.send(phone, "REGISTER", None),
            75..85 => {
                let template = Template::default();
                self.net.drive(phone, |agent, now, out| {
                    agent.set_time(now);
                    let _ = agent.give_up(None, &template, &Vars::new(), out);
                });
            }
            85..90 => {
                let server = self.one_of(&self.servers.clone());
                self.net.restart(server);
                self.crashes += 1;
            }
            90..95 => {
                self.net.links.cut(Which::One(phone));
                let name = self.net.name(phone).to_string();
                self.net.note(None, format!("{name} is cut off"));
                // Less than 64 T1: whoever is cut off for longer may miss even a final response
                // that is repeated until Timer H.
                let pause = self.rng.below(15_000_000);
                self.pass(pause);
                self.weather(self.loss);
            }
            _ => {
                self.loss = [0, 200_000][self.rng.below(2) as usize];
                self.weather(self.loss);
            }
        }
    }

    /// The network is whole, and loses so many parts in a million.
    fn weather(&mut self, loss: u32) {
        self.net.links.heal();
        self.net.links.loss(Which::All, loss);
        self.net.release();
    }

    fn send(&mut self, phone: NodeId, method: &str, uri: Option<String>) {
        let mut template = Template::default();
        if method == "REGISTER" {
            template.fields.push(FieldLine::Set("Expires".into(), "7200".into()));
        }
        self.net.drive(phone, |agent, now, out| {
            agent.set_time(now);
            let made =
                agent.request_from(method, uri.as_deref(), Way::default(), &template, &Vars::new());
            if let Ok(Made { text, target }) = made {
                agent.send(text, target, Some(method.to_lowercase()), out);
            }
        });
    }

    /// Lets time pass; the phones do what phones do.
    fn pass(&mut self, time: u64) {
        let end = self.net.now() + time;
        while self.net.now() < end && self.net.stuck().is_none() {
            self.net.run_until((self.net.now() + SLICE).min(end));
            for phone in self.phones.clone() {
                while self.net.agent(phone).is_some_and(|a| !a.inbox().is_empty()) {
                    self.look(phone);
                }
            }
            let now = self.net.now();
            let (due, rest) = std::mem::take(&mut self.plans).into_iter().partition(|p| p.0 <= now);
            self.plans = rest;
            for (_, phone, plan) in due {
                self.carry_out(phone, plan);
            }
        }
    }

    fn look(&mut self, phone: NodeId) {
        let Some(agent) = self.net.agent(phone) else { return };
        let arrived = agent.take(0);
        let (method, status) = (arrived.text.method().to_string(), arrived.text.status());
        let now = self.net.now();
        match (arrived.kind, method.as_str()) {
            (Kind::Request, "ACK" | "CANCEL") => {}
            (Kind::Request, _) => {
                self.named += 1;
                let request = format!("r{}", self.named);
                if let Some(agent) = self.net.agent(phone) {
                    agent.name(&arrived, &request);
                }
                if method == "INVITE" {
                    self.plans.push((
                        now,
                        phone,
                        Plan::Reply { request: request.clone(), status: 180 },
                    ));
                    let status = [200, 200, 200, 486, 480, 603, 503][self.rng.below(7) as usize];
                    let later = now + self.rng.below(20_000_000);
                    self.plans.push((later, phone, Plan::Reply { request, status }));
                } else {
                    self.plans.push((now, phone, Plan::Reply { request, status: 200 }));
                }
            }
            (Kind::Response, "INVITE") if (200..300).contains(&status) => {
                self.answered += 1;
                self.net.drive(phone, |agent, now, out| {
                    agent.set_time(now);
                    let _ = agent.acknowledge(&Template::default(), &Vars::new(), out);
                });
                if let Some(dialog) = self.net.agent(phone).and_then(|a| a.dialog()) {
                    let later = now + self.rng.below(30_000_000);
                    self.plans.push((later, phone, Plan::Hang { dialog }));
                }
            }
            (Kind::Response, "REGISTER") if status == 200 => self.registered.push(phone),
            _ => {}
        }
    }

    fn carry_out(&mut self, phone: NodeId, plan: Plan) {
        match plan {
            Plan::Reply { request, status } => {
                self.net.drive(phone, |agent, now, out| {
                    agent.set_time(now);
                    if agent.may_answer(&request) {
                        let (template, vars) = (Template::default(), Vars::new());
                        let _ = agent.reply(status, None, Some(&request), &template, &vars, out);
                    }
                });
            }
            Plan::Hang { dialog } => {
                if let Some(agent) = self.net.agent(phone) {
                    agent.enter(dialog);
                }
                self.send(phone, "BYE", None);
            }
        }
    }

    /// Who was told 200 is still known, whatever crashed since.
    fn bindings(&mut self) -> Vec<String> {
        let mut registered = std::mem::take(&mut self.registered);
        registered.sort();
        registered.dedup();
        let mut complaints = Vec::new();
        for phone in registered {
            let template = Template {
                fields: vec![FieldLine::Remove("Contact".into())],
                ..Template::default()
            };
            self.net.drive(phone, |agent, now, out| {
                agent.set_time(now);
                let way = Way::default();
                let made = agent.request_from("REGISTER", None, way, &template, &Vars::new());
                if let Ok(Made { text, target }) = made {
                    agent.send(text, target, Some("question".into()), out);
                }
            });
            self.net.run_until(self.net.now() + 2_000_000);
            let name = self.net.name(phone).to_string();
            let Some(agent) = self.net.agent(phone) else { continue };
            let contact = format!("<{}>", agent.contact());
            let known = agent
                .inbox()
                .iter()
                .any(|a| a.text.values("Contact").iter().any(|value| value.starts_with(&contact)));
            while !agent.inbox().is_empty() {
                agent.take(0);
            }
            if !known {
                complaints.push(format!("the registration of {name} is lost"));
            }
        }
        complaints
    }

    fn endings(&mut self) -> Vec<String> {
        let mut complaints = audit::ending(&mut self.net, true);
        if self.crashes > 0 {
            // An INVITE that was ringing when its proxy died stays without an answer, and the
            // caller has to give it up (RFC 6026 section 8.2 has stray responses dropped).
            // And one that comes again after the crash is a new request to it.
            complaints.retain(|c| {
                let unanswered = c.contains("INVITE") && c.contains("never had a final");
                !(unanswered || c.contains(" and then a "))
            });
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Elements;
    use crate::ladder::Style;

    #[test]
    fn what_must_always_be_true_is() {
        seeds(1, 30);
    }

    /// Some minutes; `cargo test -p towel-sim --lib -- --ignored` runs it.
    #[test]
    #[ignore = "takes minutes"]
    fn whatever_the_seed() {
        seeds(1_000, 1_000);
    }

    fn seeds(first: u64, count: u64) {
        let (mut answered, mut crashes) = (0, 0);
        for seed in first..first + count {
            let report = run(seed, 40, &Elements::default()).unwrap();
            assert!(
                report.complaints.is_empty(),
                "seed {seed}: {:#?}\n{}",
                report.complaints,
                report.ladder.render(Style::default())
            );
            answered += report.answered;
            crashes += report.crashes;
        }
        assert!(
            answered as u64 > 3 * count && crashes as u64 > count / 2,
            "too little happened: {answered}, {crashes}"
        );
    }

    #[test]
    fn the_seed_tells_all_of_it() {
        let draw =
            |seed| run(seed, 20, &Elements::default()).unwrap().ladder.render(Style::default());
        assert_eq!(draw(3), draw(3));
    }
}
