//! One connection from its first frame to its last byte.
//!
//! ```text
//!            ┌── read ──► Received ──► Hub ──┐
//!  socket ◄──┤              │ ping, close    │ wake
//!            └── write ◄── Peer ◄────────────┘
//! ```
//!
//! Reading and writing are two futures of one task. Neither is ever dropped in the middle of a frame while the other
//! goes on: reading a frame cannot be cancelled without losing the place in the stream. While the writer waits for the
//! socket nothing is taken out of the session, so what is pending folds there, within its limits.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use liveset_core::{CloseCode, Transmit, Violation};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument;

use crate::contain::{Panicked, contain_future};
use crate::peer::Peer;
use crate::shared::Shared;
use crate::telemetry::{self, Ended};
use crate::transport::reader::ServerReader;
use crate::transport::writer::ServerFrames;
use crate::transport::{Encode, Fault, Receive, Received};

/// Bytes that an idle connection may keep for its next batch.
const KEPT_BATCH_BYTES: usize = 4 * 1024;

/// Serves one connection whose handshake is done. Everything that was held for it is freed when this is done, or dropped.
pub(crate) async fn serve<IO>(shared: Arc<Shared>, io: IO)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    shared.ensure_timer();
    let Ok(peer) = shared.connect(tokio::runtime::Handle::current()) else {
        telemetry::panicked("hub");
        tracing::error!("the hub panicked over a new connection; it is dropped");
        return;
    };
    let span = tracing::info_span!("connection", id = ?peer.id());
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

/// A connection that the hub knows; whichever way it ends, the hub is told.
struct Registered {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
}

impl Registered {
    fn release(&self) {
        self.shared.disconnect(&self.peer);
    }
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

/// Which of two futures was done first.
enum Either<A, B> {
    First(A),
    Second(B),
}

/// Awaits whichever is done first; the other stays where it is, and can be awaited further.
async fn either<A: Future, B: Future>(
    mut first: Pin<&mut A>,
    mut second: Pin<&mut B>,
) -> Either<A::Output, B::Output> {
    poll_fn(|cx| {
        if let Poll::Ready(output) = first.as_mut().poll(cx) {
            return Poll::Ready(Either::First(output));
        }
        second.as_mut().poll(cx).map(Either::Second)
    })
    .await
}

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadEnd {
    /// The peer sent a close frame.
    PeerClosed(Option<u16>),
    /// The stream ended or failed.
    Gone,
    /// The stream ended after the peer broke a rule: it may still be waiting for our word on that.
    GoneAfterFault,
}

/// Why writing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteEnd {
    /// A close frame was sent.
    Closed,
    /// The socket failed.
    Broken,
    /// The socket took nothing for too long.
    Stuck,
}

async fn converse<IO>(registered: &Registered, io: IO) -> Ended
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let Registered { shared, peer } = registered;
    let close_timeout = shared.transport.close_timeout;
    let (mut read_half, mut write_half) = tokio::io::split(io);
    let ended = {
        let mut reading = pin!(contain_future(read(shared, peer, &mut read_half)));
        let mut writing = pin!(contain_future(write(shared, peer, &mut write_half)));
        match either(reading.as_mut(), writing.as_mut()).await {
            Either::First(Ok(ReadEnd::Gone)) => return Ended::Gone,
            Either::First(Ok(ReadEnd::GoneAfterFault)) => {
                let _ = timeout(close_timeout, writing).await;
                Ended::ByUs
            }
            Either::First(Ok(ReadEnd::PeerClosed(code))) => {
                // The conversation is over; only our own close frame goes out behind what is on its way.
                registered.release();
                peer.answer_close(code);
                let _ = timeout(close_timeout, writing).await;
                Ended::ByPeer
            }
            Either::First(Err(Panicked)) => {
                telemetry::panicked("connection");
                tracing::error!("reading panicked; the connection is closed");
                registered.release();
                peer.close(CloseCode::Internal.as_u16());
                let _ = timeout(close_timeout, writing).await;
                Ended::Panicked
            }
            Either::Second(Ok(WriteEnd::Closed)) => {
                // "Then read and discard for up to 2 s, then close TCP, so that the peer sees the code."
                registered.release();
                let _ = timeout(close_timeout, reading).await;
                Ended::ByUs
            }
            Either::Second(Ok(WriteEnd::Broken)) => return Ended::Gone,
            Either::Second(Ok(WriteEnd::Stuck)) => return Ended::Stuck,
            Either::Second(Err(Panicked)) => {
                telemetry::panicked("connection");
                tracing::error!("writing panicked; the connection is dropped");
                return Ended::Panicked;
            }
        }
    };
    // Layers below may have a word of their own at the end, as TLS does.
    let _ = timeout(close_timeout, write_half.shutdown()).await;
    ended
}

// --- reading ---

