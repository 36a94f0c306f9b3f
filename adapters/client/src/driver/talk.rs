//! The conversation over one connection. It has no socket and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use liveset_core::model::SetStatus;
use liveset_core::time::Deadlines;
use liveset_core::{
    AuthOptions, ClientEvent, ClientLimits, ClientSession, ErrorCode, LiveQueryOptions, LiveQueryRequest,
    Monotonic, NodeChange, Rate, RequestId, SubscriptionSpec, Token, TokenBucket,
};
use tokio::sync::oneshot;

use super::pause::pause;
use super::wishes::{Progress, Wishes};
use crate::error::{Error, ServerError, WrongServer};
use crate::handle::Key;
use crate::heard_events::Event;
use crate::shown::Diff;
use crate::status::Cause;
use crate::timing::Timing;

/// Messages that a server takes from one connection by default are 300 at once and 100 a second. These leave it room for pongs.
const RATE: Rate = Rate { per_second: 80, burst: 250 };
/// More rows than this are not told to a server that has no version of them: it takes 64 KiB at once.
const MOST_TOLD: usize = 1_800;

const OPTIONS: LiveQueryOptions = LiveQueryOptions {
    positions: true,
    counts: true,
    reasons: true,
    resume: true,
    status: true,
    hints: false,
};

/// Why a connection is of no use any more.
#[derive(Debug)]
pub(super) enum Loss {
    /// The token was refused, or has expired.
    Refused(Error),
    /// The server contradicts itself: nothing of what it said is gone on from.
    Misled(Error),
    /// Anything else.
    Broken(Error),
}

impl Loss {
    pub(super) fn of(problem: impl Into<Arc<str>>) -> Loss {
        Loss::Broken(Error::Offline(problem.into()))
    }
}

/// The conversation over one connection.
pub(super) struct Talk {
    session: ClientSession,
    timing: Timing,
    asked: BTreeMap<RequestId, Asked>,
    heard: Monotonic,
    is_pinged: bool,
    rate: TokenBucket,
    /// A message that has to wait, because so many were sent.
    next: Option<Vec<u8>>,
    next_at: Option<Monotonic>,
    /// What is asked for again then.
    due: Deadlines<Monotonic, Key>,
    /// What was resumed. A frame comes behind all that it lacks, also where that is nothing.
    settling: BTreeSet<Key>,
    /// What a commit has changed that is not complete.
    changed: BTreeSet<Key>,
    /// Positions that are reached when it is.
    reached: Vec<oneshot::Sender<Result<(), Error>>>,
    /// The last error of the server about the connection: it says why it closes.
    trouble: Option<ServerError>,
}

/// What a request was for.
#[derive(Debug)]
enum Asked {
    Create(Key),
    Subscribe(Key),
    Await(u64),
    /// What nobody waits for.
    Other,
}

fn watch_name(key: Key) -> String {
    format!("q{key}")
}

fn event_name(key: Key) -> String {
    format!("e{key}")
}

/// The key in a name of this client.
fn key_of(name: &str) -> Option<Key> {
    name.get(1..)?.parse().ok()
}

impl Talk {
    pub(super) fn new(token: &Token, timing: Timing, now: Monotonic) -> Talk {
        let limits = ClientLimits::default().silence(timing.silence.saturating_add(timing.answer));
        let mut session = ClientSession::new(limits, now);
        session.authenticate_with(token, AuthOptions { commits: true });
        Talk {
            session,
            timing,
            asked: BTreeMap::new(),
            heard: now,
            is_pinged: false,
            rate: TokenBucket::full(RATE, now),
            next: None,
            next_at: None,
            due: Deadlines::default(),
            settling: BTreeSet::new(),
            changed: BTreeSet::new(),
            reached: Vec::new(),
            trouble: None,
        }
    }

    pub(super) fn is_authenticated(&self) -> bool {
        self.session.is_authenticated()
    }

    // ---- commands ----

    /// Asks for a live query, from what is held of it.
    pub(super) fn create(&mut self, key: Key, wishes: &mut Wishes) {
        let Some(watched) = wishes.watched.get_mut(&key).filter(|_| self.is_authenticated()) else { return };
        watched.progress = Progress::Asked;
        let resume_from = watched.held.clone().map(|held| match held.len() > MOST_TOLD {
            true => held.without_etags(),
            false => held,
        });
        let wanted = LiveQueryRequest {
            options: OPTIONS,
            resume_from,
            ..LiveQueryRequest::new(watch_name(key), watched.query.clone())
        };
        let request = self.session.create_live_query(wanted);
        self.asked.insert(request, Asked::Create(key));
    }

