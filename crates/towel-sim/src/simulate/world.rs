//! The network of a scenario: who stands in it, what is under way, and what breaks.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use towel_core::io::{Command, Transport};
use towel_core::settings::Settings;

use super::attack::Attacker;
use super::scenario::{Act, AgentPlan, Fault, SECOND, Scenario, What};
use super::watch::Watch;
use crate::agent::{Agent, Target};
use crate::flow::{AgentSpec, DnsLine, FlowError, ServerSpec};
use crate::network::{Network, NodeId, Which};
use crate::rng::SimRng;
use crate::run::{Factory, agent_listeners};

/// How often the phones look at what came while anything moves, in microseconds.
const SLICE: u64 = 50_000;
/// How far a server is behind that is: it puts work off, and refuses none yet.
const BEHIND: u64 = 40_000;

/// What is still to be done, by phones and by the network.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    Act(usize),
    Reply { phone: usize, request: String, status: u16, act: usize },
    Hang { phone: usize, dialog: usize, copies: u8, call: String },
    Talk { phone: usize, dialog: usize, method: &'static str, call: String },
    GiveUp { phone: usize, invite: String },
    Again { phone: usize, invite: String, times: u32 },
    Attack { times: u32, dice: u64 },
    Start(NodeId),
    Mend(Which),
    Weather(u32),
    Names,
    Disk((u64, u64)),
    Room(NodeId),
    Near(NodeId),
    Renew(usize),
    InTime(NodeId),
}

/// A call as its caller knows it.
#[derive(Clone, Debug)]
pub(super) struct Calling {
    /// Which act it is of; by the Call-ID the callee knows too.
    pub(super) act: usize,
    pub(super) caller: usize,
    /// What the caller calls its INVITE.
    pub(super) invite: String,
    /// How often it was sent on already.
    pub(super) hops: u32,
    /// The caller's dialogs that were answered.
    pub(super) dialogs: Vec<usize>,
    /// Who took it up, and the dialog there.
    pub(super) callees: Vec<(usize, usize)>,
    pub(super) hung_up: bool,
    pub(super) acked: bool,
}

/// What a phone knows of its own registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nobody can say.
    Unknown,
    /// There until then.
    There(u64),
    /// Gone since then.
    Gone(u64),
}

/// A server that died.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    pub(super) server: NodeId,
    pub(super) at: u64,
}

pub(super) struct World<'s> {
    pub(super) scenario: &'s Scenario,
    pub(super) net: Network<Agent>,
    pub(super) watch: Watch,
    pub(super) servers: Vec<NodeId>,
    settings: Vec<Option<Box<Settings>>>,
    /// The user agents of our own.
    pub(super) agents: Vec<NodeId>,
    /// Where each phone is, if anything is about it.
    pub(super) phones: Vec<Option<NodeId>>,
    plans: BTreeMap<(u64, u64), Plan>,
    planned: u64,
    pub(super) named: usize,
    pub(super) calls: BTreeMap<String, Calling>,
    pub(super) claims: Vec<Claim>,
    /// When each user's bindings were last asked to be removed all at once: by home and user.
    pub(super) swept: BTreeMap<(usize, usize), u64>,
    /// The greatest CSeq of a REGISTER that each phone has an answer to.
    pub(super) told: Vec<u32>,
    /// How many requests of each phone to its registrar have no answer yet.
    pub(super) registering: Vec<BTreeMap<u32, Option<u32>>>,
    pub(super) deaths: Vec<Death>,
    /// How far the wall clock of each server has been put forward and back in all.
    pub(super) jumps: Vec<(u64, u64)>,
    attacker: Option<Attacker>,
    pub(super) answered: usize,
    pub(super) complaints: Vec<String>,
}

fn dns(net: &mut Network<Agent>, name: &str, words: &[&str]) -> Result<(), FlowError> {
    let words = words.iter().map(ToString::to_string).collect();
    net.zone.add(&DnsLine { line: 0, name: name.into(), words, after: 30_000, ttl: 60 })
}

