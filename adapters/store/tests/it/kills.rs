//! Processes that are killed at random moments.

use std::time::Duration;

use liveset_store::Durability;

use crate::support::{Folder, Rows, open};
use crate::worker::{COMMITS, TOGETHER, Task, move_on, start, told};

#[test]
fn every_commit_that_was_acknowledged_outlives_a_kill_and_none_is_torn() {
    let kills = std::env::var("LIVESET_KILLS").map_or(12, |count| count.parse().expect("a number"));
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let mut random = fastrand::Rng::with_seed(1);
    let (mut rows, mut position, mut kept, mut identity) = (Rows::new(), 0, 0, None);
    let task = Task { openings: 1, commits: u64::MAX / 2, row_bytes: 900, durability: Durability::Always };
    for kill in 0..kills {
        let mut worker = start(&[], COMMITS, &path, task);
        // Some while they open the file, most under load.
        std::thread::sleep(Duration::from_millis(random.u64(5..300)));
        worker.kill().unwrap();
        worker.wait().unwrap();
        let acknowledged = told(&mut worker, "committed ");
        let (store, found) = open(&path).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        assert!(store.position() >= acknowledged, "kill {kill}: {} of {acknowledged}", store.position());
        assert!(store.position() <= position.max(acknowledged) + TOGETHER as u64, "kill {kill}");
        move_on(&mut rows, position, store.position(), task.row_bytes);
        assert_eq!(found, rows, "kill {kill}");
        position = store.position();
        kept += acknowledged;
        let known = identity.get_or_insert_with(|| store.identity().to_owned());
        assert_eq!(store.identity(), known, "kill {kill}");
    }
    assert!(kept > 0, "some were acknowledged");
    println!("{kills} kills, {position} commits");
}
