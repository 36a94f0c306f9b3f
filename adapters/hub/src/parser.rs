//! What can be done about messages and queries without the hub.

use std::sync::Arc;

use liveset_core::{Ahead, ParsedMessage, Query, SessionLimits};
use liveset_engine::{ParsedQuery, QueryParser};

/// Reads messages and queries ahead of their hub, on any thread: [`Hub::handle_message`](crate::Hub::handle_message) and
/// [`Hub::query_prepared`](crate::Hub::query_prepared) then do not look at their texts any more. Cheap to clone.
///
/// It knows the limits of the hub and the sets that were defined when it was made; see [`Hub::parser`](crate::Hub::parser).
#[derive(Clone, Debug)]
pub struct Parser {
    pub(crate) session: Arc<SessionLimits>,
    pub(crate) queries: QueryParser,
}

/// A query whose texts were read.
#[derive(Clone, Debug)]
pub struct PreparedQuery {
    pub(crate) query: Query,
    pub(crate) parsed: ParsedQuery,
}

impl Parser {
    /// Reads a message of a connection that is authenticated; of a `createLiveQuery` also the filter, the order and the fields.
    pub fn message(&self, text: &[u8]) -> ParsedMessage {
        let mut message = ParsedMessage::new(text, &self.session);
        if let Some(spec) = message.query() {
            let ahead = Ahead::new(self.queries.parse(spec.clone()));
            message.attach(ahead);
        }
        message
    }

    /// Reads a message of a connection that may not be authenticated yet. Only its frame is read: filters are dear, and nobody
    /// knows whose they are.
    pub fn early_message(&self, text: &[u8]) -> ParsedMessage {
        ParsedMessage::early(text, &self.session)
    }

    /// Reads the texts of a query. What is wrong with it is told by whatever takes it.
    pub fn query(&self, query: Query) -> PreparedQuery {
        let parsed = self.queries.parse(query.clone());
        PreparedQuery { query, parsed }
    }
}
