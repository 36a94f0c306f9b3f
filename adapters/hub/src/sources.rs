//! Sources: how far each of them is, who waits for that, and whether its sets are behind.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::BuildHasher;
use std::time::Duration;

use liveset_core::{ErrorCode, Monotonic, Position, Refusal, SetStatus, Ticket, VersionKey};
use liveset_engine::Keyed;

use crate::{ConnectionId, Hub, Now, timers::Timer};

/// Names a source of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

impl SourceId {
    /// The host itself, or what keeps its commits.
    pub const OWN: SourceId = SourceId(0);
}

/// All sources, and the clients that wait for positions.
#[derive(Debug)]
pub(crate) struct Sources {
    all: Vec<Source>,
    waits: Waits,
}

#[derive(Debug)]
struct Source {
    /// Seals the positions of its history, which says nothing to those who do not know its identity.
    key: VersionKey,
    reached: Reached,
    sets: Vec<Box<str>>,
    news: News,
}

/// Up to where a source is applied.
#[derive(Clone, Copy, Debug)]
enum Reached {
    /// Its positions are the versions of the engine.
    Versions,
    Position(u64),
}

/// What a source is known to have, and when it was heard of.
#[derive(Debug, Default)]
struct News {
    /// Commits that are there and are not applied: a position, and since when. The oldest first.
    ahead: VecDeque<(u64, Since)>,
    /// When it was last heard of; `None` of a source without heartbeats.
    heard: Option<Monotonic>,
    behind: Option<Behind>,
}

/// A moment that may be before the clock began: so long before another one.
#[derive(Clone, Copy, Debug)]
struct Since {
    noticed: Monotonic,
    ago: Duration,
}

impl Since {
    fn age(self, now: Monotonic) -> Duration {
        now.saturating_since(self.noticed).saturating_add(self.ago)
    }

    /// When it will have been so long ago; at once where it was before.
    fn after(self, age: Duration) -> Monotonic {
        self.noticed.saturating_add(age.saturating_sub(self.ago))
    }
}

/// The sets of a source are stale.
#[derive(Debug)]
struct Behind {
    /// Up to where it is to be applied before they are live.
    until: u64,
    /// Those that were live before.
    sets: BTreeSet<Box<str>>,
}

/// Clients that wait for a position which is still to come.
#[derive(Debug, Default)]
struct Waits {
    by_position: BTreeMap<SourceId, BTreeSet<(u64, ConnectionId, Ticket)>>,
    /// When their sessions give them up, in that order.
    deadlines: VecDeque<(Monotonic, SourceId, (u64, ConnectionId, Ticket))>,
}

impl Waits {
    fn insert(&mut self, until: Monotonic, source: SourceId, wait: (u64, ConnectionId, Ticket)) {
        self.by_position.entry(source).or_default().insert(wait);
        self.deadlines.push_back((until, source, wait));
    }

    /// Forgets those whose sessions have given them up.
    fn expire(&mut self, now: Monotonic) {
        while let Some((_, source, wait)) = self.deadlines.front().filter(|(until, ..)| *until < now) {
            self.by_position.get_mut(source).map(|waits| waits.remove(wait));
            self.deadlines.pop_front();
        }
    }

    /// Takes out those that wait for a position up to this one.
    fn take(&mut self, source: SourceId, reached: u64) -> Vec<(ConnectionId, Ticket)> {
        let Some(waits) = self.by_position.get_mut(&source) else { return Vec::new() };
        let mut taken = Vec::new();
        while let Some(&wait @ (_, conn, ticket)) =
            waits.first().filter(|(position, ..)| *position <= reached)
        {
            waits.remove(&wait);
            taken.push((conn, ticket));
        }
        taken
    }
}

impl News {
    /// A commit is there. Where many are, the newest two count as one, which was there when the older of them was.
    fn notice(&mut self, reached: u64, position: u64, since: Since) {
        let newest = self.ahead.back().map_or(reached, |(position, _)| *position);
        if position <= newest {
            return;
        }
        // One that came behind another is no older.
        let most = self.ahead.back().map_or(Duration::MAX, |(_, before)| before.age(since.noticed));
        let since = Since { ago: since.ago.min(most), ..since };
        let is_full = self.ahead.len() >= MOST_AHEAD;
        match self.ahead.back_mut().filter(|_| is_full) {
            Some(last) => last.0 = position,
            None => self.ahead.push_back((position, since)),
        }
    }
}

