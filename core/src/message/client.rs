//! What clients say.

use std::borrow::Cow;

use super::LiveQueryOptions;
use super::query::listed;
use super::read::{boolean, fields, fields_of_refused, list, not_utf8, shortened, text, texts};
use super::write::ObjectWriter;
use crate::error::ErrorCode;
use crate::limits::MESSAGE_NESTING;
use crate::model::Query;

/// One message from client to server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientMessage<'a> {
    /// The client's mark, which the direct response carries back.
    pub request_id: Option<Cow<'a, str>>,
    /// What the message says.
    pub body: ClientBody<'a>,
}

/// What a [`ClientMessage`] says.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientBody<'a> {
    /// `auth`: here is a token.
    Auth {
        /// The secret, without `Bearer `. `Debug` shows none of it.
        token: Cow<'a, str>,
    },
    /// `pong`: the answer to the server's ping.
    Pong,
    /// `ping`: asks for a pong.
    Ping,
    /// `subscribeEvents`: all of these, or none.
    SubscribeEvents {
        /// Never empty.
        subscriptions: Vec<SubscriptionEntry<'a>>,
    },
    /// `unsubscribeEvents`: all of these, or none.
    UnsubscribeEvents {
        /// Never empty.
        ids: Vec<Cow<'a, str>>,
    },
    /// `createLiveQuery`.
    CreateLiveQuery {
        /// The client's name for it.
        id: Cow<'a, str>,
        /// What it asks for.
        query: Query,
        /// The extensions that it opts in to.
        options: LiveQueryOptions,
        /// The version from which to resume.
        since: Option<Cow<'a, str>>,
    },
    /// `destroyLiveQuery`.
    DestroyLiveQuery {
        /// The client's name for it.
        id: Cow<'a, str>,
    },
}

impl std::fmt::Debug for ClientBody<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ClientBody::Auth { .. } => f.write_str("Auth { token: … }"),
            ClientBody::Pong => f.write_str("Pong"),
            ClientBody::Ping => f.write_str("Ping"),
            ClientBody::SubscribeEvents { subscriptions } => {
                f.debug_struct("SubscribeEvents").field("subscriptions", subscriptions).finish()
            }
            ClientBody::UnsubscribeEvents { ids } => {
                f.debug_struct("UnsubscribeEvents").field("ids", ids).finish()
            }
            ClientBody::CreateLiveQuery { id, query, options, since } => f
                .debug_struct("CreateLiveQuery")
                .field("id", id)
                .field("query", query)
                .field("options", options)
                .field("since", since)
                .finish(),
            ClientBody::DestroyLiveQuery { id } => {
                f.debug_struct("DestroyLiveQuery").field("id", id).finish()
            }
        }
    }
}

/// One entry of the list of subscriptions in `subscribeEvents` and `subscribedEvents`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionEntry<'a> {
    /// The client's name for it.
    pub id: Cow<'a, str>,
    /// The resource path.
    pub path: Cow<'a, str>,
    /// The event types wanted; never empty.
    pub events: Vec<Cow<'a, str>>,
}

/// Why a text is no message of a client, as it is answered on the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ClientMessageError {
    /// `INVALID_MESSAGE`, `UNKNOWN_TYPE` or `INVALID_QUERY`.
    pub code: ErrorCode,
    /// What is wrong and where, for the client's developer.
    pub message: String,
    /// The mark of the request, where it could be read.
    pub request_id: Option<String>,
    /// The live query that it is about, where that could be read.
    pub id: Option<String>,
    /// Whether the message's type is `auth`.
    pub(crate) is_auth: bool,
}

const NAMES: [&str; 9] =
    ["type", "requestId", "token", "subscriptions", "ids", "id", "query", "options", "since"];
const ENTRY: [&str; 3] = ["id", "path", "events"];
const OPTIONS: [&str; 5] = ["positions", "counts", "reasons", "resume", "hints"];

/// What went wrong inside a body: the code, what, and the id that it is about.
struct BodyError {
    code: ErrorCode,
    message: String,
    id: Option<String>,
}

impl From<String> for BodyError {
    fn from(message: String) -> BodyError {
        BodyError { code: ErrorCode::InvalidMessage, message, id: None }
    }
}

