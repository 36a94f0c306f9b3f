//! The server's end of one connection.

mod awaited;
mod backlog;
mod control;
mod dialogue;
mod endings;
mod event_queue;
mod held;
mod keep_alive;
mod live_queries;
mod live_query;
mod positions;
mod requests;
mod resumption;
mod state;
mod stats;
mod subscriptions;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use control::Control;
use held::Read;
use keep_alive::Due;
use requests::Requests;
pub use requests::{About, Attempt, Event, Refusal, Request, Ticket, Transmit, Verdict};
pub use resumption::Resumption;
use state::{Active, State, Streams};
pub use stats::{Backlog, SessionStats};
use subscriptions::{Room, Wrong};

use crate::error::{CloseCode, Consequence, ErrorCode, Violation};
use crate::limits::SessionLimits;
use crate::message::{AuthOptions, Content, ParsedMessage, ServerMessage, SubscriptionSpec};
use crate::model::{Batch, Count, Refusals, SetStatus, Snapshot};
use crate::time::{Monotonic, TokenBucket};
use crate::version::VersionCode;

/// The server's end of one connection: states, deadlines, answers, queues.
///
/// # The contract
///
/// * **Inputs** are [`handle_text`](Session::handle_text) (or [`handle_parsed`](Session::handle_parsed)), [`handle_violation`](Session::handle_violation),
///   [`handle_timeout`](Session::handle_timeout) and [`handle_verdict`](Session::handle_verdict)
///   (or [`deny`](Session::deny));
///   **commands** are the plain verbs. After any of them, drain [`poll_request`](Session::poll_request) until
///   `None` and answer each request (at once or later), and drain
///   [`poll_transmit`](Session::poll_transmit) as far as the transport can take it. Any number of inputs and
///   commands between two drains is legal.
/// * [`poll_error`](Session::poll_error) names the errors that the client is told of, and
///   [`take_refusals`](Session::take_refusals) the limits that refused something, for whoever counts them.
/// * [`poll_timeout`](Session::poll_timeout) says when to call [`handle_timeout`](Session::handle_timeout).
///   After that call the next deadline is later than the moment given, or there is none.
/// * Time never runs backwards between two calls; all moments are of one clock.
/// * After [`Transmit::Close`] was handed out, drop the session and what was held for it. No request needs
///   an answer then; answers and commands that come too late are ignored.
///
/// The crate's front page shows the run loop.
///
/// ```
/// use std::sync::Arc;
/// use liveset_core::{Monotonic, Session, SessionLimits, Transmit};
///
/// let now = Monotonic::ZERO;
/// let mut session = Session::new(Arc::new(SessionLimits::default()), now);
/// session.handle_text(now, br#"{"type":"ping"}"#);
/// let mut text = Vec::new();
/// let said = session.poll_transmit(now, &mut text);
/// assert!(matches!(said, Some(Transmit::Text)));
/// assert!(text.starts_with(br#"{"type":"error","code":"NOT_AUTHENTICATED""#)); // `auth` comes first; a close follows
/// ```
#[derive(Debug)]
pub struct Session {
    limits: Arc<SessionLimits>,
    state: State,
    control: Control,
    requests: Requests,
    bucket: TokenBucket,
    rate_limited_in_a_row: u32,
    invalid_in_a_row: u32,
    /// Deadlines were put off, and no ping was handed out since.
    was_put_off: bool,
    /// Codes of errors that were queued, for the owner.
    errors: VecDeque<ErrorCode>,
    stats: SessionStats,
    /// Since the owner last took them.
    refusals: Refusals,
}

/// So many of them are kept for an owner that does not ask.
const MAX_ERRORS: usize = 256;

/// Where a [`Session`] stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Waits for the first message.
    AwaitingAuth,
    /// Waits for the owner's verdict.
    Verifying,
    /// Serves.
    Active,
    /// Was told to shut down and sends what was queued.
    Draining,
    /// Sends its last answers, then closes.
    Closing(CloseCode),
    /// The close was handed out.
    Closed(CloseCode),
}

