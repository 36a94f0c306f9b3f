//! Deadlines of a connection, on a clock that the test moves.

use std::time::Duration;

use liveset::Liveset;
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, builder, pipe};

async fn pair(liveset: &Liveset) -> (Client<DuplexStream>, JoinHandle<()>) {
    let (client, serving) = pipe(liveset, 64 * 1024);
    (Client::over(client).await, serving)
}

#[tokio::test(start_paused = true)]
async fn authentication_has_ten_seconds() {
    let liveset = builder().build().unwrap();
    let started = Instant::now();
    let (mut client, serving) = pair(&liveset).await;
    assert_eq!(client.error().await, "AUTH_TIMEOUT");
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(client.close_code().await, 1008);
    serving.await.unwrap();
    assert_eq!(liveset.stats().hub.connections, 0);
}

#[tokio::test(start_paused = true)]
async fn pings_of_the_transport_do_not_stand_for_authentication() {
    let liveset = builder().build().unwrap();
    let started = Instant::now();
    let (mut client, serving) = pair(&liveset).await;
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.send_raw(Message::Ping(b"?"[..].to_vec().into())).await;
        assert!(matches!(client.next().await, Message::Pong(_)));
    }
    assert_eq!(client.error().await, "AUTH_TIMEOUT");
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(client.close_code().await, 1008);
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_pings_is_closed() {
    let liveset = builder().build().unwrap();
    let (mut client, serving) = pair(&liveset).await;
    client.authenticate().await;
    let started = Instant::now();
    for round in 1..=3 {
        assert_eq!(client.next().await, Message::text(r#"{"type":"ping"}"#));
        assert_eq!(started.elapsed().as_secs(), 30 * round);
        client.send(json!({ "type": "pong" })).await;
    }
    assert_eq!(client.next().await, Message::text(r#"{"type":"ping"}"#));
    // A pong of the transport is another thing.
    client.send_raw(Message::Pong(b"!"[..].to_vec().into())).await;
    assert_eq!(client.error().await, "PING_TIMEOUT");
    assert_eq!(started.elapsed().as_secs(), 150);
    assert_eq!(client.close_code().await, 1008);
    serving.await.unwrap();
    assert_eq!(liveset.stats().hub.deadlines, 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_without_a_word_is_dropped_at_the_deadline_of_the_pong() {
    let liveset = builder().build().unwrap();
    let (mut client, serving) = pair(&liveset).await;
    client.authenticate().await;
    client.create("q", json!({ "edge": "orders" })).await;
    let started = Instant::now();
    // Half open: the other side neither reads nor closes.
    let half_open = client.into_inner();
    serving.await.unwrap();
    let waited = started.elapsed();
    // 30 s to the ping, 30 s for its pong, 2 s for the answer to the close frame.
    assert!(waited >= Duration::from_secs(60) && waited <= Duration::from_secs(65), "{waited:?}");
    let stats = liveset.stats().hub;
    assert_eq!((stats.connections, stats.live_queries, stats.feeds, stats.deadlines), (0, 0, 0, 0));
    drop(half_open);
}

#[tokio::test(start_paused = true)]
async fn the_timer_ends_with_the_last_handle() {
    let liveset = builder().build().unwrap();
    let (client, serving) = pair(&liveset).await;
    drop(client);
    serving.await.unwrap();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks(), 1);
    drop(liveset);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tasks(), 0);
}

#[test]
fn an_endpoint_outlives_a_runtime() {
    let liveset = builder().build().unwrap();
    for _ in 0..3 {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (mut client, _serving) = pair(&liveset).await;
            assert_eq!(client.error().await, "AUTH_TIMEOUT");
            assert_eq!(client.close_code().await, 1008);
        });
    }
    assert_eq!(liveset.stats().connections, 0);
}
