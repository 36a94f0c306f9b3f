//! WebSocket frames, and nothing of the protocol that travels in them.
//!
//! The rest of the crate sees two small traits, [`Receive`] and [`Encode`], so that the next major version of the
//! WebSocket library changes this folder only. [`frames`] reads, and has the list of what is refused.

pub(crate) mod assembler;
pub(crate) mod conversation;
pub(crate) mod frames;
pub(crate) mod head;
pub(crate) mod reader;
pub(crate) mod utf8;
pub(crate) mod writer;

use std::future::Future;

use bytes::BytesMut;

/// What arrived next on a connection.
#[allow(unreachable_pub)] // With the feature `fuzzing` it is not.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A whole text message, all its fragments joined; valid UTF-8, within the limit.
    Text(BytesMut),
    /// A whole binary message within the limit; only from a reader that lets any through.
    Binary(BytesMut),
    /// A ping to be answered with this payload (at most 125 bytes).
    Ping(Vec<u8>),
    /// The peer closes, with this code where it gave one. Nothing follows.
    Close(Option<u16>),
    /// The peer broke a rule of the transport. Only [`Received::Close`] and [`Received::Gone`] can follow.
    Fault(Fault),
    /// The stream ended, or failed. Nothing follows.
    Gone,
}

/// A rule of the transport that the peer broke.
#[allow(unreachable_pub)] // With the feature `fuzzing` it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// RFC 6455 was violated: close 1002.
    Protocol,
    /// Text that is not UTF-8: close 1007.
    Utf8,
    /// A message over the size limit, or in more fragments than allowed: close 1009.
    TooLarge,
    /// A binary message: close 1003.
    Binary,
    /// More control frames a second than allowed: close 1008.
    Flood,
}

/// Reads what a peer sends. A call that is dropped before it is done loses nothing.
#[allow(unreachable_pub)] // With the feature `fuzzing` it is not.
pub trait Receive: Send {
    /// The next message or control frame that matters to the owner.
    fn receive(&mut self) -> impl Future<Output = Received> + Send;
}

/// Writes frames into a buffer that the owner sends when it likes. No frame is ever written in part.
pub(crate) trait Encode {
    /// Appends one unfragmented text message.
    #[cfg(any(test, feature = "testing"))]
    fn text(payload: &[u8], out: &mut Vec<u8>);
    /// Appends one unfragmented binary message.
    #[cfg(feature = "testing")]
    fn binary(payload: &[u8], out: &mut Vec<u8>);
    /// Appends a pong with the payload of the ping it answers.
    fn pong(payload: &[u8], out: &mut Vec<u8>);
    /// Appends a close frame; no code gives one without a body.
    fn close(code: Option<u16>, out: &mut Vec<u8>);
}

/// Whether a peer may send this close code (RFC 6455, 7.4, and the registry it founded).
pub(crate) fn is_close_code_allowed(code: u16) -> bool {
    // 1004 is reserved; 1005, 1006 and 1015 stand for the absence of a frame and must never be in one.
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
