//! All rows that match a query, as they were when it was asked.

use std::sync::Arc;

use bytes::Bytes;
use liveset_core::model;

use super::{Engine, slices::Sliced};
use crate::{
    error::OpenError,
    filter::Compiled,
    projection::Projection,
    query::Plan,
    shard::{
        create::Prepared,
        source::{Source, Span, handle_steps, wishes},
    },
    steps::blocks,
    store::{
        columns::{Column, Layout},
        row::Row,
        slots::Slots,
        sorting::Sorting,
    },
    time::Timestamp,
};

/// The rows that match a query, without its order and its cap, as they were at the moment at which it was asked. Commits that come before
/// the last is seen change nothing of it, and it may run on another thread. While it lasts, rows that have changed since are kept: see
/// [`Engine::replaced_bytes`].
#[derive(Debug)]
pub struct Scan {
    matching: Matching,
    projection: Projection,
    version: u64,
}

impl Scan {
    /// The version that its rows are of.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Looks at some more rows, at least one, for about `steps` steps at most, and gives those that match to `see`, as the query shows
    /// them. Returns how many steps it took, and whether there may be more.
    ///
    /// Costs as [`OneShot::step`](super::OneShot::step), and the projection of each row that matches.
    pub fn step_within(&mut self, rows: usize, steps: u64, mut see: impl FnMut(model::Row)) -> (u64, bool) {
        let mut spent = 0;
        let Self { matching, projection, .. } = self;
        matching.look_at(rows.max(1), steps, &mut spent, |_, row, _, spent| {
            *spent += 1 + blocks(row.json().len());
            see(match projection.is_whole() {
                true => model::Row::of(Arc::new(row.clone()), Bytes::new()),
                false => model::Row::new(row.id(), projection.project(row.json()), Bytes::new()),
            });
        });
        (spent, !matching.is_done())
    }
}

impl Engine {
    /// Begins to read all rows that match a query. Costs as [`one_shot`](Self::one_shot), where no view is held.
    ///
    /// # Errors
    ///
    /// As [`one_shot`](Self::one_shot).
    pub fn scan(&mut self, now: Timestamp, plan: &Plan) -> Result<Option<Scan>, OpenError> {
        let left = self.pass(now, self.limits.enforced_hold());
        self.take_again();
        let version = self.version_of(plan.set);
        let matching = self.matching(now, plan, left)?;
        Ok(matching.map(|(matching, _)| Scan { matching, projection: plan.projection.clone(), version }))
    }

    /// The version of the rows of a set that are to be seen.
    pub(super) fn version_of(&self, set: usize) -> u64 {
        let sliced = self.sliced.as_ref().filter(|sliced| sliced.before(set).is_some());
        sliced.map_or(self.version, Sliced::version)
    }

    /// Bytes of rows of a set that were replaced or taken out, over all commits: by how much this has grown, a [`Scan`] that was begun
    /// before keeps at most. 0 where there is no such set.
    pub fn replaced_bytes(&self, set: &str) -> u64 {
        self.sets.get(set).map_or(0, |set| set.replaced_bytes)
    }

