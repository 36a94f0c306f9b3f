//! Whose deadlines a hub keeps.

use crate::{ConnectionId, SourceId};

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// A session's: authentication, ping, expiry.
    Connection(ConnectionId),
    /// The first of the feeds that are kept for clients that may resume.
    Linger,
    /// The first of the live queries that wait for a set that is loading.
    Loading,
    /// When live queries may be created again that wait for their turn.
    Admission,
    /// A source's: when its sets are stale.
    Source(SourceId),
    /// The first of the tasks that wait until their connection or subject may spend something again.
    Paced,
}
