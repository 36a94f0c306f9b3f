//! The handle that hosts hold.

use std::convert::Infallible;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use liveset_core::{ErrorCode, Position, Query, Refusal, Row, SetStatus, Snapshot, Token, model::limit};
use liveset_engine::{DefineError, Explain, SetDef, Timestamp};
use liveset_hub::{HubLimits, OneShot, Principal, Resources, StatusError, SubjectUse};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::address::ClientAddress;
use crate::auth::{Denied, Renewal};
use crate::commit::PublishError;
use crate::contain::{Panicked, contain};
use crate::error::BuildError;
use crate::json::IntoJson;
use crate::limits::Limits;
use crate::live::LiveQuery;
use crate::query::QueryError;
use crate::set::{Set, UnknownSet};
use crate::shared::{Drain, Shared};
use crate::stats::Stats;
use crate::storage::StorageError;
use crate::{connection, telemetry};

/// An endpoint: sets of nodes in memory, and the connections that watch them. Cloning gives another handle on the same.
///
/// **The data lives in memory. The host is the truth:** it fills the sets when it starts, and commits what changes; or a
/// [storage](crate::Storage) keeps the commits, and brings the sets back.
///
/// All methods can be called from any thread, inside a tokio runtime or not, but for the asynchronous ones, which need
/// one with its timer enabled. Each call takes a lock for as long as its work lasts.
///
/// ```
/// use liveset::{Liveset, Query, SetDef};
///
/// let liveset = Liveset::builder().set(SetDef::new("orders")).build()?;
/// liveset.commit(|tx| tx.upsert("orders", &serde_json::json!({ "id": 1, "total": 12.5 })))?;
/// liveset.publish("jobs/42", "jobCompleted", &serde_json::json!({ "elapsedMs": 1200 }))?;
/// let result = liveset.query(Query::new("orders").filter("total > 10"))?;
/// assert_eq!(result.rows[0].json(), br#"{"id":1,"total":12.5}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Liveset {
    pub(crate) shared: Arc<Shared>,
    /// Shared by the handles alone: streams end with the last of them.
    _handles: Arc<Handles>,
}

/// Ends the streams inside the process when it is dropped.
struct Handles(Arc<Shared>);

impl Drop for Handles {
    fn drop(&mut self) {
        self.0.end_streams();
    }
}

