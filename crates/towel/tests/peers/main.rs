//! towel between programs that others wrote: baresip, linphone, SIPp, sipsak, knotd.
//!
//! Real processes over loopback. A test whose program is not installed says so and passes, unless
//! `TOWEL_REQUIRE_PEERS=1`: then it fails.

mod b2bua;
mod baresip;
mod chromium;
mod in_call;
mod knot;
mod linphone;
mod ports;
mod script;
mod sipp;
mod sipp_phone;
mod sipsak;
mod sipvicious;
mod tone;
mod towel;
mod towel_phone;
mod transferring;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// Where a program is, or why the test is skipped. Fails instead where a skip is not allowed.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.is_file());
    if found.is_none() {
        let required = std::env::var("TOWEL_REQUIRE_PEERS").is_ok_and(|v| v == "1");
        assert!(!required, "{name} is not installed and TOWEL_REQUIRE_PEERS=1");
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// Waits until `is_so`, looking ever again. The bound only ends a test that hangs.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "waited 30 s in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
