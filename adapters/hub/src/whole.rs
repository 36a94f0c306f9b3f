//! Commits that the engine applies in slices, told as the one that each of them is.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use liveset_core::{Batch, Pending};
use liveset_engine::{Engine, FeedId};

use crate::{ConnectionId, feeds::Watcher};

/// What slices of a commit have changed is held back here until all of it is there.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    /// The version before the commit that is being applied in slices.
    pub(crate) before: Option<u64>,
    /// The first and the last version of each that was applied so, while some feed may not have taken it.
    commits: VecDeque<(u64, u64)>,
    /// What such a commit has changed so far, by feed.
    partial: BTreeMap<FeedId, Pending>,
    /// Feeds whose result is wanted, and is in the middle of one.
    wanted: BTreeSet<FeedId>,
    /// What has its turns only when the engine is in the middle of none.
    put_off: Vec<Task>,
}

/// Something that needs the result of a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Go on with the first result that a watcher waits for.
    Fill(Watcher),
    /// Plan live queries of a connection again.
    Recheck(ConnectionId),
}

impl Whole {
    /// All of a commit is there: its slices have the versions from `first` to `last`.
    pub(crate) fn done(&mut self, first: u64, last: u64) {
        if first < last {
            self.commits.push_back((first, last));
        }
    }

    /// Puts something off until the engine is in the middle of no commit.
    pub(crate) fn put_off(&mut self, task: Task) {
        self.put_off.push(task);
    }

    /// What was put off and may go on.
    pub(crate) fn take_put_off(&mut self, engine: &Engine) -> Vec<Task> {
        if engine.is_applying() { Vec::new() } else { std::mem::take(&mut self.put_off) }
    }

    /// Whether the result of a feed is that of no moment, because the engine is in the middle of a commit: then it is
    /// [due](Self::take_due) later.
    pub(crate) fn puts_off(&mut self, engine: &Engine, feed: FeedId) -> bool {
        let is_amid = engine.is_applying() || self.is_partial(engine, feed);
        if is_amid {
            self.wanted.insert(feed);
        }
        is_amid
    }

    /// Whether a feed has a part of a commit and not all of it.
    pub(crate) fn is_partial(&self, engine: &Engine, feed: FeedId) -> bool {
        let is_inside = |complete: u64| self.last_of(complete) != complete;
        !self.commits.is_empty()
            && (self.partial.contains_key(&feed) || engine.complete(feed).is_some_and(is_inside))
    }

    /// Adds what a slice has changed to what those before it have. Gives what is none of a slice, and what is whole by it.
    pub(crate) fn hold(&mut self, feed: FeedId, batch: Batch) -> [Option<Batch>; 2] {
        if self.commits.is_empty() {
            return [None, Some(batch)];
        }
        let last = self.last_of(batch.version);
        let before = self.partial.get(&feed).map(|pending| self.last_of(pending.version()));
        if before.is_none() && last == batch.version {
            return [None, Some(batch)];
        }
        if before.is_some_and(|before| before != last) && batch.changes.is_empty() {
            // Feeds of the same rows that follow no count are not told of it: what they are told of has the same version in all of them.
            let whole = self.partial.remove(&feed).map(|pending| whole(&self.commits, pending));
            return [whole, Some(batch)];
        }
        self.partial.entry(feed).or_default().push(&batch);
        [None, None]
    }

    /// What has become whole.
    pub(crate) fn release(&mut self, engine: &Engine) -> Vec<(FeedId, Arc<Batch>)> {
        let mut all = Vec::new();
        let Self { partial, commits, .. } = self;
        partial.retain(|feed, pending| {
            let last = last_of(commits, pending.version());
            let is_there =
                !engine.owes(*feed) && engine.complete(*feed).is_none_or(|complete| complete >= last);
            if is_there {
                all.push((*feed, Arc::new(whole(commits, std::mem::take(pending)))));
            }
            !is_there
        });
        if partial.is_empty() && !engine.is_behind() {
            commits.clear();
        }
        all
    }

    /// The feeds whose result was wanted and is there now.
    pub(crate) fn take_due(&mut self, engine: &Engine) -> BTreeSet<FeedId> {
        if self.wanted.is_empty() || engine.is_applying() {
            return BTreeSet::new();
        }
        let mut due = std::mem::take(&mut self.wanted);
        self.wanted = due.iter().copied().filter(|feed| self.is_partial(engine, *feed)).collect();
        due.retain(|feed| !self.wanted.contains(feed));
        due
    }

    /// The last version of the commit that a version is a part of.
    fn last_of(&self, version: u64) -> u64 {
        last_of(&self.commits, version)
    }
}

/// What a commit has changed, as of its last version.
fn whole(commits: &VecDeque<(u64, u64)>, mut pending: Pending) -> Batch {
    let version = last_of(commits, pending.version());
    Batch { version, ..pending.drain() }
}

fn last_of(commits: &VecDeque<(u64, u64)>, version: u64) -> u64 {
    let commit = commits.iter().find(|(first, last)| (*first..=*last).contains(&version));
    commit.map_or(version, |(_, last)| *last)
}
