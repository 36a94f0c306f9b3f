//! Queries that are answered once.

use std::{ops::ControlFlow, time::Duration};

use liveset_core::{Query, Refusal, Row, SetStatus, Snapshot, model::limit};
use liveset_engine::{Explain, Filter, ParsedQuery, Plan, Projection, SetDef};

use crate::{
    Access, Hub, HubLimits, Now, Payer, PreparedQuery, Principal,
    refusals::{invalid, query_forbidden, still_loading},
};

/// A query that is answered once; see [`Hub::query`](crate::Hub::query). It may run on another thread, without the hub.
#[derive(Debug)]
pub struct OneShot {
    pub(crate) asked: liveset_engine::OneShot,
    /// Who pays for it.
    pub(crate) payer: Option<Payer>,
}

impl OneShot {
    /// Looks at some more nodes, at least one: the result where those were all, as of the moment at which it was asked. To give it up,
    /// drop it.
    pub fn step(self, nodes: usize) -> ControlFlow<Snapshot, OneShot> {
        self.step_within(nodes, u64::MAX).0
    }

    /// Like [`step`](Self::step), but stops after about `steps` steps of work. Also returns how many steps it took: charge them by
    /// [`Hub::pay`](crate::Hub::pay).
    pub fn step_within(self, nodes: usize, steps: u64) -> (ControlFlow<Snapshot, OneShot>, u64) {
        let Self { asked, payer } = self;
        let (flow, spent) = asked.step_within(nodes, steps);
        let flow = match flow {
            ControlFlow::Break(snapshot) => ControlFlow::Break(snapshot),
            ControlFlow::Continue(asked) => ControlFlow::Continue(Self { asked, payer }),
        };
        (flow, spent)
    }

    /// Who pays for it; `None` is the host itself.
    pub fn payer(&self) -> Option<&Payer> {
        self.payer.as_ref()
    }

    /// The result, as of the moment at which it was asked. Costs a filter evaluation for each node that an index finds, for each of
    /// the set where there is none.
    pub fn run(self) -> Snapshot {
        self.asked.run()
    }
}

/// All rows that match a query, in no order and without its cap, as they were when it was asked; see [`Hub::scan_prepared`]. It may run
/// on another thread, without the hub.
#[derive(Debug)]
pub struct Scan {
    asked: liveset_engine::Scan,
    payer: Option<Payer>,
}

impl Scan {
    /// The version that its rows are of.
    pub fn version(&self) -> u64 {
        self.asked.version()
    }

    /// Who pays for it; `None` is the host itself.
    pub fn payer(&self) -> Option<&Payer> {
        self.payer.as_ref()
    }

    /// Looks at some more nodes, at least one, for about `steps` steps of work at most, and gives those that match to `see`. Returns how
    /// many steps it took, which are to be charged by [`Hub::pay`](crate::Hub::pay), and whether there may be more.
    pub fn step_within(&mut self, nodes: usize, steps: u64, see: impl FnMut(Row)) -> (u64, bool) {
        self.asked.step_within(nodes, steps, see)
    }
}

