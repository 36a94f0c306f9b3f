//! What a server says, read and written down from protocol.md; without the text that is for people.

use liveset_core::{CloseCode, ErrorCode, SubscriptionSpec};

use crate::text::Json;

pub(super) type RequestId = Option<String>;

/// Answers and other control messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Authenticated(RequestId),
    Ping,
    Pong(RequestId),
    Subscribed(RequestId, Vec<SubscriptionSpec>),
    Unsubscribed(RequestId, Vec<String>),
    Created {
        request_id: RequestId,
        id: String,
        total_count: u64,
        capped: bool,
        version: Option<String>,
        has_hints: bool,
    },
    Resumed {
        request_id: RequestId,
        id: String,
        total_count: u64,
        capped: bool,
        version: Option<String>,
        drop: Option<Vec<u64>>,
    },
    Destroyed(RequestId, String),
    Error {
        code: String,
        request_id: RequestId,
        id: Option<String>,
    },
}

/// Messages of a stream. Nodes are as they are written.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Event {
        ids: Vec<String>,
        event_type: String,
        path: String,
        data: String,
        timestamp: String,
    },
    Warning {
        code: String,
        message: String,
        subscription_id: String,
    },
    Data {
        data: Vec<String>,
        etags: Option<Vec<String>>,
        has_more: bool,
        capped: bool,
    },
    Added {
        node_id: String,
        data: String,
        index: Option<u64>,
        reason: Option<String>,
        version: Option<String>,
        etag: Option<String>,
    },
    Updated {
        node_id: String,
        data: String,
        index: Option<u64>,
        version: Option<String>,
        etag: Option<String>,
    },
    Removed {
        node_id: String,
        reason: Option<String>,
        version: Option<String>,
    },
    Count {
        total_count: u64,
        capped: bool,
    },
}

/// A message of a server.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Answer(Answer),
    /// `commit`, and `positionReached`, which come when the live queries are there.
    Commit,
    Reached(RequestId),
    /// By its `type`, and with the live query that it is of.
    Told(String, Option<String>, Told),
}

/// The fields of a message, each of which is to be looked at.
struct Fields<'a> {
    message: &'a Json<'a>,
    seen: Vec<&'static str>,
}

impl Fields<'_> {
    fn get(&mut self, name: &'static str) -> Option<&Json<'_>> {
        self.seen.push(name);
        self.message.field(name)
    }

    fn maybe(&mut self, name: &'static str) -> Option<String> {
        self.get(name).map(|value| value.text().expect(name).to_owned())
    }

    fn text(&mut self, name: &'static str) -> String {
        self.maybe(name).expect(name)
    }

    fn flag(&mut self, name: &'static str) -> bool {
        self.get(name).and_then(Json::boolean).expect(name)
    }

    fn number(&mut self, name: &'static str) -> u64 {
        self.get(name).and_then(Json::whole).expect(name)
    }

    fn index(&mut self) -> Option<u64> {
        self.get("index").map(|value| value.whole().expect("index"))
    }

    fn raw(&mut self, name: &'static str) -> String {
        self.get(name).expect(name).raw.to_owned()
    }

    fn list<T>(&mut self, name: &'static str, read: impl Fn(&Json<'_>) -> T) -> Vec<T> {
        self.get(name).and_then(Json::list).expect(name).iter().map(read).collect()
    }
}

fn text(value: &Json<'_>) -> String {
    value.text().expect("a text").to_owned()
}

fn entry(value: &Json<'_>) -> SubscriptionSpec {
    let mut fields = Fields { message: value, seen: Vec::new() };
    SubscriptionSpec {
        id: fields.text("id").into(),
        path: fields.text("path").into(),
        events: fields.list("events", |event| text(event).into()),
    }
}

