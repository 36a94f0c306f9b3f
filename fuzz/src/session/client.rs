//! What a client says, read from protocol.md.

use std::collections::BTreeMap;

use liveset_core::json::Numeral;
use liveset_core::{ErrorCode, Etag, LiveQueryOptions, Param, Query, SubscriptionSpec};

use super::answer::RequestId;
use crate::text::{Json, Kind};

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) request_id: RequestId,
    pub(super) body: Result<Body, Wrong>,
    pub(super) is_auth: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    /// The token, and whether it asks for commits.
    Auth(String, bool),
    Await(String),
    Ping,
    Pong,
    Subscribe(Vec<SubscriptionSpec>),
    Unsubscribe(Vec<String>),
    Create {
        id: String,
        query: Query,
        options: LiveQueryOptions,
        since: Option<String>,
        have: Option<Vec<Etag>>,
    },
    Destroy(String),
}

/// Why it is none, and which live query it is about.
#[derive(Debug, Clone)]
pub(super) struct Wrong {
    pub(super) code: ErrorCode,
    pub(super) id: Option<String>,
}

impl Wrong {
    fn message(id: Option<String>) -> Wrong {
        Wrong { code: ErrorCode::InvalidMessage, id }
    }
}

impl Said {
    pub(super) fn read(text: &str, id_bytes: usize) -> Said {
        let message = Json::strict(text, 64).filter(|message| message.object().is_some());
        let Some(message) = message else { return Said::refused(text, id_bytes) };
        let kind = message.field("type").map(Json::text);
        let is_auth = kind == Some(Some("auth"));
        let request_id = match message.field("requestId").map(|id| name(id, id_bytes)) {
            None => None,
            Some(Some(id)) => Some(id),
            Some(None) => return Said { request_id: None, body: Err(Wrong::message(None)), is_auth },
        };
        let body = match kind.flatten() {
            Some("auth") => {
                let commits = match message.field("options") {
                    None => Some(false),
                    Some(it) => only(it, &["commits"])
                        .and_then(|()| it.field("commits").map_or(Some(false), Json::boolean)),
                };
                let auth = texts(message.field("token")).zip(commits);
                auth.map(|(token, commits)| Body::Auth(token, commits)).ok_or(Wrong::message(None))
            }
            Some("awaitPosition") => {
                texts(message.field("position")).map(Body::Await).ok_or(Wrong::message(None))
            }
            Some("ping") => Ok(Body::Ping),
            Some("pong") => Ok(Body::Pong),
            Some("subscribeEvents") => {
                let entries = some(message.field("subscriptions"), |entry| subscription(entry, id_bytes));
                entries.map(Body::Subscribe).ok_or(Wrong::message(None))
            }
            Some("unsubscribeEvents") => {
                let ids = some(message.field("ids"), |id| name(id, id_bytes));
                ids.map(Body::Unsubscribe).ok_or(Wrong::message(None))
            }
            Some("createLiveQuery") => create(&message, id_bytes),
            Some("destroyLiveQuery") => {
                let id = message.field("id").and_then(|id| name(id, id_bytes));
                id.map(Body::Destroy).ok_or(Wrong::message(None))
            }
            Some(_) => Err(Wrong { code: ErrorCode::UnknownType, id: None }),
            None => Err(Wrong::message(None)),
        };
        Said { request_id, body, is_auth }
    }

    /// "Whoever is refused is told which of their requests it was", where the grammar lets that be read and it stands there once.
    fn refused(text: &str, id_bytes: usize) -> Said {
        let message = Json::lenient(text);
        let once = |name: &str| {
            let object = message.as_ref()?.object()?;
            let mut fields = object.iter().filter(|(field, _)| field.as_deref() == Some(name));
            let (field, others) = (fields.next(), fields.next());
            let text = field.filter(|_| others.is_none())?.1.text()?;
            (text.len() <= id_bytes).then(|| text.to_owned())
        };
        let kind = once("type");
        let kind = kind.as_deref();
        let has_id = matches!(kind, Some("createLiveQuery" | "destroyLiveQuery"));
        let body = Err(Wrong::message(once("id").filter(|_| has_id)));
        Said { request_id: once("requestId"), body, is_auth: kind == Some("auth") }
    }

    pub(super) fn is_free(&self) -> bool {
        matches!(self.body, Ok(Body::Ping | Body::Pong))
    }
}

fn texts(value: Option<&Json<'_>>) -> Option<String> {
    value.and_then(Json::text).map(str::to_owned)
}

/// "Ids are at most 128 bytes."
fn name(value: &Json<'_>, id_bytes: usize) -> Option<String> {
    value.text().filter(|text| text.len() <= id_bytes).map(str::to_owned)
}

/// A list of at least one, each of which is right.
fn some<T>(value: Option<&Json<'_>>, read: impl Fn(&Json<'_>) -> Option<T>) -> Option<Vec<T>> {
    let items: Vec<T> = value?.list()?.iter().map(read).collect::<Option<_>>()?;
    (!items.is_empty()).then_some(items)
}

