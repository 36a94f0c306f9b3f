//! A connection ends with one close frame from each side, whatever else is said.

use std::time::Duration;

use liveset::Liveset;
use liveset_fuzz::frames::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame};

use crate::support::bystander::Bystander;
use crate::support::{PATIENCE, limited, listen, raw};

fn liveset() -> Liveset {
    limited(|limits| limits.transport.close_timeout = Duration::from_millis(100))
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(true, CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// What is wrong, right, or has no meaning any more.
fn whatever() -> Vec<Vec<u8>> {
    vec![
        close(1000, b""),
        close(1003, b"for another reason"),
        frame(true, CLOSE, b""),
        // A body of one byte, a code that may not be sent, a reason that is no text.
        frame(true, CLOSE, &[3]),
        close(1005, b""),
        close(1000, b"\xff"),
        frame(true, TEXT, br#"{"type":"ping"}"#),
        frame(true, TEXT, br#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders"}}"#),
        frame(true, TEXT, b"\xff"),
        frame(true, BINARY, b""),
        frame(true, PING, b"ping"),
        frame(true, CONTINUATION, b""),
        frame(false, TEXT, b"{"),
        // A reserved opcode, and no mask: after these the frames cannot be told apart, or need not be.
        frame(true, 3, b""),
        b"\x81\x02{}".to_vec(),
    ]
}

#[tokio::test]
async fn nothing_follows_the_answer_to_a_close_frame() {
    let liveset = liveset();
    let address = listen(&liveset).await;
    let bystander = Bystander::join(&liveset, address).await;
    for then in whatever() {
        let mut peer = raw(address).await;
        peer.authenticate().await;
        peer.send(&[close(4321, b"bye"), then.clone()].concat()).await;
        // `close_code` sees to it that the end comes next.
        assert_eq!(peer.close_code().await, Some(4321), "{then:x?}");
        // It was not acted on either.
        assert_eq!(liveset.stats().hub.live_queries, 1, "{then:x?}");
    }
    bystander.assert_alone().await;
}

#[tokio::test]
async fn a_fault_is_answered_by_one_close_frame() {
    let liveset = liveset();
    let address = listen(&liveset).await;
    let bystander = Bystander::join(&liveset, address).await;
    for then in whatever() {
        // A continuation of nothing: the boundaries of frames are known behind it.
        let mut peer = raw(address).await;
        peer.authenticate().await;
        peer.send(&[frame(true, CONTINUATION, b""), then.clone()].concat()).await;
        assert_eq!(peer.close_code().await, Some(1002), "{then:x?}");
        assert_eq!(liveset.stats().hub.live_queries, 1, "{then:x?}");
        // A reserved bit: they are not.
        let mut peer = raw(address).await;
        peer.authenticate().await;
        peer.send(&[&[0xc1, 0x80, 0, 0, 0, 0], &then[..]].concat()).await;
        assert_eq!(peer.close_code().await, Some(1002), "{then:x?}");
    }
    bystander.assert_alone().await;
}

#[tokio::test]
async fn the_answer_to_our_close_frame_is_not_answered() {
    let liveset = liveset();
    let address = listen(&liveset).await;
    let bystander = Bystander::join(&liveset, address).await;
    for then in whatever() {
        // The conversation ends it, and the peer has more to say before it sees that, and after.
        let mut peer = raw(address).await;
        peer.send(&[frame(true, TEXT, br#"{"type":"ping"}"#), then.clone()].concat()).await;
        // A ping that was seen before the end may still be answered.
        let (mut opcode, mut payload) = peer.receive().await.unwrap();
        if opcode == PONG {
            (opcode, payload) = peer.receive().await.unwrap();
        }
        assert_eq!(opcode, TEXT, "{then:x?}");
        assert!(String::from_utf8(payload).unwrap().contains("NOT_AUTHENTICATED"));
        assert_eq!(peer.receive().await, Some((CLOSE, 1008_u16.to_be_bytes().to_vec())), "{then:x?}");
        peer.try_send(&[then.clone(), close(1000, b""), then.clone()].concat()).await;
        assert_eq!(peer.receive().await, None, "{then:x?}");
    }
    bystander.assert_alone().await;
}

#[tokio::test]
async fn a_close_frame_is_answered_behind_what_is_on_its_way() {
    let liveset = liveset();
    let address = listen(&liveset).await;
    let bystander = Bystander::join(&liveset, address).await;
    let mut peer = raw(address).await;
    peer.authenticate().await;
    // Inside an open message, where control frames may stand: the message is never whole.
    let frames = [
        frame(false, TEXT, br#"{"type":"createLiveQuery","id":"q","#),
        close(1000, b""),
        frame(true, CONTINUATION, br#""query":{"edge":"orders"}}"#),
    ];
    peer.send(&frames.concat()).await;
    assert_eq!(peer.close_code().await, Some(1000));
    assert_eq!(liveset.stats().hub.live_queries, 1);
    bystander.assert_alone().await;
}

#[tokio::test]
async fn a_wrong_close_frame_is_a_close_frame() {
    // No other comes: whoever waited for one would wait for longer than this test does.
    let liveset = limited(|limits| limits.transport.close_timeout = 10 * PATIENCE);
    let address = listen(&liveset).await;
    let bystander = Bystander::join(&liveset, address).await;
    let unmasked = [0x88, 0x02, 0x03, 0xe8];
    for (wrong, code) in [
        (frame(true, CLOSE, &[3]), 1002),
        (close(999, b""), 1002),
        (close(1005, b"reason"), 1002),
        (close(1000, b"\xe2\x82"), 1007),
        (close(1000, &[b'x'; 124]), 1002),
        (frame(false, CLOSE, b""), 1002),
        (unmasked.to_vec(), 1002),
    ] {
        let mut peer = raw(address).await;
        peer.authenticate().await;
        peer.send(&wrong).await;
        assert_eq!(peer.receive().await, Some((CLOSE, u16::to_be_bytes(code).to_vec())), "{wrong:x?}");
        assert_eq!(peer.receive().await, None, "{wrong:x?}");
    }
    bystander.assert_alone().await;
}
