//! The seeds of the fuzz targets of this package reach what they are there for.

use std::{fs, path::Path};

use liveset_hub::fuzzing::{self, Tally};

/// The committed seeds of a target: those with an extension.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("an entry").path());
    files.filter(|file| file.extension().is_some()).map(|file| fs::read(file).expect("a seed")).collect()
}

#[test]
fn the_seeds_of_evaluate_tell_nodes_apart() {
    let seeds = seeds("evaluate");
    assert!(seeds.len() >= 5);
    for seed in seeds {
        let text = String::from_utf8_lossy(&seed);
        let (passed, others) = fuzzing::evaluate_tally(&seed).unwrap_or_else(|| panic!("refused: {text}"));
        assert!(passed > 0 && others > 0, "{passed} nodes pass, {others} do not: {text}");
    }
}

#[test]
fn the_seeds_of_policy_reach_everything() {
    let mut all = Tally::default().all();
    for seed in seeds("policy") {
        for ((_, all), (_, count)) in all.iter_mut().zip(fuzzing::policy_tally(&seed).all()) {
            *all += count;
        }
    }
    println!("{all:?}");
    let never: Vec<_> = all.iter().filter(|(_, count)| *count == 0).collect();
    assert!(never.is_empty(), "never reached: {never:?}");
}
