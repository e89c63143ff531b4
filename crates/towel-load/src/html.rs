//! The report as a page: one file, no script, nothing fetched.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::chart::{Chart, Line};
use crate::figures::{LatencyReport, StepReport};
use crate::report::{Report, micros, short};

const STYLE: &str = ":root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:2rem 0 .4rem}table{border-collapse:collapse;font-size:14px}\
.wide{overflow-x:auto}td,th{text-align:right;padding:.15rem .7rem .15rem 0;border-bottom:1px solid #8883;white-space:nowrap}\
td:first-child,th:first-child{text-align:left}figure{margin:1.4rem 0}figcaption{font-weight:600}\
svg{max-width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:currentColor}.g{stroke:#8884;stroke-width:1}\
.legend{margin:0;display:flex;flex-wrap:wrap;gap:.2rem 1.4rem;font-size:13px}.note{border-left:4px solid #d55e00;padding-left:.6rem}.n{color:#6b6b6b}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}.n{color:#a0a0a0}}";

/// A page of one report, or of several side by side.
pub fn page(reports: &[Report]) -> String {
    let title = match reports {
        [one] => format!("Load of {}", one.name),
        all => {
            let names: Vec<&str> = all.iter().map(|report| report.name.as_str()).collect();
            format!("Load: {}", names.join(", "))
        }
    };
    let single = match reports {
        [Report { steps, .. }] => match &steps[..] {
            [step] => Some(step),
            _ => None,
        },
        _ => None,
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                @for report in reports { (about(report)) }
                @for limit in limits(reports) { p class="note" { (limit) } }
                @match single {
                    Some(step) => (detail(step)),
                    None => {
                        (curves(reports))
                        @for report in reports { (steps(report)) }
                    }
                }
                p class="n" {
                    "In an open loop latency counts from the moment at which a unit was due, so a \
                     wait for a server that stalls is in it. Microseconds a unit are those of the \
                     server's processes, for the units that ended well within the window."
                }
            }
        }
    };
    page.into_string()
}

fn about(report: &Report) -> Markup {
    html! {
        p {
            b { (report.name) } " at " (report.server) " over " (report.transport.to_uppercase())
            ", " (report.users) " users, " (report.sockets) " "
            @if report.transport == "udp" { "sockets" } @else { "connections" }
            " of callers and as many of callees; " (report.cores) " cores; " (date(report.unix))
        }
    }
}

fn limits(reports: &[Report]) -> Vec<String> {
    let steps = reports.iter().flat_map(|r| r.steps.iter().map(move |step| (r, step)));
    let all = steps.flat_map(|(report, step)| {
        step.limits.iter().map(move |limit| format!("{}, {}: {limit}", report.name, step.name))
    });
    all.collect()
}

