//! The hub, its clients, and the oracle.

use std::{fmt::Write as _, time::Duration};

use liveset_core::{Attempt, ErrorCode, LiveResult, Monotonic, SessionLimits, Token, Transmit};
use liveset_engine::{EngineLimits, FieldKind, SetDef, Timestamp};
use liveset_hub::{AuthRefused, ConnectionId, Hub, HubConfig, HubLimits, Now, OneShot, Output};

use super::{
    op::{Op, PEERS, Write},
    peer::{Counts, End, Peer},
    rules::{Choice, PATHS, Role, Rules, SET},
};
use crate::oracle::{self, Shown, Store, Val, same};

/// 2024-01-01T00:00:00Z.
const START: i128 = 1_704_067_200_000_000_000;
const QUARTER: Duration = Duration::from_secs(15);
const CAP: usize = 4;

/// What a run did, to see that it did something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub(super) commits: u64,
    pub(super) created: u64,
    pub(super) resumed: u64,
    /// Resumes that were answered by a snapshot.
    pub(super) resumes_missed: u64,
    /// Live queries that the policy refused.
    pub(super) forbidden: u64,
    pub(super) destroyed: u64,
    /// Live queries that the hub ended because of another principal.
    pub(super) ended: u64,
    /// Diffs that clients read.
    pub(super) changes: u64,
    /// Diffs that went past the sessions.
    pub(super) handed_past: u64,
    /// `liveQueryCount` messages.
    pub(super) counts: u64,
    pub(super) events: u64,
    /// Connections that became another principal's while they held live queries.
    pub(super) moved: u64,
    pub(super) revoked: u64,
    /// Tokens that were refused.
    pub(super) refused: u64,
    /// Connections that the hub closed.
    pub(super) closed: u64,
    /// Those of them whose principal had expired.
    pub(super) expired: u64,
    /// Those whose verdict did not come in time.
    pub(super) unauthenticated: u64,
    /// Those that were shut down, and became another principal's before they had read everything.
    pub(super) withheld: u64,
    /// Messages read by those who had stopped reading.
    pub(super) read_late: u64,
    /// Queries that were answered once, for somebody.
    pub(super) asked: u64,
    /// Times that a query waited for its result.
    pub(super) waited: u64,
    /// Results that were compared with a recomputation.
    pub(super) compared: u64,
    /// Rows of them.
    pub(super) rows: u64,
    /// Queries that a row filter was broken for.
    pub(super) broken_restrictions: u64,
}

impl Tally {
    /// Every count with its name.
    pub fn all(&self) -> [(&'static str, u64); 24] {
        [
            ("commits", self.commits),
            ("created", self.created),
            ("resumed", self.resumed),
            ("resumes missed", self.resumes_missed),
            ("forbidden", self.forbidden),
            ("destroyed", self.destroyed),
            ("ended", self.ended),
            ("changes", self.changes),
            ("handed past", self.handed_past),
            ("counts", self.counts),
            ("events", self.events),
            ("moved", self.moved),
            ("revoked", self.revoked),
            ("refused", self.refused),
            ("closed", self.closed),
            ("expired", self.expired),
            ("unauthenticated", self.unauthenticated),
            ("withheld", self.withheld),
            ("read late", self.read_late),
            ("asked", self.asked),
            ("waited", self.waited),
            ("compared", self.compared),
            ("rows", self.rows),
            ("broken restrictions", self.broken_restrictions),
        ]
    }
}

pub(super) struct World {
    hub: Hub,
    rules: Rules,
    store: Store,
    now: Now,
    peers: Vec<Peer>,
    written: u64,
    tally: Tally,
}

impl World {
    pub(super) fn new(rules: Rules) -> Self {
        let session = SessionLimits::default()
            .backlog_changes(2)
            .chunk_rows(2)
            .event_queue(2)
            .message_burst(100_000)
            // That a client that does not read is lost has nothing to do with what it may see.
            .ping_interval(Duration::from_secs(10_000_000));
        let hub = HubLimits::default().resume_log_changes(8).resume_linger_feeds(3);
        let slice_rows = if rules.in_slices { 1 } else { 1_000 };
        let engine = EngineLimits::default().max_window(CAP).slice_rows(slice_rows);
        let config = HubConfig { session, hub, engine, policy: Box::new(rules), ..HubConfig::default() };
        let mut hub = Hub::new(config);
        hub.define_set(SetDef::new(SET).field("at", FieldKind::Instant)).expect("a set");
        let mut store = Store::default();
        store.define(SET, "id", &["at"]);
        let now = Now { monotonic: Monotonic::from_nanos(1), wall: wall(START) };
        let peers = (0..PEERS).map(|_| Peer::new()).collect();
        let mut world = Self { hub, rules, store, now, peers, written: 0, tally: Tally::default() };
        for (peer, role) in [Role::A, Role::B, Role::A, Role::B].into_iter().enumerate() {
            world.connect(peer, role);
        }
        world.drain();
        world
    }

