//! The connection's live queries: by id, by ticket, and in the order in which they get to send.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::live_query::{Stream, Turn};
use super::requests::Ticket;
use super::resumption::Resumption;
use crate::limits::SessionLimits;
use crate::message::{LiveQueryOptions, ServerMessage, text_len};
use crate::model::{Batch, SetStatus, Snapshot};
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
    /// Those that send something else, first rows, a fold, or their part of a step, each once: round robin.
    others: VecDeque<Ticket>,
    line_had_turn: bool,
    /// How many there are of these, and of those that are suspended.
    loading: usize,
    folded: usize,
    stepping: usize,
    suspended: usize,
    /// There where the client is told of commits.
    frames: Option<Box<Frames>>,
    /// The status of sets of which clients are still to be told.
    statuses: BTreeMap<Ticket, SetStatus>,
    /// The newest version that was pushed to any.
    newest: u64,
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

/// What there is to tell of commits. A frame leaves when all live queries that have loaded show one moment: until then what they are
/// sent waits for it. Where one has folded, what all of them have to send is closed as one step, and what comes meanwhile is sent behind
/// the frame of that.
#[derive(Debug, Default)]
struct Frames {
    /// The newest version that some live query shows.
    front: u64,
    /// Something was sent behind the last frame.
    is_due: bool,
    /// Versions that some live query was told of as one, each as those behind the first up to the last: in ascending order, and apart
    /// from each other.
    nets: Vec<(u64, u64)>,
}

impl Frames {
    /// So many are known apart: where nothing is to be told, no frame forgets them.
    const MOST_NETS: usize = 32;

    /// Some live query shows a version: a frame is to follow, behind all that was told as one with it.
    fn show(&mut self, version: u64) {
        self.front = self.front.max(version);
        self.is_due = true;
        self.step_over();
    }

    /// No frame is between two versions.
    fn add_net(&mut self, (mut after, mut last): (u64, u64)) {
        // Those that it overlaps become one with it.
        let first = self.nets.partition_point(|(_, other)| *other <= after);
        let end = self.nets.partition_point(|(other, _)| *other < last).max(first);
        for (other_after, other_last) in self.nets.drain(first..end) {
            (after, last) = (after.min(other_after), last.max(other_last));
        }
        self.nets.insert(first, (after, last));
        if self.nets.len() > Self::MOST_NETS {
            // A longer step is as right.
            let (after, _) = self.nets.remove(0);
            self.nets[0].0 = after;
        }
        self.step_over();
    }

    fn step_over(&mut self) {
        let place = self.nets.partition_point(|(_, last)| *last < self.front);
        if let Some((after, last)) = self.nets.get(place)
            && *after < self.front
        {
            self.front = *last;
        }
    }

    /// Everything up to the front is shown.
    fn framed(&mut self) {
        self.is_due = false;
        let front = self.front;
        self.nets.retain(|(_, last)| *last > front);
        self.nets.shrink_to(4);
    }
}

/// What is sent next.
enum Next {
    Status,
    Frame,
    /// A step is to be closed first.
    Close,
    InLine(Ticket),
    Other(Ticket),
}

#[derive(Debug)]
struct LiveQuery {
    id: Arc<str>,
    options: LiveQueryOptions,
    /// The status of its set as the client knows it.
    status: SetStatus,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The owner has not answered, and may have said that it lets it wait for longer.
    Requested { request_id: Option<Box<str>>, since: Option<Box<str>>, waits: bool },
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
    is_suspended: bool,
}

impl Counted {
    const NOTHING: Counted =
        Counted { turn: Turn::Never, waiting: 0, bytes: 0, load_bytes: 0, is_suspended: false };

