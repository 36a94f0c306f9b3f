//! Where a filter reads its fields from.

use crate::path::Path;
use crate::value::{Value, ValueRef};

/// What a filter reads from: a node, or the columns of a row.
pub(crate) trait Fields<P> {
    /// The value at `path`; [`ValueRef::Nothing`] where there is none.
    fn at(&self, path: &P) -> ValueRef<'_>;
}

impl Fields<Path> for Value {
    fn at(&self, path: &Path) -> ValueRef<'_> {
        Value::at(self, path).into()
    }
}
