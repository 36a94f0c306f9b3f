//! Orders, changes to them, and the queries over them: plain structs from a seed.

use std::{cmp::Reverse, ops::Range, sync::Arc};

use fastrand::Rng;

/// The statuses of an order.
pub const STATUSES: [&str; 6] = ["new", "processing", "packed", "sent", "done", "cancelled"];
/// The status that [`Class::A1`] asks for, by its place in [`STATUSES`].
pub const PROCESSING: u8 = 1;
/// Totals are below this, in hundredths.
pub const TOTALS: u32 = 200_000;
/// How much of [`TOTALS`] one query of [`Class::D`] spans: a thousandth.
pub const SPAN: u32 = 200;
/// The most orders that a result holds.
pub const CAP: usize = 1_000;
/// 2024-03-01T00:00:00Z, in seconds since 1970: no order is younger.
pub const NOW: u32 = 1_709_251_200;

/// An order. The derived order of values is no result's: each peer puts in front what its result is sorted by.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "differential", derive(serde::Serialize, serde::Deserialize))]
pub struct Order {
    /// Its id.
    pub number: u32,
    /// One of [`STATUSES`].
    pub status: u8,
    /// 0 to N/10.
    pub customer: u32,
    /// 0 to 49.
    pub region: u8,
    /// In hundredths, below [`TOTALS`].
    pub total: u32,
    /// In seconds since 1970.
    pub created: u32,
    /// 0 to 5.
    pub priority: u8,
    /// Up to 3 of 20, sorted.
    pub tags: Vec<u8>,
    /// 100 bytes.
    pub note: String,
}

/// One order's change: before and after, where it was and is.
#[derive(Clone, Debug)]
pub struct Change {
    pub before: Option<Arc<Order>>,
    pub after: Option<Arc<Order>>,
}

/// What the live queries ask. All of them are ordered by the moment of creation, newest first, and hold [`CAP`] orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// One query, by a status: it holds a sixth of all orders, and so nearly always more than the cap.
    A1,
    /// So many queries, each by one customer: about ten orders each.
    B(u32),
    /// So many queries, each by a range of [`SPAN`] totals: about a thousandth of all orders each.
    D(u32),
}

impl Class {
    /// How many queries these are.
    pub fn queries(self) -> u32 {
        match self {
            Self::A1 => 1,
            Self::B(queries) | Self::D(queries) => queries,
        }
    }

    /// What decides about an order: its status, customer or total.
    pub fn key(self, order: &Order) -> u32 {
        match self {
            Self::A1 => u32::from(order.status),
            Self::B(_) => order.customer,
            Self::D(_) => order.total,
        }
    }

    /// The keys that one query asks for, of `orders` in the beginning. Queries are spread over all keys there are.
    pub fn keys(self, query: u32, orders: u32) -> Range<u32> {
        let spread = |keys: u32| (u64::from(query) * u64::from(keys) / u64::from(self.queries())) as u32;
        let from = match self {
            Self::A1 => u32::from(PROCESSING),
            Self::B(_) => spread(orders / 10),
            Self::D(_) => spread(TOTALS - SPAN),
        };
        from..from + self.span()
    }

    /// How many keys one query asks for.
    pub fn span(self) -> u32 {
        match self {
            Self::A1 | Self::B(_) => 1,
            Self::D(_) => SPAN,
        }
    }
}

/// The orders and an endless stream of changes: of ten, eight are updates of a status or a total, one is an insertion, one
/// a deletion.
#[derive(Debug)]
pub struct Workload {
    random: Rng,
    customers: u32,
    next: u32,
    pub orders: Vec<Arc<Order>>,
}

impl Workload {
    pub fn new(orders: u32, seed: u64) -> Self {
        let mut workload =
            Self { random: Rng::with_seed(seed), customers: (orders / 10).max(1), next: 0, orders: Vec::new() };
        for _ in 0..orders {
            workload.insert();
        }
        workload
    }

    /// The next `count` changes; of one order there may be several.
    pub fn changes(&mut self, count: usize) -> Vec<Change> {
        (0..count).map(|_| self.change()).collect()
    }

    fn change(&mut self) -> Change {
        let kind = self.random.u32(..10);
        if kind == 0 || self.orders.len() < 2 {
            return Change { before: None, after: Some(self.insert()) };
        }
        let at = self.random.u32(..self.orders.len() as u32) as usize;
        if kind == 1 {
            return Change { before: Some(self.orders.swap_remove(at)), after: None };
        }
        let before = self.orders[at].clone();
        let mut after = Order::clone(&before);
        if kind < 6 {
            after.status = (after.status + 1 + self.random.u32(..5) as u8) % 6;
        } else {
            after.total = (after.total + 1 + self.random.u32(..TOTALS - 1)) % TOTALS;
        }
        self.orders[at] = Arc::new(after);
        Change { before: Some(before), after: Some(self.orders[at].clone()) }
    }

    fn insert(&mut self) -> Arc<Order> {
        let random = &mut self.random;
        let mut tags: Vec<u8> = (0..random.u32(..4)).map(|_| random.u32(..20) as u8).collect();
        tags.sort_unstable();
        tags.dedup();
        let order = Arc::new(Order {
            number: self.next,
            status: random.u32(..6) as u8,
            customer: random.u32(..self.customers),
            region: random.u32(..50) as u8,
            total: random.u32(..TOTALS),
            created: NOW - random.u32(..30 * 86_400),
            priority: random.u32(..6) as u8,
            tags,
            note: (0..100).map(|_| char::from(b'a' + random.u32(..26) as u8)).collect(),
        });
        self.next += 1;
        self.orders.push(order.clone());
        order
    }
}

/// What came out: how much, and a sum over who is in which result, by which peers are held against each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Orders that came, went or changed in a result. An update counts twice where a peer tells it as going and coming.
    pub diffs: u64,
    /// Of each order that is in a result, the hash of the pair. Comes out equal where the results are.
    pub sum: u64,
}

impl Tally {
    /// An order came into the result of a query (1), or left it (-1).
    pub fn count(&mut self, query: u32, order: u32, weight: i64) {
        self.diffs += 1;
        let mut z = (u64::from(query) << 32 | u64::from(order)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.sum = self.sum.wrapping_add(z.wrapping_mul(weight as u64));
    }

    /// The sum as it is to be, from scratch. `of`: how many orders there were in the beginning.
    pub fn expected(orders: &[Arc<Order>], of: u32, class: Class) -> u64 {
        let mut tally = Self::default();
        let mut by_key: Vec<_> = orders.iter().map(|order| (class.key(order), order)).collect();
        by_key.sort_unstable_by_key(|(key, _)| *key);
        for query in 0..class.queries() {
            let keys = class.keys(query, of);
            let from = by_key.partition_point(|(key, _)| *key < keys.start);
            let to = by_key.partition_point(|(key, _)| *key < keys.end);
            let mut found: Vec<_> =
                by_key[from..to].iter().map(|(_, order)| (Reverse(order.created), order.number)).collect();
            found.sort_unstable();
            found.iter().take(CAP).for_each(|(_, order)| tally.count(query, *order, 1));
        }
        tally.sum
    }
}
