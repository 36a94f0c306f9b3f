//! The client in JavaScript that the documentation shows does what it says, wherever it is cut off.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use liveset_core::{Request, SessionLimits, Snapshot};
use serde_json::{Value, json};

use crate::util::*;

const SOURCE: &str = include_str!("../../src/client/live_rows.js");

/// Plays all connections of each client, and says what it asked for and what it holds at the end.
const PLAY: &str = r#"
const clients = JSON.parse(require("fs").readFileSync(0, "utf8"));
const ends = clients.map((connections) => {
  const client = new LiveRows("q", { edge: "orders" });
  const asked = [];
  for (const messages of connections) {
    asked.push(client.request().since ?? null);
    for (const message of messages) client.handle(message);
  }
  return { asked, rows: Object.fromEntries(client.rows) };
});
console.log(JSON.stringify(ends));
"#;

/// What a server says to `createLiveQuery`, and behind it.
fn says(since: Option<&str>, first: Snapshot, after: &[(u64, Vec<liveset_core::Change>)]) -> Vec<Value> {
    let mut server = Server::active(SessionLimits::default().chunk_rows(2));
    let since = since.map_or(String::new(), |since| format!(r#","since":"{since}""#));
    server.send(&format!(
        r#"{{"type":"createLiveQuery","id":"q","query":{{"edge":"orders"}},"options":{{"resume":true}}{since}}}"#
    ));
    let Some(Request::CreateLiveQuery { ticket, .. }) = server.session.poll_request() else { panic!() };
    let mut after = after.iter();
    match since.is_empty() {
        true => server.session.accept_live_query(server.now, ticket, Arc::new(first)),
        false => {
            let (version, changes) = after.next().expect("a net batch");
            let batch = Arc::new(batch(*version, 0, changes.clone()));
            server.session.resume_live_query(server.now, ticket, batch, &first);
        }
    }
    for (version, changes) in after {
        server.change(ticket, batch(*version, 0, changes.clone()));
    }
    server.texts().iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

#[test]
fn it_goes_on_from_wherever_it_was_cut_off() {
    if !Command::new("node").arg("--version").output().is_ok_and(|node| node.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "node is not installed");
        return eprintln!("skipped: node is not installed");
    }
    let first = || snapshot(1, &[("a", 1), ("b", 2), ("c", 3)]);
    // d comes and goes.
    let history = [
        (2, vec![removed("a", 1), updated("c", 3, 1), added("d", 7)]),
        (3, vec![removed("d", 7), updated("c", 1, 9), added("e", 0)]),
    ];
    let since_1 = (3, vec![removed("a", 1), updated("c", 3, 9), added("e", 0)]);
    let whole = says(None, first(), &history);
    let end = snapshot(3, &[("e", 0), ("b", 2), ("c", 9)]);
    let (mut clients, mut expected) = (Vec::new(), Vec::new());
    for cut in 0..=whole.len() {
        // Two chunks of first rows behind `liveQueryCreated`.
        let since = match cut {
            0..=2 => None,
            3..=5 => Some("1"),
            6..=8 => Some("2"),
            _ => Some("3"),
        };
        let net = match since {
            Some("1") => since_1.clone(),
            Some("2") => history[1].clone(),
            _ => (3, vec![]),
        };
        let resumed = says(since, end.clone(), &[net]);
        // Cut off again, anywhere, and then for good.
        for again in 0..resumed.len() {
            clients.push(json!([&whole[..cut], &resumed[..again], resumed]));
            expected.push((cut, again, since));
        }
    }
    let mut node = Command::new("node");
    node.arg("-e").arg(format!("{SOURCE}{PLAY}"));
    node.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut node = node.spawn().unwrap();
    serde_json::to_writer(node.stdin.take().unwrap(), &clients).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    let ends: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ends.len(), expected.len());
    let rows: BTreeMap<_, _> = end.rows.iter().map(|row| (row.id(), row.json())).collect();
    for (found, (cut, again, since)) in ends.iter().zip(expected) {
        assert_eq!(found["asked"][1].as_str(), since, "cut at {cut}");
        // Where it was cut off within the answer it asks for the same again, so that the answer played is the right one.
        assert_eq!(found["asked"][2].as_str(), since, "cut at {cut} and {again}");
        let held = found["rows"].as_object().unwrap();
        assert_eq!(held.len(), rows.len(), "cut at {cut} and {again}: {held:?}");
        for (id, json) in &rows {
            let wanted: Value = serde_json::from_slice(json).unwrap();
            assert_eq!(held[*id], wanted, "cut at {cut} and {again}");
        }
    }
}
