//! What a look-up leaves to ask of a row, as far as it needs no program: tests of the value of one column.

use super::{Alternative, By, Class, ColumnInfo, Found, Key, Probe, TimeTest, Way, single, ways};
use crate::filter::{Compiled, Ref, View};
use crate::order::rank;

/// Of a filter with more branches no guards are made: they would take more room than the filter.
const MOST_BRANCHES: usize = 128;
/// So many guards of a branch are made at most; the rest is left to the program.
const MOST_GUARDS: usize = 4;
/// A moment that takes more steps than this is left to the program.
const MOST_STEPS: usize = 4;

/// A test of one column, which an index asks of the rows that it finds.
#[derive(Clone, Debug)]
pub(crate) struct Guard<C> {
    pub(crate) column: C,
    pub(crate) asks: Asks,
    /// Whether the opposite is meant.
    pub(crate) negated: bool,
}

/// What a guard asks of the value of its column.
#[derive(Clone, Debug)]
pub(crate) enum Asks {
    /// Its [`rank::key`] lies in `lo..=hi`; `is_whole` where all values there pass.
    Key { lo: u128, hi: u128, is_whole: bool },
    /// Its key lies in a range that moves with time.
    Time(TimeTest),
    /// It is one of these, or the list there has one of these as an item.
    Any { keys: Box<[Key]>, items: bool },
}

/// One of the ways into a filter: what a row hits, and what is left to ask of it then.
#[derive(Clone, Debug)]
pub(crate) struct Branch<C> {
    pub(crate) probes: Vec<Probe<C>>,
    /// What holds of every row that hits and passes.
    pub(crate) guards: Vec<Guard<C>>,
    /// Whether the filter holds of every row that hits and of which all guards hold.
    pub(crate) is_proof: bool,
    /// The operand of an `or` that is to be tried where guards do not tell; else what the access leaves.
    pub(crate) operand: Option<Ref>,
}

impl<C: ColumnInfo> Alternative<C> {
    /// The ways into the filter: a filter that is an `or` has one for each of its operands. Always the same ones, in the same order. Costs
    /// O(filter).
    pub(crate) fn branches(&self) -> Vec<Branch<C>> {
        let conjuncts = self.filter.conjuncts();
        let is_proven =
            |test: &Ref| !self.moves && self.residue.as_ref().is_none_or(|rest| rest.proves(*test));
        let left: Vec<Ref> = conjuncts.iter().copied().filter(|test| !is_proven(test)).collect();
        if let By::Conjunct(or) = &self.by
            && left.contains(or)
            && let (View::Any(operands), false) = self.filter.view(*or)
        {
            let others: Vec<Ref> = left.into_iter().filter(|test| test != or).collect();
            let branch = |operand: &Ref| {
                let conjuncts = self.filter.conjuncts_of(operand);
                // A filter that is found by an `or` is found by each of its operands.
                let Way { found, proven, .. } = narrowest(&self.filter, conjuncts)?;
                let moves = found.moves();
                let left = conjuncts.iter().filter(|test| moves || !proven.contains(test)).chain(&others);
                let (guards, is_proof) = self.guards(left.copied(), operands.len());
                Some(Branch { probes: found.probes, guards, is_proof, operand: Some(*operand) })
            };
            return operands.iter().filter_map(branch).collect();
        }
        let (guards, is_proof) = self.guards(left.into_iter(), 1);
        vec![Branch { probes: self.probes(), guards, is_proof, operand: None }]
    }

    /// Guards for some tests, and whether they are all that is asked.
    fn guards(&self, tests: impl Iterator<Item = Ref>, branches: usize) -> (Vec<Guard<C>>, bool) {
        let most = if branches > MOST_BRANCHES { 0 } else { MOST_GUARDS };
        let (mut guards, mut is_all) = (Vec::new(), true);
        for test in tests {
            match guard(&self.filter, test) {
                Some(guard) if guards.len() < most => guards.push(guard),
                _ => is_all = false,
            }
        }
        (guards, is_all)
    }
}

/// The narrowest way of finding what must hold all together.
pub(super) fn narrowest<C: ColumnInfo>(filter: &Compiled<C>, conjuncts: &[Ref]) -> Option<Way<C>> {
    ways(filter, conjuncts).into_iter().min_by_key(|way| way.found.breadth())
}

/// A test as a guard; `None` where it needs the program.
fn guard<C: ColumnInfo>(filter: &Compiled<C>, test: Ref) -> Option<Guard<C>> {
    let (view, negated) = filter.view(test);
    let Found { class, probes, exact } = single::find_view(filter, view)?;
    let (column, asks) = match &*probes {
        [Probe::Value { column, key }] => {
            let (key, is_whole) = key.rank();
            (column, Asks::Key { lo: key, hi: key, is_whole })
        }
        [Probe::Range { column, lo, hi }] => (column, Asks::Key { lo: *lo, hi: *hi, is_whole: exact }),
        [Probe::Beginning { column, text }] => {
            let (lo, hi) = rank::prefix_range(text);
            (column, Asks::Key { lo, hi, is_whole: false })
        }
        // A copy of many steps would take as much room again as the filter.
        [Probe::Time { column, test }] if test.steps() <= MOST_STEPS => (column, Asks::Time(test.clone())),
        [Probe::Item { column, .. } | Probe::Value { column, .. }, ..] => {
            let key = |probe: &Probe<C>| match probe {
                Probe::Value { key, .. } | Probe::Item { key, .. } => Some(key.clone()),
                Probe::Beginning { .. } | Probe::Range { .. } | Probe::Time { .. } => None,
            };
            let keys = probes.iter().map(key).collect::<Option<_>>()?;
            (column, Asks::Any { keys, items: class == Class::Items })
        }
        _ => return None,
    };
    Some(Guard { column: column.clone(), asks, negated })
}
