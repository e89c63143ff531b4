//! What SIP costs: the whole server without its driver, taken through the work that the figures in
//! `docs/numbers.md` are about, one unit at a time. The counts of instructions that come of it are
//! the same in every run, so a budget can be held to a few percent.

pub mod budget;
pub mod inner;
pub mod model;
pub mod parts;
pub mod peer;
pub mod rig;
pub mod scale;
pub mod sockets;
pub mod threads;
pub mod work;

use std::sync::atomic::{AtomicBool, Ordering};

use towel_core::io::{Input, Machine, Now, Outbox};

/// Whether the machine is at work: for an allocator that counts what it asks for.
pub static MEASURING: AtomicBool = AtomicBool::new(false);

/// Hands one input to a machine. All that is counted happens below this call, so it must not be
/// merged into its caller: valgrind is told to collect between its entry and its return.
#[inline(never)]
pub fn measured<M: Machine>(machine: &mut M, now: Now, input: Input<'_>, out: &mut Outbox) {
    MEASURING.store(true, Ordering::Relaxed);
    machine.handle(now, input, out);
    MEASURING.store(false, Ordering::Relaxed);
}

/// Runs a part of the work on its own, counted in the same way.
#[inline(never)]
pub fn measured_part<T>(part: impl FnOnce() -> T) -> T {
    std::hint::black_box(part())
}

/// Hands one input to a machine in the part of a run that alone is to be counted, where a run has
/// much to make ready: as [`measured`], under a name of its own.
#[inline(never)]
pub fn counted<M: Machine>(machine: &mut M, now: Now, input: Input<'_>, out: &mut Outbox) {
    machine.handle(now, input, out);
    // Not the same code as elsewhere, or the linker could make one of the two.
    std::hint::black_box(());
}
