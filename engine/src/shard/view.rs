//! One maintained result: a filter, an order and a cap over one set; and who is shown it.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{
    analysis::{Alternative, Class},
    filter::Compiled,
    shard::{
        predicates::Extent,
        timers::Timers,
        window::{Slice, Window, WindowChange},
    },
    store::{columns::Column, sorting::Sorting},
    update::{FeedId, NodeChange, Shown},
    value::Value,
};

/// What makes two queries the same work; projections are separate on top of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) set: usize,
    pub(crate) filter: Arc<str>,
    pub(crate) order: Arc<str>,
    pub(crate) cap: usize,
}

/// A filter that one view or several share: it is evaluated once for all of them.
#[derive(Debug)]
pub(crate) struct SharedFilter {
    pub(crate) set: usize,
    pub(crate) canonical: Arc<str>,
    pub(crate) compiled: Box<Compiled<Column>>,
    /// How changes find it.
    pub(crate) access: Box<Alternative<Column>>,
    /// Whether it lets everything pass.
    pub(crate) is_all: bool,
    pub(crate) proof: Proof,
    /// Where the ranges are filed that move with time.
    pub(crate) moving: Box<[u128]>,
    pub(crate) timed: Timed,
    pub(crate) views: SmallVec<[u32; 1]>,
    /// How often it was found since the access was chosen, and how often it then held.
    pub(crate) found: u32,
    pub(crate) held: u32,
    /// After how often found it is asked whether another access were better.
    pub(crate) ask_again: u32,
    pub(crate) touches: Touches,
}

/// What proves that a filter holds of a node that its access finds.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// That it was found.
    Found,
    /// That a column also holds a value: what most often is left to check, kept where it costs no look at the filter.
    Equal(Column, Value),
    /// That it also passes what the access leaves to check.
    Residue,
    /// Nothing but the filter itself: ranges that move with time are filed wider than they are.
    Whole,
}

impl Proof {
    pub(crate) fn of(access: &Alternative<Column>) -> Self {
        match &access.residue {
            _ if access.moves => Proof::Whole,
            None => Proof::Found,
            Some(_) => {
                access.equality().map_or(Proof::Residue, |(column, value)| Proof::Equal(column, value))
            }
        }
    }
}

/// What time does to a filter.
#[derive(Debug)]
pub(crate) enum Timed {
    /// Nothing.
    No,
    /// Nodes flip one after the other as time passes over the values of a column: an order of those tells which is next.
    /// These are the numbers of its tests.
    ByOrder(Box<[u32]>),
    /// Each node has a timer.
    ByNode(Box<Timers>),
}

/// A chain through the touches of one commit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Touches {
    /// The step that they are of; of any other, there are none.
    pub(crate) step: u64,
    pub(crate) first: u32,
    pub(crate) last: u32,
}

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) identity: Identity,
    pub(crate) sorting: Arc<Sorting>,
    pub(crate) shape: Shape,
    /// Matches; of a slice, as long as its count is followed.
    pub(crate) total: u64,
    pub(crate) feeds: SmallVec<[Feed; 1]>,
    /// Rows below this handle are in it; `None` when all are.
    pub(crate) filled: Option<u32>,
    /// What the window is counted as; one that is being filled as the most that it may take.
    pub(crate) bytes: usize,
}

/// How a view holds its rows.
#[derive(Debug)]
pub(crate) enum Shape {
    Window { filter: u32, window: Window },
    Slice { extent: Extent, slice: Slice, followed: bool, touches: Touches },
}

impl View {
    pub(crate) fn cap(&self) -> usize {
        self.identity.cap
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.filled.is_none()
    }
}

/// A view as one projection shows it.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) id: FeedId,
    /// Whether it is told when only the count changes.
    pub(crate) follows_count: bool,
    pub(crate) shown: Arc<Shown>,
    /// Whether nodes are shown whole.
    pub(crate) is_whole: bool,
    /// How many [`crate::Engine::open`] are not closed.
    pub(crate) opened: usize,
}

impl Feed {
    /// What the projection shows of the changes of the window: not the updates of what it leaves out.
    pub(crate) fn show(&self, changes: &[WindowChange]) -> Vec<NodeChange> {
        let shows = |change: &&WindowChange| match (&change.before, &change.after) {
            // `Updated` is sent when the projected data or the node's own sort key changed, and not otherwise.
            (Some(before), Some(after)) => {
                let same = match self.is_whole {
                    // A row whose bytes are kept is one that means the same.
                    true => before.raw.as_ptr() == after.raw.as_ptr(),
                    false => self.shown.projection.same_text(&before.raw, &after.raw),
                };
                !(same && self.shown.sorting.same(before, after))
            }
            _ => true,
        };
        let shown = changes.iter().filter(shows);
        shown.filter_map(|change| NodeChange::new(&change.before, &change.after, change.reason)).collect()
    }
}

impl SharedFilter {
    pub(crate) fn is_scanned(&self) -> bool {
        self.access.class == Class::Scan
    }
}
