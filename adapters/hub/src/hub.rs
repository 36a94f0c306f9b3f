//! The hub: one way in, one way out.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
};

use bytes::Bytes;
use indexmap::IndexSet;
use liveset_core::{
    Attempt, ChangeBatch, Diffs, ErrorCode, Event, Moment, ParsedMessage, QuerySpec, Refusal, Session,
    SessionLimits, Transmit, Verdict, Violation,
};
use liveset_engine::{
    CommitError, Committed, DefineError, Engine, EngineLimits, Explain, FeedId, Filter, HashSeed, Instant,
    JsonLimits, Op, Opened, ParsedQuery, Part, Plan, Projection, QueryLimits, SetDef, json,
};

use crate::{
    Access, AllowAll, AuthRefused, ConnectionId, HubLimits, OneShot, Origin, Output, Parser, Policy,
    PreparedQuery, Principal, PublishError, Refusals, Resources, Stats, SubjectUse, Timeouts, WatchError,
    WatchEvent, WatchId,
    budgets::StepBudget,
    connections::{Connection, Connections},
    contain::{Panicked, contain},
    feeds::{After, Feeds, Watcher},
    holds::{Holds, Input},
    output::Outputs,
    parser::engine_query,
    policy::Guard,
    requests::{invalid, query_forbidden},
    routes::Routes,
    subjects::Subjects,
    timers::{Timer, Timers},
    totals::Totals,
    turns::Turns,
    updates::{Moments, identity, mark},
    watches::Watches,
    work::{Place, Task, Tasks},
};

/// The two clocks, read by the owner at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For deadlines: never goes back.
    pub monotonic: Moment,
    /// For `now` in queries and for the timestamps of events: may be set, also back.
    pub wall: Instant,
}

/// Everything a [`Hub`] is made with.
pub struct HubConfig {
    /// Limits of sets and expressions.
    pub engine: EngineLimits,
    /// Limits of each connection.
    pub session: SessionLimits,
    /// Limits of the hub itself.
    pub hub: HubLimits,
    /// What clients can subscribe to.
    pub resources: Resources,
    /// Who may do what.
    pub policy: Box<dyn Policy>,
    /// Where the versions of this run begin, so that a version which a client kept from an earlier run (or from another
    /// server) is not mistaken for one of this: higher than any version given out before, and at most 2^63 - 1. The
    /// nanoseconds of the wall clock at the start will do until the year 2262.
    pub epoch: u64,
    /// Keys the hash tables over what clients and writers choose, and changes no output. A service takes random bits, each time it
    /// starts: under a seed that clients know they can make all look-ups slow.
    pub seed: HashSeed,
}

impl Default for HubConfig {
    /// All limits at their defaults, the stock resources, [`AllowAll`], epoch 0, and [`HashSeed::FIXED`], in place of which a
    /// service must put a random one.
    fn default() -> Self {
        Self {
            engine: EngineLimits::default(),
            session: SessionLimits::default(),
            hub: HubLimits::default(),
            resources: Resources::stock(),
            policy: Box::new(AllowAll),
            epoch: 0,
            seed: HashSeed::FIXED,
        }
    }
}

impl fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubConfig")
            .field("hub", &self.hub)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// All connections of an endpoint over one engine, without IO: the owner brings bytes, commits and the time, and carries
