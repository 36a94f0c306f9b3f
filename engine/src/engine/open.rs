//! Live queries: opened, shared, closed.

use liveset_core::model::{Snapshot, limit};

use super::{Engine, identity, trim};
use crate::{
    EngineLimits,
    allowance::{Allowance, Keeping, Opened, Share},
    analysis::TimeTest,
    error::OpenError,
    moments::MOMENT_STEPS,
    query::Plan,
    shard::{
        Shard,
        create::{First, Prepared, showing_cost},
        source::PROBE_STEPS,
        view::Identity,
    },
    store::columns::Column,
    syntax::shortened,
    time::Timestamp,
    update::FeedId,
};

impl Engine {
    /// Opens a live query: its result now, and from here on an [`Update`](crate::Update) for whatever changes it.
    ///
    /// Queries of one identity share a view, and with one projection a feed; each `open` wants its own
    /// [`close`](Engine::close). Updates that are queued already belong to those who had the feed before: drain them
    /// first. A new view costs what [`evaluate`](Engine::evaluate) costs.
    ///
    /// # Errors
    ///
    /// There are as many live queries as the limits allow, or as many of a kind that costs more.
    pub fn open(&mut self, now: Timestamp, plan: &Plan) -> Result<(FeedId, Snapshot), OpenError> {
        let mut left = u64::MAX;
        let Filed { feed, shard, view, .. } = self.file(now, plan, &Allowance::UNLIMITED, &mut left)?;
        while !self.is_filled(shard, view) {
            self.work_on(usize::MAX, u64::MAX, Some((shard, view)));
        }
        Ok((feed, self.snapshot_of(shard, view, &plan.projection)))
    }

