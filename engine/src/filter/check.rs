//! What can be seen to be wrong in an expression, whatever the node.
//!
//! A sum is of a known kind unless it is a path alone that the set does not declare: a path ± a duration reads the path as an
//! instant, and a path ± anything else can only be a number, as no field holds a duration. An error is seen where
//!
//! - terms do not add up: number ± number, instant ± duration, and duration ± duration of the same unit are all that do (text
//!   counts as an instant beside a duration only where it comes from a path);
//! - values of different known kinds are compared, also by `==`, `!=` and `in`: an instant goes with text that reads as one, and
//!   with `nothing` everything may be compared. Durations are compared with nothing at all: no field holds one;
//! - `<`, `<=`, `>`, `>=` stand between lists or objects, which have no order;
//! - a text operator meets a known kind other than text, or `anyof` and `allof` look into a known kind other than a list; `nothing`
//!   again is legal;
//! - a constant overflows: a sum of literals leaves 64 bits or the calendar, or a duration falls below zero or gets too long.

use super::ast::{Comparison, Sign};
use crate::schema::FieldKind;
use crate::syntax::Literal;
use crate::time::{Span, Step, Timestamp, Unit};
use crate::value::Number;

/// What is known of a sum without a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A path alone that is not declared.
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
    /// Of a declared field only.
    List,
    /// Of a declared field only.
    Object,
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
            Kind::List => "a list",
            Kind::Object => "an object",
        }
    }
}

/// Where a value comes from, as far as errors about it are concerned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Origin {
    Path,
    DeclaredPath(FieldKind),
    Other,
}

/// The value of a sum of literals, as far as it can overflow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Constant {
    Number(Number),
    Instant(Timestamp),
    Duration(Span),
}

/// What is known of a sum: its kind, and its value where it is made of literals alone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) kind: Kind,
    pub(super) constant: Option<Constant>,
    pub(super) origin: Origin,
}

/// What is the matter, and what would not be.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) found: String,
    pub(super) expected: String,
}

/// Two values that are not to be compared.
#[derive(Debug)]
pub(super) enum Incomparable {
    /// The left one is a field that is declared as this.
    Left(FieldKind),
    /// The right one is.
    Right(FieldKind),
    /// Neither is, or both are.
    Neither(Mismatch),
}

impl Known {
    /// A path, as the set declares it.
    pub(super) fn path(declared: Option<FieldKind>) -> Known {
        let kind = match declared {
            None => Kind::Any,
            Some(FieldKind::Bool) => Kind::Bool,
            Some(FieldKind::Number) => Kind::Number,
            // What is declared as text is never meant as an instant.
            Some(FieldKind::Text) => Kind::Text { instant: false },
            Some(FieldKind::Instant) => Kind::Instant,
            Some(FieldKind::List) => Kind::List,
            Some(FieldKind::Object) => Kind::Object,
        };
        Known { kind, constant: None, origin: declared.map_or(Origin::Path, Origin::DeclaredPath) }
    }

    /// A parameter whose value is not known yet.
    pub(super) fn unknown() -> Known {
        Known { kind: Kind::Any, constant: None, origin: Origin::Other }
    }

    pub(super) fn now() -> Known {
        Known { kind: Kind::Instant, constant: None, origin: Origin::Other }
    }

    /// Whether it is a field.
    pub(super) fn is_path(&self) -> bool {
        self.origin != Origin::Other
    }

    pub(super) fn literal(literal: &Literal) -> Known {
        let (kind, constant) = match literal {
            Literal::Nothing => (Kind::Nothing, None),
            Literal::Bool(_) => (Kind::Bool, None),
            Literal::Number(number) => (Kind::Number, Some(Constant::Number(*number))),
            Literal::Text(text) => (Kind::Text { instant: Timestamp::parse_rfc3339(text).is_some() }, None),
            Literal::Instant(at) => (Kind::Instant, Some(Constant::Instant(*at))),
            Literal::Duration(span) => (Kind::Duration(span.unit), Some(Constant::Duration(*span))),
        };
        Known { kind, constant, origin: Origin::Other }
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
                        Kind::Duration(_) => {
                            ("a constant that overflows", "a duration of at most 10000 years")
                        }
                        Kind::Instant => {
                            ("a constant that overflows the calendar", "an instant in the years 0 to 9999")
                        }
                        _ => ("a constant that overflows", "a constant that 64 bits can hold"),
                    };
                    return Err(Mismatch { found: found.into(), expected: expected.into() });
                }
            },
            _ => None,
        };
        Ok(Known { kind, constant, origin: Origin::Other })
    }

    /// Whether two sums may stand on the sides of a comparison.
    pub(super) fn compare(&self, operator: Comparison, right: &Known) -> Result<(), Incomparable> {
        let legal = match (&self.kind, &right.kind) {
            (Kind::Duration(_), _) | (_, Kind::Duration(_)) => false,
            (Kind::Nothing, _) | (_, Kind::Nothing) => true,
            (Kind::List | Kind::Object, _) | (_, Kind::List | Kind::Object) if !operator.is_equality() => {
                false
            }
            (Kind::Any, _) | (_, Kind::Any) => true,
            (Kind::Text { instant }, Kind::Instant) | (Kind::Instant, Kind::Text { instant }) => *instant,
            (Kind::Text { .. }, Kind::Text { .. }) => true,
            (left, right) => left == right,
        };
        if legal {
            return Ok(());
        }
        let durations = [self, right].into_iter().any(|it| matches!(it.kind, Kind::Duration(_)));
        Err(match (self.origin, right.origin) {
            (Origin::DeclaredPath(kind), Origin::Other) if !durations => Incomparable::Left(kind),
            (Origin::Other, Origin::DeclaredPath(kind)) if !durations => Incomparable::Right(kind),
            _ => Incomparable::Neither(Mismatch {
                found: format!("{} {} {}", self.kind.name(), operator.word(), right.kind.name()),
                expected: if durations {
                    "two instants (durations are added to instants, as in at > now - 5 days)".into()
                } else {
                    "two numbers, two texts, two instants or two booleans".into()
                },
            }),
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
            Kind::Any | Kind::Nothing | Kind::List => Ok(()),
            other => {
                let expected = "a field that holds a list ('in' asks whether a value is one of several)";
                Err(Mismatch { found: other.name().into(), expected: expected.into() })
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
                a.checked_add(b).filter(|sum| sum.is_in_range()).map(Constant::Duration)
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

/// What a declared field may be compared with.
pub(super) fn partner(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Number => "a number",
        FieldKind::Bool => "'true' or 'false'",
        FieldKind::Instant => "an instant, such as 2023-01-31, 2023-01-31T15:14:13Z or now - 7 days",
        FieldKind::List => "'anyof' or 'allof' and items in brackets",
        FieldKind::Object => "one of its own fields",
    }
}

/// What a field is declared as.
pub(super) fn declared(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Number => "a number",
        FieldKind::Bool => "a boolean",
        FieldKind::Instant => "an instant",
        FieldKind::List => "a list",
        FieldKind::Object => "an object",
    }
}