impl Message {
    /// Reads a message; it has no field that does not belong there, and lacks none.
    pub(super) fn read(message: &[u8]) -> Message {
        let message = std::str::from_utf8(message).expect("UTF-8");
        let json = Json::strict(message, 130).unwrap_or_else(|| panic!("no JSON: {message}"));
        let mut fields = Fields { message: &json, seen: Vec::new() };
        let kind = fields.text("type");
        let read = match &*kind {
            "authenticated" => Message::Answer(Answer::Authenticated(fields.maybe("requestId"))),
            "commit" => Message::Commit,
            "positionReached" => Message::Reached(fields.maybe("requestId")),
            "ping" => Message::Answer(Answer::Ping),
            "pong" => Message::Answer(Answer::Pong(fields.maybe("requestId"))),
            "subscribedEvents" => {
                let subscriptions = fields.list("subscriptions", entry);
                Message::Answer(Answer::Subscribed(fields.maybe("requestId"), subscriptions))
            }
            "unsubscribedEvents" => {
                let ids = fields.list("ids", text);
                Message::Answer(Answer::Unsubscribed(fields.maybe("requestId"), ids))
            }
            "liveQueryCreated" => Message::Answer(Answer::Created {
                request_id: fields.maybe("requestId"),
                id: fields.text("id"),
                total_count: fields.number("totalCount"),
                capped: fields.flag("capped"),
                version: fields.maybe("version"),
                has_hints: fields.get("hints").is_some(),
            }),
            "liveQueryResumed" => Message::Answer(Answer::Resumed {
                request_id: fields.maybe("requestId"),
                id: fields.text("id"),
                total_count: fields.number("totalCount"),
                capped: fields.flag("capped"),
                version: fields.maybe("version"),
                drop: fields
                    .get("drop")
                    .is_some()
                    .then(|| fields.list("drop", |it| it.whole().expect("a place"))),
            }),
            "liveQueryDestroyed" => {
                Message::Answer(Answer::Destroyed(fields.maybe("requestId"), fields.text("id")))
            }
            "error" => {
                assert_ne!(fields.text("message"), "", "people are told something");
                let (code, request_id) = (fields.text("code"), fields.maybe("requestId"));
                Message::Answer(Answer::Error { code, request_id, id: fields.maybe("id") })
            }
            "event" => {
                let ids = fields.list("subscriptionIds", text);
                let (event_type, path) = (fields.text("eventType"), fields.text("path"));
                let (data, timestamp) = (fields.raw("data"), fields.text("timestamp"));
                Message::Told(kind, None, Told::Event { ids, event_type, path, data, timestamp })
            }
            "warning" => {
                let (code, message) = (fields.text("code"), fields.text("message"));
                let subscription_id = fields.text("subscriptionId");
                Message::Told(kind, None, Told::Warning { code, message, subscription_id })
            }
            _ => {
                let id = fields.text("id");
                let told = Told::of_live_query(&kind, &mut fields);
                Message::Told(kind, Some(id), told)
            }
        };
        for (name, _) in json.object().expect("an object") {
            let is_known = name.as_deref().is_some_and(|name| fields.seen.contains(&name));
            assert!(is_known, "{name:?} does not belong there: {message}");
        }
        read
    }
}

impl Told {
    fn of_live_query(kind: &str, fields: &mut Fields<'_>) -> Told {
        match kind {
            "liveQueryData" => Told::Data {
                data: fields.list("data", |row| row.raw.to_owned()),
                etags: fields.get("etags").is_some().then(|| fields.list("etags", text)),
                has_more: fields.flag("hasMore"),
                capped: fields.flag("capped"),
            },
            "liveQueryAddedNode" => Told::Added {
                node_id: fields.text("nodeId"),
                data: fields.raw("data"),
                index: fields.index(),
                reason: fields.maybe("reason"),
                version: fields.maybe("version"),
                etag: fields.maybe("etag"),
            },
            "liveQueryUpdatedNode" => Told::Updated {
                node_id: fields.text("nodeId"),
                data: fields.raw("data"),
                index: fields.index(),
                version: fields.maybe("version"),
                etag: fields.maybe("etag"),
            },
            "liveQueryRemovedNode" => Told::Removed {
                node_id: fields.text("nodeId"),
                reason: fields.maybe("reason"),
                version: fields.maybe("version"),
            },
            "liveQueryCount" => {
                Told::Count { total_count: fields.number("totalCount"), capped: fields.flag("capped") }
            }
            other => panic!("'{other}' is no message of a server"),
        }
    }
}

impl Answer {
    pub(super) fn error(code: ErrorCode, request_id: RequestId, id: Option<&str>) -> Answer {
        Answer::Error { code: code.as_str().to_owned(), request_id, id: id.map(str::to_owned) }
    }

    /// What kind of answer it is, for tests of what is reached.
    pub(super) fn name(&self) -> String {
        match self {
            Answer::Error { code, .. } => code.clone(),
            other => format!("{other:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
        }
    }
}

/// The third column of the protocol's table of errors; of codes after which a connection stays nobody asks.
pub(super) fn close_code(code: ErrorCode) -> CloseCode {
    match code {
        ErrorCode::InvalidMessage
        | ErrorCode::NotAuthenticated
        | ErrorCode::AuthFailed
        | ErrorCode::AuthTimeout
        | ErrorCode::TokenExpired
        | ErrorCode::PingTimeout
        | ErrorCode::LimitExceeded
        | ErrorCode::RateLimited => CloseCode::Policy,
        ErrorCode::UnsupportedFrame => CloseCode::Unsupported,
        ErrorCode::MessageTooLarge => CloseCode::TooLarge,
        ErrorCode::Overloaded => CloseCode::TryAgainLater,
        ErrorCode::Internal => CloseCode::Internal,
        other => panic!("{other} closes nothing"),
    }
}

/// For tests of what is reached.
pub(super) fn close_name(code: CloseCode) -> String {
    format!("close {}", code.as_u16())
}
