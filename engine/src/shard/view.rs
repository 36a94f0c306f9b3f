//! One maintained result: a filter, an order and a cap over one set; and who is shown it.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use liveset_core::time::Deadlines;
use smallvec::SmallVec;

use crate::{
    allowance::Keeping,
    analysis::{Alternative, Class},
    filter::Compiled,
    shard::{
        predicates::{Extent, Filed},
        window::{Cause, Step, Stretch, Window},
    },
    steps::Cost,
    store::{columns::Column, row::Row, sorting::Sorting},
    time::Timestamp,
    update::WindowChange,
    update::{self, FeedId},
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
    pub(crate) filed: Filed,
    pub(crate) timed: Timed,
    pub(crate) views: SmallVec<[u32; 1]>,
    /// What a row that it holds of costs its views at most.
    pub(crate) moves: Cost,
    /// How often it was found since the access was chosen, and how often it then held.
    pub(crate) found: u32,
    pub(crate) held: u32,
    /// After how often found it is asked whether another access were better.
    pub(crate) ask_again: u32,
    pub(crate) touches: Touches,
    /// The [bits](Column::bit) of what it reads.
    pub(crate) columns: u64,
    /// The most steps that it takes to try one version of a row on it.
    pub(crate) cost: Cost,
    pub(crate) pace: Pace,
}

/// How far a filter is with what its set did.
#[derive(Debug)]
pub(crate) enum Pace {
    /// Up to date.
    Current,
    /// It takes the entries of the set's history in slices.
    Behind(Box<Behind>),
}

/// Where a filter stands that is behind its set.
#[derive(Debug)]
pub(crate) struct Behind {
    /// The entry of the set's history that it takes next, or is taking.
    pub(crate) entry: u64,
    /// How many changes and turned rows of that it has looked at.
    pub(crate) place: usize,
    /// The moment as of which its results are.
    pub(crate) now: Timestamp,
    /// The rows of the entry that its views are to be told of.
    pub(crate) taken: Vec<Taken>,
    /// Whether to take all that it has missed would cost too much, or keep too much waiting: its views look at all rows once more.
    pub(crate) is_hopeless: bool,
}

/// A row that a filter holds of before or after an entry.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) handle: u32,
    pub(crate) before: Option<Row>,
    pub(crate) after: Option<Row>,
    pub(crate) cause: Cause,
}

impl Taken {
    pub(crate) fn step(&self) -> Step<'_> {
        Step {
            handle: self.handle,
            before: self.before.as_ref(),
            after: self.after.as_ref(),
            cause: self.cause,
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
    ByNode(Box<Deadlines<Timestamp, u32>>),
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
    /// Matches; of a stretch, as long as its count is followed.
    pub(crate) total: u64,
    pub(crate) feeds: SmallVec<[Feed; 1]>,
    pub(crate) filling: Filling,
    /// All that its filter and its order read; none of a stretch.
    pub(crate) columns: Box<[Column]>,
    pub(crate) keeping: Keeping,
    pub(crate) own: Own,
    /// What the window is counted as; one that is being filled as the most that it may take.
    pub(crate) bytes: usize,
}

/// Of so many rows about so many are found for a view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) hits: u64,
    pub(crate) of: u64,
}

impl Own {
    pub(crate) const ALL: Own = Own { hits: 1, of: 1 };

    /// What a changed row costs, if one of its own costs so much.
    pub(crate) fn of(self, steps: u64) -> u64 {
        steps.saturating_mul(self.hits) / self.of
    }
}

/// Whether a view knows its result.
#[derive(Debug)]
pub(crate) enum Filling {
    /// It does.
    Done,
    /// Its rows are being looked at; nobody has been shown anything.
    First(Cursor),
    /// Its rows are being looked at once more, because what happened since would have cost more. Until that is done it shows
    /// what it showed.
    Again(Cursor, Box<Shown>),
}

impl Filling {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Filling::Done)
    }

    /// The window is another than that which whoever watches is being told of.
    pub(crate) fn grow_stale(&mut self) {
        if let Filling::Again(_, shown) = self
            && let Some(telling) = &mut shown.telling
        {
            telling.is_stale = true;
        }
    }
}

/// How far the rows of a view have been looked at.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// The rows among which all matches are, sorted; `None` for all rows of the set.
    pub(crate) handles: Option<Vec<u32>>,
    /// The place in `handles`, or the handle, at which to go on.
    pub(crate) next: u32,
    /// Rows that were not reached yet and are in the window, because they changed meanwhile.
    pub(crate) ahead: HashSet<u32, FixedState>,
    /// Whether it was begun.
    pub(crate) is_begun: bool,
    /// Whether a slice was too small to begin it.
    pub(crate) has_waited: bool,
}

