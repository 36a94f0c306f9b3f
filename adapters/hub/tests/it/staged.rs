//! Commits that are staged, and applied or abandoned later, against an oracle that has a store for each of them.

use std::collections::VecDeque;

use fastrand::Rng;
use liveset_core::Monotonic;
use liveset_fuzz::engine_op;
use liveset_fuzz::generate::{DATED, DECLARED_INSTANTS, Gen, THINGS};
use liveset_fuzz::oracle::{self, Fault, Op, Store};
use liveset_hub::{Hub, HubConfig, Now};

use crate::simulator::run::{define, instant_of};

/// Each is checked against the rows as those before it leave them: it is refused where the oracle refuses it, and what it changes
/// when it is applied is what it changes there.
#[test]
fn what_is_staged_is_what_is_applied() {
    let (mut refused, mut applied, mut abandoned) = (0, 0, 0);
    for seed in 0..40 {
        let r = &mut Rng::with_seed(seed);
        let mut hub = Hub::new(HubConfig::default());
        define(&mut hub);
        let mut store = Store::default();
        store.define(THINGS, "id", &[]);
        store.define(DATED, "no", &DECLARED_INSTANTS);
        let wall = oracle::instant("2024-01-31T10:00:00Z").expect("an instant");
        let now = Now { monotonic: Monotonic::ZERO, wall: instant_of(wall) };
        // The stores behind each staged commit, and how many rows it changes.
        let mut staged: VecDeque<(Store, u64)> = VecDeque::new();
        for _ in 0..300 {
            match r.usize(..10) {
                0..=4 => {
                    let mut ops = Gen { r, now: wall }.ops(12);
                    if r.usize(..12) == 0 {
                        ops.insert(r.usize(..=ops.len()), Op::clear(THINGS));
                    }
                    let mut after = staged.back().map_or(&store, |(store, _)| store).clone();
                    let expected = after.apply_at(&ops, wall);
                    let result = hub.stage(now, ops.iter().map(engine_op).collect());
                    let result = result.map(Iterator::count);
                    match expected {
                        Ok(changed) => {
                            result.unwrap_or_else(|error| panic!("{error}, of {ops:?}"));
                            staged.push_back((after, changed));
                        }
                        Err(Fault(at)) => {
                            assert_eq!(result.expect_err("the oracle refuses it").index, at, "{ops:?}");
                            refused += 1;
                        }
                    }
                }
                5..=8 => {
                    let done = hub.apply_staged(now, |_| ());
                    let expected = staged.pop_front();
                    assert_eq!(done.map(|done| done.changed), expected.as_ref().map(|(_, changed)| *changed));
                    if let Some((after, _)) = expected {
                        store = after;
                        applied += 1;
                    }
                }
                _ => {
                    let kept = r.usize(..=staged.len());
                    abandoned += staged.len() - kept;
                    staged.truncate(kept);
                    hub.abandon_staged(kept);
                }
            }
            assert_eq!(hub.staged(), staged.len());
            assert_eq!(hub.stats().engine.nodes as usize, store.len(THINGS) + store.len(DATED));
        }
    }
    assert!(refused > 500 && applied > 1_000 && abandoned > 200, "{refused}, {applied}, {abandoned}");
}
