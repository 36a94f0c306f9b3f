//! How a change finds the queries that it touches, one way for each class.

use std::hash::Hash;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use crate::{BenchQuery, OrderRow, PROCESSING, Shape, workload::ALIKE};

type Ids = HashSet<u64, FixedState>;
/// Queries with their filters, beside each other: those that are found together are tested together.
type Shapes = Vec<(u32, Shape)>;

/// Finds queries by their number.
pub(super) trait Index {
    /// Tells the queries that match the order before, after, or both, and which; each once.
    fn touched(
        &self,
        before: Option<&OrderRow>,
        after: Option<&OrderRow>,
        now: i64,
        found: impl FnMut(u32, bool, bool),
    );

    /// Tells the queries over `now` that may match an order.
    fn timed(&self, _row: &OrderRow, _found: impl FnMut(u32)) {}

    /// Keeps what refills need.
    fn moved(&mut self, _before: Option<&OrderRow>, _after: Option<&OrderRow>) {}

    /// The ids of all orders that may match, where they are known better than as all.
    fn narrow(&self, _query: &BenchQuery) -> Option<&Ids> {
        None
    }
}

/// A1.
pub(super) struct Processing;

impl Index for Processing {
    fn touched(
        &self,
        before: Option<&OrderRow>,
        after: Option<&OrderRow>,
        _: i64,
        mut found: impl FnMut(u32, bool, bool),
    ) {
        let is = |row: Option<&OrderRow>| row.is_some_and(|row| row.status == PROCESSING);
        let (was, is) = (is(before), is(after));
        if was || is {
            found(0, was, is);
        }
    }
}

/// A2.
pub(super) struct Everything;

impl Index for Everything {
    fn touched(
        &self,
        before: Option<&OrderRow>,
        after: Option<&OrderRow>,
        _: i64,
        mut found: impl FnMut(u32, bool, bool),
    ) {
        found(0, before.is_some(), after.is_some());
    }
}

/// B, and C where only what is being processed counts.
pub(super) struct OfCustomer<const PROCESSING_ONLY: bool>(HashMap<u32, u32, FixedState>);

impl<const PROCESSING_ONLY: bool> OfCustomer<PROCESSING_ONLY> {
    pub(super) fn new(queries: &[BenchQuery]) -> Self {
        let customer = |(number, query): (u32, &BenchQuery)| match query.shape {
            Shape::Customer(who) | Shape::CustomerProcessing(who) => Some((who, number)),
            _ => None,
        };
        Self((0..).zip(queries).filter_map(customer).collect())
    }

    fn counts(row: Option<&OrderRow>) -> Option<&OrderRow> {
        row.filter(|row| !PROCESSING_ONLY || row.status == PROCESSING)
    }
}

impl<const PROCESSING_ONLY: bool> Index for OfCustomer<PROCESSING_ONLY> {
    fn touched(
        &self,
        before: Option<&OrderRow>,
        after: Option<&OrderRow>,
        _: i64,
        mut found: impl FnMut(u32, bool, bool),
    ) {
        let (before, after) = (Self::counts(before), Self::counts(after));
        if let (Some(before), Some(after)) = (before, after)
            && before.customer == after.customer
        {
            if let Some(number) = self.0.get(&after.customer) {
                found(*number, true, true);
            }
            return;
        }
        if let Some(number) = before.and_then(|row| self.0.get(&row.customer)) {
            found(*number, true, false);
        }
        if let Some(number) = after.and_then(|row| self.0.get(&row.customer)) {
            found(*number, false, true);
        }
    }
}

/// P and W: queries by a value that an order has for them to match.
pub(super) struct Keyed<K> {
    key: fn(&OrderRow) -> K,
    queries: HashMap<K, Vec<u32>, FixedState>,
}

impl<K: Hash + Eq> Keyed<K> {
    fn new(key: fn(&OrderRow) -> K, all: impl Iterator<Item = (K, u32)>) -> Self {
        let mut queries: HashMap<K, Vec<u32>, FixedState> = HashMap::default();
        for (key, number) in all {
            let of_key = queries.entry(key).or_default();
            // A query may name one value twice.
            if of_key.last() != Some(&number) {
                of_key.push(number);
            }
        }
        Self { key, queries }
    }

    fn of(&self, row: Option<&OrderRow>) -> &[u32] {
        row.and_then(|row| self.queries.get(&(self.key)(row))).map_or(&[], Vec::as_slice)
    }
}

