//! What is true: the nodes and the events that the host wrote, and what the queries of the tests mean, by code that
//! shares nothing with the engine. All of the past is kept, so that a client can be held against it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use liveset::{AnyToken, Clock, FieldKind, Limits, Liveset, Op, Query, SetDef, Timestamp};
use serde_json::{Value, json};

use crate::network::pick;

/// Sets, with their key fields. The nodes of `notes` are large.
pub const SETS: [(&str, &str); 3] = [("orders", "id"), ("jobs", "no"), ("notes", "id")];
/// A set that the truth knows nothing of, for what a test writes word by word.
pub const SCRIPTED: &str = "scripted";
pub const CAP: usize = 40;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// No two contents of one node have the same.
    pub rev: u64,
    pub customer: u64,
    pub total: i64,
    pub open: bool,
    /// Seconds after the epoch of the tests.
    pub at: i64,
    pub padding: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    All,
    Open,
    Customer(u64),
    Above(i64),
    CustomerAbove(u64, i64),
    /// No older than so many seconds.
    Recent(i64),
    /// Its time has come, or it is open.
    DueOrOpen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Id,
    TotalDesc,
    AtThenTotal,
}

#[derive(Clone, Debug)]
pub struct Question {
    pub set: usize,
    pub filter: Filter,
    pub order: Order,
    pub limit: Option<usize>,
    /// Asks for `rev` and `total` alone.
    pub projected: bool,
}

/// A result at some moment: ids with the revision of their nodes, in order and capped, and how many match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub rows: Vec<(String, u64)>,
    pub total: usize,
}

#[derive(Debug)]
pub struct Truth {
    pub questions: Vec<Question>,
    /// Of each question, its results so far; no two neighbours are the same.
    pub past: Vec<Vec<Shown>>,
    sets: Vec<BTreeMap<String, Node>>,
    /// Every content that a node ever had: set, id, revision.
    contents: BTreeMap<(usize, String, u64), Node>,
    now: i64,
    revisions: u64,
    /// Events so far, in order: path and type.
    pub events: Vec<(String, &'static str)>,
}

impl Node {
    fn json(&self, set: usize, id: &str) -> Value {
        let Self { rev, customer, total, open, at, padding } = self;
        let key = key_value(set, id);
        let (at, padding) = (instant_text(*at), "x".repeat(*padding));
        json!({ SETS[set].1: key, "rev": rev, "customer": format!("c{customer}"), "total": total,
            "open": open, "at": at, "padding": padding })
    }
}

fn key_value(set: usize, id: &str) -> Value {
    if SETS[set].1 == "no" { json!(id.parse::<i64>().expect("a number")) } else { json!(id) }
}

fn instant(seconds: i64) -> Timestamp {
    Timestamp::parse_rfc3339(&instant_text(seconds)).expect("an instant")
}

/// Within January 2024.
fn instant_text(seconds: i64) -> String {
    let (day, hour) = (1 + seconds / 86_400, seconds / 3600 % 24);
    format!("2024-01-{day:02}T{hour:02}:{:02}:{:02}Z", seconds / 60 % 60, seconds % 60)
}

impl Question {
    pub fn random(random: &mut Rng) -> Self {
        let (customer, above) = (random.u64(0..=3), random.u64(0..=12) as i64);
        let filter = match random.usize(..8) {
            0 | 1 => Filter::All,
            2 => Filter::Open,
            3 => Filter::Customer(customer),
            4 => Filter::Above(above),
            5 => Filter::CustomerAbove(customer, above),
            6 => Filter::Recent(*pick(random, &[10, 60, 300])),
            _ => Filter::DueOrOpen,
        };
        Self {
            set: random.usize(..SETS.len()),
            filter,
            order: *pick(random, &[Order::Id, Order::TotalDesc, Order::AtThenTotal]),
            limit: *pick(random, &[None, None, Some(1), Some(3), Some(7)]),
            projected: random.u64(..100) < 25,
        }
    }

