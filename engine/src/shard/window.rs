//! The first rows of a result, in order, and the net change that a commit makes to them.
//!
//! A [`Window`] holds the rows of one filter up to some place behind its cap: the reserve, out of which a place that becomes free
//! is filled. How far it knows its matches is part of it; what lies behind is not its business, at the price of one
//! comparison. When the reserve runs out it is refilled from an order that holds all rows. A [`Stretch`] holds no rows at all: its
//! filter is a stretch of an order that is kept anyway, and its window the beginning of that stretch.

use std::cmp::Ordering;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use smallvec::SmallVec;

use liveset_core::model::Reason;

use crate::{
    shard::keys::Keys,
    store::{
        row::Row,
        set::Rows,
        set::index::ties,
        sorting::{Place, Sorting},
    },
    tree::{Entry, Tree},
    update::WindowChange,
};

/// What happened to one node, as a view sees it: `None` where it did not or does not match.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    pub(crate) handle: u32,
    pub(crate) before: Option<&'a Row>,
    pub(crate) after: Option<&'a Row>,
    pub(crate) cause: Cause,
}

/// What made a node's step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The node is new in its set.
    Created,
    /// The node has a new value.
    Changed,
    /// The node was removed from its set.
    Deleted,
    /// Time passed; the node is as it was.
    Time,
}

/// The matches of one filter in order, as far as they are known.
#[derive(Debug)]
pub(crate) struct Window {
    cap: usize,
    tree: Tree,
    /// The last row of the window once there are `cap` of them; until then every row here is inside.
    last: Option<Entry>,
    /// All matches up to here are in the tree, and none behind; `None` where the tree holds every match.
    known: Option<Place>,
}

/// What a row takes in a window, about: its entry, and the room that the nodes of a tree keep.
const ENTRY_BYTES: usize = 32;

/// A window lets go of rows beyond so many.
fn most_held(cap: usize) -> usize {
    let most = cap.saturating_add(reserve(cap));
    most.saturating_add(most / 8).saturating_add(4)
}

/// So many rows are held besides those of the window when there are more matches than that.
fn reserve(cap: usize) -> usize {
    cap
}

impl Window {
    /// A window of no rows is held as one of one row: that it has an end is what all of this is about. Nobody is shown the row.
    pub(crate) fn new(cap: usize) -> Self {
        Self { cap: cap.max(1), tree: Tree::default(), last: None, known: None }
    }

    /// Of all matches, in whatever order.
    pub(crate) fn of(cap: usize, mut matches: Vec<Entry>, sorting: &Sorting, rows: Rows<'_>) -> Self {
        let mut window = Self::new(cap);
        let cap = window.cap;
        window.known = window.keep_first(&mut matches, cap + reserve(cap), sorting, rows);
        window.tree = Tree::from_sorted(matches);
        window.last = window.tree.nth(cap - 1);
        window
    }

    /// Sorts and keeps the first `most`; tells up to where that is, if some had to go.
    fn keep_first(
        &self,
        matches: &mut Vec<Entry>,
        most: usize,
        sorting: &Sorting,
        rows: Rows<'_>,
    ) -> Option<Place> {
        let compare = |a: &Entry, b: &Entry| {
            a.prefix().cmp(&b.prefix()).then_with(|| match (rows.current(a.row), rows.current(b.row)) {
                (Some(row_a), Some(row_b)) if a.row != b.row => sorting.compare(row_a, row_b),
                _ => a.row.cmp(&b.row),
            })
        };
        let too_many = matches.len() > most;
        if too_many {
            matches.select_nth_unstable_by(most, compare);
            matches.truncate(most);
        }
        matches.sort_unstable_by(compare);
        matches.shrink_to_fit();
        let last = matches.last().filter(|_| too_many)?;
        Some(Place::of(sorting, rows.current(last.row)?))
    }

