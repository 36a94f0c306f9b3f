//! Filters that are behind their set, because a commit or a moment of time cost more than one hold of the lock allows.
//!
//! They take the entries of the set's history one after the other, in slices, each as it was: the rows around the entry, its
//! moment, its version. So whoever watches them is told the same as if it had been done at once, only later.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use crate::{
    shard::{
        AsOf, Shard, WINDOW_STEPS,
        view::{Behind, Filling, Pace, SharedFilter, Taken, Timed, View},
        window::{Cause, Step},
    },
    steps::Cost,
    store::set::Sets,
    store::{
        row::Row,
        set::history::{History, HistoryEntry},
        set::{Rows, Set},
    },
    time::Timestamp,
    update::Lag,
};

/// What a slice of work may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    /// Steps of one hold of the lock.
    pub(crate) steps: u64,
    /// The newest version.
    pub(crate) version: u64,
    /// The newest moment.
    pub(crate) now: Timestamp,
    pub(crate) tuning: crate::limits::Tuning,
}

impl Shard {
    /// The rows as a filter sees them.
    pub(super) fn rows_of<'a>(&self, filter: u32, set: &'a Set) -> Rows<'a> {
        let entry = match self.filters.get(filter as usize).map(|filter| &filter.pace) {
            Some(Pace::Behind(behind)) => Some(behind.entry),
            Some(Pace::Current) | None => self.owes(filter),
        };
        entry.map_or_else(|| set.during(&[]), |entry| set.before(entry))
    }

    /// A filter takes what its set does now, and what it does later, out of the set's history: `entry`, which makes `version`, is the
    /// next. Its results are as of `then`.
    pub(super) fn fall_behind(&mut self, id: u32, then: Timestamp, (entry, version): (u64, u64)) {
        let filter = &mut self.filters[id as usize];
        if !filter.is_current() {
            return;
        }
        if let Timed::ByNode(timers) = &filter.timed {
            timers.next().map(|at| self.deadlines.remove(&(at, id)));
        }
        filter.pace = Pace::Behind(Box::new(Behind {
            entry,
            place: 0,
            now: then,
            taken: Vec::new(),
            is_hopeless: false,
        }));
        self.leave_abreast(id);
        self.behind.push_back(id);
        self.work.fell_behind += 1;
        self.work.steps += 1;
        let (filter, lags) = (&self.filters[id as usize], &mut self.lags);
        for view in filter.views.iter().filter_map(|view| self.views.get(*view as usize)) {
            if view.is_done() {
                lags.extend(view.feeds.iter().map(|feed| Lag::new(feed.id, Some(version - 1))));
            }
        }
    }

    /// The views of a filter are to look at all rows once more, when there is a slice for that.
    pub(crate) fn give_up(&mut self, id: u32, then: Timestamp, moment: AsOf<'_>) {
        self.fall_behind(id, then, moment.entry());
        if let Some(SharedFilter { pace: Pace::Behind(behind), .. }) = self.filters.get_mut(id as usize) {
            behind.is_hopeless = true;
        }
    }

    /// The same of all filters of a set that stand before an entry of its history; they go first.
    pub(crate) fn give_up_before(&mut self, set: usize, entry: u64) {
        let Self { filters, behind, .. } = self;
        let mut first = VecDeque::new();
        behind.retain(|id| match filters.get_mut(*id as usize) {
            Some(SharedFilter { set: of, pace: Pace::Behind(behind), .. })
                if *of == set && behind.entry < entry =>
            {
                behind.is_hopeless = true;
                first.push_back(*id);
                false
            }
            _ => true,
        });
        first.append(behind);
        *behind = first;
    }

    /// Some filters are not behind any more.
    pub(crate) fn forget_current(&mut self) {
        let Self { filters, behind, .. } = self;
        behind.retain(|id| filters.get(*id as usize).is_some_and(|filter| !filter.is_current()));
    }

    /// Whether some filter has not taken all that its set did.
    pub(crate) fn is_behind(&self) -> bool {
        !self.behind.is_empty() || self.is_unfinished()
    }

    /// The first entry of a set's history that some filter has not taken.
    pub(crate) fn first_entry(&self, set: usize) -> Option<u64> {
        let unfinished = self.unfinished().filter(|(of, _)| *of == set).map(|(_, entry)| entry);
        self.behind_in(set).map(|(_, entry)| entry).chain(unfinished).min()
    }

    /// Whether a row of one that is behind flips up to a moment: time that passes is an entry for it then.
    pub(crate) fn is_due_behind(&self, now: Timestamp) -> bool {
        let next = |id: &u32| match &self.filters.get(*id as usize)?.timed {
            Timed::ByNode(timers) => timers.next(),
            Timed::No | Timed::ByOrder(_) => None,
        };
        self.behind.iter().filter_map(next).any(|at| at <= now)
    }

    /// The sets for which time has passed without an entry of their history, and is to be one.
    pub(crate) fn take_overdue(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.overdue)
    }

    /// Whether one of those filters changes with time.
    pub(crate) fn is_timed_behind(&self, set: usize) -> bool {
        self.behind_in(set).any(|(id, _)| !matches!(self.filters[id as usize].timed, Timed::No))
    }

    /// The filters of a set that are behind, each with the entry that it takes next.
    fn behind_in(&self, set: usize) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.behind.iter().filter_map(move |id| match self.filters.get(*id as usize) {
            Some(SharedFilter { set: of, pace: Pace::Behind(behind), .. }) if *of == set => {
                Some((*id, behind.entry))
            }
            _ => None,
        })
    }

    /// How many filters are behind their set. O(those that a commit has left untried).
    pub(crate) fn behind_count(&self) -> usize {
        self.behind.len() + self.untried_count()
    }

    /// Those of a set that change with time.
    pub(crate) fn timed_behind(&self, set: usize) -> Vec<u32> {
        let ids = self.behind_in(set).map(|(id, _)| id);
        ids.filter(|id| !matches!(self.filters[*id as usize].timed, Timed::No)).collect()
    }

    /// The filters that stand before the first entry of a set's history that some filter has not taken.
    pub(crate) fn furthest_behind(&self, set: usize, entry: u64) -> Vec<u32> {
        self.behind_in(set).filter(|(_, at)| *at <= entry).map(|(id, _)| id).collect()
    }

    /// Up to which version the result of a view is complete; `None` where that is the newest.
    pub(crate) fn complete(&self, view: &View, set: &Set) -> Option<u64> {
        if let Filling::Again(_, shown) = &view.filling {
            return Some(shown.version);
        }
        let super::Shape::Window { filter, .. } = &view.shape else { return None };
        let entry = match &self.filters.get(*filter as usize)?.pace {
            Pace::Behind(behind) => behind.entry,
            Pace::Current => self.owes(*filter)?,
        };
        Some(set.history.entry(entry)?.version - 1)
    }

    /// Lets filters that are behind take what they have missed, in turn, for about `left` steps. A turn is of so many steps, not of so
    /// many entries: filters that cost little are not held up by those that cost much.
    pub(crate) fn catch_up(&mut self, sets: &Sets, left: &mut u64, hold: Hold) {
        let mut waiting = 0;
        while *left > 0
            && waiting < self.behind.len()
            && let Some(id) = self.behind.pop_front()
        {
            let number = self.filters.get(id as usize).map(|filter| filter.set);
            let Some((_, set)) = number.and_then(|number| sets.get_index(number)) else { continue };
            let before = *left;
            loop {
                let entry = *left;
                self.take_entry(id, set, left, hold);
                let has_more = self.filters.get(id as usize).is_some_and(|filter| !filter.is_current());
                if !has_more || *left == 0 || *left == entry || before - *left >= STEPS_OF_TURN {
                    break;
                }
            }
            if self.filters.get(id as usize).is_some_and(|filter| !filter.is_current()) {
                match self.is_taken(id, set) {
                    // It waits for a slice with room for what it has found.
                    true => self.behind.push_front(id),
                    false => self.behind.push_back(id),
                }
            }
            waiting = if *left == before { waiting + 1 } else { 0 };
        }
    }

    /// Whether a filter has looked at all of the entry that it is taking.
    fn is_taken(&self, id: u32, set: &Set) -> bool {
        let Some(SharedFilter { pace: Pace::Behind(behind), .. }) = self.filters.get(id as usize) else {
            return false;
        };
        let rows = |entry: &Arc<HistoryEntry>| entry.changes.len() + entry.turned.len();
        set.history.entry(behind.entry).is_some_and(|entry| behind.place > 0 && behind.place == rows(entry))
    }

    /// Whether a view waits until its filter has taken what it has missed.
    pub(crate) fn waits(&self, view: u32) -> bool {
        self.filter_behind(view).is_some()
    }

    fn filter_behind(&self, view: u32) -> Option<u32> {
        let super::Shape::Window { filter, .. } = &self.views.get(view as usize)?.shape else { return None };
        self.filters.get(*filter as usize).filter(|filter| !filter.is_current()).map(|_| *filter)
    }

    /// Lets the filter of a view take what it has missed, before all others.
    pub(crate) fn catch_up_for(&mut self, view: u32, set: &Set, left: &mut u64, hold: Hold) {
        while *left > 0
            && let Some(id) = self.filter_behind(view)
        {
            let before = *left;
            self.take_entry(id, set, left, hold);
            let is_behind =
                |id: &u32| self.filters.get(*id as usize).is_some_and(|filter| !filter.is_current());
            if !is_behind(&id) {
                self.behind.retain(|behind| *behind != id);
            }
            if *left == before {
                return;
            }
        }
    }

    /// Goes on with the entry that a filter is taking.
    fn take_entry(&mut self, id: u32, set: &Set, left: &mut u64, hold: Hold) {
        let Some(filter) = self.filters.get_mut(id as usize) else { return };
        let Pace::Behind(behind) = &mut filter.pace else { return };
        if behind.is_hopeless {
            let before = self.work.steps;
            self.make_again(id, set, hold);
            *left = left.saturating_sub((self.work.steps - before).max(1));
            return;
        }
        if let Some(entry) = set.history.entry(behind.entry).cloned() {
            let number = behind.entry;
            let mut spent = 0;
            let is_done = look_at(filter, &set.history, set.taking(number), &entry, *left, &mut spent);
            self.work.steps += spent;
            *left = left.saturating_sub(spent);
            if !is_done {
                return;
            }
            let Pace::Behind(behind) = &mut filter.pace else { return };
            let moves = moving_steps(&behind.taken, filter.moves);
            if moves > hold.steps / 2 && behind.taken.len() > 1 {
                // To look at all rows again, in slices, costs no more, and holds the lock no longer.
                self.make_again(id, set, hold);
                return;
            }
            if moves > *left && *left < hold.steps / 2 {
                // Another slice has room for it.
                *left = 0;
                return;
            }
            let taken = std::mem::take(&mut behind.taken);
            (behind.entry, behind.place, behind.now) = (number + 1, 0, entry.now);
            let stepped =
                WINDOW_STEPS.saturating_mul(taken.len() as u64).saturating_mul(filter.views.len() as u64);
            self.work.steps += stepped;
            *left = left.saturating_sub(stepped);
            let steps: Vec<Step<'_>> = taken.iter().map(Taken::step).collect();
            let (now, version, tuning) = (entry.now, entry.version, hold.tuning);
            let moment = AsOf { rows: set.taking(number), now, version, tuning };
            self.keys.turn();
            self.step_views(id, &steps, moment, left);
        }
        self.tell_pace(id, set, hold.now);
    }

    /// A filter has taken an entry: says how far its views are, and where that was the last that it is up to date.
    fn tell_pace(&mut self, id: u32, set: &Set, now: Timestamp) {
        let Some(filter) = self.filters.get_mut(id as usize) else { return };
        let Pace::Behind(behind) = &filter.pace else { return };
        let complete = set.history.entry(behind.entry).map(|entry| entry.version - 1);
        if complete.is_none() {
            if let Timed::ByNode(timers) = &filter.timed
                && timers.next().is_some_and(|at| at <= now)
            {
                // Time went on before it was known that this row flips: that is an entry of its own.
                self.overdue.insert(filter.set);
                return;
            }
            filter.pace = Pace::Current;
            if let Timed::ByNode(timers) = &filter.timed {
                timers.next().map(|at| self.deadlines.insert((at, id)));
            }
            self.come_abreast(id);
        }
        let Some(filter) = self.filters.get(id as usize) else { return };
        for view in filter.views.iter().filter_map(|view| self.views.get(*view as usize)) {
            if view.is_done() {
                self.lags.extend(view.feeds.iter().map(|feed| Lag::new(feed.id, complete)));
            }
        }
    }
}

