//! Whose turn it is: queues that are served round by round, so that nobody waits longer because somebody else asks for more.

use std::{collections::VecDeque, fmt, hash::Hash};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Things that wait for a turn, each at a place.
pub trait Turns: Default {
    /// Where something waits: the keys of the rings, from the outside in.
    type Place;
    /// What waits.
    type Item;

    /// Adds an item behind those of its place.
    fn push(&mut self, place: Self::Place, item: Self::Item);

    /// Puts an item back that had its turn and is not done: it is the next of its place, which has its turn after all others.
    fn put_back(&mut self, place: Self::Place, item: Self::Item);

    /// Takes the item whose turn it is. Amortised O(1), however many wait.
    fn next(&mut self) -> Option<(Self::Place, Self::Item)>;

    /// Takes out the items of one place that are not to be kept. O(items of that place).
    fn retain(&mut self, place: &Self::Place, keep: impl FnMut(&Self::Item) -> bool);

    /// How many items wait.
    fn len(&self) -> usize;

    /// Whether none waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// First in, first out: the innermost level.
#[derive(Debug)]
pub struct Line<T>(VecDeque<T>);

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Turns for Line<T> {
    type Place = ();
    type Item = T;

    fn push(&mut self, (): (), item: T) {
        self.0.push_back(item);
    }

    fn put_back(&mut self, (): (), item: T) {
        self.0.push_front(item);
    }

    fn next(&mut self) -> Option<((), T)> {
        Some(((), self.0.pop_front()?))
    }

    fn retain(&mut self, (): &(), keep: impl FnMut(&T) -> bool) {
        self.0.retain(keep);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// One level of fairness: each key has a turn, then each again. Behind a key are the turns of the next level.
///
/// ```
/// use liveset_hub::turns::{Line, Ring, Turns};
///
/// let mut turns: Ring<&str, Line<u32>> = Ring::default();
/// for n in 1..=3 {
///     turns.push(("greedy", ()), n);
/// }
/// turns.push(("modest", ()), 9);
/// let order: Vec<u32> = std::iter::from_fn(|| turns.next()).map(|(_, item)| item).collect();
/// assert_eq!(order, [1, 9, 2, 3]);
/// ```
pub struct Ring<K, Q> {
    /// Invariant: each key of `queues` once. A queue that was emptied by [`retain`](Turns::retain) stays until its turn comes.
    order: VecDeque<K>,
    queues: HashMap<K, Q, FixedState>,
    len: usize,
}

impl<K, Q> Default for Ring<K, Q> {
    fn default() -> Self {
        Self { order: VecDeque::new(), queues: HashMap::default(), len: 0 }
    }
}

impl<K, Q> fmt::Debug for Ring<K, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("keys", &self.order.len()).field("len", &self.len).finish()
    }
}

impl<K: Clone + Eq + Hash, Q: Turns> Ring<K, Q> {
    fn queue(&mut self, key: &K) -> &mut Q {
        let Self { order, queues, .. } = self;
        queues.entry_ref(key).or_insert_with(|| {
            order.push_back(key.clone());
            Q::default()
        })
    }

    /// How many items wait behind a key.
    pub fn len_of(&self, key: &K) -> usize {
        self.queues.get(key).map_or(0, Q::len)
    }
}

impl<K: Clone + Eq + Hash, Q: Turns> Turns for Ring<K, Q> {
    type Place = (K, Q::Place);
    type Item = Q::Item;

    fn push(&mut self, (key, place): Self::Place, item: Q::Item) {
        self.queue(&key).push(place, item);
        self.len += 1;
    }

    fn put_back(&mut self, (key, place): Self::Place, item: Q::Item) {
        self.queue(&key).put_back(place, item);
        self.len += 1;
    }

    fn next(&mut self) -> Option<(Self::Place, Q::Item)> {
        while let Some(key) = self.order.pop_front() {
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            let next = queue.next();
            match queue.is_empty() {
                true => drop(self.queues.remove(&key)),
                false => self.order.push_back(key.clone()),
            }
            if let Some((place, item)) = next {
                self.len -= 1;
                return Some(((key, place), item));
            }
        }
        None
    }