/// P: by the letters behind those in which all notes begin alike.
pub(super) fn of_letters(queries: &[BenchQuery]) -> Keyed<[u8; 3]> {
    let letters = |row: &OrderRow| [0, 1, 2].map(|place| row.note.as_bytes()[ALIKE + place]);
    let all = (0..).zip(queries).filter_map(|(number, query)| match query.shape {
        Shape::Alike(letters) => Some((letters, number)),
        _ => None,
    });
    Keyed::new(letters, all)
}

/// W: by customer and priority.
pub(super) fn of_pairs(queries: &[BenchQuery]) -> Keyed<(u32, u8)> {
    let all = (0..).zip(queries).flat_map(|(number, query)| match &query.shape {
        Shape::Wide(pairs) => pairs.iter().map(move |pair| (*pair, number)).collect(),
        _ => Vec::new(),
    });
    Keyed::new(|row| (row.customer, row.priority), all)
}

impl<K: Hash + Eq> Index for Keyed<K> {
    fn touched(
        &self,
        before: Option<&OrderRow>,
        after: Option<&OrderRow>,
        _: i64,
        mut found: impl FnMut(u32, bool, bool),
    ) {
        let (was, is) = (self.of(before), self.of(after));
        was.iter().for_each(|number| found(*number, true, is.contains(number)));
        is.iter().filter(|number| !was.contains(number)).for_each(|number| found(*number, false, true));
    }
}

/// E: of each region the queries, by the least priority that they take.
pub(super) struct OfRegion {
    queries: Vec<[Option<u32>; 6]>,
    rows: Vec<Ids>,
}

impl OfRegion {
    pub(super) fn new(queries: &[BenchQuery]) -> Self {
        let mut index = Self { queries: vec![[None; 6]; 50], rows: vec![Ids::default(); 50] };
        for (number, query) in (0..).zip(queries) {
            if let Shape::Region(region, priority) = query.shape {
                index.queries[usize::from(region)][usize::from(priority)] = Some(number);
            }
        }
        index
    }

    fn of(&self, row: &OrderRow) -> impl Iterator<Item = u32> {
        let of_region = &self.queries[usize::from(row.region)];
        of_region[..=usize::from(row.priority)].iter().filter_map(|number| *number)
    }
}

impl Index for OfRegion {
    fn touched(
        &self,
        before: Option<&OrderRow>,
        after: Option<&OrderRow>,
        _: i64,
        mut found: impl FnMut(u32, bool, bool),
    ) {
        let key = |row: &OrderRow| (row.region, row.priority);
        if let (Some(before), Some(after)) = (before, after) {
            if key(before) == key(after) {
                self.of(after).for_each(|number| found(number, true, true));
                return;
            }
            for number in self.of(before) {
                found(number, true, self.of(after).any(|other| other == number));
            }
            for number in self.of(after).filter(|number| self.of(before).all(|other| other != *number)) {
                found(number, false, true);
            }
            return;
        }
        before.into_iter().flat_map(|row| self.of(row)).for_each(|number| found(number, true, false));
        after.into_iter().flat_map(|row| self.of(row)).for_each(|number| found(number, false, true));
    }

    fn moved(&mut self, before: Option<&OrderRow>, after: Option<&OrderRow>) {
        if let (Some(before), Some(after)) = (before, after)
            && before.region == after.region
        {
            return;
        }
        if let Some(before) = before {
            self.rows[usize::from(before.region)].remove(&before.id);
        }
        if let Some(after) = after {
            self.rows[usize::from(after.region)].insert(after.id);
        }
    }

    fn narrow(&self, query: &BenchQuery) -> Option<&Ids> {
        let Shape::Region(region, _) = query.shape else { return None };
        self.rows.get(usize::from(region))
    }
}

/// The queries of D sorted by where they begin, for the first windows of those who keep windows.
pub(super) struct OfTotal(Vec<(u32, u32)>);

impl OfTotal {
    pub(super) fn new(queries: &[BenchQuery]) -> Self {
        let from = |(number, query): (u32, &BenchQuery)| match query.shape {
            Shape::Total(from) => Some((from, number)),
            _ => None,
        };
        let mut sorted: Vec<_> = (0..).zip(queries).filter_map(from).collect();
        sorted.sort_unstable();
        Self(sorted)
    }
}

impl Index for OfTotal {
    fn touched(
        &self,
        _: Option<&OrderRow>,
        after: Option<&OrderRow>,
        _: i64,
        mut found: impl FnMut(u32, bool, bool),
    ) {
        let Some(after) = after else { return };
        let first = self.0.partition_point(|(from, _)| from + 1_000 <= after.total);
        for (_, number) in self.0[first..].iter().take_while(|(from, _)| *from <= after.total) {
            found(*number, false, true);
        }
    }
}

