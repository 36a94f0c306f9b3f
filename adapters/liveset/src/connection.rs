//! One connection from its first frame to its last byte.
//!
//! ```text
//!            ┌── read ──► Received ──► Hub ──┐
//!  socket ◄──┤              │ ping, close    │ wake
//!            └── write ◄── Peer ◄────────────┘
//! ```
//!
//! How reading and writing take turns, and how they end, is the transport's [`converse`]. While the writer waits for the
//! socket nothing is taken out of the session, so what is pending folds there, within its limits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use liveset_core::{CloseCode, Transmit, Violation};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument;

use crate::address::ClientAddress;
use crate::contain::{Panicked, contain};
use crate::limits::TransportLimits;
use crate::outbox::Frames;
use crate::peer::Peer;
use crate::shared::{AFTER_PAUSE, PAUSE, Shared};
use crate::telemetry::{self, Ended};
use crate::transport::Fault;
use crate::transport::conversation::{Either, Owner, WriteEnd, converse, either};
use crate::transport::reader::ServerReader;
use crate::transport::writer::ServerFrames;

/// Serves one connection whose handshake is done. Everything that was held for it is freed when this is done, or dropped.
pub(crate) async fn serve<IO>(shared: Arc<Shared>, io: IO, address: Option<ClientAddress>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    shared.require_timer();
    let Ok(peer) = shared.connect(tokio::runtime::Handle::current(), address) else {
        telemetry::panicked("hub");
        tracing::error!("the hub panicked over a new connection; it is dropped");
        return;
    };
    let span = peer.span().clone();
    // Dropped last: whoever waits until it is gone finds how it ended counted.
    let _open = Open { shared: shared.clone(), peer: peer.clone() };
    let registered = Registered { shared, peer };
    let mut counted = Counted(Ended::Dropped);
    let how = &mut counted.0;
    async move {
        tracing::debug!("opened");
        let aborted = registered.peer.aborted();
        let ended = match either(pin!(converse(&registered, io)), pin!(aborted)).await {
            Either::First(ended) => ended,
            Either::Second(()) => Ended::Aborted,
        };
        *how = ended;
        tracing::debug!(?ended, "closed");
    }
    .instrument(span)
    .await;
}

/// A connection that is not closed yet, though the hub may have let it go.
struct Open {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.forget(&self.peer);
    }
}

/// A connection that the hub knows; whichever way it ends, the hub is told.
struct Registered {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.release();
    }
}

/// How the connection ended, counted also where the host drops it.
struct Counted(Ended);

impl Drop for Counted {
    fn drop(&mut self) {
        telemetry::ended(self.0);
    }
}

impl Owner for Registered {
    fn reader<R: AsyncRead + Unpin + Send>(&self, stream: R) -> ServerReader<R> {
        ServerReader::new(stream, self.shared.sizes.message_bytes, &self.shared.transport)
    }

    fn close_timeout(&self) -> Duration {
        self.shared.transport.close_timeout
    }

    fn is_listening(&self) -> bool {
        !self.peer.is_over()
    }

    async fn handle_text(&self, text: BytesMut) {
        telemetry::received(text.len());
        // Nobody waits while the text is read.
        let parser = &self.shared.parser;
        let read = match self.peer.is_known() {
            true => contain(|| parser.message(&text)),
            false => contain(|| parser.early_message(&text)),
        };
        drop(text);
        self.shared.run_for(&self.peer, |hub, now, conn| match read {
            Ok(message) => hub.handle_message(now, conn, message),
            Err(Panicked) => {
                tracing::error!(
                    "a message of this connection made its parser panic; the connection is closed"
                );
                hub.fail(now, conn);
            }
        });
    }

    fn handle_ping(&self, payload: Vec<u8>) {
        self.peer.pong(payload);
    }

    fn handle_fault(&self, fault: Fault) {
        break_off(&self.shared, &self.peer, fault);
    }

    async fn write<W: AsyncWrite + Unpin + Send>(&self, stream: &mut W) -> WriteEnd {
        write(&self.shared, &self.peer, stream).await
    }

