//! While its owner finds out what a principal may see, a session sends nothing of its live queries: no first rows, no diffs. What comes
//! meanwhile waits, and folds.

use liveset_core::SessionLimits;

use crate::util::*;

#[test]
fn nothing_of_a_live_query_is_sent_while_they_are_held_back() {
    let limits = SessionLimits::default().backlog_changes(2);
    let mut server = Server::active(limits);
    let ticket = server.create("q", "", snapshot(1, &[("a", 0)]));
    server.texts();
    server.session.hold_live_queries(true);
    for n in 0..9 {
        server.change(ticket, batch(u64::from(n) + 2, 1, [updated("a", n, n + 1)]));
    }
    let new = server.create("r", "", snapshot(1, &[("b", 0)]));
    assert!(server.texts().iter().all(|text| text.contains("liveQueryCreated")), "answers go out");
    assert!(!server.session.wants_transmit());
    assert!(server.session.backlog().changes > 0);
    server.change(new, batch(20, 2, [added("c", 1)]));
    server.session.hold_live_queries(false);
    assert!(server.session.wants_transmit());
    let texts = server.texts();
    let of = |kind: &str| texts.iter().filter(|text| text.contains(kind)).count();
    assert_eq!((of("UpdatedNode"), of("liveQueryData"), of("AddedNode"), texts.len()), (1, 1, 1, 3));
}

#[test]
fn a_shutdown_meanwhile_sends_none_of_it() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "", snapshot(1, &[("a", 0)]));
    server.texts();
    server.session.hold_live_queries(true);
    server.change(ticket, batch(2, 1, [updated("a", 0, 1)]));
    server.session.shutdown(server.now);
    assert_eq!(server.texts(), Vec::<String>::new());
    assert!(server.closed.is_some());
}
