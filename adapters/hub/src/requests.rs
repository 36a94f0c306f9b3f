//! What sessions ask for: subscriptions and live queries, checked, granted, taken back.

use std::sync::Arc;

use liveset_core::{
    ChangeBatch, ErrorCode, LiveQueryOptions, QuerySpec, Refusal, Request, SessionState, Snapshot,
    SubscriptionSpec, Ticket,
};
use liveset_engine::{FeedId, OpenError, Plan};

use crate::{
    ConnectionId, Hub, LiveQueryStage, Now, Output, Principal, ResourceError,
    connections::{Connection, HeldQuery},
    direct::Direct,
    feeds::{Feeds, Watcher},
    output::Outputs,
    timers::Timer,
    updates::mark,
};

impl Connection {
    /// Tells the owner, once, that the session has something to send.
    pub(crate) fn signal(&mut self, conn: ConnectionId, outputs: &mut Outputs) {
        if !self.signalled && self.session.wants_transmit() {
            self.signalled = true;
            outputs.push(Output::Transmit { conn });
        }
    }
}

impl Hub {
    /// After any input of a session: answers what it asks for, and brings the tables up to date with it.
    pub(crate) fn settle(&mut self, now: Now, conn: ConnectionId) {
        self.unsettled.push_back(conn);
        self.settle_all(now);
    }

    /// The same for every session that has got something since it was last settled. Answering one may give something to
    /// another: a result for which that has waited.
    pub(crate) fn settle_all(&mut self, now: Now) {
        while let Some(conn) = self.unsettled.pop_front() {
            self.settle_one(now, conn);
        }
    }

    fn settle_one(&mut self, now: Now, conn: ConnectionId) {
        loop {
            let Some(connection) = self.connections.find_mut(conn) else { return };
            match connection.session.poll_request() {
                Some(request) => self.answer(now, conn, request),
                None => break,
            }
        }
        let over = self.connections.find(conn).is_some_and(|connection| match connection.session.state() {
            SessionState::AwaitingAuth | SessionState::Verifying | SessionState::Active => false,
            SessionState::Draining | SessionState::Closing(_) | SessionState::Closed(_) => true,
        });
        if over {
            self.release(now, conn);
        }
        if let Some(connection) = self.connections.find_mut(conn) {
            self.timers.set(Timer::Connection(conn), connection.session.poll_timeout());
            connection.signal(conn, &mut self.outputs);
        }
    }

    fn answer(&mut self, now: Now, conn: ConnectionId, request: Request) {
        match request {
            Request::Verify { attempt, token } => self.outputs.push(Output::Verify { conn, attempt, token }),
            Request::Subscribe { ticket, subscriptions } => self.subscribe(now, conn, ticket, subscriptions),
            Request::Unsubscribed { subscriptions } => {
                for subscription in subscriptions {
                    self.forget_subscription(conn, &subscription.id);
                }
            }
            Request::CreateLiveQuery { ticket, id, query, options, since } => {
                self.note(conn, &id, LiveQueryStage::Asked);
                let asked = Asked { ticket, id: id.clone(), query: Arc::new(query), options, since };
                if let Err(refusal) = self.create(now, conn, asked) {
                    self.note(conn, &id, LiveQueryStage::Refused(refusal.code));
                    self.refuse(now, conn, ticket, Refusal { id: Some(id), ..refusal });
                }
            }
            Request::LiveQueryDestroyed { ticket, id } => {
                self.note(conn, &id, LiveQueryStage::Ended);
                self.forget_query(conn, ticket);
            }
        }
    }

    fn note(&mut self, conn: ConnectionId, id: &Arc<str>, stage: LiveQueryStage) {
        self.outputs.push(Output::LiveQuery { conn, id: id.clone(), stage });
    }

    fn refuse(&mut self, now: Now, conn: ConnectionId, ticket: Ticket, refusal: Refusal) {
        if let Some(connection) = self.connections.find_mut(conn) {
            connection.session.refuse(now.monotonic, ticket, refusal);
        }
    }

    // --- events ---

