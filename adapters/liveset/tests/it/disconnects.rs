//! However a connection ends, everything that was held for it is freed.

use liveset::Liveset;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::support::{Client, authenticated, builder, eventually, listen, pipe};

async fn fill<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>) {
    for n in 0..5 {
        client.create(&format!("q{n}"), json!({ "edge": "orders", "filter": format!("n == {n}") })).await;
        let subscription =
            json!({ "id": format!("s{n}"), "path": format!("jobs/{n}"), "events": ["jobStarted"] });
        client.send(json!({ "type": "subscribeEvents", "subscriptions": [subscription] })).await;
        assert_eq!(client.receive().await["type"], "subscribedEvents");
    }
}

async fn assert_freed(liveset: &Liveset) {
    eventually("the connections are gone", || liveset.stats().connections == 0).await;
    let stats = liveset.stats().hub;
    assert_eq!((stats.connections, stats.subscriptions, stats.subscribed_paths), (0, 0, 0));
    assert_eq!((stats.live_queries, stats.feeds, stats.deadlines), (0, 0, 0));
    assert_eq!((stats.engine.views, stats.engine.feeds, stats.engine.deadlines), (0, 0, 0));
}

#[tokio::test]
async fn closed_by_the_client() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    for _ in 0..20 {
        let mut client = authenticated(address).await;
        fill(&mut client).await;
        client.close().await;
    }
    assert_freed(&liveset).await;
}

#[tokio::test]
async fn cut_by_the_client() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = authenticated(address).await;
        fill(&mut client).await;
        clients.push(client);
    }
    let stats = liveset.stats().hub;
    assert_eq!((stats.connections, stats.live_queries, stats.feeds), (20, 100, 5));
    drop(clients);
    assert_freed(&liveset).await;
}

#[tokio::test]
async fn dropped_by_the_host() {
    let liveset = builder().build().unwrap();
    let (client, serving) = pipe(&liveset, 64 * 1024);
    let mut client = Client::over(client).await;
    client.authenticate().await;
    fill(&mut client).await;
    serving.abort();
    assert_freed(&liveset).await;
}

#[tokio::test]
async fn a_reset_by_the_peer() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let mut client = authenticated(address).await;
    fill(&mut client).await;
    let stream = client.into_inner().into_inner();
    // Unread data and no lingering: the close is a reset.
    liveset.publish("jobs/1", "jobStarted", &json!({})).unwrap();
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_freed(&liveset).await;
}
