//! What users of today's SIP servers suffer, and what brought those servers down, as far as it was
//! published: none of it may happen here. The running program is looked at from outside.

#[path = "../black_box/peer.rs"]
// Not all that the other tests want of a peer is wanted here.
#[allow(dead_code)]
mod peer;
#[path = "../peers/ports.rs"]
mod ports;
#[path = "../peers/towel.rs"]
#[allow(dead_code)]
mod towel;

mod published;

use std::time::{Duration, Instant};

/// Waits until `is_so`, looking ever again. The bound only ends a test that hangs.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "waited 30 s in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
