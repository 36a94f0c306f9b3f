//! Sessions of both kinds, hub and engine on virtual time, against an oracle that shares no code with the engine.
//!
//! Every operation is a function of the seed. To run one seed again, or more of them:
//!
//! ```text
//! LIVESET_SIM_SEED=17 LIVESET_SIM_OPS=500 cargo test -p liveset-hub --test it simulator::
//! LIVESET_SIM_SEED=1000..2000 cargo test -p liveset-hub --test it simulator::in_step
//! ```

mod mirror;
pub(crate) mod run;

use std::{panic::AssertUnwindSafe, time::Duration};

use liveset_engine::{EngineLimits, Tuning};
use liveset_fuzz::oracle;
use liveset_hub::HashSeed;
use run::{Setup, Sim, Tally};

fn setup(ops: usize) -> Setup {
    Setup {
        ops,
        clients: 4,
        ids: 40,
        queries: 10,
        limits: &[0, 1, 2, 2, 5, 1000],
        cap: 1000,
        settle: 100,
        backlog: 256,
        latency: Duration::ZERO,
        room: 2_000,
        engine: EngineLimits::default(),
        slice_time: Duration::ZERO,
        in_slices: false,
        seed: HashSeed::FIXED,
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
                    "to run this again: LIVESET_SIM_SEED={seed} LIVESET_SIM_OPS={ops} cargo test -p liveset-hub --test it simulator::{name}"
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

/// Results come long after they were asked for, while everything else goes on.
#[test]
fn in_slices() {
    for (seed, rows) in [(500, 3), (501, 5), (502, 10)] {
        let tuning = Tuning { small_slices: true, eager_indexes: true, ..Tuning::default() };
        let setup = Setup {
            engine: EngineLimits::default().slice_rows(rows).tuning(tuning),
            slice_time: Duration::from_millis(20),
            latency: Duration::from_millis(20),
            settle: 15,
            ..setup(700)
        };
        let tally = simulate("in_slices", seed..seed + 1, setup);
        assert!(tally.waited > 0, "some result was waited for: {tally:?}");
    }
}

/// Commits and moments cost more than one hold of the lock, so queries lag, each in its own measure. Commits do not overtake each other.
#[test]
fn behind_their_sets() {
    let mut in_order = 0;
    for (seed, hold_steps, max_behind_rows, shards) in [
        (898, 60, 4_096, 1),
        (901, 150, 4_096, 1),
        (902, 20, 20, 1),
        (903, 60, 4_096, 1),
        (904, 100, 4_096, 3),
        (905, 400, 4_096, 1),
    ] {
        let engine =
            EngineLimits::default().hold_steps(hold_steps).max_behind_rows(max_behind_rows).shards(shards);
        let setup = Setup {
            engine,
            slice_time: Duration::from_millis(8),
            latency: Duration::from_millis(2),
            settle: 15,
            room: 16_000,
            in_slices: true,
            ..setup(1_000)
        };
        let tally = simulate("behind_their_sets", seed..seed + 1, setup);
        assert!(tally.lagged > 0 && tally.slices > 10, "{tally:?}");
        in_order += tally.in_order;
    }
    assert!(in_order > 600, "{in_order} versions were compared with others");
}

/// Whatever way the engine goes, it comes to the same.
#[test]
fn by_every_way_of_the_engine() {
    let ways = [
        Tuning { scan_only: true, ..Tuning::default() },
        Tuning { stretches: true, eager_indexes: true, ..Tuning::default() },
        Tuning { node_timers: true, no_stretches: true, ..Tuning::default() },
    ];
    for (seed, tuning) in (600..).zip(ways) {
        let engine = EngineLimits::default().tuning(tuning);
        simulate("by_every_way_of_the_engine", seed..seed + 1, Setup { engine, ..setup(500) });
    }
}

#[test]
fn in_shards() {
    let engine = EngineLimits::default().shards(3);
    let setup = Setup { latency: Duration::from_millis(5), settle: 60, engine, ..setup(500) };
    simulate("in_shards", 700..702, setup);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || Sim::new(5, Setup { settle: 50, latency: Duration::from_millis(7), ..setup(300) }).run();
    assert_eq!(run(), run());
}

/// Neither what is sent nor what was done follows the seed of the hash tables.
#[test]
fn no_byte_depends_on_the_seed_of_the_tables() {
    let busy = Setup { settle: 20, latency: Duration::from_millis(7), ids: 300, queries: 30, ..setup(700) };
    let eager = Tuning { small_slices: true, eager_indexes: true, ..Tuning::default() };
    let by_index = Setup {
        engine: EngineLimits::default().slice_rows(5).tuning(eager),
        slice_time: Duration::from_millis(5),
        ..busy.clone()
    };
    let in_shards = Setup { engine: EngineLimits::default().shards(3), ..busy.clone() };
    for (seed, setup) in (800..).zip([busy, by_index, in_shards]) {
        let run = |hashes| Sim::new(seed, Setup { seed: hashes, ..setup.clone() }).run();
        let tally = run(HashSeed::FIXED);
        assert!(tally.diffs > 100, "there is something to compare: {tally:?}");
        assert!(tally.resumed_by_rows > 0 && tally.frames > 10, "{tally:?}");
        for number in 1..4 {
            assert_eq!(run(HashSeed::new([number, !number])), tally, "seed {seed}");
        }
    }
}
