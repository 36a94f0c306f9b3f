//! One connection, its client, and what that client may have been told.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use liveset_core::{
    Attempt, ClientEvent, ClientLimits, ClientSession, CloseCode, Ended, ErrorCode, LiveQueryRequest,
    LiveResult, Monotonic, RequestId, SubscriptionSpec, Token,
};
use liveset_hub::{ConnectionId, Hub};
use serde_json::Value;

use super::{
    rules::{Choice, PATHS, Role},
    world::Tally,
};

/// A live query that was asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    id: Arc<str>,
    pub(super) choice: Choice,
    /// The counts of its result since the client was last compared.
    counts: BTreeSet<(u64, bool)>,
    /// Those for the principal before: answers are never dropped, and one may have been on its way.
    before: BTreeSet<(u64, bool)>,
    /// Whether it was not allowed at some time since.
    was_forbidden: bool,
}

/// Any other request.
#[derive(Debug)]
enum Asked {
    Authenticate,
    Subscribe(&'static str),
    Destroy(Arc<str>),
}

/// What becomes of the counts that were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// The client may be told them still.
    Kept,
    /// Only in an answer: the principal is another one.
    Old,
    /// It has read everything.
    Gone,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It may have what waits for it; not what waits for another principal.
    Shutdown { withheld: bool },
    /// The principal has expired, or was revoked.
    Expired,
    /// The token was refused.
    Refused,
    /// No verdict came in time.
    Unauthenticated,
}

impl End {
    /// What it is told last, and closed with.
    fn says(self) -> (Option<ErrorCode>, CloseCode) {
        match self {
            Self::Shutdown { .. } => (None, CloseCode::GoingAway),
            Self::Expired => (Some(ErrorCode::TokenExpired), CloseCode::Policy),
            Self::Refused => (Some(ErrorCode::AuthFailed), CloseCode::Policy),
            Self::Unauthenticated => (Some(ErrorCode::AuthTimeout), CloseCode::Policy),
        }
    }
}

