//! `towel simulate`: whole networks of servers and phones on a virtual clock, drawn from seeds, and
//! held to what must always be true.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::json;
use towel_sim::element::Elements;
use towel_sim::simulate::{Cut, Report, run, shrink};

use crate::options::REFUSED;
use crate::progress::Progress;

/// How many runs may be spent on making one failure small.
const SHRINKING: usize = 400;

/// Run servers and phones in a simulated network, and look for what must never be.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The first seed; the following ones are the next numbers [default: a fresh one]
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// These seeds and no others
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: Option<RangeInclusive<u64>>,
    /// So many virtual hours at least, a seed being some minutes or hours [default: one seed]
    #[arg(long, value_name = "H", conflicts_with = "seeds")]
    hours: Option<f64>,
    /// Stop after so many seconds of real time
    #[arg(long, value_name = "SECONDS")]
    within: Option<u64>,
    /// Only these of the things that happen, e.g. 3,8-12; with one seed
    #[arg(long, value_name = "ACTS", value_parser = acts)]
    only: Option<Acts>,
    /// The network does no harm of itself: no loss, doubling or reordering
    #[arg(long)]
    calm: bool,
    /// The servers are set as simply as they can be
    #[arg(long)]
    plain: bool,
    /// Go on after a failure, and tell each in a line
    #[arg(long, short)]
    keep_going: bool,
    /// Leave a failure as it is, and do not look for a smaller one
    #[arg(long)]
    whole: bool,
    /// Draw the ladder of every seed, with each message written out; twice for the messages
    #[arg(long, short, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Answer as JSON: one object
    #[arg(long)]
    json: bool,
}

/// The acts that are kept.
#[derive(Debug, Clone)]
struct Acts(BTreeSet<usize>);

fn range(text: &str) -> Result<RangeInclusive<u64>> {
    let wrong = || anyhow!("two numbers with .. between them, as in 1..100, not `{text}`");
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let number = |part: &str| part.trim_start_matches('=').parse::<u64>().map_err(|_| wrong());
    let (first, last) = (number(first)?, number(last)?);
    if first > last { Err(wrong()) } else { Ok(first..=last) }
}

fn acts(text: &str) -> Result<Acts> {
    let wrong = || anyhow!("numbers and ranges with commas between them, as in 3,8-12");
    let mut all = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |part: &str| part.trim().parse::<usize>().map_err(|_| wrong());
        let (first, last) = (number(first)?, number(last)?);
        if last > 100_000 {
            return Err(wrong());
        }
        all.extend(first..=last);
    }
    Ok(Acts(all))
}

/// The numbers as they are written after `--only`.
fn written(acts: &BTreeSet<usize>) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for act in acts {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *act => *last = *act,
            _ => parts.push((*act, *act)),
        }
    }
    let part = |(first, last): &(usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

/// The command that repeats a run.
fn command(seed: u64, cut: &Cut) -> String {
    let mut command = format!("towel simulate --seed {seed}");
    if let Some(only) = &cut.only {
        command.push_str(&format!(" --only {}", written(only)));
    }
    for (set, word) in [(cut.calm, " --calm"), (cut.plain, " --plain")] {
        if set {
            command.push_str(word);
        }
    }
    command
}

#[derive(Default)]
struct Sum {
    seeds: u64,
    took: u64,
    messages: usize,
    answered: usize,
    crashes: usize,
    failed: Vec<u64>,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.took += report.took;
        self.messages += report.messages;
        self.answered += report.answered;
        self.crashes += report.crashes;
    }

    fn hours(&self) -> f64 {
        self.took as f64 / 3.6e9
    }
}

