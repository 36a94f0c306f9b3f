//! Queries that are answered once.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use liveset_core::{QuerySpec, Refusal, Snapshot};
use liveset_engine::{Explain, Filter, ParsedQuery, Plan, Projection};

use crate::{
    Access, Hub, Now, PreparedQuery, Principal,
    holds::Input,
    parser::engine_query,
    requests::{invalid, overdrawn, query_forbidden},
    updates::wire_snapshot,
};

/// A query that is answered once; see [`Hub::query`](crate::Hub::query). It may run on another thread, without the hub.
#[derive(Debug)]
pub struct OneShot {
    pub(crate) asked: liveset_engine::OneShot,
    pub(crate) epoch: u64,
    /// Who pays for it.
    pub(crate) subject: Option<Arc<str>>,
}

impl OneShot {
    /// Looks at some more nodes, at least one: the result where those were all, as of the moment at which it was asked. To give it up,
    /// drop it.
    pub fn step(self, nodes: usize) -> ControlFlow<Snapshot, OneShot> {
        self.step_within(nodes, u64::MAX).0
    }

    /// The same, for about `steps` steps of work at most; and how many those were, which [`Hub::pay`](crate::Hub::pay) is to be told of.
    pub fn step_within(self, nodes: usize, steps: u64) -> (ControlFlow<Snapshot, OneShot>, u64) {
        let Self { asked, epoch, subject } = self;
        let (flow, spent) = asked.step_within(nodes, steps);
        let flow = match flow {
            ControlFlow::Break(snapshot) => ControlFlow::Break(wire_snapshot(snapshot, "".into(), epoch)),
            ControlFlow::Continue(asked) => ControlFlow::Continue(Self { asked, epoch, subject }),
        };
        (flow, spent)
    }

    /// For whom it is answered; `None` is the host itself.
    pub fn subject(&self) -> Option<&Arc<str>> {
        self.subject.as_ref()
    }

    /// The result, as of the moment at which it was asked. Costs a filter evaluation for each node that an index finds, for each of
    /// the set where there is none.
    pub fn run(self) -> Snapshot {
        wire_snapshot(self.asked.run(), "".into(), self.epoch)
    }
}

impl Hub {
    /// Asks a query once. `who` is asked of the policy; `None` is the host itself. What it takes to answer is as it is now, and
    /// [`OneShot::run`] needs the hub no more.
    ///
    /// # Errors
    ///
    /// `FORBIDDEN`, `INVALID_QUERY`, or `LIMIT_EXCEEDED` where more fields would be read than may be, with the text for whoever asked.
    pub fn query(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &QuerySpec,
    ) -> Result<OneShot, Refusal> {
        self.query_parsed(now, who, query, None)
    }

    /// The same, of a query that was [prepared](crate::Parser::query).
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
        self.query_parsed(now, who, &query.spec, Some(&query.parsed))
    }

    fn query_parsed(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &QuerySpec,
        parsed: Option<&ParsedQuery>,
    ) -> Result<OneShot, Refusal> {
        self.begin_hold();
        let asked = self.ask_once(now, who, query, parsed);
        self.note_hold(Input::Query);
        asked
    }

    fn ask_once(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &QuerySpec,
        parsed: Option<&ParsedQuery>,
    ) -> Result<OneShot, Refusal> {
        self.may_ask(now, who)?;
        let plan = self.allowed_plan(who, query, parsed)?;
        self.pass_time(now);
        let asked = self.engine.one_shot(now.wall, &plan);
        self.distribute(now);
        let subject = who.map(|who| who.subject.clone());
        if let Some(subject) = &subject {
            self.pay(now, subject, self.steps() - self.hold_from);
        }
        let asked = asked.map_err(|error| self.no_room(&error))?;
        Ok(OneShot { asked, epoch: self.epoch, subject })
    }

    /// How a query is found by what changes, and what it costs. `who` is asked of the policy as if they asked the query, and must be
    /// allowed to see all of the set.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub fn explain(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &QuerySpec,
    ) -> Result<Explain, Refusal> {
        self.explain_parsed(now, who, query, None)
    }

    /// The same, of a query that was [prepared](crate::Parser::query).
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
        self.explain_parsed(now, who, &query.spec, Some(&query.parsed))
    }

    fn explain_parsed(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &QuerySpec,
        parsed: Option<&ParsedQuery>,
    ) -> Result<Explain, Refusal> {
        self.begin_hold();
        let explained = self.explain_once(now, who, query, parsed);
        self.note_hold(Input::Query);
        explained
    }

    /// Refuses a query that is asked once where its subject has overdrawn what it may spend by more than may be.
    fn may_ask(&mut self, now: Now, who: Option<&Principal>) -> Result<(), Refusal> {
        let Some(who) = who else { return Ok(()) };
        if self.subjects.wait(&who.subject, now.monotonic) > self.limits.overdraft {
            self.counts.refusals.steps_per_second += 1;
            return Err(overdrawn(&self.limits));
        }
        Ok(())
    }

    /// Work was done for a subject without the hub: [`OneShot::step_within`]. Returns for how long no more is to be done for it; where
    /// that is longer than [`HubLimits::overdraft`](crate::HubLimits::overdraft), the query is to be given up.
    pub fn pay(&mut self, now: Now, subject: &Arc<str>, steps: u64) -> Duration {
        self.subjects.charge(subject, now.monotonic, steps)
    }

    fn explain_once(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        query: &QuerySpec,
        parsed: Option<&ParsedQuery>,
    ) -> Result<Explain, Refusal> {
        self.may_ask(now, who)?;
        let plan = self.allowed_plan(who, query, parsed)?;
        // What it tells is about everyone's nodes and queries.
        if let Some(who) = who
            && self.policy.ask(|policy| policy.access(who, &query.edge))? != Access::All
        {
            return Err(query_forbidden(query));
        }
        let explained = self.engine.explain(now.wall, &plan);
        let (rows, visible) = (Filter::all(), Projection::whole());
        let found = self.engine.hints(now.wall, &engine_query(query), &rows, &visible);
        self.counts.own_steps += found.steps;
        if let Some(who) = who {
            self.pay(now, &who.subject, self.steps() - self.hold_from);
        }
        let mut explained = explained.map_err(|error| self.no_room(&error))?;
        explained.hints = found.hints;
        Ok(explained)
    }

    /// The plan of a query that is asked once, by someone whom the policy lets.
    fn allowed_plan(
        &mut self,
        who: Option<&Principal>,
        query: &QuerySpec,
        parsed: Option<&ParsedQuery>,
    ) -> Result<Plan, Refusal> {
        match who {
            Some(who) => self.permitted(who, query, parsed, false, None).map(|(plan, _)| plan),
            None => self.plan(query, parsed, false).map_err(invalid),
        }
    }
}
