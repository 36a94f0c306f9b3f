//! The matches of one view in order, and the window over the first of them.
//!
//! Every match is held, ordered by rank; the window is the first `cap` of them, known by the rank of its last node.
//! A commit therefore costs O(changes × log matches), wherever in the order they fall, and a window that loses a node
//! is refilled from the next one without a look at the set. The price is memory for every match of a view.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use bytes::Bytes;

use crate::{row::Row, update::Reason};

/// A node at its place in the order.
pub(crate) type Ranked = (Bytes, Arc<Row>);

/// What happened to one node, as this view sees it: `None` where it did not or does not match.
#[derive(Debug)]
pub(crate) struct NodeStep {
    pub(crate) before: Option<Ranked>,
    pub(crate) after: Option<Ranked>,
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

/// A node's net change in the window. At least one side is there.
#[derive(Debug)]
pub(crate) struct WindowChange {
    pub(crate) before: Option<Ranked>,
    pub(crate) after: Option<Ranked>,
    pub(crate) reason: Option<Reason>,
}

impl WindowChange {
    /// Removals before the rest, and both by rank.
    fn place(&self) -> (bool, Option<&Bytes>) {
        (self.after.is_some(), self.after.as_ref().or(self.before.as_ref()).map(|(rank, _)| rank))
    }
}

#[derive(Debug)]
pub(crate) struct Window {
    cap: usize,
    matches: BTreeMap<Bytes, Arc<Row>>,
    /// The rank of the window's last node once there are `cap` of them; until then every match is inside.
    bound: Option<Bytes>,
}

impl Window {
    /// `cap` is at least 1.
    pub(crate) fn new(cap: usize, matches: BTreeMap<Bytes, Arc<Row>>) -> Self {
        debug_assert!(cap > 0);
        let mut window = Self { cap, matches, bound: None };
        window.bound = window.matches.keys().nth(cap - 1).cloned();
        window
    }

    pub(crate) fn total(&self) -> usize {
        self.matches.len()
    }

    pub(crate) fn capped(&self) -> bool {
        self.matches.len() > self.cap
    }

    /// The window's nodes, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Arc<Row>)> {
        self.matches.iter().take(self.cap)
    }

    pub(crate) fn contains(&self, rank: &[u8]) -> bool {
        self.matches.contains_key(rank)
    }

    /// Applies the steps of one commit, each of a different node, and tells the net change of the window:
    /// removals first, then additions and updates, both in the order of the result.
    pub(crate) fn apply(&mut self, steps: Vec<NodeStep>) -> Vec<WindowChange> {
        let old_bound = self.bound.take();
        let inside = |bound: &Option<Bytes>, rank: &Bytes| bound.as_ref().is_none_or(|b| rank <= b);

        // Nodes up to the old bound, counted as they come and go; without a bound that is all of them.
        let mut count = if old_bound.is_some() { self.cap } else { self.matches.len() };
        for step in &steps {
            if let Some((rank, _)) = &step.before {
                self.matches.remove(rank);
                count -= usize::from(inside(&old_bound, rank));
            }
        }
        for step in &steps {
            if let Some((rank, row)) = &step.after {
                self.matches.insert(rank.clone(), row.clone());
                count += usize::from(inside(&old_bound, rank));
            }
        }

        let crossed = self.move_bound(old_bound.as_ref(), count);

        let mut changes = Vec::new();
        let mut stepped = hashbrown::HashSet::with_hasher(foldhash::fast::FixedState::default());
        for step in steps {
            if let (Some((rank, _)), true) = (&step.after, !crossed.is_empty()) {
                stepped.insert(rank.clone());
            }
            let matched = (step.before.is_some(), step.after.is_some());
            let before = step.before.filter(|(rank, _)| inside(&old_bound, rank));
            let after = step.after.filter(|(rank, _)| inside(&self.bound, rank));
            let reason = match (&before, &after) {
                (None, None) => continue,
                (Some(_), Some(_)) => None,
                (Some(_), None) if matched.1 => Some(Reason::Displaced),
                (None, Some(_)) if matched.0 => Some(Reason::Refilled),
                (before, _) => Some(match (step.cause, before.is_some()) {
                    (Cause::Created, _) => Reason::Created,
                    (Cause::Deleted, _) => Reason::Deleted,
                    (Cause::Time, _) => Reason::Time,
                    (Cause::Changed, _) => Reason::Filter,
                }),
            };
            changes.push(WindowChange { before, after, reason });
        }
        // Nodes that did not change themselves, but over which the bound has moved.
        for (rank, row) in crossed {
            if stepped.contains(&rank) {
                continue;
            }
            changes.push(if inside(&self.bound, &rank) {
                WindowChange { before: None, after: Some((rank, row)), reason: Some(Reason::Refilled) }
            } else {
                WindowChange { before: Some((rank, row)), after: None, reason: Some(Reason::Displaced) }
            });
        }
        changes.sort_by(|a, b| a.place().cmp(&b.place()));
        changes
    }

