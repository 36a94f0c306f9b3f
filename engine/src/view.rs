//! One maintained result: a filter, an order and a cap over one set.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{
    access::Access,
    filter::Filter,
    order::Order,
    row::Row,
    set::RowChange,
    stats::Stats,
    time::Instant,
    update::{FeedId, NodeId},
    window::{Cause, NodeStep, Ranked, Window, WindowChange},
};

/// What makes two queries the same work; projections are separate on top of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) set: usize,
    pub(crate) filter: Arc<str>,
    pub(crate) order: Arc<str>,
    pub(crate) cap: usize,
}

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) identity: Identity,
    /// How the set's index finds this view.
    pub(crate) access: Access,
    filter: Filter,
    order: Order,
    pub(crate) window: Window,
    /// Only where the filter uses `now`.
    flips: Option<Flips>,
    /// The feeds that show this view, in the order of their making.
    pub(crate) feeds: Vec<FeedId>,
}

/// A change of a node that may touch a view, and which of its sides may: the filter is false of the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touch<'a> {
    pub(crate) change: &'a RowChange,
    pub(crate) before: bool,
    pub(crate) after: bool,
}

/// When each node's match will flip by time alone; nodes that never flip are not in it.
#[derive(Debug, Default)]
struct Flips {
    by_time: BTreeSet<(Instant, NodeId)>,
    by_node: HashMap<NodeId, Instant, FixedState>,
}

impl Flips {
    fn set(&mut self, node: &NodeId, at: Option<Instant>) {
        let old = match at {
            Some(at) => self.by_node.insert(node.clone(), at),
            None => self.by_node.remove(node),
        };
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.by_time.remove(&(old, node.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, node.clone()));
        }
    }

    fn pop_due(&mut self, now: Instant) -> Option<NodeId> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, node) = self.by_time.pop_first()?;
        self.by_node.remove(&node);
        Some(node)
    }
}

