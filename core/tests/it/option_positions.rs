//! "`positions: true` | `Added` and `Updated` carry `index`, the node's place in the window after that message; applying
//! messages in order needs no comparator"

use liveset_core::SessionLimits;

use crate::util::*;

fn indexes(texts: &[String]) -> Vec<Option<usize>> {
    let index = |text: &String| text.split_once(r#""index":"#)?.1.trim_end_matches('}').parse().ok();
    texts.iter().map(index).collect()
}

#[test]
fn the_place_after_that_message() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "positions", snapshot(1, &[("a", 10), ("b", 20), ("c", 30)]));
    assert_eq!(indexes(&server.texts()), [None, None]);
    // "a" leaves; "d" comes before all; "c" moves before "b", which has not moved yet.
    server.change(
        ticket,
        batch(2, 3, [removed("a", 10), added("d", 5), updated("c", 30, 15), updated("b", 20, 25)]),
    );
    let texts = server.texts();
    assert_eq!(indexes(&texts), [None, Some(0), Some(1), Some(2)]);
    assert_eq!(
        texts[1],
        r#"{"type":"liveQueryAddedNode","id":"q","nodeId":"d","data":{"id":"d","n":5},"index":0}"#
    );
}

#[test]
fn nobody_else_gets_them() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "counts reasons resume", snapshot(1, &[]));
    server.texts();
    server.change(ticket, batch(2, 1, [added("a", 1)]));
    assert!(server.texts().iter().all(|text| !text.contains("index")));
}
