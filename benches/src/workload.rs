//! The set of orders, and changes to it.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Class, NOTE, OrderRow, Random, Tags, Zipf};

/// The wall time at which every workload begins, in seconds since 1970: 2024-03-01T00:00:00Z.
const START: i64 = 1_709_251_200;
/// Ids have eight digits, so that their text sorts as they do.
const FIRST_ID: u64 = 10_000_000;
const TOTALS: u32 = 200_000;
/// In so many letters the notes of class P begin alike.
pub(crate) const ALIKE: usize = 30;

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new order, or another version of one.
    Put(Arc<OrderRow>),
    /// The end of the order of this id.
    Remove(u64),
}

/// A change as it comes.
pub(crate) enum Raw {
    Put(Bytes),
    Remove(u64),
}

impl Raw {
    pub(crate) fn of(step: &Step) -> Self {
        match step {
            Step::Put(row) => Self::Put(row.json()),
            Step::Remove(id) => Self::Remove(*id),
        }
    }

    pub(crate) fn parsed(&self) -> Step {
        match self {
            Self::Put(json) => Step::Put(OrderRow::parse(json).expect("an order").into()),
            Self::Remove(id) => Step::Remove(*id),
        }
    }
}

/// A set of orders and an endless stream of changes to them, both from a seed: of ten changes four give an order another
/// status, four another total, one adds an order made just now, one removes an order. A second passes with each.
#[derive(Clone, Debug)]
pub struct Workload {
    orders: Vec<Arc<OrderRow>>,
    random: Random,
    customers: u32,
    /// Where some customers have far more orders than others.
    zipf: Option<Arc<Zipf>>,
    /// Letters in which all notes begin alike.
    alike: usize,
    next_id: u64,
    now: i64,
}

impl Workload {
    /// `nodes` orders of a tenth as many customers, all alike.
    pub fn new(nodes: u32, seed: u64) -> Self {
        Self::of(nodes, seed, None, 0)
    }

    /// The orders that a class is measured over: in G orders per customer go by Zipf's law, the first has one in ten of 100,000; in P
    /// all notes begin alike.
    pub fn of_class(class: Class, nodes: u32, seed: u64) -> Self {
        let zipf = (class == Class::G).then(|| Arc::new(Zipf::new(customers(nodes))));
        Self::of(nodes, seed, zipf, if class == Class::P { ALIKE } else { 0 })
    }

    fn of(nodes: u32, seed: u64, zipf: Option<Arc<Zipf>>, alike: usize) -> Self {
        let mut workload = Self {
            orders: Vec::with_capacity(nodes as usize),
            random: Random::new(seed),
            customers: customers(nodes),
            zipf,
            alike,
            next_id: FIRST_ID,
            now: START,
        };
        for _ in 0..nodes {
            let created = START - i64::from(workload.random.below(30 * 86_400));
            let order = workload.order(created);
            workload.orders.push(order);
        }
        workload
    }

    /// A copy that shares nothing with this one.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let orders = self.orders.iter().map(|order| Arc::new(OrderRow::clone(order))).collect();
        Self { orders, ..self.clone() }
    }

    /// The orders as they are after the changes so far.
    pub fn orders(&self) -> &[Arc<OrderRow>] {
        &self.orders
    }

    /// The wall time after the changes so far, in seconds since 1970.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// The next change.
    pub fn step(&mut self) -> Step {
        self.now += 1;
        let kind = self.random.below(10);
        if kind == 0 || self.orders.is_empty() {
            let order = self.order(self.now);
            self.orders.push(order.clone());
            return Step::Put(order);
        }
        let at = self.random.below(self.orders.len() as u32) as usize;
        if kind == 1 {
            return Step::Remove(self.orders.swap_remove(at).id);
        }
        let mut order = OrderRow::clone(&self.orders[at]);
        if kind < 6 {
            order.status = (order.status + 1 + self.random.below(5) as u8) % 6;
        } else {
            order.total = (order.total + 1 + self.random.below(TOTALS - 1)) % TOTALS;
        }
        let order = Arc::new(order);
        self.orders[at] = order.clone();
        Step::Put(order)
    }

    /// The next `count` changes.
    pub fn steps(&mut self, count: usize) -> Vec<Step> {
        (0..count).map(|_| self.step()).collect()
    }

    /// A new order.
    fn order(&mut self, created: i64) -> Arc<OrderRow> {
        let (id, alike, random) = (self.next_id, self.alike, &mut self.random);
        self.next_id += 1;
        let customer = match &self.zipf {
            Some(zipf) => zipf.draw(random),
            None => random.below(self.customers),
        };
        Arc::new(OrderRow {
            id,
            created,
            note: (0..NOTE)
                .map(|place| if place < alike { 'a' } else { char::from(b'a' + random.below(26) as u8) })
                .collect(),
            total: random.below(TOTALS),
            customer,
            tags: (0..random.below(4)).fold(Tags::default(), |tags, _| Tags(tags.0 | 1 << random.below(20))),
            status: random.below(6) as u8,
            region: random.below(50) as u8,
            priority: random.below(6) as u8,
        })
    }
}

/// How many customers a set of so many orders has.
pub fn customers(nodes: u32) -> u32 {
    (nodes / 10).max(1)
}