    fn retain(&mut self, (key, place): &Self::Place, keep: impl FnMut(&Q::Item) -> bool) {
        if let Some(queue) = self.queues.get_mut(key) {
            let before = queue.len();
            queue.retain(place, keep);
            self.len -= before - queue.len();
        }
        if self.len == 0 {
            *self = Self::default();
        }
    }

    fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Subject, address, connection.
    type Three = Ring<&'static str, Ring<u8, Ring<u32, Line<u32>>>>;

    fn place(subject: &'static str, address: u8, connection: u32) -> (&'static str, (u8, (u32, ()))) {
        (subject, (address, (connection, ())))
    }

    /// How many turns others have before the honest item is done, which takes `turns` itself.
    fn waited(mut queue: Three, honest: (&'static str, (u8, (u32, ()))), turns: usize) -> usize {
        queue.push(honest, 0);
        let (mut left, mut others) = (turns, 0);
        while left > 0 {
            let (place, item) = queue.next().expect("it waits");
            match item {
                0 => left -= 1,
                _ => others += 1,
            }
            // Nobody is ever done.
            queue.put_back(place, item);
        }
        others
    }

    #[test]
    fn fifty_connections_of_one_subject_have_one_turn_in_two() {
        let mut queue = Three::default();
        for connection in 0..50 {
            for item in 1..=250 {
                queue.push(place("hostile", 1, connection), item);
            }
        }
        assert_eq!(waited(queue, place("honest", 1, 99), 10), 10);
    }

    #[test]
    fn fifty_subjects_have_a_turn_each() {
        let mut queue = Three::default();
        for n in 0..50 {
            let subject: &'static str = Box::leak(n.to_string().into_boxed_str());
            for item in 1..=250 {
                queue.push(place(subject, 1, n), item);
            }
        }
        assert_eq!(waited(queue, place("honest", 1, 99), 10), 500);
    }

    #[test]
    fn without_subjects_addresses_take_turns_and_then_connections() {
        let mut queue = Three::default();
        for connection in 0..50 {
            queue.push(place("", 1, connection), 1);
        }
        assert_eq!(waited(queue, place("", 2, 99), 10), 10, "fifty connections from one other address");
        let mut queue = Three::default();
        for item in 1..=250 {
            queue.push(place("", 1, 1), item);
        }
        assert_eq!(waited(queue, place("", 1, 99), 10), 10, "one other connection from the same address");
    }

    #[test]
    fn one_after_the_other_within_a_connection() {
        let mut queue = Three::default();
        (1..=3).for_each(|item| queue.push(place("a", 1, 1), item));
        let (at, item) = queue.next().expect("three wait");
        queue.put_back(at, item);
        let order: Vec<u32> = std::iter::from_fn(|| queue.next()).map(|(_, item)| item).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn what_is_taken_out_costs_no_turn_and_leaves_nothing() {
        let mut queue = Three::default();
        for round in 100..1_000 {
            for connection in 0..20 {
                queue.push(place("a", 1, connection), round);
                queue.push(place("a", 1, connection), 7);
                queue.retain(&place("a", 1, connection), |item| *item == 7 && connection == 0);
            }
            assert_eq!(queue.len(), 1);
            assert_eq!(queue.next(), Some((place("a", 1, 0), 7)));
            assert!(queue.is_empty() && queue.next().is_none());
            assert!(queue.order.is_empty() && queue.queues.is_empty());
        }
        queue.push(place("a", 1, 1), 1);
        queue.retain(&place("a", 1, 1), |_| false);
        assert!(queue.order.is_empty(), "the last one takes the empty queues with it");
    }

    #[test]
    fn an_empty_queue_that_is_filled_again_is_there_once() {
        let mut queue = Three::default();
        queue.push(place("b", 1, 2), 9);
        for _ in 0..100 {
            queue.push(place("a", 1, 1), 1);
            queue.retain(&place("a", 1, 1), |_| false);
        }
        queue.push(place("a", 1, 1), 1);
        assert_eq!((queue.order.len(), queue.len()), (2, 2));
    }
}
