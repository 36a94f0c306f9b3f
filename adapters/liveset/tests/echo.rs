//! The transport without the protocol: what a suite that tests WebSockets talks to. A binary of its own, because it needs a
//! feature.

#[path = "it/support/mod.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod support;

use std::time::Duration;

use liveset::TransportLimits;
use liveset_fuzz::frames::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame};
use support::Raw;
use tokio::io::DuplexStream;

fn echo() -> Raw<DuplexStream> {
    let (server, client) = tokio::io::duplex(1024);
    let mut limits = TransportLimits::default();
    limits.close_timeout = Duration::from_millis(300);
    tokio::spawn(liveset::testing::echo(server, 100_000, limits));
    Raw { stream: client }
}

#[tokio::test]
async fn messages_come_back_whole_and_in_order() {
    let mut peer = echo();
    let frames = [
        frame(false, TEXT, "€".as_bytes()),
        frame(true, CONTINUATION, b"uro"),
        frame(true, BINARY, &[0xff, 0xfe]),
        frame(true, TEXT, b""),
        frame(true, CLOSE, &[0x03, 0xe8]),
    ];
    peer.send(&frames.concat()).await;
    assert_eq!(peer.receive().await, Some((TEXT, "€uro".as_bytes().to_vec())));
    assert_eq!(peer.receive().await, Some((BINARY, vec![0xff, 0xfe])));
    assert_eq!(peer.receive().await, Some((TEXT, Vec::new())));
    assert_eq!(peer.close_code().await, Some(1000));
}

#[tokio::test]
async fn every_ping_is_answered_where_the_socket_takes_it() {
    let mut peer = echo();
    let pings: Vec<u8> = (0..20_u8).flat_map(|n| frame(true, PING, &[n])).collect();
    peer.send(&pings).await;
    for n in 0..20 {
        assert_eq!(peer.receive().await, Some((PONG, vec![n])));
    }
}

#[tokio::test]
async fn large_messages_and_many_do_not_wait_for_each_other() {
    let peer = echo();
    let large = vec![7; 100_000];
    let mut wire = frame(true, BINARY, &large);
    wire.extend((0..200).flat_map(|_| frame(true, TEXT, &[b'x'; 1000])));
    let (mut receiving, mut sending) = tokio::io::split(peer.stream);
    let sending = async { tokio::io::AsyncWriteExt::write_all(&mut sending, &wire).await.unwrap() };
    let receiving = async {
        let mut head = [0; 10];
        tokio::io::AsyncReadExt::read_exact(&mut receiving, &mut head).await.unwrap();
        assert_eq!(head[..2], [0x82, 127]);
        let mut rest = vec![0; 100_000 + 200 * 1004];
        tokio::io::AsyncReadExt::read_exact(&mut receiving, &mut rest).await.unwrap();
        assert_eq!(rest[..100_000], large);
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn faults_close_as_the_endpoint_does() {
    for (bytes, code) in [
        (frame(true, CONTINUATION, b""), 1002),
        (frame(true, TEXT, b"\xff"), 1007),
        (frame(true, BINARY, &vec![0; 100_001]), 1009),
        (frame(true, 3, b""), 1002),
    ] {
        let mut peer = echo();
        peer.try_send(&bytes).await;
        assert_eq!(peer.close_code().await, Some(code));
    }
}
