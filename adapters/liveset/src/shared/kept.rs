//! Commits of an endpoint with a storage: checked, kept, and only then applied.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use liveset_core::Position;
use liveset_engine::{Applied, Committed, Op, StagedWrite, Timestamp};
use liveset_hub::{Now, SourceId};
use parking_lot::Mutex;

use super::sources::News;
use super::{Chain, Seen, Shared};
use crate::contain::{Panicked, contain};
use crate::storage::{Loaded, Storage, StorageCommit, StorageError, StorageWrite};

/// How far the commits of a storage are.
#[derive(Default)]
pub(super) struct Progress {
    /// The position of the newest commit that was handed over.
    newest: u64,
    /// That of the newest that was applied.
    applied: u64,
    /// A part of the one behind it was applied.
    is_applying: bool,
    /// How often all commits that wait were given up, because one of them is not kept.
    given_up: u64,
    /// The latest moment that a commit named which waits: the clock of those behind it.
    at: Option<Timestamp>,
    /// Who waits until a commit is applied or given up, in the order of their positions.
    waiting: VecDeque<(u64, Wake)>,
    news: News,
}

/// How far a storage is, as [`SourceInfo`](crate::SourceInfo) tells it.
#[derive(Debug)]
pub(crate) struct OfStorage {
    pub(crate) applied: u64,
    pub(crate) waiting: u64,
    pub(crate) news: News,
}

type Wake = Box<dyn FnOnce() + Send>;

impl Progress {
    /// Those whose commit is done with.
    fn woken(&mut self) -> Vec<Wake> {
        let (applied, newest) = (self.applied, self.newest);
        let is_done = |position: u64| position <= applied || newest == applied;
        let done = self.waiting.iter().take_while(|(position, _)| is_done(*position)).count();
        self.waiting.drain(..done).map(|(_, wake)| wake).collect()
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { newest, applied, .. } = self;
        f.debug_struct("Progress").field("newest", newest).field("applied", applied).finish_non_exhaustive()
    }
}

/// A commit was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) committed: Committed,
    /// Where it stands in the history of its source.
    pub(crate) position: Position,
}

/// A commit was not made.
#[derive(Debug)]
pub(crate) enum NotDone {
    Refused(Box<liveset_engine::CommitError>),
    /// A set is not of the source that it comes from.
    ReadOnly {
        set: Arc<str>,
        source: Option<Arc<str>>,
    },
    /// Its source has delivered it before.
    Skipped,
    /// A row that it had read is another one now.
    Changed {
        set: Arc<str>,
        id: String,
    },
    /// The content of a set is being replaced, by somebody else.
    Replaced {
        set: Arc<str>,
    },
    NotKept(StorageError),
    Panicked,
}

impl NotDone {
    /// What is wrong with who commits; `None` where nothing is.
    pub(super) fn fault(&self) -> Option<String> {
        match self {
            Self::Refused(error) => Some(error.to_string()),
            Self::ReadOnly { set, .. } => Some(format!("the set '{set}' belongs to another source")),
            Self::NotKept(error) => Some(error.to_string()),
            Self::Panicked => Some("the engine has panicked".into()),
            Self::Skipped | Self::Changed { .. } | Self::Replaced { .. } => None,
        }
    }
}

type Told = Box<dyn FnOnce(Result<Done, NotDone>) + Send>;

/// A commit that a storage has. The storage tells its outcome, or drops it: then it is not kept.
struct Pending {
    /// Dropped before the callback: the callback may drop the last handle of the endpoint.
    shared: Option<Arc<Shared>>,
    at: Option<Timestamp>,
    operations: usize,
    position: u64,
    /// [`Progress::given_up`] when it was handed over.
    given_up: u64,
    /// Work that it puts off is for this runtime, if there is one.
    runtime: Option<tokio::runtime::Handle>,
    told: Arc<Mutex<Reply>>,
}

/// The callback of a commit, and where the commit is.
struct Reply {
    /// `None` after it was called.
    told: Option<Told>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The lock is held for it.
    HandingOver,
    HandedOver,
    Forgotten,
}

