//! Whether a node passes a filter.
//!
//! Every test is true or false. Its sides may come to nothing that can be tested, because a sum overflows or adds what does not
//! add up in this node: then `==` is false (and `!=`, which is `not ==`, true), and so is every other test.

use std::cmp::Ordering;

use super::ast::{Comparison, Expr, Membership, Sign, Sum, Term, TextTest};
use super::fields::{Fields, NoFields};
use crate::syntax::Literal;
use crate::time::{Instant, Span, Step};
use crate::value::{Number, Object, Value};

/// The value of a sum, borrowed from the node or the filter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand<'a> {
    Nothing,
    Bool(bool),
    Number(Number),
    Text(&'a str),
    /// An instant, with its text where it has one.
    Instant(Instant, Option<&'a str>),
    Duration(Span),
    List(&'a [Value]),
    Object(&'a Object),
    /// A sum that overflows or does not add up: it passes no test.
    Invalid,
}

/// Whether `node` passes at the moment `now`. Allocates nothing; recursion is as deep as the filter.
pub(crate) fn matches<P, N: Fields<P> + ?Sized>(expr: &Expr<P>, node: &N, now: Instant) -> bool {
    match expr {
        Expr::Constant(value) => *value,
        Expr::Field(path) => matches!(node.at(path), Value::Bool(true)),
        Expr::Not(inner) => !matches(inner, node, now),
        Expr::And(operands) => operands.iter().all(|operand| matches(operand, node, now)),
        Expr::Or(operands) => operands.iter().any(|operand| matches(operand, node, now)),
        Expr::Compare { left, operator, right } => match (left.single(), right.single()) {
            // Most tests are of this form.
            (Some(Term::Path(path)), Some(Term::Literal(literal))) => {
                compare_with(node.at(path), *operator, literal)
            }
            _ => compare(evaluate(left, node, now), *operator, evaluate(right, node, now)),
        },
        Expr::Member { left, operator, list } => member(evaluate(left, node, now), *operator, list),
        Expr::Text { left, operator, right } => {
            match (text(evaluate(left, node, now)), text(evaluate(right, node, now))) {
                (Some(left), Some(right)) => match operator {
                    TextTest::StartsWith => left.starts_with(right),
                    TextTest::EndsWith => left.ends_with(right),
                    TextTest::Contains => left.contains(right),
                },
                _ => false,
            }
        }
    }
}

/// The value of a sum.
pub(super) fn evaluate<'a, P, N: Fields<P> + ?Sized>(
    sum: &'a Sum<P>,
    node: &'a N,
    now: Instant,
) -> Operand<'a> {
    let first = evaluate_term(&sum.first, node, now);
    sum.rest.iter().fold(first, |left, (sign, term)| plus(left, *sign, evaluate_term(term, node, now)))
}

impl<P> Sum<P> {
    /// The value of a sum of literals alone, which is the same at every moment in every node.
    pub(crate) fn constant(&self) -> Option<Operand<'_>> {
        self.is_constant().then(|| evaluate(self, &NoFields, Instant::UNIX_EPOCH))
    }

    fn is_constant(&self) -> bool {
        self.terms().all(|term| match term {
            Term::Literal(_) => true,
            Term::Sum(sum) => sum.is_constant(),
            Term::Now | Term::Path(_) => false,
        })
    }
}

fn evaluate_term<'a, P, N: Fields<P> + ?Sized>(term: &'a Term<P>, node: &'a N, now: Instant) -> Operand<'a> {
    match term {
        Term::Literal(literal) => Operand::from(literal),
        Term::Now => Operand::Instant(now, None),
        Term::Path(path) => Operand::from(node.at(path)),
        Term::Sum(sum) => evaluate(sum, node, now),
    }
}

fn plus<'a>(left: Operand<'a>, sign: Sign, right: Operand<'a>) -> Operand<'a> {
    let sum = match (left, right) {
        (Operand::Number(a), Operand::Number(b)) => {
            if sign == Sign::Plus { a.checked_add(b) } else { a.checked_sub(b) }.map(Operand::Number)
        }
        (Operand::Instant(at, _), Operand::Duration(span)) => moved(at, sign, span),
        // A path ± a duration reads the text of the path as an instant.
        (Operand::Text(text), Operand::Duration(span)) => {
            Instant::parse_rfc3339(text).and_then(|at| moved(at, sign, span))
        }
        (Operand::Duration(a), Operand::Duration(b)) => {
            if sign == Sign::Plus { a.checked_add(b) } else { a.checked_sub(b) }.map(Operand::Duration)
        }
        _ => None,
    };
    sum.unwrap_or(Operand::Invalid)
}

fn moved<'a>(at: Instant, sign: Sign, span: Span) -> Option<Operand<'a>> {
    Step { forward: sign == Sign::Plus, span }.apply(at).map(|at| Operand::Instant(at, None))
}

