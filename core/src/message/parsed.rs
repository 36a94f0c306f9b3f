//! Client messages read ahead of their session.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::{ClientBody, ClientMessage, ClientMessageError};
use crate::limits::SessionLimits;
use crate::model::Query;

/// A text message of a client, read ahead of [`Session::handle_parsed`](crate::Session::handle_parsed): on any thread, while the session
/// does something else.
#[derive(Clone)]
pub struct ParsedMessage {
    /// Bytes of the text.
    pub(crate) bytes: usize,
    pub(crate) content: Content,
}

/// What the text of a message is.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Larger than a message may be; not looked at.
    TooLarge,
    NotUtf8,
    /// A message, or why it is none.
    Message {
        message: Box<Result<ClientMessage, ClientMessageError>>,
        ahead: Ahead,
        /// There where the session may want to keep the text instead.
        text: Option<Box<str>>,
    },
}

impl ParsedMessage {
    /// Reads a message for a session that serves. At most three passes over the text.
    pub fn new(text: &[u8], limits: &SessionLimits) -> ParsedMessage {
        ParsedMessage::read(text, limits, |_| None)
    }

    /// Reads a message for a session whose client may not have authenticated yet: what such a client sends too early is held as text,
    /// which takes less memory. Costs a copy of the text on top.
    pub fn early(text: &[u8], limits: &SessionLimits) -> ParsedMessage {
        ParsedMessage::read(text, limits, |text| Some(text.into()))
    }

    fn read(
        text: &[u8],
        limits: &SessionLimits,
        keep: impl FnOnce(&str) -> Option<Box<str>>,
    ) -> ParsedMessage {
        let content = if text.len() > limits.message_bytes {
            Content::TooLarge
        } else if let Ok(kept) = std::str::from_utf8(text) {
            let message = ClientMessage::parse(text, limits.id_bytes);
            Content::Message { message: Box::new(message), ahead: Ahead::default(), text: keep(kept) }
        } else {
            Content::NotUtf8
        };
        ParsedMessage { bytes: text.len(), content }
    }

    /// The query, of a `createLiveQuery`.
    pub fn query(&self) -> Option<&Query> {
        match &self.content {
            Content::Message { message, .. } => match &**message {
                Ok(ClientMessage { body: ClientBody::CreateLiveQuery { query, .. }, .. }) => Some(query),
                _ => None,
            },
            _ => None,
        }
    }

    /// Attaches what the owner of the session made of the query: it comes back with the session's request.
    pub fn attach(&mut self, attached: Ahead) {
        if let Content::Message { ahead, .. } = &mut self.content {
            *ahead = attached;
        }
    }
}

impl fmt::Debug for ParsedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may have a token in it.
        f.debug_struct("ParsedMessage").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Anything that the owner of a session made of a message ahead. The session passes it through, and never looks at it.
#[derive(Clone, Default)]
pub struct Ahead(Option<Arc<dyn Any + Send + Sync>>);

impl Ahead {
    /// Carries a value.
    pub fn new<T: Any + Send + Sync>(value: T) -> Ahead {
        Ahead(Some(Arc::new(value)))
    }

    /// The value, where it is one of this type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.as_ref()?.downcast_ref()
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Ahead(…)" } else { "Ahead" })
    }
}

/// The same value, not an equal one.
impl PartialEq for Ahead {
    fn eq(&self, other: &Ahead) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for Ahead {}
