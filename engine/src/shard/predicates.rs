//! Which filters a change may touch: the predicate index.
//!
//! Every filter is filed under one way to find it ([`Alternative`]): the values, items or ranges of which a node must have one.
//! There it has a posting for each of its branches, with what is left to ask of a row ([`Postings`]). What no index can tell is tried
//! against every change. The index only ever narrows; what it does not prove, the filter's residue decides.

use std::collections::BTreeSet;

use foldhash::fast::FixedState;
use indexmap::IndexSet;

use crate::{
    analysis::{Alternative, Branch, KeyRef, Probe},
    filter::Fields,
    order::rank,
    seed::Keyed,
    shard::{
        LOOK_UP_STEPS,
        beginnings::Beginnings,
        filing::Filing,
        postings::{Postings, Verdict},
        sides::Sides,
    },
    store::{
        columns::Column,
        row::Row,
        set::index::{Spot, keys},
    },
    time::Timestamp,
    tree::Entry,
    value::ValueRef,
};

/// What an index found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Filter(u32),
    /// A view that is a stretch of a shared order.
    Stretch(u32),
}

/// What an index found for a change, and what that says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Candidate {
    Filter(Verdict),
    Stretch(u32, Sides),
}

/// Where a filter is filed.
#[derive(Debug, Default)]
pub(crate) struct Filed {
    /// One for each branch.
    postings: Box<[u32]>,
    /// The lower ends of the ranges that move with time.
    moving: Box<[u128]>,
}

/// By what it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Value,
    Item,
    Range,
    Stretch,
}

/// Where a stretch of a shared order begins and ends, by the keys of the order's first column.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) column: Column,
    pub(crate) descending: bool,
    pub(crate) lo: u128,
    pub(crate) hi: u128,
}

impl Extent {
    /// The end that stays, and the end that comes last in the order, both so that they grow in the order's direction.
    fn ends(&self, last: Option<u128>) -> (u128, u128) {
        match self.descending {
            false => (self.lo, last.unwrap_or(self.hi)),
            true => (!self.hi, !last.unwrap_or(self.lo)),
        }
    }
}

/// What a filter that every change is tried on costs, about, and which it is: they are tried in this order.
pub(crate) type Rank = (u64, u32);

/// The filters and stretches of one set, by what can touch them.
#[derive(Debug)]
pub(crate) struct Predicates {
    keyed: Keyed,
    /// By the columns' ids.
    columns: Vec<OfColumn>,
    postings: Postings,
    /// Filters that every change is tried on.
    scan: IndexSet<u32, FixedState>,
    /// Those of them that are up to date.
    abreast: BTreeSet<Rank>,
}

#[derive(Debug)]
struct OfColumn {
    column: Column,
    /// Postings by a value, by an item; here they are what [`Found::Filter`] has.
    values: Filing,
    items: Filing,
    /// By texts that are too long for a range of keys.
    beginnings: Beginnings,
    ranges: crate::intervals::Intervals<u32>,
    /// Slices of orders that ascend, and of those that descend, over inverted keys: up to the last row of their window.
    ascending: crate::intervals::Intervals<u32>,
    descending: crate::intervals::Intervals<u32>,
}

impl OfColumn {
    fn new(column: Column, keyed: Keyed) -> Self {
        Self {
            column,
            values: Filing::new(keyed),
            items: Filing::new(keyed),
            beginnings: Beginnings::default(),
            ranges: Default::default(),
            ascending: Default::default(),
            descending: Default::default(),
        }
    }

    fn filing(&mut self, spot: Spot) -> &mut Filing {
        match spot {
            Spot::Whole => &mut self.values,
            Spot::Item => &mut self.items,
        }
    }

    fn stretches(&mut self, descending: bool) -> &mut crate::intervals::Intervals<u32> {
        if descending { &mut self.descending } else { &mut self.ascending }
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
            && self.items.is_empty()
            && self.beginnings.is_empty()
            && self.ranges.is_empty()
            && self.ascending.is_empty()
            && self.descending.is_empty()
    }

    /// The postings and stretches that a row with this value leads to.
    fn candidates(&self, value: ValueRef<'_>, sides: Sides, found: &mut impl FnMut(Found, Sides, Way)) {
        for (spot, filing, way) in
            [(Spot::Whole, &self.values, Way::Value), (Spot::Item, &self.items, Way::Item)]
        {
            if filing.is_empty() {
                continue;
            }
            for key in keys(value, spot, filing.keyed()) {
                filing.find(key, |filter| found(Found::Filter(filter), sides, way));
            }
        }
        if let ValueRef::Text(text) = value {
            self.beginnings.find(text, |filter| found(Found::Filter(filter), sides, Way::Range));
        }
        if self.ranges.is_empty() && self.ascending.is_empty() && self.descending.is_empty() {
            return;
        }
        let key = rank::key(value);
        self.ranges.stab(key, |filter| found(Found::Filter(filter), sides, Way::Range));
        self.ascending.stab(key, |view| found(Found::Stretch(view), sides, Way::Stretch));
        self.descending.stab(!key, |view| found(Found::Stretch(view), sides, Way::Stretch));
    }
}