impl Sources {
    pub(crate) fn new(keyed: Keyed) -> Self {
        let key = VersionKey::new([0_u8, 1].map(|half| keyed.hash_one((half, "position"))));
        let own = Source { key, reached: Reached::Versions, sets: Vec::new(), news: News::default() };
        Self { all: vec![own], waits: Waits::default() }
    }

    fn of(&self, SourceId(index): SourceId) -> Option<&Source> {
        self.all.get(index as usize)
    }

    fn of_mut(&mut self, SourceId(index): SourceId) -> Option<&mut Source> {
        self.all.get_mut(index as usize)
    }

    /// How many wait for a position that is still to come.
    pub(crate) fn awaited(&self) -> usize {
        self.waits.by_position.values().map(BTreeSet::len).sum()
    }

    /// The source whose history a position is of, and its number there.
    fn find(&self, position: Position) -> Option<(SourceId, u64)> {
        let number = |(index, source): (u32, &Source)| Some((SourceId(index), source.key.number(position)?));
        (0..).zip(&self.all).find_map(number)
    }
}

impl Source {
    fn reached(&self, version: u64) -> u64 {
        match self.reached {
            Reached::Versions => version,
            Reached::Position(position) => position,
        }
    }
}

/// Sources, and how far each is: [`SourceId::OWN`] is that of the host's commits. Until another history [begins](Hub::begin_history) for it,
/// its positions are the versions of results.
impl Hub {
    /// Declares a source, of whose commits these sets are made. Its history has an identity, which other processes that follow it know too.
    pub fn declare_source(&mut self, identity: &str, sets: impl IntoIterator<Item = Box<str>>) -> SourceId {
        let id = SourceId(u32::try_from(self.sources.all.len()).unwrap_or(u32::MAX));
        self.sources.all.push(Source {
            key: VersionKey::of_history(identity),
            reached: Reached::Position(0),
            sets: sets.into_iter().collect(),
            news: News::default(),
        });
        id
    }

    /// Another history of a source begins, of which everything up to a position is there. Those who wait for a position of the one before
    /// are told that it is none.
    pub fn begin_history(&mut self, now: Now, source: SourceId, identity: &str, reached: u64) {
        let Some(found) = self.sources.of_mut(source) else { return };
        found.key = VersionKey::of_history(identity);
        found.reached = Reached::Position(reached);
        found.news.ahead.clear();
        if let Some(behind) = &mut found.news.behind {
            // What is shown is of the history before, until something of this one is there.
            behind.until = reached.saturating_add(1);
        }
        for (conn, ticket) in self.sources.waits.take(source, u64::MAX) {
            self.refuse_position(now, conn, ticket);
            self.unsettled.push_back(conn);
        }
        self.settle_all(now);
        self.look_at_source(now, source);
    }

    /// Everything of a source up to a position is applied, and the source was heard of. O(clients that wait for it), and O(live queries)
    /// where its sets are live again.
    pub fn reach(&mut self, now: Now, source: SourceId, position: u64) {
        let Some(found) = self.sources.of_mut(source) else { return };
        if let Reached::Position(reached) = &mut found.reached {
            *reached = position.max(*reached);
            let reached = *reached;
            let applied = found.news.ahead.partition_point(|(position, _)| *position <= reached);
            found.news.ahead.drain(..applied);
        }
        found.news.heard = found.news.heard.map(|_| now.monotonic);
        self.sources.waits.expire(now.monotonic);
        let waiting = self.sources.waits.take(source, position);
        if !waiting.is_empty() {
            // The sessions are to have everything up to there.
            self.hand_out();
            let version = self.engine.version();
            for (conn, ticket) in waiting {
                if let Some(connection) = self.connections.find_mut(conn) {
                    connection.session.await_version(ticket, version);
                    self.unsettled.push_back(conn);
                }
            }
            self.settle_all(now);
        }
        self.look_at_source(now, source);
    }

    /// A source has a commit at a position, since so long ago, which is not applied yet: where that takes longer than
    /// [`HubLimits::source_lag`](crate::HubLimits) its sets are stale until it is applied.
    pub fn notice(&mut self, now: Now, source: SourceId, position: u64, ago: Duration) {
        let version = self.engine.version();
        let Some(found) = self.sources.of_mut(source) else { return };
        let reached = found.reached(version);
        found.news.notice(reached, position, Since { noticed: now.monotonic, ago });
        found.news.heard = found.news.heard.map(|_| now.monotonic);
        self.look_at_source(now, source);
    }

