//! What clients ask, and what they must hold in the end: worked out from the orders that were written, by plain filtering and
//! sorting.

use std::{collections::BTreeMap, sync::Arc};

use liveset::Liveset;
use liveset_core::{LiveResult, Query};

use super::Outcome;
use crate::{BenchQuery, Class, OrderRow, Shape, Sort, Step, Workload, instant, json_op};

/// The orders as the writer left them.
pub(super) type Rows = BTreeMap<u64, Arc<OrderRow>>;

/// Brings the rows up to date with what was written.
fn apply(rows: &mut Rows, step: &Step) {
    match step {
        Step::Put(row) => drop(rows.insert(row.id, row.clone())),
        Step::Remove(id) => drop(rows.remove(id)),
    }
}

/// Writes changes to orders, and remembers the orders.
pub(super) struct Writer {
    pub(super) liveset: Liveset,
    pub(super) workload: Workload,
    pub(super) rows: Rows,
    pub(super) changes: u64,
}

impl Writer {
    /// Writes the orders as they are at first.
    pub(super) fn new(liveset: Liveset, workload: Workload) -> Outcome<Self> {
        let steps: Vec<Step> = workload.orders().iter().map(|row| Step::Put(row.clone())).collect();
        let mut writer = Self { liveset, workload, rows: Rows::new(), changes: 0 };
        for some in steps.chunks(10_000) {
            writer.commit(some)?;
        }
        writer.changes = 0;
        Ok(writer)
    }

    pub(super) fn commit(&mut self, steps: &[Step]) -> Outcome {
        self.liveset.at(instant(self.workload.now())).commit(|tx| tx.extend(steps.iter().map(json_op)))?;
        steps.iter().for_each(|step| apply(&mut self.rows, step));
        self.changes += steps.len() as u64;
        Ok(())
    }

    /// What a query must show, and how many orders match it.
    pub(super) fn recomputed(&self, query: &BenchQuery, fields: bool, positions: bool) -> (Digest, usize) {
        Digest::recomputed(&self.rows, self.workload.now(), query, fields, positions)
    }
}

/// The queries of the overload: one customer each, of about ten orders; every other one holds fewer than there are.
pub(super) fn customer(number: usize) -> BenchQuery {
    let cap = if number.is_multiple_of(2) { 100 } else { 8 };
    BenchQuery { shape: Shape::Customer(number as u32), sort: Sort::Newest, cap }
}

/// Orders for so many queries of that kind.
pub(super) fn orders_for(queries: usize) -> u32 {
    queries as u32 * 10
}

/// The queries of the soak: of all shapes, with windows from three orders to a thousand.
pub(super) fn mixed(nodes: u32) -> Vec<BenchQuery> {
    let mut queries = Class::G.queries(150, nodes);
    for (query, cap) in queries.iter_mut().zip([50, 10, 3].into_iter().cycle()) {
        query.cap = cap;
    }
    queries.extend(Class::A1.queries(1, nodes));
    queries.extend(Class::A2.queries(1, nodes).into_iter().map(|query| BenchQuery { cap: 25, ..query }));
    queries.extend(Class::E.queries(20, nodes));
    queries
}

/// Who asks what, and who stalls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) connections: usize,
    pub(super) queries: usize,
    /// Of the connections of each query, in percent.
    pub(super) stalled: usize,
}

impl Plan {
    /// The query of a connection.
    pub(super) fn query(&self, connection: usize) -> usize {
        connection % self.queries
    }

    /// Whether a connection stops reading after its first result.
    pub(super) fn stalls(&self, connection: usize) -> bool {
        let place = connection / self.queries;
        place * self.stalled / 100 != (place + 1) * self.stalled / 100
    }
}

/// As the protocol has it.
pub(super) fn spec(query: &BenchQuery, fields: bool) -> Query {
    let query = query.query();
    Query {
        set: query.set,
        filter: query.filter,
        params: query.params,
        order_by: query.order_by,
        limit: query.limit,
        fields: fields.then(|| vec!["status".into(), "total".into()]),
    }
}