    /// All or nothing.
    fn subscribe(
        &mut self,
        now: Now,
        conn: ConnectionId,
        ticket: Ticket,
        subscriptions: Vec<SubscriptionSpec>,
    ) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        for subscription in &subscriptions {
            let checked = check_subscription(
                &self.resources,
                &*self.policy,
                connection.principal.as_ref(),
                subscription,
            );
            if let Err(refusal) = checked {
                connection.session.refuse(now.monotonic, ticket, refusal);
                return;
            }
        }
        if !connection.session.accept_subscriptions(now.monotonic, ticket) {
            return;
        }
        for subscription in subscriptions {
            self.routes.add(&subscription.path, conn);
            connection.held.subscriptions.insert(subscription.id.clone(), subscription);
        }
    }

    fn forget_subscription(&mut self, conn: ConnectionId, id: &str) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        if let Some(subscription) = connection.held.subscriptions.swap_remove(id) {
            self.routes.remove(&subscription.path, conn);
        }
    }

    // --- live queries ---

    fn create(&mut self, now: Now, conn: ConnectionId, asked: Asked) -> Result<(), Refusal> {
        let Some(connection) = self.connections.find(conn) else { return Ok(()) };
        // Permission first: whoever may not ask is not told whether what they asked for exists.
        let allowed = match &connection.principal {
            Some(who) => self.policy.may_query(who, &asked.query),
            None => false,
        };
        if !allowed {
            return Err(query_forbidden(&asked.query));
        }
        let refusal = |code, message| Refusal { code, message, id: None };
        let plan = self.plan(&asked.query, asked.options.counts);
        let plan = plan.map_err(|error| refusal(ErrorCode::InvalidQuery, error.to_string()))?;
        let resumable = asked.options.resume;
        let watcher = Watcher::Connection(conn, asked.ticket);
        let direct = Direct::new(&asked.id, asked.options);
        let (feed, is_there) = self
            .open(now, &plan, &mark(&asked.query, &plan), watcher, direct, resumable)
            .map_err(|error| refusal(ErrorCode::LimitExceeded, error.to_string()))?;
        if let Some(connection) = self.connections.find_mut(conn) {
            let held = HeldQuery { feed, id: asked.id, query: asked.query, resumable, since: asked.since };
            connection.held.queries.insert(asked.ticket, held);
        }
        self.opened(now, feed, is_there);
        Ok(())
    }

    /// Gives a live query of a connection the result that it waited for.
    pub(crate) fn answer_query(
        &mut self,
        now: Now,
        conn: ConnectionId,
        ticket: Ticket,
        snapshot: &Arc<Snapshot>,
    ) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        let Some(held) = connection.held.queries.get_mut(&ticket) else { return };
        let since = held.since.take();
        let net = since.as_ref().and_then(|since| missed(&self.feeds, held.feed, snapshot, since));
        let stage = match net {
            Some(_) => LiveQueryStage::Resumed,
            None => LiveQueryStage::Answered { rows: snapshot.rows.len() },
        };
        self.outputs.push(Output::LiveQuery { conn, id: held.id.clone(), stage });
        match net {
            Some(batch) => {
                self.counts.resumed += 1;
                connection.session.resume_live_query(now.monotonic, ticket, Arc::new(batch), snapshot);
            }
            None => {
                self.counts.resumes_missed += u64::from(since.is_some());
                connection.session.accept_live_query(now.monotonic, ticket, snapshot.clone());
            }
        }
        connection.behind.push((held.feed, ticket));
        // What the session held back until it was answered is to be seen to.
        self.unsettled.push_back(conn);
    }

    fn forget_query(&mut self, conn: ConnectionId, ticket: Ticket) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        if let Some(query) = connection.held.queries.swap_remove(&ticket) {
            let after = self.feeds.leave(query.feed, Watcher::Connection(conn, ticket), query.resumable);
            self.close_gone(query.feed, after);
        }
    }

    /// Opens a feed for a watcher, which waits from here on for [`opened`](Self::opened). "No change is lost between snapshot
    /// and stream, none is sent twice": what is due is brought to those who watch already before the snapshot is taken, and
    /// what comes later is told by its version.
    pub(crate) fn open(
        &mut self,
        now: Now,
        plan: &Plan,
        mark: &Arc<str>,
        watcher: Watcher,
        direct: Option<Direct>,
        resumable: bool,
    ) -> Result<(FeedId, bool), OpenError> {
        self.engine.handle_timeout(now.wall);
        self.take_updates(now);
        let (feed, is_there) = self.engine.begin_open(now.wall, plan)?;
        if !self.feeds.join(feed, watcher, direct, mark, resumable) {
            // The hub has its reference to this feed already.
            self.engine.close(feed);
        }
        Ok((feed, is_there))
    }

    /// Brings the result to the watcher for whom the feed was opened, if it is there already; and to others what work on
    /// that has brought them.
    pub(crate) fn opened(&mut self, now: Now, feed: FeedId, is_there: bool) {
        if is_there {
            self.begin(now, feed);
        }
        self.take_updates(now);
    }

    // --- another principal ---

    /// "Every subscription and live query is re-checked against the new principal."
    pub(crate) fn recheck(&mut self, conn: ConnectionId) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        let Some(who) = &connection.principal else { return };
        let mut subscriptions = Vec::new();
        for subscription in connection.held.subscriptions.values() {
            if !self.policy.may_subscribe(who, &subscription.path, &subscription.events) {
                subscriptions.push((subscription.id.clone(), subscription_forbidden(subscription)));
            }
        }
        let mut queries = Vec::new();
        for (ticket, held) in &connection.held.queries {
            if !self.policy.may_query(who, &held.query) {
                queries.push((*ticket, query_forbidden(&held.query)));
            }
        }
        for (id, refusal) in &subscriptions {
            connection.session.end_subscription(id, refusal.code, &refusal.message);
        }
        for (ticket, refusal) in &queries {
            connection.session.end_live_query(*ticket, refusal.code, &refusal.message);
        }
        for (id, _) in subscriptions {
            self.forget_subscription(conn, &id);
        }
        for (ticket, _) in queries {
            let id = self.connections.find(conn).and_then(|connection| connection.held.queries.get(&ticket));
            if let Some(id) = id.map(|held| held.id.clone()) {
                self.note(conn, &id, LiveQueryStage::Ended);
            }
            self.forget_query(conn, ticket);
        }
    }
}

