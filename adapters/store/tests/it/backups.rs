//! Copies of a store in use.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use liveset_store::{BackupError, OpenError, backup};

use crate::support::{Folder, append, open, put, remove};

#[test]
fn a_copy_is_the_store_at_one_moment_with_a_history_of_its_own() {
    let folder = Folder::new();
    let (path, copy) = (folder.file("sets.db"), folder.file("copy.db"));
    let (mut store, _) = open(&path).unwrap();
    append(&mut store, (0..1_000).map(|id| put("a", id, "0")).collect::<Vec<_>>()).unwrap();
    let (is_done, mut copies) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Each commit gives all rows of a block the same value: a copy with two of them is torn.
            let mut value = 0;
            while !is_done.load(Ordering::Relaxed) {
                value += 1;
                append(&mut store, (0..50).map(|id| put("a", id, value.to_string())).collect::<Vec<_>>())
                    .unwrap();
            }
        });
        let mut last = 0;
        while copies < 5 || last == 0 {
            let made = backup(&path, &copy).unwrap();
            assert_eq!(made.rows, 1_000);
            let (of_copy, rows) = open(&copy).unwrap();
            assert_eq!(of_copy.position(), made.position);
            let value = &rows[&("a".to_owned(), "0".to_owned())];
            assert!((0..50).all(|id| rows[&("a".to_owned(), id.to_string())] == *value));
            assert_eq!(made.position, 1 + value.parse::<u64>().unwrap());
            assert!(made.position >= last);
            last = made.position;
            drop(of_copy);
            fs::remove_file(&copy).unwrap();
            copies += 1;
        }
        is_done.store(true, Ordering::Relaxed);
    });
    let position = store.position();
    backup(&path, &copy).unwrap();
    let (mut of_copy, _) = open(&copy).unwrap();
    assert_eq!(of_copy.position(), position);
    assert_ne!(of_copy.identity(), store.identity());
    append(&mut of_copy, [remove("a", 1)]).unwrap();
    append(&mut store, [remove("a", 2)]).unwrap();
}

#[test]
fn a_copy_of_a_store_that_nobody_has_open_leaves_it_as_it_is() {
    let folder = Folder::new();
    let (path, copy) = (folder.file("sets.db"), folder.file("copy.db"));
    let (mut store, _) = open(&path).unwrap();
    append(&mut store, [put("a", 1, "{}")]).unwrap();
    store.close().unwrap();
    let before = fs::read(&path).unwrap();
    assert_eq!(backup(&path, &copy).unwrap().rows, 1);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(open(&copy).unwrap().1.len(), 1);
}

#[test]
fn no_file_is_written_over_and_none_is_left_behind() {
    let folder = Folder::new();
    let (path, copy) = (folder.file("sets.db"), folder.file("copy.db"));
    assert_eq!(backup(&path, &copy), Err(BackupError::Missing(path.clone())));
    let (mut store, _) = open(&path).unwrap();
    append(&mut store, [put("a", 1, "x".repeat(10_000)), put("a", 2, "{}")]).unwrap();
    store.close().unwrap();
    fs::write(&copy, "mine").unwrap();
    assert_eq!(backup(&path, &copy), Err(BackupError::Exists(copy.clone())));
    assert_eq!(fs::read(&copy).unwrap(), b"mine");
    let refused = backup(&path, folder.file("nowhere/copy.db")).unwrap_err();
    assert!(matches!(refused, BackupError::Unwritten { .. }), "{refused}");

    // A damaged store: the copy would be damaged too.
    let mut content = fs::read(&path).unwrap();
    let at = content.windows(4).position(|text| text == b"xxxx").unwrap();
    content[at] = b'y';
    fs::write(&path, content).unwrap();
    let refused = backup(&path, folder.file("other.db")).unwrap_err();
    let BackupError::Unreadable(OpenError::Damaged { path: named, what }) = refused else {
        panic!("{refused}")
    };
    assert_eq!((named, &*what), (path, "the checksum of row '1' of set 'a' is another"));
    let left: Vec<_> =
        fs::read_dir(folder.file("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let left: Vec<_> = left.iter().filter(|name| name.to_string_lossy().contains("other")).collect();
    assert!(left.is_empty(), "{left:?}");
}