fn subscription(entry: &Json<'_>, id_bytes: usize) -> Option<SubscriptionSpec> {
    Some(SubscriptionSpec {
        id: name(entry.field("id")?, id_bytes)?.into(),
        path: entry.field("path")?.text()?.into(),
        events: some(entry.field("events"), |event| event.text().map(Into::into))?,
    })
}

fn create(message: &Json<'_>, id_bytes: usize) -> Result<Body, Wrong> {
    let id = message.field("id").and_then(|id| name(id, id_bytes)).ok_or(Wrong::message(None))?;
    let wrong = || Wrong::message(Some(id.clone()));
    let query = message.field("query").filter(|query| query.object().is_some()).ok_or_else(wrong)?;
    let options = options(message.field("options")).ok_or_else(wrong)?;
    let since = message.field("since");
    if since.is_some_and(|since| since.text().is_none() || !options.resume) {
        return Err(wrong());
    }
    let since = texts(since);
    let have = message.field("have");
    let etags = have.and_then(Json::list).and_then(|list| list.iter().map(etag).collect::<Option<Vec<_>>>());
    if have.is_some() && (etags.is_none() || !options.resume) {
        return Err(wrong());
    }
    match query_spec(query) {
        Some(query) => Ok(Body::Create { id, query, options, since, have: etags }),
        None => Err(Wrong { code: ErrorCode::InvalidQuery, id: Some(id) }),
    }
}

/// 22 characters of base64url, of which the last has two bits.
fn etag(value: &Json<'_>) -> Option<Etag> {
    let text = value.text()?;
    let is_sign = |sign: u8| sign.is_ascii_alphanumeric() || sign == b'-' || sign == b'_';
    let is_one = text.len() == 22 && text.bytes().all(is_sign) && text.ends_with(['A', 'Q', 'g', 'w']);
    let etag = text.parse().ok();
    assert_eq!(etag.is_some(), is_one, "{text}");
    etag
}

fn options(value: Option<&Json<'_>>) -> Option<LiveQueryOptions> {
    let Some(value) = value else { return Some(LiveQueryOptions::default()) };
    only(value, &["positions", "counts", "reasons", "resume", "status", "hints"])?;
    let option = |name: &str| value.field(name).map_or(Some(false), Json::boolean);
    Some(LiveQueryOptions {
        positions: option("positions")?,
        counts: option("counts")?,
        reasons: option("reasons")?,
        resume: option("resume")?,
        status: option("status")?,
        hints: option("hints")?,
    })
}

/// "Unknown fields inside `query` are `INVALID_QUERY`."
fn query_spec(query: &Json<'_>) -> Option<Query> {
    only(query, &["edge", "filter", "params", "orderBy", "limit", "node"])?;
    let text = |name: &str| match query.field(name) {
        None => Some(None),
        Some(value) => value.text().map(|text| Some(text.to_owned())),
    };
    let limit = match query.field("limit") {
        None => None,
        Some(limit) => Some(limit.whole()?),
    };
    let fields = match query.field("node") {
        None => None,
        Some(node) => {
            only(node, &["fields"])?;
            match node.field("fields") {
                None => None,
                Some(fields) => {
                    let names = fields.list()?.iter().map(|name| name.text().map(str::to_owned));
                    Some(names.collect::<Option<_>>()?)
                }
            }
        }
    };
    let params = match query.field("params") {
        None => BTreeMap::new(),
        Some(params) => {
            let read =
                |(name, value): &(Option<String>, Json<'_>)| Some((name.clone()?, param(value, true)?));
            params.object()?.iter().map(read).collect::<Option<_>>()?
        }
    };
    let set = text("edge")??;
    Some(Query { set, filter: text("filter")?, params, order_by: text("orderBy")?, limit, fields })
}

/// "A string, number, boolean, null (nothing), an instant, a duration, or an array of these."
fn param(value: &Json<'_>, may_be_list: bool) -> Option<Param> {
    Some(match &value.kind {
        Kind::Null => Param::Nothing,
        Kind::Bool(value) => (*value).into(),
        Kind::Text(text) => text.as_deref()?.into(),
        Kind::Number => Param::Number(Numeral::read(value.raw.as_bytes())?.value(value.raw)?),
        Kind::List(items) => {
            let items = items.iter().map(|item| param(item, false)).collect::<Option<_>>();
            Param::List(items.filter(|_| may_be_list)?)
        }
        Kind::Object(_) => {
            only(value, &["instant", "duration"])?;
            match (value.field("instant"), value.field("duration")) {
                (Some(instant), None) => Param::Instant(instant.text()?.into()),
                (None, Some(duration)) => Param::Duration(duration.text()?.into()),
                _ => return None,
            }
        }
    })
}

fn only(object: &Json<'_>, names: &[&str]) -> Option<()> {
    let Kind::Object(fields) = &object.kind else { return None };
    let is_known = |name: &Option<String>| name.as_deref().is_some_and(|name| names.contains(&name));
    fields.iter().all(|(name, _)| is_known(name)).then_some(())
}
