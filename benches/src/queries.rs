//! The queries, each in the query language and in Rust.

use std::{cmp::Ordering, fmt};

use liveset_engine::Query;

use crate::{Order, STATUSES};

type Test = Box<dyn Fn(&Order) -> bool>;
type Compare = fn(&Order, &Order) -> Ordering;

/// The kinds of the queries, in their order.
pub const KINDS: [&str; 5] = ["status and region", "customer", "total and priority", "tags", "age"];

/// One query for both sides of a comparison.
pub struct NativeQuery {
    /// In the query language.
    pub query: Query,
    /// The filter, compiled.
    pub test: Test,
    /// The order, compiled, ties broken.
    pub compare: Compare,
    /// The most orders of a result.
    pub limit: usize,
}

impl fmt::Debug for NativeQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NativeQuery").field(&self.query).finish()
    }
}

/// The first `count` queries. They are of five kinds in turn; up to 100 they are all different. `customers` is a tenth of
/// the nodes.
pub fn queries(count: usize, customers: u32) -> Vec<NativeQuery> {
    (0..count as u32).map(|place| query(place % 5, place / 5, customers.max(1))).collect()
}

fn query(kind: u32, choice: u32, customers: u32) -> NativeQuery {
    let newest: (&str, Compare) = ("createdAt desc", |a, b| a.age.cmp(&b.age).then(a.number.cmp(&b.number)));
    let (filter, test, (order, compare), limit): (String, Test, (&str, Compare), usize) = match kind {
        0 => {
            let (status, region) = (choice % 6, choice * 7 % 50);
            let filter = format!("status == '{}' and region == 'region-{region}'", STATUSES[status as usize]);
            let test = move |o: &Order| u32::from(o.status) == status && u32::from(o.region) == region;
            (filter, Box::new(test), newest, 50)
        }
        1 => {
            let customer = choice * 13 % customers;
            let filter = format!("customer == 'customer-{customer}'");
            (filter, Box::new(move |o: &Order| o.customer == customer), newest, 50)
        }
        2 => {
            let (total, priority) = ((choice % 10 + 1) * 150, choice / 10 % 6);
            let filter = format!("total > {total} and priority >= {priority}");
            let test = move |o: &Order| o.total > total * 100 && u32::from(o.priority) >= priority;
            let dearest: Compare = |a, b| b.total.cmp(&a.total).then(a.number.cmp(&b.number));
            (filter, Box::new(test), ("total desc", dearest), 100)
        }
        3 => {
            let (one, other) = ((choice % 20) as u8, ((choice + 7) % 20) as u8);
            let filter = format!("tags anyof ['tag-{one}', 'tag-{other}'] and status != 'done'");
            let test = move |o: &Order| {
                o.tags.iter().any(|tag| *tag == one || *tag == other)
                    && STATUSES[usize::from(o.status)] != "done"
            };
            let urgent: Compare =
                |a, b| b.priority.cmp(&a.priority).then(b.age.cmp(&a.age)).then(a.number.cmp(&b.number));
            (filter, Box::new(test), ("priority desc, createdAt", urgent), 50)
        }
        _ => {
            let (days, region) = (choice % 20 + 1, choice * 3 % 50);
            let filter = format!("createdAt > now - {days} days and region == 'region-{region}'");
            let test = move |o: &Order| o.age < days * 86_400 && u32::from(o.region) == region;
            (filter, Box::new(test), newest, 50)
        }
    };
    let query = Query::new("orders").filter(filter).order_by(order).limit(limit as u64);
    NativeQuery { query, test, compare, limit }
}
