//! What is counted while a step runs, and the report that becomes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use towel_core::io::Instant;

use crate::cpu::Spent;
use crate::plan::{Pace, Step, Work};

/// The longest latency that is told apart; longer ones count as this.
const LONGEST: u64 = 600_000_000;
/// How many points the course of a step has at most; then two neighbours become one.
const POINTS: usize = 600;

/// Which wait a latency is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// INVITE to 180.
    Ringing,
    /// INVITE to 200.
    Answered,
    /// Any other request to its final response, a challenge in between included.
    Final,
    /// BYE to its 200.
    Bye,
}

impl Wait {
    /// All of them.
    pub const ALL: [Wait; 4] = [Wait::Ringing, Wait::Answered, Wait::Final, Wait::Bye];

    /// For a person.
    pub fn text(self) -> &'static str {
        match self {
            Wait::Ringing => "INVITE to 180",
            Wait::Answered => "INVITE to 200",
            Wait::Final => "request to final",
            Wait::Bye => "BYE to 200",
        }
    }
}

/// Latencies in microseconds, to three digits.
#[derive(Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    #[expect(clippy::expect_used, reason = "constants that the constructor takes")]
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds and digits are right"))
    }

    pub(crate) fn add(&mut self, wait: Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.clamp(1, LONGEST));
    }

    pub(crate) fn at(&self, quantile: f64) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.value_at_quantile(quantile) }
    }

    /// Forgets all and keeps the room.
    fn clear(&mut self) {
        self.0.reset();
    }

    pub(crate) fn report(&self) -> LatencyReport {
        let curve = CURVE.iter().map(|p| (*p, self.at(*p / 100.0))).collect();
        LatencyReport {
            count: self.0.len(),
            min: if self.0.is_empty() { 0 } else { self.0.min() },
            mean: self.0.mean(),
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            max: if self.0.is_empty() { 0 } else { self.0.max() },
            curve,
        }
    }
}

/// The percentiles of a curve.
const CURVE: [f64; 16] = [
    0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.75, 99.9, 99.95, 99.99, 99.999,
    100.0,
];

/// A distribution of latencies, in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LatencyReport {
    /// How many.
    pub count: u64,
    /// The shortest.
    pub min: u64,
    /// The mean.
    pub mean: f64,
    /// Percentile 50.
    pub p50: u64,
    /// Percentile 90.
    pub p90: u64,
    /// Percentile 99.
    pub p99: u64,
    /// Percentile 99.9.
    pub p999: u64,
    /// The longest.
    pub max: u64,
    /// Percentiles and their values.
    pub curve: Vec<(f64, u64)>,
}

/// One stretch of the course of a step.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Point {
    /// Its end, in seconds since the step began.
    pub at: f64,
    /// Units begun.
    pub started: u64,
    /// Units that ended well.
    pub ok: u64,
    /// Units that did not.
    pub failed: u64,
    /// Units under way at its end.
    pub under_way: u64,
    /// Percentile 99 of the first latency of what ended in it, in microseconds; the greater where
    /// two points became one.
    pub p99: u64,
}

/// The course of a step: a point a second, or two, or four, so that there are never too many.
#[derive(Debug)]
pub(crate) struct Course {
    points: Vec<Point>,
    every: Duration,
    began: Instant,
    current: Point,
    latency: Latency,
}

impl Course {
    pub(crate) fn new(began: Instant) -> Self {
        let every = Duration::from_secs(1);
        Self {
            points: Vec::new(),
            every,
            began,
            current: Point::default(),
            latency: Latency::new(),
        }
    }

    /// When the current point ends.
    pub(crate) fn next(&self) -> Instant {
        let points = u32::try_from(self.points.len() + 1).unwrap_or(u32::MAX);
        self.began + self.every.saturating_mul(points)
    }

