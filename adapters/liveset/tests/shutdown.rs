//! A shutdown tells every client, sends what was queued first, and ends in time.

mod common;

use std::time::Duration;

use common::{CLOSE, Raw, authenticated, builder, connect, eventually, listen, raw};
use liveset::Query;
use serde_json::json;

#[tokio::test]
async fn clients_get_what_was_queued_and_then_1001() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = authenticated(address).await;
        client.create("q", json!({ "edge": "orders" })).await;
        clients.push(client);
    }
    let mut waiting = connect(address).await;
    eventually("all are connected", || liveset.stats().connections == 6).await;

    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": 1 }))).unwrap();
    let reading = async {
        for client in &mut clients {
            assert_eq!(client.receive().await["type"], "liveQueryAddedNode");
            assert_eq!(client.close_code().await, 1001);
        }
        assert_eq!(waiting.close_code().await, 1001);
    };
    let started = std::time::Instant::now();
    tokio::join!(liveset.shutdown(Duration::from_secs(10)), reading);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(liveset.stats().connections, 0);

    // Late comers are turned away; the host goes on as before.
    assert!(liveset.is_shutting_down());
    assert_eq!(connect(address).await.close_code().await, 1001);
    assert_eq!(liveset.query(Query::new("orders")).unwrap().total_count, 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_go_is_cut_at_the_deadline() {
    let liveset = builder().build().unwrap();
    let (server, client) = tokio::io::duplex(256);
    let serving = tokio::spawn({
        let liveset = liveset.clone();
        async move { liveset.serve(server).await }
    });
    let mut peer = Raw { stream: client };
    peer.authenticate().await;
    peer.text(r#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders"}}"#).await;
    assert_eq!(peer.receive_json().await["type"], "liveQueryCreated");
    assert_eq!(peer.receive_json().await["type"], "liveQueryData");
    // More than fits into the pipe, and nobody reads.
    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": 1, "padding": "x".repeat(1000) }))).unwrap();
    tokio::task::yield_now().await;
    let started = tokio::time::Instant::now();
    liveset.shutdown(Duration::from_secs(3)).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4), "{took:?}");
    serving.await.unwrap();
    assert_eq!(liveset.stats().connections, 0);
}

#[tokio::test]
async fn nothing_to_shut_down_takes_no_time() {
    let liveset = builder().build().unwrap();
    let started = std::time::Instant::now();
    liveset.shutdown(Duration::from_secs(60)).await;
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_client_that_only_closes_its_side_gets_the_close_frame() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let mut peer = raw(address).await;
    peer.authenticate().await;
    let shutdown = liveset.shutdown(Duration::from_secs(10));
    let closing = async {
        assert_eq!(peer.receive().await, Some((CLOSE, vec![0x03, 0xe9])));
        drop(peer);
    };
    tokio::join!(shutdown, closing);
    assert_eq!(liveset.stats().connections, 0);
}