    /// The window's rows, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.tree.iter().take(self.cap)
    }

    /// Rows held, reserve included.
    pub(crate) fn len(&self) -> usize {
        self.tree.len()
    }

    /// Up to where all matches are held; `None` where all of them are.
    pub(crate) fn known(&self) -> Option<&Place> {
        self.known.as_ref()
    }

    /// Whether rows that come or go at this place, or behind it, are none of its business.
    pub(crate) fn ends_before(&self, prefix: u128) -> bool {
        self.known.as_ref().is_some_and(|known| known.prefix < prefix)
    }

    /// Whether a row that changes at this place, and stays there, is not shown.
    pub(crate) fn hides(&self, prefix: u128) -> bool {
        self.last.is_some_and(|last| last.prefix() < prefix)
    }

    /// The rows that are missing from a full reserve, once it is nearly used up.
    pub(crate) fn wants(&self) -> Option<usize> {
        let low = self.known.is_some() && self.tree.len() < self.cap + reserve(self.cap) / 4;
        low.then(|| self.cap + reserve(self.cap) - self.tree.len())
    }

    /// The position of a row in the window, counted from 0. O(log cap).
    pub(crate) fn position(
        &self,
        row: &Row,
        handle: u32,
        sorting: &Sorting,
        rows: Rows<'_>,
    ) -> Option<usize> {
        let prefix = sorting.prefix(row);
        let position = self.tree.find(prefix, ties(sorting, row, handle, |row| rows.current(row))).ok()?;
        Some(position).filter(|position| *position < self.cap)
    }

    /// About the memory held on the heap. O(1).
    pub(crate) fn bytes(&self) -> usize {
        self.tree.len() * ENTRY_BYTES + self.known.as_ref().map_or(0, Place::heap_bytes)
    }

    #[cfg(test)]
    pub(crate) fn tree_bytes(&self) -> usize {
        self.tree.bytes()
    }

    /// The most of that for a window that is being made over so many rows.
    pub(crate) fn most_bytes(cap: usize, rows: usize) -> usize {
        most_held(cap.max(1)).min(rows) * ENTRY_BYTES
    }

    /// Takes in matches that lie behind what is known, in whatever order; `known` is where they end.
    pub(crate) fn extend(
        &mut self,
        mut matches: Vec<Entry>,
        want: usize,
        known: Option<Place>,
        sorting: &Sorting,
        rows: Rows<'_>,
    ) {
        let cut = self.keep_first(&mut matches, want, sorting, rows);
        self.known = cut.or(known);
        for entry in matches {
            let Some(row) = rows.current(entry.row) else { continue };
            self.tree.insert(entry, ties(sorting, row, entry.row, |row| rows.current(row)));
        }
        self.last = self.tree.nth(self.cap - 1);
    }

    /// Applies the steps of one commit, each of a different node, with their keys. `refill` is called, at most once, when the window cannot
    /// be filled out of what it holds; it is to [`extend`](Self::extend) it.
    pub(crate) fn apply<'a>(
        &mut self,
        steps: &[Step<'a>],
        keys: &[Keys],
        sorting: &Sorting,
        rows: Rows<'a>,
        refill: impl FnOnce(&mut Self),
    ) -> Vec<WindowChange> {
        if let ([keys], Some(known)) = (keys, &self.known) {
            let is_behind = |prefix| prefix > known.prefix;
            if keys.before.is_none_or(is_behind) && keys.after.is_none_or(is_behind) {
                return Vec::new();
            }
        }
        let old_last = Last::of(self.last, rows);
        let mut placed: SmallVec<[Placed<'a>; 2]> = SmallVec::new();
        let mut count = if self.last.is_some() { self.cap } else { self.tree.len() };
        let mut moves = false;
        // Removals first, among the rows as they were; then the rest, among the rows as they are.
        for (step, keys) in steps.iter().zip(keys) {
            let mut place = Placed::of(step);
            if let (Some(row), Some(prefix)) = (step.before, keys.before)
                && self.knows(prefix, row, sorting)
            {
                place.stays = keys.stays;
                place.was_inside = old_last.is_none_or(|last| last.covers(prefix, row, step.handle, sorting));
                place.before = Some(prefix);
                if !place.stays {
                    moves = true;
                    self.tree.remove(prefix, ties(sorting, row, step.handle, |row| rows.former(row)));
                    count -= usize::from(place.was_inside);
                }
            }
            placed.push(place);
        }
        for (place, keys) in placed.iter_mut().zip(keys) {
            let (Some(row), Some(prefix)) = (place.step.after, keys.after) else { continue };
            if place.stays {
                place.after = place.before;
                continue;
            }
            if self.knows(prefix, row, sorting) {
                place.after = Some(prefix);
                moves = true;
                let entry = Entry::new(prefix, place.step.handle);
                self.tree.insert(entry, ties(sorting, row, place.step.handle, |row| rows.current(row)));
                let inside = old_last.is_none_or(|last| last.covers(prefix, row, place.step.handle, sorting));
                count += usize::from(inside);
            }
        }
        if !moves {
            // Nothing came or went: the window ends where it did.
            if placed.iter().all(|place| !place.was_inside) {
                return Vec::new();
            }
            let moved = Moved { last: self.last, len: count, crossed: SmallVec::new(), inwards: true };
            return net_changes(&placed, moved, sorting, rows, |_| true);
        }
        if self.tree.len() < self.cap && self.known.is_some() {
            refill(self);
            // What was behind the end of its knowledge may have come with the refill.
            for (place, keys) in placed.iter_mut().zip(keys).filter(|(place, _)| place.after.is_none()) {
                let Some(row) = place.step.after else { continue };
                place.after = keys.after.filter(|prefix| self.knows(*prefix, row, sorting));
            }
        }
        let moved = move_last(&Near::new(&self.tree, count), |_| true, count, self.cap);
        self.last = moved.last;
        let changes = net_changes(&placed, moved, sorting, rows, |_| true);
        self.trim(sorting, rows);
        changes
    }

    /// Takes a match in while the window is being filled for the first time.
    pub(crate) fn fill(&mut self, handle: u32, row: &Row, sorting: &Sorting, rows: Rows<'_>) {
        self.fill_at(sorting.prefix(row), handle, row, sorting, rows);
    }

    /// Like [`fill`](Self::fill), of a row whose place is known.
    pub(crate) fn fill_at(
        &mut self,
        prefix: u128,
        handle: u32,
        row: &Row,
        sorting: &Sorting,
        rows: Rows<'_>,
    ) {
        if self.knows(prefix, row, sorting) {
            let entry = Entry::new(prefix, handle);
            self.tree.insert(entry, ties(sorting, row, handle, |row| rows.current(row)));
            self.trim(sorting, rows);
        }
    }

    /// Lets a match go while the window is being filled.
    pub(crate) fn unfill(&mut self, handle: u32, row: &Row, sorting: &Sorting, rows: Rows<'_>) {
        let prefix = sorting.prefix(row);
        if self.knows(prefix, row, sorting) {
            self.tree.remove(prefix, ties(sorting, row, handle, |row| rows.former(row)));
        }
    }

    /// Whether there are matches that it does not know of, and should.
    pub(crate) fn is_short(&self) -> bool {
        self.known.is_some() && self.tree.len() < self.cap
    }

    /// Ends the first filling.
    pub(crate) fn filled(&mut self) {
        self.last = self.tree.nth(self.cap - 1);
    }

    fn knows(&self, prefix: u128, row: &Row, sorting: &Sorting) -> bool {
        self.known.as_ref().is_none_or(|known| known.compare(prefix, row, sorting).is_le())
    }

    /// Lets go of reserve beyond what is useful, some at a time.
    fn trim(&mut self, sorting: &Sorting, rows: Rows<'_>) {
        let most = self.cap + reserve(self.cap);
        if self.tree.len() > most_held(self.cap) {
            self.tree.truncate(most);
            let last = self.tree.last().and_then(|last| rows.current(last.row));
            self.known = last.map(|row| Place::of(sorting, row));
        }
    }
}