impl Hub {
    /// Begins to read all rows that match a query, as of now. The policy decides what `who` may see; `None` is the host itself. Order and
    /// limit of the query mean nothing here.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub fn scan_prepared(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &PreparedQuery,
    ) -> Result<Scan, Refusal> {
        self.on_account(now, who, |hub| {
            let plan = hub.allowed_plan(who, &query.query, Some(&query.parsed))?;
            hub.pass_time(now);
            let asked = hub.engine.scan(now.wall, &plan);
            hub.distribute(now);
            let asked = asked.map_err(|error| hub.no_room(&error))?;
            let asked = asked.ok_or_else(|| query_forbidden(&query.query))?;
            Ok(Scan { asked, payer: who.map(Payer::from) })
        })
    }

    /// Bytes of rows of a set that were replaced or taken out, over all commits: what a [`Scan`] keeps is what has been added to this
    /// since it was begun, at most.
    pub fn replaced_bytes(&self, set: &str) -> u64 {
        self.engine.replaced_bytes(set)
    }

    /// A set as it was defined, and how many rows it has; `None` where there is no such set.
    pub fn definition(&self, set: &str) -> Option<(SetDef, usize)> {
        self.engine.definition(set)
    }

    /// What somebody may see of a set, by the policy.
    ///
    /// # Errors
    ///
    /// `INTERNAL`: the policy panicked.
    pub fn access(&self, who: &Principal, set: &str) -> Result<Access, Refusal> {
        self.policy.ask(|policy| policy.access(who, set))
    }

    /// Asks a query once, as of now; [`OneShot::step`] makes the result without the hub. The policy decides what `who` may ask; `None`
    /// is the host itself.
    ///
    /// # Errors
    ///
    /// A refusal with its text: `FORBIDDEN`; `INVALID_QUERY`; `LIMIT_EXCEEDED` where the query reads more fields than the limits allow;
    /// `OVERLOADED` where the subject or its tenant has overdrawn its steps a second by more than [`HubLimits::overdraft`](crate::HubLimits::overdraft).
    pub fn query(&mut self, now: Now, who: Option<&Principal>, query: &Query) -> Result<OneShot, Refusal> {
        self.on_account(now, who, |hub| hub.ask_once(now, who, query, None))
    }

    /// Asks a query once that a [`Parser`](crate::Parser::query) has read. Like [`query`](Self::query), but parses nothing.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub fn query_prepared(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &PreparedQuery,
    ) -> Result<OneShot, Refusal> {
        self.on_account(now, who, |hub| hub.ask_once(now, who, &query.query, Some(&query.parsed)))
    }

    /// Explains how changes find a query, and what it costs. `who` must see all of the set.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub fn explain(&mut self, now: Now, who: Option<&Principal>, query: &Query) -> Result<Explain, Refusal> {
        self.on_account(now, who, |hub| hub.explain_once(now, who, query, None))
    }

    /// Explains a query that a [`Parser`](crate::Parser::query) has read. Like [`explain`](Self::explain), but parses nothing.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub fn explain_prepared(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &PreparedQuery,
    ) -> Result<Explain, Refusal> {
        self.on_account(now, who, |hub| hub.explain_once(now, who, &query.query, Some(&query.parsed)))
    }

    /// How changes find the query of a principal, as operators see it: on nobody's account, and also if the principal does not see all of
    /// the set.
    ///
    /// # Errors
    ///
    /// Where the query is wrong, or may not be asked by `who`.
    pub fn explain_for_host(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &PreparedQuery,
    ) -> Result<Explain, Refusal> {
        let plan = self.allowed_plan(who, &query.query, Some(&query.parsed))?;
        self.engine.explain(now.wall, &plan).map_err(|error| self.no_room(&error))
    }

    /// Charges somebody for steps that were done outside of the hub, by [`OneShot::step_within`]. Returns how long the owner must wait
    /// before it does more for that payer; it gives the query up where that is longer than
    /// [`HubLimits::overdraft`](crate::HubLimits::overdraft).
    pub fn pay(&mut self, now: Now, payer: &Payer, steps: u64) -> Duration {
        self.charge(payer, now.monotonic, steps)
    }

    /// Answers a query that is asked once, and charges its payer for all of it, a refusal included. Refuses it where that one has
    /// overdrawn too much already.
    fn on_account<T>(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        ask: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.as_query(now, |hub| {
            let Some(who) = who else { return ask(hub) };
            let payer = Payer::from(who);
            let (wait, limit) = hub.wait_of(&payer, now.monotonic);
            if wait > hub.limits.overdraft {
                return Err(hub.overdrawn(limit));
            }
            let answer = ask(hub);
            hub.pay(now, &payer, hub.steps() - hub.hold_from);
            answer
        })
    }

    fn ask_once(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &Query,
        parsed: Option<&ParsedQuery>,
    ) -> Result<OneShot, Refusal> {
        let plan = self.allowed_plan(who, query, parsed)?;
        if who.is_some() && *self.statuses.of(&query.set) == SetStatus::Loading {
            self.counts.refusals.count(limit!(HubLimits.loading_wait));
            return Err(still_loading(&query.set));
        }
        self.pass_time(now);
        let asked = self.engine.one_shot(now.wall, &plan);
        self.distribute(now);
        let asked = asked.map_err(|error| self.no_room(&error))?;
        Ok(OneShot { asked, payer: who.map(Payer::from) })
    }

    fn explain_once(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &Query,
        parsed: Option<&ParsedQuery>,
    ) -> Result<Explain, Refusal> {
        let plan = self.allowed_plan(who, query, parsed)?;
        // What it tells is about everyone's nodes and queries.
        if let Some(who) = who
            && self.policy.ask(|policy| policy.access(who, &query.set))? != Access::All
        {
            return Err(query_forbidden(query));
        }
        let mut explained = self.engine.explain(now.wall, &plan).map_err(|error| self.no_room(&error))?;
        let (rows, visible) = (Filter::all(), Projection::whole());
        let found = self.engine.hints(now.wall, query, &rows, &visible);
        self.counts.own_steps += found.steps;
        explained.hints = found.hints;
        Ok(explained)
    }

    /// The plan of a query that is asked once, by someone whom the policy lets.
    fn allowed_plan(
        &mut self,
        who: Option<&Principal>,
        query: &Query,
        parsed: Option<&ParsedQuery>,
    ) -> Result<Plan, Refusal> {
        match who {
            Some(who) => self.permitted(who, query, parsed, false, None).map(|(plan, _)| plan),
            None => self.plan(query, parsed, false).map_err(invalid),
        }
    }
}