impl Simulate {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let first = match (&self.seeds, self.seed) {
            (Some(seeds), _) => *seeds.start(),
            (None, Some(seed)) => seed,
            (None, None) => fresh()?,
        };
        let cut = Cut {
            only: self.only.as_ref().map(|acts| acts.0.clone()),
            calm: self.calm,
            plain: self.plain,
        };
        if !self.json && self.seed.is_none() && self.seeds.is_none() {
            say!("from seed {first} on");
        }
        let began = Instant::now();
        let mut progress = Progress::new("simulating", "virtual minutes");
        let mut sum = Sum::default();
        let mut seed = first;
        loop {
            let report = play(seed, &cut)?;
            sum.add(&report);
            if self.verbose > 0 {
                say!("seed {seed}\n{}", report.drawn(self.verbose > 1));
            }
            if !report.passed() && self.keep_going {
                sum.failed.push(seed);
                let more = match report.complaints.len() {
                    1 => String::new(),
                    count => format!(" (and {} more)", count - 1),
                };
                if !self.json {
                    say!("seed {seed}: {}{more}", report.complaints[0]);
                }
            } else if !report.passed() {
                drop(progress);
                return self.failed(&report, cut, &sum);
            }
            self.show(&mut progress, &sum, first, seed);
            let enough = match (&self.seeds, self.hours) {
                (Some(seeds), _) => seed >= *seeds.end(),
                (None, Some(hours)) => sum.hours() >= hours,
                (None, None) => self.within.is_none(),
            };
            let late =
                self.within.is_some_and(|seconds| began.elapsed() >= Duration::from_secs(seconds));
            if enough || late || seed == u64::MAX {
                break;
            }
            seed += 1;
        }
        drop(progress);
        let hours = sum.hours();
        let Sum { seeds, messages, answered, crashes, failed, .. } = sum;
        if self.json {
            say!(
                "{}",
                json!({
                    "ok": failed.is_empty(), "failed": failed, "first": first, "last": seed, "seeds": seeds, "hours": hours,
                    "messages": messages, "answered": answered, "crashes": crashes,
                })
            );
        } else {
            let verdict = match failed.len() {
                0 => "nothing was wrong".to_owned(),
                count => format!("{count} failed"),
            };
            say!(
                "seeds {first}..{seed}: {hours:.1} virtual hours, {messages} messages, {answered} \
                 calls answered, {crashes} crashes; {verdict}"
            );
        }
        Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
    }

    fn show(&self, progress: &mut Progress, sum: &Sum, first: u64, seed: u64) {
        let minutes = sum.took / 60_000_000;
        let total = match (&self.seeds, self.hours) {
            (Some(seeds), _) => {
                let all = seeds.end() - first + 1;
                minutes * all / (seed - first + 1)
            }
            (None, Some(hours)) => (hours * 60.0) as u64,
            (None, None) => minutes,
        };
        progress.step(minutes.min(total), total);
    }

    fn failed(&self, report: &Report, cut: Cut, sum: &Sum) -> Result<ExitCode> {
        let seed = report.seed;
        let mut small = (cut.clone(), report.clone());
        if !self.whole {
            let progress = Progress::new("making it smaller", "runs");
            let mut progress = progress;
            let mut runs = 0;
            // It must be the same that fails, and not something else.
            let kinds: BTreeSet<String> = report.complaints.iter().map(|c| kind(c)).collect();
            shrink(seed, &cut, SHRINKING, &mut |cut| {
                runs += 1;
                progress.step(runs, SHRINKING as u64);
                let Ok(report) = play(seed, cut) else { return false };
                let same = report.complaints.iter().any(|c| kinds.contains(&kind(c)));
                if same {
                    small = (cut.clone(), report);
                }
                same
            });
        }
        let (cut, report) = small;
        let repeat = command(seed, &cut);
        if self.json {
            say!(
                "{}",
                json!({
                    "ok": false, "seed": seed, "seeds": sum.seeds, "hours": sum.hours(),
                    "complaints": report.complaints, "command": repeat,
                    "ladder": report.drawn(false),
                })
            );
        } else {
            say!("{}", report.drawn(self.verbose > 1));
            say!("seed {seed} fails:");
            for complaint in &report.complaints {
                say!("  {complaint}");
            }
            say!("to repeat it: {repeat}");
        }
        Ok(ExitCode::from(REFUSED))
    }
}

/// What a complaint is about, whoever it concerns and whenever it was.
fn kind(complaint: &str) -> String {
    let about = complaint.rsplit(": ").next().unwrap_or(complaint);
    about.split(' ').filter(|word| !word.contains(|c: char| c.is_ascii_digit())).collect()
}

fn play(seed: u64, cut: &Cut) -> Result<Report> {
    run(seed, cut, &Elements::default()).map_err(|error| anyhow!("seed {seed}: {}", error.what))
}

fn fresh() -> Result<u64> {
    let bytes = towel_server::secret::random::<4>()?;
    Ok(u64::from(u32::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_read_as_they_are_written() {
        let some: BTreeSet<usize> = [1, 2, 3, 7, 9, 10].into();
        assert_eq!(written(&some), "1-3,7,9-10");
        assert_eq!(acts("1-3,7,9-10").unwrap().0, some);
        assert!(acts("3,x").is_err() && range("9..3").is_err() && range("5").is_err());
        assert_eq!(range("3..9").unwrap(), 3..=9);
    }

    #[test]
    fn a_complaint_is_the_same_whoever_it_is_about() {
        let one = "p1 sent 486 Busy Here at 12.500: it was acknowledged before";
        let other = "e2 sent 603 Decline at 1.5: it was acknowledged before";
        assert_eq!(kind(one), kind(other));
        assert_ne!(kind(one), kind("the BYE of a1 in a standing call had 481 for an answer"));
    }
}
