//! One tree for all spellings of a filter.
//!
//! What is done never changes a result: nested `and`s and `or`s are flattened, their operands and the items of lists sorted and
//! deduplicated; `not not x` is `x`; `not` of `==` is `!=` and the other way round; `not true` is `false`; `a > b` is `b < a`; the
//! sides of `==` and `!=` are sorted. Nothing is computed, and sums stay as they are: floats do not add up alike in every order, and
//! integers overflow in one order where they do not in another.

use super::ast::{Comparison, Expr, Membership, Sum};
use crate::syntax::Literal;

/// The canonical form of a filter.
pub(super) fn canonical(expr: &Expr) -> Expr {
    match expr {
        Expr::Constant(_) | Expr::Field(_) | Expr::Text { .. } => expr.clone(),
        Expr::Not(inner) => match canonical(inner) {
            Expr::Not(inner) => *inner,
            Expr::Constant(value) => Expr::Constant(!value),
            Expr::Compare { left, operator: Comparison::Equal, right } => {
                Expr::Compare { left, operator: Comparison::NotEqual, right }
            }
            Expr::Compare { left, operator: Comparison::NotEqual, right } => {
                Expr::Compare { left, operator: Comparison::Equal, right }
            }
            inner => Expr::Not(Box::new(inner)),
        },
        Expr::And(operands) => {
            let mut flat = Vec::with_capacity(operands.len());
            for operand in operands {
                match canonical(operand) {
                    Expr::And(inner) => flat.extend(inner),
                    other => flat.push(other),
                }
            }
            joined(flat, Expr::And)
        }
        Expr::Or(operands) => {
            let mut flat = Vec::with_capacity(operands.len());
            for operand in operands {
                match canonical(operand) {
                    Expr::Or(inner) => flat.extend(inner),
                    other => flat.push(other),
                }
            }
            joined(flat, Expr::Or)
        }
        Expr::Compare { left, operator, right } => compare(left.clone(), *operator, right.clone()),
        Expr::Member { left, operator, list } => member(left, *operator, list),
    }
}

fn compare(left: Sum, operator: Comparison, right: Sum) -> Expr {
    let (swap, operator) = match operator {
        Comparison::Greater => (true, Comparison::Less),
        Comparison::GreaterOrEqual => (true, Comparison::LessOrEqual),
        Comparison::Less | Comparison::LessOrEqual => (false, operator),
        Comparison::Equal | Comparison::NotEqual => (left.to_string() > right.to_string(), operator),
    };
    let (left, right) = if swap { (right, left) } else { (left, right) };
    Expr::Compare { left, operator, right }
}

fn member(left: &Sum, operator: Membership, list: &[Literal]) -> Expr {
    let list = sorted(list.iter().cloned());
    Expr::Member { left: left.clone(), operator, list }
}

/// Operands sorted and deduplicated; one alone needs no joining.
fn joined(operands: Vec<Expr>, join: fn(Vec<Expr>) -> Expr) -> Expr {
    let mut operands = sorted(operands);
    match operands.pop() {
        Some(only) if operands.is_empty() => only,
        last => {
            operands.extend(last);
            join(operands)
        }
    }
}

/// In the order of their spelling, each once. What is spelled alike is the same.
fn sorted<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut spelled: Vec<(String, T)> = items.into_iter().map(|item| (item.to_string(), item)).collect();
    spelled.sort_by(|(a, _), (b, _)| a.cmp(b));
    spelled.dedup_by(|(a, _), (b, _)| a == b);
    spelled.into_iter().map(|(_, item)| item).collect()
}
