//! Which files are opened, and by whom.

use std::fs;

use liveset_store::{Durability, OpenError, Store};
use rusqlite::Connection;

use crate::support::{Folder, append, open, put};

#[test]
fn a_file_is_made_with_its_folder() {
    let folder = Folder::new();
    let path = folder.file("data/of/shop.db");
    let (store, rows) = open(&path).unwrap();
    assert_eq!((store.position(), rows.len()), (0, 0));
    let identity = store.identity().to_owned();
    assert_eq!(identity.len(), 32);
    drop(store);
    assert_eq!(open(&path).unwrap().0.identity(), identity);
    let (other, _) = open(&folder.file("other.db")).unwrap();
    assert_ne!(other.identity(), identity);
}

#[test]
fn a_second_liveset_is_refused_by_any_name_of_the_file() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let (store, _) = open(&path).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&path, folder.file("link.db")).unwrap();
    #[cfg(not(unix))]
    fs::write(folder.file("link.db"), "").unwrap();
    for name in ["sets.db", "./sets.db", "link.db"] {
        let refused = Store::open(folder.file(name), Durability::Always).unwrap_err();
        let process = Some(std::process::id());
        assert_eq!(refused, OpenError::InUse { path: path.canonicalize().unwrap(), process });
        assert!(refused.to_string().contains("is open in another Liveset (process "), "{refused}");
    }
    drop(store);
    open(&path).unwrap();
    // Also while it is being read.
    let loading = Store::open(&path, Durability::Always).unwrap();
    assert!(matches!(open(&path), Err(OpenError::InUse { .. })));
    drop(loading);
    open(&path).unwrap();
}