    pub(super) fn destroy(&mut self, key: Key) {
        self.due.set(key, None);
        self.settling.remove(&key);
        self.changed.remove(&key);
        if self.is_authenticated() {
            let request = self.session.destroy_live_query(&watch_name(key));
            self.asked.insert(request, Asked::Other);
        }
    }

    pub(super) fn subscribe(&mut self, key: Key, wishes: &Wishes) {
        let Some(subscribed) = wishes.subscribed.get(&key).filter(|_| self.is_authenticated()) else {
            return;
        };
        let (path, events) = (subscribed.path.clone(), subscribed.events.clone());
        let spec = SubscriptionSpec { id: event_name(key).into(), path, events };
        let request = self.session.subscribe(vec![spec]);
        self.asked.insert(request, Asked::Subscribe(key));
    }

    pub(super) fn unsubscribe(&mut self, key: Key) {
        self.due.set(key, None);
        if self.is_authenticated() {
            let request = self.session.unsubscribe([&*event_name(key)]);
            self.asked.insert(request, Asked::Other);
        }
    }

    pub(super) fn wait(&mut self, name: u64, wishes: &Wishes) {
        let Some(awaited) = wishes.awaited.get(&name).filter(|_| self.is_authenticated()) else { return };
        let request = self.session.await_position(&*awaited.position);
        self.asked.insert(request, Asked::Await(name));
    }

    // ---- inputs ----

    /// A message came.
    pub(super) fn handle_text(
        &mut self,
        now: Monotonic,
        text: &[u8],
        wishes: &mut Wishes,
    ) -> Result<(), Loss> {
        (self.heard, self.is_pinged) = (now, false);
        let heard = self.session.handle_text(now, text);
        heard.map_err(|error| {
            let problem = error.to_string().into();
            Loss::Misled(match self.is_authenticated() {
                true => Error::Offline(problem),
                false => WrongServer::NotLiveset(problem).into(),
            })
        })?;
        self.handle_events(now, wishes)
    }

    /// The time is `now`.
    pub(super) fn handle_timeout(&mut self, now: Monotonic, wishes: &mut Wishes) -> Result<(), Loss> {
        if !self.is_pinged && self.heard + self.timing.silence <= now {
            self.is_pinged = true;
            if self.is_authenticated() {
                let request = self.session.ping();
                self.asked.insert(request, Asked::Other);
            }
        }
        while let Some(key) = self.due.pop_due(now) {
            match wishes.watched.contains_key(&key) {
                true => self.create(key, wishes),
                false => self.subscribe(key, wishes),
            }
        }
        self.session.handle_timeout(now);
        self.handle_events(now, wishes)
    }

    /// The socket is of no use any more: why, as far as the server has said it.
    pub(super) fn broken(&mut self, problem: String) -> Loss {
        match self.trouble.take() {
            Some(error) => Loss::Broken(error.into()),
            None => Loss::of(problem),
        }
    }

    /// The connection has ended. What is kept is gone on from by the next one.
    pub(super) fn end(self, loss: &Loss, wishes: &mut Wishes) {
        for (key, watched) in &mut wishes.watched {
            let result = self.session.live_query(&watch_name(*key)).filter(|result| result.is_loaded());
            match (loss, result) {
                (Loss::Misled(_), _) => watched.held = None,
                (_, Some(result)) => watched.held = Some(result.clone()),
                (_, None) => {}
            }
            watched.lost();
        }
    }

    // ---- outputs ----

    /// The next message to send, if it may be sent now.
    pub(super) fn poll_transmit(&mut self, now: Monotonic) -> Option<Vec<u8>> {
        if self.next.is_none() {
            let mut text = Vec::new();
            self.next = self.session.poll_transmit(&mut text).then_some(text);
        }
        self.next_at = None;
        let text = self.next.take()?;
        if self.rate.take(RATE, now) {
            return Some(text);
        }
        self.next = Some(text);
        self.next_at = Some(now + self.rate.wait_for_token(RATE, now));
        None
    }

    /// When to call [`handle_timeout`](Talk::handle_timeout), and to ask again for what is to be sent.
    pub(super) fn poll_timeout(&self) -> Option<Monotonic> {
        let ping = (!self.is_pinged).then(|| self.heard + self.timing.silence);
        [ping, self.session.poll_timeout(), self.due.next(), self.next_at].into_iter().flatten().min()
    }

