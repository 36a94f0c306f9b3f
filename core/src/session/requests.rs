//! What a session asks of its owner, and with what names the owner answers.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{CloseCode, ErrorCode};
use crate::message::{Ahead, LiveQueryOptions, SubscriptionSpec};
use crate::model::{Etag, Hint, Query};
use crate::time::Monotonic;
use crate::token::Token;
use crate::version::VersionCode;

/// Names a request of one session that the owner answers. Never used twice in a session; the ticket of a
/// `createLiveQuery` names the live query for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

impl Ticket {
    /// No later than any of a session.
    pub const FIRST: Ticket = Ticket(0);
}

/// Names one attempt of a session to authenticate. Never used twice in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub(super) u64);

/// What a session needs of the world. [`Session::poll_request`](super::Session::poll_request) hands them out
/// in the order in which the client asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Is this token good? Answered by [`Session::handle_verdict`](super::Session::handle_verdict).
    Verify {
        /// Which attempt.
        attempt: Attempt,
        /// The token, which `Debug` does not show.
        token: Token,
    },
    /// May these subscriptions be made? All or none. Their ids are new and within the limits; paths, event
    /// types and permission are the owner's to check. Where an entry of the client's list is bad already, only
    /// those before it are asked for: the first bad one is named. Answered by
    /// [`Session::accept_subscriptions`](super::Session::accept_subscriptions) or
    /// [`Session::refuse`](super::Session::refuse).
    Subscribe {
        /// The name of this request.
        ticket: Ticket,
        /// Never empty.
        subscriptions: Vec<SubscriptionSpec>,
    },
    /// The client gave up these subscriptions. Not answered.
    Unsubscribed {
        /// Never empty.
        subscriptions: Vec<SubscriptionSpec>,
    },
    /// May this live query be made? Its id is new and within the limits; the query and permission are the
    /// owner's to check. Answered by [`Session::accept_live_query`](super::Session::accept_live_query),
    /// [`Session::resume_live_query`](super::Session::resume_live_query) or
    /// [`Session::refuse`](super::Session::refuse).
    CreateLiveQuery {
        /// The name of this request, and of the live query from now on.
        ticket: Ticket,
        /// The client's name for it.
        id: Arc<str>,
        /// What the client asks for.
        query: Query,
        /// The extensions that the client opted in to; the session takes care of them.
        options: LiveQueryOptions,
        /// The version from which the client wants to resume.
        since: Option<String>,
        /// The etags of the rows that the client has, in its order, from which it wants to resume where `since` cannot be.
        have: Option<Vec<Etag>>,
        /// What was [attached](crate::ParsedMessage::attach) to the message.
        ahead: Ahead,
    },
    /// Which version shows what was committed at this position? Answered by [`Session::await_version`](super::Session::await_version) or
    /// [`Session::refuse`](super::Session::refuse).
    AwaitPosition {
        /// The name of this request.
        ticket: Ticket,
        /// What the client was given, or says that it was.
        position: String,
    },
    /// The client gave up this live query. Not answered.
    LiveQueryDestroyed {
        /// The ticket with which it was created.
        ticket: Ticket,
        /// The client's name for it.
        id: Arc<str>,
    },
}

/// The owner's answer to [`Request::Verify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The token is good, until `expires` where that is given.
    Accepted {
        /// When the principal expires.
        expires: Option<Monotonic>,
    },
    /// The token is not good. The client is not told why.
    Refused,
}

/// Why the owner refuses a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code on the wire. One that closes the connection does so here too.
    pub code: ErrorCode,
    /// What is wrong and where, for the client's developer.
    pub message: String,
    /// The subscription that it is about, where it is about one. (A live query names itself.)
    pub id: Option<Arc<str>>,
}

/// Details that a client gets about its live query if it has asked for the extension.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About<'a> {
    /// The mark in the versions that a client resumes from.
    pub mark: VersionCode,
    /// The key field of the set.
    pub key: Option<&'a str>,
    /// What is probably a mistake in the query; told where the client asks for hints.
    pub hints: Vec<Hint>,
}

/// What [`Session::poll_transmit`](super::Session::poll_transmit) gives the transport to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transmit {
    /// Exactly one JSON message was appended to the buffer: send it as one text message.
    Text,
    /// Send a close frame with this code. Nothing follows.
    Close(CloseCode),
}

/// Something that happened, published to many. Shared, never copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The event's type, as its resource declares it.
    pub event_type: Arc<str>,
    /// The host's data: one JSON value. Never parsed here.
    pub data: Bytes,
    /// When it happened, as RFC 3339.
    pub timestamp: Box<str>,
}

/// The queue of requests, and the counters that name them.
#[derive(Debug, Default)]
pub(super) struct Requests {
    queue: VecDeque<Request>,
    tickets: u64,
    attempts: u64,
}

impl Requests {
    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(super) fn attempt(&mut self) -> Attempt {
        self.attempts += 1;
        Attempt(self.attempts)
    }

    pub(super) fn push(&mut self, request: Request) {
        self.queue.push_back(request);
    }

    pub(super) fn poll(&mut self) -> Option<Request> {
        let request = self.queue.pop_front();
        if self.queue.is_empty() {
            // Places for requests are about a kilobyte, and most sessions are idle.
            self.queue = VecDeque::new();
        }
        request
    }

    pub(super) fn clear(&mut self) {
        self.queue = VecDeque::new();
    }
}
