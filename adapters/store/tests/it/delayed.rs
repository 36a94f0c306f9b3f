//! Commits whose sync follows.

use std::time::Duration;

use liveset_store::{Durability, Store};

use crate::support::{Folder, append, open, put, read};

const EVERY: Durability = Durability::Every(Duration::from_millis(100));

#[test]
fn a_file_that_was_closed_keeps_its_identity() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let (store, _) = read(Store::open(&path, EVERY).unwrap()).unwrap();
    let identity = store.identity().to_owned();
    store.close().unwrap();
    for durability in [EVERY, Durability::Always, EVERY] {
        let (mut store, rows) = read(Store::open(&path, durability).unwrap()).unwrap();
        assert_eq!((store.identity(), rows.len() as u64), (&*identity, store.position()));
        let row = put("a", store.position(), "{}");
        append(&mut store, [row]).unwrap();
        store.sync().unwrap();
        store.close().unwrap();
    }
    // It was not opened since for commits that are shown before they are safe.
    drop(open(&path).unwrap());
    assert_eq!(open(&path).unwrap().0.identity(), identity);
}

#[test]
fn a_file_that_was_not_closed_has_a_new_identity_once() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let (mut store, _) = read(Store::open(&path, EVERY).unwrap()).unwrap();
    append(&mut store, [put("a", 1, "{}")]).unwrap();
    let mut known = vec![store.identity().to_owned()];
    drop(store);
    for _ in 0..3 {
        let (store, rows) = read(Store::open(&path, EVERY).unwrap()).unwrap();
        assert_eq!((store.position(), rows.len()), (1, 1));
        assert!(!known.contains(&store.identity().to_owned()));
        known.push(store.identity().to_owned());
    }
    let (store, _) = open(&path).unwrap();
    let identity = store.identity().to_owned();
    assert!(!known.contains(&identity));
    drop(store);
    assert_eq!(open(&path).unwrap().0.identity(), identity);
}

/// Whoever reads the rows and gives up has not opened it.
#[test]
fn a_new_identity_is_written_when_the_rows_were_read() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    drop(read(Store::open(&path, EVERY).unwrap()).unwrap());
    let identity = Store::open(&path, EVERY).unwrap().identity().to_owned();
    let given_up = Store::open(&path, EVERY).unwrap();
    assert_eq!(given_up.identity(), identity);
    drop(given_up);
    let (store, _) = read(Store::open(&path, EVERY).unwrap()).unwrap();
    assert_ne!(store.identity(), identity);
}
