//! The hub: one way in, one way out.

use std::{collections::VecDeque, fmt, iter, sync::Arc, time::Duration};

use bytes::Bytes;
use indexmap::IndexSet;
use liveset_core::{
    Attempt, Batch, Diffs, ErrorCode, Event, Monotonic, ParsedMessage, Refusal, Row, Session, SessionLimits,
    Transmit, Verdict, Violation,
    model::{Limit, Refusals, limit},
    time::Deadlines,
};
use liveset_engine::{
    DefineError, Engine, EngineLimits, FeedId, HashSeed, JsonLimits, QueryLimits, SetDef, Timestamp, json,
};

use crate::{
    AllowAll, AuthRefused, ConnectionId, HubLimits, Origin, Output, Parser, Policy, Principal, PublishError,
    Resources, SubjectUse, Timeouts,
    budgets::StepBudget,
    connections::Connections,
    connections::totals::Totals,
    delays::{Delays, Makers},
    feeds::{After, Feeds, Watcher},
    holds::{Holds, Input},
    output::Outputs,
    paced::Paced,
    policy::Guard,
    requests::status::Statuses,
    routes::Routes,
    sources::Sources,
    subjects::{Holding, Subjects},
    tenants::Tenants,
    timers::Timer,
    turns::Turns,
    updates::{Marks, Moments},
    watches::Watches,
    whole::Whole,
    work::Tasks,
};

/// The steps that it takes to queue an event for a connection, about.
const STEPS_PER_DELIVERY: u64 = 4;

/// The two clocks, read by the owner at the same moment.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use liveset_core::Monotonic;
/// use liveset_hub::Now;
///
/// let started = std::time::Instant::now();
/// let now = Now { monotonic: Monotonic::from_epoch(started.elapsed()), wall: SystemTime::now().into() };
/// assert!(now.monotonic < Monotonic::from_epoch(Duration::from_secs(60)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For deadlines: never goes back.
    pub monotonic: Monotonic,
    /// For `now` in queries and for the timestamps of events: may be set, also back.
    pub wall: Timestamp,
}

