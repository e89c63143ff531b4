//! The machine: channels, steps one after the other, and the figures of each.

use std::time::Duration;

use towel_core::io::{
    CloseReason, Command, ConnectionId, Flow, Input, Instant, Level, Listener, Machine, Now,
    Outbox, Output,
};
use towel_message::frame::{Framed, StreamFramer};
use towel_message::{Index, Limits, Message};

use crate::cpu::Spent;
use crate::crowd::{Channel, Crowd};
use crate::figures::StepReport;
use crate::pace::Schedule;
use crate::plan::{Amount, Pace, Plan, Purpose, Step};

/// Who is told how far a load is. Called on the machine's thread, so it must not wait.
pub trait Watch {
    /// So much of so much of a step is done (units, or milliseconds).
    fn progress(&mut self, _step: &Step, _done: u64, _total: u64) {}
    /// The window of a step opens: what is used from now on counts.
    fn opened(&mut self) {}
    /// It closes: what was used since.
    fn closed(&mut self) -> Spent {
        Spent::default()
    }
    /// A step is over.
    fn report(&mut self, _step: &Step, _report: &StepReport) {}
    /// All steps are over, or the load has failed: the driver can stop.
    fn ended(&mut self) {}
}

/// How many units one input may begin, so that what comes in has its turn.
const BURST: usize = 32;
/// How many connections may be on their way at a time.
const OPENING: usize = 256;
/// How often a connection that the server closes is made again.
const AGAIN: u32 = 3;
/// How often progress is told.
const TELL: Duration = Duration::from_millis(200);
/// The rest between two steps, in which the server's queues run dry.
const REST: Duration = Duration::from_millis(300);

/// Where a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// What begins is not counted yet.
    WarmUp,
    /// What begins counts.
    Window,
    /// Nothing begins; what is under way is waited for until then.
    Drain(Instant),
}

struct Running {
    step: Step,
    stage: Stage,
    began: Instant,
    /// When the window opened, or will.
    opens: Instant,
    schedule: Option<Schedule>,
    last_start: Instant,
    window: Duration,
    spent: Spent,
}

impl Running {
    /// When the window closes by the clock: what is due from then on is not of this step.
    fn end(&self) -> Instant {
        match self.step.amount {
            Amount::Time(time) => self.opens + time,
            Amount::Count(_) => Instant(u64::MAX),
        }
    }
}

/// A load as a machine: callers and callees, driven like any other element.
pub struct Load<W> {
    watch: W,
    crowd: Crowd,
    limits: Limits,
    index: Box<Index>,
    framers: Vec<StreamFramer>,
    /// How often each connection has been made.
    tries: Vec<u32>,
    asked: usize,
    up: usize,
    step: usize,
    running: Option<Running>,
    /// When the next step begins.
    rest: Instant,
    next_tell: Instant,
    reports: Vec<StepReport>,
    fault: Option<String>,
    interrupted: bool,
    ended: bool,
    now: Instant,
}

impl<W: Watch> Load<W> {
    /// A load that begins as soon as its channels are up.
    pub fn new(plan: Plan, watch: W) -> Self {
        Self {
            watch,
            crowd: Crowd::new(plan),
            limits: Limits::default(),
            index: Box::default(),
            framers: Vec::new(),
            tries: Vec::new(),
            asked: 0,
            up: 0,
            step: 0,
            running: None,
            rest: Instant(0),
            next_tell: Instant(0),
            reports: Vec::new(),
            fault: None,
            interrupted: false,
            ended: false,
            now: Instant(0),
        }
    }

    /// What came of the steps so far, or why there is nothing.
    ///
    /// # Errors
    /// In words for a person.
    pub fn finish(self) -> Result<Vec<StepReport>, String> {
        match self.fault {
            Some(why) => Err(why),
            None => Ok(self.reports),
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.ended
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.watch.ended();
        }
    }

    fn fail(&mut self, why: String) {
        self.fault.get_or_insert(why);
        self.end();
    }

    // Channels.

    fn channels_wanted(&self) -> usize {
        2 * self.crowd.plan.sockets
    }

