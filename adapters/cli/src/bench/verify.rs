//! Whether what connections hold is what the server would answer now.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use liveset_core::LiveResult;
use liveset_engine::{Number, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::receiver::{Sample, Shared, query_id};
use super::writer;
use crate::client::{self, Client, Outcome};
use crate::load::lock;

/// What does not agree is looked at again this often, in case the last diffs are still on their way.
const ATTEMPTS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(250);

/// What was compared.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verified {
    pub(super) connections: usize,
    pub(super) queries: usize,
    pub(super) nodes: usize,
    /// What did not agree, one line each.
    pub(super) mismatches: Vec<String>,
}

/// Compares every live query of the samples with the answer of `POST /query`.
pub(super) async fn run(shared: &Shared, samples: &BTreeMap<u32, Sample>) -> Result<Verified, String> {
    let client = Client::new(shared.url.clone(), None, shared.token.expose())?;
    let mut attempt = 1;
    loop {
        let verified = compare(shared, samples, &client).await?;
        if verified.mismatches.is_empty() || attempt == ATTEMPTS {
            return Ok(verified);
        }
        attempt += 1;
        tokio::time::sleep(BETWEEN).await;
    }
}

async fn compare(
    shared: &Shared,
    samples: &BTreeMap<u32, Sample>,
    client: &Client,
) -> Result<Verified, String> {
    let mut verified = Verified { connections: samples.len(), ..Verified::default() };
    // Many ask for the same.
    let mut answers: HashMap<String, BTreeMap<String, Box<RawValue>>> = HashMap::new();
    for (connection, sample) in samples {
        for query in 0..shared.plan.queries {
            let json = shared.plan.query(*connection, query);
            if !answers.contains_key(&json) {
                answers.insert(json.clone(), ask(client, &json).await?);
            }
            let wanted = &answers[&json];
            let session = lock(sample);
            verified.queries += 1;
            let differs = match session.live_query(&query_id(query)) {
                Some(held) => {
                    verified.nodes += held.len();
                    difference(wanted, held)
                }
                None => Some("the live query is not there".into()),
            };
            if let Some(difference) = differs {
                verified.mismatches.push(format!("connection {connection}, {json}: {difference}"));
            }
        }
    }
    Ok(verified)
}

#[derive(Deserialize)]
struct Answer {
    nodes: Vec<Box<RawValue>>,
}

/// The server's own answer, by id.
async fn ask(client: &Client, query: &str) -> Result<BTreeMap<String, Box<RawValue>>, String> {
    let text = match client.post("/query", Bytes::copy_from_slice(query.as_bytes())).await {
        Outcome::Answered(StatusCode::OK, text) => text,
        Outcome::Answered(status, text) => {
            return Err(format!("the server cannot be asked: {}", writer::refusal(status, &text)));
        }
        Outcome::NotSent(error) | Outcome::Impossible(error) | Outcome::Unanswered(error) => {
            return Err(format!("the server cannot be asked: {error}"));
        }
    };
    let answer: Answer = serde_json::from_slice(&text)
        .map_err(|error| format!("the server's answer to POST /query cannot be read: {error}"))?;
    let named = |node: Box<RawValue>| {
        let id = match client::object(node.get().as_bytes())?.field("id")? {
            Value::Number(Number::Int(id)) => id.to_string(),
            Value::Number(Number::UInt(id)) => id.to_string(),
            id => id.as_text()?.to_owned(),
        };
        Some((id, node))
    };
    let count = answer.nodes.len();
    let nodes: BTreeMap<_, _> = answer.nodes.into_iter().filter_map(named).collect();
    match nodes.len() == count {
        true => Ok(nodes),
        false => Err("the nodes cannot be compared: they have no `id`, or share one".into()),
    }
}

/// The first difference, if there is one.
fn difference(wanted: &BTreeMap<String, Box<RawValue>>, held: &LiveResult) -> Option<String> {
    for (id, node) in wanted {
        match held.row(id) {
            None => {
                return Some(format!("node {id} is missing ({} held, {} wanted)", held.len(), wanted.len()));
            }
            Some(row) if !is_same(node.get(), row) => {
                return Some(format!("node {id} is {}, it should be {node}", String::from_utf8_lossy(row)));
            }
            Some(_) => {}
        }
    }
    let surplus = held.rows().map(|(id, _)| id).find(|id| !wanted.contains_key(&***id))?;
    Some(format!("node {surplus} should be gone ({} held, {} wanted)", held.len(), wanted.len()))
}

/// The bytes differ where a server spells the same node in two ways.
fn is_same(wanted: &str, held: &[u8]) -> bool {
    let read = client::object;
    wanted.as_bytes() == held || read(wanted.as_bytes()).is_some_and(|wanted| read(held) == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::receiver::sample;
    use liveset_core::{LiveQueryRequest, Monotonic, Query};

    #[test]
    fn every_kind_of_difference_is_found() {
        let sample = sample();
        let mut session = lock(&sample);
        session.create_live_query(LiveQueryRequest::new("q0", Query::default()));
        for text in [
            r#"{"type":"liveQueryCreated","requestId":"1","id":"q0","totalCount":2,"capped":false}"#,
            r#"{"type":"liveQueryData","id":"q0","data":[{"id":"a","x":1},{"id":"b","x":2}],"hasMore":false,"capped":false}"#,
        ] {
            session.handle_text(Monotonic::ZERO, text.as_bytes()).unwrap();
        }
        let held = session.live_query("q0").unwrap();
        let wanted = |nodes: &[(&str, &str)]| {
            let node = |(id, text): &(&str, &str)| {
                ((*id).to_owned(), RawValue::from_string((*text).to_owned()).unwrap())
            };
            nodes.iter().map(node).collect::<BTreeMap<_, _>>()
        };
        let (a, b) = (("a", r#"{"id":"a","x":1}"#), ("b", r#"{ "x": 2, "id": "b" }"#));
        assert_eq!(difference(&wanted(&[a, b]), held), None);
        for (wanted, what) in [
            (wanted(&[a]), "node b should be gone"),
            (wanted(&[a, b, ("c", "{}")]), "node c is missing"),
            (wanted(&[a, ("b", r#"{"id":"b","x":3}"#)]), "node b is"),
        ] {
            let difference = difference(&wanted, held).unwrap();
            assert!(difference.starts_with(what), "{difference}");
        }
    }
}