/// Everything a [`Hub`] is made with.
///
/// ```
/// use liveset_hub::{HashSeed, Hub, HubConfig, Resources};
///
/// let mut resources = Resources::new();
/// resources.declare("orders/{orderId}", ["orderPaid"])?;
/// let seed = HashSeed::new([7, 11]); // a service takes random bits
/// let mut config = HubConfig { resources, seed, ..HubConfig::default() };
/// config.hub.live_queries_per_subject = 100;
/// let hub = Hub::new(config);
/// # Ok::<(), liveset_hub::DeclareError>(())
/// ```
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
    /// Whether clients that may resume can read a number in the versions that they are given, which tells them how much happens: for
    /// tests and tools. Default: no.
    pub open_versions: bool,
    /// Keys the hash tables over what clients and writers choose, and what stands in the versions of live queries; it changes no other
    /// output. A service takes random bits, each time it starts: under a seed that clients know they can make all look-ups slow, and read
    /// versions.
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
            open_versions: false,
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
/// What an owner calls, in this order:
///
/// 1. An input: `connect`, one of `handle_*`, or a verb of the host: `commit`, `publish`, `query`, `watch`, `unwatch`, `shutdown`. Several
///    without what follows are legal.
/// 2. [`fan_out`](Hub::fan_out), which saves most of the work where many watch the same. It may be left out.
/// 3. [`poll_output`](Hub::poll_output) until `None`, and what each [`Output`] says: a verdict, a connection that is to be written to
///    ([`poll_transmit`](Hub::poll_transmit), as fast as that takes it), a watch with updates ([`poll_watch`](Hub::poll_watch)).
/// 4. [`poll_timeout`](Hub::poll_timeout), and no later than it says [`handle_timeout`](Hub::handle_timeout), which is an input again.
///    Where [something is due already](Timeouts::is_due_already) that is at once, but for inputs that wait: they have their turn between
///    two slices of work. A live query over more rows than a slice has (`EngineLimits::slice_rows`) is answered after as many slices
///    as it takes. Turns go round by subject, then by [`Origin`], then by connection.
///
/// A connection that takes nothing costs a bounded amount of
/// memory: events are dropped with a warning, live queries are folded. The same inputs give the same outputs, byte for
/// byte. The [crate's front page](crate) shows the run loop.
pub struct Hub {
    pub(crate) engine: Engine,
    pub(crate) session_limits: Arc<SessionLimits>,
    pub(crate) limits: HubLimits,
    pub(crate) resources: Resources,
    pub(crate) policy: Guard,
    pub(crate) marks: Marks,
    pub(crate) sources: Sources,
    pub(crate) statuses: Statuses,
    /// What may be spent on first results, over all connections.
    pub(crate) first_steps: StepBudget,
    /// For the data of events: those of nodes.
    event_limits: JsonLimits,
    /// Of the engine, for the filters of the policy.
    pub(crate) query_limits: QueryLimits,
    pub(crate) connections: Connections,
    pub(crate) subjects: Subjects,
    pub(crate) tenants: Tenants,
    pub(crate) routes: Routes,
    pub(crate) feeds: Feeds,
    pub(crate) watches: Watches,
    pub(crate) timers: Deadlines<Monotonic, Timer>,
    pub(crate) outputs: Outputs,
    /// Batches that were not handed to their watchers yet, in the order of their versions.
    pub(crate) unhanded: VecDeque<(FeedId, Arc<Batch>)>,
    /// Of versions that are still to be handed.
    pub(crate) moments: Moments,
    pub(crate) counts: Counts,
    /// Sums over all connections.
    pub(crate) totals: Totals,
    /// What was put off, in the order in which it has its turns.
    pub(crate) tasks: Tasks,
    /// Those of connections and subjects that have overdrawn what they may spend.
    pub(crate) paced: Paced,
    /// Connections whose session has got something since it was last settled.
    pub(crate) unsettled: VecDeque<ConnectionId>,
    /// What commits in slices have changed that are not told yet.
    pub(crate) whole: Whole,
    /// What made the versions that may still be handed.
    pub(crate) makers: Makers,
    /// Inputs taken so far, and the steps done before the one that is being taken.
    pub(crate) inputs: u64,
    pub(crate) hold_from: u64,
    /// Rows of one slice of work.
    pub(crate) slice_rows: usize,
    /// What was due took more than half of a hold: the next call is for a slice of work, if there is any.
    owes_slice: bool,
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
    pub(crate) delays: Delays,
    /// Steps of work that are none of the engine's.
    pub(crate) own_steps: u64,
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
        let tenant_rate = config.hub.steps_per_second_per_tenant;
        let first_rate = config.hub.first_steps_per_second;
        Self {
            event_limits: config.engine.json.clone(),
            slice_rows: config.engine.slice_rows.max(1),
            query_limits: config.engine.query.clone(),
            engine: Engine::new(config.engine, config.seed)
                .starting_at(config.epoch.min(u64::MAX / 2))
                .leaving_scans(),
            session_limits: Arc::new(config.session),
            limits: config.hub,
            resources: config.resources,
            policy: Guard::new(config.policy),
            marks: Marks::new(config.seed.keyed(), config.open_versions),
            sources: Sources::new(config.seed.keyed()),
            statuses: Statuses::default(),
            first_steps: StepBudget::full(first_rate, Monotonic::ZERO),
            connections: Connections::default(),
            subjects: Subjects::new(config.seed.keyed(), subject_rate),
            tenants: Tenants::new(config.seed.keyed(), tenant_rate),
            paced: Paced::default(),
            routes: Routes::default(),
            feeds: Feeds::default(),
            watches: Watches::default(),
            timers: Deadlines::default(),
            outputs: Outputs::default(),
            unhanded: VecDeque::new(),
            moments: Moments::default(),
            counts: Counts::default(),
            totals: Totals::default(),
            tasks: Tasks::default(),
            unsettled: VecDeque::new(),
            whole: Whole::default(),
            makers: Makers::default(),
            inputs: 0,
            hold_from: 0,
            owes_slice: false,
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

    /// Goes by other limits from now on, as far as they can [change](HubLimits::take_changeable): those of sessions for connections that
    /// are still to come. What is held already stays.
    pub fn set_limits(&mut self, session: &SessionLimits, hub: &HubLimits) {
        Arc::make_mut(&mut self.session_limits).take_changeable(session);
        self.limits.take_changeable(hub);
    }

    /// Puts other declared resources in the place of those that there are. Subscriptions of paths that are declared no more stay, and get
    /// nothing.
    pub fn set_resources(&mut self, resources: Resources) {
        self.resources = resources;
    }

    // --- connections ---

    /// A connection was opened; its deadline for authentication runs from now.
    pub fn connect(&mut self, now: Now) -> ConnectionId {
        self.connect_from(now, Origin::default())
    }

    /// A connection was opened that comes from somewhere: work for it has its turns by that, see [`Hub`].
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
        self.begin_hold(now);
        self.with_session(now, conn, |session| session.handle_text(now.monotonic, text));
        self.note_hold(Input::Message);
    }

