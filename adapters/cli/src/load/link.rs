//! One WebSocket connection of a client. Ten thousand of them are read by one process: bytes are read into a buffer that
//! all connections of a thread share, a message is looked at where it lies, and only what is cut in two is kept.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Poll, ready};

use fastwebsockets::handshake;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use super::frames::{Frames, write};

/// What is read at once, for all connections of a thread.
const READ_BYTES: usize = 128 * 1024;
/// The largest head of the answer to a handshake.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// The mask of what is said here: the payload stands as it is.
pub const NO_MASK: u32 = 0;
/// What the system is asked to hold for a connection that stalls; it makes it as small as it can.
pub const NARROW: u32 = 4 * 1024;

/// The way by which a client connects.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// Where to.
    pub address: SocketAddr,
    /// `Host` and path of the opening handshake; without them, frames begin at once.
    pub upgrade: Option<(&'a str, &'a str)>,
    /// Bytes that the kernel may hold for us unread; the system's default where there is none.
    pub receive_buffer: Option<u32>,
}

impl Way<'_> {
    /// Connects and upgrades. Bound it by a deadline.
    ///
    /// # Errors
    ///
    /// There is no connection, or no WebSocket.
    pub async fn connect(&self) -> io::Result<Link> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let mut stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        if let Some((host, path)) = self.upgrade {
            upgrade(&mut stream, host, path).await?;
        }
        Ok(Link { stream, frames: Frames::default(), out: Vec::new() })
    }
}

async fn upgrade(stream: &mut TcpStream, host: &str, path: &str) -> io::Result<()> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n",
        handshake::generate_key()
    );
    stream.write_all(request.as_bytes()).await?;
    // The server says nothing more until it is spoken to, so that nothing behind the head can be lost.
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD_BYTES {
            return Err(io::Error::other("the answer to the handshake is too long"));
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::other("the server hung up during the handshake"));
        }
        let status = head.get(..12);
        if status.is_some_and(|status| status != b"HTTP/1.1 101") {
            let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
            return Err(io::Error::other(format!("no WebSocket there: {}", String::from_utf8_lossy(line))));
        }
    }
    Ok(())
}

/// A connection.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    frames: Frames,
    /// Frames that are to be written.
    out: Vec<u8>,
}

impl Link {
    /// Puts a frame into the queue.
    pub fn say(&mut self, opcode: u8, payload: &[u8]) {
        write(opcode, payload, NO_MASK, &mut self.out);
    }

    /// Writes what is queued. Can be dropped and called again.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                // Nothing is held for a connection to which nothing happens.
                written if written == self.out.len() => self.out = Vec::new(),
                written => drop(self.out.drain(..written)),
            }
        }
        Ok(())
    }

    /// Waits for bytes, and shows them with what takes frames out of them and the queue of answers. Returns how many
    /// came: 0 at the end. Can be dropped and called again.
    ///
    /// # Errors
    ///
    /// The connection is lost, or `see` has failed.
    pub async fn read(
        &mut self,
        mut see: impl FnMut(&[u8], &mut Frames, &mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<usize> {
        thread_local! {
            static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
        }
        poll_fn(|context| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
                let bytes = buffer.filled();
                if !bytes.is_empty() {
                    see(bytes, &mut self.frames, &mut self.out)?;
                }
                Poll::Ready(Ok(bytes.len()))
            })
        })
        .await
    }

    /// Ends without waiting states of TCP, as if the machine had gone.
    pub fn break_off(&self) {
        // Where that is not to be had, the port is blocked for a while.
        let _ = self.stream.set_zero_linger();
    }
}
