//! An endpoint whose sets are in a file.

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use liveset::{
    BuildError, CommitError, LiveUpdate, Liveset, Loaded, Query, SetDef, Storage, StorageCommit,
    StorageError, StorageWrite, Tell, Tx,
};
use liveset_store::{Durability, SetsFile, backup};
use serde_json::json;

use crate::support::{Folder, open as open_store};

fn open(path: &Path) -> Liveset {
    let file = SetsFile::open(path, Durability::Always).unwrap();
    Liveset::builder()
        .set(SetDef::new("orders"))
        .set(SetDef::new("customers").key("email"))
        .store(file)
        .build()
        .unwrap()
}

fn totals(liveset: &Liveset) -> Vec<(String, u64)> {
    let result = liveset.query(Query::new("orders").order_by("id")).unwrap();
    let total =
        |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap()["total"].as_u64().unwrap();
    result.rows.iter().map(|row| (row.id().to_owned(), total(row.json()))).collect()
}

#[test]
fn an_endpoint_has_its_sets_again() {
    let folder = Folder::new();
    let path = folder.file("shop.db");
    let liveset = open(&path);
    for id in 0..2_500 {
        // Some are commits of several rows.
        if id % 500 == 0 {
            liveset
                .commit(|tx| {
                    (id..id + 500).for_each(|id| tx.upsert("orders", &json!({ "id": id, "total": 1 })))
                })
                .unwrap();
        }
    }
    liveset
        .commit(|tx| {
            tx.upsert("customers", &json!({ "email": "a@example.org" }));
            tx.upsert("orders", &json!({ "id": 7, "total": 2 }));
            tx.remove("orders", 8);
            tx.remove("orders", "not there");
        })
        .unwrap();
    assert!(liveset.commit(|tx| tx.upsert("orders", &json!({ "total": 1 }))).is_err());
    let position = liveset.commit(|tx| tx.remove("orders", "not there")).unwrap().position;
    let (expected, customers) =
        (totals(&liveset), liveset.query(Query::new("customers")).unwrap().count.total);
    assert_eq!((expected.len(), customers), (1_000.min(expected.len()), 1));
    backup(&path, folder.file("copy.db")).unwrap();
    drop(liveset);
    for path in [&path, &folder.file("copy.db")] {
        let liveset = open(path);
        // A copy goes on by itself.
        let is_copy = path.ends_with("copy.db");
        assert_eq!(liveset.position("orders") == position, !is_copy);
        assert_eq!(totals(&liveset), expected);
        assert_eq!(liveset.query(Query::new("orders")).unwrap().count.total, 2_499);
        assert_eq!(liveset.query(Query::new("customers")).unwrap().count.total, 1);
        drop(liveset);
        let (store, rows) = open_store(path).unwrap();
        assert_eq!((store.position(), rows.len()), (7, 2_500));
    }
}

#[test]
fn rows_of_a_set_that_is_not_declared_are_an_error() {
    let folder = Folder::new();
    let path = folder.file("shop.db");
    let liveset = open(&path);
    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": 1, "total": 1 }))).unwrap();
    drop(liveset);
    let file = SetsFile::open(&path, Durability::Always).unwrap();
    let refused = Liveset::builder().set(SetDef::new("order")).store(file).build().unwrap_err();
    assert!(matches!(refused, BuildError::Storage(_)));
    let text = refused.to_string();
    assert!(text.starts_with("a row that is kept is not taken: ") && text.contains("'orders'"), "{text}");
    assert_eq!(totals(&open(&path)), [("1".to_owned(), 1)]);
}