impl<'s> World<'s> {
    pub(super) fn new(
        scenario: &'s Scenario,
        factory: &dyn Factory,
    ) -> Result<World<'s>, FlowError> {
        let mut rng = SimRng::new(scenario.seed ^ 0x0077_6f72_6c64);
        let mut net = Network::new(rng.next());
        net.watched = true;
        net.chop = !scenario.cut.calm;
        net.links.loss(Which::All, scenario.loss);
        net.links.duplicate(Which::All, scenario.duplicate);
        net.links.delay(Which::All, scenario.delay.min(10_000), scenario.delay);
        let mut servers = Vec::new();
        let mut settings_of = Vec::new();
        let mut doors: Vec<Vec<Target>> = Vec::new();
        for (at, plan) in scenario.servers.iter().enumerate() {
            let host = format!("192.0.2.{}", at + 1);
            let (domain, name) = (plan.domain(), format!("h.{}", plan.domain()));
            dns(&mut net, &format!("_sip._udp.{domain}"), &["SRV", "1", "1", "5060", &name])?;
            dns(&mut net, &format!("_sip._tcp.{domain}"), &["SRV", "1", "1", "5060", &name])?;
            dns(&mut net, &name, &["A", &host])?;
            let settings = plan.settings.iter().map(|(k, v)| (0, k.clone(), v.clone())).collect();
            let spec = ServerSpec {
                line: 0,
                name: plan.name.clone(),
                addresses: host.parse().into_iter().collect(),
                settings,
            };
            let built = factory.server(&spec)?;
            let door =
                |l: &towel_core::io::Listener| Target { transport: l.transport, address: l.local };
            doors.push(built.listeners.iter().map(door).collect());
            settings_of.push(built.settings);
            servers.push(net.add_element(
                &spec.name,
                built.listeners,
                built.names,
                built.records,
                built.maker,
            ));
        }
        let mut agents = Vec::new();
        for (at, plan) in scenario.agents.iter().enumerate() {
            let spec = own_agent(scenario, at, plan);
            let built = factory.server(&spec)?;
            agents.push(net.add_element(
                &spec.name,
                built.listeners,
                built.names,
                built.records,
                built.maker,
            ));
        }
        let mut phones = Vec::new();
        for (at, plan) in scenario.phones.iter().enumerate() {
            let random = rng.fork();
            if !scenario.acts.iter().any(|act| concerns(act, at)) {
                phones.push(None);
                continue;
            }
            let transport = if plan.tcp { Transport::Tcp } else { Transport::Udp };
            let domain = scenario.servers[plan.home].domain();
            let spec = AgentSpec {
                line: 0,
                name: format!("a{}", at + 1),
                address: SocketAddr::from(([192, 0, 2, 100 + at as u8], 5060)),
                transport,
                uri: format!("sip:u{}@{domain}", plan.user),
                contact: None,
                user: format!("u{}", plan.user),
                password: Some(format!("pw-u{}", plan.user)),
                via: None,
                manual: Vec::new(),
            };
            let agent = Agent::new(spec.clone(), doors[plan.via].clone(), random);
            phones.push(Some(net.add_agent(&spec.name, agent_listeners(&spec), agent)));
        }
        let attacker = scenario.attacked.then(|| Attacker::new(&mut net, rng.next()));
        let mut world = World {
            watch: Watch::new(scenario),
            claims: vec![Claim::Unknown; phones.len()],
            swept: BTreeMap::new(),
            told: vec![0; phones.len()],
            registering: vec![BTreeMap::new(); phones.len()],
            jumps: vec![(0, 0); servers.len()],
            scenario,
            net,
            servers,
            settings: settings_of,
            agents,
            phones,
            plans: BTreeMap::new(),
            planned: 0,
            named: 0,
            calls: BTreeMap::new(),
            deaths: Vec::new(),
            attacker,
            answered: 0,
            complaints: Vec::new(),
        };
        for agent in &world.agents {
            world.watch.has_agent(*agent);
        }
        for (at, act) in scenario.acts.iter().enumerate() {
            world.plan(act.at, Plan::Act(at));
        }
        Ok(world)
    }

    /// Puts something off until then.
    pub(super) fn plan(&mut self, at: u64, plan: Plan) {
        self.planned += 1;
        self.plans.insert((at, self.planned), plan);
    }

    /// Lets time pass until then; the phones do what phones do, and every step is watched.
    pub(super) fn pass(&mut self, end: u64) {
        while self.net.now() < end && self.net.stuck().is_none() {
            let planned = self.plans.keys().next().map_or(end, |(at, _)| *at);
            let moving = self.net.next_due().map_or(end, |at| at.max(self.net.now()) + SLICE);
            let until = planned.min(moving).min(end);
            self.net.run_until(until);
            self.watch.look(&mut self.net);
            if self.watch.has_enough() {
                return;
            }
            for phone in 0..self.phones.len() {
                self.look(phone);
            }
            while let Some(first) = self.plans.first_entry() {
                if first.key().0 > self.net.now() {
                    break;
                }
                let plan = first.remove();
                self.carry_out(plan);
            }
        }
    }

    /// The network is well from now on, and nobody is away any more.
    pub(super) fn recover(&mut self) {
        self.net.note(None, "the network is well");
        let overdue = std::mem::take(&mut self.plans);
        for ((at, _), plan) in overdue {
            match plan {
                Plan::Start(server) => self.net.start(server),
                Plan::Room(server) => self.net.set_disk_full(server, false),
                Plan::InTime(server) => self.net.set_behind(server, 0),
                // One that takes nothing new would do so for ever.
                Plan::Renew(server) => {
                    self.break_something(&Fault::Crash(server, 0));
                    self.net.start(self.servers[server]);
                }
                Plan::Near(_)
                | Plan::Mend(_)
                | Plan::Weather(_)
                | Plan::Names
                | Plan::Disk(_)
                | Plan::Attack { .. } => {}
                plan => self.plan(at, plan),
            }
        }
        self.net.links.mend(Which::All);
        self.net.links.heal();
        self.net.links.delay(Which::All, 10_000, 10_000);
        self.net.zone.recover();
        self.net.store_delay = (500, 3_000);
        self.net.release();
    }

    pub(super) fn break_something(&mut self, fault: &Fault) {
        let now = self.net.now();
        let name = |world: &World<'_>, at: usize| world.scenario.servers[at].name.clone();
        match *fault {
            Fault::Crash(server, time) => {
                let (node, who) = (self.servers[server], name(self, server));
                if !self.net.is_up(node) {
                    return;
                }
                self.deaths.push(Death { server: node, at: now });
                self.net.note(Some(node), format!("{who} dies"));
                self.net.stop(node);
                self.plan(now + time, Plan::Start(node));
            }
            Fault::CutServer(server, time) => {
                self.cut(Which::One(self.servers[server]), name(self, server), time);
            }
            Fault::CutPhone(phone, time) => {
                if let Some(node) = self.phones[phone] {
                    self.cut(Which::One(node), format!("a{}", phone + 1), time);
                }
            }
            Fault::CutPair(a, b, time) => {
                let both = format!("{} from {}", name(self, a), name(self, b));
                self.cut(Which::Two(self.servers[a], self.servers[b]), both, time);
            }
            Fault::Loss(parts, time) => {
                self.net.links.loss(Which::All, parts);
                self.net.note(None, format!("{} % are lost", parts / 10_000));
                self.plan(now + time, Plan::Weather(self.scenario.loss));
            }
            Fault::Dns(server, time) => {
                let domain = self.scenario.servers[server].domain();
                self.net.note(None, format!("DNS fails for {domain}"));
                for prefix in ["", "h.", "_sip._udp.", "_sip._tcp."] {
                    self.net.zone.fail(&format!("{prefix}{domain}"), time / 4);
                }
                self.plan(now + time, Plan::Names);
            }
            Fault::Clock(server, by) => {
                let who = name(self, server);
                self.net.note(Some(self.servers[server]), format!("{who}'s clock jumps {by} s"));
                self.net.clock(self.servers[server], by);
                let (forward, back) = &mut self.jumps[server];
                *if by > 0 { forward } else { back } += by.unsigned_abs() * SECOND;
            }
            Fault::Stall(server, time) => {
                let (node, who) = (self.servers[server], name(self, server));
                let text = format!("{who} stands still for {} s", time / SECOND);
                self.net.note(Some(node), text);
                self.net.stall(node, time);
            }
            Fault::SlowDisk(most, time) => {
                self.net.note(None, "the disks are slow");
                self.net.store_delay = (500, most);
                self.plan(now + time, Plan::Disk((500, 3_000)));
            }
            Fault::FullDisk(server, time) => {
                let (node, who) = (self.servers[server], name(self, server));
                self.net.note(Some(node), format!("{who}'s disk is full"));
                self.net.set_disk_full(node, true);
                self.plan(now + time, Plan::Room(node));
            }
            Fault::Slow(server, most, time) => {
                let (node, who) = (self.servers[server], name(self, server));
                self.net.note(Some(node), format!("{who} is slow to reach"));
                self.net.links.delay(Which::One(node), 10_000, most);
                self.plan(now + time, Plan::Near(node));
            }
            Fault::Drain(server, time) => {
                let (node, who) = (self.servers[server], name(self, server));
                if !self.net.is_up(node) {
                    return;
                }
                self.net.note(Some(node), format!("{who} takes nothing new"));
                self.net.command(node, Command::Drain);
                self.plan(now + time, Plan::Renew(server));
            }
            Fault::Reload(server) => {
                let (node, who) = (self.servers[server], name(self, server));
                let again = self.settings[server].clone();
                if let Some(settings) = again.filter(|_| self.net.is_up(node)) {
                    self.net.note(Some(node), format!("{who} reads its settings again"));
                    self.net.command(node, Command::Reload(settings));
                }
            }
            Fault::Behind(server, time) => {
                let (node, who) = (self.servers[server], name(self, server));
                self.net.note(Some(node), format!("{who} is behind with its work"));
                self.net.set_behind(node, BEHIND);
                self.plan(now + time, Plan::InTime(node));
            }
            Fault::Reset(server, phone) => {
                if let Some(node) = self.phones[phone] {
                    self.net.reset(self.servers[server], node);
                }
            }
        }
    }

    fn cut(&mut self, which: Which, who: String, time: u64) {
        self.net.note(None, format!("{who} is cut off"));
        self.net.links.cut(which);
        self.plan(self.net.now() + time, Plan::Mend(which));
    }

    pub(super) fn mend(&mut self, plan: Plan) {
        match plan {
            Plan::Start(server) => {
                let name = self.net.name(server).to_string();
                self.net.note(Some(server), format!("{name} starts"));
                self.net.start(server);
            }
            Plan::Mend(which) => {
                self.net.links.mend(which);
                self.net.release();
            }
            Plan::Weather(loss) => self.net.links.loss(Which::All, loss),
            Plan::Names => self.net.zone.recover(),
            Plan::Room(server) => self.net.set_disk_full(server, false),
            Plan::Near(server) => {
                let (least, most) = (self.scenario.delay.min(10_000), self.scenario.delay);
                self.net.links.delay(Which::One(server), least, most);
            }
            Plan::Renew(server) => self.break_something(&Fault::Crash(server, 0)),
            Plan::InTime(server) => self.net.set_behind(server, 0),
            Plan::Disk(delay) => self.net.store_delay = delay,
            Plan::Attack { times, dice } => {
                if let Some(attacker) = &mut self.attacker {
                    attacker.strike(&mut self.net, &self.servers, dice);
                }
                if times > 1 {
                    let again = Plan::Attack { times: times - 1, dice: dice.wrapping_add(1) };
                    self.plan(self.net.now() + dice % 500_000, again);
                }
            }
            _ => {}
        }
    }
}

