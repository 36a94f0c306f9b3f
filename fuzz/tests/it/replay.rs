//! The corpora as ordinary tests: every seed as it is, and every seed with small changes.

use std::{collections::BTreeSet, fs};

use fastrand::Rng;
use liveset_engine::{Order, QueryLimits};
use liveset_fuzz::{Body, TARGETS, corpora, corpus, engine::read_filter, replay};

/// The body and the corpus of a target.
fn target(name: &str) -> (Body, Vec<Vec<u8>>) {
    let body = TARGETS.iter().find(|(target, _)| *target == name).expect("a target").1;
    let seeds = corpus(name).expect("a corpus");
    (body, seeds.iter().map(|file| fs::read(file).expect("a seed")).collect())
}

/// A seed with a few of its bytes replaced, cut out, doubled, or put together with another seed.
fn changed(random: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut text = seeds[random.usize(..seeds.len())].clone();
    for _ in 0..=random.usize(..3) {
        let (a, b) = (random.usize(..=text.len()), random.usize(..=text.len()));
        let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 12));
        match random.usize(..5) {
            0 if from < text.len() => text[from] = random.u8(..),
            1 if from < text.len() => text[from] ^= 1 << random.usize(..8),
            2 => drop(text.drain(from..to)),
            3 => {
                let piece = text[from..to].to_vec();
                text.splice(a..a, piece);
            }
            _ => {
                let other = &seeds[random.usize(..seeds.len())];
                text.truncate(a);
                text.extend_from_slice(&other[random.usize(..=other.len())..]);
            }
        }
    }
    text
}

fn run(name: &str) {
    let (body, seeds) = target(name);
    replay(body, corpus(name).expect("a corpus")).expect("seeds can be read");
    let mut random = Rng::with_seed(seeds.len() as u64);
    // Those that drive a whole hub take their time, or queries that are as dear as can be.
    for _ in 0..if matches!(name, "policy" | "ndjson" | "holds") { 300 } else { 2_000 } {
        body(&changed(&mut random, &seeds));
    }
}

#[test]
fn messages() {
    run("messages");
}

#[test]
fn session() {
    run("session");
}

#[test]
fn client_session() {
    run("client_session");
}

#[test]
fn filter() {
    run("filter");
}

#[test]
fn order() {
    run("order");
}

#[test]
fn json() {
    run("json");
}

#[test]
fn evaluate() {
    run("evaluate");
}

#[test]
fn policy() {
    run("policy");
}

#[cfg(feature = "transport")]
#[test]
fn assembler() {
    run("assembler");
}

#[cfg(feature = "jwt")]
#[test]
fn jwt() {
    run("jwt");
}

#[cfg(feature = "server")]
#[test]
fn ndjson() {
    run("ndjson");
}

#[test]
fn window() {
    run("window");
}

#[test]
fn holds() {
    run("holds");
}

/// All beginnings of the seeds are tokens that are cut short.
#[cfg(feature = "jwt")]
#[test]
fn every_beginning_of_a_token() {
    let (body, seeds) = target("jwt");
    seeds.iter().for_each(|seed| (0..seed.len()).for_each(|end| body(&seed[..end])));
}

/// Each byte is changed, and the file is cut short at it.
#[cfg(feature = "server")]
#[test]
fn every_byte_of_a_file() {
    let (body, seeds) = target("ndjson");
    for mut seed in seeds {
        for at in 0..seed.len() {
            body(&seed[..at]);
            for change in [0x01, 0x10, 0x22] {
                seed[at] ^= change;
                body(&seed);
                seed[at] ^= change;
            }
        }
    }
}

/// A target that was forgotten somewhere would be fuzzed or replayed by no one.
#[test]
fn targets_binaries_tests_and_corpora_are_the_same() {
    let built = TARGETS.iter().map(|(name, _)| (*name).to_owned());
    // Of those that are behind a feature the files are there all the same.
    let targets: BTreeSet<String> = built.chain(["assembler", "jwt", "ndjson"].map(str::to_owned)).collect();
    let names = |folder: &str| -> BTreeSet<String> {
        let path = corpora().with_file_name(folder);
        let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        entries
            .map(|entry| {
                entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into()
            })
            .collect()
    };
    assert_eq!(names("fuzz_targets"), targets, "every target is a binary");
    assert_eq!(names("corpus"), targets, "every target has a corpus");
    let tests = include_str!("replay.rs");
    for name in &targets {
        assert!(corpus(name).expect("a corpus").len() >= 3, "{name}: a corpus is more than one seed");
        assert!(tests.contains(&format!("fn {name}() {{\n    run(\"{name}\");\n}}")), "{name} is replayed");
    }
}

/// A corpus of expressions that are refused at the first word would look at little.
#[test]
fn seeds_of_expressions_are_read_unless_they_are_mistakes() {
    let limits = QueryLimits::default();
    for name in ["filter", "order"] {
        for file in corpus(name).expect("a corpus") {
            let Some(stem) = file.extension().and(file.file_stem()) else { continue };
            let text = fs::read_to_string(&file).expect("text");
            let text = text.split("\n{").next().unwrap_or_default();
            let refused = match name {
                "filter" => read_filter(text).err(),
                _ => Order::parse(text, &limits).err(),
            };
            let mistake = stem.to_string_lossy().starts_with("mistake");
            assert_eq!(refused.is_some(), mistake, "{}: {refused:?}", file.display());
        }
    }
}
