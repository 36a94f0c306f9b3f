//! A panic while a connection is served ends that connection with 1011, and nothing else.

use std::sync::Arc;

use liveset::{Access, AnyToken, Grant, Liveset, Policy, Principal, Query, Renewal, SetDef, StaticTokens};
use serde_json::json;

use crate::support::{authenticated, connect, eventually, listen};

/// A policy with a fault.
struct Bomb;

impl Policy for Bomb {
    fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn may_query(&self, _: &Principal, query: &Query) -> bool {
        assert_ne!(query.set, "bombs", "boom");
        true
    }

    fn access(&self, who: &Principal, _: &str) -> Access {
        assert!(who.claims.get("bomb").is_none(), "boom");
        Access::All
    }

    fn may_write(&self, _: &Principal) -> bool {
        panic!("boom")
    }
}

#[tokio::test]
async fn the_connection_that_caused_it_is_closed_with_1011() {
    let liveset =
        Liveset::builder().set(SetDef::new("orders")).authenticator(AnyToken).policy(Bomb).build().unwrap();
    let address = listen(&liveset).await;
    let mut bystander = authenticated(address).await;
    bystander.create("q", json!({ "edge": "orders" })).await;

    for _ in 0..3 {
        let mut client = authenticated(address).await;
        client.create("q", json!({ "edge": "orders" })).await;
        let create =
            json!({ "type": "createLiveQuery", "id": "b", "requestId": "r", "query": { "edge": "bombs" } });
        client.send(create).await;
        let error = client.receive().await;
        assert_eq!(
            (&error["code"], &error["id"], &error["requestId"]),
            (&"INTERNAL".into(), &"b".into(), &"r".into())
        );
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
        Liveset::builder().set(SetDef::new("bombs")).authenticator(AnyToken).policy(Bomb).build().unwrap();
    let who = liveset.authenticate("t", None).await.unwrap();
    let query = Query::new("bombs");
    assert_eq!(liveset.as_principal(&who).query(&query).unwrap_err().code().as_str(), "INTERNAL");
    assert!(!liveset.may_write(&who));
    // The host's own questions ask no policy.
    assert_eq!(liveset.query(query).unwrap().count.total, 0);
}

/// Three connections of three subjects, each with a live query; the one in the middle makes the host panic.
async fn one_of_three(renew: impl Fn(&Principal) -> Renewal) {
    let tokens = StaticTokens::new(["a", "b", "c"].map(|name| (name, Grant::new(name))));
    let liveset =
        Liveset::builder().set(SetDef::new("orders")).authenticator(tokens).policy(Bomb).build().unwrap();
    let address = listen(&liveset).await;
    let mut clients = Vec::new();
    for token in ["a", "b", "c"] {
        let mut client = connect(address).await;
        client.send(json!({ "type": "auth", "token": token })).await;
        assert_eq!(client.receive().await["type"], "authenticated");
        client.create("q", json!({ "edge": "orders" })).await;
        clients.push(client);
    }
    assert_eq!(liveset.reauthorize(renew), 1, "one was ended");
    assert_eq!(clients[1].error().await, "INTERNAL");
    assert_eq!(clients[1].close_code().await, 1011);
    // The others were seen to, in front of it and behind it.
    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": 1 }))).unwrap();
    for other in [0, 2] {
        assert_eq!(clients[other].receive().await["type"], "liveQueryAddedNode");
        clients[other].assert_alive().await;
    }
    assert_eq!(
        liveset.reauthorize(|who| if &*who.subject == "c" { Renewal::Revoke } else { Renewal::Keep }),
        1
    );
    assert_eq!(clients[2].error().await, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_renewal_that_panics_ends_its_own_connection() {
    one_of_three(|who| {
        assert_ne!(&*who.subject, "b", "boom");
        Renewal::Keep
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_panics_over_what_is_held_ends_that_connection() {
    one_of_three(|who| match &*who.subject {
        "b" => Renewal::Replace(Grant::new("b").claim("bomb", true)),
        _ => Renewal::Keep,
    })
    .await;
}
