//! Frames from a socket.
//!
//! Read by code of our own: the library reads ahead into a buffer that never shrinks, cannot be cancelled, and lets pass
//! much of what RFC 6455 forbids. Here, what a peer breaks is seen in the head of the frame where it can be, and at the
//! first wrong byte otherwise:
//!
//! | sent by the client | answer |
//! | --- | --- |
//! | a reserved bit or opcode, a frame without a mask, a length in more bytes than it needs | 1002 ([`Head`]) |
//! | a control frame over 125 bytes, or in fragments | 1002 ([`Head`]) |
//! | a message inside an open one, a continuation of none | 1002 ([`Assembler`]) |
//! | a close frame with a body of one byte, or a code that may not be sent | 1002 |
//! | text that is not UTF-8, also across fragments or ending inside a character | 1007 ([`Assembler`]) |
//! | a close reason that is not UTF-8 | 1007 |
//! | a message over the limit, whole or in fragments, or in too many of them | 1009 ([`Assembler`]) |
//! | control frames without end | 1008 ([`ControlBudget`]) |
//!
//! Pings are handed to the owner, who answers the latest one when the socket can be written.
//!
//! What is read and not yet looked at is held only while there is any: a connection that waits for its peer holds nothing.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::assembler::{Assembler, Kind, Message};
use super::control::ControlBudget;
use super::head::{Head, Opcode, unmask};
use super::{Fault, Receive, Received, is_close_code_allowed};
use crate::limits::TransportLimits;

/// How much is read at once.
const READ_BYTES: usize = 8 * 1024;

/// The server's reading side of one connection.
pub(crate) struct ServerReader<R> {
    stream: R,
    /// Read, and not yet looked at.
    ahead: BytesMut,
    /// The frame whose head was read, while its payload is not whole.
    frame: Option<OpenFrame>,
    assembler: Assembler,
    control: ControlBudget,
    /// A rule was broken: of what follows only the peer's close frame matters.
    is_broken: bool,
    /// It was broken by a close frame, which is the peer's last all the same.
    is_closed: bool,
}

struct OpenFrame {
    head: Head,
    /// How much of the payload was taken.
    taken: u64,
    /// The body of a control frame. Others go to the assembler as they come.
    control: Vec<u8>,
}

impl<R: AsyncRead + Unpin + Send> ServerReader<R> {
    /// Reads from `stream`, whose handshake is done.
    pub(crate) fn new(stream: R, max_message_bytes: usize, limits: &TransportLimits) -> Self {
        Self {
            stream,
            ahead: BytesMut::new(),
            frame: None,
            assembler: Assembler::new(max_message_bytes, limits.max_fragments),
            control: ControlBudget::new(
                limits.control_frames_per_second,
                limits.control_burst,
                Instant::now(),
            ),
            is_broken: false,
            is_closed: false,
        }
    }

    /// Lets binary messages through, which the endpoint refuses.
    #[cfg(any(feature = "testing", feature = "fuzzing"))]
    pub(crate) fn take_binary(&mut self) {
        self.assembler.take_binary();
    }

