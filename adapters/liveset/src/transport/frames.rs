//! The reading side of one WebSocket, without a socket: bytes go in, messages and control frames come out.
//!
//! Frames are read by code of our own, because the library reads ahead into a buffer that never shrinks, cannot be cancelled, and
//! lets pass much of what RFC 6455 forbids. It takes masks off and makes handshakes. Here, what a peer breaks is seen in the head
//! of the frame where it can be, and at the first wrong byte otherwise:
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
//! | control frames without end | 1008 |
//!
//! Pings are handed to the owner, who answers the latest one when the socket can be written.

use bytes::{Buf, BytesMut};
use liveset_core::{Monotonic, Rate, TokenBucket};

use super::assembler::{Assembler, Kind, Message};
use super::head::{Head, Opcode, unmask};
use super::{Fault, Received, is_close_code_allowed};
use crate::limits::TransportLimits;

/// Reads the frames of a client. [`push`](Frames::push) bytes as they come, then [`poll`](Frames::poll) until there is nothing.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Pushed, and not yet looked at.
    ahead: BytesMut,
    /// The frame whose head was read, while its payload is not whole.
    frame: Option<OpenFrame>,
    assembler: Assembler,
    control: TokenBucket,
    control_rate: Rate,
    state: State,
}

/// ```text
/// Open ──a rule is broken──► Broken
///   └─────a wrong close frame─────► Closed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Everything counts.
    Open,
    /// A rule was broken: of what follows only the peer's close frame matters.
    Broken,
    /// It was broken by a close frame, which is the peer's last all the same.
    Closed,
}

#[derive(Debug)]
struct OpenFrame {
    head: Head,
    /// The bytes of the payload that were taken.
    taken: u64,
    /// The body of a control frame. Others go to the assembler as they come.
    control: Vec<u8>,
}

/// The memory of [`Frames`].
#[cfg(any(test, feature = "fuzzing"))]
#[allow(unreachable_pub)] // With the feature `fuzzing` it is not.
#[derive(Debug)]
pub struct HeldBytes {
    /// Pushed, and not yet looked at.
    pub ahead: usize,
    /// The room for these.
    pub room: usize,
    /// The room for a message that is not whole.
    pub message: usize,
}

impl Frames {
    /// Reads from the first frame on; `now` is the moment of the connection's opening.
    pub(crate) fn new(max_message_bytes: usize, limits: &TransportLimits, now: Monotonic) -> Self {
        let control_rate =
            Rate { per_second: limits.control_frames_per_second.into(), burst: limits.control_burst.into() };
        Self {
            ahead: BytesMut::new(),
            frame: None,
            assembler: Assembler::new(max_message_bytes, limits.max_fragments),
            control: TokenBucket::full(control_rate, now),
            control_rate,
            state: State::Open,
        }
    }

    /// Lets binary messages through, which the endpoint refuses.
    #[cfg(any(feature = "testing", feature = "fuzzing"))]
    pub(crate) fn take_binary(&mut self) {
        self.assembler.take_binary();
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn held_bytes(&self) -> HeldBytes {
        HeldBytes {
            ahead: self.ahead.len(),
            room: self.ahead.capacity(),
            message: self.assembler.held_bytes(),
        }
    }

    /// Adds what came from the peer.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.ahead.extend_from_slice(bytes);
    }

    /// Frees what the last message needed, where nothing is left of it: a connection that waits for its peer holds nothing.
    pub(crate) fn rest(&mut self) {
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
    }

    /// The next message or control frame that matters to the owner; `None` where too little was pushed for that. After
    /// [`Received::Close`] there is nothing more.
    pub(crate) fn poll(&mut self, now: Monotonic) -> Option<Received> {
        if self.state == State::Closed {
            return Some(Received::Close(None));
        }
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
                    self.go_on(frame, left, now)
                }
            };
            match outcome {
                Ok(Some(received)) => return Some(received),
                Ok(None) => {}
                Err(fault) => {
                    if self.state == State::Open {
                        self.state = State::Broken;
                    }
                    return Some(Received::Fault(fault));
                }
            }
        }
    }

    /// The head of a frame.
    fn begin(&mut self, head: Head) -> Result<(), Fault> {
        if self.state != State::Open {
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
    fn go_on(&mut self, mut frame: OpenFrame, left: u64, now: Monotonic) -> Result<Option<Received>, Fault> {
        let piece_bytes = usize::try_from(left).unwrap_or(usize::MAX).min(self.ahead.len());
        let head = frame.head;
        let at = frame.taken;
        frame.taken += piece_bytes as u64;
        let is_whole = frame.taken == head.payload_bytes;
        let is_control = head.fault.is_none() && head.opcode.is_some_and(Opcode::is_control);
        let is_close = is_control && head.opcode == Some(Opcode::Close);
        let is_passed_over = self.state != State::Open && !is_close;
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
            Some(opcode) if is_control => self.control(opcode, frame.control, now),
            _ => Ok(self.assembler.end()?.map(|message| match message {
                Message::Text(text) => Received::Text(text),
                Message::Binary(bytes) => Received::Binary(bytes),
            })),
        }
    }

    fn control(
        &mut self,
        opcode: Opcode,
        payload: Vec<u8>,
        now: Monotonic,
    ) -> Result<Option<Received>, Fault> {
        if opcode == Opcode::Close {
            return match close_code(&payload) {
                Ok(code) => Ok(Some(Received::Close(code))),
                // It is the answer to our own close frame, whatever it says.
                Err(_) if self.state != State::Open => Ok(Some(Received::Close(None))),
                Err(fault) => {
                    self.state = State::Closed;
                    Err(fault)
                }
            };
        }
        if !self.control.take(self.control_rate, now) {
            return Err(Fault::Flood);
        }
        Ok((opcode == Opcode::Ping).then_some(Received::Ping(payload)))
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
