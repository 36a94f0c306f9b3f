//! What was committed is there.

use liveset_store::{AppendError, Commit};

use crate::support::{Folder, Rows, after, append, apply, clear, open, put, remove};

#[test]
fn a_restart_finds_what_was_committed() {
    let folder = Folder::new();
    let (path, mut random) = (folder.file("sets.db"), fastrand::Rng::with_seed(7));
    let (mut expected, mut position) = (Rows::new(), 0);
    for _ in 0..30 {
        let (mut store, rows) = open(&path).unwrap();
        assert_eq!(rows, expected);
        assert_eq!(store.position(), position);
        for _ in 0..random.u32(..6) {
            let mut commits: Vec<Commit> = Vec::new();
            for _ in 0..random.u32(1..4) {
                let writes: Vec<_> = (0..random.u32(..8))
                    .map(|_| {
                        let set = ["orders", "customers", "ord", ""][random.usize(..4)];
                        let id = random.u32(..40);
                        match random.u32(..20) {
                            0 => clear(set),
                            1..5 => remove(set, id),
                            _ => put(set, id, "x".repeat(random.usize(..3_000))),
                        }
                    })
                    .collect();
                apply(&mut expected, &writes);
                let gap = random.u64(1..1_000);
                commits.push(Commit { follows: position, position: position + gap, writes });
                position += gap;
            }
            store.append(&commits).unwrap();
            assert_eq!(store.position(), position);
        }
        if random.bool() {
            store.close().unwrap();
        }
    }
    assert!(!expected.is_empty());
}

#[test]
fn names_ids_and_values_are_data() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let odd = ["'; DROP TABLE rows; --", "\"", "", "a\0b", "ä\u{10ffff}", "rows"];
    let writes: Vec<_> = odd.iter().map(|text| put(text, text, *text)).collect();
    let mut expected = Rows::new();
    apply(&mut expected, &writes);
    let (mut store, _) = open(&path).unwrap();
    append(&mut store, writes).unwrap();
    drop(store);
    let (mut store, rows) = open(&path).unwrap();
    assert_eq!(rows, expected);
    append(&mut store, odd.map(|text| remove(text, text))).unwrap();
    drop(store);
    assert_eq!(open(&path).unwrap().1, Rows::new());
}

#[test]
fn rows_come_set_by_set_in_the_order_of_their_ids() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let (mut store, _) = open(&path).unwrap();
    append(&mut store, [put("b", "2", "{}"), put("a", "9", "{}"), put("b", "10", "{}"), put("a", "", "{}")])
        .unwrap();
    drop(store);
    let mut seen = Vec::new();
    let loading = liveset_store::Store::open(&path, Default::default()).unwrap();
    let read = loading.read(|row| {
        seen.push(format!("{}/{}", row.set, row.id));
        Ok::<_, liveset_store::OpenError>(())
    });
    assert!(read.is_ok());
    assert_eq!(seen, ["a/", "a/9", "b/10", "b/2"]);
}

#[test]
fn a_commit_that_does_not_follow_the_newest_is_refused_with_those_beside_it() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let (mut store, _) = open(&path).unwrap();
    append(&mut store, [put("orders", 1, "{}")]).unwrap();
    let backwards = Commit { follows: 1, position: 1, writes: Vec::new() };
    for (commits, follows, newest) in [
        (vec![after(0, [])], 0, 1),
        (vec![after(2, [])], 2, 1),
        (vec![backwards], 1, 1),
        (vec![after(1, [clear("orders")]), after(3, [])], 3, 2),
    ] {
        assert_eq!(store.append(&commits), Err(AppendError::OutOfOrder { follows, newest }));
    }
    store.append(&[]).unwrap();
    append(&mut store, []).unwrap();
    assert_eq!(store.position(), 2);
    drop(store);
    assert_eq!(open(&path).unwrap().1.len(), 1);
}

/// The highest position that there is.
#[test]
fn positions_may_be_of_any_size() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let (mut store, _) = open(&path).unwrap();
    store.append(&[Commit { follows: 0, position: u64::MAX, writes: vec![put("a", 1, "{}")] }]).unwrap();
    drop(store);
    assert_eq!(open(&path).unwrap().0.position(), u64::MAX);
}

#[test]
fn the_log_is_kept_short() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let (mut store, _) = open(&path).unwrap();
    let mut longest = 0;
    for id in 0..64 {
        append(&mut store, [put("a", id, "x".repeat(1 << 20))]).unwrap();
        longest = longest.max(std::fs::metadata(folder.file("sets.db-wal")).unwrap().len());
    }
    assert!((4 << 20..12 << 20).contains(&longest), "{longest} bytes");
    drop(store);
    assert_eq!(open(&path).unwrap().1.len(), 64);
}
