//! Filters by how a text begins: a tree of bytes, in which one walk along a text finds all that it begins with.
//!
//! ```text
//!   "" ── "order " ─┬─ "1" ── "7"      filters of 'order 1', of 'order 17'
//!                   └─ "2"             filters of 'order 2'
//! ```
//!
//! Nodes are held by number, not one in the other: clients choose how deep the tree is.

use slab::Slab;
use smallvec::SmallVec;

use crate::store::bucket::Bucket;

/// Filters by texts; a text finds those of all texts that it begins with.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    /// The first is the root, which has no label; none where nothing is filed.
    nodes: Slab<Node>,
    label_bytes: usize,
    len: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// What leads here from its parent; empty in the root alone.
    label: Box<[u8]>,
    parent: u32,
    filters: Bucket,
    /// By the first byte of their label.
    children: SmallVec<[(u8, u32); 2]>,
}

const ROOT: u32 = 0;

impl Node {
    fn child(&self, byte: u8) -> Result<usize, usize> {
        self.children.binary_search_by_key(&byte, |(first, _)| *first)
    }
}

impl Beginnings {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many filters are filed, each as often as it is.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Files a filter, if it is not filed there yet. Costs the text's length.
    pub(super) fn insert(&mut self, text: &str, filter: u32) {
        if self.nodes.is_empty() {
            self.nodes.insert(Node::default());
        }
        let (mut node, mut rest) = (ROOT, text.as_bytes());
        while let Some(first) = rest.first() {
            match self.node(node).child(*first) {
                Err(place) => {
                    let new = self.add(Node { label: rest.into(), parent: node, ..Node::default() });
                    self.node_mut(node).children.insert(place, (*first, new));
                    (node, rest) = (new, &[]);
                }
                Ok(place) => {
                    let child = self.node(node).children[place].1;
                    let common = common(&self.node(child).label, rest);
                    if common < self.node(child).label.len() {
                        self.split(child, common);
                    }
                    // Where it was split, what they have in common stands in the child's place.
                    node = self.node(node).children[place].1;
                    rest = &rest[common..];
                }
            }
        }
        let filters = &mut self.node_mut(node).filters;
        // A filter is filed all at once, so it is the last one if it is there.
        if filters.last() != Some(filter) {
            filters.insert(filter);
            self.len += 1;
        }
    }

    /// Takes a filter out, if it is filed there.
    pub(super) fn remove(&mut self, text: &str, filter: u32) {
        let (mut node, mut rest) = (ROOT, text.as_bytes());
        while let Some(first) = rest.first() {
            let Some(held) = self.nodes.get(node as usize) else { return };
            let Ok(place) = held.child(*first) else { return };
            node = held.children[place].1;
            let Some(left) = rest.strip_prefix(&*self.node(node).label) else { return };
            rest = left;
        }
        let Some(held) = self.nodes.get_mut(node as usize) else { return };
        let before = held.filters.len();
        held.filters.remove(filter);
        self.len -= before - held.filters.len();
        self.tidy(node);
    }

    /// Calls `found` for each filter whose text this one begins with. Costs the length that it has in common with them.
    pub(super) fn find(&self, text: &[u8], mut found: impl FnMut(u32)) {
        let (mut node, mut rest) = (self.nodes.get(ROOT as usize), text);
        while let Some(held) = node {
            held.filters.iter().for_each(&mut found);
            let next = rest.first().and_then(|first| held.child(*first).ok());
            let next = next.map(|place| self.node(held.children[place].1));
            let Some(next) = next.filter(|next| rest.starts_with(&next.label)) else { return };
            rest = &rest[next.label.len()..];
            node = Some(next);
        }
    }

    /// Bytes on the heap, about.
    pub(super) fn heap_bytes(&self) -> usize {
        self.nodes.capacity() * (size_of::<Node>() + size_of::<usize>()) + self.label_bytes
    }

    fn node(&self, number: u32) -> &Node {
        &self.nodes[number as usize]
    }

    fn node_mut(&mut self, number: u32) -> &mut Node {
        &mut self.nodes[number as usize]
    }

    fn add(&mut self, node: Node) -> u32 {
        self.label_bytes += node.label.len();
        self.nodes.insert(node) as u32
    }

