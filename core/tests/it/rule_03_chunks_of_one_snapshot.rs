//! Rule 3: "in chunks of at most 200 rows and about 64 KiB (at least one row); the last has `hasMore: false`; an empty
//! result is one chunk with `data: []`. … The initial rows are one snapshot, also when its chunks leave late: later
//! commits fold behind it. No change is lost between snapshot and stream, none is sent twice, no diff precedes the last
//! chunk."

use liveset_core::{Count, Raw, Row, ServerMessage, SessionLimits, Snapshot};

use crate::util::*;

/// Rows and `hasMore` of each chunk.
fn chunks(texts: &[String]) -> Vec<(usize, bool)> {
    texts
        .iter()
        .filter_map(|text| match ServerMessage::parse(text.as_bytes()).unwrap() {
            ServerMessage::LiveQueryData { data, has_more, .. } => Some((data.len(), has_more)),
            _ => None,
        })
        .collect()
}

fn rows(count: u32, bytes: usize) -> Snapshot {
    let rows = (0..count).map(|number| {
        let json = format!(r#"{{"id":"n{number}","x":"{}"}}"#, "x".repeat(bytes));
        Row::new(format!("n{number}"), json, number.to_be_bytes().to_vec())
    });
    let count = Count { total: u64::from(count), capped: false };
    Snapshot { version: 1, count, rows: rows.collect() }
}

fn loaded(limits: SessionLimits, snapshot: Snapshot) -> Vec<(usize, bool)> {
    let mut server = Server::active(limits);
    server.create("q", "", snapshot);
    chunks(&server.texts())
}

#[test]
fn at_most_200_rows() {
    let limits = SessionLimits::default;
    assert_eq!(loaded(limits(), rows(0, 1)), [(0, false)]);
    assert_eq!(loaded(limits(), rows(1, 1)), [(1, false)]);
    assert_eq!(loaded(limits(), rows(200, 1)), [(200, false)]);
    assert_eq!(loaded(limits(), rows(201, 1)), [(200, true), (1, false)]);
    assert_eq!(loaded(limits(), rows(1000, 1)).len(), 5);
}

#[test]
fn about_64_kib_but_at_least_one_row() {
    let limits = SessionLimits::default;
    assert_eq!(loaded(limits(), rows(5, 30_000)), [(2, true), (2, true), (1, false)]);
    assert_eq!(loaded(limits(), rows(3, 100_000)), [(1, true), (1, true), (1, false)]);
}

#[test]
fn limits_of_zero_and_one_send_row_by_row() {
    for chunk_rows in [0, 1] {
        let limits = SessionLimits::default().chunk_rows(chunk_rows);
        assert_eq!(loaded(limits, rows(3, 1)), [(1, true), (1, true), (1, false)]);
    }
    let limits = SessionLimits::default().chunk_bytes(0);
    assert_eq!(loaded(limits, rows(2, 1)), [(1, true), (1, false)]);
}

#[test]
fn rows_come_in_order_and_pass_through_as_they_are() {
    let mut server = Server::active(SessionLimits::default().chunk_rows(2));
    let odd = r#"{ "id" : 1.50 , "ü":"\u00fc" }"#;
    let mut snapshot = snapshot(1, &[("c", 1), ("a", 2), ("b", 3)]);
    snapshot.rows[1] = Row::new("a", odd, snapshot.rows[1].order_key().clone());
    server.create("q", "", snapshot);
    let texts = server.texts();
    let mut data = Vec::new();
    for text in &texts {
        if let ServerMessage::LiveQueryData { data: rows, .. } =
            ServerMessage::parse(text.as_bytes()).unwrap()
        {
            data.extend(rows.into_iter().map(|Raw(row)| String::from_utf8(row.to_vec()).unwrap()));
        }
    }
    assert_eq!(data, [r#"{"id":"c","n":1}"#, odd, r#"{"id":"b","n":3}"#]);
}

#[test]
fn commits_during_the_load_wait_behind_the_last_chunk() {
    for backlog_changes in [0, 256] {
        let limits = SessionLimits::default().chunk_rows(1).backlog_changes(backlog_changes);
        let mut server = Server::active(limits);
        let ticket = server.create("q", "", snapshot(1, &[("a", 1), ("b", 2)]));
        assert!(server.text().is_some_and(|text| text.contains("Created")));
        server.change(ticket, batch(2, 1, [removed("a", 1)]));
        assert!(server.text().is_some_and(|text| text.contains(r#""id":"a""#)), "a row of the snapshot");
        server.change(ticket, batch(3, 2, [added("c", 3)]));
        assert!(server.text().is_some_and(|text| text.contains(r#""hasMore":false"#)));
        assert_eq!(
            server.texts(),
            [
                r#"{"type":"liveQueryRemovedNode","id":"q","nodeId":"a"}"#,
                r#"{"type":"liveQueryAddedNode","id":"q","nodeId":"c","data":{"id":"c","n":3}}"#,
            ]
        );
    }
}
