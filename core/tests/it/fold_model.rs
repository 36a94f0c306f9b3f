//! `Pending` against a naive reference: what the client was sent, and what is.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use liveset_core::{Batch, Change, Count, Pending, Row};

use crate::util::*;

#[derive(Debug)]
enum Op {
    /// A commit that sets and removes some nodes.
    Commit(Vec<(usize, Option<u32>)>),
    /// The reader takes some changes, one by one.
    Pop(usize),
    /// The reader takes all.
    Drain,
}

type Window = BTreeMap<Arc<str>, Row>;

fn random_op(random: &mut Rng) -> Op {
    match random.usize(..8) {
        0..5 => {
            let write = |random: &mut Rng| {
                let number = (random.usize(..3) > 0).then(|| random.usize(..4) as u32);
                (random.usize(..6), number)
            };
            Op::Commit((0..=random.usize(..3)).map(|_| write(random)).collect())
        }
        5 | 6 => Op::Pop(random.usize(..4)),
        _ => Op::Drain,
    }
}

/// The net difference, removals first, then the order of the result.
fn difference(before: &Window, after: &Window) -> Vec<Change> {
    let change = |id: &Arc<str>| {
        Change::between(before.get(id).cloned(), after.get(id).cloned(), None).expect("it is somewhere")
    };
    let removed = before.keys().filter(|id| !after.contains_key(*id)).map(change);
    let written = after.iter().filter(|(id, row)| before.get(*id) != Some(row)).map(|(id, _)| change(id));
    let (mut removed, mut written): (Vec<_>, Vec<_>) = (removed.collect(), written.collect());
    let key = |row: Option<&Row>| row.map_or(Bytes::new(), |row| row.order_key().clone());
    removed.sort_by_key(|change| key(change.before()));
    written.sort_by_key(|change| key(change.after()));
    removed.append(&mut written);
    removed
}

fn apply(window: &mut Window, change: &Change) {
    assert_eq!(window.get(change.id()), change.before(), "against what the reader was sent");
    match change.after() {
        Some(row) => window.insert(change.id().into(), row.clone()),
        None => window.remove(change.id()),
    };
}

#[test]
fn what_is_pending_is_exactly_what_is_missing() {
    for seed in 0..2000 {
        let mut random = Rng::with_seed(seed);
        let (mut truth, mut sent) = (Window::new(), Window::new());
        let mut pending = Pending::new();
        for version in 1..40 {
            match random_op(&mut random) {
                Op::Commit(writes) => {
                    let before = truth.clone();
                    for (node, number) in writes {
                        let id: Arc<str> = format!("n{node}").into();
                        match number {
                            Some(number) => truth.insert(id.clone(), row(&id, number)),
                            None => truth.remove(&id),
                        };
                    }
                    let changes = difference(&before, &truth);
                    let count = Some(Count { total: truth.len() as u64, capped: false });
                    pending.push(&Batch { version, count, changes });
                    assert_eq!((pending.version(), pending.count()), (version, count));
                }
                Op::Pop(count) => {
                    for _ in 0..count {
                        let removals = sent.keys().any(|id| !truth.contains_key(id));
                        let Some(change) = pending.pop() else { break };
                        assert_eq!(change.after().is_none(), removals, "removals first");
                        apply(&mut sent, &change);
                    }
                }
                Op::Drain => {
                    let expected = difference(&sent, &truth);
                    let batch = pending.drain();
                    assert_eq!(batch.changes, expected, "seed {seed}");
                    for change in &batch.changes {
                        apply(&mut sent, change);
                    }
                }
            }
            assert_eq!(pending.len(), difference(&sent, &truth).len(), "seed {seed}");
            assert_eq!(pending.is_empty(), sent == truth);
            assert!(pending.len() <= sent.len() + truth.len());
        }
    }
}
