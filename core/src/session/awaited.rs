//! Positions that the client waits for.

use std::collections::VecDeque;

use super::live_queries::LiveQueries;
use super::requests::Ticket;
use crate::time::Monotonic;

/// In the order in which they were asked for, which is that of their deadlines.
#[derive(Debug, Default)]
pub(super) struct Awaited(VecDeque<Wait>);

#[derive(Debug)]
struct Wait {
    ticket: Ticket,
    request_id: Option<Box<str>>,
    /// The version that the live queries are to show; `None` until the owner has answered.
    version: Option<u64>,
    deadline: Monotonic,
}

impl Awaited {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, ticket: Ticket, request_id: Option<Box<str>>, deadline: Monotonic) {
        self.0.push_back(Wait { ticket, request_id, version: None, deadline });
    }

    /// The owner knows which version it is.
    pub(super) fn answered(&mut self, ticket: Ticket, version: u64) {
        if let Some(wait) = self.0.iter_mut().find(|wait| wait.ticket == ticket) {
            wait.version = Some(version);
        }
    }

    /// Takes out one that the owner refuses: its request id.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Option<Box<str>>> {
        let place = self.0.iter().position(|wait| wait.ticket == ticket)?;
        self.0.remove(place).map(|wait| wait.request_id)
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        self.0.front().map(|wait| wait.deadline)
    }

    /// Takes out the first whose deadline has come: its request id.
    pub(super) fn expire(&mut self, now: Monotonic) -> Option<Option<Box<str>>> {
        self.deadline().filter(|deadline| *deadline <= now)?;
        self.0.pop_front().map(|wait| wait.request_id)
    }

    /// Whether the live queries show what one waits for.
    pub(super) fn is_reached(&self, live_queries: &LiveQueries) -> bool {
        self.place(live_queries).is_some()
    }

    /// Takes out the first that the live queries show: its request id.
    pub(super) fn reached(&mut self, live_queries: &LiveQueries) -> Option<Option<Box<str>>> {
        let place = self.place(live_queries)?;
        self.0.remove(place).map(|wait| wait.request_id)
    }

    fn place(&self, live_queries: &LiveQueries) -> Option<usize> {
        self.0.iter().position(|wait| wait.version.is_some_and(|version| live_queries.have_shown(version)))
    }
}