    /// The same, without a snapshot, and where the result cannot be had within a slice of work it is not there yet. Tells whether
    /// it is. [`handle_timeout`](Self::handle_timeout) goes on with it, [`poll_opened`](Self::poll_opened) tells when it is there, and
    /// [`snapshot`](Self::snapshot) is it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn begin_open(&mut self, now: Timestamp, plan: &Plan) -> Result<(FeedId, bool), OpenError> {
        self.begin_open_within(now, plan, &Allowance::UNLIMITED).map(|opened| (opened.feed, opened.is_there))
    }

    /// Like [`begin_open`](Self::begin_open), for somebody who may take only so much of what is shared; and tells what it costs.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); and more would be taken than is allowed ([`OpenError::NoShare`]). Nothing is kept then.
    pub fn begin_open_within(
        &mut self,
        now: Timestamp,
        plan: &Plan,
        allowance: &Allowance,
    ) -> Result<Opened, OpenError> {
        let mut left = self.limits.enforced_hold();
        let Filed { feed, shard, view, is_new } = self.file(now, plan, allowance, &mut left)?;
        let slice = self.limits.slice_rows.max(1);
        let rows = self.sets.get_index(plan.set).map_or(0, |(_, set)| set.len());
        // What does not fit in a slice is refused before work on it takes the turn of those that were let in.
        let refused = |engine: &Engine| is_new && engine.filling.len() > engine.limits.max_filling;
        let is_hopeless = rows > slice && refused(self);
        let left = left.min(allowance.steps_at_once);
        if !self.is_filled(shard, view) && !is_hopeless && left > 0 {
            self.work_on(slice, left, Some((shard, view)));
        }
        let is_there = self.is_filled(shard, view);
        if !is_there {
            if refused(self) {
                self.close(feed);
                return Err(OpenError::TooManyFilling { max: self.limits.max_filling });
            }
            self.waiting.insert(feed);
        }
        let keeping = self.keeping(feed).unwrap_or_default();
        Ok(Opened { feed, is_there, keeping })
    }

    /// The feed that a query would share with those that opened it already.
    pub fn feed_of(&self, plan: &Plan) -> Option<FeedId> {
        let identity = identity(plan);
        let shard = &self.shards[self.shard_of(&identity)];
        let view = shard.view(shard.view_of(&identity)?)?;
        let shows = |feed: &&crate::shard::view::Feed| {
            feed.shown.projection == plan.projection && feed.follows_count == plan.follows_count
        };
        view.feeds.iter().find(shows).map(|feed| feed.id)
    }

    /// The feed that shows the same as this one, and follows the count where this does not or the other way round, if there is one: its
    /// changes are the same.
    pub fn sibling(&self, feed: FeedId) -> Option<FeedId> {
        let shard = &self.shards[self.shard_of_feed(feed)];
        let view = shard.view(*shard.feeds.get(&feed)?)?;
        let own = view.feeds.iter().find(|held| held.id == feed)?;
        let is_sibling = |held: &&crate::shard::view::Feed| {
            held.id != feed && held.shown.projection == own.shown.projection
        };
        view.feeds.iter().find(is_sibling).map(|held| held.id)
    }

    /// A feed of which [`begin_open`](Self::begin_open) had no result yet, and now has. Drain until `None`.
    pub fn poll_opened(&mut self) -> Option<FeedId> {
        loop {
            let feed = self.opened.pop_front()?;
            if self.shards[self.shard_of_feed(feed)].feeds.contains_key(&feed) {
                return Some(feed);
            }
        }
    }

    /// The result of an open feed as of the last input; `None` where there is none yet, or no such feed.
    pub fn snapshot(&self, feed: FeedId) -> Option<Snapshot> {
        let shard = self.shard_of_feed(feed);
        let id = *self.shards[shard].feeds.get(&feed)?;
        let view = self.shards[shard].view(id)?;
        let shown = view.feeds.iter().find(|held| held.id == feed)?.shown.clone();
        self.is_filled(shard, id).then(|| self.snapshot_of(shard, id, &shown.projection))
    }

    /// Bytes of JSON of the nodes in the result of an open feed, before they are cut down to the fields that it shows; 0 where there is
    /// none. Costs O(nodes in the result), of which none is read.
    pub fn result_bytes(&self, feed: FeedId) -> usize {
        let shard = &self.shards[self.shard_of_feed(feed)];
        let view = shard.feeds.get(&feed).and_then(|id| Some((*id, shard.view(*id)?)));
        let Some((id, view)) = view.filter(|(_, view)| view.is_filled()) else { return 0 };
        let set = self.sets.get_index(view.identity.set);
        set.map_or(0, |(_, set)| shard.entries(id, set).take(view.cap()).map(|row| row.json().len()).sum())
    }

    /// Takes back one [`open`](Engine::open); with the last one the feed is gone, and with the last feed its view.
    /// Updates of it that are queued still come. Costs O(1) and the giving back of what the window held.
    pub fn close(&mut self, feed: FeedId) {
        let shard = self.shard_of_feed(feed);
        let view = self.shards[shard].feeds.get(&feed).copied();
        let of_view = view.and_then(|view| self.shards[shard].view(view));
        let is_being_filled = of_view.is_some_and(|view| !view.is_done());
        let set = of_view.map(|view| view.identity.set);
        let closed = self.shards[shard].close(feed, &mut self.sets);
        if let Some((number, (_, set))) = set.and_then(|set| Some((set, self.sets.get_index_mut(set)?)))
            && !set.history.is_empty()
        {
            trim(&self.shards, number, set);
        }
        if is_being_filled {
            let is_there = |(shard, view): &(usize, u32)| self.shards[*shard].view(*view).is_some();
            self.filling.retain(is_there);
        }
        if !self.waiting.is_empty() && !self.shards[shard].feeds.contains_key(&feed) {
            self.waiting.remove(&feed);
        }
        if let Some(closed) = closed
            && let Some((_, set)) = self.sets.get_index_mut(closed.set)
        {
            closed.tests.iter().for_each(|test| self.moments.remove(*test, set));
        }
        let mut left = self.limits.enforced_hold();
        set.into_iter().for_each(|number| self.sweep_set(number, &mut left));
    }

    /// Makes a view, or finds it, and a feed on it; takes the steps of that from `left`.
    fn file(
        &mut self,
        now: Timestamp,
        plan: &Plan,
        allowance: &Allowance,
        left: &mut u64,
    ) -> Result<Filed, OpenError> {
        let passed = self.limits.enforced_hold() - self.pass(now, self.limits.enforced_hold());
        *left = left.saturating_sub(passed);
        self.take_again();
        let identity = identity(plan);
        let number = self.shard_of(&identity);
        let known = self.shards[number].view_of(&identity);
        let view = match known {
            Some(view) => {
                let known = self.feed_of(plan);
                let of_view = || Some(self.shards[number].view(view)?.keeping);
                let keeping = known.map_or_else(of_view, |feed| self.keeping(feed)).unwrap_or_default();
                let more = if known.is_some() { 0 } else { self.showing_steps(number, view, plan) };
                let standing_steps = keeping.standing_steps.saturating_add(more);
                admit(&Keeping { standing_steps, ..keeping }, allowance)?;
                if allowance.is_bounded && more > 0 {
                    take(STANDING, more, self.standing_share(plan.set))?;
                }
                view
            }
            None => self.create(number, identity, plan, allowance, left)?,
        };
        let Self { shards, sets, next_feed, .. } = self;
        let count = shards.len() as u64;
        let fresh = || {
            *next_feed += 1;
            FeedId(*next_feed * count + number as u64)
        };
        let feed = sets.get_index(plan.set).and_then(|(_, set)| shards[number].show(view, set, plan, fresh));
        // The view was found or made just now.
        let filed = feed.map(|feed| Filed { feed, shard: number, view, is_new: known.is_none() });
        filed.ok_or(OpenError::TooManyViews { max: self.limits.max_views })
    }

    /// What a feed more would add to what each changed row costs a view.
    fn showing_steps(&self, shard: usize, view: u32, plan: &Plan) -> u64 {
        let view = self.shards[shard].view(view);
        let bytes = self.sets.get_index(plan.set).map_or(0, |(_, set)| set.average_row_bytes());
        view.map_or(0, |view| view.own.of(showing_cost(plan).of(bytes)))
    }

    /// The share of the set's budget that all live queries have together.
    fn standing_share(&self, set: usize) -> Share {
        let views: u64 = self.shards.iter().map(|shard| shard.standing_steps(set)).sum();
        // Whoever was the first to ask a test over time may be gone.
        let moments = MOMENT_STEPS * self.moments.count(set) as u64;
        Share::after(limit!(EngineLimits.standing_steps), self.limits.standing_steps, views.max(moments))
    }

    fn create(
        &mut self,
        shard: usize,
        identity: Identity,
        plan: &Plan,
        allowance: &Allowance,
        left: &mut u64,
    ) -> Result<u32, OpenError> {
        let mut half = *left / 2;
        let before = half;
        self.sweep_set(plan.set, &mut half);
        self.build_if_small(plan.set, &mut half);
        *left -= before - half;
        let limits = &self.limits;
        if self.shards.iter().map(Shard::view_count).sum::<usize>() >= limits.max_views {
            return Err(OpenError::TooManyViews { max: limits.max_views });
        }
        let Some((_, set)) = self.sets.get_index_mut(plan.set) else {
            return Err(OpenError::TooManyViews { max: limits.max_views });
        };
        let wanted = set.wanted_columns();
        let mut spent = 0;
        let prepared = Prepared::new(set, plan, self.now, limits, &mut spent);
        self.stats.work.steps += spent;
        *left = left.saturating_sub(spent);
        let Some(prepared) = prepared else {
            return Err(OpenError::TooManyColumns { max: limits.max_columns });
        };
        let (row_bytes, max) = (set.largest_row_bytes(), limits.filter_steps);
        let cost = prepared.compiled.cost().of(row_bytes);
        if cost > max {
            return Err(OpenError::TooDear { cost, row_bytes, max });
        }
        let known = self.shards[shard].filter_of(plan.set, &identity.filter).is_some();
        let asked = prepared.time_tests.iter().flatten().filter(|_| !known);
        let is_first = |(column, test): &&(Column, TimeTest)| !self.moments.has(plan.set, column, test);
        let first = First {
            columns: set.wanted_columns().saturating_sub(wanted) as u64,
            moments: asked.filter(is_first).count() as u64,
        };
        let mut spent = 0;
        let (keeping, own) = prepared.keeping(set, plan, first, self.now, limits.tuning, &mut spent);
        self.stats.work.steps += spent;
        *left = left.saturating_sub(spent);
        let showing = own.of(showing_cost(plan).of(set.average_row_bytes()));
        let standing_steps = keeping.standing_steps.saturating_add(showing);
        admit(&Keeping { standing_steps, ..keeping }, allowance)?;
        if allowance.is_bounded {
            take(STANDING, standing_steps, self.standing_share(plan.set))?;
        }
        let Some((_, set)) = self.sets.get_index_mut(plan.set) else {
            return Err(OpenError::TooManyViews { max: limits.max_views });
        };
        let held: usize = self.shards.iter().map(Shard::window_bytes).sum();
        let more = prepared.most_window_bytes(set, plan.cap, limits.tuning);
        if more > 0 && held.saturating_add(more) > limits.max_window_bytes {
            return Err(OpenError::TooMuchMemory { max: limits.max_window_bytes });
        }
        // A filter that is tried on every change already is tried for one view more.
        if prepared.is_scanned()
            && !known
            && self.shards.iter().map(Shard::scanned_count).sum::<usize>() >= limits.max_unindexed_views
        {
            let filter = shortened(&plan.filter.to_string());
            return Err(OpenError::TooManyUnindexed { max: limits.max_unindexed_views, filter });
        }
        let mut tests = Vec::new();
        for (column, test) in prepared.time_tests.iter().flatten().filter(|_| !known) {
            tests.push(self.moments.add(plan.set, set, column, test, self.now));
        }
        let filing = PROBE_STEPS * prepared.access.count as u64 + MOMENT_STEPS * tests.len() as u64;
        self.stats.work.steps += filing;
        *left = left.saturating_sub(filing);
        let prepared = (prepared, keeping, own);
        let view = self.shards[shard].create(set, identity, prepared, tests, self.now, limits.tuning);
        if limits.tuning.stretches {
            // Every index was built at once, also those that tests over time wait for.
            self.moments.rearm_all(plan.set, set, self.now);
        }
        if !self.is_filled(shard, view) {
            self.filling.push_back((shard, view));
        }
        Ok(view)
    }
}

/// A live query that was found or made.
struct Filed {
    feed: FeedId,
    shard: usize,
    view: u32,
    /// Whether its view was made for it.
    is_new: bool,
}

const STANDING: &str = "steps for each changed row";

/// Refuses what is more than somebody may take.
fn admit(keeping: &Keeping, allowance: &Allowance) -> Result<(), OpenError> {
    take(STANDING, keeping.standing_steps, allowance.standing_steps)?;
    take("bytes", keeping.bytes, allowance.bytes)?;
    take("fields that no other reads", keeping.columns, allowance.columns)?;
    take("live queries that every change is tried on", keeping.is_unindexed.into(), allowance.unindexed)
}

fn take(what: &'static str, cost: u64, Share { of, left, limit }: Share) -> Result<(), OpenError> {
    if cost > left { Err(OpenError::NoShare { limit, what, cost, left, of }) } else { Ok(()) }
}
