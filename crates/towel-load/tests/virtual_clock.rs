//! The generator on a virtual clock, against a server of a few lines: a relay that passes callers'
//! messages to callees and back, and that can lose, delay, refuse and challenge.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use towel_core::io::{
    Command, Input, Instant, Listener, ListenerId, Machine, Now, Outbox, Output, Transport,
};
use towel_load::{
    Amount, Arrivals, Load, Mix, Nonces, Pace, People, Plan, Purpose, Step, StepReport, Wait,
    Watch, Work,
};

const SOCKETS: usize = 2;

/// What the server does with a message, told its text and how many there were before it.
enum Fate {
    Pass,
    Lose,
    /// Answer it with this status and these header fields.
    Answer(u16, String),
}

#[derive(Default)]
struct Seen {
    windows: (u32, u32),
    ended: bool,
    under_way: Vec<u64>,
}

struct Notes(Rc<RefCell<Seen>>);

impl Watch for Notes {
    fn opened(&mut self) {
        self.0.borrow_mut().windows.0 += 1;
    }

    fn closed(&mut self) -> towel_load::cpu::Spent {
        self.0.borrow_mut().windows.1 += 1;
        Default::default()
    }

    fn report(&mut self, _: &Step, report: &StepReport) {
        let points = report.course.iter().map(|point| point.under_way);
        self.0.borrow_mut().under_way.extend(points);
    }

    fn ended(&mut self) {
        self.0.borrow_mut().ended = true;
    }
}

struct World<'a> {
    load: Load<Notes>,
    seen: Rc<RefCell<Seen>>,
    now: Instant,
    /// What is on its way to the generator, by time and order: listener and bytes.
    coming: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    order: u64,
    count: u64,
    delay: Duration,
    fate: &'a mut dyn FnMut(&str, u64) -> Fate,
    /// Until when nothing leaves the server.
    stalled: (Instant, Instant),
    /// The generator is given the processor only so often.
    grain: u64,
    /// Every message that was sent.
    sent: Vec<String>,
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan {
        server: "127.0.0.1:5060".parse().unwrap(),
        transport: Transport::Udp,
        local: "127.0.0.1".parse().unwrap(),
        first_port: 0,
        sockets: SOCKETS,
        users: People::pattern("u{n}:pw{n}@a.test", 50, None).unwrap(),
        callers: People::pattern("c{n}:pw{n}@a.test", 50, None).unwrap(),
        steps,
        expires: 600,
        nonces: Nonces::Keep,
        timeout: Duration::from_secs(32),
        patience: Duration::from_secs(8),
        most: 10_000,
        seed: 1,
        run: 9,
    }
}

fn open(work: Work, rate: f64, seconds: u64) -> Step {
    Step {
        name: "a step".into(),
        purpose: Purpose::Measure,
        mix: Mix(vec![(work, 1)]),
        pace: Pace::Open { rate, arrivals: Arrivals::Constant, ramp: Duration::ZERO },
        warm_up: Duration::from_secs(1),
        amount: Amount::Time(Duration::from_secs(seconds)),
        hold: Duration::ZERO,
    }
}

fn closed(work: Work, window: usize, count: u64) -> Step {
    let pace = Pace::Closed { window };
    let amount = Amount::Count(count);
    Step { pace, amount, warm_up: Duration::ZERO, ..open(work, 1.0, 1) }
}

fn pass(_: &str, _: u64) -> Fate {
    Fate::Pass
}

impl<'a> World<'a> {
    fn new(plan: Plan, fate: &'a mut dyn FnMut(&str, u64) -> Fate) -> Self {
        let seen = Rc::new(RefCell::new(Seen::default()));
        let load = Load::new(plan, Notes(seen.clone()));
        let mut world = World {
            load,
            seen,
            now: Instant(1_000_000),
            coming: BTreeMap::new(),
            order: 0,
            count: 0,
            delay: Duration::from_millis(1),
            fate,
            stalled: (Instant(0), Instant(0)),
            grain: 1,
            sent: Vec::new(),
        };
        for n in 0..2 * SOCKETS {
            let listener = Listener {
                id: ListenerId(n as u16),
                transport: Transport::Udp,
                local: format!("127.0.0.1:{}", 7000 + n).parse().unwrap(),
                advertised: None,
            };
            world.input(Input::Listening(listener));
        }
        world
    }

    fn input(&mut self, input: Input<'_>) {
        let mut out = Outbox::new();
        self.load.handle(Now { at: self.now, unix: 0 }, input, &mut out);
        let outputs: Vec<Output> = out.outputs.drain(..).collect();
        for output in outputs {
            if let Output::Transmit { flow, bytes } = output {
                let bytes = out.bytes(&bytes).to_vec();
                self.serve(usize::from(flow.listener.0), bytes);
            }
        }
    }