    fn channel(&mut self, at: usize, flow: Flow) {
        let transport = flow.transport;
        let over = if transport.reliable() {
            format!(";transport={}", transport.uri_token())
        } else {
            String::new()
        };
        let channel = Channel {
            flow,
            up: true,
            via: format!("{} {}", transport.via_token(), flow.local).into_bytes(),
            place: format!("{}{over}", flow.local).into_bytes(),
        };
        while self.crowd.channels.len() <= at {
            let down = Channel { flow, up: false, via: Vec::new(), place: Vec::new() };
            self.crowd.channels.push(down);
            self.framers.push(StreamFramer::new(self.limits));
        }
        if let Some(place) = self.crowd.channels.get_mut(at) {
            *place = channel;
            self.up += 1;
        }
        if let Some(framer) = self.framers.get_mut(at) {
            *framer = StreamFramer::new(self.limits);
        }
    }

    fn listening(&mut self, listener: &Listener) {
        let flow = Flow {
            transport: listener.transport,
            listener: listener.id,
            local: listener.local,
            remote: self.crowd.plan.server,
            connection: None,
        };
        self.channel(usize::from(listener.id.0), flow);
    }

    /// Asks for connections, some at a time.
    fn connect(&mut self, out: &mut Outbox) {
        if !self.crowd.plan.transport.reliable() {
            return;
        }
        self.tries.resize(self.channels_wanted(), 0);
        while self.asked < self.channels_wanted() && self.asked < self.up + OPENING {
            self.open(self.asked, out);
            self.asked += 1;
        }
    }

    fn open(&mut self, at: usize, out: &mut Outbox) {
        let tries = self.tries.get(at).copied().unwrap_or(0);
        let id = u64::from(tries) << 32 | at as u64;
        out.outputs.push(Output::Open {
            connection: ConnectionId(ConnectionId::OPENED_BY_CORE | id),
            transport: self.crowd.plan.transport,
            listener: None,
            remote: self.crowd.plan.server,
            server_name: None,
        });
    }

    fn closed(&mut self, at: usize, why: CloseReason, out: &mut Outbox) {
        if self.ended {
            return;
        }
        let was_up = self.crowd.channels.get(at).is_some_and(|channel| channel.up);
        let tries = self.tries.get(at).copied().unwrap_or(0);
        let server = self.crowd.plan.server;
        if !was_up {
            return self.fail(format!("no connection to {server} could be made: {why:?}"));
        }
        if tries >= AGAIN {
            return self.fail(format!("{server} closes the connections that are made to it"));
        }
        if let Some(channel) = self.crowd.channels.get_mut(at) {
            channel.up = false;
        }
        self.crowd.figures.connections_lost += 1;
        self.up = self.up.saturating_sub(1);
        if let Some(tries) = self.tries.get_mut(at) {
            *tries += 1;
        }
        self.open(at, out);
    }

    fn received(&mut self, channel: usize, bytes: &[u8], now: Instant, out: &mut Outbox) {
        match Message::parse(bytes, &mut self.index, &self.limits) {
            Ok(message) => self.crowd.message(channel, &message, now, out),
            Err(_) => self.crowd.figures.strays += 1,
        }
    }

    fn stream(&mut self, channel: usize, bytes: &[u8], now: Instant, out: &mut Outbox) {
        let Some(framer) = self.framers.get_mut(channel) else { return };
        let (index, limits, crowd) = (&mut self.index, &self.limits, &mut self.crowd);
        framer.feed(bytes, |framed| {
            let Framed::Message(bytes) = framed else { return };
            match Message::parse(bytes, index, limits) {
                Ok(message) => crowd.message(channel, &message, now, out),
                Err(_) => crowd.figures.strays += 1,
            }
        });
    }

    // Steps.

    /// Goes on with whatever is to be done now.
    fn pump(&mut self, now: Instant, out: &mut Outbox) {
        if self.ended {
            return;
        }
        if self.running.is_none() {
            if self.up < self.channels_wanted() || now < self.rest {
                return;
            }
            let Some(step) = self.crowd.plan.steps.get(self.step).cloned() else {
                return self.end();
            };
            self.step += 1;
            self.begin(step, now);
        }
        let Some(running) = &mut self.running else { return };
        if running.stage == Stage::WarmUp && now >= running.opens {
            running.stage = Stage::Window;
            running.opens = now;
            self.crowd.window = true;
            self.watch.opened();
        }
        self.start_units(now, out);
        self.look(now);
        self.tell(now);
    }

