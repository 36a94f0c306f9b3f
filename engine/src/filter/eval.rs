//! What tests and sums of values come to.
//!
//! Every test is true or false. Its sides may come to nothing that can be tested, because a sum overflows or adds what does not
//! add up in this node: then every test is false, `!=` too.

use std::cmp::Ordering;

use memchr::memmem;

use super::ast::{Comparison, Sign, TextTest};
use crate::syntax::Literal;
use crate::time::{Span, Step, Timestamp};
use crate::value::{Number, Object, Value, ValueRef};

/// The value of a sum, borrowed from the node or the filter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand<'a> {
    Nothing,
    Bool(bool),
    Number(Number),
    Text(&'a [u8]),
    /// An instant, with its text where it has one.
    Instant(Timestamp, Option<&'a [u8]>),
    Duration(Span),
    List(&'a [Value]),
    Object(&'a Object),
    /// A sum that overflows or does not add up: it passes no test.
    Invalid,
}

/// A sum of two values.
pub(super) fn plus<'a>(left: Operand<'a>, sign: Sign, right: Operand<'a>) -> Operand<'a> {
    let sum = match (left, right) {
        (Operand::Number(a), Operand::Number(b)) => {
            if sign == Sign::Plus { a.checked_add(b) } else { a.checked_sub(b) }.map(Operand::Number)
        }
        (Operand::Instant(at, _), Operand::Duration(span)) => moved(at, sign, span),
        // A path ± a duration reads the text of the path as an instant.
        (Operand::Text(text), Operand::Duration(span)) => {
            Timestamp::parse_text(text).and_then(|at| moved(at, sign, span))
        }
        (Operand::Duration(a), Operand::Duration(b)) => {
            if sign == Sign::Plus { a.checked_add(b) } else { a.checked_sub(b) }.map(Operand::Duration)
        }
        _ => None,
    };
    sum.unwrap_or(Operand::Invalid)
}

fn moved<'a>(at: Timestamp, sign: Sign, span: Span) -> Option<Operand<'a>> {
    Step::new(sign == Sign::Plus, span).apply(at).map(|at| Operand::Instant(at, None))
}

/// Whether a comparison holds.
pub(super) fn compare(left: Operand<'_>, operator: Comparison, right: Operand<'_>) -> bool {
    match operator {
        Comparison::Equal => equal(left, right),
        Comparison::NotEqual => {
            let is_invalid = |side: &Operand<'_>| matches!(side, Operand::Invalid);
            ![left, right].iter().any(is_invalid) && !equal(left, right)
        }
        Comparison::Less => order(left, right).is_some_and(Ordering::is_lt),
        Comparison::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
        Comparison::Greater => order(left, right).is_some_and(Ordering::is_gt),
        Comparison::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
    }
}

/// Same type and same value. Text counts as an instant where the other side is one.
pub(super) fn equal(left: Operand<'_>, right: Operand<'_>) -> bool {
    match (left, right) {
        (Operand::Nothing, Operand::Nothing) => true,
        (Operand::Bool(a), Operand::Bool(b)) => a == b,
        (Operand::Number(a), Operand::Number(b)) => a == b,
        (Operand::Text(a), Operand::Text(b)) => a == b,
        (Operand::Instant(a, _), Operand::Instant(b, _)) => a == b,
        (Operand::Instant(at, _), Operand::Text(text)) | (Operand::Text(text), Operand::Instant(at, _)) => {
            Timestamp::parse_text(text) == Some(at)
        }
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
        (Operand::Instant(a, _), Operand::Text(text)) => Timestamp::parse_text(text).map(|b| a.cmp(&b)),
        (Operand::Text(text), Operand::Instant(b, _)) => Timestamp::parse_text(text).map(|a| a.cmp(&b)),
        _ => None,
    }
}

/// Whether a text begins with another, ends with it or has it anywhere.
pub(super) fn has_piece(operator: TextTest, text: &[u8], piece: &[u8]) -> bool {
    match operator {
        TextTest::StartsWith => text.starts_with(piece),
        TextTest::EndsWith => text.ends_with(piece),
        TextTest::Contains => memmem::find(text, piece).is_some(),
    }
}

impl<'a> From<ValueRef<'a>> for Operand<'a> {
    fn from(value: ValueRef<'a>) -> Operand<'a> {
        match value {
            ValueRef::Nothing => Operand::Nothing,
            ValueRef::Bool(value) => Operand::Bool(value),
            ValueRef::Number(number) => Operand::Number(number),
            ValueRef::Text(text) => Operand::Text(text),
            ValueRef::Instant(at, text) => Operand::Instant(at, Some(text)),
            ValueRef::List(items) => Operand::List(items),
            ValueRef::Object(object) => Operand::Object(object),
        }
    }
}

impl<'a> From<&'a Value> for Operand<'a> {
    fn from(value: &'a Value) -> Operand<'a> {
        ValueRef::from(value).into()
    }
}

impl<'a> From<&'a Literal> for Operand<'a> {
    fn from(literal: &'a Literal) -> Operand<'a> {
        match literal {
            Literal::Nothing => Operand::Nothing,
            Literal::Bool(value) => Operand::Bool(*value),
            Literal::Number(number) => Operand::Number(*number),
            Literal::Text(text) => Operand::Text(text.as_bytes()),
            Literal::Instant(at) => Operand::Instant(*at, None),
            Literal::Duration(span) => Operand::Duration(*span),
        }
    }
}