impl Liveset {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { _handles: Arc::new(Handles(shared.clone())), shared }
    }

    // --- writing ---

    /// The handle for what a principal asks: its permission is asked of the policy, and what it takes is on the account of its subject.
    pub fn as_principal<'a>(&'a self, who: &'a Principal) -> AsPrincipal<'a> {
        AsPrincipal { liveset: self, who }
    }

    /// A set by its name, for rows of the type `T`. O(sets).
    ///
    /// # Errors
    ///
    /// There is no set of that name.
    pub fn set<T>(&self, name: &str) -> Result<Set<T>, UnknownSet> {
        let names = self.set_names();
        match names.iter().any(|known| known == name) {
            true => Ok(Set::new(name)),
            false => Err(UnknownSet { name: name.to_owned(), known: names.join(", ") }),
        }
    }

    /// Tells the status of a set, for who brings its data from elsewhere: a set is live unless it is told otherwise. While it is loading
    /// live queries wait for it, 5 s by default (`hub.loading_wait`), or for as long as it takes if they have asked for `status`; queries
    /// of principals are refused with `OVERLOADED`. A set that is stale is served all the same.
    ///
    /// ```
    /// use liveset::{Liveset, SetDef, SetStatus};
    ///
    /// let liveset = Liveset::builder().set(SetDef::new("orders")).build()?;
    /// liveset.set_status("orders", SetStatus::Loading)?;
    /// // … its first whole content is committed …
    /// liveset.set_status("orders", SetStatus::Live)?;
    /// assert!(liveset.set_status("orders", SetStatus::Loading).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// There is no such set, or it has been live and is to load again.
    pub fn set_status(&self, set: &str, status: SetStatus) -> Result<(), StatusError> {
        match self.shared.run(|hub, now| hub.set_status(now, set, status)) {
            Ok(done) => done,
            // It was logged; nothing is wrong with the set.
            Err(Panicked) => Ok(()),
        }
    }

    /// The position up to which the source of a set is applied, like [`Committed::position`](crate::Committed::position) of a commit: a live
    /// query that shows it shows whatever a [`query`](Self::query) over the set did before.
    pub fn position(&self, set: &str) -> Position {
        let source = self.shared.sources.id_of(set);
        self.shared.look(|hub| hub.position(source))
    }

    /// Moves the `now` of [`Clock::Commits`](crate::Clock::Commits) forward, without a change to the data: live queries
    /// over `now` change as they must. A moment before the latest, or the machine's clock, changes nothing.
    pub fn set_now(&self, at: Timestamp) {
        let moved = self.shared.run_at(Some(at), |hub, now| {
            hub.handle_timeout(now);
            Ok::<_, Infallible>(())
        });
        if moved.is_err() {
            tracing::error!("moving the clock made the engine panic");
        }
    }

    /// Publishes an event, stamped with the time: subscribers of `path` and of its declared ancestors get it, as far as
    /// they keep up. Returns for how many subscriptions it was queued.
    ///
    /// ```
    /// # let liveset = liveset::Liveset::builder().build()?;
    /// liveset.publish("jobs/7", "jobCompleted", &serde_json::json!({ "jobId": 7, "elapsedMs": 4000.5 }))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where the path or the event type is not declared, or the data cannot be written as JSON.
    pub fn publish(&self, path: &str, event_type: &str, data: impl IntoJson) -> Result<usize, PublishError> {
        self.publish_as_of(None, path, event_type, data)
    }

    pub(crate) fn publish_as_of(
        &self,
        at: Option<Timestamp>,
        path: &str,
        event_type: &str,
        data: impl IntoJson,
    ) -> Result<usize, PublishError> {
        let data = data.into_json()?;
        match self.shared.run(|hub, now| hub.publish(now, path, event_type, data, at)) {
            Ok(result) => {
                let queued = result?;
                telemetry::published(queued);
                Ok(queued)
            }
            Err(Panicked) => {
                tracing::error!("publishing an event made the hub panic");
                Err(PublishError::Internal)
            }
        }
    }

    // --- reading ---

    /// The result of a query now, once. The host may ask anything.
    ///
    /// Cost: O(nodes that an index finds for it), or O(nodes of the set) where there is none; next to nothing where a live query
    /// with the same filter, order and limit is kept already.
    ///
    /// # Errors
    ///
    /// Where the query is wrong; the text says where.
    pub fn query(&self, query: impl Into<Query>) -> Result<Snapshot, QueryError> {
        self.ask(None, &query.into())
    }

    fn begin(&self, who: Option<&Principal>, query: &Query) -> Result<QueryRun, QueryError> {
        let started = std::time::Instant::now();
        let asked = match contain(|| self.shared.parser.query(query.clone())) {
            Ok(query) => self.shared.run(|hub, now| hub.query_prepared(now, who, &query)),
            Err(Panicked) => Err(Panicked),
        };
        let asked = match asked {
            Ok(asked) => asked.map_err(refused),
            Err(Panicked) => Err(internal()),
        };
        match asked {
            Ok(asked) => {
                let most = who.is_some().then_some(self.shared.sizes.initial_bytes);
                let wait = asked.payer().map_or(Duration::ZERO, |payer| self.shared.pay(payer, 0));
                Ok(QueryRun { shared: self.shared.clone(), asked, most, started, wait })
            }
            Err(error) => {
                telemetry::queried("refused", started.elapsed());
                Err(error)
            }
        }
    }

    fn ask(&self, who: Option<&Principal>, query: &Query) -> Result<Snapshot, QueryError> {
        let mut run = self.begin(who, query)?;
        loop {
            match run.step_within(usize::MAX, u64::MAX) {
                ControlFlow::Break(result) => return result,
                ControlFlow::Continue(rest) => run = rest,
            }
        }
    }

    /// How a query is found by what changes, and what it costs to keep or to answer: for whoever wonders why one is slow. It
    /// displays as a few lines.
    ///
    /// ```
    /// # use liveset::{Liveset, Query, SetDef};
    /// # let liveset = Liveset::builder().set(SetDef::new("orders")).build()?;
    /// let explained = liveset.explain(Query::new("orders").filter("customer == 'c7' and total > 10"))?;
    /// assert_eq!(explained.access, "equality");
    /// let explained = liveset.explain(Query::new("orders").filter("customer != 'c7'"))?;
    /// assert_eq!(explained.access, "scan");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where the query is wrong; the text says where.
    pub fn explain(&self, query: impl Into<Query>) -> Result<Explain, QueryError> {
        self.explain_to(None, &query.into())
    }

    fn explain_to(&self, who: Option<&Principal>, query: &Query) -> Result<Explain, QueryError> {
        let explained = contain(|| self.shared.parser.query(query.clone()))
            .and_then(|query| self.shared.run(|hub, now| hub.explain_prepared(now, who, &query)));
        match explained {
            Ok(result) => result.map_err(refused),
            Err(Panicked) => Err(internal()),
        }
    }

    /// Keeps a query's result inside the process, as a stream of one snapshot and then of atomic diffs. What is shared
    /// with connections that ask the same is kept once.
    ///
    /// Returns at once: a first result for which many nodes have to be looked at is made in slices
    /// (`EngineLimits::slice_rows`), between which everyone else has a turn.
    ///
    /// ```
    /// # use liveset::{Liveset, LiveUpdate, Query, SetDef};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let liveset = Liveset::builder().set(SetDef::new("orders")).build()?;
    /// let mut open = liveset.live(Query::new("orders").filter("open").order_by("total desc").limit(10))?;
    /// assert!(matches!(open.next().await, Some(LiveUpdate::Snapshot(_))));
    /// liveset.commit(|tx| tx.upsert("orders", &serde_json::json!({ "id": 7, "open": true, "total": 9.5 })))?;
    /// let Some(LiveUpdate::Batch(batch)) = open.next().await else { unreachable!() };
    /// assert_eq!(batch.count.map(|count| count.total), Some(1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Where the query is wrong, or the engine keeps as many as its limits allow.
    pub fn live(&self, query: impl Into<Query>) -> Result<LiveQuery, QueryError> {
        let query = query.into();
        let watched = contain(|| self.shared.parser.query(query))
            .and_then(|query| self.shared.run(|hub, now| hub.watch_prepared(now, &query)));
        match watched {
            Ok(watch) => Ok(LiveQuery::new(self.shared.clone(), watch?)),
            Err(Panicked) => Err(internal()),
        }
    }

    /// A row by its id. O(1).
    pub fn row(&self, set: &str, id: &str) -> Option<Row> {
        self.shared.look(|hub| hub.row(set, id))
    }

    /// The names of the sets, in the order of their declaration.
    pub fn set_names(&self) -> Vec<String> {
        self.shared.look(|hub| hub.set_names().map(str::to_owned).collect())
    }

    // --- declaring ---

    /// Declares one more set, which is empty. O(1).
    ///
    /// ```
    /// use liveset::{Liveset, SetDef};
    ///
    /// let liveset = Liveset::builder().build()?;
    /// liveset.define_set(SetDef::new("orders").key("id"))?;
    /// assert_eq!(liveset.set_names(), ["orders"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The name is taken, or the declaration is wrong.
    pub fn define_set(&self, set: SetDef) -> Result<(), DefineError> {
        self.shared.run(|hub, _| hub.define_set(set)).unwrap_or_else(|_| {
            tracing::error!("declaring a set made the engine panic");
            Ok(())
        })
    }

    /// Puts other declared resources in the place of those that there are. Subscriptions of paths that are declared no more stay, and get
    /// nothing.
    pub fn set_resources(&self, resources: Resources) {
        let _ = self.shared.run(|hub, _| hub.set_resources(resources));
    }

    /// Goes by other limits from now on, as far as they can change while an endpoint is used: those of sessions, besides `message_bytes`
    /// and `id_bytes`, for connections that are still to come; of [`HubLimits`] those of how much a subject and a connection may have.
    /// The others stay. Nothing that is held already is taken away.
    ///
    /// # Errors
    ///
    /// A limit is 0 with which nothing would go on. Nothing was changed then.
    pub fn set_limits(&self, limits: &Limits) -> Result<(), BuildError> {
        if let Some(name) = limits.zero() {
            return Err(BuildError::Limit(name));
        }
        let _ = self.shared.run(|hub, _| hub.set_limits(&limits.session, &limits.hub));
        Ok(())
    }

    // --- connections ---

    /// Serves one WebSocket connection, whose handshake is done, to its end. Everything that was held for it is freed
    /// when this is done, and when it is dropped.
    ///
    /// `io` may be anything that carries bytes: a TCP or TLS stream, an upgraded HTTP connection, one half of
    /// [`tokio::io::duplex`]. Bytes that arrived together with the handshake must come out of it first. Whoever sends too many bad
    /// tokens from one `address` is slowed down there, see [`AuthLimits`](crate::AuthLimits); `None` where it is not known.
    ///
    /// ```
    /// # async fn of(liveset: liveset::Liveset, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let (stream, address) = listener.accept().await?;
    /// liveset.serve(stream, Some(address.into())).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A panic while serving closes this connection with 1011, and no other.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, and in one without a timer (`enable_time`, `enable_all`).
    pub async fn serve<IO>(&self, io: IO, address: Option<ClientAddress>)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send,
    {
        connection::serve(self.shared.clone(), io, address).await;
    }

    /// Lets all connections go, as [`Drain`] says. First everything is served as before, while
    /// [`is_shutting_down`](Self::is_shutting_down) is true already: let a health check say so. Then each connection is sent what was
    /// queued for it and close 1001, one after the other, so that clients do not all come back at once. Those that are not gone in time
    /// are cut. Connections that come after the wait are closed at once.
    ///
    /// Dropping the future stops it where it is; asked again, it goes on: [`Drain::AT_ONCE`] cuts short what another began.
    ///
    /// The data stays, and the handle can be used as before.
    pub async fn shutdown(&self, drain: Drain) {
        self.shared.shutdown(drain).await;
    }

    /// Closes the [storage](crate::Storage), if there is one: waits, with the thread, until what was handed over is kept. Commits that
    /// come later are refused; reading and live queries go on. Without this, the last handle to be dropped does it, and nobody hears
    /// whether it went well.
    ///
    /// # Errors
    ///
    /// What the storage says.
    pub fn close_storage(&self) -> Result<(), StorageError> {
        self.shared.storage.get().map_or(Ok(()), |storage| storage.close())
    }

    /// Whether [`shutdown`](Self::shutdown) was called.
    pub fn is_shutting_down(&self) -> bool {
        self.shared.is_draining()
    }

    /// Judges a token as `auth` does, for what a host offers beside the endpoint. Refusals at one `address` count together with those
    /// of connections, see [`AuthLimits`](crate::AuthLimits); `None` where it is not known.
    ///
    /// # Errors
    ///
    /// Where the token is refused, cannot be judged now, or was not looked at because too many were refused.
    pub async fn authenticate(
        &self,
        token: impl Into<Box<str>>,
        address: Option<ClientAddress>,
    ) -> Result<Principal, Denied> {
        self.shared.door.authenticate(&Token::new(token), address).await
    }

    /// Whether the token that a principal came with has expired since.
    pub fn has_expired(&self, who: &Principal) -> bool {
        self.shared.door.has_expired(who)
    }

    /// Whether a principal may commit and publish, by the policy; not where it panics. The endpoint itself offers no writing.
    pub fn may_write(&self, who: &Principal) -> bool {
        self.shared.look(|hub| hub.may_write(who)).map_err(refused).unwrap_or(false)
    }

    /// Ends every connection that acts for a subject: `TOKEN_EXPIRED`, close 1008, before the next diff. Returns how many those
    /// are. A token that is still accepted lets them in again: take it back first.
    pub fn revoke(&self, subject: &str) -> usize {
        self.shared.revoke(subject).unwrap_or_else(|_| {
            tracing::error!("the policy panicked over a revocation");
            0
        })
    }

    /// Asks anew for whom each authenticated connection acts, and asks the policy about everything that it holds: call it when
    /// roles, claims or the policy's own data have changed. What is not allowed any more ends with `FORBIDDEN` or is taken out of its
    /// results by diffs, what is newly allowed is added, and nothing is sent that a client has. Returns how many connections were ended.
    ///
    /// `renew` is called with the hub at work: answer from memory. Where it or the policy panics over a connection, that one is ended
    /// (`INTERNAL`, close 1011). O(connections and what they hold), in slices between which others have their turn: a commit that is made
    /// meanwhile may still reach somebody who is asked about later; one that is made after this returns does not.
    ///
    /// ```
    /// # use liveset::{Grant, Liveset, Renewal};
    /// # fn of(liveset: &Liveset, roles: &std::collections::HashMap<String, String>) {
    /// let ended = liveset.reauthorize(|who| match roles.get(&*who.subject) {
    ///     Some(role) => Renewal::Replace(Grant::new(who.subject.clone()).claim("role", role.as_str())),
    ///     None => Renewal::Revoke,
    /// });
    /// # }
    /// ```
    pub fn reauthorize(&self, renew: impl FnMut(&Principal) -> Renewal) -> usize {
        self.shared.reauthorize(renew).unwrap_or_else(|_| {
            tracing::error!("a panic while principals were asked for anew");
            0
        })
    }

    /// Counts the calls of [`revoke`](Self::revoke) and [`reauthorize`](Self::reauthorize): whoever keeps a
    /// [`Principal`] of [`authenticate`](Self::authenticate) for a while authenticates again when this has changed.
    pub fn auth_epoch(&self) -> u64 {
        self.shared.door.epoch()
    }

    // --- looking in ---

    /// What is held now, and what was done. Visits no connection.
    pub fn stats(&self) -> Stats {
        let mut hub = self.shared.look(|hub| hub.stats());
        hub.refusals += self.shared.refusals.lock().clone();
        Stats { connections: self.shared.serving(), hub }
    }

    /// What a subject holds now, over all of its connections, and how long its diffs took. O(its different live queries).
    pub fn subject(&self, subject: &str) -> SubjectUse {
        self.shared.look(|hub| hub.subject(subject))
    }

    /// Writes [`stats`](Self::stats) into the gauges and counters of the `metrics` facade. Call it before the metrics
    /// are read. What happens (messages, commits, …) is counted as it happens.
    #[cfg(feature = "metrics")]
    pub fn record_metrics(&self) {
        telemetry::record(&self.stats());
        self.record_sources();
    }
}