    /// Ends the points that are over by now.
    pub(crate) fn turn(&mut self, now: Instant, under_way: usize) {
        while self.next() <= now {
            let at = self.next().since(self.began).as_secs_f64();
            let p99 = self.latency.at(0.99);
            self.latency.clear();
            let done = std::mem::take(&mut self.current);
            self.points.push(Point { at, p99, under_way: under_way as u64, ..done });
            if self.points.len() >= POINTS {
                self.points = self
                    .points
                    .chunks(2)
                    .filter_map(|two| two.iter().copied().reduce(Point::and))
                    .collect();
                self.every *= 2;
            }
        }
    }

    pub(crate) fn started(&mut self) {
        self.current.started += 1;
    }

    pub(crate) fn ended(&mut self, well: bool) {
        if well {
            self.current.ok += 1;
        } else {
            self.current.failed += 1;
        }
    }

    pub(crate) fn latency(&mut self, wait: Duration) {
        self.latency.add(wait);
    }
}

impl Point {
    fn and(self, later: Point) -> Point {
        Point {
            at: later.at,
            started: self.started + later.started,
            ok: self.ok + later.ok,
            failed: self.failed + later.failed,
            under_way: later.under_way,
            p99: self.p99.max(later.p99),
        }
    }
}

/// What is counted of one kind of work, of the units that were due in the window.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) started: u64,
    pub(crate) ok: u64,
    pub(crate) lost: u64,
    pub(crate) refused: BTreeMap<u16, u64>,
    latencies: BTreeMap<Wait, Latency>,
}

impl Tally {
    pub(crate) fn latency(&mut self, wait: Wait, took: Duration) {
        self.latencies.entry(wait).or_insert_with(Latency::new).add(took);
    }

    fn failed(&self) -> u64 {
        self.refused.values().sum()
    }

    fn report(&self) -> WorkReport {
        WorkReport {
            started: self.started,
            ok: self.ok,
            failed: self.failed(),
            lost: self.lost,
            refused: self.refused.clone(),
            latency: self.latencies.iter().map(|(wait, all)| (*wait, all.report())).collect(),
        }
    }
}

/// All that is counted in one step.
#[derive(Debug)]
pub(crate) struct Figures {
    tallies: BTreeMap<Work, Tally>,
    pub(crate) course: Course,
    /// How late units were begun in an open loop.
    pub(crate) lag: Latency,
    /// Due in the window.
    pub(crate) offered: u64,
    /// Due, and not begun since too much was under way.
    pub(crate) withheld: u64,
    /// Ended well in the window, whenever they began.
    pub(crate) completed: u64,
    pub(crate) retransmissions: u64,
    pub(crate) duplicates: u64,
    pub(crate) strays: u64,
    pub(crate) challenges: u64,
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    pub(crate) unreachable: u64,
    pub(crate) connections_lost: u64,
    /// All units of the step, warm-up included.
    pub(crate) units: u64,
}

impl Figures {
    pub(crate) fn new(began: Instant) -> Self {
        Self {
            tallies: BTreeMap::new(),
            course: Course::new(began),
            lag: Latency::new(),
            offered: 0,
            withheld: 0,
            completed: 0,
            retransmissions: 0,
            duplicates: 0,
            strays: 0,
            challenges: 0,
            messages_in: 0,
            messages_out: 0,
            unreachable: 0,
            connections_lost: 0,
            units: 0,
        }
    }

    pub(crate) fn of(&mut self, work: Work) -> &mut Tally {
        self.tallies.entry(work).or_default()
    }

    /// Units of the window that have ended one way or another.
    pub(crate) fn ended(&self) -> u64 {
        self.tallies.values().map(|t| t.ok + t.lost + t.failed()).sum()
    }

    /// Units of the window that were begun.
    pub(crate) fn started(&self) -> u64 {
        self.tallies.values().map(|t| t.started).sum()
    }