impl Shared {
    /// From now on, commits are kept.
    pub(crate) fn keep_in(self: &Arc<Self>, storage: Box<dyn Storage>, loaded: &Loaded) {
        let position = loaded.position;
        self.lock().kept = Progress { newest: position, applied: position, ..Progress::default() };
        let _ = self.run(|hub, now| hub.begin_history(now, SourceId::OWN, &loaded.identity, position));
        // It is given once, by the builder.
        let _ = self.storage.set(storage);
    }

    /// How far the storage is.
    pub(crate) fn of_storage(&self) -> OfStorage {
        let Progress { newest, applied, news, .. } = &self.lock().kept;
        OfStorage { applied: *applied, waiting: newest.saturating_sub(*applied), news: news.clone() }
    }

    /// Calls back when all commits that wait now are applied or given up; at once where there are none.
    pub(crate) fn when_nothing_waits(&self, wake: impl FnOnce() + Send + 'static) {
        {
            let progress = &mut self.lock().kept;
            if progress.newest > progress.applied {
                progress.waiting.push_back((progress.newest, Box::new(wake)));
                return;
            }
        }
        wake();
    }

    /// Waits, with the thread, for all commits that wait now.
    pub(crate) fn wait_for_those_before(&self) {
        let (wake, woken) = std::sync::mpsc::sync_channel(1);
        self.when_nothing_waits(move || {
            let _ = wake.send(());
        });
        let _ = woken.recv();
    }

    /// Checks a commit, and hands it over. `told` is called when it was applied, on a thread of the storage, or with what it was
    /// refused for.
    pub(crate) fn commit_kept(
        self: &Arc<Self>,
        storage: &dyn Storage,
        at: Option<Timestamp>,
        ops: Vec<Op>,
        seen: &Seen,
        chain: Option<&Chain>,
        told: impl FnOnce(Result<Done, NotDone>) + Send + 'static,
    ) {
        let told = Arc::new(Mutex::new(Reply { told: Some(Box::new(told)), stage: Stage::HandingOver }));
        if let Err(reason) = self.hand_over(storage, at, ops, seen, chain, &told) {
            let told = told.lock().told.take();
            if let Some(told) = told {
                told(Err(reason));
            }
        }
    }

    fn hand_over(
        self: &Arc<Self>,
        storage: &dyn Storage,
        at: Option<Timestamp>,
        ops: Vec<Op>,
        seen: &Seen,
        chain: Option<&Chain>,
        told: &Arc<Mutex<Reply>>,
    ) -> Result<(), NotDone> {
        let operations = ops.len();
        // Commits are handed over in the order in which they are checked: one hold of the lock for both.
        let mut state = self.lock();
        chain.map_or(Ok(()), |chain| chain.begin(state.kept.given_up))?;
        self.sources.check_replaced(&ops, seen.replacement)?;
        seen.check(&state.hub)?;
        let at = at.max(state.kept.at);
        let now = Now { monotonic: self.monotonic(), wall: state.wall.now_with(at) };
        let staged = contain(|| state.hub.stage(now, ops).map(|writes| writes.map(write).collect()));
        let writes = match staged {
            Ok(staged) => staged.map_err(|refused| NotDone::Refused(Box::new(refused)))?,
            Err(Panicked) => return Err(NotDone::Panicked),
        };
        let (follows, given_up) = (state.kept.newest, state.kept.given_up);
        let position = follows + 1;
        let (shared, runtime) = (Some(self.clone()), tokio::runtime::Handle::try_current().ok());
        let pending = Pending { shared, at, operations, position, given_up, runtime, told: told.clone() };
        let commit = StorageCommit { follows, position, writes };
        let taken = contain(|| storage.submit(commit, Box::new(move |kept| pending.tell(kept))));
        let taken = taken.unwrap_or_else(|Panicked| Err(StorageError::new("the storage has panicked")));
        let mut reply = told.lock();
        match taken {
            Ok(()) if reply.stage == Stage::HandingOver => {
                reply.stage = Stage::HandedOver;
                state.kept.newest = position;
                state.kept.at = at;
                Ok(())
            }
            taken => {
                let kept = state.hub.staged().saturating_sub(1);
                state.hub.abandon_staged(kept);
                let error = taken.err().unwrap_or_else(forgotten);
                state.kept.news.failed(now.monotonic, error.to_string());
                Err(NotDone::NotKept(error))
            }
        }
    }
}

