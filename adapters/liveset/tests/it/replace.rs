//! The whole new content of a set: gathered aside, shown at once, and clients get what differs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use liveset::{
    CommitError, Conflict, Limits, LiveRows, LiveUpdate, Liveset, Query, ReplaceError, SetDef, SetStatus,
};
use serde_json::{Value, json};

fn liveset() -> Liveset {
    let builder = Liveset::builder().set(SetDef::new("orders")).set(SetDef::new("others"));
    builder.set_from("market", SetDef::new("prices")).build().unwrap()
}

fn row(id: u64, value: u64) -> Value {
    json!({ "id": id, "value": value })
}

fn content(liveset: &Liveset, set: &str) -> BTreeMap<String, u64> {
    let result = liveset.query(Query::new(set).limit(10_000)).unwrap();
    let value = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap()["value"].as_u64().unwrap();
    result.rows.iter().map(|row| (row.id().to_owned(), value(row.json()))).collect()
}

fn is_replaced(result: Result<liveset::Committed, CommitError>) -> bool {
    matches!(result, Err(CommitError::Conflict(Conflict::Replaced { set })) if &*set == "orders")
}

#[test]
fn of_100_000_rows_10_differ_and_10_diffs_are_sent() {
    let liveset = liveset();
    liveset.commit(|tx| (0..100_000).for_each(|id| tx.upsert("orders", &row(id, 1)))).unwrap();
    let mut live = liveset.live(Query::new("orders").order_by("id").limit(1_000)).unwrap();
    // It is made in slices, and nobody but us makes them.
    while !matches!(live.try_next(), Some(LiveUpdate::Snapshot(_))) {}
    let before = liveset.stats().hub;
    let mut new = liveset.replace("orders").unwrap();
    for id in 3..100_003 {
        new.push(&row(id, if id % 25_000 == 3 { 2 } else { 1 })).unwrap();
    }
    assert_eq!(new.len(), 100_000);
    let done = new.finish().unwrap();
    assert_eq!((done.changed, done.commit), (10, 2), "three have come, three have gone, four have changed");
    let after = liveset.stats().hub;
    let steps = |stats: &liveset_hub::Stats| {
        let kinds = stats.holds.iter();
        kinds.map(|(_, hold)| hold.longest).max().unwrap()
    };
    assert!(steps(&after) <= steps(&before).max(100_000), "{}", steps(&after));
    let Some(LiveUpdate::Batch(batch)) = live.try_next() else { panic!("one batch") };
    assert!(batch.changes.len() <= 10 && live.try_next().is_none(), "{batch:?}");
}

#[test]
fn meanwhile_the_old_content_is_seen_and_nobody_else_commits_to_the_set() {
    let liveset = liveset();
    liveset.commit(|tx| tx.upsert("orders", &row(1, 1))).unwrap();
    let mut new = liveset.replace("orders").unwrap();
    new.push(&row(2, 2)).unwrap();
    new.push(&row(2, 3)).unwrap();
    assert!(is_replaced(liveset.commit(|tx| tx.upsert("orders", &row(9, 9)))));
    assert!(is_replaced(liveset.commit(|tx| {
        tx.upsert("others", &row(9, 9));
        tx.clear("orders");
    })));
    liveset.commit(|tx| tx.upsert("others", &row(1, 1))).unwrap();
    assert_eq!(content(&liveset, "orders"), BTreeMap::from([("1".into(), 1)]));
    let read = liveset.commit(|tx| {
        let seen = tx.get("orders", 1).is_some() && tx.get("orders", 2).is_none();
        tx.only_if("nothing").upsert("others", &row(2, 2));
        Ok::<_, String>(seen)
    });
    assert!(read.unwrap().value);
    assert_eq!(new.finish().unwrap().changed, 2);
    assert_eq!(content(&liveset, "orders"), BTreeMap::from([("2".into(), 3)]));
    liveset.commit(|tx| tx.upsert("orders", &row(9, 9))).unwrap();
}