/// A result, in short: how many rows, and a number that all their bytes go into, and their order where that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) rows: usize,
    pub(super) sum: u64,
}

impl Digest {
    /// Of rows by id, in any order unless places are given.
    fn of<'r>(rows: impl Iterator<Item = (Option<usize>, &'r str, &'r [u8])>) -> Self {
        let mut digest = Self::default();
        for (place, id, data) in rows {
            digest.rows += 1;
            let place = place.map_or(0, |place| place as u64 + 1).to_be_bytes();
            let bytes = place.iter().chain(id.as_bytes()).chain(&[0]).chain(data);
            // FNV-1a; the sum does not depend on the order.
            let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
            });
            digest.sum = digest.sum.wrapping_add(hash);
        }
        digest
    }

    /// Of what a client has folded.
    pub(super) fn folded(result: &LiveResult) -> Self {
        match result.ordered() {
            Some(rows) => Self::of(rows.enumerate().map(|(place, (id, data))| (Some(place), &**id, &**data))),
            None => Self::of(result.rows().map(|(id, data)| (None, &**id, &**data))),
        }
    }

    /// Of what the query must show, and how many orders match it.
    fn recomputed(rows: &Rows, now: i64, query: &BenchQuery, fields: bool, positions: bool) -> (Self, usize) {
        let mut found: Vec<&OrderRow> =
            rows.values().map(|row| &**row).filter(|row| query.shape.matches(row, now)).collect();
        let total = found.len();
        found.sort_by_key(|row| query.sort.place(row));
        found.truncate(query.cap);
        let shown: Vec<(String, Vec<u8>)> =
            found.iter().map(|row| (row.id.to_string(), shown(row, fields))).collect();
        let rows = shown.iter().enumerate();
        (Self::of(rows.map(|(place, (id, data))| (positions.then_some(place), &**id, &**data))), total)
    }
}

/// An order's JSON, or the key, status and total of it.
fn shown(row: &OrderRow, fields: bool) -> Vec<u8> {
    let json = row.json();
    if !fields {
        return json.to_vec();
    }
    let json = String::from_utf8_lossy(&json);
    let field = |name: &str| {
        let start = json.find(&format!("\"{name}\":")).expect("an order has it");
        let len = json[start..].find(',').expect("it is not the last");
        &json[start..start + len]
    };
    format!("{{{},{},{}}}", field("id"), field("status"), field("total")).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_each_querys_connections_stalls() {
        let plan = Plan { connections: 10_000, queries: 1_000, stalled: 20 };
        for query in [0, 1, 999] {
            let of: Vec<usize> = (0..10_000).filter(|connection| plan.query(*connection) == query).collect();
            assert_eq!((of.len(), of.iter().filter(|number| plan.stalls(**number)).count()), (10, 2));
        }
    }

    #[test]
    fn a_digest_tells_results_apart() {
        let workload = Workload::new(100, 1);
        let mut rows = Rows::new();
        workload.orders().iter().for_each(|row| apply(&mut rows, &Step::Put(row.clone())));
        let query = BenchQuery { shape: Shape::Every, sort: Sort::Dearest, cap: 50 };
        let of = |rows: &Rows, sort, fields, positions| {
            Digest::recomputed(rows, workload.now(), &BenchQuery { sort, ..query.clone() }, fields, positions)
        };
        let (all, total) = of(&rows, Sort::Dearest, false, false);
        assert_eq!((all.rows, total), (50, 100));
        assert_ne!(all, of(&rows, Sort::Newest, false, false).0, "other rows");
        assert_ne!(all, of(&rows, Sort::Dearest, true, false).0, "other bytes");
        assert_ne!(all, of(&rows, Sort::Dearest, false, true).0, "in their order");
        let dearest = *rows.iter().max_by_key(|(_, row)| row.total).expect("a row").0;
        apply(&mut rows, &Step::Remove(dearest));
        assert_ne!(all, of(&rows, Sort::Dearest, false, false).0, "without one");
    }
}
