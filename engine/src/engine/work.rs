//! What is put off and done in slices between inputs.

use std::collections::BTreeSet;

use super::{Engine, LITTLE, OF_HOLD_AT_COMMIT, trim};
use crate::{
    shard::{
        Shard, Spare,
        behind::Hold,
        view::{Shape, View},
    },
    store::set::history::{HistoryEntry, Weight},
    update::FeedId,
};

impl Engine {
    /// Of what an input has put off does at once what the rest of its hold allows.
    pub(super) fn follow_up(&mut self, mut left: u64) {
        self.take_again();
        if self.is_behind() {
            left -= self.catch_up(left).min(left);
        }
        self.sweep(&mut left);
        (0..self.sets.len()).for_each(|number| self.build_if_small(number, &mut left));
    }

    /// Whether a commit has left queries untried; see [`leaving_scans`](Self::leaving_scans).
    pub fn is_unfinished(&self) -> bool {
        self.shards.iter().any(Shard::is_unfinished)
    }

    /// Whether a commit was left untried on the query of a feed. O(1).
    pub fn owes(&self, feed: FeedId) -> bool {
        let shard = &self.shards[self.shard_of_feed(feed)];
        let view = shard.feeds.get(&feed).and_then(|view| shard.view(*view));
        view.is_some_and(|view| match view.shape {
            Shape::Window { filter, .. } => shard.owes(filter).is_some(),
            Shape::Stretch { .. } => false,
        })
    }

    /// Tries what a commit has left on the queries that it was not tried on, those that cost little first, as far as `steps` steps
    /// allow, of which the last one may take up to a quarter of a hold; the others fall behind. Returns how many steps it took; none where
    /// nothing was left.
    pub fn finish_commit(&mut self, steps: u64) -> u64 {
        if !self.is_unfinished() {
            return 0;
        }
        let before = self.steps();
        let unfinished: BTreeSet<usize> =
            self.shards.iter().flat_map(|shard| shard.unfinished()).map(|(set, _)| set).collect();
        let most = steps.max(self.limits.enforced_hold() / OF_HOLD_AT_COMMIT);
        let mut spare = Spare { steps, most };
        let Self { shards, sets, limits, .. } = self;
        shards.iter_mut().for_each(|shard| shard.finish(sets, limits.tuning, &mut spare));
        for number in unfinished {
            if let Some((_, set)) = self.sets.get_index_mut(number) {
                trim(&self.shards, number, set);
            }
            self.bound_history(number);
        }
        self.grant_wishes();
        self.take_again();
        self.steps() - before
    }

    /// Does that before an input that is about something else.
    pub(super) fn finish_first(&mut self) {
        self.finish_commit(LITTLE);
    }

    /// Whether some open query is behind its set, or is being computed again as a whole.
    pub fn is_behind(&self) -> bool {
        let is_again =
            |(shard, view): &(usize, u32)| self.shards[*shard].view(*view).is_some_and(View::is_again);
        self.shards.iter().any(Shard::is_behind) || self.filling.iter().any(is_again)
    }

    /// Lets queries that are behind their set take what they have missed, in turn, for about `steps` steps. Returns how many it took.
    pub fn catch_up(&mut self, steps: u64) -> u64 {
        let mut left = steps;
        left -= left.min(self.finish_commit(left / OF_HOLD_AT_COMMIT));
        self.take_missed(&mut left);
        let is_again =
            |(shard, view): &&(usize, u32)| self.shards[*shard].view(*view).is_some_and(View::is_again);
        let again: Vec<_> = self.filling.iter().filter(is_again).copied().collect();
        for again in again {
            if left == 0 {
                break;
            }
            left = self.work_on(usize::MAX, left, Some(again));
        }
        steps - left
    }

    /// How many nodes were looked at so far for results that were made; see [`Work::rows_visited`](crate::Work::rows_visited).
    pub fn rows_visited(&self) -> u64 {
        self.stats.work.rows_visited + self.shards.iter().map(|shard| shard.work.rows_visited).sum::<u64>()
    }

    /// Whether an index is being built, or what nobody needs any more is being taken apart.
    pub fn is_building(&self) -> bool {
        self.sets.values().any(|set| set.indexes.is_building() || set.has_old())
    }

    /// Goes on with that, for about `steps` steps.
    pub fn build(&mut self, steps: u64) {
        let mut left = steps;
        self.sweep(&mut left);
        for number in 0..self.sets.len() {
            self.build_on(number, usize::MAX, &mut left);
        }
    }

    /// Lets go of what nobody needs any more, for about `left` steps.
    pub(super) fn sweep(&mut self, left: &mut u64) {
        (0..self.sets.len()).for_each(|number| self.sweep_set(number, left));
    }

    pub(super) fn sweep_set(&mut self, number: usize, left: &mut u64) {
        if let Some((_, set)) = self.sets.get_index_mut(number)
            && set.has_old()
        {
            let before = *left;
            set.sweep(left);
            self.stats.work.steps += before - *left;
        }
    }

