//! Which source each set belongs to, and how far each source is.

use std::collections::HashMap;
use std::sync::Arc;

use liveset_core::Monotonic;
use liveset_engine::Op;
use parking_lot::Mutex;

use super::NotDone;
use crate::stats::SourceStats;

/// All sources of an endpoint.
#[derive(Default)]
pub(crate) struct Sources {
    /// All but the host.
    pub(crate) all: Vec<Known>,
    /// The commits of the host that no storage keeps.
    pub(crate) host: Mutex<OfHost>,
    /// The sets that belong to one.
    owners: HashMap<Arc<str>, usize>,
}

pub(crate) struct Known {
    pub(crate) name: Arc<str>,
    pub(crate) progress: Mutex<Progress>,
}

pub(crate) struct Progress {
    pub(crate) identity: Arc<str>,
    /// How many histories have begun: a commit belongs to that in which it was handed over.
    pub(crate) history: u64,
    pub(crate) position: u64,
    pub(crate) skipped: u64,
    pub(crate) news: News,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct OfHost {
    /// The number of the last commit.
    pub(crate) commit: u64,
    pub(crate) news: News,
}

/// What was last heard of a source.
#[derive(Clone, Debug, Default)]
pub(crate) struct News {
    /// When it last had a commit, or said that it has none.
    pub(crate) heard: Option<Monotonic>,
    /// When its last commit was not made, and why; `None` after one that was.
    pub(crate) failure: Option<(Monotonic, Arc<str>)>,
}

impl News {
    /// A commit was made.
    pub(crate) fn made(&mut self, now: Monotonic) {
        *self = News { heard: Some(now), failure: None };
    }

    /// One was not.
    pub(crate) fn failed(&mut self, now: Monotonic, why: impl Into<Arc<str>>) {
        self.failure = Some((now, why.into()));
    }
}

/// Where a commit comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    Host,
    Source { index: usize, history: u64, position: u64 },
}

impl Sources {
    /// A set belongs to a source, which is made with the first.
    pub(crate) fn declare(&mut self, source: &str, set: &str, identity: impl FnOnce() -> String) {
        let index = self.all.iter().position(|known| *known.name == *source).unwrap_or_else(|| {
            let identity = identity().into();
            let progress = Progress { identity, history: 0, position: 0, skipped: 0, news: News::default() };
            self.all.push(Known { name: source.into(), progress: Mutex::new(progress) });
            self.all.len() - 1
        });
        self.owners.insert(set.into(), index);
    }

    /// The source of a set; `None` where it is the host.
    pub(crate) fn of(&self, set: &str) -> Option<&Arc<str>> {
        self.owners.get(set).and_then(|index| self.all.get(*index)).map(|known| &known.name)
    }

    /// Refuses a commit to a set of another source.
    pub(crate) fn check(&self, origin: Origin, ops: &[Op]) -> Result<(), NotDone> {
        let origin = match origin {
            Origin::Host if self.owners.is_empty() => return Ok(()),
            Origin::Host => None,
            Origin::Source { index, .. } => Some(index),
        };
        let mut sets = ops.iter().filter_map(Op::set);
        match sets.find(|set| self.owners.get(*set).copied() != origin) {
            Some(set) => Err(NotDone::ReadOnly { set: set.clone(), source: self.of(set).cloned() }),
            None => Ok(()),
        }
    }

    /// Whether a commit is of the history that there is, and was not made before; counts one that is not.
    pub(crate) fn is_new(&self, origin: Origin) -> bool {
        let Origin::Source { index, history, position } = origin else { return true };
        let mut progress = self.all[index].progress.lock();
        let is_new = history == progress.history && position > progress.position;
        progress.skipped += u64::from(!is_new);
        is_new
    }

    /// A commit was applied, which has this number.
    pub(crate) fn done(&self, origin: Origin, now: Monotonic, commit: u64) {
        match origin {
            Origin::Host => {
                let mut host = self.host.lock();
                host.commit = commit;
                host.news.made(now);
            }
            Origin::Source { index, history, position } => {
                let mut progress = self.all[index].progress.lock();
                progress.news.made(now);
                if history == progress.history {
                    progress.position = progress.position.max(position);
                }
            }
        }
    }

    /// A commit was not made. What the host did wrong it was told.
    pub(crate) fn failed(&self, origin: Origin, now: Monotonic, reason: &NotDone) {
        if let (Origin::Source { index, .. }, Some(why)) = (origin, reason.fault()) {
            self.all[index].progress.lock().news.failed(now, why);
        }
    }

    pub(crate) fn stats(&self) -> Vec<SourceStats> {
        let stats = |Known { name, progress }: &Known| {
            let Progress { identity, position, skipped, .. } = &*progress.lock();
            let (name, identity) = (name.clone(), identity.clone());
            SourceStats { name, identity, position: *position, skipped: *skipped }
        };
        self.all.iter().map(stats).collect()
    }
}
