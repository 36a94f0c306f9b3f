//! Clients over bad networks: whoever survives has what is true, and whoever does not leaves nothing behind.

mod common;
mod network;

use network::truth::Host;
use network::world::{self, limits};
use network::{HEAP, alone, for_seeds, on_virtual_time};

#[test]
fn survivors_have_the_truth_and_the_gone_leave_nothing() {
    let _turn = alone();
    for_seeds("network_faults::survivors_have_the_truth_and_the_gone_leave_nothing", 20, |seed| {
        let h0 = HEAP.current_usage();
        let counts = on_virtual_time(async {
            let mut liveset = Host::new(limits());
            world::run(&mut liveset, seed, 20).await;
            let heap = HEAP.current_usage();
            let mut heaps = vec![];
            let mut counts = vec![];
            for _ in 0..5 {
                counts.push(world::run(&mut liveset, seed, 200).await);
                heaps.push(HEAP.current_usage() as i64 - heap as i64);
            }
            drop(liveset);
            (counts[0], heaps, counts[0] == counts[1])
        });
        eprintln!("{seed}: {} {counts:?}", HEAP.current_usage() - h0);
    });
}
