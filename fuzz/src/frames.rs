//! WebSocket frames for tests: written byte for byte, as no library writes them, and read by what a server has to keep to.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The opcode of a frame that goes on with a message.
pub const CONTINUATION: u8 = 0;
/// The opcode of a text message.
pub const TEXT: u8 = 1;
/// The opcode of a binary message.
pub const BINARY: u8 = 2;
/// The opcode of a close frame.
pub const CLOSE: u8 = 8;
/// The opcode of a ping.
pub const PING: u8 = 9;
/// The opcode of a pong.
pub const PONG: u8 = 10;

/// A frame with a mask.
pub fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut frame = head(fin, opcode, payload.len(), true);
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The first bytes of a frame, up to its mask.
pub fn head(fin: bool, opcode: u8, len: usize, masked: bool) -> Vec<u8> {
    let masked = if masked { 0x80 } else { 0 };
    let mut head = vec![if fin { 0x80 } else { 0 } | opcode];
    match len {
        0..=125 => head.push(masked | len as u8),
        126..=65535 => {
            head.push(masked | 126);
            head.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            head.push(masked | 127);
            head.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    head
}

/// The frame of a server with which bytes begin: its opcode, where its payload begins, and where that ends. Where it is not
/// whole, how many bytes are missing as far as is known.
///
/// # Panics
///
/// It is a fragment, or has a reserved bit or a mask.
pub fn split(bytes: &[u8]) -> Result<(u8, usize, usize), usize> {
    let need = |count: usize| bytes.get(..count).ok_or_else(|| count - bytes.len());
    let begin = need(2)?;
    assert_eq!(begin[0] & 0xf0, 0x80, "whole frames without reserved bits");
    assert_eq!(begin[1] & 0x80, 0, "a server does not mask");
    let start = match begin[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let len = match &need(start)?[2..] {
        [] => usize::from(begin[1]),
        len => len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)),
    };
    need(start + len)?;
    Ok((begin[0] & 0x0f, start, start + len))
}

/// The next frame of a server: its opcode and payload.
///
/// # Errors
///
/// The stream ends, or fails.
///
/// # Panics
///
/// Like [`split`].
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        match split(&bytes) {
            Ok((opcode, start, _)) => return Ok((opcode, bytes.split_off(start))),
            Err(missing) => {
                let from = bytes.len();
                bytes.resize(from + missing, 0);
                stream.read_exact(&mut bytes[from..]).await?;
            }
        }
    }
}
