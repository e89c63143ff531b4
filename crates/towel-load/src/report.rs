//! The whole report: as text for a terminal, and as the structure that becomes JSON.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::figures::{LatencyReport, StepReport};
use crate::plan::Plan;

/// What came of a load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What the server is called, for charts with several.
    pub name: String,
    /// Its address.
    pub server: String,
    /// `udp` or `tcp`.
    pub transport: String,
    /// Sockets or connections of each side.
    pub sockets: usize,
    /// Users.
    pub users: u32,
    /// Seconds since 1970 at its beginning.
    pub unix: u64,
    /// The processor cores of this machine.
    pub cores: usize,
    /// The steps that were measured, in order.
    pub steps: Vec<StepReport>,
}

impl Report {
    /// A report of a plan's steps.
    pub fn new(name: String, plan: &Plan, unix: u64, steps: Vec<StepReport>) -> Self {
        Self {
            name,
            server: plan.server.to_string(),
            transport: plan.transport.uri_token().to_owned(),
            sockets: plan.sockets,
            users: plan.users.count(),
            unix,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            steps,
        }
    }

    /// For a terminal: one step in detail, several as a table.
    pub fn text(&self) -> String {
        match &self.steps[..] {
            [] => "nothing was measured\n".into(),
            [step] => one(step),
            steps => table(steps),
        }
    }
}

/// A number as a person reads it: three digits that count, and no more than are needed.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || value == 0.0 || (size >= 10.0 && value.fract() == 0.0) {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Microseconds as a person reads them.
pub(crate) fn micros(value: u64) -> String {
    match value {
        0..1000 => format!("{value} us"),
        1000..1_000_000 => format!("{} ms", short(value as f64 / 1e3)),
        _ => format!("{} s", short(value as f64 / 1e6)),
    }
}

fn waits(text: &mut String, name: &str, report: &LatencyReport) {
    let part = |value| format!("{:>9}", micros(value));
    let all = [report.p50, report.p90, report.p99, report.p999, report.max].map(part).join("");
    // Writing into a String cannot fail, here and below.
    let _ = writeln!(text, "  {name:<22}{:>10}{all}", report.count);
}

fn one(step: &StepReport) -> String {
    let mut text = String::new();
    let asked = match (step.rate, step.window) {
        (Some(rate), _) => format!("open loop, {} a second", short(rate)),
        (_, Some(window)) => format!("closed loop, {window} under way"),
        _ => String::new(),
    };
    let early = if step.interrupted { ", ended early" } else { "" };
    let _ = writeln!(text, "{}: {asked}, {} s{early}", step.work, short(step.seconds));
    let _ = writeln!(
        text,
        "  offered {}  ok {}  failed {}  lost {}",
        step.offered, step.ok, step.failed, step.lost
    );
    let _ = writeln!(text, "  goodput {} a second", short(step.goodput));
    if !step.refused.is_empty() {
        let codes: Vec<String> =
            step.refused.iter().map(|(code, count)| format!("{code}: {count}")).collect();
        let _ = writeln!(text, "  refused  {}", codes.join("  "));
    }
    let _ = writeln!(
        text,
        "  retransmissions {}  duplicates {}  strays {}  challenges {}  messages a unit {}",
        step.retransmissions,
        step.duplicates,
        step.strays,
        step.challenges,
        short(step.messages_per_unit)
    );
    let heads = ["p50", "p90", "p99", "p99.9", "max"].map(|head| format!("{head:>9}")).join("");
    let _ = writeln!(text, "  {:<22}{:>10}{heads}", "latency", "count");
    for (work, report) in &step.works {
        for (wait, latency) in &report.latency {
            let name = match step.works.len() {
                1 => wait.text().to_owned(),
                _ => format!("{} {}", work.word(), wait.text()),
            };
            waits(&mut text, &name, latency);
        }
    }
    if step.rate.is_some() {
        waits(&mut text, "begun late by", &step.lag);
    }
    if let Some(server) = &step.server {
        let part = |value: Option<f64>| value.map_or("-".into(), short);
        let _ = writeln!(
            text,
            "  server     {} us a unit (user {}, system {}), {:.2} cores, {} MB",
            part(server.us_per_unit),
            part(server.user_us_per_unit),
            part(server.system_us_per_unit),
            server.load,
            server.memory / 1_000_000
        );
    }
    let _ = writeln!(
        text,
        "  generator  {} us a unit, {:.2} cores",
        step.generator.us_per_unit.map_or("-".into(), short),
        step.generator.load
    );
    for limit in &step.limits {
        let _ = writeln!(text, "  NOTE: {limit}");
    }
    text
}

/// The head of the table of several steps.
pub fn table_head() -> String {
    format!(
        "{:<14}{:>9}{:>9}{:>9}{:>8}{:>8}{:>9}{:>9}{:>10}{:>7}{:>6}",
        "step",
        "offered",
        "goodput",
        "ok",
        "failed",
        "lost",
        "p50",
        "p99",
        "us a unit",
        "server",
        "gen"
    )
}

/// One line of it.
pub fn table_line(step: &StepReport) -> String {
    let (p50, p99) = step.latency().map_or((0, 0), |(_, l)| (l.p50, l.p99));
    let cost = step.server.as_ref().and_then(|s| s.us_per_unit).map_or("-".into(), short);
    let load = step.server.as_ref().map_or("-".into(), |s| format!("{:.2}", s.load));
    let mut line = format!(
        "{:<14}{:>9}{:>9}{:>9}{:>8}{:>8}{:>9}{:>9}{cost:>10}{load:>7}{:>6.2}",
        step.name,
        short(step.offered as f64 / step.seconds.max(1e-6)),
        short(step.goodput),
        step.ok,
        step.failed,
        step.lost,
        micros(p50),
        micros(p99),
        step.generator.load
    );
    for limit in &step.limits {
        let _ = write!(line, "\n  NOTE: {limit}");
    }
    line
}

fn table(steps: &[StepReport]) -> String {
    let lines: Vec<String> = steps.iter().map(table_line).collect();
    format!("{}\n{}\n", table_head(), lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let all: Vec<String> =
            [0.0, 1.234, 12.34, 12.0, 123.4, 12345.6].into_iter().map(short).collect();
        assert_eq!(all, ["0", "1.23", "12.3", "12", "123", "12346"]);
        let all: Vec<String> = [7, 1500, 25_000, 3_200_000].into_iter().map(micros).collect();
        assert_eq!(all, ["7 us", "1.50 ms", "25 ms", "3.20 s"]);
    }
}