impl Cursor {
    /// Whether a row has been looked at.
    pub(crate) fn has_seen(&self, handle: u32) -> bool {
        let reached = match &self.handles {
            None => handle < self.next,
            Some(handles) => handles[..self.next as usize].binary_search(&handle).is_ok(),
        };
        reached || self.ahead.contains(&handle)
    }
}

/// What a view shows while its rows are looked at once more.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The rows of its window, in order.
    pub(crate) rows: Vec<Row>,
    pub(crate) total: u64,
    /// The version of this result.
    pub(crate) version: u64,
    /// The moment as of which it is.
    pub(crate) now: Timestamp,
    /// The number of the set's last commit that it has seen.
    pub(crate) commit: u64,
    /// Another result that whoever watches is being told of, where that takes more than one slice.
    pub(crate) telling: Option<Box<Telling>>,
}

/// What the feeds of a view are to be told of, all at once when it is made ready for each of them.
#[derive(Debug)]
pub(crate) struct Telling {
    pub(crate) changes: Vec<WindowChange>,
    /// Whether the count is another.
    pub(crate) is_counted: bool,
    /// What is shown then.
    pub(crate) next: Shown,
    /// Whether the window has changed since.
    pub(crate) is_stale: bool,
    /// The feed for which it is being made ready, how many of the changes have been looked at, and what it shows of these.
    pub(crate) part: (FeedId, usize, Vec<WindowChange>),
    /// The feeds for which it is ready.
    pub(crate) told: HashSet<FeedId, FixedState>,
    pub(crate) ready: Vec<update::Update>,
    /// Feeds before this place are, unless others have come there.
    pub(crate) place: usize,
}

/// How a view holds its rows.
#[derive(Debug)]
pub(crate) enum Shape {
    Window { filter: u32, window: Window },
    Stretch { extent: Extent, stretch: Stretch, followed: bool, touches: Touches },
}

impl View {
    pub(crate) fn cap(&self) -> usize {
        self.identity.cap
    }

    /// Whether it has something to show.
    pub(crate) fn is_filled(&self) -> bool {
        !matches!(self.filling, Filling::First(_))
    }

    /// Whether its rows are being looked at once more.
    pub(crate) fn is_again(&self) -> bool {
        matches!(self.filling, Filling::Again(..))
    }

    /// Whether its window holds its result.
    pub(crate) fn is_done(&self) -> bool {
        self.filling.is_done()
    }
}

/// A view as one projection shows it.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) id: FeedId,
    /// Whether it is told when only the count changes.
    pub(crate) follows_count: bool,
    pub(crate) shown: Arc<update::Shown>,
    /// Whether nodes are shown whole.
    pub(crate) is_whole: bool,
    /// Whether no node is shown, and only counted.
    pub(crate) is_count: bool,
    /// What it costs at most to tell whether it shows a change of a node.
    pub(crate) cost: Cost,
    /// Steps that each changed row of the set costs for that, about.
    pub(crate) standing_steps: u64,
    /// How many [`crate::Engine::open`] are not closed.
    pub(crate) opened: usize,
}

impl Feed {
    /// Whether the projection shows a change of the window: not one of what it leaves out. `Updated` is sent when the projected data
    /// or the row's own sort key changed, and not otherwise. Adds the steps that it took.
    pub(crate) fn shows(&self, change: &WindowChange, steps: &mut u64) -> bool {
        if self.is_count {
            return false;
        }
        if let (Some(before), Some(after)) = (&change.before, &change.after) {
            let same = match self.is_whole {
                // A row whose bytes are kept is one that means the same.
                true => before.is_spelled_as(after),
                false => {
                    *steps += self.cost.of(before.json().len().max(after.json().len()));
                    self.shown.projection.same_text(before.json(), after.json())
                }
            };
            return !(same && self.shown.sorting.same(before, after));
        }
        true
    }
}

impl SharedFilter {
    pub(crate) fn is_scanned(&self) -> bool {
        self.access.class == Class::Scan
    }

    /// Whether it is to hear of every row that an index finds for it, as each has a timer.
    pub(crate) fn hears_all(&self) -> bool {
        matches!(self.timed, Timed::ByNode(_))
    }

    /// Whether it is up to date with its set.
    pub(crate) fn is_current(&self) -> bool {
        matches!(self.pace, Pace::Current)
    }
}
