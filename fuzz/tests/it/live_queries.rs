//! Live queries against recomputation, by operations by chance.

use fastrand::Rng;
use liveset_fuzz::engine::{holds_stats, window, window_stats};

#[test]
fn random_operations_keep_every_window_true() {
    for seed in 1..=300_u64 {
        let mut random = Rng::with_seed(seed);
        let data: Vec<u8> = (0..300).map(|_| random.u8(..)).collect();
        window(&data);
    }
}

#[test]
fn dear_input_keeps_to_holds() {
    let runs = std::env::var("LIVESET_SEEDS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(40);
    let (mut fell_behind, mut made_again, mut flips) = (0, 0, 0);
    for seed in 1..=runs {
        let mut random = Rng::with_seed(seed);
        let data: Vec<u8> = (0..1 + 4 * 48).map(|_| random.u8(..)).collect();
        let stats = std::panic::catch_unwind(|| holds_stats(&data)).unwrap_or_else(|_| panic!("seed {seed}"));
        fell_behind += stats.fell_behind;
        made_again += stats.made_again;
        flips += stats.flips;
    }
    assert!(fell_behind > runs && made_again > 0 && flips > 0, "{fell_behind} {made_again} {flips}");
}

#[test]
fn queries_that_are_behind_show_what_was() {
    let runs = std::env::var("LIVESET_SEEDS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(400);
    let (mut fell_behind, mut made_again) = (0, 0);
    for seed in 1..=runs {
        let mut random = Rng::with_seed(seed);
        let mut data: Vec<u8> = (0..600).map(|_| random.u8(..)).collect();
        data[0] |= 0xC0;
        let stats = window_stats(&data);
        fell_behind += stats.fell_behind;
        made_again += stats.made_again;
    }
    assert!(fell_behind > 10 * runs && made_again > runs, "{fell_behind}, {made_again}");
}