/// A user agent of our own, as a flow would declare it.
fn own_agent(scenario: &Scenario, at: usize, plan: &AgentPlan) -> ServerSpec {
    let address = |phone: usize| {
        let plan = &scenario.phones[phone];
        format!("sip:u{}@{}", plan.user, scenario.servers[plan.home].domain())
    };
    let owner = &scenario.phones[plan.phone];
    let mut settings = vec![
        (0, "phone".to_string(), address(plan.phone)),
        (0, "proxy".to_string(), format!("sip:192.0.2.{};lr", owner.via + 1)),
        (0, "password".to_string(), format!("pw-u{}", owner.user)),
        (0, "rings".to_string(), "yes".to_string()),
        (0, "listen".to_string(), "udp, tcp".to_string()),
    ];
    for (when, method, whom) in &plan.asks {
        let whom = match whom {
            Some(phone) => address(*phone),
            None => format!("sip:{}", scenario.servers[owner.home].domain()),
        };
        settings.push((0, "ask".to_string(), format!("{}ms {method} {whom}", when / 1_000)));
    }
    let name = format!("ua{}", at + 1);
    let address = std::net::IpAddr::from([192, 0, 2, 50 + at as u8]);
    ServerSpec { line: 0, name, addresses: vec![address], settings }
}

/// Whether an act has to do with a phone.
fn concerns(act: &Act, phone: usize) -> bool {
    match &act.what {
        What::Call(call) => call.from == phone || call.to == phone,
        What::Request(from, to, _, _) => *from == phone || *to == Some(phone),
        What::Register(who, _) => *who == phone,
        What::Fault(Fault::CutPhone(who, _) | Fault::Reset(_, who)) => *who == phone,
        What::Fault(_) | What::Attack(_) => false,
    }
}
