//! Rule 6: "A commit … is atomic: its diffs are net …, removals first, then additions and updates in the order of the
//! result, all queued before those of the next commit."

use liveset_core::SessionLimits;

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
