//! Another principal: what a connection holds is asked of the policy again.
//!
//! Who is asked about once for each set, and what came of that is compared with that within which the queries were planned. Only where it
//! differs are they planned again, a few at a time where they are many; meanwhile nothing of any live query of the connection is sent.

use std::collections::{BTreeMap, VecDeque};

use liveset_core::{ErrorCode, SubscriptionSpec};

use crate::{
    ConnectionId, Hub, Now, Principal,
    connections::Connection,
    contain::{Panicked, contain},
    feeds::Watcher,
    holds::Input,
    plans::{NoScope, Scope},
    refusals::subscription_forbidden,
    turns::Turns,
    whole,
    work::Task,
};

/// So many live queries are planned again in one go, fewer where they cost more than a hold of the lock.
const RECHECKS_AT_ONCE: usize = 8;
/// The steps that it takes to ask for whom a connection acts, about.
const STEPS_PER_CONNECTION: u64 = 200;
/// The steps that it takes to ask the policy about something that is held, about.
const STEPS_PER_QUESTION: u64 = 8;

impl Hub {
    /// Ends every connection that acts for a subject: `TOKEN_EXPIRED`, close 1008, before the next diff. Returns how many those are.
    /// Nothing is asked of the policy, and nobody else is concerned. A verdict on a token that was asked for before is the owner's to ask
    /// for again.
    pub fn revoke(&mut self, now: Now, subject: &str) -> usize {
        let mut ended = 0;
        for conn in self.connections.ids() {
            let Some(connection) = self.connections.find_mut(conn) else { continue };
            if connection.principal.as_ref().is_some_and(|who| &*who.subject == subject) {
                ended += usize::from(!connection.is_over());
                connection.session.fail(now.monotonic, ErrorCode::TokenExpired, "The token was revoked");
                self.settle(now, conn);
            }
        }
        ended
    }

    /// Asks anew for whom each connection acts: everything that it holds is asked of the policy again, as after a
    /// re-authentication. `None` ends the connection: `TOKEN_EXPIRED`, close 1008; a panic ends it, and it alone: `INTERNAL`, close 1011.
    /// Of one that is being shut down what was not sent is dropped.
    /// Returns how many were ended.
    pub fn reauthorize(&mut self, now: Now, mut renew: impl FnMut(&Principal) -> Option<Principal>) -> usize {
        let mut left = self.connection_ids();
        let mut ended = 0;
        while !left.is_empty() {
            ended += self.reauthorize_some(now, &mut left, &mut renew);
        }
        ended
    }

    /// All connections, in an order that is a function of what was done.
    pub fn connection_ids(&self) -> VecDeque<ConnectionId> {
        self.connections.ids().into()
    }

    /// The same as [`reauthorize`](Self::reauthorize), for as many of these connections as fit in a hold of the lock, one at least:
    /// they are taken out. Those that come meanwhile have to be let in by what `renew` goes by.
    pub fn reauthorize_some(
        &mut self,
        now: Now,
        left: &mut VecDeque<ConnectionId>,
        mut renew: impl FnMut(&Principal) -> Option<Principal>,
    ) -> usize {
        self.begin_hold(now);
        let mut ended = 0;
        while let Some(conn) = left.pop_front() {
            self.counts.own_steps += STEPS_PER_CONNECTION;
            let Some(connection) = self.connections.find_mut(conn) else { continue };
            let Some(who) = &connection.principal else { continue };
            let was_over = connection.is_over();
            match contain(|| renew(who)) {
                Ok(Some(renewed)) => {
                    connection.session.renew(now.monotonic, renewed.expires);
                    // What one that is over held is forgotten here, so that the policy cannot be asked of what its session has left.
                    if was_over {
                        connection.session.withhold();
                    }
                    self.install(now, conn, renewed);
                }
                Ok(None) => {
                    connection.session.fail(now.monotonic, ErrorCode::TokenExpired, "The token was revoked");
                }
                Err(Panicked) => self.panicked(now, conn),
            }
            self.settle(now, conn);
            let is_over = self.connections.find(conn).is_none_or(Connection::is_over);
            ended += usize::from(is_over && !was_over);
            if self.left_of_hold() == 0 {
                break;
            }
        }
        self.note_hold(Input::Verdict);
        ended
    }

