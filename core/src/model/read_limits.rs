//! Reads limits by name from whatever serde reads: TOML, JSON.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::duration;
use super::limit::{LimitSet, LimitValue, WrongLimit};

/// A limit from text, as `10s`, `256` or `true`, for one that has such a value now.
pub fn limit_from_text(text: &str, kind: LimitValue) -> Result<LimitValue, WrongLimit> {
    match (text.replace('_', "").parse(), text.parse(), kind) {
        (Ok(number), _, _) => Ok(LimitValue::Number(number)),
        (_, Ok(flag), _) => Ok(LimitValue::Flag(flag)),
        _ => from_string(text, kind),
    }
}

fn from_string(text: &str, kind: LimitValue) -> Result<LimitValue, WrongLimit> {
    match kind {
        LimitValue::Time(_) => duration::parse(text).map(LimitValue::Time).map_err(WrongLimit),
        LimitValue::Number(_) => Err(WrongLimit(format!("{text:?} is not a number"))),
        LimitValue::Flag(_) => Err(WrongLimit("write true or false".to_owned())),
    }
}

/// Limits of several parts, each under the name of its part.
pub trait LimitParts {
    /// All parts.
    fn parts(&self) -> Vec<&dyn LimitSet>;

    /// One part, to set its limits; `None` where there is none of that name.
    fn part_mut(&mut self, part: &str) -> Option<&mut dyn LimitSet>;
}

/// Sets the limits of several parts that a table of tables names. The others stay as they are.
///
/// # Errors
///
/// As [`read_limits`]; and there is no part of a name.
pub fn read_limit_parts<'de, D: Deserializer<'de>>(
    limits: &mut dyn LimitParts,
    deserializer: D,
) -> Result<(), D::Error> {
    deserializer.deserialize_map(PartsVisitor(limits))
}

/// Sets the limits that a table names. The others stay as they are.
///
/// # Errors
///
/// There is no limit of a name, or its value is none for it; the error names the limit.
pub fn read_limits<'de, D: Deserializer<'de>>(
    limits: &mut dyn LimitSet,
    deserializer: D,
) -> Result<(), D::Error> {
    deserializer.deserialize_map(PartVisitor(limits))
}

struct PartsVisitor<'a>(&'a mut dyn LimitParts);

impl<'de> Visitor<'de> for PartsVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of parts with limits")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let known: Vec<_> = self.0.parts().iter().map(|part| part.part()).collect();
        while let Some(name) = map.next_key_seed(Name(&known))? {
            if let Some(part) = self.0.part_mut(&name) {
                map.next_value_seed(Part(part))?;
            }
        }
        Ok(())
    }
}

struct Part<'a>(&'a mut dyn LimitSet);

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        read_limits(self.0, deserializer)
    }
}

struct PartVisitor<'a>(&'a mut dyn LimitSet);

impl<'de> Visitor<'de> for PartVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of limits")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let known: Vec<_> = self.0.declared().iter().map(|limit| limit.name).collect();
        while let Some(name) = map.next_key_seed(Name(&known))? {
            map.next_value_seed(Value { part: self.0, name: &name })?;
        }
        Ok(())
    }
}

/// One name out of a list. The error comes from here, so that it points at the name.
struct Name<'a>(&'a [&'static str]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let name = String::deserialize(deserializer)?;
        if self.0.contains(&&*name) {
            return Ok(name);
        }
        let known = self.0.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
        Err(D::Error::custom(format!("unknown field `{name}`, expected one of {known}")))
    }
}

struct Value<'a> {
    part: &'a mut dyn LimitSet,
    name: &'a str,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Value { part, name } = self;
        let Some(kind) = part.value(name) else { return Ok(()) };
        let value = deserializer.deserialize_any(ValueVisitor { name, kind })?;
        part.set(name, value).unwrap_or(Ok(())).map_err(|error| wrong(name, error))
    }
}

fn wrong<E: Error>(name: &str, error: impl fmt::Display) -> E {
    E::custom(format!("`{name}`: {error}"))
}

/// The value of a limit that has a value of this kind now.
struct ValueVisitor<'a> {
    name: &'a str,
    kind: LimitValue,
}

impl Visitor<'_> for ValueVisitor<'_> {
    type Value = LimitValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number, a length of time as \"10s\", or true or false, for `{}`", self.name)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<LimitValue, E> {
        let number = u64::try_from(number).map(LimitValue::Number);
        number.map_err(|_| wrong(self.name, "a limit cannot be negative"))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<LimitValue, E> {
        Ok(LimitValue::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<LimitValue, E> {
        from_string(text, self.kind).map_err(|error| wrong(self.name, error))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<LimitValue, E> {
        Ok(LimitValue::Flag(flag))
    }
}
