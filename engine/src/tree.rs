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

use std::{cmp::Ordering, iter::FusedIterator, slice};

/// A node with this many entries or children is split, so all of them have less.
const FULL: usize = 64;
/// Neighbours with no more than this between them become one. Far enough from [`FULL`] that a merged node is not soon split.
const MERGED: usize = 48;
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
    pub(crate) fn new() -> Self {
        Self::default()
    }

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

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory held on the heap. O(n / 64).
    pub(crate) fn bytes(&self) -> usize {
        self.root.bytes()
    }

    pub(crate) fn clear(&mut self) {
        self.root = Node::default();
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

    pub(crate) fn first(&self) -> Option<Entry> {
        self.root.first()
    }

    pub(crate) fn last(&self) -> Option<Entry> {
        self.nth(self.len().checked_sub(1)?)
    }

    pub(crate) fn pop_last(&mut self) -> Option<Entry> {
        let last = self.last()?;
        let by_handle = |entry| if entry == last { Ordering::Equal } else { Ordering::Less };
        let (_, entry) = self.remove(last.prefix(), by_handle)?;
        Some(entry)
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

    /// From the entry just before `position` to the first.
    pub(crate) fn iter_back(&self, position: usize) -> IterBack<'_> {
        IterBack { tree: self, leaf: [].iter(), end: position.min(self.len()) }
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

/// Backward over a [`Tree`].
#[derive(Clone, Debug)]
pub(crate) struct IterBack<'a> {
    tree: &'a Tree,
    leaf: slice::Iter<'a, Entry>,
    /// How many entries stand before `leaf`.
    end: usize,
}

impl Iterator for IterBack<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.leaf.len() == 0 {
            let (leaf, at) = self.tree.leaf_at(self.end.checked_sub(1)?);
            self.leaf = leaf.get(..=at)?.iter();
            self.end -= self.leaf.len();
        }
        self.leaf.next_back().copied()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.leaf.len() + self.end;
        (len, Some(len))
    }
}

impl ExactSizeIterator for IterBack<'_> {}
impl FusedIterator for IterBack<'_> {}

/// What a search looks for.
struct Sought<F> {
    prefix: u128,
    tie: F,
}

impl<F: FnMut(Entry) -> Ordering> Sought<F> {
    /// The place among the entries of a leaf.
    fn place(&mut self, entries: &[Entry]) -> Result<usize, usize> {
        let (before, ties) = self.ties(entries);
        let place = ties.binary_search_by(|tie| (self.tie)(*tie));
        place.map(|at| before + at).map_err(|at| before + at)
    }

    /// How many children begin at or before the place, of those that come after the first child.
    fn child(&mut self, firsts: &[Entry]) -> usize {
        let (before, ties) = self.ties(firsts);
        before + ties.partition_point(|tie| (self.tie)(*tie) != Ordering::Greater)
    }

    /// How many entries have a smaller prefix, and those that have the same.
    fn ties<'a>(&self, entries: &'a [Entry]) -> (usize, &'a [Entry]) {
        let before = self.before(entries);
        let ties = &entries[before..];
        let end = ties.iter().position(|entry| entry.prefix() != self.prefix).unwrap_or(ties.len());
        (before, &ties[..end])
    }

    /// How many entries have a smaller prefix. All comparisons of a round are made, none waits for another one: in a tree
    /// that is larger than the cache, a binary search would wait for memory at each of its steps.
    fn before(&self, entries: &[Entry]) -> usize {
        const ROUND: usize = 8;
        let less = |entry: &Entry| usize::from(entry.prefix() < self.prefix);
        let skipped = ROUND * entries.chunks_exact(ROUND).map(|round| less(&round[ROUND - 1])).sum::<usize>();
        skipped + entries[skipped..].iter().take(ROUND).map(less).sum::<usize>()
    }
}

/// All leaves are equally deep. None but the root is empty.
#[derive(Debug)]
enum Node {
    Leaf(Vec<Entry>),
    Inner(Box<Inner>),
}

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(Vec::new())
    }
}