    pub(super) fn run(&mut self, op: Op) {
        let now = self.now;
        match op {
            Op::Commit(writes) => self.commit(&writes),
            Op::Create { peer, id, choice } => self.peers[peer].create(&live_id(id), choice, None),
            Op::Resume { peer, id, other } => {
                if let Some((mut choice, result)) = self.peers[other].known(&live_id(id)) {
                    choice.options.resume = true;
                    self.resume(peer, id, choice, result);
                }
            }
            Op::Destroy { peer, id } => self.peers[peer].destroy(&live_id(id)),
            Op::Authenticate { peer, role, later, quarters } => {
                self.peers[peer].is_held_up |= later;
                let token =
                    role.map_or_else(|| "nobody".into(), |role| token(role, self.in_quarters(quarters)));
                self.peers[peer].authenticate(&token);
            }
            Op::Verdict { peer } => self.give_verdicts(peer),
            Op::Revoke(role) => self.revoke(role),
            Op::Swap(quarters) => self.renew(Role::other, self.in_quarters(quarters)),
            Op::Renew(quarters) => self.renew(|role| role, self.in_quarters(quarters)),
            Op::Stall { peer } => self.peers[peer].is_stalled ^= true,
            Op::Read { peer, messages } => {
                for _ in 0..messages % 16 {
                    let read = self.peers[peer].is_stalled && self.transmit(peer);
                    self.tally.read_late += u64::from(read);
                }
            }
            Op::Pass(quarters) => {
                let time = QUARTER * u32::from(quarters % 40);
                self.now.monotonic = now.monotonic.saturating_add(time);
                self.now.wall = now.wall.saturating_add(time);
                for peer in &mut self.peers {
                    peer.time_passed(self.now.monotonic);
                }
                self.hub.handle_timeout(self.now);
            }
            Op::SetBack(minutes) => {
                self.now.wall = now.wall.saturating_sub(Duration::from_secs(60) * u32::from(minutes % 40));
                self.hub.handle_timeout(self.now);
            }
            Op::Reconnect { peer, role, later } => {
                self.connect(peer, role);
                self.peers[peer].is_held_up = later;
            }
            Op::Shutdown { peer } => {
                if let Some(conn) = self.peers[peer].conn {
                    self.hub.shutdown_one(now, conn);
                    self.peers[peer].shut_down();
                }
            }
            Op::Subscribe { peer, path } => {
                self.count(peer, Counts::Kept);
                self.peers[peer].subscribe(PATHS[usize::from(path)]);
            }
            Op::Publish { path } => {
                self.written += 1;
                let role = [Role::A, Role::B, Role::Staff][usize::from(path)];
                let data = format!("\"{}-{}\"", role.marker(), self.written).into();
                self.hub
                    .publish(now, PATHS[usize::from(path)], "jobStarted", data, None)
                    .expect("it is declared");
            }
            Op::Ask { role, choice } => self.ask(role, &choice),
            Op::Work => self.hub.handle_timeout(now),
        }
        for peer in 0..PEERS {
            self.count(peer, Counts::Kept);
        }
        self.drain();
        self.check();
    }

    /// Lets everything come to rest, and ends it.
    pub(super) fn end(mut self) -> Tally {
        for peer in 0..PEERS {
            self.peers[peer].is_stalled = false;
            self.give_verdicts(peer);
        }
        self.drain();
        while self.hub.poll_timeout().is_due_already {
            self.hub.handle_timeout(self.now);
        }
        self.drain();
        self.check();
        for peer in 0..PEERS {
            self.disconnect(peer);
        }
        self.now.monotonic = self.now.monotonic.saturating_add(Duration::from_secs(3_600));
        self.hub.handle_timeout(self.now);
        let stats = self.hub.stats();
        let left = (stats.connections, stats.live_queries, stats.feeds, stats.waiting, stats.subscriptions);
        assert_eq!(left, (0, 0, 0, 0, 0), "something is left behind");
        assert_eq!((stats.engine.views, stats.resume_log_changes, stats.deadlines), (0, 0, 0));
        self.tally.handed_past = stats.handed_past;
        self.tally.resumes_missed = stats.resumes_missed;
        self.tally.broken_restrictions = stats.broken_restrictions;
        self.tally
    }

