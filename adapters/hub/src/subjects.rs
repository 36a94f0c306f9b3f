//! What each subject holds, over all of its connections.

use std::sync::Arc;

use hashbrown::HashMap;
use liveset_engine::Keyed;

/// What one subject holds at a moment, over all connections that act for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubjectUse {
    /// Authenticated connections whose conversation is not over.
    pub connections: usize,
    /// Their event subscriptions.
    pub subscriptions: usize,
    /// Their live queries, those that wait for their first result included.
    pub live_queries: usize,
}

/// Subjects with a connection. None is kept that has none.
#[derive(Debug)]
pub(crate) struct Subjects {
    by_name: HashMap<Arc<str>, SubjectUse, Keyed>,
}

/// What of a subject's use is that of one connection: what [`Subjects::set`] has counted for it.
#[derive(Debug, Default)]
pub(crate) struct Share {
    subject: Option<Arc<str>>,
    subscriptions: usize,
    live_queries: usize,
}

impl Subjects {
    pub(crate) fn new(keyed: Keyed) -> Self {
        Self { by_name: HashMap::with_hasher(keyed) }
    }

    /// What a subject holds now.
    pub(crate) fn of(&self, subject: &str) -> SubjectUse {
        self.by_name.get(subject).copied().unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Counts a connection as what it is now, in place of what it was counted as: for whom it acts, if its conversation is not over,
    /// and what it holds. O(1).
    pub(crate) fn set(
        &mut self,
        share: &mut Share,
        subject: Option<&Arc<str>>,
        subscriptions: usize,
        live_queries: usize,
    ) {
        let is_same = share.subject.as_deref() == subject.map(|subject| &**subject);
        if is_same && (share.subscriptions, share.live_queries) == (subscriptions, live_queries) {
            return;
        }
        if let Some(subject) = share.subject.take()
            && let Some(held) = self.by_name.get_mut(&subject)
        {
            held.connections -= 1;
            held.subscriptions -= share.subscriptions;
            held.live_queries -= share.live_queries;
            if held.connections == 0 && !is_same {
                self.by_name.remove(&subject);
            }
        }
        let Some(subject) = subject else {
            *share = Share::default();
            return;
        };
        let held = self.by_name.entry(subject.clone()).or_default();
        held.connections += 1;
        held.subscriptions += subscriptions;
        held.live_queries += live_queries;
        *share = Share { subject: Some(subject.clone()), subscriptions, live_queries };
    }
}

impl Share {
    /// For whom the connection is counted.
    pub(crate) fn subject(&self) -> Option<&Arc<str>> {
        self.subject.as_ref()
    }
}
