//! The unit in which work is counted.

use std::{fmt, ops::Add};

/// Bytes of JSON that one step reads.
const BLOCK: u64 = 16;

/// An upper bound on the work of one evaluation of a filter, an order or a projection, in steps.
///
/// A step is at most one comparison of two scalars or 16 bytes of JSON read. What takes longer is counted as several steps, so
/// that no step takes over about 50 ns on a core of 3 GHz (`cargo bench -p liveset-benches --bench steps` measures it). For a
/// row whose JSON has `n` bytes the bound is `fixed + per_block * ceil(n / 16)`. Costs add up, and never overflow: what would, is
/// `u64::MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Cost {
    /// Steps, whatever the row.
    pub fixed: u64,
    /// Steps for each 16 bytes of the row's JSON, or part of them.
    pub per_block: u64,
}

impl Cost {
    /// Nothing at all.
    pub const NONE: Cost = Cost { fixed: 0, per_block: 0 };

    /// So many steps, and so many for each 16 bytes of the row.
    pub const fn new(fixed: u64, per_block: u64) -> Cost {
        Cost { fixed, per_block }
    }

    /// The bound for a row whose JSON has so many bytes.
    pub const fn of(self, row_bytes: usize) -> u64 {
        self.fixed.saturating_add(self.per_block.saturating_mul((row_bytes as u64).div_ceil(BLOCK)))
    }

    /// The work of both.
    #[must_use]
    pub const fn plus(self, other: Cost) -> Cost {
        Cost {
            fixed: self.fixed.saturating_add(other.fixed),
            per_block: self.per_block.saturating_add(other.per_block),
        }
    }

    /// The same work so many times.
    #[must_use]
    pub const fn times(self, times: u64) -> Cost {
        Cost { fixed: self.fixed.saturating_mul(times), per_block: self.per_block.saturating_mul(times) }
    }
}

/// The work of both.
impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        self.plus(other)
    }
}

/// `12 steps`, `12 steps and 3 for each 16 bytes of a row`.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.fixed, if self.fixed == 1 { "step" } else { "steps" })?;
        match self.per_block {
            0 => Ok(()),
            per_block => write!(f, " and {per_block} for each 16 bytes of a row"),
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::NONE, Cost::plus)
    }
}

/// Whole blocks in so many bytes: what reading them costs besides the step that began it.
pub(crate) const fn blocks(bytes: usize) -> u64 {
    bytes as u64 / BLOCK
}

/// Comparisons in a search by halves among so many.
pub(crate) const fn halves(among: usize) -> u64 {
    (usize::BITS - among.leading_zeros()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_counts_blocks_that_are_begun() {
        let cost = Cost::new(10, 3);
        assert_eq!([0, 1, 16, 17, 160].map(|bytes| cost.of(bytes)), [10, 13, 13, 16, 40]);
        assert_eq!(cost.plus(Cost::new(1, 1)), Cost::new(11, 4));
        assert_eq!(cost.times(2), Cost::new(20, 6));
        assert_eq!(cost.times(u64::MAX).of(usize::MAX), u64::MAX);
    }

    #[test]
    fn costs_read_as_sentences() {
        assert_eq!(Cost::new(1, 0).to_string(), "1 step");
        assert_eq!(Cost::new(12, 3).to_string(), "12 steps and 3 for each 16 bytes of a row");
    }

    #[test]
    fn a_search_by_halves_takes_a_comparison_for_each() {
        assert_eq!([0, 1, 2, 3, 4, 1_000].map(halves), [0, 1, 2, 2, 3, 10]);
    }
}
