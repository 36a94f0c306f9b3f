//! Every limit of this package, in one place.

use std::time::Duration;

liveset_core::model::limits! {
    /// Limits of a [`Hub`](crate::Hub). Those of one connection are in `liveset_core::SessionLimits`, those of sets and
    /// expressions in `liveset_engine::EngineLimits`.
    ///
    /// ```
    /// use liveset_hub::{HubConfig, HubLimits};
    ///
    /// let hub = HubLimits::default().connections_per_subject(10);
    /// let config = HubConfig { hub, ..HubConfig::default() };
    /// ```
    pub struct HubLimits in "hub" {
        connections_per_subject: usize = 1_024, Needed,
            "connections of one subject" => "`LIMIT_EXCEEDED`, 1008, at `auth`";
        /// Event subscriptions of one subject, over all of its connections; more are refused:
        /// `LIMIT_EXCEEDED`. A connection that authenticates as another subject brings what it holds,
        /// whatever the limits of that one.
        subscriptions_per_subject: usize = 16_384,
            "event subscriptions over all connections of a subject" => "`LIMIT_EXCEEDED` with the `id`; none of the request is made";
        live_queries_per_subject: usize = 16_384,
            "live queries over all connections of a subject" => "`LIMIT_EXCEEDED` with the `id`";
        /// Connections of all subjects of one tenant (see [`Principal::tenant`](crate::Principal::tenant)).
        connections_per_tenant: usize = 16_384, Needed,
            "connections of all subjects of a tenant" => "`LIMIT_EXCEEDED`, 1008, at `auth`";
        live_queries_per_tenant: usize = 262_144,
            "live queries of all subjects of a tenant" => "`LIMIT_EXCEEDED` with the `id`";
        /// Tenants that are named in [`Stats::tenants`](crate::Stats::tenants), those that came first. With 0 none is.
        tenants_named: usize = 100,
            "tenants that have a name in metrics, those that came first" => "counted together, as `(others)`";
        event_data_bytes: usize = 1024 * 1024,
            "the data of an event" => "the event is refused, 422";
        /// Bytes of a live query's first rows, as JSON; one with more is refused: `LIMIT_EXCEEDED`. (How many
        /// rows there are is bounded by `EngineLimits::max_window`.) Rows that come later are not counted.
        initial_bytes: usize = 16 * 1024 * 1024,
            "first rows of one live query; rows of a query asked once" => "`LIMIT_EXCEEDED` with the `id`; over HTTP 422";
        /// Bytes of rows that changed while a set is read as it was: with more, it is given up.
        scan_bytes: usize = 64 * 1024 * 1024,
            "rows that changed while a set is read as it was, and are kept for its reader" => "`OVERLOADED`; over HTTP 503, or, once rows were sent, the body is cut";
        /// Bytes of first rows that are held for one connection until it has taken them: with so many, its
        /// next live queries are answered when it has taken enough, in the order in which it asked (those of
        /// the same result together). A client that does not read holds no more than this and one query's
        /// `initial_bytes`. 0 answers one after the other.
        initial_backlog_bytes: usize = 16 * 1024 * 1024,
            "first rows held for a connection that has not taken them" => "its next live queries are answered once it has";
        /// Such bytes over all connections of one subject: with so many, the next results of more than 256 KiB
        /// wait until some were taken. Results that several connections are sent at once count for each.
        /// 0 gives one connection of a subject after the other its rows.
        initial_backlog_bytes_per_subject: usize = 64 * 1024 * 1024,
            "the same, over all connections of a subject" => "its next live queries with more than 256 KiB are answered once some were taken";
        /// Changes that may wait unfolded for a watcher inside the process; with more, everything that waits
        /// is folded per node into one batch. 0 always folds.
        watch_backlog_changes: usize = 256,
            "changes that wait for a live query inside the process" => "folded per row";
        resume_log_changes: usize = 4_096,
            "changes that a result remembers for clients that resume; 0 turns resuming off, here and in the limits below" => "the oldest are dropped: a resume is answered by a snapshot";
        /// Changes that all feeds together remember for clients that resume. A feed that would exceed it
        /// forgets its own oldest batches. 0 turns resuming off.
        resume_log_changes_total: usize = 262_144,
            "of these, of all results" => "the oldest are dropped: a resume is answered by a snapshot";
        /// Bytes of the changes that all feeds together remember for clients that resume: the nodes as they
        /// were and as they are. A feed that would exceed it forgets its own oldest batches. 0 turns resuming
        /// off.
        resume_log_bytes: usize = 64 * 1024 * 1024,
            "bytes of these, of all results" => "the oldest are dropped: a resume is answered by a snapshot";
        /// Of the changes that are remembered, those that one subject may hold: a feed counts for each
        /// subject that may come back to it, as long as those are no more than eight. A feed all of whose
        /// subjects would exceed it forgets its own oldest batches. 0 turns resuming off.
        resume_log_changes_per_subject: usize = 32_768,
            "changes remembered for one subject; a result counts for each subject that may come back to it, up to eight" => "the oldest of a result are dropped, if no other subject has room for it";
        resume_log_bytes_per_subject: usize = 8 * 1024 * 1024,
            "bytes of these" => "the oldest of a result are dropped, if no other subject has room for it";
        resume_linger: Duration = Duration::from_secs(60),
            "the time for which a result is kept for a client that may resume" => "";
        /// Feeds that are kept that way; with one more, the one that would end first ends now. 0 keeps
        /// none. One that nobody watches and no index finds ends before its time, when as many rows of its
        /// set were changed as are in it: making it again costs less.
        resume_linger_feeds: usize = 1_024,
            "results that are kept so; one that no index finds ends once as many rows of its set were changed as are in it" => "the one that would end first ends now";
        resume_linger_feeds_per_subject: usize = 128,
            "of these, those of one subject" => "its own that would end first ends now";
        /// Steps of work a second for one connection: first results, and reading and planning its queries.
        /// Beyond it requests wait; those that would wait longer than [`overdraft`](Self::overdraft) are
        /// refused with `OVERLOADED`. Commits do not count: the writer decides how many rows change, and
        /// [`standing_steps_per_subject`](Self::standing_steps_per_subject) bounds what each of them costs.
        steps_per_second_per_connection: u64 = 2_000_000,
            "steps of work per second for one connection: first results, and planning what it asks for; as many at once" => "work over it waits";
        steps_per_second_per_subject: u64 = 8_000_000,
            "the same, over all connections of a subject, and queries over HTTP" => "work over it waits";
        steps_per_second_per_tenant: u64 = 32_000_000,
            "the same, of all subjects of a tenant" => "work over it waits";
        /// Steps of work a second for all connections together, spent on first results and on planning their queries: what is left of the
        /// processor is for commits. Beyond it a `createLiveQuery` waits, by turns of the subjects. A restart brings all clients back at
        /// once.
        first_steps_per_second: u64 = 16_000_000, One,
            "the same, over all connections" => "a `createLiveQuery` waits for its turn";
        admission_wait: Duration = Duration::from_secs(5),
            "the time for which it does" => "`OVERLOADED` with the `id`";
        /// For how long work waits that a connection, a subject or a tenant has overdrawn, without anything being done
        /// for it: then it is given up, `OVERLOADED` with the `id`.
        overdraft: Duration = Duration::from_secs(5),
            "the time for which that waits without any work done for it" => "`OVERLOADED` with the `id`; over HTTP 503";
        loading_wait: Duration = Duration::from_secs(5),
            "the time for which a live query waits for a set that is loading" => "`OVERLOADED` with the `id`";
        /// A set that is replaced is there twice meanwhile: its old content, and what was gathered of the new one.
        replace_bytes: u64 = 1024 * 1024 * 1024,
            "bytes of rows that are gathered to replace the content of sets, all together" => "over HTTP 413; in Rust an error";
        source_lag: Duration = Duration::from_secs(5),
            "the time for which a source may know of a commit that is not applied" => "its sets are `stale`";
        /// A source that has said nothing for so long may have lost what it follows. Only of sources with heartbeats.
        source_silence: Duration = Duration::from_secs(10),
            "the time for which a source with heartbeats may say nothing" => "its sets are `stale`";
        standing_steps_per_subject: u64 = 25_000,
            "of `engine.standing_steps`, those of one subject" => "`OVERLOADED` with the `id`; `LIMIT_EXCEEDED` for a live query that needs more alone";
        standing_steps_per_tenant: u64 = 100_000,
            "of these, those of all subjects of a tenant" => "`OVERLOADED` with the `id`; `LIMIT_EXCEEDED` for a live query that needs more alone";
        unindexed_views_per_subject: u64 = 1_000,
            "of `engine.max_unindexed_views`, those of one subject" => "`OVERLOADED` with the `id`; `LIMIT_EXCEEDED` for a live query that needs more alone";
        columns_per_subject: u64 = 128,
            "fields of one set that nobody else read when the subject asked" => "`OVERLOADED` with the `id`; `LIMIT_EXCEEDED` for a live query that needs more alone";
        filling_per_subject: usize = 128, One,
            "of `engine.max_filling`, those of one subject" => "`OVERLOADED` with the `id`; `LIMIT_EXCEEDED` for a live query that needs more alone";
        query_bytes_per_connection: u64 = 8 * 1024 * 1024,
            "compiled filters, the most that windows may hold, event subscriptions, and live queries that wait for their set, of one connection" => "the same; subscriptions `LIMIT_EXCEEDED` with the `id`";
        query_bytes_per_subject: u64 = 64 * 1024 * 1024,
            "the same, over all connections of a subject" => "the same; subscriptions `LIMIT_EXCEEDED` with the `id`";
        /// Such bytes over all subjects: a live query that several of them have counts once. Beyond it
        /// there is no new one, and no new subscription, for anybody: a subject has its share of it.
        query_bytes: u64 = 1024 * 1024 * 1024,
            "the same, over all subjects; queries that several share count once" => "the same; subscriptions `LIMIT_EXCEEDED` with the `id`";
        /// Of such bytes, those of all subjects of a tenant, without the live queries that wait for their set: one that several of them
        /// have counts once.
        query_bytes_per_tenant: u64 = 512 * 1024 * 1024,
            "of these, those of all subjects of a tenant, without live queries that wait" => "the same; subscriptions `LIMIT_EXCEEDED` with the `id`";
    }
}

