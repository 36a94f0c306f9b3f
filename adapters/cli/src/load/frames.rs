//! WebSocket frames, as little as a client needs of them.

/// Buffers that grew beyond this are given back.
const KEPT_BYTES: usize = 16 * 1024;
/// A larger message is an error: a row may be large.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

const TOO_LARGE: &str = "the server sent a message that is too large";

const CONTINUATION: u8 = 0;
/// A message of text.
pub const TEXT: u8 = 1;
/// A message of bytes.
pub const BINARY: u8 = 2;
/// The end.
pub const CLOSE: u8 = 8;
/// Wants a pong.
pub const PING: u8 = 9;
/// Answers a ping.
pub const PONG: u8 = 10;

/// Takes the bytes of a connection apart.
#[derive(Debug)]
pub struct Frames {
    /// The largest message, in one frame or in many.
    most: usize,
    /// The beginning of a frame whose end did not come yet.
    cut: Vec<u8>,
    /// The opcode of a message that comes in several frames, and what came of it.
    open: Option<(u8, Vec<u8>)>,
}

impl Default for Frames {
    fn default() -> Frames {
        Frames { most: MAX_MESSAGE_BYTES, cut: Vec::new(), open: None }
    }
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
        while let Some((head, payload, rest)) = split(bytes, self.most)? {
            bytes = rest;
            let (is_last, opcode) = (head & 0x80 != 0, head & 0x0f);
            let (opcode, mut message) = match (opcode, self.open.take()) {
                (CLOSE | PING | PONG, open) => {
                    self.open = open;
                    show(opcode, payload);
                    continue;
                }
                (TEXT | BINARY, None) if is_last => {
                    show(opcode, payload);
                    continue;
                }
                (TEXT | BINARY, None) => (opcode, Vec::new()),
                (TEXT | BINARY, Some(_)) => return Err("the server began a message inside of another"),
                (CONTINUATION, Some(open)) => open,
                (CONTINUATION, None) => return Err("the server continued a message that it had not begun"),
                _ => return Err("an unknown kind of frame"),
            };
            if payload.len() > self.most - message.len() {
                return Err(TOO_LARGE);
            }
            message.extend_from_slice(payload);
            match is_last {
                true => show(opcode, &message),
                false => self.open = Some((opcode, message)),
            }
        }
        Ok(bytes)
    }
}

type Split<'b> = (u8, &'b [u8], &'b [u8]);

/// The first byte of a frame, its payload, and what follows; nothing where the frame is not whole.
fn split(bytes: &[u8], most: usize) -> Result<Option<Split<'_>>, &'static str> {
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
    let length = usize::try_from(length).ok().filter(|length| *length <= most).ok_or(TOO_LARGE)?;
    Ok(rest.split_at_checked(length).map(|(payload, rest)| (*head, payload, rest)))
}

/// Appends a masked frame, as a client sends it. The mask confuses proxies that take what clients say for HTTP.
pub fn write(opcode: u8, payload: &[u8], mask: u32, out: &mut Vec<u8>) {
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
    let mask = mask.to_be_bytes();
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a server sends it.
    fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        write(head & 0x0f, payload, 0, &mut frame);
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
    fn fragments_are_joined_up_to_a_limit() {
        let mut frames = Frames { most: 5, ..Frames::default() };
        let mut take = |head, payload: &[u8]| {
            let mut seen = None;
            let taken = frames.read(&frame(head, payload), |opcode, message| {
                seen = Some((opcode, String::from_utf8(message.to_vec()).unwrap()));
            });
            taken.map(|()| seen)
        };
        let seen = |opcode, text: &str| Ok(Some((opcode, text.to_owned())));
        assert_eq!(take(0x81, b"whole"), seen(TEXT, "whole"));
        assert_eq!(take(0x01, b"he"), Ok(None));
        assert_eq!(take(0x00, b""), Ok(None));
        assert_eq!(take(0x80, b"llo"), seen(TEXT, "hello"));
        assert_eq!(take(0x02, b"no"), Ok(None));
        assert_eq!(take(0x80, b"text"), Err(TOO_LARGE));
        assert_eq!(take(0x82, b"no"), seen(BINARY, "no"));
        assert_eq!(take(0x81, b"larger"), Err(TOO_LARGE));
        assert!(take(0x80, b"").is_err());
        assert_eq!(take(0x01, b"abc"), Ok(None));
        assert_eq!(take(0x00, b"def"), Err(TOO_LARGE));
        assert_eq!(take(0x01, b""), Ok(None));
        assert!(take(0x81, b"").is_err(), "inside of another");
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
            write(TEXT, &payload, 0xdead_beef, &mut out);
            let mask = 0xdead_beef_u32.to_be_bytes();
            assert_eq!((out[0], out[1] & 0x80, out.len()), (0x81, 0x80, head + length));
            assert_eq!(out[head - 4..head], mask);
            let read = out[head..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
            assert!(read.eq(payload), "{length}");
        }
    }
}
