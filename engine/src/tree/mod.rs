//! Row handles in order, counted: a B+tree that knows the position of each of its entries.
//!
//! ```text
//!   inner   firsts │ a │ g │ n │    the first entry of each child: what a search reads
//!           starts │ 0 │ 6 │ 13│    how many entries stand before each child: what a position reads
//!                    ▼   ▼   ▼
//!   leaves         a..f g..m n..z   entries, side by side
//! ```
//!
//! A tree of less than [`FULL`] entries is one leaf, and holds little more than the entries themselves. The order is known to
//! the caller alone where prefixes tie: at each search it says how a stored entry compares with what is sought. That may look
//! at any stored row: **a row leaves the tree before its handle is given to another one, and before its place changes.**

mod node;

use std::{cmp::Ordering, iter::FusedIterator, slice};

use node::{FULL, Inner, Node, Sought};
pub(crate) use node::{give_back, make_room};

/// What a node has when it is built at once: nearly full, with room for a few that come later.
const PACKED: usize = 60;

/// A row at its place: the first 16 bytes of its rank, and its handle.
///
/// 20 bytes: a `u128` as such would align it to 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    prefix: [u8; 16],
    pub(crate) row: u32,
}

impl Entry {
    pub(crate) fn new(prefix: u128, row: u32) -> Self {
        Self { prefix: prefix.to_ne_bytes(), row }
    }

    pub(crate) fn prefix(self) -> u128 {
        u128::from_ne_bytes(self.prefix)
    }
}

/// Entries by prefix, and those of one prefix in an order that the caller gives: `tie` says how a stored entry, which has the
/// sought prefix, compares with the sought one; `Less` if it stands before it.
///
/// A search costs O(log n), a step of an iterator O(1). `tie` is asked about O(log n) entries at worst, and where prefixes are
/// unique about the sought entry alone. Memory follows the number of entries, up and down.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    root: Node,
}

impl Tree {
    /// O(n), without a comparison: the entries are in order.
    pub(crate) fn from_sorted(entries: Vec<Entry>) -> Self {
        debug_assert!(entries.is_sorted_by_key(|entry| entry.prefix()));
        if entries.len() < FULL {
            let mut leaf = entries;
            leaf.shrink_to_fit();
            return Self { root: Node::Leaf(leaf) };
        }
        let mut nodes: Vec<Node> = packs(&entries).map(|leaf| Node::Leaf(leaf.to_vec())).collect();
        drop(entries);
        while nodes.len() >= FULL {
            let mut children = nodes.into_iter();
            nodes = pack_sizes(children.len())
                .map(|size| Inner::over(children.by_ref().take(size).collect()))
                .collect();
        }
        Self { root: Inner::over(nodes) }
    }

    pub(crate) fn len(&self) -> usize {
        self.root.len()
    }

    /// The memory held on the heap. O(n / 64).
    pub(crate) fn bytes(&self) -> usize {
        self.root.bytes()
    }

    /// Puts an entry to its place and tells its position there; `None` if an equal one has it already.
    pub(crate) fn insert(&mut self, entry: Entry, tie: impl FnMut(Entry) -> Ordering) -> Option<usize> {
        let at = self.root.insert(entry, &mut Sought { prefix: entry.prefix(), tie })?;
        if self.root.width() >= FULL {
            let mut root = Inner::of(vec![std::mem::take(&mut self.root)]);
            root.split(0, at);
            self.root = Node::Inner(Box::new(root));
        }
        Some(at)
    }

    /// Removes the equal entry and tells the position that it had.
    pub(crate) fn remove(
        &mut self,
        prefix: u128,
        tie: impl FnMut(Entry) -> Ordering,
    ) -> Option<(usize, Entry)> {
        let removed = self.root.remove(&mut Sought { prefix, tie })?;
        self.lower();
        Some(removed)
    }

