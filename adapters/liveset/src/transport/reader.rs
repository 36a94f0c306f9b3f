//! Frames from a socket.

#![allow(unreachable_pub)] // With the feature `fuzzing` they are not.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use liveset_core::Monotonic;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::frames::Frames;
#[cfg(any(test, feature = "fuzzing"))]
use super::frames::HeldBytes;
use super::{Receive, Received};
use crate::limits::TransportLimits;

/// How much is read at once.
pub const READ_BYTES: usize = 8 * 1024;

/// The server's reading side of one connection.
#[derive(Debug)]
pub struct ServerReader<R> {
    stream: R,
    /// Boxed: a future that awaits inside of others has room for it more than once.
    frames: Box<Frames>,
    /// When the connection was opened.
    begun: Instant,
}

impl<R: AsyncRead + Unpin + Send> ServerReader<R> {
    /// Reads from `stream`, whose handshake is done.
    pub fn new(stream: R, max_message_bytes: usize, limits: &TransportLimits) -> Self {
        let frames = Box::new(Frames::new(max_message_bytes, limits, Monotonic::ZERO));
        Self { stream, frames, begun: Instant::now() }
    }

    /// Lets binary messages through, which the endpoint refuses.
    #[cfg(any(feature = "testing", feature = "fuzzing"))]
    pub fn take_binary(&mut self) {
        self.frames.take_binary();
    }

    /// What it reads from.
    #[cfg(feature = "fuzzing")]
    pub fn stream(&mut self) -> &mut R {
        &mut self.stream
    }

    /// The memory that it holds.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn held_bytes(&self) -> HeldBytes {
        self.frames.held_bytes()
    }

    /// Reads more; whether there was any.
    async fn read_more(&mut self) -> io::Result<bool> {
        self.frames.rest();
        poll_fn(|cx| {
            // On the stack: there is nothing to be held before there is something to be read.
            let mut scratch = [MaybeUninit::uninit(); READ_BYTES];
            let mut read = ReadBuf::uninit(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            self.frames.push(read.filled());
            Poll::Ready(Ok(!read.filled().is_empty()))
        })
        .await
    }
}