/// A view that is a stretch of an order which holds all rows.
#[derive(Debug)]
pub(crate) struct Stretch {
    cap: usize,
    /// The last row of the window once there are `cap` of them.
    last: Option<Entry>,
    /// Rows of the window.
    len: usize,
}

impl Stretch {
    /// The stretch of `tree` between two positions. One of no rows is held as one of one row, as a [`Window`] is.
    pub(crate) fn new(cap: usize, tree: &Tree, start: usize, end: usize) -> Self {
        let cap = cap.max(1);
        let len = (end - start).min(cap);
        Self { cap, last: (len == cap).then(|| tree.nth(start + cap - 1)).flatten(), len }
    }

    pub(crate) fn last(&self) -> Option<Entry> {
        self.last
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// As [`Window::apply`]. `tree` is the order after the commit; `start` finds where the stretch begins in it, and `ends`
    /// tells of a row whether it is of the stretch. Changes that lie behind the window both before and after need not be
    /// among the steps.
    pub(crate) fn apply<'a>(
        &mut self,
        steps: &[Step<'a>],
        sorting: &Sorting,
        rows: Rows<'a>,
        tree: &Tree,
        start: impl Fn() -> usize,
        is_inside: impl Fn(&Row) -> bool,
    ) -> Vec<WindowChange> {
        let old_last = Last::of(self.last, rows);
        let mut count = self.len;
        let mut placed: SmallVec<[Placed<'a>; 2]> = SmallVec::new();
        let inside =
            |prefix, row: &Row, handle| old_last.is_none_or(|last| last.covers(prefix, row, handle, sorting));
        for step in steps {
            let mut place = Placed::of(step);
            place.before = step.before.map(|row| sorting.prefix(row));
            place.after = step.after.map(|row| sorting.prefix(row));
            if let (Some(row), Some(prefix)) = (step.before, place.before) {
                place.was_inside = inside(prefix, row, step.handle);
                count -= usize::from(place.was_inside);
            }
            if let (Some(row), Some(prefix)) = (step.after, place.after) {
                count += usize::from(inside(prefix, row, step.handle));
            }
            placed.push(place);
        }
        let stands = |last: Last<'_>| rows.current(last.entry.row).is_some_and(|row| row.is(last.row));
        if count == self.cap && old_last.is_some_and(stands) {
            // As many came as went, and the last is where it was.
            let moved = Moved { last: self.last, len: count, crossed: SmallVec::new(), inwards: true };
            return net_changes(&placed, moved, sorting, rows, is_inside);
        }
        // Where the rows up to the old last one end, in the order as it is now.
        let near = match old_last {
            None => Near::new(tree, start() + count),
            Some(last) => {
                let compare = |entry: Entry| {
                    let covered = rows
                        .current(entry.row)
                        .is_some_and(|row| last.covers(entry.prefix(), row, entry.row, sorting));
                    if covered { Ordering::Less } else { Ordering::Greater }
                };
                let (position, leaf, at) = tree.seek(last.entry.prefix(), compare);
                Near { tree, leaf, first: position - at, end: position }
            }
        };
        let is_inside_now = |entry: Entry| rows.current(entry.row).is_some_and(&is_inside);
        let moved = move_last(&near, is_inside_now, count, self.cap);
        (self.last, self.len) = (moved.last, moved.len);
        net_changes(&placed, moved, sorting, rows, is_inside)
    }
}

/// The last row of a window before a commit.
#[derive(Clone, Copy)]
struct Last<'a> {
    entry: Entry,
    row: &'a Row,
}

impl<'a> Last<'a> {
    fn of(entry: Option<Entry>, rows: Rows<'a>) -> Option<Self> {
        let entry = entry?;
        Some(Self { entry, row: rows.former(entry.row)? })
    }

