//! Whoever sends too many bad tokens from one address is slowed down there, and nobody else is.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use liveset::{AuthError, ClientAddress, Denied, Grant, Limits, Liveset, from_fn};
use serde_json::{Value, json};
use tokio::io::DuplexStream;

use crate::support::Client;

/// An endpoint that takes the token `good`, and how often it was asked.
fn endpoint(change: impl FnOnce(&mut Limits)) -> (Liveset, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let authenticator = from_fn({
        let asked = asked.clone();
        move |token| {
            asked.fetch_add(1, Ordering::SeqCst);
            async move { if token.expose() == "good" { Ok(Grant::new("alice")) } else { Err(AuthError::Refused) } }
        }
    });
    let mut limits = Limits::default();
    limits.auth.failures_per_address = 3;
    limits.auth.failure_interval = Duration::from_secs(10);
    change(&mut limits);
    (Liveset::builder().authenticator(authenticator).limits(limits).build().unwrap(), asked)
}

async fn connect(liveset: &Liveset, from: Option<&str>) -> Client<DuplexStream> {
    let from = from.map(|from| ClientAddress(from.parse::<IpAddr>().unwrap()));
    let (server, client) = tokio::io::duplex(64 * 1024);
    let liveset = liveset.clone();
    tokio::spawn(async move { liveset.serve(server, from).await });
    Client::over(client).await
}

/// What a token is answered, by a connection of its own that is closed where it is no good.
async fn attempt(liveset: &Liveset, from: Option<&str>, token: &str) -> Value {
    let mut client = connect(liveset, from).await;
    client.send(json!({ "type": "auth", "token": token, "requestId": "r" })).await;
    let answer = client.receive().await;
    assert_eq!(answer["requestId"], "r");
    if answer["type"] == "error" {
        assert_eq!(client.close_code().await, 1008);
    }
    answer
}

const BAD: Option<&str> = Some("192.0.2.1");

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_no_token_of_the_address_is_looked_at() {
    let (liveset, asked) = endpoint(|_| ());
    let mut before = connect(&liveset, BAD).await;
    before.send(json!({ "type": "auth", "token": "good" })).await;
    assert_eq!(before.receive().await["type"], "authenticated");
    for _ in 0..3 {
        assert_eq!(attempt(&liveset, BAD, "bad").await["code"], "AUTH_FAILED");
    }
    assert_eq!(asked.swap(0, Ordering::SeqCst), 4);

    // A bad token and a good one are answered alike, and nobody is asked.
    let refused = attempt(&liveset, BAD, "bad").await;
    assert_eq!(
        refused,
        json!({
            "type": "error", "code": "RATE_LIMITED", "requestId": "r",
            "message": "Too many failed authentications from this address; try again in 10 s",
        })
    );
    assert_eq!(attempt(&liveset, BAD, "good").await, refused);
    let again = liveset.authenticate("good", Some(ClientAddress("192.0.2.1".parse().unwrap()))).await;
    assert_eq!(again, Err(Denied::TooManyFailures { retry_after: Duration::from_secs(10) }));
    assert_eq!(asked.load(Ordering::SeqCst), 0);

    // Others come in, and who was in stays, unless it authenticates again.
    for other in [Some("192.0.2.2"), None] {
        assert_eq!(attempt(&liveset, other, "good").await["type"], "authenticated");
    }
    before.assert_alive().await;
    before.send(json!({ "type": "auth", "token": "good" })).await;
    assert_eq!(before.error().await, "RATE_LIMITED");
    assert_eq!(before.close_code().await, 1008);

    // After the time that was named, one attempt is free again.
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(attempt(&liveset, BAD, "good").await["type"], "authenticated");
    assert_eq!(attempt(&liveset, BAD, "bad").await["code"], "AUTH_FAILED");
    assert_eq!(attempt(&liveset, BAD, "good").await["code"], "RATE_LIMITED");
}

#[tokio::test(start_paused = true)]
async fn good_tokens_cost_nothing_and_forgive_nothing() {
    let (liveset, _) = endpoint(|_| ());
    for _ in 0..2 {
        assert_eq!(attempt(&liveset, BAD, "bad").await["code"], "AUTH_FAILED");
    }
    for _ in 0..50 {
        assert_eq!(attempt(&liveset, BAD, "good").await["type"], "authenticated");
    }
    assert_eq!(attempt(&liveset, BAD, "bad").await["code"], "AUTH_FAILED");
    assert_eq!(attempt(&liveset, BAD, "good").await["code"], "RATE_LIMITED");
}

#[tokio::test(start_paused = true)]
async fn connections_and_what_a_host_asks_count_together_by_network() {
    let (liveset, _) = endpoint(|_| ());
    let network = |host: u16| ClientAddress(format!("2001:db8:0:7::{host:x}").parse().unwrap());
    assert_eq!(attempt(&liveset, Some("2001:db8:0:7::1"), "bad").await["code"], "AUTH_FAILED");
    for host in [2, 3] {
        assert_eq!(liveset.authenticate("bad", Some(network(host))).await, Err(Denied::Token));
    }
    assert_eq!(attempt(&liveset, Some("2001:db8:0:7::4"), "good").await["code"], "RATE_LIMITED");
    assert_eq!(attempt(&liveset, Some("2001:db8:0:8::4"), "good").await["type"], "authenticated");
}

