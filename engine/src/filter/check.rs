//! What can be seen to be wrong in an expression, whatever the node.
//!
//! A sum is of a known kind unless it is a path alone: a path ± a duration reads the path as an instant, and a path ± anything
//! else can only be a number, as no field holds a duration. An error is seen where
//!
//! - terms do not add up: number ± number, instant ± duration, and duration ± duration of the same unit are all that do (text
//!   counts as an instant beside a duration only where it comes from a path);
//! - `<`, `<=`, `>`, `>=` stand between values of known kinds that have no common order. Numbers, texts, instants and booleans
//!   have one each, an instant has one with text that reads as an instant, and with `nothing` everything may be compared.
//!   Durations have none: no field holds one, so such a test would be the same of every node;
//! - a text operator meets a known kind other than text, or `anyof` and `allof` look into a known kind other than a list (which
//!   only a path can be); `nothing` again is legal;
//! - a constant overflows: a sum of literals leaves 64 bits or the calendar, or a duration falls below zero.
//!
//! `==`, `!=` and `in` are legal between all kinds, and false (or true) of different ones.

use super::ast::{Comparison, Sign};
use crate::syntax::Literal;
use crate::time::{Instant, Span, Step, Unit};
use crate::value::Number;

/// What is known of a sum without a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A path alone.
    Any,
    Nothing,
    Bool,
    Number,
    /// Text; whether it reads as an instant.
    Text {
        instant: bool,
    },
    Instant,
    Duration(Unit),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Any => "a field",
            Kind::Nothing => "nothing",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::Text { .. } => "text",
            Kind::Instant => "an instant",
            Kind::Duration(_) => "a duration",
        }
    }
}

/// The value of a sum of literals, as far as it can overflow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Constant {
    Number(Number),
    Instant(Instant),
    Duration(Span),
}

/// What is known of a sum: its kind, and its value where it is made of literals alone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) kind: Kind,
    pub(super) constant: Option<Constant>,
}

/// What is the matter, and what would not be.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) found: String,
    pub(super) expected: String,
}

impl Known {
    pub(super) fn path() -> Known {
        Known { kind: Kind::Any, constant: None }
    }

    pub(super) fn now() -> Known {
        Known { kind: Kind::Instant, constant: None }
    }

    pub(super) fn literal(literal: &Literal) -> Known {
        let (kind, constant) = match literal {
            Literal::Nothing => (Kind::Nothing, None),
            Literal::Bool(_) => (Kind::Bool, None),
            Literal::Number(number) => (Kind::Number, Some(Constant::Number(*number))),
            Literal::Text(text) => (Kind::Text { instant: Instant::parse_rfc3339(text).is_some() }, None),
            Literal::Instant(at) => (Kind::Instant, Some(Constant::Instant(*at))),
            Literal::Duration(span) => (Kind::Duration(span.unit), Some(Constant::Duration(*span))),
        };
        Known { kind, constant }
    }

    /// What is known when a term is added or subtracted.
    pub(super) fn plus(&self, sign: Sign, term: &Known) -> Result<Known, Mismatch> {
        let kind = match (&self.kind, &term.kind) {
            (Kind::Any | Kind::Number, Kind::Any | Kind::Number) => Kind::Number,
            (Kind::Any | Kind::Instant, Kind::Duration(_)) => Kind::Instant,
            (Kind::Duration(a), Kind::Duration(b)) if a == b => Kind::Duration(*a),
            (Kind::Duration(a), Kind::Duration(b)) => {
                return Err(Mismatch {
                    found: format!("{} and {} in one sum", a.word(), b.word()),
                    expected: "durations of the same unit".into(),
                });
            }
            (left, right) => {
                let found = match sign {
                    Sign::Plus => format!("{} + {}", left.name(), right.name()),
                    Sign::Minus => format!("{} - {}", left.name(), right.name()),
                };
                let expected = "number ± number, instant ± duration, or duration ± duration".into();
                return Err(Mismatch { found, expected });
            }
        };
        let constant = match (self.constant, term.constant) {
            (Some(left), Some(right)) => match left.plus(sign, right) {
                Some(sum) => Some(sum),
                None => {
                    let (found, expected) = match kind {
                        Kind::Duration(_) if sign == Sign::Minus => {
                            ("a constant that overflows: a duration below zero", "a duration of zero or more")
                        }
                        Kind::Instant => {
                            ("a constant that overflows the calendar", "an instant up to the year 9999")
                        }
                        _ => ("a constant that overflows", "a constant that 64 bits can hold"),
                    };
                    return Err(Mismatch { found: found.into(), expected: expected.into() });
                }
            },
            _ => None,
        };
        Ok(Known { kind, constant })
    }

    /// Whether two sums may stand on the sides of a comparison.
    pub(super) fn compare(&self, operator: Comparison, right: &Known) -> Result<(), Mismatch> {
        let legal = operator.is_equality()
            || match (&self.kind, &right.kind) {
                (Kind::Duration(_), _) | (_, Kind::Duration(_)) => false,
                (Kind::Any | Kind::Nothing, _) | (_, Kind::Any | Kind::Nothing) => true,
                (Kind::Text { instant }, Kind::Instant) | (Kind::Instant, Kind::Text { instant }) => *instant,
                (Kind::Text { .. }, Kind::Text { .. }) => true,
                (left, right) => left == right,
            };
        if legal {
            return Ok(());
        }
        Err(Mismatch {
            found: format!("{} {} {}", self.kind.name(), operator.word(), right.kind.name()),
            expected: "two numbers, two texts, two instants or two booleans".into(),
        })
    }

    /// Whether this may stand on a side of a text operator.
    pub(super) fn be_text(&self) -> Result<(), Mismatch> {
        match &self.kind {
            Kind::Any | Kind::Nothing | Kind::Text { .. } => Ok(()),
            other => Err(Mismatch { found: other.name().into(), expected: "text".into() }),
        }
    }

    /// Whether this may be what `anyof` and `allof` look into.
    pub(super) fn be_list(&self) -> Result<(), Mismatch> {
        match &self.kind {
            Kind::Any | Kind::Nothing => Ok(()),
            other => {
                Err(Mismatch { found: other.name().into(), expected: "a field that holds a list".into() })
            }
        }
    }
}

impl Constant {
    fn plus(self, sign: Sign, term: Constant) -> Option<Constant> {
        match (self, sign, term) {
            (Constant::Number(a), Sign::Plus, Constant::Number(b)) => a.checked_add(b).map(Constant::Number),
            (Constant::Number(a), Sign::Minus, Constant::Number(b)) => a.checked_sub(b).map(Constant::Number),
            (Constant::Duration(a), Sign::Plus, Constant::Duration(b)) => {
                a.checked_add(b).map(Constant::Duration)
            }
            (Constant::Duration(a), Sign::Minus, Constant::Duration(b)) => {
                a.checked_sub(b).map(Constant::Duration)
            }
            (Constant::Instant(at), sign, Constant::Duration(span)) => {
                Step::new(sign == Sign::Plus, span).apply(at).map(Constant::Instant)
            }
            _ => None,
        }
    }
}
