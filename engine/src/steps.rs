//! What an evaluation costs, in steps.

use std::{fmt, ops::Add};

/// An upper bound of the steps that one evaluation takes, by the size of the row.
///
/// A step is at most one comparison of two scalars, or 16 bytes of JSON read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Steps for a row of any size.
    pub fixed: u64,
    /// Steps for every 16 bytes of the row's JSON.
    pub per_block: u64,
}

impl Cost {
    /// The steps for a row of so many bytes.
    pub fn of(self, row_bytes: usize) -> u64 {
        self.fixed.saturating_add(self.per_block.saturating_mul(row_bytes.div_ceil(16) as u64))
    }
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            fixed: self.fixed.saturating_add(other.fixed),
            per_block: self.per_block.saturating_add(other.per_block),
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per_block {
            0 => write!(f, "{} steps", self.fixed),
            per_block => write!(f, "{} steps and {per_block} for every 16 bytes", self.fixed),
        }
    }
}
