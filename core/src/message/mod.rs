//! The messages of the protocol, both directions, read and written in place.
//!
//! Reading borrows from the text wherever nothing is escaped, and passes JSON that belongs to the host
//! ([`Raw`]) through as it stands. Writing appends exactly one JSON object to the caller's buffer, its fields
//! in the order in which the protocol shows them.

mod client;
mod declare;
mod field;
mod parsed;
mod query;
mod server;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub use client::{AuthOptions, ClientBody, ClientMessage, ClientMessageError, LiveQueryOptions};
pub(crate) use field::read::{Members, shortened, text};
pub(crate) use field::write::{ObjectWriter, text_len, write_text};
#[cfg(feature = "fuzzing")]
pub(crate) use field::{Entered, Left};
pub(crate) use parsed::Content;
pub use parsed::{Ahead, ParsedMessage};
pub use query::InvalidQuery;
pub use server::{ServerMessage, ServerMessageError};

/// A JSON text that is passed through as it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(pub &'a [u8]);

impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

/// One subscription to the events of a path.
///
/// ```
/// use liveset_core::SubscriptionSpec;
///
/// let jobs = SubscriptionSpec { id: "my-jobs".into(), path: "jobs".into(), events: vec!["jobCompleted".into()] };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionSpec {
    /// The client's name for it, unique among the connection's subscriptions.
    pub id: Arc<str>,
    /// The path, as the client wrote it.
    pub path: Arc<str>,
    /// The event types wanted; never empty. What a session hands out names each once, in the order in which the client wrote them.
    pub events: Vec<Arc<str>>,
}

impl SubscriptionSpec {
    /// Names each event type once: of those that are listed twice the first stays.
    pub(crate) fn without_repetitions(mut self) -> SubscriptionSpec {
        let mut named = BTreeSet::new();
        self.events.retain(|event| named.insert(event.clone()));
        self
    }
}
