//! The client's end of one connection.

mod event;
mod result;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

pub use event::{ClientError, ClientEvent, Ended, NodeChange, RequestId};
use result::Held;
pub use result::LiveResult;

use crate::limits::ClientLimits;
use crate::message::{
    AuthOptions, ClientBody, ClientMessage, LiveQueryOptions, ServerMessage, ServerMessageError,
    SubscriptionSpec,
};
use crate::model::{Query, SetStatus};
use crate::session::Event;
use crate::time::Monotonic;
use crate::token::Token;

/// The client's end of one connection: says what its owner wants, answers pings, folds live queries.
///
/// **Inputs** are [`handle_text`](ClientSession::handle_text) and
/// [`handle_timeout`](ClientSession::handle_timeout), **commands** are the plain verbs; after any of them drain
/// [`poll_transmit`](ClientSession::poll_transmit) and [`poll_event`](ClientSession::poll_event).
/// [`poll_timeout`](ClientSession::poll_timeout) says when to call `handle_timeout`. Every request carries a
/// number as its `requestId`, which the events that answer it name.
///
/// # In other languages
///
/// A client that resumes keeps a way back to its rows as they were when `version` last changed: what it has of a commit that was cut
/// off is not to be mixed with net diffs from before it. This does so, and is what a client has to do:
///
/// ```js
#[doc = include_str!("live_rows.js")]
/// ```
///
/// It trusts its server in size (a result is as large as the server's cap lets it be), not in form: what does
/// not fit is an error, never a panic.
///
/// ```
/// use liveset_core::{ClientEvent, ClientLimits, ClientSession, LiveQueryRequest, Monotonic, Query, Token};
///
/// let mut session = ClientSession::new(ClientLimits::default(), Monotonic::ZERO);
/// session.authenticate(&Token::new("s3cret"));
/// let query = Query { set: "orders".into(), ..Query::default() };
/// session.create_live_query(LiveQueryRequest::new("open", query));
/// let mut text = Vec::new();
/// while session.poll_transmit(&mut text) {
///     // Each is a message of its own for the socket.
///     text.clear();
/// }
///
/// // What the socket brings.
/// for text in [
///     r#"{"type":"authenticated","requestId":"1"}"#,
///     r#"{"type":"liveQueryCreated","id":"open","requestId":"2","totalCount":1,"capped":false}"#,
///     r#"{"type":"liveQueryData","id":"open","data":[{"id":"a","total":3}],"hasMore":false,"capped":false}"#,
///     r#"{"type":"liveQueryUpdatedNode","id":"open","nodeId":"a","data":{"id":"a","total":4}}"#,
/// ] {
///     session.handle_text(Monotonic::ZERO, text.as_bytes())?;
///     while let Some(event) = session.poll_event() {
///         assert!(!matches!(event, ClientEvent::Error { .. }));
///     }
/// }
/// let result = session.live_query("open").unwrap();
/// assert_eq!(result.len(), 1);
/// # Ok::<(), liveset_core::ClientError>(())
/// ```
#[derive(Debug)]
pub struct ClientSession {
    limits: ClientLimits,
    link: Link,
    authenticated: bool,
    requests: u64,
    asked: BTreeMap<RequestId, Asked>,
    subscriptions: BTreeMap<Arc<str>, SubscriptionSpec>,
    live_queries: BTreeMap<Arc<str>, LiveResult>,
    outbox: VecDeque<Box<[u8]>>,
    events: VecDeque<ClientEvent>,
}

/// Whether the server is still there.
#[derive(Debug)]
enum Link {
    /// It was last heard of then.
    Up { heard: Monotonic },
    /// It was silent for too long.
    Lost,
}

/// A request that the server has not answered.
#[derive(Debug)]
enum Asked {
    Authenticate,
    Ping,
    Subscribe(Vec<SubscriptionSpec>),
    Unsubscribe,
    Create { id: Arc<str>, result: Box<LiveResult> },
    Destroy(Box<str>),
    Await,
}

