//! The reader of WebSocket frames against RFC 6455.

mod frames;
mod reference;

use std::{
    future::Future as _,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use liveset::TransportLimits;
use liveset::fuzzing::{Fault, READ_BYTES, Receive as _, Received, ServerReader};
use tokio::io::{AsyncRead, ReadBuf};

/// The most bytes that a head of a frame can have.
const HEAD_BYTES: usize = 14;

/// Reads frames, a line each, that come in pieces of whatever size. What is read is what a reference reads that looks at the
/// whole stream at once: the same messages and the same faults, each as soon as the byte is there that decides it; and what
/// is held meanwhile is bounded.
pub fn assembler(data: &[u8]) {
    assembler_outcomes(data);
}

/// The same; tells what was read, for tests of what seeds reach.
pub fn assembler_outcomes(data: &[u8]) -> Vec<&'static str> {
    let script = frames::Script::read(data);
    let setup = script.setup;
    let expected = reference::read(&script.stream, &setup);
    let limits = TransportLimits::default()
        .max_fragments(setup.max_fragments)
        // What was spent does not come back: the clock decides nothing.
        .control_frames_per_second(0)
        .control_burst(setup.control_frames);
    let stream = Pieces { bytes: &script.stream, at: 0, there: 0, end: None };
    let mut reader = ServerReader::new(stream, setup.max_bytes, &limits);
    if setup.takes_binary {
        reader.take_binary();
    }
    let mut seen = 0;
    let mut pieces = script.pieces();
    loop {
        // A call that has to wait is dropped, and another made: nothing is lost.
        let Poll::Ready(received) =
            pin!(reader.receive()).as_mut().poll(&mut Context::from_waker(Waker::noop()))
        else {
            let there = reader.stream().there;
            let due = expected.iter().filter(|(_, at)| *at <= there).count();
            assert_eq!(seen, due, "after {there} bytes there is more: {expected:?}");
            let held = reader.held_bytes();
            assert!(held.ahead < HEAD_BYTES, "{} bytes are read and not looked at", held.ahead);
            // Room is doubled as it is needed.
            assert!(held.message <= 2 * setup.max_bytes + 64, "{} bytes are held", held.message);
            assert!(held.room <= 2 * (READ_BYTES + HEAD_BYTES), "room for {} bytes is held", held.room);
            let stream = reader.stream();
            match pieces.next() {
                Some(piece) if there < stream.bytes.len() => {
                    stream.there = stream.bytes.len().min(there + piece);
                }
                _ => stream.end = Some(setup.fails),
            }
            continue;
        };
        if received == Received::Gone {
            assert_eq!(seen, expected.len(), "{expected:?}");
            break;
        }
        let there = reader.stream().there;
        let (next, at) = expected.get(seen).unwrap_or_else(|| panic!("nothing is left, {received:?}"));
        assert_eq!(received, *next, "the {seen}th of {expected:?}");
        assert!(*at <= there, "{received:?} cannot be known after {there} bytes");
        seen += 1;
        if matches!(received, Received::Close(_)) {
            break;
        }
    }
    expected.iter().map(|(received, _)| name(received)).collect()
}

fn name(received: &Received) -> &'static str {
    match received {
        Received::Text(_) => "text",
        Received::Binary(_) => "binary",
        Received::Ping(_) => "ping",
        Received::Close(Some(_)) => "close with a code",
        Received::Close(None) => "close",
        Received::Fault(Fault::Protocol) => "protocol",
        Received::Fault(Fault::Utf8) => "utf-8",
        Received::Fault(Fault::TooLarge) => "too large",
        Received::Fault(Fault::Binary) => "no binary",
        Received::Fault(Fault::Flood) => "flood",
        Received::Gone => "gone",
    }
}

/// A stream of which more and more is there.
struct Pieces<'a> {
    bytes: &'a [u8],
    at: usize,
    there: usize,
    /// It is over after what is there: it fails, or ends.
    end: Option<bool>,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let piece = &self.bytes[self.at..self.there];
        if piece.is_empty() {
            return match self.end {
                None => Poll::Pending,
                Some(false) => Poll::Ready(Ok(())),
                Some(true) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
        }
        let piece = &piece[..piece.len().min(buffer.remaining())];
        buffer.put_slice(piece);
        self.at += piece.len();
        Poll::Ready(Ok(()))
    }
}