    /// The server: what comes from a caller goes to a callee, and the other way round.
    fn serve(&mut self, from: usize, bytes: Vec<u8>) {
        let text = String::from_utf8(bytes).unwrap();
        self.sent.push(text.clone());
        self.count += 1;
        let fate = if text.starts_with("REGISTER") {
            match (self.fate)(&text, self.count) {
                Fate::Pass => Fate::Answer(200, String::new()),
                other => other,
            }
        } else {
            (self.fate)(&text, self.count)
        };
        let (to, text) = match fate {
            Fate::Lose => return,
            // The ACK for an answer of the server's own, which has no tag of a callee.
            Fate::Pass if text.starts_with("ACK") && !text.contains(";tag=t") => return,
            Fate::Pass if from < SOCKETS => (from + SOCKETS, text),
            Fate::Pass => (from - SOCKETS, text),
            Fate::Answer(_, _) if text.starts_with("ACK") => return,
            Fate::Answer(status, more) => {
                let kept = text.lines().filter(|line| {
                    ["Via:", "From:", "To:", "Call-ID:", "CSeq:"]
                        .iter()
                        .any(|n| line.starts_with(n))
                });
                let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
                (from, format!("SIP/2.0 {status} X\r\n{kept}{more}Content-Length: 0\r\n\r\n"))
            }
        };
        let mut at = self.now + self.delay;
        if at >= self.stalled.0 && at < self.stalled.1 {
            at = self.stalled.1;
        }
        self.order += 1;
        self.coming.insert((at, self.order), (to, text.into_bytes()));
    }

    /// Until the load is over, or a time has passed.
    fn run(&mut self, until: Duration) {
        let end = Instant(1_000_000) + until;
        while !self.load.is_over() && self.now < end {
            let first = self.coming.keys().next().map(|(at, _)| *at);
            let next = [first, self.load.deadline()].into_iter().flatten().min();
            let Some(next) = next else { return };
            let next = Instant(next.0.div_ceil(self.grain) * self.grain);
            self.now = self.now.max(next);
            let mut due = VecDeque::new();
            while let Some(entry) = self.coming.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                due.push_back(entry.remove());
            }
            let idle = due.is_empty();
            for (listener, bytes) in due {
                let listener = ListenerId(listener as u16);
                let remote = "127.0.0.1:5060".parse().unwrap();
                self.input(Input::Datagram { listener, remote, bytes: &bytes });
            }
            if idle {
                self.input(Input::Tick);
            }
        }
    }

    fn finish(self) -> Vec<StepReport> {
        self.load.finish().unwrap()
    }
}

fn run(plan: Plan, fate: &mut dyn FnMut(&str, u64) -> Fate) -> Vec<StepReport> {
    let mut world = World::new(plan, fate);
    world.run(Duration::from_secs(3600));
    assert!(world.load.is_over(), "it never ended");
    let seen = world.seen.clone();
    let reports = world.finish();
    assert!(seen.borrow().ended && seen.borrow().windows.0 == seen.borrow().windows.1);
    reports
}

fn only(reports: Vec<StepReport>) -> StepReport {
    let [report] = <[StepReport; 1]>::try_from(reports).unwrap();
    report
}

#[test]
fn an_open_loop_offers_what_it_was_told() {
    let report = only(run(plan(vec![open(Work::Call, 100.0, 10)]), &mut pass));
    assert_eq!((report.offered, report.started, report.ok), (1000, 1000, 1000));
    assert!(report.clean() && report.strays == 0 && report.limits.is_empty(), "{report:?}");
    assert_eq!((report.seconds, report.completed), (10.0, 1000));
    // INVITE, 180, 200, ACK, BYE, 200, each out and in: a relay has no 100.
    assert_eq!(report.messages_per_unit, 12.0);
    // One millisecond each way, to three digits.
    let waits = &report.works[&Work::Call].latency;
    for (wait, micros) in [(Wait::Ringing, 2000), (Wait::Answered, 2000), (Wait::Bye, 2000)] {
        assert_eq!(waits[&wait].count, 1000);
        assert!(waits[&wait].p50.abs_diff(micros) <= 2 && waits[&wait].max.abs_diff(micros) <= 2);
    }
    assert!(report.course.iter().skip(1).take(9).all(|p| (p.started, p.ok) == (100, 100)));
}

