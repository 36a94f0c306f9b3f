//! A shutdown tells every client, sends what was queued first, and ends in time.

use std::time::Duration;

use liveset::{Drain, Query};
use liveset_fuzz::frames::{CLOSE, TEXT, frame};
use serde_json::json;

use crate::support::{Raw, authenticated, builder, connect, eventually, limited, listen, pipe, raw};

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
    tokio::join!(liveset.shutdown(Drain::AT_ONCE), reading);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(liveset.stats().connections, 0);

    // Late comers are turned away; the host goes on as before.
    assert!(liveset.is_shutting_down());
    assert_eq!(connect(address).await.close_code().await, 1001);
    assert_eq!(liveset.query(Query::new("orders")).unwrap().count.total, 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_go_is_cut_at_the_deadline() {
    let liveset = builder().build().unwrap();
    let (client, serving) = pipe(&liveset, 256);
    let mut peer = Raw { stream: client };
    peer.authenticate().await;
    peer.watch_orders().await;
    // More than fits into the pipe, and nobody reads.
    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": 1, "padding": "x".repeat(1000) }))).unwrap();
    tokio::task::yield_now().await;
    let started = tokio::time::Instant::now();
    liveset.shutdown(Drain { timeout: Duration::from_secs(3), ..Drain::AT_ONCE }).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4), "{took:?}");
    serving.await.unwrap();
    assert_eq!(liveset.stats().connections, 0);
}

#[tokio::test]
async fn nothing_to_shut_down_takes_no_time() {
    let liveset = builder().build().unwrap();
    let started = std::time::Instant::now();
    liveset.shutdown(Drain::default()).await;
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_client_that_only_closes_its_side_gets_the_close_frame() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let mut peer = raw(address).await;
    peer.authenticate().await;
    let shutdown = liveset.shutdown(Drain::AT_ONCE);
    let closing = async {
        assert_eq!(peer.receive().await, Some((CLOSE, vec![0x03, 0xe9])));
        drop(peer);
    };
    tokio::join!(shutdown, closing);
    assert_eq!(liveset.stats().connections, 0);
}

/// Closes that many connections by a shutdown, on virtual time: when each was told, in milliseconds, in the order of
/// connecting.
async fn told_at(connections: usize, drain: Drain) -> Vec<u128> {
    let liveset = limited(|limits| limits.hub.connections_per_subject = usize::MAX);
    let mut clients = Vec::new();
    for _ in 0..connections {
        let (client, _) = pipe(&liveset, 1024);
        let mut peer = Raw { stream: client };
        peer.authenticate().await;
        clients.push(peer);
    }
    let started = tokio::time::Instant::now();
    let waiting: Vec<_> = clients
        .into_iter()
        .map(|mut peer| {
            tokio::spawn(async move {
                assert_eq!(peer.close_code().await, Some(1001));
                started.elapsed().as_millis()
            })
        })
        .collect();
    liveset.shutdown(drain).await;
    let mut told = Vec::new();
    for waiting in waiting {
        told.push(waiting.await.unwrap());
    }
    told
}

/// How many were told in each second.
fn by_second(told: &[u128]) -> Vec<usize> {
    let seconds = told.iter().max().map_or(0, |latest| latest / 1_000 + 1);
    (0..seconds).map(|second| told.iter().filter(|at| *at / 1_000 == second).count()).collect()
}

