//! What a unit of SIP costs: `towel-bench time`, `check`, `write`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use towel_bench::budget::{self, TOLERANCE};
use towel_bench::scale::{self, Axis, Figure};
use towel_bench::work::{Bench, Work};
use towel_bench::{model, sockets, threads};

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
    /// Measures what a unit costs beside more and more bindings, calls and connections.
    Scale {
        /// File of figures, written anew for what is measured here.
        file: PathBuf,
        /// One axis alone: bindings, "live calls", "lingering calls", "idle connections".
        #[arg(long)]
        axis: Option<String>,
        /// Leaves out the count under valgrind.
        #[arg(long)]
        no_count: bool,
    },
    /// The same by a whole server on sockets of this machine's loopback: `towel serve`, `towel load`.
    ScaleSockets {
        /// File of figures, written anew for what is measured here.
        file: PathBuf,
        /// The program, built with --release.
        #[arg(long, default_value = "target/release/towel")]
        towel: PathBuf,
        /// A free port, with eight free ones above it.
        #[arg(long, default_value_t = 22_000)]
        port: u16,
        /// One axis alone.
        #[arg(long)]
        axis: Option<String>,
    },
    /// Draws the charts of a file of figures.
    Charts {
        /// The file that `scale` wrote.
        file: PathBuf,
        /// The folder for the charts.
        folder: PathBuf,
    },
    /// The longest that one input takes where very many bindings and calls come together.
    Pauses,
    /// What the ways cost in which shards could meet threads: locks, hand-over, a filter.
    Threads {
        /// File for what was measured.
        file: PathBuf,
    },
    /// What those come to with up to 16 cores.
    Model {
        /// The file that `threads` wrote.
        file: PathBuf,
        /// Microseconds that a call costs on one core, the kernel's included.
        #[arg(long, default_value_t = 36.0)]
        call: f64,
        /// Those of them that are the core's.
        #[arg(long, default_value_t = 18.0)]
        core: f64,
    },
    /// Times one size of `scale`, for `scale` itself.
    #[command(hide = true)]
    ScaleTime {
        /// The axis.
        axis: String,
        /// The size.
        size: u32,
    },
    /// Does what is counted at one size, for `scale` itself.
    #[command(hide = true)]
    ScaleCount {
        /// The axis.
        axis: String,
        /// The size.
        size: u32,
        /// The name of the work.
        work: String,
    },
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

fn axis_of(name: &str) -> Result<Axis, String> {
    let known = Axis::ALL.into_iter().find(|axis| axis.name() == name);
    known.ok_or_else(|| format!("there is no axis {name}"))
}

/// The figures of a file, or none where there is no file.
fn figures(file: &Path) -> Result<Vec<Figure>, String> {
    match std::fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(format!("{}: {e}", file.display())),
    }
}

/// Puts a figure in the place of the one that was there.
fn put(all: &mut Vec<Figure>, new: Figure) {
    let same = |f: &Figure| f.axis == new.axis && f.work == new.work && f.size == new.size;
    match all.iter_mut().find(|f| same(f)) {
        Some(old) => {
            old.instructions = new.instructions.or(old.instructions);
            old.nanoseconds = new.nanoseconds.or(old.nanoseconds);
            old.pause = new.pause.or(old.pause);
            old.server = new.server.or(old.server);
        }
        None => all.push(new),
    }
}

fn scale(file: &Path, only: Option<&str>, no_count: bool) -> Result<(), String> {
    let only = only.map(axis_of).transpose()?;
    let mut all = figures(file)?;
    for axis in Axis::ALL.into_iter().filter(|axis| only.is_none_or(|only| only == *axis)) {
        for size in axis.sizes() {
            for mut figure in scale::timed(axis, *size)? {
                let work = axis.works().iter().find(|work| work.name() == figure.work);
                if let Some(work) = work.filter(|_| !no_count) {
                    figure.instructions = Some(scale::count(axis, *size, *work)?);
                }
                println!(
                    "{:<8} beside {size:>8} {:<17} {:>8} instructions {:>7} ns, longest pause {} us",
                    figure.work,
                    figure.axis,
                    figure.instructions.map_or("-".into(), |count| count.to_string()),
                    figure.nanoseconds.unwrap_or_default(),
                    figure.pause.unwrap_or_default(),
                );
                put(&mut all, figure);
            }
            write(file, &all)?;
        }
    }
    Ok(())
}

fn scale_sockets(file: &Path, towel: &Path, port: u16, only: Option<&str>) -> Result<(), String> {
    let only = only.map(axis_of).transpose()?;
    let mut all = figures(file)?;
    for axis in Axis::ALL.into_iter().filter(|axis| only.is_none_or(|only| only == *axis)) {
        sockets::measure(towel, port, axis, &mut |figure| {
            let (server, size) = (figure.server.unwrap_or_default(), figure.size);
            println!("{:<8} beside {size:>8} {:<17} {server:>6.1} us", figure.work, figure.axis);
            put(&mut all, figure);
        })?;
        write(file, &all)?;
    }
    Ok(())
}

fn charts(file: &Path, folder: &Path) -> Result<(), String> {
    let all = figures(file)?;
    for (name, chart) in scale::charts(&all) {
        let path = folder.join(name);
        std::fs::write(&path, chart.svg()).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn threads(file: &Path) -> Result<(), String> {
    let costs = threads::measure(&mut |name, value| println!("{name:<60} {value:>10.0}"))?;
    write(file, &costs)
}

fn model(file: &Path, call: f64, core: f64) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let costs = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    println!("{}\n", model::ASSUMED);
    println!("microseconds a call, calls a second in all");
    for way in model::Way::ALL {
        print!("{:<26}", way.name());
        for cores in [1, 2, 4, 8, 16] {
            let each = model::call(way, cores, call, core, &costs)?;
            print!("{cores:>5}: {each:>5.1}, {:>7.0}", f64::from(cores) * 1e6 / each);
        }
        println!();
    }
    Ok(())
}

fn write(file: &Path, all: &impl serde::Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(all).map_err(|e| e.to_string())?;
    std::fs::write(file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Wanted::Time { units } => time(units),
        Wanted::Linger { name, units } => linger(&name, units),
        Wanted::Check => check(),
        Wanted::Write => budget::count(|name, count| println!("{name:<20} {count:>8}"))
            .and_then(|counted| budget::write(&budgets(), &counted)),
        Wanted::Scale { file, axis, no_count } => scale(&file, axis.as_deref(), no_count),
        Wanted::ScaleSockets { file, towel, port, axis } => {
            scale_sockets(&file, &towel, port, axis.as_deref())
        }
        Wanted::Charts { file, folder } => charts(&file, &folder),
        Wanted::Pauses => {
            scale::pauses(&mut |what, longest| println!("{what:<50} {longest:>10.1?}"))
        }
        Wanted::Threads { file } => threads(&file),
        Wanted::Model { file, call, core } => model(&file, call, core),
        Wanted::ScaleTime { axis, size } => axis_of(&axis)
            .and_then(|axis| scale::time(axis, size))
            .and_then(|all| serde_json::to_string(&all).map_err(|e| e.to_string()))
            .map(|text| println!("{text}")),
        Wanted::ScaleCount { axis, size, work } => {
            let work = Work::ALL.into_iter().find(|known| known.name() == work);
            axis_of(&axis).and_then(|axis| {
                scale::be_counted(axis, size, work.ok_or("there is no such work")?)
            })
        }
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
