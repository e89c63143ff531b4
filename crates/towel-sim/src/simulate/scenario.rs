//! What happens in a run: who is there and what befalls them, drawn from a seed before anything
//! moves, so that parts of it can be left out and the rest stays what it was.

use std::collections::BTreeSet;

use crate::rng::SimRng;

/// A second on the virtual clock.
pub(super) const SECOND: u64 = 1_000_000;

/// What is left out of a scenario: how a failure is made small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The acts that are kept, by number; all where there is none.
    pub only: Option<BTreeSet<usize>>,
    /// Whether the links do no harm by themselves: no loss, doubling, reordering or odd pieces.
    pub calm: bool,
    /// Whether the elements are set as simply as they can be.
    pub plain: bool,
}

impl Cut {
    pub(super) fn keeps(&self, act: usize) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&act))
    }
}

/// A server: where it is and how it is set.
#[derive(Clone, Debug)]
pub struct ServerPlan {
    /// Its name, which is the label of its domain.
    pub name: String,
    /// Its settings, as a flow would have them.
    pub settings: Vec<(String, String)>,
    /// Whether it forwards without state.
    pub stateless: bool,
    /// Whether it sends callers on themselves.
    pub redirects: bool,
    /// Whether it has room for a few transactions only.
    pub tight: bool,
}