impl View {
    /// Evaluates the filter on every node of the set: O(nodes).
    pub(crate) fn build<'a>(
        identity: Identity,
        access: Access,
        filter: Filter,
        order: Order,
        rows: impl Iterator<Item = &'a Arc<Row>>,
        now: Instant,
        stats: &mut Stats,
    ) -> Self {
        let window = Window::new(identity.cap, BTreeMap::new());
        let flips = filter.uses_now().then(Flips::default);
        let mut view = Self { identity, access, filter, order, window, flips, feeds: Vec::new() };
        view.rebuild(rows, now, stats);
        view
    }

    /// Makes the window and the deadlines anew, as of `now`.
    fn rebuild<'a>(&mut self, rows: impl Iterator<Item = &'a Arc<Row>>, now: Instant, stats: &mut Stats) {
        let mut matches = BTreeMap::new();
        if let Some(flips) = &mut self.flips {
            *flips = Flips::default();
        }
        for row in rows {
            stats.rows_visited += 1;
            if let Some((rank, row)) = self.matched(row, now, stats) {
                matches.insert(rank, row);
            }
            self.expect_flip(row, now);
        }
        self.window = Window::new(self.identity.cap, matches);
    }

    /// The net change of the window by those changes of one commit that the view's access lets through.
    pub(crate) fn apply<'a>(
        &mut self,
        changes: impl Iterator<Item = Touch<'a>>,
        now: Instant,
        stats: &mut Stats,
    ) -> Vec<WindowChange> {
        let mut steps = Vec::new();
        for touch in changes {
            let RowChange { before, after } = touch.change;
            let cause = match (before, after) {
                (None, _) => Cause::Created,
                (_, None) => Cause::Deleted,
                _ => Cause::Changed,
            };
            let was = before.as_ref().filter(|_| touch.before).and_then(|row| self.held(row, stats));
            match (before, after) {
                (_, Some(row)) if touch.after => self.expect_flip(row, now),
                (_, Some(row)) | (Some(row), None) => self.forget_flip(row),
                (None, None) => {}
            }
            let is = after.as_ref().filter(|_| touch.after).and_then(|row| self.matched(row, now, stats));
            if was.is_some() || is.is_some() {
                steps.push(NodeStep { before: was, after: is, cause });
            }
        }
        if steps.is_empty() { Vec::new() } else { self.window.apply(steps) }
    }

    /// The net change of the window by time passing up to `now`. `row` finds a node of the view's set.
    pub(crate) fn advance<'a>(
        &mut self,
        now: Instant,
        row: impl Fn(&NodeId) -> Option<&'a Arc<Row>>,
        stats: &mut Stats,
    ) -> Vec<WindowChange> {
        let mut steps = Vec::new();
        while let Some(id) = self.flips.as_mut().and_then(|flips| flips.pop_due(now)) {
            let Some(row) = row(&id) else { continue };
            let rank = self.rank(row);
            let was = self.window.contains(&rank);
            let is = self.evaluate(row, now, stats);
            if was != is {
                stats.flips += 1;
                let ranked = Some((rank, row.clone()));
                let (before, after) = if was { (ranked, None) } else { (None, ranked) };
                steps.push(NodeStep { before, after, cause: Cause::Time });
            }
            self.expect_flip(row, now);
        }
        if steps.is_empty() { Vec::new() } else { self.window.apply(steps) }
    }

    /// As [`View::advance`], but for a clock that was set back: every node is looked at again, O(nodes).
    pub(crate) fn reconsider<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a Arc<Row>>,
        now: Instant,
        stats: &mut Stats,
    ) -> Vec<WindowChange> {
        let mut steps = Vec::new();
        for row in rows {
            stats.rows_visited += 1;
            let rank = self.rank(row);
            let was = self.window.contains(&rank);
            let is = self.evaluate(row, now, stats);
            if was != is {
                let ranked = Some((rank, row.clone()));
                let (before, after) = if was { (ranked, None) } else { (None, ranked) };
                steps.push(NodeStep { before, after, cause: Cause::Time });
            }
            self.expect_flip(row, now);
        }
        // In the order of the result, whatever the order in which the set gave its nodes.
        steps.sort_by(|a, b| {
            let rank = |s: &NodeStep| s.before.as_ref().or(s.after.as_ref()).map(|(rank, _)| rank.clone());
            rank(a).cmp(&rank(b))
        });
        if steps.is_empty() { Vec::new() } else { self.window.apply(steps) }
    }

    pub(crate) fn uses_now(&self) -> bool {
        self.flips.is_some()
    }

    /// The next moment at which time alone changes this view.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.flips.as_ref()?.by_time.first().map(|(at, _)| *at)
    }

    pub(crate) fn deadlines(&self) -> usize {
        self.flips.as_ref().map_or(0, |flips| flips.by_time.len())
    }

    fn rank(&self, row: &Row) -> Bytes {
        rank(&self.order, row)
    }

    fn evaluate(&self, row: &Row, now: Instant, stats: &mut Stats) -> bool {
        stats.predicates_evaluated += 1;
        self.filter.matches(&row.value, now)
    }

    fn matched(&self, row: &Arc<Row>, now: Instant, stats: &mut Stats) -> Option<Ranked> {
        self.evaluate(row, now, stats).then(|| (self.rank(row), row.clone()))
    }

    /// The old version of a changed node, if the view holds it. Asked of the window, not of the filter: what is held
    /// was decided at an earlier `now`.
    fn held(&self, row: &Arc<Row>, stats: &mut Stats) -> Option<Ranked> {
        // Without `now` the filter itself tells, more cheaply than a rank and a look-up.
        if self.flips.is_none() {
            stats.predicates_evaluated += 1;
            if !self.filter.matches(&row.value, Instant::MIN) {
                return None;
            }
            return Some((self.rank(row), row.clone()));
        }
        let rank = self.rank(row);
        self.window.contains(&rank).then(|| (rank, row.clone()))
    }

    fn expect_flip(&mut self, row: &Row, now: Instant) {
        if let Some(flips) = &mut self.flips {
            flips.set(&row.id, self.filter.next_flip(&row.value, now));
        }
    }

    fn forget_flip(&mut self, row: &Row) {
        if let Some(flips) = &mut self.flips {
            flips.set(&row.id, None);
        }
    }
}

/// The place of a row in an order.
pub(crate) fn rank(order: &Order, row: &Row) -> Bytes {
    let mut rank = Vec::with_capacity(32);
    order.rank(&row.value, &row.id, &mut rank);
    Bytes::from(rank.into_boxed_slice())
}