    async fn sent_all(&self) {
        self.peer.sent_all().await;
    }

    fn release(&self) {
        self.shared.disconnect(&self.peer);
    }

    fn close(&self, code: Option<u16>) {
        self.peer.answer_close(code);
    }
}

fn break_off(shared: &Arc<Shared>, peer: &Peer, fault: Fault) {
    telemetry::fault(fault);
    tracing::debug!(?fault, "the peer broke a rule of the transport");
    let violation = match fault {
        Fault::Protocol => Violation::Protocol,
        Fault::Utf8 => Violation::InvalidUtf8,
        Fault::TooLarge => Violation::TooLarge,
        Fault::Binary => Violation::BinaryMessage,
        // The conversation has no word for it: it never sees control frames.
        Fault::Flood => return peer.close(CloseCode::Policy.as_u16()),
    };
    shared.run_for(peer, |hub, now, conn| hub.handle_violation(now, conn, violation));
}

// --- writing ---

/// Sends whatever there is, until a close frame was sent or the socket takes no more.
async fn write<W>(shared: &Arc<Shared>, peer: &Peer, stream: &mut W) -> WriteEnd
where
    W: AsyncWrite + Unpin + Send,
{
    let mut batch = Batch::default();
    match send_all(shared, peer, stream, &mut batch).await {
        Ok(()) => WriteEnd::Closed,
        Err(SendError::Broken) => WriteEnd::Broken,
        Err(SendError::Stuck) => {
            telemetry::stuck();
            tracing::info!("the peer took nothing for too long; giving it up");
            shared.run_for(peer, |hub, now, conn| {
                hub.overload(now, conn, "the connection could not be written to for too long");
            });
            // It may come back while we go: then it is told why.
            batch.pace = None;
            let last = send_all(shared, peer, stream, &mut batch);
            let _ = timeout(shared.transport.close_timeout, last).await;
            WriteEnd::Stuck
        }
    }
}

/// Frames on their way to the socket.
#[derive(Default)]
struct Batch {
    frames: Frames,
    sent: usize,
    /// Since when the oldest of them waited.
    since: Option<Instant>,
    /// Something was written that was not flushed.
    dirty: bool,
    /// How the socket takes what waits for it; `None` while nothing had to wait since there was last nothing to send.
    pace: Option<Pace>,
    /// The client was sent a ping that it has not answered, as far as is known.
    awaits_pong: bool,
}

/// What a socket has taken since it was last found to take enough.
struct Pace {
    taken: usize,
    until: Instant,
}

impl Pace {
    fn new(limits: &TransportLimits) -> Self {
        Self { taken: 0, until: after(limits.write_timeout) }
    }

    fn take(&mut self, bytes: usize, limits: &TransportLimits) {
        self.taken += bytes;
        if self.taken >= limits.write_bytes.max(1) {
            *self = Self::new(limits);
        }
    }
}

enum SendError {
    Broken,
    Stuck,
}

async fn send_all<W>(
    shared: &Arc<Shared>,
    peer: &Peer,
    stream: &mut W,
    batch: &mut Batch,
) -> Result<(), SendError>
where
    W: AsyncWrite + Unpin + Send,
{
    loop {
        if batch.sent < batch.frames.bytes.len() {
            send(shared, peer, stream, batch).await?;
            telemetry::sent(batch.frames.count, batch.frames.bytes.len(), batch.since.take());
        }
        let closed = batch.frames.close;
        batch.clear();
        if closed.is_none() {
            gather(shared, peer, batch);
        }
        if !batch.frames.bytes.is_empty() {
            continue;
        }
        // One flush for all that was written since the last.
        if std::mem::take(&mut batch.dirty) {
            match timeout(shared.transport.write_timeout, stream.flush()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(SendError::Broken),
                Err(_) => return Err(SendError::Stuck),
            }
        }
        if let Some(code) = closed {
            telemetry::close_sent(code);
            return Ok(());
        }
        batch.frames.rest();
        // Nothing waits any more.
        batch.pace = None;
        peer.woken().await;
    }
}

