//! A window as one writes it by hand: the rows that are shown, and some of those that come next.

use std::{mem, sync::Arc};

use crate::{OrderRow, Place};

/// A net change of one query's window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// The number of the query.
    pub query: u32,
    /// `None` for an order that was not shown before.
    pub before: Option<Arc<OrderRow>>,
    /// `None` for an order that is shown no more.
    pub after: Option<Arc<OrderRow>>,
}

impl Diff {
    /// The order's id.
    pub fn id(&self) -> u64 {
        self.before.as_ref().or(self.after.as_ref()).map_or(0, |row| row.id)
    }
}

/// A row of a window.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) place: Place,
    pub(crate) row: Arc<OrderRow>,
}

/// The first rows of one result. Twice the cap is held, so that a window which loses rows is seldom filled again from all rows.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    query: u32,
    cap: u32,
    /// No row matches beyond those that are held.
    complete: bool,
    /// In order, at most `cap`.
    shown: Vec<Held>,
    /// What comes next, the next one last.
    spare: Vec<Held>,
}

impl Window {
    /// `held` need not be sorted.
    fn new(query: u32, cap: usize, mut held: Vec<Held>, complete: bool) -> Self {
        held.sort_unstable_by_key(|held| held.place);
        let mut spare = held.split_off(held.len().min(cap));
        spare.reverse();
        held.shrink_to_fit();
        Self { query, cap: cap as u32, complete, shown: held, spare }
    }

    /// The ids that are shown.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.shown.iter().map(|held| held.row.id).collect()
    }

    /// A row that stands behind this changes nothing.
    pub(crate) fn edge(&self) -> Place {
        if self.complete {
            return (u64::MAX, u64::MAX);
        }
        self.spare.first().or(self.shown.last()).map_or((0, 0), |last| last.place)
    }

    /// What it takes, the rows themselves not counted.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + (self.shown.capacity() + self.spare.capacity()) * size_of::<Held>()
    }

    /// One row's change: where it stood, if it matched, and where it stands now, if it matches. `refill` finds the next
    /// matches after a place, in order, at most so many, among rows that are as they are after the change.
    pub(crate) fn step(
        &mut self,
        before: Option<Place>,
        after: Option<(Place, &Arc<OrderRow>)>,
        out: &mut Vec<Diff>,
        refill: impl FnOnce(Option<Place>, usize) -> Vec<Held>,
    ) {
        let (query, cap) = (self.query, self.cap as usize);
        let diff = |before, after| Diff { query, before, after };
        let (mut was, mut is) = (None, false);
        if let Some(place) = before {
            let stays = after.filter(|(after, _)| *after == place);
            if self.shown.last().is_some_and(|last| place <= last.place) {
                if let Ok(at) = self.shown.binary_search_by_key(&place, |held| held.place) {
                    if let Some((_, row)) = stays {
                        let old = mem::replace(&mut self.shown[at].row, row.clone());
                        out.push(diff(Some(old), Some(row.clone())));
                        return;
                    }
                    was = Some(self.shown.remove(at).row);
                }
            } else if let Ok(at) = self.spare.binary_search_by(|held| place.cmp(&held.place)) {
                if let Some((_, row)) = stays {
                    self.spare[at].row = row.clone();
                    return;
                }
                self.spare.remove(at);
            }
        }
        if let Some((place, row)) = after {
            let held = Held { place, row: row.clone() };
            if self.shown.last().is_some_and(|last| place < last.place) {
                let at = self.shown.partition_point(|held| held.place < place);
                self.shown.insert(at, held);
                is = true;
                if self.shown.len() > cap
                    && let Some(last) = self.shown.pop()
                {
                    out.push(diff(Some(last.row.clone()), None));
                    self.spare.push(last);
                }
            } else if self.complete || self.spare.first().is_some_and(|last| place < last.place) {
                let at = self.spare.partition_point(|held| held.place > place);
                self.spare.insert(at, held);
            }
        }
        if self.shown.len() < cap && self.spare.is_empty() && !self.complete {
            let wanted = 2 * cap - self.shown.len();
            self.spare = refill(self.shown.last().map(|last| last.place), wanted);
            self.complete = self.spare.len() < wanted;
            self.spare.reverse();
        }
        while self.shown.len() < cap
            && let Some(next) = self.spare.pop()
        {
            if after.is_some_and(|(place, _)| place == next.place) {
                is = true;
            } else {
                out.push(diff(None, Some(next.row.clone())));
            }
            self.shown.push(next);
        }
        if self.spare.len() > 2 * cap {
            self.spare.drain(..self.spare.len() - cap);
            self.complete = false;
        }
        let is = after.filter(|_| is).map(|(_, row)| row.clone());
        if was.is_some() || is.is_some() {
            out.push(diff(was, is));
        }
    }
}

/// The first rows so far of one pass over all rows.
#[derive(Debug)]
pub(crate) struct Filling {
    keep: usize,
    held: Vec<Held>,
    complete: bool,
}

impl Filling {
    /// Keeps the first `keep`.
    pub(crate) fn new(keep: usize) -> Self {
        Self { keep, held: Vec::new(), complete: true }
    }

    pub(crate) fn push(&mut self, place: Place, row: &Arc<OrderRow>) {
        self.held.push(Held { place, row: row.clone() });
        if self.held.len() >= 4 * self.keep {
            self.trim();
        }
    }

    fn trim(&mut self) {
        if self.held.len() > self.keep {
            self.held.select_nth_unstable_by_key(self.keep, |held| held.place);
            self.held.truncate(self.keep);
            self.complete = false;
        }
    }

    /// In order.
    pub(crate) fn into_sorted(mut self) -> Vec<Held> {
        self.trim();
        self.held.sort_unstable_by_key(|held| held.place);
        self.held
    }

    /// A window of half of what was kept.
    pub(crate) fn into_window(mut self, query: u32) -> Window {
        self.trim();
        Window::new(query, self.keep / 2, self.held, self.complete)
    }
}

/// Makes one net change for each query and order of what came from `mark` on.
pub(crate) fn consolidate(out: &mut Vec<Diff>, mark: usize) {
    if out.len() < mark + 2 {
        return;
    }
    let mut diffs = out.split_off(mark);
    // Stable: of one order's changes the first and the last count.
    diffs.sort_by_key(|diff| (diff.query, diff.id()));
    for mut diff in diffs {
        if let Some(last) = out.get_mut(mark..).and_then(<[Diff]>::last_mut)
            && (last.query, last.id()) == (diff.query, diff.id())
        {
            last.after = diff.after.take();
        } else {
            drop_if_void(out, mark);
            out.push(diff);
        }
    }
    drop_if_void(out, mark);
}

fn drop_if_void(out: &mut Vec<Diff>, mark: usize) {
    if out.len() > mark
        && let Some(last) = out.last()
        && last.before == last.after
    {
        out.pop();
    }
}