impl HubLimits {
    /// Takes over those of others that can change while a hub is used: how much a subject, a tenant and a connection may have. Sizes, rates and
    /// what is remembered for clients that resume stay.
    pub fn take_changeable(&mut self, others: &HubLimits) {
        self.connections_per_subject = others.connections_per_subject;
        self.subscriptions_per_subject = others.subscriptions_per_subject;
        self.live_queries_per_subject = others.live_queries_per_subject;
        self.connections_per_tenant = others.connections_per_tenant;
        self.live_queries_per_tenant = others.live_queries_per_tenant;
        self.standing_steps_per_tenant = others.standing_steps_per_tenant;
        self.query_bytes_per_tenant = others.query_bytes_per_tenant;
        self.standing_steps_per_subject = others.standing_steps_per_subject;
        self.unindexed_views_per_subject = others.unindexed_views_per_subject;
        self.columns_per_subject = others.columns_per_subject;
        self.filling_per_subject = others.filling_per_subject;
        self.query_bytes_per_connection = others.query_bytes_per_connection;
        self.query_bytes_per_subject = others.query_bytes_per_subject;
        self.query_bytes = others.query_bytes;
    }

    /// Whether anything is remembered for clients that resume.
    pub(crate) fn may_resume(&self) -> bool {
        let limits = [
            self.resume_log_changes,
            self.resume_log_changes_total,
            self.resume_log_bytes,
            self.resume_log_changes_per_subject,
            self.resume_log_bytes_per_subject,
        ];
        !limits.contains(&0)
    }

    /// Whether a feed is kept for a client whose connection was lost.
    pub(crate) fn may_linger(&self) -> bool {
        self.may_resume() && self.resume_linger_feeds.min(self.resume_linger_feeds_per_subject) > 0
    }
}

/// What is left of one of the hub's limits when something is taken of it.
macro_rules! share {
    ($limits:ident . $name:ident, $taken:expr) => {
        liveset_engine::Share::after(liveset_core::model::limit!(HubLimits.$name), $limits.$name, $taken)
    };
}
pub(crate) use share;

/// How many batches wait for [`Hub::fan_out`](crate::Hub::fan_out) at most; with more they go to the sessions.
pub(crate) const UNHANDED_BATCHES: usize = 1_024;

/// The most segments a declared path may have.
pub const MAX_PATH_SEGMENTS: usize = 16;

/// The most path templates that can be declared.
pub const MAX_TEMPLATES: usize = 1_024;

/// The most event types that one path template can declare.
pub const MAX_EVENT_TYPES: usize = 256;