#[test]
fn who_begins_again_or_drops_it_has_changed_nothing() {
    let liveset = liveset();
    liveset.commit(|tx| tx.upsert("orders", &row(1, 1))).unwrap();
    let mut first = liveset.replace("orders").unwrap();
    first.push(&row(2, 2)).unwrap();
    let mut second = liveset.replace("orders").unwrap();
    second.push(&row(3, 3)).unwrap();
    assert!(matches!(first.push(&row(4, 4)), Err(ReplaceError::Superseded(_))));
    assert!(matches!(first.finish(), Err(ReplaceError::Superseded(_))));
    assert!(is_replaced(liveset.commit(|tx| tx.remove("orders", 1))), "the second is still there");
    drop(second);
    assert_eq!(content(&liveset, "orders"), BTreeMap::from([("1".into(), 1)]));
    liveset.commit(|tx| tx.remove("orders", 1)).unwrap();
}

#[test]
fn what_is_no_row_is_refused_by_itself() {
    let liveset = liveset();
    let mut new = liveset.replace("orders").unwrap();
    new.push(&row(1, 1)).unwrap();
    let wrong = new.push(&json!({ "value": 1 })).unwrap_err().to_string();
    assert_eq!(wrong, "set 'orders': the key field 'id' must be text or an integer, it is missing");
    assert!(matches!(
        new.push(&BTreeMap::from([("id", 1.0), ("value", f64::NAN)])),
        Err(ReplaceError::Json(_))
    ));
    new.push(&row(2, 2)).unwrap();
    assert_eq!(new.finish().unwrap().changed, 2);
    assert!(matches!(liveset.replace("nothing"), Err(ReplaceError::UnknownSet(_))));
    assert!(matches!(liveset.replace("prices"), Err(ReplaceError::Commit(CommitError::ReadOnly { .. }))));
    let market = liveset.source("market").unwrap();
    assert!(matches!(market.replace("orders"), Err(ReplaceError::Commit(CommitError::ReadOnly { .. }))));
}

#[test]
fn a_source_replaces_its_sets_and_stays_where_it_is() {
    let liveset = liveset();
    let market = liveset.source("market").unwrap();
    market.commit(7, |tx| tx.upsert("prices", &row(1, 1))).unwrap();
    let replace = |position: Option<u64>, value: u64| {
        let mut new = market.replace("prices").unwrap();
        position.into_iter().for_each(|position| new.up_to(position));
        new.push(&row(2, value)).unwrap();
        new
    };
    for (position, then) in [(None, 7), (Some(5), 7), (Some(9), 9)] {
        let done = replace(position, then).finish().unwrap();
        assert_eq!((done.position, market.position()), (liveset.position("prices"), then));
        assert_eq!(content(&liveset, "prices"), BTreeMap::from([("2".into(), then)]));
    }
    let gathered = replace(None, 100);
    market.advance(12);
    assert!(market.commit(13, |tx| tx.clear("prices")).is_err());
    market.begin("another");
    assert!(matches!(gathered.finish(), Err(ReplaceError::Superseded(_))), "of a history that has ended");
    assert_eq!(content(&liveset, "prices"), BTreeMap::from([("2".into(), 9)]));
}

