//! What RFC 6455 forbids closes the connection with the right code, and no other connection.

use std::time::Duration;

use liveset_fuzz::frames::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, head};
use tokio::net::TcpStream;

use crate::support::{Raw, authenticated, builder, eventually, limited, listen, raw};

/// Lets a peer that follows no rules do something, and gives the close code that it got for it.
async fn punished<F>(misbehave: impl FnOnce(Raw<TcpStream>) -> F) -> Option<u16>
where
    F: Future<Output = Raw<TcpStream>>,
{
    // Where the boundaries of frames are lost, our peer's answer to the close frame is not seen: not waited for as long.
    let liveset = limited(|limits| limits.transport.close_timeout = Duration::from_millis(300));
    let address = listen(&liveset).await;
    let mut bystander = authenticated(address).await;
    let mut peer = raw(address).await;
    peer.authenticate().await;
    let mut peer = misbehave(peer).await;
    let code = peer.close_code().await;
    bystander.assert_alive().await;
    eventually("the connection is freed", || liveset.stats().connections == 1).await;
    assert_eq!(liveset.stats().hub.connections, 1);
    bystander.close().await;
    eventually("both are freed", || liveset.stats().connections == 0).await;
    code
}

/// The same, for bytes that are sent at once.
async fn punished_for(bytes: &[u8]) -> Option<u16> {
    punished(|mut peer| async {
        peer.send(bytes).await;
        peer
    })
    .await
}

#[tokio::test]
async fn a_frame_without_a_mask() {
    let unmasked = [&head(true, TEXT, 15, false)[..], br#"{"type":"pong"}"#].concat();
    assert_eq!(punished_for(&unmasked).await, Some(1002));
    // Whatever it is, and without a byte that could have been masked.
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        assert_eq!(punished_for(&head(true, opcode, 0, false)).await, Some(1002), "{opcode}");
    }
    let second = [frame(false, TEXT, b"{"), head(true, CONTINUATION, 0, false)].concat();
    assert_eq!(punished_for(&second).await, Some(1002));
}

