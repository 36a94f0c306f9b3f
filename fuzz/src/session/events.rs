//! Subscriptions, and the events that wait for them: the plainest bookkeeping that can be thought of.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use liveset_core::{Raw, ServerMessage, SubscriptionSpec};

use super::answer::Told;

/// Events that wait for each subscription.
pub(super) const QUEUE: usize = 2;

/// Bytes of the events that wait: some three of them.
pub(super) const BYTES: usize = 440;

#[derive(Debug, Default)]
pub(super) struct Events {
    /// In the order in which they were made.
    pub(super) subscriptions: Vec<SubscriptionSpec>,
    dropped: BTreeMap<String, u64>,
    /// Who lost the last that waited.
    bereft: BTreeSet<String>,
    queue: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    ids: Vec<String>,
    path: String,
    event_type: String,
    data: String,
    timestamp: String,
}

impl Waiting {
    /// As many as the message has.
    fn bytes(&self) -> usize {
        let mut message = Vec::new();
        let [event_type, path, timestamp] =
            [&self.event_type, &self.path, &self.timestamp].map(|text| Cow::Borrowed(&**text));
        let subscription_ids = self.ids.iter().map(|id| Cow::Borrowed(&**id)).collect();
        let data = Raw(self.data.as_bytes());
        ServerMessage::Event { subscription_ids, event_type, path, data, timestamp }.write(&mut message);
        message.len()
    }
}

impl Events {
    pub(super) fn has(&self, id: &str) -> bool {
        self.subscriptions.iter().any(|spec| *spec.id == *id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.bereft.is_empty()
    }

    /// What it was, if it was there.
    pub(super) fn remove(&mut self, id: &str) -> Option<SubscriptionSpec> {
        let at = self.subscriptions.iter().position(|spec| *spec.id == *id);
        self.dropped.remove(id);
        self.bereft.remove(id);
        for waiting in &mut self.queue {
            waiting.ids.retain(|other| other != id);
        }
        self.queue.retain(|waiting| !waiting.ids.is_empty());
        at.map(|at| self.subscriptions.remove(at))
    }

    /// For how many subscriptions it waits.
    pub(super) fn publish(&mut self, path: &str, event_type: &str, data: &str, timestamp: &str) -> usize {
        let wants = |spec: &&SubscriptionSpec| {
            *spec.path == *path && spec.events.iter().any(|event| **event == *event_type)
        };
        let ids: Vec<String> =
            self.subscriptions.iter().filter(wants).map(|spec| spec.id.to_string()).collect();
        let [path, event_type, data, timestamp] = [path, event_type, data, timestamp].map(str::to_owned);
        let message = Waiting { ids: ids.clone(), path, event_type, data, timestamp };
        if ids.is_empty() {
            return 0;
        }
        if message.bytes() > BYTES {
            self.drop_all(ids);
            return 0;
        }
        for id in &ids {
            let mut of_it = self.queue.iter_mut().filter(|waiting| waiting.ids.contains(id));
            let oldest = of_it.next();
            if 1 + of_it.count() == QUEUE
                && let Some(oldest) = oldest
            {
                oldest.ids.retain(|other| other != id);
                *self.dropped.entry(id.clone()).or_default() += 1;
            }
        }
        self.queue.retain(|waiting| !waiting.ids.is_empty());
        self.queue.push_back(message);
        while self.bytes() > BYTES {
            let oldest = self.queue.pop_front().map(|oldest| oldest.ids);
            self.drop_all(oldest.unwrap_or_default());
        }
        ids.len()
    }

    fn drop_all(&mut self, ids: Vec<String>) {
        for id in ids {
            *self.dropped.entry(id.clone()).or_default() += 1;
            if !self.queue.iter().any(|waiting| waiting.ids.contains(&id)) {
                self.bereft.insert(id);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.queue.iter().map(Waiting::bytes).sum()
    }

    /// A message that went out: the oldest event, or the warning that goes before it, or, where none waits, that of who lost all.
    pub(super) fn take(&mut self, message: &Told) {
        let next = self.queue.front();
        let of_next = || next?.ids.iter().find(|id| self.dropped.contains_key(*id)).cloned();
        let warned = if next.is_none() { self.bereft.first().cloned() } else { of_next() };
        match (message, warned, next) {
            (Told::Warning { code, message, subscription_id }, Some(id), _) => {
                self.bereft.remove(&id);
                let dropped = self.dropped.remove(&id).unwrap_or_default();
                let expected =
                    format!("{dropped} events dropped for subscription '{id}' due to slow consumption");
                assert_eq!((&**code, &**message, &**subscription_id), ("QUEUE_OVERFLOW", &*expected, &*id));
            }
            (Told::Event { ids, event_type, path, data, timestamp }, None, Some(next)) => {
                assert_eq!(ids, &next.ids);
                assert_eq!((event_type, path), (&next.event_type, &next.path));
                assert_eq!((data, timestamp), (&next.data, &next.timestamp));
                self.queue.pop_front();
            }
            (other, warned, next) => panic!("{other:?}, expected {next:?}, warned {warned:?}"),
        }
    }
}