impl<'a> ClientMessage<'a> {
    /// Reads one message; ids and request ids may have `id_bytes` bytes. Unknown fields are ignored, though they must be JSON by
    /// the same policy as all the rest (see the [front page](crate#json)); unknown options are refused. Null is absent. At most
    /// three passes over the text.
    pub fn parse(json: &'a [u8], id_bytes: usize) -> Result<ClientMessage<'a>, ClientMessageError> {
        let invalid = |message: String| ClientMessageError {
            code: ErrorCode::InvalidMessage,
            message,
            request_id: None,
            id: None,
            is_auth: false,
        };
        let json = std::str::from_utf8(json).map_err(|error| invalid(not_utf8(&error)))?;
        let object = fields(json, &NAMES, MESSAGE_NESTING)
            .map_err(|what| about_refused(json, id_bytes, invalid(what)))?;
        let [kind, request_id, token, subscriptions, ids, id, query, options, since] = object.values;
        let kind = kind.map(text);
        let is_auth = matches!(&kind, Some(Some(kind)) if kind == "auth");
        let request_id = match request_id.map(|piece| limited("requestId", piece, id_bytes)).transpose() {
            Ok(request_id) => request_id,
            Err(message) => return Err(ClientMessageError { is_auth, ..invalid(message) }),
        };
        let body = match kind {
            None => Err(missing("type")),
            Some(None) => Err(String::from("'type' must be a text").into()),
            Some(Some(kind)) => match &*kind {
                "auth" => read_auth(token, options),
                "pong" => Ok(ClientBody::Pong),
                "ping" => Ok(ClientBody::Ping),
                "subscribeEvents" => read_subscriptions(subscriptions, id_bytes)
                    .map(|subscriptions| ClientBody::SubscribeEvents { subscriptions }),
                "unsubscribeEvents" => {
                    read_ids(ids, id_bytes).map(|ids| ClientBody::UnsubscribeEvents { ids })
                }
                "createLiveQuery" => read_create(id, query, options, since, id_bytes),
                "destroyLiveQuery" => required_id(id, id_bytes).map(|id| ClientBody::DestroyLiveQuery { id }),
                unknown => Err(BodyError {
                    code: ErrorCode::UnknownType,
                    message: format!("Unknown message type: {}", shortened(unknown)),
                    id: None,
                }),
            },
        };
        match body {
            Ok(body) => Ok(ClientMessage { request_id, body }),
            Err(BodyError { code, message, id }) => Err(ClientMessageError {
                code,
                message,
                request_id: request_id.map(Cow::into_owned),
                id,
                is_auth,
            }),
        }
    }

    /// The message without the text that it was read from.
    pub fn into_owned(self) -> ClientMessage<'static> {
        let owned = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        let body = match self.body {
            ClientBody::Auth { token } => ClientBody::Auth { token: owned(token) },
            ClientBody::Pong => ClientBody::Pong,
            ClientBody::Ping => ClientBody::Ping,
            ClientBody::SubscribeEvents { subscriptions } => ClientBody::SubscribeEvents {
                subscriptions: subscriptions.into_iter().map(SubscriptionEntry::into_owned).collect(),
            },
            ClientBody::UnsubscribeEvents { ids } => {
                ClientBody::UnsubscribeEvents { ids: ids.into_iter().map(owned).collect() }
            }
            ClientBody::CreateLiveQuery { id, query, options, since } => {
                ClientBody::CreateLiveQuery { id: owned(id), query, options, since: since.map(owned) }
            }
            ClientBody::DestroyLiveQuery { id } => ClientBody::DestroyLiveQuery { id: owned(id) },
        };
        ClientMessage { request_id: self.request_id.map(owned), body }
    }