    /// What may match a query, and in which order it would come; `None` where its set is none any more.
    pub(super) fn matching(
        &mut self,
        now: Timestamp,
        plan: &Plan,
        left: u64,
    ) -> Result<Option<(Matching, Arc<Sorting>)>, OpenError> {
        let before = self.sliced.as_ref().and_then(|sliced| sliced.before(plan.set)).cloned();
        let Some((_, set)) = self.sets.get_index_mut(plan.set) else { return Ok(None) };
        let max = self.limits.max_columns;
        let mut spent = 0;
        let prepared = Prepared::new(set, plan, now, &self.limits, &mut spent)
            .ok_or(OpenError::TooManyColumns { max })?;
        let Prepared { sorting, compiled, access, is_all, columns, .. } = prepared;
        if let Some(slots) = before {
            // The indexes are of a moment that nobody is to see.
            let found = slots.len() as u64;
            self.stats.work.steps += spent + slots.pieces() as u64;
            self.stats.work.rows_visited += found;
            self.stats.work.predicates_evaluated += if is_all { 0 } else { found };
            let (current, layout) = (set.layout().clone(), Arc::new(Layout::of(&columns)));
            let rows = Candidates::All(slots);
            return Ok(Some((Matching { now, compiled, rows, current, layout, done: 0 }, sorting)));
        }
        let source = Source::of(set, &access, Span::At(now)).within(left);
        let handles = match &source {
            Source::All { .. } => None,
            Source::Candidates { .. } => Some(source.handles()),
        };
        let found = handles.as_ref().map_or(set.len(), Vec::len);
        let pieces = set.slots().pieces();
        let rows = match handles {
            None => Candidates::All(set.slots().clone()),
            Some(handles) if handles.len() > pieces => Candidates::Found(set.slots().clone(), handles),
            Some(handles) => {
                Candidates::Few(handles.iter().filter_map(|handle| set.row(*handle).cloned()).collect())
            }
        };
        spent += pieces.min(found) as u64 + handle_steps(rows.handles());
        self.stats.work.steps += spent;
        self.stats.work.rows_visited += found as u64;
        self.stats.work.predicates_evaluated += if is_all { 0 } else { found as u64 };
        let len = set.len();
        for wish in wishes(set, &access) {
            match found >= len {
                true => set.indexes.wish(&wish, len, len),
                false => set.indexes.used(&wish),
            }
        }
        let (current, layout) = (set.layout().clone(), Arc::new(Layout::of(&columns)));
        Ok(Some((Matching { now, compiled, rows, current, layout, done: 0 }, sorting)))
    }
}

/// The rows of a set that may match, each of which is looked at once.
#[derive(Debug)]
pub(super) struct Matching {
    now: Timestamp,
    compiled: Compiled<Column>,
    /// Those of the set that may match, as they were.
    rows: Candidates,
    /// Rows of this layout hold all that is read.
    current: Arc<Layout>,
    /// What is read alone, for the others: what nobody keeps is not left behind in the rows.
    layout: Arc<Layout>,
    /// How many of the rows were looked at.
    done: usize,
}

impl Matching {
    pub(super) fn is_done(&self) -> bool {
        self.done >= self.rows.len()
    }

    pub(super) fn row(&self, place: usize) -> Option<&Row> {
        self.rows.get(place)
    }

    /// Looks at some more. Of those that match, `see` gets the place, the row, and the row with what is read of it.
    pub(super) fn look_at(
        &mut self,
        rows: usize,
        steps: u64,
        spent: &mut u64,
        mut see: impl FnMut(usize, &Row, &Row, &mut u64),
    ) {
        let Self { now, compiled, rows: all, current, layout, done } = self;
        let end = done.saturating_add(rows).min(all.len());
        let begin = *done;
        for place in begin..end {
            if place > begin && *spent >= steps {
                break;
            }
            *done = place + 1;
            *spent += 1;
            let Some(row) = all.get(place) else { continue };
            let laid_out;
            let read = if row.is_laid_out(current) {
                row
            } else {
                *spent += blocks(row.json().len());
                laid_out = row.laid_out(layout);
                &laid_out
            };
            if compiled.test(read, *now, spent) {
                see(place, row, read, spent);
            }
        }
    }
}

/// Rows as they were, by their place.
#[derive(Debug)]
enum Candidates {
    Few(Vec<Row>),
    /// Of all rows, those with these handles.
    Found(Slots, Vec<u32>),
    All(Slots),
}

impl Candidates {
    fn len(&self) -> usize {
        match self {
            Candidates::Few(rows) => rows.len(),
            Candidates::Found(_, handles) => handles.len(),
            Candidates::All(slots) => slots.len(),
        }
    }

    /// How many handles an index has told.
    fn handles(&self) -> usize {
        match self {
            Candidates::Few(_) | Candidates::Found(..) => self.len(),
            Candidates::All(_) => 0,
        }
    }

    fn get(&self, place: usize) -> Option<&Row> {
        match self {
            Candidates::Few(rows) => rows.get(place),
            Candidates::Found(slots, handles) => slots.row(*handles.get(place)?),
            Candidates::All(slots) => slots.row(place as u32),
        }
    }
}