/// The steps of a turn; the entry that is begun with the last of them is finished.
const STEPS_OF_TURN: u64 = 1_000;

/// The most steps that it takes to move rows in the views of a filter.
fn moving_steps(taken: &[Taken], moves: Cost) -> u64 {
    let of = |taken: &Taken| {
        let rows = taken.before.iter().chain(&taken.after);
        moves.of(rows.map(|row| row.json().len()).max().unwrap_or(0))
    };
    taken.iter().map(of).fold(0, u64::saturating_add)
}

/// Tries the rows of an entry on a filter, from where it stands on. Tells whether that was all of them.
fn look_at(
    filter: &mut SharedFilter,
    history: &History,
    rows: Rows<'_>,
    entry: &HistoryEntry,
    left: u64,
    spent: &mut u64,
) -> bool {
    let SharedFilter { compiled, timed, pace, .. } = filter;
    let Pace::Behind(behind) = pace else { return true };
    let (then, number) = (behind.now, behind.entry);
    let turn = |row: &Row, handle: u32, spent: &mut u64, taken: &mut Vec<Taken>| {
        if let Some(is) = compiled.turn(row, then, entry.now, spent) {
            let was = !is;
            let side = |holds: bool| holds.then(|| row.clone());
            taken.push(Taken { handle, before: side(was), after: side(is), cause: Cause::Time });
        }
    };
    if let Timed::ByNode(timers) = timed {
        while timers.next().is_some_and(|at| at <= entry.now) {
            if *spent >= left {
                return false;
            }
            let Some(handle) = timers.pop_due(entry.now) else { break };
            *spent += 1;
            // One that the entry changes as well is looked at with its change.
            if history.change(number, handle).is_some() {
                continue;
            }
            let Some(row) = rows.current(handle) else { continue };
            turn(row, handle, spent, &mut behind.taken);
            let next = compiled.next_flip(row, entry.now, spent);
            timers.set(handle, next);
        }
    }
    while let Some(change) = entry.changes.get(behind.place) {
        if *spent >= left {
            return false;
        }
        behind.place += 1;
        *spent += 1;
        let before = change.before.as_ref().filter(|row| compiled.test(*row, then, spent));
        let after = change.after.as_ref().filter(|row| compiled.test(*row, entry.now, spent));
        if let Timed::ByNode(timers) = timed {
            let next = change.after.as_ref().and_then(|row| compiled.next_flip(row, entry.now, spent));
            timers.set(change.handle, next);
        }
        if before.is_none() && after.is_none() {
            continue;
        }
        let cause = match (&change.before, &change.after) {
            (None, _) => Cause::Created,
            (_, None) => Cause::Deleted,
            _ => Cause::Changed,
        };
        let (before, after) = (before.cloned(), after.cloned());
        behind.taken.push(Taken { handle: change.handle, before, after, cause });
    }
    let Timed::ByOrder(tests) = timed else { return true };
    while let Some(first) = entry.turned.get(behind.place - entry.changes.len()) {
        if *spent >= left {
            return false;
        }
        let rest = &entry.turned[behind.place - entry.changes.len()..];
        let of_row = rest.iter().take_while(|turned| turned.row == first.row);
        let (mut count, mut is_asked) = (0, false);
        for turned in of_row {
            count += 1;
            is_asked |= tests.binary_search(&turned.test).is_ok();
        }
        behind.place += count;
        *spent += 1;
        if is_asked && let Some(row) = rows.current(first.row) {
            turn(row, first.row, spent, &mut behind.taken);
        }
    }
    true
}