    // ---- what each event leads to ----

    fn handle_events(&mut self, now: Monotonic, wishes: &mut Wishes) -> Result<(), Loss> {
        while let Some(event) = self.session.poll_event() {
            self.handle_event(now, event, wishes)?;
        }
        Ok(())
    }

    fn handle_event(&mut self, now: Monotonic, event: ClientEvent, wishes: &mut Wishes) -> Result<(), Loss> {
        match event {
            ClientEvent::Authenticated { .. } => self.ask_for_all(wishes),
            ClientEvent::Pong { request }
            | ClientEvent::Unsubscribed { request, .. }
            | ClientEvent::LiveQueryDestroyed { request, .. }
            | ClientEvent::LiveQueryCreated { request, .. } => drop(self.asked.remove(&request)),
            ClientEvent::Subscribed { request, .. } => {
                if let Some(Asked::Subscribe(key)) = self.asked.remove(&request)
                    && let Some(subscribed) = wishes.subscribed.get_mut(&key)
                {
                    subscribed.attempt = 0;
                    subscribed.heard.subscribed();
                }
            }
            ClientEvent::Event { subscription_ids, path, event } => {
                for key in subscription_ids.iter().filter_map(|id| key_of(id)) {
                    if let Some(subscribed) = wishes.subscribed.get(&key) {
                        subscribed.heard.push(Event::new(path.clone(), &event));
                    }
                }
            }
            ClientEvent::Warning { subscription_id, .. } => {
                if let Some(subscribed) = key_of(&subscription_id).and_then(|key| wishes.subscribed.get(&key))
                {
                    subscribed.heard.missed();
                }
            }
            ClientEvent::LiveQueryResumed { request, id } => {
                self.asked.remove(&request);
                self.settling.extend(key_of(&id));
            }
            ClientEvent::LiveQueryRows { id, loaded: true, .. } => {
                key_of(&id).into_iter().for_each(|key| self.complete(key, wishes));
            }
            ClientEvent::LiveQueryChanged { id, node_id, change } => {
                if let Some(key) = key_of(&id) {
                    self.row_changed(key, node_id, change, wishes);
                }
            }
            ClientEvent::LiveQueryCount { id } => self.changed.extend(key_of(&id)),
            ClientEvent::LiveQueryStatus { id, status } => {
                if let Some(watched) = key_of(&id).and_then(|key| wishes.watched.get_mut(&key)) {
                    watched.tell(status);
                }
            }
            ClientEvent::PositionReached { request } => {
                if let Some(Asked::Await(name)) = self.asked.remove(&request) {
                    self.reached.extend(wishes.awaited.remove(&name).map(|awaited| awaited.reached));
                }
                self.answer_reached();
            }
            ClientEvent::Commit => self.commit(wishes),
            ClientEvent::Error { code, code_text, message, request, id, .. } => {
                let asked = request.and_then(|request| self.asked.remove(&request));
                let error = ServerError { code, code_text: code_text.into(), message: message.into() };
                self.failed(now, asked, id.as_deref(), error, wishes)?;
            }
            ClientEvent::Lost => return Err(Loss::of("the server is silent")),
            // First rows of which more follow; and what a later version of the protocol may add.
            _ => {}
        }
        Ok(())
    }

    fn ask_for_all(&mut self, wishes: &mut Wishes) {
        wishes.awaited.retain(|_, awaited| !awaited.reached.is_closed());
        let keys: Vec<Key> = wishes.watched.keys().copied().collect();
        keys.into_iter().for_each(|key| self.create(key, wishes));
        wishes.subscribed.keys().for_each(|key| self.subscribe(*key, wishes));
        wishes.awaited.keys().for_each(|name| self.wait(*name, wishes));
    }

    fn row_changed(&mut self, key: Key, node_id: Arc<str>, change: NodeChange, wishes: &mut Wishes) {
        let result = self.session.live_query(&watch_name(key));
        let Some((watched, result)) = wishes.watched.get_mut(&key).zip(result) else { return };
        match &mut watched.progress {
            Progress::Live(diffs) => {
                let json = result.row(&node_id).cloned().unwrap_or_default();
                diffs.push(Diff { id: node_id, change, json });
                self.changed.insert(key);
            }
            // It is shown whole, by the frame behind it.
            Progress::Asked => {}
        }
    }

