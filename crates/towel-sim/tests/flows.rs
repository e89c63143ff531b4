//! Every flow of the project in every network that it names, each a line of the output.
//!
//! `cargo test -p towel-sim --test flows -- fork` runs those whose name contains `fork`;
//! `--ladder` draws the plain run of each as well.

use std::path::{Path, PathBuf};

use towel_sim::element::Elements;
use towel_sim::flow::{Flow, Variant};
use towel_sim::ladder::Style;
use towel_sim::run::{Suite, run_flow};

/// What cannot be read has not been tested: the run fails.
fn fail(path: &Path, error: &std::io::Error) -> ! {
    println!("{}: {error} ... FAILED", path.display());
    std::process::exit(1);
}

fn find(folder: &Path, out: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| fail(folder, &e));
    let entries = entries.map(|entry| entry.unwrap_or_else(|e| fail(folder, &e)).path());
    let mut entries: Vec<PathBuf> = entries.collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            find(&path, out);
        } else if path.extension().is_some_and(|e| e == "flow") {
            out.push(path);
        }
    }
}

fn main() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".."));
    let mut paths = Vec::new();
    find(&crates.join("towel-guide/flows"), &mut paths);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ladder = arguments.iter().any(|a| a == "--ladder");
    if arguments.iter().any(|a| a == "--list") {
        return;
    }
    let filters: Vec<String> = arguments.into_iter().filter(|a| !a.starts_with('-')).collect();
    let mut suite = Suite::default();
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| fail(path, &e));
        let name = path.strip_prefix(crates).unwrap_or(path).display().to_string();
        if ladder
            && (filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str())))
            && let Ok(flow) = Flow::parse(&text)
        {
            let outcome = run_flow(&flow, &Variant::plain(), &Elements::default());
            println!("{name}\n\n{}", outcome.ladder.render(Style { messages: true }));
        }
        suite.add(name, text);
    }
    for path in paths.iter().filter(|path| path.starts_with(crates.join("towel-guide"))) {
        let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default();
        if towel_guide::flows::flow(name).is_none() {
            println!("{name} is not listed in crates/towel-guide/src/flows.rs ... FAILED");
            std::process::exit(1);
        }
    }
    let mut run = 0;
    let failed = suite.run(&Elements::default(), &filters, &mut |line| {
        run += usize::from(line.starts_with("test "));
        println!("{line}");
    });
    if run == 0 {
        println!("no flow has {} in its name ... FAILED", filters.join(" or "));
    }
    std::process::exit(i32::from(failed > 0 || run == 0));
}
