//! What the server says.

use std::borrow::Cow;

use super::read::{boolean, fields, list, not_utf8, text, texts, whole_number};
use super::write::ObjectWriter;
use super::{Raw, SubscriptionEntry};
use crate::limits::SERVER_MESSAGE_NESTING;
use crate::model::Hint;
use crate::model::Reason;

/// One message from server to client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are those of the protocol, by their names.
pub enum ServerMessage<'a> {
    /// The token was accepted.
    Authenticated { request_id: Option<Cow<'a, str>> },
    /// Asks for a pong.
    Ping,
    /// The answer to the client's ping.
    Pong { request_id: Option<Cow<'a, str>> },
    /// All of these subscriptions are there now.
    SubscribedEvents { request_id: Option<Cow<'a, str>>, subscriptions: Vec<SubscriptionEntry<'a>> },
    /// All of these subscriptions are gone.
    UnsubscribedEvents { request_id: Option<Cow<'a, str>>, ids: Vec<Cow<'a, str>> },
    /// Something happened.
    Event {
        subscription_ids: Vec<Cow<'a, str>>,
        event_type: Cow<'a, str>,
        path: Cow<'a, str>,
        data: Raw<'a>,
        timestamp: Cow<'a, str>,
    },
    /// Something was lost.
    Warning { code: Cow<'a, str>, message: Cow<'a, str>, subscription_id: Cow<'a, str> },
    /// The live query is there; its rows follow.
    LiveQueryCreated {
        request_id: Option<Cow<'a, str>>,
        id: Cow<'a, str>,
        total_count: u64,
        capped: bool,
        version: Option<Cow<'a, str>>,
        key: Option<Cow<'a, str>>,
        hints: Option<Vec<Hint>>,
    },
    /// The live query is there again; the net diffs since the version asked for follow.
    LiveQueryResumed {
        request_id: Option<Cow<'a, str>>,
        id: Cow<'a, str>,
        total_count: u64,
        capped: bool,
        version: Option<Cow<'a, str>>,
        key: Option<Cow<'a, str>>,
    },
    /// Some of the initial rows, in order.
    LiveQueryData { id: Cow<'a, str>, data: Vec<Raw<'a>>, has_more: bool, capped: bool },
    /// A node entered the window.
    LiveQueryAddedNode {
        id: Cow<'a, str>,
        node_id: Cow<'a, str>,
        data: Raw<'a>,
        index: Option<u64>,
        reason: Option<Reason>,
        version: Option<Cow<'a, str>>,
    },
    /// A node in the window changed, or moved.
    LiveQueryUpdatedNode {
        id: Cow<'a, str>,
        node_id: Cow<'a, str>,
        data: Raw<'a>,
        index: Option<u64>,
        version: Option<Cow<'a, str>>,
    },
    /// A node left the window.
    LiveQueryRemovedNode {
        id: Cow<'a, str>,
        node_id: Cow<'a, str>,
        reason: Option<Reason>,
        version: Option<Cow<'a, str>>,
    },
    /// The count changed.
    LiveQueryCount { id: Cow<'a, str>, total_count: u64, capped: bool },
    /// The live query is gone, nothing of it follows.
    LiveQueryDestroyed { request_id: Option<Cow<'a, str>>, id: Cow<'a, str> },
    /// Something is wrong.
    Error {
        code: Cow<'a, str>,
        message: Cow<'a, str>,
        request_id: Option<Cow<'a, str>>,
        id: Option<Cow<'a, str>>,
    },
}

/// Why a text is no message of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerMessageError {
    /// Not a JSON object, or a field missing or of the wrong type.
    #[error("invalid server message: {0}")]
    Invalid(String),
    /// A `type` that this version of the protocol does not have. A client ignores it.
    #[error("unknown type of server message: {0}")]
    UnknownType(String),
}

const NAMES: [&str; 22] = [
    "type",
    "requestId",
    "subscriptions",
    "ids",
    "subscriptionIds",
    "eventType",
    "path",
    "data",
    "timestamp",
    "code",
    "message",
    "subscriptionId",
    "id",
    "totalCount",
    "capped",
    "hasMore",
    "nodeId",
    "index",
    "reason",
    "version",
    "key",
    "hints",
];

impl<'a> ServerMessage<'a> {
    /// The message's `type`.
    pub fn type_name(&self) -> &'static str {
        match self {
            ServerMessage::Authenticated { .. } => "authenticated",
            ServerMessage::Ping => "ping",
            ServerMessage::Pong { .. } => "pong",
            ServerMessage::SubscribedEvents { .. } => "subscribedEvents",
            ServerMessage::UnsubscribedEvents { .. } => "unsubscribedEvents",
            ServerMessage::Event { .. } => "event",
            ServerMessage::Warning { .. } => "warning",
            ServerMessage::LiveQueryCreated { .. } => "liveQueryCreated",
            ServerMessage::LiveQueryResumed { .. } => "liveQueryResumed",
            ServerMessage::LiveQueryData { .. } => "liveQueryData",
            ServerMessage::LiveQueryAddedNode { .. } => "liveQueryAddedNode",
            ServerMessage::LiveQueryUpdatedNode { .. } => "liveQueryUpdatedNode",
            ServerMessage::LiveQueryRemovedNode { .. } => "liveQueryRemovedNode",
            ServerMessage::LiveQueryCount { .. } => "liveQueryCount",
            ServerMessage::LiveQueryDestroyed { .. } => "liveQueryDestroyed",
            ServerMessage::Error { .. } => "error",
        }
    }

    /// Appends the message as one JSON object, its fields in the order in which the protocol shows them.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut object = ObjectWriter::message(out, self.type_name());
        match self {
            ServerMessage::Ping => {}
            ServerMessage::Authenticated { request_id } | ServerMessage::Pong { request_id } => {
                object.maybe_text("requestId", request_id.as_deref());
            }
            ServerMessage::SubscribedEvents { request_id, subscriptions } => {
                object.maybe_text("requestId", request_id.as_deref());
                object.list("subscriptions", subscriptions, |out, entry| entry.write(out));
            }
            ServerMessage::UnsubscribedEvents { request_id, ids } => {
                object.maybe_text("requestId", request_id.as_deref());
                object.texts("ids", ids.iter().map(|id| &**id));
            }
            ServerMessage::Event { subscription_ids, event_type, path, data, timestamp } => {
                object.texts("subscriptionIds", subscription_ids.iter().map(|id| &**id));
                object.text("eventType", event_type);
                object.text("path", path);
                object.raw("data", data.0);
                object.text("timestamp", timestamp);
            }
            ServerMessage::Warning { code, message, subscription_id } => {
                object.text("code", code);
                object.text("message", message);
                object.text("subscriptionId", subscription_id);
            }
            ServerMessage::LiveQueryCreated { request_id, id, total_count, capped, version, key, hints } => {
                object.maybe_text("requestId", request_id.as_deref());
                object.text("id", id);
                object.number("totalCount", *total_count);
                object.boolean("capped", *capped);
                object.maybe_text("version", version.as_deref());
                object.maybe_text("key", key.as_deref());
                if let Some(hints) = hints {
                    object.list("hints", hints, |out, hint| hint.write(out));
                }
            }
            ServerMessage::LiveQueryResumed { request_id, id, total_count, capped, version, key } => {
                object.maybe_text("requestId", request_id.as_deref());
                object.text("id", id);
                object.number("totalCount", *total_count);
                object.boolean("capped", *capped);
                object.maybe_text("version", version.as_deref());
                object.maybe_text("key", key.as_deref());
            }
            ServerMessage::LiveQueryData { id, data, has_more, capped } => {
                object.text("id", id);
                object.list("data", data, |out, row| out.extend_from_slice(row.0));
                object.boolean("hasMore", *has_more);
                object.boolean("capped", *capped);
            }
            ServerMessage::LiveQueryAddedNode { id, node_id, data, index, reason, version } => {
                object.text("id", id);
                object.text("nodeId", node_id);
                object.raw("data", data.0);
                write_index(&mut object, *index);
                object.maybe_text("reason", reason.map(|reason| reason.as_str(true)));
                object.maybe_text("version", version.as_deref());
            }
            ServerMessage::LiveQueryUpdatedNode { id, node_id, data, index, version } => {
                object.text("id", id);
                object.text("nodeId", node_id);
                object.raw("data", data.0);
                write_index(&mut object, *index);
                object.maybe_text("version", version.as_deref());
            }
            ServerMessage::LiveQueryRemovedNode { id, node_id, reason, version } => {
                object.text("id", id);
                object.text("nodeId", node_id);
                object.maybe_text("reason", reason.map(|reason| reason.as_str(false)));
                object.maybe_text("version", version.as_deref());
            }
            ServerMessage::LiveQueryCount { id, total_count, capped } => {
                object.text("id", id);
                object.number("totalCount", *total_count);
                object.boolean("capped", *capped);
            }
            ServerMessage::LiveQueryDestroyed { request_id, id } => {
                object.maybe_text("requestId", request_id.as_deref());
                object.text("id", id);
            }
            ServerMessage::Error { code, message, request_id, id } => {
                object.text("code", code);
                object.text("message", message);
                object.maybe_text("requestId", request_id.as_deref());
                object.maybe_text("id", id.as_deref());
            }
        }
        object.end();
    }

    /// Reads one message. Unknown fields are ignored, null is absent; all of it must be JSON by the same policy as what clients say
    /// (see the [front page](crate#json)). At most three passes over the text; the host's data is passed through.
    pub fn parse(json: &'a [u8]) -> Result<ServerMessage<'a>, ServerMessageError> {
        let json =
            std::str::from_utf8(json).map_err(|error| ServerMessageError::Invalid(not_utf8(&error)))?;
        let object = fields(json, &NAMES, SERVER_MESSAGE_NESTING).map_err(ServerMessageError::Invalid)?;
        let pieces = Pieces(object.values);
        let kind = pieces.text("type")?;
        pieces.read(&kind)?.ok_or_else(|| ServerMessageError::UnknownType(kind.into_owned()))
    }
}

fn write_index(object: &mut ObjectWriter<'_>, index: Option<u64>) {
    if let Some(index) = index {
        object.number("index", index);
    }
}

/// The known fields of one message, by name.
struct Pieces<'a>([Option<&'a str>; NAMES.len()]);

