//! The engine with live queries over the orders: all that this package asks of the engine stands here.

use std::{collections::BTreeMap, sync::Arc};

use liveset_engine::{
    Engine, EngineLimits, FeedId, FieldKind, HashSeed, Op, Plan, Query, SetDef, Stats, Timestamp, Update,
};

use crate::{OrderRow, Step};

const SET: &str = "orders";

/// An engine that holds the orders and keeps queries true.
#[derive(Debug)]
pub struct Live {
    engine: Engine,
    now: Timestamp,
    feeds: Vec<FeedId>,
}

/// The set of orders.
pub fn orders_set() -> SetDef {
    SetDef::new(SET).required("createdAt", FieldKind::Instant)
}

/// A moment of a workload, as the engine has it.
pub fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_unix_nanos(i128::from(seconds) * 1_000_000_000).expect("a moment of our time")
}

/// A change with its order as JSON.
pub fn json_op(step: &Step) -> Op {
    match step {
        Step::Put(row) => Op::Upsert { set: SET.into(), node: row.json() },
        Step::Remove(id) => Op::Remove { set: SET.into(), id: id.to_string() },
    }
}

impl Live {
    /// Loads the orders.
    pub fn new(orders: &[Arc<OrderRow>], now: i64) -> Self {
        let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
        engine.define_set(orders_set()).expect("a set");
        let now = instant(now);
        for some in orders.chunks(10_000) {
            let ops = some.iter().map(|order| json_op(&Step::Put(order.clone()))).collect();
            engine.commit(now, ops).expect("orders are sound");
        }
        Self { engine, now, feeds: Vec::new() }
    }

    /// A change with its order as the engine holds it: read ahead of the commit.
    pub fn node_op(&self, step: &Step) -> Op {
        let mut op = [json_op(step)];
        self.engine.row_reader([SET]).read(&mut op);
        let [op] = op;
        op
    }

    /// Applies a commit and drains what comes of it. Returns how many nodes came, went or changed in the windows.
    pub fn apply(&mut self, now: i64, ops: Vec<Op>) -> usize {
        let mut changes = 0;
        self.commit(now, ops, |update| changes += update.len());
        changes
    }

    /// Applies a commit and hands over what comes of it, once all queries are up to it.
    pub fn commit(&mut self, now: i64, ops: Vec<Op>, mut tell: impl FnMut(Update)) {
        self.now = instant(now);
        self.engine.commit(self.now, ops).expect("orders are sound");
        loop {
            while let Some(update) = self.engine.poll_update() {
                tell(update);
            }
            // A query that a commit costs more than a hold takes it in slices.
            let is_due = self.engine.poll_timeout().is_some_and(|at| at <= self.now);
            if !is_due || self.engine.stats().behind == 0 {
                return;
            }
            self.engine.handle_timeout(self.now);
        }
    }

    /// Checks a query.
    pub fn prepare(&self, query: &Query) -> Plan {
        self.engine.prepare(query).expect("queries are sound").without_counts()
    }

    /// Opens a query, on top of those that are open.
    pub fn open(&mut self, query: &Query) -> FeedId {
        let plan = self.prepare(query);
        let (feed, _) = self.engine.open(self.now, &plan).expect("there is room");
        self.feeds.push(feed);
        feed
    }

    /// Closes what was opened.
    pub fn close(&mut self, feed: FeedId) {
        if let Some(at) = self.feeds.iter().rposition(|open| *open == feed) {
            self.feeds.swap_remove(at);
            self.engine.close(feed);
        }
    }

    /// The result of a query: how many match, and the ids in the window.
    pub fn once(&mut self, plan: &Plan) -> (u64, Vec<String>) {
        let snapshot = self.engine.evaluate(self.now, plan).expect("few fields are read");
        (snapshot.count.total, snapshot.rows.iter().map(|row| row.id().to_owned()).collect())
    }

    /// What the engine holds and has done.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The bytes that the engine says its windows and indexes hold.
    pub fn bytes(&self) -> Option<u64> {
        let stats = self.engine.stats();
        Some(stats.window_bytes + stats.index_bytes)
    }

    /// The feeds of the open queries, each once, with how many of them share it.
    pub fn feeds(&self) -> BTreeMap<FeedId, usize> {
        let mut feeds = BTreeMap::new();
        self.feeds.iter().for_each(|feed| *feeds.entry(*feed).or_default() += 1);
        feeds
    }
}
