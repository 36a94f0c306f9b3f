//! The classes of queries, each query in the query language and in Rust.

use std::{collections::HashSet, fmt, str::FromStr};

use liveset_engine::Query;

use crate::{OrderRow, PROCESSING, Random, STATUSES, Zipf, customers, workload::ALIKE};

const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;

/// What is measured together. The front page of the package has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// One query for a sixth of the orders.
    A1,
    /// One query for all orders.
    A2,
    /// Queries for one customer each.
    B,
    /// Queries for one customer's orders of one status each.
    C,
    /// Queries for overlapping ranges of the total.
    D,
    /// Queries for one region and a least priority each.
    E,
    /// A1, watched by many.
    F,
    /// Queries of mixed shapes.
    G,
    /// Queries for a prefix each, all of which begin alike.
    P,
    /// Queries of a hundred alternatives each.
    W,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 10] =
        [Self::A1, Self::A2, Self::B, Self::C, Self::D, Self::E, Self::F, Self::G, Self::P, Self::W];

    /// As many different queries of this class as were asked for, or as there are.
    pub fn queries(self, count: usize, nodes: u32) -> Vec<BenchQuery> {
        let query = |shape, sort, cap| BenchQuery { shape, sort, cap };
        let customers = customers(nodes);
        // Spread over all customers, so that each has the same chance.
        let spread = |of: u32| {
            let count = count.min(of as usize) as u64;
            (0..count).map(move |place| (place * u64::from(of) / count) as u32)
        };
        match self {
            Self::A1 | Self::F => vec![query(Shape::Processing, Sort::Newest, 1_000)],
            Self::A2 => vec![query(Shape::Every, Sort::Dearest, 1_000)],
            Self::B => spread(customers).map(|who| query(Shape::Customer(who), Sort::Newest, 100)).collect(),
            Self::C => {
                let shape = Shape::CustomerProcessing;
                spread(customers).map(|who| query(shape(who), Sort::Newest, 100)).collect()
            }
            Self::D => spread(199_000).map(|from| query(Shape::Total(from), Sort::Dearest, 50)).collect(),
            Self::E => (0..250.min(count))
                .map(|place| query(Shape::Region((place % 50) as u8, (place / 50) as u8), Sort::Dearest, 100))
                .collect(),
            Self::G => mixed(count, customers),
            Self::P => spread(26 * 26 * 26)
                .map(|place| {
                    let letter = |by: u32| b'a' + (place / by % 26) as u8;
                    query(Shape::Alike([letter(676), letter(26), letter(1)]), Sort::Newest, 50)
                })
                .collect(),
            Self::W => spread(customers)
                .map(|first| {
                    let one = |place: u32| ((first + place * 7) % customers, (place % 6) as u8);
                    // Of fewer customers all would be in every query.
                    let pairs = (customers / 2).clamp(1, 100);
                    query(Shape::Wide((0..pairs).map(one).collect()), Sort::Newest, 50)
                })
                .collect(),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |class: &Self| class.to_string().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(named).ok_or_else(|| format!("there is no class {text}"))
    }
}

/// One query, for all contestants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BenchQuery {
    /// The filter.
    pub shape: Shape,
    /// The order.
    pub sort: Sort,
    /// The most orders of the result.
    pub cap: usize,
}

impl BenchQuery {
    /// In the query language.
    pub fn query(&self) -> Query {
        let query = Query::new("orders").order_by(self.sort.text()).limit(self.cap as u64);
        match self.shape.filter() {
            Some(filter) => query.filter(filter),
            None => query,
        }
    }
}

/// An order of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sort {
    /// `createdAt desc`.
    Newest,
    /// `total desc`.
    Dearest,
    /// `priority desc, createdAt`.
    Urgent,
}

/// Where an order stands in a result: what it is sorted by, then its id.
pub type Place = (u64, u64);

impl Sort {
    fn text(self) -> &'static str {
        match self {
            Self::Newest => "createdAt desc",
            Self::Dearest => "total desc",
            Self::Urgent => "priority desc, createdAt",
        }
    }

    /// Where an order stands.
    #[inline]
    pub fn place(self, row: &OrderRow) -> Place {
        let by = match self {
            Self::Newest => !(row.created as u64),
            Self::Dearest => dearest(row.total),
            Self::Urgent => u64::from(5 - row.priority) << 48 | row.created as u64,
        };
        (by, row.id)
    }
}

