//! What the protocol says that a session must do: where it stands, what it asks of its owner, and what it answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use liveset_core::{
    CloseCode, ErrorCode, Etag, LiveQueryOptions, Monotonic, Query, SessionLimits, SubscriptionSpec, Ticket,
    Verdict, Violation,
};

use super::{
    answer::{Answer, RequestId, close_code},
    client::{Body, Said, Wrong},
    events::Events,
    live::Live,
};

#[derive(Debug)]
pub(super) enum Stand {
    Awaiting {
        deadline: Monotonic,
    },
    Verifying {
        deadline: Monotonic,
        request_id: RequestId,
        commits: bool,
        held: VecDeque<String>,
    },
    Active(Box<Active>),
    /// `expires` is the principal's.
    Draining {
        expires: Option<Monotonic>,
        streams: Box<Streams>,
    },
    Closing(CloseCode),
    Closed,
}

#[derive(Debug)]
pub(super) struct Active {
    expires: Option<Monotonic>,
    ping_at: Option<Monotonic>,
    /// None while the ping waits to be handed out.
    pong_until: Option<Monotonic>,
    /// Until when it is waited for, its mark, and whether it asks for commits.
    reauth: Option<(Monotonic, RequestId, bool)>,
    pub(super) awaiting: Vec<Awaiting>,
    held: VecDeque<String>,
    subscribing: Vec<Subscribing>,
    creating: BTreeMap<String, Creating>,
    pub(super) streams: Streams,
}

/// A position that the client waits for.
#[derive(Debug)]
pub(super) struct Awaiting {
    pub(super) request_id: RequestId,
    pub(super) ticket: Option<Ticket>,
    /// There once the owner has answered.
    pub(super) version: Option<u64>,
    deadline: Monotonic,
}

/// What is sent beside answers.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Whether the client is told of commits.
    pub(super) commits: bool,
    pub(super) events: Events,
    pub(super) live: BTreeMap<String, Live>,
}

/// A `subscribeEvents` that the owner has not answered, and what is wrong with the entry behind those it was asked for.
#[derive(Debug)]
struct Subscribing {
    request_id: RequestId,
    entries: Vec<SubscriptionSpec>,
    wrong: Option<(ErrorCode, String)>,
}

#[derive(Debug)]
pub(super) struct Creating {
    pub(super) request_id: RequestId,
    pub(super) options: LiveQueryOptions,
}

/// What the session asks of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Verify(String),
    Await(String),
    Subscribe(Vec<SubscriptionSpec>),
    Unsubscribed(Vec<SubscriptionSpec>),
    Create {
        id: String,
        query: Query,
        options: LiveQueryOptions,
        since: Option<String>,
        have: Option<Vec<Etag>>,
    },
    Destroyed(String),
}

#[derive(Debug)]
pub(super) struct Model {
    limits: SessionLimits,
    pub(super) stand: Stand,
    pub(super) answers: VecDeque<Answer>,
    pub(super) asked: VecDeque<Asked>,
    /// Of messages that may be sent at once: what is left, in billionths, and since when.
    allowance: (u128, Monotonic),
    rate_limited: u32,
    invalid: u32,
}

impl Model {
    pub(super) fn new(limits: &SessionLimits, now: Monotonic) -> Model {
        Model {
            stand: Stand::Awaiting { deadline: now + limits.auth_timeout },
            answers: VecDeque::new(),
            asked: VecDeque::new(),
            allowance: (u128::from(limits.message_burst) * 1_000_000_000, now),
            rate_limited: 0,
            invalid: 0,
            limits: limits.clone(),
        }
    }

    pub(super) fn active(&mut self) -> Option<&mut Active> {
        match &mut self.stand {
            Stand::Active(active) => Some(active),
            _ => None,
        }
    }

    pub(super) fn streams(&mut self) -> Option<&mut Streams> {
        match &mut self.stand {
            Stand::Active(active) => Some(&mut active.streams),
            Stand::Draining { streams, .. } => Some(streams),
            _ => None,
        }
    }

    fn listens(&self) -> bool {
        matches!(self.stand, Stand::Awaiting { .. } | Stand::Verifying { .. } | Stand::Active(_))
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        match &self.stand {
            Stand::Awaiting { deadline } | Stand::Verifying { deadline, .. } => Some(*deadline),
            Stand::Active(active) => {
                let keep_alive = active.ping_at.or(active.pong_until);
                let verdict = active.reauth.as_ref().map(|(deadline, ..)| *deadline);
                let position = active.awaiting.iter().map(|wait| wait.deadline).min();
                [keep_alive, active.expires, verdict, position].into_iter().flatten().min()
            }
            Stand::Draining { expires, .. } => *expires,
            Stand::Closing(_) | Stand::Closed => None,
        }
    }

