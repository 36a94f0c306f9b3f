//! WebSocket frames, as little as a client needs of them.

/// Buffers that grew beyond this are given back.
const KEPT_BYTES: usize = 16 * 1024;
/// A larger message is an error.
const MAX_MESSAGE_BYTES: u64 = 64 * 1024 * 1024;

const CONTINUATION: u8 = 0;
/// A message of text.
pub const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// The end.
pub const CLOSE: u8 = 8;
/// Wants a pong.
pub const PING: u8 = 9;
/// Answers a ping.
pub const PONG: u8 = 10;

/// Takes the bytes of a connection apart.
#[derive(Debug, Default)]
pub struct Frames {
    /// The beginning of a frame whose end did not come yet.
    cut: Vec<u8>,
    /// The parts of a message that comes in several frames, and what it is.
    parts: Vec<u8>,
    parts_opcode: u8,
}

impl Frames {
    /// Takes what came, and shows each whole message (its opcode and payload) and control frame.
    ///
    /// # Errors
    ///
    /// The peer does not speak WebSocket. Nothing more can be read then.
    pub fn read(&mut self, bytes: &[u8], mut show: impl FnMut(u8, &[u8])) -> Result<(), &'static str> {
        if self.cut.is_empty() {
            let rest = self.whole(bytes, &mut show)?;
            self.cut.extend_from_slice(rest);
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.cut);
        all.extend_from_slice(bytes);
        let rest = self.whole(&all, &mut show)?.len();
        all.drain(..all.len() - rest);
        if all.capacity() > KEPT_BYTES && rest < KEPT_BYTES {
            all.shrink_to(KEPT_BYTES);
        }
        self.cut = all;
        Ok(())
    }

    /// Shows what is whole, and returns the rest.
    fn whole<'b>(
        &mut self,
        mut bytes: &'b [u8],
        show: &mut impl FnMut(u8, &[u8]),
    ) -> Result<&'b [u8], &'static str> {
        while let Some((head, payload, rest)) = split(bytes)? {
            bytes = rest;
            let (is_last, opcode) = (head & 0x80 != 0, head & 0x0f);
            match opcode {
                CLOSE | PING | PONG => show(opcode, payload),
                TEXT | BINARY if is_last => show(opcode, payload),
                TEXT | BINARY | CONTINUATION => {
                    if opcode != CONTINUATION {
                        self.parts_opcode = opcode;
                        self.parts.clear();
                    }
                    if (self.parts.len() + payload.len()) as u64 > MAX_MESSAGE_BYTES {
                        return Err("a message is too large");
                    }
                    self.parts.extend_from_slice(payload);
                    if is_last {
                        show(self.parts_opcode, &self.parts);
                        self.parts = Vec::new();
                    }
                }
                _ => return Err("an unknown kind of frame"),
            }
        }
        Ok(bytes)
    }
}

type Split<'b> = (u8, &'b [u8], &'b [u8]);

/// The first byte of a frame, its payload, and what follows; nothing where the frame is not whole.
fn split(bytes: &[u8]) -> Result<Option<Split<'_>>, &'static str> {
    let [head, length, rest @ ..] = bytes else { return Ok(None) };
    if length & 0x80 != 0 {
        return Err("a server must not mask its frames");
    }
    if head & 0x70 != 0 {
        return Err("a reserved bit is set");
    }
    let (length, rest) = match length {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        length => (u64::from(*length), rest),
    };
    if length > MAX_MESSAGE_BYTES {
        return Err("a message is too large");
    }
    // It was just seen to be small enough for any address space.
    Ok(rest.split_at_checked(length as usize).map(|(payload, rest)| (*head, payload, rest)))
}

/// Appends a frame, as a client sends it. Its mask is of zeros, so that the payload stands as it is.
pub fn write(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a server sends it.
    fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        write(head & 0x0f, payload, &mut frame);
        frame[0] = head;
        frame[1] &= 0x7f;
        let mask_at = frame.len() - payload.len() - 4;
        frame.drain(mask_at..mask_at + 4);
        frame
    }

    #[test]
    fn messages_are_the_same_however_the_bytes_are_cut() {
        let large = vec![b'x'; 70_000];
        let middle = vec![b'y'; 300];
        let bytes = [
            frame(0x81, b"one"),
            frame(0x89, b"ping"),
            frame(0x81, &middle),
            frame(0x01, b"thr"),
            frame(0x8a, b""),
            frame(0x00, b""),
            frame(0x80, b"ee"),
            frame(0x82, &large),
            frame(0x88, &1000_u16.to_be_bytes()),
        ]
        .concat();
        let wanted: Vec<(u8, Vec<u8>)> = vec![
            (TEXT, b"one".to_vec()),
            (PING, b"ping".to_vec()),
            (TEXT, middle),
            (PONG, Vec::new()),
            (TEXT, b"three".to_vec()),
            (BINARY, large),
            (CLOSE, vec![3, 0xe8]),
        ];
        for size in [1, 2, 3, 7, 64, 1_000, bytes.len()] {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for part in bytes.chunks(size) {
                frames.read(part, |opcode, payload| seen.push((opcode, payload.to_vec()))).unwrap();
            }
            assert_eq!(seen, wanted, "cut every {size} bytes");
            assert!(frames.cut.is_empty() && frames.cut.capacity() <= 2 * KEPT_BYTES);
        }
    }

    #[test]
    fn what_is_no_websocket_is_an_error() {
        for wrong in [
            &[0x81, 0x81, 0, 0, 0, 0, 0][..],
            &[0x83, 0],
            &[0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0],
            b"HTTP/1.1 400 Bad Request\r\n\r\n\r\n",
        ] {
            assert!(Frames::default().read(wrong, |_, _| {}).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_masked_frame_reads_back() {
        for (length, head) in [(0, 6), (1, 6), (125, 6), (126, 8), (65_535, 8), (65_536, 14)] {
            let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut out = Vec::new();
            write(TEXT, &payload, &mut out);
            assert_eq!((out[0], out[1] & 0x80, out.len()), (0x81, 0x80, head + length));
            assert_eq!(out[head - 4..head], [0; 4], "the mask");
            assert_eq!(out[head..], payload);
        }
    }
}
