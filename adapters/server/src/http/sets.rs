//! What sets there are, and what is in them: `GET /sets`, `GET /sets/{name}`, `GET /sets/{name}/values`, `GET /schema`.
//!
//! All of it is as the policy lets the caller see it, on the account of the caller's subject, in the turns of [`Queue`](super::queue).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame};
use liveset::{Access, FieldDef, FieldKind, Principal, Query, QueryError, Row, Scan, SetInfo};
use liveset_core::model::limit;
use liveset_engine::{JsonLimits, Timestamp, Value, json};
use serde::Serialize;
use serde_json::{Map, json};
use tokio::sync::mpsc;

use super::auth::Caller;
use super::query::{NODES_A_TURN, begin, in_turn, refused};
use super::queue::Request;
use super::{ApiError, App, error};
use crate::limits::{HttpLimits, count_refusal};

/// So many nodes are looked at for the fields that are seen.
const SAMPLED: u64 = 1_000;
/// So many fields are named, by paths of so many bytes at most, and they go into so many objects.
const MOST_FIELDS: usize = 1_000;
const MOST_PATH_BYTES: usize = 256;
const MOST_NESTED: usize = 8;
/// So many values are told apart, of so many bytes at most.
const MOST_VALUES: usize = 10_000;
const MOST_VALUE_BYTES: usize = 256;
/// So often it is looked at what is kept for a client that does not read.
const LOOK: Duration = Duration::from_secs(1);
/// So many values are answered where nothing is asked for, and at most.
const VALUES: usize = 20;
const MOST_VALUES_ANSWERED: usize = 1_000;

// --- GET /sets ---

#[derive(Serialize)]
struct Set<'a> {
    name: &'a str,
    key: &'a str,
    count: u64,
    source: &'a str,
    status: &'a str,
    strict: bool,
    declared: Vec<Declared<'a>>,
    seen: Vec<Seen>,
}

#[derive(Serialize)]
struct Declared<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    required: bool,
}

#[derive(Serialize)]
struct Seen {
    name: String,
    types: BTreeSet<&'static str>,
    /// Of the nodes that were looked at, those that have it.
    nodes: u64,
}

pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    let mut request = begin(&app, &caller)?;
    let known = app.liveset.sets();
    let mut sets = Vec::new();
    for set in &known {
        let definition = &set.definition;
        let access = app.liveset.access(&caller.who, &definition.name);
        if access == Access::Nothing {
            continue;
        }
        let sees_all = access == Access::All;
        let (mut fields, mut count) = (Fields::default(), 0);
        let query = Query::new(&*definition.name);
        each(&app, &mut request, &caller.who, query, |rows| {
            for row in rows {
                count += 1;
                if count <= SAMPLED {
                    fields.see(&row);
                }
            }
            // How many there are is known to whoever sees all of them.
            !sees_all || count < SAMPLED
        })
        .await?;
        sets.push(Set {
            name: &definition.name,
            key: &definition.key,
            count: if sees_all { set.rows as u64 } else { count },
            source: set.source.as_str(),
            status: set.status.as_str(),
            strict: definition.strict,
            declared: visible(set, &access).map(declared).collect(),
            seen: fields.into_seen(),
        });
    }
    answer(&json!({ "sets": sets }))
}

fn declared(field: &FieldDef) -> Declared<'_> {
    Declared { name: &field.path, kind: kind(field.kind), required: field.required }
}

fn kind(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Number => "number",
        FieldKind::Bool => "bool",
        FieldKind::Instant => "instant",
        FieldKind::List => "list",
        FieldKind::Object => "object",
    }
}

