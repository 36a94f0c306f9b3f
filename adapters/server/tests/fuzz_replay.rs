//! The corpus of the fuzz target `ndjson`, every seed as it is, cut short, and with each byte changed. A binary of its
//! own, because it needs a feature.

use std::{collections::BTreeSet, fs, path::Path};

use liveset_server::fuzzing::{ndjson, ndjson_reached};

#[test]
fn seeds_and_small_changes_of_them() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/ndjson");
    let mut reached = BTreeSet::new();
    for entry in fs::read_dir(corpus).expect("the corpus") {
        let file = entry.expect("an entry").path();
        if file.extension().is_none() {
            continue;
        }
        let mut seed = fs::read(file).expect("a seed");
        reached.extend(ndjson_reached(&seed));
        for at in 0..seed.len() {
            ndjson(&seed[..at]);
            for change in [0x01, 0x10, 0x22] {
                seed[at] ^= change;
                ndjson(&seed);
                seed[at] ^= change;
            }
        }
    }
    let expected = [
        "plain",
        "a byte order mark",
        "gzip",
        "loaded",
        "a commit",
        "a commit that is none",
        "a commit that is refused",
        "a commit of nodes",
        "a node that is refused",
        "a line that is too long",
        "a file that cannot be read",
    ];
    assert_eq!(reached, BTreeSet::from(expected));
}