    pub fn spec(&self) -> Query {
        let filter = match self.filter {
            Filter::All => None,
            Filter::Open => Some("open".to_owned()),
            Filter::Customer(customer) => Some(format!("customer == 'c{customer}'")),
            Filter::Above(total) => Some(format!("total > {total}")),
            Filter::CustomerAbove(customer, total) => {
                Some(format!("customer == 'c{customer}' and total > {total}"))
            }
            Filter::Recent(seconds) => Some(format!("at > now - {seconds} seconds")),
            Filter::DueOrOpen => Some("at <= now or open".to_owned()),
        };
        let order = match self.order {
            Order::Id => None,
            Order::TotalDesc => Some("total desc".to_owned()),
            Order::AtThenTotal => Some("at, total desc".to_owned()),
        };
        Query {
            set: SETS[self.set].0.to_owned(),
            filter,
            params: Default::default(),
            order_by: order,
            limit: self.limit.map(|limit| limit as u64),
            fields: self.projected.then(|| vec!["rev".to_owned(), "total".to_owned()]),
        }
    }

    pub fn cap(&self) -> usize {
        self.limit.unwrap_or(CAP).min(CAP)
    }

    fn matches(&self, node: &Node, now: i64) -> bool {
        match self.filter {
            Filter::All => true,
            Filter::Open => node.open,
            Filter::Customer(customer) => node.customer == customer,
            Filter::Above(total) => node.total > total,
            Filter::CustomerAbove(customer, total) => node.customer == customer && node.total > total,
            Filter::Recent(seconds) => node.at > now - seconds,
            Filter::DueOrOpen => node.at <= now || node.open,
        }
    }

    fn compare(&self, a: (&String, &Node), b: (&String, &Node)) -> Ordering {
        let by_order = match self.order {
            Order::Id => Ordering::Equal,
            Order::TotalDesc => b.1.total.cmp(&a.1.total),
            Order::AtThenTotal => (a.1.at, b.1.total).cmp(&(b.1.at, a.1.total)),
        };
        by_order.then_with(|| a.0.cmp(b.0))
    }
}

/// An endpoint, and the time that it lives in.
#[derive(Debug)]
pub struct Host {
    pub liveset: Liveset,
    now: i64,
}

impl Host {
    /// An endpoint that has nothing yet.
    pub fn new(limits: Limits) -> Self {
        let mut builder = Liveset::builder().authenticator(AnyToken).clock(Clock::Commits).limits(limits);
        for (name, key) in SETS {
            let set = SetDef::new(name).key(key);
            builder = builder.set(if name == "orders" { set.field("at", FieldKind::Instant) } else { set });
        }
        let liveset = builder.set(SetDef::new(SCRIPTED)).build().expect("an endpoint");
        liveset.set_now(instant(0));
        Self { liveset, now: 0 }
    }
}

impl Truth {
    /// Nothing but questions.
    pub fn new(host: &Host, questions: Vec<Question>) -> Self {
        let mut truth = Self {
            past: vec![Vec::new(); questions.len()],
            questions,
            sets: vec![BTreeMap::new(); SETS.len()],
            contents: BTreeMap::new(),
            now: host.now,
            revisions: 0,
            events: Vec::new(),
        };
        truth.remember();
        truth
    }

    fn recompute(&self, question: &Question) -> Shown {
        let nodes = self.sets[question.set].iter();
        let mut matching: Vec<_> = nodes.filter(|(_, node)| question.matches(node, self.now)).collect();
        matching.sort_by(|a, b| question.compare(*a, *b));
        let rows = matching.iter().take(question.cap()).map(|(id, node)| ((*id).clone(), node.rev)).collect();
        Shown { rows, total: matching.len() }
    }

    fn remember(&mut self) {
        for number in 0..self.questions.len() {
            let shown = self.recompute(&self.questions[number]);
            if self.past[number].last() != Some(&shown) {
                self.past[number].push(shown);
            }
        }
    }

    pub fn present(&self, question: usize) -> &Shown {
        self.past[question].last().expect("a past")
    }

