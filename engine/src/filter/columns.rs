//! A filter over columns: rows that hold the fields that are asked for, instead of whole nodes.
//!
//! What reads as an instant can then be read once for a row instead of once for each evaluation, in the places where that never
//! changes a result ([`Reading::Instant`]). Those are the places where the filter itself can only mean an instant:
//!
//! - a path alone that is compared with what can be nothing but an instant (or invalid): text that reads as one is read there by
//!   the comparison, and other text equals and orders with none;
//! - the first term of a sum with durations: text is read there by the sum, and nothing else but an instant adds up;
//! - a path alone before `in` and a list with an instant, where no item is text that reads as one: to such an item text is equal
//!   by its spelling, an instant in time.
//!
//! Elsewhere the text itself may be asked for, and it is left alone.

use super::Filter;
use super::ast::{Expr, Membership, Sum, Term};
use super::program::Compiled;
use crate::path::Path;
use crate::syntax::Literal;
use crate::time::Timestamp;

/// How a column reads its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reading {
    /// As it stands in the node.
    Plain,
    /// Text in RFC 3339 form is read as an instant, everything else stays as it is.
    Instant,
}

impl Filter {
    /// The filter over columns, ready to be asked; see [`Expr::over_columns`].
    pub(crate) fn over_columns<C: Clone + Ord>(
        &self,
        column: &mut impl FnMut(&Path, Reading) -> C,
    ) -> Compiled<C> {
        Compiled::of(&self.expr().over_columns(column))
    }
}

impl Expr<Path> {
    /// The same filter over columns. `column` is asked for the column of each path and reading, as often as they occur.
    ///
    /// It evaluates to the same on a row whose columns are read as was asked for. A column may read an instant where
    /// [`Reading::Plain`] was asked for only if the set declares the field as one, so that the node holds it as one already.
    pub(crate) fn over_columns<C>(&self, column: &mut impl FnMut(&Path, Reading) -> C) -> Expr<C> {
        match self {
            Expr::Constant(value) => Expr::Constant(*value),
            Expr::Field(path) => Expr::Field(column(path, Reading::Plain)),
            Expr::Not(inner) => Expr::Not(Box::new(inner.over_columns(column))),
            Expr::And(operands) => {
                Expr::And(operands.iter().map(|operand| operand.over_columns(column)).collect())
            }
            Expr::Or(operands) => {
                Expr::Or(operands.iter().map(|operand| operand.over_columns(column)).collect())
            }
            Expr::Compare { left, operator, right } => Expr::Compare {
                left: left.over_columns(beside(right), column),
                operator: *operator,
                right: right.over_columns(beside(left), column),
            },
            Expr::Member { left, operator, list } => Expr::Member {
                left: left.over_columns(before(*operator, list), column),
                operator: *operator,
                list: list.clone(),
            },
            Expr::Text { left, operator, right } => Expr::Text {
                left: left.over_columns(Reading::Plain, column),
                operator: *operator,
                right: right.over_columns(Reading::Plain, column),
            },
        }
    }
}

/// How a path alone is read beside this side of a comparison.
fn beside(side: &Sum) -> Reading {
    if side.is_instant() { Reading::Instant } else { Reading::Plain }
}

/// How a path alone is read before a membership in this list.
fn before(operator: Membership, list: &[Literal]) -> Reading {
    let instant = |item: &Literal| matches!(item, Literal::Instant(_));
    let spelled =
        |item: &Literal| matches!(item, Literal::Text(text) if Timestamp::parse_rfc3339(text).is_some());
    if operator == Membership::In && list.iter().any(instant) && !list.iter().any(spelled) {
        Reading::Instant
    } else {
        Reading::Plain
    }
}

impl Sum<Path> {
    fn over_columns<C>(&self, alone: Reading, column: &mut impl FnMut(&Path, Reading) -> C) -> Sum<C> {
        let first = match self.rest.first() {
            None => alone,
            Some((_, second)) if second.is_duration() => Reading::Instant,
            Some(_) => Reading::Plain,
        };
        Sum {
            first: self.first.over_columns(first, column),
            // An instant comes first, so what stands behind is a number or no part of a sum that adds up.
            rest: self
                .rest
                .iter()
                .map(|(sign, term)| (*sign, term.over_columns(Reading::Plain, column)))
                .collect(),
        }
    }

