//! Budgets: how many instructions a unit of each work may take, and the count under valgrind.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::parts::Part;
use crate::work::{Bench, Work};

/// A count may be above its budget by so much.
pub const TOLERANCE: f64 = 0.03;

/// Instructions by the name of the work or part.
pub type Budgets = BTreeMap<String, u64>;

/// Reads a file of budgets.
///
/// # Errors
/// What is wrong with it.
pub fn read(path: &Path) -> Result<Budgets, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Writes a file of budgets.
///
/// # Errors
/// What the system says.
pub fn write(path: &Path, budgets: &Budgets) -> Result<(), String> {
    let mut text = String::from(
        "# Instructions a unit takes in the core, counted by valgrind in a release build:\n\
         # `towel-bench check` fails where a count is more than 3 % above. A change that is worth it\n\
         # raises its budget; one that saves lowers it: `towel-bench write`.\n",
    );
    for (name, count) in budgets {
        text.push_str(&format!("{name} = {count}\n"));
    }
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Everything that is counted, with the units to take for it.
fn all() -> impl Iterator<Item = (&'static str, u32, u32)> {
    let works = Work::ALL.into_iter().map(|work| match work {
        Work::CallAndExpiry => (work.name(), 300, 0),
        _ => (work.name(), 300, 600),
    });
    works.chain(Part::ALL.into_iter().map(|part| (part.name(), 1000, 10)))
}

/// Counts the instructions of every work and part, by running this very program under valgrind.
///
/// # Errors
/// If there is no valgrind, or a run does not do what it should.
pub fn count(mut told: impl FnMut(&str, u64)) -> Result<Budgets, String> {
    let mut budgets = Budgets::new();
    for (name, units, warm) in all() {
        // What a run costs besides the units is in both.
        let (with, without) = (run(name, units, warm)?, run(name, 0, warm)?);
        let each = with.saturating_sub(without) / u64::from(units);
        told(name, each);
        budgets.insert(name.to_owned(), each);
    }
    Ok(budgets)
}

fn run(name: &str, units: u32, warm: u32) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*towel_bench*measured*")
        .arg(program)
        .args(["run", name, &units.to_string(), &warm.to_string()])
        .output()
        .map_err(|e| format!("valgrind: {e}"))?;
    let text = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        return Err(format!("{name}: {text}"));
    }
    let collected = text.lines().find_map(|line| line.split("Collected :").nth(1));
    collected
        .and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| format!("{name}: valgrind told no count:\n{text}"))
}

/// Does the units of a work or part, for whoever counts.
///
/// # Errors
/// If it is not done as it should be, or there is none of that name.
pub fn perform(name: &str, units: u32, warm: u32) -> Result<(), String> {
    if let Some(part) = Part::ALL.into_iter().find(|part| part.name() == name) {
        let mut part = part.ready()?;
        for _ in 0..warm + units {
            part();
        }
        return Ok(());
    }
    let work = Work::ALL.into_iter().find(|work| work.name() == name);
    let mut bench = Bench::new(work.ok_or_else(|| format!("there is no {name}"))?)?;
    for _ in 0..warm {
        bench.unit()?;
    }
    for _ in 0..units {
        bench.unit()?;
    }
    if work == Some(Work::CallAndExpiry) {
        bench.settle();
    }
    Ok(())
}
