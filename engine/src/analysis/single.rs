//! How a single test is found.

use super::{Class, ColumnInfo, Found, Key, Probe, TimeTest, reads_instants};
use crate::filter::{Comparison, Expr, Literal, Membership, Operand, Sum, Term, TextTest};
use crate::order::rank;
use crate::time::Instant;

/// `None` for a test that can hold of any row, and for what is no single test.
pub(super) fn find<C: ColumnInfo>(test: &Expr<C>) -> Option<Found<C>> {
    match test {
        Expr::Constant(false) => Some(Found::never()),
        Expr::Field(column) => Some(equality(column, Key::Bool(true))),
        Expr::Compare { left, operator, right } => compare(left, *operator, right),
        Expr::Member { left, operator, list } => match left.single() {
            Some(Term::Path(column)) => member(column, *operator, list),
            _ => None,
        },
        Expr::Text { left, operator: TextTest::StartsWith, right } => match left.single() {
            Some(Term::Path(column)) => begins(column, &right.constant()?),
            _ => None,
        },
        Expr::Constant(true) | Expr::Text { .. } | Expr::Not(_) | Expr::And(_) | Expr::Or(_) => None,
    }
}

fn equality<C: ColumnInfo>(column: &C, key: Key) -> Found<C> {
    let probes = vec![Probe::Value { column: column.clone(), key }];
    Found { class: Class::Equality, probes, exact: true }
}

/// A column alone on one side, on the other what is the same in every row.
fn compare<C: ColumnInfo>(left: &Sum<C>, operator: Comparison, right: &Sum<C>) -> Option<Found<C>> {
    let (column, operator, other) = match (left.single(), right.single()) {
        (Some(Term::Path(column)), _) => (column, operator, right),
        (_, Some(Term::Path(column))) => (column, operator.mirrored(), left),
        _ => return None,
    };
    if operator == Comparison::NotEqual {
        return None;
    }
    if let Some(steps) = other.steps() {
        let test = TimeTest::new(steps, operator.mirrored());
        let probes = vec![Probe::Time { column: column.clone(), test }];
        return reads_instants(column).then_some(Found { class: Class::Time, probes, exact: true });
    }
    compare_with(column, operator, &other.constant()?)
}

/// `==` and orders alone.
fn compare_with<C: ColumnInfo>(column: &C, operator: Comparison, constant: &Operand<'_>) -> Option<Found<C>> {
    let equal = operator == Comparison::Equal;
    Some(match constant {
        Operand::Nothing if equal => equality(column, Key::Nothing),
        Operand::Bool(value) if equal => equality(column, Key::Bool(*value)),
        Operand::Bool(value) => {
            let (low, high) = rank::range_of_booleans();
            range(column, operator, if *value { high } else { low }, true, (low, high))
        }
        Operand::Number(number) if equal => equality(column, Key::Number(*number)),
        Operand::Number(number) => {
            range(column, operator, rank::key_of_number(*number), true, rank::range_of_numbers())
        }
        // What is declared as an instant is compared in time.
        Operand::Text(text) if column.is_declared_instant() => match Instant::parse_rfc3339(text) {
            Some(at) => instants(column, operator, at),
            None => Found::never(),
        },
        // Elsewhere text that reads as an instant may be one in time or by its spelling; other text is what it is.
        Operand::Text(text)
            if reads_instants(column) && (!equal || Instant::parse_rfc3339(text).is_some()) =>
        {
            return None;
        }
        Operand::Text(text) if equal => equality(column, Key::Text((*text).into())),
        Operand::Text(text) => {
            let whole = rank::text_is_whole(text);
            range(column, operator, rank::key_of_text(text), whole, rank::range_of_texts())
        }
        Operand::Instant(at, _) if reads_instants(column) => instants(column, operator, *at),
        Operand::Instant(..) | Operand::List(_) | Operand::Object(_) => return None,
        // Nothing has an order, and no field holds a duration.
        Operand::Nothing | Operand::Duration(_) | Operand::Invalid => Found::never(),
    })
}

fn instants<C: ColumnInfo>(column: &C, operator: Comparison, at: Instant) -> Found<C> {
    range(column, operator, rank::key_of_instant(at), true, rank::range_of_instants())
}

/// The values of a kind that compare so with one of them: with `key`, which says the whole of it or is shared with others. All
/// keys of the kind lie in `kind`.
fn range<C: ColumnInfo>(
    column: &C,
    operator: Comparison,
    key: u128,
    whole: bool,
    kind: (u128, u128),
) -> Found<C> {
    let class = if operator == Comparison::Equal { Class::Equality } else { Class::Range };
    // Among those that share the key some may compare otherwise, so the range takes all of them in.
    let exclusive = u128::from(whole);
    let (lo, hi) = match operator {
        Comparison::Equal | Comparison::NotEqual => (key, key),
        Comparison::Less => (kind.0, key.saturating_sub(exclusive)),
        Comparison::LessOrEqual => (kind.0, key),
        Comparison::Greater => (key.saturating_add(exclusive), kind.1),
        Comparison::GreaterOrEqual => (key, kind.1),
    };
    let probe = (lo <= hi).then(|| Probe::Range { column: column.clone(), lo, hi });
    Found::any_of(class, probe, whole)
}

fn member<C: ColumnInfo>(column: &C, operator: Membership, list: &[Literal]) -> Option<Found<C>> {
    let item = |key| Probe::Item { column: column.clone(), key };
    match operator {
        Membership::In => {
            let mut probes = Vec::new();
            for literal in list {
                probes.extend(compare_with(column, Comparison::Equal, &Operand::from(literal))?.probes);
            }
            Some(Found::any_of(Class::In, probes, true))
        }
        Membership::AnyOf => {
            // No list holds a duration. An instant equals text in many spellings.
            let held = list.iter().filter(|literal| !matches!(literal, Literal::Duration(_)));
            let keys: Option<Vec<Key>> = held.map(Key::of).collect();
            Some(Found::any_of(Class::Items, keys?.into_iter().map(item), true))
        }
        Membership::AllOf if list.iter().any(|literal| matches!(literal, Literal::Duration(_))) => {
            Some(Found::never())
        }
        // All of them are there, so any one is. Of no items, every list has all.
        Membership::AllOf => {
            let first = list.iter().find_map(Key::of)?;
            let exact = list.iter().all(|literal| Key::of(literal).as_ref() == Some(&first));
            Some(Found::any_of(Class::Items, [item(first)], exact))
        }
    }
}

fn begins<C: ColumnInfo>(column: &C, text: &Operand<'_>) -> Option<Found<C>> {
    match text {
        // An instant begins as it is spelled, which its key does not say.
        _ if reads_instants(column) => None,
        Operand::Text(text) => {
            let (lo, hi) = rank::prefix_range(text);
            let probe = Probe::Range { column: column.clone(), lo, hi };
            Some(Found::any_of(Class::Prefix, [probe], rank::text_is_whole(text)))
        }
        // Nothing is no text.
        Operand::Nothing => Some(Found::never()),
        _ => None,
    }
}
