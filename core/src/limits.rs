//! Every number of one connection's conversation, in one place.

use std::time::Duration;

use crate::time::Rate;

/// How deep lists and objects may nest in a message or a query of a client, itself the first level. None that means anything has
/// more than four.
pub(crate) const MESSAGE_NESTING: usize = 64;

/// The same of a message of a server: the deepest node that a server can be made to take, in the list of a `liveQueryData`.
pub(crate) const SERVER_MESSAGE_NESTING: usize = 128 + 2;

/// Declares limits: a field each, with what it bounds and its default, and a method that sets it.
macro_rules! limits {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[$limit_meta:meta])*
                $limit:ident: $type:ty = $default:expr,
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $(
                $(#[$limit_meta])*
                pub $limit: $type,
            )*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($limit: $default),* }
            }
        }

        impl $name {
            $(
                #[doc = concat!("Sets [`", stringify!($limit), "`](field@", stringify!($name), "::", stringify!($limit), ").")]
                #[must_use]
                pub fn $limit(mut self, $limit: $type) -> $name {
                    self.$limit = $limit;
                    self
                }
            )*
        }
    };
}

limits! {
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
    pub struct SessionLimits {
        /// From the connection's opening to a verified token, and from a later `auth` to its verdict. Default 10 s.
        auth_timeout: Duration = Duration::from_secs(10),
        /// From `authenticated`, and from each pong, to the next ping. Default 30 s.
        ping_interval: Duration = Duration::from_secs(30),
        /// From a ping to its pong. Default 30 s.
        pong_timeout: Duration = Duration::from_secs(30),
        /// Largest message taken from the client, in bytes. Default 64 KiB.
        message_bytes: usize = 64 * 1024,
        /// Longest `id` or `requestId`, in bytes. Default 128.
        id_bytes: usize = 128,
        /// Messages held while a token is being verified, or while the request that they depend on is
        /// unanswered. Default 64.
        held_messages: usize = 64,
        /// Bytes of those messages. Default 64 KiB.
        held_bytes: usize = 64 * 1024,
        /// Event subscriptions of the connection, unanswered ones included. Default 256.
        subscriptions: usize = 256,
        /// Event types that one subscription lists, each as often as it stands there. Every event at its path is compared with them.
        /// Default 64.
        subscription_events: usize = 64,
        /// Longest path of a subscription, in bytes. Default 512.
        path_bytes: usize = 512,
        /// Live queries of the connection, unanswered ones included. Default 256.
        live_queries: usize = 256,
        /// Messages a second that the client may send on the long run. Default 100.
        messages_per_second: u32 = 100,
        /// Messages that the client may send at once. Default 300.
        message_burst: u32 = 300,
        /// The connection closes with the n-th consecutive message that the rate limit refused (0 as 1).
        /// Default 100.
        rate_limited_in_a_row: u32 = 100,
        /// The connection closes with the n-th consecutive `INVALID_MESSAGE` (0 as 1). Default 32.
        invalid_in_a_row: u32 = 32,
        /// Events queued for each subscription before the oldest is dropped (0 as 1). Default 256.
        event_queue: usize = 256,
        /// Bytes of the event messages that wait for the connection, as they are written: with the ids of all subscriptions that each names, a
        /// control character in one counting six bytes. With more the oldest are dropped, whosever they are; an event that alone has more is dropped itself, and
        /// with 0 every one is. Default 4 MiB.
        event_bytes: usize = 4 * 1024 * 1024,
        /// Rows in one `liveQueryData` (0 as 1). Default 200.
        chunk_rows: usize = 200,
        /// Bytes of row data in one `liveQueryData`; one row is always sent, however large. Default 64 KiB.
        chunk_bytes: usize = 64 * 1024,
        /// Changes of one live query that wait one by one; with more waiting they are folded per node, unless all are of one commit. With 0
        /// they are always folded. Default 256.
        backlog_changes: usize = 256,
        /// Bytes of the changes that wait, of all live queries of the connection: the nodes as they were and as they are, and the ids as
        /// they are written. With more waiting all of them are folded, and if that is still too much the connection closes with `OVERLOADED`. Initial rows
        /// do not count: they are shared. Must have room for what one commit changes. Default 16 MiB.
        backlog_bytes: usize = 16 * 1024 * 1024,
        /// Answers and other control messages that wait for a client that does not read; with more the
        /// connection closes with `OVERLOADED`. Default 4 096.
        control_messages: usize = 4096,
        /// Bytes of those messages. Default 1 MiB.
        control_bytes: usize = 1024 * 1024,
    }
}

impl SessionLimits {
    /// How fast a client may send.
    pub(crate) fn rate(&self) -> Rate {
        Rate { per_second: self.messages_per_second.into(), burst: self.message_burst.into() }
    }
}

limits! {
    /// The limits of one [`ClientSession`](crate::ClientSession).
    ///
    /// ```
    /// use std::time::Duration;
    /// use liveset_core::{ClientLimits, ClientSession, Moment};
    ///
    /// let limits = ClientLimits::default().silence(Duration::from_secs(20));
    /// let session = ClientSession::new(limits, Moment::ZERO);
    /// assert_eq!(session.poll_timeout(), Some(Moment::from_epoch(Duration::from_secs(20))));
    /// ```
    pub struct ClientLimits {
        /// A server that was silent for longer than this is lost. It pings every 30 s and waits 30 s for the
        /// pong, so the default is 60 s.
        silence: Duration = Duration::from_secs(60),
    }
}