/// G: the queries of each shape by the narrowest thing that they ask for; what is found is then tested.
#[derive(Default)]
pub(super) struct Mixed {
    queries: Vec<Shape>,
    /// Also those that ask for something else instead.
    of_customer: HashMap<u32, Shapes, FixedState>,
    of_region: Vec<Shapes>,
    /// Those that ask for a customer or for what is urgent in a region, by the region.
    of_urgent: Vec<Shapes>,
    of_prefix: HashMap<[u8; 3], Shapes, FixedState>,
    /// Those over `now` alone.
    of_time: Shapes,
}

impl Mixed {
    pub(super) fn new(queries: &[BenchQuery]) -> Self {
        let mut index = Self {
            queries: queries.iter().map(|query| query.shape.clone()).collect(),
            of_region: vec![Shapes::new(); 50],
            of_urgent: vec![Shapes::new(); 50],
            ..Self::default()
        };
        for (number, BenchQuery { shape, .. }) in (0..).zip(queries) {
            let found = (number, shape.clone());
            let mut of_customer = |who: u32| {
                let shapes = index.of_customer.entry(who).or_default();
                // A list may name one customer twice.
                if shapes.last() != Some(&found) {
                    shapes.push(found.clone());
                }
            };
            match *shape {
                Shape::Customer(who) | Shape::CustomerProcessing(who) | Shape::CustomerWeek(who) => {
                    of_customer(who);
                }
                Shape::CustomerOrUrgent(who, region) => {
                    of_customer(who);
                    index.of_urgent[usize::from(region)].push(found);
                }
                Shape::Customers(who) => who.into_iter().for_each(of_customer),
                Shape::Tagged(_, region)
                | Shape::Without(region, ..)
                | Shape::RegionWeek(region, _)
                | Shape::Region(region, _) => index.of_region[usize::from(region)].push(found),
                Shape::Prefix(letters) => index.of_prefix.entry(letters).or_default().push(found),
                Shape::Minutes(_) => index.of_time.push(found),
                Shape::Every | Shape::Processing | Shape::Total(_) | Shape::Alike(_) | Shape::Wide(_) => {}
            }
        }
        index
    }

    /// The queries that may match, each once. Those over `now` alone are few.
    fn candidates(&self, row: &OrderRow, mut found: impl FnMut(u32, &Shape)) {
        let of_customer = self.of_customer.get(&row.customer);
        let of_prefix = row.note.as_bytes().first_chunk().and_then(|key| self.of_prefix.get(key));
        let of_region = &self.of_region[usize::from(row.region)];
        let all = of_customer.into_iter().chain(of_prefix).chain([of_region, &self.of_time]);
        all.flatten().for_each(|(number, shape)| found(*number, shape));
        if row.priority == 5 {
            for (number, shape) in &self.of_urgent[usize::from(row.region)] {
                // Found by the customer already.
                if !matches!(shape, Shape::CustomerOrUrgent(who, _) if *who == row.customer) {
                    found(*number, shape);
                }
            }
        }
    }
}

impl Index for Mixed {
    fn touched(
        &self,
        before: Option<&OrderRow>,
        after: Option<&OrderRow>,
        now: i64,
        mut found: impl FnMut(u32, bool, bool),
    ) {
        let mut test = |number, shape: &Shape| {
            let was = before.is_some_and(|row| shape.matches(row, now));
            let is = after.is_some_and(|row| shape.matches(row, now));
            if was || is {
                found(number, was, is);
            }
        };
        let key = |row: &OrderRow| {
            (row.customer, row.region, row.priority == 5, row.note.as_bytes().first_chunk::<3>().copied())
        };
        match (before, after) {
            (Some(before), Some(after)) if key(before) == key(after) => self.candidates(after, test),
            (Some(before), Some(after)) => {
                let mut numbers = Vec::new();
                self.candidates(before, |number, _| numbers.push(number));
                self.candidates(after, |number, _| numbers.push(number));
                numbers.sort_unstable();
                numbers.dedup();
                numbers.into_iter().for_each(|number| test(number, &self.queries[number as usize]));
            }
            (Some(row), None) | (None, Some(row)) => self.candidates(row, test),
            (None, None) => {}
        }
    }

    fn timed(&self, row: &OrderRow, mut found: impl FnMut(u32)) {
        self.candidates(row, |number, shape| {
            if shape.lasts().is_some() {
                found(number);
            }
        });
    }
}