#[tokio::test(flavor = "current_thread")]
async fn commits_of_many_tasks_wait_for_the_file_without_blocking_a_thread() {
    let folder = Folder::new();
    let path = folder.file("shop.db");
    let liveset = open(&path);
    let mut live = liveset.live(Query::new("orders")).unwrap();
    assert!(matches!(live.next().await, Some(LiveUpdate::Snapshot(_))));
    let commit = |id: u64| {
        let liveset = liveset.clone();
        tokio::spawn(async move {
            liveset.commit_async(|tx| tx.upsert("orders", &json!({ "id": id, "total": id }))).await
        })
    };
    let commits: Vec<_> = (0..100).map(commit).collect();
    let mut numbers = Vec::new();
    for commit in commits {
        numbers.push(commit.await.unwrap().unwrap().commit);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
    let mut added = 0;
    while added < 100 {
        let Some(LiveUpdate::Batch(batch)) = live.next().await else { panic!("batches") };
        added += batch.changes.len();
    }
    drop((live, liveset));
    assert_eq!(totals(&open(&path)).len(), 100);
}

/// A storage in which each commit waits for the test.
struct Held {
    submitted: Mutex<Sender<(StorageCommit, Tell)>>,
}

impl Storage for Held {
    fn load(
        &mut self,
        see: &mut dyn FnMut(&str, &str) -> Result<(), StorageError>,
    ) -> Result<Loaded, StorageError> {
        see("orders", r#"{"id":1,"total":1}"#)?;
        Ok(Loaded { identity: "held".into(), position: 40 })
    }

    fn submit(&self, commit: StorageCommit, tell: Tell) -> Result<(), StorageError> {
        if commit.writes.len() > 3 {
            return Err(StorageError::new("too much"));
        }
        self.submitted.lock().unwrap().send((commit, tell)).map_err(|_| StorageError::new("gone"))
    }
}

fn held() -> (Liveset, Receiver<(StorageCommit, Tell)>) {
    let (submitted, commits) = channel();
    let held = Held { submitted: Mutex::new(submitted) };
    (Liveset::builder().set(SetDef::new("orders")).store(held).build().unwrap(), commits)
}

type Done = Result<(), String>;

/// A commit of another thread, and what it is told.
fn commit(liveset: &Liveset, rows: &[(u64, u64)]) -> Receiver<Done> {
    let (liveset, rows, (told, done)) = (liveset.clone(), rows.to_vec(), channel());
    std::thread::spawn(move || {
        let upsert = |&(id, total): &(u64, u64)| json!({ "id": id, "total": total });
        let result = liveset.commit(|tx| rows.iter().for_each(|row| tx.upsert("orders", &upsert(row))));
        let _ = told.send(result.map(drop).map_err(|error: CommitError| error.to_string()));
    });
    done
}

#[test]
fn nobody_sees_a_commit_before_it_is_kept() {
    let (liveset, commits) = held();
    assert_eq!(totals(&liveset), [("1".to_owned(), 1)]);
    let first = commit(&liveset, &[(1, 2), (2, 2)]);
    let (kept, tell_first) = commits.recv().unwrap();
    assert_eq!((kept.follows, kept.position, kept.writes.len()), (40, 41, 2));
    // Another is made while it waits.
    let second = commit(&liveset, &[(2, 3)]);
    let (kept, tell_second) = commits.recv().unwrap();
    assert_eq!((kept.follows, kept.position), (41, 42));
    assert_eq!(kept.writes, [put("2", r#"{"id":2,"total":3}"#)]);
    assert_eq!(totals(&liveset), [("1".to_owned(), 1)]);
    assert!(first.try_recv().is_err());
    tell_first(Ok(()));
    assert_eq!(first.recv().unwrap(), Ok(()));
    assert_eq!(totals(&liveset), [("1".to_owned(), 2), ("2".to_owned(), 2)]);
    assert!(second.try_recv().is_err());
    tell_second(Ok(()));
    assert_eq!(second.recv().unwrap(), Ok(()));
    assert_eq!(totals(&liveset), [("1".to_owned(), 2), ("2".to_owned(), 3)]);
}

#[test]
fn a_commit_that_is_not_kept_takes_those_that_follow_it() {
    let (liveset, commits) = held();
    let first = commit(&liveset, &[(2, 2)]);
    let (_, tell_first) = commits.recv().unwrap();
    let second = commit(&liveset, &[(3, 3)]);
    let (_, tell_second) = commits.recv().unwrap();
    let no_room = || Err(StorageError::new("no room"));
    tell_first(no_room());
    assert_eq!(first.recv().unwrap(), Err("the commit cannot be kept: no room".to_owned()));
    // One that is made now follows what was applied; the second, told later, does not take it.
    let third = commit(&liveset, &[(4, 4)]);
    let (kept, tell_third) = commits.recv().unwrap();
    assert_eq!((kept.follows, kept.position), (40, 41));
    tell_second(no_room());
    assert!(second.recv().unwrap().is_err());
    tell_third(Ok(()));
    assert_eq!(third.recv().unwrap(), Ok(()));
    assert_eq!(totals(&liveset), [("1".to_owned(), 1), ("4".to_owned(), 4)]);
    // One that is not even taken leaves no trace.
    let refused = commit(&liveset, &[(5, 5), (6, 6), (7, 7), (8, 8)]);
    assert_eq!(refused.recv().unwrap(), Err("the commit cannot be kept: too much".to_owned()));
    let last = commit(&liveset, &[(9, 9)]);
    let (kept, tell_last) = commits.recv().unwrap();
    assert_eq!((kept.follows, kept.position), (41, 42));
    tell_last(Ok(()));
    assert_eq!(last.recv().unwrap(), Ok(()));
    assert_eq!(totals(&liveset).len(), 3);
}

fn put(id: &str, json: &str) -> StorageWrite {
    StorageWrite::Put { set: "orders".into(), id: id.into(), json: json.into() }
}

/// Patches and conditions see what waits to be stored, and what is stored are rows.
#[test]
fn patches_and_conditions_see_the_commits_that_wait() {
    let (liveset, commits) = held();
    let begin = |gather: fn(&mut Tx)| {
        let (liveset, (told, done)) = (liveset.clone(), channel());
        std::thread::spawn(move || {
            let _ = told.send(liveset.commit(gather).map(|done| done.changed).map_err(|it| it.to_string()));
        });
        done
    };
    let first = begin(|tx| tx.patch("orders", 1, &json!({ "total": 2, "note": "x" })));
    let (kept, tell_first) = commits.recv().unwrap();
    assert_eq!(kept.writes, [put("1", r#"{"id":1,"total":2,"note":"x"}"#)]);

    // It was 1 for everybody who reads, and is 2 for whoever commits.
    let refused = begin(|tx| tx.only_if("total == 1").remove("orders", 1)).recv().unwrap();
    assert!(refused.unwrap_err().contains("operation 0: set 'orders', node '1': it does not pass"));
    let second = begin(|tx| tx.only_if("total == 2").patch("orders", 1, &json!({ "note": null })));
    let (kept, tell_second) = commits.recv().unwrap();
    assert_eq!(kept.writes, [put("1", r#"{"id":1,"total":2}"#)]);

    let third = begin(|tx| {
        tx.upsert("orders", &json!({ "id": 7, "total": 7 }));
        tx.clear("orders");
        tx.only_if("nothing").upsert("orders", &json!({ "id": 1, "total": 9 }));
        tx.patch_or_insert("orders", 2, &json!({ "id": 2, "total": 2 }));
    });
    let (kept, tell_third) = commits.recv().unwrap();
    let cleared = StorageWrite::Clear { set: "orders".into() };
    assert_eq!(kept.writes, [cleared, put("1", r#"{"id":1,"total":9}"#), put("2", r#"{"id":2,"total":2}"#)]);
    let missing = begin(|tx| tx.patch("orders", 7, &json!({ "total": 1 }))).recv().unwrap();
    assert!(missing.unwrap_err().contains("there is no node '7' to patch"));

    assert_eq!(totals(&liveset), [("1".to_owned(), 1)]);
    for (tell, done, changed) in [(tell_first, first, 1), (tell_second, second, 1), (tell_third, third, 2)] {
        tell(Ok(()));
        assert_eq!(done.recv().unwrap(), Ok(changed));
    }
    assert_eq!(totals(&liveset), [("1".to_owned(), 9), ("2".to_owned(), 2)]);
}

/// A row that waits to be stored cannot be read yet: whoever has read the one before runs again when it is there.
#[test]
fn what_waits_to_be_stored_makes_a_closure_run_again() {
    let (liveset, commits) = held();
    let count_up = || {
        let (liveset, (told, done)) = (liveset.clone(), channel());
        std::thread::spawn(move || {
            let mut seen = Vec::new();
            let result = liveset.commit(|tx| {
                let row = tx.get("orders", 1).unwrap();
                let total =
                    serde_json::from_slice::<serde_json::Value>(row.json()).unwrap()["total"].as_u64();
                seen.push(total.unwrap());
                tx.patch("orders", 1, &json!({ "total": total.unwrap() + 1 }));
            });
            let _ = told.send((result.map(drop).map_err(|error| error.to_string()), seen));
        });
        done
    };
    let first = count_up();
    let (_, tell_first) = commits.recv().unwrap();
    let second = count_up();
    // It has read 1, and is not handed over.
    assert!(commits.recv_timeout(std::time::Duration::from_millis(50)).is_err());
    tell_first(Ok(()));
    assert_eq!(first.recv().unwrap(), (Ok(()), vec![1]));
    let (kept, tell_second) = commits.recv().unwrap();
    assert_eq!(kept.writes, [put("1", r#"{"id":1,"total":3}"#)]);
    tell_second(Ok(()));
    let (result, seen) = second.recv().unwrap();
    assert_eq!((result, seen.last()), (Ok(()), Some(&2)));

    // One that is given up wakes them, too.
    let third = count_up();
    let (_, tell_third) = commits.recv().unwrap();
    let fourth = count_up();
    assert!(commits.recv_timeout(std::time::Duration::from_millis(50)).is_err());
    tell_third(Err(StorageError::new("no room")));
    assert!(third.recv().unwrap().0.is_err());
    let (kept, tell_fourth) = commits.recv().unwrap();
    assert_eq!(kept.writes, [put("1", r#"{"id":1,"total":4}"#)]);
    tell_fourth(Ok(()));
    let (result, seen) = fourth.recv().unwrap();
    assert_eq!((result, seen.last()), (Ok(()), Some(&3)));
}

#[test]
fn a_file_has_what_patches_and_clears_leave() {
    let folder = Folder::new();
    let path = folder.file("shop.db");
    let liveset = open(&path);
    liveset
        .commit(|tx| (0..1_000).for_each(|id| tx.upsert("orders", &json!({ "id": id, "total": id }))))
        .unwrap();
    liveset.commit(|tx| tx.clear("orders")).unwrap();
    liveset.commit(|tx| tx.patch_or_insert("orders", 3, &json!({ "id": 3, "total": 4, "a": {} }))).unwrap();
    liveset.commit(|tx| tx.patch("orders", 3, &json!({ "total": 5, "a": { "b": 1, "c": null } }))).unwrap();
    drop(liveset);
    let liveset = open(&path);
    assert_eq!(totals(&liveset), [("3".to_owned(), 5)]);
    let row: serde_json::Value = serde_json::from_slice(liveset.row("orders", "3").unwrap().json()).unwrap();
    assert_eq!(row, json!({ "id": 3, "total": 5, "a": { "b": 1 } }));
}

#[test]
fn a_storage_that_forgets_a_commit_leaves_nobody_waiting() {
    let (liveset, commits) = held();
    let done = commit(&liveset, &[(2, 2)]);
    drop(commits.recv().unwrap());
    assert!(done.recv().unwrap().is_err());
    drop(liveset);
}
