//! Queries that are answered once.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use liveset_core::{Query, Refusal, Snapshot, model::limit};
use liveset_engine::{Explain, Filter, ParsedQuery, Plan, Projection};

use crate::{
    Access, Hub, HubLimits, Now, PreparedQuery, Principal,
    refusals::{invalid, query_forbidden},
};

/// A query that is answered once; see [`Hub::query`](crate::Hub::query). It may run on another thread, without the hub.
#[derive(Debug)]
pub struct OneShot {
    pub(crate) asked: liveset_engine::OneShot,
    /// Who pays for it.
    pub(crate) subject: Option<Arc<str>>,
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
        let Self { asked, subject } = self;
        let (flow, spent) = asked.step_within(nodes, steps);
        let flow = match flow {
            ControlFlow::Break(snapshot) => ControlFlow::Break(snapshot),
            ControlFlow::Continue(asked) => ControlFlow::Continue(Self { asked, subject }),
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
        self.asked.run()
    }
}

impl Hub {
    /// Asks a query once, as of now; [`OneShot::step`] makes the result without the hub. The policy decides what `who` may ask; `None`
    /// is the host itself.
    ///
    /// # Errors
    ///
    /// A refusal with its text: `FORBIDDEN`; `INVALID_QUERY`; `LIMIT_EXCEEDED` where the query reads more fields than the limits allow;
    /// `OVERLOADED` where the subject has overdrawn its steps a second by more than [`HubLimits::overdraft`](crate::HubLimits::overdraft).
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

    /// Charges a subject for steps that were done outside of the hub, by [`OneShot::step_within`]. Returns how long the owner must wait
    /// before it does more for that subject; it gives the query up where that is longer than
    /// [`HubLimits::overdraft`](crate::HubLimits::overdraft).
    pub fn pay(&mut self, now: Now, subject: &Arc<str>, steps: u64) -> Duration {
        self.subjects.charge(subject, now.monotonic, steps)
    }

    /// Answers a query that is asked once, and charges its subject for all of it, a refusal included. Refuses it where the subject has
    /// overdrawn too much already.
    fn on_account<T>(
        &mut self,
        now: Now,
        who: Option<&Principal>,
        ask: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.as_query(|hub| {
            let Some(who) = who else { return ask(hub) };
            if hub.subjects.wait(&who.subject, now.monotonic) > hub.limits.overdraft {
                return Err(hub.overdrawn(limit!(HubLimits.steps_per_second_per_subject)));
            }
            let answer = ask(hub);
            hub.pay(now, &who.subject, hub.steps() - hub.hold_from);
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
        self.pass_time(now);
        let asked = self.engine.one_shot(now.wall, &plan);
        self.distribute(now);
        let asked = asked.map_err(|error| self.no_room(&error))?;
        Ok(OneShot { asked, subject: who.map(|who| who.subject.clone()) })
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
