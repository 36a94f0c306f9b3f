//! Sessions of both kinds, hub and engine on virtual time, against an oracle that shares no code with the engine.
//!
//! Every operation is a function of the seed. To run one seed again, or more of them:
//!
//! ```text
//! LIVESET_SIM_SEED=17 LIVESET_SIM_OPS=500 cargo test -p liveset-hub --test simulator
//! LIVESET_SIM_SEED=1000..2000 cargo test -p liveset-hub --test simulator in_step
//! ```

#[path = "simulator/generate.rs"]
mod generate;
#[path = "simulator/mirror.rs"]
mod mirror;
mod oracle;
#[path = "simulator/run.rs"]
mod run;

use std::{panic::AssertUnwindSafe, time::Duration};

use run::{Setup, Sim, Tally};

fn setup(ops: usize) -> Setup {
    Setup {
        ops,
        clients: 4,
        ids: 40,
        queries: 10,
        limits: &[1, 2, 2, 5, 1000],
        cap: 1000,
        settle: 100,
        backlog: 256,
        latency: Duration::ZERO,
        room: 2_000,
    }
}

/// Runs seeds, and says how to run one again that fails.
fn simulate(name: &str, seeds: std::ops::Range<u64>, setup: Setup) -> Tally {
    let seeds = std::env::var("LIVESET_SIM_SEED").map_or(seeds, |text| match text.split_once("..") {
        Some((from, to)) => from.parse().expect("a seed")..to.parse().expect("a seed"),
        None => text.parse().map(|seed| seed..seed + 1).expect("a seed"),
    });
    let ops = std::env::var("LIVESET_SIM_OPS").map_or(setup.ops, |text| text.parse().expect("a number"));
    let mut last = Tally::default();
    for seed in seeds {
        let setup = Setup { ops, ..setup.clone() };
        let run = std::panic::catch_unwind(AssertUnwindSafe(|| Sim::new(seed, setup).run()));
        match run {
            Ok(tally) => {
                eprintln!("{name}, seed {seed}: {tally:?}");
                last = tally;
            }
            Err(panic) => {
                eprintln!(
                    "to run this again: LIVESET_SIM_SEED={seed} LIVESET_SIM_OPS={ops} cargo test -p liveset-hub --test simulator {name}"
                );
                std::panic::resume_unwind(panic);
            }
        }
    }
    last
}

#[test]
fn in_step_after_every_operation() {
    simulate("in_step_after_every_operation", 0..8, setup(1_000));
}

#[test]
fn with_latency_and_slow_readers() {
    let setup = Setup { settle: 25, backlog: 5, latency: Duration::from_millis(40), ..setup(1_000) };
    simulate("with_latency_and_slow_readers", 100..108, setup);
}

#[test]
fn folding_always() {
    let setup = Setup { settle: 40, backlog: 0, room: 1, latency: Duration::from_millis(3), ..setup(1_000) };
    simulate("folding_always", 200..206, setup);
}

#[test]
fn a_small_server_cap() {
    let setup = Setup { cap: 3, ids: 15, ..setup(1_000) };
    simulate("a_small_server_cap", 300..306, setup);
}

#[test]
fn large_windows_in_many_chunks() {
    let setup = Setup { ids: 1_500, queries: 6, limits: &[1000, 700], clients: 3, settle: 20, ..setup(300) };
    simulate("large_windows_in_many_chunks", 400..402, setup);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || Sim::new(5, Setup { settle: 50, latency: Duration::from_millis(7), ..setup(300) }).run();
    assert_eq!(run(), run());
}
