//! "Data is produced as it can be sent": what is held of first rows is known, so that the owner can hold back more.

use liveset_core::SessionLimits;

use crate::util::*;

#[test]
fn first_rows_weigh_until_all_are_sent() {
    let mut server = Server::active(SessionLimits::default().chunk_rows(1));
    let rows = snapshot(1, &[("a", 1), ("b", 2)]);
    let weight = rows.bytes();
    assert!(weight > 10);
    server.create("q", "", rows.clone());
    assert_eq!((server.session.initial_bytes(), server.session.backlog().initial_bytes), (weight, weight));
    server.create("r", "", rows);
    assert_eq!(server.session.initial_bytes(), 2 * weight);

    // The two answers, then the chunks by turns: a snapshot is held whole until its last.
    let held: Vec<usize> = (0..6)
        .map(|_| {
            server.text();
            server.session.initial_bytes()
        })
        .collect();
    assert_eq!(held, [2, 2, 2, 2, 1, 0].map(|times| times * weight));
}

#[test]
fn what_is_given_up_weighs_nothing() {
    let mut server = Server::active(SessionLimits::default());
    let tickets = ["p", "q", "r"].map(|id| server.create(id, "", snapshot(1, &[("a", 1)])));
    let weight = server.session.initial_bytes() / 3;
    server.send(r#"{"type":"destroyLiveQuery","id":"p"}"#);
    assert_eq!(server.session.initial_bytes(), 2 * weight);
    server.session.end_live_query(server.now, tickets[1], liveset_core::ErrorCode::Overloaded, "later");
    assert_eq!(server.session.initial_bytes(), weight);
    assert!(server.session.suspend_live_query(tickets[2], snapshot(1, &[("a", 1)])).is_some());
    assert_eq!(server.session.initial_bytes(), 0);
    server.session.shutdown(server.now);
    server.texts();
    assert_eq!(server.session.initial_bytes(), 0);
}
