//! The baseline: every query from scratch after every change.

use std::collections::HashMap;

use crate::{NativeQuery, Order};

/// Orders as structs in one vector, and queries that are run from scratch by compiled closures after every change.
#[derive(Debug)]
pub struct Recompute {
    orders: Vec<Order>,
    queries: Vec<NativeQuery>,
    results: Vec<Outcome>,
}

/// A result: how many match, and the number and version of each in the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    total: usize,
    rows: Vec<(u32, u32)>,
}

impl Recompute {
    /// Runs every query once.
    pub fn new(orders: &[Order], queries: Vec<NativeQuery>) -> Self {
        let orders = orders.to_vec();
        let results = queries.iter().map(|query| run(&orders, query)).collect();
        Self { orders, queries, results }
    }

    /// Applies a change, runs every query, and returns how many nodes came, went or changed in their windows. Costs
    /// O(orders × queries).
    pub fn apply(&mut self, change: &Order) -> usize {
        self.orders[change.number as usize].clone_from(change);
        let mut changes = 0;
        for (query, before) in self.queries.iter().zip(&mut self.results) {
            let after = run(&self.orders, query);
            if after != *before {
                changes += differences(before, &after);
                *before = after;
            }
        }
        changes
    }

    /// The ids in the window of a query, in order.
    pub fn ids(&self, query: usize) -> Vec<String> {
        self.results[query].rows.iter().map(|(number, _)| self.orders[*number as usize].id()).collect()
    }

    /// How many orders match a query.
    pub fn total(&self, query: usize) -> usize {
        self.results[query].total
    }

    /// Runs one query and returns how many match.
    pub fn once(&self, query: usize) -> usize {
        run(&self.orders, &self.queries[query]).total
    }
}

fn run(orders: &[Order], query: &NativeQuery) -> Outcome {
    let mut rows: Vec<&Order> = orders.iter().filter(|order| (query.test)(order)).collect();
    let total = rows.len();
    // Sort no more than what is shown.
    if total > query.limit {
        rows.select_nth_unstable_by(query.limit - 1, |a, b| (query.compare)(a, b));
        rows.truncate(query.limit);
    }
    rows.sort_unstable_by(|a, b| (query.compare)(a, b));
    Outcome { total, rows: rows.iter().map(|order| (order.number, order.version)).collect() }
}

fn differences(before: &Outcome, after: &Outcome) -> usize {
    let held: HashMap<u32, u32> = before.rows.iter().copied().collect();
    let (mut kept, mut changes) = (0, 0);
    for (number, version) in &after.rows {
        match held.get(number) {
            Some(old) => {
                kept += 1;
                changes += usize::from(old != version);
            }
            None => changes += 1,
        }
    }
    changes + before.rows.len() - kept
}
