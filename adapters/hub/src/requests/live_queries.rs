//! Live queries, checked, granted, changed into others, taken back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use liveset_core::{
    About, Ahead, Batch, Change, ErrorCode, Etag, LiveQueryOptions, Param, Query, Reason, Refusal,
    Resumption, Row, Snapshot, Ticket, VersionCode,
    model::{Limit, limit},
};
use liveset_engine::{FeedId, Keeping, OpenError, Opened, Plan};

use crate::{
    ConnectionId, Hub, HubLimits, LiveQueryStage, Now, Output, Principal,
    connections::{Connection, First, HeldQuery},
    direct::Direct,
    feeds::{Feeds, Watcher},
    plans::{Scope, planning_steps},
    refusals::{query_forbidden, too_large, too_many_of_subject, too_many_of_tenant},
    updates::identity,
};

/// A `createLiveQuery`.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(super) ticket: Ticket,
    pub(super) id: Arc<str>,
    pub(super) query: Arc<Query>,
    pub(super) options: LiveQueryOptions,
    pub(super) since: Option<String>,
    pub(super) have: Option<Vec<Etag>>,
    /// Its texts as parsed, where a parser has read the message.
    pub(super) ahead: Ahead,
}

impl Asked {
    /// Bytes that it takes while it waits, without what was parsed, about.
    pub(super) fn bytes(&self) -> u64 {
        let Query { set, filter, params, order_by, limit: _, fields } = &*self.query;
        let texts = [filter, order_by, &self.since].into_iter().flatten().map(String::len);
        let fields = fields.iter().flatten().map(|field| size_of::<String>() + field.len());
        let params =
            params.iter().map(|(name, value)| size_of::<(String, Param)>() + name.len() + value.bytes());
        let etags = self.have.as_ref().map_or(0, |have| size_of_val(&**have));
        let fixed = ASKED_BYTES + set.len() + self.id.len() + etags;
        (fixed + texts.chain(fields).chain(params).sum::<usize>()) as u64
    }
}

/// Bytes of an [`Asked`] besides its texts: itself, its query, and its places in tables.
const ASKED_BYTES: usize = 512;

impl Hub {
    pub(super) fn create(&mut self, now: Now, conn: ConnectionId, asked: Asked) -> Result<(), Refusal> {
        let Some(connection) = self.connections.find(conn) else { return Ok(()) };
        let Some(who) = connection.principal.clone() else { return Err(query_forbidden(&asked.query)) };
        let limit = self.limits.live_queries_per_subject;
        if self.subjects.of(&who.subject).live_queries >= limit {
            self.counts.refusals.count(limit!(HubLimits.live_queries_per_subject));
            return Err(too_many_of_subject(limit, "live queries", None));
        }
        self.room_of_tenant(&who)?;
        let steps = planning_steps(&asked.query, self.query_limits.expression_bytes);
        self.spend(now, Watcher::Connection(conn, asked.ticket), steps);
        let (wait, limit) = self.wait(now, conn);
        if wait > self.limits.overdraft {
            return Err(self.overdrawn(limit));
        }
        let limit = self.limits.filling_per_subject;
        // A connection that waits for nothing is let in, whatever others wait for that act for the same subject.
        let waits = |held: &HeldQuery| self.engine.is_being_made(held.feed);
        let held = self.connections.find(conn).map(|connection| &connection.held.queries);
        let is_waiting = held.is_some_and(|queries| queries.values().any(waits));
        if self.filling_of(&who.subject) >= limit.max(1) && is_waiting {
            self.counts.refusals.count(limit!(HubLimits.filling_per_subject));
            let message = format!(
                "The first results of {limit} live queries of the subject are being made already; try again later"
            );
            return Err(Refusal { code: ErrorCode::Overloaded, message, id: None });
        }
        let known = self.known_scope(conn, &asked.query.set);
        let (plan, scope) =
            self.permitted(&who, &asked.query, asked.ahead.get(), asked.options.counts, known.as_ref())?;
        let Asked { ticket, id, query, options, since, have, .. } = asked;
        let identity = identity(&query, &plan);
        let mark = self.marks.of(&identity);
        let watcher = Watcher::Connection(conn, ticket);
        let direct = Direct::new(&id, options);
        let resumes = options.resume.then(|| who.subject.clone());
        let Opened { feed, is_there, keeping } =
            self.open(now, &plan, &mark, watcher, direct, resumes).map_err(|error| self.no_room(&error))?;
        let hints = if options.hints { self.hints(now, watcher, &query, &scope) } else { Vec::new() };
        let needs_more = since.is_some() || have.is_some() || !hints.is_empty();
        if let Some(connection) = self.connections.find_mut(conn) {
            if let Scope::Part(part) = &scope {
                connection.scopes.insert(query.set.as_str().into(), part.clone());
            }
            let held = HeldQuery {
                feed,
                keeping,
                id,
                query,
                options,
                identity,
                scope,
                is_unchecked: false,
                worked_at: now.monotonic,
                had: None,
                first: needs_more.then(|| Box::new(First { since, have, hints })),
                is_deferred: false,
            };
            connection.held.insert(ticket, held);
            connection.count(now.monotonic, &mut self.subjects, &mut self.tenants, &self.limits);
            self.subjects.keep(&mut connection.share, feed, &keeping);
            self.tenants.keep(&mut connection.tenant_share, feed, &keeping);
        }
        self.opened(now, feed, is_there);
        Ok(())
    }

