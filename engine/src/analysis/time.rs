//! Tests of a column against `now`.
//!
//! `now`, moved by durations, is a monotone function of time. So the instants for which such a test holds are a range that only
//! ever moves up, and those for which it changes between two moments are those that the end of the range passes. The steps may
//! leave the calendar, before its first year or behind its last; there the test is false.

use std::{cmp::Ordering, fmt};

use super::{ColumnInfo, each_once, reads_instants};
use crate::filter::{Asked, Comparison, Compiled, Seen, View, next_change_at};
use crate::order::rank;
use crate::time::{Steps, Timestamp};

/// A range of keys with nothing in it.
const EMPTY: (u128, u128) = (u128::MAX, 0);

/// `now ± durations <op> column`, where the column is read as an instant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimeTest {
    steps: Steps,
    operator: Comparison,
}

/// Where the steps move a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    /// Before the calendar.
    Before,
    To(Timestamp),
    /// Behind the calendar.
    Behind,
}

impl TimeTest {
    /// `!=` is taken for `==`, which changes at the same moments.
    pub(super) fn new(steps: Steps, operator: Comparison) -> TimeTest {
        let operator = if operator == Comparison::NotEqual { Comparison::Equal } else { operator };
        TimeTest { steps, operator }
    }

    /// How many steps move `now`.
    pub(super) fn steps(&self) -> usize {
        self.steps.0.len()
    }

    /// What is asked of the moved `now` and the column.
    #[cfg(test)]
    pub(super) fn operator(&self) -> Comparison {
        self.operator
    }

    fn moved(&self, now: Timestamp) -> Moved {
        match self.steps.apply(now) {
            Some(at) => Moved::To(at),
            None if self.steps.first_inside().is_some_and(|first| first <= now) => Moved::Behind,
            None => Moved::Before,
        }
    }

    /// What the column is compared with at the moment `now`; `None` where the steps leave the calendar, and the test is false.
    ///
    /// It never goes back as time goes on.
    pub(crate) fn threshold(&self, now: Timestamp) -> Option<Timestamp> {
        self.steps.apply(now)
    }

    /// The keys of the instants for which the test holds at the moment `now`, exactly; `lo > hi` where there are none.
    pub(crate) fn range(&self, now: Timestamp) -> (u128, u128) {
        let Some(at) = self.threshold(now) else { return EMPTY };
        let (key, (lowest, highest)) = (rank::key_of_instant(at), rank::range_of_instants());
        match self.operator {
            Comparison::Less => (key + 1, highest),
            Comparison::LessOrEqual => (key, highest),
            Comparison::Greater => (lowest, key - 1),
            Comparison::GreaterOrEqual => (lowest, key),
            Comparison::Equal | Comparison::NotEqual => (key, key),
        }
    }

    /// A range with the keys of all instants for which the test holds at `now` or at any later moment: what an index that is
    /// not to be touched as time goes on looks up. `lo > hi` where there are none.
    ///
    /// For `createdAt > now - 7 days` it is [`range`](TimeTest::range); for `createdAt < now - 7 days` it is all instants.
    pub(crate) fn lasting_range(&self, now: Timestamp) -> (u128, u128) {
        let start = match self.moved(now) {
            Moved::To(_) => Some(now),
            Moved::Before => self.steps.first_inside(),
            Moved::Behind => None,
        };
        let Some(at) = start.and_then(|start| self.threshold(start)) else { return EMPTY };
        let (key, (lowest, highest)) = (rank::key_of_instant(at), rank::range_of_instants());
        match self.operator {
            Comparison::Less => (key + 1, highest),
            Comparison::LessOrEqual | Comparison::Equal | Comparison::NotEqual => (key, highest),
            Comparison::Greater | Comparison::GreaterOrEqual => (lowest, highest),
        }
    }

    /// The next moment after `now` at which the test changes for this value of the column, exactly.
    pub(crate) fn next_flip(&self, value: Timestamp, now: Timestamp) -> Option<Timestamp> {
        next_change_at(&self.steps, self.operator, value, now)
    }

