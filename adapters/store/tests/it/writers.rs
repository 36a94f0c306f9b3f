//! A thread that writes for others.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use liveset_store::{AppendError, Commit, Durability, Store, Writer};

use crate::support::{Folder, Rows, after, apply, open, put, read};
use crate::worker::EVERY;

#[test]
fn commits_of_many_threads_are_written_and_told_in_their_order() {
    for durability in [Durability::Always, EVERY] {
        let folder = Folder::new();
        let path = folder.file("sets.db");
        let (store, _) = read(Store::open(&path, durability).unwrap()).unwrap();
        let identity = store.identity().to_owned();
        let writer = Writer::start(store).unwrap();
        let last = Mutex::new((0, Rows::new()));
        let (told, of_all) = channel();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (last, writer, told) = (&last, &writer, told.clone());
                scope.spawn(move || {
                    for id in 0..50 {
                        let mut last = last.lock().unwrap();
                        let commit = after(last.0, [put("a", thread * 100 + id % 7, format!("{id}"))]);
                        last.0 = commit.position;
                        apply(&mut last.1, &commit.writes);
                        let (position, told) = (commit.position, told.clone());
                        writer
                            .submit(commit, move |written| told.send((position, written)).unwrap())
                            .unwrap();
                    }
                });
            }
        });
        drop(told);
        let all: Vec<_> = of_all.iter().collect();
        assert_eq!(all, (1..=200).map(|position| (position, Ok(()))).collect::<Vec<_>>());
        writer.close().unwrap();
        let (store, rows) = open(&path).unwrap();
        assert_eq!(
            (store.position(), store.identity(), rows),
            (200, &*identity, last.into_inner().unwrap().1)
        );
    }
}

#[test]
fn a_commit_that_follows_a_refused_one_is_refused() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let (store, _) = open(&path).unwrap();
    let writer = Writer::start(store).unwrap();
    let (told, of_all) = channel();
    let submit = |commit: Commit| {
        let (position, told) = (commit.position, told.clone());
        writer.submit(commit, move |written| told.send((position, written)).unwrap()).unwrap();
    };
    let commit = |follows, position| Commit { follows, position, writes: vec![put("a", position, "{}")] };
    submit(commit(0, 5));
    // It follows one that is not there, as does the next; both leave alone what came before.
    submit(commit(7, 8));
    submit(commit(8, 9));
    submit(commit(5, 4));
    submit(commit(5, 6));
    drop(writer);
    drop(told);
    let all: Vec<_> = of_all.iter().collect();
    let refused = |follows| Err(AppendError::OutOfOrder { follows, newest: 5 });
    assert_eq!(all.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [5, 8, 9, 4, 6]);
    assert_eq!((&all[0].1, &all[4].1), (&Ok(()), &Ok(())));
    assert!(
        all[1].1 == refused(7)
            && (all[2].1 == refused(7) || all[2].1 == refused(8))
            && all[3].1 == refused(5)
    );
    let (store, rows) = open(&path).unwrap();
    assert_eq!((store.position(), rows.len()), (6, 2));
}

#[test]
fn a_panic_of_whoever_is_told_ends_nothing() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let (store, _) = open(&path).unwrap();
    let writer = Writer::start(store).unwrap();
    writer.submit(after(0, [put("a", 1, "{}")]), |_| panic!("a panic that the test wants")).unwrap();
    let (told, of_second) = channel();
    writer.submit(after(1, [put("a", 2, "{}")]), move |written| told.send(written).unwrap()).unwrap();
    assert_eq!(of_second.recv(), Ok(Ok(())));
    writer.close().unwrap();
    assert_eq!(open(&path).unwrap().1.len(), 2);
}

#[test]
fn more_than_may_wait_is_refused_and_the_rest_written() {
    let folder = Folder::new();
    let path = folder.file("sets.db");
    let (store, _) = open(&path).unwrap();
    let writer = Writer::start(store).unwrap();
    // The first keeps the thread until all others were handed over.
    let (go_on, held) = channel::<()>();
    let (told, first) = channel();
    let hold = move |written| {
        told.send(written).unwrap();
        let _ = held.recv();
    };
    writer.submit(after(0, []), hold).unwrap();
    assert_eq!(first.recv(), Ok(Ok(())));
    let written = Arc::new(Mutex::new(0));
    let mut position = 1;
    let refused = loop {
        let commit = after(position, [put("a", position, "x".repeat(1 << 20))]);
        let count = written.clone();
        let submitted = writer.submit(commit, move |written| {
            assert_eq!(written, Ok(()));
            *count.lock().unwrap() += 1;
        });
        if let Err(error) = submitted {
            break error;
        }
        position += 1;
    };
    assert_eq!(refused, AppendError::Overloaded);
    assert_eq!(position, 64, "63 of a little more than a MiB");
    go_on.send(()).unwrap();
    writer.close().unwrap();
    assert_eq!(*written.lock().unwrap(), 63);
    assert_eq!(open(&path).unwrap().1.len(), 63);
}
