//! What the server says.

use std::borrow::Cow;
use std::sync::Arc;

use super::declare::{kind, messages, object};
use super::field::Plain;
use super::field::read::{Members, Refused};
use super::{ObjectWriter, Raw, SubscriptionSpec};
use crate::json::utf8;
use crate::limits::SERVER_MESSAGE_NESTING;
use crate::model::{Etag, Hint, Reason};

messages! {
    /// One message from server to client.
    #[derive(Debug, Clone, PartialEq, Eq)]
    #[allow(missing_docs)] // The fields are those of the protocol, by their names.
    pub enum ServerMessage<'a>() {
        /// The token was accepted.
        "authenticated" Authenticated { request_id: Option<Cow<'a, str>> = "requestId", },
        /// Asks for a pong.
        "ping" Ping,
        /// The answer to the client's ping.
        "pong" Pong { request_id: Option<Cow<'a, str>> = "requestId", },
        /// All of these subscriptions are there now.
        "subscribedEvents" SubscribedEvents {
            request_id: Option<Cow<'a, str>> = "requestId",
            subscriptions: Vec<SubscriptionSpec> = "subscriptions",
        },
        /// All of these subscriptions are gone.
        "unsubscribedEvents" UnsubscribedEvents {
            request_id: Option<Cow<'a, str>> = "requestId",
            ids: Vec<Arc<str>> = "ids",
        },
        /// Something happened.
        "event" Event {
            subscription_ids: Vec<Cow<'a, str>> = "subscriptionIds",
            event_type: Cow<'a, str> = "eventType",
            path: Cow<'a, str> = "path",
            data: Raw<'a> = "data",
            timestamp: Cow<'a, str> = "timestamp",
        },
        /// Something was lost.
        "warning" Warning {
            code: Cow<'a, str> = "code",
            message: Cow<'a, str> = "message",
            subscription_id: Cow<'a, str> = "subscriptionId",
        },
        /// The live query is there; its rows follow.
        "liveQueryCreated" LiveQueryCreated {
            request_id: Option<Cow<'a, str>> = "requestId",
            id: Cow<'a, str> = "id",
            total_count: u64 = "totalCount",
            capped: bool = "capped",
            version: Option<Cow<'a, str>> = "version",
            key: Option<Cow<'a, str>> = "key",
            hints: Option<Vec<Hint>> = "hints",
        },
        /// The live query is there again: what makes what the client has into the result follows.
        "liveQueryResumed" LiveQueryResumed {
            request_id: Option<Cow<'a, str>> = "requestId",
            id: Cow<'a, str> = "id",
            total_count: u64 = "totalCount",
            capped: bool = "capped",
            version: Option<Cow<'a, str>> = "version",
            key: Option<Cow<'a, str>> = "key",
            drop: Option<Vec<u64>> = "drop",
        },
        /// Some of the initial rows, in order.
        "liveQueryData" LiveQueryData {
            id: Cow<'a, str> = "id",
            data: Vec<Raw<'a>> = "data",
            etags: Option<Vec<Etag>> = "etags",
            has_more: bool = "hasMore",
            capped: bool = "capped",
        },
        /// A node entered the window.
        "liveQueryAddedNode" LiveQueryAddedNode {
            id: Cow<'a, str> = "id",
            node_id: Cow<'a, str> = "nodeId",
            data: Raw<'a> = "data",
            etag: Option<Etag> = "etag",
            index: Option<u64> = "index",
            reason: Option<Reason> = "reason" as Entered,
            version: Option<Cow<'a, str>> = "version",
        },
        /// A node in the window changed, or moved.
        "liveQueryUpdatedNode" LiveQueryUpdatedNode {
            id: Cow<'a, str> = "id",
            node_id: Cow<'a, str> = "nodeId",
            data: Raw<'a> = "data",
            etag: Option<Etag> = "etag",
            index: Option<u64> = "index",
            version: Option<Cow<'a, str>> = "version",
        },
        /// A node left the window.
        "liveQueryRemovedNode" LiveQueryRemovedNode {
            id: Cow<'a, str> = "id",
            node_id: Cow<'a, str> = "nodeId",
            reason: Option<Reason> = "reason" as Left,
            version: Option<Cow<'a, str>> = "version",
        },
        /// The count changed.
        "liveQueryCount" LiveQueryCount {
            id: Cow<'a, str> = "id",
            total_count: u64 = "totalCount",
            capped: bool = "capped",
        },
        /// The set of the live query has another status.
        "liveQueryStatus" LiveQueryStatus {
            id: Cow<'a, str> = "id",
            status: Cow<'a, str> = "status",
            since: Option<Cow<'a, str>> = "since",
        },
        /// All live queries show the commit that was asked for, and all before it.
        "positionReached" PositionReached { request_id: Option<Cow<'a, str>> = "requestId", },
        /// Everything of a commit was sent: the live queries that have loaded show one moment together.
        "commit" Commit,
        /// The live query is gone, nothing of it follows.
        "liveQueryDestroyed" LiveQueryDestroyed {
            request_id: Option<Cow<'a, str>> = "requestId",
            id: Cow<'a, str> = "id",
        },
        /// Something is wrong.
        "error" Error {
            code: Cow<'a, str> = "code",
            message: Cow<'a, str> = "message",
            request_id: Option<Cow<'a, str>> = "requestId",
            id: Option<Cow<'a, str>> = "id",
        },
    }
}

object!(Hint => {
    text: String = "text",
    line: u64 = "line",
    column: u64 = "column",
});

/// Why a text is no message of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerMessageError {
    /// Not a JSON object, or a field missing or of the wrong type.
    #[error("invalid server message: {0}")]
    Invalid(String),
    /// A `type` that this version of the protocol does not have. A client ignores it.
    #[error("unknown type of server message: {0}")]
    UnknownType(String),
}

impl<'a> ServerMessage<'a> {
    /// Appends the message as one JSON object, its fields in the order in which the protocol shows them.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut object = ObjectWriter::message(out, self.type_name());
        self.write_fields(&mut object);
        object.end();
    }

    /// Reads one message. Unknown fields are ignored, null is absent; all of it must be JSON by the same policy as what clients say
    /// (see the [front page](crate#json)). At most three passes over the text; the host's data is passed through.
    pub fn parse(json: &'a [u8]) -> Result<ServerMessage<'a>, ServerMessageError> {
        let read = || -> Result<_, Refused> {
            let members = Members::read(utf8(json)?, Self::NAMES, SERVER_MESSAGE_NESTING)?;
            let kind: Box<str> = members.take::<_, Plain>("type", usize::MAX)?;
            Ok(ServerMessage::read(&kind, &members, usize::MAX)?.ok_or(kind))
        };
        let read = read().map_err(|refused| ServerMessageError::Invalid(refused.to_string()))?;
        read.map_err(|kind| ServerMessageError::UnknownType(kind.into()))
    }
}
