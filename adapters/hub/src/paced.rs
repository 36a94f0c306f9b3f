//! First results that wait because whoever asked has overdrawn what they may spend.

use std::{collections::BTreeMap, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use liveset_core::Monotonic;

use crate::feeds::Watcher;

/// Watchers by the moment at which work for them may go on.
#[derive(Debug, Default)]
pub(crate) struct Paced {
    by_moment: BTreeMap<(Monotonic, u64), Watcher>,
    waits: HashMap<Watcher, Wait, FixedState>,
    /// How many are of each subject.
    of_subject: HashMap<Arc<str>, usize, FixedState>,
    so_far: u64,
}

#[derive(Debug)]
struct Wait {
    at: (Monotonic, u64),
    subject: Option<Arc<str>>,
}

impl Paced {
    /// A watcher waits until then. Of those of one moment, who came first goes on first.
    pub(crate) fn push(&mut self, at: Monotonic, watcher: Watcher, subject: Option<Arc<str>>) {
        self.remove(watcher);
        self.so_far += 1;
        let at = (at, self.so_far);
        if let Some(subject) = &subject {
            *self.of_subject.entry(subject.clone()).or_default() += 1;
        }
        self.by_moment.insert(at, watcher);
        self.waits.insert(watcher, Wait { at, subject });
    }

    /// Takes out a watcher that waits for nothing any more. O(log waiting).
    pub(crate) fn remove(&mut self, watcher: Watcher) -> bool {
        let Some(Wait { at, subject }) = self.waits.remove(&watcher) else { return false };
        self.by_moment.remove(&at);
        if let Some(subject) = subject
            && let Some(count) = self.of_subject.get_mut(&subject)
        {
            *count -= 1;
            if *count == 0 {
                self.of_subject.remove(&subject);
            }
        }
        true
    }

    /// Takes out the next that may go on at `now`.
    pub(crate) fn pop_due(&mut self, now: Monotonic) -> Option<Watcher> {
        let ((at, _), watcher) = self.by_moment.first_key_value()?;
        let watcher = (*at <= now).then_some(*watcher)?;
        self.remove(watcher);
        Some(watcher)
    }

    /// When the next may go on.
    pub(crate) fn next(&self) -> Option<Monotonic> {
        self.by_moment.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many wait for a subject.
    pub(crate) fn len_of(&self, subject: &str) -> usize {
        self.of_subject.get(subject).copied().unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_moment.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WatchId;

    fn watcher(n: u64) -> Watcher {
        Watcher::Process(WatchId(n))
    }

    #[test]
    fn who_waits_goes_on_in_time_and_is_counted_meanwhile() {
        let mut paced = Paced::default();
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        let at = Monotonic::from_nanos;
        paced.push(at(20), watcher(1), Some(a.clone()));
        paced.push(at(10), watcher(2), Some(a.clone()));
        paced.push(at(10), watcher(3), Some(b.clone()));
        paced.push(at(10), watcher(4), None);
        assert_eq!((paced.len_of("a"), paced.len_of("b"), paced.next()), (2, 1, Some(at(10))));
        // Anew, behind the others.
        paced.push(at(10), watcher(2), Some(b.clone()));
        assert_eq!((paced.len_of("a"), paced.len_of("b"), paced.len()), (1, 2, 4));
        assert!(paced.remove(watcher(4)) && !paced.remove(watcher(4)));
        let due: Vec<Watcher> = std::iter::from_fn(|| paced.pop_due(at(19))).collect();
        assert_eq!(due, [watcher(3), watcher(2)]);
        assert_eq!(paced.pop_due(at(20)), Some(watcher(1)));
        assert!(paced.next().is_none() && paced.of_subject.is_empty() && paced.waits.is_empty());
    }
}