#[test]
fn beyond_the_bound_it_is_refused_or_mixed_and_stale() {
    let mut limits = Limits::default();
    limits.hub.replace_bytes = 20_000;
    let liveset = Liveset::builder().set(SetDef::new("orders")).limits(limits).build().unwrap();
    let old = |tx: &mut liveset::Tx| (50..150).for_each(|id| tx.upsert("orders", &row(id, 1)));
    liveset.commit(old).unwrap();
    let status = || liveset.sets()[0].status.as_str();
    let mut new = liveset.replace("orders").unwrap();
    let refused = (0..200).find_map(|id| new.push(&row(id, 2)).err()).unwrap();
    assert!(matches!(refused, ReplaceError::TooLarge { max: 20_000, .. }), "{refused}");
    drop(new);
    assert_eq!((content(&liveset, "orders").len(), status()), (100, "live"));

    let mut new = liveset.replace("orders").unwrap();
    new.allow_mixture();
    (0..120).for_each(|id| new.push(&row(id, 2)).unwrap());
    assert_eq!(status(), "stale");
    let mixture = content(&liveset, "orders");
    assert!(mixture.len() > 100 && mixture.contains_key("149") && mixture["0"] == 2, "{mixture:?}");
    assert_eq!(new.len(), 120);
    new.push(&row(0, 3)).unwrap();
    assert_eq!(new.len(), 120);
    new.finish().unwrap();
    assert_eq!(status(), "live");
    let now = content(&liveset, "orders");
    assert_eq!((now.len(), now["0"], now["119"]), (120, 3, 2));

    // What was counted is given back.
    let mut new = liveset.replace("orders").unwrap();
    (0..80).for_each(|id| new.push(&row(id, 2)).unwrap());
    new.finish().unwrap();
    assert_eq!(content(&liveset, "orders").len(), 80);
}

/// Commits and replacements in any order: what is there, and what a watcher has folded, is what was done.
#[test]
fn random_replacements_leave_what_was_gathered() {
    for seed in 0..100 {
        let mut random = Rng::with_seed(seed);
        let liveset = liveset();
        let mut live = liveset.live(Query::new("orders").limit(50)).unwrap();
        let mut rows = LiveRows::default();
        let mut model: BTreeMap<String, u64> = BTreeMap::new();
        for _ in 0..40 {
            let some: Vec<_> = (0..random.u64(0..8)).map(|_| (random.u64(0..12), random.u64(0..3))).collect();
            if random.bool() {
                let mut new = liveset.replace("orders").unwrap();
                some.iter().for_each(|(id, value)| new.push(&row(*id, *value)).unwrap());
                if random.u8(0..4) > 0 {
                    new.finish().unwrap();
                    model = some.iter().map(|(id, value)| (id.to_string(), *value)).collect();
                }
            } else {
                liveset
                    .commit(|tx| some.iter().for_each(|(id, value)| tx.upsert("orders", &row(*id, *value))))
                    .unwrap();
                model.extend(some.iter().map(|(id, value)| (id.to_string(), *value)));
            }
            while let Some(update) = live.try_next() {
                rows.apply(update);
            }
            assert_eq!(content(&liveset, "orders"), model, "seed {seed}");
            let shown: Vec<_> = rows.iter().map(|row| row.id().to_owned()).collect();
            assert_eq!(shown.len(), model.len(), "seed {seed}");
            assert!(shown.iter().all(|id| model.contains_key(id)));
        }
    }
}

/// Threads that commit while others replace: each commit is before or behind a replacement, or refused.
#[test]
fn commits_of_other_threads_are_whole_or_refused() {
    let liveset = liveset();
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (liveset, done) = (&liveset, &done);
            scope.spawn(move || {
                for n in 0..300 {
                    let both = |tx: &mut liveset::Tx| {
                        tx.upsert("orders", &row(1_000 + thread, n));
                        tx.upsert("others", &row(1_000 + thread, n));
                    };
                    match liveset.commit(both) {
                        Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        result => assert!(is_replaced(result)),
                    }
                }
            });
        }
        for n in 0..50 {
            let mut new = liveset.replace("orders").unwrap();
            (0..20).for_each(|id| new.push(&row(id, n)).unwrap());
            new.finish().unwrap();
            let now = content(&liveset, "orders");
            let values = (0..20).map(|id: u64| now[&id.to_string()]);
            assert!(values.clone().all(|value| value == n), "{now:?}");
        }
    });
    assert!(done.into_inner() > 0);
    assert!(matches!(liveset.sets()[0].status, SetStatus::Live));
}