    fn begin(&mut self, step: Step, now: Instant) {
        self.crowd.begin(step.purpose, step.hold, now);
        let schedule = match step.pace {
            Pace::Open { rate, arrivals, ramp } => {
                Some(Schedule::new(now, rate, ramp, arrivals, self.crowd.rng.clone()))
            }
            Pace::Closed { .. } => None,
        };
        let opens = now + step.warm_up;
        self.running = Some(Running {
            step,
            stage: Stage::WarmUp,
            began: now,
            opens,
            schedule,
            last_start: now,
            window: Duration::ZERO,
            spent: Spent::default(),
        });
    }

    fn start_units(&mut self, now: Instant, out: &mut Outbox) {
        let Some(running) = &mut self.running else { return };
        if matches!(running.stage, Stage::Drain(_)) {
            return;
        }
        for _ in 0..BURST {
            let counts = match (&running.schedule, running.stage) {
                (Some(schedule), _) => schedule.next() >= running.opens,
                (None, stage) => stage == Stage::Window,
            };
            let enough = match running.step.amount {
                Amount::Count(count) => counts && self.crowd.figures.offered >= count,
                Amount::Time(_) => false,
            };
            if enough {
                return;
            }
            let end = running.end();
            let due = match (&running.schedule, running.step.pace) {
                (Some(schedule), _) if schedule.next() > now || schedule.next() >= end => return,
                (Some(schedule), _) => schedule.next(),
                (None, Pace::Closed { window }) if self.crowd.active >= window => return,
                (None, _) => now,
            };
            let mix = &running.step.mix;
            let work = match &mix.0[..] {
                [(only, _)] => *only,
                _ => mix.pick(self.crowd.rng.below(mix.total())),
            };
            let begun = self.crowd.start(work, due, counts, now, out);
            if counts && (begun || running.schedule.is_some()) {
                self.crowd.figures.offered += 1;
            }
            if let Some(schedule) = &mut running.schedule {
                schedule.advance();
                if counts {
                    self.crowd.figures.lag.add(now.since(due));
                    self.crowd.figures.withheld += u64::from(!begun);
                }
            } else if !begun {
                // Nobody is free; somebody will be.
                return;
            }
            running.last_start = now;
        }
    }

    /// Whether the window closes, or the step ends.
    fn look(&mut self, now: Instant) {
        let patience = self.crowd.plan.patience;
        let Some(running) = &mut self.running else { return };
        if running.stage == Stage::Window {
            let figures = &self.crowd.figures;
            let over = match running.step.amount {
                Amount::Time(_) => now >= running.end(),
                Amount::Count(count) => {
                    let all = figures.offered >= count;
                    let waited = now >= running.last_start + patience + running.step.hold;
                    all && (waited || figures.ended() + figures.withheld >= figures.offered)
                }
            };
            if over || self.interrupted {
                running.window = now.since(running.opens);
                running.spent = self.watch.closed();
                self.crowd.window = false;
                let held = self.crowd.end_held(now);
                running.stage = Stage::Drain(now + patience + held);
                // What was due, and not begun since this end was behind.
                let end = now.min(running.end());
                let unseen = running.schedule.as_ref().map_or(0, |s| unseen(s, end));
                if matches!(running.step.amount, Amount::Time(_)) {
                    self.crowd.figures.offered += unseen;
                }
            }
        } else if running.stage == Stage::WarmUp && self.interrupted {
            running.stage = Stage::Drain(now);
        }
        if let Stage::Drain(until) = running.stage
            && (self.crowd.active == 0 || now >= until || self.interrupted)
        {
            self.over(now);
        }
    }

    fn over(&mut self, now: Instant) {
        self.crowd.give_up();
        let Some(mut running) = self.running.take() else { return };
        self.crowd.figures.course.turn(now, self.crowd.under_way());
        running.window = running.window.max(Duration::from_micros(1));
        let parked =
            if running.step.purpose == Purpose::Measure { self.crowd.parked.len() } else { 0 };
        let report = self.crowd.figures.report(
            &running.step,
            running.window,
            parked,
            &running.spent,
            self.interrupted,
        );
        self.rest = now + REST;
        self.watch.report(&running.step, &report);
        let needed = matches!(running.step.purpose, Purpose::Prepare | Purpose::BringUp);
        if needed && report.ok < report.offered && !self.interrupted {
            let codes: Vec<String> =
                report.refused.iter().map(|(code, count)| format!("{count} got {code}")).collect();
            let why =
                if codes.is_empty() { "the others got no answer".into() } else { codes.join(", ") };
            let (name, ok, all) = (&running.step.name, report.ok, report.offered);
            return self.fail(format!("{name}: only {ok} of {all} succeeded; {why}"));
        }
        if running.step.purpose == Purpose::Measure {
            self.reports.push(report);
        }
        if self.interrupted {
            self.end();
        }
    }