/// A user agent of our own: it registers and asks things by itself, and rings when it is called.
#[derive(Clone, Debug)]
pub struct AgentPlan {
    /// Which phone's user it belongs to.
    pub phone: usize,
    /// What it asks, and when, as a flow would have it: the time, the method, whom (a phone's user
    /// or, where there is none, the server).
    pub asks: Vec<(u64, &'static str, Option<usize>)>,
}

impl ServerPlan {
    /// Its domain.
    pub fn domain(&self) -> String {
        format!("{}.example", self.name)
    }
}

/// A phone.
#[derive(Clone, Copy, Debug)]
pub struct PhonePlan {
    /// Which server knows it.
    pub home: usize,
    /// The number of its user; some users have several phones.
    pub user: usize,
    /// Whether it prefers TCP.
    pub tcp: bool,
    /// The server that it sends to.
    pub via: usize,
    /// Further servers that its requests are to pass, by a Route of its own.
    pub route: [Option<usize>; 2],
}

/// How a call goes.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who calls.
    pub from: usize,
    /// Whose address of record is called.
    pub to: usize,
    /// What the callee answers at last; another phone of the same user may answer otherwise.
    pub status: u16,
    /// After which time, in microseconds.
    pub after: u64,
    /// Whether it rings before.
    pub rings: bool,
    /// When the caller gives up, if it does.
    pub patience: Option<u64>,
    /// Whether the caller acknowledges a 2xx.
    pub acks: bool,
    /// What is asked in the dialog: the time since the answer, whether the caller asks, the method.
    pub talk: Vec<(u64, bool, &'static str)>,
    /// When it is hung up after the answer, whether by the caller, and how often BYE is sent.
    pub hang: Option<(u64, bool, u8)>,
    /// How often the caller sends the same INVITE again, whatever came, every half second.
    pub stubborn: u32,
    /// A header field more.
    pub extra: Option<(&'static str, &'static str)>,
}

/// Something that breaks, and for how long.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A server dies and is back after so long.
    Crash(usize, u64),
    /// A server is unreachable.
    CutServer(usize, u64),
    /// A phone is unreachable.
    CutPhone(usize, u64),
    /// Two servers cannot reach each other.
    CutPair(usize, usize, u64),
    /// Datagrams are lost, in parts of a million.
    Loss(u32, u64),
    /// Nothing is known of the name of a server, and it takes a while to learn that.
    Dns(usize, u64),
    /// The wall clock of a server jumps by so many seconds.
    Clock(usize, i64),
    /// A server stands still, and what came meanwhile comes to it all at once.
    Stall(usize, u64),
    /// The disk is slow.
    SlowDisk(u64, u64),
    /// The connections between a server and a phone break.
    Reset(usize, usize),
    /// The disk of a server is full.
    FullDisk(usize, u64),
    /// A server is slow to reach: so much each way at most, for so long.
    Slow(usize, u64, u64),
    /// A server takes nothing new, and is started anew after so long.
    Drain(usize, u64),
    /// A server reads its settings again, which have not changed.
    Reload(usize),
    /// A server is behind with its work: what it reads has waited, and its timers are late.
    Behind(usize, u64),
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum What {
    /// A phone calls another.
    Call(Call),
    /// A phone sends a request outside of any dialog: to whom (the server where nobody), which.
    Request(usize, Option<usize>, &'static str, Option<(&'static str, &'static str)>),
    /// A phone registers for so many seconds; nought removes it, and `None` removes all.
    Register(usize, Option<u32>),
    /// Something breaks.
    Fault(Fault),
    /// Somebody sends bytes that were seen before, changed, so many times.
    Attack(u32),
}

/// When what happens.
#[derive(Clone, Debug)]
pub struct Act {
    /// Its number in the scenario as the seed has it.
    pub number: usize,
    /// When, in microseconds since the beginning.
    pub at: u64,
    /// The chances of this act alone.
    pub dice: u64,
    /// What.
    pub what: What,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// What was left out.
    pub cut: Cut,
    /// The servers. The first ones are homes of users, the others only forward.
    pub servers: Vec<ServerPlan>,
    /// How many of them are homes.
    pub homes: usize,
    /// The phones.
    pub phones: Vec<PhonePlan>,
    /// The user agents of our own.
    pub agents: Vec<AgentPlan>,
    /// Loss in parts of a million.
    pub loss: u32,
    /// Doubling in parts of a million.
    pub duplicate: u32,
    /// The most that a datagram takes, in microseconds.
    pub delay: u64,
    /// Whether somebody sends what nobody should.
    pub attacked: bool,
    /// How long things happen, in microseconds.
    pub length: u64,
    /// What happens, in order.
    pub acts: Vec<Act>,
}

impl Scenario {
    /// The scenario of a seed, less what is cut.
    pub fn new(seed: u64, cut: Cut) -> Scenario {
        let mut rng = SimRng::new(seed);
        let homes = rng.between(1, 3) as usize;
        let edges = rng.below(3) as usize;
        let mut servers: Vec<ServerPlan> =
            (0..homes + edges).map(|at| server(&mut rng, at, at < homes)).collect();
        let phones: Vec<PhonePlan> = (0..rng.between(2, 7) as usize)
            .map(|at| phone(&mut rng, at, homes, homes + edges))
            .collect();
        let passwords: Vec<String> =
            (0..phones.len()).map(|user| format!("user u{user} = pw-u{user}")).collect();
        // By chances of their own, so that a seed has the same story with and without.
        let mut dice = SimRng::new(seed ^ 0x7368_6172_6473);
        for server in servers.iter_mut().filter(|server| !server.tight) {
            if dice.chance(400_000) {
                let shards = dice.between(2, 3).to_string();
                server.settings.push(("shards".to_string(), shards));
            }
        }
        for server in &mut servers[..homes] {
            let users = passwords.iter().filter_map(|line| line.split_once(" = "));
            let users = users.map(|(key, value)| (key.to_string(), value.to_string()));
            server.settings.extend(users);
        }
        let attacked = rng.chance(150_000);
        let wild = rng.chance(800_000);
        let weather = if wild { rng.below(4) } else { 0 };
        let loss = [0, 0, 50_000, 200_000][weather as usize];
        let duplicate = if wild { [0, 50_000][rng.below(2) as usize] } else { 0 };
        let delay = if wild { [10_000, 50_000, 300_000][rng.below(3) as usize] } else { 10_000 };
        let length = [120, 300, 900, 3_600, 7_200][rng.below(5) as usize] * SECOND;
        let mut draw =
            Draw { rng, servers: servers.len(), homes, phones: phones.len(), wild, attacked };
        let mut acts: Vec<(u64, What)> =
            (0..phones.len()).map(|at| (draw.rng.below(5 * SECOND), draw.register(at))).collect();
        for _ in 0..draw.rng.between(5, 60) {
            let at = 6 * SECOND + draw.rng.below(length);
            acts.push((at, draw.what()));
        }
        acts.sort_by_key(|(at, _)| *at);
        let agents = if cut.plain { Vec::new() } else { draw.agents(length) };
        let acts = acts
            .into_iter()
            .enumerate()
            .map(|(number, (at, what))| Act { number, at, dice: draw.rng.next(), what })
            .filter(|act| cut.keeps(act.number))
            .collect();
        if cut.plain {
            for server in &mut servers {
                server.settings.retain(|(key, _)| matches!(&**key, "domains" | "relay" | "mode"));
                let no = ("authenticate".to_string(), "no".to_string());
                server.settings.push(no);
            }
        }
        let calm = cut.calm;
        Scenario {
            seed,
            servers,
            homes,
            phones,
            agents,
            loss: if calm { 0 } else { loss },
            duplicate: if calm { 0 } else { duplicate },
            delay: if calm { 10_000 } else { delay },
            attacked,
            length,
            acts,
            cut,
        }
    }

    /// Whether a server has room for so little that it refuses what it should take.
    pub fn is_tight(&self) -> bool {
        self.servers.iter().any(|server| server.tight) && !self.cut.plain
    }

    /// Whether nothing breaks and nothing is lost: then every answer must come.
    pub fn is_fair(&self) -> bool {
        let breaks = |act: &Act| matches!(act.what, What::Fault(_) | What::Attack(_));
        !self.is_tight() && self.loss == 0 && !self.acts.iter().any(breaks)
    }
}

fn server(rng: &mut SimRng, at: usize, home: bool) -> ServerPlan {
    let name = if home { format!("p{}", at + 1) } else { format!("e{}", at + 1) };
    let mut settings = vec![("relay".to_string(), "anybody".to_string())];
    let mut set = |key: &str, value: &str| settings.push((key.into(), value.into()));
    set("domains", &format!("{name}.example"));
    let draw = rng.below(100);
    let (stateless, redirects) = match (home, draw) {
        (true, 0..8) => (false, true),
        (true, 8..16) | (false, 0..30) => (true, false),
        _ => (false, false),
    };
    if stateless {
        set("mode", "stateless");
    }
    if redirects {
        set("mode", "redirect");
    }
    let proofs = home && rng.chance(350_000);
    set("authenticate", if proofs { "yes" } else { "no" });
    set("forking", ["by-q", "parallel", "sequential"][rng.below(3) as usize]);
    if rng.chance(300_000) {
        set("recurse", "yes");
    }
    if rng.chance(200_000) {
        set("record_route", "no");
    }
    if rng.chance(200_000) {
        set("ring", "10s");
    }
    if rng.chance(200_000) {
        set("durability", ["soon", "memory"][rng.below(2) as usize]);
    }
    if rng.chance(200_000) {
        set("max_udp_request", "400");
    }
    if !home && rng.chance(400_000) {
        set("path.insert", "true");
    }
    let tight = rng.chance(60_000);
    if tight {
        settings.push(("max_transactions".into(), "6".into()));
        settings.push(("max_calls".into(), "3".into()));
    }
    ServerPlan { name, settings, stateless, redirects, tight }
}

fn phone(rng: &mut SimRng, at: usize, homes: usize, servers: usize) -> PhonePlan {
    let home = rng.below(homes as u64) as usize;
    let user = if rng.chance(300_000) { rng.below(at as u64 + 1) as usize } else { at };
    let via = if rng.chance(500_000) { home } else { rng.below(servers as u64) as usize };
    let mut more = || rng.chance(150_000).then(|| rng.below(servers as u64) as usize);
    let route = [more(), more()];
    PhonePlan { home, user, tcp: rng.chance(300_000), via, route }
}

/// Draws what happens.
struct Draw {
    rng: SimRng,
    servers: usize,
    homes: usize,
    phones: usize,
    wild: bool,
    attacked: bool,
}

const EXTRAS: [(&str, &str); 10] = [
    ("Require", "no-such-thing"),
    ("Proxy-Require", "no-such-thing"),
    ("Supported", "path, outbound, gruu, 100rel, timer, replaces"),
    ("Max-Forwards", "1"),
    ("Max-Forwards", "0"),
    ("Max-Breadth", "1"),
    ("Request-Disposition", "no-fork"),
    ("Accept-Contact", "*;audio;require"),
    ("Reason", "SIP;cause=200;text=\"Elsewhere\""),
    ("Privacy", "id"),
];

impl Draw {
    fn any_phone(&mut self) -> usize {
        self.rng.below(self.phones as u64) as usize
    }

    fn any_server(&mut self) -> usize {
        self.rng.below(self.servers as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.below(of.len() as u64) as usize]
    }

    fn extra(&mut self) -> Option<(&'static str, &'static str)> {
        let any = self.rng.chance(250_000);
        any.then(|| self.one(&EXTRAS))
    }

    fn register(&mut self, phone: usize) -> What {
        What::Register(phone, Some(self.one(&[7_200, 7_200, 7_200, 20_000, 600, 60])))
    }

    fn what(&mut self) -> What {
        match self.rng.below(100) {
            0..45 => self.call(),
            45..60 => {
                const METHODS: [&str; 9] = [
                    "MESSAGE",
                    "MESSAGE",
                    "MESSAGE",
                    "OPTIONS",
                    "OPTIONS",
                    "SUBSCRIBE",
                    "PUBLISH",
                    "SUBSCRIBE",
                    "WIBBLE",
                ];
                let method = self.one(&METHODS);
                let (from, to) = (self.any_phone(), self.any_phone());
                let to = self.rng.chance(850_000).then_some(to);
                What::Request(from, to, method, self.extra())
            }
            60..68 => {
                let phone = self.any_phone();
                self.register(phone)
            }
            68..73 => {
                let all = self.rng.chance(200_000);
                What::Register(self.any_phone(), (!all).then_some(0))
            }
            73..80 if self.attacked => What::Attack(self.rng.between(1, 40) as u32),
            73.. if self.wild => What::Fault(self.fault()),
            _ => self.call(),
        }
    }

    fn call(&mut self) -> What {
        const ANSWERS: [u16; 14] =
            [200, 200, 200, 200, 200, 200, 486, 486, 480, 603, 503, 302, 404, 500];
        let (from, to) = (self.any_phone(), self.any_phone());
        let status = self.one(&ANSWERS);
        let after = match self.rng.below(12) {
            // Nobody takes it up: Timer C or the caller's patience ends it.
            0 => 3_600 * SECOND,
            _ => self.rng.below(20 * SECOND),
        };
        let patience = self.rng.chance(250_000).then(|| self.rng.below(25 * SECOND));
        let talks = self.rng.below(4);
        let talk = (0..talks)
            .map(|_| {
                let method = self.one(&["INVITE", "INFO", "UPDATE", "OPTIONS", "MESSAGE", "WRONG"]);
                (self.rng.below(60 * SECOND), self.rng.chance(500_000), method)
            })
            .collect();
        let hang = self.rng.chance(800_000).then(|| {
            let copies = if self.rng.chance(100_000) { 2 } else { 1 };
            (self.rng.below(120 * SECOND), self.rng.chance(600_000), copies)
        });
        What::Call(Call {
            from,
            to,
            status,
            after,
            // Without any response for 64*T1 the caller gives up (RFC 3261 section 17.1.1.2).
            rings: self.rng.chance(850_000) || after > 20 * SECOND,
            patience,
            acks: self.rng.chance(950_000),
            talk,
            hang,
            stubborn: if self.rng.chance(40_000) { self.rng.between(5, 200) as u32 } else { 0 },
            extra: self.extra(),
        })
    }

    fn agents(&mut self, length: u64) -> Vec<AgentPlan> {
        let count = self.rng.below(3);
        let mut agents = Vec::new();
        for _ in 0..count {
            let mut asks = vec![(self.rng.below(5 * SECOND), "REGISTER", None)];
            for _ in 0..self.rng.below(5) {
                let (method, whom) = (self.one(&["MESSAGE", "OPTIONS"]), self.any_phone());
                asks.push((6 * SECOND + self.rng.below(length), method, Some(whom)));
            }
            asks.sort();
            agents.push(AgentPlan { phone: self.any_phone(), asks });
        }
        agents
    }

    fn fault(&mut self) -> Fault {
        let (server, phone) = (self.any_server(), self.any_phone());
        // Less than 64*T1: whoever is cut off for longer may miss even a final response that is
        // repeated until Timer H.
        let time = SECOND + self.rng.below(14 * SECOND);
        match self.rng.below(28) {
            20 | 21 => Fault::FullDisk(server, 2 * time),
            22 | 23 => Fault::Slow(server, self.one(&[400_000, 1_500_000]), 2 * time),
            24 => Fault::Drain(server, time),
            25 | 26 => Fault::Behind(server, 2 * time),
            27 => Fault::Reload(server),
            0..4 => {
                let soon = self.rng.chance(500_000);
                Fault::Crash(server, if soon { 0 } else { time })
            }
            4..6 => Fault::CutServer(server, time),
            6..8 => Fault::CutPhone(phone, time),
            8 => Fault::CutPair(server, self.any_server(), time),
            9..12 => {
                let parts = self.one(&[50_000, 200_000, 500_000]);
                Fault::Loss(parts, 2 * time)
            }
            12..14 => Fault::Dns(self.rng.below(self.homes as u64) as usize, 2 * time),
            14 => Fault::Clock(server, self.one(&[3_600, 86_400, 30, -30, -3_600])),
            15..17 => {
                let long = self.one(&[3 * SECOND, 20 * SECOND, 100 * SECOND]);
                Fault::Stall(server, long)
            }
            17 => Fault::SlowDisk(self.one(&[100_000, 2_000_000]), time),
            _ => Fault::Reset(server, phone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_what_it_was() {
        for seed in 1..50 {
            let whole = Scenario::new(seed, Cut::default());
            let some: BTreeSet<usize> = [1, 3, 5].into();
            let less = Scenario::new(seed, Cut { only: Some(some), ..Cut::default() });
            for act in &less.acts {
                let same = &whole.acts[act.number];
                assert_eq!(format!("{act:?}"), format!("{same:?}"));
            }
            assert!((2..=3).contains(&less.acts.len()) || whole.acts.len() < 6);
        }
    }
}
