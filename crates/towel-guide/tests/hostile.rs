//! Conversations that nobody would hold, held with a whole server: random ones, and those that the
//! fuzzer found worth keeping.

#[path = "support/conversation.rs"]
mod support;

use towel_core::rng::Rng;

#[test]
fn random_conversations_end_with_every_table_empty() {
    for seed in 0..400u64 {
        let mut rng = Rng::new([seed as u8; 32]);
        for _ in 0..seed >> 8 {
            let _ = rng.next_u64();
        }
        let length = 40 + rng.next_u64() as usize % 1500;
        let bytes: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
        let held = std::panic::catch_unwind(|| support::conversation(&bytes));
        assert!(held.is_ok(), "seed {seed}");
    }
}

#[test]
fn the_corpus_of_the_fuzzer_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/conversation");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a file");
        let held = std::panic::catch_unwind(|| support::conversation(&bytes));
        assert!(held.is_ok(), "{}", path.display());
        count += 1;
    }
    assert!(count > 0);
}
