//! The connection's live queries: by id, by ticket, and in the order in which they get to send.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::live_query::{Stream, Turn};
use super::requests::Ticket;
use crate::limits::SessionLimits;
use crate::message::{LiveQueryOptions, text_len};
use crate::model::{Batch, Snapshot};
use crate::version::VersionCode;

/// All live queries of one connection, unanswered ones included.
#[derive(Debug, Default)]
pub(super) struct LiveQueries {
    by_id: BTreeMap<Arc<str>, Ticket>,
    /// Boxed: most connections have few, and a node of the tree has room for eleven.
    by_ticket: BTreeMap<Ticket, Box<LiveQuery>>,
    /// Those that send commit by commit, each once, by the version that they are to send next: everything of one commit leaves before
    /// what is of the next.
    line: BTreeSet<(u64, Ticket)>,
    /// Those that send something else, first rows or a fold, each once: round robin.
    others: VecDeque<Ticket>,
    line_had_turn: bool,
    /// Changes that wait, of all.
    waiting: usize,
    /// Bytes of those.
    bytes: usize,
    /// What the snapshots weigh whose rows are being sent, of all.
    load_bytes: usize,
    /// Nothing is sent for now; what comes waits, and folds.
    is_held_back: bool,
    /// What is of commits behind this version is not sent for now.
    last: Option<u64>,
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

/// As what a stream is counted.
#[derive(Debug, Clone, Copy)]
struct Counted {
    turn: Turn,
    waiting: usize,
    bytes: usize,
    load_bytes: usize,
}

impl Counted {
    const NOTHING: Counted = Counted { turn: Turn::Never, waiting: 0, bytes: 0, load_bytes: 0 };

    fn of(stream: &Stream) -> Counted {
        Counted {
            turn: stream.turn(),
            waiting: stream.waiting(),
            bytes: stream.bytes(),
            load_bytes: stream.load_bytes(),
        }
    }
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

    /// Whether something may be sent now.
    pub(super) fn has_news(&self) -> bool {
        !self.is_held_back && (!self.others.is_empty() || self.next_in_line().is_some())
    }

    /// Whether something waits to be sent, also where it is held.
    pub(super) fn has_unsent(&self) -> bool {
        !self.others.is_empty() || !self.line.is_empty()
    }

    fn next_in_line(&self) -> Option<Ticket> {
        let (version, ticket) = self.line.first()?;
        self.last.is_none_or(|last| *version <= last).then_some(*ticket)
    }

    /// Sends nothing that is of commits behind a version from now on, or everything again. O(1).
    pub(super) fn hold_behind(&mut self, last: Option<u64>) {
        self.last = last;
    }

    /// Whether some commits may not be sent for now.
    pub(super) fn holds_commits(&self) -> bool {
        self.last.is_some()
    }

    /// Lets a stream do something, and counts what it holds and when it gets to send.
    fn with<T>(
        &mut self,
        ticket: Ticket,
        act: impl FnOnce(&mut Stream, &Arc<str>, &LiveQueryOptions) -> T,
    ) -> Option<T> {
        let LiveQuery { id, options, state: State::Live(stream) } = &mut **self.by_ticket.get_mut(&ticket)?
        else {
            return None;
        };
        let before = Counted::of(stream);
        let done = act(stream, id, options);
        let after = Counted::of(stream);
        self.count(ticket, before, after);
        Some(done)
    }

    fn count(&mut self, ticket: Ticket, before: Counted, after: Counted) {
        self.waiting = self.waiting - before.waiting + after.waiting;
        self.bytes = self.bytes - before.bytes + after.bytes;
        self.load_bytes = self.load_bytes - before.load_bytes + after.load_bytes;
        if before.turn == after.turn {
            return;
        }
        match before.turn {
            Turn::Never => {}
            Turn::InLine(version) => drop(self.line.remove(&(version, ticket))),
            Turn::Anytime => self.others.retain(|other| *other != ticket),
        }
        match after.turn {
            Turn::Never => {}
            Turn::InLine(version) => drop(self.line.insert((version, ticket))),
            Turn::Anytime => self.others.push_back(ticket),
        }
    }