/// out what comes back.
///
/// - **Inputs**: `connect`, `handle_*`, and the host's verbs `commit`, `publish`, `query`, `watch`, `unwatch`, `shutdown`.
/// - **Outputs**: after inputs, drain [`poll_output`](Hub::poll_output) until `None`, and each connection it names by
///   [`poll_transmit`](Hub::poll_transmit) as fast as that connection takes it. Where many watch the same,
///   [`fan_out`](Hub::fan_out) before that saves most of the work.
/// - **Time**: call [`handle_timeout`](Hub::handle_timeout) no later than [`poll_timeout`](Hub::poll_timeout) says. Inputs
///   may change what it says.
/// - **Work in slices**: a live query over more nodes than fit in a slice (`EngineLimits::slice_rows`) is answered when it is
///   made, for which [`work`](Hub::work) is called between inputs while [`has_work`](Hub::has_work). Turns go round by subject, then
///   by [`Origin`], then by connection.
///
/// Several inputs without a drain between them are legal. A connection that takes nothing costs a bounded amount of
/// memory: events are dropped with a warning, live queries are folded. The same inputs give the same outputs, byte for
/// byte. The [crate's front page](crate) shows the run loop.
pub struct Hub {
    pub(crate) engine: Engine,
    pub(crate) session_limits: Arc<SessionLimits>,
    pub(crate) limits: HubLimits,
    pub(crate) resources: Resources,
    pub(crate) policy: Guard,
    pub(crate) epoch: u64,
    /// For the data of events: those of nodes.
    event_limits: JsonLimits,
    /// Of the engine, for the filters of the policy.
    pub(crate) query_limits: QueryLimits,
    pub(crate) connections: Connections,
    pub(crate) subjects: Subjects,
    pub(crate) routes: Routes,
    pub(crate) feeds: Feeds,
    pub(crate) watches: Watches,
    pub(crate) timers: Timers,
    pub(crate) outputs: Outputs,
    /// Batches that were not handed to their watchers yet, in the order of their versions.
    pub(crate) unhanded: VecDeque<(FeedId, Arc<ChangeBatch>)>,
    /// Of versions that are still to be handed.
    pub(crate) moments: Moments,
    pub(crate) counts: Counts,
    /// Sums over all connections.
    pub(crate) totals: Totals,
    /// What was put off, in the order in which it has its turns.
    pub(crate) tasks: Tasks,
    /// Those of connections and subjects that have overdrawn what they may spend, by the moment at which they may go on.
    pub(crate) paced: BTreeMap<(Moment, u64), (Place, Task)>,
    pub(crate) paced_so_far: u64,
    /// Connections whose session has got something since it was last settled.
    pub(crate) unsettled: VecDeque<ConnectionId>,
    shutting_down: bool,
}