    fn of(stream: &Stream) -> Counted {
        Counted {
            turn: stream.turn(),
            waiting: stream.waiting(),
            bytes: stream.bytes(),
            load_bytes: stream.load_bytes(),
            is_suspended: stream.is_suspended(),
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

    /// Whether the id belongs to a request that the owner is about to answer.
    pub(super) fn is_requested(&self, id: &str) -> bool {
        let query = self.by_id.get(id).and_then(|ticket| self.by_ticket.get(ticket));
        query.is_some_and(|query| matches!(query.state, State::Requested { waits: false, .. }))
    }

    /// The owner does not answer a request soon.
    pub(super) fn let_wait(&mut self, ticket: Ticket) {
        if let Some(State::Requested { waits, .. }) =
            self.by_ticket.get_mut(&ticket).map(|query| &mut query.state)
        {
            *waits = true;
        }
    }

    /// Ticket and id of those that the owner accepted.
    pub(super) fn live(&self) -> impl Iterator<Item = (Ticket, &Arc<str>)> {
        self.by_ticket.iter().filter(|(_, query)| query.is_live()).map(|(ticket, query)| (*ticket, &query.id))
    }

    /// Whether something may be sent now.
    pub(super) fn has_news(&self) -> bool {
        self.next().is_some()
    }

    /// Whether something waits to be sent, also where it is held.
    pub(super) fn has_unsent(&self) -> bool {
        self.loading + self.folded + self.stepping > 0 || !self.line.is_empty()
    }

    fn next(&self) -> Option<Next> {
        if self.is_held_back {
            return None;
        }
        if !self.statuses.is_empty() {
            return Some(Next::Status);
        }
        let mut in_line = self.next_in_line();
        if let Some(frames) = &self.frames {
            if frames.is_due && self.shows(frames.front) {
                return Some(Next::Frame);
            }
            if self.folded > 0 && self.stepping == 0 && self.is_complete(self.newest) {
                return Some(Next::Close);
            }
            in_line = in_line.filter(|_| self.folded + self.stepping == 0);
        }
        // Both have turns, so that neither first rows nor folds keep commits waiting, nor the other way round.
        let other = self.others.front().copied().map(Next::Other);
        match in_line.map(Next::InLine) {
            Some(in_line) if !self.line_had_turn => Some(in_line),
            in_line => other.or(in_line),
        }
    }

    /// Whether all live queries show everything up to a version, and the client knows.
    pub(super) fn have_shown(&self, version: u64) -> bool {
        let is_framed = self.frames.as_ref().is_none_or(|frames| !frames.is_due);
        is_framed && self.loading == 0 && !self.is_held_back && self.shows(version)
    }

    /// A set has this status: the client is told where it has asked for that and does not know.
    pub(super) fn set_status(&mut self, ticket: Ticket, status: &SetStatus) {
        let Some(query) = self.by_ticket.get(&ticket).filter(|query| query.options.status) else { return };
        match query.status == *status {
            true => drop(self.statuses.remove(&ticket)),
            false => drop(self.statuses.insert(ticket, status.clone())),
        }
    }

    /// Appends the status of the set of one live query.
    fn write_status(&mut self, out: &mut Vec<u8>) -> bool {
        let Some((ticket, status)) = self.statuses.pop_first() else { return false };
        let Some(query) = self.by_ticket.get_mut(&ticket) else { return false };
        let since = match &status {
            SetStatus::Stale { since } => Some(Cow::Borrowed(&**since)),
            SetStatus::Loading | SetStatus::Live => None,
        };
        let (id, name) = (Cow::Borrowed(&*query.id), Cow::Borrowed(status.as_str()));
        ServerMessage::LiveQueryStatus { id, status: name, since }.write(out);
        query.status = status;
        true
    }

    /// Whether all live queries that have loaded show everything up to a version.
    fn shows(&self, version: u64) -> bool {
        self.folded + self.stepping + self.suspended == 0
            && self.line.first().is_none_or(|(first, _)| *first > version)
            && self.is_complete(version)
    }

    /// Whether everything up to a version is here.
    fn is_complete(&self, version: u64) -> bool {
        self.last.is_none_or(|last| version <= last)
    }

    /// Whether the client is told of commits.
    pub(super) fn frames_commits(&self) -> bool {
        self.frames.is_some()
    }

    /// Tells the client of commits from now on, or not. O(live queries).
    pub(super) fn frame_commits(&mut self, commits: bool) {
        if commits == self.frames.is_some() {
            return;
        }
        // All that was sent so far is behind a first frame.
        self.frames = commits.then(|| Box::new(Frames { front: self.newest, ..Frames::default() }));
        // With frames a fold has no turn of its own.
        let is_fold =
            |query: &LiveQuery| matches!(&query.state, State::Live(stream) if stream.turn() == Turn::Fold);
        let folds: Vec<Ticket> =
            self.by_ticket.iter().filter(|(_, query)| is_fold(query)).map(|(ticket, _)| *ticket).collect();
        match commits {
            true => self.others.retain(|ticket| !folds.contains(ticket)),
            false => self.others.extend(folds),
        }
    }

    fn next_in_line(&self) -> Option<Ticket> {
        let (version, ticket) = self.line.first()?;
        self.last.is_none_or(|last| *version <= last).then_some(*ticket)
    }

    /// Sends nothing that is of commits behind a version from now on, or everything again. O(1).
    pub(super) fn hold_behind(&mut self, last: Option<u64>) {
        self.last = last;
    }

    /// Sends everything from now on, though not all of it is here: where something is missing, no frame says otherwise.
    pub(super) fn end_hold(&mut self) {
        if self.last.take().is_some() {
            self.frame_commits(false);
        }
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
        let LiveQuery { id, options, state: State::Live(stream), .. } =
            &mut **self.by_ticket.get_mut(&ticket)?
        else {
            return None;
        };
        let before = Counted::of(stream);
        let done = act(stream, id, options);
        let after = Counted::of(stream);
        let has_skipped = stream.take_skipped();
        self.count(ticket, before, after);
        if has_skipped {
            self.frame_newest();
        }
        Some(done)
    }

    fn count(&mut self, ticket: Ticket, before: Counted, after: Counted) {
        self.waiting = self.waiting - before.waiting + after.waiting;
        self.bytes = self.bytes - before.bytes + after.bytes;
        self.load_bytes = self.load_bytes - before.load_bytes + after.load_bytes;
        self.suspended = self.suspended + usize::from(after.is_suspended) - usize::from(before.is_suspended);
        if before.turn == after.turn {
            return;
        }
        match before.turn {
            Turn::Never => {}
            Turn::InLine(version) => drop(self.line.remove(&(version, ticket))),
            Turn::Load | Turn::Fold | Turn::Step => self.others.retain(|other| *other != ticket),
        }
        let has_frames = self.frames.is_some();
        match after.turn {
            Turn::Never => {}
            Turn::InLine(version) => drop(self.line.insert((version, ticket))),
            Turn::Fold if has_frames => {}
            Turn::Load | Turn::Fold | Turn::Step => self.others.push_back(ticket),
        }
        let counts = |turn: Turn| [Turn::Load, Turn::Fold, Turn::Step].map(|kind| usize::from(turn == kind));
        let [was_loading, was_folded, was_stepping] = counts(before.turn);
        let [is_loading, is_folded, is_stepping] = counts(after.turn);
        self.loading = self.loading - was_loading + is_loading;
        self.folded = self.folded - was_folded + is_folded;
        self.stepping = self.stepping - was_stepping + is_stepping;
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
        let state = State::Requested { request_id, since, waits: false };
        let status = SetStatus::default();
        self.by_ticket.insert(ticket, Box::new(LiveQuery { id, options, status, state }));
    }

    /// The owner accepted: the rows of `snapshot`, then what changes.
    pub(super) fn accept(
        &mut self,
        ticket: Ticket,
        snapshot: Arc<Snapshot>,
        mark: VersionCode,
    ) -> Option<Accepted> {
        self.newest = self.newest.max(snapshot.version);
        let query = self.by_ticket.get_mut(&ticket)?;
        let stream = Stream::loading(&query.id, snapshot, mark, &query.options);
        let accepted = query.begin(|_| stream)?;
        self.begun(ticket);
        Some(accepted)
    }

    /// The owner accepted, and knows what makes what the client has into the result: that of the version asked for, or else rows that
    /// are of no version. Also returns the version that the client has with the answer.
    pub(super) fn resume(
        &mut self,
        ticket: Ticket,
        resumption: Resumption<'_>,
        mark: VersionCode,
        limits: &SessionLimits,
        folded: &mut u64,
    ) -> Option<(Accepted, Option<String>)> {
        let Resumption { batch, window, drop } = resumption;
        self.newest = self.newest.max(batch.version);
        let query = self.by_ticket.get_mut(&ticket)?;
        let (id, options) = (query.id.clone(), query.options);
        let mut version = None;
        let accepted = query.begin(|since| {
            let since = since.filter(|_| options.resume && drop.is_none());
            let mut stream = Stream::resuming(&id, since, &batch, window, mark, &options);
            let commit = batch.version;
            stream.push(batch, commit, &options, limits, folded);
            version = stream.version_text().map(str::to_owned);
            stream
        })?;
        self.begun(ticket);
        self.frame_newest();
        // Also where nothing is to be sent: what the client drops is a change of what it shows.
        self.frames.iter_mut().for_each(|frames| frames.is_due = true);
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
        self.newest = self.newest.max(commit);
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
        self.with(ticket, |stream, _, _| stream.moved(mark));
    }

    /// The last version that the client was told.
    pub(super) fn version(&self, ticket: Ticket) -> Option<u64> {
        match &self.by_ticket.get(&ticket)?.state {
            State::Live(stream) => stream.version(),
            State::Requested { .. } => None,
        }
    }

    /// Takes out a live query that the client gave up: its id is free, what waits is dropped. With its ticket, and the request id of one
    /// that was not answered.
    pub(super) fn remove_by_id(&mut self, id: &str) -> Option<(Ticket, Arc<str>, Option<Box<str>>)> {
        let ticket = *self.by_id.get(id)?;
        self.remove(ticket).map(|(id, request_id)| (ticket, id, request_id))
    }

    /// Takes out a live query: its id, and the request id of one that was not answered.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<(Arc<str>, Option<Box<str>>)> {
        let LiveQuery { id, state, .. } = *self.by_ticket.remove(&ticket)?;
        self.by_id.remove(&id);
        self.statuses.remove(&ticket);
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

    /// Appends the next message of the live query whose turn it is, or a frame. Adds the changes that were folded to `folded`.
    pub(super) fn transmit(&mut self, limits: &SessionLimits, folded: &mut u64, out: &mut Vec<u8>) -> bool {
        while let Some(next) = self.next() {
            let ticket = match next {
                Next::Status => match self.write_status(out) {
                    true => return true,
                    false => continue,
                },
                Next::Frame => {
                    self.frames.iter_mut().for_each(|frames| frames.framed());
                    ServerMessage::Commit.write(out);
                    return true;
                }
                Next::Close => {
                    self.close_step(folded);
                    continue;
                }
                Next::InLine(ticket) | Next::Other(ticket) => ticket,
            };
            self.line_had_turn = matches!(next, Next::InLine(_));
            let sent = self.with(ticket, |stream, id, options| {
                let (turn, version) = (stream.turn(), stream.next_version());
                let sent = stream.transmit(id, options, limits, out);
                // Chunks before the last are of nothing that is shown.
                let is_shown = sent && !(turn == Turn::Load && stream.turn() == Turn::Load);
                (sent, is_shown.then_some(version))
            });
            if self.others.len() > 1 && self.others.front() == Some(&ticket) {
                self.others.rotate_left(1);
            }
            let (sent, shown) = sent.unwrap_or_default();
            if let (Some(frames), Some(version)) = (&mut self.frames, shown) {
                // What is sent of a step was counted when it was closed.
                frames.show(version.unwrap_or_default());
            }
            if sent {
                return true;
            }
        }
        false
    }

    /// What all live queries have to send that have loaded is one step from now on.
    fn close_step(&mut self, folded: &mut u64) {
        let tickets: Vec<Ticket> = self.by_ticket.keys().copied().collect();
        for ticket in tickets {
            self.with(ticket, |stream, _, options| stream.close_step(options, folded));
        }
        self.frame_newest();
    }

    /// No frame is sent before everything that was pushed so far.
    pub(super) fn frame_newest(&mut self) {
        if let Some(frames) = &mut self.frames {
            frames.front = frames.front.max(self.newest);
            frames.step_over();
        }
    }

    /// A live query has come from one version to another at once.
    pub(super) fn add_net(&mut self, after: u64, last: u64) {
        if let Some(frames) = &mut self.frames {
            frames.add_net((after, last));
        }
    }
}

impl LiveQuery {
    fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    /// Requested → Live; `None` where it is live already.
    fn begin(&mut self, stream: impl FnOnce(Option<Box<str>>) -> Stream) -> Option<Accepted> {
        let State::Requested { request_id, since, .. } = &mut self.state else {
            return None;
        };
        let accepted = Accepted { id: self.id.clone(), request_id: request_id.take(), options: self.options };
        self.state = State::Live(Box::new(stream(since.take())));
        Some(accepted)
    }
}
