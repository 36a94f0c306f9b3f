//! Frames from a socket, through the library's raw read half.
//!
//! Closed here, because the library lets it pass:
//!
//! | sent by the client | answer |
//! | --- | --- |
//! | a frame without a mask | 1002 |
//! | a message inside an open one, a continuation of none | 1002 ([`Assembler`]) |
//! | a pong or close frame over 125 bytes | 1002 |
//! | a close frame with a body of one byte, or a code that may not be sent | 1002 |
//! | a close reason that is not UTF-8 | 1007 |
//! | a text that ends inside a character, or is wrong across fragments | 1007 ([`Assembler`]) |
//! | a message over the limit in fragments, or in too many of them | 1009 ([`Assembler`]) |
//! | control frames without end | 1008 ([`ControlBudget`]) |
//!
//! Pings are handed to the owner, who answers the latest one when the socket can be written; the library would write
//! each pong inside the read and stand still behind a peer that does not read.

use std::convert::Infallible;

use bytes::BytesMut;
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocketError, WebSocketRead, after_handshake_split};
use tokio::io::{AsyncRead, Sink, sink};
use tokio::time::Instant;

use super::assembler::{Assembler, Kind, Message};
use super::control::ControlBudget;
use super::{Fault, Receive, Received, is_close_code_allowed};
use crate::limits::TransportLimits;

/// The longest body of a control frame (RFC 6455, 5.5).
const MAX_CONTROL_BYTES: usize = 125;

/// The server's reading side of one connection.
pub(crate) struct ServerReader<R> {
    frames: WebSocketRead<R>,
    assembler: Assembler,
    control: ControlBudget,
}

impl<R: AsyncRead + Unpin + Send> ServerReader<R> {
    /// Reads from `stream`, whose handshake is done.
    pub(crate) fn new(stream: R, max_message_bytes: usize, limits: &TransportLimits) -> Self {
        // The library makes the two halves together; frames to be sent are encoded by `writer`, so that one is let go.
        let (mut frames, _): (_, fastwebsockets::WebSocketWrite<Sink>) =
            after_handshake_split(stream, sink(), Role::Server);
        frames.set_auto_close(false);
        frames.set_auto_pong(false);
        Self {
            frames,
            assembler: Assembler::new(max_message_bytes, limits.max_fragments),
            control: ControlBudget::new(
                limits.control_frames_per_second,
                limits.control_burst,
                Instant::now(),
            ),
        }
    }

    /// Lets binary messages through, which the endpoint refuses.
    #[cfg(feature = "testing")]
    pub(crate) fn take_binary(&mut self) {
        self.assembler.take_binary();
    }

    /// One frame; `None` where it was digested and the next should be read.
    async fn step(&mut self) -> Option<Received> {
        // The limit of the library is exclusive, on one frame, and for control frames too.
        self.frames.set_max_message_size(self.assembler.room().max(MAX_CONTROL_BYTES).saturating_add(1));
        let mut never_asked = |_: Frame<'_>| std::future::ready(Ok::<(), Infallible>(()));
        let mut frame = match self.frames.read_frame(&mut never_asked).await {
            Ok(frame) => frame,
            Err(error) => return Some(received_error(&error)),
        };
        if !is_masked(&mut frame) {
            return Some(Received::Fault { fault: Fault::Protocol, in_step: true });
        }
        let (fin, opcode) = (frame.fin, frame.opcode);
        let payload = match frame.payload {
            Payload::Bytes(bytes) => bytes,
            other => BytesMut::from(&other[..]),
        };
        let outcome = match opcode {
            OpCode::Text => self.data(Kind::Text, fin, payload),
            OpCode::Binary => self.data(Kind::Binary, fin, payload),
            OpCode::Continuation => self.data(Kind::Continuation, fin, payload),
            OpCode::Ping | OpCode::Pong | OpCode::Close => self.control(opcode, fin, &payload),
        };
        outcome.unwrap_or_else(|fault| Some(Received::Fault { fault, in_step: true }))
    }

