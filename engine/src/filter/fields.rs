//! Where a filter reads its fields from.

use crate::path::Path;
use crate::value::Value;

/// What a filter reads from: a node, or the columns of a row.
pub(crate) trait Fields<P> {
    /// The value at `path`; [`Value::Nothing`] where there is none.
    fn at(&self, path: &P) -> &Value;
}

impl Fields<Path> for Value {
    fn at(&self, path: &Path) -> &Value {
        Value::at(self, path)
    }
}