/// What an order of this total is sorted by in [`Sort::Dearest`].
pub(crate) fn dearest(total: u32) -> u64 {
    !u64::from(total)
}

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Every order.
    Every,
    /// `status == 'processing'`.
    Processing,
    /// `customer == X`.
    Customer(u32),
    /// `customer == X and status == 'processing'`.
    CustomerProcessing(u32),
    /// `total >= a and total < a + 10`; `a` in hundredths.
    Total(u32),
    /// `region == r and priority >= p`.
    Region(u8, u8),
    /// `customer == X or region == r and priority == 5`.
    CustomerOrUrgent(u32, u8),
    /// `customer in [X, Y, Z]`.
    Customers([u32; 3]),
    /// `tags anyof [t, u] and region == r`.
    Tagged([u8; 2], u8),
    /// `region == r and not (status == s or tags anyof [t])`.
    Without(u8, u8, u8),
    /// `note startswith 'abc'`.
    Prefix([u8; 3]),
    /// `customer == X and createdAt > now - 7 days`.
    CustomerWeek(u32),
    /// `region == r and createdAt > now - 7 days and total > t`; `t` in hundredths.
    RegionWeek(u8, u32),
    /// `createdAt > now - m minutes`.
    Minutes(u32),
    /// `note startswith 'aa…abc'`: the letters behind those in which all notes begin alike.
    Alike([u8; 3]),
    /// `customer == X and priority == p or …`.
    Wide(Box<[(u32, u8)]>),
}

impl Shape {
    /// In the query language; `None` takes every order.
    pub fn filter(&self) -> Option<String> {
        let money = |hundredths: u32| format!("{}.{:02}", hundredths / 100, hundredths % 100);
        Some(match self {
            Self::Every => return None,
            Self::Processing => "status == 'processing'".into(),
            Self::Customer(who) => format!("customer == 'customer-{who}'"),
            Self::CustomerProcessing(who) => {
                format!("customer == 'customer-{who}' and status == 'processing'")
            }
            Self::Total(from) => format!("total >= {} and total < {}", money(*from), money(*from + 1_000)),
            Self::Region(region, priority) => {
                format!("region == 'region-{region}' and priority >= {priority}")
            }
            Self::CustomerOrUrgent(who, region) => {
                format!("customer == 'customer-{who}' or region == 'region-{region}' and priority == 5")
            }
            Self::Customers([a, b, c]) => {
                format!("customer in ['customer-{a}', 'customer-{b}', 'customer-{c}']")
            }
            Self::Tagged([a, b], region) => {
                format!("tags anyof ['tag-{a}', 'tag-{b}'] and region == 'region-{region}'")
            }
            Self::Without(region, status, tag) => format!(
                "region == 'region-{region}' and not (status == '{}' or tags anyof ['tag-{tag}'])",
                STATUSES[usize::from(*status)]
            ),
            Self::Prefix(letters) => format!("note startswith '{}'", String::from_utf8_lossy(letters)),
            Self::CustomerWeek(who) => format!("customer == 'customer-{who}' and createdAt > now - 7 days"),
            Self::RegionWeek(region, total) => {
                let total = money(*total);
                format!("region == 'region-{region}' and createdAt > now - 7 days and total > {total}")
            }
            Self::Minutes(minutes) => format!("createdAt > now - {minutes} minutes"),
            Self::Alike(letters) => {
                format!("note startswith '{}{}'", "a".repeat(ALIKE), String::from_utf8_lossy(letters))
            }
            Self::Wide(pairs) => {
                let one = |(who, priority): &(u32, u8)| {
                    format!("customer == 'customer-{who}' and priority == {priority}")
                };
                pairs.iter().map(one).collect::<Vec<_>>().join(" or ")
            }
        })
    }

    /// Whether it holds of an order at a moment.
    #[inline]
    pub fn matches(&self, row: &OrderRow, now: i64) -> bool {
        match self {
            Self::Every => true,
            Self::Processing => row.status == PROCESSING,
            Self::Customer(who) => row.customer == *who,
            Self::CustomerProcessing(who) => row.customer == *who && row.status == PROCESSING,
            Self::Total(from) => row.total >= *from && row.total < *from + 1_000,
            Self::Region(region, priority) => row.region == *region && row.priority >= *priority,
            Self::CustomerOrUrgent(who, region) => {
                row.customer == *who || row.region == *region && row.priority == 5
            }
            Self::Customers(who) => who.contains(&row.customer),
            Self::Tagged([a, b], region) => row.region == *region && (row.tags.has(*a) || row.tags.has(*b)),
            Self::Without(region, status, tag) => {
                row.region == *region && !(row.status == *status || row.tags.has(*tag))
            }
            Self::Prefix(letters) => row.note.as_bytes().starts_with(letters),
            Self::CustomerWeek(who) => row.customer == *who && row.created > now - WEEK,
            Self::RegionWeek(region, total) => {
                row.region == *region && row.total > *total && row.created > now - WEEK
            }
            Self::Minutes(minutes) => row.created > now - i64::from(*minutes) * 60,
            Self::Alike(letters) => {
                let (alike, rest) = row.note.as_bytes().split_at(ALIKE);
                rest.starts_with(letters) && alike.iter().all(|letter| *letter == b'a')
            }
            Self::Wide(pairs) => pairs.contains(&(row.customer, row.priority)),
        }
    }