    /// Builds the indexes of a set on, over at most `rows` rows and for about `left` steps. Returns how many rows it took.
    pub(super) fn build_on(&mut self, number: usize, rows: usize, left: &mut u64) -> usize {
        let Some((_, set)) = self.sets.get_index_mut(number) else { return 0 };
        if *left == 0 || !set.indexes.is_building() {
            return 0;
        }
        let before = *left;
        let built = set.build_indexes(rows, left);
        self.stats.work.steps += before - *left;
        if !set.indexes.is_building() {
            self.moments.rearm_all(number, set, self.now);
        }
        built
    }

    /// Queues the views whose rows are to be looked at once more.
    pub(super) fn take_again(&mut self) {
        for (number, shard) in self.shards.iter_mut().enumerate() {
            while let Some(view) = shard.take_again() {
                self.filling.push_back((number, view));
            }
        }
    }

    /// Computes queries again as a whole, those first that are furthest behind, as long as a set keeps too much for them.
    pub(super) fn bound_history(&mut self, number: usize) {
        let hold = self.hold();
        let (rows, bytes) = (self.limits.max_behind_rows, self.limits.max_behind_bytes);
        let is_too_much = |of: Weight| of.rows > rows || of.bytes > bytes;
        let of_set = self.sets.get_index(number).map(|(_, set)| set.history.live());
        if self.is_unfinished() && of_set.is_some_and(is_too_much) {
            // Those for whom it is kept fall behind, which is how they are found here.
            self.finish_commit(0);
            return;
        }
        let Self { shards, sets, limits, stats, .. } = self;
        let Some((_, set)) = sets.get_index_mut(number) else { return };
        if set.history.is_empty() && !set.history.has_old() {
            return;
        }
        // With half of what may wait, those that are furthest behind are given up in slices; with all of it, at once.
        let most = Weight { rows: limits.max_behind_rows / 2, bytes: limits.max_behind_bytes / 2 };
        let cut = set.history.cut(most);
        if shards.iter().filter_map(|shard| shard.first_entry(number)).any(|first| first < cut) {
            shards.iter_mut().for_each(|shard| shard.give_up_before(number, cut));
        }
        while is_too_much(set.history.live()) {
            let Some(entry) = shards.iter().filter_map(|shard| shard.first_entry(number)).min() else {
                break;
            };
            for shard in shards.iter_mut() {
                for filter in shard.furthest_behind(number, entry) {
                    shard.make_again(filter, set, hold);
                }
                shard.forget_current();
            }
            trim(shards, number, set);
        }
        // What nobody needs any more goes as fast as more of it comes.
        while is_too_much(set.history.all()) && set.history.has_old() {
            let mut left = SWEPT_AT_ONCE;
            set.sweep(&mut left);
            stats.work.steps += SWEPT_AT_ONCE - left;
        }
    }

    /// What a slice of work looks at.
    pub(super) fn hold(&self) -> Hold {
        let (steps, version, now) = (self.limits.enforced_hold(), self.version, self.now);
        Hold { steps, version, now, tuning: self.limits.tuning }
    }

    /// Whether something was put off.
    pub(super) fn has_work(&self) -> bool {
        !self.filling.is_empty() || self.shards.iter().any(Shard::is_behind) || self.is_building()
    }

    /// One slice of what was put off, over about `rows` rows: commits and times that queries have not taken yet, results of new
    /// queries, and indexes. Tells whether there is more. Tests choose `rows`.
    #[doc(hidden)]
    pub fn slice(&mut self, rows: usize) -> bool {
        self.work_on(rows.max(1), self.limits.enforced_hold(), None);
        self.has_work()
    }

    /// Goes on with the result of one feed, over about `rows` rows and for about `steps` steps, one hold at most: the caller says whose
    /// turn it is. Returns the steps that it took; none where the result is there, or there is no such feed.
    pub fn work_for(&mut self, feed: FeedId, rows: usize, steps: u64) -> u64 {
        let shard = self.shard_of_feed(feed);
        let view = self.shards[shard].feeds.get(&feed).copied();
        let wanted = view.map(|view| (shard, view)).filter(|(shard, view)| !self.is_filled(*shard, *view));
        let steps = steps.clamp(1, self.limits.enforced_hold());
        wanted.map_or(0, |wanted| steps - self.work_on(rows.max(1), steps, Some(wanted)))
    }

    /// Whether the first result of a feed is not there yet.
    pub fn is_being_made(&self, feed: FeedId) -> bool {
        let shard = self.shard_of_feed(feed);
        self.shards[shard].feeds.get(&feed).is_some_and(|view| !self.is_filled(shard, *view))
    }

