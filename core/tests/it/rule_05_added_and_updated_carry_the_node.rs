//! Rule 5: "`Added` and `Updated` carry the whole projected node. … a node that leaves and returns within one commit is
//! `Updated` if it changed, else nothing; one that comes and goes is nothing."

use liveset_core::SessionLimits;

use crate::util::*;

#[test]
fn each_diff_as_the_protocol_shows_it() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("lq", "", snapshot(1, &[("a", 1), ("b", 2)]));
    server.texts();
    server.change(ticket, batch(2, 2, [removed("a", 1), updated("b", 2, 3), added("c", 4)]));
    assert_eq!(
        server.texts(),
        [
            r#"{"type":"liveQueryRemovedNode","id":"lq","nodeId":"a"}"#,
            r#"{"type":"liveQueryUpdatedNode","id":"lq","nodeId":"b","data":{"id":"b","n":3}}"#,
            r#"{"type":"liveQueryAddedNode","id":"lq","nodeId":"c","data":{"id":"c","n":4}}"#,
        ]
    );
}

#[test]
fn a_commit_without_changes_is_silent() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("lq", "resume reasons positions", snapshot(1, &[]));
    server.texts();
    server.change(ticket, batch(2, 7, []));
    assert!(server.texts().is_empty());
}

#[test]
fn a_ticket_that_is_not_there_is_ignored() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("lq", "", snapshot(1, &[]));
    server.ask(r#"{"type":"destroyLiveQuery","id":"lq"}"#);
    server.change(ticket, batch(2, 1, [added("a", 1)]));
    assert!(server.texts().is_empty());
}
