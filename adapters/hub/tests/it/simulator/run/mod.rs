//! One simulated run: random operations on a world and on the oracle, compared as often as can be.

mod check;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use liveset_core::{
    AuthOptions, LiveQueryOptions, LiveQueryRequest, LiveResult, SessionLimits, SubscriptionSpec, Token,
};
use liveset_engine::{Applied, EngineLimits, FieldKind, Part, SetDef, Timestamp};
use liveset_fuzz::generate::{DATED, DECLARED_INSTANTS, Gen, THINGS, pick};
use liveset_hub::{
    Access, AllowAll, AuthRefused, HashSeed, Hub, HubConfig, Policy, Principal, Restriction, WatchId,
    test_kit::{ClientId, World},
};

use crate::simulator::{
    mirror::{Held, Mirror, Options, State},
    oracle::{self, Nanos, Query, Store, Val, step},
};

/// How the world of a run is.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) ops: usize,
    pub(crate) clients: usize,
    /// Distinct node ids of each set.
    pub(crate) ids: usize,
    /// Distinct queries that clients choose from.
    pub(crate) queries: usize,
    /// The limits that queries ask for.
    pub(crate) limits: &'static [u64],
    /// The server's cap.
    pub(crate) cap: usize,
    /// How often everything is let settle after an operation, in percent.
    pub(crate) settle: usize,
    pub(crate) backlog: usize,
    pub(crate) latency: Duration,
    pub(crate) room: usize,
    /// How the engine goes about it, apart from the cap.
    pub(crate) engine: EngineLimits,
    /// How long a slice of the engine's work may take.
    pub(crate) slice_time: Duration,
    /// Whether every other commit lets others have their turn between its slices.
    pub(crate) in_slices: bool,
    /// That of the hash tables.
    pub(crate) seed: HashSeed,
}

/// What a run did, to see that it did something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) operations: usize,
    pub(crate) commits: u64,
    pub(crate) refused_commits: usize,
    /// Slices of commits behind the first.
    pub(crate) slices: usize,
    /// Commits whose conditions did not hold, or that had nothing to patch.
    pub(crate) conflicts: usize,
    pub(crate) comparisons: usize,
    pub(crate) rows_compared: usize,
    pub(crate) diffs: usize,
    pub(crate) resumed: usize,
    /// Of these, those that went on from the rows that they had.
    pub(crate) resumed_by_rows: usize,
    /// Commits that clients were told of.
    pub(crate) frames: usize,
    pub(crate) resumes_missed: u64,
    /// Messages that went past the sessions.
    pub(crate) handed_past: u64,
    pub(crate) forbidden: usize,
    pub(crate) events: usize,
    pub(crate) steps_of_time: usize,
    pub(crate) set_back: u64,
    pub(crate) folded_watches: usize,
    /// Times that a query was found waiting for its result.
    pub(crate) waited: usize,
    /// Operations after which some query was behind its set.
    pub(crate) lagged: usize,
    /// Versions that were compared with those of other live queries of the connection.
    pub(crate) in_order: usize,
    pub(crate) fingerprint: u64,
}

/// Tokens stand for themselves; whoever is called `narrow` may not see the dated set, nor actors.
struct Narrow;

impl Policy for Narrow {
    fn may_subscribe(&self, who: &Principal, path: &str, _: &[Arc<str>]) -> bool {
        &*who.subject != "narrow" || !path.starts_with("actors")
    }

    fn may_query(&self, who: &Principal, query: &liveset_core::Query) -> bool {
        &*who.subject != "narrow" || query.set != DATED
    }

    fn access(&self, who: &Principal, edge: &str) -> Access {
        if &*who.subject != "narrow" || edge != THINGS {
            return Access::All;
        }
        Access::Part(Arc::new(Restriction::rows(oracle::print_expr(&seen_by_the_narrow(), &mut |_| 0))))
    }

    fn may_write(&self, who: &Principal) -> bool {
        AllowAll.may_write(who)
    }
}