/// Counters that only grow.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) resumed: u64,
    pub(crate) resumes_missed: u64,
    pub(crate) events: u64,
    pub(crate) batches: u64,
    pub(crate) handed_past: u64,
    pub(crate) broken_restrictions: u64,
    pub(crate) refusals: Refusals,
    pub(crate) holds: Holds,
    pub(crate) planned: u64,
    pub(crate) parsed: u64,
    pub(crate) given_up: u64,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub without sets and connections.
    pub fn new(config: HubConfig) -> Self {
        let subject_rate = config.hub.steps_per_second_per_subject;
        Self {
            event_limits: config.engine.json.clone(),
            query_limits: config.engine.query.clone(),
            engine: Engine::new(config.engine, config.seed),
            session_limits: Arc::new(config.session),
            limits: config.hub,
            resources: config.resources,
            policy: Guard::new(config.policy),
            epoch: config.epoch.min(u64::MAX / 2),
            connections: Connections::default(),
            subjects: Subjects::new(config.seed.keyed(), subject_rate),
            paced: BTreeMap::new(),
            paced_so_far: 0,
            routes: Routes::default(),
            feeds: Feeds::default(),
            watches: Watches::default(),
            timers: Timers::default(),
            outputs: Outputs::default(),
            unhanded: VecDeque::new(),
            moments: Moments::default(),
            counts: Counts::default(),
            totals: Totals::default(),
            tasks: Tasks::default(),
            unsettled: VecDeque::new(),
            shutting_down: false,
        }
    }

    /// Declares a set of nodes.
    ///
    /// # Errors
    ///
    /// The name is taken, or the declaration is wrong.
    pub fn define_set(&mut self, def: SetDef) -> Result<(), DefineError> {
        self.engine.define_set(def)
    }

    // --- connections ---

    /// A connection was opened; its deadline for authentication runs from now.
    pub fn connect(&mut self, now: Now) -> ConnectionId {
        self.connect_from(now, Origin::default())
    }

    /// A connection was opened that comes from somewhere: see [`work`](Self::work) for what follows from that.
    pub fn connect_from(&mut self, now: Now, origin: Origin) -> ConnectionId {
        let session = Session::new(self.session_limits.clone(), now.monotonic);
        let steps = StepBudget::full(self.limits.steps_per_second_per_connection, now.monotonic);
        let conn = self.connections.insert(session, origin, steps);
        if self.shutting_down
            && let Some(connection) = self.connections.find_mut(conn)
        {
            connection.session.shutdown(now.monotonic);
        }
        self.settle(now, conn);
        conn
    }

    /// A whole text message arrived. An unknown connection is ignored here and everywhere: a transport may be late.
    pub fn handle_text(&mut self, now: Now, conn: ConnectionId, text: &[u8]) {
        let before = self.engine.steps();
        self.with_session(now, conn, |session| session.handle_text(now.monotonic, text));
        self.note_hold(Input::Message, before);
    }

    /// A whole text message arrived, which was read already by a [`Parser`]: nothing of its text is looked at here.
    pub fn handle_message(&mut self, now: Now, conn: ConnectionId, message: ParsedMessage) {
        let before = self.engine.steps();
        self.with_session(now, conn, |session| session.handle_parsed(now.monotonic, message));
        self.note_hold(Input::Message, before);
    }

    /// Reads messages and queries without the hub, for those over the sets that are defined now.
    pub fn parser(&self) -> Parser {
        Parser { session: self.session_limits.clone(), queries: self.engine.query_parser() }
    }

    /// The texts that a client sent before its token was accepted: an accepted token has them handled. Where they were
    /// [read](Self::read_held) before the verdict, nothing of them is left to be read then.
    pub fn held_texts(&self, conn: ConnectionId) -> Vec<Box<[u8]>> {
        let session = self.connections.find(conn).map(|connection| &connection.session);
        let texts = session.into_iter().flat_map(Session::held_texts);
        texts.map(|text| text.as_bytes().into()).collect()
    }

    /// Takes the first of [`held_texts`](Self::held_texts), read by a [`Parser`] meanwhile.
    pub fn read_held(&mut self, conn: ConnectionId, messages: Vec<ParsedMessage>) {
        if let Some(connection) = self.connections.find_mut(conn) {
            connection.session.read_held(messages);
        }
    }

    /// The transport saw something that the protocol does not allow.
    pub fn handle_violation(&mut self, now: Now, conn: ConnectionId, violation: Violation) {
        self.with_session(now, conn, |session| session.handle_violation(now.monotonic, violation));
    }

    /// The connection is gone: everything it held is freed. Live queries that may be resumed are remembered for a time.
    pub fn handle_disconnect(&mut self, now: Now, conn: ConnectionId) {
        self.release(now, conn);
        if let Some(mut connection) = self.connections.remove(conn) {
            self.subjects.set(&mut connection.share, now.monotonic, None, (0, 0));
            self.totals.leave(&connection);
        }
        self.timers.set(Timer::Connection(conn), None);
    }

    /// Answers an [`Output::Verify`]. An answer that comes too late is ignored. When a connection re-authenticates,
    /// everything it holds is asked of the policy again: what is not allowed any more ends with `FORBIDDEN`, and a live query that
    /// is over other nodes or fields now is changed by diffs into what it is for the new principal. Only those are planned again, a few
    /// at a time where they are many ([`work`](Self::work) does the rest): until then nothing of any live query of the connection is sent.
    ///
    /// Where the principal's subject has as many connections as it may, this one is told so and closed.
    pub fn handle_verdict(
        &mut self,
        now: Now,
        conn: ConnectionId,
        attempt: Attempt,
        verdict: Result<Principal, AuthRefused>,
    ) {
        let before = self.engine.steps();
        let Some(connection) = self.connections.find_mut(conn) else { return };
        if let Ok(Principal { subject, .. }) = &verdict
            && connection.share.subject() != Some(subject)
            && self.subjects.of(subject).connections >= self.limits.connections_per_subject
        {
            let message =
                format!("A subject may have at most {} connections", self.limits.connections_per_subject);
            let code = ErrorCode::LimitExceeded;
            if connection.session.deny(now.monotonic, attempt, code, &message) {
                self.counts.refusals.connections_per_subject += 1;
                self.outputs.push(Output::Crowded { conn, subject: subject.clone() });
            }
            return self.settle(now, conn);
        }
        let answer = match &verdict {
            Ok(principal) => Verdict::Accepted { expires: principal.expires },
            Err(AuthRefused) => Verdict::Refused,
        };
        let current = connection.session.handle_verdict(now.monotonic, attempt, answer);
        if current && let Ok(principal) = verdict {
            self.install(now, conn, principal);
        }
        self.settle(now, conn);
        self.note_hold(Input::Verdict, before);
    }

    /// Answers an [`Output::Verify`] without a look at the token: for example `RATE_LIMITED`, where its address has failed too
    /// often. The client is told, then the connection closes as the code says.
    pub fn deny(&mut self, now: Now, conn: ConnectionId, attempt: Attempt, code: ErrorCode, message: &str) {
        self.with_session(now, conn, |session| {
            session.deny(now.monotonic, attempt, code, message);
        });
    }

    /// Ends every connection that acts for a subject: `TOKEN_EXPIRED`, close 1008, before the next diff. Returns how many those are.
    /// Nothing is asked of the policy, and nobody else is concerned. A verdict on a token that was asked for before is the owner's to ask
    /// for again.
    pub fn revoke(&mut self, now: Now, subject: &str) -> usize {
        let mut ended = 0;
        for conn in self.connections.ids() {
            let Some(connection) = self.connections.find_mut(conn) else { continue };
            if connection.principal.as_ref().is_some_and(|who| &*who.subject == subject) {
                ended += usize::from(!connection.is_over());
                connection.session.fail(now.monotonic, ErrorCode::TokenExpired, "The token was revoked");
                self.settle(now, conn);
            }
        }
        ended
    }

    /// Asks anew for whom each connection acts: everything that it holds is asked of the policy again, as after a
    /// re-authentication. `None` ends the connection: `TOKEN_EXPIRED`, close 1008; a panic ends it, and it alone: `INTERNAL`, close 1011.
    /// Of one that is being shut down what was not sent is dropped.
    /// Returns how many were ended.
    pub fn reauthorize(&mut self, now: Now, mut renew: impl FnMut(&Principal) -> Option<Principal>) -> usize {
        let mut ended = 0;
        for conn in self.connections.ids() {
            let Some(connection) = self.connections.find_mut(conn) else { continue };
            let Some(who) = &connection.principal else { continue };
            let was_over = connection.is_over();
            match contain(|| renew(who)) {
                Ok(Some(renewed)) => {
                    connection.session.renew(now.monotonic, renewed.expires);
                    // What one that is over held is forgotten here, so that the policy cannot be asked of what its session has left.
                    if was_over {
                        connection.session.withhold();
                    }
                    self.install(now, conn, renewed);
                }
                Ok(None) => {
                    connection.session.fail(now.monotonic, ErrorCode::TokenExpired, "The token was revoked");
                }
                Err(Panicked) => self.panicked(now, conn),
            }
            self.settle(now, conn);
            let is_over = self.connections.find(conn).is_none_or(Connection::is_over);
            ended += usize::from(is_over && !was_over);
        }
        ended
    }

    /// Ends a connection after a fault of ours: `INTERNAL`, close 1011.
    pub fn fail(&mut self, now: Now, conn: ConnectionId) {
        self.with_session(now, conn, |session| {
            session.fail(now.monotonic, ErrorCode::Internal, "internal error");
        });
    }

    /// Ends a connection to shed load, for example one that cannot be written to for too long: `OVERLOADED`, close 1013.
    pub fn overload(&mut self, now: Now, conn: ConnectionId, message: &str) {
        self.with_session(now, conn, |session| session.fail(now.monotonic, ErrorCode::Overloaded, message));
    }

    /// Closes every connection with 1001 after what is queued for it was sent, and those that are still to come at once.
    /// The owner bounds how long it waits.
    pub fn shutdown(&mut self, now: Now) {
        self.shutting_down = true;
        self.hand_out();
        for conn in self.connections.ids() {
            self.with_session(now, conn, |session| session.shutdown(now.monotonic));
        }
    }

    /// From now on, closes connections with 1001 as soon as they come. Those that are here stay, for
    /// [`shutdown_one`](Self::shutdown_one) and [`shutdown`](Self::shutdown) to close.
    pub fn refuse_newcomers(&mut self) {
        self.shutting_down = true;
    }

    /// Closes one connection with 1001 after what is queued for it was sent.
    pub fn shutdown_one(&mut self, now: Now, conn: ConnectionId) {
        self.hand_out();
        self.with_session(now, conn, |session| session.shutdown(now.monotonic));
    }

    // --- the host ---

    /// Applies `ops` as one: all of them, or none. Every live query that they change gets one batch of net changes.
    ///
    /// # Errors
    ///
    /// The first operation that is wrong; nothing was applied then.
    pub fn commit(&mut self, now: Now, ops: Vec<Op>) -> Result<Committed, CommitError> {
        self.commit_with(now, ops, |_| ())
    }

    /// The same, with the work on the queries in parts, one for each shard (`EngineLimits::shards`): `spread` may
    /// [run](Part::run) them in whatever order and on whatever threads. What it leaves undone is done here.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn commit_with(
        &mut self,
        now: Now,
        ops: Vec<Op>,
        spread: impl FnOnce(&mut [Part<'_>]),
    ) -> Result<Committed, CommitError> {
        let before = self.engine.version();
        let committed = self.engine.commit_with(now.wall, ops, spread);
        if let Ok(committed) = &committed {
            self.note_commit(before, committed);
        }
        self.give_up_faded();
        self.distribute(now);
        committed
    }

    /// Publishes an event at `path`; it reaches the subscriptions of the path and of its declared ancestors. `data` is
    /// one JSON value; without a `timestamp` it is now. Returns for how many subscriptions it was queued.
    ///
    /// # Errors
    ///
    /// The path or event type is not declared, or `data` is larger than [`HubLimits::event_data_bytes`] or no JSON that a node could
    /// have ([`json`]).
    pub fn publish(
        &mut self,
        now: Now,
        path: &str,
        event_type: &str,
        data: Bytes,
        timestamp: Option<Instant>,
    ) -> Result<usize, PublishError> {
        self.resources.declares_event(path, event_type)?;
        let (bytes, max) = (data.len(), self.limits.event_data_bytes);
        if bytes > max {
            return Err(PublishError::TooLarge { bytes, max });
        }
        json::check(&data, &self.event_limits)?;
        self.counts.events += 1;
        let timestamp = timestamp.unwrap_or(now.wall).to_millis_string();
        let event = Arc::new(Event { event_type: event_type.into(), data, timestamp: timestamp.into() });
        let mut queued = 0;
        for reached in self.resources.reached(path) {
            for conn in self.routes.of(reached) {
                let Some(connection) = self.connections.find_mut(conn) else { continue };
                queued += connection.session.deliver(reached, &event);
                connection.signal(conn, &mut self.outputs);
                self.totals.count(connection);
            }
        }
        Ok(queued)
    }

    /// Asks a query once. `who` is asked of the policy; `None` is the host itself. What it takes to answer is as it is now, and
    /// [`OneShot::run`] needs the hub no more.
    ///
    /// # Errors
    ///
    /// `FORBIDDEN`, `INVALID_QUERY`, or `LIMIT_EXCEEDED` where more fields would be read than may be, with the text for whoever asked.
    pub fn query(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &QuerySpec,
    ) -> Result<OneShot, Refusal> {
        self.query_parsed(now, who, query, None)
    }

    /// The same, of a query that was [prepared](Parser::query).
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub fn query_prepared(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &PreparedQuery,
    ) -> Result<OneShot, Refusal> {
        self.query_parsed(now, who, &query.spec, Some(&query.parsed))
    }

    fn query_parsed(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &QuerySpec,
        parsed: Option<&ParsedQuery>,
    ) -> Result<OneShot, Refusal> {
        let plan = self.allowed_plan(who, query, parsed)?;
        let asked = self.engine.one_shot(now.wall, &plan);
        self.distribute(now);
        let asked = asked.map_err(|error| self.no_room(&error))?;
        Ok(OneShot { asked, epoch: self.epoch })
    }

    /// How a query is found by what changes, and what it costs. `who` is asked of the policy as if they asked the query, and must be
    /// allowed to see all of the set.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub fn explain(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &QuerySpec,
    ) -> Result<Explain, Refusal> {
        self.explain_parsed(now, who, query, None)
    }

    /// The same, of a query that was [prepared](Parser::query).
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub fn explain_prepared(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &PreparedQuery,
    ) -> Result<Explain, Refusal> {
        self.explain_parsed(now, who, &query.spec, Some(&query.parsed))
    }

    fn explain_parsed(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &QuerySpec,
        parsed: Option<&ParsedQuery>,
    ) -> Result<Explain, Refusal> {
        let plan = self.allowed_plan(who, query, parsed)?;
        // What it tells is about everyone's nodes and queries.
        if let Some(who) = who
            && self.policy.ask(|policy| policy.access(who, &query.edge))? != Access::All
        {
            return Err(query_forbidden(query));
        }
        let mut explained = self.engine.explain(now.wall, &plan).map_err(|error| self.no_room(&error))?;
        let (rows, visible) = (Filter::all(), Projection::whole());
        explained.hints = self.engine.hints(now.wall, &engine_query(query), &rows, &visible).hints;
        Ok(explained)
    }

    /// Opens a live query inside the process: [`poll_watch`](Self::poll_watch) gives one snapshot, as soon as it is there,
    /// then batches of net changes. A watch that is not polled folds, as a slow connection does. It is the host's own: no policy is asked.
    ///
    /// # Errors
    ///
    /// The query is wrong, or there are too many.
    pub fn watch(&mut self, now: Now, query: &QuerySpec) -> Result<WatchId, WatchError> {
        self.watch_parsed(now, query, None)
    }

    /// The same, of a query that was [prepared](Parser::query).
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch).
    pub fn watch_prepared(&mut self, now: Now, query: &PreparedQuery) -> Result<WatchId, WatchError> {
        self.watch_parsed(now, &query.spec, Some(&query.parsed))
    }

    fn watch_parsed(
        &mut self,
        now: Now,
        query: &QuerySpec,
        parsed: Option<&ParsedQuery>,
    ) -> Result<WatchId, WatchError> {
        let plan = self.plan(query, parsed, true)?;
        let watch = self.watches.next_id();
        let watcher = Watcher::Process(watch);
        let opened = self.open(now, &plan, &mark(&identity(query, &plan)), watcher, None, None);
        let opened = opened.inspect_err(|error| self.counts.refusals.count(error))?;
        let Opened { feed, is_there, .. } = opened;
        self.watches.insert(watch, feed);
        self.opened(now, feed, is_there);
        self.settle_all(now);
        Ok(watch)
    }

    /// The next event of a watch; `None` where there is none now, and for an unknown watch.
    pub fn poll_watch(&mut self, watch: WatchId) -> Option<WatchEvent> {
        self.hand_out();
        self.watches.poll(watch)
    }

    /// Ends a watch and frees what it held.
    pub fn unwatch(&mut self, watch: WatchId) {
        if let Some(feed) = self.watches.remove(watch) {
            self.forget_task(Watcher::Process(watch));
            let after = self.feeds.leave(feed, Watcher::Process(watch));
            self.close_gone(feed, after);
        }
    }

    /// A node's JSON as stored.
    pub fn node(&self, set: &str, id: &str) -> Option<Bytes> {
        self.engine.node(set, id)
    }

    /// The names of the sets, in the order of their definition.
    pub fn set_names(&self) -> impl Iterator<Item = &str> {
        self.engine.set_names()
    }

    /// What clients can subscribe to.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// Whether the policy lets somebody commit and publish.
    ///
    /// # Errors
    ///
    /// `INTERNAL`, where the policy panics.
    pub fn may_write(&self, who: &Principal) -> Result<bool, Refusal> {
        self.policy.ask(|policy| policy.may_write(who))
    }

    // --- outputs and time ---

    /// Hands the diffs of what was committed to those who watch, past their sessions where possible: the messages of a batch
    /// are written once, and each connection's copy differs only in the id of its live query.
    ///
    /// `take` is offered the messages of one batch for one live query of a connection that has everything before them: the
    /// [id as it stands in them](Diffs::id_text), and [the rest](Diffs::messages). It returns true where all of them will be sent,
    /// behind everything that [`poll_transmit`](Self::poll_transmit) gave for this connection before and ahead of what it gives
    /// later; or false, for one that cannot be written to: then they wait in the session, and fold there. Once something of a commit waits
    /// there, all that is of later ones goes there as well, of whichever live query, until it was taken.
    ///
    /// Call it before [`poll_output`](Self::poll_output), which otherwise brings everything to the sessions: that is as right, and
    /// several times the work for each live query. Cost: O(1) and what `take` does for each live query that is abreast.
    pub fn fan_out(&mut self, now: Now, take: impl FnMut(ConnectionId, &str, &Diffs) -> bool) {
        if self.unhanded.is_empty() {
            return;
        }
        // "expiry … closes before the next diff"
        if self.timers.next().is_some_and(|at| at <= now.monotonic) {
            self.fire(now);
        }
        self.hand_out_with(take);
    }

    /// Whether there is something for [`fan_out`](Self::fan_out).
    pub fn has_diffs(&self) -> bool {
        !self.unhanded.is_empty()
    }

    /// The next thing for the owner to do; drain until `None` after inputs.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.hand_out();
        loop {
            let output = self.outputs.pop()?;
            let current = match &output {
                Output::Panicked { .. } => true,
                Output::Verify { conn, .. }
                | Output::Transmit { conn }
                | Output::LiveQuery { conn, .. }
                | Output::Error { conn, .. }
                | Output::Crowded { conn, .. } => self.connections.find(*conn).is_some(),
                Output::Watch { watch } => self.watches.contains(*watch),
            };
            if current {
                return Some(output);
            }
        }
    }

    /// Appends the next message of a connection to `out`. Call it whenever the connection can be written to, until it
    /// returns `None` (or [`Transmit::Close`], which nothing follows); what is not fetched is bounded and folded.
    pub fn poll_transmit(&mut self, now: Now, conn: ConnectionId, out: &mut Vec<u8>) -> Option<Transmit> {
        self.hand_out();
        let connection = self.connections.find_mut(conn)?;
        let transmit = connection.session.poll_transmit(now.monotonic, out);
        connection.note_errors(conn, &mut self.outputs);
        match transmit {
            Some(Transmit::Text) if connection.deferred.is_empty() => {}
            Some(Transmit::Text) => {
                self.begin_deferred(now, conn);
                self.settle_all(now);
            }
            Some(Transmit::Close(_)) | None => {
                connection.signalled = false;
                // What is held back was not sent.
                let is_held_back = !connection.rechecks.is_empty() || !connection.lags.is_empty();
                let behind =
                    if is_held_back { IndexSet::default() } else { std::mem::take(&mut connection.behind) };
                for (feed, ticket) in behind {
                    let told = connection.session.live_query_version(ticket);
                    self.feeds.caught_up(feed, Watcher::Connection(conn, ticket), told);
                }
                let at = connection.session.poll_timeout();
                self.timers.set(Timer::Connection(conn), at);
                if !is_held_back {
                    self.connections.set_queued(conn, false);
                }
                if transmit.is_some() {
                    self.release(now, conn);
                }
            }
        }
        if let Some(connection) = self.connections.find_mut(conn) {
            self.totals.count(connection);
        }
        transmit
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Timeouts {
        Timeouts { monotonic: self.timers.next(), wall: self.engine.poll_timeout() }
    }

    /// Does what is due at `now`, by either clock. Calling it early or often is harmless; call it also when the wall
    /// clock was set.
    pub fn handle_timeout(&mut self, now: Now) {
        let before = self.engine.steps();
        self.fire(now);
        self.engine.handle_timeout(now.wall);
        self.distribute(now);
        self.note_hold(Input::Timeout, before);
    }

    /// An input was taken, before which so many steps had been done.
    pub(crate) fn note_hold(&mut self, input: Input, before: u64) {
        self.counts.holds.note(input, self.engine.steps() - before);
    }

    /// Does what is due by the monotonic clock.
    fn fire(&mut self, now: Now) {
        for timer in self.timers.take_due(now.monotonic) {
            match timer {
                Timer::Connection(conn) => {
                    self.with_session(now, conn, |session| session.handle_timeout(now.monotonic));
                }
                Timer::Paced => self.resume_paced(now),
                Timer::Linger => {
                    while let Some(gone) = self.feeds.take_lingered(now.monotonic) {
                        if let Some(feed) = gone {
                            self.engine.close(feed);
                        }
                    }
                    self.timers.set(Timer::Linger, self.feeds.next_linger());
                }
            }
        }
    }

    /// Counts of what is held and what was done. No connection is visited: O(sets + columns that queries are found by).
    pub fn stats(&self) -> Stats {
        let Totals { authenticating, closing, subscriptions, live_queries, deferred, backlog, sessions } =
            self.totals;
        Stats {
            connections: self.connections.len(),
            authenticating,
            closing,
            backlog,
            sessions,
            subscriptions,
            subscribed_paths: self.routes.len(),
            live_queries,
            watches: self.watches.len(),
            waiting: self.feeds.waiting(),
            deferred,
            feeds: self.feeds.len(),
            lingering_feeds: self.feeds.lingering(),
            resume_log_changes: self.feeds.log_cost().changes,
            resume_log_bytes: self.feeds.log_cost().bytes,
            subjects: self.subjects.len(),
            refusals: self.counts.refusals,
            holds: self.counts.holds,
            deadlines: self.timers.len(),
            resumed: self.counts.resumed,
            resumes_missed: self.counts.resumes_missed,
            events: self.counts.events,
            batches: self.counts.batches,
            handed_past: self.counts.handed_past,
            broken_restrictions: self.counts.broken_restrictions,
            planned: self.counts.planned,
            parsed: self.counts.parsed,
            given_up: self.counts.given_up,
            engine: self.engine.stats(),
        }
    }

    /// Whether the sums over all connections are what a look at each of them gives. For tests.
    ///
    /// # Panics
    ///
    /// They are not.
    #[cfg(any(test, feature = "test-kit"))]
    pub fn check_totals(&self) {
        let mut visited = Totals::default();
        self.connections.iter().for_each(|connection| visited.add(&Totals::of(connection)));
        // What those did that are gone is known in the sums alone.
        assert_eq!(Totals { sessions: visited.sessions, ..self.totals }, visited);
        self.feeds.check();
    }

    /// The session of a connection, to look at; `None` where the connection is unknown.
    pub fn session(&self, conn: ConnectionId) -> Option<&Session> {
        self.connections.find(conn).map(|connection| &connection.session)
    }

    /// What a subject holds now, over all of its connections. O(1).
    pub fn subject(&self, subject: &str) -> SubjectUse {
        self.subjects.of(subject)
    }

    /// Whom a connection acts for; `None` before it has authenticated.
    pub fn principal(&self, conn: ConnectionId) -> Option<&Principal> {
        self.connections.find(conn)?.principal.as_ref()
    }

    // --- between the tables ---

    /// Gives a session an input and does what follows from it.
    fn with_session(&mut self, now: Now, conn: ConnectionId, input: impl FnOnce(&mut Session)) {
        if let Some(connection) = self.connections.find_mut(conn) {
            input(&mut connection.session);
            self.settle(now, conn);
        }
    }

    /// Takes out of the tables what a connection held whose conversation is over.
    pub(crate) fn release(&mut self, now: Now, conn: ConnectionId) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        let held = std::mem::take(&mut connection.held);
        connection.deferred.clear();
        connection.behind.clear();
        connection.lags.clear();
        connection.rechecks.clear();
        connection.scopes.clear();
        connection.count(now.monotonic, &mut self.subjects);
        self.totals.count(connection);
        let place = self.place(conn);
        self.tasks.retain(&place, |_| false);
        for subscription in held.subscriptions.values() {
            self.routes.remove(&subscription.path, conn);
        }
        for (ticket, query) in held.queries {
            let watcher = Watcher::Connection(conn, ticket);
            let (after, ended) = self.feeds.lose(now.monotonic, query.feed, watcher, &self.limits);
            self.close_gone(query.feed, after);
            ended.into_iter().for_each(|feed| self.engine.close(feed));
        }
        self.timers.set(Timer::Linger, self.feeds.next_linger());
    }

    /// A watcher has left a feed.
    pub(crate) fn close_gone(&mut self, feed: FeedId, after: After) {
        match after {
            After::Gone => self.engine.close(feed),
            After::Kept if self.feeds.is_kept_for_nobody(feed) => {
                if let Some((set, at)) = self.kept_until(feed) {
                    self.feeds.fade(feed, set, at);
                }
            }
            After::Kept => {}
        }
    }

    /// How much may be spent on keeping a feed up to date for clients that may come back, while nobody watches it: as a set, and up to
    /// how many changes of its rows. `None` where it costs next to nothing. A new first result looks at each row of the set, and keeping
    /// this one looks at each row that is changed: what both look at is the same filter.
    fn kept_until(&self, feed: FeedId) -> Option<(usize, u64)> {
        let keeping = self.engine.keeping(feed).filter(|keeping| keeping.is_unindexed)?;
        let rows = self.engine.rows(keeping.set).max(1);
        Some((keeping.set, self.engine.changed_rows(keeping.set).saturating_add(rows)))
    }

    /// Gives up what is kept for clients that may come back and has cost as much as making it again.
    fn give_up_faded(&mut self) {
        for set in self.feeds.fading_sets() {
            let changed = self.engine.changed_rows(set);
            while let Some(feed) = self.feeds.take_faded(set, changed) {
                self.counts.given_up += 1;
                self.engine.close(feed);
            }
        }
        self.timers.set(Timer::Linger, self.feeds.next_linger());
    }

    /// The plan of a query that is asked once, by someone whom the policy lets.
    fn allowed_plan(
        &mut self,
        who: Option<&Principal>,
        query: &QuerySpec,
        parsed: Option<&ParsedQuery>,
    ) -> Result<Plan, Refusal> {
        match who {
            Some(who) => self.permitted(who, query, parsed, false, None).map(|(plan, _)| plan),
            None => self.plan(query, parsed, false).map_err(invalid),
        }
    }
}
