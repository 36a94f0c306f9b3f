//! Frames into a buffer.
//!
//! The library writes each frame with a call of its own. Here frames are put one behind the other into one buffer,
//! with the library's header and the payload copied once, and the owner sends the buffer.

use fastwebsockets::{Frame, OpCode, Payload};

use super::Encode;

/// The longest header of a frame, with room for a mask; what the library asks for.
const MAX_HEAD_BYTES: usize = 16;

/// Frames of the server's side: whole messages, without a mask.
#[derive(Debug)]
pub(crate) struct ServerFrames;

impl Encode for ServerFrames {
    fn text(payload: &[u8], out: &mut Vec<u8>) {
        append(OpCode::Text, payload, out);
    }

    #[cfg(feature = "testing")]
    fn binary(payload: &[u8], out: &mut Vec<u8>) {
        append(OpCode::Binary, payload, out);
    }

    fn pong(payload: &[u8], out: &mut Vec<u8>) {
        append(OpCode::Pong, payload, out);
    }

    fn close(code: Option<u16>, out: &mut Vec<u8>) {
        match code {
            Some(code) => append(OpCode::Close, &code.to_be_bytes(), out),
            None => append(OpCode::Close, &[], out),
        }
    }
}

fn append(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let mut head = [0; MAX_HEAD_BYTES];
    let head_len = Frame::new(true, opcode, None, Payload::Borrowed(payload)).fmt_head(&mut head);
    out.reserve(head_len + payload.len());
    out.extend_from_slice(&head[..head_len]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_stand_behind_each_other() {
        let mut out = Vec::new();
        ServerFrames::text(b"{}", &mut out);
        ServerFrames::pong(b"p", &mut out);
        ServerFrames::close(Some(1002), &mut out);
        ServerFrames::close(None, &mut out);
        assert_eq!(out, b"\x81\x02{}\x8a\x01p\x88\x02\x03\xea\x88\x00");
    }

    #[test]
    fn lengths_of_all_three_forms() {
        for (len, head) in [
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            ServerFrames::text(&vec![b'x'; len], &mut out);
            assert_eq!(out.len(), head.len() + len);
            assert_eq!(out[..head.len()], head[..]);
        }
    }
}
