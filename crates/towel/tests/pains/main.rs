//! What users of today's SIP servers suffer, and what brought those servers down, as far as it was
//! published: none of it may happen here. The running program is looked at from outside.

#[path = "../black_box/call.rs"]
#[allow(dead_code)]
mod call;
// Not all that the other tests want of a peer is wanted here.
#[allow(dead_code)]
#[path = "../black_box/peer.rs"]
mod peer;
#[path = "../peers/ports.rs"]
mod ports;
#[path = "../peers/towel.rs"]
#[allow(dead_code)]
mod towel;

mod abuse;
mod calls;
mod crowds;
mod disk;
mod published;
mod tls;
mod upgrade;
mod waiting;

use std::time::{Duration, Instant};

/// A server that asks nobody who they are.
const OPEN: &str =
    "[auth]\nregister = false\ncalls = false\n[register]\nknown-users-only = false\n";

/// Waits until `is_so`, looking ever again. The bound only ends a test that hangs.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "waited 30 s in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
