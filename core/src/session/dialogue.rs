//! What each message of the client leads to.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::Session;
use super::held::{HeldMessage, Read};
use super::requests::{Refusal, Request};
use super::state::{Active, Reauth, State, Streams};
use super::subscriptions::{Unanswered, Wrong};
use crate::error::ErrorCode;
use crate::limits::SessionLimits;
use crate::message::{
    Ahead, ClientBody, ClientMessage, ClientMessageError, LiveQueryOptions, ServerMessage, SubscriptionSpec,
    shortened,
};
use crate::model::{Etag, Query, limit};
use crate::time::Monotonic;

impl Session {
    /// A message that size, encoding and rate let pass. `text` is there where it may be held instead.
    pub(super) fn take_message(&mut self, now: Monotonic, read: Read, text: Option<Box<str>>) {
        match &mut self.state {
            State::AwaitingAuth { deadline } => {
                let deadline = *deadline;
                self.take_first(deadline, *read.message);
            }
            State::Verifying { held, .. } => {
                let request_id = request_id_of(&read.message);
                let message = text.map_or_else(|| HeldMessage::Read(read), HeldMessage::Text);
                if held.push(&self.limits, message).is_err() {
                    self.close_for_held(request_id.as_deref());
                }
            }
            State::Active(active) => {
                let waits = match &*read.message {
                    // Pings and pongs depend on nothing, and a pong must not come late.
                    Ok(ClientMessage { body: ClientBody::Ping | ClientBody::Pong, .. }) => false,
                    Ok(message) => !active.held.is_empty() || must_wait(active, &message.body),
                    Err(_) => !active.held.is_empty(),
                };
                if !waits {
                    self.handle_message(now, read);
                } else if let Err(HeldMessage::Read(read)) =
                    active.held.push(&self.limits, HeldMessage::Read(read))
                {
                    self.close_for_held(request_id_of(&read.message).as_deref());
                }
            }
            State::Draining { .. } | State::Closing(_) | State::Closed(_) => {}
        }
    }

    /// "`auth` must be the first message. Anything else first: `error` `NOT_AUTHENTICATED`, close 1008."
    fn take_first(&mut self, deadline: Monotonic, message: Result<ClientMessage, ClientMessageError>) {
        let (request_id, token, options) = match message {
            Ok(ClientMessage { request_id, body: ClientBody::Auth { token, options } }) => {
                (request_id, token, options)
            }
            Err(error) if error.is_auth => return self.refuse_malformed(&error),
            Ok(ClientMessage { request_id, .. }) => {
                return self.close_unauthenticated(request_id.as_deref());
            }
            Err(error) => return self.close_unauthenticated(error.request_id.as_deref()),
        };
        let attempt = self.requests.attempt();
        self.requests.push(Request::Verify { attempt, token });
        let held = super::held::Held::default();
        self.state = State::Verifying { deadline, attempt, request_id, options, held };
    }

    fn close_unauthenticated(&mut self, request_id: Option<&str>) {
        let message = "The first message must be 'auth'";
        self.close_with(ErrorCode::NotAuthenticated, message, request_id);
    }

    fn close_for_held(&mut self, request_id: Option<&str>) {
        let message = "Too many messages were sent ahead of an answer";
        self.close_with(ErrorCode::LimitExceeded, message, request_id);
    }

    /// Handles messages that were held, up to the first that still has to wait.
    pub(super) fn replay(&mut self, now: Monotonic) {
        while let State::Active(active) = &mut self.state {
            let Some(read) = active.held.pop(&self.limits) else { return };
            if matches!(&*read.message, Ok(message) if must_wait(active, &message.body)) {
                active.held.unpop(read);
                return;
            }
            self.handle_message(now, read);
        }
    }

    fn handle_message(&mut self, now: Monotonic, read: Read) {
        let ahead = read.ahead;
        let ClientMessage { request_id, body } = match *read.message {
            Ok(message) => message,
            Err(error) => return self.refuse_malformed(&error),
        };
        self.invalid_in_a_row = 0;
        let State::Active(active) = &mut self.state else { return };
        match body {
            ClientBody::Pong => active.keep_alive.pong(&self.limits, now),
            ClientBody::Ping => {
                self.answer(&ServerMessage::Pong { request_id: request_id.as_deref().map(Cow::Borrowed) });
            }
            ClientBody::Auth { token, options } => {
                let attempt = self.requests.attempt();
                let deadline = now + self.limits.auth_timeout;
                active.reauth = Some(Reauth { deadline, attempt, request_id, options });
                self.requests.push(Request::Verify { attempt, token });
            }
            ClientBody::SubscribeEvents { subscriptions } => self.subscribe(request_id, subscriptions),
            ClientBody::UnsubscribeEvents { ids } => self.unsubscribe(request_id, ids),
            ClientBody::CreateLiveQuery { id, query, options, since, have } => {
                self.create_live_query(request_id, id, Asked { query, options, since, have, ahead });
            }
            ClientBody::AwaitPosition { position } => self.await_position(now, request_id, position),
            ClientBody::DestroyLiveQuery { id } => self.destroy_live_query(request_id.as_deref(), &id),
        }
    }

