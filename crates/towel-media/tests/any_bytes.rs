//! The fuzz targets' properties, over bytes from fixed seeds: so that every test run has some of
//! them.

mod support;

use towel_media::Random;

#[test]
fn any_bytes_are_taken_or_refused() {
    let mut random = Random::new(42);
    for n in 0..3000 {
        let length = random.word() as usize % 300;
        let mut bytes: Vec<u8> = (0..length).map(|_| random.bits() as u8).collect();
        // Most begin like a packet, since otherwise nothing is looked at.
        if n % 4 != 0 && length > 4 {
            bytes[0] = 0x80 | bytes[0] & 0x3f;
            bytes[1] = [0, 13, 96, 200, 201, 207][n % 6];
            if bytes[1] >= 200 {
                bytes.truncate(length / 4 * 4);
                let words = (length / 4 - 1) as u16;
                bytes[2..4].copy_from_slice(&words.to_be_bytes());
            }
        }
        support::rtp(&bytes);
        support::rtcp(&bytes);
        support::srtp(&bytes);
    }
}

#[test]
fn the_corpora_of_the_fuzzer_hold() {
    type Holds = fn(&[u8]);
    let targets = [
        ("rtp", support::rtp as Holds),
        ("rtcp", support::rtcp as Holds),
        ("srtp", support::srtp as Holds),
    ];
    for (name, holds) in targets {
        let folder = format!("{}/../../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("the corpus") {
            holds(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
            count += 1;
        }
        assert!(count > 0, "{name}");
    }
}
