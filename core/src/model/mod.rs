//! The vocabulary: what the conversation, the engine and the hub all speak of, defined once.

mod change;
pub mod duration;
mod etag;
mod hint;
mod limit;
mod param;
mod query;
mod read_limits;
mod row;
mod snapshot;
mod status;

#[doc(inline)]
pub use crate::{limit, limits};
pub use change::{Batch, Change, LiveUpdate, Reason};
pub use etag::{Etag, NoEtag};
pub use hint::Hint;
#[doc(hidden)]
pub use limit::LimitType;
pub use limit::{Floor, Limit, LimitSet, LimitValue, Refusals, WrongLimit};
pub use param::Param;
pub use query::Query;
pub use read_limits::{LimitParts, limit_from_text, read_limit_parts, read_limits};
pub use row::{Row, StoredRow};
#[doc(hidden)]
pub use serde;
pub use snapshot::{Count, Snapshot};
pub use status::SetStatus;
