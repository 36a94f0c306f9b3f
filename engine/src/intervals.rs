//! Which intervals hold a point: a B+tree of intervals by lower end, that knows the highest upper end below each node.
//!
//! ```text
//!   inner   firsts │ (0,a) │ (5,c) │     lower end and item of each child's first interval
//!           tops   │   9   │  max  │     the highest upper end in each child
//!                      ▼       ▼
//!   leaves  los    0 0 3 4   5 6 8       what a search by lower end reads
//!           his    9 2 4 4   7 max 8     what a look-up of a point reads
//!           items  a b a d   c a b
//! ```
//!
//! A point is looked for in all nodes that begin at or before it and whose top reaches it. Tops are exact, so each leaf that
//! is read holds at least one upper end that reaches the point: a look-up costs O(hits × (64 + log n)) at worst, and where the
//! hits are neighbours it streams through them.

use std::fmt::Debug;

use crate::tree::{give_back, make_room};

/// A node with this many intervals or children is split, so all of them have less.
const FULL: usize = 64;
/// Neighbours with no more than this between them become one.
const MERGED: usize = 48;

/// Closed intervals `lo..=hi`, each with an item; tells which of them hold a key.
///
/// An interval is known by its lower end and its item. One with `lo > hi` is empty: it is kept and never found.
/// Changes cost O(log n + 64); memory follows the number of intervals, up and down.
#[derive(Debug)]
pub(crate) struct Intervals<T> {
    root: Node<T>,
    len: usize,
}

impl<T> Default for Intervals<T> {
    fn default() -> Self {
        Self { root: Node::default(), len: 0 }
    }
}

impl<T: Copy + Ord + Debug> Intervals<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory held on the heap. O(n / 64).
    pub(crate) fn bytes(&self) -> usize {
        self.root.bytes()
    }

    /// Adds an interval, whose pair of `lo` and `item` is new.
    pub(crate) fn insert(&mut self, lo: u128, hi: u128, item: T) {
        let edge = self.root.insert(&Interval { lo, hi, item });
        self.len += 1;
        if self.root.width() >= FULL {
            let mut root = Inner::over(std::mem::take(&mut self.root));
            root.split(0, edge);
            self.root = Node::Inner(Box::new(root));
        }
    }

    /// Removes the interval of this pair; `false` if there is none.
    pub(crate) fn remove(&mut self, lo: u128, item: T) -> bool {
        let removed = self.root.remove(&(lo, item)).is_some();
        self.len -= usize::from(removed);
        while let Node::Inner(inner) = &mut self.root
            && inner.children.len() <= 1
        {
            self.root = inner.children.pop().unwrap_or_default();
        }
        removed
    }

    /// Moves the upper end of the interval of this pair; `false` if there is none. Nothing else moves.
    pub(crate) fn set_end(&mut self, lo: u128, item: T, hi: u128) -> bool {
        self.root.set_end(&(lo, item), hi).is_some()
    }

    /// Calls `found` for each interval with `lo <= key <= hi`, by `lo` and item.
    pub(crate) fn stab(&self, key: u128, mut found: impl FnMut(T)) {
        self.root.stab(key, true, &mut found);
    }
}

struct Interval<T> {
    lo: u128,
    hi: u128,
    item: T,
}

/// Where in a node something was inserted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    First,
    Last,
    Inside,
}

impl Edge {
    fn of(at: usize, len: usize) -> Self {
        match at {
            _ if at + 1 == len => Self::Last,
            0 => Self::First,
            _ => Self::Inside,
        }
    }
}

/// All leaves are equally deep. None but the root is empty.
#[derive(Debug)]
enum Node<T> {
    Leaf(Leaf<T>),
    Inner(Box<Inner<T>>),
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self::Leaf(Leaf { los: Vec::new(), his: Vec::new(), items: Vec::new() })
    }
}

