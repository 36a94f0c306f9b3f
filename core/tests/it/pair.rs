//! Both ends of a connection, with a wire that the test moves along.

use std::collections::VecDeque;
use std::sync::Arc;

use liveset_core::{
    ClientError, ClientEvent, ClientLimits, ClientSession, Monotonic, Request, Session, SessionLimits,
    Snapshot, Ticket, Token, Transmit, Verdict,
};

pub(crate) struct Pair {
    pub(crate) client: ClientSession,
    pub(crate) server: Session,
    pub(crate) now: Monotonic,
    wire: VecDeque<Vec<u8>>,
}

impl Pair {
    /// An authenticated connection.
    pub(crate) fn new(limits: SessionLimits) -> Pair {
        let now = Monotonic::ZERO;
        let mut pair = Pair {
            client: ClientSession::new(ClientLimits::default(), now),
            server: Session::new(Arc::new(limits), now),
            now,
            wire: VecDeque::new(),
        };
        let request = pair.client.authenticate(&Token::new("t"));
        pair.client_speaks();
        let Some(Request::Verify { attempt, .. }) = pair.server.poll_request() else { panic!() };
        assert!(pair.server.handle_verdict(now, attempt, Verdict::Accepted { expires: None }));
        pair.server_speaks().unwrap();
        assert!(pair.client.is_authenticated());
        assert_eq!(pair.client.poll_event(), Some(ClientEvent::Authenticated { request }));
        pair
    }

    /// Everything that the client says arrives.
    pub(crate) fn client_speaks(&mut self) {
        let mut text = Vec::new();
        while self.client.poll_transmit(&mut text) {
            self.server.handle_text(self.now, &text);
            text.clear();
        }
    }

    /// One message that the server says arrives; false where it has none.
    pub(crate) fn one_from_server(&mut self) -> Result<bool, ClientError> {
        let mut text = Vec::new();
        if let Some(Transmit::Text) = self.server.poll_transmit(self.now, &mut text) {
            self.wire.push_back(text);
        }
        match self.wire.pop_front() {
            Some(text) => self.client.handle_text(self.now, &text).map(|()| true),
            None => Ok(false),
        }
    }

    /// Everything that the server says arrives.
    pub(crate) fn server_speaks(&mut self) -> Result<(), ClientError> {
        while self.one_from_server()? {}
        Ok(())
    }

    /// What the client learned.
    pub(crate) fn events(&mut self) -> Vec<ClientEvent> {
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }

    /// The ticket of the next request, which must be a live query, and the version to resume from.
    pub(crate) fn create_request(&mut self) -> (Ticket, Option<String>) {
        self.client_speaks();
        match self.server.poll_request() {
            Some(Request::CreateLiveQuery { ticket, since, .. }) => (ticket, since),
            other => panic!("no live query but {other:?}"),
        }
    }

    /// The server accepts the live query that the client asked for, and everything arrives.
    pub(crate) fn create_with(&mut self, snapshot: Snapshot) -> Ticket {
        let (ticket, _) = self.create_request();
        self.server.accept_live_query(self.now, ticket, Arc::new(snapshot));
        self.server_speaks().unwrap();
        ticket
    }
}