/// The declared fields that somebody may see whole.
fn visible<'a>(set: &'a SetInfo, access: &Access) -> impl Iterator<Item = &'a FieldDef> {
    let allowed = match access {
        Access::Part(restriction) => restriction.fields.clone(),
        Access::All | Access::Nothing => None,
    };
    set.definition.fields.iter().filter(move |field| {
        allowed.as_ref().is_none_or(|allowed| {
            allowed.iter().any(|seen| {
                field.path.strip_prefix(&**seen).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        })
    })
}

/// The fields of some rows, by their paths.
#[derive(Default)]
struct Fields(BTreeMap<String, (BTreeSet<&'static str>, u64)>);

impl Fields {
    fn see(&mut self, row: &Row) {
        if let Ok(Value::Object(object)) = json::parse(row.json(), &JsonLimits::default()) {
            let mut path = String::new();
            self.see_members(&object, &mut path, MOST_NESTED);
        }
    }

    fn see_members(&mut self, object: &liveset_engine::Object, path: &mut String, nested: usize) {
        for (name, value) in object.iter() {
            let outer = path.len();
            if outer > 0 {
                path.push('.');
            }
            path.push_str(&liveset_engine::Path::field(name).to_string());
            if path.len() > MOST_PATH_BYTES {
                path.truncate(outer);
                continue;
            }
            if self.0.len() < MOST_FIELDS || self.0.contains_key(path) {
                let (types, nodes) = self.0.entry(path.clone()).or_default();
                types.insert(kind_of(value));
                *nodes += 1;
            }
            if let Value::Object(inner) = value
                && nested > 1
            {
                self.see_members(inner, path, nested - 1);
            }
            path.truncate(outer);
        }
    }

    fn into_seen(self) -> Vec<Seen> {
        self.0.into_iter().map(|(name, (types, nodes))| Seen { name, types, nodes }).collect()
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Nothing => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::Text(text) if Timestamp::parse_rfc3339(text).is_some() => "instant",
        Value::Text(_) => "text",
        Value::Instant(_) => "instant",
        Value::List(_) => "list",
        Value::Object(_) => "object",
    }
}

// --- GET /sets/{name} ---

/// The whole set, a node a line.
pub(super) async fn export(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let name = name_of(name)?;
    if app.liveset.access(&caller.who, &name) != Access::All {
        return Err(ApiError::forbidden(format!("reading a set whole is for who sees all of it: {name:?}")));
    }
    known(&app, &name)?;
    let export = Exports::begin(&app.exports, &caller.who.subject, app.options.exports)?;
    let mut request = begin(&app, &caller)?;
    let who = caller.who;
    // What is refused at once is refused by a status.
    let (mut scan, mut rows) = start(&app, &mut request, &who, Query::new(&*name)).await?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _export = export;
        while let Some(some) = rows {
            let next = match deliver(&sender, &some, &mut scan).await {
                Ok(true) => more(&mut request, scan).await,
                Ok(false) => return,
                Err(error) => Err(refused(&error)),
            };
            match next {
                Ok(next) => (scan, rows) = next,
                Err(error) => {
                    tracing::warn!(
                        set = name,
                        subject = &*who.subject,
                        ?error,
                        "a set was not read to its end"
                    );
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            }
        }
    });
    let content_type = [(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))];
    Ok((StatusCode::OK, content_type, Body::new(Pieces(receiver))).into_response())
}

/// Waits until the client takes a piece. Where it does not, too much may change meanwhile of what is kept for it. False where it is gone,
/// or has stopped reading.
async fn deliver(
    sender: &mpsc::Sender<Result<Bytes, ApiError>>,
    rows: &[Row],
    scan: &mut Scan,
) -> Result<bool, QueryError> {
    if rows.is_empty() {
        return Ok(true);
    }
    let mut room = pin!(sender.reserve());
    loop {
        tokio::select! {
            room = &mut room => {
                return Ok(room.map(|room| room.send(Ok(lines(rows)))).is_ok());
            }
            () = tokio::time::sleep(LOOK) => scan.check()?,
        }
    }
}

/// The JSON of a row has no end of a line: the engine keeps it without white space.
fn lines(rows: &[Row]) -> Bytes {
    let mut lines = BytesMut::with_capacity(rows.iter().map(|row| row.json().len() + 1).sum());
    for row in rows {
        lines.put_slice(row.json());
        lines.put_u8(b'\n');
    }
    lines.freeze()
}

/// A body in pieces. After an error it is cut, so that nobody takes it for whole.
struct Pieces(mpsc::Receiver<Result<Bytes, ApiError>>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = ApiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ApiError>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// The subjects for whom a set is being read whole.
#[derive(Debug, Default)]
pub(super) struct Exports(Mutex<HashSet<Arc<str>>>);

/// One of them.
struct Export(Arc<Exports>, Arc<str>);

impl Exports {
    fn begin(exports: &Arc<Self>, subject: &Arc<str>, most: usize) -> Result<Export, ApiError> {
        let mut running = exports.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains(subject) {
            return Err(ApiError::overloaded("a set is being read whole for this subject already"));
        }
        if running.len() >= most.max(1) {
            count_refusal(limit!(HttpLimits.exports));
            return Err(ApiError::overloaded("as many sets are being read whole as may be"));
        }
        running.insert(subject.clone());
        Ok(Export(exports.clone(), subject.clone()))
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

// --- GET /sets/{name}/values ---

/// The commonest values of a field.
pub(super) async fn values(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(parameters): RawQuery,
    caller: Caller,
) -> Result<Response, ApiError> {
    let name = name_of(name)?;
    let (mut field, mut most) = (None, VALUES);
    for (name, value) in parameters.as_deref().into_iter().flat_map(parameters_of) {
        match &*name {
            "field" => field = Some(value),
            "limit" => {
                most = value.parse().ok().filter(|most| *most <= MOST_VALUES_ANSWERED).ok_or_else(|| {
                    ApiError::invalid_message(format!("`limit` is a number up to {MOST_VALUES_ANSWERED}"))
                })?;
            }
            other => return Err(ApiError::invalid_message(format!("there is no parameter {other:?}"))),
        }
    }
    let field = field.ok_or_else(|| ApiError::invalid_message("which `field`? ?field=status"))?;
    let path = liveset_engine::Path::parse(&field, &Default::default())
        .map_err(|error| ApiError::refused("INVALID_QUERY", format!("field: {error}")))?;
    let mut request = begin(&app, &caller)?;
    let mut tally = Tally::default();
    let query = Query::new(&*name).fields([&*field]);
    each(&app, &mut request, &caller.who, query, |rows| {
        rows.iter().for_each(|row| tally.count(row, &path));
        true
    })
    .await?;
    answer(&tally.into_answer(&field, most))
}

/// `a=b&c=d`, decoded.
pub(super) fn parameters_of(text: &str) -> impl Iterator<Item = (String, String)> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts.map(move |part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(name), decoded(value))
    })
}

/// How often there is which value.
#[derive(Default)]
struct Tally {
    nodes: u64,
    without: u64,
    /// By their JSON.
    values: HashMap<String, u64>,
    /// Values that are not told apart: objects, long texts, and those that came after [`MOST_VALUES`] others.
    others: u64,
}

impl Tally {
    fn count(&mut self, row: &Row, path: &liveset_engine::Path) {
        self.nodes += 1;
        match json::parse(row.json(), &JsonLimits::default()) {
            Ok(node) => match node.at(path) {
                Value::Nothing => self.without += 1,
                Value::List(items) => items.iter().for_each(|item| self.count_value(item)),
                value => self.count_value(value),
            },
            Err(_) => self.without += 1,
        }
    }

    fn count_value(&mut self, value: &Value) {
        let text = match value {
            Value::Nothing => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number.exact().to_string(),
            Value::Text(text) if text.len() <= MOST_VALUE_BYTES => json!(text.as_str()).to_string(),
            Value::Text(_) | Value::Instant(_) | Value::List(_) | Value::Object(_) => {
                self.others += 1;
                return;
            }
        };
        if let Some(count) = self.values.get_mut(&text) {
            *count += 1;
        } else if self.values.len() < MOST_VALUES {
            self.values.insert(text, 1);
        } else {
            self.others += 1;
        }
    }

    fn into_answer(self, field: &str, most: usize) -> serde_json::Value {
        let different = self.values.len();
        let mut values: Vec<_> = self.values.into_iter().collect();
        values.sort_unstable_by(|(a, times_a), (b, times_b)| times_b.cmp(times_a).then_with(|| a.cmp(b)));
        values.truncate(most);
        let value = |(text, count): (String, u64)| {
            // It was written above.
            let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            json!({ "value": value, "count": count })
        };
        json!({
            "field": field,
            "nodes": self.nodes,
            "without": self.without,
            "different": different,
            "others": self.others,
            "values": values.into_iter().map(value).collect::<Vec<_>>(),
        })
    }
}

// --- GET /schema ---

/// JSON Schema of what each set declares.
pub(super) async fn schema(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    let mut schemas = Map::new();
    for set in app.liveset.sets() {
        let access = app.liveset.access(&caller.who, &set.definition.name);
        if access != Access::Nothing {
            schemas.insert(set.definition.name.clone(), schema_of(&set, &access));
        }
    }
    answer(&schemas)
}

fn schema_of(set: &SetInfo, access: &Access) -> serde_json::Value {
    let strict = set.definition.strict;
    let mut root = Node::default();
    for field in visible(set, access) {
        if let Ok(path) = liveset_engine::Path::parse(&field.path, &Default::default()) {
            let node =
                path.names().fold(&mut root, |node, name| node.members.entry(name.to_owned()).or_default());
            node.declared = Some((field.kind, field.required));
            // What holds a field that must be there must be there.
            if field.required {
                let mut node = &mut root;
                for name in path.names() {
                    node.required.insert(name.to_owned());
                    node = node.members.entry(name.to_owned()).or_default();
                }
            }
        }
    }
    let key = &set.definition.key;
    root.required.insert(key.clone());
    let mut schema = root.into_schema(strict, true);
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.entry(key.clone()).or_insert_with(|| json!({ "type": ["string", "integer"] }));
    }
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(set.definition.name);
    schema
}