/// One-shot questions of one principal; made by [`Liveset::as_principal`].
#[derive(Clone, Copy, Debug)]
pub struct AsPrincipal<'a> {
    pub(crate) liveset: &'a Liveset,
    pub(crate) who: &'a Principal,
}

impl AsPrincipal<'_> {
    /// The result of a query now, as far as the policy lets the principal see it. Its rows have at most as many bytes as those of a
    /// live query may (`HubLimits::initial_bytes`). What it takes is on the account of the principal's subject
    /// (`HubLimits::steps_per_second_per_subject`); it is done in one go all the same, unless that is overdrawn already.
    ///
    /// # Errors
    ///
    /// Where the query is wrong or not allowed, or its rows are too large; `OVERLOADED` where the subject has overdrawn its account by
    /// more than `HubLimits::overdraft`.
    pub fn query(&self, query: impl Into<Query>) -> Result<Snapshot, QueryError> {
        self.liveset.ask(Some(self.who), &query.into())
    }

    /// Begins to answer a query that [`query`](Self::query) answers in one go: the result is that of now, and is made
    /// by [`QueryRun::step`], before each of which [`QueryRun::wait`] is to be waited for. To give it up, drop it.
    ///
    /// Cost: the reading of the query's text, and, with the lock held, a reference to each row that an index finds for it, to each of the
    /// set where there is none.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query), but for the size of the rows.
    pub fn begin_query(&self, query: impl Into<Query>) -> Result<QueryRun, QueryError> {
        self.liveset.begin(Some(self.who), &query.into())
    }

    /// Explains a query, as [`Liveset::explain`] does, to a principal that sees all of the set.
    ///
    /// # Errors
    ///
    /// Where the query is wrong or not allowed.
    pub fn explain(&self, query: impl Into<Query>) -> Result<Explain, QueryError> {
        self.liveset.explain_to(Some(self.who), &query.into())
    }
}

