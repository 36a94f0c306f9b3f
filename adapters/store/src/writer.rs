//! The thread that writes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::commit::{Commit, Write};
use crate::durability::Durability;
use crate::error::AppendError;
use crate::store::Store;
use crate::telemetry;

/// A thread that writes commits in their order. Those that wait while it writes are written next, as one, with one sync.
///
/// Each commit names the commit that it follows. If that one was refused, for want of room for example, this one is refused too: it was
/// checked against rows that are not stored, and its owner checks it again.
///
/// A writer that is dropped writes what it was given and closes the file, as [`close`](Self::close) does, which tells whether that went
/// well.
#[derive(Debug)]
pub struct Writer {
    /// `None` once it is being closed.
    waiting: Option<Sender<Waiting>>,
    /// Bytes of the commits that were not looked at yet.
    bytes: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Result<(), AppendError>>>,
}

/// A commit and its callback.
struct Waiting {
    commit: Commit,
    bytes: usize,
    tell: Box<dyn FnOnce(Result<(), AppendError>) + Send>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system has no thread to give.
    pub fn start(store: Store) -> io::Result<Self> {
        let (sender, waiting) = mpsc::channel();
        let bytes = Arc::new(AtomicUsize::new(0));
        let taken = bytes.clone();
        let thread = std::thread::Builder::new().name("liveset-store".into());
        let thread =
            thread.spawn(move || Thread { store, waiting, bytes: taken, unsafe_since: None }.run())?;
        Ok(Self { waiting: Some(sender), bytes, thread: Some(thread) })
    }

    /// Hands a commit over; never waits. `tell` is called on the writer's thread, in the order of the commits: with
    /// [`Durability::Always`] after the sync, otherwise after the write, or with what the commit was refused for.
    ///
    /// # Errors
    ///
    /// More than 64 MiB of commits wait already. Then `tell` is not called, and the commit is not written.
    pub fn submit(
        &self,
        commit: Commit,
        tell: impl FnOnce(Result<(), AppendError>) + Send + 'static,
    ) -> Result<(), AppendError> {
        let bytes = commit.writes.iter().map(size).sum::<usize>() + size_of::<Commit>();
        // A commit that is larger than that alone is taken when no other waits.
        let waiting = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting > 0 && waiting.saturating_add(bytes) > MAX_WAITING_BYTES {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            telemetry::refused(&AppendError::Overloaded);
            return Err(AppendError::Overloaded);
        }
        telemetry::waiting(waiting + bytes);
        let waiting = Waiting { commit, bytes, tell: Box::new(tell) };
        let stopped = || AppendError::Failed("its thread has ended".into());
        self.waiting.as_ref().ok_or_else(stopped)?.send(waiting).map_err(|_| stopped())
    }

    /// Writes what was handed over, and closes the file.
    ///
    /// # Errors
    ///
    /// As [`Store::close`].
    pub fn close(mut self) -> Result<(), AppendError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), AppendError> {
        self.waiting = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        if thread.thread().id() == std::thread::current().id() {
            // A callback held the last handle, so this is the writer's own thread. It ends when its queue is empty.
            return Ok(());
        }
        thread.join().unwrap_or_else(|_| Err(AppendError::Failed("its thread has panicked".into())))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!("the store was not closed: {error}");
        }
    }
}

/// What the thread has.
struct Thread {
    store: Store,
    waiting: Receiver<Waiting>,
    bytes: Arc<AtomicUsize>,
    /// When the oldest commit was written whose sync is to follow.
    unsafe_since: Option<Instant>,
}

impl Thread {
    fn run(mut self) -> Result<(), AppendError> {
        loop {
            let next = match self.sync_is_due_at() {
                None => self.waiting.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => self.waiting.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match next {
                Ok(first) => self.write(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.store.close(),
            }
            if self.sync_is_due_at().is_some_and(|due| due <= Instant::now()) {
                self.unsafe_since = None;
                // The store has logged an error, and tells it to the commits that follow.
                let _ = self.store.sync();
            }
        }
    }

    fn sync_is_due_at(&self) -> Option<Instant> {
        match self.store.durability() {
            Durability::Always => None,
            // Half of it is for the sync itself.
            Durability::Every(every) => Some(self.unsafe_since? + every / 2),
        }
    }

    /// Writes all that waits, each run of commits that follow each other as one.
    fn write(&mut self, first: Waiting) {
        let mut waiting = std::iter::once(first).chain(self.waiting.try_iter()).peekable();
        while let Some(Waiting { commit, bytes, tell }) = waiting.next() {
            let (mut newest, mut group_bytes) = (commit.position, bytes);
            let (mut commits, mut tells) = (vec![commit], vec![tell]);
            while let Some(next) = waiting.next_if(|next| {
                next.commit.follows == newest
                    && next.commit.position > newest
                    && group_bytes < MAX_GROUP_BYTES
            }) {
                newest = next.commit.position;
                group_bytes += next.bytes;
                commits.push(next.commit);
                tells.push(next.tell);
            }
            let waiting_bytes = self.bytes.fetch_sub(group_bytes, Ordering::Relaxed) - group_bytes;
            telemetry::waiting(waiting_bytes);
            let written = self.store.append(&commits);
            if let Err(error) = &written {
                commits.iter().for_each(|_| telemetry::refused(error));
            }
            if written.is_ok() && self.store.durability() != Durability::Always {
                self.unsafe_since.get_or_insert_with(Instant::now);
            }
            for tell in tells {
                let written = written.clone();
                if catch_unwind(AssertUnwindSafe(|| tell(written))).is_err() {
                    tracing::error!("the callback of a commit panicked");
                }
            }
        }
    }
}

fn size(write: &Write) -> usize {
    let (set, texts) = match write {
        Write::Put { set, id, json } => (set, id.len() + json.len()),
        Write::Remove { set, id } => (set, id.len()),
        Write::Clear { set } => (set, 0),
    };
    size_of::<Write>() + set.len() + texts
}

const MAX_WAITING_BYTES: usize = 64 << 20;
/// What is written as one has to be held by SQLite until it is.
const MAX_GROUP_BYTES: usize = 4 << 20;
