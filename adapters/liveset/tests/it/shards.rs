//! However many shards keep the queries, and on whatever threads: the results are the same.

use std::sync::Arc;

use fastrand::Rng;
use liveset::{LiveQuery, LiveRows, LiveUpdate, Liveset, Query};
use serde_json::json;

use crate::support::limited;

fn queries() -> impl Iterator<Item = Query> {
    let by_value =
        (0..20).map(|x| Query::new("orders").filter(format!("x == {x}")).order_by("total").limit(5));
    by_value.chain([
        Query::new("orders").order_by("total desc").limit(10),
        Query::new("orders").filter("total > 40 or x != 3"),
    ])
}

/// All that the queries were told, and what they show in the end.
fn run(shards: usize) -> (Vec<Vec<LiveUpdate>>, Vec<Vec<String>>) {
    let liveset = limited(|limits| limits.engine.shards = shards);
    let mut live: Vec<(LiveQuery, Vec<LiveUpdate>)> =
        queries().map(|query| (liveset.live(query).unwrap(), Vec::new())).collect();
    let mut random = Rng::with_seed(7);
    for round in 0..40 {
        // Some are spread over threads, some are too small for it.
        let ops = if round % 4 == 0 { 3 } else { 200 };
        change(&liveset, &mut random, ops);
        for (live, updates) in &mut live {
            while let Some(update) = live.try_next() {
                updates.push(update);
            }
        }
    }
    let shown = live.iter().zip(queries()).map(|((_, updates), query)| {
        let mut rows = LiveRows::default();
        updates.iter().for_each(|update| rows.apply(update.clone()));
        let ids: Vec<String> = rows.iter().map(|row| row.id().to_owned()).collect();
        let now = liveset.query(query).unwrap();
        assert_eq!(ids, now.rows.iter().map(|row| row.id().to_owned()).collect::<Vec<_>>());
        assert_eq!(rows.count(), now.count);
        ids
    });
    let shown = shown.collect();
    (live.into_iter().map(|(_, updates)| updates).collect(), shown)
}

fn change(liveset: &Liveset, random: &mut Rng, ops: usize) {
    let gather = |tx: &mut liveset::Tx| {
        for _ in 0..ops {
            let id = random.usize(..500);
            match random.usize(..4) {
                0 => tx.remove("orders", id),
                _ => tx.upsert(
                    "orders",
                    &json!({ "id": id, "x": random.usize(..20), "total": random.usize(..50) }),
                ),
            }
        }
    };
    liveset.commit(gather).unwrap();
}

#[test]
fn any_number_of_shards_comes_to_the_same() {
    let (_, one) = run(1);
    for shards in [2, 3] {
        let (told, shown) = run(shards);
        assert_eq!(shown, one, "{shards} shards");
        let (again, _) = run(shards);
        assert!(without_versions(told) == without_versions(again), "the same every time");
    }
}

/// Versions begin at the time of day.
fn without_versions(mut told: Vec<Vec<LiveUpdate>>) -> Vec<Vec<LiveUpdate>> {
    for update in told.iter_mut().flatten() {
        match update {
            LiveUpdate::Snapshot(snapshot) => Arc::make_mut(snapshot).version = 0,
            LiveUpdate::Batch(batch) => Arc::make_mut(batch).version = 0,
        }
    }
    told
}
