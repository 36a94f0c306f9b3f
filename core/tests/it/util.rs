//! A session on virtual time, with an owner that answers what it is told to.

use std::sync::Arc;
use std::time::Duration;

use liveset_core::{
    About, Batch, Change, CloseCode, Count, Event, Monotonic, Reason, Request, Row, Session, SessionLimits,
    Snapshot, SubscriptionSpec, Ticket, Transmit, Verdict,
};

pub(crate) const AUTH: &str = r#"{"type":"auth","token":"secret"}"#;

pub(crate) struct Server {
    pub(crate) session: Session,
    pub(crate) now: Monotonic,
    pub(crate) closed: Option<CloseCode>,
}

impl Server {
    pub(crate) fn open(limits: SessionLimits) -> Server {
        let now = Monotonic::from_nanos(1_000);
        Server { session: Session::new(Arc::new(limits), now), now, closed: None }
    }

    /// An authenticated connection; `authenticated` was sent already.
    pub(crate) fn active(limits: SessionLimits) -> Server {
        let mut server = Server::open(limits);
        server.send(AUTH);
        assert!(server.verdict(Verdict::Accepted { expires: None }));
        assert_eq!(server.texts(), [r#"{"type":"authenticated"}"#]);
        server
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.session.handle_text(self.now, text.as_bytes());
    }

    /// Sends, and returns everything that the transport could send then.
    pub(crate) fn ask(&mut self, text: &str) -> Vec<String> {
        self.send(text);
        self.texts()
    }

    /// Answers the next request, which must be a token to verify.
    pub(crate) fn verdict(&mut self, verdict: Verdict) -> bool {
        match self.session.poll_request() {
            Some(Request::Verify { attempt, .. }) => self.session.handle_verdict(self.now, attempt, verdict),
            other => panic!("no token to verify but {other:?}"),
        }
    }

    /// Lets time pass in one step.
    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.session.handle_timeout(self.now);
        let next = self.session.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "the next deadline is later, or there is none");
    }

    /// The next message, as a transport that takes one at a time.
    pub(crate) fn text(&mut self) -> Option<String> {
        let mut out = Vec::new();
        let wanted = self.session.wants_transmit();
        let transmit = self.session.poll_transmit(self.now, &mut out);
        assert_eq!(wanted, transmit.is_some(), "wants_transmit is exact");
        match transmit {
            Some(Transmit::Text) => Some(String::from_utf8(out).unwrap()),
            Some(Transmit::Close(code)) => {
                assert!(out.is_empty() && self.session.is_closed() && self.closed.is_none());
                self.closed = Some(code);
                None
            }
            None => None,
        }
    }

    /// Everything that is to be sent.
    pub(crate) fn texts(&mut self) -> Vec<String> {
        let texts = std::iter::from_fn(|| self.text()).collect();
        if self.closed.is_some() {
            assert_eq!(self.text(), None, "nothing follows the close");
            assert_eq!(self.session.poll_request(), None, "a closed session asks for nothing");
            assert_eq!(self.session.poll_timeout(), None, "a closed session waits for nothing");
        }
        texts
    }

    pub(crate) fn requests(&mut self) -> Vec<Request> {
        std::iter::from_fn(|| self.session.poll_request()).collect()
    }

    /// Makes one subscription; the answer was sent already.
    pub(crate) fn subscribe(&mut self, id: &str, path: &str, events: &[&str]) {
        let events = events.iter().map(|event| format!("\"{event}\"")).collect::<Vec<_>>().join(",");
        self.send(&format!(
            r#"{{"type":"subscribeEvents","subscriptions":[{{"id":"{id}","path":"{path}","events":[{events}]}}]}}"#
        ));
        self.accept_subscriptions();
        assert_eq!(self.texts().len(), 1);
    }

