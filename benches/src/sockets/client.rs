//! A client that folds what it is sent.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use liveset_cli::load::{
    frames::{CLOSE, TEXT},
    link::{Link, NARROW, Way},
    lock,
};
use liveset_core::{ClientEvent, ClientLimits, ClientSession, Monotonic};

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
    link: Link,
    held: Arc<Mutex<Held>>,
    began: Instant,
}

/// A way to a server of our own: by HTTP, or by frames that begin at once; `narrow` for a client that reads slowly.
pub(super) fn way(port: u16, http: bool, narrow: bool) -> Way<'static> {
    Way {
        address: ([127, 0, 0, 1], port).into(),
        upgrade: http.then_some(("localhost", "/ws")),
        receive_buffer: narrow.then_some(NARROW),
    }
}

impl Client {
    pub(super) async fn connect(way: Way<'_>) -> io::Result<Self> {
        let session = ClientSession::new(ClientLimits::default(), Monotonic::default());
        let held = Held { session, end: None, messages: 0, bytes: 0 };
        Ok(Self { link: way.connect().await?, held: Arc::new(Mutex::new(held)), began: Instant::now() })
    }

    /// For those who look.
    pub(super) fn shared(&self) -> Arc<Mutex<Held>> {
        self.held.clone()
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }

    pub(super) fn end(&self, end: End) {
        self.held().end.get_or_insert(end);
    }

    /// Sends what the session has to say.
    pub(super) async fn flush(&mut self) {
        let mut text = Vec::new();
        while self.held().session.poll_transmit(&mut text) {
            self.link.say(TEXT, &text);
            text.clear();
        }
        // What the server said before it went may still be read.
        let _ = self.link.flush().await;
    }

    /// Waits for something and takes it in, and answers what is to be answered. False at the end. May be dropped while it
    /// waits.
    pub(super) async fn read(&mut self, mut see: impl FnMut(&ClientSession, ClientEvent)) -> bool {
        let now = Monotonic::from_epoch(self.began.elapsed());
        let held = &self.held;
        let read = self.link.read(|bytes, frames, _| {
            let held = &mut *lock(held);
            held.bytes += bytes.len() as u64;
            let read = frames.read(bytes, |opcode, payload| match opcode {
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
            if let Err(error) = read {
                held.end.get_or_insert_with(|| End::Fault(error.into()));
            }
            Ok(())
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
            self.link.say(CLOSE, &1000_u16.to_be_bytes());
            let _ = self.link.flush().await;
        } else {
            self.link.break_off();
        }
    }
}