#[tokio::test]
async fn a_length_in_more_bytes_than_it_needs_or_than_there_can_be() {
    let mask = [0; 4];
    for opcode in [TEXT, PING, CLOSE] {
        let in_two = [&[0x80 | opcode, 0xfe, 0, 2][..], &mask, &[0x03, 0xe8]].concat();
        assert_eq!(punished_for(&in_two).await, Some(1002), "{opcode} in two bytes");
        let in_eight = [&[0x80 | opcode, 0xff, 0, 0, 0, 0, 0, 0, 0, 2][..], &mask, &[0x03, 0xe8]].concat();
        assert_eq!(punished_for(&in_eight).await, Some(1002), "{opcode} in eight bytes");
        let negative = [&[0x80 | opcode, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &mask].concat();
        assert_eq!(punished_for(&negative).await, Some(1002), "{opcode} with the highest bit");
    }
}

#[tokio::test]
async fn reserved_bits() {
    for bit in [0x40, 0x20, 0x10] {
        let mut frame = frame(true, TEXT, b"{}");
        frame[0] |= bit;
        assert_eq!(punished_for(&frame).await, Some(1002), "{bit:x}");
    }
}

#[tokio::test]
async fn reserved_opcodes() {
    for opcode in [3, 7, 11, 15] {
        assert_eq!(punished_for(&frame(true, opcode, b"")).await, Some(1002), "{opcode}");
    }
}

#[tokio::test]
async fn a_continuation_of_nothing() {
    assert_eq!(punished_for(&frame(true, CONTINUATION, b"{}")).await, Some(1002));
    assert_eq!(punished_for(&frame(false, CONTINUATION, b"{}")).await, Some(1002));
}

#[tokio::test]
async fn a_message_inside_an_open_one() {
    let frames = [frame(false, TEXT, b"{"), frame(true, TEXT, br#"{"type":"pong"}"#)].concat();
    assert_eq!(punished_for(&frames).await, Some(1002));
    let frames = [frame(false, TEXT, b"{"), frame(true, BINARY, b"")].concat();
    assert_eq!(punished_for(&frames).await, Some(1002));
}

#[tokio::test]
async fn a_control_frame_in_fragments_or_too_long() {
    for opcode in [CLOSE, PING, PONG] {
        assert_eq!(punished_for(&frame(false, opcode, b"")).await, Some(1002), "{opcode} in fragments");
        for len in [126, 127, 65_535, 65_536] {
            let long = frame(true, opcode, &vec![0; len]);
            assert_eq!(punished_for(&long).await, Some(1002), "{opcode} of {len} bytes");
            // Seen in its head: what it promises is not waited for.
            let promise = [&head(true, opcode, len, true)[..], &[0; 4]].concat();
            assert_eq!(punished_for(&promise).await, Some(1002), "{opcode} promising {len} bytes");
        }
    }
}

#[tokio::test]
async fn a_close_frame_with_a_bad_body() {
    assert_eq!(punished_for(&frame(true, CLOSE, &[3])).await, Some(1002));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535_u16] {
        assert_eq!(punished_for(&frame(true, CLOSE, &code.to_be_bytes())).await, Some(1002), "{code}");
    }
    assert_eq!(punished_for(&frame(true, CLOSE, &[0x03, 0xe8, 0xff])).await, Some(1007));
}

#[tokio::test]
async fn a_close_frame_is_answered_with_its_code() {
    assert_eq!(punished_for(&frame(true, CLOSE, b"")).await, None);
    for code in [1000, 1001, 1011, 3000, 4999_u16] {
        let body = [&code.to_be_bytes()[..], b"bye"].concat();
        assert_eq!(punished_for(&frame(true, CLOSE, &body)).await, Some(code));
    }
    // Only once, however often it is said.
    let twice = [frame(true, CLOSE, &[0x03, 0xe8]), frame(true, CLOSE, &[0x03, 0xe9])].concat();
    assert_eq!(punished_for(&twice).await, Some(1000));
}

#[tokio::test]
async fn text_that_is_not_utf8() {
    assert_eq!(punished_for(&frame(true, TEXT, b"\"\xff\"")).await, Some(1007));
    // Ending in the middle of a character, in one frame and in two.
    assert_eq!(punished_for(&frame(true, TEXT, b"\"\xe2\x82")).await, Some(1007));
    let cut = [frame(false, TEXT, b"\"\xe2"), frame(true, CONTINUATION, b"\x82")].concat();
    assert_eq!(punished_for(&cut).await, Some(1007));
    // Seen before the message is whole.
    let early = [frame(false, TEXT, b"\""), frame(false, CONTINUATION, b"\xc0\x80")].concat();
    assert_eq!(punished_for(&early).await, Some(1007));
}

#[tokio::test]
async fn control_frames_without_end() {
    let code = punished(|mut peer| async {
        let flood = frame(true, PONG, b"").repeat(500);
        assert!(peer.try_send(&flood).await);
        peer
    })
    .await;
    assert_eq!(code, Some(1008));
}

#[tokio::test]
async fn a_ping_is_answered_and_only_the_latest_where_they_pile_up() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let mut peer = raw(address).await;
    // Before authentication, and between the fragments of a message.
    peer.send(&frame(true, PING, b"first")).await;
    assert_eq!(peer.receive().await, Some((PONG, b"first".to_vec())));
    peer.send(&frame(false, TEXT, br#"{"type":"auth","#)).await;
    peer.send(&frame(true, PING, &[7; 125])).await;
    assert_eq!(peer.receive().await, Some((PONG, vec![7; 125])));
    peer.send(&frame(true, CONTINUATION, br#""token":"t"}"#)).await;
    assert_eq!(peer.receive_json().await["type"], "authenticated");

    let pings: Vec<u8> = (0..50_u8).flat_map(|n| frame(true, PING, &[n])).collect();
    peer.send(&pings).await;
    let mut answered = 0;
    loop {
        let (opcode, payload) = peer.receive().await.unwrap();
        assert_eq!(opcode, PONG);
        answered += 1;
        if payload == [49] {
            break;
        }
    }
    assert!(answered <= 50);
}

#[tokio::test]
async fn a_peer_that_does_not_answer_the_close_is_waited_for_in_vain() {
    let liveset = limited(|limits| limits.transport.close_timeout = Duration::from_millis(200));
    let address = listen(&liveset).await;
    let mut peer = raw(address).await;
    peer.send(&frame(true, TEXT, br#"{"type":"ping"}"#)).await;
    assert_eq!(peer.receive_json().await["code"], "NOT_AUTHENTICATED");
    let started = std::time::Instant::now();
    assert_eq!(peer.receive().await, Some((CLOSE, vec![0x03, 0xf0])));
    // What still comes is read, so that our close frame is not lost to a reset.
    for _ in 0..20 {
        peer.try_send(&frame(true, TEXT, &[b' '; 1000])).await;
    }
    assert_eq!(peer.receive().await, None);
    assert!(started.elapsed() >= Duration::from_millis(150), "{:?}", started.elapsed());
    eventually("the connection is freed", || liveset.stats().connections == 0).await;
}

#[tokio::test]
async fn a_frame_cut_anywhere_by_the_end_of_the_stream_frees_everything() {
    let liveset = builder().build().unwrap();
    let address = listen(&liveset).await;
    let whole = frame(true, TEXT, br#"{"type":"auth","token":"t"}"#);
    for end in 0..whole.len() {
        let mut peer = raw(address).await;
        peer.send(&whole[..end]).await;
    }
    eventually("all are freed", || liveset.stats().connections == 0).await;
    assert_eq!(liveset.stats().hub.connections, 0);
}