    /// A whole text message arrived, which was read already by a [`Parser`]: nothing of its text is looked at here.
    pub fn handle_message(&mut self, now: Now, conn: ConnectionId, message: ParsedMessage) {
        self.begin_hold(now);
        self.with_session(now, conn, |session| session.handle_parsed(now.monotonic, message));
        self.note_hold(Input::Message);
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
        self.begin_hold(now);
        let subject = self.connections.find(conn).and_then(|connection| connection.share.subject().cloned());
        self.release(now, conn);
        if let Some(mut connection) = self.connections.remove(conn) {
            self.subjects.set(&mut connection.share, now.monotonic, None, Holding::default());
            let (tenants, share) = (&mut self.tenants, &mut connection.tenant_share);
            tenants.set(share, now.monotonic, None, Holding::default(), &self.limits);
            self.totals.leave(&connection);
        }
        self.timers.set(Timer::Connection(conn), None);
        if let Some(subject) = subject {
            self.begin_deferred_of(now, &subject);
            self.settle_all(now);
        }
        self.note_hold(Input::Disconnect);
    }

    /// Answers an [`Output::Verify`]. An answer that comes too late is ignored. When a connection re-authenticates,
    /// everything it holds is asked of the policy again: what is not allowed any more ends with `FORBIDDEN`, and a live query that
    /// is over other nodes or fields now is changed by diffs into what it is for the new principal. Only those are planned again, a few
    /// at a time where they are many ([`handle_timeout`](Self::handle_timeout) does the rest): until then nothing of any live query of the connection is sent.
    ///
    /// Where the principal's subject or tenant has as many connections as it may, this one is told so and closed.
    pub fn handle_verdict(
        &mut self,
        now: Now,
        conn: ConnectionId,
        attempt: Attempt,
        verdict: Result<Principal, AuthRefused>,
    ) {
        self.begin_hold(now);
        if let Ok(Principal { subject, tenant, .. }) = &verdict
            && let Some((limit, message)) = self.crowded(conn, subject, tenant.as_ref())
        {
            let Some(connection) = self.connections.find_mut(conn) else { return };
            if connection.session.deny(now.monotonic, attempt, ErrorCode::LimitExceeded, &message) {
                self.counts.refusals.count(limit);
                self.outputs.push(Output::Crowded { conn, subject: subject.clone() });
            }
            return self.settle(now, conn);
        }
        let Some(connection) = self.connections.find_mut(conn) else { return };
        let answer = match &verdict {
            Ok(principal) => Verdict::Accepted { expires: principal.expires },
            Err(AuthRefused) => Verdict::Refused,
        };
        let current = connection.session.handle_verdict(now.monotonic, attempt, answer);
        if connection.session.frames_commits() {
            // What was told as one until now is known no more.
            connection.session.told_as_one(0, self.engine.version());
            self.connections.set_queued(conn, true);
        }
        if current && let Ok(principal) = verdict {
            self.install(now, conn, principal);
        }
        self.settle(now, conn);
        self.note_hold(Input::Verdict);
    }