    /// Whether a row stands up to here.
    fn covers(&self, prefix: u128, row: &Row, handle: u32, sorting: &Sorting) -> bool {
        match prefix.cmp(&self.entry.prefix()) {
            Ordering::Less => true,
            Ordering::Greater => false,
            // The row itself may stand elsewhere now: only its own old version is the same place.
            Ordering::Equal if handle == self.entry.row && row.is(self.row) => true,
            Ordering::Equal => sorting.compare(row, self.row).is_le(),
        }
    }
}

/// A step with the places that it concerns; a side that the window does not know of has none.
struct Placed<'a> {
    step: Step<'a>,
    before: Option<u128>,
    after: Option<u128>,
    was_inside: bool,
    /// The row is changed where it stands.
    stays: bool,
}

impl<'a> Placed<'a> {
    fn of(step: &Step<'a>) -> Self {
        Self { step: *step, before: None, after: None, was_inside: false, stays: false }
    }
}

/// Where a window ends now, and what its end has moved over.
struct Moved {
    last: Option<Entry>,
    len: usize,
    crossed: SmallVec<[Entry; 2]>,
    /// Whether the crossed rows are inside now.
    inwards: bool,
}

/// A tree with the place at which a window ended, and the entries around it at hand.
struct Near<'a> {
    tree: &'a Tree,
    leaf: &'a [Entry],
    /// The position of the first entry of the leaf.
    first: usize,
    end: usize,
}

impl<'a> Near<'a> {
    fn new(tree: &'a Tree, end: usize) -> Self {
        Self { tree, leaf: &[], first: 0, end }
    }

    fn nth(&self, position: usize) -> Option<Entry> {
        let at_hand = position.checked_sub(self.first).and_then(|at| self.leaf.get(at)).copied();
        at_hand.or_else(|| self.tree.nth(position))
    }
}

