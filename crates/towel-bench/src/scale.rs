//! What a unit costs beside how much the server has in its tables: bindings, calls that are up,
//! calls that are over and linger, connections.
//!
//! Each size runs in a process of its own. Instructions are counted by valgrind, which is told to
//! look only once everything is in place; nanoseconds are the run time of the thread, so that
//! whoever else is at work on the machine is left out, and the least of some rounds. A pause is the
//! longest run time of a single input while the tables grow.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use towel_core::io::Record;
use towel_load::{Chart, Line};

use crate::peer::{self, CALLEE};
use crate::rig::{DOMAIN, Rig};
use crate::work::{Bench, Work};

/// What there is more and more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Users with a binding each.
    Bindings,
    /// Calls that are up.
    Live,
    /// Calls that are over, with transactions that linger.
    Lingering,
    /// Idle TCP connections.
    Connections,
}

impl Axis {
    /// All of them.
    pub const ALL: [Axis; 4] = [Axis::Bindings, Axis::Live, Axis::Lingering, Axis::Connections];

    /// Its name on the command line and in the figures.
    pub fn name(self) -> &'static str {
        match self {
            Axis::Bindings => "bindings",
            Axis::Live => "live calls",
            Axis::Lingering => "lingering calls",
            Axis::Connections => "idle connections",
        }
    }

    /// The sizes at which it is measured.
    pub fn sizes(self) -> &'static [u32] {
        match self {
            Axis::Bindings => &[1_000, 10_000, 100_000, 1_000_000],
            Axis::Live | Axis::Lingering => &[100, 1_000, 10_000, 100_000],
            Axis::Connections => &[10, 100, 1_000, 10_000, 50_000],
        }
    }

    /// What is done beside it.
    pub fn works(self) -> &'static [Work] {
        match self {
            Axis::Bindings => &[Work::Refresh, Work::Call],
            Axis::Live | Axis::Lingering | Axis::Connections => &[Work::Call],
        }
    }
}

/// One measured point.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figure {
    /// The axis.
    pub axis: String,
    /// What was done.
    pub work: String,
    /// How much there was in the tables.
    pub size: u32,
    /// Instructions in the core for a unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<u64>,
    /// Nanoseconds for a unit, the phones of both ends included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanoseconds: Option<u64>,
    /// Microseconds of the longest single input while the tables grew to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<u64>,
    /// Processor microseconds for a unit of a whole server, over sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<f64>,
}

/// The run time of this thread.
pub fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Users have numbers of seven digits, so that every message is as long as every other.
pub(crate) const FIRST: usize = 1_000_000;
/// How many users there are where something else grows.
const USERS: u32 = 1000;

/// The settings of a server that holds all of this.
fn toml(durability: &str) -> String {
    format!(
        "domains = [\"{DOMAIN}\"]\ndurability = \"{durability}\"\n[auth]\nregister = false\n\
         calls = false\n[limits]\ntransactions = 2000000\n[log]\nlevel = \"warn\"\n"
    )
}

/// The record of one binding, to make the others of.
pub(crate) fn template() -> Result<Record, String> {
    let mut rig = Rig::new(&toml("soon"))?;
    let mut bytes = Vec::new();
    peer::register(&mut bytes, FIRST, 1, None);
    rig.send(CALLEE, &bytes);
    rig.stored().cloned().ok_or_else(|| "a binding is not stored".to_owned())
}

/// The same with another user's number.
pub(crate) fn of_user(template: &Record, user: usize) -> Record {
    let (from, to) = (FIRST.to_string(), user.to_string());
    let change = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let found =
            |bytes: &[u8], at: usize| bytes.get(at..at + from.len()) == Some(from.as_bytes());
        for at in 0..bytes.len() {
            if found(&bytes, at)
                && let Some(place) = bytes.get_mut(at..at + to.len())
            {
                place.copy_from_slice(to.as_bytes());
            }
        }
        bytes
    };
    let (table, key) = (template.table, change(&template.key));
    Record { table, key, value: template.value.as_deref().map(change) }
}

