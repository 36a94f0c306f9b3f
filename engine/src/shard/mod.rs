//! Views, and what brings changes to them. A shard owns part of the queries; it looks at the data and never writes it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use slab::Slab;

mod again;
mod beginnings;
pub(crate) mod behind;
pub(crate) mod create;
mod filing;
mod keys;
mod postings;
pub(crate) mod predicates;
mod read;
mod refill;
mod route;
mod scans;
mod sides;
pub(crate) mod source;
mod steps;
mod time;
mod touches;
pub(crate) mod view;
pub(crate) mod window;

use keys::KeyCache;
pub(crate) use route::{LOOK_UP_STEPS, Spare};
use scans::Rest;
pub(crate) use steps::WINDOW_STEPS;
use touches::{Scratch, Tried};

use crate::{
    limits::Tuning,
    seed::Keyed,
    shard::{
        predicates::Predicates,
        view::{Identity, Shape, SharedFilter, Timed, View},
    },
    stats::Account,
    store::{set::Rows, sorting::Sorting},
    time::Timestamp,
    update::{FeedId, Lag, Shown, Update},
};

/// One part of the queries, with everything that keeps their results true.
#[derive(Debug)]
pub(crate) struct Shard {
    keyed: Keyed,
    views: Slab<View>,
    filters: Slab<SharedFilter>,
    by_identity: HashMap<Identity, u32, Keyed>,
    by_filter: HashMap<(usize, Arc<str>), u32, Keyed>,
    /// The view of each feed.
    pub(crate) feeds: HashMap<FeedId, u32, FixedState>,
    /// By the number of the set.
    predicates: Vec<Predicates>,
    /// The next timer of each filter that has a timer for each node.
    deadlines: BTreeSet<(Timestamp, u32)>,
    pub(crate) updates: VecDeque<Update>,
    pub(crate) work: Account,
    /// Windows whose reserve is low.
    low: Vec<u32>,
    /// Filters that are found in vain too often.
    misplaced: Vec<u32>,
    /// What the last commit has left.
    rest: Vec<Rest>,
    /// Filters that are behind their set, in turn.
    behind: VecDeque<u32>,
    /// Sets of those for which time has passed without an entry of their history.
    overdue: BTreeSet<usize>,
    /// Views whose rows are to be looked at once more.
    again: VecDeque<u32>,
    /// Feeds of which another result is complete than that of the newest version: up to which, or none of these any more.
    pub(crate) lags: VecDeque<Lag>,
    window_bytes: usize,
    /// By the number of the set: what a changed row costs the views over it.
    standing: Vec<u64>,
    scanned: usize,
    /// Filters over time.
    timed: usize,
    step: u64,
    scratch: Scratch,
    keys: KeyCache,
}

/// What a step looks at besides the shard itself.
#[derive(Clone, Copy)]
pub(crate) struct AsOf<'a> {
    pub(crate) rows: Rows<'a>,
    pub(crate) now: Timestamp,
    pub(crate) version: u64,
    pub(crate) tuning: Tuning,
}

impl AsOf<'_> {
    /// What is applied now as an entry of the set's history: its number there, and its version.
    fn entry(&self) -> (u64, u64) {
        (self.rows.set.history.end(), self.version)
    }
}

impl Shard {
    pub(crate) fn new(keyed: Keyed) -> Self {
        Self {
            keyed,
            views: Slab::new(),
            filters: Slab::new(),
            by_identity: HashMap::with_hasher(keyed),
            by_filter: HashMap::with_hasher(keyed),
            feeds: HashMap::default(),
            predicates: Vec::new(),
            deadlines: BTreeSet::new(),
            updates: VecDeque::new(),
            work: Account::default(),
            low: Vec::new(),
            misplaced: Vec::new(),
            rest: Vec::new(),
            behind: VecDeque::new(),
            overdue: BTreeSet::new(),
            again: VecDeque::new(),
            lags: VecDeque::new(),
            window_bytes: 0,
            standing: Vec::new(),
            scanned: 0,
            timed: 0,
            step: 0,
            scratch: Scratch::default(),
            keys: KeyCache::default(),
        }
    }

    pub(crate) fn view(&self, id: u32) -> Option<&View> {
        self.views.get(id as usize)
    }

    pub(crate) fn view_of(&self, identity: &Identity) -> Option<u32> {
        self.by_identity.get(identity).copied()
    }

    pub(crate) fn filter_of(&self, set: usize, canonical: &Arc<str>) -> Option<u32> {
        self.by_filter.get(&(set, canonical.clone())).copied()
    }

    pub(crate) fn filter(&self, id: u32) -> Option<&SharedFilter> {
        self.filters.get(id as usize)
    }

    pub(crate) fn predicates(&self, set: usize) -> Option<&Predicates> {
        self.predicates.get(set)
    }

    pub(crate) fn view_count(&self) -> usize {
        self.views.len()
    }

    /// Whether time can change a result.
    pub(crate) fn is_timed(&self) -> bool {
        self.timed > 0
    }

    pub(crate) fn scanned_count(&self) -> usize {
        self.scanned
    }

    /// Nodes that have a timer of their own.
    pub(crate) fn timer_count(&self) -> usize {
        let by_node = |(_, filter): (usize, &SharedFilter)| match &filter.timed {
            Timed::ByNode(timers) => timers.len(),
            _ => 0,
        };
        match self.deadlines.is_empty() {
            true => 0,
            false => self.filters.iter().map(by_node).sum(),
        }
    }

    /// What a changed row of a set costs the views over it.
    pub(crate) fn standing_steps(&self, set: usize) -> u64 {
        self.standing.get(set).copied().unwrap_or(0)
    }

    /// Bytes held by windows.
    pub(crate) fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    /// The same, by looking at each window that is not being made, which counts as it was; and what their trees hold in truth.
    #[cfg(test)]
    pub(crate) fn recounted_window_bytes(&self) -> (usize, usize) {
        let bytes = |view: &View| match &view.shape {
            Shape::Window { window, .. } if view.is_done() => (window.bytes(), window.tree_bytes()),
            Shape::Window { window, .. } => (view.bytes, window.tree_bytes()),
            Shape::Stretch { .. } => (0, 0),
        };
        self.views.iter().map(|(_, view)| bytes(view)).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    }

    /// Bytes held by windows, and by what finds queries.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let views =
            self.views.capacity() * size_of::<View>() + self.filters.capacity() * size_of::<SharedFilter>();
        (self.window_bytes, self.predicates.iter().map(Predicates::bytes).sum::<usize>() + views)
    }
}

/// What a feed is rendered with.
pub(crate) fn shown(sorting: &Arc<Sorting>, projection: &crate::projection::Projection) -> Arc<Shown> {
    Arc::new(Shown { sorting: sorting.clone(), projection: projection.clone() })
}
