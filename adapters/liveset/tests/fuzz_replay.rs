//! The corpus of the fuzz target `assembler` reaches every outcome, and is replayed cut short at every byte.

use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn every_seed_and_its_beginnings() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/assembler");
    let mut reached = BTreeSet::new();
    for entry in fs::read_dir(corpus).expect("the corpus") {
        let file = entry.expect("an entry").path();
        if file.extension().is_none() {
            continue;
        }
        let seed = fs::read(file).expect("a seed");
        reached.extend(liveset::fuzzing::assembler_outcomes(&seed));
        for end in 0..seed.len() {
            liveset::fuzzing::assembler(&seed[..end]);
        }
    }
    let all = [
        "text",
        "binary",
        "ping",
        "close",
        "close with a code",
        "protocol",
        "utf-8",
        "too large",
        "no binary",
        "flood",
    ];
    assert_eq!(reached, BTreeSet::from(all));
}
