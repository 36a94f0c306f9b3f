//! What the closure of a commit reads: its own operations, and rows that must not change before it is applied.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use liveset::{CommitError, Conflict, Liveset, Query, Row, SetDef, Tx};
use serde_json::{Value, json};

fn liveset() -> Liveset {
    Liveset::builder().set(SetDef::new("a")).set(SetDef::new("b").key("no")).build().unwrap()
}

fn value(row: Option<Row>) -> Option<u64> {
    serde_json::from_slice::<Value>(row?.json()).unwrap()["v"].as_u64()
}

fn put(tx: &mut Tx, id: u64, v: u64) {
    tx.upsert("a", &json!({ "id": id, "v": v }));
}

#[test]
fn a_commit_sees_its_own_operations() {
    let liveset = liveset();
    liveset.commit(|tx| put(tx, 1, 1)).unwrap();
    liveset
        .commit(|tx| {
            assert_eq!((value(tx.get("a", 1)), value(tx.get("a", 2))), (Some(1), None));
            put(tx, 2, 2);
            tx.patch("a", 1, &json!({ "v": 7, "w": null }));
            assert_eq!((value(tx.get("a", 1)), value(tx.get("a", 2))), (Some(7), Some(2)));
            tx.only_if("v == 2").patch("a", 2, &json!({ "v": 3 }));
            tx.remove("a", 1);
            assert_eq!((value(tx.get("a", 1)), value(tx.get("a", 2))), (None, Some(3)));
            tx.upsert("b", &json!({ "no": 1, "v": 9 }));
            tx.clear("a");
            tx.patch_or_insert("a", 1, &json!({ "id": 1, "v": 4 }));
            assert_eq!((value(tx.get("a", 1)), value(tx.get("a", 2))), (Some(4), None));
            assert_eq!((value(tx.get("b", 1)), tx.get("nowhere", 1)), (Some(9), None));
        })
        .unwrap();
    assert_eq!((value(liveset.row("a", "1")), liveset.row("a", "2")), (Some(4), None));
}

/// The operations of one commit, random, and a look at every row behind each of them: as if each were a commit of its own.
#[test]
fn what_a_commit_sees_is_what_each_operation_would_leave() {
    for seed in 0..300 {
        let mut random = Rng::with_seed(seed);
        let (whole, single) = (liveset(), liveset());
        for endpoint in [&whole, &single] {
            endpoint.commit(|tx| (0..3).for_each(|id| put(tx, id, id))).unwrap();
        }
        let steps: Vec<(u32, u64, u64)> =
            (0..12).map(|_| (random.u32(..10), random.u64(..5), random.u64(..100))).collect();
        let step = |tx: &mut Tx, (kind, id, v): (u32, u64, u64)| match kind {
            0..=2 => put(tx, id, v),
            3..=5 => tx.patch_or_insert("a", id, &json!({ "id": id, "v": v })),
            6 => tx.patch_or_insert("a", id, &json!({ "id": id, "more": { "x": v } })),
            7 | 8 => tx.remove("a", id),
            _ => tx.clear("a"),
        };
        let done = whole.commit(|tx| {
            steps
                .iter()
                .map(|it| {
                    step(tx, *it);
                    (0..5).map(|id| tx.get("a", id).map(|row| row.to_string())).collect::<Vec<_>>()
                })
                .collect::<Vec<_>>()
                .into_iter()
                .map(Ok::<_, String>)
                .collect::<Result<Vec<_>, _>>()
        });
        for (it, seen) in steps.iter().zip(done.unwrap().value) {
            single.commit(|tx| step(tx, *it)).unwrap();
            let rows: Vec<_> =
                (0..5).map(|id: u64| single.row("a", &id.to_string()).map(|row| row.to_string())).collect();
            assert_eq!(seen, rows, "seed {seed}, behind {it:?}");
        }
    }
}

#[test]
fn a_closure_runs_again_where_what_it_read_has_changed() {
    let liveset = liveset();
    liveset.commit(|tx| put(tx, 1, 10)).unwrap();
    let mut runs = 0;
    let done = liveset.commit(|tx| {
        let v = value(tx.get("a", 1)).unwrap();
        if runs < 3 {
            liveset.commit(|tx| put(tx, 1, v + 1)).unwrap();
        }
        runs += 1;
        put(tx, 1, v * 2);
        Ok::<_, String>(v)
    });
    assert_eq!((done.unwrap().value, runs), (13, 4));
    assert_eq!(value(liveset.row("a", "1")), Some(26));

    // Another row does not matter, nor the same value written again.
    let mut runs = 0;
    liveset
        .commit(|tx| {
            runs += 1;
            let v = value(tx.get("a", 1)).unwrap();
            liveset.commit(|tx| put(tx, 2, runs)).unwrap();
            liveset.commit(|tx| put(tx, 1, v)).unwrap();
            put(tx, 3, v);
        })
        .unwrap();
    assert_eq!(runs, 1);
}

#[test]
fn absence_is_noted_and_six_runs_are_the_most() {
    let liveset = liveset();
    let mut runs = 0;
    let error = liveset
        .commit(|tx| {
            runs += 1;
            let is_there = tx.get("a", 1).is_some();
            liveset
                .commit(|tx| match is_there {
                    true => tx.remove("a", 1),
                    false => put(tx, 1, 1),
                })
                .unwrap();
            put(tx, 2, 2);
        })
        .unwrap_err();
    let CommitError::Conflict(Conflict::Changed { set, id }) = error else { panic!("{error}") };
    assert_eq!((&*set, &*id, runs), ("a", "1", 6));
    assert_eq!(liveset.row("a", "2"), None);

    // A series makes nothing again.
    let mut series = liveset.in_order();
    let pending = series
        .commit(None, |tx| {
            let v = value(tx.get("a", 5)).unwrap_or(0);
            liveset.commit(|tx| put(tx, 5, v + 1)).unwrap();
            put(tx, 5, 0);
        })
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(matches!(runtime.block_on(pending), Err(CommitError::Conflict(_))));
}

/// Counters that several threads count up by reading them: nothing is lost. Those who meet too often try again.
#[test]
fn nothing_is_lost_between_threads() {
    let liveset = liveset();
    let (conflicts, counted) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (liveset, conflicts, counted) = (&liveset, &conflicts, &counted);
            scope.spawn(move || {
                let mut random = Rng::with_seed(seed);
                for _ in 0..300 {
                    let id = random.u64(..2);
                    let done = liveset.commit(|tx| {
                        let v = value(tx.get("a", id)).unwrap_or(0);
                        put(tx, id, v + 1);
                    });
                    match done {
                        Ok(_) => counted.fetch_add(1, Ordering::Relaxed),
                        Err(CommitError::Conflict(_)) => conflicts.fetch_add(1, Ordering::Relaxed),
                        Err(error) => panic!("{error}"),
                    };
                }
            });
        }
    });
    let rows: BTreeMap<_, _> = liveset
        .query(Query::new("a"))
        .unwrap()
        .rows
        .into_iter()
        .map(|row| (row.id().to_owned(), row))
        .collect();
    let total: u64 = rows.into_values().filter_map(|row| value(Some(row))).sum();
    assert_eq!(total, counted.into_inner());
    assert_eq!(total + conflicts.into_inner(), 1_200);
}
