//! What time alone does to the views of a shard.

use smallvec::SmallVec;

use crate::{
    shard::{
        AsOf, LOOK_UP_STEPS, Shard, Tried, WINDOW_STEPS,
        predicates::{Found, Predicates},
        touches::Touch,
        view::{SharedFilter, Timed},
        window::{Cause, Step},
    },
    store::row::Row,
    store::set::history::Turned,
    time::Timestamp,
};

impl Timed {
    /// Whether one of the tests that have turned for a row is among those that are asked.
    fn asks(&self, turned: &[Turned]) -> bool {
        match self {
            Timed::ByOrder(tests) => turned.iter().any(|turned| tests.binary_search(&turned.test).is_ok()),
            Timed::No | Timed::ByNode(_) => false,
        }
    }

    /// Whether one of some tests, sorted, is among those that are asked. O(fewer · log more).
    fn asks_any(&self, sought: &[u32]) -> bool {
        let Timed::ByOrder(tests) = self else { return false };
        let (few, many) = if tests.len() < sought.len() { (&**tests, sought) } else { (sought, &**tests) };
        few.iter().any(|test| many.binary_search(test).is_ok())
    }
}

impl Shard {
    /// When the first timer of a node is due.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The first timer of a filter is another.
    pub(super) fn rearm(&mut self, id: u32, old: Option<Timestamp>) {
        if !self.filters[id as usize].is_current() {
            return;
        }
        let Timed::ByNode(timers) = &self.filters[id as usize].timed else { return };
        let new = timers.next();
        if old != new {
            old.map(|old| self.deadlines.remove(&(old, id)));
            new.map(|new| self.deadlines.insert((new, id)));
        }
    }

    /// Brings the views up to `moment.now`, from `then` on, given the rows of a set for which a test over time may come out
    /// otherwise now.
    /// What costs more than `left` steps falls behind.
    pub(crate) fn flip(
        &mut self,
        set: usize,
        turned: &[Turned],
        then: Timestamp,
        moment: AsOf<'_>,
        left: &mut u64,
    ) {
        if turned.is_empty() || self.predicates.get(set).is_none_or(Predicates::is_empty) {
            return;
        }
        // Each row is looked up by each column, and tried on the filters that no index finds.
        let scanned = self.predicates[set].scanned().len() as u64;
        let looked_up = LOOK_UP_STEPS * self.predicates[set].columns() as u64 + scanned;
        let looked_up = looked_up.saturating_mul(turned.len() as u64);
        if looked_up > *left {
            return self.fall_behind_if_asking(set, turned, then, moment, left);
        }
        self.work.steps += looked_up;
        *left -= looked_up;
        self.step += 1;
        self.keys.turn();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.touches.clear();
        scratch.touched.clear();
        let mut place = 0;
        for of_row in turned.chunk_by(|a, b| a.row == b.row) {
            let row = moment.rows.current(of_row[0].row);
            let Self { predicates, filters, step, .. } = self;
            predicates[set].reached(row, |id| {
                let Some(filter) = filters.get_mut(id as usize) else { return };
                // Whoever asks other tests than those that have turned is as before.
                if filter.is_current() && filter.timed.asks(of_row) {
                    let touch = Touch::of_row(place);
                    scratch.touch(&mut filter.touches, *step, Found::Filter(id), touch);
                }
            });
            place += of_row.len() as u32;
        }
        for found in &scratch.touched {
            let Found::Filter(id) = *found else { continue };
            let chain = scratch.chain(self.filters[id as usize].touches.first);
            let rows: Vec<u32> = chain.map(|touch| turned[touch.change as usize].row).collect();
            self.flip_or_fall_behind(id, &rows, then, moment, left);
        }
        let scanned: SmallVec<[u32; 8]> = self.predicates[set].scanned().collect();
        for id in scanned {
            let of_rows = turned.chunk_by(|a, b| a.row == b.row);
            let filter = &self.filters[id as usize];
            if !filter.is_current() {
                continue;
            }
            let rows: Vec<u32> =
                of_rows.filter(|of_row| filter.timed.asks(of_row)).map(|of_row| of_row[0].row).collect();
            self.flip_or_fall_behind(id, &rows, then, moment, left);
        }
        self.scratch = scratch;
        self.replenish(set, moment, left);
    }

    /// Of a set, the filters that ask a test that has turned for some row take that out of its history.
    fn fall_behind_if_asking(
        &mut self,
        set: usize,
        turned: &[Turned],
        then: Timestamp,
        moment: AsOf<'_>,
        left: &mut u64,
    ) {
        let mut tests: Vec<u32> = turned.iter().map(|turned| turned.test).collect();
        tests.sort_unstable();
        tests.dedup();
        let asking: Vec<u32> = self.asking(set, &tests).collect();
        let steps = (self.filters.len() + asking.len()) as u64;
        self.work.steps += steps;
        *left = left.saturating_sub(steps);
        asking.into_iter().for_each(|id| self.fall_behind(id, then, moment.entry()));
    }