    /// [`matches`](Self::matches) as a closure of its own, as one would write it for this filter alone.
    pub fn compiled(&self) -> Test {
        match self.clone() {
            Self::Customer(who) => Box::new(move |row, _| row.customer == who),
            Self::CustomerProcessing(who) => {
                Box::new(move |row, _| row.customer == who && row.status == PROCESSING)
            }
            Self::Total(from) => Box::new(move |row, _| row.total >= from && row.total < from + 1_000),
            Self::Region(region, priority) => {
                Box::new(move |row, _| row.region == region && row.priority >= priority)
            }
            Self::CustomerOrUrgent(who, region) => {
                Box::new(move |row, _| row.customer == who || row.region == region && row.priority == 5)
            }
            Self::Customers([a, b, c]) => {
                Box::new(move |row, _| row.customer == a || row.customer == b || row.customer == c)
            }
            Self::Tagged([a, b], region) => {
                let tags = 1 << a | 1 << b;
                Box::new(move |row, _| row.region == region && row.tags.0 & tags != 0)
            }
            Self::Without(region, status, tag) => {
                Box::new(move |row, _| row.region == region && row.status != status && !row.tags.has(tag))
            }
            Self::Prefix(letters) => Box::new(move |row, _| row.note.as_bytes().starts_with(&letters)),
            Self::CustomerWeek(who) => {
                Box::new(move |row, now| row.customer == who && row.created > now - WEEK)
            }
            other => Box::new(move |row, now| other.matches(row, now)),
        }
    }

    /// For how many seconds after its creation an order may match, where the filter is over `now`.
    pub fn lasts(&self) -> Option<i64> {
        match self {
            Self::CustomerWeek(_) | Self::RegionWeek(..) => Some(WEEK),
            Self::Minutes(minutes) => Some(i64::from(*minutes) * 60),
            _ => None,
        }
    }
}

/// A filter, compiled.
pub type Test = Box<dyn Fn(&OrderRow, i64) -> bool>;

/// One in 500 over minutes alone, the others of eight shapes in turn.
fn mixed(count: usize, customers: u32) -> Vec<BenchQuery> {
    let (mut random, zipf) = (Random::new(1), Zipf::new(customers));
    let mut seen = HashSet::new();
    let mut queries = Vec::with_capacity(count);
    // A small set has fewer different queries than were asked for.
    for attempt in 0..20 * count {
        if queries.len() == count {
            break;
        }
        let random = &mut random;
        let region = random.below(50) as u8;
        let (shape, sort) = match (attempt % 500, attempt % 8) {
            (4, _) => (Shape::Minutes((attempt / 500) as u32 * 5 + 5), Sort::Dearest),
            (_, 0) => (Shape::CustomerProcessing(zipf.draw(random)), Sort::Newest),
            (_, 1) => (Shape::CustomerOrUrgent(zipf.draw(random), region), Sort::Newest),
            (_, 2) => {
                let mut three = [(); 3].map(|()| zipf.draw(random));
                three.sort_unstable();
                if three[0] == three[1] || three[1] == three[2] {
                    // Two of them mean what two others mean: [X, X, Y] is [X, Y, Y].
                    continue;
                }
                (Shape::Customers(three), Sort::Dearest)
            }
            (_, 3) => {
                let tag = random.below(20) as u8;
                let other = (tag + 1 + random.below(19) as u8) % 20;
                (Shape::Tagged([tag.min(other), tag.max(other)], region), Sort::Urgent)
            }
            (_, 4) => (Shape::Without(region, random.below(6) as u8, random.below(20) as u8), Sort::Newest),
            (_, 5) => (Shape::Prefix([(); 3].map(|()| b'a' + random.below(26) as u8)), Sort::Newest),
            (_, 6) => (Shape::CustomerWeek(zipf.draw(random)), Sort::Newest),
            _ => (Shape::RegionWeek(region, random.below(2_000) * 100), Sort::Dearest),
        };
        let query = BenchQuery { shape, sort, cap: 50 };
        if seen.insert(query.clone()) {
            queries.push(query);
        }
    }
    queries
}
