//! Which versions of a changed row something is about.

/// Which versions of a changed node an index was asked about, and answered yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Sides {
    pub(crate) before: bool,
    pub(crate) after: bool,
}

impl Sides {
    pub(crate) const BOTH: Sides = Sides { before: true, after: true };
    pub(super) const BEFORE: Sides = Sides { before: true, after: false };
    pub(super) const AFTER: Sides = Sides { before: false, after: true };

    pub(crate) fn union(self, other: Sides) -> Sides {
        Sides { before: self.before || other.before, after: self.after || other.after }
    }
}