    /// All or nothing: ids and limits are checked here, then the owner checks paths, events and permission of
    /// the entries before the first that is bad here: theirs come first.
    fn subscribe(&mut self, request_id: Option<Box<str>>, mut entries: Vec<SubscriptionSpec>) {
        let State::Active(active) = &mut self.state else { return };
        let subscriptions = &mut active.streams.subscriptions;
        let SessionLimits { subscriptions: most, subscription_events, path_bytes, .. } = *self.limits;
        let free = most.saturating_sub(subscriptions.len());
        let mut named = BTreeSet::new();
        let mut wrong = None;
        for (index, entry) in entries.iter().enumerate() {
            let (code, message, limit) = if subscriptions.contains(&entry.id) || !named.insert(&*entry.id) {
                let message = format!("Subscription id '{}' is in use on this connection", entry.id);
                (ErrorCode::DuplicateId, message, None)
            } else if index >= free {
                let message = format!("A connection may have at most {most} subscriptions");
                (ErrorCode::LimitExceeded, message, Some(limit!(SessionLimits.subscriptions)))
            } else if entry.events.len() > subscription_events {
                let message = format!("A subscription may list at most {subscription_events} event types");
                (ErrorCode::LimitExceeded, message, Some(limit!(SessionLimits.subscription_events)))
            } else if entry.path.len() > path_bytes {
                let (path, has) = (shortened(&entry.path), entry.path.len());
                let message = format!(
                    "A path may have at most {path_bytes} bytes; the one that begins with '{path}' has {has}"
                );
                (ErrorCode::InvalidPath, message, None)
            } else {
                continue;
            };
            if index == 0 {
                limit.into_iter().for_each(|limit| self.refusals.count(limit));
                return self.error(code, &message, request_id.as_deref(), Some(&entry.id));
            }
            let refusal = Refusal { code, message, id: Some(entry.id.clone()) };
            wrong = Some((index, Wrong { refusal, limit }));
            break;
        }
        let wrong = wrong.map(|(index, wrong)| {
            entries.truncate(index);
            wrong
        });
        let ticket = self.requests.ticket();
        let wanted = entries.iter().cloned().map(SubscriptionSpec::without_repetitions).collect();
        subscriptions.reserve(ticket, Unanswered { request_id, subscriptions: entries, wrong });
        self.requests.push(Request::Subscribe { ticket, subscriptions: wanted });
    }

    /// All or nothing. Answered "only where a `requestId` was given (the original shows no answer)".
    fn unsubscribe(&mut self, request_id: Option<Box<str>>, ids: Vec<Arc<str>>) {
        let State::Active(active) = &mut self.state else { return };
        let subscriptions = &mut active.streams.subscriptions;
        let mut named = BTreeSet::new();
        let unknown = ids.iter().find(|id| !subscriptions.contains(id) || !named.insert(&***id));
        if let Some(id) = unknown {
            let message = match named.contains(&**id) {
                true => format!("Subscription id '{id}' is named twice"),
                false => format!("No subscription '{id}' on this connection"),
            };
            return self.error(ErrorCode::UnknownId, &message, request_id.as_deref(), Some(id));
        }
        let gone = ids.iter().filter_map(|id| subscriptions.remove(id)).collect();
        self.requests.push(Request::Unsubscribed { subscriptions: gone });
        if let Some(request_id) = request_id.as_deref().map(Cow::Borrowed) {
            self.answer(&ServerMessage::UnsubscribedEvents { request_id: Some(request_id), ids });
        }
    }

    fn create_live_query(&mut self, request_id: Option<Box<str>>, id: Arc<str>, asked: Asked) {
        let State::Active(active) = &mut self.state else { return };
        let live_queries = &mut active.streams.live_queries;
        if live_queries.contains(&id) {
            let message = format!("Live query id '{id}' is in use on this connection");
            return self.error(ErrorCode::DuplicateId, &message, request_id.as_deref(), Some(&id));
        }
        let limit = self.limits.live_queries;
        if live_queries.len() >= limit {
            let message = format!("A connection may have at most {limit} live queries");
            self.refusals.count(limit!(SessionLimits.live_queries));
            return self.error(ErrorCode::LimitExceeded, &message, request_id.as_deref(), Some(&id));
        }
        let ticket = self.requests.ticket();
        let Asked { query, options, since, have, ahead } = asked;
        live_queries.request(ticket, id.clone(), request_id, options, since.as_deref().map(Box::from));
        self.requests.push(Request::CreateLiveQuery { ticket, id, query, options, since, have, ahead });
    }