impl<T: Copy + Ord + Debug> Node<T> {
    fn width(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.los.len(),
            Self::Inner(inner) => inner.children.len(),
        }
    }

    fn first(&self) -> Option<(u128, T)> {
        match self {
            Self::Leaf(leaf) => Some((*leaf.los.first()?, *leaf.items.first()?)),
            Self::Inner(inner) => inner.firsts.first().copied(),
        }
    }

    fn top(&self) -> u128 {
        let ends = match self {
            Self::Leaf(leaf) => &leaf.his,
            Self::Inner(inner) => &inner.tops,
        };
        ends.iter().fold(0, |top, end| top.max(*end))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.bytes(),
            Self::Inner(inner) => size_of::<Inner<T>>() + inner.bytes(),
        }
    }

    fn insert(&mut self, new: &Interval<T>) -> Edge {
        match self {
            Self::Leaf(leaf) => leaf.insert(new),
            Self::Inner(inner) => inner.insert(new),
        }
    }

    /// Tells the upper end of what was removed.
    fn remove(&mut self, pair: &(u128, T)) -> Option<u128> {
        match self {
            Self::Leaf(leaf) => leaf.remove(pair),
            Self::Inner(inner) => inner.remove(pair),
        }
    }

    /// Tells the upper end that was there before.
    fn set_end(&mut self, pair: &(u128, T), hi: u128) -> Option<u128> {
        match self {
            Self::Leaf(leaf) => {
                let at = leaf.search(pair).ok()?;
                Some(std::mem::replace(&mut leaf.his[at], hi))
            }
            Self::Inner(inner) => inner.set_end(pair, hi),
        }
    }

    /// `last` is the node that holds the last lower end up to the key: all those of the nodes before it are.
    fn stab(&self, key: u128, last: bool, found: &mut impl FnMut(T)) {
        match self {
            Self::Leaf(leaf) => leaf.stab(key, last, found),
            Self::Inner(inner) => inner.stab(key, last, found),
        }
    }

    /// Cuts off what comes after the first `width` intervals or children.
    fn split_off(&mut self, width: usize) -> Self {
        match self {
            Self::Leaf(leaf) => {
                let right = Leaf {
                    los: leaf.los.split_off(width),
                    his: leaf.his.split_off(width),
                    items: leaf.items.split_off(width),
                };
                leaf.give_back();
                Self::Leaf(right)
            }
            Self::Inner(inner) => {
                let right = Inner {
                    firsts: inner.firsts.split_off(width),
                    tops: inner.tops.split_off(width),
                    children: inner.children.split_off(width),
                };
                inner.give_back();
                Self::Inner(Box::new(right))
            }
        }
    }

    /// Takes in the neighbour to the right, which is of the same kind.
    fn append(&mut self, right: Self) {
        match (self, right) {
            (Self::Leaf(leaf), Self::Leaf(mut right)) => {
                leaf.los.append(&mut right.los);
                leaf.his.append(&mut right.his);
                leaf.items.append(&mut right.items);
                leaf.give_back();
            }
            (Self::Inner(inner), Self::Inner(mut right)) => {
                inner.firsts.append(&mut right.firsts);
                inner.tops.append(&mut right.tops);
                inner.children.append(&mut right.children);
                inner.give_back();
            }
            _ => unreachable!("leaves are equally deep"),
        }
    }
}

/// Three lists side by side, of one length: a look-up reads upper ends, and items where it finds something.
#[derive(Debug)]
struct Leaf<T> {
    los: Vec<u128>,
    his: Vec<u128>,
    items: Vec<T>,
}

impl<T: Copy + Ord> Leaf<T> {
    fn bytes(&self) -> usize {
        (self.los.capacity() + self.his.capacity()) * size_of::<u128>()
            + self.items.capacity() * size_of::<T>()
    }

    fn search(&self, (lo, item): &(u128, T)) -> Result<usize, usize> {
        let at = self.los.partition_point(|stored| stored < lo);
        let same = self.los[at..].partition_point(|stored| stored == lo);
        let place = self.items[at..at + same].binary_search(item);
        place.map(|tie| at + tie).map_err(|tie| at + tie)
    }

    fn insert(&mut self, new: &Interval<T>) -> Edge {
        let (Ok(at) | Err(at)) = self.search(&(new.lo, new.item));
        make_room(&mut self.los);
        make_room(&mut self.his);
        make_room(&mut self.items);
        self.los.insert(at, new.lo);
        self.his.insert(at, new.hi);
        self.items.insert(at, new.item);
        Edge::of(at, self.los.len())
    }

    fn remove(&mut self, pair: &(u128, T)) -> Option<u128> {
        let at = self.search(pair).ok()?;
        self.los.remove(at);
        self.items.remove(at);
        let hi = self.his.remove(at);
        self.give_back();
        Some(hi)
    }

    fn stab(&self, key: u128, last: bool, found: &mut impl FnMut(T)) {
        let len = if last { self.los.partition_point(|lo| *lo <= key) } else { self.los.len() };
        for (hi, item) in self.his[..len].iter().zip(&self.items) {
            if *hi >= key {
                found(*item);
            }
        }
    }

