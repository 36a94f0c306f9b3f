//! Clients over bad networks: whoever survives has what is true, and whoever does not leaves nothing behind.
//!
//! Networks are slow, narrow, held, cut, and go silent; clients stall, leave without a word, and come back to go on from
//! where they were. After each word that a client is told it is where a query was at some moment, or on its way there; when
//! all has arrived it is where the query is. `LIVESET_SEEDS=2000` runs as many worlds, `LIVESET_SEED=7` that one.

use crate::network::truth::Host;
use crate::network::world::{self, Counts, limits};
use crate::network::{for_seeds, on_virtual_time};
use crate::{HEAP, alone};

/// What the allocator may still hold of a world that is gone: rooms of tables that have been larger.
const SLACK: usize = 32 * 1024;

#[test]
fn survivors_have_the_truth_and_the_gone_leave_nothing() {
    let _turn = alone();
    let mut all = Counts::default();
    let worlds =
        for_seeds("network_faults::survivors_have_the_truth_and_the_gone_leave_nothing", 20, |seed| {
            all += on_virtual_time(async {
                let mut host = Host::new(limits());
                // Whatever is made once is made now.
                world::run(&mut host, !seed, 20).await;
                let heap = HEAP.current_usage();
                let counts = world::run(&mut host, seed, 200).await;
                let grown = HEAP.current_usage().saturating_sub(heap);
                assert!(grown <= SLACK, "{grown} bytes more than before, when everyone is gone");
                counts
            });
        });
    if worlds >= 20 {
        let Counts { clients, comparisons, given_up, resets, vanished, .. } = all;
        let [diffs, versions, folded] = [clients.diffs, clients.versions, clients.folded];
        assert!(diffs > 1_000 && versions > 500 && folded > 20 && comparisons > 100, "{all:?}");
        assert!(clients.resumed_by_rows > 5, "{all:?}");
        assert!(clients.resumed > 20 && clients.events > 200 && clients.dropped > 20, "{all:?}");
        assert!(given_up > 3 && resets > 3 && vanished > 3 && clients.pongs > 20, "{all:?}");
    }
}

#[test]
fn an_endpoint_does_not_grow_with_the_connections_that_it_had() {
    let _turn = alone();
    for_seeds("network_faults::an_endpoint_does_not_grow_with_the_connections_that_it_had", 2, |seed| {
        on_virtual_time(async {
            let mut host = Host::new(limits());
            world::run(&mut host, seed, 100).await;
            let heap = HEAP.current_usage();
            for _ in 0..5 {
                world::run(&mut host, seed, 100).await;
                let grown = HEAP.current_usage().saturating_sub(heap);
                assert!(grown <= SLACK / 8, "{grown} bytes more than after the same before");
            }
        });
    });
}

#[test]
fn an_endpoint_that_is_dropped_leaves_nothing() {
    let _turn = alone();
    let world = || on_virtual_time(async { world::run(&mut Host::new(limits()), 1, 50).await });
    world();
    let heap = HEAP.current_usage();
    let _: [Counts; 3] = std::array::from_fn(|_| world());
    let grown = HEAP.current_usage().saturating_sub(heap);
    // Less than a node.
    assert!(grown < 100, "{grown} bytes of three endpoints");
}

#[test]
fn a_world_is_a_function_of_its_seed() {
    let _turn = alone();
    let world = |seed| on_virtual_time(async move { world::run(&mut Host::new(limits()), seed, 100).await });
    assert_eq!(world(1), world(1), "down to when each byte came");
    assert_ne!(world(1), world(2));
}