/// A field with those that are declared in it.
#[derive(Default)]
struct Node {
    declared: Option<(FieldKind, bool)>,
    members: BTreeMap<String, Node>,
    required: BTreeSet<String>,
}

impl Node {
    fn into_schema(self, strict: bool, is_required: bool) -> serde_json::Value {
        let Self { declared, members, required } = self;
        let is_object = members.is_empty() && declared.is_some();
        let mut schema = match declared {
            Some((FieldKind::Text, _)) => json!({ "type": "string" }),
            Some((FieldKind::Number, _)) => json!({ "type": "number" }),
            Some((FieldKind::Bool, _)) => json!({ "type": "boolean" }),
            Some((FieldKind::Instant, _)) => {
                json!({ "type": "string", "anyOf": [{ "format": "date-time" }, { "format": "date" }] })
            }
            Some((FieldKind::List, _)) => json!({ "type": "array" }),
            Some((FieldKind::Object, _)) | None => json!({ "type": "object" }),
        };
        if !is_object {
            let members = members.into_iter().map(|(name, node)| {
                let is_required = required.contains(&name);
                (name, node.into_schema(strict, is_required))
            });
            schema["properties"] = members.collect::<Map<_, _>>().into();
            schema["required"] = json!(required);
            // A declared object may hold anything.
            if strict && declared.is_none() {
                schema["additionalProperties"] = json!(false);
            }
        }
        if !is_required && let Some(kind) = schema["type"].as_str() {
            schema["type"] = json!([kind, "null"]);
        }
        schema
    }
}

