//! Connections: how they come, go, and come back.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use liveset::Limits;
use liveset_client::{BuildError, Cause, Client, ConnectionStatus, Error, Status, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::network::Network;
use crate::support::server::{Gate, ROWS, Server};
use crate::support::{Row, TOKEN, builder, ids, row, soon, until};

#[tokio::test]
async fn a_loss_is_told_at_once_and_what_was_shown_stays() {
    let gate = Arc::default();
    let rows = [row("a", 1, 1), row("b", 1, 2)];
    let server = Server::start(&gate, &rows);
    let network = Network::to(server.address).await;
    let client = builder(&network.url()).connect().unwrap();
    let mut live = soon(client.live::<Row>(ROWS).order_by("n").subscribe()).await.unwrap();
    soon(live.next()).await.unwrap().unwrap();
    while soon(live.changed()).await && !live.status().is_live() {}
    assert!(client.connection().last_message_at().is_some());

    // The network ends the socket; another is not to be had.
    network.open(false);
    let cut = Instant::now();
    network.cut();
    assert!(soon(live.changed()).await);
    let noticed = cut.elapsed();
    println!("the end of a socket is told after {noticed:?}");
    assert!(matches!(live.status(), Status::Stale { cause: Cause::Offline, .. }), "{:?}", live.status());
    assert!(noticed < Duration::from_secs(1), "told after {noticed:?}");
    assert_eq!(client.connection().status(), ConnectionStatus::Reconnecting);
    assert_eq!(ids(&live), ["a", "b"]);

    // Another server, which has never heard of this client, and other rows.
    let after = [row("a", 1, 3), row("b", 1, 2), row("c", 1, 0)];
    let server = Server::start(&gate, &after);
    network.lead_to(server.address);
    network.open(true);
    while !live.status().is_live() {
        // Nothing is shown in between.
        assert!(soon(live.changed()).await);
        assert!(live.status().is_live() || ids(&live) == ["a", "b"], "{:?}", ids(&live));
    }
    assert_eq!(ids(&live), ["c", "b", "a"]);
    let batch = soon(live.next()).await.unwrap().unwrap();
    let mut changed: Vec<&str> = batch.changes.iter().map(|change| change.id()).collect();
    changed.sort_unstable();
    assert_eq!(changed, ["a", "c"], "only what has changed comes");
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let network = Network::to(listener.local_addr().unwrap()).await;
    drop(listener);
    let client = builder(&network.url()).connect().unwrap();
    let live = client.live::<Row>(ROWS).open();
    let mut connection = client.connection();
    assert_eq!(connection.status(), ConnectionStatus::Connecting);
    soon(connection.changed()).await;
    assert_eq!(connection.status(), ConnectionStatus::Reconnecting);
    assert!(matches!(connection.error(), Some(Error::Offline(_))));
    until("the cause is known", || live.status() == Status::Loading { cause: Some(Cause::Offline) }).await;
    let server = Server::start(&Arc::default(), &[row("a", 1, 1)]);
    network.lead_to(server.address);
    until("the rows are there", || ids(&live) == ["a"] && live.status().is_live()).await;
    assert!(connection.error().is_none());
}

#[tokio::test]
async fn a_connection_that_the_server_has_not_given_up_yet_ends_no_live_query() {
    let mut limits = Limits::default();
    limits.hub.live_queries_per_subject = 1;
    let server = Server::with(&Arc::default(), &[row("a", 1, 1)], |builder| builder.limits(limits));
    let network = Network::to(server.address).await;
    let client = builder(&network.url())
        .timing(|timing| {
            (timing.silence, timing.answer) = (Duration::from_millis(200), Duration::from_millis(100))
        })
        .connect()
        .unwrap();
    let live = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    let old = server.liveset.connections()[0].id;
    // Only the client notices.
    network.stall();
    until("it is refused for now", || {
        matches!(live.status(), Status::Stale { cause: Cause::Overloaded, .. })
    })
    .await;
    assert_eq!(ids(&live), ["a"]);
    // Others, which never were live, are told.
    let refused = soon(client.query::<Row>(ROWS)).await.unwrap_err();
    assert!(refused.to_string().starts_with("LIMIT_EXCEEDED"), "{refused}");
    assert!(server.liveset.close_connection(old));
    until("it is live again", || live.status().is_live()).await;
}

/// The clock of this test stands still from the stall on, and jumps from deadline to deadline.
#[tokio::test]
async fn a_link_that_died_silently_is_noticed_within_15_s() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 1)]);
    let network = Network::to(server.address).await;
    let client = Client::builder(network.url()).token(TOKEN).connect().unwrap();
    let mut live = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    network.stall();
    tokio::time::sleep(Duration::from_millis(50)).await;
    while live.status() == Status::Live {
        let stalled = Instant::now();
        tokio::time::pause();
        assert!(live.changed().await);
        tokio::time::resume();
        assert!(stalled.elapsed() < Duration::from_secs(15), "{:?}", stalled.elapsed());
    }
    assert!(matches!(live.status(), Status::Stale { cause: Cause::Offline, .. }));
}