    /// What was there is a stream from now on.
    fn begun(&mut self, ticket: Ticket) {
        if let Some(State::Live(stream)) = self.by_ticket.get(&ticket).map(|query| &query.state) {
            let after = Counted::of(stream);
            self.count(ticket, Counted::NOTHING, after);
        }
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
    pub(super) fn bytes_of(&self, ticket: Ticket, batch: &Batch) -> usize {
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
        let tickets: Vec<Ticket> = self.by_ticket.keys().copied().collect();
        for ticket in tickets {
            self.with(ticket, |stream, _, options| stream.shrink(options, folded));
        }
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
    pub(super) fn accept(
        &mut self,
        ticket: Ticket,
        snapshot: Arc<Snapshot>,
        mark: VersionCode,
    ) -> Option<Accepted> {
        let query = self.by_ticket.get_mut(&ticket)?;
        let stream = Stream::loading(&query.id, snapshot, mark, &query.options);
        let accepted = query.begin(|_| stream)?;
        self.begun(ticket);
        Some(accepted)
    }

    /// The owner accepted, and knows what changed since the version asked for. Also returns the version that the client has with the
    /// answer.
    pub(super) fn resume(
        &mut self,
        ticket: Ticket,
        batch: Arc<Batch>,
        window: &Snapshot,
        mark: VersionCode,
        limits: &SessionLimits,
        folded: &mut u64,
    ) -> Option<(Accepted, Option<String>)> {
        let query = self.by_ticket.get_mut(&ticket)?;
        let (id, options) = (query.id.clone(), query.options);
        let mut version = None;
        let accepted = query.begin(|since| {
            let since = since.unwrap_or_default();
            let mut stream = Stream::resuming(&id, since, &batch, window, mark, &options);
            let commit = batch.version;
            stream.push(batch, commit, &options, limits, folded);
            version = stream.version_text().map(str::to_owned);
            stream
        })?;
        self.begun(ticket);
        Some((accepted, version))
    }

    /// Adds a batch, which is of the commit of that version.
    pub(super) fn changed(
        &mut self,
        ticket: Ticket,
        batch: &Arc<Batch>,
        commit: u64,
        limits: &SessionLimits,
        folded: &mut u64,
    ) {
        self.with(ticket, |stream, _, options| stream.push(batch.clone(), commit, options, limits, folded));
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
        self.with(ticket, |stream, _, _| stream.suspend(window))
    }

    /// The versions that follow are written in another way.
    pub(super) fn moved(&mut self, ticket: Ticket, mark: VersionCode) {
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
        match state {
            State::Requested { request_id, .. } => Some((id, request_id)),
            State::Live(stream) => {
                self.count(ticket, Counted::of(&stream), Counted::NOTHING);
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
        loop {
            // Both have turns, so that neither first rows nor folds keep commits waiting, nor the other way round.
            let next = self.next_in_line().filter(|_| !self.line_had_turn || self.others.is_empty());
            self.line_had_turn = next.is_some();
            let next = next.or_else(|| self.others.front().copied());
            let Some(ticket) = next.or_else(|| self.next_in_line()) else { return false };
            let sent = self.with(ticket, |stream, id, options| stream.transmit(id, options, limits, out));
            if self.others.len() > 1 && self.others.front() == Some(&ticket) {
                self.others.rotate_left(1);
            }
            if sent == Some(true) {
                return true;
            }
        }
    }
}

impl LiveQuery {
    fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    /// Requested → Live; `None` where it is live already.
    fn begin(&mut self, stream: impl FnOnce(Option<Box<str>>) -> Stream) -> Option<Accepted> {
        let State::Requested { request_id, since } = &mut self.state else {
            return None;
        };
        let accepted = Accepted { id: self.id.clone(), request_id: request_id.take(), options: self.options };
        self.state = State::Live(Box::new(stream(since.take())));
        Some(accepted)
    }
}
