//! The orders that everybody watches, and what the honest client should see of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// As many as a small shop has.
const ORDERS: u64 = 1_000;
const STATES: [&str; 4] = ["open", "paid", "sent", "closed"];

/// The orders as the writer knows them.
#[derive(Default)]
pub struct Orders {
    orders: BTreeMap<u64, Value>,
    commits: u64,
}

impl Orders {
    /// The commits that fill the set.
    pub fn load(&mut self) -> Vec<Value> {
        let ops: Vec<Value> = (0..ORDERS).map(|id| self.put(id, STATES[id as usize % 4], id % 500)).collect();
        ops.chunks(500).map(|ops| Value::from(ops.to_vec())).collect()
    }

    /// The next commit: ten orders, of which one comes first in what the honest client sees.
    pub fn next_commit(&mut self) -> (Value, Value) {
        self.commits += 1;
        let step = self.commits;
        let mut ops: Vec<Value> = (1..10)
            .map(|n| {
                let id = (step * 37 + n * 101) % ORDERS;
                self.put(id, STATES[((step + n) % 4) as usize], (step * 7 + n * 13) % 500)
            })
            .collect();
        let id = ORDERS + step % 7;
        ops.push(self.put(id, "open", 1_000 + step));
        (ops.into(), self.orders[&id].clone())
    }

    fn put(&mut self, id: u64, status: &str, total: u64) -> Value {
        let nums: Vec<u64> = (0..20).map(|n| 2_000 + n).collect();
        let node = json!({
            "id": id,
            "status": status,
            "total": total,
            "customer": format!("c{}", id % 40),
            // A bulk load: all share a moment.
            "born": "2026-01-01T00:00:00Z",
            "nums": nums,
            "note": "n".repeat(200),
            "o": { "x": id % 9, "y": "z".repeat(20) },
        });
        self.orders.insert(id, node.clone());
        json!({ "op": "upsert", "set": "orders", "node": node })
    }
}

/// The rows of a query of the honest client, by id.
pub fn shown(orders: &Orders, query: &Value) -> Vec<Value> {
    let (is_equal, status) = match query["filter"].as_str() {
        Some("status == 'open'") => (true, "open"),
        Some("status != 'closed'") => (false, "closed"),
        other => panic!("{other:?}"),
    };
    let mut rows: Vec<&Value> =
        orders.orders.values().filter(|row| (row["status"] == status) == is_equal).collect();
    // Ties go by id.
    rows.sort_by_key(|row| (std::cmp::Reverse(row["total"].as_u64()), row["id"].as_u64()));
    rows.truncate(query["limit"].as_u64().expect("a limit") as usize);
    rows.sort_by_key(|row| row["id"].as_u64());
    rows.into_iter().cloned().collect()
}
