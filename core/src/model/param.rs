//! Values for the parameters of a query.

use crate::json::Number;

/// A value for a `$name` of a filter. It is never read as language: text stays text, whatever is in it.
///
/// ```
/// use liveset_core::model::{Param, Query};
///
/// let id = String::from("o'hara");
/// let query = Query::new("orders")
///     .filter("customer == $customer and status in $statuses and at > now - $age")
///     .bind("customer", &id)
///     .bind("statuses", ["new", "open"])
///     .bind("age", Param::Duration("7 days".into()));
/// assert_eq!(query.params["customer"], Param::Text("o'hara".into()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Param {
    /// `nothing`.
    Nothing,
    /// `true` or `false`.
    Bool(bool),
    /// A number. Those that are not finite are `nothing`, as JSON has none.
    Number(Number),
    /// Text.
    Text(Box<str>),
    /// An instant in RFC 3339 form, such as `2025-12-07T00:00:00Z`.
    Instant(Box<str>),
    /// A whole number and a unit, such as `7 days`.
    Duration(Box<str>),
    /// Values for `in`, `anyof` and `allof`, none of them a list.
    List(Vec<Param>),
}

impl Param {
    /// Bytes that it takes in a filter, about.
    pub fn bytes(&self) -> usize {
        match self {
            Param::Nothing | Param::Bool(_) | Param::Number(_) => 8,
            Param::Text(text) | Param::Instant(text) | Param::Duration(text) => text.len() + 2,
            Param::List(items) => items.iter().map(Param::bytes).sum(),
        }
    }
}

impl From<bool> for Param {
    fn from(value: bool) -> Param {
        Param::Bool(value)
    }
}

impl From<f64> for Param {
    fn from(value: f64) -> Param {
        Number::from_f64(value).map_or(Param::Nothing, Param::Number)
    }
}

impl From<Number> for Param {
    fn from(value: Number) -> Param {
        Param::Number(value)
    }
}

impl From<u64> for Param {
    fn from(value: u64) -> Param {
        Param::Number(i64::try_from(value).map_or(Number::UInt(value), Number::Int))
    }
}

macro_rules! integers {
    ($($type:ty),*) => {
        $(
            impl From<$type> for Param {
                fn from(value: $type) -> Param {
                    Param::Number(Number::Int(value.into()))
                }
            }
        )*
    };
}

integers!(i8, i16, i32, i64, u8, u16, u32);

impl From<&str> for Param {
    fn from(value: &str) -> Param {
        Param::Text(value.into())
    }
}

impl From<String> for Param {
    fn from(value: String) -> Param {
        Param::Text(value.into())
    }
}

impl From<&String> for Param {
    fn from(value: &String) -> Param {
        value.as_str().into()
    }
}

impl<T: Into<Param>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Param {
        value.map_or(Param::Nothing, Into::into)
    }
}

impl<T: Into<Param>> From<Vec<T>> for Param {
    fn from(values: Vec<T>) -> Param {
        Param::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Param>, const N: usize> From<[T; N]> for Param {
    fn from(values: [T; N]) -> Param {
        Param::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Param> + Clone> From<&[T]> for Param {
    fn from(values: &[T]) -> Param {
        values.to_vec().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_host_are_values_of_the_language() {
        let int = |value| Param::Number(Number::Int(value));
        let cases = [
            (Param::from(7_u8), int(7)),
            (u64::MAX.into(), Param::Number(Number::UInt(u64::MAX))),
            (7_u64.into(), int(7)),
            (0.5.into(), Param::Number(Number::Float(0.5))),
            (f64::NAN.into(), Param::Nothing),
            (f64::INFINITY.into(), Param::Nothing),
            (None::<bool>.into(), Param::Nothing),
            (Some(true).into(), Param::Bool(true)),
            (vec![1, 2].into(), Param::List(vec![int(1), int(2)])),
            (["a"].as_slice().into(), Param::List(vec!["a".into()])),
        ];
        for (param, expected) in cases {
            assert_eq!(param, expected);
        }
    }
}