    // --- what happens ---

    fn commit(&mut self, writes: &[Write]) {
        let mut ops = Vec::new();
        for write in writes {
            self.written += 1;
            let id = format!("n{}", write.row);
            ops.push(match write.owner {
                0 => oracle::Op::upsert(SET, &node(&id, Role::A, write.value, self.written)),
                1 => oracle::Op::upsert(SET, &node(&id, Role::B, write.value, self.written)),
                _ => oracle::Op::remove(SET, &id),
            });
        }
        let changed = self.store.apply(&ops).expect("rows are sound");
        let ops = ops.iter().map(crate::engine_op);
        let committed = self.hub.commit(self.now, ops.collect()).expect("rows are sound");
        assert_eq!(committed.changed, changed);
        self.tally.commits += u64::from(changed > 0);
    }

    fn resume(&mut self, peer: usize, id: u8, choice: Choice, result: LiveResult) {
        self.peers[peer].create(&live_id(id), choice, Some(result));
    }

    fn connect(&mut self, peer: usize, role: Role) {
        self.disconnect(peer);
        let conn = self.hub.connect(self.now);
        self.peers[peer].connected(self.now.monotonic, conn);
        self.peers[peer].authenticate(&token(role, None));
    }

    fn disconnect(&mut self, peer: usize) {
        if let Some(conn) = self.peers[peer].conn {
            self.hub.handle_disconnect(self.now, conn);
            self.peers[peer].lost();
        }
    }

    /// Each in its order, as an authenticator that asks its database gives them.
    fn give_verdicts(&mut self, peer: usize) {
        self.peers[peer].is_held_up = false;
        while let Some((attempt, token)) = self.peers[peer].verdicts.pop_front() {
            self.give_verdict(peer, attempt, &token);
        }
    }

    fn give_verdict(&mut self, peer: usize, attempt: Attempt, token: &Token) {
        let Some(conn) = self.peers[peer].conn else { return };
        let verdict = read_token(token.expose());
        self.tally.refused += u64::from(verdict.is_none());
        let before = self.peers[peer].role;
        let principal = verdict.map(|(role, expires)| role.principal(expires)).ok_or(AuthRefused);
        self.hub.handle_verdict(self.now, conn, attempt, principal);
        self.peers[peer].judged(self.now.monotonic, attempt, verdict);
        // It was answered: nothing that is said of it any more counts.
        self.hub.handle_verdict(self.now, conn, attempt, Ok(Role::Staff.principal(None)));
        self.moved(peer, before);
    }

    fn revoke(&mut self, role: Role) {
        let revoked = self.hub.revoke(self.now, role.name());
        let of_role = self.peers.iter_mut().filter(|peer| peer.is_served() && peer.role == Some(role));
        let mut expected = 0;
        for peer in of_role {
            expected += usize::from(peer.end.is_none());
            peer.revoked();
        }
        assert_eq!(revoked, expected, "as many as act for {role:?}");
        self.tally.revoked += revoked as u64;
    }

    fn renew(&mut self, into: impl Fn(Role) -> Role, expires: Option<Monotonic>) {
        let ended = self.hub.reauthorize(self.now, |who| Some(into(Role::of(who)).principal(expires)));
        assert_eq!(ended, 0, "all are renewed");
        for peer in 0..PEERS {
            let before = self.peers[peer].role;
            if let Some(role) = before.filter(|_| self.peers[peer].is_served()) {
                self.peers[peer].renewed(into(role), expires);
                self.moved(peer, before);
            }
        }
    }

    /// From here on it is told of its new principal's rows only.
    fn moved(&mut self, peer: usize, before: Option<Role>) {
        if self.peers[peer].role != before {
            self.tally.moved += u64::from(!self.peers[peer].live.is_empty());
            self.count(peer, Counts::Old);
        }
    }

    /// The moment in so many quarters of a minute; none where there are none.
    fn in_quarters(&self, quarters: u8) -> Option<Monotonic> {
        (quarters > 0).then(|| self.now.monotonic + QUARTER * u32::from(quarters))
    }