/// Which of the things `narrow` may see.
fn seen_by_the_narrow() -> oracle::Expr {
    oracle::build::path("n").ge(oracle::build::num("2"))
}

/// What a query is for whoever asks it.
fn as_seen(query: &Rc<Query>, token: &str) -> Rc<Query> {
    if token != "narrow" || query.set != THINGS {
        return query.clone();
    }
    let mut seen = (**query).clone();
    seen.filter = Some(match seen.filter.take() {
        Some(filter) => oracle::Expr::And(vec![seen_by_the_narrow(), filter]),
        None => seen_by_the_narrow(),
    });
    Rc::new(seen)
}

struct Client {
    id: ClientId,
    mirror: Mirror,
    stalled: bool,
    /// It was stalled when it was last to be compared: what it reads now is folded.
    behind: bool,
    /// The principal after what was sent so far is answered.
    token: &'static str,
    made: usize,
    /// How many changes its session had folded when it had last taken everything.
    folded: u64,
}

struct Watched {
    query: Rc<Query>,
    rows: BTreeMap<String, (Vec<u8>, Val)>,
    count: (u64, bool),
}

pub(crate) struct Sim {
    setup: Setup,
    r: Rng,
    world: World,
    store: Store,
    queries: Vec<Rc<Query>>,
    clients: Vec<Client>,
    watches: BTreeMap<WatchId, Watched>,
    tally: Tally,
    /// Commits and steps of time since everything was last compared; two where time may have stepped more than once.
    moves: usize,
    trace: Trace,
}

const SECOND: Nanos = 1_000_000_000;
const PATHS: [&str; 6] =
    ["jobs", "jobs/7", "actors", "actors/orders", "actors/orders/1", "job-definitions/a"];

impl Sim {
    pub(crate) fn new(seed: u64, setup: Setup) -> Self {
        let mut config = HubConfig { policy: Box::new(Narrow), epoch: 1_000_000, ..HubConfig::default() };
        // Virtual time stands still while a test sends as much as it likes.
        let session = SessionLimits::default()
            .messages_per_second(1_000_000)
            .message_burst(1_000_000)
            .backlog_changes(setup.backlog);
        config.session = session;
        config.seed = setup.seed;
        // The order of commits over all live queries of a client is told by them.
        config.open_versions = true;
        config.engine = setup.engine.clone().max_window(setup.cap);
        config.hub.watch_backlog_changes = setup.backlog;
        let mut world = World::new(seed, config);
        world.set_latency(Duration::ZERO..=setup.latency);
        world.set_auth_delay(Duration::ZERO..=setup.latency);
        world.set_room(setup.room);
        world.set_takes_diffs(!seed.is_multiple_of(3));
        world.set_slice_time(Duration::ZERO..=setup.slice_time);
        world.set_authenticator(
            |token| if token == "bad" { Err(AuthRefused) } else { Ok(Principal::new(token)) },
        );
        world.set_wall(instant_of(oracle::instant("2024-01-31T10:00:00Z").expect("an instant")));
        define(world.hub_mut());
        let mut store = Store::default();
        store.define(THINGS, "id", &[]);
        store.define(DATED, "no", &DECLARED_INSTANTS);

        let mut r = Rng::with_seed(seed ^ 0x5eed);
        let mut generate = Gen { r: &mut r, now: 0 };
        let queries = (0..setup.queries).map(|_| Rc::new(generate.query(setup.limits))).collect();
        let mut sim = Self {
            r,
            world,
            store,
            queries,
            clients: Vec::new(),
            watches: BTreeMap::new(),
            tally: Tally::default(),
            moves: 0,
            trace: Trace::default(),
            setup,
        };
        for number in 0..sim.setup.clients {
            sim.world.set_auth_options(commits(number));
            let id = sim.world.connect("wide");
            sim.world.record(id);
            sim.clients.push(Client {
                id,
                mirror: Mirror::default(),
                stalled: false,
                behind: false,
                token: "wide",
                made: 0,
                folded: 0,
            });
        }
        sim
    }

