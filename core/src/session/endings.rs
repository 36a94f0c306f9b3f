//! The ends of a conversation: violations, missed deadlines, exceeded limits, the owner's wish.

use std::borrow::Cow;

use super::state::{Active, State};
use super::{MAX_ERRORS, Session};
use crate::error::{CloseCode, ErrorCode, Violation};
use crate::message::ServerMessage;
use crate::time::Monotonic;

impl Session {
    /// The transport saw something that no conversation survives.
    pub fn handle_violation(&mut self, now: Monotonic, violation: Violation) {
        self.handle_timeout(now);
        if !self.listens() && !matches!(self.state, State::Draining { .. }) {
            return;
        }
        match violation {
            Violation::Protocol => self.close(CloseCode::Protocol),
            Violation::InvalidUtf8 => self.close(CloseCode::InvalidData),
            Violation::TooLarge => {
                let message = format!("Messages may have at most {} bytes", self.limits.message_bytes);
                self.close_with(ErrorCode::MessageTooLarge, &message, None);
            }
            Violation::BinaryMessage => {
                let message = "Binary messages are not supported: send JSON as text messages";
                self.close_with(ErrorCode::UnsupportedFrame, message, None);
            }
        }
    }

    /// Takes nothing more, sends what is queued, closes with 1001. How long that may take is the owner's to
    /// bound: drop the session when it is too long.
    pub fn shutdown(&mut self, now: Monotonic) {
        self.handle_timeout(now);
        self.requests.clear();
        match std::mem::replace(&mut self.state, State::Closing(CloseCode::GoingAway)) {
            State::AwaitingAuth { .. } | State::Verifying { .. } => {}
            State::Active(active) => {
                let Active { expires, mut streams, .. } = *active;
                // What is queued is sent, whatever else was to come.
                streams.live_queries.end_hold();
                self.state = State::Draining { expires, streams: Box::new(streams) };
            }
            state @ (State::Draining { .. } | State::Closing(_) | State::Closed(_)) => self.state = state,
        }
    }

    /// The owner gives up on this connection ([`ErrorCode::Internal`] for a fault of ours,
    /// [`ErrorCode::Overloaded`] for one that cannot be served or stayed unwritable for too long): an `error`,
    /// then the close that the code stands for. What waits in streams is dropped.
    pub fn fail(&mut self, now: Monotonic, code: ErrorCode, message: &str) {
        self.handle_timeout(now);
        if self.listens() || matches!(self.state, State::Draining { .. }) {
            self.close_with(code, message, None);
        }
    }

    /// Whether messages of the client are taken.
    pub(super) fn listens(&self) -> bool {
        matches!(self.state, State::AwaitingAuth { .. } | State::Verifying { .. } | State::Active(_))
    }

    /// Bounds the bytes that wait for the connection: folds them, and closes the connection if that is not enough.
    pub(super) fn bound_backlog(&mut self) {
        let State::Active(active) = &mut self.state else { return };
        let live_queries = &mut active.streams.live_queries;
        // Held results are not the client's fault: a slow client has the whole room besides.
        let share = if live_queries.holds_commits() { 2 } else { 1 };
        if live_queries.bytes() <= self.limits.backlog_bytes / share {
            return;
        }
        live_queries.shrink(&mut self.stats.changes_folded);
        if live_queries.bytes() > self.limits.backlog_bytes {
            self.close_with(ErrorCode::Overloaded, "Changes were not read in time", None);
        }
    }

    /// Queues an answer. "Control messages and answers are never dropped": a client that lets too many of
    /// them pile up is not served any longer.
    pub(super) fn answer(&mut self, message: &ServerMessage<'_>) {
        self.control.push(message);
        let too_many = self.control.len() > self.limits.control_messages;
        if (too_many || self.control.bytes() > self.limits.control_bytes) && self.listens() {
            self.close_with(ErrorCode::Overloaded, "Answers were not read in time", None);
        }
    }

    pub(super) fn error(
        &mut self,
        code: ErrorCode,
        message: &str,
        request_id: Option<&str>,
        id: Option<&str>,
    ) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push_back(code);
        }
        self.answer(&ServerMessage::Error {
            code: Cow::Borrowed(code.as_str()),
            message: Cow::Borrowed(message),
            request_id: request_id.map(Cow::Borrowed),
            id: id.map(Cow::Borrowed),
        });
    }

    pub(super) fn time_out_auth(&mut self, request_id: Option<&str>) {
        self.close_with(ErrorCode::AuthTimeout, "Authentication was not completed in time", request_id);
    }

    pub(super) fn expire(&mut self, request_id: Option<&str>) {
        self.close_with(ErrorCode::TokenExpired, "The token has expired", request_id);
    }

    /// The `error` first, then the close that its code stands for.
    pub(super) fn close_with(&mut self, code: ErrorCode, message: &str, request_id: Option<&str>) {
        self.close(code.close_code());
        self.error(code, message, request_id, None);
    }

    /// Frees everything but the answers that were queued.
    pub(super) fn close(&mut self, code: CloseCode) {
        if !matches!(self.state, State::Closed(_) | State::Closing(_)) {
            self.state = State::Closing(code);
            self.requests.clear();
        }
    }
}