    fn data(&mut self, kind: Kind, fin: bool, payload: BytesMut) -> Result<Option<Received>, Fault> {
        Ok(self.assembler.push(kind, fin, payload)?.map(|message| match message {
            Message::Text(text) => Received::Text(text),
            Message::Binary(bytes) => Received::Binary(bytes),
        }))
    }

    fn control(&mut self, opcode: OpCode, fin: bool, payload: &[u8]) -> Result<Option<Received>, Fault> {
        if payload.len() > MAX_CONTROL_BYTES || !fin {
            return Err(Fault::Protocol);
        }
        if opcode == OpCode::Close {
            return close_code(payload).map(|code| Some(Received::Close(code)));
        }
        if !self.control.spend(Instant::now()) {
            return Err(Fault::Flood);
        }
        Ok((opcode == OpCode::Ping).then(|| Received::Ping(payload.to_vec())))
    }
}

impl<R: AsyncRead + Unpin + Send> Receive for ServerReader<R> {
    async fn receive(&mut self) -> Received {
        loop {
            if let Some(received) = self.step().await {
                return received;
            }
        }
    }
}

/// Whether the client masked the frame. The library unmasks what is masked and keeps the mask to itself, but for the
/// header that it would write.
fn is_masked(frame: &mut Frame<'_>) -> bool {
    let mut head = [0; 16];
    frame.fmt_head(&mut head);
    head[1] & 0x80 != 0
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

/// What an error of the library means. Where it stopped before the end of a frame, the boundaries are lost.
fn received_error(error: &WebSocketError) -> Received {
    let (fault, in_step) = match error {
        WebSocketError::UnexpectedEOF | WebSocketError::IoError(_) | WebSocketError::ConnectionClosed => {
            return Received::Gone;
        }
        WebSocketError::FrameTooLarge => (Fault::TooLarge, false),
        // Checked on a frame that was read to its end.
        WebSocketError::InvalidUTF8 => (Fault::Utf8, true),
        // Reserved bits and opcodes, control frames in fragments or too long.
        _ => (Fault::Protocol, false),
    };
    Received::Fault { fault, in_step }
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
            let last = matches!(
                received,
                Received::Gone | Received::Close(_) | Received::Fault { in_step: false, .. }
            );
            all.push(received);
            if last {
                return all;
            }
        }
    }

    fn fault(fault: Fault, in_step: bool) -> Received {
        Received::Fault { fault, in_step }
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
    async fn what_the_library_accepts_is_refused() {
        let out_of_step = [
            (vec![0xc1, 0x80, 0, 0, 0, 0], Fault::Protocol),
            (frame(0x83, b""), Fault::Protocol),
            (frame(0x09, b"ping"), Fault::Protocol),
            (frame(0x89, &[0; 126]), Fault::Protocol),
            (frame(0x81, &[b'x'; 201]), Fault::TooLarge),
            (vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Fault::TooLarge),
            (vec![0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], Fault::TooLarge),
        ];
        for (bytes, expected) in out_of_step {
            assert_eq!(all(&bytes).await, [fault(expected, false)], "{bytes:x?}");
        }
        let in_step = [
            (b"\x81\x02{}".to_vec(), Fault::Protocol),
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
        for (bytes, expected) in in_step {
            let received = all(&bytes).await;
            assert!(
                received.contains(&fault(expected, true)) || received == [fault(expected, false)],
                "{bytes:x?}: {received:?}"
            );
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
        assert!(all(&bytes).await.contains(&fault(Fault::Flood, true)));
    }

    #[tokio::test]
    async fn a_stream_cut_anywhere_is_gone() {
        let whole = [frame(0x01, b"on"), frame(0x80, b"e")].concat();
        for end in 0..whole.len() {
            assert_eq!(all(&whole[..end]).await, [Received::Gone], "cut at {end}");
        }
    }
}