    fn complete(&mut self, key: Key, wishes: &mut Wishes) {
        let result = self.session.live_query(&watch_name(key));
        if let Some((watched, result)) = wishes.watched.get_mut(&key).zip(result) {
            self.changed.remove(&key);
            // What the session has is all that the next connection goes on from.
            watched.held = None;
            watched.complete(result);
        }
    }

    /// Everything of a commit has come.
    fn commit(&mut self, wishes: &mut Wishes) {
        for key in std::mem::take(&mut self.settling) {
            self.complete(key, wishes);
        }
        for key in std::mem::take(&mut self.changed) {
            let result = self.session.live_query(&watch_name(key));
            if let Some((watched, result)) = wishes.watched.get_mut(&key).zip(result) {
                watched.commit(result);
            }
        }
        self.answer_reached();
    }

    /// Positions are reached where nothing that was sent is still to be shown.
    fn answer_reached(&mut self) {
        if self.changed.is_empty() && self.settling.is_empty() {
            for reached in self.reached.drain(..) {
                // Who does not wait any more need not know.
                let _ = reached.send(Ok(()));
            }
        }
    }

    fn failed(
        &mut self,
        now: Monotonic,
        asked: Option<Asked>,
        id: Option<&str>,
        error: ServerError,
        wishes: &mut Wishes,
    ) -> Result<(), Loss> {
        let named = id.and_then(key_of);
        match (asked, named) {
            (Some(Asked::Await(name)), _) => {
                if let Some(awaited) = wishes.awaited.remove(&name) {
                    let _ = awaited.reached.send(Err(error.into()));
                }
            }
            (Some(Asked::Create(key)), _) => self.refused(now, key, error, wishes),
            (Some(Asked::Subscribe(key)), _) => self.unsubscribed(now, key, error, wishes),
            (None, Some(key)) if wishes.watched.contains_key(&key) => self.refused(now, key, error, wishes),
            (None, Some(key)) => self.unsubscribed(now, key, error, wishes),
            // What it was given up with may still be there.
            (Some(Asked::Other) | None, _) if error.code == Some(ErrorCode::RateLimited) => {
                return Err(Loss::Broken(error.into()));
            }
            // That it is there no more is what was wanted.
            (Some(Asked::Other), _) => {}
            (None, None) => match error.code {
                Some(ErrorCode::AuthFailed | ErrorCode::TokenExpired) => {
                    return Err(Loss::Refused(error.into()));
                }
                _ if !self.is_authenticated() => return Err(Loss::Broken(error.into())),
                // The server closes, and says so next.
                _ => self.trouble = Some(error),
            },
        }
        Ok(())
    }

    /// The server does not take a live query, or has ended it.
    fn refused(&mut self, now: Monotonic, key: Key, error: ServerError, wishes: &mut Wishes) {
        self.settling.remove(&key);
        self.changed.remove(&key);
        let Some(watched) = wishes.watched.get_mut(&key) else { return };
        (watched.progress, watched.source) = (Progress::Asked, SetStatus::Live);
        let is_passing = match error.code {
            Some(ErrorCode::Overloaded | ErrorCode::RateLimited) => true,
            // What was taken before may still be counted for the connection that was lost.
            Some(ErrorCode::LimitExceeded) => watched.shown.status().has_rows(),
            _ => false,
        };
        match error.code {
            _ if is_passing => {
                watched.shown.doubt(Some(Cause::Overloaded));
                self.due.set(key, Some(now + pause(&self.timing, watched.attempt)));
                watched.attempt += 1;
            }
            // A server that does not read what another gave: from the start.
            Some(ErrorCode::InvalidMessage) if watched.held.take().is_some() => self.create(key, wishes),
            _ => {
                watched.end(error);
                wishes.watched.remove(&key);
            }
        }
    }

    fn unsubscribed(&mut self, now: Monotonic, key: Key, error: ServerError, wishes: &mut Wishes) {
        let Some(subscribed) = wishes.subscribed.get_mut(&key) else { return };
        match error.code {
            Some(ErrorCode::Overloaded | ErrorCode::RateLimited) => {
                self.due.set(key, Some(now + pause(&self.timing, subscribed.attempt)));
                subscribed.attempt += 1;
            }
            _ => {
                subscribed.heard.end(error);
                wishes.subscribed.remove(&key);
            }
        }
    }
}
