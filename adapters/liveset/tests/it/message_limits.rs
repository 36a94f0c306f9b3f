//! Messages have a limit, whole or in fragments; binary ones are not taken at all.

use liveset_fuzz::frames::{BINARY, CONTINUATION, TEXT, frame, head};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{authenticated, builder, limited, listen, raw};

const LIMIT: usize = 64 * 1024;

/// A legal message of exactly so many bytes.
fn message(len: usize) -> String {
    let bare = json!({ "type": "ping", "x": "" }).to_string().len();
    json!({ "type": "ping", "x": "x".repeat(len - bare) }).to_string()
}

#[tokio::test]
async fn a_message_at_the_limit_is_taken_whole_and_in_fragments() {
    let liveset = builder().build().unwrap();
    let mut peer = raw(listen(&liveset).await).await;
    peer.authenticate().await;
    let text = message(LIMIT);
    peer.text(&text).await;
    assert_eq!(peer.receive_json().await, json!({ "type": "pong" }));

    let (first, rest) = text.as_bytes().split_at(1);
    let (second, third) = rest.split_at(LIMIT / 2);
    peer.send(&frame(false, TEXT, first)).await;
    peer.send(&frame(false, CONTINUATION, second)).await;
    peer.send(&frame(false, CONTINUATION, b"")).await;
    peer.send(&frame(true, CONTINUATION, third)).await;
    assert_eq!(peer.receive_json().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_from_its_header() {
    let liveset = builder().build().unwrap();
    let mut peer = raw(listen(&liveset).await).await;
    peer.authenticate().await;
    // Not a byte of it is sent, and none is waited for.
    peer.send(&head(true, TEXT, LIMIT + 1, true)).await;
    peer.send(&[0; 4]).await;
    assert_eq!(peer.receive_json().await["code"], "MESSAGE_TOO_LARGE");
    assert_eq!(peer.close_code().await, Some(1009));
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_where_its_fragments_cross_it() {
    let liveset = builder().build().unwrap();
    let mut peer = raw(listen(&liveset).await).await;
    peer.authenticate().await;
    peer.send(&frame(false, TEXT, &[b' '; LIMIT - 10])).await;
    peer.send(&head(false, CONTINUATION, 11, true)).await;
    peer.try_send(&[0; 4 + 11]).await;
    assert_eq!(peer.receive_json().await["code"], "MESSAGE_TOO_LARGE");
    assert_eq!(peer.close_code().await, Some(1009));
}

#[tokio::test]
async fn a_whole_large_message_of_a_client_that_follows_the_rules() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let mut bystander = authenticated(address).await;
    let mut client = authenticated(address).await;
    client.send_raw(Message::text("x".repeat(1_000_000))).await;
    assert_eq!(client.error().await, "MESSAGE_TOO_LARGE");
    assert_eq!(client.close_code().await, 1009);
    bystander.assert_alive().await;
}

#[tokio::test]
async fn endless_fragments_are_counted() {
    let liveset = limited(|limits| limits.transport.max_fragments = 10);
    let mut peer = raw(listen(&liveset).await).await;
    peer.authenticate().await;
    peer.send(&frame(false, TEXT, b" ")).await;
    for _ in 0..10 {
        peer.try_send(&frame(false, CONTINUATION, b"")).await;
    }
    assert_eq!(peer.receive_json().await["code"], "MESSAGE_TOO_LARGE");
    assert_eq!(peer.close_code().await, Some(1009));
}

#[tokio::test]
async fn a_binary_message_is_refused() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let mut client = authenticated(address).await;
    client.send_raw(Message::binary(&b"{}"[..])).await;
    assert_eq!(client.error().await, "UNSUPPORTED_FRAME");
    assert_eq!(client.close_code().await, 1003);

    // At its first fragment already.
    let mut peer = raw(address).await;
    peer.authenticate().await;
    peer.send(&frame(false, BINARY, b"{")).await;
    assert_eq!(peer.receive_json().await["code"], "UNSUPPORTED_FRAME");
    assert_eq!(peer.close_code().await, Some(1003));
}
