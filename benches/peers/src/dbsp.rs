//! `dbsp`, the engine of Feldera: a circuit of one worker (with the threads that it wants behind it), without storage.
//!
//! Queries of one class are rows of a relation, joined with the orders by what they ask for: the customer, or (the incremental join
//! is by equality) the bucket of totals, filtered behind it. [`Class::A1`] is a circuit of its own, its filter compiled. The cap is `topk_asc` in
//! the group of each query.
//!
//! Less than Liveset: is given structs, and what each order was before (as a Z-set; the input by key, `add_input_map`, would find that
//! by itself and cost more); does not count what is beyond the cap; tells an update as a removal and an addition, without a reason.

use std::mem;

use dbsp::{
    DBSPHandle, OrdIndexedZSet, OutputHandle, Runtime, ZSetHandle, ZWeight,
    typed_batch::{IndexedZSetReader, SpineSnapshot},
    utils::Tup2,
};
use feldera_macros::IsNone;
use rkyv::{Archive, Deserialize, Serialize};
use size_of::SizeOf;

use crate::{
    Peer,
    workload::{self, CAP, Change, Class, PROCESSING, Tally},
};

type Rows = Vec<Tup2<Order, ZWeight>>;

/// Sorts as a result does: newest first, then by id.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    SizeOf,
    Archive,
    Serialize,
    Deserialize,
    IsNone,
)]
#[archive_attr(derive(PartialEq, Eq, PartialOrd, Ord))]
pub struct Order {
    age: u32,
    number: u32,
    status: u8,
    customer: u32,
    region: u8,
    total: u32,
    priority: u8,
    tags: Vec<u8>,
    note: String,
}

pub struct Dbsp {
    circuit: DBSPHandle,
    orders: ZSetHandle<Order>,
    /// The bucket that it asks for, its number, and the first of its keys.
    queries: ZSetHandle<Tup2<u32, Tup2<u32, u32>>>,
    results: OutputHandle<SpineSnapshot<OrdIndexedZSet<u32, Order>>>,
    /// How many orders there were in the beginning.
    of: u32,
    /// Where a query is a circuit of its own, the orders go in when it is opened.
    pending: Rows,
    class: Class,
    tally: Tally,
}

impl Peer for Dbsp {
    type Commit = Rows;

    fn new(orders: u32, class: Class) -> Self {
        let (circuit, (orders_in, queries, results)) = Runtime::init_circuit(1, move |circuit| {
            let (orders, orders_in) = circuit.add_input_zset::<Order>();
            let (queries, queries_in) = circuit.add_input_zset::<Tup2<u32, Tup2<u32, u32>>>();
            let matches = match class {
                Class::A1 => {
                    orders.filter(|order| order.status == PROCESSING).map_index(|order| (0, order.clone()))
                }
                Class::B(_) | Class::D(_) => orders
                    .map_index(move |order| (bucket(class, key(class, order)), order.clone()))
                    .join_index(
                        &queries.map_index(|Tup2(bucket, query)| (*bucket, *query)),
                        move |_, order, Tup2(query, from)| {
                            (*from..from + class.span())
                                .contains(&key(class, order))
                                .then(|| (*query, order.clone()))
                        },
                    ),
            };
            Ok((orders_in, queries_in, matches.topk_asc(CAP).accumulate_output()))
        })
        .expect("a circuit");
        let (pending, tally) = (Rows::new(), Tally::default());
        Self { circuit, orders: orders_in, queries, results, of: orders, pending, class, tally }
    }

    fn load(&mut self, orders: Rows) {
        match self.class {
            Class::A1 => self.pending = orders,
            Class::B(_) | Class::D(_) => self.apply(orders),
        }
    }

    fn open(&mut self) {
        let orders = mem::take(&mut self.pending);
        if self.class != Class::A1 {
            for query in 0..self.class.queries() {
                let keys = self.class.keys(query, self.of);
                let buckets = bucket(self.class, keys.start)..=bucket(self.class, keys.end - 1);
                buckets.for_each(|bucket| self.queries.push(Tup2(bucket, Tup2(query, keys.start)), 1));
            }
        }
        self.apply(orders);
    }

    fn prepare(&self, changes: Vec<Change>) -> Rows {
        changes
            .iter()
            .flat_map(|Change { before, after }| {
                let before = before.iter().map(|order| Tup2(row(order), -1));
                before.chain(after.iter().map(|order| Tup2(row(order), 1)))
            })
            .collect()
    }

    fn apply(&mut self, mut commit: Rows) {
        self.orders.append(&mut commit);
        self.circuit.transaction().expect("a sound circuit");
        for (query, order, weight) in self.results.concat().iter() {
            self.tally.count(query, order.number, weight);
        }
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

fn row(order: &workload::Order) -> Order {
    Order {
        age: u32::MAX - order.created,
        number: order.number,
        status: order.status,
        customer: order.customer,
        region: order.region,
        total: order.total,
        priority: order.priority,
        tags: order.tags.clone(),
        note: order.note.clone(),
    }
}

/// As [`Class::key`].
fn key(class: Class, order: &Order) -> u32 {
    match class {
        Class::A1 => u32::from(order.status),
        Class::B(_) => order.customer,
        Class::D(_) => order.total,
    }
}

/// What is joined: the customer, or as many totals as a query spans, so that it spans two buckets at most.
fn bucket(class: Class, key: u32) -> u32 {
    key / class.span()
}