    /// Puts a node between another and its parent, to which the first `common` bytes of the label lead.
    fn split(&mut self, child: u32, common: usize) {
        let held = self.node_mut(child);
        let (parent, label) = (held.parent, std::mem::take(&mut held.label));
        let (above, below) = label.split_at(common);
        held.label = below.into();
        self.label_bytes -= above.len();
        let children = SmallVec::from_slice(&[(below[0], child)]);
        let new = self.add(Node { label: above.into(), parent, children, ..Node::default() });
        self.node_mut(child).parent = new;
        self.lead(parent, above[0], new);
    }

    /// From a node a byte leads to another child than before.
    fn lead(&mut self, parent: u32, byte: u8, child: u32) {
        let held = self.node_mut(parent);
        if let Ok(place) = held.child(byte) {
            held.children[place].1 = child;
        }
    }

    /// Takes out a node that is of no use any more, and then perhaps its parent.
    fn tidy(&mut self, node: u32) {
        let mut node = node;
        loop {
            let Node { label, parent, filters, children } = self.node(node);
            if !filters.is_empty() {
                return;
            }
            if node == ROOT {
                if children.is_empty() {
                    *self = Self::default();
                }
                return;
            }
            let (parent, first) = (*parent, label[0]);
            match children[..] {
                [] => {
                    let held = self.node_mut(parent);
                    if let Ok(place) = held.child(first) {
                        held.children.remove(place);
                        held.children.shrink_to_fit();
                    }
                    let gone = self.nodes.remove(node as usize);
                    self.label_bytes -= gone.label.len();
                    node = parent;
                }
                [(_, child)] => {
                    // The child takes its place.
                    let gone = self.nodes.remove(node as usize);
                    let held = self.node_mut(child);
                    held.label = [&*gone.label, &*held.label].concat().into();
                    held.parent = parent;
                    self.lead(parent, first, child);
                    return;
                }
                _ => return,
            }
        }
    }
}

/// How many bytes two have in common from their beginning.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fastrand::Rng;

    use super::*;

    #[test]
    fn a_text_finds_all_that_it_begins_with_and_what_is_taken_out_leaves_nothing() {
        let random = &mut Rng::with_seed(1);
        let mut beginnings = Beginnings::default();
        let mut model: BTreeSet<(String, u32)> = BTreeSet::new();
        let text = |random: &mut Rng| {
            let len = random.usize(..7);
            (0..len).map(|_| ['a', 'b', 'é', 'è'][random.usize(..4)]).collect::<String>()
        };
        for round in 0..20_000 {
            let (text, filter) = (text(random), random.usize(..30) as u32);
            // First there are more and more, then less and less.
            if random.usize(..20_000) > round {
                if model.insert((text.clone(), filter)) {
                    beginnings.insert(&text, filter);
                }
            } else {
                model.remove(&(text.clone(), filter));
                beginnings.remove(&text, filter);
            }
            let mut found = Vec::new();
            beginnings.find(text.as_bytes(), |filter| found.push(filter));
            found.sort_unstable();
            let mut expected: Vec<u32> =
                model.iter().filter(|(held, _)| text.starts_with(held)).map(|(_, filter)| *filter).collect();
            expected.sort_unstable();
            assert_eq!((found, beginnings.len()), (expected, model.len()));
        }
        for (text, filter) in model {
            beginnings.remove(&text, filter);
        }
        assert!(beginnings.is_empty() && beginnings.heap_bytes() == 0, "{beginnings:?}");
    }

    /// Nothing is done by recursion, and no node is left over.
    #[test]
    fn texts_may_be_nested_very_deep() {
        let mut beginnings = Beginnings::default();
        let text = "x".repeat(50_000);
        let ends: Vec<usize> = (1..=50_000).step_by(5).collect();
        ends.iter().for_each(|end| beginnings.insert(&text[..*end], *end as u32));
        let mut found = 0;
        beginnings.find(text.as_bytes(), |_| found += 1);
        assert_eq!((found, beginnings.nodes.len()), (ends.len(), ends.len() + 1));
        ends.iter().for_each(|end| beginnings.remove(&text[..*end], *end as u32));
        assert!(beginnings.is_empty());
    }
}
