//! A client that does not read costs a bounded amount of memory, loses nothing of its live queries, and is given up
//! in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use liveset::Query;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::support::{Client, Raw, authenticated, builder, eventually, limited, listen, narrow, pipe};

/// A node whose JSON is about a kilobyte.
fn node(id: u64, n: u64) -> Value {
    json!({ "id": id, "n": n, "padding": "x".repeat(1000) })
}

#[tokio::test(start_paused = true)]
async fn diffs_fold_while_the_socket_takes_nothing() {
    let liveset = builder().build().unwrap();
    // A pipe that holds much less than what will be sent.
    let (client, serving) = pipe(&liveset, 4 * 1024);
    let mut client = Client::over(client).await;
    client.authenticate().await;
    assert!(client.create("q", json!({ "edge": "orders" })).await.is_empty());

    // 4,000 commits over 50 nodes, while the client reads nothing.
    for n in 0..4_000 {
        liveset.commit(|tx| tx.upsert("orders", &node(n % 50, n))).unwrap();
        if n % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    // What arrives now is far less than one message a commit, and ends at the present.
    let mut rows = BTreeMap::new();
    let mut messages = 0;
    while rows.len() < 50 || rows.values().any(|n| *n < 3_950) {
        let message = client.receive().await;
        messages += 1;
        let n = message["data"]["n"].as_u64().unwrap();
        rows.insert(message["nodeId"].as_str().unwrap().to_owned(), n);
    }
    assert!(messages <= 400, "{messages} messages");
    client.assert_alive().await;
    client.close().await;
    serving.await.unwrap();
}

#[tokio::test]
async fn folds_over_a_real_socket_and_another_client_is_not_held_up() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let mut slow = narrow(address).await;
    let mut quick = authenticated(address).await;
    for client in [&mut slow, &mut quick] {
        client.create("q", json!({ "edge": "orders", "orderBy": "n" })).await;
    }
    let commits = 5_000;
    for n in 0..commits {
        liveset.commit(|tx| tx.upsert("orders", &node(n % 20, n))).unwrap();
        if n % 50 == 0 {
            // The quick one keeps up with everything it is sent.
            tokio::task::yield_now().await;
        }
    }
    for (client, folds) in [(&mut quick, false), (&mut slow, true)] {
        // In the query's order, and so in the order of the commits: the last is the latest.
        let mut latest = 0;
        let mut messages: u64 = 0;
        while latest < commits - 1 {
            let message = client.receive().await;
            latest = latest.max(message["data"]["n"].as_u64().unwrap_or(0));
            messages += 1;
        }
        assert!(messages <= commits);
        assert!(!folds || messages < commits, "{messages}");
        client.assert_alive().await;
    }
    assert_eq!(liveset.query(Query::new("orders")).unwrap().count.total, 20);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_is_given_up() {
    let liveset = builder().build().unwrap();
    let (client, serving) = pipe(&liveset, 4 * 1024);
    let mut peer = Raw { stream: client };
    peer.authenticate().await;
    peer.watch_orders().await;
    let started = tokio::time::Instant::now();
    for n in 0..20 {
        liveset.commit(|tx| tx.upsert("orders", &node(n, n))).unwrap();
    }
    serving.await.unwrap();
    // A minute without a byte, and two seconds to be told of it. Nobody is missed for a pong to a ping that has not left.
    let waited = started.elapsed();
    assert!(waited >= Duration::from_secs(60) && waited < Duration::from_secs(63), "{waited:?}");
    let stats = liveset.stats();
    assert_eq!(
        (stats.connections, stats.hub.connections, stats.hub.live_queries, stats.hub.feeds),
        (0, 0, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_in_time_is_told_why() {
    let liveset = builder().build().unwrap();
    let (client, serving) = pipe(&liveset, 4 * 1024);
    let mut peer = Raw { stream: client };
    peer.authenticate().await;
    peer.watch_orders().await;
    for n in 0..20 {
        liveset.commit(|tx| tx.upsert("orders", &node(n, n))).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(61)).await;
    loop {
        let message = peer.receive_json().await;
        if message["type"] == "error" {
            assert_eq!(message["code"], "OVERLOADED");
            break;
        }
    }
    assert_eq!(peer.close_code().await, Some(1013));
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_socket_is_served_at_its_pace() {
    let liveset = builder().build().unwrap();
    let (client, _) = pipe(&liveset, 1024);
    let mut client = Client::over(client).await;
    client.authenticate().await;
    client.create("q", json!({ "edge": "orders" })).await;
    for n in 0..50 {
        liveset.commit(|tx| tx.upsert("orders", &node(n, n))).unwrap();
    }
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(client.receive().await["type"], "liveQueryAddedNode");
    }
}

/// Passes on so many bytes a second, in both directions together with what it holds: little.
fn link(bytes_per_second: usize) -> (DuplexStream, DuplexStream) {
    let (server, mut near) = tokio::io::duplex(1024);
    let (mut far, client) = tokio::io::duplex(1024);
    tokio::spawn(async move {
        let (mut down, mut up) = (vec![0; bytes_per_second], vec![0; 1024]);
        loop {
            tokio::select! {
                read = near.read(&mut down) => {
                    let Ok(read @ 1..) = read else { return };
                    tokio::time::sleep(Duration::from_secs_f64(read as f64 / bytes_per_second as f64)).await;
                    if far.write_all(&down[..read]).await.is_err() {
                        return;
                    }
                }
                read = far.read(&mut up) => {
                    let Ok(read @ 1..) = read else { return };
                    if near.write_all(&up[..read]).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    (server, client)
}

/// About 5 kbit/s for minutes: a little more than 16 KiB a minute is enough. Pings wait behind first rows, and are answered at once.
#[tokio::test(start_paused = true)]
async fn a_link_that_is_slow_all_the_time_gets_everything() {
    let liveset = builder().build().unwrap();
    for id in 0..150 {
        liveset.commit(|tx| tx.upsert("orders", &node(id, id))).unwrap();
    }
    let (server, client) = link(600);
    tokio::spawn({
        let liveset = liveset.clone();
        async move { liveset.serve(server, None).await }
    });
    let started = tokio::time::Instant::now();
    let mut client = Client::over(client).await;
    client.authenticate().await;
    assert_eq!(client.create("q", json!({ "edge": "orders" })).await.len(), 150);
    assert!(started.elapsed() > Duration::from_secs(240), "{:?}", started.elapsed());
    client.assert_alive().await;
}

/// Less than that is not.
#[tokio::test(start_paused = true)]
async fn a_link_that_takes_less_than_16_kib_a_minute_is_given_up() {
    let liveset = builder().build().unwrap();
    for id in 0..150 {
        liveset.commit(|tx| tx.upsert("orders", &node(id, id))).unwrap();
    }
    let (server, client) = link(250);
    let serving = tokio::spawn({
        let liveset = liveset.clone();
        async move { liveset.serve(server, None).await }
    });
    let started = tokio::time::Instant::now();
    let mut client = Client::over(client).await;
    client.authenticate().await;
    client.send(json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "orders" } })).await;
    serving.await.unwrap();
    let waited = started.elapsed();
    assert!(waited >= Duration::from_secs(60) && waited < Duration::from_secs(70), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_a_byte_now_and_then_is_given_up_too() {
    let liveset = builder().build().unwrap();
    let (client, serving) = pipe(&liveset, 1024);
    let mut peer = Raw { stream: client };
    peer.authenticate().await;
    peer.watch_orders().await;
    let started = tokio::time::Instant::now();
    for n in 0..50 {
        liveset.commit(|tx| tx.upsert("orders", &node(n, n))).unwrap();
    }
    let dripping = async {
        while peer.stream.read_u8().await.is_ok() {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    };
    tokio::select! {
        () = dripping => {}
        result = serving => result.unwrap(),
    }
    let waited = started.elapsed();
    assert!(waited >= Duration::from_secs(60) && waited < Duration::from_secs(70), "{waited:?}");
    assert_eq!(liveset.stats().hub.connections, 0);
}

#[tokio::test]
async fn a_real_socket_that_takes_nothing_is_given_up_too() {
    let liveset = limited(|limits| {
        limits.transport.write_timeout = Duration::from_millis(300);
        limits.transport.close_timeout = Duration::from_millis(200);
    });
    let address = listen(&liveset).await;
    let mut bystander = authenticated(address).await;
    let mut slow = narrow(address).await;
    slow.create("q", json!({ "edge": "orders" })).await;
    // More than the kernel's buffers take, in nodes that cannot fold away.
    let padding = "x".repeat(20_000);
    for id in 0..500 {
        liveset.commit(|tx| tx.upsert("orders", &json!({ "id": id, "padding": padding }))).unwrap();
    }
    eventually("the slow one is given up", || liveset.stats().connections == 1).await;
    assert_eq!(liveset.stats().hub.live_queries, 0);
    bystander.assert_alive().await;
}
