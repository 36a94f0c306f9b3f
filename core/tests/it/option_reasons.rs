//! "`reasons: true` | `Removed` carries `reason` …; `Added` carries `reason` …"

use liveset_core::{Reason, SessionLimits};

use crate::util::*;

fn reasons(texts: &[String]) -> Vec<Option<&str>> {
    texts.iter().map(|text| text.split_once(r#""reason":""#)?.1.split('"').next()).collect()
}

#[test]
fn additions_and_removals_say_why() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "reasons", snapshot(1, &[("a", 1), ("b", 2)]));
    server.texts();
    let left = because(Some(Reason::Displaced), removed("a", 1));
    let came = because(Some(Reason::Refilled), added("c", 3));
    server.change(ticket, batch(2, 2, [left, updated("b", 2, 3), came]));
    assert_eq!(reasons(&server.texts()), [Some("displaced"), None, Some("refilled")]);
}

#[test]
fn a_fold_says_the_last_reason_that_still_holds() {
    use Reason::{Created, Filter};
    let mut server = Server::active(SessionLimits::default().backlog_changes(0));
    let ticket = server.create("q", "reasons", snapshot(1, &[("s", 1), ("t", 1)]));
    server.texts();
    server.change(ticket, batch(2, 2, [because(Some(Filter), added("a", 5))]));
    server.change(ticket, batch(3, 2, [updated("a", 5, 6)]));
    server.change(ticket, batch(4, 2, [removed("s", 1), updated("t", 1, 2)]));
    server.change(ticket, batch(5, 2, [because(Some(Created), added("s", 9))]));
    server.change(ticket, batch(6, 2, [because(Some(Reason::Deleted), removed("t", 2))]));
    assert_eq!(reasons(&server.texts()), [Some("deleted"), Some("filter"), None]);
}

#[test]
fn nobody_else_gets_them() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "positions counts resume", snapshot(1, &[]));
    server.texts();
    server.change(ticket, batch(2, 1, [added("a", 1)]));
    assert!(server.texts().iter().all(|text| !text.contains("reason")));
}