    /// Answers an [`Output::Verify`] without a look at the token: for example `RATE_LIMITED`, where its address has failed too
    /// often. The client is told, then the connection closes as the code says.
    pub fn deny(&mut self, now: Now, conn: ConnectionId, attempt: Attempt, code: ErrorCode, message: &str) {
        self.with_session(now, conn, |session| {
            session.deny(now.monotonic, attempt, code, message);
        });
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
        timestamp: Option<Timestamp>,
    ) -> Result<usize, PublishError> {
        self.resources.declares_event(path, event_type)?;
        let (bytes, max) = (data.len(), self.limits.event_data_bytes);
        if bytes > max {
            return Err(PublishError::TooLarge { bytes, max });
        }
        json::check(&data, &self.event_limits)?;
        self.enter_hold();
        self.counts.events += 1;
        let timestamp = timestamp.unwrap_or(now.wall).to_millis_string();
        let event = Arc::new(Event { event_type: event_type.into(), data, timestamp: timestamp.into() });
        let mut queued = 0;
        for reached in self.resources.reached(path) {
            for conn in self.routes.of(reached) {
                let Some(connection) = self.connections.find_mut(conn) else { continue };
                self.counts.own_steps += STEPS_PER_DELIVERY;
                queued += connection.session.deliver(reached, &event);
                connection.signal(conn, &mut self.outputs);
                self.totals.count(connection);
            }
        }
        self.note_hold(Input::Event);
        Ok(queued)
    }