// --- what they share ---

pub(super) fn name_of(path: Result<Path<String>, PathRejection>) -> Result<String, ApiError> {
    path.map(|Path(name)| name).map_err(|error| ApiError::invalid_message(error.body_text()))
}

pub(super) fn known(app: &App, name: &str) -> Result<(), ApiError> {
    match app.liveset.set_names().iter().any(|known| known == name) {
        true => Ok(()),
        false => Err(ApiError::not_found(&format!("/sets/{name}: there is no such set"))),
    }
}

fn answer(value: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(value).map_err(|_| ApiError::internal())?;
    Ok(error::json(StatusCode::OK, body))
}

/// Gives all rows that match a query to `see`, until it wants no more.
async fn each(
    app: &App,
    request: &mut Request,
    who: &Principal,
    query: Query,
    mut see: impl FnMut(Vec<Row>) -> bool,
) -> Result<(), ApiError> {
    let (mut scan, mut rows) = start(app, request, who, query).await?;
    while let Some(some) = rows {
        if !see(some) {
            return Ok(());
        }
        (scan, rows) = more(request, scan).await?;
    }
    Ok(())
}

/// What a scan has given last; `None` at its end.
type Piece = (Scan, Option<Vec<Row>>);

async fn start(app: &App, request: &mut Request, who: &Principal, query: Query) -> Result<Piece, ApiError> {
    let (liveset, who) = (app.liveset.clone(), who.clone());
    let turn = request.turn().await;
    let begun = in_turn(turn, move || {
        let mut scan = liveset.as_principal(&who).scan(query)?;
        let rows = scan.next(NODES_A_TURN)?;
        Ok((scan, rows))
    });
    begun.await?.map_err(|error| refused(&error))
}

async fn more(request: &mut Request, mut scan: Scan) -> Result<Piece, ApiError> {
    // Who has used up what they may spend waits without a turn.
    if !scan.wait().is_zero() {
        tokio::time::sleep(scan.wait()).await;
    }
    let turn = request.turn().await;
    let next = in_turn(turn, move || {
        let rows = scan.next(NODES_A_TURN)?;
        Ok((scan, rows))
    });
    next.await?.map_err(|error| refused(&error))
}