    fn ask(&mut self, role: Role, choice: &Choice) {
        let answer = self.hub.query(self.now, Some(&role.principal(None)), &choice.spec()).map(OneShot::run);
        let expected = self.shown(role, choice);
        assert_eq!(answer.is_ok(), expected.is_some(), "{role:?}: {choice:?}: {answer:?}");
        if let Err(refusal) = &answer {
            assert_eq!(refusal.code, ErrorCode::Forbidden);
        }
        if let Some((snapshot, shown)) = answer.ok().zip(expected) {
            self.tally.asked += 1;
            assert_eq!(
                (snapshot.count.total, snapshot.count.capped),
                (shown.total, shown.capped),
                "{choice:?}"
            );
            let rows = snapshot.rows.iter().map(|row| (row.id(), row.json()));
            assert_shown(rows, &shown, &format!("{role:?}: {choice:?}"));
        }
        let explained = self.hub.explain(self.now, Some(&role.principal(None)), &choice.spec());
        assert!(explained.is_err() || role == Role::Staff, "it tells of everybody's rows");
    }

    // --- what is sent ---

    /// Carries out what the hub asks for and brings everyone what they read, until there is nothing more.
    fn drain(&mut self) {
        loop {
            self.fan_out();
            while let Some(output) = self.hub.poll_output() {
                match output {
                    Output::Verify { conn, attempt, token } => {
                        if let Some(peer) = self.peer_of(conn) {
                            self.peers[peer].asks(self.now.monotonic, attempt, token);
                        }
                    }
                    Output::Transmit { .. }
                    | Output::LiveQuery { .. }
                    | Output::Error { .. }
                    | Output::Crowded { .. }
                    | Output::Watch { .. } => {}
                    Output::Panicked { .. } => panic!("the policy of this target does not panic"),
                    other => panic!("{other:?} is not expected"),
                }
            }
            let mut has_news = false;
            for peer in 0..PEERS {
                if !self.peers[peer].is_held_up && !self.peers[peer].verdicts.is_empty() {
                    self.give_verdicts(peer);
                    has_news = true;
                }
                while !self.peers[peer].is_stalled && self.transmit(peer) {}
            }
            if !self.write_to_hub() && !has_news {
                break;
            }
        }
        self.tally.waited += u64::from(self.hub.poll_timeout().is_due_already);
    }

    /// Diffs past the sessions.
    fn fan_out(&mut self) {
        let Self { hub, peers, now, .. } = self;
        let mut taken = Vec::new();
        hub.fan_out(*now, |conn, id, diffs| {
            let peer = peers.iter().position(|peer| peer.conn == Some(conn));
            let Some(peer) = peer.filter(|peer| !peers[*peer].is_stalled) else { return false };
            taken.extend(diffs.messages(id).map(|pieces| (peer, pieces.concat())));
            true
        });
        for (peer, text) in taken {
            self.read(peer, &text);
        }
    }

    /// One message of the hub for a client; false where there is none.
    fn transmit(&mut self, peer: usize) -> bool {
        let Some(conn) = self.peers[peer].conn else { return false };
        let mut text = Vec::new();
        match self.hub.poll_transmit(self.now, conn, &mut text) {
            Some(Transmit::Text) => self.read(peer, &text),
            Some(Transmit::Close(code)) => {
                self.peers[peer].closed(code);
                self.tally.closed += 1;
                let count = match self.peers[peer].end {
                    Some(End::Expired) => &mut self.tally.expired,
                    Some(End::Unauthenticated) => &mut self.tally.unauthenticated,
                    Some(End::Shutdown { withheld: true }) => &mut self.tally.withheld,
                    _ => &mut 0,
                };
                *count += 1;
                self.disconnect(peer);
            }
            None => return false,
        }
        true
    }

    fn read(&mut self, peer: usize, text: &[u8]) {
        let role = self.peers[peer].role.filter(|_| self.peers[peer].is_served());
        // A version is as good as random, and has what is not to be told in it once in some million times.
        let told = String::from_utf8_lossy(text);
        let (told, version) = told.split_once("\"version\":\"").unwrap_or((&*told, ""));
        let behind = version.split_once('"').map_or("", |(_, behind)| behind);
        for forbidden in self.rules.forbidden_text(role) {
            let found = told.contains(forbidden) || behind.contains(forbidden);
            assert!(!found, "{role:?} is told of {forbidden}: {told}{behind}");
        }
        self.peers[peer].read(self.now.monotonic, text, &mut self.tally);
    }

    fn write_to_hub(&mut self) -> bool {
        let mut wrote = false;
        for peer in 0..PEERS {
            let mut text = Vec::new();
            while self.peers[peer].client.poll_transmit(&mut text) {
                wrote = true;
                if let Some(conn) = self.peers[peer].conn {
                    self.count(peer, Counts::Kept);
                    self.hub.handle_text(self.now, conn, &text);
                }
                text.clear();
            }
        }
        wrote
    }