/// A query that is being answered; see [`AsPrincipal::begin_query`]. It holds no lock, and may be moved to another thread.
pub struct QueryRun {
    shared: Arc<Shared>,
    asked: OneShot,
    /// Bytes that the rows may have.
    most: Option<usize>,
    started: std::time::Instant,
    wait: Duration,
}

impl QueryRun {
    /// For how long no more should be done: its subject, or the tenant of that, has used up what it may spend
    /// (`HubLimits::steps_per_second_per_subject`, `HubLimits::steps_per_second_per_tenant`).
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// Looks at some more nodes, at least one, for as long as one hold of the lock would last (`EngineLimits::hold_steps`): the result
    /// where those were all. What it takes is on the account of the principal.
    ///
    /// # Errors
    ///
    /// Where the rows are too large; `OVERLOADED` where it would have to [wait](Self::wait) for longer than `HubLimits::overdraft`.
    pub fn step(self, nodes: usize) -> ControlFlow<Result<Snapshot, QueryError>, Self> {
        let steps = self.shared.sizes.hold_steps;
        self.step_within(nodes, steps)
    }

    fn step_within(self, nodes: usize, steps: u64) -> ControlFlow<Result<Snapshot, QueryError>, Self> {
        let Self { shared, asked, most, started, .. } = self;
        let payer = asked.payer().cloned();
        let pay = |spent| payer.as_ref().map_or(Duration::ZERO, |payer| shared.pay(payer, spent));
        let result = match contain(|| asked.step_within(nodes, steps)) {
            Ok((ControlFlow::Continue(asked), spent)) => {
                let wait = pay(spent);
                if wait <= shared.sizes.overdraft {
                    return ControlFlow::Continue(Self { shared, asked, most, started, wait });
                }
                Err(overdrawn())
            }
            Ok((ControlFlow::Break(snapshot), spent)) => {
                pay(spent);
                fitting(&shared, snapshot, most)
            }
            Err(Panicked) => Err(internal()),
        };
        telemetry::queried(if result.is_ok() { "answered" } else { "refused" }, started.elapsed());
        ControlFlow::Break(result)
    }
}

