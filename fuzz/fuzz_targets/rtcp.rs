#![no_main]

#[path = "../../crates/towel-media/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| support::rtcp(bytes));
