//! "pending diffs … bounded by … a configurable number of bytes": what waits for a connection is folded before it is too
//! much, and a connection that is too much all the same is closed with 1013.

use liveset_core::{CloseCode, SessionLimits};

use crate::util::*;

fn limits(backlog_bytes: usize) -> SessionLimits {
    SessionLimits::default().backlog_bytes(backlog_bytes)
}

#[test]
fn updates_of_the_same_nodes_fold_instead_of_piling_up() {
    let mut server = Server::active(limits(4_000));
    let ticket = server.create("q", "", snapshot(1, &[("a", 0), ("b", 0)]));
    server.texts();
    for n in 0..200 {
        server.change(ticket, batch(u64::from(n) + 2, 2, [updated("a", n, n + 1), updated("b", n, n + 1)]));
        assert!(server.session.backlog().bytes <= 4_000);
    }
    assert_eq!(server.texts().len(), 2, "long before 256 changes wait");
    assert_eq!(server.session.backlog().bytes, 0);
    assert_eq!(server.closed, None);
}

#[test]
fn all_live_queries_of_a_connection_count_together() {
    let mut server = Server::active(limits(4_000));
    let tickets = ["p", "q"].map(|id| server.create(id, "", snapshot(1, &[])));
    server.texts();
    let mut sent = 0;
    while server.session.state() == liveset_core::SessionState::Active {
        for ticket in tickets {
            server.change(ticket, batch(sent + 2, 2, [added(&format!("n{sent}"), 1)]));
        }
        sent += 1;
        assert!(sent < 200, "new nodes cannot be folded");
    }
    assert!(sent > 20, "{sent}");
    assert_error(&server.texts(), "OVERLOADED");
    assert_eq!(server.closed, Some(CloseCode::TryAgainLater));
}

#[test]
fn a_limit_of_nothing_serves_who_reads_nothing_waits() {
    let mut server = Server::active(limits(0));
    server.create("q", "", snapshot(1, &[("a", 1)]));
    assert_eq!(server.texts().len(), 2);
    assert_eq!(server.closed, None);
}

#[test]
fn what_was_destroyed_does_not_count() {
    let mut server = Server::active(limits(100_000));
    let ticket = server.create("q", "", snapshot(1, &[]));
    server.texts();
    server.change(ticket, batch(2, 1, [added("a", 1)]));
    assert!(server.session.backlog().bytes > 0);
    server.send(r#"{"type":"destroyLiveQuery","id":"q"}"#);
    assert_eq!(server.session.backlog().bytes, 0);
}
