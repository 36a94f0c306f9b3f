//! The operations of the simulator for clients that stand before a real server: what to do next, and what must be shown then.
//!
//! A test does each [`Step`] to its clients and its server, and compares what they show with [`Operations::expected`]. Time is the
//! machine's: a result whose filter reads `now` is that of the moment at which it is asked for.
#![allow(missing_docs, missing_debug_implementations)]

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;

use crate::generate::{DATED, DECLARED_INSTANTS, Gen, THINGS, pick};
use crate::oracle::{Expr, Nanos, Num, Op, Query, Shown, Store, Val, build};

/// How many clients there are.
pub const CLIENTS: usize = 2;
/// The token of a client that sees everything, and may write.
pub const WIDE: &str = "wide";
/// That of one that sees the [`THINGS`] that pass [`SEEN`], and nothing else.
pub const NARROW: &str = "narrow";
pub const SEEN: &str = "n >= 2";

/// The server's cap on rows.
const CAP: usize = 1_000;
const IDS: usize = 40;
const QUERIES: usize = 10;
const LIMITS: [u64; 6] = [0, 1, 2, 2, 5, 1_000];
/// Live queries of one client.
const OPEN: usize = 8;
/// How often everything is compared after an operation, in percent.
const CHECKS: usize = 15;

const PATHS: [&str; 6] =
    ["jobs", "jobs/7", "actors", "actors/orders", "actors/orders/1", "job-definitions/a"];

