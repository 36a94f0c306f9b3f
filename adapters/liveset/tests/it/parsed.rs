//! Texts are read before the lock is taken: the hub parses none of them, whenever they come.

use liveset::Query;
use serde_json::{Value, json};

use crate::support::{authenticated, builder, connect, listen};

fn create(id: &str) -> Value {
    json!({ "type": "createLiveQuery", "id": id, "query": { "edge": "orders", "filter": "total > 5" } })
}

#[tokio::test]
async fn the_hub_parses_no_filter() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    // Ahead of the verdict on a token.
    let mut early = connect(address).await;
    early.send(json!({ "type": "auth", "token": "t" })).await;
    for id in ["a", "b", "c"] {
        early.send(create(id)).await;
    }
    let mut answered = 0;
    while answered < 3 {
        answered += usize::from(early.receive().await["type"] == "liveQueryCreated");
    }
    // And after it.
    let mut client = authenticated(address).await;
    client.send(create("d")).await;
    assert_eq!(client.receive().await["type"], "liveQueryCreated");
    let query = || Query::new("orders").filter("total > 7");
    liveset.query(query()).expect("a result");
    liveset.explain(query()).expect("an explanation");
    let _live = liveset.live(query()).expect("a live query");
    let stats = liveset.stats().hub;
    assert_eq!((stats.planned, stats.parsed), (4 + 3, 0));
}
