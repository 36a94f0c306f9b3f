//! Queries that are answered once, and not kept.

use std::{collections::BinaryHeap, ops::ControlFlow};

use bytes::Bytes;

use super::{Engine, identity, scan::Matching};
use liveset_core::model::{Count, Snapshot};

use crate::{
    error::OpenError,
    explain::Explain,
    query::Plan,
    shard::{WINDOW_STEPS, create::Prepared},
    steps::blocks,
    time::Timestamp,
    update::Shown,
};

/// A query that is answered once: what it takes to answer it, as of the moment at which it was asked. Commits that come before it is
/// done change nothing of it, and it may run on another thread.
#[derive(Debug)]
pub struct OneShot(State);

#[derive(Debug)]
enum State {
    /// Somebody keeps the result.
    Known(Snapshot),
    Asked(Box<Asked>),
}

#[derive(Debug)]
struct Asked {
    version: u64,
    cap: usize,
    shown: Shown,
    matching: Matching,
    /// How many rows match.
    total: u64,
    /// The first of them in order, at most the cap, with their places; the last is on top.
    first: BinaryHeap<(Bytes, usize)>,
}

impl OneShot {
    /// Looks at some more rows, at least one: the result where those were all. Costs a filter evaluation for each, and for those that do
    /// not hold what the query reads a pass over their text; at the end the projection of the result. To give a query up, drop it.
    pub fn step(self, rows: usize) -> ControlFlow<Snapshot, OneShot> {
        self.step_within(rows, u64::MAX).0
    }

    /// The same, for about `steps` steps at most; and how many those were.
    pub fn step_within(self, rows: usize, steps: u64) -> (ControlFlow<Snapshot, OneShot>, u64) {
        match self.0 {
            State::Known(snapshot) => (ControlFlow::Break(snapshot), 0),
            State::Asked(mut asked) => {
                let mut spent = 0;
                asked.look_at(rows.max(1), steps, &mut spent);
                let flow = match asked.matching.is_done() {
                    false => ControlFlow::Continue(OneShot(State::Asked(asked))),
                    true => ControlFlow::Break((*asked).result(&mut spent)),
                };
                (flow, spent)
            }
        }
    }

    /// The result, in one go. Takes memory for the cap.
    pub fn run(self) -> Snapshot {
        let mut one_shot = self;
        loop {
            match one_shot.step(usize::MAX) {
                ControlFlow::Break(snapshot) => return snapshot,
                ControlFlow::Continue(rest) => one_shot = rest,
            }
        }
    }
}

impl Asked {
    fn look_at(&mut self, rows: usize, steps: u64, spent: &mut u64) {
        let Self { cap, shown, matching, total, first, .. } = self;
        let mut rank = Vec::new();
        matching.look_at(rows, steps, spent, |place, _, read, spent| {
            *spent += WINDOW_STEPS;
            *total += 1;
            rank.clear();
            shown.sorting.write(read, &mut rank);
            if first.len() < *cap {
                first.push((Bytes::copy_from_slice(&rank), place));
            } else if let Some(mut last) = first.peek_mut()
                && rank[..] < last.0[..]
            {
                *last = (Bytes::copy_from_slice(&rank), place);
            }
        });
    }

    fn result(self, spent: &mut u64) -> Snapshot {
        let Self { version, cap, shown, matching, total, first } = self;
        let mut row = |(order_key, place): (Bytes, usize)| {
            let row = matching.row(place)?;
            *spent += 1 + blocks(row.json().len());
            Some(shown.row_at(row, order_key))
        };
        let rows = first.into_sorted_vec().into_iter().filter_map(&mut row).collect();
        Snapshot { version, count: Count::new(total, cap), rows }
    }
}

impl Engine {
    /// Asks a query once. Costs planning it, and a reference to each node that the cheapest index finds, or to each 128 nodes of the set
    /// where there is none or it finds very many; where a view of the same identity is held and up to date, writing its result.
    /// [`OneShot::step`] costs the rest.
    ///
    /// # Errors
    ///
    /// More fields of the set would be read than the limits allow.
    pub fn one_shot(&mut self, now: Timestamp, plan: &Plan) -> Result<OneShot, OpenError> {
        let left = self.pass(now, self.limits.enforced_hold());
        self.take_again();
        let identity = identity(plan);
        let shard = self.shard_of(&identity);
        let version = self.version_of(plan.set);
        if version == self.version
            && let Some(view) = self.shards[shard].view_of(&identity)
            && self.is_filled(shard, view)
            && self.is_complete(shard, view)
        {
            return Ok(OneShot(State::Known(self.snapshot_of(shard, view, &plan.projection))));
        }
        let Some((matching, sorting)) = self.matching(now, plan, left)? else {
            return Ok(OneShot(State::Known(self.nothing())));
        };
        let asked = Asked {
            version,
            cap: plan.cap,
            shown: Shown { sorting, projection: plan.projection.clone() },
            matching,
            total: 0,
            first: BinaryHeap::new(),
        };
        Ok(OneShot(State::Asked(Box::new(asked))))
    }

    /// The result of a query now: [asked](Self::one_shot) and run at once.
    ///
    /// # Errors
    ///
    /// As [`one_shot`](Self::one_shot).
    pub fn evaluate(&mut self, now: Timestamp, plan: &Plan) -> Result<Snapshot, OpenError> {
        self.one_shot(now, plan).map(OneShot::run)
    }

    /// How a query is found by changes, and where its rows come from; see [`Explain`].
    ///
    /// # Errors
    ///
    /// As [`one_shot`](Self::one_shot).
    pub fn explain(&mut self, now: Timestamp, plan: &Plan) -> Result<Explain, OpenError> {
        let identity = identity(plan);
        let shard = &self.shards[self.shard_of(&identity)];
        let Some((_, set)) = self.sets.get_index_mut(plan.set) else { return Ok(Explain::default()) };
        let max = self.limits.max_columns;
        let mut spent = 0;
        let prepared = Prepared::new(set, plan, now, &self.limits, &mut spent)
            .ok_or(OpenError::TooManyColumns { max })?;
        self.stats.work.steps += spent;
        Ok(Explain::of(shard, set, plan.set, &identity, plan, &prepared, now))
    }
}
