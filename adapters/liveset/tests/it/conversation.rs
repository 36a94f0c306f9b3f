//! The protocol end to end, over real sockets, with a client library that we did not write.

use liveset::Query;
use serde_json::json;

use crate::support::{authenticated, builder, connect, listen};

#[tokio::test]
async fn authenticates_queries_and_follows_commits() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    liveset
        .commit(|tx| {
            tx.upsert("orders", &json!({ "id": 1, "status": "open", "total": 5 }));
            tx.upsert("orders", &json!({ "id": 2, "status": "done", "total": 7 }))
        })
        .unwrap();

    let mut client = connect(address).await;
    client.authenticate().await;
    let query = json!({ "edge": "orders", "filter": "status == 'open'", "orderBy": "total desc" });
    assert_eq!(client.create("q", query).await, [json!({ "id": 1, "status": "open", "total": 5 })]);

    liveset
        .commit(|tx| {
            tx.upsert("orders", &json!({ "id": 2, "status": "open", "total": 7 }));
            tx.upsert("orders", &json!({ "id": 1, "status": "done", "total": 5 }))
        })
        .unwrap();
    assert_eq!(client.receive().await, json!({ "type": "liveQueryRemovedNode", "id": "q", "nodeId": "1" }));
    assert_eq!(
        client.receive().await,
        json!({
            "type": "liveQueryAddedNode", "id": "q", "nodeId": "2", "data": { "id": 2, "status": "open", "total": 7 }
        })
    );

    client.send(json!({ "type": "destroyLiveQuery", "id": "q", "requestId": "r" })).await;
    assert_eq!(client.receive().await, json!({ "type": "liveQueryDestroyed", "id": "q", "requestId": "r" }));
    client.close().await;
}

#[tokio::test]
async fn two_clients_share_one_query_and_see_the_same() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let mut first = authenticated(address).await;
    let mut second = authenticated(address).await;
    assert!(first.create("a", json!({ "edge": "orders", "filter": "open" })).await.is_empty());
    assert!(second.create("b", json!({ "edge": "orders", "filter": "( open )" })).await.is_empty());
    assert_eq!(liveset.stats().hub.engine.views, 1);

    for id in 0..50 {
        liveset.commit(|tx| tx.upsert("orders", &json!({ "id": id, "open": true }))).unwrap();
    }
    for id in 0..50 {
        for (client, query) in [(&mut first, "a"), (&mut second, "b")] {
            let added = client.receive().await;
            assert_eq!(added["type"], "liveQueryAddedNode");
            assert_eq!((&added["id"], &added["nodeId"]), (&json!(query), &json!(id.to_string())));
        }
    }
    assert_eq!(liveset.query(Query::new("orders")).unwrap().count.total, 50);
}

#[tokio::test]
async fn events_reach_subscribers_of_the_path_and_of_its_ancestors() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let mut all = authenticated(address).await;
    let mut one = authenticated(address).await;
    for (client, path) in [(&mut all, "jobs"), (&mut one, "jobs/7")] {
        let subscription = json!({ "id": "s", "path": path, "events": ["jobCompleted"] });
        client.send(json!({ "type": "subscribeEvents", "subscriptions": [subscription] })).await;
        assert_eq!(client.receive().await["type"], "subscribedEvents");
    }
    let at = liveset::Timestamp::parse_rfc3339("2025-12-07T21:45:05Z").unwrap();
    let delivered = liveset.at(at).publish("jobs/7", "jobCompleted", &json!({ "jobId": 7 })).unwrap();
    assert_eq!(delivered, 2);
    assert_eq!(liveset.publish("jobs/8", "jobStarted", &json!({})).unwrap(), 0);
    for (client, path) in [(&mut all, "jobs"), (&mut one, "jobs/7")] {
        let expected = json!({
            "type": "event", "subscriptionIds": ["s"], "eventType": "jobCompleted", "path": path,
            "data": { "jobId": 7 }, "timestamp": "2025-12-07T21:45:05.000Z"
        });
        assert_eq!(client.receive().await, expected);
    }
    assert!(liveset.publish("jobs/7", "jobExploded", &json!({})).is_err());
    assert!(liveset.publish("nowhere", "jobCompleted", &json!({})).is_err());
}

#[tokio::test]
async fn a_handle_can_be_used_from_anywhere() {
    fn assert_handle<T: Send + Sync + Clone + 'static>(_: &T) {}
    fn assert_future<T: Send>(_: &T) {}

    let liveset = builder().build().unwrap();
    assert_handle(&liveset);
    let (server, _client) = tokio::io::duplex(64);
    assert_future(&liveset.serve(server, None));
    assert_future(&liveset.shutdown(liveset::Drain::AT_ONCE));
    assert_future(&liveset.authenticate("t", None));

    // Threads that know nothing of a runtime commit while a client watches.
    let address = listen(&liveset).await;
    let mut client = authenticated(address).await;
    client.create("q", json!({ "edge": "orders" })).await;
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let liveset = liveset.clone();
            std::thread::spawn(move || {
                for n in 0..25 {
                    let node = json!({ "id": format!("{thread}-{n}") });
                    liveset.commit(|tx| tx.upsert("orders", &node)).unwrap();
                }
            })
        })
        .collect();
    for _ in 0..100 {
        assert_eq!(client.receive().await["type"], "liveQueryAddedNode");
    }
    for thread in threads {
        thread.join().unwrap();
    }
}