    fn give_back(&mut self) {
        give_back(&mut self.los);
        give_back(&mut self.his);
        give_back(&mut self.items);
    }
}

/// Three lists side by side, of one length.
#[derive(Debug)]
struct Inner<T> {
    firsts: Vec<(u128, T)>,
    /// The highest upper end below each child, exactly.
    tops: Vec<u128>,
    children: Vec<Node<T>>,
}

impl<T: Copy + Ord + Debug> Inner<T> {
    fn over(child: Node<T>) -> Self {
        Self { firsts: child.first().into_iter().collect(), tops: vec![child.top()], children: vec![child] }
    }

    fn bytes(&self) -> usize {
        self.firsts.capacity() * size_of::<(u128, T)>()
            + self.tops.capacity() * size_of::<u128>()
            + self.children.capacity() * size_of::<Node<T>>()
            + self.children.iter().map(Node::bytes).sum::<usize>()
    }

    /// The child where this pair is, or would stand.
    fn child_of(&self, pair: &(u128, T)) -> usize {
        self.firsts.get(1..).unwrap_or_default().partition_point(|first| first <= pair)
    }

    fn stab(&self, key: u128, last: bool, found: &mut impl FnMut(T)) {
        let len = if last { self.firsts.partition_point(|first| first.0 <= key) } else { self.firsts.len() };
        for (at, top) in self.tops[..len].iter().enumerate() {
            if *top >= key {
                self.children[at].stab(key, last && at + 1 == len, found);
            }
        }
    }

    fn insert(&mut self, new: &Interval<T>) -> Edge {
        let at = self.child_of(&(new.lo, new.item));
        let (child, top) = (&mut self.children[at], &mut self.tops[at]);
        let edge = child.insert(new);
        *top = new.hi.max(*top);
        if edge != Edge::Inside
            && let Some(first) = child.first()
        {
            self.firsts[at] = first;
        }
        let (is_first, is_last) = (at == 0, at + 1 == self.children.len());
        if self.children[at].width() >= FULL {
            self.split(at, edge);
        }
        match edge {
            Edge::First if is_first => edge,
            Edge::Last if is_last => edge,
            _ => Edge::Inside,
        }
    }

    /// Splits a full child. Intervals that come in order leave full nodes behind: those that arrive at an edge of this node
    /// have a child of their own.
    fn split(&mut self, at: usize, edge: Edge) {
        let left = &mut self.children[at];
        let cut = match edge {
            Edge::Last if at + 1 == self.tops.len() => FULL - 1,
            Edge::First if at == 0 => 1,
            _ => FULL / 2,
        };
        let right = left.split_off(cut);
        let Some(first) = right.first() else { return };
        self.tops[at] = left.top();
        make_room(&mut self.firsts);
        make_room(&mut self.tops);
        make_room(&mut self.children);
        self.firsts.insert(at + 1, first);
        self.tops.insert(at + 1, right.top());
        self.children.insert(at + 1, right);
    }

    fn remove(&mut self, pair: &(u128, T)) -> Option<u128> {
        let at = self.child_of(pair);
        let hi = self.children[at].remove(pair)?;
        if hi == self.tops[at] {
            self.tops[at] = self.children[at].top();
        }
        if *pair == self.firsts[at]
            && let Some(first) = self.children[at].first()
        {
            self.firsts[at] = first;
        }
        self.settle(at);
        Some(hi)
    }

    fn set_end(&mut self, pair: &(u128, T), hi: u128) -> Option<u128> {
        let at = self.child_of(pair);
        let old = self.children[at].set_end(pair, hi)?;
        let top = &mut self.tops[at];
        if hi >= *top {
            *top = hi;
        } else if old == *top {
            *top = self.children[at].top();
        }
        Some(old)
    }

    /// A child has become smaller: an empty one goes, a small one is joined with a neighbour if both together are small.
    fn settle(&mut self, at: usize) {
        let width = self.children[at].width();
        if width >= FULL / 2 {
            return;
        }
        let joins = |other: Option<&Node<T>>| other.is_some_and(|other| other.width() + width <= MERGED);
        if width == 0 {
            self.take(at);
        } else if joins(self.children.get(at + 1)) {
            self.join(at);
        } else if at > 0 && joins(self.children.get(at - 1)) {
            self.join(at - 1);
        }
    }

