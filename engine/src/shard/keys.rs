//! Where the rows of a commit stand in each order: computed once for all windows of that order.

use crate::store::{row::Row, sorting::Sorting};

/// Where a row stands before and after its step in one order; `None` where it does not match.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) before: Option<u128>,
    pub(crate) after: Option<u128>,
    /// Whether it stands at the same place.
    pub(crate) stays: bool,
    /// The steps of one comparison, beyond those that any row takes.
    pub(crate) steps: u64,
}

/// The keys of the rows that are stepping now, by order and row. A place for one may be taken by another: it is computed again then.
#[derive(Debug, Default)]
pub(super) struct KeyCache {
    /// What was put down in another turn means nothing.
    turn: u64,
    held: Vec<Held>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    turn: u64,
    sorting: usize,
    handle: u32,
    before: Option<Side>,
    after: Option<Side>,
    stays: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Side {
    prefix: u128,
    steps: u64,
}

impl Side {
    fn of(sorting: &Sorting, row: &Row) -> Self {
        Self { prefix: sorting.prefix(row), steps: sorting.comparison_steps(row, row.id_bytes()) }
    }
}

/// Places for keys, a power of two.
const PLACES: usize = 64;

impl KeyCache {
    /// Other versions of rows step from here on.
    pub(super) fn turn(&mut self) {
        self.turn += 1;
    }

    /// The keys of a row as it was, where it matched, and as it is, where it does.
    pub(super) fn of(
        &mut self,
        sorting: &Sorting,
        handle: u32,
        before: Option<&Row>,
        after: Option<&Row>,
    ) -> Keys {
        let held = self.held(sorting, handle);
        let stays = match (before, after) {
            (Some(before), Some(after)) => *held.stays.get_or_insert_with(|| sorting.same(before, after)),
            _ => false,
        };
        let before = before.map(|row| *held.before.get_or_insert_with(|| Side::of(sorting, row)));
        let after = after.map(|row| *held.after.get_or_insert_with(|| Side::of(sorting, row)));
        let steps = before.map_or(0, |side| side.steps) + after.map_or(0, |side| side.steps);
        Keys { before: before.map(|side| side.prefix), after: after.map(|side| side.prefix), stays, steps }
    }

    /// Where one version of a row stands.
    pub(super) fn place(&mut self, sorting: &Sorting, handle: u32, row: &Row, is_after: bool) -> u128 {
        let Held { before, after, .. } = self.held(sorting, handle);
        let side = if is_after { after } else { before };
        side.get_or_insert_with(|| Side::of(sorting, row)).prefix
    }

    fn held(&mut self, sorting: &Sorting, handle: u32) -> &mut Held {
        if self.held.is_empty() {
            self.held = vec![Held::default(); PLACES];
            self.turn += 1;
        }
        let by = std::ptr::from_ref(sorting).addr();
        let held = &mut self.held[(by >> 5 ^ handle as usize) % PLACES];
        if (held.turn, held.sorting, held.handle) != (self.turn, by, handle) {
            *held = Held { turn: self.turn, sorting: by, handle, ..Held::default() };
        }
        held
    }
}