impl Node {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(inner) => inner.len,
        }
    }

    /// Entries of a leaf, children of an inner node.
    fn width(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(inner) => inner.children.len(),
        }
    }

    fn first(&self) -> Option<Entry> {
        match self {
            Self::Leaf(entries) => entries.first().copied(),
            Self::Inner(inner) => inner.firsts.first().copied(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.capacity() * size_of::<Entry>(),
            Self::Inner(inner) => size_of::<Inner>() + inner.bytes(),
        }
    }

    fn insert(&mut self, entry: Entry, sought: &mut Sought<impl FnMut(Entry) -> Ordering>) -> Option<usize> {
        match self {
            Self::Leaf(entries) => {
                let at = sought.place(entries).err()?;
                make_room(entries);
                entries.insert(at, entry);
                Some(at)
            }
            Self::Inner(inner) => inner.insert(entry, sought),
        }
    }

    fn remove(&mut self, sought: &mut Sought<impl FnMut(Entry) -> Ordering>) -> Option<(usize, Entry)> {
        match self {
            Self::Leaf(entries) => {
                let at = sought.place(entries).ok()?;
                let entry = entries.remove(at);
                give_back(entries);
                Some((at, entry))
            }
            Self::Inner(inner) => inner.remove(sought),
        }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Self::Leaf(entries) => {
                entries.truncate(len);
                give_back(entries);
            }
            Self::Inner(inner) => inner.truncate(len),
        }
    }

    /// Cuts off what comes after the first `width` entries or children.
    fn split_off(&mut self, width: usize) -> Self {
        match self {
            Self::Leaf(entries) => {
                let right = entries.split_off(width);
                give_back(entries);
                Self::Leaf(right)
            }
            Self::Inner(inner) => Self::Inner(Box::new(inner.split_off(width))),
        }
    }

    /// Takes in the neighbour to the right, which is of the same kind.
    fn append(&mut self, right: Self) {
        match (self, right) {
            (Self::Leaf(entries), Self::Leaf(mut right)) => {
                entries.reserve_exact(right.len());
                entries.append(&mut right);
            }
            (Self::Inner(inner), Self::Inner(right)) => inner.append(*right),
            _ => unreachable!("leaves are equally deep"),
        }
    }
}

/// Three lists side by side, of one length, so that a search runs through memory that holds nothing else.
#[derive(Debug)]
struct Inner {
    /// Entries below this node.
    len: usize,
    /// The first entry of each child. Exactly that, as a comparison may look at its row.
    firsts: Vec<Entry>,
    /// How many entries of this node stand before each child.
    starts: Vec<u32>,
    children: Vec<Node>,
}

impl Inner {
    fn of(children: Vec<Node>) -> Self {
        let firsts: Vec<_> = children.iter().filter_map(Node::first).collect();
        debug_assert_eq!(firsts.len(), children.len(), "no child is empty");
        let mut len = 0;
        let mut starts = Vec::with_capacity(children.len());
        for child in &children {
            starts.push(len as u32);
            len += child.len();
        }
        Self { len, firsts, starts, children }
    }

    fn over(children: Vec<Node>) -> Node {
        Node::Inner(Box::new(Self::of(children)))
    }

    /// The child where the sought entry is, or would stand.
    fn child_of(&self, sought: &mut Sought<impl FnMut(Entry) -> Ordering>) -> usize {
        sought.child(self.firsts.get(1..).unwrap_or_default())
    }

    /// The child that holds the entry at `position`; the last if there is no such position.
    fn child_at(&self, position: usize) -> usize {
        self.starts.get(1..).unwrap_or_default().partition_point(|start| *start as usize <= position)
    }

    fn bytes(&self) -> usize {
        self.firsts.capacity() * size_of::<Entry>()
            + self.starts.capacity() * size_of::<u32>()
            + self.children.capacity() * size_of::<Node>()
            + self.children.iter().map(Node::bytes).sum::<usize>()
    }

    fn insert(&mut self, entry: Entry, sought: &mut Sought<impl FnMut(Entry) -> Ordering>) -> Option<usize> {
        let child = self.child_of(sought);
        let at = self.children[child].insert(entry, sought)?;
        self.len += 1;
        self.starts[child + 1..].iter_mut().for_each(|start| *start += 1);
        if at == 0 {
            self.firsts[child] = entry;
        }
        let position = self.starts[child] as usize + at;
        if self.children[child].width() >= FULL {
            self.split(child, at);
        }
        Some(position)
    }