    fn await_position(&mut self, now: Monotonic, request_id: Option<Box<str>>, position: String) {
        let State::Active(active) = &mut self.state else { return };
        let limit = self.limits.awaited_positions;
        if active.awaited.len() >= limit {
            let message = format!("A connection may wait for at most {limit} positions");
            self.refusals.count(limit!(SessionLimits.awaited_positions));
            return self.error(ErrorCode::LimitExceeded, &message, request_id.as_deref(), None);
        }
        let ticket = self.requests.ticket();
        active.awaited.push(ticket, request_id, now + self.limits.position_timeout);
        self.requests.push(Request::AwaitPosition { ticket, position });
    }

    /// "drops what is pending and stops the stream: nothing of that query follows `liveQueryDestroyed`"
    fn destroy_live_query(&mut self, request_id: Option<&str>, id: &str) {
        let State::Active(active) = &mut self.state else { return };
        let Some((ticket, id, created_by)) = active.streams.live_queries.remove_by_id(id) else {
            let message = format!("No live query '{id}' on this connection");
            return self.error(ErrorCode::UnknownId, &message, request_id, Some(id));
        };
        // Every request is answered, also the one that has made it.
        if let Some(created_by) = created_by {
            let message = "It was destroyed while it waited for its set";
            self.error(ErrorCode::Overloaded, message, Some(&created_by), Some(&id));
        }
        let request_id = request_id.map(Cow::Borrowed);
        self.answer(&ServerMessage::LiveQueryDestroyed { request_id, id: Cow::Borrowed(&id) });
        self.requests.push(Request::LiveQueryDestroyed { ticket, id });
    }

    /// Answers what is no message, no known message, or no query.
    fn refuse_malformed(&mut self, error: &ClientMessageError) {
        let ClientMessageError { code, message, request_id, id, .. } = error;
        self.error(*code, message, request_id.as_deref(), id.as_deref());
        if *code != ErrorCode::InvalidMessage {
            self.invalid_in_a_row = 0;
            return;
        }
        self.stats.invalid += 1;
        self.invalid_in_a_row += 1;
        if self.invalid_in_a_row >= self.limits.invalid_in_a_row {
            self.close(code.close_code());
        }
    }

    /// The message is not handled; it is only looked at for the mark that its error carries back.
    pub(super) fn refuse_for_rate(&mut self, read: &Read) {
        let request_id = request_id_of(&read.message);
        let limit = self.limits.messages_per_second;
        let message = format!("More than {limit} messages a second; this one was not handled");
        let code = ErrorCode::RateLimited;
        self.error(code, &message, request_id.as_deref(), None);
        self.refusals.count(limit!(SessionLimits.messages_per_second));
        self.rate_limited_in_a_row += 1;
        if self.rate_limited_in_a_row >= self.limits.rate_limited_in_a_row {
            self.close(code.close_code());
        }
    }
}

/// What a `createLiveQuery` asks for.
struct Asked {
    query: Query,
    options: LiveQueryOptions,
    since: Option<String>,
    have: Option<Vec<Etag>>,
    ahead: Ahead,
}

/// The mark that the error for a message carries back which is not handled.
fn request_id_of(message: &Result<ClientMessage, ClientMessageError>) -> Option<Box<str>> {
    match message {
        Ok(ClientMessage { request_id, .. }) | Err(ClientMessageError { request_id, .. }) => {
            request_id.clone()
        }
    }
}

/// Whether a message can only be handled when the owner has answered an earlier one: it names an id
/// whose fate is open, or is a second `auth` during a first.
fn must_wait(active: &Active, body: &ClientBody) -> bool {
    let Streams { subscriptions, live_queries, .. } = &active.streams;
    match body {
        ClientBody::Auth { .. } => active.reauth.is_some(),
        ClientBody::Ping | ClientBody::Pong | ClientBody::AwaitPosition { .. } => false,
        ClientBody::SubscribeEvents { subscriptions: wanted } => {
            wanted.iter().any(|entry| subscriptions.is_reserved(&entry.id))
        }
        ClientBody::UnsubscribeEvents { ids } => ids.iter().any(|id| subscriptions.is_reserved(id)),
        ClientBody::CreateLiveQuery { id, .. } | ClientBody::DestroyLiveQuery { id } => {
            live_queries.is_requested(id)
        }
    }
}