    /// Makes one child of two neighbours.
    fn join(&mut self, at: usize) {
        let (top, right) = self.take(at + 1);
        self.tops[at] = self.tops[at].max(top);
        self.children[at].append(right);
    }

    fn take(&mut self, at: usize) -> (u128, Node<T>) {
        self.firsts.remove(at);
        let taken = (self.tops.remove(at), self.children.remove(at));
        self.give_back();
        taken
    }

    fn give_back(&mut self) {
        give_back(&mut self.firsts);
        give_back(&mut self.tops);
        give_back(&mut self.children);
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    struct Random(Rng);

    impl Random {
        /// Keys of a small range, spread over both halves, and the ends of all keys.
        fn key(&mut self, range: u128) -> u128 {
            match self.0.u128(..12) {
                0 => 0,
                1 => u128::MAX,
                _ => spread(self.0.u128(..range)),
            }
        }
    }

    fn spread(key: u128) -> u128 {
        (key / 3) << 64 | (key % 3)
    }

    type Model = Vec<(u128, u32, u128)>;

    /// Order, tops, firsts, widths and depth, all the way down. Tells the depth.
    fn check(node: &Node<u32>, root: bool, out: &mut Model) -> usize {
        assert!(node.width() < FULL);
        assert!(root || node.width() > 0);
        match node {
            Node::Leaf(leaf) => {
                assert!(leaf.his.capacity() - leaf.his.len() <= 16);
                assert_eq!((leaf.his.len(), leaf.items.len()), (leaf.los.len(), leaf.los.len()));
                out.extend((0..leaf.los.len()).map(|n| (leaf.los[n], leaf.items[n], leaf.his[n])));
                0
            }
            Node::Inner(inner) => {
                assert!(!root || inner.children.len() > 1);
                assert_eq!(
                    (inner.firsts.len(), inner.tops.len()),
                    (inner.children.len(), inner.children.len())
                );
                let mut depths = Vec::new();
                for (n, child) in inner.children.iter().enumerate() {
                    assert_eq!(Some(inner.firsts[n]), child.first());
                    let start = out.len();
                    depths.push(check(child, false, out));
                    assert_eq!(Some(inner.tops[n]), out[start..].iter().map(|(.., hi)| *hi).max());
                }
                assert!(depths.iter().all(|depth| *depth == depths[0]));
                depths[0] + 1
            }
        }
    }

    fn same(intervals: &Intervals<u32>, model: &Model) {
        let mut stored = Vec::new();
        check(&intervals.root, true, &mut stored);
        assert_eq!(&stored, model);
        assert_eq!(intervals.len(), model.len());
        assert_eq!(intervals.is_empty(), model.is_empty());
    }

    fn found(intervals: &Intervals<u32>, key: u128) -> Vec<u32> {
        let mut items = Vec::new();
        intervals.stab(key, |item| items.push(item));
        items
    }

    fn expected(model: &Model, key: u128) -> Vec<u32> {
        model.iter().filter(|(lo, _, hi)| (lo..=hi).contains(&&key)).map(|(_, item, _)| *item).collect()
    }

    /// Random operations on intervals and on a sorted list; `grow` of 10 changes are insertions.
    fn run(seed: u64, ops: usize, range: u128, items: u32, grow: &[u128]) {
        let mut random = Random(Rng::with_seed(seed));
        let mut intervals = Intervals::default();
        let mut model = Model::new();
        for op in 0..ops {
            let (lo, hi) = (random.key(range), random.key(range));
            let item = random.0.u32(..items);
            let place = model.binary_search_by_key(&(lo, item), |(lo, item, _)| (*lo, *item));
            match (random.0.u128(..10), place) {
                (0..5, Err(at)) if random.0.u128(..10) < grow[op * grow.len() / ops] => {
                    intervals.insert(lo, hi, item);
                    model.insert(at, (lo, item, hi));
                }
                (0..3, _) if !model.is_empty() => {
                    let at = random.0.u128(..model.len() as u128) as usize;
                    let (lo, item, _) = model.remove(at);
                    assert!(intervals.remove(lo, item));
                }
                (3..5, place) => {
                    assert_eq!(intervals.remove(lo, item), place.is_ok());
                    if let Ok(at) = place {
                        model.remove(at);
                    }
                }
                (5..7, _) if !model.is_empty() => {
                    let at = random.0.u128(..model.len() as u128) as usize;
                    let (lo, item, end) = &mut model[at];
                    *end = hi;
                    assert!(intervals.set_end(*lo, *item, hi));
                }
                (7, place) => {
                    assert_eq!(intervals.set_end(lo, item, hi), place.is_ok());
                    if let Ok(at) = place {
                        model[at].2 = hi;
                    }
                }
                _ => assert_eq!(found(&intervals, hi), expected(&model, hi)),
            }
            if op % (model.len() / 4 + 1) == 0 {
                same(&intervals, &model);
            }
        }
        same(&intervals, &model);
        for (lo, item, _) in model.drain(..) {
            assert!(intervals.remove(lo, item));
        }
        same(&intervals, &model);
        assert_eq!(intervals.bytes(), 0);
    }

    #[test]
    fn few_intervals_are_as_a_list() {
        for seed in 1..40 {
            run(seed * 0x9e37_79b9, 1500, 6, 8, &[7]);
            run(seed * 0x9e37_79b9, 1500, 40, 3, &[9, 3]);
        }
    }

    #[test]
    fn intervals_are_as_a_list() {
        for seed in 1..6 {
            run(seed * 0x9e37_79b9, 12_000, 100, 40, &[10, 6, 1, 9]);
            run(seed * 0x9e37_79b9, 12_000, 1, 5000, &[10, 3]);
        }
    }

    #[test]
    fn many_intervals_are_as_a_list() {
        run(77, 40_000, 10_000, 9, &[10, 10, 8, 5, 2]);
    }

    /// Narrow intervals over a wide range, all of whose ends move: tops have to follow them down.
    #[test]
    fn moving_ends_are_found_where_they_are() {
        let mut random = Random(Rng::with_seed(3));
        let mut intervals = Intervals::default();
        let mut model: Model = (0..5_000).map(|n| (spread(u128::from(n) * 3), n, 0)).collect();
        for (lo, item, hi) in &mut model {
            *hi = *lo + random.0.u128(..20);
            intervals.insert(*lo, *hi, *item);
        }
        for round in 0..20 {
            for _ in 0..2_000 {
                let at = random.0.u128(..5_000) as usize;
                let (lo, item, hi) = &mut model[at];
                *hi = if round % 2 == 0 {
                    u128::MAX - random.0.u128(..3)
                } else {
                    *lo + random.0.u128(..1 << 66)
                };
                assert!(intervals.set_end(*lo, *item, *hi));
            }
            same(&intervals, &model);
            for _ in 0..50 {
                let key = spread(random.0.u128(..16_000));
                assert_eq!(found(&intervals, key), expected(&model, key));
            }
        }
    }

    #[test]
    fn ends_belong_to_the_interval() {
        let mut intervals = Intervals::default();
        intervals.insert(0, 0, 1);
        intervals.insert(0, u128::MAX, 2);
        intervals.insert(u128::MAX, u128::MAX, 3);
        intervals.insert(7, 9, 4);
        intervals.insert(9, 7, 5);
        for (key, items) in [
            (0, &[1, 2][..]),
            (6, &[2]),
            (7, &[2, 4]),
            (8, &[2, 4]),
            (9, &[2, 4]),
            (10, &[2]),
            (u128::MAX, &[2, 3]),
        ] {
            assert_eq!(found(&intervals, key), items, "{key}");
        }
        assert!(intervals.set_end(9, 5, 9));
        assert_eq!(found(&intervals, 9), [2, 4, 5]);
        assert!(!intervals.remove(9, 4) && !intervals.set_end(7, 5, 1));
        assert!(intervals.remove(7, 4));
        assert_eq!(found(&intervals, 9), [2, 5]);
    }

    #[test]
    fn memory_follows_the_intervals() {
        let mut random = Random(Rng::with_seed(5));
        let mut intervals = Intervals::default();
        let mut pairs: Vec<_> = (0..20_000_u32).map(|n| (random.0.u128(..1 << 40), n)).collect();
        for (lo, item) in &pairs {
            intervals.insert(*lo, u128::MAX, *item);
        }
        assert!(intervals.bytes() < pairs.len() * 46, "{}", intervals.bytes());
        while pairs.len() > 50 {
            let (lo, item) = pairs.swap_remove(random.0.u128(..pairs.len() as u128) as usize);
            assert!(intervals.remove(lo, item));
        }
        assert!(intervals.bytes() < 7_000, "{}", intervals.bytes());

        let mut ordered = Intervals::default();
        for n in 0..20_000 {
            ordered.insert(n, n, 0_u32);
        }
        assert!(ordered.bytes() < 20_000 * 40, "{}", ordered.bytes());
    }
}
