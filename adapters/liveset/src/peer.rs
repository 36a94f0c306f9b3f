//! One connection, as others see it: how to wake it, close it, cut it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use liveset_hub::ConnectionId;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::address::ClientAddress;
use crate::outbox::Outbox;

/// Shared by a connection's reader and writer, and by everyone who has something for it.
#[derive(Debug)]
pub(crate) struct Peer {
    id: ConnectionId,
    runtime: Handle,
    address: Option<ClientAddress>,
    since: Instant,
    span: tracing::Span,
    pub(crate) outbox: Outbox,
    /// The writer has sent all there was.
    rest: Notify,
    abort: Notify,
    /// The other end seems to be gone.
    hurry: Notify,
    /// The hub does not know the connection any more.
    over: AtomicBool,
    /// A token of the connection was accepted.
    known: AtomicBool,
    /// A panic was put down to the connection.
    failed: AtomicBool,
    verifications: Mutex<Vec<AbortHandle>>,
}

impl Peer {
    pub(crate) fn new(id: ConnectionId, runtime: Handle, address: Option<ClientAddress>) -> Self {
        Self {
            id,
            runtime,
            address,
            since: Instant::now(),
            span: tracing::info_span!("connection", %id),
            outbox: Outbox::default(),
            rest: Notify::new(),
            abort: Notify::new(),
            hurry: Notify::new(),
            over: AtomicBool::new(false),
            known: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            verifications: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// The runtime that the connection is served on.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Where the connection comes from, if the host said so.
    pub(crate) fn address(&self) -> Option<ClientAddress> {
        self.address
    }

    /// How long it is there.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether it is known whose messages these are: then they are worth being read in full.
    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    pub(crate) fn set_known(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    /// The session has, or may have, something to send.
    pub(crate) fn wake(&self) {
        wake(self.outbox.announce(Instant::now()));
    }

    /// The writer, which has sent all there is, waits for more.
    pub(crate) async fn woken(&self) {
        poll_fn(|cx| {
            let polled = self.outbox.poll_ready(cx);
            if polled.is_pending() {
                self.rest.notify_waiters();
            }
            polled
        })
        .await;
    }

    /// Waits until the writer has sent all there is.
    pub(crate) async fn sent_all(&self) {
        let mut sent = pin!(self.rest.notified());
        sent.as_mut().enable();
        // What was queued before may not have been announced, and the writer may be at rest: it looks once more.
        self.wake();
        sent.await;
    }

    /// In which everything that concerns the connection is logged.
    pub(crate) fn span(&self) -> &tracing::Span {
        &self.span
    }

    /// Ends the connection without another word.
    pub(crate) fn abort(&self) {
        self.abort.notify_one();
    }

    pub(crate) async fn aborted(&self) {
        self.abort.notified().await;
    }

    /// The other end seems to be gone: what waits for it is given the time of a close, and no more.
    pub(crate) fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Waits for that; once for each time.
    pub(crate) async fn hurried(&self) {
        self.hurry.notified().await;
    }

    /// Whether what the peer still sends means nothing any more.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Puts a panic down to the connection; whether it was the first.
    pub(crate) fn set_failed(&self) -> bool {
        !self.failed.swap(true, Ordering::Relaxed)
    }

    /// Answer this ping; one that was not answered yet is forgotten.
    pub(crate) fn pong(&self, payload: Vec<u8>) {
        wake(self.outbox.pong(payload));
    }

    /// Send this close frame and nothing after it.
    pub(crate) fn close(&self, code: u16) {
        self.answer_close(Some(code));
    }

    /// Answer the peer's close frame with the same code.
    pub(crate) fn answer_close(&self, code: Option<u16>) {
        wake(self.outbox.close(code));
    }

    fn verifications(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.verifications.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a task to be cancelled with the connection.
    pub(crate) fn keep_verification(&self, task: AbortHandle) {
        let mut tasks = self.verifications();
        tasks.retain(|task| !task.is_finished());
        if self.is_over() {
            // Asked for just before the connection went, and spawned just after.
            task.abort();
        } else {
            tasks.push(task);
        }
    }

    /// The connection is gone: nothing of what it sends counts, and its tasks are cancelled.
    pub(crate) fn end(&self) {
        let mut tasks = self.verifications();
        self.over.store(true, Ordering::Relaxed);
        for task in tasks.drain(..) {
            task.abort();
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