    /// The report of a step whose window was so long.
    pub(crate) fn report(
        &self,
        step: &Step,
        window: Duration,
        live: usize,
        spent: &Spent,
        interrupted: bool,
    ) -> StepReport {
        let seconds = window.as_secs_f64().max(1e-6);
        let works: BTreeMap<Work, WorkReport> =
            self.tallies.iter().map(|(work, tally)| (*work, tally.report())).collect();
        let mut refused: BTreeMap<u16, u64> = BTreeMap::new();
        for tally in self.tallies.values() {
            for (code, count) in &tally.refused {
                *refused.entry(*code).or_default() += count;
            }
        }
        let per = |micros: f64| {
            (self.completed > 0 && micros > 0.0).then(|| micros / self.completed as f64)
        };
        let (rate, window_units) = match step.pace {
            Pace::Open { rate, .. } => (Some(rate), None),
            Pace::Closed { window } => (None, Some(window)),
        };
        let generator_load = spent.own.total.as_secs_f64() / seconds;
        let mut report = StepReport {
            name: step.name.clone(),
            work: step.mix.text(),
            rate,
            window: window_units,
            hold: step.hold.as_secs_f64(),
            live,
            seconds,
            interrupted,
            offered: self.offered,
            started: self.started(),
            withheld: self.withheld,
            ok: works.values().map(|w| w.ok).sum(),
            failed: works.values().map(|w| w.failed).sum(),
            lost: works.values().map(|w| w.lost).sum(),
            refused,
            completed: self.completed,
            goodput: self.completed as f64 / seconds,
            retransmissions: self.retransmissions,
            duplicates: self.duplicates,
            strays: self.strays,
            challenges: self.challenges,
            unreachable: self.unreachable,
            connections_lost: self.connections_lost,
            messages_in: self.messages_in,
            messages_out: self.messages_out,
            messages_per_unit: (self.messages_in + self.messages_out) as f64
                / self.units.max(1) as f64,
            works,
            lag: self.lag.report(),
            course: self.course.points.clone(),
            server: spent.server.as_ref().map(|used| {
                let total = used.total.as_secs_f64() * 1e6;
                let (user, system) = used.shares();
                ServerReport {
                    load: used.total.as_secs_f64() / seconds,
                    us_per_unit: per(total),
                    user_us_per_unit: per(total * user),
                    system_us_per_unit: per(total * system),
                    memory: used.memory,
                }
            }),
            generator: GeneratorReport {
                load: generator_load,
                us_per_unit: per(spent.own.total.as_secs_f64() * 1e6),
                waited: spent.own.waited.as_secs_f64() / seconds,
                dropped: spent.own.dropped,
            },
            limits: Vec::new(),
        };
        report.limits = limits(&report);
        report
    }
}

/// In what the generator itself was the limit, if it was.
fn limits(report: &StepReport) -> Vec<String> {
    let mut all = Vec::new();
    busy(report, &mut all);
    if report.withheld > 0 {
        all.push(format!(
            "{} units were not begun: too many were under way (see --most)",
            report.withheld
        ));
    }
    if report.rate.is_some() {
        if report.lag.p99 > 10_000 {
            all.push(format!(
                "the generator was behind its schedule: 1 unit in 100 began {:.1} ms late or more",
                report.lag.p99 as f64 / 1000.0
            ));
        }
        // What was due and never begun is neither withheld nor counted as started.
        let begun = report.started + report.withheld;
        if report.offered > 0
            && (begun as f64) < 0.99 * report.offered as f64
            && !report.interrupted
        {
            all.push(format!(
                "the generator began {begun} of the {} units that were due",
                report.offered
            ));
        }
    }
    all
}

/// What the processors say of who was the limit.
fn busy(report: &StepReport, all: &mut Vec<String>) {
    let generator = &report.generator;
    // Not all of a core can be had: the kernel's work for others is done on it as well.
    if generator.load > 0.85 {
        all.push(format!(
            "the generator used {:.2} of one core, so the server could perhaps do more",
            generator.load
        ));
    } else if generator.load + generator.waited > 0.85 {
        all.push(format!(
            "the generator waited for a processor {:.0} % of the time: something else uses its core",
            100.0 * generator.waited
        ));
    }
    if generator.dropped > 0 {
        all.push(format!(
            "{} datagrams that came were lost in the generator's own sockets",
            generator.dropped
        ));
    }
    if let (Some(window), Some(server)) = (report.window, &report.server)
        && report.hold == 0.0
        && server.load < 0.5
        && generator.load < 0.5
    {
        all.push(format!("neither side was busy: {window} under way at a time are too few"));
    }
}