#[tokio::test]
async fn a_token_that_is_refused_is_asked_for_once_more() {
    let gate: Arc<Gate> = Arc::default();
    let server = Server::start(&gate, &[row("a", 1, 1)]);
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let client = builder(&server.url())
        .token_from(move |request| {
            let counted = counted.clone();
            async move {
                // The first is old; whoever is told that it was refused gets another.
                counted.fetch_add(1, Ordering::SeqCst);
                Ok::<_, std::io::Error>(Token::new(if request.refused { TOKEN } else { "old" }))
            }
        })
        .connect()
        .unwrap();
    assert_eq!(soon(client.query::<Row>(ROWS)).await.unwrap().len(), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 2);

    // One that expires in use is exchanged too.
    let live = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    assert_eq!(server.liveset.revoke("tester"), 1);
    until("it is noticed", || asked.load(Ordering::SeqCst) == 3).await;
    until("it is live again", || live.status().is_live()).await;
}

#[tokio::test]
async fn a_token_that_is_refused_twice_is_not_tried_again() {
    let gate: Arc<Gate> = Arc::default();
    let server = Server::start(&gate, &[row("a", 1, 1)]);
    gate.refusals.store(2, Ordering::SeqCst);
    let client = builder(&server.url()).connect().unwrap();
    let waiting = client.await_position("anything");
    let (rows, events, waited) = soon(async {
        tokio::join!(client.query::<Row>(ROWS), client.events("jobs", ["jobCompleted"]), waiting)
    })
    .await;
    assert!(matches!(rows, Err(Error::NeedsAuth)), "{rows:?}");
    assert!(matches!(events, Err(Error::NeedsAuth)), "{events:?}");
    assert!(matches!(waited, Err(Error::NeedsAuth)), "{waited:?}");
    assert_eq!(client.connection().status(), ConnectionStatus::NeedsAuth);
    let mut live = client.live::<Row>(ROWS).open();
    assert_eq!(live.status(), Status::Loading { cause: Some(Cause::NeedsAuth) });
    assert!(matches!(soon(live.ready()).await, Err(Error::NeedsAuth)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(gate.asked.load(Ordering::SeqCst), 2, "nobody tries again");

    client.reconnect();
    until("the rows are there", || ids(&live) == ["a"]).await;
    assert_eq!(client.connection().status(), ConnectionStatus::Connected);
}

/// Answers whatever comes with this, and hangs up.
async fn answers(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4_096]).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address.to_string()
}

#[tokio::test]
async fn what_answers_and_is_no_server_is_told_apart_from_none() {
    let mail = answers(b"220 mail.example ESMTP\r\n").await;
    let page = answers(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nhi").await;
    let busy = answers(
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 40\r\n\r\n{\"code\":\"OVERLOADED\",\"message\":\"later\"} ",
    )
    .await;
    for (address, expected) in [
        (format!("ws://{mail}"), "what answers there does not speak HTTP"),
        (format!("ws://{page}"), "no WebSocket is there: answered with 404 Not Found"),
        (format!("wss://{page}"), "no TLS there"),
        (format!("ws://{busy}"), "answered with 503 Service Unavailable (OVERLOADED: later)"),
    ] {
        let client = builder(&address).connect().unwrap();
        until("it was tried", || client.connection().error().is_some()).await;
        let (error, pause) = (client.connection().error().unwrap(), client.connection().pause());
        assert!(error.to_string().starts_with(expected), "{address}: {error}");
        assert_eq!(matches!(error, Error::WrongServer(_)), !address.contains(&busy), "{error:?}");
        assert!(pause.is_some_and(|pause| pause <= Duration::from_millis(50)), "{pause:?}");
    }
}

#[tokio::test]
async fn messages_can_be_looked_at_as_they_come() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 1)]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let see = move |text: &[u8]| kept.lock().unwrap().push(String::from_utf8(text.to_vec()).unwrap());
    let client = builder(&server.url()).inspect(see).connect().unwrap();
    let live = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    assert_eq!(live.key().as_deref(), Some("id"));
    let types: Vec<_> =
        seen.lock().unwrap().iter().filter_map(|text| Some(text.split('"').nth(3)?.to_owned())).collect();
    assert_eq!(types[..3], ["authenticated", "liveQueryCreated", "liveQueryData"]);
    // Who waits for the end of the look waits for the goodbye.
    let mut connection = client.connection();
    client.close();
    while soon(connection.changed()).await {}
    assert_eq!(connection.status(), ConnectionStatus::Closed);
    until("the server has heard it", || server.liveset.connections().is_empty()).await;
}

