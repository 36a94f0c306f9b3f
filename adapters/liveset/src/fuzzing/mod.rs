//! The body of the fuzz target: arbitrary bytes in, no panic out, and what must hold holds.

mod frames;
mod reference;

use liveset_core::Monotonic;

use crate::limits::TransportLimits;
use crate::transport::frames::Frames;
use crate::transport::{Fault, Received};

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
    let limits = TransportLimits {
        max_fragments: setup.max_fragments,
        // What was spent does not come back: the clock decides nothing.
        control_frames_per_second: 0,
        control_burst: setup.control_frames,
        ..TransportLimits::default()
    };
    let mut frames = Frames::new(setup.max_bytes, &limits, Monotonic::ZERO);
    if setup.takes_binary {
        frames.take_binary();
    }
    let (mut seen, mut there) = (0, 0);
    let mut pieces = script.pieces();
    loop {
        let Some(received) = frames.poll(Monotonic::ZERO) else {
            let due = expected.iter().filter(|(_, at)| *at <= there).count();
            assert_eq!(seen, due, "after {there} bytes there is more: {expected:?}");
            frames.rest();
            let (ahead, room) = frames.held_bytes();
            assert!(ahead < HEAD_BYTES, "{ahead} bytes are pushed and not looked at");
            // Room is doubled as it is needed.
            let pushed = 2 * script.stream.len();
            assert!(room <= 2 * setup.max_bytes + pushed + 128, "{room} bytes are held");
            let Some(piece) = pieces.next().filter(|_| there < script.stream.len()) else { break };
            let next = script.stream.len().min(there.saturating_add(piece));
            frames.push(&script.stream[there..next]);
            there = next;
            continue;
        };
        let (next, at) = expected.get(seen).unwrap_or_else(|| panic!("nothing is left, {received:?}"));
        assert_eq!(received, *next, "the {seen}th of {expected:?}");
        assert!(*at <= there, "{received:?} cannot be known after {there} bytes");
        seen += 1;
        if matches!(received, Received::Close(_)) {
            break;
        }
    }
    assert_eq!(seen, expected.len(), "{expected:?}");
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
