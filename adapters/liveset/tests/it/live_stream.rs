//! A live query inside the process is the query's result, after every commit and however it is read.

use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use liveset::{Clock, LiveQuery, LiveRows, LiveUpdate, Liveset, Query, Timestamp};
use serde_json::json;

use crate::support::{self, builder, limited};

/// A few random operations on a small set, as one commit.
fn change(liveset: &Liveset, random: &mut Rng) {
    liveset
        .commit(|tx| {
            for _ in 0..=random.usize(..4) {
                let id = random.usize(..60);
                if random.usize(..3) == 0 {
                    tx.remove("orders", id);
                } else {
                    tx.upsert(
                        "orders",
                        &json!({ "id": id, "open": random.usize(..2) == 0, "total": random.usize(..10), "x": random.usize(..3) }),
                    );
                }
            }
        })
        .unwrap();
}

fn queries() -> Vec<Query> {
    vec![
        Query::new("orders"),
        Query::new("orders").filter("open").order_by("total desc").limit(7),
        Query::new("orders").filter("total < 5 or not open").order_by("total, x desc").limit(1),
        Query::new("orders").filter("open and x == 1").fields(["total"]).limit(20),
    ]
}

fn assert_same(liveset: &Liveset, query: &Query, rows: &LiveRows) {
    let result = liveset.query(query).unwrap();
    assert!(rows.iter().eq(&result.rows), "{rows:?}\n{result:?}");
    assert_eq!(rows.count(), result.count);
}

fn catch_up(live: &mut LiveQuery, rows: &mut LiveRows) -> usize {
    let mut updates = 0;
    while let Some(update) = live.try_next() {
        rows.apply(update);
        updates += 1;
    }
    updates
}

#[test]
fn follows_random_commits() {
    let liveset = builder().build().unwrap();
    let mut random = Rng::with_seed(20251207);
    let mut watched: Vec<_> = queries()
        .into_iter()
        .map(|query| {
            let live = liveset.live(&query).unwrap();
            (query, live, LiveRows::default())
        })
        .collect();
    for _ in 0..500 {
        change(&liveset, &mut random);
        for (query, live, rows) in &mut watched {
            catch_up(live, rows);
            assert_same(&liveset, query, rows);
        }
    }
}

#[test]
fn folds_while_nobody_reads() {
    for backlog in [0, 1, 256] {
        let liveset = limited(|limits| limits.hub.watch_backlog_changes = backlog);
        let mut random = Rng::with_seed(7);
        for query in queries() {
            let mut live = liveset.live(&query).unwrap();
            let mut rows = LiveRows::default();
            for round in 0..20 {
                for _ in 0..random.usize(..200) {
                    change(&liveset, &mut random);
                }
                let updates = catch_up(&mut live, &mut rows);
                // One snapshot or one fold where nothing may wait; never more than may wait.
                assert!(updates <= backlog + 2, "{updates} in round {round}");
                assert_same(&liveset, &query, &rows);
            }
        }
    }
}

#[tokio::test]
async fn wakes_whoever_waits() {
    let liveset = builder().build().unwrap();
    let mut live = liveset.live(Query::new("orders")).unwrap();
    assert!(matches!(live.next().await, Some(LiveUpdate::Snapshot(result)) if result.rows.is_empty()));
    let waiting = tokio::spawn(async move {
        let mut rows = LiveRows::default();
        while rows.len() < 100 {
            rows.apply(StreamExt::next(&mut live).await.unwrap());
            tokio::task::yield_now().await;
        }
        rows
    });
    for id in 0..100 {
        liveset.commit(|tx| tx.upsert("orders", &json!({ "id": id }))).unwrap();
        tokio::task::yield_now().await;
    }
    let rows = tokio::time::timeout(support::PATIENCE, waiting).await.unwrap().unwrap();
    assert_eq!(rows.count().total, 100);
}

#[test]
fn dropping_frees_what_was_kept() {
    let liveset = builder().build().unwrap();
    let first = liveset.live(Query::new("orders").filter("open")).unwrap();
    let second = liveset.live(Query::new("orders").filter("(open)")).unwrap();
    let stats = liveset.stats().hub;
    assert_eq!((stats.watches, stats.feeds, stats.engine.views), (2, 1, 1));
    drop(first);
    assert_eq!(liveset.stats().hub.engine.views, 1);
    drop(second);
    let stats = liveset.stats().hub;
    assert_eq!((stats.watches, stats.feeds, stats.engine.views, stats.engine.feeds), (0, 0, 0, 0));
}

#[test]
fn time_of_the_data_changes_results() {
    let liveset = builder().clock(Clock::Commits).build().unwrap();
    let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    let query = Query::new("orders").filter("createdAt > now - 1 days");
    let mut live = liveset.live(&query).unwrap();
    let mut rows = LiveRows::default();
    liveset
        .at(at("2025-12-07T12:00:00Z"))
        .commit(|tx| tx.upsert("orders", &json!({ "id": 1, "createdAt": "2025-12-07T10:00:00Z" })))
        .unwrap();
    catch_up(&mut live, &mut rows);
    assert_eq!(rows.len(), 1);
    liveset.set_now(at("2025-12-08T09:59:59Z"));
    assert_eq!(catch_up(&mut live, &mut rows), 0);
    // What came late does not turn time back.
    liveset.at(at("2025-12-08T10:00:00Z")).commit(|_| ()).unwrap();
    liveset.at(at("2025-12-01")).commit(|_| ()).unwrap();
    catch_up(&mut live, &mut rows);
    assert_eq!((rows.len(), rows.count().total), (0, 0));
    assert_same(&liveset, &query, &rows);
}

#[tokio::test]
async fn time_of_the_machine_changes_results_while_nothing_happens() {
    let liveset = builder().build().unwrap();
    let soon = Timestamp::from(std::time::SystemTime::now()).saturating_add(Duration::from_millis(300));
    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": 1, "due": soon.to_string() }))).unwrap();
    let mut live = liveset.live(Query::new("orders").filter("due <= now")).unwrap();
    assert!(matches!(live.next().await, Some(LiveUpdate::Snapshot(result)) if result.rows.is_empty()));
    let update = tokio::time::timeout(support::PATIENCE, live.next()).await.unwrap();
    assert!(
        matches!(&update, Some(LiveUpdate::Batch(batch)) if batch.count.is_some_and(|count| count.total == 1)),
        "{update:?}"
    );
    assert!(Timestamp::from(std::time::SystemTime::now()) >= soon);
}

#[tokio::test]
async fn a_stream_ends_with_the_last_handle() {
    let liveset = builder().build().unwrap();
    let mut live = liveset.live(Query::new("orders")).unwrap();
    let other = liveset.clone();
    assert!(matches!(live.next().await, Some(LiveUpdate::Snapshot(_))));
    let waiting = tokio::spawn(async move {
        let mut rows = LiveRows::default();
        while let Some(update) = live.next().await {
            rows.apply(update);
        }
        rows.len()
    });
    tokio::task::yield_now().await;
    drop(liveset);
    other.commit(|tx| tx.upsert("orders", &json!({ "id": 1 }))).unwrap();
    drop(other);
    // What was committed before the end is not lost.
    assert_eq!(tokio::time::timeout(support::PATIENCE, waiting).await.unwrap().unwrap(), 1);
}