#[tokio::test]
async fn a_token_that_is_not_to_be_had_is_as_no_connection() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 1)]);
    let left = Arc::new(AtomicU32::new(2));
    let client = builder(&server.url())
        .token_from(move |_| {
            let turn = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            async move {
                match turn {
                    Ok(2) => Err(std::io::Error::other("the vault is closed")),
                    Ok(_) => panic!("the host's own mistake"),
                    Err(_) => Ok(Token::new(TOKEN)),
                }
            }
        })
        .connect()
        .unwrap();
    let mut connection = client.connection();
    soon(connection.changed()).await;
    let error = connection.error().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("there is no token: the vault is closed"));
    assert_eq!(soon(client.query::<Row>(ROWS)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_stream_keeps_its_client_alive_and_the_last_handle_ends_it() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 1)]);
    let client = builder(&server.url()).connect().unwrap();
    let live = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    let mut connection = client.connection();
    drop(client);
    server.put(&[row("b", 1, 2)]);
    until("it goes on", || ids(&live).len() == 2).await;
    assert_eq!(server.liveset.connections().len(), 1);
    drop(live);
    until("the connection is closed", || server.liveset.connections().is_empty()).await;
    while soon(connection.changed()).await {}
    assert_eq!(connection.status(), ConnectionStatus::Closed);
}

#[tokio::test]
async fn a_client_that_is_closed_ends_all_that_waits() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 1)]);
    let client = builder(&server.url()).connect().unwrap();
    let mut live = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    let mut events = soon(client.events("jobs", ["jobCompleted"])).await.unwrap();
    soon(live.next()).await.unwrap().unwrap();
    client.clone().close();
    assert!(soon(live.next()).await.is_none());
    assert!(soon(events.next()).await.is_none());
    assert_eq!(live.status(), Status::Closed);
    assert_eq!(ids(&live), ["a"], "what was shown is still there");
    assert!(matches!(soon(client.query::<Row>(ROWS)).await, Err(Error::Closed)));
    assert!(matches!(soon(client.await_position("x")).await, Err(Error::Closed)));
    assert!(matches!(soon(client.events("jobs", ["jobCompleted"])).await, Err(Error::Closed)));
    until("the connection is closed", || server.liveset.connections().is_empty()).await;
}

#[tokio::test]
async fn futures_can_be_dropped_at_any_point() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 1)]);
    let network = Network::to(server.address).await;
    network.slow(Duration::from_millis(2), 40);
    let client = builder(&network.url()).connect().unwrap();
    let mut live = client.live::<Row>(ROWS).open();
    let mut batches = Vec::new();
    for n in 2..12 {
        server.put(&[row("a", 1, n)]);
        // Given up and asked again, over and over.
        while let Ok(batch) = tokio::time::timeout(Duration::from_millis(1), live.next()).await {
            batches.push(batch.unwrap().unwrap());
        }
        let _ = tokio::time::timeout(Duration::from_millis(1), live.ready()).await;
        let _ = tokio::time::timeout(Duration::from_millis(1), live.changed()).await;
        let _ = tokio::time::timeout(Duration::from_millis(1), client.query::<Row>(ROWS)).await;
        let _ = tokio::time::timeout(Duration::from_millis(1), client.events("jobs", ["jobFailed"])).await;
        let _ = tokio::time::timeout(Duration::from_millis(1), client.await_position("x")).await;
    }
    while batches.last().is_none_or(|batch| batch.changes[0].row().unwrap().n != 11) {
        batches.push(soon(live.next()).await.unwrap().unwrap());
    }
    let seen: Vec<u64> = batches.iter().map(|batch| batch.changes[0].row().unwrap().n).collect();
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    until("nothing but the stream is left", || server.live_queries() == 1).await;
}

#[test]
fn what_is_wrong_with_a_client_is_said_when_it_is_made() {
    let error = Client::builder("ftp://host").connect().unwrap_err();
    assert!(matches!(error, BuildError::Address(_)), "{error}");
    let error = Client::builder("ws://host").connect().unwrap_err();
    assert!(matches!(error, BuildError::NoRuntime), "{error}");
}