#[test]
fn other_programs_may_read_it_meanwhile() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let (mut store, _) = open(&path).unwrap();
    append(&mut store, [put("orders", 7, r#"{"id":7,"total":3}"#)]).unwrap();
    let other = Connection::open(&path).unwrap();
    let total = "SELECT json ->> 'total' FROM rows WHERE set_name = 'orders' AND id = '7'";
    let read = || other.query_one(total, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(read(), 3);
    // A reader that stays at one moment keeps the log from being cut, and nothing else.
    other.execute_batch("BEGIN").unwrap();
    assert_eq!(read(), 3);
    for id in 0..24 {
        append(&mut store, [put("orders", id, format!(r#"{{"total":4,"pad":"{}"}}"#, "x".repeat(1 << 20)))])
            .unwrap();
    }
    assert_eq!(read(), 3);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(read(), 4);
    drop(store);
    assert_eq!(open(&path).unwrap().1.len(), 24);
}

#[test]
fn a_file_of_a_newer_format_is_refused() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    drop(open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 3).unwrap();
    let before = fs::read(&path).unwrap();
    let refused = open(&path).map(drop).unwrap_err();
    let known = 2;
    assert_eq!(refused, OpenError::Newer { path: path.canonicalize().unwrap(), format: 3, known });
    assert!(
        refused
            .to_string()
            .ends_with("has format 3, and this Liveset knows formats up to 2: use a newer one")
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// A checksum as the file has it: SipHash-1-3 under a key of zeros, over texts with their lengths before them.
fn checksum(texts: &[&str], last: &[u8]) -> i64 {
    let mut bytes = Vec::new();
    for text in texts {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes.extend(last);
    siphasher::sip::SipHasher13::new().hash(&bytes).cast_signed()
}

/// A file of format 1, as the first builds made it.
fn format_1(path: &std::path::Path) {
    let db = Connection::open(path).unwrap();
    let head = checksum(&["of-format-1"], &[41_u64.to_le_bytes(), 0_u64.to_le_bytes()].concat());
    let rows = ["7", "8"].map(|id| {
        let json = format!(r#"{{"id":{id}}}"#);
        format!("('orders', '{id}', '{json}', {})", checksum(&["orders", id], json.as_bytes()))
    });
    db.execute_batch(&format!(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = wal; PRAGMA application_id = 0x4c736574; PRAGMA user_version = 1;
         CREATE TABLE rows (set_name TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (set_name, id)) STRICT, WITHOUT ROWID;
         CREATE TABLE head (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), identity TEXT NOT NULL, position INTEGER NOT NULL, delayed INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT;
         INSERT INTO head VALUES (1, 'of-format-1', 41, 0, {head}); INSERT INTO rows VALUES {};",
        rows.join(", ")
    ))
    .unwrap();
}

#[test]
fn a_file_of_an_older_format_is_upgraded() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    format_1(&path);
    let (mut store, rows) = open(&path).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((store.identity(), store.position()), ("of-format-1", 41));
    append(&mut store, [put("orders", 9, "{}")]).unwrap();
    drop(store);
    let (store, rows) = open(&path).unwrap();
    assert_eq!((store.identity(), store.position(), rows.len()), ("of-format-1", 42, 3));
    drop(store);
    let format: u32 =
        Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(format, 2);
}

#[test]
fn a_file_of_an_older_format_that_was_altered_is_refused_as_it_is() {
    let folder = Folder::new();
    for sql in ["UPDATE rows SET json = '{}' WHERE id = '8'", "UPDATE head SET position = 40"] {
        let path = folder.file("sets.db");
        format_1(&path);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        assert!(matches!(open(&path), Err(OpenError::Damaged { .. })), "{sql}");
        let format: u32 = Connection::open(&path)
            .unwrap()
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(format, 1);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn what_is_not_a_store_is_refused_as_it_is() {
    let folder = Folder::new();
    let foreign = |sql: &str| {
        let path = folder.file("foreign.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let content = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        content
    };
    let contents = [
        Vec::new(),
        b"{\"id\":1}\n".to_vec(),
        vec![0; 8192],
        foreign("CREATE TABLE users (name TEXT)"),
        foreign("PRAGMA application_id = 0x4c736574; CREATE TABLE users (name TEXT)"),
        foreign(
            "PRAGMA application_id = 0x4c736574; PRAGMA user_version = 2; CREATE TABLE users (name TEXT)",
        ),
    ];
    for content in contents {
        let path = folder.file("sets.db");
        fs::write(&path, &content).unwrap();
        let refused = open(&path).map(drop).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        assert!(refused.to_string().contains("the last copy that `liveset backup` made"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_log_without_its_file_is_refused() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    fs::write(folder.file("sets.db-wal"), [0; 64]).unwrap();
    let refused = open(&path).map(drop).unwrap_err();
    assert!(refused.to_string().contains("is damaged: it is gone, and its log is there"), "{refused}");
    assert!(!path.exists());
}

#[test]
fn a_path_that_cannot_be_a_file_is_refused() {
    let folder = Folder::new();
    fs::write(folder.file("file"), "").unwrap();
    for path in ["file/sets.db", "", ".."] {
        let refused = open(&folder.file(path)).map(drop).unwrap_err();
        assert!(matches!(refused, OpenError::Io { .. }), "{refused:?}");
    }
}

#[test]
fn an_error_of_the_reader_leaves_the_file_as_it_was() {
    #[derive(Debug)]
    enum Refused {
        Open,
        Row(String),
    }
    impl From<OpenError> for Refused {
        fn from(_: OpenError) -> Self {
            Self::Open
        }
    }
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let (mut store, _) = open(&path).unwrap();
    append(&mut store, [put("orders", 7, "{}"), put("orders", 8, "{}")]).unwrap();
    drop(store);
    let loading = Store::open(&path, Durability::Always).unwrap();
    match loading.read(|row| Err(Refused::Row(row.id.to_owned()))) {
        Err(Refused::Row(id)) => assert_eq!(id, "7"),
        other => panic!("{other:?}"),
    }
    assert_eq!(open(&path).unwrap().1.len(), 2);
}