impl Session {
    /// A connection that opened at `now`.
    pub fn new(limits: Arc<SessionLimits>, now: Monotonic) -> Session {
        Session {
            state: State::AwaitingAuth { deadline: now + limits.auth_timeout },
            control: Control::default(),
            requests: Requests::default(),
            bucket: TokenBucket::full(limits.rate(), now),
            rate_limited_in_a_row: 0,
            invalid_in_a_row: 0,
            was_put_off: false,
            errors: VecDeque::new(),
            stats: SessionStats::default(),
            refusals: Refusals::default(),
            limits,
        }
    }

    // ---- inputs ----

    /// A text message came: [read](ParsedMessage) here, then [handled](Session::handle_parsed).
    pub fn handle_text(&mut self, now: Monotonic, text: &[u8]) {
        let parsed = match self.state {
            State::AwaitingAuth { .. } | State::Verifying { .. } => ParsedMessage::early(text, &self.limits),
            _ => ParsedMessage::new(text, &self.limits),
        };
        self.handle_parsed(now, parsed);
    }

    /// A text message came, which was read already.
    pub fn handle_parsed(&mut self, now: Monotonic, parsed: ParsedMessage) {
        self.handle_timeout(now);
        if !self.listens() {
            return;
        }
        self.stats.messages_in += 1;
        let ParsedMessage { bytes, content } = parsed;
        if bytes > self.limits.message_bytes {
            return self.handle_violation(now, Violation::TooLarge);
        }
        let (message, ahead, text) = match content {
            Content::Message { message, ahead, text } => (message, ahead, text),
            Content::TooLarge => return self.handle_violation(now, Violation::TooLarge),
            Content::NotUtf8 => return self.handle_violation(now, Violation::InvalidUtf8),
        };
        let read = Read { bytes, message, ahead };
        if self.bucket.take(self.limits.rate(), now) {
            self.rate_limited_in_a_row = 0;
            self.take_message(now, read, text);
        } else {
            self.refuse_for_rate(&read);
        }
    }

    /// The texts that a client sent before its token was accepted, in the order in which they came. They are handled with the verdict:
    /// where they were [read](Session::read_held) before that, nothing of them is left to be read then.
    pub fn held_texts(&self) -> impl Iterator<Item = &str> {
        let held = match &self.state {
            State::Verifying { held, .. } => Some(held),
            _ => None,
        };
        held.into_iter().flat_map(|held| held.texts())
    }

    /// Takes the first of [`held_texts`](Session::held_texts) as they were read meanwhile.
    pub fn read_held(&mut self, messages: Vec<ParsedMessage>) {
        if let State::Verifying { held, .. } = &mut self.state {
            held.read(messages);
        }
    }

