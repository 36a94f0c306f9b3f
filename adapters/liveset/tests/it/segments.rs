//! However the frames of a client are cut into fragments and segments, it is served the same.

use liveset_fuzz::frames::{CONTINUATION, PING, PONG, TEXT, frame};
use serde_json::json;
use tokio::net::TcpStream;

use crate::support::bystander::Bystander;
use crate::support::{Raw, builder, limited, listen, raw};

/// A request of `len` bytes, and what it is answered with.
fn request(len: usize) -> (Vec<u8>, serde_json::Value) {
    let text = |padding| json!({ "type": "ping", "requestId": "€", "x": "x".repeat(padding) }).to_string();
    let text = text(len.saturating_sub(text(0).len()));
    (text.into_bytes(), json!({ "type": "pong", "requestId": "€" }))
}

/// The same message in `count` fragments of about the same size.
fn fragments(text: &[u8], count: usize) -> Vec<u8> {
    let cut = |n: usize| text.len() * n / count;
    let opcode = |n| if n == 0 { TEXT } else { CONTINUATION };
    let fragment = |n| frame(n + 1 == count, opcode(n), &text[cut(n)..cut(n + 1)]);
    (0..count).flat_map(fragment).collect()
}

/// Sends each piece, and sees to it that it is a segment of its own.
async fn send_in_segments(peer: &mut Raw<TcpStream>, pieces: impl Iterator<Item = &[u8]>) {
    for piece in pieces {
        peer.send(piece).await;
        // The reader has its turn; the rest is not there yet.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_head_may_be_cut_at_every_byte() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let bystander = Bystander::join(&liveset, address).await;
    let mut peer = raw(address).await;
    peer.authenticate().await;
    // The three forms of a length. The limit on messages is below the third, which is refused from its head.
    for len in [60, 300] {
        let (text, answer) = request(len);
        let whole = frame(true, TEXT, &text);
        for cut in 1..20 {
            let (first, second) = whole.split_at(cut);
            send_in_segments(&mut peer, [first, second].into_iter()).await;
            assert_eq!(peer.receive_json().await, answer, "{len} bytes cut at {cut}");
        }
        send_in_segments(&mut peer, whole.chunks(1)).await;
        assert_eq!(peer.receive_json().await, answer, "{len} bytes, byte by byte");
    }
    let ping = frame(true, PING, b"payload");
    send_in_segments(&mut peer, ping.chunks(1)).await;
    assert_eq!(peer.receive().await, Some((PONG, b"payload".to_vec())));
    drop(peer);
    bystander.assert_alone().await;
}

#[tokio::test]
async fn a_head_of_the_longest_form_may_be_cut_at_every_byte() {
    let liveset = limited(|limits| limits.session.message_bytes = 100_000);
    let address = listen(&liveset).await;
    let bystander = Bystander::join(&liveset, address).await;
    let mut peer = raw(address).await;
    peer.authenticate().await;
    let (text, answer) = request(70_000);
    let whole = frame(true, TEXT, &text);
    for cut in 1..15 {
        let (first, second) = whole.split_at(cut);
        send_in_segments(&mut peer, [first, second].into_iter()).await;
        assert_eq!(peer.receive_json().await, answer, "cut at {cut}");
    }
    drop(peer);
    bystander.assert_alone().await;
}

#[tokio::test]
async fn many_frames_may_come_in_one_segment() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let bystander = Bystander::join(&liveset, address).await;
    let mut peer = raw(address).await;
    peer.authenticate().await;
    // Whole messages, fragments with pings between them, and the start of a frame that ends in the next segment.
    let (text, answer) = request(60);
    let mut segment = frame(true, TEXT, &text).repeat(100);
    let in_two = fragments(&text, 2);
    let second = in_two.len() / 2;
    segment.extend_from_slice(&fragments(&text, 3));
    segment.extend_from_slice(&in_two[..second]);
    peer.send(&segment).await;
    for _ in 0..101 {
        assert_eq!(peer.receive_json().await, answer);
    }
    peer.send(&in_two[second..]).await;
    assert_eq!(peer.receive_json().await, answer);
    drop(peer);
    bystander.assert_alone().await;
}

#[tokio::test]
async fn fragments_may_have_one_byte_or_none() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let bystander = Bystander::join(&liveset, address).await;
    let mut peer = raw(address).await;
    peer.authenticate().await;
    let (text, answer) = request(900);
    peer.send(&fragments(&text, text.len())).await;
    assert_eq!(peer.receive_json().await, answer);
    // Fewer bytes than fragments: most are empty, the first and the last among them.
    let (text, answer) = request(60);
    let empty_around = [
        frame(false, TEXT, b""),
        frame(false, CONTINUATION, b""),
        frame(false, CONTINUATION, &text),
        frame(true, CONTINUATION, b""),
    ];
    for frames in [fragments(&text, 1_000), empty_around.concat()] {
        peer.send(&frames).await;
        assert_eq!(peer.receive_json().await, answer);
    }
    drop(peer);
    bystander.assert_alone().await;
}

#[tokio::test]
async fn fragments_end_in_time_whatever_is_in_them() {
    let endless = |payload: &'static [u8], between: Vec<u8>| {
        let more = [frame(false, CONTINUATION, payload), between].concat();
        [frame(false, TEXT, payload), more.repeat(1_024)].concat()
    };
    for (frames, pongs) in [
        (endless(b"", Vec::new()), false),
        (endless(b" ", Vec::new()), false),
        // A control frame between them does not start the count anew.
        (endless(b"", frame(true, PING, b"")), true),
    ] {
        // As many pings as there may be, so that it is the fragments that are counted.
        let liveset = limited(|limits| limits.transport.control_burst = 10_000);
        let address = listen(&liveset).await;
        let bystander = Bystander::join(&liveset, address).await;
        let mut peer = raw(address).await;
        peer.authenticate().await;
        peer.send(&frames).await;
        let refused = loop {
            match peer.receive().await.expect("a frame") {
                (PONG, _) if pongs => {}
                (TEXT, text) => break serde_json::from_slice::<serde_json::Value>(&text).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused["code"], "MESSAGE_TOO_LARGE");
        assert_eq!(peer.close_code().await, Some(1009));
        drop(peer);
        bystander.assert_alone().await;
    }
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_frame_frees_everything() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let mut bystander = Bystander::join(&liveset, address).await;
    let query = br#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders"}}"#;
    let stream = fragments(query, 3);
    // In a head, in a mask, in a payload, between two fragments: with a live query that is open, and without.
    for cut in 0..stream.len() {
        let mut peer = raw(address).await;
        peer.authenticate().await;
        if cut % 2 == 0 {
            peer.send(&fragments(query, 1)).await;
            assert_eq!(peer.receive_json().await["type"], "liveQueryCreated");
        }
        peer.send(&stream[..cut]).await;
        peer.stream.set_zero_linger().unwrap();
        drop(peer);
        if cut % 50 == 0 {
            bystander.assert_served().await;
        }
    }
    bystander.assert_alone().await;
}
