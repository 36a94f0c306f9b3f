//! Literals: values written in an expression.

use std::fmt;

use crate::time::{Span, Timestamp};
use crate::value::Number;

/// A value written in an expression. Prints as it is written, so that it reads back as the same literal.
#[derive(Debug, Clone)]
pub enum Literal {
    /// `nothing` or `null`.
    Nothing,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text, and a uuid, which is text in lower case.
    Text(Box<str>),
    /// A date or a date-time.
    Instant(Timestamp),
    /// A duration.
    Duration(Span),
}

/// Literals are the same when they read the same: `1` and `1.0` are equal numbers but not the same literal, as sums of integers
/// are exact and sums of floats are not.
impl PartialEq for Literal {
    fn eq(&self, other: &Literal) -> bool {
        match (self, other) {
            (Literal::Nothing, Literal::Nothing) => true,
            (Literal::Bool(a), Literal::Bool(b)) => a == b,
            (Literal::Number(a), Literal::Number(b)) => {
                a == b && matches!(a, Number::Float(_)) == matches!(b, Number::Float(_))
            }
            (Literal::Text(a), Literal::Text(b)) => a == b,
            (Literal::Instant(a), Literal::Instant(b)) => a == b,
            (Literal::Duration(a), Literal::Duration(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Literal {}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Nothing => f.write_str("nothing"),
            Literal::Bool(value) => write!(f, "{value}"),
            Literal::Number(number) => write!(f, "{number}"),
            Literal::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Literal::Instant(at) => {
                let text = at.to_string();
                f.write_str(text.strip_suffix("T00:00:00Z").unwrap_or(&text))
            }
            Literal::Duration(span) => write!(f, "{span}"),
        }
    }
}
