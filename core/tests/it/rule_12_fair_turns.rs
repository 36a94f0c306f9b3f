//! Rule 12: "No order is promised between events and live-query messages." They take turns, so that neither starves.

use liveset_core::SessionLimits;

use crate::util::*;

#[test]
fn events_and_live_queries_take_turns_and_so_do_live_queries() {
    let mut server = Server::active(SessionLimits::default().chunk_rows(1));
    server.subscribe("s", "jobs", &["x"]);
    for id in ["p", "q"] {
        server.create(id, "", snapshot(1, &[("a", 1), ("b", 2)]));
    }
    for number in 0..4 {
        server.session.deliver("jobs", &event("x", number));
    }
    let whose: Vec<_> = server.texts()[2..]
        .iter()
        .map(|text| match text {
            text if text.contains("\"event\"") => "event",
            text if text.contains(r#""id":"p""#) => "p",
            _ => "q",
        })
        .collect();
    assert!(
        whose == ["event", "p", "event", "q", "event", "p", "event", "q"]
            || whose == ["p", "event", "q", "event", "p", "event", "q", "event"],
        "{whose:?}"
    );
}
