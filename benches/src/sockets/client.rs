//! A client that folds what it is sent.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use liveset_core::{ClientEvent, ClientLimits, ClientSession, Moment};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::wire::{CLOSE, Frames, TEXT, Way, append_frame, read_some};

/// What others may look at while the client goes on.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) session: ClientSession,
    /// How the connection ended.
    pub(super) end: Option<End>,
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// The server sent a close frame with this code.
    Closed(u16),
    /// The stream ended without one.
    Cut,
    /// We left.
    Left,
    /// The server said what it may not say.
    Fault(String),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    frames: Frames,
    held: Arc<Mutex<Held>>,
    began: Instant,
    out: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(way: Way) -> io::Result<Self> {
        let stream = way.connect().await?;
        let session = ClientSession::new(ClientLimits::default(), Moment::default());
        let held = Held { session, end: None, messages: 0, bytes: 0 };
        Ok(Self {
            stream,
            frames: Frames::default(),
            held: Arc::new(Mutex::new(held)),
            began: Instant::now(),
            out: Vec::new(),
        })
    }

    /// For those who look.
    pub(super) fn shared(&self) -> Arc<Mutex<Held>> {
        self.held.clone()
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end(&self, end: End) {
        self.held().end.get_or_insert(end);
    }

    /// Sends what the session has to say.
    pub(super) async fn flush(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        {
            let (mut held, mut text) = (self.held(), Vec::new());
            while held.session.poll_transmit(&mut text) {
                append_frame(TEXT, &text, &mut out);
                text.clear();
            }
        }
        if !out.is_empty() && self.stream.write_all(&out).await.is_err() {
            // What the server said before it went may still be read.
        }
        out.clear();
        self.out = out;
    }

    /// Waits for something and takes it in, and answers what is to be answered. False at the end. May be dropped while it
    /// waits.
    pub(super) async fn read(&mut self, mut see: impl FnMut(&ClientSession, ClientEvent)) -> bool {
        let (frames, held) = (&mut self.frames, &self.held);
        let now = Moment::from_epoch(self.began.elapsed());
        let read = read_some(&mut self.stream, |bytes| {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            let held = &mut *held;
            held.bytes += bytes.len() as u64;
            frames.push(bytes, |opcode, payload| match opcode {
                _ if held.end.is_some() => {}
                TEXT => {
                    held.messages += 1;
                    if let Err(error) = held.session.handle_text(now, payload) {
                        let text = String::from_utf8_lossy(&payload[..payload.len().min(200)]);
                        held.end = Some(End::Fault(format!("{error}: {text}")));
                    }
                    while let Some(event) = held.session.poll_event() {
                        see(&held.session, event);
                    }
                }
                CLOSE => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    held.end = Some(End::Closed(code));
                }
                other => held.end = Some(End::Fault(format!("a frame of opcode {other}"))),
            });
        });
        if !matches!(read.await, Ok(1..)) {
            self.end(End::Cut);
        }
        if self.held().end.is_some() {
            return false;
        }
        self.flush().await;
        true
    }

    /// Ends the connection politely, or as if the machine had gone.
    pub(super) async fn leave(&mut self, polite: bool) {
        self.end(End::Left);
        if polite {
            let mut out = Vec::new();
            append_frame(CLOSE, &1000_u16.to_be_bytes(), &mut out);
            let _ = self.stream.write_all(&out).await;
        } else {
            let _ = self.stream.set_zero_linger();
        }
    }
}
