//! The vocabulary: what the conversation, the engine and the hub all speak of, defined once.

mod change;
mod hint;
mod limit;
mod query;
mod row;
mod snapshot;

#[doc(inline)]
pub use crate::{limit, limits};
pub use change::{Batch, Change, LiveUpdate, Reason};
pub use hint::Hint;
#[doc(hidden)]
pub use limit::LimitType;
pub use limit::{Floor, Limit, LimitSet, LimitValue, Refusals, WrongLimit};
pub use query::Query;
pub use row::{Row, StoredRow};
pub use snapshot::{Count, Snapshot};