/// Whether a comparison holds.
pub(super) fn compare(left: Operand<'_>, operator: Comparison, right: Operand<'_>) -> bool {
    match operator {
        Comparison::Equal => equal(left, right),
        Comparison::NotEqual => !equal(left, right),
        Comparison::Less => order(left, right).is_some_and(Ordering::is_lt),
        Comparison::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
        Comparison::Greater => order(left, right).is_some_and(Ordering::is_gt),
        Comparison::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
    }
}

/// Whether a comparison of a field with a literal holds: what [`compare`] says of the two.
fn compare_with(value: &Value, operator: Comparison, literal: &Literal) -> bool {
    let ordering = match (value, literal) {
        (Value::Number(a), Literal::Number(b)) => a.cmp(b),
        (Value::Text(a), Literal::Text(b)) if operator.is_equality() => {
            return (a == b) == (operator == Comparison::Equal);
        }
        (Value::Instant(a), Literal::Instant(b)) => a.at().cmp(b),
        _ => return compare(Operand::from(value), operator, Operand::from(literal)),
    };
    match operator {
        Comparison::Equal => ordering.is_eq(),
        Comparison::NotEqual => ordering.is_ne(),
        Comparison::Less => ordering.is_lt(),
        Comparison::LessOrEqual => ordering.is_le(),
        Comparison::Greater => ordering.is_gt(),
        Comparison::GreaterOrEqual => ordering.is_ge(),
    }
}

/// Same type and same value. Text counts as an instant where the other side is one.
fn equal(left: Operand<'_>, right: Operand<'_>) -> bool {
    match (left, right) {
        (Operand::Nothing, Operand::Nothing) => true,
        (Operand::Bool(a), Operand::Bool(b)) => a == b,
        (Operand::Number(a), Operand::Number(b)) => a == b,
        (Operand::Text(a), Operand::Text(b)) => a == b,
        (Operand::Instant(a, _), Operand::Instant(b, _)) => a == b,
        (Operand::Instant(at, _), Operand::Text(text)) | (Operand::Text(text), Operand::Instant(at, _)) => {
            Instant::parse_rfc3339(text) == Some(at)
        }
        // Durations of different units are equal when they are equally long: `7 days == 1 weeks`.
        (Operand::Duration(a), Operand::Duration(b)) => a.length() == b.length(),
        (Operand::List(a), Operand::List(b)) => a == b,
        (Operand::Object(a), Operand::Object(b)) => a == b,
        _ => false,
    }
}

/// How two values of one ordered type compare; `None` for all others.
fn order(left: Operand<'_>, right: Operand<'_>) -> Option<Ordering> {
    match (left, right) {
        (Operand::Bool(a), Operand::Bool(b)) => Some(a.cmp(&b)),
        (Operand::Number(a), Operand::Number(b)) => Some(a.cmp(&b)),
        // The bytes of UTF-8 sort by code point.
        (Operand::Text(a), Operand::Text(b)) => Some(a.cmp(b)),
        (Operand::Instant(a, _), Operand::Instant(b, _)) => Some(a.cmp(&b)),
        (Operand::Instant(a, _), Operand::Text(text)) => Instant::parse_rfc3339(text).map(|b| a.cmp(&b)),
        (Operand::Text(text), Operand::Instant(b, _)) => Instant::parse_rfc3339(text).map(|a| a.cmp(&b)),
        _ => None,
    }
}

/// Whether a membership holds.
pub(super) fn member(left: Operand<'_>, operator: Membership, list: &[Literal]) -> bool {
    let is = |operand: Operand<'_>, literal: &Literal| equal(operand, Operand::from(literal));
    match (operator, left) {
        (Membership::In, left) => list.iter().any(|literal| is(left, literal)),
        (Membership::AnyOf, Operand::List(items)) => {
            items.iter().any(|item| list.iter().any(|literal| is(Operand::from(item), literal)))
        }
        (Membership::AllOf, Operand::List(items)) => {
            list.iter().all(|literal| items.iter().any(|item| is(Operand::from(item), literal)))
        }
        _ => false,
    }
}

fn text(operand: Operand<'_>) -> Option<&str> {
    match operand {
        Operand::Text(text) => Some(text),
        Operand::Instant(_, text) => text,
        _ => None,
    }
}

impl<'a> From<&'a Value> for Operand<'a> {
    fn from(value: &'a Value) -> Operand<'a> {
        match value {
            Value::Nothing => Operand::Nothing,
            Value::Bool(value) => Operand::Bool(*value),
            Value::Number(number) => Operand::Number(*number),
            Value::Text(text) => Operand::Text(text),
            Value::Instant(timed) => Operand::Instant(timed.at(), Some(timed.text())),
            Value::List(items) => Operand::List(items),
            Value::Object(object) => Operand::Object(object),
        }
    }
}

impl<'a> From<&'a Literal> for Operand<'a> {
    fn from(literal: &'a Literal) -> Operand<'a> {
        match literal {
            Literal::Nothing => Operand::Nothing,
            Literal::Bool(value) => Operand::Bool(*value),
            Literal::Number(number) => Operand::Number(*number),
            Literal::Text(text) => Operand::Text(text),
            Literal::Instant(at) => Operand::Instant(*at, None),
            Literal::Duration(span) => Operand::Duration(*span),
        }
    }
}
