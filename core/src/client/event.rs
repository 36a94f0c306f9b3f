//! What a client's session tells its owner.

use std::fmt;
use std::sync::Arc;

use crate::error::ErrorCode;
use crate::message::ServerMessageError;
use crate::model::{Hint, Reason, SetStatus};
use crate::session::Event;

/// Names a request of one client session; its `requestId` on the wire is this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A fact that a [`ClientSession`](crate::ClientSession) learned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The token was accepted.
    Authenticated {
        /// Of which request.
        request: RequestId,
    },
    /// The server answered a ping.
    Pong {
        /// Of which request.
        request: RequestId,
    },
    /// Subscriptions were made.
    Subscribed {
        /// Of which request.
        request: RequestId,
        /// All ids of the request.
        ids: Vec<Arc<str>>,
    },
    /// Subscriptions were given up.
    Unsubscribed {
        /// Of which request.
        request: RequestId,
        /// All ids of the request.
        ids: Vec<Arc<str>>,
    },
    /// Something happened at a path that was subscribed.
    Event {
        /// The subscriptions that wanted it.
        subscription_ids: Vec<Arc<str>>,
        /// The path as it was subscribed.
        path: Arc<str>,
        /// What happened.
        event: Event,
    },
    /// The server warns, for instance that it dropped events because this end was slow.
    Warning {
        /// `QUEUE_OVERFLOW`.
        code: String,
        /// What happened, for people.
        message: String,
        /// The subscription that it is about.
        subscription_id: Arc<str>,
    },
    /// A live query is there; its rows follow.
    LiveQueryCreated {
        /// Of which request.
        request: RequestId,
        /// The live query.
        id: Arc<str>,
        /// What is probably a mistake in it, where that was asked for.
        hints: Vec<Hint>,
    },
    /// A live query goes on from the version asked for; what changed since then follows.
    LiveQueryResumed {
        /// Of which request.
        request: RequestId,
        /// The live query.
        id: Arc<str>,
    },
    /// Some initial rows came.
    LiveQueryRows {
        /// The live query.
        id: Arc<str>,
        /// How many.
        rows: usize,
        /// Whether these were the last.
        loaded: bool,
    },
    /// A row changed; the result has it already.
    LiveQueryChanged {
        /// The live query.
        id: Arc<str>,
        /// The node.
        node_id: Arc<str>,
        /// How it changed.
        change: NodeChange,
    },
    /// The count changed; the result has it already.
    LiveQueryCount {
        /// The live query.
        id: Arc<str>,
    },
    /// The set of a live query has another status, where that was asked for.
    LiveQueryStatus {
        /// The live query, which may be one that was not answered.
        id: Arc<str>,
        /// The status of its set.
        status: SetStatus,
    },
    /// All live queries show the position that was asked for.
    PositionReached {
        /// Of which request.
        request: RequestId,
    },
    /// Everything of a commit has come: all live queries that have loaded show one moment together.
    Commit,
    /// A live query was given up, nothing of it follows.
    LiveQueryDestroyed {
        /// Of which request.
        request: RequestId,
        /// The live query.
        id: Arc<str>,
    },
    /// The server says that something is wrong.
    Error {
        /// The code, where this version of the protocol has it.
        code: Option<ErrorCode>,
        /// The code as it came.
        code_text: String,
        /// What is wrong, for people.
        message: String,
        /// The request that failed.
        request: Option<RequestId>,
        /// The subscription or live query that it is about.
        id: Option<Arc<str>>,
        /// What the server ended with it.
        ended: Option<Ended>,
    },
    /// The server was silent for too long: drop the connection.
    Lost,
}

/// How a row changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeChange {
    /// It entered the window.
    Added {
        /// With `positions`: where it stands.
        index: Option<u64>,
        /// With `reasons`: why.
        reason: Option<Reason>,
    },
    /// It changed, or moved.
    Updated {
        /// With `positions`: where it stands.
        index: Option<u64>,
    },
    /// It left the window.
    Removed {
        /// With `reasons`: why.
        reason: Option<Reason>,
    },
}

/// What an `error` without a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The live query of that id.
    LiveQuery,
    /// The subscription of that id.
    Subscription,
}

/// What a server said that a server may not say. The owner should drop the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It is no message of the protocol.
    #[error(transparent)]
    Malformed(#[from] ServerMessageError),
    /// It does not fit what was said before.
    #[error("the server contradicts itself: {0}")]
    Inconsistent(String),
}