    /// Whether this is an instant or invalid in every node.
    fn is_instant(&self) -> bool {
        match self.rest.first() {
            None => self.first.is_instant(),
            Some((_, second)) => second.is_duration() && !self.first.is_duration(),
        }
    }
}

impl Term<Path> {
    fn over_columns<C>(&self, reading: Reading, column: &mut impl FnMut(&Path, Reading) -> C) -> Term<C> {
        match self {
            Term::Literal(literal) => Term::Literal(literal.clone()),
            Term::Now => Term::Now,
            Term::Path(path) => Term::Path(column(path, reading)),
            Term::Sum(sum) => Term::Sum(Box::new(sum.over_columns(reading, column))),
        }
    }

    fn is_instant(&self) -> bool {
        match self {
            Term::Now | Term::Literal(Literal::Instant(_)) => true,
            Term::Sum(sum) => sum.is_instant(),
            Term::Literal(_) | Term::Path(_) => false,
        }
    }

    /// Whether this is a duration or invalid: no field holds one, so a sum is one where it begins with one.
    fn is_duration(&self) -> bool {
        match self {
            Term::Literal(Literal::Duration(_)) => true,
            Term::Sum(sum) => sum.first.is_duration(),
            Term::Literal(_) | Term::Now | Term::Path(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::filter::random::{self, Row};
    use crate::limits::QueryLimits;

    /// The readings that a filter asks for, in the order of its spelling.
    fn readings(filter: &str) -> Vec<(String, Reading)> {
        let filter = Filter::parse(filter, &QueryLimits::default()).expect("a filter");
        let mut readings = Vec::new();
        filter.expr().over_columns(&mut |path, reading| readings.push((path.to_string(), reading)));
        readings
    }

    #[test]
    fn an_instant_is_read_only_where_nothing_else_is_meant() {
        use Reading::{Instant, Plain};
        let cases: &[(&str, &[Reading])] = &[
            ("a", &[Plain]),
            ("a == b", &[Plain, Plain]),
            ("a == 'x' and a < 5", &[Plain, Plain]),
            ("a == '2024-01-01'", &[Plain]),
            ("a == 2024-01-01 or 2024-01-01 < a", &[Instant, Instant]),
            ("a != 2024-01-01 + 1 days", &[Instant]),
            ("a > now", &[Instant]),
            ("a > now - 7 days", &[Instant]),
            ("a + 7 days > now", &[Instant]),
            ("a + 7 days > b", &[Instant, Instant]),
            ("a - (1 days + 2 days) == '2024-01-01'", &[Instant]),
            ("a + 7 > b", &[Plain, Plain]),
            ("a - b == c - (d + 1)", &[Plain, Plain, Plain, Plain]),
            ("a in [2024-01-01, 1, 'x', nothing]", &[Instant]),
            ("a in [2024-01-01, '2024-01-01']", &[Plain]),
            ("a in ['2024-01-01']", &[Plain]),
            ("a in []", &[Plain]),
            ("a anyof [2024-01-01]", &[Plain]),
            ("a startswith '2024' and not (a > now)", &[Plain, Instant]),
        ];
        for (filter, expected) in cases {
            let readings: Vec<Reading> = readings(filter).into_iter().map(|(_, reading)| reading).collect();
            assert_eq!(readings, *expected, "{filter}");
        }
    }

    /// Over columns a filter means what it means over nodes, at every moment.
    #[test]
    fn columns_never_change_a_result() {
        let mut passed = 0;
        for seed in 0..6_000 {
            let random = &mut Rng::with_seed(seed);
            let filter = random::filter(random);
            let (compiled, columns) = random::over_columns(&filter);
            assert_eq!(compiled.uses_now(), filter.uses_now());
            for _ in 0..12 {
                let (node, now) = (random::node(random), random::moment(random));
                let row = Row::of(&node, &columns);
                let passes = filter.matches(&node, now);
                assert_eq!(compiled.matches(&row, now), passes, "{filter} of {node:?} at {now}");
                assert_eq!(
                    compiled.next_flip(&row, now, &mut 0),
                    filter.next_flip(&node, now),
                    "{filter} of {node:?}"
                );
                passed += u32::from(passes);
            }
        }
        assert!((10_000..50_000).contains(&passed), "{passed} of 72000 passed");
    }
}
