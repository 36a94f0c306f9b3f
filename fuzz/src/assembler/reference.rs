//! What RFC 6455 says about a stream, by code that looks at all of it at once and shares nothing with the transport's.

use liveset::fuzzing::{Fault, Received};

use super::frames::Setup;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame of which at least the head is there.
struct Frame {
    fin: bool,
    opcode: u8,
    /// Its head breaks a rule.
    is_wrong: bool,
    /// Where the payload begins, and where it would end.
    start: usize,
    end: u64,
    /// Without the mask, as far as it is there.
    payload: Vec<u8>,
}

/// What is to be received, and after how many bytes of the stream. Nothing follows a close; after a fault only one.
pub(super) fn read(stream: &[u8], setup: &Setup) -> Vec<(Received, usize)> {
    let mut all = Vec::new();
    let mut message: Option<(u8, Vec<u8>, usize)> = None;
    let mut control_frames = 0;
    let mut is_broken = false;
    let mut at = 0;
    while let Some(frame) = head(stream, at) {
        let whole = usize::try_from(frame.end).ok().filter(|end| *end <= stream.len());
        let is_control = frame.opcode >= CLOSE;
        let was_broken = is_broken;
        if !is_broken {
            let fault = match (frame.is_wrong, frame.opcode, &message) {
                (true, ..) => Some(Fault::Protocol),
                (_, CLOSE.., _) => None,
                (_, TEXT | BINARY, Some(_)) | (_, 0, None) => Some(Fault::Protocol),
                (_, BINARY, None) if !setup.takes_binary => Some(Fault::Binary),
                _ => {
                    let (_, bytes, fragments) = message.get_or_insert_with(|| (frame.opcode, Vec::new(), 0));
                    *fragments += 1;
                    let sum = (frame.end - frame.start as u64) as u128 + bytes.len() as u128;
                    let is_too_large =
                        *fragments > setup.max_fragments.max(1) || sum > setup.max_bytes as u128;
                    is_too_large.then_some(Fault::TooLarge)
                }
            };
            if let Some(fault) = fault {
                all.push((Received::Fault(fault), frame.start));
                is_broken = true;
            }
        }
        if !is_broken
            && !is_control
            && let Some((opcode, bytes, _)) = &mut message
        {
            let before = bytes.len();
            bytes.extend_from_slice(&frame.payload);
            if *opcode == TEXT
                && let Some(wrong) = first_wrong(bytes)
            {
                all.push((Received::Fault(Fault::Utf8), frame.start + wrong - before));
                is_broken = true;
            }
        }
        let Some(end) = whole else { break };
        if frame.opcode == CLOSE && (was_broken || is_broken) {
            // The answer to our own, or as good as one.
            let code = if frame.is_wrong { None } else { close_code(&frame.payload).unwrap_or_default() };
            all.push((Received::Close(code), end));
            break;
        }
        if is_broken {
            at = end;
            continue;
        }
        let received = match frame.opcode {
            CLOSE => match close_code(&frame.payload) {
                Ok(code) => Some(Received::Close(code)),
                Err(fault) => {
                    all.push((Received::Fault(fault), end));
                    Some(Received::Close(None))
                }
            },
            PING | PONG if control_frames == setup.control_frames => Some(Received::Fault(Fault::Flood)),
            PING | PONG => {
                control_frames += 1;
                (frame.opcode == PING).then_some(Received::Ping(frame.payload))
            }
            _ if frame.fin => message.take().map(|(opcode, bytes, _)| match opcode {
                TEXT if std::str::from_utf8(&bytes).is_err() => Received::Fault(Fault::Utf8),
                TEXT => Received::Text(bytes[..].into()),
                _ => Received::Binary(bytes[..].into()),
            }),
            _ => None,
        };
        is_broken = matches!(received, Some(Received::Fault(_)));
        let is_last = matches!(received, Some(Received::Close(_)));
        all.extend(received.map(|received| (received, end)));
        if is_last {
            break;
        }
        at = end;
    }
    all
}

/// The frame that begins at `at`; `None` where its head is not whole.
fn head(stream: &[u8], at: usize) -> Option<Frame> {
    let number = |from: usize, bytes: usize| {
        let bytes = stream.get(from..from + bytes)?;
        Some(bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let (first, second) = (*stream.get(at)?, *stream.get(at + 1)?);
    let (fin, reserved, opcode) = (first >> 7 == 1, first >> 4 & 7, first & 15);
    let (len, mut start, is_shortest) = match second & 127 {
        126 => (number(at + 2, 2)?, at + 4, number(at + 2, 2)? > 125),
        127 => (number(at + 2, 8)?, at + 10, number(at + 2, 8)? > 0xffff),
        len => (u64::from(len), at + 2, true),
    };
    let is_masked = second >> 7 == 1;
    let mut mask = [0; 4];
    if is_masked {
        mask.copy_from_slice(stream.get(start..start + 4)?);
        start += 4;
    }
    let is_known = matches!(opcode, 0..=2 | 8..=10);
    let is_wrong = reserved != 0
        || !is_masked
        || !is_shortest
        || len >> 63 == 1
        || !is_known
        || (opcode >= CLOSE && (!fin || len > 125));
    let end = (start as u64).saturating_add(len);
    let there = usize::try_from(end).unwrap_or(usize::MAX).min(stream.len());
    let payload = stream[start..there].iter().enumerate().map(|(n, byte)| byte ^ mask[n % 4]).collect();
    Some(Frame { fin, opcode, is_wrong, start, end, payload })
}

/// After how many bytes it is certain that this does not begin any text.
fn first_wrong(bytes: &[u8]) -> Option<usize> {
    let is_wrong = |bytes| std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_some());
    let valid = std::str::from_utf8(bytes).err()?.valid_up_to();
    (valid..=bytes.len()).find(|len| is_wrong(&bytes[..*len]))
}

/// RFC 6455, 7.4, and the registry: what may be in a frame.
fn close_code(body: &[u8]) -> Result<Option<u16>, Fault> {
    if body.is_empty() {
        return Ok(None);
    }
    let Some((code, reason)) = body.split_first_chunk() else { return Err(Fault::Protocol) };
    match u16::from_be_bytes(*code) {
        1004..=1006 | 1015 => Err(Fault::Protocol),
        code @ (1000..=1014 | 3000..=4999) if std::str::from_utf8(reason).is_ok() => Ok(Some(code)),
        1000..=1014 | 3000..=4999 => Err(Fault::Utf8),
        _ => Err(Fault::Protocol),
    }
}