    /// The position of the equal entry, or the one where it would stand.
    pub(crate) fn find(&self, prefix: u128, tie: impl FnMut(Entry) -> Ordering) -> Result<usize, usize> {
        let mut sought = Sought { prefix, tie };
        let (mut node, mut before) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(entries) => {
                    return sought.place(entries).map(|at| before + at).map_err(|at| before + at);
                }
                Node::Inner(inner) => {
                    let child = inner.child_of(&mut sought);
                    before += inner.starts[child] as usize;
                    node = &inner.children[child];
                }
            }
        }
    }

    /// As [`find`](Self::find), with the leaf that holds the place, and the place in it.
    pub(crate) fn seek(&self, prefix: u128, tie: impl FnMut(Entry) -> Ordering) -> (usize, &[Entry], usize) {
        let mut sought = Sought { prefix, tie };
        let (mut node, mut before) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(entries) => {
                    let (Ok(at) | Err(at)) = sought.place(entries);
                    return (before + at, entries, at);
                }
                Node::Inner(inner) => {
                    let child = inner.child_of(&mut sought);
                    before += inner.starts[child] as usize;
                    node = &inner.children[child];
                }
            }
        }
    }

    /// How many entries stand at the beginning of which something is true that is true of no other. O(log n).
    pub(crate) fn partition_point(&self, mut is_before: impl FnMut(Entry) -> bool) -> usize {
        let (mut node, mut before) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(entries) => return before + entries.partition_point(|entry| is_before(*entry)),
                Node::Inner(inner) => {
                    let child = inner.firsts.partition_point(|first| is_before(*first)).saturating_sub(1);
                    before += inner.starts[child] as usize;
                    node = &inner.children[child];
                }
            }
        }
    }

    pub(crate) fn nth(&self, position: usize) -> Option<Entry> {
        let (leaf, at) = self.leaf_at(position);
        leaf.get(at).copied()
    }

    pub(crate) fn last(&self) -> Option<Entry> {
        self.nth(self.len().checked_sub(1)?)
    }

    /// Keeps the first `len` entries. O(log n) and what it takes to free the others.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.root.truncate(len);
        self.lower();
    }

    pub(crate) fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// From the entry at `position` to the last.
    pub(crate) fn iter_from(&self, position: usize) -> Iter<'_> {
        Iter { tree: self, leaf: [].iter(), next: position }
    }

    /// A root with one child gives its place to it.
    fn lower(&mut self) {
        while let Node::Inner(inner) = &mut self.root
            && inner.children.len() <= 1
        {
            self.root = inner.children.pop().unwrap_or_default();
        }
    }

    /// The leaf that holds a position, and the place there; the last leaf if there is no such position.
    fn leaf_at(&self, position: usize) -> (&[Entry], usize) {
        let (mut node, mut at) = (&self.root, position);
        loop {
            match node {
                Node::Leaf(entries) => return (entries, at),
                Node::Inner(inner) => {
                    let child = inner.child_at(at);
                    at -= inner.starts[child] as usize;
                    node = &inner.children[child];
                }
            }
        }
    }
}

/// Forward over a [`Tree`]: each leaf is found by its position.
#[derive(Clone, Debug)]
pub(crate) struct Iter<'a> {
    tree: &'a Tree,
    leaf: slice::Iter<'a, Entry>,
    /// The position of the first entry after `leaf`.
    next: usize,
}

impl Iterator for Iter<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.leaf.len() == 0 {
            let (leaf, at) = self.tree.leaf_at(self.next);
            self.leaf = leaf.get(at..)?.iter();
            self.next += self.leaf.len();
        }
        self.leaf.next().copied()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.leaf.len() + self.tree.len().saturating_sub(self.next);
        (len, Some(len))
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

/// Equal parts of at most [`PACKED`].
fn pack_sizes(len: usize) -> impl Iterator<Item = usize> {
    let parts = len.div_ceil(PACKED);
    (0..parts).map(move |part| (part + 1) * len / parts - part * len / parts)
}

