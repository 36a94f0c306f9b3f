//! The values that a query gives to the parameters of its filter.

use std::cell::Cell;
use std::collections::BTreeMap;

use liveset_core::model::Param;

use super::Parameter;
use crate::error::QueryError;
use crate::limits::QueryLimits;
use crate::suggest;
use crate::syntax::{Literal, excerpt, shortened};
use crate::time::{Span, Timestamp};
use crate::value::Number;

/// A parameter that nothing stands for: what could stand there, and what was probably meant.
pub(super) struct Unbound {
    pub(super) expected: String,
    pub(super) suggestion: Option<String>,
}

/// The values, by name.
pub(super) struct Params<'q> {
    values: BTreeMap<&'q str, Value>,
    limits: &'q QueryLimits,
    /// Bytes that values may still take where they are used: a long value that is used often is a long filter.
    room: Cell<usize>,
}

struct Value {
    parameter: Parameter,
    /// As it is written in a filter.
    bytes: usize,
    is_used: Cell<bool>,
}

impl<'q> Params<'q> {
    pub(super) fn none(limits: &'q QueryLimits) -> Params<'q> {
        Params { values: BTreeMap::new(), limits, room: Cell::new(limits.expression_bytes) }
    }

    pub(super) fn new(
        params: &'q BTreeMap<String, Param>,
        limits: &'q QueryLimits,
    ) -> Result<Params<'q>, QueryError> {
        if let Some(name) = params.keys().nth(limits.params) {
            return Err(wrong(
                name,
                format!("{} names", params.len()),
                &format!("at most {}", limits.params),
            ));
        }
        let mut all = Params::none(limits);
        for (name, param) in params {
            let value = Value::new(name, param).map_err(|(found, expected)| wrong(name, found, expected))?;
            all.values.insert(name, value);
        }
        Ok(all)
    }

    /// What stands for a name in the filter.
    pub(super) fn take(&self, name: &str) -> Result<Parameter, Unbound> {
        let Some(value) = self.values.get(name) else {
            let expected = match name.split('.').next() {
                Some("principal") => {
                    "a value of the query: '$' and 'principal' begin a claim in a policy's row filter"
                }
                _ => "a name that 'params' has a value for, as '$' stands before it",
            };
            let near = suggest::nearest(name, self.values.keys().copied());
            return Err(Unbound {
                expected: expected.into(),
                suggestion: near.map(|name| format!("${name}")),
            });
        };
        let most = self.limits.expression_bytes;
        let room = self.room.get().checked_sub(value.bytes).ok_or_else(|| Unbound {
            expected: format!("values of at most {most} bytes, all together, each as often as it is used"),
            suggestion: None,
        })?;
        self.room.set(room);
        value.is_used.set(true);
        Ok(value.parameter.clone())
    }

    /// Refuses a value that the filter does not use.
    pub(super) fn finish(&self) -> Result<(), QueryError> {
        match self.values.iter().find(|(_, value)| !value.is_used.get()) {
            Some((name, _)) => {
                Err(wrong(name, "a value".into(), &format!("{} in the filter", excerpt(&format!("${name}")))))
            }
            None => Ok(()),
        }
    }
}

fn wrong(name: &str, found: String, expected: &str) -> QueryError {
    QueryError::Param { name: shortened(name), found, expected: expected.into() }
}

impl Value {
    fn new(name: &str, param: &Param) -> Result<Value, (String, &'static str)> {
        match name {
            "" => return Err(("an empty name".into(), "a name of one character or more")),
            "principal" => {
                return Err(("a value".into(), "another name, as this one is for claims in policies"));
            }
            _ if name.contains('.') => return Err(("a dot in the name".into(), "a name without dots")),
            _ => {}
        }
        let parameter = match param {
            Param::List(items) => Parameter::Many(items.iter().map(literal).collect::<Result<_, _>>()?),
            one => Parameter::One(literal(one)?),
        };
        let literals = match &parameter {
            Parameter::Many(literals) => literals,
            Parameter::One(literal) => std::slice::from_ref(literal),
            Parameter::Unknown => &[],
        };
        let bytes = literals.iter().map(|literal| literal.to_string().len() + 1).sum();
        Ok(Value { parameter, bytes, is_used: Cell::new(false) })
    }
}

/// The literal that is the same as a value, or what is wrong with it.
fn literal(param: &Param) -> Result<Literal, (String, &'static str)> {
    Ok(match param {
        Param::Nothing => Literal::Nothing,
        Param::Bool(value) => Literal::Bool(*value),
        // As in a filter, there is no negative zero.
        Param::Number(Number::Float(0.0)) => Literal::Number(Number::Float(0.0)),
        Param::Number(Number::Float(value)) if !value.is_finite() => {
            return Err((format!("the number {value}"), "a finite number"));
        }
        Param::Number(number) => Literal::Number(*number),
        Param::Text(text) => Literal::Text(text.clone()),
        Param::Instant(text) => {
            Literal::Instant(Timestamp::parse_rfc3339(text).ok_or_else(|| {
                (excerpt(text), "an instant such as 2023-01-31 or 2023-01-31T15:14:13.123Z")
            })?)
        }
        Param::Duration(text) => Literal::Duration(Span::parse(text).ok_or_else(|| {
            (excerpt(text), "a whole number and a unit, such as 7 days, of at most 10000 years")
        })?),
        _ => return Err(("an array in an array".into(), "a value that is no array")),
    })
}

impl From<Timestamp> for Param {
    fn from(at: Timestamp) -> Param {
        Param::Instant(at.to_string().into())
    }
}

impl From<Span> for Param {
    fn from(span: Span) -> Param {
        Param::Duration(span.to_string().into())
    }
}
