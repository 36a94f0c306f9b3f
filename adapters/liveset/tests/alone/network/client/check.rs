//! What a client holds against the truth: every message, and in the end what they come to.

use std::sync::Arc;

use liveset_core::{ClientEvent, LiveQueryOptions, LiveResult, NodeChange};
use serde_json::Value;

use super::super::lock;
use super::super::truth::{Shown, Truth};
use super::{Held, State};

impl State {
    pub(super) fn take_message(&mut self, text: &[u8]) {
        let now = self.now();
        self.tally.messages += 1;
        let shown = String::from_utf8_lossy(text);
        let comparable = without_version(&shown);
        for byte in now.as_nanos().to_le_bytes().iter().chain(comparable.as_bytes()) {
            let mixed = self.tally.fingerprint ^ u64::from(*byte);
            self.tally.fingerprint = mixed.wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(log) = &mut self.log {
            log.push((now.as_nanos(), comparable));
        }
        if let Err(error) = self.session.handle_text(now, text) {
            panic!("{error}: {shown}");
        }
        let message: Value = serde_json::from_slice(text).expect("JSON");
        while let Some(event) = self.session.poll_event() {
            self.learn(event, &message);
        }
    }

    pub(super) fn learn(&mut self, event: ClientEvent, message: &Value) {
        match event {
            ClientEvent::Authenticated { .. } | ClientEvent::Pong { .. } | ClientEvent::Lost => {}
            ClientEvent::LiveQueryCreated { id, .. } => {
                let held = self.held.get_mut(&*id).expect("a live query that was asked for");
                held.at = held.asked;
                held.version = None;
                held.revisions.clear();
                assert_eq!(message["version"].is_string(), held.options.resume, "{message}");
            }
            ClientEvent::LiveQueryRows { id, loaded, .. } => self.loaded(&id, loaded),
            ClientEvent::LiveQueryResumed { id, .. } => {
                let held = self.held.get_mut(&*id).expect("a live query that was asked for");
                let result = self.session.live_query(&id).expect("a result");
                // That of now, where nothing has changed.
                held.version = result.version().map(str::to_owned);
                let truth = lock(&self.truth);
                let past = &truth.past[held.question];
                self.tally.resumed += 1;
                if !message["drop"].is_array() {
                    let then = &past[held.at];
                    assert!(agrees(result, then), "'{id}' goes on from what never was: {result:?}, {then:?}");
                    return;
                }
                self.tally.resumed_by_rows += 1;
                held.lacks_rows = held.version.is_none();
                // What is left of its rows is of some moment only where it lacks none.
                if held.version.is_some() {
                    let at = (held.at..past.len()).find(|at| agrees(result, &past[*at]));
                    held.at = at.unwrap_or_else(|| panic!("'{id}' goes on from what never was: {result:?}"));
                }
            }
            ClientEvent::LiveQueryChanged { id, node_id, change } => self.changed(&id, &node_id, change),
            ClientEvent::LiveQueryCount { id } => {
                assert!(self.held[&*id].options.counts, "a count that nobody asked for");
            }
            ClientEvent::LiveQueryDestroyed { id, .. } => {
                let held = self.held.remove(&*id).expect("a live query");
                assert!(held.destroying, "'{id}' was destroyed by nobody");
            }
            ClientEvent::Subscribed { ids, .. } => {
                let truth = lock(&self.truth);
                for id in ids {
                    let subscribed = self.subscribed.get_mut(&*id).expect("a subscription");
                    let count = truth.events_for(&subscribed.path, &subscribed.kinds).len();
                    subscribed.confirmed = Some(count);
                }
            }
            ClientEvent::Unsubscribed { ids, .. } => {
                for id in ids {
                    let subscribed = self.subscribed.remove(&*id).expect("a subscription");
                    assert!(subscribed.leaving, "'{id}' was ended by nobody");
                }
            }
            ClientEvent::Event { subscription_ids, path, event } => {
                let number: Value = serde_json::from_slice(&event.data).expect("JSON");
                let number = number["number"].as_u64().expect("a number") as usize;
                self.happened(&subscription_ids, &path, number);
            }
            ClientEvent::Warning { code, message, subscription_id } => {
                assert_eq!(code, "QUEUE_OVERFLOW");
                let count = message.split(' ').next().and_then(|count| count.parse().ok());
                let subscribed = self.subscribed.get_mut(&*subscription_id).expect("a subscription");
                assert_eq!(subscribed.dropped, 0, "one warning before the next event");
                subscribed.dropped = count.filter(|count| *count > 0).expect("a count");
                self.tally.dropped += subscribed.dropped as u64;
            }
            ClientEvent::Error { code_text, message, request, .. } => {
                // Only what ends the connection: a client that was held off may learn why it is given up.
                let last_word = matches!(&*code_text, "OVERLOADED" | "PING_TIMEOUT" | "AUTH_TIMEOUT");
                assert!(last_word && request.is_none(), "{code_text}: {message}");
            }
            other => panic!("{other:?}"),
        }
    }

    fn loaded(&mut self, id: &str, all: bool) {
        let held = self.held.get_mut(id).expect("a live query that was asked for");
        let result = self.session.live_query(id).expect("a result");
        let truth = lock(&self.truth);
        assert!(result.len() <= truth.questions[held.question].cap(), "more rows than the cap");
        if !all {
            return;
        }
        for (node, data) in result.rows() {
            held.see(&truth, node, data);
        }
        let past = &truth.past[held.question];
        let whole = |shown: &Shown| agrees(result, shown) && result.total_count() == shown.total as u64;
        let at = (held.at..past.len()).find(|at| whole(&past[*at]));
        held.at = at.unwrap_or_else(|| {
            let lately = &past[held.at..];
            panic!("'{id}' begins with what never was: {result:?}\nsince it was asked: {lately:?}")
        });
        held.version = result.version().map(str::to_owned);
    }

    fn changed(&mut self, id: &str, node: &str, change: NodeChange) {
        self.tally.diffs += 1;
        let held = self.held.get_mut(id).expect("a live query that was asked for");
        let result = self.session.live_query(id).expect("a result");
        let truth = lock(&self.truth);
        assert!(result.len() <= truth.questions[held.question].cap(), "'{id}' has more rows than its cap");
        let LiveQueryOptions { positions, reasons, .. } = held.options;
        let (index, reason) = match change {
            // What a client lacks comes without reasons.
            NodeChange::Added { index, reason } if held.lacks_rows => {
                (index.is_some(), reasons || reason.is_none())
            }
            NodeChange::Added { index, reason } => (index.is_some(), reason.is_some() == reasons),
            NodeChange::Updated { index } => (index.is_some(), true),
            NodeChange::Removed { reason } => (positions, reason.is_some() == reasons),
        };
        assert!(index == positions && reason, "extensions are opted in to: {change:?}");
        if let Some(data) = result.row(node) {
            held.see(&truth, node, data);
        }
        if result.version() == held.version.as_deref() {
            return;
        }
        // A commit is complete, or a fold of some: the client is where the query was at some moment.
        held.version = result.version().map(str::to_owned);
        held.lacks_rows = false;
        self.tally.versions += 1;
        let past = &truth.past[held.question];
        let at = (held.at..past.len()).find(|at| agrees(result, &past[*at]));
        self.tally.folded += u64::from(at.is_some_and(|at| at > held.at + 1));
        held.at = at.unwrap_or_else(|| {
            let lately = &past[held.at..];
            panic!("'{id}' came to what never was: {result:?}\nsince it was last right: {lately:?}")
        });
    }

    fn happened(&mut self, ids: &[Arc<str>], path: &str, number: usize) {
        assert!(
            self.last_event.is_none_or(|last| last <= number),
            "events come in the order of their publishing"
        );
        self.last_event = Some(number);
        assert!(!ids.is_empty(), "an event for somebody");
        let truth = lock(&self.truth);
        for id in ids {
            self.tally.events += 1;
            let subscribed = self.subscribed.get_mut(&**id).expect("a subscription");
            assert_eq!(subscribed.path, path);
            let events = truth.events_for(path, &subscribed.kinds);
            let place = events.binary_search(&number).expect("an event that the subscription wants");
            let expected = place - std::mem::take(&mut subscribed.dropped);
            match subscribed.next {
                Some(next) => assert_eq!(next, expected, "'{id}': received and dropped is published"),
                None => {
                    let until = subscribed.confirmed.expect("confirmed before the first event");
                    assert!((subscribed.asked..=until).contains(&expected), "'{id}' begins at {expected}");
                }
            }
            subscribed.next = Some(place + 1);
        }
    }

    // --- in the end ---

    /// Everything has arrived: whatever the client has is the present.
    pub fn assert_present(&self) {
        assert_eq!(self.session.unanswered(), 0, "everything is answered");
        let truth = lock(&self.truth);
        for (id, held) in &self.held {
            let result = self.session.live_query(id).expect("a result");
            let present = truth.present(held.question);
            assert!(
                result.is_loaded() && agrees(result, present),
                "'{id}' is not the present: {result:?}\n{present:?}\nof {:?}",
                truth.questions[held.question]
            );
            if held.options.counts {
                let capped = present.total > truth.questions[held.question].cap();
                let count = (result.total_count(), result.capped());
                assert_eq!(count, (present.total as u64, capped), "the count of '{id}'");
            }
        }
        for (id, subscribed) in &self.subscribed {
            let count = truth.events_for(&subscribed.path, &subscribed.kinds).len();
            assert_eq!(subscribed.dropped, 0, "'{id}': the newest event is never dropped");
            match subscribed.next {
                Some(next) => assert_eq!(next, count, "'{id}' has the last event"),
                None => {
                    assert!(subscribed.confirmed.is_some_and(|until| count <= until), "'{id}' has no event")
                }
            }
        }
    }
}

impl Held {
    /// The client was sent this of a node: it is, or was, the truth, and none that is older than what came before.
    fn see(&mut self, truth: &Truth, node: &str, data: &[u8]) {
        let data: Value = serde_json::from_slice(data).expect("JSON");
        let rev = data["rev"].as_u64().expect("a revision");
        assert_eq!(truth.data(self.question, node, rev).as_ref(), Some(&data), "'{node}' was never that");
        let before = self.revisions.insert(node.to_owned(), rev);
        assert!(before.is_none_or(|before| before <= rev), "'{node}' goes back from {before:?} to {rev}");
    }
}

/// Versions tell endpoints apart: no two runs have the same.
fn without_version(message: &str) -> String {
    let head = "\"version\":\"";
    let Some((before, rest)) = message.split_once(head) else { return message.to_owned() };
    let (_, after) = rest.split_once('"').expect("a text");
    format!("{before}{head}\"{after}")
}

/// Whether a client has what was shown: in order, where it knows the order.
fn agrees(result: &LiveResult, shown: &Shown) -> bool {
    if result.len() != shown.rows.len() {
        return false;
    }
    let is = |row: Option<&[u8]>, rev: u64| row.is_some_and(|data| rev_of(data) == Some(rev));
    match result.ordered() {
        Some(ordered) => {
            ordered.zip(&shown.rows).all(|((id, data), (node, rev))| **id == **node && is(Some(data), *rev))
        }
        None => shown.rows.iter().all(|(node, rev)| is(result.row(node).map(|data| &**data), *rev)),
    }
}

fn rev_of(data: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(data).ok()?["rev"].as_u64()
}