    /// A source is heard of again and again, also where nothing changes, from now on: where it is not for longer than
    /// [`HubLimits::source_silence`](crate::HubLimits) its sets are stale until it is.
    pub fn expect_heartbeats(&mut self, now: Now, source: SourceId) {
        if let Some(found) = self.sources.of_mut(source) {
            found.news.heard = Some(now.monotonic);
        }
        self.look_at_source(now, source);
    }

    /// For how long the oldest commit of a source is there that is not applied; zero where all are.
    pub fn source_lag(&self, now: Monotonic, source: SourceId) -> Duration {
        let oldest = self.sources.of(source).and_then(|found| found.news.ahead.front());
        oldest.map_or(Duration::ZERO, |(_, since)| since.age(now))
    }

    /// The position up to which a source is applied.
    pub fn position(&self, source: SourceId) -> Position {
        let reached = self.sources.of(source).map_or(0, |found| found.reached(self.engine.version()));
        self.position_at(source, reached)
    }

    /// The position with this number, in the history of a source.
    pub fn position_at(&self, source: SourceId, number: u64) -> Position {
        let source = self.sources.of(source).unwrap_or(&self.sources.all[0]);
        source.key.position(number)
    }

    /// Answers a client that waits until its live queries show a position.
    pub(crate) fn await_position(&mut self, now: Now, conn: ConnectionId, ticket: Ticket, position: &str) {
        let found = position.parse().ok().and_then(|position| self.sources.find(position));
        let Some((source, number)) = found else { return self.refuse_position(now, conn, ticket) };
        let version = self.engine.version();
        let shown = match self.sources.of(source).map(|source| source.reached) {
            Some(Reached::Versions) if number <= version => number,
            Some(Reached::Position(reached)) if number <= reached => version,
            Some(Reached::Position(_)) => {
                let until = now.monotonic.saturating_add(self.session_limits.position_timeout);
                self.sources.waits.expire(now.monotonic);
                return self.sources.waits.insert(until, source, (number, conn, ticket));
            }
            _ => return self.refuse_position(now, conn, ticket),
        };
        // The session is to have everything up to there.
        self.hand_out();
        if let Some(connection) = self.connections.find_mut(conn) {
            connection.session.await_version(ticket, shown);
        }
    }

    fn refuse_position(&mut self, now: Now, conn: ConnectionId, ticket: Ticket) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        let message = "The position is none of this server's history".to_owned();
        let refusal = Refusal { code: ErrorCode::UnknownPosition, message, id: None };
        connection.session.refuse(now.monotonic, ticket, refusal);
    }

    /// Its sets are stale from now on, or live again, where that is so; and the next look is when that may change.
    pub(crate) fn look_at_source(&mut self, now: Now, source: SourceId) {
        let (lag, silence) = (self.limits.source_lag, self.limits.source_silence);
        let version = self.engine.version();
        let Some(found) = self.sources.of_mut(source) else { return };
        let reached = found.reached(version);
        let News { ahead, heard, behind } = &mut found.news;
        let late_at = ahead.front().map(|(_, since)| since.after(lag));
        let silent_at = heard.map(|heard| heard.saturating_add(silence));
        let due = late_at.into_iter().chain(silent_at).min();
        let is_silent = silent_at.is_some_and(|at| at <= now.monotonic);
        let is_due = due.is_some_and(|due| due <= now.monotonic);
        let changes = match behind {
            None if is_due => {
                let until = ahead.back().map_or(reached, |(position, _)| *position);
                let live = found.sets.iter().filter(|set| *self.statuses.of(set) == SetStatus::Live);
                let sets: BTreeSet<_> = live.cloned().collect();
                let stale = SetStatus::Stale { since: now.wall.to_string().into() };
                *behind = Some(Behind { until, sets: sets.clone() });
                Some((sets, stale))
            }
            Some(Behind { until, sets }) if reached >= *until && !is_silent => {
                let sets = std::mem::take(sets);
                *behind = None;
                Some((sets, SetStatus::Live))
            }
            _ => None,
        };
        // While it is behind, what ends that is heard.
        let next = found.news.behind.is_none().then_some(due).flatten();
        self.timers.set(Timer::Source(source), next);
        if let Some((sets, status)) = changes {
            self.tell_statuses(now, &sets, &status);
        }
    }

    /// A source has said itself what its set is.
    pub(crate) fn leave_status_alone(&mut self, set: &str) {
        for source in &mut self.sources.all {
            if let Some(behind) = &mut source.news.behind {
                behind.sets.remove(set);
            }
        }
    }
}

/// So many commits that are there are known each by itself.
const MOST_AHEAD: usize = 64;
