//! The corpus of the fuzz target `jwt`, every seed as it is and cut short at every byte. A binary of its own, because it
//! needs a feature.

use std::fs;
use std::path::Path;

#[test]
fn every_seed_and_its_beginnings() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/jwt");
    let mut seeds = 0;
    for entry in fs::read_dir(corpus).expect("the corpus") {
        let seed = fs::read(entry.expect("an entry").path()).expect("a seed");
        for end in 0..=seed.len() {
            liveset_jwt::fuzzing::jwt(&seed[..end]);
        }
        seeds += 1;
    }
    assert!(seeds >= 3, "a corpus is more than one seed");
}