    /// Sets the bound anew, given how many matches lie up to the old one, and returns the matches that it moved over.
    fn move_bound(&mut self, old: Option<&Bytes>, count: usize) -> Vec<Ranked> {
        let pair = |(rank, row): (&Bytes, &Arc<Row>)| (rank.clone(), row.clone());
        if count > self.cap {
            let excess = count - self.cap;
            let upto = match old {
                Some(old) => self.matches.range(..=old.clone()),
                None => self.matches.range::<Bytes, _>(..),
            };
            let mut back = upto.rev();
            let crossed = back.by_ref().take(excess).map(pair).collect();
            self.bound = back.next().map(|(rank, _)| rank.clone());
            crossed
        } else {
            let missing = self.cap - count;
            let crossed: Vec<Ranked> = match old {
                Some(old) => {
                    self.matches.range((Excluded(old.clone()), Unbounded)).take(missing).map(pair).collect()
                }
                None => Vec::new(),
            };
            self.bound = if count + crossed.len() < self.cap {
                None
            } else if let Some((rank, _)) = crossed.last() {
                Some(rank.clone())
            } else {
                // Nothing moved over it: the last match up to the old bound, which itself may have gone.
                match old {
                    Some(old) => self.matches.range(..=old.clone()).next_back().map(|(rank, _)| rank.clone()),
                    None => self.matches.keys().next_back().cloned(),
                }
            };
            crossed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn node(id: u32) -> Arc<Row> {
        Arc::new(Row { id: id.to_string().into(), raw: Bytes::new(), value: Value::Nothing })
    }

    fn rank(place: u8, id: u32) -> Bytes {
        Bytes::from(vec![place, id as u8])
    }

    /// A small generator of our own: the same numbers on every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u32) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 33) as u32 % n
        }
    }

    /// Nodes move between places in batches; the net changes lead from each window to the next, removals first, and
    /// each window is the first `cap` of a sort from scratch.
    #[test]
    fn every_batch_of_moves_leads_to_the_window_computed_from_scratch() {
        for (seed, cap) in (1..=40).zip([1, 2, 3, 5, 8, 1000].into_iter().cycle()) {
            let mut random = Random(0x9E37_79B9_7F4A_7C15u64.wrapping_mul(seed));
            let mut places: BTreeMap<u32, u8> = BTreeMap::new();
            let mut window = Window::new(cap, BTreeMap::new());
            let mut client: BTreeMap<Bytes, String> = BTreeMap::new();
            for _ in 0..400 {
                let mut steps = Vec::new();
                let mut batch: Vec<u32> = (0..=random.below(6)).map(|_| random.below(24)).collect();
                batch.sort_unstable();
                batch.dedup();
                for id in batch {
                    let before = places.get(&id).copied();
                    let after = (random.below(3) > 0).then(|| random.below(6) as u8);
                    match after {
                        Some(place) => places.insert(id, place),
                        None => places.remove(&id),
                    };
                    if before.is_none() && after.is_none() {
                        continue;
                    }
                    let ranked = |place: u8| (rank(place, id), node(id));
                    steps.push(NodeStep {
                        before: before.map(ranked),
                        after: after.map(ranked),
                        cause: Cause::Changed,
                    });
                }
                let mut added = false;
                for change in window.apply(steps) {
                    if let Some((rank, _)) = &change.before {
                        assert!(client.remove(rank).is_some(), "what leaves was there");
                    }
                    if let Some((rank, row)) = &change.after {
                        assert!(
                            client.insert(rank.clone(), row.id.to_string()).is_none(),
                            "what comes was not there"
                        );
                    }
                    assert!(change.after.is_some() || !added, "removals come first");
                    added |= change.after.is_some();
                    assert!(client.len() <= cap, "never more than the cap");
                }
                let mut all: Vec<(Bytes, String)> =
                    places.iter().map(|(id, place)| (rank(*place, *id), id.to_string())).collect();
                all.sort();
                assert_eq!(window.total(), all.len());
                assert_eq!(window.capped(), all.len() > cap);
                all.truncate(cap);
                assert_eq!(client.clone().into_iter().collect::<Vec<_>>(), all, "seed {seed}, cap {cap}");
                let held: Vec<_> =
                    window.iter().map(|(rank, row)| (rank.clone(), row.id.to_string())).collect();
                assert_eq!(held, all);
            }
        }
    }
}