    /// A connection acts for somebody from now on.
    pub(crate) fn install(&mut self, now: Now, conn: ConnectionId, principal: Principal) {
        let place = self.place(conn);
        let Some(connection) = self.connections.find_mut(conn) else { return };
        let subject = principal.subject.clone();
        let before = connection.principal.replace(principal);
        if before.is_some_and(|before| before.subject != subject) {
            // What it holds goes over to the account of the other one, and what it waits for has its turns there.
            for (ticket, held) in &connection.held.queries {
                self.feeds.change_subject(held.feed, Watcher::Connection(conn, *ticket), &subject);
            }
            let mut tasks = Vec::new();
            self.tasks.retain(&place, |task| {
                tasks.push(*task);
                false
            });
            let place = self.place(conn);
            tasks.into_iter().for_each(|task| self.tasks.push(place.clone(), task));
        }
        if let Some(connection) = self.connections.find_mut(conn) {
            connection.count(now.monotonic, &mut self.subjects, &mut self.tenants, &self.limits);
        }
        self.recheck(now, conn);
    }

    /// "Every subscription and live query is re-checked against the new principal."
    fn recheck(&mut self, now: Now, conn: ConnectionId) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        let Some(who) = connection.principal.clone() else { return };
        let asked = connection.held.subscriptions.len() + connection.held.queries.len();
        self.counts.own_steps += STEPS_PER_QUESTION * asked as u64;
        let mut ended = Vec::new();
        for subscription in connection.held.subscriptions.values() {
            let SubscriptionSpec { path, events, .. } = subscription;
            match self.policy.ask(|policy| policy.may_subscribe(&who, path, events)) {
                Ok(true) => {}
                Ok(false) => ended.push((subscription.id.clone(), subscription_forbidden(subscription))),
                Err(_) => return self.panicked(now, conn),
            }
        }
        for (id, refusal) in ended {
            connection.session.end_subscription(&id, refusal.code, &refusal.message);
            if let Some(subscription) = connection.held.unsubscribe(&id) {
                self.routes.remove(&subscription.path, conn);
            }
        }
        connection.count(now.monotonic, &mut self.subjects, &mut self.tenants, &self.limits);
        self.recheck_queries(now, conn, &who);
    }

    /// Finds out which live queries have to be planned again, and begins with it.
    fn recheck_queries(&mut self, now: Now, conn: ConnectionId, who: &Principal) {
        let Some(connection) = self.connections.find(conn) else { return };
        let held: Vec<_> = connection
            .held
            .queries
            .iter()
            .map(|(ticket, held)| (*ticket, held.query.clone(), held.scope.clone()))
            .collect();
        let mut scopes: BTreeMap<&str, Result<Scope, NoScope>> = BTreeMap::new();
        let (mut changed, mut ended) = (Vec::new(), Vec::new());
        for (ticket, query, planned_in) in &held {
            let may = match self.policy.ask(|policy| policy.may_query(who, query)) {
                Ok(may) => may,
                Err(_) => return self.panicked(now, conn),
            };
            if !scopes.contains_key(&*query.set) {
                let known = self.known_scope(conn, &query.set);
                scopes.insert(&query.set, self.scope(who, &query.set, known.as_ref()));
            }
            let scope = match scopes.get(&*query.set) {
                Some(_) if !may => Err(NoScope::Forbidden),
                Some(scope) => scope.clone(),
                None => Err(NoScope::Forbidden),
            };
            match scope {
                Ok(scope) if scope.is_same(planned_in) => {}
                Ok(scope) => changed.push((*ticket, scope)),
                Err(NoScope::Panicked(_)) => return self.panicked(now, conn),
                Err(none) => ended.push((*ticket, self.no_scope(none, query))),
            }
        }
        let Some(connection) = self.connections.find_mut(conn) else { return };
        connection.scopes = scopes
            .into_iter()
            .filter_map(|(edge, scope)| match scope {
                Ok(Scope::Part(part)) => Some((edge.into(), part)),
                _ => None,
            })
            .collect();
        let was_held_back = !connection.rechecks.is_empty();
        for (ticket, _) in connection.rechecks.drain(..) {
            if let Some(held) = connection.held.queries.get_mut(&ticket) {
                held.is_unchecked = false;
            }
        }
        for (ticket, _) in &changed {
            if let Some(held) = connection.held.queries.get_mut(ticket) {
                held.is_unchecked = true;
            }
        }
        connection.rechecks = changed.into();
        let has_rechecks = !connection.rechecks.is_empty();
        if has_rechecks && !was_held_back {
            self.hold_back(conn);
        }
        for (ticket, refusal) in ended {
            self.end_query(now, conn, ticket, &refusal);
        }
        match has_rechecks {
            true => self.recheck_some(now, conn),
            false if was_held_back => self.go_on(now, conn),
            false => {}
        }
    }

    /// Plans some live queries of a connection again.
    pub(crate) fn recheck_some(&mut self, now: Now, conn: ConnectionId) {
        let connection = self.connections.find(conn);
        let mut feeds = connection.into_iter().flat_map(|it| it.held.queries.values().map(|held| held.feed));
        if self.engine.is_applying() || feeds.any(|feed| self.whole.is_partial(&self.engine, feed)) {
            // What the client has must be what the engine has, to be made into something else.
            let place = self.place(conn);
            self.tasks.retain(&place, |task| *task != Task::Recheck);
            return self.whole.put_off(whole::Task::Recheck(conn));
        }
        for done in 0..RECHECKS_AT_ONCE {
            if done > 0 && self.left_of_hold() == 0 {
                break;
            }
            let Some(connection) = self.connections.find_mut(conn) else { return };
            let Some((ticket, scope)) = connection.rechecks.pop_front() else { break };
            let Some(held) = connection.held.queries.get_mut(&ticket) else { continue };
            held.is_unchecked = false;
            let (query, options) = (held.query.clone(), held.options);
            let outcome = self
                .plan_within(&scope, &query, None, options.counts)
                .and_then(|plan| self.move_query(now, conn, ticket, &plan, scope));
            match outcome {
                Ok(()) => {}
                Err(refusal) if refusal.code == ErrorCode::Internal => return self.panicked(now, conn),
                Err(refusal) => self.end_query(now, conn, ticket, &refusal),
            }
        }
        let Some(connection) = self.connections.find(conn) else { return };
        let place = self.place(conn);
        self.tasks.retain(&place, |task| *task != Task::Recheck);
        match connection.rechecks.is_empty() {
            true => self.go_on(now, conn),
            false => {
                self.tasks.push(place, Task::Recheck);
                // Some may have ended.
                self.unsettled.push_back(conn);
            }
        }
    }

    /// Nothing of any live query of a connection is sent until further notice.
    fn hold_back(&mut self, conn: ConnectionId) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        connection.session.hold_live_queries(true);
        for (ticket, held) in &connection.held.queries {
            let watcher = Watcher::Connection(conn, *ticket);
            if self.feeds.is_begun(held.feed, watcher) {
                let told = self.feeds.fall_behind(held.feed, watcher);
                if let Some(told) = told {
                    connection.session.live_query_told(*ticket, told);
                }
                connection.behind.insert((held.feed, *ticket));
            }
        }
    }

    /// The live queries of a connection go on: those that waited for their first result meanwhile, too.
    fn go_on(&mut self, now: Now, conn: ConnectionId) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        connection.session.hold_live_queries(false);
        let waiting: Vec<_> = connection
            .held
            .queries
            .iter()
            .filter(|(ticket, held)| !self.feeds.is_begun(held.feed, Watcher::Connection(conn, **ticket)))
            .map(|(_, held)| held.feed)
            .collect();
        for feed in waiting {
            self.begin(now, feed);
        }
        self.unsettled.push_back(conn);
    }
}