    /// The filters of a set that ask some test of these, which are sorted.
    pub(crate) fn asking<'a>(&'a self, set: usize, tests: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
        let asks = move |filter: &SharedFilter| filter.set == set && filter.timed.asks_any(tests);
        self.filters.iter().filter(move |(_, filter)| asks(filter)).map(|(id, _)| id as u32)
    }

    fn flip_or_fall_behind(
        &mut self,
        id: u32,
        rows: &[u32],
        then: Timestamp,
        moment: AsOf<'_>,
        left: &mut u64,
    ) {
        let tried = Tried::of_turned(rows.iter().filter_map(|row| moment.rows.current(*row)));
        match self.most_steps(id, tried) <= *left {
            true => self.flip_filter(id, rows.iter().copied(), then, moment, left),
            false => self.fall_behind(id, then, moment.entry()),
        }
    }

    /// Fires the timers of nodes that are due.
    pub(crate) fn fire(&mut self, id: u32, then: Timestamp, moment: AsOf<'_>, left: &mut u64) {
        let Some(filter) = self.filters.get(id as usize) else { return };
        let set = filter.set;
        let Timed::ByNode(timers) = &filter.timed else { return };
        // No more are counted than can be looked at.
        let one = filter.cost.fixed.saturating_mul(4).max(1);
        let allowed = usize::try_from(*left / one).unwrap_or(usize::MAX);
        let due: Vec<u32> = timers.due(moment.now).take(allowed.saturating_add(1)).collect();
        let tried = Tried::of_turned(due.iter().filter_map(|row| moment.rows.current(*row)));
        if due.len() > allowed || self.most_steps(id, tried) > *left {
            return self.fall_behind(id, then, moment.entry());
        }
        let Some(filter) = self.filters.get_mut(id as usize) else { return };
        let Timed::ByNode(timers) = &mut filter.timed else { return };
        let mut due = Vec::new();
        let old = timers.next();
        while let Some(handle) = timers.pop_due(moment.now) {
            due.push(handle);
        }
        let mut spent = 0;
        for handle in &due {
            let row = moment.rows.current(*handle);
            timers.set(*handle, row.and_then(|row| filter.compiled.next_flip(row, moment.now, &mut spent)));
        }
        self.work.steps += spent;
        *left = left.saturating_sub(spent);
        self.rearm(id, old);
        self.keys.turn();
        self.flip_filter(id, due.into_iter(), then, moment, left);
        self.replenish(set, moment, left);
    }

    /// The filter of a set whose first timer is due at `now`.
    pub(crate) fn due(&self, now: Timestamp) -> Option<(u32, usize)> {
        let (_, id) = self.deadlines.first().filter(|(at, _)| *at <= now)?;
        Some((*id, self.filters[*id as usize].set))
    }

    /// Of some rows, those that a filter held of at one moment and not at the other take a step.
    fn flip_filter(
        &mut self,
        id: u32,
        handles: impl Iterator<Item = u32>,
        then: Timestamp,
        moment: AsOf<'_>,
        left: &mut u64,
    ) {
        let filter = &self.filters[id as usize];
        let mut spent = 0;
        let mut steps: SmallVec<[Step<'_>; 2]> = SmallVec::new();
        for handle in handles {
            let Some(row) = moment.rows.current(handle) else { continue };
            self.work.predicates_evaluated += 2;
            if let Some(is) = filter.compiled.turn(row, then, moment.now, &mut spent) {
                let was = !is;
                self.work.flips += 1;
                let side = |holds: bool| Some(row).filter(|_| holds);
                let (before, after): (Option<&Row>, Option<&Row>) = (side(was), side(is));
                steps.push(Step { handle, before, after, cause: Cause::Time });
            }
        }
        spent += WINDOW_STEPS * steps.len() as u64 * filter.views.len() as u64;
        self.work.steps += spent;
        *left = left.saturating_sub(spent);
        self.step_views(id, &steps, moment, left);
    }

    /// The clock was set back: what was filed for times to come is filed anew. Costs O(filters over time).
    pub(crate) fn refile(&mut self, set: usize, now: Timestamp) {
        let Some(predicates) = self.predicates.get_mut(set) else { return };
        for (id, filter) in self.filters.iter_mut().filter(|(_, filter)| filter.set == set) {
            if filter.access.moves && !filter.is_scanned() {
                predicates.remove(&filter.access, filter.hears_all(), &filter.filed);
                filter.filed = predicates.insert(id as u32, &filter.access, filter.hears_all(), now);
            }
        }
    }

    /// The filters of a set that have timers for nodes.
    pub(crate) fn with_timers(&self, set: usize) -> Vec<u32> {
        let by_node = |(id, filter): (usize, &SharedFilter)| {
            (filter.set == set && matches!(filter.timed, Timed::ByNode(_))).then_some(id as u32)
        };
        self.filters.iter().filter_map(by_node).collect()
    }
}