impl fmt::Debug for QueryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryRun").finish_non_exhaustive()
    }
}

pub(crate) fn overdrawn() -> QueryError {
    let message =
        "The subject has asked for more than it may have done in a second, and for too long: try again later";
    QueryError::new(ErrorCode::Overloaded, message)
}

fn fitting(shared: &Shared, snapshot: Snapshot, most: Option<usize>) -> Result<Snapshot, QueryError> {
    let bytes = snapshot.bytes();
    let Some(limit) = most.filter(|most| bytes > *most) else { return Ok(snapshot) };
    shared.refusals.lock().count(limit!(HubLimits.initial_bytes));
    let message =
        format!("the rows have {bytes} bytes and may have at most {limit}: ask for fewer rows or fields");
    Err(QueryError::new(ErrorCode::LimitExceeded, message))
}

/// Of its refusals, the hub says `INTERNAL` of those alone over which the policy panicked.
pub(crate) fn refused(refusal: Refusal) -> QueryError {
    if refusal.code == ErrorCode::Internal {
        telemetry::panicked("policy");
        tracing::error!("the policy panicked over what was asked for a principal");
    }
    QueryError::from(refusal)
}

pub(crate) fn internal() -> QueryError {
    tracing::error!("a query made the engine panic");
    QueryError::new(ErrorCode::Internal, "internal fault")
}

impl fmt::Debug for Liveset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Liveset").field("connections", &self.shared.serving()).finish_non_exhaustive()
    }
}
