//! What a call that is over, and a registration that is over, keep while their transactions linger
//! (RFC 3261 section 17): counted at the allocator, so that it is the same in every run.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use towel_bench::work::{Bench, Work};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What so many units more keep each. The first fill the tables and the pools.
fn held(work: Work, units: u32) -> f64 {
    let mut bench = Bench::new(work).unwrap();
    for _ in 0..100 {
        bench.unit().unwrap();
    }
    let region = Region::new(COUNTED);
    for _ in 0..units {
        bench.unit().unwrap();
    }
    let change = region.change();
    let held = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
    held / f64::from(units)
}

/// What may be kept each, in octets.
const BUDGETS: [(Work, f64); 5] = [
    // A binding that is refreshed, or the server asked itself, is answered without a transaction.
    (Work::Refresh, 16.0),
    (Work::Ping, 16.0),
    // The answer to the one with credentials.
    (Work::DigestPair, 620.0),
    (Work::Call, 1200.0),
    (Work::Message, 800.0),
];

#[test]
fn what_lingers_is_small() {
    for (work, most) in BUDGETS {
        let held = held(work, 2_000);
        println!("{}: {held:.0} octets", work.name());
        assert!(held <= most, "{}: {held:.0} octets are held, not {most}", work.name());
    }
}