    /// Lets filters take the entries that they have missed, for about `left` steps.
    pub(super) fn take_missed(&mut self, left: &mut u64) {
        let hold = self.hold();
        let Self { shards, sets, .. } = self;
        shards.iter_mut().for_each(|shard| shard.catch_up(sets, left, hold));
        let mut overdue: BTreeSet<usize> = shards.iter_mut().flat_map(Shard::take_overdue).collect();
        if !overdue.is_empty() {
            self.version += 1;
        }
        while let Some((_, set)) = overdue.pop_first().and_then(|number| sets.get_index_mut(number)) {
            let (version, now) = (self.version, self.now);
            let before = set.commits();
            set.history.push(HistoryEntry::new(version, now, before));
        }
        for (number, set) in sets.values_mut().enumerate().filter(|(_, set)| !set.history.is_empty()) {
            trim(shards, number, set);
        }
        self.sweep(left);
        self.take_again();
    }

    /// Works over `budget` rows for about `steps` steps, on one view before all others if one is wanted. Returns the
    /// steps that are left.
    pub(super) fn work_on(&mut self, budget: usize, steps: u64, wanted: Option<(usize, u32)>) -> u64 {
        let (mut left, mut steps) = (budget, steps);
        steps -= steps.min(self.finish_commit(steps / OF_HOLD_AT_COMMIT));
        if let Some((shard, view)) = wanted
            && self.shards[shard].waits(view)
            && let Some(number) = self.shards[shard].view(view).map(|view| view.identity.set)
        {
            let hold = self.hold();
            let Self { shards, sets, .. } = self;
            let Some((_, set)) = sets.get_index_mut(number) else { return steps };
            shards[shard].catch_up_for(view, set, &mut steps, hold);
            trim(shards, number, set);
            self.take_again();
            // Others may have to go on first.
            if steps > 0 && self.shards[shard].waits(view) {
                self.take_missed(&mut steps);
            }
            if steps == 0 {
                return steps;
            }
        }
        if wanted.is_none() && self.shards.iter().any(Shard::is_behind) {
            // New queries have their turn too.
            let mut share = if self.filling.is_empty() { steps } else { steps.div_ceil(2) };
            steps -= share;
            self.take_missed(&mut share);
            steps += share;
        }
        // Whoever wants one view waits for what its set has begun, not for others.
        let of = wanted.and_then(|(shard, view)| Some(self.shards[shard].view(view)?.identity.set));
        if wanted.is_none() {
            self.sweep(&mut steps);
        }
        for number in 0..self.sets.len() {
            if of.is_some_and(|of| of != number) {
                continue;
            }
            left -= left.min(self.build_on(number, left, &mut steps));
            if self.sets.get_index(number).is_some_and(|(_, set)| set.indexes.is_building()) {
                // Tests over time wait for it: rows that are looked at before would not flip.
                return steps;
            }
            if left == 0 || steps == 0 {
                return steps;
            }
        }
        if let Some(wanted) = wanted
            && let Some(place) = self.filling.iter().position(|filling| *filling == wanted)
            && let Some(wanted) = self.filling.remove(place)
        {
            self.filling.push_front(wanted);
        }
        let hold = self.hold();
        let mut waiting = 0;
        while let Some((shard, view)) = self.filling.front().copied() {
            if self.shards[shard].waits(view) {
                waiting += 1;
                if waiting >= self.filling.len() || wanted == Some((shard, view)) {
                    return steps;
                }
                self.filling.rotate_left(1);
                continue;
            }
            waiting = 0;
            let number = self.shards[shard].view(view).map(|view| view.identity.set);
            if let Some((_, set)) = number.and_then(|number| self.sets.get_index_mut(number)) {
                left -= left.min(self.shards[shard].fill(view, set, left, &mut steps, hold).max(1));
                if self.shards[shard].view(view).is_some_and(|view| !view.is_done()) {
                    // Others have waited as well.
                    self.filling.rotate_left(1);
                    if left == 0 || steps == 0 {
                        return steps;
                    }
                    continue;
                }
                let feeds = self.shards[shard].view(view).into_iter().flat_map(|view| &view.feeds);
                let feeds = feeds.map(|feed| feed.id).filter(|feed| self.waiting.remove(feed));
                self.opened.extend(feeds);
            }
            self.filling.pop_front();
            if left == 0 || steps == 0 || wanted == Some((shard, view)) {
                return steps;
            }
        }
        steps
    }

    /// Hears what shards would have needed.
    pub(super) fn grant_wishes(&mut self) {
        for shard in &mut self.shards {
            for (number, wish) in shard.work.wishes.drain(..) {
                if let Some((_, set)) = self.sets.get_index_mut(number) {
                    let rows = set.len();
                    set.indexes.wish(&wish, rows, rows);
                }
            }
        }
    }

    /// What is small is done at once, as far as `left` steps allow.
    pub(super) fn build_if_small(&mut self, number: usize, left: &mut u64) {
        if self.sets.get_index(number).is_some_and(|(_, set)| set.len() <= self.limits.slice_rows) {
            self.build_on(number, usize::MAX, left);
        }
    }
}

/// Steps of letting go of what nobody needs any more between which is asked whether it is enough.
const SWEPT_AT_ONCE: u64 = 64;
