//! A filter ready to be asked.

use super::ast::Expr;
use super::eval;
use super::fields::Fields;
use super::flips::{self, NowTest};
use crate::steps::Cost;
use crate::time::Instant;

/// A filter with what its tests over time are known to be, over nodes or over the columns of rows.
#[derive(Debug, Clone)]
pub(crate) struct Compiled<C> {
    /// The filter.
    pub(crate) expr: Expr<C>,
    /// Its tests that change with time.
    pub(crate) now_tests: Vec<NowTest<C>>,
    size: u64,
}

impl<C: Clone> Compiled<C> {
    /// O(filter).
    pub(crate) fn of(expr: Expr<C>) -> Compiled<C> {
        let now_tests = flips::now_tests(&expr);
        let mut size = 1;
        expr.sums(&mut |sum| size += 1 + sum.rest.len() as u64);
        Compiled { expr, now_tests, size }
    }
}

impl<C> Compiled<C> {
    /// Whether a row passes at the moment `now`; see [`Filter::matches`](super::Filter::matches).
    pub(crate) fn matches<R: Fields<C> + ?Sized>(&self, row: &R, now: Instant) -> bool {
        eval::matches(&self.expr, row, now)
    }

    /// Like [`matches`](Self::matches); adds the steps that it took.
    pub(crate) fn test<R: Fields<C> + ?Sized>(&self, row: &R, now: Instant, steps: &mut u64) -> bool {
        *steps += self.size;
        self.matches(row, now)
    }

    /// Whether a row passes at one moment and at another.
    pub(crate) fn test_both<R: Fields<C> + ?Sized>(
        &self,
        row: &R,
        then: Instant,
        now: Instant,
        steps: &mut u64,
    ) -> (bool, bool) {
        (self.test(row, then, steps), self.test(row, now, steps))
    }

    /// The most steps that a test takes.
    pub(crate) fn cost(&self) -> Cost {
        Cost { fixed: self.size, per_block: 0 }
    }

    /// Whether the result depends on the time.
    pub(crate) fn uses_now(&self) -> bool {
        !self.now_tests.is_empty()
    }

    /// The next moment at which time alone may change whether a row passes; see
    /// [`Filter::next_flip`](super::Filter::next_flip).
    pub(crate) fn next_flip<R: Fields<C> + ?Sized>(&self, row: &R, now: Instant) -> Option<Instant> {
        if !self.uses_now() {
            return None;
        }
        flips::next_flip(&self.expr, &self.now_tests, row, now)
    }
}