    /// Appends the message as one JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut object = ObjectWriter::message(out, self.body.type_name());
        object.maybe_text("requestId", self.request_id.as_deref());
        match &self.body {
            ClientBody::Auth { token } => object.text("token", token),
            ClientBody::Pong | ClientBody::Ping => {}
            ClientBody::SubscribeEvents { subscriptions } => {
                object.list("subscriptions", subscriptions, |out, entry| entry.write(out));
            }
            ClientBody::UnsubscribeEvents { ids } => object.texts("ids", ids.iter().map(|id| &**id)),
            ClientBody::CreateLiveQuery { id, query, options, since } => {
                object.text("id", id);
                object.object("query", |object| query.write_fields(object));
                if !options.is_none() {
                    object.object("options", |object| write_options(options, object));
                }
                object.maybe_text("since", since.as_deref());
            }
            ClientBody::DestroyLiveQuery { id } => object.text("id", id),
        }
        object.end();
    }
}

impl ClientBody<'_> {
    /// The message's `type`.
    pub fn type_name(&self) -> &'static str {
        match self {
            ClientBody::Auth { .. } => "auth",
            ClientBody::Pong => "pong",
            ClientBody::Ping => "ping",
            ClientBody::SubscribeEvents { .. } => "subscribeEvents",
            ClientBody::UnsubscribeEvents { .. } => "unsubscribeEvents",
            ClientBody::CreateLiveQuery { .. } => "createLiveQuery",
            ClientBody::DestroyLiveQuery { .. } => "destroyLiveQuery",
        }
    }
}

impl<'a> SubscriptionEntry<'a> {
    /// Reads one entry; the error names it as `name`.
    pub(crate) fn read(piece: &'a str, name: &str, id_bytes: usize) -> Result<SubscriptionEntry<'a>, String> {
        let object = fields(piece, &ENTRY, MESSAGE_NESTING).map_err(|what| format!("{name}: {what}"))?;
        let [id, path, events] = object.values;
        let id = id.ok_or_else(|| format!("'{name}.id' is missing"))?;
        let path = path.ok_or_else(|| format!("'{name}.path' is missing"))?;
        let events = events.ok_or_else(|| format!("'{name}.events' is missing"))?;
        let entry = SubscriptionEntry {
            id: limited(&format!("{name}.id"), id, id_bytes)?,
            path: text(path).ok_or_else(|| format!("'{name}.path' must be a text"))?,
            events: texts(events).ok_or_else(|| format!("'{name}.events' must be a list of texts"))?,
        };
        if entry.events.is_empty() {
            return Err(format!("'{name}.events' must not be empty"));
        }
        Ok(entry)
    }

    fn into_owned(self) -> SubscriptionEntry<'static> {
        let owned = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        let SubscriptionEntry { id, path, events } = self;
        SubscriptionEntry {
            id: owned(id),
            path: owned(path),
            events: events.into_iter().map(owned).collect(),
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut object = ObjectWriter::begin(out);
        object.text("id", &self.id);
        object.text("path", &self.path);
        object.texts("events", self.events.iter().map(|event| &**event));
        object.end();
    }
}

/// The error about JSON that the policy refuses, with the request that it was, where the grammar lets that be read.
fn about_refused(json: &str, id_bytes: usize, error: ClientMessageError) -> ClientMessageError {
    let [kind, request_id, id] = fields_of_refused(json, &["type", "requestId", "id"])
        .map(|piece| piece.and_then(text).filter(|text| text.len() <= id_bytes).map(Cow::into_owned));
    let kind = kind.as_deref();
    let has_id = matches!(kind, Some("createLiveQuery" | "destroyLiveQuery"));
    ClientMessageError { is_auth: kind == Some("auth"), request_id, id: id.filter(|_| has_id), ..error }
}

fn read_subscriptions(piece: Option<&str>, id_bytes: usize) -> Result<Vec<SubscriptionEntry<'_>>, BodyError> {
    let piece = piece.ok_or_else(|| missing("subscriptions"))?;
    let items = list(piece).ok_or_else(|| String::from("'subscriptions' must be a list"))?;
    if items.is_empty() {
        return Err(String::from("'subscriptions' must not be empty").into());
    }
    let read = |(index, item)| SubscriptionEntry::read(item, &format!("subscriptions[{index}]"), id_bytes);
    Ok(items.into_iter().enumerate().map(read).collect::<Result<_, String>>()?)
}