impl Predicates {
    pub(crate) fn new(keyed: Keyed) -> Self {
        let postings = Postings::new(keyed);
        Self { keyed, columns: Vec::new(), postings, scan: IndexSet::default(), abreast: BTreeSet::new() }
    }

    /// Files a filter; with no probes it is one that no node passes. Where it is to hear of every row that leads to it, nothing is asked
    /// of these there. Returns what is needed to take it out again. O(log filters) for each probe.
    pub(crate) fn insert(
        &mut self,
        filter: u32,
        access: &Alternative<Column>,
        hears_all: bool,
        now: Timestamp,
    ) -> Filed {
        let (mut postings, mut moving) = (Vec::new(), Vec::new());
        for branch in branches(access, hears_all) {
            let posting = self.postings.insert(filter, &branch);
            postings.push(posting);
            for probe in &branch.probes {
                match probe {
                    Probe::Value { column, key } => self.file(column, Spot::Whole, key.as_ref(), posting),
                    Probe::Item { column, key } => self.file(column, Spot::Item, key.as_ref(), posting),
                    Probe::Beginning { column, text } => {
                        self.of_column(column).beginnings.insert(text, posting);
                    }
                    Probe::Range { column, lo, hi } => {
                        self.of_column(column).ranges.insert(*lo, *hi, posting);
                    }
                    Probe::Time { column, test } => {
                        let (lo, hi) = test.lasting_range(now);
                        moving.push(lo);
                        self.of_column(column).ranges.insert(lo, hi, posting);
                    }
                }
            }
        }
        Filed { postings: postings.into(), moving: moving.into() }
    }

    /// Takes out what [`insert`](Self::insert) has filed, and leaves nothing of it behind.
    pub(crate) fn remove(&mut self, access: &Alternative<Column>, hears_all: bool, filed: &Filed) {
        let mut moving = filed.moving.iter();
        for (branch, posting) in branches(access, hears_all).iter().zip(&filed.postings) {
            for probe in &branch.probes {
                match probe {
                    Probe::Value { column, key } => self.unfile(column, Spot::Whole, key.as_ref(), *posting),
                    Probe::Item { column, key } => self.unfile(column, Spot::Item, key.as_ref(), *posting),
                    Probe::Beginning { column, text } => {
                        self.of_column(column).beginnings.remove(text, *posting);
                    }
                    Probe::Range { column, lo, .. } => {
                        self.of_column(column).ranges.remove(*lo, *posting);
                    }
                    Probe::Time { column, .. } => {
                        if let Some(lo) = moving.next() {
                            self.of_column(column).ranges.remove(*lo, *posting);
                        }
                    }
                }
            }
            self.postings.remove(*posting);
        }
        self.columns.retain(|of| !of.is_empty());
    }

    pub(crate) fn insert_scan(&mut self, filter: u32) {
        self.scan.insert(filter);
    }

    pub(crate) fn remove_scan(&mut self, filter: u32) {
        self.scan.swap_remove(&filter);
        if self.scan.is_empty() {
            self.scan = IndexSet::default();
        }
    }

    pub(super) fn insert_abreast(&mut self, filter: Rank) {
        self.abreast.insert(filter);
    }

    pub(super) fn remove_abreast(&mut self, filter: Rank) {
        self.abreast.remove(&filter);
    }