/// A live query that a client wants.
///
/// ```
/// use liveset_core::{LiveQueryOptions, LiveQueryRequest, Query};
///
/// let query = Query { set: "orders".into(), filter: Some("total > 100".into()), ..Query::default() };
/// let wanted = LiveQueryRequest {
///     options: LiveQueryOptions { positions: true, ..LiveQueryOptions::default() },
///     ..LiveQueryRequest::new("large", query)
/// };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveQueryRequest {
    /// The client's name for it, at most 128 bytes.
    pub id: String,
    /// What it asks for.
    pub query: Query,
    /// The extensions that it opts in to.
    pub options: LiveQueryOptions,
    /// The key field of the set: initial rows name their nodes by it. Default `id`. With any option the server names it, and that counts.
    pub key: String,
    /// With `resume`: the result of an earlier connection, from which to go on, by its version where the server knows that, else by
    /// what rows it has. The query must be the same; the options may be others. With `positions` where the result has none it begins
    /// anew.
    pub resume_from: Option<LiveResult>,
}

impl LiveQueryRequest {
    /// A live query without extensions over a set whose key field is `id`.
    pub fn new(id: impl Into<String>, query: Query) -> LiveQueryRequest {
        LiveQueryRequest {
            id: id.into(),
            query,
            options: LiveQueryOptions::default(),
            key: "id".into(),
            resume_from: None,
        }
    }
}

impl ClientSession {
    /// A connection that opened at `now`.
    pub fn new(limits: ClientLimits, now: Monotonic) -> ClientSession {
        ClientSession {
            limits,
            link: Link::Up { heard: now },
            authenticated: false,
            requests: 0,
            asked: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            live_queries: BTreeMap::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    // ---- commands ----

    /// Sends the token (without `Bearer `). Must be the first message.
    pub fn authenticate(&mut self, token: &Token) -> RequestId {
        self.authenticate_with(token, AuthOptions::default())
    }

    /// Like [`authenticate`](ClientSession::authenticate), with extensions of the connection. Those of the last token that was accepted
    /// count.
    pub fn authenticate_with(&mut self, token: &Token, options: AuthOptions) -> RequestId {
        self.ask(Asked::Authenticate, ClientBody::Auth { token: token.clone(), options })
    }

    /// Asks for all of these subscriptions, or none.
    pub fn subscribe(&mut self, subscriptions: Vec<SubscriptionSpec>) -> RequestId {
        let body = ClientBody::SubscribeEvents { subscriptions: subscriptions.clone() };
        self.ask(Asked::Subscribe(subscriptions), body)
    }

    /// Gives up all of these subscriptions, or none.
    pub fn unsubscribe<'i>(&mut self, ids: impl IntoIterator<Item = &'i str>) -> RequestId {
        let ids = ids.into_iter().map(Arc::from).collect();
        self.ask(Asked::Unsubscribe, ClientBody::UnsubscribeEvents { ids })
    }

    /// Asks for a live query.
    pub fn create_live_query(&mut self, wanted: LiveQueryRequest) -> RequestId {
        let LiveQueryRequest { id, query, options, key, resume_from } = wanted;
        let resumed =
            resume_from.filter(|_| options.resume).and_then(|result| result.resumed(&key, &options));
        let result = resumed.unwrap_or_else(|| LiveResult::new(&key, &options));
        let since = result.version().map(String::from);
        // Where the server does not know the version. Nothing is not worth a word.
        let have = result.etags().filter(|etags| !etags.is_empty());
        let id: Arc<str> = id.into();
        let body = ClientBody::CreateLiveQuery { id: id.clone(), query, options, since, have };
        self.ask(Asked::Create { id, result: Box::new(result) }, body)
    }

    /// Gives up a live query.
    pub fn destroy_live_query(&mut self, id: &str) -> RequestId {
        self.ask(Asked::Destroy(id.into()), ClientBody::DestroyLiveQuery { id: id.into() })
    }

    /// Asks to be told when all live queries show a position: what a commit was answered with.
    pub fn await_position(&mut self, position: impl Into<String>) -> RequestId {
        self.ask(Asked::Await, ClientBody::AwaitPosition { position: position.into() })
    }

    /// Asks for a pong.
    pub fn ping(&mut self) -> RequestId {
        self.ask(Asked::Ping, ClientBody::Ping)
    }

    fn ask(&mut self, asked: Asked, body: ClientBody) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.asked.insert(request, asked);
        self.say(&ClientMessage { request_id: Some(request.to_string().into()), body });
        request
    }