    /// Refuses one more live query of a tenant that has as many as it may.
    pub(super) fn room_of_tenant(&mut self, who: &Principal) -> Result<(), Refusal> {
        let (limit, tenant) = (self.limits.live_queries_per_tenant, who.tenant.as_ref());
        if tenant.is_some_and(|tenant| self.tenants.of(tenant).live_queries >= limit) {
            self.counts.refusals.count(limit!(HubLimits.live_queries_per_tenant));
            return Err(too_many_of_tenant(limit, "live queries"));
        }
        Ok(())
    }

    pub(super) fn refuse_query(
        &mut self,
        now: Now,
        conn: ConnectionId,
        ticket: Ticket,
        id: &Arc<str>,
        refusal: Refusal,
    ) {
        self.note(conn, id, LiveQueryStage::Refused(refusal.code));
        let Some(Connection { session, .. }) = self.connections.find_mut(conn) else { return };
        match refusal.code {
            ErrorCode::Internal => {
                session.refuse(now.monotonic, ticket, Refusal { id: Some(id.clone()), ..refusal });
                self.outputs.push(Output::Panicked { conn });
            }
            // "Where the server itself must end a query … it says so by `error`": the connection stays.
            ErrorCode::Overloaded => {
                session.end_live_query(now.monotonic, ticket, refusal.code, &refusal.message);
            }
            _ => session.refuse(now.monotonic, ticket, Refusal { id: Some(id.clone()), ..refusal }),
        }
    }

    /// A live query of a connection has waited for its result until nothing more may be spent on it in time: it ends.
    pub(crate) fn give_up_query(&mut self, now: Now, conn: ConnectionId, ticket: Ticket, limit: &Limit) {
        let refusal = self.overdrawn(limit);
        let held = self.connections.find(conn).and_then(|connection| connection.held.queries.get(&ticket));
        match held.map(|held| (held.had.is_some(), held.id.clone())) {
            Some((true, _)) => self.end_query(now, conn, ticket, &refusal),
            Some((false, id)) => {
                self.refuse_query(now, conn, ticket, &id, refusal);
                self.forget_query(now, conn, ticket);
            }
            None => {}
        }
        self.unsettled.push_back(conn);
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
        let limit = self.limits.initial_bytes;
        let mark = self.feeds.mark(held.feed).unwrap_or_default();
        if let Some(had) = held.had.take() {
            if snapshot.bytes() > limit {
                self.counts.refusals.count(limit!(HubLimits.initial_bytes));
                self.end_query(now, conn, ticket, &too_large(snapshot, limit));
                return self.unsettled.push_back(conn);
            }
            let (feed, reasons) = (held.feed, held.options.reasons);
            let is_displaced = |id: &str| reasons && self.engine.matches(feed, id, now.wall);
            let batch = Arc::new(moved(&had, snapshot, is_displaced));
            if !connection.session.has_room_for(ticket, &batch) {
                let message = "The changes to what may be seen now are more than may wait for the connection";
                let refusal = Refusal { code: ErrorCode::Overloaded, message: message.to_owned(), id: None };
                self.end_query(now, conn, ticket, &refusal);
                return self.unsettled.push_back(conn);
            }
            connection.session.move_live_query(ticket, &batch, mark);
            connection.is_behind(feed, ticket);
            return self.unsettled.push_back(conn);
        }
        let First { since, have, hints } = held.first.take().map(|first| *first).unwrap_or_default();
        let positions = held.options.positions;
        let net = since.as_ref().filter(|_| self.limits.may_resume()).and_then(|since| {
            let sibling = self.engine.sibling(held.feed);
            let feeds = [Some(held.feed), sibling].into_iter().flatten();
            missed(&self.feeds, feeds, snapshot, mark.read(since)?, positions).map(|batch| Resumption {
                batch: Arc::new(batch),
                window: snapshot,
                drop: None,
            })
        });
        let net = net.or_else(|| {
            let have = have.as_ref()?;
            self.counts.own_steps += (have.len() + snapshot.rows.len()) as u64;
            Resumption::of_rows(have, snapshot, positions)
        });
        // More than may wait is sent as first rows are: as it can be taken.
        let net = net.filter(|net| connection.session.has_room_for(ticket, &net.batch));
        if net.is_none() && snapshot.bytes() > limit {
            let id = held.id.clone();
            self.counts.refusals.count(limit!(HubLimits.initial_bytes));
            self.refuse_query(now, conn, ticket, &id, too_large(snapshot, limit));
            self.forget_query(now, conn, ticket);
            return self.unsettled.push_back(conn);
        }
        let stage = match net {
            Some(_) => LiveQueryStage::Resumed,
            None => LiveQueryStage::Answered { rows: snapshot.rows.len() },
        };
        self.outputs.push(Output::LiveQuery { conn, id: held.id.clone(), stage });
        let key = self.engine.key(&held.query.set);
        match net {
            Some(resumption) => {
                self.counts.resumed += 1;
                let about = About { mark, key, hints: Vec::new() };
                connection.session.resume_and_tell(now.monotonic, ticket, resumption, about);
            }
            None => {
                self.counts.resumes_missed += u64::from(since.is_some() || have.is_some());
                let about = About { mark, key, hints };
                connection.session.accept_and_tell(now.monotonic, ticket, snapshot.clone(), about);
            }
        }
        connection.session.live_query_status(ticket, self.statuses.of(&held.query.set));
        let feed = held.feed;
        connection.is_behind(feed, ticket);
        // What the session held back until it was answered is to be seen to.
        self.unsettled.push_back(conn);
    }

