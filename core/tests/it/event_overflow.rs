//! "Each subscription has a bounded queue (default 256). When it is full the **oldest** event goes, and is counted;
//! before the next event of that subscription goes out, one `warning` `QUEUE_OVERFLOW` with the exact count goes out …,
//! and the count starts anew. An event shared by several subscriptions of a path is dropped for one by taking its id out
//! of the shared message. Control messages and answers are never dropped." Beyond the bytes that may wait the oldest of all go; who has lost
//! all that waited is warned when nothing waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fastrand::Rng;
use liveset_core::SessionLimits;

use crate::util::*;

fn warning(count: usize, id: &str) -> String {
    format!(
        r#"{{"type":"warning","code":"QUEUE_OVERFLOW","message":"{count} events dropped for subscription '{id}' due to slow consumption","subscriptionId":"{id}"}}"#
    )
}

fn message(ids: &[&str], path: &str, kind: &str, number: u64) -> String {
    let ids: Vec<_> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    let ids = ids.join(",");
    format!(
        r#"{{"type":"event","subscriptionIds":[{ids}],"eventType":"{kind}","path":"{path}","data":{number},"timestamp":"2025-12-07T21:45:05.000Z"}}"#
    )
}

#[test]
fn the_oldest_goes_and_is_counted() {
    for (limit, kept) in [(256, 256), (1, 1), (0, 1)] {
        let limits = SessionLimits::default().event_queue(limit);
        let mut server = Server::active(limits);
        server.subscribe("my-jobs", "jobs", &["x"]);
        for number in 0..kept + 5 {
            assert_eq!(server.session.deliver("jobs", &event("x", number)), 1);
        }
        assert_eq!(server.session.backlog().events, kept as usize);
        assert_eq!(server.session.stats().events_dropped, 5);
        let mut expected = vec![warning(5, "my-jobs")];
        expected.extend((5..kept + 5).map(|number| message(&["my-jobs"], "jobs", "x", number)));
        assert_eq!(server.texts(), expected);
        // The count starts anew.
        server.session.deliver("jobs", &event("x", 1));
        assert_eq!(server.texts(), [message(&["my-jobs"], "jobs", "x", 1)]);
    }
}

#[test]
fn one_event_dropped_is_still_events() {
    let mut server = Server::active(SessionLimits::default().event_queue(1));
    server.subscribe("s", "jobs", &["x"]);
    server.session.deliver("jobs", &event("x", 1));
    server.session.deliver("jobs", &event("x", 2));
    assert_eq!(server.texts(), [warning(1, "s"), message(&["s"], "jobs", "x", 2)]);
}

#[test]
fn a_shared_event_is_dropped_for_one_by_taking_its_id_out() {
    let mut server = Server::active(SessionLimits::default().event_queue(2));
    server.subscribe("a", "jobs", &["x", "y"]);
    server.subscribe("b", "jobs", &["x"]);
    for (kind, number) in [("x", 1), ("x", 2), ("y", 3)] {
        server.session.deliver("jobs", &event(kind, number));
    }
    assert_eq!(
        server.texts(),
        [
            message(&["b"], "jobs", "x", 1),
            warning(1, "a"),
            message(&["a", "b"], "jobs", "x", 2),
            message(&["a"], "jobs", "y", 3),
        ]
    );
}

