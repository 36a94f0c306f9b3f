//! The client's end of the wire, as cheap as it can be: frames out of bytes, and bytes that every connection reads into.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::{TcpSocket, TcpStream},
};

pub(super) const TEXT: u8 = 1;
pub(super) const CLOSE: u8 = 8;

thread_local! {
    /// Connections hold no buffer of their own: what was read is dealt with at once.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1_024]);
}

/// How a client connects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) address: SocketAddr,
    /// Bytes that the kernel may hold for us unread; the system's default where there is none.
    pub(super) receive_buffer: Option<u32>,
    /// With the opening handshake over HTTP; else the frames begin at once.
    pub(super) http: bool,
}

impl Way {
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let mut stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        if self.http {
            upgrade(&mut stream).await?;
        }
        Ok(stream)
    }
}

async fn upgrade(stream: &mut TcpStream) -> io::Result<()> {
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    // The server says nothing behind its answer before we do.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
    }
    Ok(())
}

/// Waits for bytes and shows them. 0 at the end.
pub(super) async fn read_some(stream: &mut TcpStream, mut see: impl FnMut(&[u8])) -> io::Result<usize> {
    poll_fn(|cx| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
            see(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    })
    .await
}

/// Appends a whole frame. The mask is of zeros: the payload stands as it is.
pub(super) fn append_frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Frames out of bytes as they come.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The beginning of a frame that is not whole yet.
    partial: Vec<u8>,
}

impl Frames {
    /// Takes bytes and hands over the frames that are whole now: opcode and payload.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(u8, &[u8])) {
        let mut left = bytes;
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(bytes);
            let all = std::mem::take(&mut self.partial);
            left = &all;
            while let Some((opcode, payload, rest)) = split(left) {
                each(opcode, payload);
                left = rest;
            }
            self.partial = left.to_vec();
            return;
        }
        while let Some((opcode, payload, rest)) = split(left) {
            each(opcode, payload);
            left = rest;
        }
        self.partial.extend_from_slice(left);
    }
}

/// The first frame of a server: opcode, payload, and what follows.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = match head[1] {
        126 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*len) as usize, rest)
        }
        len => (usize::from(len), rest),
    };
    let (payload, rest) = rest.split_at_checked(len)?;
    Some((head[0] & 0x0f, payload, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_the_bytes_are_cut() {
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x88, 0, 0x81, 126, 0, 200];
        bytes.extend([b'x'; 200]);
        bytes.extend([0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        bytes.extend([b'y'; 65_536]);
        for cut in 1..300 {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for piece in bytes.chunks(cut) {
                frames.push(piece, |opcode, payload| seen.push((opcode, payload.len())));
            }
            assert_eq!(seen, [(TEXT, 2), (CLOSE, 0), (TEXT, 200), (TEXT, 65_536)], "in pieces of {cut}");
        }
    }
}