fn date(unix: u64) -> String {
    let mut out = Vec::new();
    towel_message::date::write(unix, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// One step, whole.
fn detail(step: &StepReport) -> Markup {
    let waits: Vec<(String, &LatencyReport)> = step
        .works
        .iter()
        .flat_map(|(work, report)| {
            report.latency.iter().map(move |(wait, latency)| {
                let name = format!("{}: {}", work.word(), wait.text());
                (name, latency)
            })
        })
        .collect();
    let mut rows = vec![
        ("work", step.work.clone()),
        ("seconds", short(step.seconds)),
        ("offered", step.offered.to_string()),
        ("ok", step.ok.to_string()),
        ("failed", step.failed.to_string()),
        ("lost", step.lost.to_string()),
        ("goodput a second", short(step.goodput)),
        ("retransmissions", step.retransmissions.to_string()),
        ("duplicates", step.duplicates.to_string()),
        ("challenges", step.challenges.to_string()),
        ("messages a unit", short(step.messages_per_unit)),
        ("generator's cores", short(step.generator.load)),
    ];
    match (step.rate, step.window) {
        (Some(rate), _) => rows.insert(1, ("open loop, a second", short(rate))),
        (_, Some(window)) => rows.insert(1, ("closed loop, under way", window.to_string())),
        _ => {}
    }
    if step.live > 0 {
        rows.push(("calls that stayed up", step.live.to_string()));
    }
    if let Some(server) = &step.server {
        let part = |value: Option<f64>| value.map_or("-".into(), short);
        rows.push(("server, us a unit", part(server.us_per_unit)));
        rows.push(("in the program", part(server.user_us_per_unit)));
        rows.push(("in the kernel", part(server.system_us_per_unit)));
        rows.push(("server's cores", short(server.load)));
        rows.push(("server's memory, MB", short(server.memory as f64 / 1e6)));
    }
    for (code, count) in &step.refused {
        rows.push(("refused", format!("{code}: {count}")));
    }
    html! {
        h2 { "In short" }
        table { @for (name, value) in rows { tr { th { (name) } td { (value) } } } }
        h2 { "Latency" }
        div class="wide" { table {
            tr { th {} @for head in ["count", "min", "p50", "p90", "p99", "p99.9", "max"] { th { (head) } } }
            @for (name, latency) in &waits {
                tr {
                    td { (name) } td { (latency.count) }
                    @for value in [latency.min, latency.p50, latency.p90, latency.p99, latency.p999, latency.max] {
                        td { (micros(value)) }
                    }
                }
            }
        } }
        (percentiles(&waits))
        (course(step))
    }
}

fn percentiles(waits: &[(String, &LatencyReport)]) -> Markup {
    // As far from the end as there are nines.
    let place = |percent: f64| -((1.0 - percent / 100.0).max(1e-6)).log10();
    let marks = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];
    let chart = Chart {
        title: "Latency by percentile".into(),
        across: "percentile".into(),
        up: "microseconds".into(),
        log: (false, true),
        marks: marks.iter().map(|p| (place(*p), format!("{p}"))).collect(),
        lines: waits
            .iter()
            .map(|(name, latency)| Line {
                name: name.clone(),
                points: latency
                    .curve
                    .iter()
                    .filter(|(percent, _)| *percent < 100.0)
                    .map(|(percent, value)| (place(*percent), *value as f64))
                    .collect(),
            })
            .collect(),
    };
    chart.draw()
}

fn course(step: &StepReport) -> Markup {
    let mut before = 0.0;
    let mut rates: [Vec<(f64, f64)>; 3] = Default::default();
    let (mut p99, mut under_way) = (Vec::new(), Vec::new());
    for point in &step.course {
        let every = (point.at - before).max(1e-6);
        before = point.at;
        let counts = [point.started, point.ok, point.failed];
        for (line, count) in rates.iter_mut().zip(counts) {
            line.push((point.at, count as f64 / every));
        }
        p99.push((point.at, point.p99 as f64));
        under_way.push((point.at, point.under_way as f64));
    }
    let lines = ["begun", "ok", "failed or lost"].into_iter().zip(rates);
    let seconds = "seconds since the beginning, warm-up included";
    let chart = |title: &str, up: &str, log, lines| Chart {
        title: title.into(),
        across: seconds.into(),
        up: up.into(),
        log: (false, log),
        marks: Vec::new(),
        lines,
    };
    let one = |name: &str, points| vec![Line { name: name.into(), points }];
    let lines = lines.map(|(name, points)| Line { name: name.into(), points }).collect();
    html! {
        (chart("Units", "a second", false, lines).draw())
        (chart("Latency", "microseconds", true, one("percentile 99", p99)).draw())
        (chart("Under way", "units", false, one("under way", under_way)).draw())
    }
}

/// What the steps of reports differ in.
fn across(reports: &[Report]) -> (String, bool, fn(&StepReport) -> f64) {
    let steps = || reports.iter().flat_map(|report| &report.steps);
    let differ = |of: fn(&StepReport) -> f64| {
        let first = steps().next().map(of);
        steps().any(|step| Some(of(step)) != first)
    };
    let live: fn(&StepReport) -> f64 = |step| step.live as f64;
    let rate: fn(&StepReport) -> f64 =
        |step| step.rate.map_or(step.goodput, |_| step.offered as f64 / step.seconds.max(1e-6));
    if differ(live) {
        ("calls that stay up".into(), true, live)
    } else {
        ("offered, units a second".into(), false, rate)
    }
}

/// What a line shows of a step, where the step has it.
type Value = fn(&StepReport) -> Option<f64>;

/// Goodput, latency and cost of all steps, a line for each report.
fn curves(reports: &[Report]) -> Markup {
    let (words, log, of) = across(reports);
    let many = reports.len() > 1;
    let lines = |names: &[(&str, Value)]| -> Vec<Line> {
        let all = reports.iter().flat_map(|report| {
            names.iter().map(move |(name, value)| Line {
                name: if many { format!("{}: {name}", report.name) } else { (*name).to_owned() },
                points: report
                    .steps
                    .iter()
                    .filter_map(|step| Some((of(step), value(step)?)))
                    .collect(),
            })
        });
        all.filter(|line| !line.points.is_empty()).collect()
    };
    let mut goodput = lines(&[("goodput", |step| Some(step.goodput))]);
    if !log {
        let most = goodput.iter().flat_map(|line| &line.points).map(|p| p.0).fold(0.0, f64::max);
        let least = goodput.iter().flat_map(|line| &line.points).map(|p| p.1).fold(0.0, f64::max);
        // As far as it is of use: what is offered beyond the best goodput is not reached.
        let end = most.min(least * 1.2);
        goodput.push(Line {
            name: "all that is offered".into(),
            points: vec![(0.0, 0.0), (end, end)],
        });
    }
    let latency = lines(&[
        ("p50", |step| step.latency().map(|(_, l)| l.p50 as f64).filter(|v| *v > 0.0)),
        ("p99", |step| step.latency().map(|(_, l)| l.p99 as f64).filter(|v| *v > 0.0)),
    ]);
    let cost = lines(&[("server", |step| step.server.as_ref()?.us_per_unit)]);
    let memory = lines(&[("server", |step| step.server.as_ref().map(|s| s.memory as f64 / 1e6))]);
    let chart = |title: &str, up: &str, log_up, lines: Vec<Line>| {
        let chart = Chart {
            title: title.into(),
            across: words.clone(),
            up: up.into(),
            log: (log, log_up),
            marks: Vec::new(),
            lines,
        };
        html! { @if !chart.lines.is_empty() { (chart.draw()) } }
    };
    html! {
        (chart("Goodput", "units a second that ended well", false, goodput))
        (chart("Latency", "microseconds", true, latency))
        (chart("Cost", "server's microseconds a unit", false, cost))
        (chart("Memory", "server's megabytes", false, memory))
    }
}

fn steps(report: &Report) -> Markup {
    let heads = [
        "step",
        "offered/s",
        "goodput/s",
        "ok",
        "failed",
        "lost",
        "again",
        "p50",
        "p99",
        "us a unit",
        "user",
        "system",
        "server",
        "generator",
    ];
    html! {
        h2 { (report.name) }
        div class="wide" { table {
            tr { @for head in heads { th { (head) } } }
            @for step in &report.steps {
                @let latency = step.latency().map(|(_, l)| (micros(l.p50), micros(l.p99)));
                @let (p50, p99) = latency.unwrap_or_default();
                @let cost = |of: fn(&crate::ServerReport) -> Option<f64>| {
                    step.server.as_ref().and_then(of).map_or("-".to_owned(), short)
                };
                tr {
                    td { (step.name) }
                    td { (short(step.offered as f64 / step.seconds.max(1e-6))) }
                    td { (short(step.goodput)) }
                    td { (step.ok) } td { (step.failed) } td { (step.lost) }
                    td { (step.retransmissions) }
                    td { (p50) } td { (p99) }
                    td { (cost(|s| s.us_per_unit)) }
                    td { (cost(|s| s.user_us_per_unit)) }
                    td { (cost(|s| s.system_us_per_unit)) }
                    td { (cost(|s| Some(s.load))) }
                    td { (short(step.generator.load)) }
                }
            }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Spent;
    use crate::figures::{Figures, Wait};
    use crate::plan::{Amount, Mix, Pace, Purpose, Step, Work};
    use std::time::Duration;
    use towel_core::io::Instant;

    fn step(rate: f64, took: u64) -> StepReport {
        let step = Step {
            name: format!("{rate} a second"),
            purpose: Purpose::Measure,
            mix: Mix(vec![(Work::Call, 1)]),
            pace: Pace::Open { rate, arrivals: Default::default(), ramp: Duration::ZERO },
            warm_up: Duration::ZERO,
            amount: Amount::Time(Duration::from_secs(1)),
            hold: Duration::ZERO,
        };
        let mut figures = Figures::new(Instant(0));
        figures.offered = rate as u64;
        figures.completed = rate as u64;
        for _ in 0..rate as u64 {
            figures.of(Work::Call).started += 1;
            figures.of(Work::Call).ok += 1;
            figures.of(Work::Call).latency(Wait::Ringing, Duration::from_micros(took));
        }
        figures.of(Work::Call).refused.insert(503, 3);
        figures.course.turn(Instant(3_000_000), 4);
        figures.report(&step, Duration::from_secs(1), 0, &Spent::default(), false)
    }

    fn report(name: &str, steps: Vec<StepReport>) -> Report {
        Report {
            name: name.into(),
            server: "127.0.0.1:5060".into(),
            transport: "udp".into(),
            sockets: 4,
            users: 10,
            unix: 1_000_000_000,
            cores: 2,
            steps,
        }
    }

    #[test]
    fn a_page_stands_alone() {
        let one = page(&[report("<towel>", vec![step(100.0, 250)])]);
        for part in ["&lt;towel&gt;", "Latency by percentile", "503: 3", "INVITE to 180", "250 us"]
        {
            assert!(one.contains(part), "{part}");
        }
        let steps = || vec![step(100.0, 250), step(200.0, 500)];
        let two = page(&[report("towel", steps()), report("other", steps())]);
        for part in ["towel: goodput", "other: p99", "100 a second", "all that is offered"] {
            assert!(two.contains(part), "{part}");
        }
        for page in [one, two, page(&[]), page(&[report("none", Vec::new())])] {
            assert!(page.starts_with("<!DOCTYPE html>") && !page.contains("<script"));
            for fetched in ["src=", "href=", "@import", "url(", "http:", "https:"] {
                assert!(!page.contains(fetched), "{fetched}");
            }
            assert!(!page.contains("NaN") && !page.contains("inf"), "a number is none");
        }
    }
}