/// Reads until the peer closes or is gone. Once a rule of the transport is broken nothing more is listened to, but it is
/// still read, so that the peer can get to our close frame.
async fn read<IO>(shared: &Arc<Shared>, peer: &Peer, stream: &mut ReadHalf<IO>) -> ReadEnd
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut listening, mut broke_off) = (true, false);
    {
        let mut reader = ServerReader::new(&mut *stream, shared.max_message_bytes, &shared.transport);
        loop {
            let received = reader.receive().await;
            listening &= !peer.is_over();
            match received {
                Received::Text(text) if listening => {
                    telemetry::received(text.len());
                    shared.run_for(peer, |hub, now, conn| hub.handle_text(now, conn, &text));
                }
                Received::Ping(payload) if listening => peer.pong(payload),
                Received::Text(_) | Received::Ping(_) => {}
                Received::Close(code) => return ReadEnd::PeerClosed(code),
                Received::Gone => return if broke_off { ReadEnd::GoneAfterFault } else { ReadEnd::Gone },
                Received::Fault { fault, in_step } => {
                    if std::mem::take(&mut listening) {
                        broke_off = true;
                        break_off(shared, peer, fault);
                    }
                    if !in_step {
                        break;
                    }
                }
            }
        }
    }
    discard(stream).await;
    ReadEnd::GoneAfterFault
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

/// Reads bytes that mean nothing any more, to the end.
async fn discard<IO>(stream: &mut ReadHalf<IO>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut scrap = vec![0; 4 * 1024];
    while matches!(stream.read(&mut scrap).await, Ok(read) if read > 0) {}
}

// --- writing ---

/// Sends whatever there is, until a close frame was sent or the socket takes no more.
async fn write<IO>(shared: &Arc<Shared>, peer: &Peer, stream: &mut WriteHalf<IO>) -> WriteEnd
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
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
            let last = send_all(shared, peer, stream, &mut batch);
            let _ = timeout(shared.transport.close_timeout, last).await;
            WriteEnd::Stuck
        }
    }
}

/// Frames on their way to the socket.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    sent: usize,
    /// The text of one message, before it has its header.
    text: Vec<u8>,
    frames: u64,
    /// The last frame is a close frame.
    closes: bool,
    /// Something was written that was not flushed.
    dirty: bool,
}

enum SendError {
    Broken,
    Stuck,
}

async fn send_all<IO>(
    shared: &Arc<Shared>,
    peer: &Peer,
    stream: &mut WriteHalf<IO>,
    batch: &mut Batch,
) -> Result<(), SendError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let limit = shared.transport.write_timeout;
    loop {
        let batch_ends = after(shared.transport.batch_timeout);
        while batch.sent < batch.bytes.len() {
            // "Unwritable" is a socket that takes not a byte; a slow one is served at its pace, within reason.
            match timeout_at(batch_ends.min(after(limit)), stream.write(&batch.bytes[batch.sent..])).await {
                Ok(Ok(written)) if written > 0 => batch.sent += written,
                Ok(_) => return Err(SendError::Broken),
                Err(_) => return Err(SendError::Stuck),
            }
            batch.dirty = true;
        }
        if !batch.bytes.is_empty() {
            telemetry::sent(batch.frames, batch.bytes.len());
        }
        let closed = batch.closes;
        batch.clear();
        if !closed {
            gather(shared, peer, batch);
        }
        if !batch.bytes.is_empty() {
            continue;
        }
        // One flush for all that was written since the last.
        if std::mem::take(&mut batch.dirty) {
            match timeout(limit, stream.flush()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(SendError::Broken),
                Err(_) => return Err(SendError::Stuck),
            }
        }
        if closed {
            return Ok(());
        }
        batch.rest();
        peer.woken().await;
    }
}

/// The moment after `wait`, or far away where that cannot be said: limits are the host's and may be anything.
fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + Duration::from_secs(86_400))
}

/// Takes out of the session what fits into one write. Not before the socket is ready for it: what waits there folds.
fn gather(shared: &Arc<Shared>, peer: &Peer, batch: &mut Batch) {
    let orders = peer.take_orders();
    if let Some(payload) = orders.pong {
        batch.frames += 1;
        ServerFrames::pong(&payload, &mut batch.bytes);
    }
    if let Some(code) = orders.close {
        batch.closes = true;
        ServerFrames::close(code, &mut batch.bytes);
        return;
    }
    let max = shared.transport.batch_bytes;
    shared.run_for(peer, |hub, now, conn| {
        while batch.bytes.len() < max.max(1) {
            batch.text.clear();
            match hub.poll_transmit(now, conn, &mut batch.text) {
                Some(Transmit::Text) => {
                    batch.frames += 1;
                    ServerFrames::text(&batch.text, &mut batch.bytes);
                }
                Some(Transmit::Close(code)) => {
                    batch.closes = true;
                    ServerFrames::close(Some(code.as_u16()), &mut batch.bytes);
                    return;
                }
                None => return,
            }
        }
    });
}

impl Batch {
    fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.frames = 0;
    }

    /// Nothing is to be sent for now: an idle connection keeps little.
    fn rest(&mut self) {
        self.bytes.shrink_to(KEPT_BATCH_BYTES);
        self.text.clear();
        self.text.shrink_to(KEPT_BATCH_BYTES);
    }
}
