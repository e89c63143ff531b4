//! Digest credentials that were tampered with at random, and those that the fuzzer found worth keeping.

#[path = "support/digest.rs"]
mod support;

use towel_core::rng::Rng;

#[test]
fn nobody_gets_in_by_changing_what_is_right() {
    let mut rng = Rng::new([5; 32]);
    support::digest(b"");
    for _ in 0..3000 {
        let length = rng.next_u64() as usize % 40;
        let bytes: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
        support::digest(&bytes);
    }
}

#[test]
fn the_corpus_of_the_fuzzer_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/digest");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus") {
        support::digest(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
        count += 1;
    }
    assert!(count > 0);
}
