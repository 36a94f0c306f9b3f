//! How a query is kept.

use std::fmt;

use liveset_core::model::Hint;

use crate::{
    query::Plan,
    shard::{
        Shard,
        create::Prepared,
        source::{Source, Span, extent},
        view::{Identity, Shape, SharedFilter},
    },
    steps::Cost,
    store::set::Set,
    time::Timestamp,
};

/// How changes find a query, and what its window is: and what a node costs at most. Displays as a few lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explain {
    /// The class of the access by which changes find the query: `equality`, `in`, `items`, `prefix`, `range`, `time`, `union`,
    /// `never`, or `scan` where every change is tried on it.
    pub access: String,
    /// What is looked up: columns with the values or ranges that lead to the query.
    pub probes: Vec<String>,
    /// Whether a node that is found still has to pass a part of the filter.
    pub has_residue: bool,
    /// How many filters share the fullest of its places, this one included if it is open. Of ranges, prefixes and times those
    /// over the same field are counted, though a change finds only the ones that hold its value.
    pub sharing: usize,
    /// Whether the query is open, and so kept.
    pub is_open: bool,
    /// How many nodes would be looked at to answer it now.
    pub candidates: usize,
    /// Whether its window is (or would be) a stretch of an order that queries share, and holds no rows of its own.
    pub is_stretch: bool,
    /// Whether there is an order of all nodes out of which its window is refilled.
    pub has_order_index: bool,
    /// What it costs at most to try the filter on a node.
    pub cost: Cost,
    /// What it costs at most to find when time alone changes whether a node passes; nothing of a filter without `now`.
    pub flip_cost: Cost,
    /// Bytes that the filter takes while the query is kept, besides its text and what finds it.
    pub filter_bytes: usize,
    /// What it costs at most to find a node's place in the order.
    pub order_cost: Cost,
    /// What it costs at most to write the fields of a node that the query wants.
    pub projection_cost: Cost,
    /// What is probably a mistake in the query, where that was [asked](crate::Engine::hints).
    pub hints: Vec<Hint>,
}

impl Explain {
    pub(crate) fn of(
        shard: &Shard,
        set: &Set,
        number: usize,
        identity: &Identity,
        plan: &Plan,
        prepared: &Prepared,
        now: Timestamp,
    ) -> Self {
        let view = shard.view_of(identity).and_then(|id| shard.view(id));
        let kept: Option<&SharedFilter> = view.and_then(|view| match &view.shape {
            Shape::Window { filter, .. } => shard.filter(*filter),
            Shape::Stretch { .. } => None,
        });
        let access = kept.map_or(&prepared.access, |filter| &filter.access);
        let probes = access.probes();
        let sharing = |probe| shard.predicates(number).map_or(0, |predicates| predicates.sharing(probe));
        let has_order_index = set.indexes.order(&prepared.sorting).is_some();
        let stretch = extent(access, prepared.is_all, &prepared.sorting).is_some();
        Self {
            access: access.class.to_string(),
            probes: probes.iter().map(ToString::to_string).collect(),
            has_residue: access.residue.is_some() && !prepared.is_all,
            sharing: probes.iter().map(sharing).max().unwrap_or(0),
            is_open: view.is_some(),
            candidates: Source::of(set, access, Span::At(now)).cost(),
            is_stretch: match view {
                Some(view) => matches!(view.shape, Shape::Stretch { .. }),
                None => stretch && has_order_index,
            },
            has_order_index,
            cost: prepared.compiled.cost(),
            flip_cost: prepared.compiled.flip_cost(),
            filter_bytes: prepared.compiled.heap_bytes() + access.heap_bytes(),
            order_cost: plan.order.cost(),
            projection_cost: plan.projection.cost(),
            hints: Vec::new(),
        }
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "found by: {}", self.access)?;
        for probe in &self.probes {
            writeln!(f, "  {probe}")?;
        }
        if self.has_residue {
            writeln!(f, "  and then by the rest of the filter")?;
        }
        writeln!(f, "filters found there: {}", self.sharing)?;
        let window = if self.is_stretch { "a stretch of a shared order" } else { "rows of its own" };
        writeln!(f, "window: {window}")?;
        let refill = if self.has_order_index { "a shared order" } else { "the nodes that it is found by" };
        writeln!(f, "refilled from: {refill}")?;
        writeln!(f, "nodes to look at to answer it now: {}", self.candidates)?;
        writeln!(f, "to try the filter on a node: {}", self.cost)?;
        if self.flip_cost != Cost::NONE {
            writeln!(f, "to find when time changes a node: {}", self.flip_cost)?;
        }
        writeln!(f, "to order a node: {}", self.order_cost)?;
        writeln!(f, "to write a node: {}", self.projection_cost)?;
        write!(f, "bytes of the filter: {}", self.filter_bytes)?;
        for Hint { text, line, column } in &self.hints {
            write!(f, "\nperhaps a mistake, line {line}, column {column}: {text}")?;
        }
        Ok(())
    }
}
