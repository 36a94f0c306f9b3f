//! Rule 7: "its pending diffs are folded per node against what the client last was sent: … so what is pending is bounded
//! by twice the window, removals leave first, and what is finally sent leads to the current result."

use liveset_core::{Change, Row, SessionLimits};

use crate::util::*;

/// What goes out for pending changes that were all folded.
fn folded(commits: &[&[Change]]) -> Vec<String> {
    let mut server = Server::active(SessionLimits::default().backlog_changes(0));
    let ticket = server.create("q", "", snapshot(1, &[("s", 1), ("t", 2)]));
    server.texts();
    for (version, changes) in (2..).zip(commits) {
        server.change(ticket, batch(version, 2, *changes));
    }
    let texts = server.texts();
    texts.iter().map(|text| text.replace(r#""id":"q","#, "").replace(r#"{"type":"liveQuery"#, "")).collect()
}

#[test]
fn the_table() {
    let no: [&str; 0] = [];
    assert_eq!(
        folded(&[&[added("a", 5)], &[updated("a", 5, 6)]]),
        [r#"AddedNode","nodeId":"a","data":{"id":"a","n":6}}"#]
    );
    assert_eq!(folded(&[&[added("a", 5)], &[removed("a", 5)]]), no);
    assert_eq!(
        folded(&[&[updated("s", 1, 3)], &[updated("s", 3, 4)]]),
        [r#"UpdatedNode","nodeId":"s","data":{"id":"s","n":4}}"#]
    );
    assert_eq!(folded(&[&[updated("s", 1, 3)], &[removed("s", 3)]]), [r#"RemovedNode","nodeId":"s"}"#]);
    assert_eq!(
        folded(&[&[removed("s", 1)], &[added("s", 3)]]),
        [r#"UpdatedNode","nodeId":"s","data":{"id":"s","n":3}}"#]
    );
    assert_eq!(folded(&[&[removed("s", 1)], &[added("s", 1)]]), no);
    assert_eq!(folded(&[&[updated("s", 1, 3)], &[updated("s", 3, 1)]]), no);
}

#[test]
fn removals_leave_first_then_the_order_of_the_result() {
    let texts = folded(&[
        &[added("z", 7), added("y", 6)],
        &[updated("s", 1, 9)],
        &[removed("t", 2)],
        &[added("x", 5)],
    ]);
    let ids: Vec<_> = texts.iter().map(|text| text.split('"').nth(4).unwrap()).collect();
    assert_eq!(ids, ["t", "x", "y", "z", "s"]);
}

#[test]
fn up_to_the_backlog_nothing_is_folded_beyond_it_everything_is() {
    let changes = |from: u32| (from..from + 3).map(|n| added(&format!("n{n}"), n)).collect::<Vec<_>>();
    for (backlog_changes, folded) in [(6, 0), (5, 6), (0, 6)] {
        let mut server = Server::active(SessionLimits::default().backlog_changes(backlog_changes));
        let ticket = server.create("q", "", snapshot(1, &[]));
        server.texts();
        server.change(ticket, batch(2, 3, changes(0)));
        server.change(ticket, batch(3, 6, changes(3)));
        assert_eq!(server.session.stats().changes_folded, folded, "{backlog_changes}");
        assert_eq!(server.session.backlog().changes, 6);
        assert_eq!(server.texts().len(), 6);
        assert_eq!(server.session.backlog().changes, 0);
    }
}

#[test]
fn the_rest_of_a_commit_that_is_being_sent_folds_too() {
    let mut server = Server::active(SessionLimits::default().backlog_changes(3));
    let ticket = server.create("q", "", snapshot(1, &[]));
    server.texts();
    server.change(ticket, batch(2, 3, [added("a", 1), added("b", 2), added("c", 3)]));
    assert!(server.text().is_some_and(|text| text.contains(r#""nodeId":"a""#)));
    server.change(ticket, batch(3, 0, [removed("a", 1), removed("b", 2), removed("c", 3)]));
    // "b" and "c" came and went; "a" had been sent.
    assert_eq!(server.texts(), [r#"{"type":"liveQueryRemovedNode","id":"q","nodeId":"a"}"#]);
    // And it is over: the next commits go out as they are again.
    server.change(ticket, batch(4, 1, [added("a", 1)]));
    server.change(ticket, batch(5, 0, [removed("a", 1)]));
    assert_eq!(server.texts().len(), 2);
}

#[test]
fn what_waits_is_bounded_by_twice_the_window() {
    const WINDOW: u32 = 10;
    let mut server = Server::active(SessionLimits::default().backlog_changes(0));
    let ticket = server.create("q", "", snapshot(1, &[]));
    server.texts();
    // A window that slides on, commit by commit; the client takes a message now and then.
    for version in 2..2000_u32 {
        let mut changes = Vec::new();
        if version >= WINDOW + 2 {
            changes.push(removed(&format!("n{}", version - WINDOW), version - WINDOW));
        }
        changes.push(added(&format!("n{version}"), version));
        server.change(ticket, batch(u64::from(version), u64::from(WINDOW), changes));
        assert!(server.session.backlog().changes <= 2 * WINDOW as usize);
        if version % 7 == 0 {
            server.text();
        }
    }
}

#[test]
fn rows_at_the_end_are_reached_although_those_before_them_keep_changing() {
    let mut server = Server::active(SessionLimits::default().backlog_changes(0));
    let ticket = server.create("q", "", snapshot(1, &[("a", 1), ("z", 900)]));
    server.texts();
    server.change(ticket, batch(2, 2, [updated("z", 900, 901)]));
    let mut reached = false;
    for round in 0..10_u64 {
        let at = |round: u64| Row::new("a", round.to_string(), row("a", 1).order_key().clone());
        let change = Change::Updated { before: at(round), row: at(round + 1) };
        server.change(ticket, batch(3 + round, 2, [change]));
        reached |= server.text().unwrap().contains(r#""nodeId":"z""#);
    }
    assert!(reached);
}