#[test]
fn a_stall_is_charged_to_all_who_would_have_waited() {
    for (work, wait) in [(Work::Options, Wait::Final), (Work::Message, Wait::Final)] {
        let mut fate = pass;
        let mut world = World::new(plan(vec![open(work, 1000.0, 10)]), &mut fate);
        // Two of the ten seconds nothing leaves the server.
        world.stalled = (Instant(5_000_000), Instant(7_000_000));
        world.run(Duration::from_secs(60));
        let report = only(world.finish());
        assert_eq!((report.offered, report.ok, report.lost), (10_000, 10_000, 0));
        let latency = &report.works[&work].latency[&wait];
        // One in five waits, evenly from 0 to 2 s: percentile 90 is 1 s. A generator that waited for
        // its server would have seen one slow answer.
        assert!(latency.p50 < 3000, "{}", latency.p50);
        assert!((900_000..1_100_000).contains(&latency.p90), "{}", latency.p90);
        assert!(latency.max > 1_900_000, "{}", latency.max);
        assert!(report.retransmissions > 0 && report.duplicates > 0);
    }
}

#[test]
fn a_generator_that_is_late_says_so_and_charges_it() {
    let mut fate = pass;
    let mut world = World::new(plan(vec![open(Work::Options, 1000.0, 5)]), &mut fate);
    world.grain = 50_000;
    world.run(Duration::from_secs(60));
    let report = only(world.finish());
    assert_eq!(report.offered, 5000);
    assert!(report.lag.p99 > 10_000, "{}", report.lag.p99);
    assert!(report.limits.iter().any(|l| l.contains("behind its schedule")), "{:?}", report.limits);
    let latency = &report.works[&Work::Options].latency[&Wait::Final];
    assert!(latency.p50 > 20_000, "its own lateness must be in the latency: {}", latency.p50);
}

#[test]
fn a_closed_loop_keeps_its_window() {
    let mut fate = pass;
    let mut world = World::new(plan(vec![closed(Work::Call, 7, 1000)]), &mut fate);
    world.run(Duration::from_secs(60));
    let most = world.seen.borrow().under_way.iter().copied().max().unwrap_or(0);
    let sent = std::mem::take(&mut world.sent);
    let report = only(world.finish());
    assert_eq!((report.offered, report.ok, report.window), (1000, 1000, Some(7)));
    assert!(report.clean() && most <= 7, "{most}");
    let invites = sent.iter().filter(|text| text.starts_with("INVITE")).count();
    assert_eq!(invites, 1000);
    // Each call has a Call-ID of its own.
    let ids: std::collections::HashSet<&str> = sent
        .iter()
        .filter(|text| text.starts_with("INVITE"))
        .filter_map(|text| text.lines().find(|l| l.starts_with("Call-ID")))
        .collect();
    assert_eq!(ids.len(), 1000);
}

#[test]
fn loss_is_met_with_retransmissions() {
    let mut fate = |_: &str, n: u64| if n.is_multiple_of(7) { Fate::Lose } else { Fate::Pass };
    let steps = vec![open(Work::Call, 50.0, 10), closed(Work::Register, 5, 200)];
    // As long as the last retransmission of a call can take.
    let plan = Plan { patience: Duration::from_secs(64), ..plan(steps) };
    let [calls, registers] = <[StepReport; 2]>::try_from(run(plan, &mut fate)).unwrap();
    assert_eq!((calls.offered, calls.ok, calls.lost), (500, 500, 0));
    assert!(calls.retransmissions > 100 && calls.duplicates > 0 && !calls.clean());
    assert_eq!((registers.ok, registers.lost), (200, 0));
    assert!(registers.retransmissions > 0);
}

#[test]
fn what_gets_no_answer_is_lost_and_what_is_refused_is_counted_by_code() {
    let mut silent = |text: &str, _: u64| {
        if text.starts_with("MESSAGE") { Fate::Lose } else { Fate::Pass }
    };
    let report = only(run(plan(vec![open(Work::Message, 10.0, 2)]), &mut silent));
    assert_eq!((report.offered, report.ok, report.lost, report.completed), (20, 0, 20, 0));
    assert!(report.retransmissions > 20 && report.works[&Work::Message].latency.is_empty());

    let mut calls = 0;
    let mut busy = |text: &str, _: u64| {
        if !text.starts_with("INVITE") {
            return Fate::Pass;
        }
        calls += 1;
        match calls % 4 {
            0 => Fate::Answer(503, "Retry-After: 5\r\n".into()),
            1 => Fate::Answer(486, String::new()),
            _ => Fate::Pass,
        }
    };
    let report = only(run(plan(vec![closed(Work::Call, 3, 400)]), &mut busy));
    assert_eq!((report.ok, report.failed, report.lost), (200, 200, 0));
    assert_eq!(report.refused, BTreeMap::from([(486, 100), (503, 100)]));
    // What was refused is acknowledged once, and never sent again.
    assert_eq!(report.retransmissions, 0);
}

