//! The connection's live queries: by id, by ticket, and in the order in which they get to send.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::live_query::Stream;
use super::requests::Ticket;
use crate::limits::SessionLimits;
use crate::message::{LiveQueryOptions, text_len};
use crate::row::{ChangeBatch, Snapshot};

/// All live queries of one connection, unanswered ones included.
#[derive(Debug, Default)]
pub(super) struct LiveQueries {
    by_id: BTreeMap<Arc<str>, Ticket>,
    /// Boxed: most connections have few, and a node of the tree has room for eleven.
    by_ticket: BTreeMap<Ticket, Box<LiveQuery>>,
    /// Those with something to send, each once: round robin.
    ready: VecDeque<Ticket>,
    /// Changes that wait, of all.
    waiting: usize,
    /// Bytes of those.
    bytes: usize,
    /// What the snapshots weigh whose rows are being sent, of all.
    load_bytes: usize,
    /// Nothing is sent for now; what comes waits, and folds.
    is_held_back: bool,
}

#[derive(Debug)]
struct LiveQuery {
    id: Arc<str>,
    options: LiveQueryOptions,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The owner has not answered.
    Requested { request_id: Option<Box<str>>, since: Option<Box<str>> },
    /// The owner accepted.
    Live(Box<Stream>),
}

/// What is to be answered for a live query that was accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) id: Arc<str>,
    pub(super) request_id: Option<Box<str>>,
    pub(super) options: LiveQueryOptions,
}

impl LiveQueries {
    /// Live queries, unanswered ones included.
    pub(super) fn len(&self) -> usize {
        self.by_ticket.len()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Whether the id belongs to a request that the owner has not answered.
    pub(super) fn is_requested(&self, id: &str) -> bool {
        let ticket = self.by_id.get(id);
        ticket.and_then(|ticket| self.by_ticket.get(ticket)).is_some_and(|query| !query.is_live())
    }

    /// Ticket and id of those that the owner accepted.
    pub(super) fn live(&self) -> impl Iterator<Item = (Ticket, &Arc<str>)> {
        self.by_ticket.iter().filter(|(_, query)| query.is_live()).map(|(ticket, query)| (*ticket, &query.id))
    }

    pub(super) fn has_news(&self) -> bool {
        !self.is_held_back && !self.ready.is_empty()
    }

    /// Sends nothing from now on, or goes on. O(1).
    pub(super) fn hold_back(&mut self, is_held_back: bool) {
        self.is_held_back = is_held_back;
    }

    /// Changes that wait, of all live queries.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Bytes of a batch, were it to wait for a live query.
    pub(super) fn bytes_of(&self, ticket: Ticket, batch: &ChangeBatch) -> usize {
        match self.by_ticket.get(&ticket).map(|query| &**query) {
            Some(LiveQuery { state: State::Live(stream), .. }) => stream.bytes_of(batch),
            Some(LiveQuery { id, .. }) => batch.bytes() + batch.changes.len() * text_len(id),
            None => batch.bytes(),
        }
    }

    /// Bytes of the changes that wait, of all live queries.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the snapshots weigh whose rows are being sent, of all live queries.
    pub(super) fn load_bytes(&self) -> usize {
        self.load_bytes
    }

    /// Folds everything that waits, to make room. Adds the changes that were folded to `folded`.
    pub(super) fn shrink(&mut self, folded: &mut u64) {
        (self.waiting, self.bytes) = (0, 0);
        for query in self.by_ticket.values_mut() {
            let LiveQuery { options, state, .. } = &mut **query;
            if let State::Live(stream) = state {
                stream.shrink(options, folded);
                self.waiting += stream.waiting();
                self.bytes += stream.bytes();
            }
        }
        let has_news = |ticket: &Ticket| self.by_ticket.get(ticket).is_some_and(|query| query.has_news());
        self.ready.retain(has_news);
    }

    pub(super) fn request(
        &mut self,
        ticket: Ticket,
        id: Arc<str>,
        request_id: Option<Box<str>>,
        options: LiveQueryOptions,
        since: Option<Box<str>>,
    ) {
        self.by_id.insert(id.clone(), ticket);
        let state = State::Requested { request_id, since };
        self.by_ticket.insert(ticket, Box::new(LiveQuery { id, options, state }));
    }

    /// The owner accepted: the rows of `snapshot`, then what changes.
    pub(super) fn accept(&mut self, ticket: Ticket, snapshot: Arc<Snapshot>) -> Option<Accepted> {
        let query = self.by_ticket.get_mut(&ticket)?;
        let stream = Stream::loading(&query.id, snapshot, &query.options);
        let load_bytes = stream.load_bytes();
        let (accepted, _) = query.begin(|_| stream)?;
        self.load_bytes += load_bytes;
        self.ready.push_back(ticket);
        Some(accepted)
    }

    /// The owner accepted, and knows what changed since the version asked for.
    pub(super) fn resume(
        &mut self,
        ticket: Ticket,
        batch: Arc<ChangeBatch>,
        window: &Snapshot,
        limits: &SessionLimits,
        folded: &mut u64,
    ) -> Option<Accepted> {
        let query = self.by_ticket.get_mut(&ticket)?;
        let (id, options) = (query.id.clone(), query.options);
        let (accepted, news) = query.begin(|since| {
            Stream::resuming(&id, since.unwrap_or_default(), batch, window, &options, limits, folded)
        })?;
        if let State::Live(stream) = &query.state {
            self.waiting += stream.waiting();
            self.bytes += stream.bytes();
        }
        if news {
            self.ready.push_back(ticket);
        }
        Some(accepted)
    }

    pub(super) fn changed(
        &mut self,
        ticket: Ticket,
        batch: &Arc<ChangeBatch>,
        limits: &SessionLimits,
        folded: &mut u64,
    ) {
        let query = self.by_ticket.get_mut(&ticket).map(|query| &mut **query);
        let Some(LiveQuery { options, state: State::Live(stream), .. }) = query else {
            return;
        };
        let before = stream.has_news();
        self.waiting -= stream.waiting();
        self.bytes -= stream.bytes();
        stream.push(batch.clone(), options, limits, folded);
        self.waiting += stream.waiting();
        self.bytes += stream.bytes();
        match (before, stream.has_news()) {
            (false, true) => self.ready.push_back(ticket),
            (true, false) => self.ready.retain(|other| *other != ticket),
            (true, true) | (false, false) => {}
        }
    }

    /// The client has come to `version` without the stream.
    pub(super) fn told(&mut self, ticket: Ticket, version: u64) {
        let query = self.by_ticket.get_mut(&ticket).map(|query| &mut query.state);
        if let Some(State::Live(stream)) = query {
            stream.told(version);
        }
    }

    /// Drops what of a live query was not sent; returns what the client has, of the result after all that was pushed.
    pub(super) fn suspend(&mut self, ticket: Ticket, window: Snapshot) -> Option<Snapshot> {
        let query = self.by_ticket.get_mut(&ticket).map(|query| &mut query.state);
        let Some(State::Live(stream)) = query else { return None };
        self.waiting -= stream.waiting();
        self.bytes -= stream.bytes();
        self.load_bytes -= stream.load_bytes();
        let had = stream.suspend(window);
        if !stream.has_news() {
            self.ready.retain(|other| *other != ticket);
        }
        Some(had)
    }

    /// The versions that follow begin with another mark.
    pub(super) fn moved(&mut self, ticket: Ticket, mark: Arc<str>) {
        let query = self.by_ticket.get_mut(&ticket).map(|query| &mut query.state);
        if let Some(State::Live(stream)) = query {
            stream.moved(mark);
        }
    }

    /// The last version that the client was told.
    pub(super) fn version(&self, ticket: Ticket) -> Option<u64> {
        match &self.by_ticket.get(&ticket)?.state {
            State::Live(stream) => stream.version(),
            State::Requested { .. } => None,
        }
    }

    /// Takes out a live query that the client gave up: its id is free, what waits is dropped.
    pub(super) fn remove_by_id(&mut self, id: &str) -> Option<(Ticket, Arc<str>)> {
        let ticket = *self.by_id.get(id)?;
        self.remove(ticket).map(|(id, _)| (ticket, id))
    }

    /// Takes out a live query: its id, and the request id of one that was not answered.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<(Arc<str>, Option<Box<str>>)> {
        let LiveQuery { id, state, .. } = *self.by_ticket.remove(&ticket)?;
        self.by_id.remove(&id);
        self.ready.retain(|other| *other != ticket);
        match state {
            State::Requested { request_id, .. } => Some((id, request_id)),
            State::Live(stream) => {
                self.waiting -= stream.waiting();
                self.bytes -= stream.bytes();
                self.load_bytes -= stream.load_bytes();
                Some((id, None))
            }
        }
    }

