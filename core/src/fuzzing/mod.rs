//! The bodies of the fuzz targets: arbitrary bytes in, no panic out, and what must hold holds.

mod session;
pub mod text;

pub use session::{session, session_reached};

use crate::{
    ClientLimits, ClientMessage, ClientSession, LiveQueryOptions, LiveQueryRequest, Moment, Query,
    ServerMessage, SubscriptionSpec, Token,
};

/// At which byte the JSON policy refuses a text, for the comparison with the engine's reader.
pub fn refused_at(text: &str, nesting: usize) -> Option<usize> {
    crate::json::read(text, nesting, |_, _| {}).err().map(|malformed| malformed.offset)
}

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
    let mut client = ClientSession::new(ClientLimits::default(), Moment::ZERO);
    client.authenticate(&Token::new("t"));
    let spec = SubscriptionSpec { id: "a".into(), path: "jobs".into(), events: vec!["jobStarted".into()] };
    client.subscribe(vec![spec]);
    let options =
        LiveQueryOptions { positions: true, counts: true, reasons: true, resume: true, hints: true };
    let request = LiveQueryRequest::new("q", Query { set: "e".into(), ..Query::default() });
    client.create_live_query(LiveQueryRequest { options, ..request.clone() });
    client.create_live_query(LiveQueryRequest { id: "r".into(), ..request });
    client.ping();
    for line in data.split(|byte| *byte == b'\n') {
        drop(client.handle_text(Moment::ZERO, line));
        while client.poll_event().is_some() {}
        for (_, result) in client.live_queries() {
            assert!(result.ordered().is_none_or(|rows| rows.len() == result.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator (splitmix64): tests must not depend on anything that they do not name.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn below(&mut self, limit: usize) -> usize {
            (self.next() % limit as u64) as usize
        }
    }

    const CLIENT: [&str; 16] = [
        r#"{"type":"auth","token":"t"}"#,
        r#"{"type":"auth","token":"t","requestId":"r"}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"pong"}"#,
        r#"{"type":"subscribeEvents","subscriptions":[{"id":"a","path":"jobs","events":["jobStarted"]}]}"#,
        r#"{"type":"subscribeEvents","subscriptions":[{"id":"b","path":"jobs","events":["jobStarted"]},{"id":"c","path":"jobs","events":["x"]}]}"#,
        r#"{"type":"unsubscribeEvents","ids":["a"]}"#,
        r#"{"type":"unsubscribeEvents","ids":["b","c"],"requestId":"u"}"#,
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"e"}}"#,
        r#"{"type":"createLiveQuery","id":"r","query":{"edge":"e"},"options":{"positions":true,"counts":true,"reasons":true,"resume":true}}"#,
        r#"{"type":"destroyLiveQuery","id":"q"}"#,
        r#"{"type":"destroyLiveQuery","id":"r"}"#,
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"e","limit":0}}"#,
        r#"{"type":"other"}"#,
        r#"{"type":["#,
        r#"[[[[{}"#,
    ];

    const SERVER: [&str; 18] = [
        r#"{"type":"authenticated","requestId":"1"}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"pong","requestId":"5"}"#,
        r#"{"type":"subscribedEvents","requestId":"2","subscriptions":[{"id":"a","path":"jobs","events":["jobStarted"]}]}"#,
        r#"{"type":"event","subscriptionIds":["a"],"eventType":"jobStarted","path":"jobs","data":{},"timestamp":"t"}"#,
        r#"{"type":"warning","code":"QUEUE_OVERFLOW","message":"m","subscriptionId":"a"}"#,
        r#"{"type":"liveQueryCreated","requestId":"3","id":"q","totalCount":1,"capped":false,"version":"1"}"#,
        r#"{"type":"liveQueryCreated","requestId":"4","id":"r","totalCount":1,"capped":false}"#,
        r#"{"type":"liveQueryData","id":"q","data":[{"id":"n"}],"hasMore":false,"capped":false}"#,
        r#"{"type":"liveQueryData","id":"r","data":[{"id":1},{"id":2}],"hasMore":false,"capped":false}"#,
        r#"{"type":"liveQueryAddedNode","id":"q","nodeId":"m","data":{"id":"m"},"index":1,"version":"1"}"#,
        r#"{"type":"liveQueryUpdatedNode","id":"q","nodeId":"n","data":{"id":"n"},"index":0,"version":"2"}"#,
        r#"{"type":"liveQueryRemovedNode","id":"q","nodeId":"n","reason":"filter"}"#,
        r#"{"type":"liveQueryCount","id":"q","totalCount":18446744073709551615,"capped":true}"#,
        r#"{"type":"liveQueryResumed","requestId":"3","id":"q","totalCount":1,"capped":false,"version":"5"}"#,
        r#"{"type":"liveQueryDestroyed","requestId":"3","id":"q"}"#,
        r#"{"type":"error","code":"X","message":"m","id":"q"}"#,
        r#"{"type":"error","code":"X","message":"m","requestId":"2"}"#,
    ];

    /// A valid line, or one with a few bytes changed, cut or doubled, or noise.
    fn line(random: &mut Random, seeds: &[&str]) -> Vec<u8> {
        let mut text = seeds[random.below(seeds.len())].as_bytes().to_vec();
        match random.below(10) {
            0 => {
                for _ in 0..=random.below(4) {
                    let at = random.below(text.len());
                    text[at] = random.next() as u8;
                }
            }
            1 => text.truncate(random.below(text.len())),
            2 => {
                let at = random.below(text.len());
                let tail = text[at..].to_vec();
                text.extend(tail);
            }
            3 => text = (0..random.below(64)).map(|_| random.next() as u8).collect(),
            _ => {}
        }
        text
    }

    #[test]
    fn random_bytes_never_lead_a_session_astray() {
        const OPS: &[u8] = b"oooooooooooooooppphhhhhhiiiikkkkbbbcddddddeemmsrafg";
        for seed in 0..3000 {
            let mut random = Random(seed);
            let mut data = Vec::new();
            if seed % 4 > 0 {
                data.extend_from_slice(b"o{\"type\":\"auth\",\"token\":\"t\"}\ni\n");
            }
            for _ in 0..random.below(60) {
                // The rare operations that end a session would otherwise leave little to test.
                let rare = if random.below(8) > 0 { 3 } else { 0 };
                let op = OPS[random.below(OPS.len() - rare)];
                data.push(op);
                match op {
                    b'o' => data.extend(line(&mut random, &CLIENT)),
                    _ => data.extend((0..random.below(5)).map(|_| b'0' + random.below(20) as u8)),
                }
                data.push(b'\n');
            }
            session(&data);
        }
    }

    #[test]
    fn random_bytes_never_panic_a_client_session() {
        for seed in 0..3000 {
            let mut random = Random(seed);
            let mut data = Vec::new();
            for _ in 0..random.below(60) {
                data.extend(line(&mut random, &SERVER));
                data.push(b'\n');
            }
            client_session(&data);
        }
    }

    #[test]
    fn what_can_be_read_reads_back() {
        for seed in 0..20_000 {
            let mut random = Random(seed);
            messages(&line(&mut random, &CLIENT));
            messages(&line(&mut random, &SERVER));
        }
    }
}