    /// The filters that every change is tried on and that are up to date, from one on.
    pub(super) fn abreast(&self, from: Rank) -> impl Iterator<Item = Rank> + '_ {
        self.abreast.range(from..).copied()
    }

    /// Files a stretch of an order, from its beginning to the last row of its window (`None`: to its end).
    pub(crate) fn insert_stretch(&mut self, view: u32, extent: &Extent, last: Option<u128>) {
        let (lo, hi) = extent.ends(last);
        self.of_column(&extent.column).stretches(extent.descending).insert(lo, hi, view);
    }

    /// The window of a stretch has another last row.
    pub(crate) fn move_stretch(&mut self, view: u32, extent: &Extent, last: Option<u128>) {
        let (lo, hi) = extent.ends(last);
        self.of_column(&extent.column).stretches(extent.descending).set_end(lo, view, hi);
    }

    pub(crate) fn remove_stretch(&mut self, view: u32, extent: &Extent) {
        let (lo, _) = extent.ends(None);
        self.of_column(&extent.column).stretches(extent.descending).remove(lo, view);
        self.columns.retain(|of| !of.is_empty());
    }

    /// The filters that every change is tried on.
    pub(crate) fn scanned(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.scan.iter().copied()
    }

    /// The other filters, and the stretches, that a change may touch; one may come more than once. Costs a look-up for each
    /// column that any of them is found by and the row has, two where the change has changed it. Returns the steps of that.
    pub(crate) fn candidates(
        &mut self,
        before: Option<&Row>,
        after: Option<&Row>,
        now: Timestamp,
        mut found: impl FnMut(Candidate, Way),
    ) -> u64 {
        let Self { columns, postings, .. } = self;
        postings.begin();
        look_up(columns, before, after, |entry, sides, way| {
            let candidate = match entry {
                Found::Filter(posting) => {
                    Candidate::Filter(postings.judge(posting, (before, after), sides, now))
                }
                Found::Stretch(view) => Candidate::Stretch(view, sides),
            };
            found(candidate, way);
        })
    }

    /// The other filters that a row leads to, whatever is left to ask of it; one may come more than once.
    pub(crate) fn reached(&self, row: Option<&Row>, mut found: impl FnMut(u32)) {
        look_up(&self.columns, row, row, |entry, _, _| {
            if let Found::Filter(posting) = entry {
                found(self.postings.filter(posting));
            }
        });
    }

    /// How many filters share the place of a probe, for those who ask how a query is found.
    pub(crate) fn sharing(&self, probe: &Probe<Column>) -> usize {
        let of = |column: &Column| self.place(column).ok().map(|place| &self.columns[place]);
        match probe {
            Probe::Value { column, key } => of(column).map_or(0, |of| of.values.count(key.as_ref())),
            Probe::Item { column, key } => of(column).map_or(0, |of| of.items.count(key.as_ref())),
            Probe::Beginning { column, .. } => of(column).map_or(0, |of| of.beginnings.len()),
            Probe::Range { column, .. } | Probe::Time { column, .. } => {
                of(column).map_or(0, |of| of.ranges.len())
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.scan.is_empty()
    }

    /// Bytes held, about.
    pub(crate) fn bytes(&self) -> usize {
        let of_column = |of: &OfColumn| {
            let keys = of.values.heap_bytes() + of.items.heap_bytes() + of.beginnings.heap_bytes();
            let ranges = of.ranges.bytes() + of.ascending.bytes() + of.descending.bytes();
            keys + ranges + size_of::<OfColumn>()
        };
        self.columns.iter().map(of_column).sum::<usize>()
            + self.postings.heap_bytes()
            + self.scan.capacity() * 2 * size_of::<Entry>()
            + self.abreast.len() * 2 * size_of::<Rank>()
    }

    fn file(&mut self, column: &Column, spot: Spot, key: KeyRef<'_>, posting: u32) {
        self.of_column(column).filing(spot).insert(key, posting);
    }

    fn unfile(&mut self, column: &Column, spot: Spot, key: KeyRef<'_>, posting: u32) {
        self.of_column(column).filing(spot).remove(key, posting);
    }

    /// How many columns a changed row is looked up by.
    pub(crate) fn columns(&self) -> usize {
        self.columns.len()
    }

    fn place(&self, column: &Column) -> Result<usize, usize> {
        self.columns.binary_search_by_key(&column.id(), |of| of.column.id())
    }

    fn of_column(&mut self, column: &Column) -> &mut OfColumn {
        let place = self.place(column).unwrap_or_else(|place| {
            self.columns.insert(place, OfColumn::new(column.clone(), self.keyed));
            place
        });
        &mut self.columns[place]
    }
}

/// The branches of a filter; one that is to hear of every row has one, of which nothing is asked.
fn branches(access: &Alternative<Column>, hears_all: bool) -> Vec<Branch<Column>> {
    match hears_all {
        false => access.branches(),
        true => {
            let is_proof = access.is_proof();
            vec![Branch { probes: access.probes(), guards: Vec::new(), is_proof, operand: None }]
        }
    }
}

/// What the versions of a changed row lead to; both where they are alike in a column. Returns the steps of the look-ups: where a row
/// has nothing there is little to look up.
fn look_up(
    columns: &[OfColumn],
    before: Option<&Row>,
    after: Option<&Row>,
    mut found: impl FnMut(Found, Sides, Way),
) -> u64 {
    let mut looked_up = 0;
    for of_column in columns {
        let mut side = |row: &Row, sides| {
            let value = row.at(&of_column.column);
            looked_up += u64::from(!matches!(value, ValueRef::Nothing));
            of_column.candidates(value, sides, &mut found);
        };
        match (before, after) {
            (Some(before), Some(after)) => {
                if before.at(&of_column.column) == after.at(&of_column.column) {
                    side(after, Sides::BOTH);
                } else {
                    side(before, Sides::BEFORE);
                    side(after, Sides::AFTER);
                }
            }
            (Some(before), None) => side(before, Sides::BEFORE),
            (None, Some(after)) => side(after, Sides::AFTER),
            (None, None) => {}
        }
    }
    LOOK_UP_STEPS * looked_up + columns.len() as u64 / ABSENT_AT_A_STEP
}

/// Columns in which a row has nothing, that are looked at in one step.
const ABSENT_AT_A_STEP: u64 = 4;
