//! What a reader of a live query has not seen yet.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use liveset_core::model::{Count, Reason};

/// Changes that wait one commit at a time. Those of later commits are folded.
const WAITING: usize = 1_024;

/// The net changes of one commit, or of several that nobody has read one by one.
#[derive(Debug, Default)]
pub(crate) struct Step {
    rows: HashMap<Arc<str>, Net>,
    /// Gives each change its place in the order in which they came.
    noted: u64,
    pub(crate) count: Count,
}

#[derive(Debug)]
struct Net {
    before: Option<Bytes>,
    after: Option<Bytes>,
    reason: Option<Reason>,
    place: u64,
}

/// One change of a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NetChange {
    pub(crate) id: Arc<str>,
    pub(crate) was_there: bool,
    pub(crate) after: Option<Bytes>,
    pub(crate) reason: Option<Reason>,
}

impl Step {
    /// Nothing yet, of a result with this count.
    pub(crate) fn new(count: Count) -> Step {
        Step { count, ..Step::default() }
    }

    /// All rows of a result, as additions.
    pub(crate) fn of_rows<'r>(rows: impl Iterator<Item = (&'r Arc<str>, &'r Bytes)>, count: Count) -> Step {
        let mut step = Step::new(count);
        rows.for_each(|(id, json)| step.note(id.clone(), None, Some(json.clone()), None));
        step
    }

    /// Adds a change of a row.
    pub(crate) fn note(
        &mut self,
        id: Arc<str>,
        before: Option<Bytes>,
        after: Option<Bytes>,
        reason: Option<Reason>,
    ) {
        self.noted += 1;
        match self.rows.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(Net { before, after, reason, place: self.noted });
            }
            Entry::Occupied(mut entry) => {
                let net = entry.get_mut();
                // An update of what nobody has seen yet is still the addition that it was.
                if net.before.is_some() || before.is_none() {
                    net.reason = reason;
                }
                (net.after, net.place) = (after, self.noted);
                if net.before == net.after {
                    entry.remove();
                }
            }
        }
    }

    /// Whether no row has changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn merge(&mut self, later: Step) {
        self.count = later.count;
        let mut rows: Vec<_> = later.rows.into_iter().collect();
        rows.sort_by_key(|(_, net)| net.place);
        for (id, Net { before, after, reason, .. }) in rows {
            self.note(id, before, after, reason);
        }
    }

    /// Removals first, each kind in the order in which they came.
    pub(crate) fn into_changes(self) -> Vec<NetChange> {
        let mut rows: Vec<_> = self.rows.into_iter().collect();
        rows.sort_by_key(|(_, net)| (net.after.is_some(), net.place));
        let change = |(id, net): (_, Net)| NetChange {
            id,
            was_there: net.before.is_some(),
            after: net.after,
            reason: net.reason,
        };
        rows.into_iter().map(change).collect()
    }
}

/// The steps that wait for a reader: one for each commit while they are few, the last of all that came later.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    steps: VecDeque<Step>,
    /// Of all steps but the last. A step counts as one change at least.
    waiting: usize,
}

impl Unread {
    pub(crate) fn push(&mut self, step: Step) {
        let weight = self.steps.back().map_or(0, |last| last.rows.len().max(1));
        match self.steps.back_mut() {
            Some(last) if self.waiting + weight > WAITING => last.merge(step),
            _ => {
                self.waiting += weight;
                self.steps.push_back(step);
            }
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Step> {
        let step = self.steps.pop_front()?;
        if !self.steps.is_empty() {
            self.waiting -= step.rows.len().max(1);
        }
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &'static str) -> Option<Bytes> {
        Some(Bytes::from_static(text.as_bytes()))
    }

    /// Id, before, after, reason.
    type Told<'t> = (&'t str, Option<Bytes>, Option<Bytes>, Option<Reason>);

    fn step(changes: &[Told<'_>]) -> Step {
        let mut step = Step::default();
        for (id, before, after, reason) in changes {
            step.note(Arc::from(*id), before.clone(), after.clone(), *reason);
        }
        step
    }

    #[test]
    fn changes_of_a_row_are_folded() {
        let cases = [
            // Before, between, after: what is left.
            (None, row("1"), row("2"), Some((false, row("2"), Some(Reason::Created)))),
            (None, row("1"), None, None),
            (row("0"), row("1"), row("2"), Some((true, row("2"), None))),
            (row("0"), row("1"), None, Some((true, None, Some(Reason::Deleted)))),
            (row("0"), None, row("2"), Some((true, row("2"), Some(Reason::Created)))),
            (row("0"), None, row("0"), None),
        ];
        for (before, between, after, expected) in cases {
            let reason = |before: &Option<Bytes>, after: &Option<Bytes>| match (before, after) {
                (None, _) => Some(Reason::Created),
                (_, None) => Some(Reason::Deleted),
                _ => None,
            };
            let mut first = step(&[("a", before.clone(), between.clone(), reason(&before, &between))]);
            first.merge(step(&[("a", between.clone(), after.clone(), reason(&between, &after))]));
            let left = first.into_changes();
            let expected: Vec<_> = expected
                .map(|(was_there, after, reason)| NetChange { id: "a".into(), was_there, after, reason })
                .into_iter()
                .collect();
            assert_eq!(left, expected, "{before:?} {between:?} {after:?}");
        }
    }

    #[test]
    fn removals_go_first() {
        let step = step(&[
            ("b", None, row("1"), None),
            ("a", row("1"), row("2"), None),
            ("c", row("1"), None, None),
        ]);
        let ids: Vec<_> = step.into_changes().into_iter().map(|change| change.id).collect();
        assert_eq!(ids.iter().map(|id| &**id).collect::<Vec<_>>(), ["c", "b", "a"]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut unread = Unread::default();
        let ids: Vec<String> = (0..7).map(|id| id.to_string()).collect();
        for turn in 0..WAITING * 4 {
            let (before, after) = if turn < ids.len() { (None, row("1")) } else { (row("1"), row("2")) };
            unread.push(step(&[(&ids[turn % ids.len()], before, after, None)]));
        }
        assert!(unread.steps.len() <= WAITING + 1, "{}", unread.steps.len());
        assert!(unread.steps.back().unwrap().rows.len() <= ids.len());
        let mut seen = 0;
        while unread.pop().is_some() {
            seen += 1;
        }
        assert!(seen > WAITING / 2, "the first wait one by one: {seen}");
        assert_eq!(unread.waiting, 0);
        // A step of a count alone waits too.
        for _ in 0..WAITING * 2 {
            unread.push(Step::default());
        }
        assert!(unread.steps.len() <= WAITING + 1);
    }
}