    // --- what happens ---

    pub(super) fn pass(&mut self, now: Monotonic) {
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            match &mut self.stand {
                Stand::Awaiting { .. } | Stand::Verifying { .. } => {
                    self.close_with(ErrorCode::AuthTimeout, None);
                }
                Stand::Active(active) if active.expires.is_some_and(|expires| expires <= now) => {
                    self.close_with(ErrorCode::TokenExpired, None);
                }
                Stand::Active(active) if active.reauth.as_ref().is_some_and(|(until, ..)| *until <= now) => {
                    let request_id = active.reauth.take().and_then(|(_, request_id, _)| request_id);
                    self.close_with(ErrorCode::AuthTimeout, request_id);
                }
                Stand::Active(active) if active.awaiting.first().is_some_and(|wait| wait.deadline <= now) => {
                    let wait = active.awaiting.remove(0);
                    self.answer(Answer::error(ErrorCode::Overloaded, wait.request_id, None));
                }
                Stand::Active(active) if active.ping_at.is_some() => {
                    (active.ping_at, active.pong_until) = (None, None);
                    self.answer(Answer::Ping);
                }
                Stand::Active(_) => self.close_with(ErrorCode::PingTimeout, None),
                Stand::Draining { .. } => self.close_with(ErrorCode::TokenExpired, None),
                Stand::Closing(_) | Stand::Closed => {}
            }
        }
    }

    /// A ping was handed out.
    pub(super) fn pinged(&mut self, now: Monotonic) {
        if let Stand::Active(active) = &mut self.stand {
            active.pong_until = Some(now + self.limits.pong_timeout);
        }
        self.pass(now);
    }

    pub(super) fn text(&mut self, now: Monotonic, text: &[u8]) {
        self.pass(now);
        if !self.listens() {
            return;
        }
        if text.len() > self.limits.message_bytes {
            return self.violate(now, Violation::TooLarge);
        }
        let Ok(text) = std::str::from_utf8(text) else {
            return self.violate(now, Violation::InvalidUtf8);
        };
        let (left, since) = &mut self.allowance;
        let full = u128::from(self.limits.message_burst) * 1_000_000_000;
        let earned = u128::from(now.saturating_since(*since).as_nanos() as u64);
        *left = (*left + earned * u128::from(self.limits.messages_per_second)).min(full);
        *since = now;
        if *left < 1_000_000_000 {
            let request_id = self.request_id(text);
            self.answer(Answer::error(ErrorCode::RateLimited, request_id, None));
            self.rate_limited += 1;
            if self.rate_limited >= self.limits.rate_limited_in_a_row {
                self.close(close_code(ErrorCode::RateLimited));
            }
            return;
        }
        *left -= 1_000_000_000;
        self.rate_limited = 0;
        match &mut self.stand {
            Stand::Awaiting { .. } => self.first(text),
            Stand::Verifying { .. } => self.hold(text),
            Stand::Active(active) => {
                let said = Said::read(text, self.limits.id_bytes);
                let waits = !active.held.is_empty() || active.must_wait(&said);
                if waits && !said.is_free() { self.hold(text) } else { self.message(now, said) }
            }
            _ => {}
        }
    }

    /// "`auth` must be the first message."
    fn first(&mut self, text: &str) {
        let Stand::Awaiting { deadline } = self.stand else { return };
        let Said { request_id, body, is_auth } = Said::read(text, self.limits.id_bytes);
        match body {
            Ok(Body::Auth(token, commits)) => {
                self.asked.push_back(Asked::Verify(token));
                self.stand = Stand::Verifying { deadline, request_id, commits, held: VecDeque::new() };
            }
            Err(wrong) if is_auth => self.malformed(request_id, wrong),
            _ => self.close_with(ErrorCode::NotAuthenticated, request_id),
        }
    }

    fn hold(&mut self, text: &str) {
        let held = match &mut self.stand {
            Stand::Verifying { held, .. } => held,
            Stand::Active(active) => &mut active.held,
            _ => return,
        };
        let bytes: usize = held.iter().map(String::len).sum();
        if held.len() < self.limits.held_messages && bytes + text.len() <= self.limits.held_bytes {
            held.push_back(text.to_owned());
        } else {
            let request_id = self.request_id(text);
            self.close_with(ErrorCode::LimitExceeded, request_id);
        }
    }

    fn request_id(&self, text: &str) -> RequestId {
        Said::read(text, self.limits.id_bytes).request_id
    }

    /// Messages that were held, up to one that still has to wait.
    fn replay(&mut self, now: Monotonic) {
        while let Stand::Active(active) = &mut self.stand {
            let Some(text) = active.held.front().cloned() else { return };
            let said = Said::read(&text, self.limits.id_bytes);
            if active.must_wait(&said) {
                return;
            }
            active.held.pop_front();
            self.message(now, said);
        }
    }

    fn message(&mut self, now: Monotonic, said: Said) {
        let Said { request_id, body, .. } = said;
        let body = match body {
            Ok(body) => body,
            Err(wrong) => return self.malformed(request_id, wrong),
        };
        self.invalid = 0;
        let SessionLimits {
            auth_timeout,
            ping_interval,
            subscriptions,
            live_queries,
            subscription_events,
            path_bytes,
            ..
        } = self.limits;
        let Stand::Active(active) = &mut self.stand else { return };
        match body {
            Body::Ping => self.answer(Answer::Pong(request_id)),
            Body::Pong => {
                if active.pong_until.take().is_some() {
                    active.ping_at = Some(now + ping_interval);
                }
            }
            Body::Auth(token, commits) => {
                active.reauth = Some((now + auth_timeout, request_id, commits));
                self.asked.push_back(Asked::Verify(token));
            }
            Body::Subscribe(entries) => {
                let mut taken: BTreeSet<String> =
                    active.streams.events.subscriptions.iter().map(|spec| spec.id.to_string()).collect();
                taken.extend(active.reserved().map(str::to_owned));
                let mut wrong = None;
                let mut good = Vec::new();
                for entry in entries {
                    let is_full = taken.len() >= subscriptions;
                    let code = match taken.insert(entry.id.to_string()) {
                        false => ErrorCode::DuplicateId,
                        true if is_full || entry.events.len() > subscription_events => {
                            ErrorCode::LimitExceeded
                        }
                        true if entry.path.len() > path_bytes => ErrorCode::InvalidPath,
                        true => {
                            good.push(entry);
                            continue;
                        }
                    };
                    wrong = Some((code, entry.id.to_string()));
                    break;
                }
                if let (true, Some((code, id))) = (good.is_empty(), &wrong) {
                    return self.answer(Answer::error(*code, request_id, Some(id)));
                }
                self.asked.push_back(Asked::Subscribe(good.iter().map(each_type_once).collect()));
                active.subscribing.push(Subscribing { request_id, entries: good, wrong });
            }
            Body::Unsubscribe(ids) => {
                let mut named = BTreeSet::new();
                let events = &mut active.streams.events;
                if let Some(id) = ids.iter().find(|id| !events.has(id) || !named.insert(id.to_string())) {
                    return self.answer(Answer::error(ErrorCode::UnknownId, request_id, Some(id)));
                }
                let gone = ids.iter().filter_map(|id| events.remove(id)).collect();
                self.asked.push_back(Asked::Unsubscribed(gone));
                if request_id.is_some() {
                    self.answer(Answer::Unsubscribed(request_id, ids));
                }
            }
            Body::Create { id, query, options, since, have } => {
                let code = if active.streams.live.contains_key(&id) {
                    ErrorCode::DuplicateId
                } else if active.streams.live.len() + active.creating.len() >= live_queries {
                    ErrorCode::LimitExceeded
                } else {
                    active.creating.insert(id.clone(), Creating { request_id, options });
                    self.asked.push_back(Asked::Create { id, query, options, since, have });
                    return;
                };
                self.answer(Answer::error(code, request_id, Some(&id)));
            }
            Body::Await(position) if active.awaiting.len() < self.limits.awaited_positions => {
                let deadline = now + self.limits.position_timeout;
                active.awaiting.push(Awaiting { request_id, ticket: None, version: None, deadline });
                self.asked.push_back(Asked::Await(position));
            }
            Body::Await(_) => self.answer(Answer::error(ErrorCode::LimitExceeded, request_id, None)),
            Body::Destroy(id) => match active.streams.live.remove(&id) {
                Some(_) => {
                    self.answer(Answer::Destroyed(request_id, id.clone()));
                    self.asked.push_back(Asked::Destroyed(id));
                }
                None => self.answer(Answer::error(ErrorCode::UnknownId, request_id, Some(&id))),
            },
        }
    }

    fn malformed(&mut self, request_id: RequestId, wrong: Wrong) {
        let Wrong { code, id } = wrong;
        self.answer(Answer::error(code, request_id, id.as_deref()));
        if code != ErrorCode::InvalidMessage {
            self.invalid = 0;
            return;
        }
        self.invalid += 1;
        if self.invalid >= self.limits.invalid_in_a_row {
            self.close(close_code(code));
        }
    }

    pub(super) fn violate(&mut self, now: Monotonic, violation: Violation) {
        self.pass(now);
        if matches!(self.stand, Stand::Closing(_) | Stand::Closed) {
            return;
        }
        match violation {
            Violation::Protocol => self.close(CloseCode::Protocol),
            Violation::InvalidUtf8 => self.close(CloseCode::InvalidData),
            Violation::TooLarge => self.close_with(ErrorCode::MessageTooLarge, None),
            Violation::BinaryMessage => self.close_with(ErrorCode::UnsupportedFrame, None),
            other => panic!("{other:?} is not expected"),
        }
    }

    // --- what the owner does ---

    /// `current` tells whether the verdict is on the attempt that the session waits for. Returns what the session has to.
    pub(super) fn verdict(&mut self, now: Monotonic, current: bool, verdict: Verdict) -> bool {
        self.pass(now);
        let (request_id, commits) = match &mut self.stand {
            Stand::Verifying { request_id, commits, .. } if current => (request_id.take(), *commits),
            Stand::Active(active) if current => match active.reauth.take() {
                Some((_, request_id, commits)) => (request_id, commits),
                None => return false,
            },
            _ => return false,
        };
        let Verdict::Accepted { expires } = verdict else {
            self.close_with(ErrorCode::AuthFailed, request_id);
            return false;
        };
        if expires.is_some_and(|expires| expires <= now) {
            self.close_with(ErrorCode::TokenExpired, request_id);
            return false;
        }
        match &mut self.stand {
            Stand::Verifying { held, .. } => {
                self.stand = Stand::Active(Box::new(Active {
                    expires,
                    ping_at: Some(now + self.limits.ping_interval),
                    pong_until: None,
                    reauth: None,
                    awaiting: Vec::new(),
                    held: std::mem::take(held),
                    subscribing: Vec::new(),
                    creating: BTreeMap::new(),
                    streams: Streams { commits, ..Streams::default() },
                }));
            }
            Stand::Active(active) => (active.expires, active.streams.commits) = (expires, commits),
            _ => {}
        }
        self.answer(Answer::Authenticated(request_id));
        self.replay(now);
        self.listens()
    }

    /// The owner's answer to a `subscribeEvents`, named by the first of its ids. Returns what the session has to.
    pub(super) fn subscribed(&mut self, now: Monotonic, first: &str, refusal: Option<ErrorCode>) -> bool {
        let Some(active) = self.active() else { return false };
        let Some(at) = active.subscribing.iter().position(|request| *request.entries[0].id == *first) else {
            return false;
        };
        let Subscribing { request_id, entries, wrong } = active.subscribing.remove(at);
        let wrong = refusal.map(|code| (code, None)).or(wrong.map(|(code, id)| (code, Some(id))));
        match &wrong {
            Some((code, id)) => {
                self.answer(Answer::error(*code, request_id, id.as_deref()));
                if refusal == Some(ErrorCode::Overloaded) {
                    self.close(close_code(ErrorCode::Overloaded));
                }
            }
            None => {
                active.streams.events.subscriptions.extend(entries.iter().map(each_type_once));
                self.answer(Answer::Subscribed(request_id, entries));
            }
        }
        self.replay(now);
        wrong.is_none()
    }

    /// Takes out a live query that was asked for and not answered.
    pub(super) fn creating(&mut self, id: &str) -> Option<Creating> {
        self.active()?.creating.remove(id)
    }

    pub(super) fn refused(&mut self, now: Monotonic, id: &str, creating: Creating, code: ErrorCode) {
        self.answer(Answer::error(code, creating.request_id, Some(id)));
        if code == ErrorCode::Overloaded {
            self.close(close_code(code));
        }
        self.replay(now);
    }

    /// The owner knows no such position.
    pub(super) fn unknown_position(&mut self, ticket: Ticket) {
        let Some(active) = self.active() else { return };
        if let Some(place) = active.awaiting.iter().position(|wait| wait.ticket == Some(ticket)) {
            let wait = active.awaiting.remove(place);
            self.answer(Answer::error(ErrorCode::UnknownPosition, wait.request_id, None));
        }
    }

    pub(super) fn live(&mut self, now: Monotonic, id: &str, live: Live, answer: Answer) {
        if let Some(active) = self.active() {
            active.streams.live.insert(id.to_owned(), live);
        }
        self.answer(answer);
        self.replay(now);
    }

    pub(super) fn end_live_query(&mut self, id: &str) {
        let ended = self.active().map(|active| active.streams.live.remove(id));
        assert!(ended.flatten().is_some());
        self.answer(Answer::error(ErrorCode::Forbidden, None, Some(id)));
    }

    pub(super) fn end_subscription(&mut self, id: &str) {
        if self.active().is_some_and(|active| active.streams.events.remove(id).is_some()) {
            self.answer(Answer::error(ErrorCode::Forbidden, None, Some(id)));
        }
    }

    pub(super) fn renew(&mut self, now: Monotonic, expires: Option<Monotonic>) {
        match &mut self.stand {
            Stand::Active(active) => active.expires = expires,
            Stand::Draining { expires: until, .. } => *until = expires,
            _ => {}
        }
        self.pass(now);
    }

    /// Of what waits in a session that is shut down only the answers are sent.
    pub(super) fn withhold(&mut self) {
        if let Stand::Draining { streams, .. } = &mut self.stand {
            **streams = Streams::default();
        }
    }

    pub(super) fn shutdown(&mut self, now: Monotonic) {
        self.pass(now);
        self.asked.clear();
        self.stand = match std::mem::replace(&mut self.stand, Stand::Closed) {
            Stand::Awaiting { .. } | Stand::Verifying { .. } => Stand::Closing(CloseCode::GoingAway),
            Stand::Active(active) => {
                let Active { expires, streams, .. } = *active;
                Stand::Draining { expires, streams: Box::new(streams) }
            }
            over => over,
        };
    }

    pub(super) fn fail(&mut self, now: Monotonic, code: ErrorCode) {
        self.pass(now);
        if !matches!(self.stand, Stand::Closing(_) | Stand::Closed) {
            self.close_with(code, None);
        }
    }

    // --- what comes of it ---

    /// "Answers are never dropped": with too many of them the connection closes.
    fn answer(&mut self, answer: Answer) {
        self.answers.push_back(answer);
        if self.answers.len() > self.limits.control_messages && self.listens() {
            self.close_with(ErrorCode::Overloaded, None);
        }
    }

    fn close_with(&mut self, code: ErrorCode, request_id: RequestId) {
        self.close(close_code(code));
        self.answers.push_back(Answer::error(code, request_id, None));
    }

    fn close(&mut self, code: CloseCode) {
        if !matches!(self.stand, Stand::Closing(_) | Stand::Closed) {
            self.stand = Stand::Closing(code);
            self.asked.clear();
        }
    }
}

