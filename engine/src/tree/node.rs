//! The nodes of a [`Tree`](super::Tree), and how a place is found in them.

use std::cmp::Ordering;

use super::Entry;

/// A node with this many entries or children is split, so all of them have less.
pub(super) const FULL: usize = 64;
/// Neighbours with no more than this between them become one. Far enough from [`FULL`] that a merged node is not soon split.
const MERGED: usize = 48;
/// What a search looks for.
pub(super) struct Sought<F> {
    pub(super) prefix: u128,
    pub(super) tie: F,
}

impl<F: FnMut(Entry) -> Ordering> Sought<F> {
    /// The place among the entries of a leaf.
    pub(super) fn place(&mut self, entries: &[Entry]) -> Result<usize, usize> {
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
pub(super) enum Node {
    Leaf(Vec<Entry>),
    Inner(Box<Inner>),
}

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(Vec::new())
    }
}

impl Node {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(inner) => inner.len,
        }
    }

    /// Entries of a leaf, children of an inner node.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(inner) => inner.children.len(),
        }
    }

    pub(super) fn first(&self) -> Option<Entry> {
        match self {
            Self::Leaf(entries) => entries.first().copied(),
            Self::Inner(inner) => inner.firsts.first().copied(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.capacity() * size_of::<Entry>(),
            Self::Inner(inner) => size_of::<Inner>() + inner.bytes(),
        }
    }

    pub(super) fn insert(
        &mut self,
        entry: Entry,
        sought: &mut Sought<impl FnMut(Entry) -> Ordering>,
    ) -> Option<usize> {
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

    pub(super) fn remove(
        &mut self,
        sought: &mut Sought<impl FnMut(Entry) -> Ordering>,
    ) -> Option<(usize, Entry)> {
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

    pub(super) fn truncate(&mut self, len: usize) {
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
pub(super) struct Inner {
    /// Entries below this node.
    pub(super) len: usize,
    /// The first entry of each child. Exactly that, as a comparison may look at its row.
    pub(super) firsts: Vec<Entry>,
    /// How many entries of this node stand before each child.
    pub(super) starts: Vec<u32>,
    pub(super) children: Vec<Node>,
}

impl Inner {
    pub(super) fn of(children: Vec<Node>) -> Self {
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

    pub(super) fn over(children: Vec<Node>) -> Node {
        Node::Inner(Box::new(Self::of(children)))
    }

    /// The child where the sought entry is, or would stand.
    pub(super) fn child_of(&self, sought: &mut Sought<impl FnMut(Entry) -> Ordering>) -> usize {
        sought.child(self.firsts.get(1..).unwrap_or_default())
    }

    /// The child that holds the entry at `position`; the last if there is no such position.
    pub(super) fn child_at(&self, position: usize) -> usize {
        self.starts.get(1..).unwrap_or_default().partition_point(|start| *start as usize <= position)
    }

    pub(super) fn bytes(&self) -> usize {
        self.firsts.capacity() * size_of::<Entry>()
            + self.starts.capacity() * size_of::<u32>()
            + self.children.capacity() * size_of::<Node>()
            + self.children.iter().map(Node::bytes).sum::<usize>()
    }

    pub(super) fn insert(
        &mut self,
        entry: Entry,
        sought: &mut Sought<impl FnMut(Entry) -> Ordering>,
    ) -> Option<usize> {
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
    pub(super) fn split(&mut self, child: usize, at: usize) {
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

    pub(super) fn remove(
        &mut self,
        sought: &mut Sought<impl FnMut(Entry) -> Ordering>,
    ) -> Option<(usize, Entry)> {
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

    pub(super) fn truncate(&mut self, len: usize) {
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
