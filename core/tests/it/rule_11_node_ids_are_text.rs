//! Rule 11: "`nodeId` is always text; a key that is an integer has its decimal form". "`limit` above the cap is the cap"
//! is the owner's; the session passes any whole number on.

use liveset_core::{LiveQueryRequest, Query, Request, SessionLimits};

use crate::pair::Pair;
use crate::util::*;

#[test]
fn a_node_id_is_written_as_text() {
    let mut server = Server::active(SessionLimits::default());
    let ticket = server.create("q", "", snapshot(1, &[]));
    server.texts();
    server.change(ticket, batch(2, 1, [added("17", 1), added("a\"b", 2)]));
    let texts = server.texts();
    assert!(texts[0].contains(r#""nodeId":"17""#), "{texts:?}");
    assert!(texts[1].contains(r#""nodeId":"a\"b""#), "{texts:?}");
}

#[test]
fn a_client_knows_rows_with_integer_keys_by_their_decimal_form() {
    let mut pair = Pair::new(SessionLimits::default());
    let query = Query { set: "e".into(), ..Query::default() };
    pair.client.create_live_query(LiveQueryRequest { key: "n".into(), ..LiveQueryRequest::new("q", query) });
    pair.create_with(snapshot(1, &[("17", 17)]));
    assert!(pair.client.live_query("q").unwrap().row("17").is_some());
}

#[test]
fn any_limit_is_passed_on() {
    let mut server = Server::active(SessionLimits::default());
    for (text, limit) in [("1", 1), ("100000", 100_000), ("18446744073709551615", u64::MAX)] {
        server.send(&format!(
            r#"{{"type":"createLiveQuery","id":"q{text}","query":{{"edge":"e","limit":{text}}}}}"#
        ));
        let Some(Request::CreateLiveQuery { query, .. }) = server.session.poll_request() else { panic!() };
        assert_eq!(query.limit, Some(limit));
    }
}
