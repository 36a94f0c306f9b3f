//! A filter evaluated as it is written, part by part: what programs are compared with in tests.

use super::ast::{Expr, Membership, Sum, Term};
use super::eval::{self, Operand};
use super::fields::Fields;
use crate::syntax::Literal;
use crate::time::Timestamp;
use crate::value::ValueRef;

/// Whether `node` passes at the moment `now`.
pub(crate) fn matches<P, N: Fields<P> + ?Sized>(expr: &Expr<P>, node: &N, now: Timestamp) -> bool {
    match expr {
        Expr::Constant(value) => *value,
        Expr::Field(path) => matches!(node.at(path), ValueRef::Bool(true)),
        Expr::Not(inner) => !matches(inner, node, now),
        Expr::And(operands) => operands.iter().all(|operand| matches(operand, node, now)),
        Expr::Or(operands) => operands.iter().any(|operand| matches(operand, node, now)),
        Expr::Compare { left, operator, right } => {
            eval::compare(evaluate(left, node, now), *operator, evaluate(right, node, now))
        }
        Expr::Member { left, operator, list } => member(evaluate(left, node, now), *operator, list),
        Expr::Text { left, operator, right } => {
            match (text(evaluate(left, node, now)), text(evaluate(right, node, now))) {
                (Some(left), Some(right)) => eval::has_piece(*operator, left, right),
                _ => false,
            }
        }
    }
}

fn evaluate<'a, P, N: Fields<P> + ?Sized>(sum: &'a Sum<P>, node: &'a N, now: Timestamp) -> Operand<'a> {
    let term = |term: &'a Term<P>| match term {
        Term::Literal(literal) => Operand::from(literal),
        Term::Now => Operand::Instant(now, None),
        Term::Path(path) => Operand::from(node.at(path)),
        Term::Sum(sum) => evaluate(sum, node, now),
    };
    sum.rest.iter().fold(term(&sum.first), |left, (sign, right)| eval::plus(left, *sign, term(right)))
}

fn text(operand: Operand<'_>) -> Option<&[u8]> {
    match operand {
        Operand::Text(text) => Some(text),
        Operand::Instant(_, text) => text,
        _ => None,
    }
}

/// Whether a membership holds.
fn member(left: Operand<'_>, operator: Membership, list: &[Literal]) -> bool {
    let is = |operand: Operand<'_>, literal: &Literal| eval::equal(operand, Operand::from(literal));
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