    /// Takes out a live query that the owner refused to make; one that is live stays.
    pub(super) fn remove_request(&mut self, ticket: Ticket) -> Option<(Arc<str>, Option<Box<str>>)> {
        if self.by_ticket.get(&ticket)?.is_live() { None } else { self.remove(ticket) }
    }

    /// Appends the next message of the live query whose turn it is.
    pub(super) fn transmit(&mut self, limits: &SessionLimits, out: &mut Vec<u8>) -> bool {
        if self.is_held_back {
            return false;
        }
        while let Some(ticket) = self.ready.pop_front() {
            let query = self.by_ticket.get_mut(&ticket).map(|query| &mut **query);
            let Some(LiveQuery { id, options, state: State::Live(stream) }) = query else {
                continue;
            };
            self.waiting -= stream.waiting();
            self.bytes -= stream.bytes();
            self.load_bytes -= stream.load_bytes();
            let sent = stream.transmit(id, options, limits, out);
            self.waiting += stream.waiting();
            self.bytes += stream.bytes();
            self.load_bytes += stream.load_bytes();
            if stream.has_news() {
                self.ready.push_back(ticket);
            }
            if sent {
                return true;
            }
        }
        false
    }
}

impl LiveQuery {
    fn has_news(&self) -> bool {
        matches!(&self.state, State::Live(stream) if stream.has_news())
    }

    fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    /// Requested → Live; `None` where it is live already. Also says whether the stream has something to send.
    fn begin(&mut self, stream: impl FnOnce(Option<Box<str>>) -> Stream) -> Option<(Accepted, bool)> {
        let State::Requested { request_id, since } = &mut self.state else {
            return None;
        };
        let accepted = Accepted { id: self.id.clone(), request_id: request_id.take(), options: self.options };
        let stream = stream(since.take());
        let news = stream.has_news();
        self.state = State::Live(Box::new(stream));
        Some((accepted, news))
    }
}