/// Writes the batch to its end.
async fn send<W>(
    shared: &Arc<Shared>,
    peer: &Peer,
    stream: &mut W,
    batch: &mut Batch,
) -> Result<(), SendError>
where
    W: AsyncWrite + Unpin + Send,
{
    let limits = &shared.transport;
    let mut stalled = None;
    let bytes = &batch.frames.bytes;
    while batch.sent < bytes.len() {
        let mut writing = pin!(stream.write(&bytes[batch.sent..]));
        // Most sockets take it at once: no clock is asked for those.
        let mut waited = false;
        let written = match poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx))).await {
            Poll::Ready(written) => Ok(written),
            Poll::Pending => {
                waited = true;
                stalled.get_or_insert_with(telemetry::Stall::begin);
                let pace = batch.pace.get_or_insert_with(|| Pace::new(limits));
                let until = pace.until;
                // Few sockets wait, so no idle connection holds what that takes.
                let waiting =
                    Box::pin(
                        async move { either(pin!(timeout_at(until, writing)), pin!(peer.hurried())).await },
                    );
                match waiting.await {
                    Either::First(written) => written,
                    Either::Second(()) => {
                        pace.until = pace.until.min(after(limits.close_timeout));
                        continue;
                    }
                }
            }
        };
        let written = match written {
            Ok(Ok(written)) if written > 0 => written,
            Ok(_) => return Err(SendError::Broken),
            Err(_) => match &mut batch.pace {
                // The process stood still, and so may its sockets have.
                Some(pace) if pace.until.elapsed() > PAUSE => {
                    pace.until = after(AFTER_PAUSE);
                    continue;
                }
                _ => return Err(SendError::Stuck),
            },
        };
        batch.sent += written;
        batch.dirty = true;
        if let Some(pace) = &mut batch.pace {
            pace.take(written, limits);
        }
        if waited && batch.awaits_pong {
            // Behind what waited the ping may have left only now.
            shared.run_for(peer, |hub, now, conn| {
                hub.handle_sent(now, conn);
                batch.awaits_pong = hub.awaits_pong(conn);
            });
        }
    }
    Ok(())
}

/// The moment after `wait`, or far away where that cannot be said: limits are the host's and may be anything.
fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + Duration::from_secs(86_400))
}

/// Takes what is ready, and behind it, out of the session, what fits into one write. Not before the socket is ready for it:
/// what waits in the session folds.
fn gather(shared: &Arc<Shared>, peer: &Peer, batch: &mut Batch) {
    let taken = peer.outbox.take(&mut batch.frames);
    batch.since = taken.since;
    if !taken.news || batch.frames.close.is_some() {
        return;
    }
    let max = shared.transport.batch_bytes.max(1);
    let frames = &mut batch.frames;
    let mut more = false;
    shared.run_for(peer, |hub, now, conn| {
        // What came before the lock was ours goes first.
        more = peer.outbox.take(frames).news;
        if frames.close.is_some() {
            return;
        }
        loop {
            if frames.bytes.len() >= max {
                more = true;
                batch.awaits_pong = hub.awaits_pong(conn);
                return;
            }
            let mut close = None;
            let text =
                ServerFrames::text_by(&mut frames.bytes, |out| match hub.poll_transmit(now, conn, out)? {
                    Transmit::Text => Some(()),
                    Transmit::Close(code) => {
                        close = Some(code);
                        None
                    }
                });
            if let Some(code) = close {
                return frames.close(Some(code.as_u16()));
            }
            if text.is_none() {
                more = false;
                batch.awaits_pong = hub.awaits_pong(conn);
                return;
            }
            frames.count += 1;
        }
    });
    if more && frames.close.is_none() {
        peer.wake();
    }
}

impl Batch {
    fn clear(&mut self) {
        self.frames.clear();
        self.sent = 0;
    }
}