    /// What a client that asked the question is sent of a node.
    pub fn data(&self, question: usize, id: &str, rev: u64) -> Option<Value> {
        let Question { set, projected, .. } = self.questions[question];
        let node = self.contents.get(&(set, id.to_owned(), rev))?;
        Some(if projected {
            json!({ SETS[set].1: key_value(set, id), "rev": rev, "total": node.total })
        } else {
            node.json(set, id)
        })
    }

    // --- writing ---

    /// A commit of up to `most` random operations.
    pub fn commit(&mut self, liveset: &Liveset, random: &mut Rng, most: u64) {
        let ops: Vec<Op> = (0..random.u64(1..=most)).map(|_| self.random_op(random)).collect();
        self.apply(liveset, ops);
    }

    fn apply(&mut self, liveset: &Liveset, ops: Vec<Op>) {
        liveset.commit(|tx| tx.extend(ops.iter().cloned())).expect("good operations");
        self.remember();
    }

    fn random_op(&mut self, random: &mut Rng) -> Op {
        let set = random.usize(..SETS.len());
        let number = random.usize(..if SETS[set].0 == "notes" { 8 } else { 14 });
        let id = if SETS[set].1 == "no" { number.to_string() } else { format!("n{number}") };
        let known = self.sets[set].get(&id).cloned();
        let node = match (random.usize(..10), known) {
            (0..=1, _) => return self.remove(set, id),
            // A patch: one field changes, or none.
            (2..=6, Some(mut node)) => {
                match random.usize(..5) {
                    0 => node.total = random.u64(0..=15) as i64,
                    1 => node.open = !node.open,
                    2 => node.at = self.soon(random),
                    3 => node.customer = random.u64(0..=3),
                    _ => return self.put(set, id, node),
                }
                node
            }
            _ => Node {
                rev: 0,
                customer: random.u64(0..=3),
                total: random.u64(0..=15) as i64,
                open: random.bool(),
                at: self.soon(random),
                padding: random.usize(..if SETS[set].0 == "notes" { 3_000 } else { 30 }),
            },
        };
        self.revisions += 1;
        let node = Node { rev: self.revisions, ..node };
        self.put(set, id, node)
    }

    fn soon(&self, random: &mut Rng) -> i64 {
        (self.now + random.u64(0..=200) as i64 - 100).max(0)
    }

    fn put(&mut self, set: usize, id: String, node: Node) -> Op {
        let json = node.json(set, &id).to_string();
        self.contents.insert((set, id.clone(), node.rev), node.clone());
        self.sets[set].insert(id, node);
        Op::Upsert { set: SETS[set].0.into(), node: json.into() }
    }

    fn remove(&mut self, set: usize, id: String) -> Op {
        self.sets[set].remove(&id);
        Op::Remove { set: SETS[set].0.into(), id }
    }

    /// Takes every node out.
    pub fn clear(&mut self, host: &mut Host) {
        host.now = self.now;
        let ids: BTreeSet<_> = self.contents.keys().map(|(set, id, _)| (*set, id.clone())).collect();
        let ops = ids.into_iter().map(|(set, id)| self.remove(set, id)).collect();
        self.apply(&host.liveset, ops);
    }

    /// Lets `now` go on, without a commit.
    pub fn pass(&mut self, liveset: &Liveset, seconds: u64) {
        self.now += seconds as i64;
        liveset.set_now(instant(self.now));
        self.remember();
    }

    pub fn publish(&mut self, liveset: &Liveset, random: &mut Rng) {
        let path = format!("jobs/{}", random.usize(..3));
        let kind = *pick(random, &["jobStarted", "jobCompleted"]);
        let data = json!({ "number": self.events.len(), "note": "y".repeat(random.usize(..200)) });
        liveset.publish(&path, kind, &data).expect("a declared event");
        self.events.push((path, kind));
    }

    /// The numbers of the events that a subscription is for, so far.
    pub fn events_for(&self, path: &str, kinds: &[String]) -> Vec<usize> {
        let reaches =
            |at: &str| at == path || at.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        let wanted = |(at, kind): &(String, &str)| reaches(at) && kinds.iter().any(|wanted| wanted == kind);
        (0..self.events.len()).filter(|number| wanted(&self.events[*number])).collect()
    }
}