/// Moves the end of a window so that there are `cap` rows before it, or all: `count` rows of it lie up to the old end.
fn move_last(near: &Near<'_>, is_inside: impl Fn(Entry) -> bool, count: usize, cap: usize) -> Moved {
    let mut crossed: SmallVec<[Entry; 2]> = SmallVec::new();
    let inwards = count <= cap;
    let len = if inwards {
        let behind = (near.end..).map_while(|position| near.nth(position));
        crossed.extend(behind.take(cap - count).take_while(|entry| is_inside(*entry)));
        count + crossed.len()
    } else {
        let start = near.end.saturating_sub(count - cap);
        crossed.extend((start..near.end).rev().filter_map(|position| near.nth(position)));
        cap
    };
    let last = match crossed.last() {
        _ if len < cap => None,
        Some(last) if inwards => Some(*last),
        _ => (near.end + len).checked_sub(count + 1).and_then(|position| near.nth(position)),
    };
    Moved { last, len, crossed, inwards }
}

/// What has changed inside: removals first, then additions and updates, both in the order of the result.
/// `matches` tells whether a row matched that was changed without taking a step.
fn net_changes<'a>(
    placed: &[Placed<'a>],
    moved: Moved,
    sorting: &Sorting,
    rows: Rows<'a>,
    matches: impl Fn(&Row) -> bool,
) -> Vec<WindowChange> {
    let new_last = moved.last.and_then(|entry| Some(Last { entry, row: rows.current(entry.row)? }));
    let mut changes: SmallVec<[(u128, WindowChange); 2]> = SmallVec::new();
    for place in placed {
        let Step { handle, before, after, cause } = place.step;
        let matched = (before.is_some(), after.is_some());
        let before = before.filter(|_| place.was_inside);
        let after = after.filter(|row| {
            let inside = |prefix| new_last.is_none_or(|last| last.covers(prefix, row, handle, sorting));
            place.after.is_some_and(inside)
        });
        let reason = match (before, after) {
            (None, None) => continue,
            (Some(_), Some(_)) => None,
            (Some(_), None) if matched.1 => Some(Reason::Displaced),
            (None, Some(_)) if matched.0 => Some(Reason::Refilled),
            (before, _) => Some(match (cause, before.is_some()) {
                (Cause::Created, _) => Reason::Created,
                (Cause::Deleted, _) => Reason::Deleted,
                (Cause::Time, _) => Reason::Time,
                (Cause::Changed, _) => Reason::Filter,
            }),
        };
        let prefix = if after.is_some() { place.after } else { place.before };
        let change = WindowChange { before: before.cloned(), after: after.cloned(), reason };
        changes.push((prefix.unwrap_or_default(), change));
    }
    if !moved.crossed.is_empty() {
        // Of the rows that the end has moved over, those that did not change themselves.
        let many: Option<HashSet<u32, FixedState>> =
            (placed.len() > 8).then(|| placed.iter().map(|place| place.step.handle).collect());
        let stepped = |handle: u32| match &many {
            Some(many) => many.contains(&handle),
            None => placed.iter().any(|place| place.step.handle == handle),
        };
        for entry in moved.crossed {
            if stepped(entry.row) {
                continue;
            }
            let Some(row) = rows.current(entry.row).cloned() else { continue };
            changes.push((
                entry.prefix(),
                match moved.inwards {
                    true => {
                        let reason = match rows.former(entry.row) {
                            None => Reason::Created,
                            Some(old) if matches(old) => Reason::Refilled,
                            Some(_) => Reason::Filter,
                        };
                        WindowChange { before: None, after: Some(row), reason: Some(reason) }
                    }
                    false => WindowChange { before: Some(row), after: None, reason: Some(Reason::Displaced) },
                },
            ));
        }
    }
    if changes.len() > 1 {
        changes.sort_by(|(prefix_a, a), (prefix_b, b)| {
            let come = a.after.is_some().cmp(&b.after.is_some());
            come.then(prefix_a.cmp(prefix_b)).then_with(|| {
                match (a.after.as_ref().or(a.before.as_ref()), b.after.as_ref().or(b.before.as_ref())) {
                    (Some(a), Some(b)) => sorting.compare(a, b),
                    _ => Ordering::Equal,
                }
            })
        });
    }
    changes.into_iter().map(|(_, change)| change).collect()
}