    pub(crate) fn run(mut self) -> Tally {
        for _ in 0..self.setup.ops {
            self.operation();
            let stats = self.world.hub().stats();
            self.tally.waited += stats.waiting;
            self.tally.lagged += usize::from(stats.engine.behind > 0);
            if self.r.usize(..100) < self.setup.settle {
                self.check();
            }
        }
        self.end();
        self.tally.fingerprint = self.world.fingerprint();
        self.tally
    }

    fn operation(&mut self) {
        self.tally.operations += 1;
        match self.r.usize(..100) {
            0..=44 => self.commit(),
            45..=56 => self.pass_time(),
            57..=66 => self.create(),
            67..=71 => self.destroy(),
            72..=73 => self.create_and_destroy(),
            74..=76 => self.stall_or_not(),
            77..=79 => self.cut(),
            80..=81 => self.reauthenticate(),
            82..=85 => self.subscribe_or_not(),
            86..=91 => self.publish(),
            92..=93 => self.bad_request(),
            94..=95 => self.watch_or_not(),
            96..=97 => self.ask_once(),
            _ => self.replace_query(),
        }
    }

    // --- operations ---

    fn commit(&mut self) {
        let now = self.wall();
        let mut generate = Gen { r: &mut self.r, now };
        let mut ops = generate.ops(self.setup.ids);
        let bad = generate.r.usize(..15) == 0;
        if bad {
            let at = generate.r.usize(..ops.len() + 1);
            let op = generate.bad_op();
            ops.insert(at, op);
            // What stands before it may be refused, too.
            let at = self.store.clone().apply_at(&ops[..at], now).err().map_or(at, |fault| fault.0);
            let committed = self.world.commit(engine_ops(&ops));
            let error = committed.expect_err("a commit with a bad operation is refused");
            assert_eq!(error.index, at, "{error}, of {:?}", ops[at]);
            self.tally.refused_commits += 1;
            self.trace.note(format!("refused {error}"));
            return;
        }
        self.trace.note(format!("commit {ops:?}"));
        let now = self.world.now();
        if self.setup.in_slices && self.r.bool() {
            return self.commit_in_slices(&ops);
        }
        // In whatever order the parts are run, and whoever runs them.
        let last_first = |parts: &mut [Part<'_>]| parts.iter_mut().skip(1).rev().for_each(Part::run);
        let committed = self.world.hub_mut().commit_with(now, engine_ops(&ops), last_first);
        let wall = self.wall();
        let changed = match self.store.apply_at(&ops, wall) {
            Ok(changed) => changed,
            // A condition does not hold, or there is nothing to patch.
            Err(oracle::Fault(at)) => {
                let error = committed.expect_err("the oracle refuses it");
                assert_eq!(error.index, at, "{error}, of {:?}", ops[at]);
                self.tally.conflicts += 1;
                return;
            }
        };
        let committed = committed.unwrap_or_else(|e| panic!("{e}, of {ops:?}"));
        self.tally.commits += 1;
        self.moves += 1;
        assert_eq!((committed.commit, committed.changed), (self.tally.commits, changed), "of {ops:?}");
    }

    /// Others do something between two slices, and see nothing of the commit.
    fn commit_in_slices(&mut self, ops: &[oracle::Op]) {
        let now = self.world.now();
        let mut after = self.store.clone();
        let expected = after.apply_at(ops, self.wall());
        let mut applied = self.world.hub_mut().commit_in_slices(now, engine_ops(ops), |_| ());
        let mut slices = 1;
        let committed = loop {
            match applied {
                Ok(Applied::Whole(committed)) => break Ok(committed),
                Err(error) => break Err(error),
                Ok(Applied::Partly) => {}
            }
            for _ in 0..self.r.usize(..3) {
                self.meanwhile();
            }
            slices += 1;
            let now = self.world.now();
            applied = Ok(self.world.hub_mut().apply_slice(now, |_| ()).expect("it goes on"));
        };
        let changed = match expected {
            Ok(changed) => changed,
            Err(oracle::Fault(at)) => {
                let error = committed.expect_err("the oracle refuses it");
                assert_eq!(error.index, at, "{error}, of {:?}", ops[at]);
                self.tally.conflicts += 1;
                return;
            }
        };
        self.store = after;
        let committed = committed.unwrap_or_else(|e| panic!("{e}, of {ops:?}"));
        self.tally.commits += 1;
        self.tally.slices += slices - 1;
        self.moves += 1;
        self.trace.note(format!("{slices} slices"));
        assert_eq!((committed.commit, committed.changed), (self.tally.commits, changed), "of {ops:?}");
    }

    /// What needs no commit, and compares nothing with what clients have.
    fn meanwhile(&mut self) {
        match self.r.usize(..10) {
            0..=1 => self.create(),
            2 => self.destroy(),
            3 => self.stall_or_not(),
            4 => self.cut(),
            5 => self.watch_or_not(),
            6..=7 => self.ask_once(),
            8 => self.replace_query(),
            _ => {
                self.moves += 2;
                let millis = self.r.u64(0..=20);
                self.world.run_for(Duration::from_millis(millis));
            }
        }
    }

    fn pass_time(&mut self) {
        self.tally.steps_of_time += 1;
        self.moves += 1;
        match self.r.usize(..10) {
            0..=2 => {
                let millis = self.r.u64(0..=5_000);
                self.trace.note(format!("{millis} ms"));
                self.world.run_for(Duration::from_millis(millis));
                self.moves += 2;
            }
            3..=6 => {
                // To the next moment at which time alone changes a result, less one nanosecond, and then to it.
                let Some(at) = self.world.hub().poll_timeout().wall.map(nanos_of) else { return };
                if at > self.wall() + 400 * 86_400 * SECOND {
                    return;
                }
                self.set_wall((at - 1).max(self.wall()));
                self.check();
                self.moves += 1;
                self.set_wall(at);
            }
            7..=8 => {
                let unit = *pick(&mut self.r, &oracle::Unit::ALL[1..6]);
                let count = self.r.u64(1..=2);
                self.set_wall(step(self.wall(), count, unit, false).expect("not the end of time"));
            }
            _ => {
                // The clock is set, sometimes back.
                let span = *pick(&mut self.r, &[1i128, 60, 86_400, 3_000_000]) * SECOND;
                let back = self.r.usize(..3) < 2;
                self.set_wall(self.wall() + if back { -span } else { span });
            }
        }
    }

    fn set_wall(&mut self, at: Nanos) {
        self.trace.note(format!("it is {}", oracle::format_instant(at)));
        self.world.set_wall(instant_of(at));
    }

    fn create(&mut self) {
        let (c, q) = (self.r.usize(..self.clients.len()), self.r.usize(..self.queries.len()));
        self.create_as(c, q);
    }

    fn create_as(&mut self, c: usize, q: usize) -> Option<String> {
        let query = self.queries[q].clone();
        let client = &mut self.clients[c];
        let allowed = client.token == "wide" || query.set != DATED;
        if client.mirror.queries.len() >= 8 || !allowed {
            return None;
        }
        client.made += 1;
        // Names are used again.
        let id = format!("q{}", client.made % 10);
        if client.mirror.queries.contains_key(&id) {
            return None;
        }
        let options = Options {
            positions: self.r.bool(),
            counts: self.r.bool(),
            reasons: self.r.usize(..3) == 0,
            resume: self.r.bool(),
        };
        self.ask(c, &id, Held::new(query, options, self.setup.cap));
        Some(id)
    }

    fn ask(&mut self, c: usize, id: &str, held: Held) {
        let client = &mut self.clients[c];
        let json = held.query.json(&mut |n| self.r.usize(..n)).to_string();
        self.trace.note(format!("client {c} asks {id} {:?} {json}", held.options));
        let spec = liveset_core::Query::parse(json.as_bytes()).expect("the query is well-formed");
        let Options { positions, counts, reasons, resume } = held.options;
        let mut wanted = LiveQueryRequest::new(id, spec);
        let (status, hints) = (positions != resume, resume != counts);
        wanted.options = LiveQueryOptions { positions, counts, reasons, resume, status, hints };
        wanted.key = if held.query.set == DATED { "no" } else { "id" }.to_owned();
        if held.state == State::AskedSince {
            wanted.resume_from = held.result.clone();
        }
        self.world.session(client.id).create_live_query(wanted);
        client.mirror.queries.insert(id.to_owned(), held);
    }

    fn destroy(&mut self) {
        let c = self.r.usize(..self.clients.len());
        let ids: Vec<_> = self.clients[c].mirror.queries.keys().cloned().collect();
        if !ids.is_empty() {
            let id = pick(&mut self.r, &ids).clone();
            self.destroy_as(c, &id);
        }
    }

    fn destroy_as(&mut self, c: usize, id: &str) {
        let client = &mut self.clients[c];
        if client.mirror.destroying.insert(id.to_owned()) {
            self.trace.note(format!("client {c} destroys {id}"));
            self.world.session(client.id).destroy_live_query(id);
        }
    }

    /// "Destroy while the initial data is being sent": nothing of it follows the answer.
    fn create_and_destroy(&mut self) {
        let (c, q) = (self.r.usize(..self.clients.len()), self.r.usize(..self.queries.len()));
        if let Some(id) = self.create_as(c, q) {
            let millis = self.r.u64(0..=20);
            self.world.run_for(Duration::from_millis(millis));
            self.moves += 2;
            self.drain_records();
            if self.clients[c].mirror.queries.contains_key(&id) {
                self.destroy_as(c, &id);
            }
        }
    }

    fn stall_or_not(&mut self) {
        let c = self.r.usize(..self.clients.len());
        let client = &mut self.clients[c];
        client.stalled = !client.stalled;
        if client.stalled {
            self.world.stall(client.id);
        } else {
            self.world.unstall(client.id);
        }
        self.trace.note(format!("client {c} stalls or not"));
    }

    /// The connection breaks; the client comes back and asks for what it had, from where it was.
    fn cut(&mut self) {
        let c = self.r.usize(..self.clients.len());
        self.trace.note(format!("client {c} is cut"));
        let id = self.clients[c].id;
        if self.r.usize(..3) == 0 {
            self.world.vanish(id);
        } else {
            self.world.cut(id);
        }
        if self.r.bool() && !self.world.hub().is_applying() {
            self.commit();
        }
        self.drain_records();
        let wait = pick(&mut self.r, &[0, 0, 10, 1_000, 70_000]).to_owned();
        self.world.run_for(Duration::from_millis(wait));
        self.moves += 2;
        self.drain_records();
        self.reconnect(c);
    }

    fn reconnect(&mut self, c: usize) {
        let client = &mut self.clients[c];
        for (id, held) in &mut client.mirror.queries {
            if let Some(result) = self.world.session(client.id).live_query(id) {
                held.result = Some(result.clone());
            }
        }
        self.world.set_auth_options(commits(c));
        self.world.reconnect(client.id, "wide");
        let before = std::mem::take(&mut client.mirror);
        self.tally.resumed += before.resumed;
        self.tally.resumed_by_rows += before.resumed_by_rows;
        self.tally.frames += before.frames;
        self.tally.diffs += before.diffs;
        self.tally.in_order += before.in_order;
        client.folded = 0;
        client.token = "wide";
        client.stalled = false;
        client.behind = true;
        let mut again: Vec<_> =
            before.queries.into_iter().filter(|(id, _)| !before.destroying.contains(id)).collect();
        // Now and then one goes on from the rows of another, which are of no use to it, or of some.
        if again.len() > 1 && self.r.u8(..4) < 1 {
            let (from, to) = (self.r.usize(..again.len()), self.r.usize(..again.len()));
            let other = again[from].1.clone();
            let held = &mut again[to].1;
            let is_like = other.options.resume && held.options.resume && other.query.set == held.query.set;
            if is_like && held.options.positions <= other.options.positions {
                let mut other = other;
                other.options = held.options;
                other.ask_again();
                held.ask_from(other.rows, other.etags);
                (held.version, held.result) = (None, other.result.map(LiveResult::without_version));
            }
        }
        for (id, mut held) in again {
            let is_known = held.options.resume && held.state != State::Asked && held.result.is_some();
            if is_known && self.r.u8(..10) < 9 {
                held.ask_again();
                if self.r.u8(..3) < 1 {
                    // At another server its version says nothing.
                    held.version = None;
                    held.result = held.result.map(LiveResult::without_version);
                }
            } else {
                (held.rows, held.version, held.result, held.state) = (Vec::new(), None, None, State::Asked);
            }
            self.ask(c, &id, held);
        }
    }

    fn reauthenticate(&mut self) {
        // Everything that is under way was sent by the principal before.
        self.check();
        let c = self.r.usize(..self.clients.len());
        let client = &mut self.clients[c];
        if client.stalled {
            return;
        }
        let token = if client.token == "wide" { "narrow" } else { "wide" };
        client.token = token;
        self.world.session(client.id).authenticate_with(&Token::new(token), commits(c));
        self.trace.note(format!("client {c} is {token}"));
        self.arrive();
        let client = &mut self.clients[c];
        assert!(client.mirror.authenticated >= 2, "re-authentication is answered");
        if token == "narrow" {
            let dated = client.mirror.queries.values().any(|held| held.query.set == DATED);
            let actors = client.mirror.subscriptions.values().any(|(path, _)| path.starts_with("actors"));
            assert!(!dated && !actors, "what is not allowed any more has ended");
        }
        let forbidden =
            client.mirror.errors.drain(..).filter(|(code, id)| code == "FORBIDDEN" && id.is_some());
        self.tally.forbidden += forbidden.count();
    }

    fn subscribe_or_not(&mut self) {
        let c = self.r.usize(..self.clients.len());
        let client = &mut self.clients[c];
        if client.stalled {
            return;
        }
        if self.r.usize(..3) == 0 && !client.mirror.subscriptions.is_empty() {
            let ids: Vec<_> = client.mirror.subscriptions.keys().cloned().collect();
            let id = pick(&mut self.r, &ids).clone();
            self.trace.note(format!("client {c} unsubscribes {id}"));
            self.world.session(client.id).unsubscribe([&*id]);
            self.world.settle();
            self.drain_records();
            assert!(!self.clients[c].mirror.subscriptions.contains_key(&id), "the end of {id} is confirmed");
            return;
        }
        client.made += 1;
        let path = *pick(&mut self.r, &PATHS);
        if client.token == "narrow" && path.starts_with("actors") {
            return;
        }
        let events: &[&str] = match path.split('/').next() {
            Some("jobs") if self.r.bool() => &["jobStarted", "jobFailed"],
            Some("jobs") => &["jobFailed"],
            Some("actors") => &["actorCheckpoint"],
            _ => &["jobStatistics"],
        };
        let spec = SubscriptionSpec {
            id: format!("s{}", client.made).into(),
            path: path.into(),
            events: events.iter().map(|event| Arc::from(*event)).collect(),
        };
        self.trace.note(format!("client {c} subscribes {spec:?}"));
        self.world.session(client.id).subscribe(vec![spec]);
    }

    /// Whoever is drained and subscribed gets exactly one message for each path.
    fn publish(&mut self) {
        self.check();
        let path = *pick(&mut self.r, &PATHS);
        let event = match path.split('/').next() {
            Some("jobs") => *pick(&mut self.r, &["jobStarted", "jobFailed"]),
            Some("actors") => "actorCheckpoint",
            _ => "jobStatistics",
        };
        for client in &mut self.clients {
            client.mirror.events.clear();
        }
        let now = self.world.now();
        let queued = self.world.hub_mut().publish(now, path, event, "{\"n\":1}".into(), None);
        let queued = queued.expect("the event is declared");
        self.trace.note(format!("{event} at {path}, queued for {queued}"));
        self.arrive();
        self.tally.events += 1;
        for (c, client) in self.clients.iter().enumerate() {
            if client.stalled {
                continue;
            }
            let mut expected: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
            for (id, (subscribed, events)) in &client.mirror.subscriptions {
                let reached = path == subscribed || path.starts_with(&format!("{subscribed}/"));
                if reached && events.iter().any(|e| e == event) {
                    expected.entry((subscribed.clone(), event.to_owned())).or_default().insert(id.clone());
                }
            }
            let mut got = BTreeMap::new();
            for (path, event, ids) in &client.mirror.events {
                let twice = got.insert((path.clone(), event.clone()), ids.clone());
                assert!(twice.is_none(), "one event is one message a path");
            }
            assert_eq!(got, expected, "events of client {c}");
        }
    }

    fn bad_request(&mut self) {
        self.arrive();
        let c = self.r.usize(..self.clients.len());
        let client = &mut self.clients[c];
        if client.stalled {
            return;
        }
        let (request, code) = *pick(
            &mut self.r,
            &[
                (
                    r#"{"type":"createLiveQuery","id":"bad","query":{"edge":"things","limit":-1}}"#,
                    "INVALID_QUERY",
                ),
                (
                    r#"{"type":"createLiveQuery","id":"bad","query":{"edge":"things","filter":"now == 5"}}"#,
                    "INVALID_QUERY",
                ),
                (
                    r#"{"type":"createLiveQuery","id":"bad","query":{"edge":"things","filter":"n in [5 days]"}}"#,
                    "INVALID_QUERY",
                ),
                (
                    r#"{"type":"createLiveQuery","id":"bad","query":{"edge":"things"},"options":{"count":true}}"#,
                    "INVALID_MESSAGE",
                ),
                (r#"{"type":"createLiveQuery","id":"bad","query":{"edge":"nowhere"}}"#, "INVALID_QUERY"),
                (
                    r#"{"type":"createLiveQuery","id":"bad","query":{"edge":"things","filter":"n >"}}"#,
                    "INVALID_QUERY",
                ),
                (
                    r#"{"type":"createLiveQuery","id":"bad","query":{"edge":"things","orderBy":"n up"}}"#,
                    "INVALID_QUERY",
                ),
                (
                    r#"{"type":"createLiveQuery","id":"bad","query":{"edge":"things","filtr":"n"}}"#,
                    "INVALID_QUERY",
                ),
                (
                    r#"{"type":"subscribeEvents","subscriptions":[{"id":"bad","path":"invalid/path","events":["x"]}]}"#,
                    "INVALID_PATH",
                ),
                (
                    r#"{"type":"subscribeEvents","subscriptions":[{"id":"bad","path":"jobs","events":["x"]}]}"#,
                    "INVALID_EVENT",
                ),
            ],
        );
        self.world.send_raw(client.id, request);
        self.arrive();
        let errors = std::mem::take(&mut self.clients[c].mirror.errors);
        assert!(
            errors.iter().any(|(got, _)| got == code),
            "{request} is answered by {code}, not by {errors:?}"
        );
    }

    fn watch_or_not(&mut self) {
        let now = self.world.now();
        if self.watches.len() >= 3 {
            let ids: Vec<_> = self.watches.keys().copied().collect();
            let id = *pick(&mut self.r, &ids);
            self.watches.remove(&id);
            self.world.hub_mut().unwatch(id);
            assert!(self.world.hub_mut().poll_watch(id).is_none(), "an ended watch says nothing");
            return;
        }
        let query = pick(&mut self.r, &self.queries).clone();
        let spec = spec(&query, &mut self.r);
        let id = self.world.hub_mut().watch(now, &spec).expect("the query is good");
        self.watches.insert(id, Watched { query, rows: BTreeMap::new(), count: (0, false) });
    }

    fn ask_once(&mut self) {
        let query = pick(&mut self.r, &self.queries).clone();
        let spec = spec(&query, &mut self.r);
        let now = self.world.now();
        let snapshot = self.world.hub_mut().query(now, None, &spec).expect("the query is good").run();
        let shown = self.store.result(&query, self.wall(), self.setup.cap);
        assert_eq!((snapshot.count.total, snapshot.count.capped), (shown.total, shown.capped), "{query:?}");
        let ids: Vec<&str> = snapshot.rows.iter().map(|row| row.id()).collect();
        let expected: Vec<&str> = shown.rows.iter().map(|(id, _)| &**id).collect();
        assert_eq!(ids, expected, "{query:?}");
    }

    /// The pool of queries moves on; whoever has the old one keeps it.
    fn replace_query(&mut self) {
        let now = self.wall();
        let at = self.r.usize(..self.queries.len());
        self.queries[at] = Rc::new(Gen { r: &mut self.r, now }.query(self.setup.limits));
    }

    // --- helpers ---

    /// Lets everything that is under way arrive, also at those who had to connect anew.
    fn arrive(&mut self) {
        self.world.settle();
        while self.drain_records() {
            self.world.settle();
        }
    }

    /// True where a client had to connect anew.
    fn drain_records(&mut self) -> bool {
        let mut reconnected = false;
        for c in 0..self.clients.len() {
            let folded = self.folded(c);
            let client = &mut self.clients[c];
            client.mirror.keeps_up = folded == Some(client.folded);
            for frame in self.world.take_record(client.id) {
                client.mirror.read(&frame);
            }
            self.world.take_events(client.id);
            if client.mirror.closed {
                // Only a client that was stalled past a ping is closed by the hub.
                self.trace.note(format!("client {c} was closed: {:?}", self.clients[c].mirror.errors));
                self.reconnect(c);
                reconnected = true;
            }
        }
        reconnected
    }

    /// How many changes the session of a client has folded; `None` where it is not connected.
    fn folded(&self, c: usize) -> Option<u64> {
        let conn = self.world.connection(self.clients[c].id)?;
        self.world.hub().session(conn).map(|session| session.stats().changes_folded)
    }

    fn wall(&self) -> Nanos {
        nanos_of(self.world.now().wall)
    }
}

/// The last of what was done.
#[derive(Default)]
struct Trace(VecDeque<String>);

impl Trace {
    fn note(&mut self, what: String) {
        if self.0.len() == 12 {
            self.0.pop_front();
        }
        self.0.push_back(what);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last operations, of {}:", self.tally.operations);
            for line in &self.trace.0 {
                eprintln!("  {line}");
            }
        }
    }
}

/// Every other client is told of commits.
fn commits(number: usize) -> AuthOptions {
    AuthOptions { commits: number % 2 == 1 }
}

pub(crate) fn define(hub: &mut Hub) {
    let mut dated = SetDef::new(DATED).key("no");
    for path in DECLARED_INSTANTS {
        dated = dated.field(path, FieldKind::Instant);
    }
    hub.define_set(SetDef::new(THINGS)).expect("a set");
    hub.define_set(dated).expect("a set");
}

fn spec(query: &Query, r: &mut Rng) -> liveset_core::Query {
    let json = query.json(&mut |n| r.usize(..n)).to_string();
    liveset_core::Query::parse(json.as_bytes()).expect("the query is well-formed")
}

fn engine_ops(ops: &[oracle::Op]) -> Vec<liveset_engine::Op> {
    ops.iter().map(liveset_fuzz::engine_op).collect()
}

pub(crate) fn instant_of(nanos: Nanos) -> Timestamp {
    Timestamp::from_unix_nanos(nanos).expect("an instant")
}

fn nanos_of(instant: Timestamp) -> Nanos {
    instant.unix_nanos()
}