fn read_ids(piece: Option<&str>, id_bytes: usize) -> Result<Vec<Cow<'_, str>>, BodyError> {
    let piece = piece.ok_or_else(|| missing("ids"))?;
    let items = list(piece).ok_or_else(|| String::from("'ids' must be a list of texts"))?;
    if items.is_empty() {
        return Err(String::from("'ids' must not be empty").into());
    }
    let read = |(index, item)| limited(&format!("ids[{index}]"), item, id_bytes);
    Ok(items.into_iter().enumerate().map(read).collect::<Result<_, String>>()?)
}

fn read_auth<'a>(token: Option<&'a str>, options: Option<&str>) -> Result<ClientBody<'a>, BodyError> {
    let token = token.ok_or_else(|| missing("token"))?;
    let token = text(token).ok_or_else(|| String::from("'token' must be a text"))?;
    if let Some(piece) = options {
        let object = fields(piece, &[], MESSAGE_NESTING).map_err(|what| format!("options: {what}"))?;
        if let Some(name) = object.unknown {
            return Err(format!("unknown option '{name}' in 'options' of 'auth'").into());
        }
    }
    Ok(ClientBody::Auth { token })
}

fn read_create<'a>(
    id: Option<&'a str>,
    query: Option<&'a str>,
    options: Option<&'a str>,
    since: Option<&'a str>,
    id_bytes: usize,
) -> Result<ClientBody<'a>, BodyError> {
    let id = required_id(id, id_bytes)?;
    let about = |code, message| BodyError { code, message, id: Some(id.clone().into_owned()) };
    let invalid = |message: &str| about(ErrorCode::InvalidMessage, message.into());
    let query = query.ok_or_else(|| invalid("'query' is missing"))?;
    if !query.starts_with('{') {
        return Err(invalid("'query' must be an object"));
    }
    let options = options
        .map(read_options)
        .transpose()
        .map_err(|message| about(ErrorCode::InvalidMessage, message))?
        .unwrap_or_default();
    let since =
        since.map(|piece| text(piece).ok_or_else(|| invalid("'since' must be a text"))).transpose()?;
    if since.is_some() && !options.resume {
        return Err(invalid("'since' needs 'options.resume' to be true"));
    }
    let query = Query::parse_str(query).map_err(|what| about(ErrorCode::InvalidQuery, what))?;
    Ok(ClientBody::CreateLiveQuery { id, query, options, since })
}

fn read_options(piece: &str) -> Result<LiveQueryOptions, String> {
    let object = fields(piece, &OPTIONS, MESSAGE_NESTING).map_err(|what| format!("options: {what}"))?;
    if let Some(name) = object.unknown {
        return Err(format!("unknown option '{name}' in 'options': expected one of {}", listed(&OPTIONS)));
    }
    let mut read = [false; OPTIONS.len()];
    for ((name, value), read) in OPTIONS.iter().zip(object.values).zip(&mut read) {
        if let Some(piece) = value {
            *read = boolean(piece).ok_or_else(|| format!("'options.{name}' must be true or false"))?;
        }
    }
    let [positions, counts, reasons, resume, hints] = read;
    Ok(LiveQueryOptions { positions, counts, reasons, resume, hints })
}

fn write_options(options: &LiveQueryOptions, object: &mut ObjectWriter<'_>) {
    let values = [options.positions, options.counts, options.reasons, options.resume, options.hints];
    for (name, value) in OPTIONS.iter().zip(values) {
        if value {
            object.boolean(name, true);
        }
    }
}

fn required_id(piece: Option<&str>, id_bytes: usize) -> Result<Cow<'_, str>, BodyError> {
    Ok(limited("id", piece.ok_or_else(|| missing("id"))?, id_bytes)?)
}

fn missing(name: &str) -> BodyError {
    format!("'{name}' is missing").into()
}

/// An id: a text of at most `id_bytes` bytes.
fn limited<'a>(name: &str, piece: &'a str, id_bytes: usize) -> Result<Cow<'a, str>, String> {
    let id = text(piece).ok_or_else(|| format!("'{name}' must be a text"))?;
    if id.len() > id_bytes {
        return Err(format!("'{name}' is longer than {id_bytes} bytes"));
    }
    Ok(id)
}
