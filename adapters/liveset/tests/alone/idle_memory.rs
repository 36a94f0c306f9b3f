//! What a connection holds while nothing happens on it, counted by the allocator.

use liveset_fuzz::frames::{PING, PONG, TEXT, frame};
use serde_json::json;
use tokio::net::TcpStream;

use crate::support::{self, Raw, authenticated, builder, listen};
use crate::{HEAP, alone};

const CONNECTIONS: usize = 200;
/// Of the heap. The goal for the whole is 10 kB of memory, and the allocator's and kernel's own shares are not in this.
const MOST_BYTES: usize = 9 * 1024;

#[tokio::test(flavor = "current_thread")]
async fn an_idle_connection_holds_little_also_after_a_large_message() {
    let _turn = alone();
    let liveset = builder().build().unwrap();
    liveset.commit(|tx| (0..20).for_each(|id| tx.upsert("orders", &json!({ "id": id })))).unwrap();
    let address = listen(&liveset).await;
    // Whatever is held once.
    let mut first = authenticated(address).await;
    first.create("q", json!({ "edge": "orders" })).await;

    let mut peers: Vec<Raw<TcpStream>> = Vec::with_capacity(CONNECTIONS);
    let before = HEAP.current_usage();
    for _ in 0..CONNECTIONS {
        let mut peer = support::raw(address).await;
        peer.authenticate().await;
        peer.text(r#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders"}}"#).await;
        assert_eq!(peer.receive_json().await["type"], "liveQueryCreated");
        assert_eq!(peer.receive_json().await["hasMore"], false);
        peers.push(peer);
    }
    settle(&mut peers).await;
    let each = (HEAP.current_usage() - before) / CONNECTIONS;
    println!("{each} bytes for each idle connection with one live query");
    assert!(each <= MOST_BYTES, "{each} bytes for each idle connection");

    // A large message, whole and in fragments.
    for peer in &mut peers {
        let padding = "x".repeat(60_000);
        let text = format!(r#"{{"type":"ping","padding":"{padding}"}}"#);
        peer.text(&text).await;
        assert_eq!(peer.receive_json().await["type"], "pong");
        let (head, tail) = text.as_bytes().split_at(30_000);
        peer.send(&[frame(false, TEXT, head), frame(true, 0, tail)].concat()).await;
        assert_eq!(peer.receive_json().await["type"], "pong");
    }
    settle(&mut peers).await;
    let each = (HEAP.current_usage() - before) / CONNECTIONS;
    println!("{each} bytes after a large message");
    assert!(each <= MOST_BYTES, "{each} bytes for each connection after a large message");
}

/// The server has dealt with everything, and waits.
async fn settle(peers: &mut [Raw<TcpStream>]) {
    for peer in peers {
        peer.send(&frame(true, PING, b"")).await;
        assert_eq!(peer.receive().await, Some((PONG, Vec::new())));
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
