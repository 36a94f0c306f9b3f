//! One connection, its client, and what that client may have been told.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use liveset_core::{
    Attempt, ClientEvent, ClientLimits, ClientSession, ErrorCode, LiveQueryRequest, LiveResult, Moment,
    RequestId, Token,
};

use super::{
    rules::{Choice, Role},
    world::Tally,
};
use crate::ConnectionId;

/// A live query that was asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) choice: Choice,
    /// The counts of its result since the client was last compared.
    counts: BTreeSet<(u64, bool)>,
    /// Those for the principal before: answers are never dropped, and one may have been on its way.
    before: BTreeSet<(u64, bool)>,
    /// Whether it was not allowed at some time since.
    was_forbidden: bool,
}

/// What becomes of the counts that were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// The client may be told them still.
    Kept,
    /// Only in an answer: the principal is another one.
    Old,
    /// It has read everything.
    Gone,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) conn: Option<ConnectionId>,
    pub(super) client: ClientSession,
    /// It reads nothing by itself.
    pub(super) is_stalled: bool,
    /// Its verdicts wait.
    pub(super) is_held_up: bool,
    pub(super) verdicts: VecDeque<(Attempt, Token)>,
    pub(super) asked: BTreeMap<RequestId, Wanted>,
    pub(super) live: BTreeMap<Arc<str>, Wanted>,
    /// What it had when its last connection ended.
    kept: BTreeMap<Arc<str>, (Choice, LiveResult)>,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            conn: None,
            client: ClientSession::new(ClientLimits::default(), Moment::ZERO),
            is_stalled: false,
            is_held_up: false,
            verdicts: VecDeque::new(),
            asked: BTreeMap::new(),
            live: BTreeMap::new(),
            kept: BTreeMap::new(),
        }
    }

    pub(super) fn connected(&mut self, conn: ConnectionId) {
        *self = Self { conn: Some(conn), kept: std::mem::take(&mut self.kept), ..Self::new() };
    }

    /// The connection is over: what the client has it keeps, to go on from.
    pub(super) fn lost(&mut self) {
        for (id, wanted) in std::mem::take(&mut self.live) {
            if let Some(result) = self.client.live_query(&id) {
                self.kept.insert(id, (wanted.choice, result.clone()));
            }
        }
        self.asked.clear();
        self.verdicts.clear();
        self.conn = None;
    }

    /// What it has or had by an id.
    pub(super) fn known(&self, id: &str) -> Option<(Choice, LiveResult)> {
        let live =
            self.live.get(id).map(|wanted| wanted.choice.clone()).zip(self.client.live_query(id).cloned());
        live.or_else(|| self.kept.get(id).cloned())
    }

    pub(super) fn create(&mut self, id: &str, choice: Choice, resume_from: Option<LiveResult>) {
        let options = choice.options;
        let request = LiveQueryRequest::new(id, choice.spec());
        let request = self.client.create_live_query(LiveQueryRequest { options, resume_from, ..request });
        self.asked.insert(
            request,
            Wanted { choice, counts: BTreeSet::new(), before: BTreeSet::new(), was_forbidden: false },
        );
    }

    /// Takes note of what the message led to that the client has just read.
    pub(super) fn note(&mut self, tally: &mut Tally) {
        while let Some(event) = self.client.poll_event() {
            match event {
                ClientEvent::LiveQueryCreated { request, id } => {
                    tally.created += 1;
                    self.begun(request, id);
                }
                ClientEvent::LiveQueryResumed { request, id } => {
                    tally.resumed += 1;
                    self.begun(request, id);
                }
                ClientEvent::LiveQueryCount { id } => {
                    tally.counts += 1;
                    self.check_count(&id, self.live[&id].counts.iter());
                }
                ClientEvent::LiveQueryDestroyed { id, .. } => {
                    tally.destroyed += 1;
                    self.live.remove(&id);
                }
                ClientEvent::Error { code, request, id, message, .. } => {
                    if let Some(wanted) = request.and_then(|request| self.asked.remove(&request)) {
                        let forbidden = code == Some(ErrorCode::Forbidden);
                        tally.forbidden += u64::from(forbidden);
                        assert!(
                            !forbidden || wanted.was_forbidden,
                            "{:?} is allowed: {message}",
                            wanted.choice
                        );
                        assert_ne!(code, Some(ErrorCode::InvalidQuery), "{:?}: {message}", wanted.choice);
                    } else if let (None, Some(id)) = (request, id) {
                        tally.ended += u64::from(self.live.remove(&id).is_some());
                    }
                }
                ClientEvent::Event { .. } => tally.events += 1,
                ClientEvent::LiveQueryChanged { .. } => tally.changes += 1,
                _ => {}
            }
        }
    }

    fn begun(&mut self, request: RequestId, id: Arc<str>) {
        let wanted = self.asked.remove(&request).expect("it was asked for");
        self.check_count(&id, wanted.counts.union(&wanted.before));
        self.live.insert(id, wanted);
    }

    fn check_count<'a>(&self, id: &str, mut counts: impl Iterator<Item = &'a (u64, bool)>) {
        let result = self.client.live_query(id).expect("it is there");
        let count = (result.total_count(), result.capped());
        assert!(counts.any(|known| *known == count), "{count:?} of '{id}' tells of others' rows");
    }

    /// Every live query that was asked for and is not known to have ended, with its count now.
    pub(super) fn count(&mut self, were: Counts, count: impl Fn(&Choice) -> Option<(u64, bool)>) {
        for wanted in self.asked.values_mut().chain(self.live.values_mut()) {
            match were {
                Counts::Kept => {}
                Counts::Old => wanted.before.append(&mut wanted.counts),
                Counts::Gone => {
                    wanted.counts.clear();
                    wanted.before.clear();
                    wanted.was_forbidden = false;
                }
            }
            match count(&wanted.choice) {
                Some(count) => drop(wanted.counts.insert(count)),
                None => wanted.was_forbidden = true,
            }
        }
    }

    pub(super) fn authenticate(&mut self, role: Option<Role>) {
        self.client.authenticate(&Token::new(role.map_or("nobody", Role::name)));
    }
}
