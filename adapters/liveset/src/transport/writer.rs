//! Frames into a buffer.
//!
//! The library writes each frame with a call of its own, from one piece. Here frames are put one behind the other into one buffer,
//! from as many pieces as they have, each copied once, and the owner sends the buffer.

use fastwebsockets::OpCode;

use super::Encode;

/// The longest header of a frame without a mask.
pub(crate) const MAX_HEAD_BYTES: usize = 10;

/// Room for the header that most messages have.
const USUAL_HEAD_BYTES: usize = 4;

/// Frames of the server's side: whole messages, without a mask.
#[derive(Debug)]
pub(crate) struct ServerFrames;

impl Encode for ServerFrames {
    #[cfg(any(test, feature = "testing"))]
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

impl ServerFrames {
    /// Appends one text message that comes in pieces.
    pub(crate) fn text_of(pieces: &[&[u8]], out: &mut Vec<u8>) {
        let (head, len) = head(OpCode::Text, pieces.iter().map(|piece| piece.len()).sum());
        out.extend_from_slice(&head[..len]);
        for piece in pieces {
            out.extend_from_slice(piece);
        }
    }

    /// Appends the text message that `write` appends, where it returns something; otherwise nothing.
    pub(crate) fn text_by<T>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Option<T>) -> Option<T> {
        let start = out.len();
        out.extend_from_slice(&[0; USUAL_HEAD_BYTES]);
        let written = write(out);
        if written.is_none() {
            out.truncate(start);
            return None;
        }
        let (head, len) = head(OpCode::Text, out.len() - start - USUAL_HEAD_BYTES);
        // The others are short, or so long that moving them is nothing beside writing them.
        out.splice(start..start + USUAL_HEAD_BYTES, head[..len].iter().copied());
        written
    }
}

fn append(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let (head, len) = head(opcode, payload.len());
    out.reserve(len + payload.len());
    out.extend_from_slice(&head[..len]);
    out.extend_from_slice(payload);
}

/// The header of a whole frame without a mask (RFC 6455, 5.2), and how long it is.
fn head(opcode: OpCode, payload: usize) -> ([u8; MAX_HEAD_BYTES], usize) {
    let mut head = [0; MAX_HEAD_BYTES];
    head[0] = 0x80 | opcode as u8;
    let len = match payload {
        0..126 => {
            head[1] = payload as u8;
            2
        }
        126..0x1_0000 => {
            head[1] = 126;
            head[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
            4
        }
        _ => {
            head[1] = 127;
            head[2..].copy_from_slice(&(payload as u64).to_be_bytes());
            10
        }
    };
    (head, len)
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
            let (mut by, mut of) = (b"before".to_vec(), b"before".to_vec());
            let payload = vec![b'x'; len];
            let write = |out: &mut Vec<u8>| {
                out.extend_from_slice(&payload);
                Some(())
            };
            assert_eq!(ServerFrames::text_by(&mut by, write), Some(()));
            ServerFrames::text_of(&[&payload[..10], b"", &payload[10..]], &mut of);
            assert_eq!((&by[6..], &of[6..]), (&out[..], &out[..]));
            assert_eq!(ServerFrames::text_by(&mut by, |_| None::<()>), None);
            assert_eq!(by, of);
        }
    }
}
