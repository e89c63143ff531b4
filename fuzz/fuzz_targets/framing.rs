#![no_main]

#[path = "../../crates/towel-message/tests/support/mod.rs"]
mod support;

// The first eight bytes say how the rest is cut into pieces.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (cuts, stream) = bytes.split_at(bytes.len().min(8));
    let cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut)).collect();
    support::framing(stream, &cuts);
});