/// What came of one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// What was done.
    pub work: String,
    /// Units a second that were asked for, in an open loop.
    pub rate: Option<f64>,
    /// Units under way, in a closed loop.
    pub window: Option<usize>,
    /// Seconds for which a call stayed up.
    pub hold: f64,
    /// Calls that stayed up all the time besides.
    pub live: usize,
    /// How long the window was: from the end of the warm-up to the end of the step.
    pub seconds: f64,
    /// Whether somebody ended it early.
    pub interrupted: bool,
    /// Units that were due in the window.
    pub offered: u64,
    /// Those that were begun.
    pub started: u64,
    /// Those that were not, since too many were under way.
    pub withheld: u64,
    /// Those that ended well, however late.
    pub ok: u64,
    /// Those that were refused.
    pub failed: u64,
    /// Those that got no answer, or not all of their messages.
    pub lost: u64,
    /// The refusals by response code.
    pub refused: BTreeMap<u16, u64>,
    /// Units that ended well within the window, whenever they began.
    pub completed: u64,
    /// Those a second.
    pub goodput: f64,
    /// Requests and 200s to INVITE that were sent again.
    pub retransmissions: u64,
    /// Messages that came a second time.
    pub duplicates: u64,
    /// Messages that belong to nothing that is under way.
    pub strays: u64,
    /// Challenges that were answered.
    pub challenges: u64,
    /// ICMP errors.
    pub unreachable: u64,
    /// Connections that the server closed.
    pub connections_lost: u64,
    /// Messages that came in, warm-up included.
    pub messages_in: u64,
    /// Messages that were sent, warm-up included.
    pub messages_out: u64,
    /// Messages in and out for each unit, as the server sees them too.
    pub messages_per_unit: f64,
    /// By kind of work.
    pub works: BTreeMap<Work, WorkReport>,
    /// How late units began in an open loop (it is part of their latencies).
    pub lag: LatencyReport,
    /// Second by second, warm-up included.
    pub course: Vec<Point>,
    /// What it cost the server, where its process is known.
    pub server: Option<ServerReport>,
    /// What it cost here.
    pub generator: GeneratorReport,
    /// In what the generator itself was the limit; none if it was not.
    pub limits: Vec<String>,
}

impl StepReport {
    /// The first latency of the first work: what a person means by "the latency".
    pub fn latency(&self) -> Option<(Wait, &LatencyReport)> {
        let work = self.works.values().next()?;
        work.latency.iter().next().map(|(wait, report)| (*wait, report))
    }

    /// Whether all that was due ended well, at once, and nothing twice.
    pub fn clean(&self) -> bool {
        self.failed + self.lost + self.withheld + self.retransmissions + self.duplicates == 0
    }
}

/// What came of one kind of work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkReport {
    /// Units begun in the window.
    pub started: u64,
    /// Those that ended well.
    pub ok: u64,
    /// Those that were refused.
    pub failed: u64,
    /// Those that got no answer.
    pub lost: u64,
    /// The refusals by response code.
    pub refused: BTreeMap<u16, u64>,
    /// Latencies of what succeeded, in microseconds.
    pub latency: BTreeMap<Wait, LatencyReport>,
}

/// What the server's process and its children used of the processor, within the window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerReport {
    /// Cores' worth.
    pub load: f64,
    /// Microseconds for each completed unit.
    pub us_per_unit: Option<f64>,
    /// Of these in the program itself.
    pub user_us_per_unit: Option<f64>,
    /// Of these in the kernel.
    pub system_us_per_unit: Option<f64>,
    /// Bytes of memory at the end (proportional set size).
    pub memory: u64,
}