/// For how long a verdict is waited for.
const TO_AUTHENTICATE: std::time::Duration = std::time::Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) conn: Option<ConnectionId>,
    /// When the verdict that it needs, or has asked for, has to be there.
    due: Monotonic,
    pub(super) client: ClientSession,
    /// For whom it acts, and until when, by the verdicts, renewals and revocations that were given.
    pub(super) role: Option<Role>,
    expires: Option<Monotonic>,
    pub(super) end: Option<End>,
    /// It had read all when it ended, so that there is no answer on its way.
    was_idle: bool,
    /// The code of the error that it read last, where nothing follows that error.
    last_words: Option<ErrorCode>,
    /// It reads nothing by itself.
    pub(super) is_stalled: bool,
    /// Its verdicts wait.
    pub(super) is_held_up: bool,
    pub(super) verdicts: VecDeque<(Attempt, Token)>,
    /// The only one of its attempts whose verdict counts.
    attempt: Option<Attempt>,
    asked: BTreeMap<RequestId, Wanted>,
    pub(super) live: BTreeMap<Arc<str>, Wanted>,
    others: BTreeMap<RequestId, Asked>,
    /// The paths that it might not subscribe to at some time since it was last compared.
    barred: BTreeSet<&'static str>,
    /// What it had when its last connection ended.
    kept: BTreeMap<Arc<str>, (Choice, LiveResult)>,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            conn: None,
            due: Monotonic::ZERO,
            client: ClientSession::new(ClientLimits::default(), Monotonic::ZERO),
            role: None,
            expires: None,
            end: None,
            was_idle: false,
            last_words: None,
            is_stalled: false,
            is_held_up: false,
            verdicts: VecDeque::new(),
            attempt: None,
            asked: BTreeMap::new(),
            live: BTreeMap::new(),
            others: BTreeMap::new(),
            barred: BTreeSet::new(),
            kept: BTreeMap::new(),
        }
    }

    pub(super) fn connected(&mut self, now: Monotonic, conn: ConnectionId) {
        let kept = std::mem::take(&mut self.kept);
        *self = Self { conn: Some(conn), due: now + TO_AUTHENTICATE, kept, ..Self::new() };
    }

    /// The connection is over: what the client has it keeps, to go on from.
    pub(super) fn lost(&mut self) {
        for (id, wanted) in std::mem::take(&mut self.live) {
            if let Some(result) = self.client.live_query(&id) {
                self.kept.insert(id, (wanted.choice, result.clone()));
            }
        }
        let kept = std::mem::take(&mut self.kept);
        *self = Self { is_stalled: self.is_stalled, kept, ..Self::new() };
    }

    // --- for whom it acts ---

    /// Whether what waits for it may be sent still: the connection is there, and not over for good.
    pub(super) fn is_served(&self) -> bool {
        self.conn.is_some() && matches!(self.end, None | Some(End::Shutdown { .. }))
    }

    /// An attempt, whose verdict is the only one that counts from now on.
    pub(super) fn asks(&mut self, now: Monotonic, attempt: Attempt, token: Token) {
        if self.role.is_some() {
            self.due = now + TO_AUTHENTICATE;
        }
        self.attempt = Some(attempt);
        self.verdicts.push_back((attempt, token));
    }

    /// A verdict on an attempt is given.
    pub(super) fn judged(
        &mut self,
        now: Monotonic,
        attempt: Attempt,
        verdict: Option<(Role, Option<Monotonic>)>,
    ) {
        if self.end.is_some() || self.attempt != Some(attempt) {
            return;
        }
        self.attempt = None;
        match verdict {
            None => self.end = Some(End::Refused),
            Some((_, Some(expires))) if expires <= now => self.end = Some(End::Expired),
            Some((role, expires)) => (self.role, self.expires) = (Some(role), expires),
        }
    }

    /// Its principal is another one, or good for another time.
    pub(super) fn renewed(&mut self, role: Role, expires: Option<Monotonic>) {
        if let Some(End::Shutdown { withheld }) = &mut self.end {
            *withheld |= (self.role, self.expires) != (Some(role), expires);
        }
        (self.role, self.expires) = (Some(role), expires);
    }

    /// It is over for good.
    pub(super) fn revoked(&mut self) {
        self.was_idle = !self.is_stalled;
        self.end = Some(End::Expired);
    }

    /// The server sends what waits, and takes no more.
    pub(super) fn shut_down(&mut self) {
        self.end.get_or_insert(End::Shutdown { withheld: false });
    }

    /// Ends it where its time is over.
    pub(super) fn time_passed(&mut self, now: Monotonic) {
        if self.is_served() && self.expires.is_some_and(|expires| expires <= now) {
            self.revoked();
        } else if self.conn.is_some()
            && self.end.is_none()
            && (self.role.is_none() || self.attempt.is_some())
            && self.due <= now
        {
            self.was_idle = !self.is_stalled;
            self.end = Some(End::Unauthenticated);
        }
    }

    /// The hub says the same of it.
    pub(super) fn check(&self, hub: &Hub) {
        let Some(conn) = self.conn else { return };
        assert!(self.end.is_none() || self.is_stalled, "{:?}: it is served still", self.end);
        if !self.is_served() {
            return;
        }
        let who = hub.principal(conn).map(|who| (Role::of(who), who.expires));
        assert_eq!(who, self.role.map(|role| (role, self.expires)), "it acts for somebody else");
        if !self.is_stalled {
            let mut paths = self.client.subscriptions().map(|subscription| &*subscription.path);
            assert!(paths.all(|path| self.may_subscribe(path)), "what is not allowed has ended");
        }
    }

    fn may_subscribe(&self, path: &str) -> bool {
        self.role.is_some_and(|role| role.may_subscribe(path))
    }

    /// It is closed with this code.
    pub(super) fn closed(&self, code: CloseCode) {
        let end = self.end.expect("it is over");
        assert_eq!((self.last_words, code), end.says(), "{end:?}");
    }

    // --- what it asks ---

    /// What it has or had by an id.
    pub(super) fn known(&self, id: &str) -> Option<(Choice, LiveResult)> {
        let live =
            self.live.get(id).map(|wanted| wanted.choice.clone()).zip(self.client.live_query(id).cloned());
        live.or_else(|| self.kept.get(id).cloned())
    }

    pub(super) fn create(&mut self, id: &str, choice: Choice, resume_from: Option<LiveResult>) {
        let options = choice.options;
        let request = LiveQueryRequest::new(id, choice.spec());
        let request = self.client.create_live_query(LiveQueryRequest { options, resume_from, ..request });
        let (counts, before) = (BTreeSet::new(), BTreeSet::new());
        self.asked.insert(request, Wanted { id: id.into(), choice, counts, before, was_forbidden: false });
    }

    pub(super) fn destroy(&mut self, id: &str) {
        let request = self.client.destroy_live_query(id);
        self.others.insert(request, Asked::Destroy(id.into()));
    }

    pub(super) fn subscribe(&mut self, path: &'static str) {
        let id = format!("s{path}").into();
        let spec = SubscriptionSpec { id, path: path.into(), events: vec!["jobStarted".into()] };
        let request = self.client.subscribe(vec![spec]);
        self.others.insert(request, Asked::Subscribe(path));
    }

    pub(super) fn authenticate(&mut self, token: &str) {
        let request = self.client.authenticate(&Token::new(token));
        self.others.insert(request, Asked::Authenticate);
    }

    // --- what it is told ---

    /// Reads one message. What is over for good, or acts for another since, is answered, and told nothing else.
    pub(super) fn read(&mut self, now: Monotonic, text: &[u8], tally: &mut Tally) {
        let about = String::from_utf8_lossy(text);
        let message: Value = serde_json::from_slice(text).expect("a message");
        let kind = message["type"].as_str().expect("a type");
        let is_answer = matches!(
            kind,
            "authenticated"
                | "subscribedEvents"
                | "liveQueryCreated"
                | "liveQueryResumed"
                | "liveQueryDestroyed"
                | "error"
        );
        assert_eq!(self.last_words, None, "after the last words: {about}");
        let last_words = match message["code"].as_str().filter(|_| kind == "error") {
            Some("TOKEN_EXPIRED") => Some(ErrorCode::TokenExpired),
            Some("AUTH_FAILED") => Some(ErrorCode::AuthFailed),
            Some("AUTH_TIMEOUT") => Some(ErrorCode::AuthTimeout),
            _ => None,
        };
        if last_words.is_some() {
            self.last_words = last_words;
            assert_eq!(self.end.and_then(|end| end.says().0), last_words, "{about}");
        } else if !self.is_served() {
            assert!(is_answer && !self.was_idle, "{:?}: {about}", self.end);
        } else if self.end == Some(End::Shutdown { withheld: true }) {
            assert!(is_answer, "it waited for another principal: {about}");
        }
        assert_eq!(self.client.handle_text(now, text), Ok(()), "{about}");
        while let Some(event) = self.client.poll_event() {
            self.note(event, tally);
        }
    }

    /// Takes note of what a message led to.
    fn note(&mut self, event: ClientEvent, tally: &mut Tally) {
        match event {
            ClientEvent::LiveQueryCreated { request, id, .. } => {
                tally.created += 1;
                self.begun(request, id);
            }
            ClientEvent::LiveQueryResumed { request, id } => {
                tally.resumed += 1;
                self.begun(request, id);
            }
            ClientEvent::LiveQueryCount { id } => {
                tally.counts += 1;
                self.check_count(&id, self.live[&id].counts.iter());
            }
            ClientEvent::LiveQueryDestroyed { id, request } => {
                tally.destroyed += 1;
                self.others.remove(&request);
                assert!(self.live.remove(&id).is_some(), "there is no '{id}'");
            }
            ClientEvent::Error { request: Some(request), code, message, .. } => {
                self.refused(request, code, &message, tally);
            }
            ClientEvent::Error { request: None, id: Some(id), code, ended, message, .. } => {
                assert_eq!(code, Some(ErrorCode::Forbidden), "{message}");
                let was_barred = match ended {
                    Some(Ended::LiveQuery) => {
                        tally.ended += 1;
                        self.live.remove(&id).expect("it is there").was_forbidden
                    }
                    Some(Ended::Subscription) => {
                        self.barred.iter().any(|path| id.strip_prefix('s') == Some(path))
                    }
                    None => panic!("there is no '{id}' that could end: {message}"),
                };
                assert!(was_barred, "'{id}' is allowed: {message}");
            }
            ClientEvent::Error { request: None, id: None, message, .. } => {
                assert!(self.last_words.is_some(), "nobody asked: {message}");
            }
            ClientEvent::Event { path, .. } => {
                tally.events += 1;
                assert!(self.may_subscribe(&path), "{:?} is told of {path}", self.role);
            }
            ClientEvent::LiveQueryChanged { .. } => tally.changes += 1,
            _ => {}
        }
    }

    /// A request was refused, with an error that it can be refused with.
    fn refused(&mut self, request: RequestId, code: Option<ErrorCode>, message: &str, tally: &mut Tally) {
        if let Some(wanted) = self.asked.remove(&request) {
            let Wanted { id, choice, was_forbidden, .. } = wanted;
            let is_used = self.live.contains_key(&id) || self.asked.values().any(|other| other.id == id);
            match code {
                Some(ErrorCode::Forbidden) => {
                    tally.forbidden += 1;
                    assert!(was_forbidden, "{choice:?} is allowed: {message}");
                }
                Some(ErrorCode::DuplicateId) => assert!(is_used, "'{id}' is free: {message}"),
                _ => panic!("{choice:?}: {code:?}: {message}"),
            }
            return;
        }
        match (self.others.remove(&request), code) {
            (Some(Asked::Subscribe(path)), Some(ErrorCode::Forbidden)) => {
                assert!(self.barred.contains(path), "{path} is allowed: {message}");
            }
            (Some(Asked::Subscribe(path)), Some(ErrorCode::DuplicateId)) => {
                let mut held = self.client.subscriptions();
                assert!(held.any(|held| *held.path == *path), "{path} is not subscribed: {message}");
            }
            (Some(Asked::Destroy(id)), Some(ErrorCode::UnknownId)) => {
                assert!(!self.live.contains_key(&id), "'{id}' is known: {message}");
            }
            (Some(Asked::Authenticate), _) if self.last_words.is_some() => {}
            (asked, code) => panic!("{asked:?}: {code:?}: {message}"),
        }
    }

    fn begun(&mut self, request: RequestId, id: Arc<str>) {
        let wanted = self.asked.remove(&request).expect("it was asked for");
        self.check_count(&id, wanted.counts.union(&wanted.before));
        assert!(self.live.insert(id, wanted).is_none(), "its id is in use");
    }

    fn check_count<'a>(&self, id: &str, mut counts: impl Iterator<Item = &'a (u64, bool)>) {
        let result = self.client.live_query(id).expect("it is there");
        let count = (result.total_count(), result.capped());
        assert!(counts.any(|known| *known == count), "{count:?} of '{id}' tells of others' rows");
    }

    /// Every live query that was asked for and is not known to have ended, with its count now.
    pub(super) fn count(&mut self, were: Counts, count: impl Fn(&Choice) -> Option<(u64, bool)>) {
        if were == Counts::Gone {
            self.barred.clear();
        }
        let role = self.role;
        self.barred
            .extend(PATHS.into_iter().filter(|path| !role.is_some_and(|role| role.may_subscribe(path))));
        for wanted in self.asked.values_mut().chain(self.live.values_mut()) {
            match were {
                Counts::Kept => {}
                Counts::Old => wanted.before.append(&mut wanted.counts),
                Counts::Gone => {
                    wanted.counts.clear();
                    wanted.before.clear();
                    wanted.was_forbidden = false;
                }
            }
            match count(&wanted.choice) {
                Some(count) => drop(wanted.counts.insert(count)),
                None => wanted.was_forbidden = true,
            }
        }
    }
}