    /// Splits a full child, in which an entry came to stand at `at`. Entries that come in order leave full nodes behind:
    /// those that arrive at an edge of the tree have a node of their own.
    fn split(&mut self, child: usize, at: usize) {
        let left = &mut self.children[child];
        let width = left.width();
        let cut = if at + 1 == left.len() && child + 1 == self.starts.len() {
            width - 1
        } else if at == 0 && child == 0 {
            1
        } else {
            width / 2
        };
        let right = left.split_off(cut);
        let start = self.starts[child] + left.len() as u32;
        let Some(first) = right.first() else { return };
        make_room(&mut self.firsts);
        make_room(&mut self.starts);
        make_room(&mut self.children);
        self.firsts.insert(child + 1, first);
        self.starts.insert(child + 1, start);
        self.children.insert(child + 1, right);
    }

    fn remove(&mut self, sought: &mut Sought<impl FnMut(Entry) -> Ordering>) -> Option<(usize, Entry)> {
        let child = self.child_of(sought);
        let (at, entry) = self.children[child].remove(sought)?;
        self.len -= 1;
        self.starts[child + 1..].iter_mut().for_each(|start| *start -= 1);
        let position = self.starts[child] as usize + at;
        if at == 0
            && let Some(first) = self.children[child].first()
        {
            self.firsts[child] = first;
        }
        self.settle(child);
        Some((position, entry))
    }

    fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        // An empty child is one too many, which settles below.
        let child = self.child_at(len.saturating_sub(1));
        self.firsts.truncate(child + 1);
        self.starts.truncate(child + 1);
        self.children.truncate(child + 1);
        self.children[child].truncate(len - self.starts[child] as usize);
        self.len = len;
        self.give_back();
        self.settle(child);
    }

    /// A child has become smaller: an empty one goes, a small one is joined with a neighbour if both together are small.
    fn settle(&mut self, child: usize) {
        let width = self.children[child].width();
        if width >= FULL / 2 {
            return;
        }
        let joins = |other: Option<&Node>| other.is_some_and(|other| other.width() + width <= MERGED);
        if width == 0 {
            self.take(child);
        } else if joins(self.children.get(child + 1)) {
            let right = self.take(child + 1);
            self.children[child].append(right);
        } else if child > 0 && joins(self.children.get(child - 1)) {
            let right = self.take(child);
            self.children[child - 1].append(right);
        }
    }

    fn take(&mut self, child: usize) -> Node {
        self.firsts.remove(child);
        self.starts.remove(child);
        let node = self.children.remove(child);
        self.give_back();
        node
    }

    fn give_back(&mut self) {
        give_back(&mut self.firsts);
        give_back(&mut self.starts);
        give_back(&mut self.children);
    }

    fn split_off(&mut self, width: usize) -> Self {
        let mut right = Self {
            len: 0,
            firsts: self.firsts.split_off(width),
            starts: self.starts.split_off(width),
            children: self.children.split_off(width),
        };
        let before = right.starts.first().copied().unwrap_or_default();
        right.starts.iter_mut().for_each(|start| *start -= before);
        right.len = self.len - before as usize;
        self.len = before as usize;
        self.give_back();
        right
    }

    fn append(&mut self, mut right: Self) {
        let before = self.len as u32;
        self.len += right.len;
        self.firsts.append(&mut right.firsts);
        self.starts.extend(right.starts.iter().map(|start| before + start));
        self.children.append(&mut right.children);
        self.give_back();
    }
}

/// Equal parts of at most [`PACKED`].
fn pack_sizes(len: usize) -> impl Iterator<Item = usize> {
    let parts = len.div_ceil(PACKED);
    (0..parts).map(move |part| (part + 1) * len / parts - part * len / parts)
}

fn packs(mut entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    pack_sizes(entries.len()).filter_map(move |size| entries.split_off(..size))
}

/// How much room a list of some length gets at a time.
fn step(len: usize) -> usize {
    if len < 16 { 4 } else { 8 }
}

/// Room for one more. Lists of up to some dozens grow by a few, as memory counts more than the copies.
pub(crate) fn make_room<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        let step = step(list.len());
        list.reserve_exact(step - list.len() % step);
    }
}

/// Gives back the room of what has been removed, all but a little.
pub(crate) fn give_back<T>(list: &mut Vec<T>) {
    let step = step(list.len());
    if list.is_empty() || list.capacity() - list.len() > 2 * step {
        list.shrink_to(list.len().next_multiple_of(step));
    }
}

#[cfg(test)]
mod tests {
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

    struct Random(u64);

    impl Random {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            ((self.0 >> 11) % end as u64) as usize
        }

