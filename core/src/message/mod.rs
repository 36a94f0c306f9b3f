//! The messages of the protocol, both directions, read and written in place.
//!
//! Reading borrows from the text wherever nothing is escaped, and passes JSON that belongs to the host
//! ([`Raw`]) through as it stands. Writing appends exactly one JSON object to the caller's buffer, its fields
//! in the order in which the protocol shows them.

mod client;
mod parsed;
mod query;
mod read;
mod server;
mod write;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::limits::SERVER_MESSAGE_NESTING;
use crate::model::Hint;

pub use client::{ClientBody, ClientMessage, ClientMessageError, SubscriptionEntry};
pub(crate) use parsed::Content;
pub use parsed::{Ahead, ParsedMessage};
pub use query::InvalidQuery;
pub(crate) use read::{fields, shortened, text, whole_number};
pub use server::{ServerMessage, ServerMessageError};
pub(crate) use write::{ObjectWriter, text_len, write_text};

/// A JSON text that is passed through as it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(pub &'a [u8]);

impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

/// The opt-in extensions of one live query. All off by default: a client gets only what it asked for.
///
/// ```
/// use liveset_core::LiveQueryOptions;
///
/// let options = LiveQueryOptions { positions: true, counts: true, ..LiveQueryOptions::default() };
/// assert!(!options.is_none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveQueryOptions {
    /// Additions and updates carry `index`, the node's place in the window after the message.
    pub positions: bool,
    /// `liveQueryCount` whenever the total count or its capping changed.
    pub counts: bool,
    /// Additions and removals carry `reason`.
    pub reasons: bool,
    /// `liveQueryCreated` and the diffs carry `version`, from which a later create can resume.
    pub resume: bool,
    /// `liveQueryCreated` carries `hints`: what is probably a mistake in the query.
    pub hints: bool,
}

impl LiveQueryOptions {
    /// Whether no extension was asked for.
    pub fn is_none(&self) -> bool {
        *self == LiveQueryOptions::default()
    }
}

impl Hint {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut object = ObjectWriter::begin(out);
        object.text("text", &self.text);
        object.number("line", self.line);
        object.number("column", self.column);
        object.end();
    }

    pub(crate) fn read(piece: &str) -> Option<Hint> {
        let object = fields(piece, &["text", "line", "column"], SERVER_MESSAGE_NESTING).ok()?;
        let [said, line, column] = object.values;
        Some(Hint {
            text: text(said?)?.into_owned(),
            line: whole_number(line?)?,
            column: whole_number(column?)?,
        })
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

    pub(crate) fn as_entry(&self) -> SubscriptionEntry<'_> {
        SubscriptionEntry {
            id: Cow::Borrowed(&self.id),
            path: Cow::Borrowed(&self.path),
            events: self.events.iter().map(|event| Cow::Borrowed(&**event)).collect(),
        }
    }
}

impl From<&SubscriptionEntry<'_>> for SubscriptionSpec {
    fn from(entry: &SubscriptionEntry<'_>) -> SubscriptionSpec {
        SubscriptionSpec {
            id: Arc::from(&*entry.id),
            path: Arc::from(&*entry.path),
            events: entry.events.iter().map(|event| Arc::from(&**event)).collect(),
        }
    }
}
