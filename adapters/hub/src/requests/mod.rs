//! Checks and answers the requests of sessions.

mod events;
mod live_queries;
pub(crate) mod status;

use std::sync::Arc;

use liveset_core::{ErrorCode, Request, Ticket};
use liveset_engine::FeedId;

use crate::{
    ConnectionId, Hub, LiveQueryStage, Now, Output, connections::Connection, output::Outputs, timers::Timer,
};
use live_queries::Asked;

impl Connection {
    /// The diffs of a live query go through the session until that has sent everything.
    pub(crate) fn is_behind(&mut self, feed: FeedId, ticket: Ticket) {
        self.behind.insert((feed, ticket));
    }

    /// Tells the owner of the errors that the client is told of.
    pub(crate) fn note_errors(&mut self, conn: ConnectionId, outputs: &mut Outputs) {
        while let Some(code) = self.session.poll_error() {
            outputs.push(Output::Error { conn, code });
        }
    }

    /// Tells the owner, once, that the session has something to send.
    pub(crate) fn signal(&mut self, conn: ConnectionId, outputs: &mut Outputs) {
        self.note_errors(conn, outputs);
        if !self.signalled && self.session.wants_transmit() {
            self.signalled = true;
            outputs.push(Output::Transmit { conn });
        }
    }
}

impl Hub {
    /// After any input of a session: answers what it asks for, and brings the tables up to date with it.
    pub(crate) fn settle(&mut self, now: Now, conn: ConnectionId) {
        self.unsettled.push_back(conn);
        self.settle_all(now);
    }

    /// The same for every session that has got something since it was last settled. Answering one may give something to
    /// another: a result for which that has waited.
    pub(crate) fn settle_all(&mut self, now: Now) {
        while let Some(conn) = self.unsettled.pop_front() {
            self.settle_one(now, conn);
        }
    }

    fn settle_one(&mut self, now: Now, conn: ConnectionId) {
        loop {
            let Some(connection) = self.connections.find_mut(conn) else { return };
            match connection.session.poll_request() {
                Some(request) => self.answer(now, conn, request),
                None => break,
            }
        }
        if self.connections.find(conn).is_some_and(Connection::is_over) {
            self.release(now, conn);
        }
        self.begin_deferred(now, conn);
        if let Some(connection) = self.connections.find_mut(conn) {
            self.timers.set(Timer::Connection(conn), connection.session.poll_timeout());
            connection.signal(conn, &mut self.outputs);
            connection.count_initial(&mut self.subjects);
            self.totals.count(connection);
            self.counts.refusals += connection.session.take_refusals();
            self.begin_deferred_beside(now, conn);
        }
    }

    fn answer(&mut self, now: Now, conn: ConnectionId, request: Request) {
        match request {
            Request::Verify { attempt, token } => self.outputs.push(Output::Verify { conn, attempt, token }),
            Request::Subscribe { ticket, subscriptions } => self.subscribe(now, conn, ticket, subscriptions),
            Request::Unsubscribed { subscriptions } => {
                for subscription in subscriptions {
                    self.forget_subscription(now, conn, &subscription.id);
                }
            }
            Request::CreateLiveQuery { ticket, id, query, options, since, have, ahead } => {
                self.note(conn, &id, LiveQueryStage::Asked);
                let query = Arc::new(query);
                self.create_in_time(now, conn, Asked { ticket, id, query, options, since, have, ahead });
            }
            Request::AwaitPosition { ticket, position } => self.await_position(now, conn, ticket, &position),
            Request::LiveQueryDestroyed { ticket, id } => {
                self.note(conn, &id, LiveQueryStage::Ended);
                self.statuses.unpark(conn, ticket);
                self.forget_query(now, conn, ticket);
            }
        }
    }

    fn note(&mut self, conn: ConnectionId, id: &Arc<str>, stage: LiveQueryStage) {
        self.outputs.push(Output::LiveQuery { conn, id: id.clone(), stage });
    }

    /// Ends a connection because a call of the host about it has panicked.
    pub(crate) fn panicked(&mut self, now: Now, conn: ConnectionId) {
        if let Some(connection) = self.connections.find_mut(conn) {
            connection.session.fail(now.monotonic, ErrorCode::Internal, "internal error");
            self.outputs.push(Output::Panicked { conn });
        }
    }
}
