//! Liveset's engine, through its public interface.
//!
//! Is given JSON and reads it within its time; finds by itself what an order was before; tells of each change what was,
//! what is and why.

use std::{collections::HashMap, fmt::Write};

use liveset_engine::{Engine, EngineLimits, FeedId, FieldKind, HashSeed, Timestamp, Op, Query, SetDef, Snapshot};

use crate::{
    Peer,
    workload::{Change, Class, NOW, Order, STATUSES, Tally},
};

pub struct Liveset {
    engine: Engine,
    queries: HashMap<FeedId, u32>,
    orders: u32,
    class: Class,
    tally: Tally,
}

impl Peer for Liveset {
    type Commit = Vec<Op>;

    fn new(orders: u32, class: Class) -> Self {
        let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
        let set = SetDef::new("orders").required("createdAt", FieldKind::Instant);
        engine.define_set(set).expect("a set");
        Self { engine, queries: HashMap::new(), orders, class, tally: Tally::default() }
    }

    fn load(&mut self, orders: Vec<Op>) {
        self.apply(orders);
    }

    fn open(&mut self) {
        for query in 0..self.class.queries() {
            let asked = Query::new("orders").filter(self.filter(query)).order_by("createdAt desc");
            let plan = self.engine.prepare(&asked).expect("queries are sound").without_counts();
            let (feed, snapshot) = self.engine.open(instant(NOW), &plan).expect("there is room");
            self.queries.insert(feed, query);
            let Snapshot { rows, .. } = snapshot;
            rows.iter().for_each(|(id, _)| self.tally.count(query, number(id), 1));
        }
    }

    fn prepare(&self, changes: Vec<Change>) -> Vec<Op> {
        changes
            .iter()
            .filter_map(|change| match (&change.after, &change.before) {
                (Some(after), _) => Some(upsert(after)),
                (None, Some(before)) => Some(Op::Remove { set: "orders".into(), id: id(before) }),
                (None, None) => None,
            })
            .collect()
    }

    fn apply(&mut self, commit: Vec<Op>) {
        self.engine.commit(instant(NOW), commit).expect("orders are sound");
        while let Some(update) = self.engine.poll_update() {
            let query = self.queries[&update.feed];
            for change in update.changes() {
                let weight = i64::from(change.after().is_some()) - i64::from(change.before().is_some());
                self.tally.count(query, number(change.id()), weight);
            }
        }
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

impl Liveset {
    fn filter(&self, query: u32) -> String {
        let keys = self.class.keys(query, self.orders);
        match self.class {
            Class::A1 => "status == 'processing'".into(),
            Class::B(_) => format!("customer == 'customer-{}'", keys.start),
            Class::D(_) => format!("total >= {} and total < {}", money(keys.start), money(keys.end)),
        }
    }
}

fn upsert(order: &Order) -> Op {
    Op::Upsert { set: "orders".into(), node: json(order).into() }
}

fn id(order: &Order) -> String {
    format!("order-{:08}", order.number)
}

fn number(id: &str) -> u32 {
    id["order-".len()..].parse().expect("an id of ours")
}

fn money(hundredths: u32) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn instant(seconds: u32) -> Timestamp {
    Timestamp::from_unix_nanos(i128::from(seconds) * 1_000_000_000).expect("a moment of our time")
}

fn json(order: &Order) -> String {
    let mut json = format!(
        r#"{{"id":"{}","status":"{}","customer":"customer-{}","region":"region-{}","total":{},"createdAt":"{}","priority":{},"tags":["#,
        id(order),
        STATUSES[usize::from(order.status)],
        order.customer,
        order.region,
        money(order.total),
        instant(order.created),
        order.priority,
    );
    for (place, tag) in order.tags.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        write!(json, r#"{comma}"tag-{tag}""#).expect("text takes text");
    }
    write!(json, r#"],"note":"{}"}}"#, order.note).expect("text takes text");
    json
}