    /// Answers the next request, which must be a subscription.
    pub(crate) fn accept_subscriptions(&mut self) -> Vec<SubscriptionSpec> {
        match self.session.poll_request() {
            Some(Request::Subscribe { ticket, subscriptions }) => {
                self.session.accept_subscriptions(self.now, ticket);
                subscriptions
            }
            other => panic!("no subscription but {other:?}"),
        }
    }

    /// The ticket of the next request, which must be a live query.
    pub(crate) fn create_request(&mut self) -> Ticket {
        match self.session.poll_request() {
            Some(Request::CreateLiveQuery { ticket, .. }) => ticket,
            other => panic!("no live query but {other:?}"),
        }
    }

    /// Makes a live query; nothing of it was sent yet.
    pub(crate) fn create(&mut self, id: &str, options: &str, snapshot: Snapshot) -> Ticket {
        self.create_marked(id, options, snapshot, "")
    }

    /// Makes a live query whose versions begin with `mark`.
    pub(crate) fn create_marked(
        &mut self,
        id: &str,
        options: &str,
        snapshot: Snapshot,
        mark: &str,
    ) -> Ticket {
        self.send(&create_text(id, options));
        let ticket = self.create_request();
        let about = About { mark: mark.into(), ..About::default() };
        self.session.accept_and_tell(self.now, ticket, Arc::new(snapshot), about);
        ticket
    }

    pub(crate) fn change(&mut self, ticket: Ticket, batch: Batch) {
        self.session.live_query_changed(ticket, &Arc::new(batch));
    }
}

pub(crate) fn create_text(id: &str, options: &str) -> String {
    let options: Vec<_> = options.split_whitespace().map(|name| format!("\"{name}\":true")).collect();
    let options = options.join(",");
    format!(r#"{{"type":"createLiveQuery","id":"{id}","query":{{"edge":"orders"}},"options":{{{options}}}}}"#)
}

/// A row whose order key is its number, then its id.
pub(crate) fn row(id: &str, number: u32) -> Row {
    let mut key = number.to_be_bytes().to_vec();
    key.extend_from_slice(id.as_bytes());
    Row::new(id, format!(r#"{{"id":"{id}","n":{number}}}"#), key)
}

pub(crate) fn added(id: &str, number: u32) -> Change {
    Change::Added { row: row(id, number), reason: Some(Reason::Created) }
}

pub(crate) fn updated(id: &str, before: u32, after: u32) -> Change {
    Change::Updated { before: row(id, before), row: row(id, after) }
}

pub(crate) fn removed(id: &str, number: u32) -> Change {
    Change::Removed { row: row(id, number), reason: Some(Reason::Filter) }
}

/// The change, with another reason where it has one.
pub(crate) fn because(reason: Option<Reason>, change: Change) -> Change {
    Change::between(change.before().cloned(), change.after().cloned(), reason).expect("a change")
}

pub(crate) fn batch(version: u64, total: u64, changes: impl Into<Vec<Change>>) -> Batch {
    Batch { version, count: Some(Count { total, capped: false }), changes: changes.into() }
}

pub(crate) fn snapshot(version: u64, rows: &[(&str, u32)]) -> Snapshot {
    Snapshot {
        version,
        count: Count { total: rows.len() as u64, capped: false },
        rows: rows.iter().map(|(id, number)| row(id, *number)).collect(),
    }
}

pub(crate) fn event(event_type: &str, number: u64) -> Arc<Event> {
    Arc::new(Event {
        event_type: event_type.into(),
        data: number.to_string().into(),
        timestamp: "2025-12-07T21:45:05.000Z".into(),
    })
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whether a message is an `error` of that code, with or without what else it says.
pub(crate) fn is_error(text: &str, code: &str) -> bool {
    text.starts_with(&format!(r#"{{"type":"error","code":"{code}","message":""#))
}

#[track_caller]
pub(crate) fn assert_error(texts: &[String], code: &str) {
    assert!(texts.len() == 1 && is_error(&texts[0], code), "one {code}, not {texts:?}");
}
