//! How a single test is found.

use super::{Class, ColumnInfo, Found, Key, Probe, TimeTest, reads_instants};
use crate::filter::{Asked, Comparison, Compiled, Member, Piece, Ref, Seen, View};
use crate::order::rank;
use crate::time::Timestamp;

/// `None` for a test that can hold of any row, and for what is no single test.
pub(super) fn find<C: ColumnInfo>(filter: &Compiled<C>, test: Ref) -> Option<Found<C>> {
    match filter.view(test) {
        (View::Always, true) => Some(Found::never()),
        (_, true) => None,
        (view, false) => find_view(filter, view),
    }
}

/// The same of a test that is not negated.
pub(super) fn find_view<C: ColumnInfo>(filter: &Compiled<C>, view: View<'_, C>) -> Option<Found<C>> {
    match view {
        View::Compare { asked, left, right } => compare(filter, asked, left, right),
        View::In { column, set } => {
            let mut probes = Vec::with_capacity(filter.count(set));
            for member in filter.members(set) {
                probes.extend(equal(column, member)?.probe(column));
            }
            Some(Found::any_of(Class::In, probes, true))
        }
        View::List { column, all, set } => {
            let item = |key| Probe::Item { column: column.clone(), key };
            let keys = filter.members(set).map(Key::of);
            if !all {
                // An instant equals text in many spellings.
                let keys = keys.collect::<Option<Vec<Key>>>()?;
                return Some(Found::any_of(Class::Items, keys.into_iter().map(item), true));
            }
            // All of them are there, so any one is. Of no items, every list has all.
            let first = item(keys.flatten().next()?);
            Some(Found::any_of(Class::Items, [first], false))
        }
        View::Text { piece: Piece::Start, left: Seen::Column(column), right: Seen::Constant(text) } => {
            begins(column, text)
        }
        _ => None,
    }
}

/// A column alone on one side, on the other what is the same in every row.
fn compare<C: ColumnInfo>(
    filter: &Compiled<C>,
    asked: Asked,
    left: Seen<'_, C>,
    right: Seen<'_, C>,
) -> Option<Found<C>> {
    if asked == Asked::Different {
        return None;
    }
    let operator = asked.operator();
    let (column, operator, other) = match (left, right) {
        (Seen::Column(column), other) => (column, operator, other),
        (other, Seen::Column(column)) => (column, operator.mirrored(), other),
        _ => return None,
    };
    match other {
        Seen::Now(chain) if reads_instants(column) => {
            let test = TimeTest::new(filter.steps(chain), operator.mirrored());
            Some(Found::any_of(Class::Time, [Probe::Time { column: column.clone(), test }], true))
        }
        Seen::Constant(constant) => {
            let found = match operator {
                Comparison::Equal => equal(column, constant)?,
                _ => ordered(column, operator, constant)?,
            };
            let (class, exact) = match found {
                Place::Range { whole, .. } if operator != Comparison::Equal => (Class::Range, whole),
                _ => (Class::Equality, true),
            };
            Some(Found::any_of(class, found.probe(column), exact))
        }
        Seen::Now(_) | Seen::Column(_) | Seen::Other => None,
    }
}

/// Where the rows are that compare so with a constant.
#[derive(Debug)]
enum Place {
    Nowhere,
    Key(Key),
    /// The keys from the lowest to the highest, and whether all rows there compare so.
    Range {
        lo: u128,
        hi: u128,
        whole: bool,
    },
}

impl Place {
    fn probe<C: Clone>(self, column: &C) -> Option<Probe<C>> {
        let column = column.clone();
        match self {
            Place::Nowhere => None,
            Place::Key(key) => Some(Probe::Value { column, key }),
            Place::Range { lo, hi, .. } => Some(Probe::Range { column, lo, hi }),
        }
    }
}

/// Where the rows are that equal a constant; `None` where no index tells.
fn equal(column: &impl ColumnInfo, constant: Member<'_>) -> Option<Place> {
    let instant = |at: Timestamp| {
        let key = rank::key_of_instant(at);
        Place::Range { lo: key, hi: key, whole: true }
    };
    match constant {
        // What is declared as an instant is compared in time.
        Member::Text(text) if column.is_declared_instant() => {
            Some(Timestamp::parse_rfc3339(text).map_or(Place::Nowhere, instant))
        }
        // Elsewhere text that reads as an instant may be one in time or by its spelling; other text is what it is.
        Member::Text(text) if reads_instants(column) && Timestamp::parse_rfc3339(text).is_some() => None,
        Member::Instant(at) => reads_instants(column).then(|| instant(at)),
        other => Key::of(other).map(Place::Key),
    }
}

/// Where the rows are that stand in an order to a constant; `None` where no index tells.
fn ordered(column: &impl ColumnInfo, operator: Comparison, constant: Member<'_>) -> Option<Place> {
    let instants = |at| range(operator, rank::key_of_instant(at), true, rank::range_of_instants());
    Some(match constant {
        // Nothing has no order.
        Member::Nothing => Place::Nowhere,
        Member::Bool(value) => {
            let (low, high) = rank::range_of_booleans();
            range(operator, if value { high } else { low }, true, (low, high))
        }
        Member::Number(number) => {
            range(operator, rank::key_of_number(number), true, rank::range_of_numbers())
        }
        Member::Text(text) if column.is_declared_instant() => {
            Timestamp::parse_rfc3339(text).map_or(Place::Nowhere, instants)
        }
        Member::Text(_) if reads_instants(column) => return None,
        Member::Text(text) => {
            range(operator, rank::key_of_text(text), rank::text_is_whole(text), rank::range_of_texts())
        }
        Member::Instant(at) if reads_instants(column) => instants(at),
        Member::Instant(_) => return None,
    })
}

/// The values of a kind that compare so with one of them: with `key`, which says the whole of it or is shared with others. All
/// keys of the kind lie in `kind`.
fn range(operator: Comparison, key: u128, whole: bool, kind: (u128, u128)) -> Place {
    // Among those that share the key some may compare otherwise, so the range takes all of them in.
    let exclusive = u128::from(whole);
    let (lo, hi) = match operator {
        Comparison::Equal | Comparison::NotEqual => (key, key),
        Comparison::Less => (kind.0, key.saturating_sub(exclusive)),
        Comparison::LessOrEqual => (kind.0, key),
        Comparison::Greater => (key.saturating_add(exclusive), kind.1),
        Comparison::GreaterOrEqual => (key, kind.1),
    };
    if lo <= hi { Place::Range { lo, hi, whole } } else { Place::Nowhere }
}

fn begins<C: ColumnInfo>(column: &C, text: Member<'_>) -> Option<Found<C>> {
    match text {
        // An instant begins as it is spelled, which its key does not say.
        _ if reads_instants(column) => None,
        Member::Text(text) => {
            let column = column.clone();
            let probe = match rank::text_is_whole(text) {
                true => {
                    let (lo, hi) = rank::prefix_range(text);
                    Probe::Range { column, lo, hi }
                }
                false => Probe::Beginning { column, text: text.into() },
            };
            Some(Found::any_of(Class::Prefix, [probe], true))
        }
        _ => None,
    }
}