    fn tell(&mut self, now: Instant) {
        let Some(running) = &self.running else { return };
        if now < self.next_tell {
            return;
        }
        self.next_tell = now + TELL;
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let (done, total) = match running.step.amount {
            Amount::Count(count) => (self.crowd.figures.ended(), count),
            Amount::Time(time) => {
                let all = millis(running.step.warm_up + time);
                (millis(now.since(running.began)).min(all), all)
            }
        };
        self.watch.progress(&running.step, done, total);
        self.crowd.figures.course.turn(now, self.crowd.under_way());
    }

    fn next(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let Some(running) = &self.running else {
            // Waiting for channels, the connections' inputs are what comes next.
            let waits =
                self.asked >= self.channels_wanted() || !self.crowd.plan.transport.reliable();
            let blocked = waits && self.up < self.channels_wanted();
            return (!blocked).then_some(self.rest);
        };
        let mut next = self.next_tell;
        match running.stage {
            Stage::Drain(until) => next = next.min(until),
            Stage::WarmUp => next = next.min(running.opens),
            Stage::Window => next = next.min(running.end()),
        }
        if !matches!(running.stage, Stage::Drain(_)) {
            let full = matches!(running.step.amount, Amount::Count(count)
                if self.crowd.figures.offered >= count);
            match (&running.schedule, running.step.pace) {
                _ if full => {}
                (Some(schedule), _) => next = next.min(schedule.next()),
                (None, Pace::Closed { window }) if self.crowd.active < window => {
                    // More may begin than one turn's share; but not at once where nobody is free.
                    next = next.min(self.now + Duration::from_micros(200));
                }
                _ => {}
            }
        }
        Some(next)
    }
}

/// Units that a schedule has due before `end` and that were not begun.
fn unseen(schedule: &Schedule, end: Instant) -> u64 {
    let mut schedule = schedule.clone();
    let mut count = 0;
    // Bounded by what one window can be late; a schedule that is further behind is told anyway.
    while schedule.next() < end && count < 10_000_000 {
        schedule.advance();
        count += 1;
    }
    count
}

impl<W: Watch> Machine for Load<W> {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        self.now = now.at;
        match input {
            Input::Listening(listener) => self.listening(&listener),
            Input::Datagram { listener, bytes, .. } => {
                self.received(usize::from(listener.0), bytes, now.at, out);
            }
            Input::Opened { connection, flow, .. } => {
                self.channel((connection.0 & 0xffff_ffff) as usize, flow);
            }
            Input::Stream { connection, bytes } => {
                self.stream((connection.0 & 0xffff_ffff) as usize, bytes, now.at, out);
            }
            Input::Closed { connection, why } => {
                self.closed((connection.0 & 0xffff_ffff) as usize, why, out);
            }
            Input::Unreachable { .. } => {
                self.crowd.figures.unreachable += 1;
                if !self.crowd.heard && self.crowd.figures.unreachable >= 3 {
                    let server = self.crowd.plan.server;
                    self.fail(format!("nobody listens at {server} with UDP"));
                }
            }
            Input::Command(Command::Drain) if !self.ended => {
                self.interrupted = true;
                if self.running.is_none() {
                    self.end();
                }
            }
            _ => {}
        }
        if self.ended {
            return;
        }
        if self.up < self.channels_wanted() {
            self.connect(out);
        }
        self.crowd.timers(now.at, out);
        self.pump(now.at, out);
        if let Some(why) = &self.fault {
            out.event(Level::Error, "load-failed", why.clone());
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match (self.crowd.wheel.deadline().filter(|_| !self.ended), self.next()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn is_drained(&self) -> bool {
        self.ended
    }
}