impl Active {
    /// Ids of subscriptions that the owner has not answered.
    fn reserved(&self) -> impl Iterator<Item = &str> {
        self.subscribing.iter().flat_map(|request| &request.entries).map(|spec| &*spec.id)
    }

    /// Whether the fate of an id that it names is open, or another `auth` is being verified.
    fn must_wait(&self, said: &Said) -> bool {
        let is_reserved = |id: &str| self.reserved().any(|other| other == id);
        match &said.body {
            Ok(Body::Auth(..)) => self.reauth.is_some(),
            Ok(Body::Ping | Body::Pong | Body::Await(_)) | Err(_) => false,
            Ok(Body::Subscribe(entries)) => entries.iter().any(|entry| is_reserved(&entry.id)),
            Ok(Body::Unsubscribe(ids)) => ids.iter().any(|id| is_reserved(id)),
            Ok(Body::Create { id, .. } | Body::Destroy(id)) => self.creating.contains_key(id),
        }
    }
}

/// A subscription as it is kept; what is answered is the client's own list.
fn each_type_once(spec: &SubscriptionSpec) -> SubscriptionSpec {
    let mut named = BTreeSet::new();
    let events = spec.events.iter().filter(|event| named.insert(event.to_string())).cloned().collect();
    SubscriptionSpec { events, ..spec.clone() }
}