fn packs(mut entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    pack_sizes(entries.len()).filter_map(move |size| entries.split_off(..size))
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    /// An order that the prefix alone does not decide: rows of one prefix stand by `row * 7 % 1009`, as if looked up.
    fn place(entry: Entry) -> (u128, u32) {
        (entry.prefix(), entry.row * 7 % 1009)
    }

    fn by(sought: Entry) -> impl FnMut(Entry) -> Ordering {
        move |stored| {
            stored.prefix().cmp(&sought.prefix()).then_with(|| place(stored).1.cmp(&place(sought).1))
        }
    }

    struct Random(Rng);

    impl Random {
        fn entry(&mut self, prefixes: usize, rows: usize) -> Entry {
            // Both halves of the prefix count.
            let prefix = self.0.usize(..prefixes) as u128;
            Entry::new((prefix / 3) << 64 | (prefix % 3), self.0.usize(..rows) as u32)
        }
    }

    /// Counts, firsts, widths and depth, all the way down. Tells the depth.
    fn check(node: &Node, root: bool) -> usize {
        assert!(node.width() < FULL);
        assert!(root || node.width() > 0);
        match node {
            Node::Leaf(entries) => {
                assert!(entries.capacity() <= FULL && entries.capacity() - entries.len() <= 16);
                0
            }
            Node::Inner(inner) => {
                assert!(!root || inner.children.len() > 1);
                assert_eq!(inner.firsts.len(), inner.children.len());
                assert_eq!(inner.starts.len(), inner.children.len());
                let mut before = 0;
                for (i, child) in inner.children.iter().enumerate() {
                    assert_eq!(inner.starts[i] as usize, before);
                    assert_eq!(Some(inner.firsts[i]), child.first());
                    before += child.len();
                }
                assert_eq!(inner.len, before);
                let depths: Vec<_> = inner.children.iter().map(|child| check(child, false)).collect();
                assert!(depths.iter().all(|depth| *depth == depths[0]));
                depths[0] + 1
            }
        }
    }

    fn same(tree: &Tree, model: &[Entry]) {
        check(&tree.root, true);
        assert_eq!(tree.len(), model.len());
        assert_eq!(tree.iter().collect::<Vec<_>>(), model);
        assert_eq!(tree.nth(0), model.first().copied());
        assert_eq!(tree.last(), model.last().copied());
    }

    /// Random operations on a tree and on a sorted list; `grow` of 10 changes are insertions.
    fn run(seed: u64, ops: usize, prefixes: usize, rows: usize, grow: &[usize]) {
        let mut random = Random(Rng::with_seed(seed));
        let mut tree = Tree::default();
        let mut model: Vec<Entry> = Vec::new();
        for op in 0..ops {
            let entry = random.entry(prefixes, rows);
            let found = model.binary_search_by_key(&place(entry), |stored| place(*stored));
            assert_eq!(tree.find(entry.prefix(), by(entry)), found);
            let grow = grow[op * grow.len() / ops];
            match random.0.usize(..1000) {
                0..900 if random.0.usize(..10) < grow => {
                    assert_eq!(tree.insert(entry, by(entry)), found.err());
                    if let Err(at) = found {
                        model.insert(at, entry);
                    }
                }
                0..800 => {
                    let removed = found.ok().map(|at| (at, model.remove(at)));
                    assert_eq!(tree.remove(entry.prefix(), by(entry)), removed);
                }
                800..900 if !model.is_empty() => {
                    let at = random.0.usize(..model.len());
                    let entry = model.remove(at);
                    assert_eq!(tree.remove(entry.prefix(), by(entry)), Some((at, entry)));
                }
                900..960 => {
                    let at = random.0.usize(..model.len() + 2);
                    assert_eq!(tree.nth(at), model.get(at).copied());
                    let from = model.get(at..).unwrap_or_default();
                    assert_eq!(tree.iter_from(at).len(), from.len());
                    assert!(tree.iter_from(at).take(200).eq(from.iter().copied().take(200)));
                }
                960..962 => {
                    let len = model.len()
                        - random.0.usize(..model.len() + 1).min(random.0.usize(..model.len() + 1)) / 2;
                    tree.truncate(len);
                    model.truncate(len);
                }
                962..964 => tree = Tree::from_sorted(model.clone()),
                _ => {}
            }
            if op % (model.len() / 4 + 1) == 0 {
                same(&tree, &model);
            }
        }
        same(&tree, &model);
        for entry in model.drain(..) {
            assert_eq!(tree.remove(entry.prefix(), by(entry)), Some((0, entry)));
        }
        same(&tree, &[]);
        assert_eq!(tree.bytes(), 0);
    }

    #[test]
    fn small_trees_are_as_a_sorted_list() {
        for seed in 1..40 {
            run(seed * 0x9e37_79b9, 1500, 4, 8, &[5]);
            run(seed * 0x9e37_79b9, 1500, 40, 6, &[7, 3]);
        }
    }

    #[test]
    fn trees_are_as_a_sorted_list() {
        for seed in 1..6 {
            run(seed * 0x9e37_79b9, 20_000, 300, 20, &[9, 5, 1, 6]);
            run(seed * 0x9e37_79b9, 20_000, 1, 1000, &[6, 4]);
        }
    }

    #[test]
    fn deep_trees_are_as_a_sorted_list() {
        run(77, 60_000, 1_000_000, 3, &[10, 10, 8, 5, 2]);
    }

    #[test]
    fn every_size_can_be_built_at_once_and_cut() {
        let entries: Vec<_> = (0..9_000).map(|n| Entry::new(n, n as u32)).collect();
        for len in (0..300).chain([3599, 3600, 3601, 3780, 4096, 9000]) {
            let mut tree = Tree::from_sorted(entries[..len].to_vec());
            same(&tree, &entries[..len]);
            let shorter = len * 2 / 3;
            tree.truncate(shorter);
            same(&tree, &entries[..shorter]);
            tree.truncate(shorter + 1);
            assert_eq!(tree.len(), shorter);
            tree.truncate(0);
            same(&tree, &[]);
            assert_eq!(tree.bytes(), 0);
        }
    }

    /// Most windows hold the newest rows.
    #[test]
    fn entries_that_come_in_order_fill_their_leaves() {
        let orders: [fn(u128) -> u128; 2] = [|n| n, |n| u128::MAX - n];
        for order in orders {
            let mut tree = Tree::default();
            for n in 0..100_000 {
                let entry = Entry::new(order(n), n as u32);
                tree.insert(entry, by(entry)).unwrap();
            }
            check(&tree.root, true);
            assert!(tree.bytes() < 100_000 * 22, "{}", tree.bytes());
            for n in 0..99_000 {
                let entry = Entry::new(order(n), n as u32);
                tree.remove(entry.prefix(), by(entry)).unwrap();
            }
            check(&tree.root, true);
            assert!(tree.bytes() < 1_000 * 26, "{}", tree.bytes());
        }
    }

    #[test]
    fn memory_follows_the_entries() {
        let mut random = Random(Rng::with_seed(5));
        let mut entries: Vec<_> =
            (0..50_000).map(|n| Entry::new((random.0.usize(..1 << 40)) as u128, n)).collect();
        let mut tree = Tree::default();
        for entry in &entries {
            tree.insert(*entry, by(*entry)).unwrap();
        }
        assert!(tree.bytes() < entries.len() * 26, "{}", tree.bytes());
        while entries.len() > 50 {
            let entry = entries.swap_remove(random.0.usize(..entries.len()));
            tree.remove(entry.prefix(), by(entry)).unwrap();
            if entries.len() % 5_000 == 0 {
                check(&tree.root, true);
                assert!(tree.bytes() < entries.len() * 30, "{} for {}", tree.bytes(), entries.len());
            }
        }
        assert!(tree.bytes() < 4_000, "{}", tree.bytes());

        let mut small = Tree::default();
        for n in 0..10 {
            let entry = Entry::new(n, 0);
            small.insert(entry, by(entry));
        }
        assert_eq!(small.bytes(), 12 * size_of::<Entry>());
        assert_eq!((size_of::<Tree>(), size_of::<Entry>()), (24, 20));
    }

    /// A handle may be given to another row once it is removed, so no separator may keep it.
    #[test]
    fn a_removed_entry_is_never_compared_again() {
        let mut random = Random(Rng::with_seed(9));
        let mut live: Vec<_> = (0..3_000).map(|n| Entry::new(n as u128 / 50, n)).collect();
        let mut tree = Tree::from_sorted(live.clone());
        let mut removed = vec![false; 3_000];
        while !live.is_empty() {
            let entry = live.swap_remove(random.0.usize(..live.len()));
            let cmp = |stored: Entry| {
                assert!(!removed[stored.row as usize]);
                stored.row.cmp(&entry.row)
            };
            assert_eq!(tree.remove(entry.prefix(), cmp).unwrap().1, entry);
            removed[entry.row as usize] = true;
        }
    }
}