/// A server with so much in its tables, and the longest pause while they grew.
///
/// # Errors
/// If the server does something else than it should.
pub fn ready(axis: Axis, size: u32, slowly: bool) -> Result<(Bench, Duration), String> {
    let mut rig = Rig::new(&toml("memory"))?;
    let users = if axis == Axis::Bindings { size } else { USERS } as usize;
    if axis == Axis::Bindings && slowly {
        // As phones come, one by one.
        let mut bytes = Vec::new();
        let _ = rig.take_longest();
        rig.set_step(Duration::from_micros(10));
        for user in FIRST..FIRST + users {
            peer::register(&mut bytes, user, 1, None);
            rig.send(CALLEE, &bytes);
        }
    } else {
        let template = template()?;
        for user in FIRST..FIRST + users {
            rig.load(&[of_user(&template, user)]);
        }
    }
    let mut bench = Bench::on(rig, Work::Call, users, FIRST);
    if slowly && axis != Axis::Bindings {
        let _ = bench.rig().take_longest();
    }
    match axis {
        Axis::Bindings => {}
        Axis::Live => {
            for _ in 0..size {
                bench.bring_up()?;
            }
        }
        Axis::Lingering => {
            // In so little time that none is forgotten.
            bench.rig().set_step(Duration::from_micros(2));
            for _ in 0..size {
                bench.unit()?;
            }
        }
        Axis::Connections => {
            for connection in 1..=u64::from(size) {
                bench.rig().connect(connection);
            }
        }
    }
    if axis == Axis::Live {
        bench.settle();
    }
    let longest = if slowly { bench.rig().take_longest() } else { Duration::ZERO };
    Ok((bench, longest))
}

/// Units before anything is measured, a round's, and rounds.
const WARM: u32 = 600;
const ROUND: u32 = 5_000;
const ROUNDS: u32 = 7;
/// Units that are counted.
const COUNTED: u32 = 300;

/// Measures the time of every work of an axis at one size.
///
/// # Errors
/// If the server does something else than it should.
pub fn time(axis: Axis, size: u32) -> Result<Vec<Figure>, String> {
    let (_, pause) = ready(axis, size, true)?;
    let mut all = Vec::new();
    for work in axis.works() {
        let (mut bench, _) = ready(axis, size, false)?;
        bench.set_work(*work);
        for _ in 0..WARM {
            bench.unit()?;
        }
        let mut least = u64::MAX;
        for _ in 0..ROUNDS {
            let began = thread_time();
            for _ in 0..ROUND {
                bench.unit()?;
            }
            let took = thread_time().saturating_sub(began).as_nanos() as u64;
            least = least.min(took / u64::from(ROUND));
        }
        all.push(Figure {
            axis: axis.name().into(),
            work: work.name().into(),
            size,
            nanoseconds: Some(least),
            pause: Some(pause.as_micros() as u64),
            ..Figure::default()
        });
    }
    Ok(all)
}

/// Makes everything ready, says so, waits for a line, and does the units that are counted.
///
/// # Errors
/// If the server does something else than it should.
pub fn be_counted(axis: Axis, size: u32, work: Work) -> Result<(), String> {
    let (mut bench, _) = ready(axis, size, false)?;
    bench.set_work(work);
    for _ in 0..WARM {
        bench.unit()?;
    }
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|e| e.to_string())?;
    bench.rig().set_counting(true);
    for _ in 0..COUNTED {
        bench.unit()?;
    }
    Ok(())
}

/// The longest that a single input takes where very many things come together, by what is done.
///
/// # Errors
/// If the server does something else than it should.
pub fn pauses(told: &mut dyn FnMut(&str, Duration)) -> Result<(), String> {
    const MANY: usize = 1_000_000;
    let mut rig = Rig::new(&toml("memory"))?;
    let mut bytes = Vec::new();
    // A million within a minute.
    rig.set_step(Duration::from_micros(60));
    let _ = rig.take_longest();
    for user in FIRST..FIRST + MANY {
        peer::register(&mut bytes, user, 1, None);
        rig.send(CALLEE, &bytes);
    }
    told("a million bindings come within a minute", rig.take_longest());
    rig.pass(Duration::from_secs(3_500));
    if rig.registered() != MANY {
        return Err("the bindings did not last".into());
    }
    let _ = rig.take_longest();
    rig.pass(Duration::from_secs(300));
    if rig.registered() != 0 {
        return Err("the bindings did not end".into());
    }
    told("a million bindings end within a minute", rig.take_longest());

    let (mut bench, _) = ready(Axis::Live, 0, false)?;
    // Six inputs a call.
    bench.rig().set_step(Duration::from_micros(8));
    for call in 0..400_000 {
        bench.unit()?;
        if call == 100_000 {
            let _ = bench.rig().take_longest();
        }
    }
    told("20,000 calls a second", bench.rig().take_longest());
    Ok(())
}