    /// The keys of the instants whose next flip may come before [`next_edge`](TimeTest::next_edge), and those flips come in the
    /// order of the keys: among the values of an index, the first one here is the first to flip. `lo > hi` where there are none.
    ///
    /// Under `==` steps over months may pass over a value, which then has no [`next_flip`](TimeTest::next_flip): the next value
    /// has, or the one behind it.
    pub(crate) fn upcoming(&self, now: Timestamp) -> (u128, u128) {
        let Some(at) = self.threshold(now) else { return EMPTY };
        let (key, (_, highest)) = (rank::key_of_instant(at), rank::range_of_instants());
        match self.operator {
            // The value that the threshold stands at flipped when it was reached, or flips when it is passed.
            Comparison::Less | Comparison::GreaterOrEqual => (key + 1, highest),
            _ => (key, highest),
        }
    }

    /// The next moment after `now` at which the steps enter or leave the calendar, where the test may change for every value.
    /// `None` for nearly every test that is of use.
    pub(crate) fn next_edge(&self, now: Timestamp) -> Option<Timestamp> {
        let edges = [self.steps.first_inside(), self.steps.first_beyond()];
        edges.into_iter().flatten().filter(|edge| *edge > now).min()
    }

    /// The keys of the instants for which the test may differ at two moments, given in either order; `lo > hi` where there are
    /// none.
    ///
    /// From threshold `a` to threshold `b`: `a < v <= b` for `<` and `>=` (of `now` against the column), `a <= v < b` for `<=` and
    /// `>`, all of them exactly, and `a <= v <= b` for `==`, where only the ends differ. Where one threshold is outside of the
    /// calendar, those for which the test holds at the other one.
    pub(crate) fn turned(&self, one: Timestamp, other: Timestamp) -> (u128, u128) {
        let (from, to) = (one.min(other), one.max(other));
        let (a, b) = match (self.moved(from), self.moved(to)) {
            (Moved::To(a), Moved::To(b)) => (rank::key_of_instant(a), rank::key_of_instant(b)),
            (Moved::To(_), _) => return self.range(from),
            (_, Moved::To(_)) => return self.range(to),
            _ => return EMPTY,
        };
        match self.operator {
            _ if a == b => EMPTY,
            Comparison::Less | Comparison::GreaterOrEqual => (a + 1, b),
            Comparison::LessOrEqual | Comparison::Greater => (a, b - 1),
            Comparison::Equal | Comparison::NotEqual => (a, b),
        }
    }
}

/// By what they are made of: tests that are equal come together.
impl Ord for TimeTest {
    fn cmp(&self, other: &TimeTest) -> Ordering {
        fn steps(test: &TimeTest) -> impl Iterator<Item = (bool, u8, u64)> {
            test.steps.0.iter().map(|step| (step.forward, step.span().unit as u8, step.span().count))
        }
        (self.operator as u8).cmp(&(other.operator as u8)).then_with(|| steps(self).cmp(steps(other)))
    }
}

impl PartialOrd for TimeTest {
    fn partial_cmp(&self, other: &TimeTest) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As the query language writes it, up to the column.
impl fmt::Display for TimeTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("now")?;
        for step in &self.steps.0 {
            write!(f, " {} {}", if step.forward { '+' } else { '-' }, step.span())?;
        }
        write!(f, " {}", self.operator.word())
    }
}

/// The tests of a filter over `now`, each once, if every one of them is of a column that is read as an instant against `now` moved
/// by durations. `None` if there are others: then each row has a moment of its own at which to ask again.
///
/// Between two moments the filter can only change for rows with a value that is [`turned`](TimeTest::turned) in one of them.
pub(crate) fn time_tests<C: ColumnInfo>(filter: &Compiled<C>) -> Option<Vec<(C, TimeTest)>> {
    let mut tests: Vec<(C, TimeTest)> = Vec::new();
    for test in filter.now_tests() {
        let View::Compare { asked, left, right } = test else { return None };
        let (chain, operator, column) = match (left, right) {
            (Seen::Now(chain), Seen::Column(column)) => (chain, asked.operator(), column),
            (Seen::Column(column), Seen::Now(chain)) => (chain, asked.operator().mirrored(), column),
            _ => return None,
        };
        // What is no instant differs from `now` as long as that is in the calendar, and no index has it in a range of instants.
        if !reads_instants(column) || asked == Asked::Different {
            return None;
        }
        tests.push((column.clone(), TimeTest::new(filter.steps(chain), operator)));
    }
    Some(each_once(tests))
}
