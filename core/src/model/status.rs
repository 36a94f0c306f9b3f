//! Whether a set is what its source has.

use std::sync::Arc;

/// The status of a set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SetStatus {
    /// Its first whole content is still to come.
    Loading,
    /// It is what its source has.
    #[default]
    Live,
    /// Its source has something newer, or is not heard of.
    Stale {
        /// Since when, as RFC 3339.
        since: Arc<str>,
    },
}

impl SetStatus {
    /// The status as messages and metrics name it.
    pub fn as_str(&self) -> &'static str {
        match self {
            SetStatus::Loading => "loading",
            SetStatus::Live => "live",
            SetStatus::Stale { .. } => "stale",
        }
    }

    /// The status of that name, as messages tell it.
    pub(crate) fn from_wire(name: &str, since: Option<&str>) -> Option<SetStatus> {
        match (name, since) {
            ("loading", None) => Some(SetStatus::Loading),
            ("live", None) => Some(SetStatus::Live),
            ("stale", Some(since)) => Some(SetStatus::Stale { since: since.into() }),
            _ => None,
        }
    }
}