#[test]
fn the_count_goes_with_its_subscription() {
    let mut server = Server::active(SessionLimits::default().event_queue(1));
    server.subscribe("s", "jobs", &["x"]);
    server.session.deliver("jobs", &event("x", 1));
    server.session.deliver("jobs", &event("x", 2));
    server.send(r#"{"type":"unsubscribeEvents","ids":["s"]}"#);
    server.requests();
    server.subscribe("s", "jobs", &["x"]);
    server.session.deliver("jobs", &event("x", 3));
    assert_eq!(server.texts(), [message(&["s"], "jobs", "x", 3)]);
}

#[test]
fn answers_are_never_dropped() {
    let mut server = Server::active(SessionLimits::default().event_queue(1));
    server.subscribe("s", "jobs", &["x"]);
    for number in 0..200 {
        server.session.deliver("jobs", &event("x", number));
        server.send(r#"{"type":"ping"}"#);
    }
    assert_eq!(server.texts().iter().filter(|text| **text == r#"{"type":"pong"}"#).count(), 200);
}

#[test]
fn beyond_the_bytes_the_oldest_of_all_go() {
    let one = weight(1, "jobs", "x", 0);
    let mut server = Server::active(SessionLimits::default().event_bytes(3 * one));
    server.subscribe("s1", "jobs", &["x"]);
    server.subscribe("s2", "jobs", &["y"]);
    for (kind, number) in [("x", 1), ("y", 2), ("y", 3)] {
        assert_eq!(server.session.deliver("jobs", &event(kind, number)), 1);
    }
    let backlog = server.session.backlog();
    assert_eq!((backlog.events, backlog.event_bytes), (3, 3 * one), "at the limit nothing goes");
    assert_eq!(server.session.stats().events_dropped, 0);
    // A byte more than there is room for where one has gone: two go.
    server.session.deliver("jobs", &event("y", 10));
    let backlog = server.session.backlog();
    assert_eq!((backlog.events, backlog.event_bytes), (2, 2 * one + 1));
    assert_eq!(server.session.stats().events_dropped, 2);
    server.session.deliver("jobs", &event("x", 4));
    assert_eq!(
        server.texts(),
        [
            warning(2, "s2"),
            message(&["s2"], "jobs", "y", 10),
            warning(1, "s1"),
            message(&["s1"], "jobs", "x", 4),
        ]
    );
    assert_eq!(server.session.backlog().event_bytes, 0);
}

#[test]
fn an_event_larger_than_all_that_may_wait_is_dropped_alone() {
    let one = weight(1, "jobs", "x", 0);
    let mut server = Server::active(SessionLimits::default().event_bytes(one));
    server.subscribe("s1", "jobs", &["x"]);
    assert_eq!(server.session.deliver("jobs", &event("x", 1)), 1);
    assert_eq!(server.session.deliver("jobs", &event("x", 10)), 0);
    assert_eq!(server.session.stats().events_dropped, 1);
    assert_eq!(server.texts(), [warning(1, "s1"), message(&["s1"], "jobs", "x", 1)]);
}

#[test]
fn with_no_bytes_or_one_every_event_is_dropped_and_counted() {
    for limit in [0, 1] {
        let mut server = Server::active(SessionLimits::default().event_bytes(limit));
        server.subscribe("s1", "jobs", &["x"]);
        for number in 1..=3 {
            assert_eq!(server.session.deliver("jobs", &event("x", number)), 0);
            assert_eq!(server.session.stats().events_dropped, number);
        }
        assert_eq!((server.session.backlog().events, server.session.backlog().event_bytes), (0, 0));
        assert!(server.session.wants_transmit());
        assert_eq!(server.texts(), [warning(3, "s1")]);
        assert!(!server.session.wants_transmit());
    }
}

#[test]
fn a_subscription_that_lost_its_last_event_is_warned_without_another() {
    let one = weight(1, "jobs", "x", 0);
    let mut server = Server::active(SessionLimits::default().event_bytes(one));
    server.subscribe("s1", "jobs", &["x"]);
    server.subscribe("s2", "jobs", &["y"]);
    server.session.deliver("jobs", &event("x", 1));
    server.session.deliver("jobs", &event("y", 2));
    assert_eq!(server.texts(), [message(&["s2"], "jobs", "y", 2), warning(1, "s1")]);
    // Who is gone is not warned.
    server.session.deliver("jobs", &event("x", 3));
    server.session.deliver("jobs", &event("y", 4));
    server.send(r#"{"type":"unsubscribeEvents","ids":["s1"]}"#);
    server.requests();
    assert_eq!(server.texts(), [message(&["s2"], "jobs", "y", 4)]);
}

#[test]
fn events_do_not_wait_for_the_warnings_of_those_who_lost_all() {
    let one = weight(1, "jobs", "x", 0);
    let mut server = Server::active(SessionLimits::default().event_bytes(3 * one));
    let kinds: Vec<String> = (0..8).map(|n| n.to_string()).collect();
    for kind in &kinds {
        server.subscribe(&format!("s{kind}"), "jobs", &[kind.as_str()]);
    }
    let (mut events, mut warned) = (0, BTreeSet::new());
    for round in 0..200 {
        for kind in &kinds {
            server.session.deliver("jobs", &event(kind, round % 10));
        }
        let text = server.text().expect("something waits");
        match text.split_once("subscription '") {
            Some((_, id)) => drop(warned.insert(id[..2].to_owned())),
            None => events += 1,
        }
    }
    // Many more come than are taken: those that are left still come.
    assert_eq!((events, warned.len()), (200, 0));
    // And when no more come, everyone hears of what was lost.
    let texts = server.texts();
    let (rest, warnings): (Vec<_>, Vec<_>) = texts.iter().partition(|text| text.contains("\"event\""));
    assert_eq!((rest.len(), warnings.len()), (2, 7));
    assert!(!server.session.wants_transmit());
}

#[test]
fn what_is_dropped_between_a_warning_and_its_event_is_warned_of_before_that_event() {
    let one = weight(1, "jobs", "x", 0);
    let mut server = Server::active(SessionLimits::default().event_bytes(one));
    server.subscribe("s1", "jobs", &["x"]);
    server.session.deliver("jobs", &event("x", 1));
    server.session.deliver("jobs", &event("x", 10));
    assert_eq!(server.text(), Some(warning(1, "s1")));
    server.session.deliver("jobs", &event("x", 11));
    assert_eq!(server.texts(), [warning(1, "s1"), message(&["s1"], "jobs", "x", 1)]);
}

#[test]
fn who_was_warned_and_then_loses_the_event_moves_nobody_out_of_a_warning() {
    let mut server = Server::active(SessionLimits::default().event_queue(2));
    server.subscribe("a", "jobs", &["x", "y"]);
    server.subscribe("b", "jobs", &["x"]);
    for number in 1..=3 {
        server.session.deliver("jobs", &event("x", number));
    }
    assert_eq!(server.text(), Some(warning(1, "a")));
    server.session.deliver("jobs", &event("y", 4));
    assert_eq!(
        server.texts(),
        [
            warning(1, "b"),
            message(&["b"], "jobs", "x", 2),
            warning(1, "a"),
            message(&["a", "b"], "jobs", "x", 3),
            message(&["a"], "jobs", "y", 4),
        ]
    );
}

#[test]
fn what_leaves_the_queue_early_makes_room() {
    let mut server = Server::active(SessionLimits::default().event_queue(1));
    server.subscribe("s1", "jobs", &["x", "y"]);
    server.subscribe("s2", "jobs", &["x"]);
    let bytes = |server: &Server| server.session.backlog().event_bytes;
    server.session.deliver("jobs", &event("x", 1));
    assert_eq!(bytes(&server), weight(2, "jobs", "x", 1));
    server.session.deliver("jobs", &event("y", 2));
    assert_eq!(bytes(&server), weight(1, "jobs", "x", 1) + weight(1, "jobs", "y", 2));
    server.send(r#"{"type":"unsubscribeEvents","ids":["s1"]}"#);
    assert_eq!(bytes(&server), weight(1, "jobs", "x", 1));
    server.send(r#"{"type":"unsubscribeEvents","ids":["s2"]}"#);
    assert_eq!(bytes(&server), 0);
}

/// "What is sent is counted as it is sent": an event of one byte for 256 subscriptions whose ids are 128 control characters each.
#[test]
fn ids_count_as_they_are_written() {
    const IDS: usize = 256;
    const EVENT_BYTES: usize = 1024 * 1024;
    let limits = SessionLimits::default().event_bytes(EVENT_BYTES).event_queue(10_000);
    let mut server = Server::active(limits);
    for n in 0..IDS {
        let mark = [n >> 6, n >> 3, n].map(|n| format!("\\u{:04x}", 1 + (n & 7)));
        let id = "\\u0001".repeat(125) + &mark.concat();
        let entry = format!(r#"{{"id":"{id}","path":"jobs","events":["x"]}}"#);
        server.send(&format!(r#"{{"type":"subscribeEvents","subscriptions":[{entry}]}}"#));
        server.accept_subscriptions();
        server.texts();
    }
    for number in 1..=9 {
        assert_eq!(server.session.deliver("jobs", &event("x", number)), IDS);
        assert!(server.session.backlog().event_bytes <= EVENT_BYTES);
    }
    let backlog = server.session.backlog();
    let texts = server.texts();
    let events: Vec<_> = texts.iter().filter(|text| text.contains("\"event\"")).collect();
    assert!(
        events.iter().all(|text| text.len() > 6 * 128 * IDS),
        "each id is six times as long as it was sent"
    );
    assert_eq!((events.len(), backlog.events), (5, 5), "as many as fit");
    assert_eq!(backlog.event_bytes, events.iter().map(|text| text.len()).sum::<usize>());
    assert_eq!(server.session.stats().events_dropped, 4 * IDS as u64);
}

/// What happens to the model and to the session alike.
#[derive(Debug)]
enum Op {
    Subscribe { id: usize, path: usize, kinds: usize },
    Unsubscribe { id: usize },
    Publish { path: usize, kind: usize },
    Transmit { messages: usize },
}

/// A naive reference: every subscription has a queue of its own, and a message is sent when the oldest event that any
/// queue holds is taken from all queues of its path.
#[derive(Default)]
struct Model {
    limit: usize,
    /// Bytes that may wait.
    bytes: usize,
    /// By id: path, types, queued event numbers, dropped; and the order in which they were subscribed.
    subscriptions: BTreeMap<usize, Subscription>,
    events: BTreeMap<u64, (usize, usize)>,
    /// Who lost the last that waited.
    bereft: BTreeSet<usize>,
    next: u64,
    order: u64,
}

struct Subscription {
    path: usize,
    kinds: usize,
    queue: VecDeque<u64>,
    dropped: usize,
    order: u64,
}

const KINDS: [&str; 2] = ["x", "y"];
const PATHS: [&str; 2] = ["jobs", "actors"];

/// Bytes of the message of an event for subscriptions with ids of two bytes.
fn weight(ids: usize, path: &str, kind: &str, number: u64) -> usize {
    message(&vec!["s1"; ids], path, kind, number).len()
}

impl Model {
    fn publish(&mut self, path: usize, kind: usize) -> usize {
        let number = self.next;
        self.next += 1;
        self.events.insert(number, (path, kind));
        let wants = |s: &Subscription| s.path == path && s.kinds & (1 << kind) != 0;
        let wanted: Vec<_> = self.subscriptions.iter().filter(|(_, s)| wants(s)).map(|(id, _)| *id).collect();
        let is_too_large = weight(wanted.len(), PATHS[path], KINDS[kind], number) > self.bytes;
        for id in &wanted {
            let subscription = self.subscriptions.get_mut(id).unwrap();
            if is_too_large {
                subscription.dropped += 1;
                if subscription.queue.is_empty() {
                    self.bereft.insert(*id);
                }
                continue;
            }
            subscription.queue.push_back(number);
            if subscription.queue.len() > self.limit {
                subscription.queue.pop_front();
                subscription.dropped += 1;
            }
        }
        while self.waiting() > self.bytes {
            let oldest = *self.subscriptions.values().filter_map(|s| s.queue.front()).min().unwrap();
            for (id, subscription) in &mut self.subscriptions {
                if subscription.queue.front() == Some(&oldest) {
                    subscription.queue.pop_front();
                    subscription.dropped += 1;
                    if subscription.queue.is_empty() {
                        self.bereft.insert(*id);
                    }
                }
            }
        }
        if is_too_large { 0 } else { wanted.len() }
    }

    /// Bytes that wait.
    fn waiting(&self) -> usize {
        let of_it = |number: &u64| self.subscriptions.values().filter(|s| s.queue.contains(number)).count();
        let bytes = |(number, (path, kind)): (&u64, &(usize, usize))| match of_it(number) {
            0 => 0,
            ids => weight(ids, PATHS[*path], KINDS[*kind], *number),
        };
        self.events.iter().map(bytes).sum()
    }

    fn transmit(&mut self) -> Option<String> {
        let nothing_waits = self.subscriptions.values().all(|subscription| subscription.queue.is_empty());
        if nothing_waits && let Some(id) = self.bereft.pop_first() {
            let dropped = std::mem::take(&mut self.subscriptions.get_mut(&id).unwrap().dropped);
            return Some(warning(dropped, &format!("s{id}")));
        }
        let oldest = self.subscriptions.values().filter_map(|subscription| subscription.queue.front()).min();
        let oldest = *oldest?;
        let mut takers: Vec<_> =
            self.subscriptions.iter_mut().filter(|(_, s)| s.queue.front() == Some(&oldest)).collect();
        takers.sort_by_key(|(_, subscription)| subscription.order);
        for (id, subscription) in &mut takers {
            if subscription.dropped > 0 {
                self.bereft.remove(id);
                return Some(warning(std::mem::take(&mut subscription.dropped), &format!("s{id}")));
            }
        }
        let ids: Vec<_> = takers.iter().map(|(id, _)| format!("s{id}")).collect();
        for (_, subscription) in takers {
            subscription.queue.pop_front();
        }
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        let (path, kind) = self.events[&oldest];
        Some(message(&ids, PATHS[path], KINDS[kind], oldest))
    }
}

#[test]
fn counts_and_ids_are_those_of_a_naive_reference() {
    for seed in 0..300 {
        let mut random = Rng::with_seed(seed);
        // Messages have 118 to 145 bytes.
        let (limit, bytes) = [(3, usize::MAX), (3, 520), (1_000, 700), (2, 135)][seed as usize % 4];
        let limits = SessionLimits::default().event_queue(limit).event_bytes(bytes).message_burst(10_000);
        let mut server = Server::active(limits);
        let mut model = Model { limit, bytes, ..Model::default() };
        for _ in 0..200 {
            let op = match random.usize(..10) {
                0 => Op::Subscribe {
                    id: random.usize(..5),
                    path: random.usize(..2),
                    kinds: 1 + random.usize(..3),
                },
                1 => Op::Unsubscribe { id: random.usize(..5) },
                2..8 => Op::Publish { path: random.usize(..2), kind: random.usize(..2) },
                _ => Op::Transmit { messages: random.usize(..5) },
            };
            match op {
                Op::Subscribe { id, path, kinds } => {
                    if model.subscriptions.contains_key(&id) {
                        continue;
                    }
                    model.order += 1;
                    let order = model.order;
                    let subscription =
                        Subscription { path, kinds, queue: VecDeque::new(), dropped: 0, order };
                    model.subscriptions.insert(id, subscription);
                    let kinds = [&KINDS[..1], &KINDS[1..], &KINDS[..]][kinds - 1];
                    let kinds: Vec<_> = kinds.iter().map(|kind| format!("\"{kind}\"")).collect();
                    server.send(&format!(
                        r#"{{"type":"subscribeEvents","subscriptions":[{{"id":"s{id}","path":"{}","events":[{}]}}]}}"#,
                        PATHS[path],
                        kinds.join(",")
                    ));
                    server.accept_subscriptions();
                    assert!(server.text().is_some_and(|text| text.contains("subscribedEvents")));
                }
                Op::Unsubscribe { id } => {
                    if model.subscriptions.remove(&id).is_some() {
                        model.bereft.remove(&id);
                        server.send(&format!(r#"{{"type":"unsubscribeEvents","ids":["s{id}"]}}"#));
                        assert_eq!(server.requests().len(), 1);
                    }
                }
                Op::Publish { path, kind } => {
                    let event = event(KINDS[kind], model.next);
                    let wanted = model.publish(path, kind);
                    assert_eq!(server.session.deliver(PATHS[path], &event), wanted);
                    assert_eq!(server.session.backlog().event_bytes, model.waiting(), "seed {seed}");
                }
                Op::Transmit { messages } => {
                    for _ in 0..messages {
                        assert_eq!(server.text(), model.transmit(), "seed {seed}");
                    }
                }
            }
        }
        while let Some(expected) = model.transmit() {
            assert_eq!(server.text(), Some(expected), "seed {seed}");
        }
        assert_eq!(server.text(), None);
        assert_eq!(server.session.backlog().event_bytes, 0);
    }
}
