//! The program seen from outside: bytes over real sockets, expectations from the RFC texts.
//!
//! These tests know nothing of the code. Each names the section it holds the server to.

#[path = "../peers/ports.rs"]
mod ports;
// Not all that the tests with foreign programs want of the server is wanted here.
#[allow(dead_code)]
#[path = "../peers/towel.rs"]
mod towel;

mod abuse;
mod call;
mod crashes;
mod durability;
mod framing;
mod history;
mod peer;
mod proxy;
mod registrar;
mod reload;
mod security;
mod shards;
mod torture;

use std::time::{Duration, Instant};

/// Waits until `is_so`, looking ever again. The bound only ends a test that hangs.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "waited 30 s in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
