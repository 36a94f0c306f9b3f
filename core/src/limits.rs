//! Every number of one connection's conversation, in one place.

use std::time::Duration;

use crate::time::Rate;

/// How deep lists and objects may nest in a message or a query of a client, itself the first level. None that means anything has
/// more than four.
pub(crate) const MESSAGE_NESTING: usize = 64;

/// The same of a message of a server: the deepest node that a server can be made to take, in the list of a `liveQueryData`.
pub(crate) const SERVER_MESSAGE_NESTING: usize = 128 + 2;

crate::model::limits! {
    /// The limits and deadlines of one [`Session`](crate::Session).
    ///
    /// `Default` gives the protocol's numbers. Shared by all sessions of an owner, so it is passed as an `Arc`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use liveset_core::SessionLimits;
    ///
    /// let limits = SessionLimits::default().ping_interval(Duration::from_secs(10));
    /// ```
    pub struct SessionLimits in "session" {
        auth_timeout: Duration = Duration::from_secs(10), Needed,
            "from the opening to a verified token; from a later `auth` to its verdict" => "`AUTH_TIMEOUT`, 1008";
        ping_interval: Duration = Duration::from_secs(30),
            "from one pong to the next ping" => "";
        pong_timeout: Duration = Duration::from_secs(30), Needed,
            "from a ping to its pong" => "`PING_TIMEOUT`, 1008";
        message_bytes: usize = 64 * 1024, Needed,
            "a message, summed over its fragments; the body of a query over HTTP" => "`MESSAGE_TOO_LARGE`, 1009; over HTTP 413";
        id_bytes: usize = 128,
            "an `id` or `requestId`" => "`INVALID_MESSAGE`";
        held_messages: usize = 64,
            "messages sent before the answer that they depend on" => "`LIMIT_EXCEEDED`, 1008";
        held_bytes: usize = 64 * 1024,
            "bytes of these" => "`LIMIT_EXCEEDED`, 1008";
        subscriptions: usize = 256,
            "event subscriptions, unanswered ones included" => "`LIMIT_EXCEEDED` with the `id`";
        subscription_events: usize = 64,
            "event types that one subscription lists" => "`LIMIT_EXCEEDED` with the `id`";
        path_bytes: usize = 512,
            "the path of a subscription" => "`INVALID_PATH` with the `id`";
        live_queries: usize = 256,
            "live queries, unanswered ones included" => "`LIMIT_EXCEEDED` with the `id`";
        awaited_positions: usize = 64,
            "positions waited for at once" => "`LIMIT_EXCEEDED`";
        position_timeout: Duration = Duration::from_secs(30),
            "from `awaitPosition` to the moment at which the live queries show it" => "`OVERLOADED` with the `requestId`";
        messages_per_second: u32 = 100, Needed,
            "messages of the client, per second on average" => "`RATE_LIMITED`";
        message_burst: u32 = 300, Needed,
            "of these, at once" => "`RATE_LIMITED`";
        rate_limited_in_a_row: u32 = 100, One,
            "consecutive messages that got `RATE_LIMITED`" => "1008";
        invalid_in_a_row: u32 = 32, One,
            "consecutive messages that got `INVALID_MESSAGE`" => "1008";
        event_queue: usize = 256, One,
            "events that wait for each subscription" => "the oldest are dropped, and a `warning` counts them";
        /// Bytes of the event messages that wait for the connection, as they are written: with the ids of all
        /// subscriptions that each names, a control character in one counting six bytes. With more the oldest
        /// are dropped, whosever they are; an event that alone has more is dropped itself, and with 0 every
        /// one is.
        event_bytes: usize = 4 * 1024 * 1024,
            "bytes of event messages that wait, of all subscriptions, with the ids that each names" => "the oldest are dropped, with the same `warning`; so is an event that is larger itself";
        chunk_rows: usize = 200, One,
            "rows of one `liveQueryData`" => "the next chunk";
        chunk_bytes: usize = 64 * 1024,
            "bytes of these; one row is always sent" => "the next chunk";
        /// Changes of one live query that wait one by one; with more waiting they are folded per node, unless
        /// all are of one commit. With 0 they are always folded.
        backlog_changes: usize = 256,
            "changes that wait, for each live query" => "they are folded per row: at most twice the window";
        /// Bytes of the changes that wait, of all live queries of the connection: the nodes as they were and
        /// as they are, and the ids as they are written. With more waiting all of them are folded, and if
        /// that is still too much the connection closes with `OVERLOADED`. Initial rows do not count: they
        /// are shared. Must have room for what one commit changes.
        backlog_bytes: usize = 16 * 1024 * 1024,
            "bytes of these, of all live queries, with their ids" => "folded; if that is still too much, `OVERLOADED`, 1013";
        control_messages: usize = 4096,
            "answers that wait" => "`OVERLOADED`, 1013";
        control_bytes: usize = 1024 * 1024,
            "bytes of these" => "`OVERLOADED`, 1013";
    }
}

impl SessionLimits {
    /// Takes over those of others that can change while an owner makes more sessions: all but the sizes of messages and ids, which count
    /// where messages are read.
    pub fn take_changeable(&mut self, others: &SessionLimits) {
        let (message_bytes, id_bytes) = (self.message_bytes, self.id_bytes);
        *self = SessionLimits { message_bytes, id_bytes, ..others.clone() };
    }

    /// The rate at which a client may send.
    pub(crate) fn rate(&self) -> Rate {
        Rate { per_second: self.messages_per_second.into(), burst: self.message_burst.into() }
    }
}

crate::model::limits! {
    /// The limits of one [`ClientSession`](crate::ClientSession).
    ///
    /// ```
    /// use std::time::Duration;
    /// use liveset_core::{ClientLimits, ClientSession, Monotonic};
    ///
    /// let limits = ClientLimits::default().silence(Duration::from_secs(20));
    /// let session = ClientSession::new(limits, Monotonic::ZERO);
    /// assert_eq!(session.poll_timeout(), Some(Monotonic::from_epoch(Duration::from_secs(20))));
    /// ```
    pub struct ClientLimits in "client" {
        /// A server that was silent for longer than this is lost. It pings every 30 s and waits 30 s for the
        /// pong, so the default is 60 s.
        silence: Duration = Duration::from_secs(60),
            "silence of a server before it counts as lost" => "the session ends";
    }
}