#[tokio::test(start_paused = true)]
async fn two_thousand_connections_come_back_as_no_herd() {
    let told = told_at(2_000, Drain::default()).await;
    let counts = by_second(&told);
    let (waited, closed) = counts.split_at(5);
    assert!(waited.iter().all(|count| *count == 0), "nobody goes while it waits: {counts:?}");
    assert!((15..=16).contains(&closed.len()), "{counts:?}");
    let mean = 2_000 / 15;
    assert!(closed.iter().all(|count| *count <= 2 * mean), "{counts:?}");
    assert!(closed[..15].iter().all(|count| *count >= mean / 2), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_are_closed_in_no_order_of_theirs() {
    let drain = Drain { spread: Duration::from_secs(2), ..Drain::AT_ONCE };
    let told = told_at(200, drain).await;
    assert!(!told.is_sorted() && !told.iter().rev().is_sorted(), "{told:?}");
    assert_ne!(told, told_at(200, drain).await, "another order each time");
}

#[tokio::test(start_paused = true)]
async fn connections_are_closed_at_once_where_nothing_is_to_be_spread() {
    let told = told_at(50, Drain::AT_ONCE).await;
    assert!(told.iter().all(|at| *at < 10), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn while_it_waits_everything_is_served_newcomers_too() {
    let liveset = builder().build().unwrap();
    let connect = || {
        let (client, _) = pipe(&liveset, 1024);
        Raw { stream: client }
    };
    let mut first = connect();
    first.authenticate().await;
    let started = tokio::time::Instant::now();
    let drain = Drain { wait: Duration::from_secs(5), ..Drain::AT_ONCE };
    let shutdown = tokio::spawn({
        let liveset = liveset.clone();
        async move { liveset.shutdown(drain).await }
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(liveset.is_shutting_down());
    let mut second = connect();
    second.authenticate().await;
    second.watch_orders().await;
    liveset.commit(|tx| tx.upsert("orders", &json!({ "id": 1 }))).unwrap();
    let (opcode, _) = second.receive().await.unwrap();
    assert_eq!(opcode, TEXT);
    for peer in [&mut first, &mut second] {
        assert_eq!(peer.close_code().await, Some(1001));
    }
    assert!(started.elapsed() >= drain.wait, "{:?}", started.elapsed());
    shutdown.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_and_a_spread_end_with_the_last_connection() {
    for drain in
        [Drain { wait: Duration::MAX, ..Drain::AT_ONCE }, Drain { spread: Duration::MAX, ..Drain::AT_ONCE }]
    {
        let liveset = builder().build().unwrap();
        let (client, _) = pipe(&liveset, 1024);
        let mut peer = Raw { stream: client };
        peer.authenticate().await;
        let shutdown = tokio::spawn({
            let liveset = liveset.clone();
            async move { liveset.shutdown(drain).await }
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(peer);
        tokio::time::timeout(Duration::from_secs(5), shutdown).await.expect("it ends").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_cut_short_by_another() {
    let long = Duration::from_secs(20);
    for slow in [Drain { wait: long, ..Drain::AT_ONCE }, Drain { spread: long, ..Drain::AT_ONCE }] {
        let liveset = builder().build().unwrap();
        let mut closing = Vec::new();
        for _ in 0..4 {
            let (client, _) = pipe(&liveset, 1024);
            let mut peer = Raw { stream: client };
            peer.authenticate().await;
            closing.push(tokio::spawn(async move { peer.close_code().await }));
        }
        let cut = tokio::time::timeout(Duration::from_secs(2), liveset.shutdown(slow)).await;
        assert!(cut.is_err() && liveset.stats().connections > 2, "{:?}", liveset.stats().connections);
        let started = tokio::time::Instant::now();
        liveset.shutdown(Drain::AT_ONCE).await;
        assert!(started.elapsed() < Duration::from_secs(1));
        for closing in closing {
            assert_eq!(closing.await.unwrap(), Some(1001));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_connects_while_a_shutdown_goes_on_is_closed_at_once_and_the_others_are_served() {
    let liveset = builder().build().unwrap();
    let connect = || {
        let (client, _) = pipe(&liveset, 1024);
        Raw { stream: client }
    };
    let mut peers = [connect(), connect()];
    for peer in &mut peers {
        peer.authenticate().await;
    }
    let shutdown = tokio::spawn({
        let liveset = liveset.clone();
        async move { liveset.shutdown(Drain { spread: Duration::from_secs(4), ..Drain::AT_ONCE }).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(connect().close_code().await, Some(1001));
    // One of the two was closed first; the other is served until it is its turn.
    let mut served = 0;
    for peer in &mut peers {
        peer.try_send(&frame(true, TEXT, br#"{"type":"ping"}"#)).await;
        let (opcode, _) = peer.receive().await.unwrap();
        if opcode == TEXT {
            served += 1;
            assert_eq!(peer.close_code().await, Some(1001));
        } else {
            assert_eq!(opcode, CLOSE);
        }
    }
    assert_eq!(served, 1);
    shutdown.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_closing_is_waited_for_and_cut_as_any_other() {
    let liveset = builder().build().unwrap();
    let (client, serving) = pipe(&liveset, 4 * 1024);
    let mut peer = Raw { stream: client };
    peer.authenticate().await;
    // The peer gets our close frame, and neither answers it nor goes.
    let started = tokio::time::Instant::now();
    let closing = tokio::spawn({
        let liveset = liveset.clone();
        async move { liveset.shutdown(Drain { timeout: Duration::from_secs(1), ..Drain::AT_ONCE }).await }
    });
    assert_eq!(peer.receive().await, Some((CLOSE, vec![0x03, 0xe9])));
    assert_eq!((liveset.stats().connections, serving.is_finished()), (1, false));
    closing.await.unwrap();
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(2), "{took:?}");
    serving.await.unwrap();
    assert_eq!((liveset.stats().connections, liveset.stats().hub.connections), (0, 0));
}
