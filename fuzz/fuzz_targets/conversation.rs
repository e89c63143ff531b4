#![no_main]

#[path = "../../crates/towel-guide/tests/support/conversation.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| support::conversation(bytes));
