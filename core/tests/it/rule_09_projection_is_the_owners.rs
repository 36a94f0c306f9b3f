//! Rule 9: "`node.fields` projects the node to those fields (paths allowed); the key field is always included." The session
//! passes the paths to its owner, and the owner's projected JSON to the client, byte for byte.

use std::sync::Arc;

use liveset_core::{Count, Request, Row, SessionLimits, Snapshot};

use crate::util::*;

#[test]
fn paths_go_in_and_json_comes_out_as_they_are() {
    let mut server = Server::active(SessionLimits::default());
    server.send(
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"e","node":{"fields":["b.c","`odd name`"]}}}"#,
    );
    let Some(Request::CreateLiveQuery { ticket, query, .. }) = server.session.poll_request() else {
        panic!()
    };
    assert_eq!(query.fields, Some(vec!["b.c".to_owned(), "`odd name`".to_owned()]));
    let data = r#"{"id":1e2,"b":{"c":2.0}, "odd name":"\u00e9"}"#;
    let rows = vec![Row::new("100", data, "r")];
    let snapshot = Snapshot { version: 1, count: Count { total: 1, capped: false }, rows };
    server.session.accept_live_query(server.now, ticket, Arc::new(snapshot));
    assert!(server.texts()[1].contains(&format!("[{data}]")));
}

#[test]
fn an_empty_list_is_not_the_whole_node() {
    let mut server = Server::active(SessionLimits::default());
    for (node, fields) in [("{\"fields\":[]}", Some(vec![])), ("{}", None), ("null", None)] {
        server.send(&format!(
            r#"{{"type":"createLiveQuery","id":"{}","query":{{"edge":"e","node":{node}}}}}"#,
            node.len()
        ));
        let Some(Request::CreateLiveQuery { query, .. }) = server.session.poll_request() else { panic!() };
        assert_eq!(query.fields, fields);
    }
}