    pub(super) fn forget_query(&mut self, now: Now, conn: ConnectionId, ticket: Ticket) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        if let Some(query) = connection.held.remove(ticket) {
            if query.is_deferred {
                connection.end_deferral(ticket, &mut self.subjects);
            }
            connection.behind.swap_remove(&(query.feed, ticket));
            self.subjects.let_go(&mut connection.share, query.feed);
            self.tenants.let_go(&mut connection.tenant_share, query.feed);
            connection.count(now.monotonic, &mut self.subjects, &mut self.tenants, &self.limits);
            let watcher = Watcher::Connection(conn, ticket);
            self.end_lag(conn, ticket, query.feed);
            if !self.feeds.is_begun(query.feed, watcher) {
                self.forget_task(watcher);
            }
            let after = self.feeds.leave(query.feed, watcher);
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
        mark: &VersionCode,
        watcher: Watcher,
        direct: Option<Direct>,
        resumes: Option<Arc<str>>,
    ) -> Result<Opened, OpenError> {
        self.pass_time(now);
        self.take_updates(now);
        let allowance = self.allowance(now, watcher, plan);
        let before = self.engine.steps();
        let opened = self.engine.begin_open_within(now.wall, plan, &allowance);
        self.spend(now, watcher, self.engine.steps() - before);
        let opened = opened?;
        let Opened { feed, is_there, .. } = opened;
        if !self.feeds.join(feed, watcher, direct, mark, resumes) {
            // The hub has its reference to this feed already.
            self.engine.close(feed);
        }
        if !is_there {
            self.put_off(watcher);
        }
        Ok(opened)
    }

    /// Brings the result to the watcher for whom the feed was opened, if it is there already; and to others what work on
    /// that has brought them.
    pub(crate) fn opened(&mut self, now: Now, feed: FeedId, is_there: bool) {
        if is_there {
            self.begin(now, feed);
        }
        self.take_updates(now);
    }

    pub(crate) fn end_query(&mut self, now: Now, conn: ConnectionId, ticket: Ticket, refusal: &Refusal) {
        let Some(connection) = self.connections.find_mut(conn) else { return };
        connection.session.end_live_query(now.monotonic, ticket, refusal.code, &refusal.message);
        let id = connection.held.queries.get(&ticket).map(|held| held.id.clone());
        if let Some(id) = id {
            self.note(conn, &id, LiveQueryStage::Ended);
        }
        self.forget_query(now, conn, ticket);
    }

