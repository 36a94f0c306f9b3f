//! The set of orders, and changes to it.

use std::fmt::Write;

use liveset_engine::{FieldKind, Instant, Op, SetDef};

use crate::Random;

/// The statuses of an order.
pub const STATUSES: [&str; 6] = ["new", "paid", "packed", "sent", "done", "cancelled"];

/// The wall time of all benchmarks, in seconds since 1970: 2024-03-01T00:00:00Z.
const NOW: i64 = 1_709_251_200;
const NOTE: usize = 100;

/// The wall time of all benchmarks.
pub fn now() -> Instant {
    instant(NOW)
}

fn instant(seconds: i64) -> Instant {
    Instant::from_unix_nanos(i128::from(seconds) * 1_000_000_000).expect("a moment of our time")
}

/// The set `orders`.
pub fn orders_set() -> SetDef {
    SetDef::new("orders", "id").field("createdAt", FieldKind::Instant, true)
}

/// An order, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its place in the set, from 0.
    pub number: u32,
    /// One of [`STATUSES`].
    pub status: u8,
    /// From 0.
    pub customer: u32,
    /// 0 to 49.
    pub region: u8,
    /// In hundredths.
    pub total: u32,
    /// Seconds before [`now`].
    pub age: u32,
    /// 0 to 5.
    pub priority: u8,
    /// Up to 3 of 20, sorted.
    pub tags: Vec<u8>,
    /// 100 bytes.
    pub note: String,
    /// How often it was changed. Not part of the JSON.
    pub version: u32,
}

impl Order {
    /// The id as it is in the JSON; sorts as the number does.
    pub fn id(&self) -> String {
        format!("order-{:07}", self.number)
    }

    /// As a node.
    pub fn json(&self) -> String {
        let mut json = format!(
            r#"{{"id":"{}","status":"{}","customer":"customer-{}","region":"region-{}","total":{}.{:02},"createdAt":"{}","priority":{},"tags":["#,
            self.id(),
            STATUSES[usize::from(self.status)],
            self.customer,
            self.region,
            self.total / 100,
            self.total % 100,
            instant(NOW - i64::from(self.age)),
            self.priority,
        );
        for (place, tag) in self.tags.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(json, r#"{comma}"tag-{tag}""#).expect("text takes text");
        }
        write!(json, r#"],"note":"{}"}}"#, self.note).expect("text takes text");
        json
    }

    /// As an operation of a commit.
    pub fn upsert(&self) -> Op {
        Op::Upsert { set: "orders".into(), node: self.json().into() }
    }

    fn random(number: u32, of: u32, random: &mut Random) -> Self {
        let mut order = Self {
            number,
            status: random.below(6) as u8,
            customer: random.below((of / 10).max(1)),
            region: random.below(50) as u8,
            total: random.below(200_000),
            age: random.below(30 * 86_400),
            priority: random.below(6) as u8,
            tags: Vec::new(),
            note: (0..NOTE).map(|_| char::from(b'a' + random.below(26) as u8)).collect(),
            version: 0,
        };
        order.shuffle_tags(random);
        order
    }

    fn shuffle_tags(&mut self, random: &mut Random) {
        self.tags = (0..random.below(4)).map(|_| random.below(20) as u8).collect();
        self.tags.sort_unstable();
        self.tags.dedup();
    }

    /// The order with something else about it.
    fn changed(&self, random: &mut Random) -> Self {
        let mut order = self.clone();
        order.version += 1;
        match random.below(10) {
            0..5 => order.status = (order.status + 1 + random.below(5) as u8) % 6,
            5..8 => order.total = (order.total + 1 + random.below(199_999)) % 200_000,
            8 => order.priority = (order.priority + 1 + random.below(5) as u8) % 6,
            _ => {
                order.shuffle_tags(random);
                // The tags may have come out as they were.
                order.total = (order.total + 1) % 200_000;
            }
        }
        order
    }
}

/// A set of orders and an endless stream of changes to them, both from a seed.
#[derive(Clone, Debug)]
pub struct Workload {
    orders: Vec<Order>,
    random: Random,
}

impl Workload {
    /// `nodes` orders.
    pub fn new(nodes: u32, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let orders = (0..nodes).map(|number| Order::random(number, nodes, &mut random)).collect();
        Self { orders, random }
    }

    /// The orders as they are after the changes so far.
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// Changes one order, and returns it as it is now.
    pub fn change(&mut self) -> Order {
        let at = self.random.below(self.orders.len() as u32) as usize;
        let order = self.orders[at].changed(&mut self.random);
        self.orders[at] = order.clone();
        order
    }

    /// The next `count` changes.
    pub fn changes(&mut self, count: usize) -> Vec<Order> {
        (0..count).map(|_| self.change()).collect()
    }
}