    // --- what must be ---

    fn peer_of(&self, conn: ConnectionId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.conn == Some(conn))
    }

    /// What somebody is to be shown; `None` where they may not ask.
    fn shown(&self, role: Role, choice: &Choice) -> Option<Shown> {
        let query = self.rules.seen(role, choice)?;
        Some(self.store.result(&query, self.now.wall.unix_nanos(), CAP))
    }

    fn count(&mut self, peer: usize, were: Counts) {
        let Self { peers, rules, store, now, .. } = self;
        let role = peers[peer].role;
        peers[peer].count(were, |choice| {
            let shown = store.result(&rules.seen(role?, choice)?, now.wall.unix_nanos(), CAP);
            Some((shown.total, shown.capped))
        });
    }

    /// The hub knows who is who, and everyone who has read everything holds what a recomputation gives.
    fn check(&mut self) {
        for peer in &self.peers {
            peer.check(&self.hub);
        }
        if self.hub.poll_timeout().is_due_already {
            return;
        }
        for peer in 0..PEERS {
            if self.peers[peer].is_stalled || self.peers[peer].conn.is_none() {
                continue;
            }
            let Some(role) = self.peers[peer].role else { continue };
            for (id, result) in self.peers[peer].client.live_queries() {
                let choice = &self.peers[peer].live[id].choice;
                let about = format!("connection {peer}, {role:?}: {choice:?}");
                let shown = self.shown(role, choice).expect("what is not allowed has ended");
                assert!(result.is_loaded(), "{about}: all was read");
                self.tally.compared += 1;
                self.tally.rows += shown.rows.len() as u64;
                if choice.options.counts {
                    assert_eq!(
                        (result.total_count(), result.capped()),
                        (shown.total, shown.capped),
                        "{about}"
                    );
                }
                if let Some(ordered) = result.ordered() {
                    assert_shown(ordered.map(|(id, data)| (&**id, &data[..])), &shown, &about);
                } else {
                    let mut shown = shown;
                    shown.rows.sort_by(|(a, _), (b, _)| a.cmp(b));
                    assert_shown(result.rows().map(|(id, data)| (&**id, &data[..])), &shown, &about);
                }
            }
            self.count(peer, Counts::Gone);
        }
    }
}

fn live_id(id: u8) -> String {
    format!("q{id}")
}

fn wall(nanos: i128) -> Timestamp {
    Timestamp::from_unix_nanos(nanos).unwrap_or(Timestamp::MAX)
}

/// What stands for a principal: the name of its role, and the moment at which it ends.
fn token(role: Role, expires: Option<Monotonic>) -> String {
    expires.map_or_else(|| role.name().into(), |expires| format!("{} {}", role.name(), expires.as_nanos()))
}

fn read_token(token: &str) -> Option<(Role, Option<Monotonic>)> {
    let (name, expires) =
        token.split_once(' ').map_or((token, None), |(name, expires)| (name, Some(expires)));
    let role = (0..4).map(Role::new).find(|role| role.name() == name)?;
    Some((role, expires.map(|nanos| Monotonic::from_nanos(nanos.parse().expect("a moment")))))
}

/// A row of a tenant. Every value that is the tenant's own has its marker or its digits, every hidden one the mark of the hidden too.
fn node(id: &str, owner: Role, value: u8, written: u64) -> String {
    let (tenant, digits) = (owner.marker(), owner.digits());
    let mut json = format!("{{\"id\":\"{id}\",\"tenant\":\"{tenant}\",\"name\":\"{tenant}-{written}\"");
    // Few totals and moments, so that rows tie; some fields are missing.
    let (total, minute) = (value % 6, value / 6 % 4);
    if total > 0 {
        let _ = write!(json, ",\"total\":{total}.{digits}");
    }
    if minute > 0 {
        let _ = write!(json, ",\"at\":\"2024-01-01T00:{minute:02}:00.{digits}Z\"");
    }
    let _ = write!(json, ",\"level\":{}.{digits}62626262,\"secret\":\"SSSS-{written}\"}}", value % 3);
    json
}

fn assert_shown<'a>(rows: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>, shown: &Shown, about: &str) {
    assert_eq!(rows.len(), shown.rows.len(), "{about}: {shown:?}");
    for ((id, data), (expected_id, expected)) in rows.zip(&shown.rows) {
        assert_eq!(id, expected_id, "{about}");
        let data = Val::parse(data).expect("JSON");
        assert!(same(&data, expected), "{about}: {data:?}, expected {expected:?}");
    }
}