    /// A live query is over something else from here on. Nothing more of what it was over is sent; when the new result is there the
    /// client is sent what makes what it has into that.
    pub(crate) fn move_query(
        &mut self,
        now: Now,
        conn: ConnectionId,
        ticket: Ticket,
        plan: &Plan,
        scope: Scope,
    ) -> Result<(), Refusal> {
        // What the session has is to be that of the result that is looked at.
        self.pass_time(now);
        self.take_updates(now);
        self.hand_out();
        let Some(connection) = self.connections.find_mut(conn) else { return Ok(()) };
        let Some(held) = connection.held.queries.get_mut(&ticket) else { return Ok(()) };
        let identity = identity(&held.query, plan);
        held.scope = scope;
        if identity == held.identity {
            return Ok(());
        }
        let mark = self.marks.of(&identity);
        let (before, options, id) = (held.feed, held.options, held.id.clone());
        let watcher = Watcher::Connection(conn, ticket);
        // Where the client waits for its first result there is nothing to be made into another.
        if held.had.is_none()
            && self.feeds.is_begun(before, watcher)
            && let Some(window) = self.engine.snapshot(before)
        {
            held.had = connection.session.suspend_live_query(ticket, window).map(Arc::new);
        }
        connection.behind.swap_remove(&(before, ticket));
        connection.held.keep(ticket, Keeping::default());
        self.subjects.let_go(&mut connection.share, before);
        self.tenants.let_go(&mut connection.tenant_share, before);
        let subject = connection.principal.as_ref().map(|who| who.subject.clone());
        self.end_lag(conn, ticket, before);
        self.forget_task(watcher);
        let after = self.feeds.leave(before, watcher);
        self.close_gone(before, after);
        let direct = Direct::new(&id, options);
        let opened = self.open(now, plan, &mark, watcher, direct, subject.filter(|_| options.resume));
        let opened = opened.map_err(|error| self.no_room(&error));
        let Some(connection) = self.connections.find_mut(conn) else { return Ok(()) };
        let Opened { feed, is_there, keeping } = match opened {
            Ok(opened) => opened,
            Err(refusal) => {
                // It is in no feed any more.
                if connection.held.remove(ticket).is_some_and(|held| held.is_deferred) {
                    connection.end_deferral(ticket, &mut self.subjects);
                }
                connection.count(now.monotonic, &mut self.subjects, &mut self.tenants, &self.limits);
                connection.session.end_live_query(now.monotonic, ticket, refusal.code, &refusal.message);
                self.note(conn, &id, LiveQueryStage::Ended);
                return Ok(());
            }
        };
        if let Some(held) = connection.held.queries.get_mut(&ticket) {
            (held.feed, held.identity, held.worked_at) = (feed, identity, now.monotonic);
        }
        connection.held.keep(ticket, keeping);
        self.subjects.keep(&mut connection.share, feed, &keeping);
        self.tenants.keep(&mut connection.tenant_share, feed, &keeping);
        self.opened(now, feed, is_there);
        Ok(())
    }
}

/// What makes one result into another: removals first, then additions and updates in the order of the result. Of nodes that are
/// gone it is asked whether they would be there, were there more room.
fn moved(had: &Snapshot, has: &Snapshot, is_displaced: impl Fn(&str) -> bool) -> Batch {
    // Ordered, not hashed: writers choose the ids.
    let before: BTreeMap<&str, &Row> = had.rows.iter().map(|row| (row.id(), row)).collect();
    let after: BTreeSet<&str> = has.rows.iter().map(Row::id).collect();
    let gone = had.rows.iter().filter(|row| !after.contains(row.id())).map(|row| {
        // Where all that match are there, who is not does not.
        let reason = Some(match has.count.capped && is_displaced(row.id()) {
            true => Reason::Displaced,
            false => Reason::Forbidden,
        });
        Change::Removed { row: row.clone(), reason }
    });
    let here = has.rows.iter().filter_map(|row| {
        let before = before.get(row.id()).copied();
        let is_new = before != Some(row);
        is_new.then(|| Change::between(before.cloned(), Some(row.clone()), Some(Reason::Filter))).flatten()
    });
    Batch { version: has.version, count: Some(has.count), changes: gone.chain(here).collect() }
}

/// The net changes from the version that a client says it has to that of the snapshot, where one of these feeds, all of which are of
/// the same rows, knows them. Whoever does not know its rows by place cannot begin to with diffs.
fn missed(
    feeds: &Feeds,
    mut of: impl Iterator<Item = FeedId>,
    snapshot: &Snapshot,
    (since, had_positions): (u64, bool),
    positions: bool,
) -> Option<Batch> {
    if since > snapshot.version || (positions && !had_positions) {
        return None;
    }
    let mut net = of.find_map(|feed| feeds.since(feed, since))?;
    Some(Batch { version: snapshot.version, count: Some(snapshot.count), changes: net.drain().changes })
}
