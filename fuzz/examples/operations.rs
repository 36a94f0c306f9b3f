//! The operations of the simulator for tests in other languages: answers a line of its input with a line of JSON.
//!
//! ```text
//! operations SEED
//! step            what to do next
//! expected 0      what the live queries of client 0 show now, by their ids
//! rows things     all rows of a set, each the text of its JSON
//! ```

use std::io::{self, BufRead, Write};

use liveset_fuzz::operations::{Operations, Step, batch, json};
use liveset_fuzz::oracle::Query;
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut operations = Operations::new(seed);
    let mut stdout = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.split_once(' ').unwrap_or((&line, "")) {
            ("step", _) => step(&operations.step()).to_string(),
            ("expected", client) => expected(&operations, client.parse().map_err(io::Error::other)?),
            (_, set) => Value::from(operations.rows(set)).to_string(),
        };
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
    Ok(())
}

fn expected(operations: &Operations, client: usize) -> String {
    let shown = operations.open_of(client).map(|id| {
        let shown = operations.expected(client, id);
        let rows: Vec<String> = shown.rows.iter().map(|(_, row)| json(row)).collect();
        let (total, capped, rows) = (shown.total, shown.capped, rows.join(","));
        format!(r#""{id}":{{"totalCount":{total},"capped":{capped},"rows":[{rows}]}}"#)
    });
    format!("{{{}}}", shown.collect::<Vec<_>>().join(","))
}

/// A query whose parameters every language can write: numbers beyond 2^53 are in the text.
fn query(query: &Query) -> Value {
    fn is_exact(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.as_i64().is_none_or(|number| number.unsigned_abs() < 1 << 53),
            Value::Array(items) => items.iter().all(is_exact),
            Value::Object(fields) => fields.values().all(is_exact),
            _ => true,
        }
    }
    let mut json = query.json(&mut |_| 0);
    if !json.get("params").is_none_or(is_exact) {
        let fields = json.as_object_mut().expect("a query is an object");
        fields.remove("params");
        fields.insert("filter".into(), query.filter_text().into());
    }
    json
}

fn step(step: &Step) -> Value {
    match step {
        Step::Commit { ops, taken } => json!({ "do": "commit", "batch": batch(ops), "taken": taken }),
        Step::Open { client, id, query: asked } => {
            json!({ "do": "open", "client": client, "id": id, "query": query(asked) })
        }
        Step::Close { client, id } => json!({ "do": "close", "client": client, "id": id }),
        Step::Refused { client, query, code } => {
            let query: Value = serde_json::from_str(query).expect("JSON");
            json!({ "do": "refused", "client": client, "query": query, "code": code })
        }
        Step::Once { client, id, query: asked } => {
            json!({ "do": "once", "client": client, "id": id, "query": query(asked) })
        }
        Step::Subscribe { client, id, path, events } => {
            json!({ "do": "subscribe", "client": client, "id": id, "path": path, "events": events })
        }
        Step::Unsubscribe { client, id } => json!({ "do": "unsubscribe", "client": client, "id": id }),
        Step::Publish { path, event, to } => {
            json!({ "do": "publish", "path": path, "event": event, "to": to })
        }
        Step::Cut { client } => json!({ "do": "cut", "client": client }),
        Step::Stall => json!({ "do": "stall" }),
        Step::Slow { millis } => json!({ "do": "slow", "millis": millis }),
        Step::Token { client, token } => json!({ "do": "token", "client": client, "token": token }),
        Step::Restart => json!({ "do": "restart" }),
        Step::Pause { millis } => json!({ "do": "pause", "millis": millis }),
        Step::Check => json!({ "do": "check" }),
    }
}
