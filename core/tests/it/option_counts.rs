//! "`counts: true` | `liveQueryCount` whenever either changed, at most once per commit, folded when slow"

use std::sync::Arc;

use liveset_core::{Batch, Count, SessionLimits};

use crate::util::*;

fn count(total_count: u64, capped: bool) -> String {
    format!(r#"{{"type":"liveQueryCount","id":"q","totalCount":{total_count},"capped":{capped}}}"#)
}

#[test]
fn once_per_commit_after_its_diffs_where_it_changed() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "counts", snapshot(1, &[("a", 1)]));
    server.texts();
    server.change(ticket, batch(2, 3, [added("b", 2), added("c", 3)]));
    server.change(ticket, batch(3, 3, [updated("c", 3, 4)]));
    server.change(ticket, batch(4, 3, []));
    server.change(ticket, batch(5, 4, []));
    server.change(ticket, Batch { count: Some(Count { total: 4, capped: true }), ..batch(6, 4, []) });
    let texts = server.texts();
    assert_eq!(texts.len(), 6);
    assert_eq!(texts[2], count(3, false));
    assert!(texts[3].contains("Updated"));
    assert_eq!(texts[4..], [count(4, false), count(4, true)]);
}

#[test]
fn folded_when_slow() {
    let mut server = Server::active(SessionLimits::default().backlog_changes(0));
    let ticket = server.create("q", "counts", snapshot(1, &[("a", 1)]));
    server.texts();
    server.change(ticket, batch(2, 2, [added("b", 2)]));
    server.change(ticket, batch(3, 7, []));
    server.change(ticket, batch(4, 6, [removed("b", 2)]));
    assert_eq!(server.texts(), [count(6, false)]);
    // There and back again is nothing.
    server.change(ticket, batch(5, 7, [added("b", 2)]));
    server.change(ticket, batch(6, 6, [removed("b", 2)]));
    assert!(!server.session.wants_transmit());
    assert!(server.texts().is_empty());
}

#[test]
fn a_count_that_waits_alone_folds_too() {
    let mut server = Server::active(SessionLimits::default().backlog_changes(2));
    let ticket = server.create("q", "counts", snapshot(1, &[]));
    server.texts();
    for total in 1..1000 {
        server.change(ticket, batch(1 + total, total, []));
    }
    assert_eq!(server.texts(), [count(999, false)]);
    server.change(ticket, batch(2000, 1, [added("a", 1)]));
    assert!(server.text().is_some_and(|text| text.contains("Added")));
    // Its diffs were sent, its count was not: a fold at this point must not send the diffs again.
    server.change(ticket, batch(2001, 3, [added("b", 2), added("c", 3)]));
    let texts = server.texts();
    assert_eq!(texts.len(), 3);
    assert_eq!(texts[2], count(3, false));
}

#[test]
fn nobody_else_gets_them() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "positions reasons resume", snapshot(1, &[]));
    server.texts();
    server.change(ticket, batch(2, 1, [added("a", 1)]));
    assert_eq!(server.texts().len(), 1);
}

/// "At most once per commit (the passing of time before it included)."
#[test]
fn time_and_the_commit_behind_it_tell_one_count() {
    let rows = [("a", 1), ("b", 2)];
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "counts", snapshot(1, &rows));
    server.texts();
    let mut within = |changes: Vec<Batch>| {
        let commit = changes.last().unwrap().version;
        for batch in changes {
            server.session.live_query_changed_within(ticket, &Arc::new(batch), commit);
        }
        server.texts()
    };
    let texts = within(vec![batch(2, 1, [removed("a", 1)]), batch(3, 2, [added("c", 3)])]);
    assert!(texts.len() == 2 && texts[0].contains("Removed") && texts[1].contains("Added"), "{texts:?}");
    let texts = within(vec![batch(4, 1, [removed("b", 2)]), batch(5, 0, [removed("c", 3)])]);
    assert_eq!((texts.len(), &texts[2]), (3, &count(0, false)));
    // The count alone: there and back again, and not.
    assert!(within(vec![batch(6, 9, []), batch(7, 0, [])]).is_empty());
    assert_eq!(within(vec![batch(8, 9, []), batch(9, 8, [])]), [count(8, false)]);
    let texts = within(vec![batch(10, 7, [added("d", 1)]), batch(11, 8, [])]);
    assert!(texts.len() == 1 && texts[0].contains("Added"), "{texts:?}");
    // Time alone is a step of its own.
    assert_eq!(within(vec![batch(12, 7, [])]).len() + within(vec![batch(13, 6, [])]).len(), 2);
}
