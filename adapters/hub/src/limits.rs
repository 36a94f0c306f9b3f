//! Every limit of this package, in one place.

use std::time::Duration;

/// Limits of a [`Hub`](crate::Hub). Those of one connection are in `liveset_core::SessionLimits`, those of sets and
/// expressions in `liveset_engine::EngineLimits`.
///
/// ```
/// use liveset_hub::{HubConfig, HubLimits};
///
/// let hub = HubLimits { connections_per_subject: 10, ..HubLimits::default() };
/// let config = HubConfig { hub, ..HubConfig::default() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubLimits {
    /// Connections that act for one subject at once; one more is refused when it authenticates: `LIMIT_EXCEEDED`, close 1008.
    /// Default 1,024.
    pub connections_per_subject: usize,
    /// Event subscriptions of one subject, over all of its connections; more are refused: `LIMIT_EXCEEDED`. A connection that
    /// authenticates as another subject brings what it holds, whatever the limits of that one. Default 16,384.
    pub subscriptions_per_subject: usize,
    /// Live queries of one subject, counted and refused alike, unanswered ones included. Default 16,384.
    pub live_queries_per_subject: usize,
    /// Bytes of the data of one event; one with more is not published. Default 1 MiB.
    pub event_data_bytes: usize,
    /// Bytes of a live query's first rows, as JSON; one with more is refused: `LIMIT_EXCEEDED`. (How many rows there are is bounded by
    /// `EngineLimits::max_window`.) Rows that come later are not counted. Default 16 MiB.
    pub initial_bytes: usize,
    /// Bytes of first rows that are held for one connection until it has taken them: with so many, its next live queries are answered
    /// when it has taken enough, in the order in which it asked (those of the same result together). A client that does not read holds no more than this and one
    /// query's `initial_bytes`. Default 16 MiB; 0 answers one after the other.
    pub initial_backlog_bytes: usize,
    /// The same for all connections of one subject: with so many, the next results of more than 256 KiB wait until some were taken.
    /// Results that several connections are sent at once count for each. Default 64 MiB; 0 gives one connection of a subject after the
    /// other its rows.
    pub initial_backlog_bytes_per_subject: usize,
    /// How many changes wait unfolded for a watcher inside the process; more, and everything that waits is folded per
    /// node into one batch. 0 always folds. Default 256.
    pub watch_backlog_changes: usize,
    /// How many changes a feed remembers for clients that resume. 0 turns resuming off: every resume is answered by
    /// the ordinary snapshot. Default 4,096.
    pub resume_log_changes: usize,
    /// How many changes all feeds together remember for clients that resume. A feed that would exceed it forgets its own
    /// oldest batches. 0 turns resuming off. Default 262,144.
    pub resume_log_changes_total: usize,
    /// Bytes of the changes that all feeds together remember for clients that resume: the nodes as they were and as they are. A
    /// feed that would exceed it forgets its own oldest batches. 0 turns resuming off. Default 64 MiB.
    pub resume_log_bytes: usize,
    /// Of the changes that are remembered, those that one subject may hold: a feed counts for each subject that may come back to it, as
    /// long as those are no more than eight. A feed all of whose subjects would exceed it forgets its own oldest batches. 0 turns
    /// resuming off. Default 32,768.
    pub resume_log_changes_per_subject: usize,
    /// Bytes of those, counted alike. 0 turns resuming off. Default 8 MiB.
    pub resume_log_bytes_per_subject: usize,
    /// How long a feed is kept after the connection of its last resume-capable watcher was lost. Default 60 s.
    pub resume_linger: Duration,
    /// How many feeds are kept that way; one more, and the one that would end first ends now. 0 keeps none.
    /// One that nobody watches and no index finds ends before its time, when as many rows of its set were changed as are in it:
    /// making it again costs less. Default 1,024.
    pub resume_linger_feeds: usize,
    /// How many of them are kept for one subject; one more, and the one of that subject that would end first ends now. 0 keeps none.
    /// Default 128.
    pub resume_linger_feeds_per_subject: usize,
    /// Steps of work a second for one connection: first results, and reading and planning its queries. Beyond it requests wait; those that
    /// would wait longer than [`overdraft`](Self::overdraft) are refused with `OVERLOADED`. Commits do not count: the writer decides how
    /// many rows change, and [`standing_steps_per_subject`](Self::standing_steps_per_subject) bounds what each of them costs.
    /// Default 2 000 000.
    pub steps_per_second_per_connection: u64,
    /// The same for all connections of one subject, and for the queries that are asked once for it. Default 8 000 000.
    pub steps_per_second_per_subject: u64,
    /// For how long work waits that a connection or a subject has overdrawn, without anything being done for it: then it is given up,
    /// `OVERLOADED` with the `id`. Default 5 s.
    pub overdraft: Duration,
    /// Steps that each changed row of one set may cost the live queries of one subject: an eighth of `EngineLimits::standing_steps`.
    /// Default 25 000.
    pub standing_steps_per_subject: u64,
    /// Live queries of one subject that no index finds: an eighth of `EngineLimits::max_unindexed_views`. Default 1 000.
    pub unindexed_views_per_subject: u64,
    /// Fields of one set that only the live queries of one subject read: an eighth of `EngineLimits::max_columns`. Default 128.
    pub columns_per_subject: u64,
    /// Live queries of one subject whose first result is being made: an eighth of `EngineLimits::max_filling`. Default 128.
    pub filling_per_subject: usize,
    /// Bytes of compiled filters and windows of the live queries of one connection, and of its event subscriptions. Default 8 MiB.
    pub query_bytes_per_connection: u64,
    /// The same for all connections of one subject: a live query that several of them have counts once. Default 64 MiB.
    pub query_bytes_per_subject: u64,
    /// The same for all subjects together: a live query that several of them have counts once. Beyond it there is no new one, and no new
    /// subscription, for anybody: a subject has its share of it. Default 1 GiB.
    pub query_bytes: u64,
}

