#![no_main]

#[path = "../../crates/towel-core/tests/support/digest.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| support::digest(bytes));
