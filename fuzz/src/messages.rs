//! Messages, and a client that is sent them.

use liveset_core::{
    ClientLimits, ClientMessage, ClientSession, LiveQueryOptions, LiveQueryRequest, Monotonic, Query,
    ServerMessage, SubscriptionSpec, Token,
};

/// Reads arbitrary bytes as a message of either side; what can be read is written and reads back the same.
pub fn messages(data: &[u8]) {
    if let Ok(message) = ClientMessage::parse(data, 128) {
        let mut text = Vec::new();
        message.write(&mut text);
        assert_eq!(ClientMessage::parse(&text, 128).as_ref(), Ok(&message));
    }
    if let Ok(message) = ServerMessage::parse(data) {
        let mut text = Vec::new();
        message.write(&mut text);
        assert_eq!(ServerMessage::parse(&text).as_ref(), Ok(&message));
    }
    if let Ok(query) = Query::parse(data) {
        let mut text = Vec::new();
        query.write(&mut text);
        assert_eq!(Query::parse(&text).as_ref(), Ok(&query));
    }
}

/// Feeds arbitrary lines to a client's session that has asked for everything.
pub fn client_session(data: &[u8]) {
    let mut client = ClientSession::new(ClientLimits::default(), Monotonic::ZERO);
    client.authenticate(&Token::new("t"));
    let spec = SubscriptionSpec { id: "a".into(), path: "jobs".into(), events: vec!["jobStarted".into()] };
    client.subscribe(vec![spec]);
    let options = LiveQueryOptions {
        positions: true,
        counts: true,
        reasons: true,
        resume: true,
        status: true,
        hints: true,
    };
    let request = LiveQueryRequest::new("q", Query { set: "e".into(), ..Query::default() });
    client.create_live_query(LiveQueryRequest { options, ..request.clone() });
    client.create_live_query(LiveQueryRequest { id: "r".into(), ..request });
    client.ping();
    for line in data.split(|byte| *byte == b'\n') {
        drop(client.handle_text(Monotonic::ZERO, line));
        while client.poll_event().is_some() {}
        for (_, result) in client.live_queries() {
            assert!(result.ordered().is_none_or(|rows| rows.len() == result.len()));
        }
    }
}
