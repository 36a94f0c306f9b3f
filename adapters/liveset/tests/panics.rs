//! A panic while a connection is served ends that connection with 1011, and nothing else.

mod common;

use std::sync::Arc;

use common::{authenticated, eventually, listen};
use liveset::{AnyToken, Liveset, Policy, Principal, Query, QuerySpec, Set};
use serde_json::json;

/// A policy with a fault.
struct Bomb;

impl Policy for Bomb {
    fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn may_query(&self, _: &Principal, query: &QuerySpec) -> bool {
        assert_ne!(query.edge, "bombs", "boom");
        true
    }

    fn may_write(&self, _: &Principal) -> bool {
        panic!("boom")
    }
}

#[tokio::test]
async fn the_connection_that_caused_it_is_closed_with_1011() {
    let liveset =
        Liveset::builder().set(Set::new("orders")).authenticator(AnyToken).policy(Bomb).build().unwrap();
    let address = listen(&liveset).await;
    let mut bystander = authenticated(address).await;
    bystander.create("q", json!({ "edge": "orders" })).await;

    for _ in 0..3 {
        let mut client = authenticated(address).await;
        client.create("q", json!({ "edge": "orders" })).await;
        client.send(json!({ "type": "createLiveQuery", "id": "b", "query": { "edge": "bombs" } })).await;
        assert_eq!(client.error().await, "INTERNAL");
        assert_eq!(client.close_code().await, 1011);
    }
    eventually("they are freed", || liveset.stats().connections == 1).await;
    let stats = liveset.stats().hub;
    assert_eq!((stats.connections, stats.live_queries, stats.feeds), (1, 1, 1));

    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": 1 }))).unwrap();
    assert_eq!(bystander.receive().await["type"], "liveQueryAddedNode");
    bystander.assert_alive().await;
}

#[tokio::test]
async fn a_host_that_asks_gets_an_error() {
    let liveset =
        Liveset::builder().set(Set::new("bombs")).authenticator(AnyToken).policy(Bomb).build().unwrap();
    let who = liveset.authenticate("t").await.unwrap();
    let query = QuerySpec::from(Query::new("bombs"));
    assert_eq!(liveset.query_as(&who, &query).unwrap_err().code().as_str(), "INTERNAL");
    assert!(!liveset.may_write(&who));
    // The host's own questions ask no policy.
    assert_eq!(liveset.query(query).unwrap().total_count, 0);
}
