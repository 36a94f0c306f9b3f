//! Many threads commit, many clients follow, some come and go: everyone ends at the same result.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use liveset::{LiveRows, Query};
use serde_json::{Value, json};

use crate::support::{authenticated, builder, eventually, listen};

const THREADS: u64 = 4;
const COMMITS: u64 = 300;

/// Applies a message of a live query to the rows of its client; an addition of what is there, and an update or a removal
/// of what is not, would be a fault of the stream.
fn apply(rows: &mut BTreeMap<String, Value>, message: Value) {
    let id = message["nodeId"].as_str().unwrap().to_owned();
    match message["type"].as_str().unwrap() {
        "liveQueryAddedNode" => assert!(rows.insert(id, message["data"].clone()).is_none(), "{message}"),
        "liveQueryUpdatedNode" => assert!(rows.insert(id, message["data"].clone()).is_some(), "{message}"),
        "liveQueryRemovedNode" => assert!(rows.remove(&id).is_some(), "{message}"),
        _ => panic!("{message}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everyone_ends_at_the_same_result() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;

    let followers: Vec<_> = (0..8)
        .map(|n| {
            tokio::spawn(async move {
                let mut client = authenticated(address).await;
                let query = match n % 2 {
                    0 => json!({ "edge": "orders", "filter": "open or last", "orderBy": "total desc", "limit": 10 }),
                    _ => json!({ "edge": "orders" }),
                };
                let mut rows = BTreeMap::new();
                for row in client.create("q", query).await {
                    let id = row["id"].as_str().map_or_else(|| row["id"].to_string(), str::to_owned);
                    rows.insert(id, row);
                }
                while !rows.contains_key("last") {
                    apply(&mut rows, client.receive().await);
                }
                client.close().await;
                (n, rows)
            })
        })
        .collect();
    let mut live = liveset.live(Query::new("orders")).unwrap();
    let inside = tokio::spawn(async move {
        let mut rows = LiveRows::default();
        while !rows.iter().any(|row| row.id() == "last") {
            rows.apply(live.next().await.expect("a handle is left"));
        }
        rows
    });
    // Some come and go all the while, at any moment of their conversation.
    let visitors: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async move {
                for _ in 0..30 {
                    let mut client = authenticated(address).await;
                    client.create("q", json!({ "edge": "orders", "filter": "total > 3" })).await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        })
        .collect();

    let committing: Vec<_> = (0..THREADS)
        .map(|thread| {
            let liveset = liveset.clone();
            std::thread::spawn(move || {
                let mut random = Rng::with_seed(thread + 1);
                for _ in 0..COMMITS {
                    liveset
                        .commit(|tx| {
                            for _ in 0..=random.usize(..3) {
                                let id = random.usize(..40);
                                if random.usize(..4) == 0 {
                                    tx.remove("orders", id);
                                } else {
                                    let (open, total) = (random.usize(..2) == 0, random.usize(..9));
                                    tx.upsert("orders", &json!({ "id": id, "open": open, "total": total }));
                                }
                            }
                        })
                        .unwrap();
                }
            })
        })
        .collect();
    for thread in committing {
        tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    }
    for visitor in visitors {
        visitor.await.unwrap();
    }
    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": "last", "last": true, "total": 100 }))).unwrap();

    let expected = |query: Query| -> BTreeMap<String, Value> {
        let rows = liveset.query(query).unwrap().rows;
        rows.into_iter().map(|row| (row.id().to_owned(), row.parse().unwrap())).collect()
    };
    let all = expected(Query::new("orders"));
    let top = expected(Query::new("orders").filter("open or last").order_by("total desc").limit(10));
    for follower in followers {
        let (n, rows) = follower.await.unwrap();
        assert_eq!(&rows, if n % 2 == 0 { &top } else { &all });
    }
    let rows = inside.await.unwrap();
    assert!(rows.iter().eq(&liveset.query(Query::new("orders")).unwrap().rows));
    eventually("all are freed", || liveset.stats().connections == 0).await;
    assert_eq!(liveset.stats().hub.feeds, 0);
}
