//! The first result of a query over many nodes is made in slices, while everything else goes on.

use liveset::{LiveUpdate, Liveset, Query};
use liveset_engine::Tuning;
use serde_json::json;

use crate::support::{authenticated, limited, listen};

/// A hundred slices.
fn liveset() -> Liveset {
    let liveset = limited(|limits| {
        limits.engine.slice_rows = 20;
        limits.engine =
            std::mem::take(&mut limits.engine).tuning(Tuning { small_slices: true, ..Tuning::default() });
    });
    let fill = |tx: &mut liveset::Tx| (0..2_000).for_each(|id| tx.upsert("orders", &json!({ "id": id })));
    liveset.commit(fill).unwrap();
    liveset
}

/// A query that no index serves.
fn query() -> Query {
    Query::new("orders").filter("id != 'none'").limit(3)
}

#[tokio::test]
async fn commits_go_on_while_a_result_is_made() {
    let liveset = liveset();
    let mut live = liveset.live(query()).unwrap();
    let mut commits = 0;
    let first = loop {
        if let Some(update) = live.try_next() {
            break update;
        }
        commits += 1;
        liveset.commit(|tx| tx.upsert("orders", &json!({ "id": 10_000 + commits }))).unwrap();
        tokio::task::yield_now().await;
    };
    assert!(commits > 10, "only {commits} commits");
    let LiveUpdate::Snapshot(result) = first else { panic!("the snapshot comes first") };
    assert_eq!(result.count.total, 2_000 + commits);
    // And on from there.
    liveset.commit(|tx| tx.remove("orders", 0)).unwrap();
    assert!(
        matches!(live.next().await, Some(LiveUpdate::Batch(batch)) if batch.count.is_some_and(|count| count.total == 1_999 + commits))
    );
    assert_eq!(liveset.stats().hub.waiting, 0);
}

#[tokio::test]
async fn a_client_is_answered_when_the_result_is_there() {
    let liveset = liveset();
    let mut client = authenticated(listen(&liveset).await).await;
    let query = json!({ "edge": "orders", "filter": "id != 'none'", "limit": 3 });
    client.send(json!({ "type": "createLiveQuery", "id": "q", "query": query })).await;
    client.send(json!({ "type": "ping" })).await;
    let mut types = Vec::new();
    while types.len() < 3 {
        types.push(client.receive().await["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(types, ["pong", "liveQueryCreated", "liveQueryData"]);
}

#[test]
fn outside_of_a_runtime_every_use_does_a_slice() {
    let liveset = liveset();
    let mut live = liveset.live(query()).unwrap();
    let first = (0..200).find_map(|_| live.try_next()).expect("reading alone is enough");
    assert!(matches!(first, LiveUpdate::Snapshot(result) if result.count.total == 2_000));

    let mut live = liveset.live(query().order_by("total")).unwrap();
    for id in 0..200 {
        liveset.commit(|tx| tx.upsert("orders", &json!({ "id": id }))).unwrap();
    }
    assert_eq!(liveset.stats().hub.waiting, 0, "commits are enough too");
    assert!(matches!(live.try_next(), Some(LiveUpdate::Snapshot(_))));
}
