//! Diffs that go past the sessions are those that the sessions would have sent.

use liveset_core::{Diffs, Monotonic, Transmit};
use liveset_engine::{Op, SetDef, Timestamp};
use liveset_hub::{ConnectionId, Hub, HubConfig, Now, Output, Principal};

use crate::support::order;

/// A hub whose connections write down everything that is sent to them.
struct Desk {
    hub: Hub,
    now: Now,
    /// Whom to refuse.
    slow: Vec<ConnectionId>,
    sent: Vec<(ConnectionId, String)>,
    /// Messages of those that went past the sessions.
    past: usize,
    expires: Option<Monotonic>,
}

impl Desk {
    fn new() -> Self {
        let wall = Timestamp::parse_rfc3339("2025-12-07T21:45:05Z").unwrap();
        let now = Now { monotonic: Monotonic::default(), wall };
        let mut hub = Hub::new(HubConfig::default());
        hub.define_set(SetDef::new("orders")).unwrap();
        Self { hub, now, slow: Vec::new(), sent: Vec::new(), past: 0, expires: None }
    }

    fn connect(&mut self) -> ConnectionId {
        let conn = self.hub.connect(self.now);
        self.hub.handle_text(self.now, conn, br#"{"type":"auth","token":"t"}"#);
        self.drain();
        conn
    }

    fn create(&mut self, conn: ConnectionId, id: &str, options: &str) {
        let text = format!(
            r#"{{"type":"createLiveQuery","id":"{id}","query":{{"edge":"orders","orderBy":"total","limit":4}},"options":{{{options}}}}}"#
        );
        self.hub.handle_text(self.now, conn, text.as_bytes());
        self.drain();
    }

    fn commit(&mut self, ops: Vec<Op>) {
        self.hub.commit(self.now, ops).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        let Self { hub, slow, sent, past, .. } = self;
        hub.fan_out(self.now, |conn, id, diffs: &Diffs| {
            if slow.contains(&conn) {
                return false;
            }
            for pieces in diffs.messages(id) {
                sent.push((conn, String::from_utf8(pieces.concat()).unwrap()));
                *past += 1;
            }
            true
        });
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Verify { conn, attempt, .. } => {
                    let who = Principal { expires: self.expires, ..Principal::new("someone") };
                    self.hub.handle_verdict(self.now, conn, attempt, Ok(who));
                }
                Output::Transmit { conn } if !self.slow.contains(&conn) => self.transmit(conn),
                _ => {}
            }
        }
    }

    fn transmit(&mut self, conn: ConnectionId) {
        let mut text = Vec::new();
        while let Some(Transmit::Text) = self.hub.poll_transmit(self.now, conn, &mut text) {
            self.sent.push((conn, String::from_utf8(std::mem::take(&mut text)).unwrap()));
        }
    }

    /// What was sent to a connection since the last call.
    fn take(&mut self, conn: ConnectionId) -> Vec<String> {
        let (of, others) = std::mem::take(&mut self.sent).into_iter().partition(|(to, _)| *to == conn);
        self.sent = others;
        let of: Vec<(ConnectionId, String)> = of;
        of.into_iter().map(|(_, text)| text).collect()
    }
}

#[test]
fn both_ways_send_the_same() {
    for options in ["", r#""reasons":true"#, r#""resume":true"#, r#""reasons":true,"resume":true"#] {
        let mut desk = Desk::new();
        let (quick, slow) = (desk.connect(), desk.connect());
        for conn in [quick, slow] {
            desk.create(conn, "q", options);
        }
        let mut seen = 0;
        for n in 0..40 {
            // The slow one is refused each time, and reads right after.
            desk.slow = vec![slow];
            desk.commit(vec![order(n % 7, 100 - n), order(n % 5, n)]);
            desk.slow.clear();
            desk.transmit(slow);
            let texts = desk.take(quick);
            seen += texts.len();
            assert_eq!(texts, desk.take(slow), "{options}");
        }
        assert!(seen > 60 && desk.past > 30, "{seen} messages, {} went past", desk.past);
        assert_eq!(desk.hub.stats().handed_past, desk.past as u64);
    }
}