    /// The time is `now`: steps over every deadline that has come. Cheap, and harmless when nothing is due.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        while self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            match &mut self.state {
                State::AwaitingAuth { .. } | State::Verifying { .. } => self.time_out_auth(None),
                State::Active(active) => {
                    if active.expires.is_some_and(|expires| expires <= now) {
                        self.expire(None);
                    } else if let Some(late) = active.reauth.take_if(|reauth| reauth.deadline <= now) {
                        self.time_out_auth(late.request_id.as_deref());
                    } else if let Some(request_id) = active.awaited.expire(now) {
                        let message = "The live queries did not show the position in time";
                        self.error(ErrorCode::Overloaded, message, request_id.as_deref(), None);
                    } else {
                        match active.keep_alive.step(self.control.len(), now) {
                            Due::Nothing => return,
                            Due::Ping => self.answer(&ServerMessage::Ping),
                            Due::Gone => {
                                let message = "No pong came in time";
                                self.close_with(ErrorCode::PingTimeout, message, None);
                            }
                        }
                    }
                }
                State::Draining { .. } => self.expire(None),
                State::Closing(_) | State::Closed(_) => return,
            }
        }
    }

    /// What was [handed out](Session::poll_transmit) has left only now: the wait for the pong to a ping among it begins with that.
    /// For transports that take their time; without it the wait begins when the ping is handed out.
    pub fn handle_sent(&mut self, now: Monotonic) {
        if let State::Active(active) = &mut self.state {
            active.keep_alive.sent(&self.limits, now);
        }
    }

    /// The owner stood still until now (its process was stopped, its machine slept), and has not read what the client sent
    /// meanwhile. Before any other input: no token and no pong is missed until `grace` has passed, in which it is read. Once for
    /// each ping, so that a client is missed at last by an owner that is often late. A principal expires when it does.
    pub fn handle_pause(&mut self, now: Monotonic, grace: Duration) {
        if self.was_put_off {
            return;
        }
        let at_least = now + grace;
        let put_off =
            |deadline: &mut Monotonic| std::mem::replace(deadline, at_least.max(*deadline)) < at_least;
        self.was_put_off = match &mut self.state {
            State::AwaitingAuth { deadline } | State::Verifying { deadline, .. } => put_off(deadline),
            State::Active(active) => {
                let verdict = active.reauth.as_mut().is_some_and(|reauth| put_off(&mut reauth.deadline));
                active.keep_alive.put_off(at_least) || verdict
            }
            State::Draining { .. } | State::Closing(_) | State::Closed(_) => false,
        };
    }

    /// The owner's verdict on a token. True when it was accepted and is the one that the session waits for:
    /// then the owner installs the principal, and after a re-authentication checks every subscription and
    /// live query against it, ending those that it may no longer have.
    ///
    /// An `expires` that has passed already closes with `TOKEN_EXPIRED`.
    pub fn handle_verdict(&mut self, now: Monotonic, attempt: Attempt, verdict: Verdict) -> bool {
        self.handle_timeout(now);
        let Some((request_id, options)) = self.take_attempt(attempt) else { return false };
        let Verdict::Accepted { expires } = verdict else {
            self.close_with(ErrorCode::AuthFailed, "Authentication failed", request_id.as_deref());
            return false;
        };
        if expires.is_some_and(|expires| expires <= now) {
            self.expire(request_id.as_deref());
            return false;
        }
        match &mut self.state {
            State::Verifying { held, .. } => {
                let held = std::mem::take(held);
                let active = Active::new(&self.limits, now, expires);
                self.state = State::Active(Box::new(Active { held, ..active }));
            }
            State::Active(active) => active.expires = expires,
            _ => return false,
        }
        if let State::Active(active) = &mut self.state {
            active.streams.live_queries.frame_commits(options.commits);
        }
        self.answer(&ServerMessage::Authenticated { request_id: request_id.as_deref().map(Cow::Borrowed) });
        self.replay(now);
        self.listens()
    }

    /// Ends an attempt for a reason that is not the token: the address has failed too often ([`ErrorCode::RateLimited`]), or there
    /// is no room for one more connection ([`ErrorCode::LimitExceeded`]). An `error` that carries the request's mark, then the
    /// close that the code stands for. False, and without a consequence, where the session waits for no such attempt.
    pub fn deny(&mut self, now: Monotonic, attempt: Attempt, code: ErrorCode, message: &str) -> bool {
        self.handle_timeout(now);
        let Some((request_id, _)) = self.take_attempt(attempt) else { return false };
        self.close_with(code, message, request_id.as_deref());
        true
    }

    /// The mark of the request whose verdict the session waits for, if it is this one, and what it opts in to. It is not waited for any
    /// more.
    fn take_attempt(&mut self, attempt: Attempt) -> Option<(Option<Box<str>>, AuthOptions)> {
        match &mut self.state {
            State::Verifying { attempt: current, request_id, options, .. } if *current == attempt => {
                Some((request_id.take(), *options))
            }
            State::Active(active) => {
                let reauth = active.reauth.take_if(|reauth| reauth.attempt == attempt)?;
                Some((reauth.request_id, reauth.options))
            }
            _ => None,
        }
    }

    // ---- commands of the owner ----

    /// Answers [`Request::Subscribe`]: nothing is wrong with them. True when all of them are there from now on;
    /// false when none is, because the client's list went on with an entry that cannot be.
    pub fn accept_subscriptions(&mut self, now: Monotonic, ticket: Ticket) -> bool {
        let State::Active(active) = &mut self.state else { return false };
        let Some(request) = active.streams.subscriptions.answered(ticket) else { return false };
        if let Some(Wrong { refusal: Refusal { code, message, id }, limit }) = request.wrong {
            limit.into_iter().for_each(|limit| self.refusals.count(limit));
            self.error(code, &message, request.request_id.as_deref(), id.as_deref());
            self.replay(now);
            return false;
        }
        for spec in &request.subscriptions {
            active.streams.subscriptions.insert(spec.clone());
        }
        self.answer(&ServerMessage::SubscribedEvents {
            request_id: request.request_id.as_deref().map(Cow::Borrowed),
            subscriptions: request.subscriptions,
        });
        self.replay(now);
        true
    }

    /// Answers [`Request::Subscribe`], [`Request::CreateLiveQuery`] or [`Request::AwaitPosition`]: no. The ids are free again. A code
    /// that closes the connection by the protocol's table closes it; to refuse no more than one live query for load,
    /// [end](Session::end_live_query) it.
    pub fn refuse(&mut self, now: Monotonic, ticket: Ticket, refusal: Refusal) {
        let State::Active(active) = &mut self.state else { return };
        let Refusal { code, message, id } = refusal;
        let (id, request_id) = match active.streams.subscriptions.answered(ticket) {
            Some(request) => (id, request.request_id),
            None => match active.streams.live_queries.remove_request(ticket) {
                Some((own, request_id)) => (Some(own), request_id),
                None => match active.awaited.remove(ticket) {
                    Some(request_id) => (None, request_id),
                    None => return,
                },
            },
        };
        self.error(code, &message, request_id.as_deref(), id.as_deref());
        match code.consequence() {
            Consequence::Closes(close) => self.close(close),
            Consequence::Stays | Consequence::StaysAtFirst(_) => self.replay(now),
        }
    }

    /// Answers [`Request::CreateLiveQuery`]: `liveQueryCreated`, then the rows of the snapshot.
    ///
    /// From now on every change of the result after the snapshot goes to
    /// [`live_query_changed`](Session::live_query_changed) with the same ticket.
    pub fn accept_live_query(&mut self, now: Monotonic, ticket: Ticket, snapshot: Arc<Snapshot>) {
        self.accept_and_tell(now, ticket, snapshot, About::default());
    }

    /// Like [`accept_live_query`](Session::accept_live_query); a client that has asked for extensions is also told about its query.
    pub fn accept_and_tell(
        &mut self,
        now: Monotonic,
        ticket: Ticket,
        snapshot: Arc<Snapshot>,
        about: About<'_>,
    ) {
        let State::Active(active) = &mut self.state else { return };
        let Snapshot { version, count: Count { total: total_count, capped }, .. } = *snapshot;
        let accepted = active.streams.live_queries.accept(ticket, snapshot, about.mark.clone());
        let Some(accepted) = accepted else { return };
        let options = accepted.options;
        self.answer(&ServerMessage::LiveQueryCreated {
            request_id: accepted.request_id.as_deref().map(Cow::Borrowed),
            id: Cow::Borrowed(&accepted.id),
            total_count,
            capped,
            version: options.resume.then(|| Cow::Owned(about.mark.text(version, options.positions).into())),
            key: about.key.filter(|_| !options.is_none()).map(Cow::Borrowed),
            hints: options.hints.then_some(about.hints),
        });
        self.replay(now);
    }

    /// Answers [`Request::CreateLiveQuery`] that named a version: `liveQueryResumed`, then the net changes
    /// since that version as one batch, which led to `window`.
    pub fn resume_live_query(
        &mut self,
        now: Monotonic,
        ticket: Ticket,
        batch: Arc<Batch>,
        window: &Snapshot,
    ) {
        self.resume_and_tell(now, ticket, Resumption { batch, window, drop: None }, About::default());
    }

    /// Answers [`Request::CreateLiveQuery`] of a client that has something already: `liveQueryResumed`, then the changes that make that
    /// into the result.
    pub fn resume_and_tell(
        &mut self,
        now: Monotonic,
        ticket: Ticket,
        resumption: Resumption<'_>,
        about: About<'_>,
    ) {
        let State::Active(active) = &mut self.state else { return };
        let Resumption { batch, window, drop } = &resumption;
        let Count { total: total_count, capped } = batch.count.unwrap_or(window.count);
        let drop = drop.clone();
        let folded = &mut self.stats.changes_folded;
        let live_queries = &mut active.streams.live_queries;
        let resumed = live_queries.resume(ticket, resumption, about.mark, &self.limits, folded);
        let Some((accepted, version)) = resumed else { return };
        self.answer(&ServerMessage::LiveQueryResumed {
            request_id: accepted.request_id.as_deref().map(Cow::Borrowed),
            id: Cow::Borrowed(&accepted.id),
            total_count,
            capped,
            version: version.map(Cow::Owned),
            key: about.key.map(Cow::Borrowed),
            drop,
        });
        self.bound_backlog();
        self.replay(now);
    }

    /// Answers [`Request::AwaitPosition`]: the client is told once its live queries show this version and all before it. What was
    /// committed up to it is to be here already.
    pub fn await_version(&mut self, ticket: Ticket, version: u64) {
        if let State::Active(active) = &mut self.state {
            active.awaited.answered(ticket, version);
        }
    }

    /// [`Request::CreateLiveQuery`] is answered later, and nobody knows when: until then the client may destroy it.
    pub fn let_live_query_wait(&mut self, now: Monotonic, ticket: Ticket) {
        if let State::Active(active) = &mut self.state {
            active.streams.live_queries.let_wait(ticket);
            self.replay(now);
        }
    }

    /// The set of a live query, which may be one that was not answered, has this status: a client that has asked for it is told where it
    /// does not know.
    pub fn live_query_status(&mut self, ticket: Ticket, status: &SetStatus) {
        if let State::Active(active) = &mut self.state {
            active.streams.live_queries.set_status(ticket, status);
        }
    }

    /// The result of a live query changed. Batches come in order of their versions, none is left out.
    ///
    /// Costs a reference while the client keeps up, and O(log n) for each change when it does not.
    ///
    /// Over all live queries of the connection, everything of one version is sent before what is of the next, except for those that
    /// are still being sent their first rows, or something folded. For a client that has asked for commits all of a commit is to be
    /// here before the next [`poll_transmit`](Session::poll_transmit).
    pub fn live_query_changed(&mut self, ticket: Ticket, batch: &Arc<Batch>) {
        self.live_query_changed_within(ticket, batch, batch.version);
    }

    /// The same, where a batch is what time has changed before a commit of a later version was made: with `counts`, the client is
    /// told the count once for both. For the commit's own batch `commit` is its version.
    pub fn live_query_changed_within(&mut self, ticket: Ticket, batch: &Arc<Batch>, commit: u64) {
        if let State::Active(active) = &mut self.state {
            let folded = &mut self.stats.changes_folded;
            active.streams.live_queries.changed(ticket, batch, commit, &self.limits, folded);
            self.bound_backlog();
        }
    }

    /// Nothing is sent from now on of what changed in versions behind `last`, until this is called with a later one or `None`: for
    /// example while the changes of some live query are still to come. What comes meanwhile waits. What is more than
    /// [`SessionLimits::backlog_changes`], or all together more than half of [`SessionLimits::backlog_bytes`], is folded, and a fold
    /// is sent at once. First rows are not concerned. O(1).
    pub fn hold_commits_behind(&mut self, last: Option<u64>) {
        if let State::Active(active) = &mut self.state {
            active.streams.live_queries.hold_behind(last);
        }
    }

    /// What commits behind version `after` up to `last` have changed was told some live query as one net change: for a client that has
    /// asked for commits they are one step, of all of its live queries. Before anything of them is sent. O(log steps).
    pub fn told_as_one(&mut self, after: u64, last: u64) {
        if let State::Active(active) = &mut self.state {
            active.streams.live_queries.add_net(after, last);
        }
    }

    /// Whether something of a live query waits to be sent, also where it is held. O(1).
    pub fn has_unsent_live_queries(&self) -> bool {
        self.streams().is_some_and(|streams| streams.live_queries.has_unsent())
    }

    /// Whether changes of a live query can wait with those that do already, folded if need be, without ending the connection
    /// ([`SessionLimits::backlog_bytes`]). O(changes).
    pub fn has_room_for(&mut self, ticket: Ticket, batch: &Batch) -> bool {
        let State::Active(active) = &mut self.state else { return false };
        let live_queries = &mut active.streams.live_queries;
        let room = self.limits.backlog_bytes.checked_sub(live_queries.bytes_of(ticket, batch));
        if room.is_none_or(|room| live_queries.bytes() > room) {
            live_queries.shrink(&mut self.stats.changes_folded);
        }
        room.is_some_and(|room| live_queries.bytes() <= room)
    }

    /// The client was sent everything of a live query up to `version` by the owner itself, out of [`Diffs`](crate::Diffs): the
    /// stream goes on from there. Only for one that has nothing to send.
    pub fn live_query_told(&mut self, ticket: Ticket, version: u64) {
        if let State::Active(active) = &mut self.state {
            active.streams.live_queries.told(ticket, version);
        }
    }

    /// Nothing of a live query is sent from now on that was not sent already, for example because the principal may not see it any
    /// more; first rows that are on their way end where they are. `window` is its result after all batches so far; returned is
    /// what of it the client has. `None` where there is no such live query, or it was not answered.
    ///
    /// No batch may be pushed before [`move_live_query`](Session::move_live_query).
    pub fn suspend_live_query(&mut self, ticket: Ticket, window: Snapshot) -> Option<Snapshot> {
        let State::Active(active) = &mut self.state else { return None };
        active.streams.live_queries.suspend(ticket, window)
    }

    /// A live query that was [suspended](Session::suspend_live_query) is over something else from now on: `batch` makes what the
    /// client has into what it is to have, and the batches that follow are of the new result, whose versions are written as `mark` says.
    pub fn move_live_query(&mut self, ticket: Ticket, batch: &Arc<Batch>, mark: VersionCode) {
        if let State::Active(active) = &mut self.state {
            active.streams.live_queries.moved(ticket, mark);
        }
        self.live_query_changed(ticket, batch);
        if let State::Active(active) = &mut self.state {
            active.streams.live_queries.frame_newest();
        }
    }

    /// Nothing of any live query is sent from now on, first rows neither, until this is taken back with `false`: for example while it is
    /// found out what the principal may see now. What comes meanwhile waits, and folds; answers go out. O(1).
    pub fn hold_live_queries(&mut self, hold: bool) {
        if let State::Active(active) = &mut self.state {
            active.streams.live_queries.hold_back(hold);
        }
    }

    /// The principal is good until then, or for ever. One that has passed closes with `TOKEN_EXPIRED`.
    pub fn renew(&mut self, now: Monotonic, expires: Option<Monotonic>) {
        match &mut self.state {
            State::Active(active) => active.expires = expires,
            State::Draining { expires: until, .. } => *until = expires,
            _ => {}
        }
        self.handle_timeout(now);
    }

    /// Of what still waits in a session that is [shut down](Session::shutdown), events and rows are not sent: the principal has
    /// changed, and nobody asks any more which of them the new one may see. The answers go out, and the close.
    pub fn withhold(&mut self) {
        if let State::Draining { streams, .. } = &mut self.state {
            **streams = Streams::default();
        }
    }

    /// The last version that the client of a live query with `resume` was told; `None` for others.
    pub fn live_query_version(&self, ticket: Ticket) -> Option<u64> {
        self.streams()?.live_queries.version(ticket)
    }

    /// Ends a live query from the server's side: an `error` that names it, nothing of it follows. One that
    /// was not answered is refused. The connection stays, whatever the code.
    pub fn end_live_query(&mut self, now: Monotonic, ticket: Ticket, code: ErrorCode, message: &str) {
        let State::Active(active) = &mut self.state else { return };
        if let Some((id, request_id)) = active.streams.live_queries.remove(ticket) {
            self.error(code, message, request_id.as_deref(), Some(&id));
            self.replay(now);
        }
    }

    /// Ends a subscription from the server's side: an `error` that names it, no event of it follows. The
    /// connection stays, whatever the code.
    pub fn end_subscription(&mut self, id: &str, code: ErrorCode, message: &str) {
        let State::Active(active) = &mut self.state else { return };
        if active.streams.subscriptions.remove(id).is_some() {
            self.error(code, message, None, Some(id));
        }
    }

    /// An event at a path: queues one message for the subscriptions of exactly that path (as subscribed)
    /// that want its type, and returns how many those are; none where it is larger than
    /// [`SessionLimits::event_bytes`] alone, and is dropped and counted at once.
    ///
    /// O(log) in the subscriptions to find the path, then as much for each of its subscriptions.
    pub fn deliver(&mut self, path: &str, event: &Arc<Event>) -> usize {
        let State::Active(active) = &mut self.state else { return 0 };
        let dropped = &mut self.stats.events_dropped;
        let room = Room { events: self.limits.event_queue, bytes: self.limits.event_bytes };
        active.streams.subscriptions.deliver(path, event, room, dropped)
    }

    // ---- outputs ----

    /// The next thing that the session needs of its owner.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.poll()
    }

    /// The next thing for the transport to do; appends at most one message to `out`.
    ///
    /// Answers and other control messages go first, in the order in which they arose; then events and live
    /// queries take turns; of live queries, the diffs of the earliest commit take turns with first rows and folds. Rows and diffs become messages only here, so
    /// what the transport does not ask for costs (almost) nothing.
    pub fn poll_transmit(&mut self, now: Monotonic, out: &mut Vec<u8>) -> Option<Transmit> {
        // Nothing of a stream goes out to a principal that has expired.
        self.handle_timeout(now);
        let is_control = self.control.pop(out);
        let mut is_ping = false;
        let folded = &mut self.stats.changes_folded;
        let text = match &mut self.state {
            State::Active(active) if is_control => {
                is_ping = active.keep_alive.handed_out(&self.limits, now);
                true
            }
            _ if is_control => true,
            State::Active(active) => match active.awaited.reached(&active.streams.live_queries) {
                Some(request_id) => {
                    let request_id = request_id.as_deref().map(Cow::Borrowed);
                    ServerMessage::PositionReached { request_id }.write(out);
                    true
                }
                None => active.streams.transmit(&self.limits, folded, out),
            },
            State::Draining { streams, .. } => streams.transmit(&self.limits, folded, out),
            _ => false,
        };
        if is_ping {
            self.was_put_off = false;
            // Where no pong is waited for at all.
            self.handle_timeout(now);
        }
        if text {
            self.stats.messages_out += 1;
            return Some(Transmit::Text);
        }
        let code = match self.state {
            State::Draining { .. } => CloseCode::GoingAway,
            State::Closing(code) => code,
            _ => return None,
        };
        self.state = State::Closed(code);
        Some(Transmit::Close(code))
    }

    /// The code of the next error that the client is told of, in the order in which they arose: to be counted and logged, nothing
    /// needs to be done. An owner that does not ask misses those beyond the first 256.
    pub fn poll_error(&mut self) -> Option<ErrorCode> {
        let code = self.errors.pop_front();
        if self.errors.is_empty() {
            self.errors = VecDeque::new();
        }
        code
    }

    /// What limits have refused since this was last called: to be counted, nothing needs to be done.
    pub fn take_refusals(&mut self) -> Refusals {
        std::mem::take(&mut self.refusals)
    }

    /// When to call [`handle_timeout`](Session::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        match &self.state {
            State::AwaitingAuth { deadline } | State::Verifying { deadline, .. } => Some(*deadline),
            State::Active(active) => active.deadline(),
            State::Draining { expires, .. } => *expires,
            State::Closing(_) | State::Closed(_) => None,
        }
    }

    /// Whether [`poll_transmit`](Session::poll_transmit) has something for the transport.
    pub fn wants_transmit(&self) -> bool {
        !self.control.is_empty()
            || match &self.state {
                State::Active(active) => {
                    active.streams.has_news() || active.awaited.is_reached(&active.streams.live_queries)
                }
                State::Draining { .. } | State::Closing(_) => true,
                State::AwaitingAuth { .. } | State::Verifying { .. } | State::Closed(_) => false,
            }
    }

    // ---- reading ----

    /// Whether the client has asked for `commit` behind each commit. All that its live queries are sent goes through the session then.
    pub fn frames_commits(&self) -> bool {
        self.streams().is_some_and(|streams| streams.live_queries.frames_commits())
    }

    /// Whether a ping was handed out that the client has not answered: then [`handle_sent`](Session::handle_sent) has a meaning.
    pub fn awaits_pong(&self) -> bool {
        matches!(&self.state, State::Active(active) if active.keep_alive.awaits_pong())
    }

    /// Whether the close was handed out.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Where the conversation stands.
    pub fn state(&self) -> SessionState {
        match &self.state {
            State::AwaitingAuth { .. } => SessionState::AwaitingAuth,
            State::Verifying { .. } => SessionState::Verifying,
            State::Active(_) => SessionState::Active,
            State::Draining { .. } => SessionState::Draining,
            State::Closing(code) => SessionState::Closing(*code),
            State::Closed(code) => SessionState::Closed(*code),
        }
    }

    /// The limits that it was made with.
    pub fn limits(&self) -> &SessionLimits {
        &self.limits
    }

    /// The subscriptions that are there, by id; not those that the owner has not answered.
    pub fn subscriptions(&self) -> impl Iterator<Item = &SubscriptionSpec> {
        self.streams().into_iter().flat_map(|streams| streams.subscriptions.specs())
    }

    /// Ticket and id of the live queries that are there, in order of creation; not those that the owner has
    /// not answered.
    pub fn live_queries(&self) -> impl Iterator<Item = (Ticket, &Arc<str>)> {
        self.streams().into_iter().flat_map(|streams| streams.live_queries.live())
    }

    /// What happened so far.
    pub fn stats(&self) -> SessionStats {
        self.stats
    }

    /// What waits for the transport. O(1).
    pub fn backlog(&self) -> Backlog {
        let streams = self.streams();
        Backlog {
            control: self.control.len(),
            control_bytes: self.control.bytes(),
            events: streams.map_or(0, |streams| streams.subscriptions.queued()),
            event_bytes: streams.map_or(0, |streams| streams.subscriptions.bytes()),
            changes: streams.map_or(0, |streams| streams.live_queries.waiting()),
            bytes: streams.map_or(0, |streams| streams.live_queries.bytes()),
            initial_bytes: self.initial_bytes(),
        }
    }

    /// Bytes of initial rows that are held for the transport: of each live query whose rows are not all sent, those of all. O(1).
    pub fn initial_bytes(&self) -> usize {
        self.streams().map_or(0, |streams| streams.live_queries.load_bytes())
    }

    fn streams(&self) -> Option<&Streams> {
        match &self.state {
            State::Active(active) => Some(&active.streams),
            State::Draining { streams, .. } => Some(streams),
            _ => None,
        }
    }
}