    fn say(&mut self, message: &ClientMessage) {
        let mut text = Vec::new();
        message.write(&mut text);
        self.outbox.push_back(text.into_boxed_slice());
    }

    // ---- inputs ----

    /// A text message came. Unknown types are ignored.
    ///
    /// # Errors
    ///
    /// What the server may not say: it is no message, or does not fit what was said before.
    pub fn handle_text(&mut self, now: Monotonic, text: &[u8]) -> Result<(), ClientError> {
        if let Link::Up { heard } = &mut self.link {
            *heard = now.max(*heard);
        }
        match ServerMessage::parse(text) {
            Ok(message) => self.handle_message(message),
            Err(ServerMessageError::UnknownType(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The time is `now`: notices that the server is gone.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.link = Link::Lost;
            self.events.push_back(ClientEvent::Lost);
        }
    }

    // ---- outputs ----

    /// Appends the next message to `out`, exactly one; false where there is none.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        match self.outbox.pop_front() {
            Some(text) => {
                out.extend_from_slice(&text);
                true
            }
            None => false,
        }
    }

    /// The next fact.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](ClientSession::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        match self.link {
            Link::Up { heard } => Some(heard + self.limits.silence),
            Link::Lost => None,
        }
    }

    // ---- reading ----

    /// Whether the server accepted a token.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// Requests that the server has not answered.
    pub fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// The subscriptions that are there.
    pub fn subscriptions(&self) -> impl Iterator<Item = &SubscriptionSpec> {
        self.subscriptions.values()
    }

    /// The result of one live query, once the server has accepted it.
    pub fn live_query(&self, id: &str) -> Option<&LiveResult> {
        self.live_queries.get(id)
    }

    /// Every live query that is there, by id.
    pub fn live_queries(&self) -> impl Iterator<Item = (&Arc<str>, &LiveResult)> {
        self.live_queries.iter()
    }

    // ---- what each message leads to ----

    fn handle_message(&mut self, message: ServerMessage<'_>) -> Result<(), ClientError> {
        let event = match message {
            ServerMessage::Ping => {
                self.say(&ClientMessage { request_id: None, body: ClientBody::Pong });
                return Ok(());
            }
            ServerMessage::Authenticated { request_id } => match self.answered(request_id.as_deref())? {
                (request, Asked::Authenticate) => {
                    self.authenticated = true;
                    ClientEvent::Authenticated { request }
                }
                (request, _) => return Err(wrong_answer(request)),
            },
            ServerMessage::Pong { request_id } => match self.answered(request_id.as_deref())? {
                (request, Asked::Ping) => ClientEvent::Pong { request },
                (request, _) => return Err(wrong_answer(request)),
            },
            ServerMessage::SubscribedEvents { request_id, subscriptions } => {
                let (request, Asked::Subscribe(asked)) = self.answered(request_id.as_deref())? else {
                    return Err(inconsistent("'subscribedEvents' answers no subscription"));
                };
                if subscriptions != asked {
                    return Err(inconsistent("'subscribedEvents' is not the list that was asked for"));
                }
                let ids = asked.iter().map(|spec| spec.id.clone()).collect();
                self.subscriptions.extend(asked.into_iter().map(|spec| (spec.id.clone(), spec)));
                ClientEvent::Subscribed { request, ids }
            }
            ServerMessage::UnsubscribedEvents { request_id, ids } => {
                let (request, Asked::Unsubscribe) = self.answered(request_id.as_deref())? else {
                    return Err(inconsistent("'unsubscribedEvents' answers no request"));
                };
                for id in &ids {
                    self.subscriptions.remove(&**id);
                }
                ClientEvent::Unsubscribed { request, ids }
            }
            ServerMessage::Event { subscription_ids, event_type, path, data, timestamp } => {
                for id in &subscription_ids {
                    if self.subscriptions.get(&**id).is_none_or(|spec| *spec.path != *path) {
                        return Err(inconsistent(&format!("an event for '{id}' on '{path}'")));
                    }
                }
                ClientEvent::Event {
                    subscription_ids: subscription_ids.iter().map(|id| Arc::from(&**id)).collect(),
                    path: Arc::from(&*path),
                    event: Event {
                        event_type: Arc::from(&*event_type),
                        data: Bytes::copy_from_slice(data.0),
                        timestamp: Box::from(&*timestamp),
                    },
                }
            }
            ServerMessage::Commit => ClientEvent::Commit,
            ServerMessage::PositionReached { request_id } => match self.answered(request_id.as_deref())? {
                (request, Asked::Await) => ClientEvent::PositionReached { request },
                (request, _) => return Err(wrong_answer(request)),
            },
            ServerMessage::LiveQueryStatus { id, status, since } => {
                let status = SetStatus::from_wire(&status, since.as_deref());
                let status =
                    status.ok_or_else(|| inconsistent("a status that the protocol does not have"))?;
                ClientEvent::LiveQueryStatus { id: Arc::from(&*id), status }
            }
            ServerMessage::Warning { code, message, subscription_id } => ClientEvent::Warning {
                code: code.into_owned(),
                message: message.into_owned(),
                subscription_id: Arc::from(&*subscription_id),
            },
            ServerMessage::Error { code, message, request_id, id } => {
                self.failed(&code, message.into_owned(), request_id.as_deref(), id.as_deref())?
            }
            message => self.handle_live_query(message)?,
        };
        self.events.push_back(event);
        Ok(())
    }

    fn handle_live_query(&mut self, message: ServerMessage<'_>) -> Result<ClientEvent, ClientError> {
        match message {
            ServerMessage::LiveQueryCreated { request_id, id, total_count, capped, version, key, hints } => {
                let (request, id, mut result) = self.accepted(request_id.as_deref(), &id)?;
                result.tell_key(key.as_deref());
                result.created(total_count, capped, version.as_deref());
                self.live_queries.insert(id.clone(), result);
                Ok(ClientEvent::LiveQueryCreated { request, id, hints: hints.unwrap_or_default() })
            }
            ServerMessage::LiveQueryResumed { request_id, id, total_count, capped, version, key, drop } => {
                let (request, id, mut result) = self.accepted(request_id.as_deref(), &id)?;
                result.tell_key(key.as_deref());
                match drop {
                    Some(drop) => result.kept(&drop).map_err(ClientError::Inconsistent)?,
                    None if result.version().is_none() => {
                        return Err(inconsistent("'liveQueryResumed' where nothing was to be resumed"));
                    }
                    None => {}
                }
                result.count(total_count, capped);
                // Where nothing has changed it is the version of now.
                result.reached(version.as_deref());
                self.live_queries.insert(id.clone(), result);
                Ok(ClientEvent::LiveQueryResumed { request, id })
            }
            ServerMessage::LiveQueryDestroyed { request_id, id } => {
                match self.answered(request_id.as_deref())? {
                    // One that was still waited for is not there.
                    (request, Asked::Destroy(asked)) if *asked == *id => {
                        let there = self.live_queries.remove_entry(&*id).map(|(id, _)| id);
                        let id = there.unwrap_or_else(|| Arc::from(&*id));
                        Ok(ClientEvent::LiveQueryDestroyed { request, id })
                    }
                    _ => Err(inconsistent("'liveQueryDestroyed' answers no request")),
                }
            }
            ServerMessage::LiveQueryData { id, data, etags, has_more, .. } => {
                let (id, result) = self.known(&id)?;
                for (place, row) in data.iter().enumerate() {
                    let etag = etags.as_ref().and_then(|etags| etags.get(place));
                    result.load(row.0, etag.copied()).map_err(ClientError::Inconsistent)?;
                }
                if !has_more {
                    result.all_loaded();
                }
                Ok(ClientEvent::LiveQueryRows { id, rows: data.len(), loaded: !has_more })
            }
            ServerMessage::LiveQueryAddedNode { id, node_id, data, index, reason, version, etag } => {
                let (id, result) = self.known(&id)?;
                result.added(&node_id, Held::new(data.0, etag), index).map_err(ClientError::Inconsistent)?;
                result.reached(version.as_deref());
                let change = NodeChange::Added { index, reason };
                Ok(ClientEvent::LiveQueryChanged { id, node_id: Arc::from(&*node_id), change })
            }
            ServerMessage::LiveQueryUpdatedNode { id, node_id, data, index, version, etag } => {
                let (id, result) = self.known(&id)?;
                result
                    .updated(&node_id, Held::new(data.0, etag), index)
                    .map_err(ClientError::Inconsistent)?;
                result.reached(version.as_deref());
                let change = NodeChange::Updated { index };
                Ok(ClientEvent::LiveQueryChanged { id, node_id: Arc::from(&*node_id), change })
            }
            ServerMessage::LiveQueryRemovedNode { id, node_id, reason, version } => {
                let (id, result) = self.known(&id)?;
                result.removed(&node_id).map_err(ClientError::Inconsistent)?;
                result.reached(version.as_deref());
                let change = NodeChange::Removed { reason };
                Ok(ClientEvent::LiveQueryChanged { id, node_id: Arc::from(&*node_id), change })
            }
            ServerMessage::LiveQueryCount { id, total_count, capped } => {
                let (id, result) = self.known(&id)?;
                result.count(total_count, capped);
                Ok(ClientEvent::LiveQueryCount { id })
            }
            other => Err(inconsistent(&format!("'{}' is out of place", other.type_name()))),
        }
    }

    /// A request failed, or the server ended something.
    fn failed(
        &mut self,
        code: &str,
        message: String,
        request_id: Option<&str>,
        id: Option<&str>,
    ) -> Result<ClientEvent, ClientError> {
        let request = match request_id {
            Some(_) => Some(self.answered(request_id)?.0),
            None => None,
        };
        let ended = match (request, id) {
            (None, Some(id)) => {
                // The message does not say which of the two it names. Where both are there, it stays open.
                match (self.live_queries.contains_key(id), self.subscriptions.contains_key(id)) {
                    (true, false) => {
                        self.live_queries.remove(id);
                        Some(Ended::LiveQuery)
                    }
                    (false, true) => {
                        self.subscriptions.remove(id);
                        Some(Ended::Subscription)
                    }
                    (true, true) | (false, false) => None,
                }
            }
            _ => None,
        };
        Ok(ClientEvent::Error {
            code: code.parse().ok(),
            code_text: code.to_owned(),
            message,
            request,
            id: id.map(Arc::from),
            ended,
        })
    }

    /// The request that a message answers.
    fn answered(&mut self, request_id: Option<&str>) -> Result<(RequestId, Asked), ClientError> {
        let text = request_id.ok_or_else(|| inconsistent("an answer without its requestId"))?;
        let request = text.parse().ok().map(RequestId).filter(|request| request.to_string() == text);
        let asked = request.and_then(|request| self.asked.remove_entry(&request));
        asked.ok_or_else(|| inconsistent("an answer to a request that was not made"))
    }

    fn accepted(
        &mut self,
        request_id: Option<&str>,
        id: &str,
    ) -> Result<(RequestId, Arc<str>, LiveResult), ClientError> {
        match self.answered(request_id)? {
            (request, Asked::Create { id: asked, result }) if *asked == *id => {
                if self.live_queries.contains_key(id) {
                    return Err(inconsistent(&format!("live query '{id}' was created twice")));
                }
                Ok((request, asked, *result))
            }
            (request, _) => Err(wrong_answer(request)),
        }
    }

    fn known(&mut self, id: &str) -> Result<(Arc<str>, &mut LiveResult), ClientError> {
        let known = self.live_queries.get_key_value(id).map(|(id, _)| id.clone());
        match (known, self.live_queries.get_mut(id)) {
            (Some(id), Some(result)) => Ok((id, result)),
            _ => Err(inconsistent(&format!("no live query '{id}'"))),
        }
    }
}

fn inconsistent(what: &str) -> ClientError {
    ClientError::Inconsistent(what.to_owned())
}

fn wrong_answer(request: RequestId) -> ClientError {
    inconsistent(&format!("request {request} was answered with something else"))
}
