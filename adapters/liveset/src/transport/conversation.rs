//! One WebSocket from its first frame to its last byte, whoever owns it.
//!
//! ```text
//!            ┌── read ──► Received ──► Owner::handle_*
//!  socket ◄──┤
//!            └── write ◄── Owner::write
//! ```
//!
//! Reading and writing are two futures of one task. Writing is never dropped in the middle of a frame while anything is
//! still to be sent.
//!
//! How it ends:
//!
//! | what happens | what goes out | then |
//! | --- | --- | --- |
//! | the peer sends a close frame | what was queued before, our close frame with its code | what still comes is thrown away |
//! | the stream ends without one | what was queued before: only the peer's sending side may be closed | |
//! | the peer broke a rule | what was queued before, the close frame that names the rule | what still comes is thrown away |
//! | we close | what was queued before, our close frame | what still comes is thrown away, until the peer's own close frame |
//!
//! Each of these waits is bounded by the limit for closing.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::BytesMut;
use liveset_core::CloseCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::reader::ServerReader;
use super::{Fault, Receive, Received};
use crate::contain::{Panicked, contain_future};
use crate::telemetry::{self, Ended};

/// Who a WebSocket belongs to: takes what arrives, and writes what is to be sent.
pub(crate) trait Owner: Sync {
    /// The reading side, set up as the owner wants it.
    fn reader<R: AsyncRead + Unpin + Send>(&self, stream: R) -> ServerReader<R>;

    /// How long each step of closing may take.
    fn close_timeout(&self) -> std::time::Duration;

    /// Whether what the peer sends still counts.
    fn is_listening(&self) -> bool;

    /// Takes a whole text message. Nothing is read while it is being taken.
    fn handle_text(&self, text: BytesMut) -> impl Future<Output = ()> + Send;

    /// Takes a whole binary message, where the [reader](Self::reader) lets any through.
    fn handle_binary(&self, _bytes: BytesMut) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// The peer pinged: of those not yet answered, the latest is to be.
    fn handle_ping(&self, payload: Vec<u8>);

    /// The peer broke a rule: the close frame that says so is to be sent.
    fn handle_fault(&self, fault: Fault);

    /// Writes what is queued, and what comes to be, until a close frame was sent or the socket takes no more.
    fn write<W: AsyncWrite + Unpin + Send>(&self, stream: &mut W) -> impl Future<Output = WriteEnd> + Send;

    /// Waits until the writer has sent all there is.
    fn sent_all(&self) -> impl Future<Output = ()> + Send;

    /// Nothing that the peer sends counts any more, and what was held for it is freed.
    fn release(&self);

    /// The next frame to be sent is a close frame, with this code or none, and it is the last.
    fn close(&self, code: Option<u16>);
}

/// Why writing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteEnd {
    /// A close frame was sent.
    Closed,
    /// The socket failed.
    Broken,
    /// The socket took nothing for too long.
    Stuck,
}

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadEnd {
    /// The peer sent a close frame.
    PeerClosed(Option<u16>),
    /// The stream ended or failed.
    Gone,
    /// The stream ended, or the peer closed, after it broke a rule: it may still be waiting for our word on that.
    OverAfterFault,
}

/// Serves one WebSocket, whose handshake is done, to its end.
pub(crate) async fn converse<O: Owner, IO>(owner: &O, io: IO) -> Ended
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let limit = owner.close_timeout();
    let (mut read_half, mut write_half) = tokio::io::split(io);
    let mut still_reads = true;
    let ended = {
        let mut reading = pin!(contain_future(read(owner, &mut read_half)));
        let mut writing = pin!(contain_future(owner.write(&mut write_half)));
        match either(reading.as_mut(), writing.as_mut()).await {
            Either::First(Ok(ReadEnd::Gone)) => {
                // The peer may have closed its sending side only, and still be reading its answers.
                let _ = timeout(limit, either(writing.as_mut(), pin!(owner.sent_all()))).await;
                Ended::Gone
            }
            Either::First(Ok(ReadEnd::OverAfterFault)) => {
                let _ = timeout(limit, writing).await;
                Ended::ByUs
            }
            Either::First(Ok(ReadEnd::PeerClosed(code))) => {
                let queued = timeout(limit, either(writing.as_mut(), pin!(owner.sent_all()))).await;
                owner.release();
                // Unless writing has ended of itself, our own close frame is what is left to be said.
                if !matches!(queued, Ok(Either::First(_))) {
                    owner.close(code);
                    let _ = timeout(limit, writing).await;
                }
                Ended::ByPeer
            }
            Either::First(Err(Panicked)) => {
                telemetry::panicked("connection");
                tracing::error!("reading panicked; the connection is closed");
                owner.release();
                owner.close(Some(CloseCode::Internal.as_u16()));
                let _ = timeout(limit, writing).await;
                Ended::Panicked
            }
            Either::Second(Ok(WriteEnd::Closed)) => {
                // "Then read and discard for up to 2 s, then close TCP, so that the peer sees the code."
                owner.release();
                still_reads = timeout(limit, reading).await.is_ok();
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
    owner.release();
    // Layers below may have a word of their own at the end, as TLS does.
    let _ = timeout(limit, write_half.shutdown()).await;
    if still_reads {
        // A socket that is closed over unread bytes is reset, and our last frames may be lost with it.
        let _ = timeout(limit, discard(&mut read_half)).await;
    }
    ended
}

/// Reads until the peer closes or is gone. Once a rule of the transport is broken nothing more is listened to, but it is
/// still read, so that the peer can get to our close frame.
async fn read<O: Owner, R: AsyncRead + Unpin + Send>(owner: &O, stream: R) -> ReadEnd {
    let mut reader = owner.reader(stream);
    let mut broke_off = false;
    loop {
        let received = reader.receive().await;
        let is_listening = !broke_off && owner.is_listening();
        match received {
            Received::Text(text) if is_listening => owner.handle_text(text).await,
            Received::Binary(bytes) if is_listening => owner.handle_binary(bytes).await,
            Received::Ping(payload) if is_listening => {
                owner.handle_ping(payload);
                // Pongs overtake each other only where the socket is the slower one: the writer goes first.
                tokio::task::yield_now().await;
            }
            Received::Fault(fault) if is_listening => {
                broke_off = true;
                owner.handle_fault(fault);
            }
            Received::Text(_) | Received::Binary(_) | Received::Ping(_) | Received::Fault(_) => {}
            Received::Close(_) | Received::Gone if broke_off => return ReadEnd::OverAfterFault,
            Received::Close(code) => return ReadEnd::PeerClosed(code),
            Received::Gone => return ReadEnd::Gone,
        }
    }
}

/// Reads bytes that mean nothing any more, to the end.
async fn discard<R: AsyncRead + Unpin>(stream: &mut R) {
    let mut scrap = vec![0; 4 * 1024];
    while matches!(stream.read(&mut scrap).await, Ok(read) if read > 0) {}
}

/// Which of two futures was done first.
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Awaits whichever is done first; the other stays where it is, and can be awaited further.
pub(crate) async fn either<A: Future, B: Future>(
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
