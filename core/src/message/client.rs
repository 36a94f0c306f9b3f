//! What clients say.

use std::sync::Arc;

use super::declare::{kind, messages, object, options};
use super::field::read::{Members, Refused, shortened};
use super::field::{Id, Plain};
use super::{ObjectWriter, SubscriptionSpec};
use crate::error::ErrorCode;
use crate::json::utf8;
use crate::limits::MESSAGE_NESTING;
use crate::model::{Etag, Query};
use crate::token::Token;

/// One message from client to server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientMessage {
    /// The client's mark, which the direct response carries back.
    pub request_id: Option<Box<str>>,
    /// What the message says.
    pub body: ClientBody,
}

messages! {
    /// The content of a [`ClientMessage`].
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum ClientBody("requestId") {
        /// `auth`: here is a token.
        "auth" Auth {
            /// The secret, without `Bearer `.
            token: Token = "token",
            /// The extensions that the connection opts in to.
            options: AuthOptions = "options",
        },
        /// `pong`: the answer to the server's ping.
        "pong" Pong,
        /// `ping`: asks for a pong.
        "ping" Ping,
        /// `subscribeEvents`: all of these, or none.
        "subscribeEvents" SubscribeEvents {
            /// Never empty.
            subscriptions: Vec<SubscriptionSpec> = "subscriptions"
                where !subscriptions.is_empty(), else "must not be empty",
        },
        /// `unsubscribeEvents`: all of these, or none.
        "unsubscribeEvents" UnsubscribeEvents {
            /// Never empty.
            ids: Vec<Arc<str>> = "ids" as Id where !ids.is_empty(), else "must not be empty",
        },
        /// `createLiveQuery`.
        "createLiveQuery" CreateLiveQuery {
            /// The client's name for it.
            id: Arc<str> = "id" as Id,
            /// The extensions that it opts in to.
            options: LiveQueryOptions = "options",
            /// The version from which to resume.
            since: Option<String> = "since"
                where since.is_none() || options.resume, else "needs 'options.resume' to be true",
            /// The etags of the rows that the client holds, in its order: from which to resume where there is no `since`, or none
            /// that is known.
            have: Option<Vec<Etag>> = "have"
                where have.is_none() || options.resume, else "needs 'options.resume' to be true",
            /// The query.
            query: Query = "query",
        },
        /// `awaitPosition`: tell me when my live queries show this.
        "awaitPosition" AwaitPosition {
            /// A token that names a commit.
            position: String = "position",
        },
        /// `destroyLiveQuery`.
        "destroyLiveQuery" DestroyLiveQuery {
            /// The client's name for it.
            id: Arc<str> = "id" as Id,
        },
    }
}

options! {
    /// The opt-in extensions of a connection.
    ///
    /// ```
    /// use liveset_core::AuthOptions;
    ///
    /// let options = AuthOptions { commits: true };
    /// assert!(!options.is_none());
    /// ```
    pub struct AuthOptions {
        /// `commit` behind the last message of each commit.
        commits = "commits",
    }
}

options! {
    /// The opt-in extensions of one live query. All off by default: a client gets only what it asked for.
    ///
    /// ```
    /// use liveset_core::LiveQueryOptions;
    ///
    /// let options = LiveQueryOptions { positions: true, counts: true, ..LiveQueryOptions::default() };
    /// assert!(!options.is_none());
    /// ```
    pub struct LiveQueryOptions {
        /// Additions and updates carry `index`, the node's place in the window after the message.
        positions = "positions",
        /// `liveQueryCount` whenever the total count or its capping changed.
        counts = "counts",
        /// Additions and removals carry `reason`.
        reasons = "reasons",
        /// `liveQueryCreated` and the diffs carry `version`, and rows their `etag`, from which a later create can resume.
        resume = "resume",
        /// `liveQueryStatus` whenever the set is not live, or has changed in that; a live query on a set that is loading waits for it.
        status = "status",
        /// `liveQueryCreated` carries `hints`: what is probably a mistake in the query.
        hints = "hints",
    }
}

