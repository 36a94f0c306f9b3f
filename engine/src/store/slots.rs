//! The places of a set's rows, in pieces that are shared with whoever looks at the rows as they were.
//!
//! To take them all down as they are costs a reference to each piece. Who writes to a piece that somebody else still has writes to
//! a copy of it: once for each piece, so that commits pay for it little by little.

use std::sync::Arc;

use crate::store::row::Row;

/// Places in a piece.
const PIECE: usize = 128;

/// A place for a row. Handles are places, and are used again once a commit that removed their row is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    pub(crate) row: Option<Row>,
    /// Which change of the commit at hand concerns it; [`NO_CHANGE`] where none does.
    change: u32,
    /// The number of the commit that has brought the row, its lower half.
    pub(crate) born: u32,
}

/// Changes are numbered from 1 in a slot, so that one of zeros is empty.
const NO_CHANGE: u32 = 0;

impl Slot {
    pub(crate) fn new(row: Row, change: usize, born: u32) -> Self {
        let mut slot = Self { row: Some(row), change: NO_CHANGE, born };
        slot.set_change(Some(change));
        slot
    }

    pub(crate) fn change(&self) -> Option<usize> {
        self.change.checked_sub(1).map(|change| change as usize)
    }

    pub(crate) fn set_change(&mut self, change: Option<usize>) {
        self.change = change.map_or(NO_CHANGE, |change| change as u32 + 1);
    }
}

/// Slots by handle. Cloning costs a reference for each 128 of them, and keeps them as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    pieces: Vec<Arc<Piece>>,
    len: usize,
}

type Piece = [Slot; PIECE];

impl Slots {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What a clone costs, in references.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    pub(crate) fn get(&self, handle: u32) -> Option<&Slot> {
        let handle = handle as usize;
        self.pieces.get(handle / PIECE).map(|piece| &piece[handle % PIECE])
    }

    pub(crate) fn row(&self, handle: u32) -> Option<&Row> {
        self.get(handle)?.row.as_ref()
    }

    /// To write to. Copies its piece where somebody else has that too.
    pub(crate) fn get_mut(&mut self, handle: u32) -> Option<&mut Slot> {
        let handle = handle as usize;
        self.pieces.get_mut(handle / PIECE).map(|piece| &mut Arc::make_mut(piece)[handle % PIECE])
    }

    /// Makes an empty one; its handle.
    pub(crate) fn push(&mut self) -> u32 {
        if self.len == self.pieces.len() * PIECE {
            self.pieces.push(Arc::new(std::array::from_fn(|_| Slot::default())));
        }
        self.len += 1;
        (self.len - 1) as u32
    }

    /// From a handle on; some behind the last one may come too, all of them empty.
    pub(crate) fn from(&self, start: u32) -> impl Iterator<Item = (u32, &Slot)> {
        let start = start as usize;
        let pieces = self.pieces.get(start / PIECE..).unwrap_or_default();
        let slots = pieces.iter().flat_map(|piece| piece.iter()).skip(start % PIECE);
        (start as u32..).zip(slots)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.pieces.len() * (size_of::<Piece>() + 2 * size_of::<usize>())
            + self.pieces.capacity() * size_of::<Arc<Piece>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_down_stays_as_it_was() {
        let mut slots = Slots::default();
        for handle in 0..300 {
            assert_eq!(slots.push(), handle);
            slots.get_mut(handle).unwrap().born = handle;
        }
        let then = slots.clone();
        for handle in (0..300).step_by(3) {
            slots.get_mut(handle).unwrap().born = 1_000;
        }
        for handle in 0..300 {
            assert_eq!(then.get(handle).unwrap().born, handle);
            let now = if handle.is_multiple_of(3) { 1_000 } else { handle };
            assert_eq!(slots.get(handle).unwrap().born, now);
        }
        assert_eq!((slots.len(), slots.pieces()), (300, 3));
        assert!(slots.get(384).is_none() && slots.from(290).take(10).map(|(handle, _)| handle).eq(290..300));
    }
}