    /// Bytes that are read and not looked at, and the room that is taken for a message.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn held_bytes(&self) -> (usize, usize) {
        (self.ahead.len(), self.assembler.held_bytes())
    }

    #[cfg(feature = "fuzzing")]
    pub(crate) fn stream(&mut self) -> &mut R {
        &mut self.stream
    }

    /// Reads more; whether there was any.
    async fn read_more(&mut self) -> io::Result<bool> {
        if self.ahead.is_empty() {
            // Whatever the last message needed is not held while nothing comes.
            self.ahead = BytesMut::new();
        }
        poll_fn(|cx| {
            // On the stack: there is nothing to be held before there is something to be read.
            let mut scratch = [MaybeUninit::uninit(); READ_BYTES];
            let mut read = ReadBuf::uninit(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            self.ahead.extend_from_slice(read.filled());
            Poll::Ready(Ok(!read.filled().is_empty()))
        })
        .await
    }

    /// Looks at what was read; `None` where it is too little for anything to come of it.
    fn look(&mut self) -> Option<Received> {
        loop {
            let outcome = match self.frame.take() {
                None => {
                    let head = Head::read(&self.ahead)?;
                    self.ahead.advance(head.bytes);
                    self.frame = Some(OpenFrame { head, taken: 0, control: Vec::new() });
                    self.begin(head).map(|()| None)
                }
                Some(frame) => {
                    let left = frame.head.payload_bytes - frame.taken;
                    if self.ahead.is_empty() && left > 0 {
                        self.frame = Some(frame);
                        return None;
                    }
                    self.go_on(frame, left)
                }
            };
            match outcome {
                Ok(Some(received)) => return Some(received),
                Ok(None) => {}
                Err(fault) => {
                    self.is_broken = true;
                    return Some(Received::Fault(fault));
                }
            }
        }
    }

    /// The head of a frame.
    fn begin(&mut self, head: Head) -> Result<(), Fault> {
        if self.is_broken {
            return Ok(());
        }
        let kind = match (head.fault, head.opcode) {
            (Some(fault), _) => return Err(fault),
            (None, Some(Opcode::Text)) => Kind::Text,
            (None, Some(Opcode::Binary)) => Kind::Binary,
            (None, Some(Opcode::Continuation)) => Kind::Continuation,
            (None, Some(Opcode::Close | Opcode::Ping | Opcode::Pong) | None) => return Ok(()),
        };
        self.assembler.begin(kind, head.fin, head.payload_bytes)
    }

    /// A piece of its payload, maybe the last. `frame` goes back to its place before anything can go wrong.
    fn go_on(&mut self, mut frame: OpenFrame, left: u64) -> Result<Option<Received>, Fault> {
        let piece_bytes = usize::try_from(left).unwrap_or(usize::MAX).min(self.ahead.len());
        let head = frame.head;
        let at = frame.taken;
        frame.taken += piece_bytes as u64;
        let is_whole = frame.taken == head.payload_bytes;
        let is_control = head.fault.is_none() && head.opcode.is_some_and(Opcode::is_control);
        let is_close = is_control && head.opcode == Some(Opcode::Close);
        let is_passed_over = self.is_broken && !is_close;
        let outcome = if is_passed_over {
            Ok(())
        } else {
            let piece = &mut self.ahead[..piece_bytes];
            unmask(piece, head.mask, (at % 4) as usize);
            if is_control {
                frame.control.extend_from_slice(piece);
                Ok(())
            } else {
                self.assembler.push(piece)
            }
        };
        self.ahead.advance(piece_bytes);
        if !is_whole {
            self.frame = Some(frame);
            return outcome.map(|()| None);
        }
        outcome?;
        match head.opcode {
            // A close frame whose head was wrong.
            Some(Opcode::Close) if is_passed_over => Ok(Some(Received::Close(None))),
            _ if is_passed_over => Ok(None),
            Some(opcode) if is_control => self.control(opcode, frame.control),
            _ => Ok(self.assembler.end()?.map(|message| match message {
                Message::Text(text) => Received::Text(text),
                Message::Binary(bytes) => Received::Binary(bytes),
            })),
        }
    }

    fn control(&mut self, opcode: Opcode, payload: Vec<u8>) -> Result<Option<Received>, Fault> {
        if opcode == Opcode::Close {
            return match close_code(&payload) {
                Ok(code) => Ok(Some(Received::Close(code))),
                // It is the answer to our own close frame, whatever it says.
                Err(_) if self.is_broken => Ok(Some(Received::Close(None))),
                Err(fault) => {
                    self.is_closed = true;
                    Err(fault)
                }
            };
        }
        if !self.control.spend(Instant::now()) {
            return Err(Fault::Flood);
        }
        Ok((opcode == Opcode::Ping).then_some(Received::Ping(payload)))
    }
}

impl<R: AsyncRead + Unpin + Send> Receive for ServerReader<R> {
    async fn receive(&mut self) -> Received {
        if self.is_closed {
            return Received::Close(None);
        }
        loop {
            if let Some(received) = self.look() {
                return received;
            }
            if !matches!(self.read_more().await, Ok(true)) {
                return Received::Gone;
            }
        }
    }
}

/// The code of a close frame's body, where it has one.
fn close_code(body: &[u8]) -> Result<Option<u16>, Fault> {
    match body {
        [] => Ok(None),
        [_] => Err(Fault::Protocol),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_close_code_allowed(code) {
                return Err(Fault::Protocol);
            }
            std::str::from_utf8(reason).map_err(|_| Fault::Utf8)?;
            Ok(Some(code))
        }
    }
}

#[cfg(test)]
mod tests {
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
            let held = reader.ahead.capacity() + reader.assembler.held_bytes();
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