#[test]
fn who_cannot_be_written_to_gets_the_net_of_it() {
    let mut desk = Desk::new();
    let slow = desk.connect();
    desk.create(slow, "q", "");
    desk.commit(vec![order(1, 1)]);
    assert_eq!((desk.take(slow).len(), desk.past), (3 + 1, 1));
    desk.slow = vec![slow];
    for n in 2..1_000 {
        desk.commit(vec![order(1, n)]);
    }
    desk.slow.clear();
    desk.transmit(slow);
    let folded = desk.take(slow);
    assert_eq!(folded.len(), 1);
    assert!(folded[0].contains("liveQueryUpdatedNode") && folded[0].contains("999"), "{folded:?}");
    // And is abreast again.
    desk.commit(vec![order(1, 5)]);
    assert_eq!((desk.take(slow).len(), desk.past), (1, 2));
}

/// A client takes a version that it does not know for the end of a commit.
#[test]
fn within_a_commit_a_client_is_told_the_version_that_it_knows() {
    let mut desk = Desk::new();
    let (conn, counting) = (desk.connect(), desk.connect());
    desk.create(counting, "q", r#""counts":true"#);
    desk.create(conn, "q", r#""resume":true"#);
    let versions = |texts: &[String]| -> Vec<String> {
        let version =
            |text: &String| text.split_once(r#""version":""#)?.1.split('"').next().map(str::to_owned);
        texts.iter().filter_map(version).collect()
    };
    desk.commit(vec![order(1, 1), order(2, 2), order(3, 3), order(4, 4)]);
    let mut known = versions(&desk.take(conn)).pop().unwrap();
    for round in 0..30 {
        match round % 3 {
            // Changes the count and nothing else.
            0 => desk.commit(vec![order(100 + round, 1_000)]),
            // Folds to nothing while the client is slow.
            1 => {
                desk.slow = vec![conn];
                for n in 0..300 {
                    desk.commit(vec![order(1, 2 - n % 2)]);
                }
                desk.slow.clear();
                desk.transmit(conn);
                let told = versions(&desk.take(conn));
                known = told.last().cloned().unwrap_or(known);
            }
            _ => {}
        }
        desk.commit(vec![order(2, 10 + round), order(3, 20 + round)]);
        let told = versions(&desk.take(conn));
        assert_eq!(told.len(), 2);
        assert_eq!(told[0], known, "round {round}");
        known.clone_from(&told[1]);
    }
    assert!(desk.past > 10);
}

#[test]
fn positions_and_counts_need_their_session() {
    let mut desk = Desk::new();
    for options in [r#""positions":true"#, r#""counts":true"#] {
        let conn = desk.connect();
        desk.create(conn, "q", options);
    }
    for n in 0..5 {
        desk.commit(vec![order(n, n)]);
    }
    assert_eq!(desk.past, 0);
    assert_eq!(desk.sent.iter().filter(|(_, text)| text.contains("AddedNode")).count(), 2 * 4);
}

#[test]
fn no_diff_goes_past_a_token_that_has_expired() {
    let mut desk = Desk::new();
    let end = desk.now.monotonic + std::time::Duration::from_secs(5);
    desk.expires = Some(end);
    let conn = desk.connect();
    desk.create(conn, "q", "");
    desk.commit(vec![order(1, 1)]);
    assert_eq!(desk.past, 1);
    desk.take(conn);
    // Nobody has called `handle_timeout`.
    desk.now.monotonic = end;
    desk.commit(vec![order(1, 2)]);
    let texts = desk.take(conn);
    assert_eq!(desk.past, 1);
    assert!(texts.len() == 1 && texts[0].contains("TOKEN_EXPIRED"), "{texts:?}");
}

#[test]
fn several_commits_without_a_drain_come_in_order_and_after_the_snapshot() {
    let mut desk = Desk::new();
    let (old, new) = (desk.connect(), desk.connect());
    desk.create(old, "q", "");
    desk.take(old);
    desk.hub.commit(desk.now, vec![order(1, 10)]).unwrap();
    let create =
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders","orderBy":"total","limit":4}}"#;
    desk.hub.handle_text(desk.now, new, create.as_bytes());
    desk.hub.commit(desk.now, vec![order(2, 20)]).unwrap();
    desk.drain();
    let kinds = |texts: Vec<String>| -> Vec<String> {
        texts
            .iter()
            .map(|text| text.split('"').nth(3).unwrap().trim_start_matches("liveQuery").to_owned())
            .collect()
    };
    assert_eq!(kinds(desk.take(old)), ["AddedNode", "AddedNode"]);
    assert_eq!(kinds(desk.take(new)[1..].to_vec()), ["Created", "Data", "AddedNode"]);
}
