//! Which filters and stretches the changes of a commit touch, and by which of their sides.
//!
//! A filter has the places of its first and last touch, and each touch the place of the next one of the same filter: a list inside
//! one buffer, so that a commit allocates nothing. The invariant: `first` and `last` of a filter mean something in the step alone
//! whose number they carry; touches of one filter are linked in the order of their changes, each change once; the last one ends the list.

use crate::{
    filter::Ref,
    shard::{predicates::Found, sides::Sides, view::Touches},
    store::{row::Row, set::RowChange},
};

/// A change that was found to touch a filter or a stretch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    pub(super) change: u32,
    /// The sides that may pass, and those of them that are known to.
    pub(super) sides: Sides,
    pub(super) holds: Sides,
    /// The operand of an `or` by which alone they may.
    pub(super) operand: Option<Ref>,
    next: u32,
}

impl Touch {
    pub(super) fn new(change: u32, sides: Sides, holds: Sides, operand: Option<Ref>) -> Self {
        Self { change, sides, holds, operand, next: END }
    }

    /// A row that is as it was.
    pub(super) fn of_row(place: u32) -> Self {
        Self::new(place, Sides::BOTH, Sides::default(), None)
    }
}

const END: u32 = u32::MAX;

/// Buffers that are used again for each step.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) touches: Vec<Touch>,
    /// The touched filters and stretches, in the order of the first touch.
    pub(super) touched: Vec<Found>,
}

impl Scratch {
    pub(super) fn touch(&mut self, touches: &mut Touches, step: u64, found: Found, touch: Touch) {
        let next = self.touches.len() as u32;
        if touches.step != step {
            *touches = Touches { step, first: next, last: next };
            self.touched.push(found);
        } else {
            let last = &mut self.touches[touches.last as usize];
            if last.change == touch.change {
                last.sides = last.sides.union(touch.sides);
                last.holds = last.holds.union(touch.holds);
                last.operand = last.operand.filter(|operand| touch.operand == Some(*operand));
                return;
            }
            last.next = next;
            touches.last = next;
        }
        self.touches.push(touch);
    }

    pub(super) fn chain(&self, first: u32) -> impl Iterator<Item = Touch> + '_ {
        let mut next = first;
        std::iter::from_fn(move || {
            let touch = *self.touches.get(next as usize)?;
            next = touch.next;
            Some(touch)
        })
    }
}

/// Rows that are tried on a filter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried {
    pub(super) rows: u64,
    /// The number of looks at a version of one of them.
    pub(super) sides: u64,
    /// Blocks of JSON in these.
    pub(super) blocks: u64,
}

impl Tried {
    pub(super) fn add(&mut self, row: &Row, times: u64) {
        self.sides += times;
        self.blocks += times * (row.json_len() as u64).div_ceil(16);
    }

    pub(super) fn of_changes<'a>(changes: impl Iterator<Item = &'a RowChange>) -> Self {
        changes.fold(Self::default(), |mut tried, RowChange { before, after, .. }| {
            tried.rows += 1;
            before.iter().chain(after).for_each(|row| tried.add(row, 1));
            tried
        })
    }

    /// Rows that time may have turned: a filter is asked for two moments, and once more for the tests over time.
    pub(super) fn of_turned<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        rows.fold(Self::default(), |mut tried, row| {
            tried.rows += 1;
            tried.add(row, 4);
            tried
        })
    }
}
