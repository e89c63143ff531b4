//! In the steady state the core allocates nothing for what it does all day: relaying, refreshing,
//! answering.

use std::sync::atomic::Ordering;
use std::time::Duration;

use towel_bench::MEASURING;
use towel_bench::work::{Bench, Work};
use towel_counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::when(|| MEASURING.load(Ordering::Relaxed));

#[test]
fn the_steady_state_allocates_nothing() {
    for work in [
        Work::Ping,
        Work::Refresh,
        Work::DigestRefresh,
        Work::Repeat,
        Work::Options,
        Work::Message,
        Work::Call,
    ] {
        let mut bench = Bench::new(work).unwrap();
        // What is over lingers for 32 seconds: then as much ends as begins.
        bench.rig().set_step(Duration::from_millis(20));
        for _ in 0..3000 {
            bench.unit().unwrap();
        }
        let before = ALLOCATOR.made();
        for _ in 0..1000 {
            bench.unit().unwrap();
        }
        let made = ALLOCATOR.made() - before;
        assert_eq!(made, 0, "{}: {made} allocations in 1000 units", work.name());
    }
}
