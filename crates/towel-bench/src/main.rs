//! `towel-bench time WORK`: what a unit costs on this machine now. `towel-bench run WORK UNITS
//! WARM`: does the work, to be counted from outside.

use std::time::Instant;

use towel_bench::work::{Bench, Work};

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut args = args.iter().map(String::as_str);
    let command = args.next().unwrap_or("time");
    let name = args.next().unwrap_or("all");
    let units: u32 = args.next().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let warm: u32 = args.next().and_then(|n| n.parse().ok()).unwrap_or(7_000);
    for work in Work::ALL.into_iter().filter(|work| name == "all" || name == work.name()) {
        let mut bench = Bench::new(work)?;
        for _ in 0..warm {
            bench.unit()?;
        }
        let began = Instant::now();
        for _ in 0..units {
            bench.unit()?;
        }
        if command == "time" {
            let each = began.elapsed().as_nanos() / u128::from(units.max(1));
            println!("{:<16} {each:>8} ns with both phones", work.name());
        }
    }
    Ok(())
}