impl Default for HubLimits {
    fn default() -> Self {
        Self {
            connections_per_subject: 1_024,
            subscriptions_per_subject: 16_384,
            live_queries_per_subject: 16_384,
            event_data_bytes: 1024 * 1024,
            initial_bytes: 16 * 1024 * 1024,
            initial_backlog_bytes: 16 * 1024 * 1024,
            initial_backlog_bytes_per_subject: 64 * 1024 * 1024,
            watch_backlog_changes: 256,
            resume_log_changes: 4_096,
            resume_log_changes_total: 262_144,
            resume_log_bytes: 64 * 1024 * 1024,
            resume_log_changes_per_subject: 32_768,
            resume_log_bytes_per_subject: 8 * 1024 * 1024,
            resume_linger: Duration::from_secs(60),
            resume_linger_feeds: 1_024,
            steps_per_second_per_connection: 2_000_000,
            steps_per_second_per_subject: 8_000_000,
            overdraft: Duration::from_secs(5),
            standing_steps_per_subject: 25_000,
            unindexed_views_per_subject: 1_000,
            columns_per_subject: 128,
            filling_per_subject: 128,
            query_bytes_per_connection: 8 * 1024 * 1024,
            query_bytes_per_subject: 64 * 1024 * 1024,
            query_bytes: 1024 * 1024 * 1024,
            resume_linger_feeds_per_subject: 128,
        }
    }
}

impl HubLimits {
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

/// How many batches wait for [`Hub::fan_out`](crate::Hub::fan_out) at most; with more they go to the sessions.
pub(crate) const UNHANDED_BATCHES: usize = 1_024;

/// The most segments a declared path may have.
pub const MAX_PATH_SEGMENTS: usize = 16;

/// The most path templates that can be declared.
pub const MAX_TEMPLATES: usize = 1_024;

/// The most event types that one path template can declare.
pub const MAX_EVENT_TYPES: usize = 256;
