//! What was queued goes out before a connection ends, whoever ends it and however.

use std::time::Duration;

use liveset::Liveset;
use liveset_fuzz::frames::{CLOSE, PING, PONG, TEXT, frame};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::support::{Raw, builder, eventually, limited, listen, pipe, raw};

/// So many nodes that their first result does not fit into any pipe of these tests.
const NODES: usize = 500;

fn filled() -> Liveset {
    let liveset = limited(|limits| limits.transport.close_timeout = Duration::from_secs(5));
    liveset
        .commit(|tx| {
            (0..NODES).for_each(|id| tx.upsert("orders", &json!({ "id": id, "padding": "x".repeat(100) })))
        })
        .unwrap();
    liveset
}

fn create() -> Vec<u8> {
    frame(true, TEXT, br#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders"}}"#)
}

/// Reads text messages up to whatever else comes.
async fn texts<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    peer: &mut Raw<S>,
) -> (Vec<Value>, Option<(u8, Vec<u8>)>) {
    let mut texts = Vec::new();
    loop {
        match peer.receive().await {
            Some((TEXT, payload)) => texts.push(serde_json::from_slice(&payload).unwrap()),
            other => return (texts, other),
        }
    }
}

fn assert_answered(texts: &[Value]) {
    assert_eq!(texts[0], json!({ "type": "pong", "requestId": "first" }));
    assert_eq!(texts[1]["type"], "liveQueryCreated");
    let rows: usize = texts[2..].iter().map(|chunk| chunk["data"].as_array().unwrap().len()).sum();
    assert_eq!(rows, NODES);
    assert_eq!(texts.last().unwrap()["hasMore"], false);
}

fn requests() -> Vec<u8> {
    [frame(true, TEXT, br#"{"type":"ping","requestId":"first"}"#), create()].concat()
}

/// Serves one connection through a pipe that holds little.
async fn piped(liveset: &Liveset, bytes: usize) -> Raw<DuplexStream> {
    let (client, _) = pipe(liveset, bytes);
    let mut peer = Raw { stream: client };
    peer.authenticate().await;
    peer
}

#[tokio::test]
async fn a_close_right_behind_the_requests_is_answered_behind_their_answers() {
    let liveset = filled();
    let address = listen(&liveset).await;
    let mut peer = raw(address).await;
    peer.authenticate().await;
    peer.send(&[requests(), frame(true, CLOSE, &[0x0b, 0xb8])].concat()).await;
    let (texts, end) = texts(&mut peer).await;
    assert_answered(&texts);
    assert_eq!(end, Some((CLOSE, vec![0x0b, 0xb8])));
    assert_eq!(peer.receive().await, None);
    eventually("it is freed", || liveset.stats().connections == 0).await;
}

#[tokio::test]
async fn a_slow_reader_that_closes_gets_its_answers_too() {
    let liveset = filled();
    let mut peer = piped(&liveset, 64).await;
    peer.send(&[requests(), frame(true, CLOSE, b"")].concat()).await;
    let (texts, end) = texts(&mut peer).await;
    assert_answered(&texts);
    assert_eq!(end, Some((CLOSE, vec![])));
}

#[tokio::test]
async fn a_pong_that_is_due_goes_before_the_close_frame() {
    let liveset = builder().build().unwrap();
    let mut peer = piped(&liveset, 1024).await;
    peer.send(&[frame(true, PING, b"p"), frame(true, CLOSE, b"")].concat()).await;
    assert_eq!(peer.receive().await, Some((PONG, b"p".to_vec())));
    assert_eq!(peer.receive().await, Some((CLOSE, vec![])));
    assert_eq!(peer.receive().await, None);
}

#[tokio::test]
async fn what_comes_behind_a_close_frame_is_thrown_away_and_does_not_hide_ours() {
    let liveset = filled();
    let address = listen(&liveset).await;
    let mut peer = raw(address).await;
    peer.authenticate().await;
    let (mut reading, mut writing) = peer.stream.into_split();
    let sending = async {
        writing.write_all(&frame(true, CLOSE, &[0x03, 0xe8])).await.unwrap();
        // A close over unread bytes would be a reset, which overtakes what was sent.
        for _ in 0..200 {
            if writing.write_all(&create()).await.is_err() {
                break;
            }
        }
        writing
    };
    let mut received = Vec::new();
    let (_writing, ended) = tokio::join!(sending, reading.read_to_end(&mut received));
    ended.unwrap();
    assert_eq!(received, [0x88, 2, 0x03, 0xe8]);
}

#[tokio::test]
async fn a_stream_that_ends_without_a_close_frame_may_still_be_read_from() {
    let liveset = filled();
    let address = listen(&liveset).await;
    let mut peer = raw(address).await;
    peer.authenticate().await;
    peer.send(&requests()).await;
    peer.stream.shutdown().await.unwrap();
    let (texts, end) = texts(&mut peer).await;
    assert_answered(&texts);
    // It said no goodbye, and gets none.
    assert_eq!(end, None);
    eventually("it is freed", || liveset.stats().connections == 0).await;
}

#[tokio::test]
async fn a_close_frame_and_then_the_end_of_the_stream() {
    let liveset = filled();
    let address = listen(&liveset).await;
    let mut peer = raw(address).await;
    peer.authenticate().await;
    peer.send(&[requests(), frame(true, CLOSE, b"")].concat()).await;
    peer.stream.shutdown().await.unwrap();
    let (texts, end) = texts(&mut peer).await;
    assert_answered(&texts);
    assert_eq!(end, Some((CLOSE, vec![])));
    assert_eq!(peer.receive().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_and_reads_nothing_is_not_waited_for_long() {
    let liveset = filled();
    let started = tokio::time::Instant::now();
    for last in [frame(true, CLOSE, b""), Vec::new()] {
        let mut peer = piped(&liveset, 256).await;
        peer.send(&[requests(), last.clone()].concat()).await;
        if last.is_empty() {
            peer.stream.shutdown().await.unwrap();
        }
        // Paused time goes on as soon as everybody waits.
        eventually("it is freed", || liveset.stats().connections == 0).await;
        assert_eq!(liveset.stats().hub.live_queries, 0);
    }
    // For what was queued, for the close frame, and for the peer to go; the second time for what was queued alone.
    assert!(started.elapsed() < Duration::from_secs(21), "{:?}", started.elapsed());
}

#[tokio::test]
async fn nothing_is_waited_for_where_nothing_is_queued() {
    // Waits that are never needed would be seen as a test that hangs.
    let liveset = limited(|limits| limits.transport.close_timeout = Duration::from_secs(100_000));
    let address = listen(&liveset).await;
    for last in [frame(true, CLOSE, b""), Vec::new()] {
        let mut peer = raw(address).await;
        peer.authenticate().await;
        peer.send(&last).await;
        peer.stream.shutdown().await.unwrap();
        let (_, end) = texts(&mut peer).await;
        assert_eq!(end.is_some(), !last.is_empty());
        eventually("it is freed", || liveset.stats().connections == 0).await;
    }
}
