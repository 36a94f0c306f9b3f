//! Clients over bad networks: whoever survives has what is true, and whoever does not leaves nothing behind.

mod common;
mod network;

use network::truth::Truth;
use network::world::{self, limits};
use network::{HEAP, alone, for_seeds, on_virtual_time};

#[test]
fn survivors_have_the_truth_and_the_gone_leave_nothing() {
    let _turn = alone();
    for_seeds("network_faults::survivors_have_the_truth_and_the_gone_leave_nothing", 20, |seed| {
        let counts = on_virtual_time(async {
            let liveset = Truth::endpoint(limits());
            let counts = world::run(&liveset, seed, 250).await;
            let heap = HEAP.current_usage();
            drop(liveset);
            (counts, heap)
        });
        eprintln!("{seed}: {counts:?}");
    });
}