    /// A row by its id. O(1).
    pub fn row(&self, set: &str, id: &str) -> Option<Row> {
        self.engine.row(set, id)
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
    /// several times the work for each live query. Cost: O(1) and what `take` does for each live query that is abreast. Tells whether there
    /// was anything to hand out.
    pub fn fan_out(&mut self, now: Now, take: impl FnMut(ConnectionId, &str, &Diffs) -> bool) -> bool {
        if self.unhanded.is_empty() {
            return false;
        }
        // "expiry … closes before the next diff"
        if self.timers.next().is_some_and(|at| at <= now.monotonic) {
            self.fire(now);
        }
        self.hand_out_with(take);
        true
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
        if self.connections.find(conn).is_some_and(|connection| connection.owes(&self.engine)) {
            // It is sent a commit as a whole.
            self.begin_hold(now);
            self.note_hold(Input::Work);
        }
        self.hand_out();
        let connection = self.connections.find_mut(conn)?;
        let before = connection.session.poll_timeout();
        let transmit = connection.session.poll_transmit(now.monotonic, out);
        let after = connection.session.poll_timeout();
        if before != after {
            self.timers.set(Timer::Connection(conn), after);
        }
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
                self.timers.set(Timer::Connection(conn), after);
                if !is_held_back {
                    let frames = connection.session.frames_commits();
                    self.connections.set_queued(conn, frames);
                }
                if transmit.is_some() {
                    self.release(now, conn);
                }
            }
        }
        if let Some(connection) = self.connections.find_mut(conn) {
            connection.count_initial(&mut self.subjects);
            self.totals.count(connection);
            if self.begin_deferred_beside(now, conn) {
                self.settle_all(now);
            }
        }
        transmit
    }

    /// What [`poll_transmit`](Self::poll_transmit) has handed out for a connection has left only now: its client has from now on to
    /// answer a ping among it. For transports that take their time, while the connection [awaits a pong](Self::awaits_pong).
    pub fn handle_sent(&mut self, now: Now, conn: ConnectionId) {
        self.with_session(now, conn, |session| session.handle_sent(now.monotonic));
    }

    /// Whether a connection was handed a ping that its client has not answered.
    pub fn awaits_pong(&self, conn: ConnectionId) -> bool {
        self.connections.find(conn).is_some_and(|connection| connection.session.awaits_pong())
    }

    /// The owner stood still until `now`: its process was stopped, its machine slept, or it came to nothing for too long. To be
    /// called before any other input, so that no client is missed whose token or pong has come meanwhile and is still to be read:
    /// for that there is `grace`. O(connections).
    pub fn handle_pause(&mut self, now: Now, grace: Duration) {
        for conn in self.connections.ids() {
            self.with_session(now, conn, |session| session.handle_pause(now.monotonic, grace));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Timeouts {
        let (monotonic, wall) = (self.timers.next(), self.engine.next_flip());
        Timeouts { is_due_already: self.has_work(), monotonic, wall }
    }

    /// Does what is due at `now`, by either clock; where nothing is, one slice of what was put off. Calling it early or often is
    /// harmless; call it also when the wall clock was set.
    pub fn handle_timeout(&mut self, now: Now) {
        let owes_slice = std::mem::take(&mut self.owes_slice);
        let is_set_back = now.wall < self.engine.now();
        if self.has_work() && !is_set_back && (owes_slice || !self.poll_timeout().has_come(now)) {
            return self.slice(now);
        }
        self.begin_hold(now);
        self.fire(now);
        self.pass_time(now);
        // Where deadlines alone could fill every call, slices have every other one.
        self.owes_slice = self.left_of_hold() < self.engine.hold_steps() / 2;
        self.distribute(now);
        self.note_hold(Input::Timeout);
    }

    /// Does what is due by the monotonic clock.
    fn fire(&mut self, now: Now) {
        // One whose deadline is set again below has its turn another time.
        let due: Vec<Timer> = iter::from_fn(|| self.timers.pop_due(now.monotonic)).collect();
        for timer in due {
            match timer {
                Timer::Connection(conn) => {
                    self.with_session(now, conn, |session| session.handle_timeout(now.monotonic));
                }
                Timer::Paced => self.resume_paced(now),
                Timer::Loading => self.give_up_loading(now),
                Timer::Admission => self.statuses.let_on(),
                Timer::Source(source) => self.look_at_source(now, source),
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

    /// The session of a connection, to look at; `None` where the connection is unknown.
    pub fn session(&self, conn: ConnectionId) -> Option<&Session> {
        self.connections.find(conn).map(|connection| &connection.session)
    }

    /// What a subject holds now, over all of its connections. O(its different live queries).
    pub fn subject(&self, subject: &str) -> SubjectUse {
        let delays = self.subjects.feeds(subject).filter_map(|feed| self.feeds.delay(feed));
        let delay = delays.max().unwrap_or_default();
        SubjectUse { delay, ..self.subjects.of(subject) }
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

    /// The limit by which a connection may not act for a subject of a tenant besides those that do, and how it is told.
    fn crowded(
        &self,
        conn: ConnectionId,
        subject: &Arc<str>,
        tenant: Option<&Arc<str>>,
    ) -> Option<(&'static Limit, String)> {
        let connection = self.connections.find(conn)?;
        let limits = &self.limits;
        if connection.share.subject() != Some(subject)
            && self.subjects.of(subject).connections >= limits.connections_per_subject
        {
            let message =
                format!("A subject may have at most {} connections", limits.connections_per_subject);
            return Some((limit!(HubLimits.connections_per_subject), message));
        }
        let tenant = tenant.filter(|tenant| connection.tenant_share.subject() != Some(*tenant))?;
        if self.tenants.of(tenant).connections < limits.connections_per_tenant {
            return None;
        }
        let message = format!("A tenant may have at most {} connections", limits.connections_per_tenant);
        Some((limit!(HubLimits.connections_per_tenant), message))
    }

    /// Takes out of the tables what a connection held whose conversation is over.
    pub(crate) fn release(&mut self, now: Now, conn: ConnectionId) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        let held = std::mem::take(&mut connection.held);
        self.statuses.forget(conn);
        connection.deferred.clear();
        connection.behind.clear();
        connection.lags.clear();
        connection.rechecks.clear();
        connection.scopes.clear();
        connection.count(now.monotonic, &mut self.subjects, &mut self.tenants, &self.limits);
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
            After::Kept => {
                if let Some(next) = self.feeds.next_to_hash_for(feed) {
                    self.put_off(next);
                }
            }
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
    pub(crate) fn give_up_faded(&mut self) {
        for set in self.feeds.fading_sets() {
            let changed = self.engine.changed_rows(set);
            while let Some(feed) = self.feeds.take_faded(set, changed) {
                self.counts.given_up += 1;
                self.engine.close(feed);
            }
        }
        self.timers.set(Timer::Linger, self.feeds.next_linger());
    }
}
