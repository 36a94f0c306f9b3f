//! The engine with live queries over the orders.

use std::collections::BTreeMap;

use liveset_engine::{Engine, EngineLimits, FeedId, Op, Plan, Query, Stats};

use crate::{Order, now, orders_set};

/// An engine that holds the orders and keeps queries true.
#[derive(Debug)]
pub struct Live {
    engine: Engine,
    feeds: Vec<FeedId>,
}

impl Live {
    /// Loads the orders and opens the queries.
    pub fn new<'a>(orders: &[Order], queries: impl IntoIterator<Item = &'a Query>) -> Self {
        let mut engine = Engine::new(EngineLimits::default());
        engine.define_set(orders_set()).expect("a set");
        for some in orders.chunks(10_000) {
            engine.commit(now(), some.iter().map(Order::upsert).collect()).expect("orders are sound");
        }
        let mut live = Self { engine, feeds: Vec::new() };
        for query in queries {
            let feed = live.open(query);
            live.feeds.push(feed);
        }
        live
    }

    /// Applies a commit and drains what comes of it. Returns how many nodes came, went or changed in the windows.
    pub fn apply(&mut self, ops: Vec<Op>) -> usize {
        self.engine.commit(now(), ops).expect("orders are sound");
        let mut changes = 0;
        while let Some(update) = self.engine.poll_update() {
            changes += update.nodes().len();
        }
        changes
    }

    /// Checks a query.
    pub fn prepare(&self, query: &Query) -> Plan {
        self.engine.prepare(query).expect("queries are sound")
    }

    /// Opens a query, on top of those that are open.
    pub fn open(&mut self, query: &Query) -> FeedId {
        let plan = self.prepare(query);
        self.engine.open(now(), &plan).expect("there is room").0
    }

    /// Closes what was opened.
    pub fn close(&mut self, feed: FeedId) {
        self.engine.close(feed);
    }

    /// The result of a query, once: how many match, and the ids in the window.
    pub fn once(&mut self, plan: &Plan) -> (usize, Vec<String>) {
        let snapshot = self.engine.evaluate(now(), plan);
        (snapshot.total_count as usize, snapshot.rows.iter().map(|(id, _)| id.to_string()).collect())
    }

    /// How many nodes match a query, by a run over all of them.
    pub fn count(&mut self, plan: &Plan) -> u64 {
        self.engine.evaluate(now(), plan).total_count
    }

    /// What the engine holds and has done.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The feeds of the queries it was made with, each once, with how many of them share it.
    pub fn feeds(&self) -> BTreeMap<FeedId, usize> {
        let mut feeds = BTreeMap::new();
        self.feeds.iter().for_each(|feed| *feeds.entry(*feed).or_default() += 1);
        feeds
    }
}