impl<R: AsyncRead + Unpin + Send> Receive for ServerReader<R> {
    async fn receive(&mut self) -> Received {
        loop {
            if let Some(received) = self.frames.poll(Monotonic::from_epoch(self.begun.elapsed())) {
                return received;
            }
            if !matches!(self.read_more().await, Ok(true)) {
                return Received::Gone;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::Fault;
    use super::*;

    /// A frame as a client sends it, with a mask that changes nothing.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            len @ 0..=125 => frame.push(0x80 | len as u8),
            len => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        frame
    }

    async fn all(bytes: &[u8]) -> Vec<Received> {
        let limits = TransportLimits::default();
        let mut reader = ServerReader::new(bytes, 200, &limits);
        let mut all = Vec::new();
        loop {
            let received = reader.receive().await;
            let last = matches!(received, Received::Gone | Received::Close(_));
            all.push(received);
            if last {
                return all;
            }
        }
    }

    #[tokio::test]
    async fn reads_messages_in_fragments_with_control_frames_between() {
        let bytes = [
            frame(0x01, b"on"),
            frame(0x89, b"ping"),
            frame(0x00, b"e"),
            frame(0x8a, b"pong"),
            frame(0x80, b""),
            frame(0x81, b"two"),
            frame(0x88, &[0x03, 0xe8, b'b', b'y', b'e']),
        ];
        let expected = [
            Received::Ping(b"ping".to_vec()),
            Received::Text(b"one"[..].into()),
            Received::Text(b"two"[..].into()),
            Received::Close(Some(1000)),
        ];
        assert_eq!(all(&bytes.concat()).await, expected);
    }

    #[tokio::test]
    async fn what_breaks_a_rule_is_a_fault_and_the_close_frame_behind_it_is_seen() {
        let cases = [
            (vec![0xc1, 0x80, 0, 0, 0, 0], Fault::Protocol),
            (frame(0x83, b""), Fault::Protocol),
            (frame(0x09, b"ping"), Fault::Protocol),
            (frame(0x89, &[0; 126]), Fault::Protocol),
            (frame(0x81, &[b'x'; 201]), Fault::TooLarge),
            (b"\x81\x02{}".to_vec(), Fault::Protocol),
            (b"\x81\xfe\0\x02\0\0\0\0{}".to_vec(), Fault::Protocol),
            (frame(0x80, b"orphan"), Fault::Protocol),
            ([frame(0x01, b"open"), frame(0x81, b"new")].concat(), Fault::Protocol),
            (frame(0x8a, &[0; 126]), Fault::Protocol),
            (frame(0x88, &[0x03; 126]), Fault::Protocol),
            (frame(0x88, &[0x03]), Fault::Protocol),
            (frame(0x88, &1005_u16.to_be_bytes()), Fault::Protocol),
            (frame(0x88, &999_u16.to_be_bytes()), Fault::Protocol),
            (frame(0x88, &[0x03, 0xe8, 0xff]), Fault::Utf8),
            (frame(0x81, b"\xff"), Fault::Utf8),
            ([frame(0x01, b"\xe2\x82"), frame(0x80, b"")].concat(), Fault::Utf8),
            (frame(0x02, b""), Fault::Binary),
            ([frame(0x01, &[b'x'; 150]), frame(0x80, &[b'x'; 51])].concat(), Fault::TooLarge),
        ];
        for (bytes, fault) in cases {
            let behind =
                [frame(0x81, b"\xff"), frame(0x8b, b"?"), frame(0x89, b"p"), frame(0x88, &[3, 0xe8])];
            let received = all(&[&bytes[..], &behind.concat()].concat()).await;
            // A wrong close frame is the last that is looked at.
            let code = (bytes[0] != 0x88).then_some(1000);
            let expected = [Received::Fault(fault), Received::Close(code)];
            assert_eq!(received, expected, "{bytes:x?}");
        }
        // Too much to be passed over before the end.
        for first in [0x80, 0x7f, 0xff] {
            let bytes =
                [&[0x81, 0xff, first, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &frame(0x88, b"")].concat();
            let fault = if first == 0x7f { Fault::TooLarge } else { Fault::Protocol };
            assert_eq!(all(&bytes).await, [Received::Fault(fault), Received::Gone], "{first:x}");
        }
    }

    #[tokio::test]
    async fn a_message_is_the_same_however_it_is_cut() {
        let bytes =
            [frame(0x01, "€".as_bytes()), frame(0x89, b"p"), frame(0x80, &[b'x'; 130]), frame(0x88, b"")];
        let whole = all(&bytes.concat()).await;
        assert_eq!(whole.len(), 3);
        let (mut sending, receiving) = tokio::io::duplex(1);
        let mut reader = ServerReader::new(receiving, 200, &TransportLimits::default());
        let sent = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut sending, &bytes.concat()).await.unwrap();
            sending
        });
        for expected in whole {
            assert_eq!(reader.receive().await, expected);
        }
        sent.await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_held_while_nothing_comes() {
        let (mut sending, receiving) = tokio::io::duplex(1024 * 1024);
        let mut reader = ServerReader::new(receiving, 200_000, &TransportLimits::default());
        let large = vec![b'x'; 60_000];
        for cut in [0, 1, 3, 100] {
            tokio::io::AsyncWriteExt::write_all(&mut sending, &frame(0x81, &large)).await.unwrap();
            // What follows begins with the head of another frame, and that one is held.
            let next = frame(0x81, &[b'y'; 200]);
            tokio::io::AsyncWriteExt::write_all(&mut sending, &next[..cut]).await.unwrap();
            assert_eq!(reader.receive().await, Received::Text(BytesMut::from(&large[..])));
            {
                let mut more = std::pin::pin!(reader.receive());
                let waits = poll_fn(|cx| Poll::Ready(more.as_mut().poll(cx).is_pending())).await;
                assert!(waits);
            }
            let held = reader.held_bytes();
            // A head has at most 14 bytes, and is taken when it is whole.
            assert!(held.ahead <= cut.min(13), "{} bytes wait for {cut}", held.ahead);
            let held = held.room + held.message;
            assert!(held <= cut * 4 + 64, "{held} bytes are held for {cut}");
            tokio::io::AsyncWriteExt::write_all(&mut sending, &next[cut..]).await.unwrap();
            assert_eq!(reader.receive().await, Received::Text(BytesMut::from(&[b'y'; 200][..])));
        }
    }

    #[tokio::test]
    async fn control_frames_fit_whatever_room_a_message_left() {
        let bytes = [frame(0x01, &[b'x'; 200]), frame(0x89, &[b'p'; 125]), frame(0x80, b"")];
        let expected =
            [Received::Ping(vec![b'p'; 125]), Received::Text([b'x'; 200][..].into()), Received::Gone];
        assert_eq!(all(&bytes.concat()).await, expected);
    }

    #[tokio::test]
    async fn a_flood_of_control_frames_is_a_fault() {
        let bytes = frame(0x8a, b"").repeat(1000);
        assert_eq!(all(&bytes).await, [Received::Fault(Fault::Flood), Received::Gone]);
    }

    #[tokio::test]
    async fn a_stream_cut_anywhere_is_gone() {
        let whole = [frame(0x01, b"on"), frame(0x80, b"e")].concat();
        for end in 0..whole.len() {
            assert_eq!(all(&whole[..end]).await, [Received::Gone], "cut at {end}");
        }
    }
}
