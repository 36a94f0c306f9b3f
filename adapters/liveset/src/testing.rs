//! The transport without the protocol: for suites that test WebSockets. Nothing here is a part of the public interface.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use crate::limits::TransportLimits;
use crate::transport::conversation::{Owner, WriteEnd, converse};
use crate::transport::reader::ServerReader;
use crate::transport::writer::ServerFrames;
use crate::transport::{Encode, Fault};

/// So many bytes wait to be sent back before no more are read.
const AHEAD_BYTES: usize = 64 * 1024;

/// Sends each message back as it came, text and binary, to the end of the connection; pings, faults and closing are dealt
/// with as the endpoint does, by the same code. `io` is a WebSocket whose handshake is done.
pub async fn echo<IO>(io: IO, max_message_bytes: usize, limits: TransportLimits)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let echo = Echo {
        max_message_bytes,
        limits,
        outbox: Mutex::default(),
        wake: Notify::new(),
        emptied: Notify::new(),
    };
    let ended = converse(&echo, io).await;
    tracing::debug!(?ended, "closed");
}

struct Echo {
    max_message_bytes: usize,
    limits: TransportLimits,
    outbox: Mutex<Outbox>,
    wake: Notify,
    emptied: Notify,
}

/// What is to be sent.
#[derive(Default)]
struct Outbox {
    frames: Vec<u8>,
    pong: Option<Vec<u8>>,
    close: Option<Option<u16>>,
    /// The writer has taken something that it is still sending.
    is_sending: bool,
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.pong.is_none() && self.close.is_none()
    }
}

impl Echo {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, put: impl FnOnce(&mut Outbox)) {
        put(&mut self.outbox());
        self.wake.notify_one();
    }

    /// Takes the frames to be sent next; the last of them may be a close frame.
    fn take(&self) -> (Vec<u8>, bool) {
        let mut outbox = self.outbox();
        let mut frames = Vec::new();
        if let Some(payload) = outbox.pong.take() {
            ServerFrames::pong(&payload, &mut frames);
        }
        frames.append(&mut outbox.frames);
        let close = outbox.close.take();
        if let Some(code) = close {
            ServerFrames::close(code, &mut frames);
        }
        outbox.is_sending = !frames.is_empty();
        (frames, close.is_some())
    }

    /// Waits until no more than so many bytes wait.
    async fn wait_below(&self, bytes: usize) {
        loop {
            let mut emptied = pin!(self.emptied.notified());
            emptied.as_mut().enable();
            {
                let outbox = self.outbox();
                let is_done = outbox.is_empty() && !outbox.is_sending;
                if is_done || (bytes > 0 && outbox.frames.len() <= bytes) {
                    return;
                }
            }
            emptied.await;
        }
    }
}

impl Owner for Echo {
    fn reader<R: AsyncRead + Unpin + Send>(&self, stream: R) -> ServerReader<R> {
        let mut reader = ServerReader::new(stream, self.max_message_bytes, &self.limits);
        reader.take_binary();
        reader
    }

    fn close_timeout(&self) -> Duration {
        self.limits.close_timeout
    }

    fn is_listening(&self) -> bool {
        self.outbox().close.is_none()
    }

    async fn handle_text(&self, text: BytesMut) {
        self.put(|outbox| ServerFrames::text(&text, &mut outbox.frames));
        self.wait_below(AHEAD_BYTES).await;
    }

    async fn handle_binary(&self, bytes: BytesMut) {
        self.put(|outbox| ServerFrames::binary(&bytes, &mut outbox.frames));
        self.wait_below(AHEAD_BYTES).await;
    }

    fn handle_ping(&self, payload: Vec<u8>) {
        self.put(|outbox| outbox.pong = Some(payload));
    }

    fn handle_fault(&self, fault: Fault) {
        let code = match fault {
            Fault::Protocol => 1002,
            Fault::Binary => 1003,
            Fault::Utf8 => 1007,
            Fault::Flood => 1008,
            Fault::TooLarge => 1009,
        };
        self.close(Some(code));
    }

    async fn write<W: AsyncWrite + Unpin + Send>(&self, stream: &mut W) -> WriteEnd {
        loop {
            let (frames, closes) = self.take();
            if frames.is_empty() {
                self.emptied.notify_waiters();
                self.wake.notified().await;
                continue;
            }
            let writing = async {
                stream.write_all(&frames).await?;
                stream.flush().await
            };
            match tokio::time::timeout(self.limits.write_timeout, writing).await {
                Ok(Ok(())) if closes => return WriteEnd::Closed,
                Ok(Ok(())) => self.emptied.notify_waiters(),
                Ok(Err(_)) => return WriteEnd::Broken,
                Err(_) => return WriteEnd::Stuck,
            }
        }
    }

    async fn sent_all(&self) {
        self.wait_below(0).await;
    }

    fn release(&self) {}

    fn close(&self, code: Option<u16>) {
        self.put(|outbox| {
            outbox.close.get_or_insert(code);
        });
    }
}