#[test]
fn a_challenge_is_answered_once_and_its_nonce_used_again() {
    let challenge = || {
        let line = "WWW-Authenticate: Digest realm=\"a.test\", nonce=\"n1\", qop=\"auth\"\r\n";
        Fate::Answer(401, line.into())
    };
    let mut registrar = |text: &str, _: u64| {
        if text.contains("Authorization: Digest") { Fate::Pass } else { challenge() }
    };
    // Fifty users register four times each.
    let mut keep = World::new(plan(vec![closed(Work::Register, 5, 200)]), &mut registrar);
    keep.run(Duration::from_secs(60));
    let sent = std::mem::take(&mut keep.sent);
    let report = only(keep.finish());
    assert_eq!((report.ok, report.challenges, report.failed), (200, 50, 0));
    assert_eq!(sent.len(), 250);
    let last = sent.iter().rfind(|text| text.contains("username=\"u7\"")).unwrap();
    assert!(last.contains("nc=00000004") && last.contains("CSeq: 5 REGISTER"), "{last}");

    let forget = Plan { nonces: Nonces::Forget, ..plan(vec![closed(Work::Register, 5, 200)]) };
    let report = only(run(forget, &mut registrar));
    assert_eq!((report.ok, report.challenges), (200, 200));

    // A password that is wrong is tried once and no more.
    let mut never = |_: &str, _: u64| challenge();
    let report = only(run(plan(vec![closed(Work::Register, 5, 10)]), &mut never));
    assert_eq!(
        (report.ok, report.refused, report.challenges),
        (0, BTreeMap::from([(401, 10)]), 10)
    );
}

#[test]
fn a_proxy_challenges_the_caller_and_the_bye() {
    let mut proxy = |text: &str, _: u64| {
        let line = "Proxy-Authenticate: Digest realm=\"a.test\", nonce=\"n1\", qop=\"auth\"\r\n";
        let asks = text.starts_with("INVITE") || text.starts_with("BYE");
        match asks && !text.contains("Proxy-Authorization") {
            true => Fate::Answer(407, line.into()),
            false => Fate::Pass,
        }
    };
    let report = only(run(plan(vec![closed(Work::Call, 5, 100)]), &mut proxy));
    assert_eq!((report.ok, report.challenges, report.lost), (100, 50, 0));
}

#[test]
fn calls_are_held_and_calls_stay_up() {
    let hold = Step { hold: Duration::from_secs(3), ..open(Work::Call, 20.0, 10) };
    let hold = Step { warm_up: Duration::from_secs(4), ..hold };
    let mut fate = pass;
    let mut world = World::new(plan(vec![hold]), &mut fate);
    world.run(Duration::from_secs(120));
    let under_way = world.seen.borrow().under_way.clone();
    let report = only(world.finish());
    assert_eq!((report.offered, report.ok, report.lost, report.hold), (200, 200, 0, 3.0));
    // In the steady state as many end as begin, and 3 s times 20 a second are up.
    assert_eq!(report.completed, 200);
    assert!((58..=62).contains(&under_way[8]), "{under_way:?}");

    let up = Step { purpose: Purpose::BringUp, ..closed(Work::Call, 8, 120) };
    let down = Step { purpose: Purpose::HangUp, ..closed(Work::Call, 8, 120) };
    let mut fate = pass;
    let steps = vec![up, open(Work::Options, 10.0, 2), down];
    let mut world = World::new(plan(steps), &mut fate);
    world.run(Duration::from_secs(120));
    let byes = world.sent.iter().filter(|text| text.starts_with("BYE")).count();
    let report = only(world.finish());
    assert_eq!((report.live, report.ok, byes), (120, 20, 120));
}

#[test]
fn callees_that_cannot_register_end_it_and_an_interruption_keeps_what_there_is() {
    let register = Step { purpose: Purpose::Prepare, ..closed(Work::Register, 5, 50) };
    let mut closed_shop = |_: &str, _: u64| Fate::Answer(403, String::new());
    let mut world = World::new(plan(vec![register, open(Work::Call, 10.0, 5)]), &mut closed_shop);
    world.run(Duration::from_secs(60));
    let why = world.load.finish().unwrap_err();
    assert!(why.contains("only 0 of 50 succeeded; 50 got 403"), "{why}");

    let mut fate = pass;
    let mut world = World::new(plan(vec![open(Work::Call, 100.0, 1000)]), &mut fate);
    world.run(Duration::from_secs(6));
    world.input(Input::Command(Command::Drain));
    assert!(world.load.is_over() && world.load.is_drained());
    let report = only(world.finish());
    assert!(report.interrupted && report.seconds < 6.0, "{}", report.seconds);
    assert!((490..=510).contains(&report.ok), "{}", report.ok);
}

#[test]
fn what_is_too_much_is_withheld_and_told() {
    let mut silent = |_: &str, _: u64| Fate::Lose;
    let few = Plan { most: 30, ..plan(vec![open(Work::Options, 100.0, 2)]) };
    let report = only(run(few, &mut silent));
    assert_eq!(report.offered, 200);
    assert_eq!(report.started + report.withheld, 200);
    assert!(report.withheld > 100 && report.limits.iter().any(|l| l.contains("--most")));
}
