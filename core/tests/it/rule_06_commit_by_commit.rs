//! Rule 6: "A commit … is atomic: its diffs are net …, removals first, then additions and updates in the order of the
//! result, all queued before those of the next commit."

use liveset_core::{Batch, SessionLimits};

use crate::util::*;

#[test]
fn a_ready_connection_gets_every_commit_as_it_is() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "", snapshot(1, &[]));
    server.texts();
    // Without a drain between them: folded, these would be nothing at all.
    server.change(ticket, batch(2, 1, [added("a", 1)]));
    server.change(ticket, batch(3, 1, [updated("a", 1, 2)]));
    server.change(ticket, batch(4, 1, [removed("a", 2), added("b", 1)]));
    server.change(ticket, batch(5, 0, [removed("b", 1)]));
    let kinds: Vec<_> =
        server.texts().iter().map(|text| text.split('"').nth(3).unwrap()[9..].to_owned()).collect();
    assert_eq!(kinds, ["AddedNode", "UpdatedNode", "RemovedNode", "AddedNode", "RemovedNode"]);
    assert_eq!(server.session.stats().changes_folded, 0);
}

/// Of each message the live query, and the kind.
fn senders(server: &mut Server) -> Vec<String> {
    let part = |text: &String, n| text.split('"').nth(n).unwrap().to_owned();
    server.texts().iter().map(|text| format!("{} {}", part(text, 7), &part(text, 3)[9..])).collect()
}

/// Adds two rows and changes the count, as commit `version`.
fn two(version: u64) -> Batch {
    let ids = [format!("{version}a"), format!("{version}b")];
    batch(version, 2 * version, ids.each_ref().map(|id| added(id, 1)))
}

#[test]
fn no_commit_overtakes_another_over_all_live_queries_and_options() {
    for options in ["", "positions", "counts", "resume reasons"] {
        let mut server = Server::active(SessionLimits::default());
        let tickets = ["a", "m", "z"].map(|id| server.create(id, options, snapshot(1, &[])));
        server.texts();
        // The first live query has many commits to tell before the others come, which are told in another order.
        for version in [2, 3, 4] {
            server.change(tickets[0], two(version));
        }
        for ticket in [tickets[2], tickets[1]] {
            [2, 4].into_iter().for_each(|version| server.change(ticket, two(version)));
        }
        let seen = senders(&mut server);
        let mut order: Vec<&str> = seen.iter().map(|line| &line[..1]).collect();
        order.dedup();
        assert_eq!(order, ["a", "m", "z", "a", "m", "z"], "{options}: {seen:?}");
        let of_second = seen.iter().rposition(|line| line.starts_with('z')).unwrap();
        assert_eq!(of_second + 1, seen.len());
    }
}

/// A commit that changes more rows than may wait is not taken for a sign of a slow client.
#[test]
fn a_large_commit_alone_keeps_its_place() {
    let mut server = Server::active(SessionLimits::default().backlog_changes(3));
    let tickets = ["a", "z"].map(|id| server.create(id, "", snapshot(1, &[])));
    server.texts();
    let rows: Vec<String> = (10..20).map(|n| n.to_string()).collect();
    server.change(tickets[0], batch(2, 10, rows.iter().map(|id| added(id, 1)).collect::<Vec<_>>()));
    server.change(tickets[1], two(2));
    server.change(tickets[1], batch(3, 3, [added("c", 1)]));
    assert_eq!(server.session.stats().changes_folded, 0);
    let seen = senders(&mut server);
    assert!(seen[..10].iter().all(|line| line.starts_with('a')) && seen.len() == 13, "{seen:?}");
}

#[test]
fn commits_are_held_until_they_may_go() {
    let mut server = Server::active(SessionLimits::default());
    let tickets = ["a", "z"].map(|id| server.create(id, "", snapshot(1, &[])));
    server.texts();
    server.session.hold_commits_behind(Some(2));
    server.change(tickets[1], two(2));
    server.change(tickets[1], two(3));
    assert_eq!(senders(&mut server), ["z AddedNode"; 2]);
    assert!(server.session.has_unsent_live_queries() && !server.session.wants_transmit());
    // What was still to come, and first rows.
    server.change(tickets[0], two(3));
    server.create("m", "", snapshot(3, &[("a", 1)]));
    let texts = server.texts();
    assert!(texts.len() == 2 && texts[1].contains("liveQueryData"), "{texts:?}");
    server.session.hold_commits_behind(None);
    assert_eq!(senders(&mut server), ["a AddedNode", "a AddedNode", "z AddedNode", "z AddedNode"]);
    assert!(!server.session.has_unsent_live_queries());
}

/// What is held is bounded as what waits for a slow client: it is folded, and sent, before the connection would have to go.
#[test]
fn what_is_held_is_bounded() {
    for (changes, bytes) in [(4, 16 << 20), (256, 400)] {
        let limits = SessionLimits::default().backlog_changes(changes).backlog_bytes(bytes);
        let mut server = Server::active(limits);
        let ticket = server.create("q", "", snapshot(1, &[("a", 0)]));
        server.texts();
        server.session.hold_commits_behind(Some(1));
        let mut sent = 0;
        for n in 0..1_000u32 {
            server.change(ticket, batch(2 + u64::from(n), 1, [updated("a", n, n + 1)]));
            assert!(server.session.backlog().changes <= 8 && server.session.backlog().bytes <= bytes / 2);
            sent += server.texts().len();
        }
        assert!(sent > 0 && server.closed.is_none());
        server.session.hold_commits_behind(None);
        let last = server.texts();
        assert!(last.is_empty() || last.last().is_some_and(|text| text.contains("1000")), "{last:?}");
    }
}

#[test]
fn a_shutdown_sends_what_was_held() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "", snapshot(1, &[]));
    server.texts();
    server.session.hold_commits_behind(Some(1));
    server.change(ticket, two(2));
    server.session.shutdown(server.now);
    assert_eq!(server.texts().len(), 2);
}