/// Queries that are refused, and the code.
const BAD: [(&str, &str); 6] = [
    (r#"{"edge":"things","filter":"now == 5"}"#, "INVALID_QUERY"),
    (r#"{"edge":"things","filter":"n in [5 days]"}"#, "INVALID_QUERY"),
    (r#"{"edge":"things","orderBy":"n,"}"#, "INVALID_QUERY"),
    (r#"{"edge":"things","filter":"n >"}"#, "INVALID_QUERY"),
    (r#"{"edge":"things","orderBy":"n up"}"#, "INVALID_QUERY"),
    (r#"{"edge":"things","filter":"n == $x"}"#, "INVALID_QUERY"),
];

/// What a test is to do.
#[derive(Clone, Debug)]
pub enum Step {
    /// A commit, which the server takes or refuses.
    Commit {
        ops: Vec<Op>,
        taken: bool,
    },
    Open {
        client: usize,
        id: u32,
        query: Rc<Query>,
    },
    Close {
        client: usize,
        id: u32,
    },
    /// A query that the server refuses with this code: its JSON.
    Refused {
        client: usize,
        query: &'static str,
        code: &'static str,
    },
    /// A query that is asked once. It is open under this id until the next step.
    Once {
        client: usize,
        id: u32,
        query: Rc<Query>,
    },
    Subscribe {
        client: usize,
        id: u32,
        path: &'static str,
        events: &'static [&'static str],
    },
    Unsubscribe {
        client: usize,
        id: u32,
    },
    /// These subscriptions hear of it once, and no others. Comes when everything is quiet.
    Publish {
        path: &'static str,
        event: &'static str,
        to: Vec<(usize, u32)>,
    },
    /// The connection of a client ends without a word.
    Cut {
        client: usize,
    },
    /// That of all clients goes silent; they notice, or are told to look.
    Stall,
    /// All is slow from now on, or fast again.
    Slow {
        millis: u64,
    },
    /// The client has another token, and connects with it.
    Token {
        client: usize,
        token: &'static str,
    },
    /// The server is killed, and started with [`Operations::rows`].
    Restart,
    Pause {
        millis: u64,
    },
    /// All becomes quiet, and what is shown is what is [expected](Operations::expected).
    Check,
}

#[derive(Default)]
struct Client {
    is_narrow: bool,
    made: u32,
    open: BTreeMap<u32, Rc<Query>>,
    subscriptions: BTreeMap<u32, (&'static str, &'static [&'static str])>,
}

/// Random operations by a seed, with the oracle that knows what comes of them.
pub struct Operations {
    r: Rng,
    store: Store,
    queries: Vec<Rc<Query>>,
    clients: [Client; CLIENTS],
    /// Steps that the last one asks for.
    next: VecDeque<Step>,
    once: Option<(usize, u32)>,
}

/// The wall clock.
pub fn now() -> Nanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is behind 1970");
    i128::try_from(since.as_nanos()).expect("not the end of time")
}

impl Operations {
    pub fn new(seed: u64) -> Self {
        let mut store = Store::default();
        store.define(THINGS, "id", &[]);
        store.define(DATED, "no", &DECLARED_INSTANTS);
        let mut r = Rng::with_seed(seed ^ 0xc11e47);
        let mut generate = Gen { r: &mut r, now: now() };
        let queries = (0..QUERIES).map(|_| Rc::new(generate.query(&LIMITS))).collect();
        let (clients, next, once) = (Default::default(), VecDeque::new(), None);
        Self { r, store, queries, clients, next, once }
    }

    /// What to do next.
    pub fn step(&mut self) -> Step {
        if let Some((client, id)) = self.once.take() {
            self.clients[client].open.remove(&id);
        }
        loop {
            if let Some(step) = self.next.pop_front() {
                return step;
            }
            self.plan();
            if self.r.usize(..100) < CHECKS {
                self.next.push_back(Step::Check);
            }
        }
    }

    fn plan(&mut self) {
        match self.r.usize(..100) {
            0..=44 => self.commit(),
            45..=53 => {
                let millis = *pick(&mut self.r, &[0, 1, 10, 60, 300]);
                self.next.push_back(Step::Pause { millis });
            }
            54..=65 => self.open(),
            66..=70 => self.close(),
            71..=73 => {
                let millis = *pick(&mut self.r, &[0, 2, 20]);
                self.next.push_back(Step::Slow { millis });
            }
            74..=77 => {
                let client = self.r.usize(..CLIENTS);
                self.next.push_back(Step::Cut { client });
                self.commit();
            }
            78 => {
                self.next.push_back(Step::Stall);
                self.commit();
            }
            79..=80 => self.change_token(),
            81..=85 => self.subscribe_or_not(),
            86..=90 => self.publish(),
            91..=92 => {
                let (client, (query, code)) = (self.r.usize(..CLIENTS), *pick(&mut self.r, &BAD));
                self.next.push_back(Step::Refused { client, query, code });
            }
            93..=95 => self.ask_once(),
            96 => self.next.push_back(Step::Restart),
            _ => {
                let at = self.r.usize(..QUERIES);
                let mut generate = Gen { r: &mut self.r, now: now() };
                self.queries[at] = Rc::new(generate.query(&LIMITS));
            }
        }
    }

    fn commit(&mut self) {
        let mut generate = Gen { r: &mut self.r, now: now() };
        let mut ops = generate.ops(IDS);
        // The server's clock is another: a condition on it may hold there and not here.
        ops.retain(|op| !matches!(op, Op::If { filter: Some(filter), .. } if filter.uses_now()));
        if generate.r.usize(..15) == 0 {
            let at = generate.r.usize(..ops.len() + 1);
            let bad = generate.bad_op();
            ops.insert(at, bad);
            return self.next.push_back(Step::Commit { ops, taken: false });
        }
        let taken = self.store.apply_at(&ops, now()).is_ok();
        self.next.push_back(Step::Commit { ops, taken });
    }

    /// A query that a client may ask.
    fn choose(&mut self) -> Option<(usize, u32, Rc<Query>)> {
        let (number, query) = (self.r.usize(..CLIENTS), pick(&mut self.r, &self.queries).clone());
        let client = &mut self.clients[number];
        let is_taken = client.open.len() < OPEN && (!client.is_narrow || query.set == THINGS);
        client.made += u32::from(is_taken);
        is_taken.then_some((number, client.made, query))
    }

    fn open(&mut self) {
        if let Some((client, id, query)) = self.choose() {
            self.clients[client].open.insert(id, query.clone());
            self.next.push_back(Step::Open { client, id, query });
            // Some are given up before they are answered.
            if self.r.usize(..6) == 0 {
                self.end(client, id);
            }
        }
    }

    fn close(&mut self) {
        let client = self.r.usize(..CLIENTS);
        let ids: Vec<u32> = self.clients[client].open.keys().copied().collect();
        if !ids.is_empty() {
            let id = *pick(&mut self.r, &ids);
            self.end(client, id);
        }
    }

    fn end(&mut self, client: usize, id: u32) {
        self.clients[client].open.remove(&id);
        self.next.push_back(Step::Close { client, id });
    }

    fn ask_once(&mut self) {
        if let Some((client, id, query)) = self.choose() {
            self.clients[client].open.insert(id, query.clone());
            self.once = Some((client, id));
            self.next.push_back(Step::Once { client, id, query });
        }
    }

    fn change_token(&mut self) {
        let client = self.r.usize(..CLIENTS);
        let is_narrow = !self.clients[client].is_narrow;
        if is_narrow {
            // What it may not have any more.
            let dated = |(id, query): (&u32, &Rc<Query>)| (query.set == DATED).then_some(*id);
            let dated: Vec<u32> = self.clients[client].open.iter().filter_map(dated).collect();
            dated.into_iter().for_each(|id| self.end(client, id));
            for id in std::mem::take(&mut self.clients[client].subscriptions).into_keys() {
                self.next.push_back(Step::Unsubscribe { client, id });
            }
        }
        self.clients[client].is_narrow = is_narrow;
        let token = if is_narrow { NARROW } else { WIDE };
        self.next.push_back(Step::Token { client, token });
    }

    fn subscribe_or_not(&mut self) {
        let number = self.r.usize(..CLIENTS);
        let client = &mut self.clients[number];
        let ids: Vec<u32> = client.subscriptions.keys().copied().collect();
        if !ids.is_empty() && (ids.len() > 5 || self.r.usize(..3) == 0) {
            let id = *pick(&mut self.r, &ids);
            client.subscriptions.remove(&id);
            return self.next.push_back(Step::Unsubscribe { client: number, id });
        }
        if client.is_narrow {
            return;
        }
        let path = *pick(&mut self.r, &PATHS);
        let events = events_at(path, self.r.bool());
        client.made += 1;
        client.subscriptions.insert(client.made, (path, events));
        self.next.push_back(Step::Subscribe { client: number, id: client.made, path, events });
    }

    fn publish(&mut self) {
        self.next.push_back(Step::Check);
        let path = *pick(&mut self.r, &PATHS);
        let event = *pick(&mut self.r, events_at(path, true));
        let mut to = Vec::new();
        for (number, client) in self.clients.iter().enumerate() {
            for (id, (at, events)) in &client.subscriptions {
                let is_below = path == *at || path.starts_with(&format!("{at}/"));
                if is_below && events.contains(&event) {
                    to.push((number, *id));
                }
            }
        }
        self.next.push_back(Step::Publish { path, event, to });
    }

    /// The ids of the live queries that a client has.
    pub fn open_of(&self, client: usize) -> impl Iterator<Item = u32> {
        self.clients[client].open.keys().copied()
    }

    /// What a live query shows now.
    pub fn expected(&self, client: usize, id: u32) -> Shown {
        let client = &self.clients[client];
        let mut query = (*client.open[&id]).clone();
        if client.is_narrow {
            let seen = build::path("n").ge(build::num("2"));
            query.filter = Some(Expr::And([Some(seen), query.filter].into_iter().flatten().collect()));
        }
        self.store.result(&query, now(), CAP)
    }

    /// All rows of a set, as JSON.
    pub fn rows(&self, set: &str) -> Vec<String> {
        self.store.ids(set).filter_map(|id| self.store.node(set, id)).map(json).collect()
    }
}

fn events_at(path: &str, is_all: bool) -> &'static [&'static str] {
    match path.split('/').next() {
        Some("jobs") if is_all => &["jobStarted", "jobFailed"],
        Some("jobs") => &["jobFailed"],
        Some("actors") => &["actorCheckpoint"],
        _ => &["jobStatistics"],
    }
}

/// A value as JSON.
pub fn json(value: &Val) -> String {
    let joined = |items: Vec<String>| items.join(",");
    match value {
        Val::Nothing => "null".into(),
        Val::Bool(is) => is.to_string(),
        Val::Num(Num::Whole(number)) => number.to_string(),
        Val::Num(Num::Float(number)) => format!("{number:?}"),
        Val::Text(text) | Val::Instant(text, _) => quoted(text),
        Val::List(items) => format!("[{}]", joined(items.iter().map(json).collect())),
        Val::Object(fields) => {
            let field = |(name, value): (&String, &Val)| format!("{}:{}", quoted(name), json(value));
            format!("{{{}}}", joined(fields.iter().map(field).collect()))
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A commit as the body of `POST /batch`.
pub fn batch(ops: &[Op]) -> String {
    let ops: Vec<String> = ops.iter().map(|op| batch_op(op, None)).collect();
    format!("[{}]", ops.join(","))
}

fn batch_op(op: &Op, condition: Option<&str>) -> String {
    let fields = match op {
        Op::Upsert { set, node } => format!(r#""op":"upsert","set":{},"node":{node}"#, quoted(set)),
        Op::Remove { set, id } => format!(r#""op":"remove","set":{},"id":{}"#, quoted(set), quoted(id)),
        Op::Patch { set, id, patch, upsert } => {
            let (set, id) = (quoted(set), quoted(id));
            format!(r#""op":"patch","set":{set},"id":{id},"patch":{patch},"upsert":{upsert}"#)
        }
        Op::Clear { set } => format!(r#""op":"clear","set":{}"#, quoted(set)),
        Op::If { filter, op } => {
            let filter = filter.as_ref().map_or_else(|| "nothing".into(), crate::oracle::plain);
            return batch_op(op, Some(&filter));
        }
    };
    let condition = condition.map(|condition| format!(r#","if":{}"#, quoted(condition))).unwrap_or_default();
    format!("{{{fields}{condition}}}")
}