impl Pending {
    fn tell(mut self, kept: Result<(), StorageError>) {
        let told = self.told.lock().told.take();
        let (Some(told), Some(shared)) = (told, self.shared.take()) else { return };
        let _runtime = self.runtime.as_ref().map(tokio::runtime::Handle::enter);
        let done = match kept {
            Ok(()) => self.apply(&shared),
            Err(error) => self.give_up(&shared, error),
        };
        let woken = shared.lock().kept.woken();
        drop(shared);
        told(done);
        woken.into_iter().for_each(|wake| wake());
    }

    fn apply(&self, shared: &Arc<Shared>) -> Result<Done, NotDone> {
        let _in_one_piece = shared.commits.lock();
        loop {
            if let Some(done) = self.apply_slice(shared)? {
                return Ok(done);
            }
        }
    }

    /// Applies it, or a slice of it: `None` where there is more.
    fn apply_slice(&self, shared: &Arc<Shared>) -> Result<Option<Done>, NotDone> {
        let Self { at, operations, position, given_up, .. } = self;
        let applied = shared.run_locked(|state, monotonic| {
            let is_given_up = state.kept.given_up != *given_up;
            if is_given_up && !state.kept.is_applying {
                return Err(NotDone::NotKept(StorageError::new("a commit before it is not kept")));
            }
            let wall = state.wall.now_with(*at);
            let now = Now { monotonic, wall };
            let applied = state.hub.apply_slice(now, |parts| shared.shards.run(*operations, parts));
            state.wall.advance(wall);
            state.kept.is_applying = applied == Some(Applied::Partly);
            if state.kept.is_applying {
                return Ok(None);
            }
            state.kept.applied = *position;
            let Some(Applied::Whole(committed)) = applied else { return Err(NotDone::Panicked) };
            state.kept.news.made(monotonic);
            state.hub.reach(now, SourceId::OWN, *position);
            Ok(Some(Done { committed, position: state.hub.position_at(SourceId::OWN, *position) }))
        });
        applied.unwrap_or_else(|Panicked| {
            let given_up = shared.give_up_slices(*at);
            let kept = &mut shared.lock().kept;
            if std::mem::take(&mut kept.is_applying) {
                kept.applied = *position;
            }
            given_up
        })
    }

    /// It is not kept: it goes, and with it all that were checked against its rows.
    fn give_up(&self, shared: &Shared, error: StorageError) -> Result<Done, NotDone> {
        let mut state = shared.lock();
        // Those that are told later have gone already, and others may wait in their place.
        if state.kept.given_up == self.given_up {
            state.kept.given_up += 1;
            let applying = u64::from(state.kept.is_applying);
            state.kept.newest = state.kept.applied + applying;
            state.kept.at = None;
            state.kept.news.failed(shared.monotonic(), error.to_string());
            state.hub.abandon_staged(applying as usize);
        }
        Err(NotDone::NotKept(error))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let told = {
            let mut reply = self.told.lock();
            match reply.stage {
                Stage::HandedOver => reply.told.take(),
                // The thread that holds the lock calls it.
                Stage::HandingOver | Stage::Forgotten => {
                    reply.stage = Stage::Forgotten;
                    None
                }
            }
        };
        if let (Some(told), Some(shared)) = (told, self.shared.take()) {
            let done = self.give_up(&shared, forgotten());
            let woken = shared.lock().kept.woken();
            drop(shared);
            told(done);
            woken.into_iter().for_each(|wake| wake());
        }
    }
}

fn forgotten() -> StorageError {
    StorageError::new("the storage has forgotten it")
}

fn write(write: StagedWrite<'_>) -> StorageWrite {
    match write {
        StagedWrite::Put { set, id, json } => {
            let json = String::from_utf8_lossy(json).into_owned();
            StorageWrite::Put { set: set.clone(), id: id.to_owned(), json }
        }
        StagedWrite::Remove { set, id } => StorageWrite::Remove { set: set.clone(), id: id.to_owned() },
        StagedWrite::Clear { set } => StorageWrite::Clear { set: set.clone() },
    }
}
