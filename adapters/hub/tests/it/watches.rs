//! Live queries inside the process: one snapshot, then batches, folded where nobody polls.

use std::collections::BTreeMap;

use liveset_core::Query;
use liveset_hub::{HubConfig, HubLimits, LiveUpdate, WatchId, test_kit::World};

use crate::support::{order, orders, world};

fn watch(world: &mut World, query: &str) -> WatchId {
    let now = world.now();
    let query = Query::parse(query.as_bytes()).unwrap();
    world.hub_mut().watch(now, &query).unwrap()
}

/// Applies everything that waits; returns how many events that were.
fn drain(world: &mut World, watch: WatchId, rows: &mut BTreeMap<String, String>) -> usize {
    let mut events = 0;
    let text = |data: &[u8]| String::from_utf8_lossy(data).into_owned();
    while let Some(event) = world.hub_mut().poll_watch(watch) {
        events += 1;
        match event {
            LiveUpdate::Snapshot(snapshot) => {
                assert!(rows.is_empty());
                rows.extend(snapshot.rows.iter().map(|row| (row.id().to_owned(), text(row.json()))));
            }
            LiveUpdate::Batch(batch) => {
                for change in &batch.changes {
                    match change.after() {
                        Some(row) => rows.insert(row.id().to_owned(), text(row.json())),
                        None => rows.remove(change.id()),
                    };
                }
            }
        }
    }
    events
}

#[test]
fn a_snapshot_then_every_commit() {
    let mut world = world(HubConfig::default());
    world.commit(orders(3)).unwrap();
    let id = watch(&mut world, r#"{"edge":"orders"}"#);
    assert_eq!(world.take_watches(), [id]);
    let mut rows = BTreeMap::new();
    assert_eq!(drain(&mut world, id, &mut rows), 1);
    assert_eq!(rows.len(), 3);
    world.commit(vec![order(1, 9)]).unwrap();
    world.commit(vec![order(4, 4)]).unwrap();
    assert_eq!(world.take_watches(), [id], "said once until it is drained");
    assert_eq!(drain(&mut world, id, &mut rows), 2);
    assert_eq!(rows["1"], r#"{"id":1,"total":9}"#);
    assert_eq!(world.take_watches(), []);
    world.commit(vec![order(5, 4)]).unwrap();
    assert_eq!(world.take_watches(), [id]);
}

#[test]
fn a_watch_that_is_not_polled_folds() {
    for limit in [0, 1, 10] {
        let hub = HubLimits::default().watch_backlog_changes(limit);
        let mut world = world(HubConfig { hub, ..HubConfig::default() });
        let id = watch(&mut world, r#"{"edge":"orders","orderBy":"total","limit":3}"#);
        let mut rows = BTreeMap::new();
        assert_eq!(drain(&mut world, id, &mut rows), 1);
        for n in 0..500 {
            world.commit(vec![order(n % 7, 1_000 - n), order(n % 5, n)]).unwrap();
        }
        let Some(LiveUpdate::Batch(batch)) = world.hub_mut().poll_watch(id) else { panic!("folded") };
        assert!(batch.changes.len() <= 6, "bounded by twice the window");
        assert!(world.hub_mut().poll_watch(id).is_none());
        // And one by one again.
        world.commit(vec![order(1, 0)]).unwrap();
        assert!(world.hub_mut().poll_watch(id).is_some());
    }
}

#[test]
fn an_ended_watch_frees_its_feed() {
    let mut world = world(HubConfig::default());
    let a = watch(&mut world, r#"{"edge":"orders"}"#);
    let b = watch(&mut world, r#"{"edge":"orders"}"#);
    assert_eq!(world.hub().stats().feeds, 1);
    world.hub_mut().unwatch(a);
    world.hub_mut().unwatch(a);
    assert_eq!((world.hub().stats().feeds, world.hub().stats().watches), (1, 1));
    world.commit(orders(1)).unwrap();
    assert!(world.hub_mut().poll_watch(a).is_none());
    assert_eq!(world.take_watches(), [b]);
    world.hub_mut().unwatch(b);
    assert_eq!((world.hub().stats().feeds, world.hub().stats().engine.feeds), (0, 0));
}

#[test]
fn a_bad_query_is_an_error() {
    let mut world = world(HubConfig::default());
    let now = world.now();
    let query = Query::parse(br#"{"edge":"orders","filter":"total ="}"#).unwrap();
    let error = world.hub_mut().watch(now, &query).unwrap_err();
    assert!(error.to_string().contains("filter"), "{error}");
    assert_eq!(world.hub().stats().watches, 0);
}
