//! What a unit of SIP costs: `towel-bench time`, `check`, `write`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use towel_bench::budget::{self, TOLERANCE};
use towel_bench::work::{Bench, Work};

#[derive(Parser)]
#[command(about = "What a unit of SIP costs in the core, in instructions and in time")]
struct Args {
    #[command(subcommand)]
    command: Wanted,
}

#[derive(Subcommand)]
enum Wanted {
    /// Nanoseconds a unit, both phones and the server.
    Time {
        /// Units of each work.
        #[arg(default_value_t = 20_000)]
        units: u32,
    },
    /// Nanoseconds a unit, and the memory that it keeps, while more and more of what is over lingers.
    Linger {
        /// The name of the work.
        name: String,
        /// How many units at last.
        units: u32,
    },
    /// Counts instructions under valgrind; fails where a budget is exceeded.
    Check,
    /// Counts, and writes what was counted as the budgets.
    Write,
    /// Does the units of one work, for whoever counts from outside.
    Run {
        /// Its name.
        name: String,
        /// How many units.
        units: u32,
        /// How many before them.
        warm: u32,
    },
}

fn budgets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("budgets.toml")
}

fn time(units: u32) -> Result<(), String> {
    for work in Work::ALL {
        let mut bench = Bench::new(work)?;
        for _ in 0..units.min(7_000) {
            bench.unit()?;
        }
        let began = Instant::now();
        for _ in 0..units {
            bench.unit()?;
        }
        let each = began.elapsed().as_nanos() / u128::from(units.max(1));
        println!("{:<20} {each:>8} ns", work.name());
    }
    Ok(())
}

/// Does units in so little time that all of them linger, and tells now and then what one costs.
fn linger(name: &str, units: u32) -> Result<(), String> {
    let work = Work::ALL.into_iter().find(|work| work.name() == name);
    let mut bench = Bench::new(work.ok_or_else(|| format!("there is no work {name}"))?)?;
    bench.rig().set_step(Duration::from_micros(20));
    let (mut done, mut next, mut before) = (0, 100, resident());
    while done < units {
        let until = next.min(units);
        let count = until - done;
        let began = Instant::now();
        for _ in 0..count {
            bench.unit()?;
        }
        let each = began.elapsed().as_nanos() / u128::from(count);
        let after = resident();
        let grown = after.saturating_sub(before) / u64::from(count);
        println!("{name:<16} {until:>8} linger {each:>8} ns {grown:>8} octets each");
        (done, before) = (until, after);
        next *= 2;
    }
    Ok(())
}

/// The memory that is in use, in octets, where the system tells.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

fn check() -> Result<(), String> {
    let known = budget::read(&budgets())?;
    let mut over = Vec::new();
    let counted = budget::count(|name, count| {
        let of = known.get(name).copied();
        let ratio = of.map_or(f64::INFINITY, |of| count as f64 / of.max(1) as f64);
        let mark = match ratio {
            r if r > 1.0 + TOLERANCE => "over",
            r if r < 1.0 - TOLERANCE => "lower the budget",
            _ => "",
        };
        let of = of.map_or("none".to_owned(), |of| of.to_string());
        println!("{name:<20} {count:>8} instructions, budget {of:>8}  {mark}");
        if mark == "over" {
            over.push(name.to_owned());
        }
    })?;
    if let Some(gone) = known.keys().find(|name| !counted.contains_key(*name)) {
        return Err(format!("{gone} has a budget but is not counted any more"));
    }
    match over.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "more instructions than the budget and {:.0} % allow: {}",
            TOLERANCE * 100.0,
            over.join(", ")
        )),
    }
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Wanted::Time { units } => time(units),
        Wanted::Linger { name, units } => linger(&name, units),
        Wanted::Check => check(),
        Wanted::Write => budget::count(|name, count| println!("{name:<20} {count:>8}"))
            .and_then(|counted| budget::write(&budgets(), &counted)),
        Wanted::Run { name, units, warm } => budget::perform(&name, units, warm),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("towel-bench: {why}");
            ExitCode::FAILURE
        }
    }
}
