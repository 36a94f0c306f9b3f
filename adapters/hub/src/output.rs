//! What a hub asks of its owner.

use std::{collections::VecDeque, sync::Arc};

use liveset_core::{Attempt, ErrorCode, Monotonic, Token};
use liveset_engine::Timestamp;

use crate::{ConnectionId, Now, WatchId};

/// Something for the owner to do; see [`Hub::poll_output`](crate::Hub::poll_output).
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Find out whom the token stands for and answer with [`Hub::handle_verdict`](crate::Hub::handle_verdict). The
    /// session's deadline for authentication runs meanwhile.
    Verify {
        /// The connection.
        conn: ConnectionId,
        /// Names this attempt in the answer.
        attempt: Attempt,
        /// What the client sent.
        token: Token,
    },
    /// The connection has something to send: call [`Hub::poll_transmit`](crate::Hub::poll_transmit) whenever the
    /// connection can be written to, until it returns `None`. Said once until then.
    Transmit {
        /// The connection.
        conn: ConnectionId,
    },
    /// A live query of a client was asked for, answered, refused or ended: to be noted, nothing needs to be done.
    LiveQuery {
        /// The connection.
        conn: ConnectionId,
        /// The id that the client chose: any text of up to `SessionLimits::id_bytes`.
        id: Arc<str>,
        /// What has become of it.
        stage: LiveQueryStage,
    },
    /// The host's policy, or what it gave [`Hub::reauthorize`](crate::Hub::reauthorize), panicked over a connection, which is being
    /// closed with 1011: to be noted, nothing needs to be done.
    Panicked {
        /// The connection.
        conn: ConnectionId,
    },
    /// A connection was refused because its subject or tenant has as many as it may: to be noted, nothing needs to be done.
    Crowded {
        /// The connection; it is told, and closed.
        conn: ConnectionId,
        /// For whom it would have acted.
        subject: Arc<str>,
    },
    /// A client is told of an error: to be counted, nothing needs to be done.
    Error {
        /// The connection.
        conn: ConnectionId,
        /// What is wrong.
        code: ErrorCode,
    },
    /// The watch has something: call [`Hub::poll_watch`](crate::Hub::poll_watch) until it returns `None`. Said once until
    /// then.
    Watch {
        /// The watch.
        watch: WatchId,
    },
}

/// What has become of a live query of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LiveQueryStage {
    /// It was asked for, and may wait for its first result.
    Asked,
    /// It has its first result, of so many rows.
    Answered {
        /// Rows of the window.
        rows: usize,
    },
    /// It goes on from what the client has.
    Resumed,
    /// It was refused.
    Refused(ErrorCode),
    /// The client gave it up, or it was taken from the client.
    Ended,
}

/// When [`Hub::handle_timeout`](crate::Hub::handle_timeout) wants to be called; the earliest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Whether work was put off: it is due already, whatever the clocks say, and a slice of it is done between two inputs.
    pub is_due_already: bool,
    /// Deadlines of connections.
    pub monotonic: Option<Monotonic>,
    /// When time alone next changes the result of a live query.
    pub wall: Option<Timestamp>,
}

impl Timeouts {
    /// Whether a deadline of either clock has come.
    pub fn has_come(&self, now: Now) -> bool {
        self.monotonic.is_some_and(|at| at <= now.monotonic) || self.wall.is_some_and(|at| at <= now.wall)
    }
}

/// Bounded by what exists and what was asked for: one `Transmit` a connection, one `Watch` a watch, as many `Verify` and at most as
/// many `Crowded` as tokens were sent, one `Panicked` a connection, a few `LiveQuery` for each that was asked for, and as many `Error`
/// as answers may wait.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    queue: VecDeque<Output>,
}

impl Outputs {
    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }
}
