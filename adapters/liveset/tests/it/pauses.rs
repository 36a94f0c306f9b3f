//! A process that stands still for a while misses nobody whose token or pong came meanwhile.

use std::time::Duration;

use serde_json::json;
use tokio::io::DuplexStream;
use tokio::time::advance;

use crate::support::{Client, Raw, builder, pipe};

fn connect(liveset: &liveset::Liveset) -> DuplexStream {
    let (client, _) = pipe(liveset, 64 * 1024);
    client
}

#[tokio::test(start_paused = true)]
async fn a_pong_that_waits_to_be_read_counts() {
    let liveset = builder().build().unwrap();
    let (mut one, mut silent) = (Raw { stream: connect(&liveset) }, Raw { stream: connect(&liveset) });
    for peer in [&mut one, &mut silent] {
        peer.authenticate().await;
    }
    for peer in [&mut one, &mut silent] {
        assert_eq!(peer.receive_json().await, json!({ "type": "ping" }));
    }
    // It lies there when the process goes on, an hour later.
    one.text(r#"{"type":"pong"}"#).await;
    advance(Duration::from_secs(3600)).await;
    one.text(r#"{"type":"ping","requestId":"1"}"#).await;
    assert_eq!(one.receive_json().await, json!({ "type": "pong", "requestId": "1" }));
    // Who has sent none is missed all the same.
    let woken = tokio::time::Instant::now();
    assert_eq!(silent.receive_json().await["code"], "PING_TIMEOUT");
    assert!(woken.elapsed() < Duration::from_secs(3), "{:?}", woken.elapsed());
    assert_eq!(one.receive_json().await, json!({ "type": "ping" }));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_waits_to_be_read_counts() {
    let liveset = builder().build().unwrap();
    let (stream, mut silent) = (connect(&liveset), Raw { stream: connect(&liveset) });
    // Both were taken in.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut client = Client::over(stream).await;
    client.send(json!({ "type": "auth", "token": "t" })).await;
    advance(Duration::from_secs(3600)).await;
    assert_eq!(client.receive().await, json!({ "type": "authenticated" }));
    assert_eq!(silent.receive_json().await["code"], "AUTH_TIMEOUT");
    client.assert_alive().await;
}

/// Time passes for tokens as for everybody.
#[tokio::test(start_paused = true)]
async fn a_token_that_has_expired_meanwhile_has_expired() {
    let grants = |_: liveset::Token| async {
        let hour = std::time::SystemTime::now() + Duration::from_secs(3600);
        Ok(liveset::Grant::new("ann").expires(hour))
    };
    let liveset = builder().authenticator(liveset::from_fn(grants)).build().unwrap();
    let mut peer = Raw { stream: connect(&liveset) };
    peer.authenticate().await;
    advance(Duration::from_secs(7200)).await;
    loop {
        let message = peer.receive_json().await;
        if message["type"] != "ping" {
            assert_eq!(message["code"], "TOKEN_EXPIRED");
            break;
        }
    }
}
