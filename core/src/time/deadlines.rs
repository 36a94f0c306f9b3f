//! Deadlines in the order in which they come.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hash},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// At most one deadline for each key, in order of time, then of key. Time is any that the owner goes by. Where others choose the keys,
/// `S` has to be a hash with a secret.
///
/// ```
/// use liveset_core::time::Deadlines;
///
/// let mut deadlines: Deadlines<u64, &str> = Deadlines::default();
/// deadlines.set("ping", Some(30));
/// deadlines.set("expiry", Some(20));
/// deadlines.set("ping", Some(10));
/// assert_eq!(deadlines.next(), Some(10));
/// assert_eq!(deadlines.pop_due(15), Some("ping"));
/// assert_eq!(deadlines.pop_due(15), None);
/// ```
#[derive(Debug)]
pub struct Deadlines<T, K, S = FixedState> {
    /// Invariant: the same pairs as in `of`.
    queue: BTreeSet<(T, K)>,
    of: HashMap<K, T, S>,
}

impl<T, K, S: Default> Default for Deadlines<T, K, S> {
    fn default() -> Self {
        Self { queue: BTreeSet::new(), of: HashMap::default() }
    }
}

impl<T: Copy + Ord, K: Copy + Ord + Hash, S: BuildHasher + Default> Deadlines<T, K, S> {
    /// Sets, moves or clears the deadline of a key: O(log n), nothing where it stays as it was.
    pub fn set(&mut self, key: K, at: Option<T>) {
        let before = match at {
            Some(at) => self.of.insert(key, at),
            None => self.of.remove(&key),
        };
        if before == at {
            return;
        }
        before.map(|before| self.queue.remove(&(before, key)));
        at.map(|at| self.queue.insert((at, key)));
    }

    /// The deadline of a key.
    pub fn get(&self, key: &K) -> Option<T> {
        self.of.get(key).copied()
    }

    /// The first deadline.
    pub fn next(&self) -> Option<T> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The keys whose deadline has come, in order.
    pub fn due(&self, now: T) -> impl Iterator<Item = K> + '_ {
        self.queue.iter().take_while(move |(at, _)| *at <= now).map(|(_, key)| *key)
    }

    /// Takes out the first key whose deadline has come.
    pub fn pop_due(&mut self, now: T) -> Option<K> {
        self.queue.first().filter(|(at, _)| *at <= now)?;
        self.pop()
    }

    /// Takes out the first key, due or not.
    pub fn pop(&mut self) -> Option<K> {
        let (_, key) = self.queue.pop_first()?;
        self.of.remove(&key);
        Some(key)
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