object!(SubscriptionSpec => {
    id: Arc<str> = "id" as Id,
    path: Arc<str> = "path",
    events: Vec<Arc<str>> = "events" where !events.is_empty(), else "must not be empty",
});

/// Why a text is no message of a client, as it is answered on the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct ClientMessageError {
    /// `INVALID_MESSAGE`, `UNKNOWN_TYPE` or `INVALID_QUERY`.
    pub code: ErrorCode,
    /// What is wrong and where, for the client's developer.
    pub message: String,
    /// The mark of the request, where it could be read.
    pub request_id: Option<Box<str>>,
    /// The live query that it is about, where that could be read.
    pub id: Option<Arc<str>>,
    /// Whether the message's type is `auth`.
    pub(crate) is_auth: bool,
}

impl ClientMessage {
    /// Reads one message; ids and request ids may have `id_bytes` bytes. Unknown fields are ignored, though they must be JSON by
    /// the same policy as all the rest (see the [front page](crate#json)); unknown options are refused. Null is absent. At most
    /// three passes over the text.
    pub fn parse(json: &[u8], id_bytes: usize) -> Result<ClientMessage, ClientMessageError> {
        let json = utf8(json).map_err(|error| ClientMessageError::new(error.into(), None, None))?;
        let members = Members::read(json, ClientBody::NAMES, MESSAGE_NESTING).map_err(|refused| {
            // A refusal names the request, if the grammar lets its id be read.
            let members = Members::of_refused(json, ClientBody::NAMES);
            let request_id = members.take::<_, Id>("requestId", id_bytes).unwrap_or_default();
            ClientMessageError::about(refused, &members, request_id, id_bytes)
        })?;
        let request_id: Option<Box<str>> = members
            .take::<_, Id>("requestId", id_bytes)
            .map_err(|refused| ClientMessageError::new(refused, kind_of(&members).as_deref(), None))?;
        match read_body(&members, id_bytes) {
            Ok(body) => Ok(ClientMessage { request_id, body }),
            Err(refused) => Err(ClientMessageError::about(refused, &members, request_id, id_bytes)),
        }
    }

    /// Appends the message as one JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut object = ObjectWriter::message(out, self.body.type_name());
        object.field::<_, Id>("requestId", &self.request_id);
        self.body.write_fields(&mut object);
        object.end();
    }
}

fn read_body(members: &Members<'_>, id_bytes: usize) -> Result<ClientBody, Refused> {
    let kind: Box<str> = members.take::<_, Plain>("type", id_bytes)?;
    ClientBody::read(&kind, members, id_bytes)?.ok_or_else(|| {
        let what = format!("Unknown message type: {}", shortened(&kind));
        Refused::new(what).with(ErrorCode::UnknownType)
    })
}

/// The `type`, where it is a string.
fn kind_of(members: &Members<'_>) -> Option<Box<str>> {
    members.take::<_, Plain>("type", usize::MAX).unwrap_or_default()
}

impl ClientMessageError {
    fn new(refused: Refused, kind: Option<&str>, request_id: Option<Box<str>>) -> ClientMessageError {
        let is_auth = kind == Some("auth");
        ClientMessageError { code: refused.code, message: refused.to_string(), request_id, id: None, is_auth }
    }

    /// The error of a message whose type is known. It names the id of the message, for types that have one.
    fn about(
        refused: Refused,
        members: &Members<'_>,
        request_id: Option<Box<str>>,
        id_bytes: usize,
    ) -> ClientMessageError {
        let kind = kind_of(members);
        let error = ClientMessageError::new(refused, kind.as_deref(), request_id);
        let has_id = ClientBody::TYPES
            .iter()
            .any(|(name, fields)| kind.as_deref() == Some(name) && fields.contains(&"id"));
        let id = members.take::<_, Id>("id", id_bytes).unwrap_or_default();
        ClientMessageError { id: if has_id { id } else { None }, ..error }
    }
}