#[tokio::test(start_paused = true)]
async fn loopback_counts_only_where_that_is_asked_for() {
    let local = Some("127.0.0.1");
    let (liveset, _) = endpoint(|_| ());
    for _ in 0..10 {
        assert_eq!(attempt(&liveset, local, "bad").await["code"], "AUTH_FAILED");
    }
    let (liveset, _) = endpoint(|limits| limits.auth.count_loopback = true);
    for _ in 0..3 {
        assert_eq!(attempt(&liveset, local, "bad").await["code"], "AUTH_FAILED");
    }
    assert_eq!(attempt(&liveset, local, "good").await["code"], "RATE_LIMITED");
}

#[tokio::test(start_paused = true)]
async fn attempts_that_were_under_way_are_paid_for_later() {
    let authenticator = from_fn(|_| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Err(AuthError::Refused)
    });
    let mut limits = Limits::default();
    limits.auth.failures_per_address = 3;
    limits.auth.failure_interval = Duration::from_secs(10);
    let liveset = Liveset::builder().authenticator(authenticator).limits(limits).build().unwrap();
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = connect(&liveset, BAD).await;
        client.send(json!({ "type": "auth", "token": "bad" })).await;
        clients.push(client);
    }
    for mut client in clients {
        assert_eq!(client.error().await, "AUTH_FAILED");
    }
    // Eight failures: three were borne, and five more are paid for before there is one to spare.
    let Err(Denied::TooManyFailures { retry_after }) =
        liveset.authenticate("bad", Some(ClientAddress("192.0.2.1".parse().unwrap()))).await
    else {
        panic!("the address is to wait");
    };
    assert_eq!(retry_after, Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_that_panics_is_not_the_fault_of_the_address() {
    let authenticator = from_fn(|token| {
        assert_eq!(token.expose(), "good", "boom");
        async { Ok(Grant::new("alice")) }
    });
    let mut limits = Limits::default();
    limits.auth.failures_per_address = 3;
    let liveset = Liveset::builder().authenticator(authenticator).limits(limits).build().unwrap();
    for _ in 0..10 {
        assert_eq!(attempt(&liveset, BAD, "bad").await["code"], "AUTH_FAILED");
    }
    assert_eq!(attempt(&liveset, BAD, "good").await["type"], "authenticated");
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_tell_charges_nobody_with_it() {
    let is_down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let authenticator = from_fn({
        let is_down = is_down.clone();
        move |_| {
            let is_down = is_down.load(Ordering::SeqCst);
            async move { if is_down { Err(AuthError::Unavailable) } else { Ok(Grant::new("alice")) } }
        }
    });
    let mut limits = Limits::default();
    limits.auth.failures_per_address = 3;
    let liveset = Liveset::builder().authenticator(authenticator).limits(limits).build().unwrap();
    for _ in 0..10 {
        let mut client = connect(&liveset, BAD).await;
        client.send(json!({ "type": "auth", "token": "good", "requestId": "r" })).await;
        assert_eq!(
            client.receive().await,
            json!({
                "type": "error", "code": "OVERLOADED", "requestId": "r",
                "message": "tokens cannot be judged now; try again later",
            })
        );
        assert_eq!(client.close_code().await, 1013);
        let address = Some(ClientAddress("192.0.2.1".parse().unwrap()));
        assert_eq!(liveset.authenticate("good", address).await, Err(Denied::Unavailable));
        assert_eq!(liveset.authenticate("good", None).await, Err(Denied::Unavailable));
    }
    is_down.store(false, Ordering::SeqCst);
    assert_eq!(attempt(&liveset, BAD, "good").await["type"], "authenticated");
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_that_hangs_is_not_waited_for() {
    let asked = AtomicUsize::new(0);
    let authenticator = from_fn(move |_| {
        let hangs = asked.fetch_add(1, Ordering::SeqCst) > 0;
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Ok(Grant::new("a"))
        }
    });
    let liveset = Liveset::builder().authenticator(authenticator).build().unwrap();
    let mut client = connect(&liveset, BAD).await;
    client.send(json!({ "type": "auth", "token": "t" })).await;
    assert_eq!(client.receive().await["type"], "authenticated");
    let started = tokio::time::Instant::now();
    client.send(json!({ "type": "auth", "token": "t", "requestId": "again" })).await;
    assert_eq!(
        client.receive().await,
        json!({
            "type": "error", "code": "AUTH_TIMEOUT", "requestId": "again",
            "message": "Authentication was not completed in time",
        })
    );
    assert_eq!(client.close_code().await, 1008);
    let address = Some(ClientAddress("192.0.2.1".parse().unwrap()));
    assert_eq!(liveset.authenticate("t", address).await, Err(Denied::Unavailable));
    assert_eq!(liveset.authenticate("t", None).await, Err(Denied::Unavailable));
    assert!(started.elapsed() < Duration::from_secs(31), "{:?}", started.elapsed());
}
