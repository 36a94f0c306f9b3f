//! What is ready to be sent on one connection, and how its writer learns of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use liveset_core::Diffs;
use tokio::time::Instant;

use crate::transport::Encode;
use crate::transport::writer::{MAX_HEAD_BYTES, ServerFrames};

/// Filled by whoever has something for the connection, emptied by its writer.
///
/// Frames are put here ready to be sent: diffs that are copied for all who watch, while they fit. What does not fit stays with
/// the hub, which is announced as `news`, and folds there until the writer has sent what is here.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    frames: Frames,
    /// The session may have something to send.
    news: bool,
    /// The payload of the latest ping that was not answered yet: only that one is.
    pong: Option<Vec<u8>>,
    /// A close frame that goes out without the session: the answer to the peer's, or for a fault of the transport.
    close: Option<Option<u16>>,
    /// The writer, which has nothing to send.
    resting: Option<Waker>,
    /// Since when something waits.
    since: Option<Instant>,
}

/// Whole frames, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u64,
    /// The last is a close frame, with this code where there is one.
    pub(crate) close: Option<Option<u16>>,
}

/// What became of diffs that were offered.
pub(crate) enum Offered {
    /// They will be sent; the writer is to be woken where it rests.
    Taken(Option<Waker>),
    /// There is no room.
    Refused,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The session may have something to send.
    pub(crate) news: bool,
    /// Since when the oldest of it waits.
    pub(crate) since: Option<Instant>,
}

impl Outbox {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session has something to send. Returns the writer to be woken, if it rests.
    pub(crate) fn announce(&self, now: Instant) -> Option<Waker> {
        let mut inner = self.inner();
        inner.news = true;
        inner.since.get_or_insert(now);
        inner.resting.take()
    }

    /// Offers the messages of one batch, which are taken where they fit into `room` with what waits already.
    pub(crate) fn offer(&self, now: Instant, id: &str, diffs: &Diffs, room: usize) -> Offered {
        let mut inner = self.inner();
        let bytes = diffs.bytes(id.len()) + diffs.len() * MAX_HEAD_BYTES;
        let Inner { frames, close, resting, since, .. } = &mut *inner;
        if close.is_some() || frames.bytes.len() + bytes > room {
            return Offered::Refused;
        }
        frames.bytes.reserve(bytes);
        for pieces in diffs.messages(id) {
            ServerFrames::text_of(&pieces, &mut frames.bytes);
        }
        frames.count += diffs.len() as u64;
        since.get_or_insert(now);
        Offered::Taken(resting.take())
    }

    /// Answer this ping; one that was not answered yet is forgotten.
    pub(crate) fn pong(&self, payload: Vec<u8>) -> Option<Waker> {
        let mut inner = self.inner();
        inner.pong = Some(payload);
        inner.resting.take()
    }

    /// Send this close frame, or one without a code, and nothing after it.
    pub(crate) fn close(&self, code: Option<u16>) -> Option<Waker> {
        let mut inner = self.inner();
        inner.close.get_or_insert(code);
        inner.resting.take()
    }

    /// Moves what is ready behind `frames`.
    pub(crate) fn take(&self, frames: &mut Frames) -> Taken {
        let mut inner = self.inner();
        if frames.bytes.is_empty() {
            // The other buffer comes back empty, so none is made anew.
            std::mem::swap(&mut frames.bytes, &mut inner.frames.bytes);
        } else {
            frames.bytes.append(&mut inner.frames.bytes);
        }
        frames.count += std::mem::take(&mut inner.frames.count);
        if let Some(payload) = inner.pong.take() {
            frames.count += 1;
            ServerFrames::pong(&payload, &mut frames.bytes);
        }
        if let Some(code) = inner.close.take() {
            frames.close(code);
        }
        Taken { news: std::mem::take(&mut inner.news), since: inner.since.take() }
    }

    /// Waits until there is something to send: `Pending` where there is nothing, and the writer of `cx` is told of it.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.inner();
        if inner.news || inner.pong.is_some() || inner.close.is_some() || !inner.frames.bytes.is_empty() {
            return Poll::Ready(());
        }
        inner.frames.bytes = Vec::new();
        match &mut inner.resting {
            Some(resting) => resting.clone_from(cx.waker()),
            resting @ None => *resting = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Frames {
    pub(crate) fn close(&mut self, code: Option<u16>) {
        ServerFrames::close(code, &mut self.bytes);
        self.count += 1;
        self.close = Some(code);
    }

    /// All were sent.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// Nothing is to be sent for now: an idle connection keeps nothing.
    pub(crate) fn rest(&mut self) {
        self.bytes = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use liveset_core::{Batch, Change, Row};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn diffs() -> Diffs {
        let added = Change::Added { row: Row::new("1", "{\"n\":1}", "1"), reason: None };
        Diffs::new(&Batch { version: 1, count: None, changes: vec![added] }, false, None)
    }

    const MESSAGE: &[u8] = br#"{"type":"liveQueryAddedNode","id":"q","nodeId":"1","data":{"n":1}}"#;

    #[test]
    fn what_fits_is_taken_and_wakes_a_resting_writer_once() {
        let (outbox, count) = (Outbox::default(), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        let cx = Context::from_waker(&waker);
        assert!(outbox.poll_ready(&cx).is_pending());
        let now = Instant::now();
        let frame = MESSAGE.len() + 2;
        let room = 2 * frame + MAX_HEAD_BYTES;
        for expected in [1, 0, 0] {
            match outbox.offer(now, "\"q\"", &diffs(), room) {
                Offered::Taken(waker) => assert_eq!(waker.into_iter().map(Waker::wake).count(), expected),
                Offered::Refused => assert_eq!(outbox.inner().frames.count, 2, "two fit"),
            }
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(outbox.poll_ready(&cx).is_ready());
        let mut frames = Frames::default();
        let taken = outbox.take(&mut frames);
        assert!(!taken.news && taken.since == Some(now));
        assert_eq!(frames.bytes, [&[0x81, MESSAGE.len() as u8], MESSAGE].concat().repeat(2));
        assert_eq!((frames.count, frames.close), (2, None));
        assert!(outbox.poll_ready(&cx).is_pending());
    }

    #[test]
    fn nothing_follows_a_close() {
        let outbox = Outbox::default();
        outbox.pong(b"1".to_vec());
        outbox.pong(b"2".to_vec());
        outbox.close(Some(1002));
        outbox.close(Some(1000));
        let offered = outbox.offer(Instant::now(), "\"q\"", &diffs(), 10_000);
        assert!(matches!(offered, Offered::Refused));
        let mut frames = Frames::default();
        outbox.take(&mut frames);
        assert_eq!(frames.bytes, b"\x8a\x012\x88\x02\x03\xea");
        assert_eq!(frames.close, Some(Some(1002)));
    }

    #[test]
    fn room_for_nothing_takes_nothing() {
        let outbox = Outbox::default();
        assert!(matches!(outbox.offer(Instant::now(), "\"q\"", &diffs(), 0), Offered::Refused));
    }
}
