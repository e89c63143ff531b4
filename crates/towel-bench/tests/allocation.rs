//! In the steady state the core allocates nothing for what it does all day: relaying, refreshing,
//! answering.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use towel_bench::MEASURING;
use towel_bench::work::{Bench, Work};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn count() {
    if MEASURING.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        if std::env::var_os("TOWEL_BENCH_TRACE").is_some() {
            MEASURING.store(false, Ordering::Relaxed);
            eprintln!("{}", std::backtrace::Backtrace::force_capture());
            MEASURING.store(true, Ordering::Relaxed);
        }
    }
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

#[test]
fn the_steady_state_allocates_nothing() {
    for work in [Work::Ping, Work::Refresh, Work::Options, Work::Message, Work::Call] {
        let mut bench = Bench::new(work).unwrap();
        // What is over lingers for 32 seconds: then as much ends as begins.
        bench.rig().set_step(Duration::from_millis(20));
        for _ in 0..3000 {
            bench.unit().unwrap();
        }
        ALLOCATIONS.store(0, Ordering::Relaxed);
        for _ in 0..1000 {
            bench.unit().unwrap();
        }
        let made = ALLOCATIONS.load(Ordering::Relaxed);
        assert_eq!(made, 0, "{}: {made} allocations in 1000 units", work.name());
    }
}
