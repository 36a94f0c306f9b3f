//! What time does.

use super::Engine;
use crate::{
    shard::{AsOf, Shard, behind::Hold},
    store::set::history::HistoryEntry,
    time::Timestamp,
};

impl Engine {
    /// Makes every result true as of `now`, or where that changes none does one slice of what was put off, over about
    /// [`slice_rows`](crate::EngineLimits::slice_rows) rows. Either takes [one hold](crate::EngineLimits::hold_steps) at most.
    ///
    /// A `now` before the last one is a clock set back: the queries over time are evaluated again for what that may have changed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        // What is behind has flips of its own, which are an entry of its history: time does not go on without them.
        let is_due = now > self.now
            && (self.next_flip().is_some_and(|at| at <= now)
                || self.shards.iter().any(|shard| shard.is_due_behind(now)));
        let owes_slice = std::mem::take(&mut self.owes_slice);
        if !self.has_work() || now < self.now || (is_due && !owes_slice) {
            let left = self.pass_time(now);
            // Where time alone could fill every call, slices have every other one.
            self.owes_slice = left < self.limits.enforced_hold() / 2;
            return;
        }
        if !is_due {
            self.now = now;
        }
        self.slice(self.limits.slice_rows);
    }

    /// Makes every result true as of `now`, for an owner that says itself whose turn it is to have a slice. Returns the steps that are
    /// left of a hold.
    pub fn pass_time(&mut self, now: Timestamp) -> u64 {
        let then = self.now;
        let left = self.pass(now, self.limits.enforced_hold());
        if now != then {
            self.follow_up(left);
        }
        left
    }

    /// Makes every result true as of `now`, as far as `most` steps of a hold allow. Returns the steps that are left of the hold.
    pub(super) fn pass(&mut self, now: Timestamp, most: u64) -> u64 {
        self.finish_first();
        let hold = self.limits.enforced_hold();
        let then = std::mem::replace(&mut self.now, now);
        if now == then {
            return hold;
        }
        let back = now < then;
        if back {
            self.stats.clock_set_back += 1;
            if !self.shards.iter().any(Shard::is_timed) {
                return hold;
            }
        } else {
            let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
            let is_due = |shard: &Shard| due(shard.next_timer()) || shard.is_due_behind(now);
            if !due(self.moments.next()) && !self.shards.iter().any(is_due) {
                return hold;
            }
        }
        // One step for all that is due: the net change from the last `now` to this one.
        self.version += 1;
        let mut left = most;
        let (turned, flooded) = self.moments.turn(then, now, &self.sets, &mut left);
        self.stats.work.steps += most - left;
        self.stats.deadlines_fired += 1;
        let (version, tuning) = (self.version, self.limits.tuning);
        let before = Hold { steps: hold, version: version - 1, now: then, tuning };
        for shard in &mut self.shards {
            for (number, (_, set)) in self.sets.iter().enumerate() {
                let moment = AsOf { rows: set.during(&[]), now, version, tuning };
                if back {
                    shard.refile(number, now);
                    // What is behind, and what has a timer for each node, is looked at as a whole.
                    for filter in shard.with_timers(number).into_iter().chain(shard.timed_behind(number)) {
                        shard.make_again(filter, set, before);
                    }
                    shard.forget_current();
                }
                let tests: Vec<u32> =
                    flooded.iter().filter(|(of, _)| *of == number).map(|(_, test)| *test).collect();
                if !tests.is_empty() {
                    for filter in shard.asking(number, &tests).collect::<Vec<_>>() {
                        shard.give_up(filter, then, moment);
                    }
                }
                if let Some((_, turned)) = turned.iter().find(|(turned, _)| *turned == number) {
                    shard.flip(number, turned, then, moment, &mut left);
                }
            }
            while let Some((filter, number)) = shard.due(now) {
                let Some((_, set)) = self.sets.get_index(number) else { break };
                let moment = AsOf { rows: set.during(&[]), now, version, tuning };
                shard.fire(filter, then, moment, &mut left);
            }
        }
        let mut turned = turned;
        let is_behind = self.shards.iter().any(Shard::is_behind);
        for (number, set) in self.sets.values_mut().enumerate().filter(|_| is_behind) {
            // Only queries over time have something to take of it.
            if self.shards.iter().any(|shard| shard.is_timed_behind(number)) {
                let of_set = turned.iter_mut().find(|(of, _)| *of == number);
                let turned = of_set.map_or_else(Vec::new, |(_, turned)| std::mem::take(turned));
                let before = set.commits();
                set.history.push(HistoryEntry { turned, ..HistoryEntry::new(version, now, before) });
            }
        }
        (0..self.sets.len()).for_each(|number| self.bound_history(number));
        self.grant_wishes();
        hold - (most - left)
    }

    /// The last time given.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): the last `now` where something was put off, which is due already, else
    /// the [next flip](Self::next_flip).
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.has_work() { Some(self.now) } else { self.next_flip() }
    }

    /// When time alone may next change a result; `None` while no query waits for time. It is when the next row flips in a test of some
    /// query, which the rest of that query may leave without a consequence.
    pub fn next_flip(&self) -> Option<Timestamp> {
        let timers = self.shards.iter().filter_map(Shard::next_timer);
        timers.chain(self.moments.next()).min()
    }
}
