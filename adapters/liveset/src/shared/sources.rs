//! Which source each set belongs to, and how far each source is.

use std::collections::HashMap;
use std::sync::Arc;

use liveset_core::Monotonic;
use liveset_engine::Op;
use liveset_hub::{Hub, SourceId};
use parking_lot::Mutex;

use super::NotDone;

/// All sources of an endpoint.
#[derive(Default)]
pub(crate) struct Sources {
    /// All but the host.
    pub(crate) all: Vec<Known>,
    /// The commits of the host that no storage keeps.
    pub(crate) host: Mutex<OfHost>,
    /// The replacements of sets that are being gathered, each by its number. Changed with the lock on the hub held.
    replaced: Mutex<Replaced>,
    /// The sets that belong to one.
    owners: HashMap<Arc<str>, usize>,
}

/// Sets whose content is being replaced.
#[derive(Default)]
struct Replaced {
    by_set: HashMap<Arc<str>, u64>,
    begun: u64,
    /// Of the rows that were gathered.
    bytes: u64,
}

pub(crate) struct Known {
    pub(crate) name: Arc<str>,
    /// As the hub knows it.
    pub(crate) id: SourceId,
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

impl Progress {
    /// True where the history is another one.
    pub(crate) fn begin(&mut self, identity: &Arc<str>) -> bool {
        let is_other = self.identity != *identity;
        if is_other {
            self.identity = identity.clone();
            self.history += 1;
            self.position = 0;
        }
        is_other
    }

    pub(crate) fn advance(&mut self, now: Monotonic, position: u64) {
        self.position = self.position.max(position);
        self.news.heard = Some(now);
    }
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

/// What the positions of a history belong to: two sources of an endpoint may follow one database.
pub(crate) fn history(source: &str, identity: &str) -> String {
    format!("{source}\0{identity}")
}

impl Sources {
    /// A set belongs to a source, which is made with the first.
    pub(crate) fn declare(&mut self, source: &str, set: &str, identity: impl FnOnce() -> String) {
        let index = self.all.iter().position(|known| *known.name == *source).unwrap_or_else(|| {
            let identity = identity().into();
            let progress = Progress { identity, history: 0, position: 0, skipped: 0, news: News::default() };
            self.all.push(Known { name: source.into(), id: SourceId::OWN, progress: Mutex::new(progress) });
            self.all.len() - 1
        });
        self.owners.insert(set.into(), index);
    }

    /// Tells the hub of all that are not the host.
    pub(crate) fn declare_to(&mut self, hub: &mut Hub) {
        for (index, known) in self.all.iter_mut().enumerate() {
            let sets =
                self.owners.iter().filter(|(_, owner)| **owner == index).map(|(set, _)| (&**set).into());
            known.id = hub.declare_source(&history(&known.name, &known.progress.get_mut().identity), sets);
        }
    }

    /// As what the hub knows the source of a set.
    pub(crate) fn id_of(&self, set: &str) -> SourceId {
        let index = self.owners.get(set);
        index.and_then(|index| self.all.get(*index)).map_or(SourceId::OWN, |known| known.id)
    }

    /// The source of a set; `None` where it is the host.
    pub(crate) fn of(&self, set: &str) -> Option<&Arc<str>> {
        self.owners.get(set).and_then(|index| self.all.get(*index)).map(|known| &known.name)
    }

    /// A replacement of a set begins, and any that is being gathered ends. Returns its number.
    pub(crate) fn begin_replacement(&self, set: &Arc<str>) -> u64 {
        let mut replaced = self.replaced.lock();
        replaced.begun += 1;
        let number = replaced.begun;
        replaced.by_set.insert(set.clone(), number);
        number
    }

    /// Whether a replacement is the one of its set.
    pub(crate) fn is_replaced_by(&self, set: &str, number: u64) -> bool {
        self.replaced.lock().by_set.get(set) == Some(&number)
    }

    pub(crate) fn end_replacement(&self, set: &str, number: u64) {
        let mut replaced = self.replaced.lock();
        if replaced.by_set.get(set) == Some(&number) {
            replaced.by_set.remove(set);
        }
    }

    /// Counts bytes that replacements gather, or give back. False where there would be more than `max`: then none are counted.
    pub(crate) fn gather(&self, more: u64, less: u64, max: u64) -> bool {
        let mut replaced = self.replaced.lock();
        let bytes = (replaced.bytes + more).saturating_sub(less);
        let has_room = bytes <= max || more <= less;
        if has_room {
            replaced.bytes = bytes;
        }
        has_room
    }

    /// Refuses a commit to a set that is being replaced, but by the replacement with this number; and one of a replacement in whose place
    /// another one has come.
    pub(crate) fn check_replaced(&self, ops: &[Op], by: Option<u64>) -> Result<(), NotDone> {
        let replaced = self.replaced.lock();
        if replaced.by_set.is_empty() && by.is_none() {
            return Ok(());
        }
        let is_refused = |set: &&Arc<str>| replaced.by_set.get(*set).copied() != by;
        match ops.iter().map(Op::set).find(is_refused) {
            Some(set) => Err(NotDone::Replaced { set: set.clone() }),
            None => Ok(()),
        }
    }

    /// Refuses a commit to a set of another source.
    pub(crate) fn check(&self, origin: Origin, ops: &[Op]) -> Result<(), NotDone> {
        let origin = match origin {
            Origin::Host if self.owners.is_empty() => return Ok(()),
            Origin::Host => None,
            Origin::Source { index, .. } => Some(index),
        };
        let mut sets = ops.iter().map(Op::set);
        match sets.find(|set| self.owners.get(*set).copied() != origin) {
            Some(set) => Err(NotDone::ReadOnly { set: set.clone(), source: self.of(set).cloned() }),
            None => Ok(()),
        }
    }

    /// Whether a commit is of the history that there is, and was not made before; counts one that is not.
    pub(crate) fn is_new(&self, origin: Origin, is_replacement: bool) -> bool {
        let Origin::Source { index, history, position } = origin else { return true };
        let mut progress = self.all[index].progress.lock();
        // A replaced content does not come again by chance, and may be as old as it likes: nothing else has changed the set.
        let is_new = history == progress.history && (position > progress.position || is_replacement);
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
}
