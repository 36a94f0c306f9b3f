//! A set of small numbers: mostly very few, sometimes very many.

use foldhash::fast::FixedState;
use indexmap::IndexSet;
use smallvec::SmallVec;

/// Beyond so many members a search through them costs more than hashing.
const FEW: usize = 16;

/// Numbers, each once. What is inserted and taken out in the same order comes out in the same order.
#[derive(Debug)]
pub(crate) enum Bucket {
    Few(SmallVec<[u32; 4]>),
    Many(Box<IndexSet<u32, FixedState>>),
}

impl Default for Bucket {
    fn default() -> Self {
        Bucket::Few(SmallVec::new())
    }
}

impl Bucket {
    /// Costs O(1). The number is not in it.
    pub(crate) fn insert(&mut self, number: u32) {
        match self {
            Bucket::Few(few) if few.len() < FEW => few.push(number),
            Bucket::Few(few) => {
                let mut many: IndexSet<u32, FixedState> = few.iter().copied().collect();
                many.insert(number);
                *self = Bucket::Many(Box::new(many));
            }
            Bucket::Many(many) => drop(many.insert(number)),
        }
    }

    /// Costs O(1).
    pub(crate) fn remove(&mut self, number: u32) {
        match self {
            Bucket::Few(few) => {
                if let Some(place) = few.iter().position(|held| *held == number) {
                    few.swap_remove(place);
                    if few.spilled() && few.len() <= few.inline_size() {
                        few.shrink_to_fit();
                    }
                }
            }
            Bucket::Many(many) => {
                many.swap_remove(&number);
                if many.len() <= FEW / 2 {
                    *self = Bucket::Few(many.iter().copied().collect());
                } else if many.len() * 4 < many.capacity() {
                    many.shrink_to(many.len() * 2);
                }
            }
        }
    }

    /// What was inserted last, if nothing was taken out since.
    pub(crate) fn last(&self) -> Option<u32> {
        match self {
            Bucket::Few(few) => few.last().copied(),
            Bucket::Many(many) => many.last().copied(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Bucket::Few(few) => few.len(),
            Bucket::Many(many) => many.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (few, many) = match self {
            Bucket::Few(few) => (few.as_slice(), None),
            Bucket::Many(many) => (&[][..], Some(many.iter())),
        };
        few.iter().chain(many.into_iter().flatten()).copied()
    }

    /// Bytes on the heap, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Bucket::Few(few) if few.spilled() => few.capacity() * size_of::<u32>(),
            Bucket::Few(_) => 0,
            // An entry with its hash, and its place in the table.
            Bucket::Many(many) => many.capacity() * (2 * size_of::<u64>() + size_of::<usize>() + 1),
        }
    }
}