/// The net changes from the version that a client says it has to that of the snapshot, where they are known.
fn missed(feeds: &Feeds, feed: FeedId, snapshot: &Snapshot, since: &str) -> Option<ChangeBatch> {
    let since = since.strip_prefix(&*snapshot.mark)?.parse::<u64>().ok()?;
    if since > snapshot.version {
        return None;
    }
    let mut net = feeds.since(feed, since)?;
    Some(ChangeBatch {
        version: snapshot.version,
        total_count: snapshot.total_count,
        capped: snapshot.capped,
        changes: net.drain().changes,
    })
}

/// A `createLiveQuery`.
struct Asked {
    ticket: Ticket,
    id: Arc<str>,
    query: Arc<QuerySpec>,
    options: LiveQueryOptions,
    since: Option<String>,
}

fn check_subscription(
    resources: &crate::Resources,
    policy: &dyn crate::Policy,
    who: Option<&Principal>,
    subscription: &SubscriptionSpec,
) -> Result<(), Refusal> {
    for event in &subscription.events {
        resources.declares_event(&subscription.path, event).map_err(|error| Refusal {
            code: match error {
                ResourceError::UnknownPath(_) => ErrorCode::InvalidPath,
                ResourceError::UnknownEvent { .. } => ErrorCode::InvalidEvent,
            },
            message: error.to_string(),
            id: Some(subscription.id.clone()),
        })?;
    }
    match who {
        Some(who) if policy.may_subscribe(who, &subscription.path, &subscription.events) => Ok(()),
        _ => Err(subscription_forbidden(subscription)),
    }
}

fn subscription_forbidden(subscription: &SubscriptionSpec) -> Refusal {
    Refusal {
        code: ErrorCode::Forbidden,
        message: format!("not allowed to subscribe to '{}'", subscription.path),
        id: Some(subscription.id.clone()),
    }
}

pub(crate) fn query_forbidden(query: &QuerySpec) -> Refusal {
    Refusal {
        code: ErrorCode::Forbidden,
        message: format!("not allowed to query '{}'", query.edge),
        id: None,
    }
}