/// The charts of figures, with the names of their files.
pub fn charts(all: &[Figure]) -> Vec<(&'static str, Chart)> {
    let lines = |value: fn(&Figure) -> Option<f64>| {
        let of = |axis: Axis, work: &Work| {
            let points = all
                .iter()
                .filter(|f| f.axis == axis.name() && f.work == work.name())
                .filter_map(|f| Some((f64::from(f.size), value(f)?)))
                .collect();
            Line { name: format!("{}, over {}", work.name(), axis.name()), points }
        };
        let all =
            Axis::ALL.into_iter().flat_map(|axis| axis.works().iter().map(move |w| of(axis, w)));
        all.filter(|line| !line.points.is_empty()).collect::<Vec<_>>()
    };
    let chart = |title: &str, up: &str, value| Chart {
        title: title.into(),
        across: "bindings, calls or connections that there are".into(),
        up: up.into(),
        log: (true, false),
        marks: Vec::new(),
        lines: lines(value),
    };
    vec![
        (
            "scale-instructions.svg",
            chart("Instructions a unit takes in the core", "instructions", |f| {
                f.instructions.map(|count| count as f64)
            }),
        ),
        (
            "scale-time.svg",
            chart("Run time of a unit in the core, both phones included", "microseconds", |f| {
                f.nanoseconds.map(|time| time as f64 / 1e3)
            }),
        ),
        (
            "scale-sockets.svg",
            chart("Processor time of the whole server for a unit", "microseconds", |f| f.server),
        ),
    ]
}

/// This program again, with other arguments.
fn own(arguments: &[&str]) -> Result<Command, String> {
    let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
    command.args(arguments);
    Ok(command)
}

/// Measures one size in a process of its own.
///
/// # Errors
/// What that process says.
pub fn timed(axis: Axis, size: u32) -> Result<Vec<Figure>, String> {
    let size = size.to_string();
    let out = own(&["scale-time", axis.name(), &size])?.output().map_err(|e| e.to_string())?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into_owned());
    }
    serde_json::from_slice(&out.stdout).map_err(|e| e.to_string())
}

/// Counts the instructions of a unit at one size, under valgrind.
///
/// # Errors
/// If there is no valgrind, or the run does not do what it should.
pub fn count(axis: Axis, size: u32, work: Work) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut child = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--instr-atstart=no"])
        .arg("--toggle-collect=*towel_bench*counted*")
        .arg(program)
        .args(["scale-count", axis.name(), &size.to_string(), work.name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("valgrind: {e}"))?;
    let told = begin_counting(&mut child);
    let out = child.wait_with_output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&out.stderr);
    told.map_err(|why| format!("{why}\n{text}"))?;
    if !out.status.success() {
        return Err(text.into_owned());
    }
    let collected = text.lines().find_map(|line| line.split("Collected :").nth(1));
    let collected: Option<u64> = collected.and_then(|number| number.trim().parse().ok());
    let all = collected.ok_or_else(|| format!("valgrind told no count:\n{text}"))?;
    Ok(all / u64::from(COUNTED))
}

/// Waits until a process under valgrind is ready, has valgrind look, and lets it go on.
fn begin_counting(child: &mut Child) -> Result<(), String> {
    let mut line = String::new();
    let out = child.stdout.take().ok_or("no output")?;
    BufReader::new(out).read_line(&mut line).map_err(|e| e.to_string())?;
    if line.trim() != "ready" {
        return Err("what was to be counted did not begin".into());
    }
    let control = Command::new("callgrind_control")
        .args(["-i", "on", &child.id().to_string()])
        .output()
        .map_err(|e| format!("callgrind_control: {e}"))?;
    if !control.status.success() {
        return Err(String::from_utf8_lossy(&control.stdout).into_owned());
    }
    let mut input = child.stdin.take().ok_or("no input")?;
    input.write_all(b"\n").map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_is_done_beside_every_size() {
        for axis in Axis::ALL {
            for work in axis.works() {
                for slowly in [true, false] {
                    let (mut bench, _) = ready(axis, 50, slowly).unwrap();
                    bench.set_work(*work);
                    for _ in 0..20 {
                        bench.unit().unwrap_or_else(|why| panic!("{}: {why}", axis.name()));
                    }
                }
            }
        }
    }

    #[test]
    fn a_record_of_another_user_is_his() {
        let template = template().unwrap();
        let other = of_user(&template, FIRST + 77);
        assert_eq!(other.key.len(), template.key.len());
        let value = other.value.unwrap();
        let text = String::from_utf8_lossy(&value).into_owned();
        assert!(text.contains("u1000077@") && !text.contains("1000000"), "{text}");
    }
}
