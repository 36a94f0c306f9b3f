//! Every number of one connection's conversation, in one place.

use std::time::Duration;

/// How deep lists and objects may nest in a message or a query of a client, itself the first level. None that means anything has
/// more than four.
pub(crate) const MESSAGE_NESTING: usize = 64;

/// The same of a message of a server: the deepest node that a server can be made to take, in the list of a `liveQueryData`.
pub(crate) const SERVER_MESSAGE_NESTING: usize = 128 + 2;

/// The limits and deadlines of one [`Session`](crate::Session).
///
/// `Default` gives the protocol's numbers. Shared by all sessions of an owner, so it is passed as an `Arc`.
///
/// ```
/// use std::time::Duration;
/// use liveset_core::SessionLimits;
///
/// let limits = SessionLimits { ping_interval: Duration::from_secs(10), ..SessionLimits::default() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLimits {
    /// From the connection's opening to a verified token, and from a later `auth` to its verdict. Default 10 s.
    pub auth_timeout: Duration,
    /// From `authenticated`, and from each pong, to the next ping. Default 30 s.
    pub ping_interval: Duration,
    /// From a ping to its pong. Default 30 s.
    pub pong_timeout: Duration,
    /// Largest message taken from the client, in bytes. Default 64 KiB.
    pub message_bytes: usize,
    /// Longest `id` or `requestId`, in bytes. Default 128.
    pub id_bytes: usize,
    /// Messages held while a token is being verified, or while the request that they depend on is
    /// unanswered. Default 64.
    pub held_messages: usize,
    /// Bytes of those messages. Default 64 KiB.
    pub held_bytes: usize,
    /// Event subscriptions of the connection, unanswered ones included. Default 256.
    pub subscriptions: usize,
    /// Event types that one subscription lists, each as often as it stands there. Every event at its path is compared with them.
    /// Default 64.
    pub subscription_events: usize,
    /// Longest path of a subscription, in bytes. Default 512.
    pub path_bytes: usize,
    /// Live queries of the connection, unanswered ones included. Default 256.
    pub live_queries: usize,
    /// Messages a second that the client may send on the long run. Default 100.
    pub messages_per_second: u32,
    /// Messages that the client may send at once. Default 300.
    pub message_burst: u32,
    /// The connection closes with the so-manieth message in a row that the rate limit refused (0 as 1).
    /// Default 100.
    pub rate_limited_in_a_row: u32,
    /// The connection closes with the so-manieth `INVALID_MESSAGE` in a row (0 as 1). Default 32.
    pub invalid_in_a_row: u32,
    /// Events queued for each subscription before the oldest is dropped (0 as 1). Default 256.
    pub event_queue: usize,
    /// Bytes of the event messages that wait for the connection, as they are written: with the ids of all subscriptions that each names, a
    /// control character in one counting six bytes. With more the oldest are dropped, whosever they are; an event that alone has more is dropped itself, and
    /// with 0 every one is. Default 4 MiB.
    pub event_bytes: usize,
    /// Rows in one `liveQueryData` (0 as 1). Default 200.
    pub chunk_rows: usize,
    /// Bytes of row data in one `liveQueryData`; one row is always sent, however large. Default 64 KiB.
    pub chunk_bytes: usize,
    /// Changes of one live query that wait one by one; with more waiting they are folded per node, unless all are of one commit. With 0
    /// they are always folded. Default 256.
    pub backlog_changes: usize,
    /// Bytes of the changes that wait, of all live queries of the connection: the nodes as they were and as they are, and the ids as
    /// they are written. With more waiting all of them are folded, and if that is still too much the connection closes with `OVERLOADED`. Initial rows
    /// do not count: they are shared. Must have room for what one commit changes. Default 16 MiB.
    pub backlog_bytes: usize,
    /// Answers and other control messages that wait for a client that does not read; with more the
    /// connection closes with `OVERLOADED`. Default 4 096.
    pub control_messages: usize,
    /// Bytes of those messages. Default 1 MiB.
    pub control_bytes: usize,
}

impl Default for SessionLimits {
    fn default() -> SessionLimits {
        SessionLimits {
            auth_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(30),
            pong_timeout: Duration::from_secs(30),
            message_bytes: 64 * 1024,
            id_bytes: 128,
            held_messages: 64,
            held_bytes: 64 * 1024,
            subscriptions: 256,
            subscription_events: 64,
            path_bytes: 512,
            live_queries: 256,
            messages_per_second: 100,
            message_burst: 300,
            rate_limited_in_a_row: 100,
            invalid_in_a_row: 32,
            event_queue: 256,
            event_bytes: 4 * 1024 * 1024,
            chunk_rows: 200,
            chunk_bytes: 64 * 1024,
            backlog_changes: 256,
            backlog_bytes: 16 * 1024 * 1024,
            control_messages: 4096,
            control_bytes: 1024 * 1024,
        }
    }
}

/// The limits of one [`ClientSession`](crate::ClientSession).
///
/// ```
/// use std::time::Duration;
/// use liveset_core::{ClientLimits, ClientSession, Moment};
///
/// let limits = ClientLimits { silence: Duration::from_secs(20), ..ClientLimits::default() };
/// let session = ClientSession::new(limits, Moment::ZERO);
/// assert_eq!(session.poll_timeout(), Some(Moment::from_epoch(Duration::from_secs(20))));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLimits {
    /// A server that was silent for longer than this is lost. It pings every 30 s and waits 30 s for the
    /// pong, so the default is 60 s.
    pub silence: Duration,
}

impl Default for ClientLimits {
    fn default() -> ClientLimits {
        ClientLimits { silence: Duration::from_secs(60) }
    }
}