        fn entry(&mut self, prefixes: usize, rows: usize) -> Entry {
            // Both halves of the prefix count.
            let prefix = self.below(prefixes) as u128;
            Entry::new((prefix / 3) << 64 | (prefix % 3), self.below(rows) as u32)
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
        assert_eq!(tree.is_empty(), model.is_empty());
        assert_eq!(tree.iter().collect::<Vec<_>>(), model);
        assert_eq!(tree.first(), model.first().copied());
        assert_eq!(tree.last(), model.last().copied());
    }

    /// Random operations on a tree and on a sorted list; `grow` of 10 changes are insertions.
    fn run(seed: u64, ops: usize, prefixes: usize, rows: usize, grow: &[usize]) {
        let mut random = Random(seed | 1);
        let mut tree = Tree::new();
        let mut model: Vec<Entry> = Vec::new();
        for op in 0..ops {
            let entry = random.entry(prefixes, rows);
            let found = model.binary_search_by_key(&place(entry), |stored| place(*stored));
            assert_eq!(tree.find(entry.prefix(), by(entry)), found);
            let grow = grow[op * grow.len() / ops];
            match random.below(1000) {
                0..900 if random.below(10) < grow => {
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
                    let at = random.below(model.len());
                    let entry = model.remove(at);
                    assert_eq!(tree.remove(entry.prefix(), by(entry)), Some((at, entry)));
                }
                900..930 => assert_eq!(tree.pop_last(), model.pop()),
                930..960 => {
                    let at = random.below(model.len() + 2);
                    assert_eq!(tree.nth(at), model.get(at).copied());
                    let from = model.get(at..).unwrap_or_default();
                    assert_eq!(tree.iter_from(at).len(), from.len());
                    assert!(tree.iter_from(at).take(200).eq(from.iter().copied().take(200)));
                    let back = &model[..at.min(model.len())];
                    assert_eq!(tree.iter_back(at).len(), back.len());
                    assert!(tree.iter_back(at).take(200).eq(back.iter().rev().copied().take(200)));
                }
                960..962 => {
                    let len =
                        model.len() - random.below(model.len() + 1).min(random.below(model.len() + 1)) / 2;
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

    #[test]
    fn a_cleared_tree_holds_nothing() {
        let mut tree = Tree::from_sorted((0..1000).map(|n| Entry::new(n, 0)).collect());
        tree.clear();
        same(&tree, &[]);
        assert_eq!((tree.bytes(), tree.pop_last(), tree.nth(0)), (0, None, None));
        assert_eq!(tree.iter_back(7).next(), None);
    }

    /// Most windows hold the newest rows.
    #[test]
    fn entries_that_come_in_order_fill_their_leaves() {
        let orders: [fn(u128) -> u128; 2] = [|n| n, |n| u128::MAX - n];
        for order in orders {
            let mut tree = Tree::new();
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
        let mut random = Random(5);
        let mut entries: Vec<_> =
            (0..50_000).map(|n| Entry::new((random.below(1 << 40)) as u128, n)).collect();
        let mut tree = Tree::new();
        for entry in &entries {
            tree.insert(*entry, by(*entry)).unwrap();
        }
        assert!(tree.bytes() < entries.len() * 26, "{}", tree.bytes());
        while entries.len() > 50 {
            let entry = entries.swap_remove(random.below(entries.len()));
            tree.remove(entry.prefix(), by(entry)).unwrap();
            if entries.len() % 5_000 == 0 {
                check(&tree.root, true);
                assert!(tree.bytes() < entries.len() * 30, "{} for {}", tree.bytes(), entries.len());
            }
        }
        assert!(tree.bytes() < 4_000, "{}", tree.bytes());

        let mut small = Tree::new();
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
        let mut random = Random(9);
        let mut live: Vec<_> = (0..3_000).map(|n| Entry::new(n as u128 / 50, n)).collect();
        let mut tree = Tree::from_sorted(live.clone());
        let mut removed = vec![false; 3_000];
        while !live.is_empty() {
            let entry = live.swap_remove(random.below(live.len()));
            let cmp = |stored: Entry| {
                assert!(!removed[stored.row as usize]);
                stored.row.cmp(&entry.row)
            };
            assert_eq!(tree.remove(entry.prefix(), cmp).unwrap().1, entry);
            removed[entry.row as usize] = true;
        }
    }
}