impl<'a> Pieces<'a> {
    /// The message of that type; `None` where there is no such type.
    fn read(&self, kind: &str) -> Result<Option<ServerMessage<'a>>, ServerMessageError> {
        Ok(Some(match kind {
            "authenticated" => ServerMessage::Authenticated { request_id: self.maybe_text("requestId")? },
            "ping" => ServerMessage::Ping,
            "pong" => ServerMessage::Pong { request_id: self.maybe_text("requestId")? },
            "subscribedEvents" => ServerMessage::SubscribedEvents {
                request_id: self.maybe_text("requestId")?,
                subscriptions: self
                    .wanted("subscriptions", list)?
                    .into_iter()
                    .map(|item| SubscriptionEntry::read(item, "subscriptions[]", usize::MAX))
                    .collect::<Result<_, _>>()
                    .map_err(ServerMessageError::Invalid)?,
            },
            "unsubscribedEvents" => ServerMessage::UnsubscribedEvents {
                request_id: self.maybe_text("requestId")?,
                ids: self.wanted("ids", texts)?,
            },
            "event" => ServerMessage::Event {
                subscription_ids: self.wanted("subscriptionIds", texts)?,
                event_type: self.text("eventType")?,
                path: self.text("path")?,
                data: self.data(),
                timestamp: self.text("timestamp")?,
            },
            "warning" => ServerMessage::Warning {
                code: self.text("code")?,
                message: self.text("message")?,
                subscription_id: self.text("subscriptionId")?,
            },
            "liveQueryCreated" => ServerMessage::LiveQueryCreated {
                request_id: self.maybe_text("requestId")?,
                id: self.text("id")?,
                total_count: self.wanted("totalCount", whole_number)?,
                capped: self.wanted("capped", boolean)?,
                version: self.maybe_text("version")?,
                key: self.maybe_text("key")?,
                hints: self.maybe("hints", |piece| list(piece)?.into_iter().map(Hint::read).collect())?,
            },
            "liveQueryResumed" => ServerMessage::LiveQueryResumed {
                request_id: self.maybe_text("requestId")?,
                id: self.text("id")?,
                total_count: self.wanted("totalCount", whole_number)?,
                capped: self.wanted("capped", boolean)?,
                version: self.maybe_text("version")?,
                key: self.maybe_text("key")?,
            },
            "liveQueryData" => ServerMessage::LiveQueryData {
                id: self.text("id")?,
                data: self.wanted("data", list)?.into_iter().map(|row| Raw(row.as_bytes())).collect(),
                has_more: self.wanted("hasMore", boolean)?,
                capped: self.wanted("capped", boolean)?,
            },
            "liveQueryAddedNode" => ServerMessage::LiveQueryAddedNode {
                id: self.text("id")?,
                node_id: self.text("nodeId")?,
                data: self.data(),
                index: self.maybe("index", whole_number)?,
                reason: self.maybe("reason", |piece| Reason::from_wire(&text(piece)?, true))?,
                version: self.maybe_text("version")?,
            },
            "liveQueryUpdatedNode" => ServerMessage::LiveQueryUpdatedNode {
                id: self.text("id")?,
                node_id: self.text("nodeId")?,
                data: self.data(),
                index: self.maybe("index", whole_number)?,
                version: self.maybe_text("version")?,
            },
            "liveQueryRemovedNode" => ServerMessage::LiveQueryRemovedNode {
                id: self.text("id")?,
                node_id: self.text("nodeId")?,
                reason: self.maybe("reason", |piece| Reason::from_wire(&text(piece)?, false))?,
                version: self.maybe_text("version")?,
            },
            "liveQueryCount" => ServerMessage::LiveQueryCount {
                id: self.text("id")?,
                total_count: self.wanted("totalCount", whole_number)?,
                capped: self.wanted("capped", boolean)?,
            },
            "liveQueryDestroyed" => ServerMessage::LiveQueryDestroyed {
                request_id: self.maybe_text("requestId")?,
                id: self.text("id")?,
            },
            "error" => ServerMessage::Error {
                code: self.text("code")?,
                message: self.text("message")?,
                request_id: self.maybe_text("requestId")?,
                id: self.maybe_text("id")?,
            },
            _ => return Ok(None),
        }))
    }

    fn piece(&self, name: &str) -> Option<&'a str> {
        NAMES.iter().position(|known| *known == name).and_then(|index| self.0[index])
    }

    fn maybe<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<Option<T>, ServerMessageError> {
        let wrong = || ServerMessageError::Invalid(format!("'{name}' is of the wrong type"));
        self.piece(name).map(|piece| read(piece).ok_or_else(wrong)).transpose()
    }

    fn wanted<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, ServerMessageError> {
        self.maybe(name, read)?.ok_or_else(|| ServerMessageError::Invalid(format!("'{name}' is missing")))
    }

    fn text(&self, name: &str) -> Result<Cow<'a, str>, ServerMessageError> {
        self.wanted(name, text)
    }

    fn maybe_text(&self, name: &str) -> Result<Option<Cow<'a, str>>, ServerMessageError> {
        self.maybe(name, text)
    }

    /// The host's data; it may be any JSON, null too, which reads as absent.
    fn data(&self) -> Raw<'a> {
        Raw(self.piece("data").map_or(b"null", |piece| piece.as_bytes()))
    }
}