/// What the generator used of the processor, within the window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GeneratorReport {
    /// Cores' worth.
    pub load: f64,
    /// Microseconds for each completed unit.
    pub us_per_unit: Option<f64>,
    /// Cores' worth of time that it could have run and had no processor.
    #[serde(default)]
    pub waited: f64,
    /// Datagrams that came for it and found its sockets full.
    #[serde(default)]
    pub dropped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_keeps_three_digits_and_its_bounds() {
        let mut latency = Latency::new();
        assert_eq!((latency.at(0.5), latency.report().max), (0, 0));
        for micros in 1..=10_000u64 {
            latency.add(Duration::from_micros(micros));
        }
        let report = latency.report();
        assert_eq!((report.count, report.min), (10_000, 1));
        for (seen, is) in [(report.p50, 5000.0), (report.p90, 9000.0), (report.p99, 9900.0)] {
            assert!((seen as f64 - is).abs() / is < 0.002, "{seen} for {is}");
        }
        assert!((report.mean - 5000.5).abs() < 10.0, "{}", report.mean);
        // What is longer than can be told apart still counts.
        latency.add(Duration::from_secs(86_400));
        latency.add(Duration::ZERO);
        let report = latency.report();
        assert_eq!((report.count, report.min), (10_002, 1));
        assert!(report.max >= LONGEST && report.curve.len() == CURVE.len());
        assert!(report.curve.windows(2).all(|w| w[0].1 <= w[1].1));
    }

    #[test]
    fn a_generator_that_was_the_limit_says_so() {
        let step = |load: f64, waited: f64, dropped: u64, server: f64| {
            let report = serde_json::json!({
                "name": "", "work": "call", "window": 8, "hold": 0.0, "live": 0, "seconds": 1.0,
                "interrupted": false, "offered": 0, "started": 0, "withheld": 0, "ok": 0, "failed": 0,
                "lost": 0, "refused": {}, "completed": 0, "goodput": 0.0, "retransmissions": 0,
                "duplicates": 0, "strays": 0, "challenges": 0, "unreachable": 0,
                "connections_lost": 0, "messages_in": 0, "messages_out": 0,
                "messages_per_unit": 0.0, "works": {}, "lag": Latency::new().report(), "course": [],
                "server": { "load": server, "memory": 0 },
                "generator": { "load": load, "waited": waited, "dropped": dropped }, "limits": []
            });
            limits(&serde_json::from_value(report).unwrap())
        };
        assert!(step(0.6, 0.1, 0, 0.9).is_empty());
        for (said, about) in [
            (step(0.9, 0.0, 0, 0.6), "0.90 of one core"),
            (step(0.5, 0.4, 0, 0.6), "40 %"),
            (step(0.5, 0.0, 7, 0.6), "7 datagrams"),
            (step(0.2, 0.0, 0, 0.3), "8 under way"),
        ] {
            assert!(said.len() == 1 && said[0].contains(about), "{said:?}");
        }
    }

    #[test]
    fn a_course_never_has_too_many_points() {
        let mut course = Course::new(Instant(0));
        for second in 0..100_000u64 {
            course.started();
            course.started();
            course.ended(true);
            course.latency(Duration::from_micros(second + 1));
            course.turn(Instant((second + 1) * 1_000_000), 5);
        }
        assert!(course.points.len() < POINTS);
        let sum = |of: fn(&Point) -> u64| course.points.iter().map(of).sum::<u64>();
        let started = sum(|p| p.started) + course.current.started;
        assert_eq!((started, sum(|p| p.ok) + course.current.ok), (200_000, 100_000));
        let last = course.points.last().unwrap();
        assert!(last.at <= 100_000.0 && last.under_way == 5 && last.p99 > 0);
        assert!(course.points.windows(2).all(|w| w[0].at < w[1].at));
    }
}
