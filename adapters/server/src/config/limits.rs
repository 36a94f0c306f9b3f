//! `[limits]`: every limit of every part, under the name that it is declared with.
//!
//! ```toml
//! [limits.session]
//! auth_timeout = "10s"
//! live_queries = 256
//!
//! [limits.http]
//! max_body_bytes = 8388608
//! ```

use std::fmt;

use liveset_core::model::{Floor, LimitSet, LimitValue};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::{Problem, duration};
use crate::limits::{HttpLimits, JwtLimits};

/// `[limits]`. `Default` has the defaults of each part.
#[derive(Debug, Clone, Default)]
pub struct LimitsConfig {
    /// `[limits.http]`
    pub http: HttpLimits,
    /// `[limits.jwt]`
    pub jwt: JwtLimits,
    /// All the others.
    pub liveset: liveset::Limits,
}

/// A limit as TOML has it: a number, a length of time as a string, or a flag.
fn print(value: LimitValue) -> Raw {
    match value {
        // TOML has no larger integers.
        LimitValue::Number(number) => Raw::Number(number.min(i64::MAX as u64)),
        LimitValue::Time(time) => Raw::Text(duration::print(time)),
        LimitValue::Flag(flag) => Raw::Flag(flag),
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Raw {
    Number(u64),
    Text(String),
    Flag(bool),
}

impl LimitsConfig {
    /// The limits of every part.
    pub fn parts(&self) -> Vec<&dyn LimitSet> {
        let mut parts: Vec<&dyn LimitSet> = vec![&self.http, &self.jwt];
        parts.extend(self.liveset.parts());
        parts
    }

    fn part_mut(&mut self, name: &str) -> Option<&mut dyn LimitSet> {
        match name {
            "http" => Some(&mut self.http),
            "jwt" => Some(&mut self.jwt),
            _ => self.liveset.part_mut(name),
        }
    }

    /// Sets one limit from text, as `session.auth_timeout` and `10s`.
    ///
    /// # Errors
    ///
    /// There is no such limit, or the value is none for it.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let (part, limit) = name.split_once('.').unwrap_or(("", name));
        let parts = self.parts().iter().map(|part| part.part()).collect::<Vec<_>>().join(", ");
        let Some(set) = self.part_mut(part) else {
            return Err(format!("--limit {name}: write PART.NAME=VALUE, where PART is one of {parts}"));
        };
        let Some(kind) = set.value(limit) else {
            return Err(format!("--limit {name}: {part} has {}", names(set).join(", ")));
        };
        let value = match (value.replace('_', "").parse(), value.parse()) {
            (Ok(number), _) => Ok(LimitValue::Number(number)),
            (_, Ok(flag)) => Ok(LimitValue::Flag(flag)),
            _ => read_text(value, kind),
        };
        let result = value
            .and_then(|value| set.set(limit, value).unwrap_or(Ok(())).map_err(|error| error.to_string()));
        result.map_err(|error| format!("--limit {name}: {error}"))
    }

    pub(super) fn validate(&self) -> Result<(), Problem> {
        for part in self.parts() {
            let zero = |name| part.value(name).is_some_and(LimitValue::is_zero);
            for limit in part.declared().iter().filter(|limit| zero(limit.name)) {
                let message = match limit.floor {
                    Floor::Any => continue,
                    Floor::One => "has to be at least 1",
                    Floor::Needed => "with 0 nobody could be served",
                };
                let key = format!("limits.{}.{}", part.part(), limit.name);
                return Err(Problem { key, message: message.into() });
            }
        }
        if self.jwt.keys_max_stale < self.jwt.keys_max_age {
            let age = duration::print(self.jwt.keys_max_age);
            let message = format!("keys are believed for keys_max_age, {age}, in any case");
            return Err(Problem { key: "limits.jwt.keys_max_stale".into(), message });
        }
        Ok(())
    }
}

fn names(part: &dyn LimitSet) -> Vec<&'static str> {
    part.declared().iter().map(|limit| limit.name).collect()
}

/// A value that is written as a string, for a limit that has a value of this kind.
fn read_text(text: &str, kind: LimitValue) -> Result<LimitValue, String> {
    match kind {
        LimitValue::Time(_) => duration::parse(text).map(LimitValue::Time),
        LimitValue::Number(_) => Err(format!("{text:?} is not a number")),
        LimitValue::Flag(_) => Err("write true or false".to_owned()),
    }
}

impl PartialEq for LimitsConfig {
    fn eq(&self, other: &Self) -> bool {
        let values = |of: &Self| -> Vec<Option<LimitValue>> {
            let parts = of.parts();
            parts.iter().flat_map(|part| names(*part).into_iter().map(|name| part.value(name))).collect()
        };
        values(self) == values(other)
    }
}

impl Serialize for LimitsConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Part<'a>(&'a dyn LimitSet);
        impl Serialize for Part<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let value = |name| Some((name, print(self.0.value(name)?)));
                serializer.collect_map(names(self.0).into_iter().filter_map(value))
            }
        }
        serializer.collect_map(self.parts().into_iter().map(|part| (part.part(), Part(part))))
    }
}

impl<'de> Deserialize<'de> for LimitsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = LimitsConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LimitsConfig, A::Error> {
                let mut limits = LimitsConfig::default();
                let known = limits.parts().iter().map(|part| part.part()).collect();
                while let Some(name) = map.next_key_seed(Name(&known))? {
                    if let Some(part) = limits.part_mut(&name) {
                        map.next_value_seed(Part(part))?;
                    }
                }
                Ok(limits)
            }
        }
        deserializer.deserialize_map(Parts)
    }
}

/// One name out of a list. The error comes from here, so that it points at the name.
struct Name<'a>(&'a Vec<&'static str>);

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

struct Part<'a>(&'a mut dyn LimitSet);

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of limits")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let known = names(self.0);
        while let Some(name) = map.next_key_seed(Name(&known))? {
            map.next_value_seed(Value { part: self.0, name: &name })?;
        }
        Ok(())
    }
}

struct Value<'a> {
    part: &'a mut dyn LimitSet,
    name: &'a str,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Some(kind) = self.part.value(self.name) else { return Ok(()) };
        let value = deserializer.deserialize_any(ValueVisitor(kind))?;
        self.part.set(self.name, value).unwrap_or(Ok(())).map_err(D::Error::custom)
    }
}

/// With a value of the kind that is wanted.
struct ValueVisitor(LimitValue);

impl Visitor<'_> for ValueVisitor {
    type Value = LimitValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a length of time as \"10s\", or true or false")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<LimitValue, E> {
        u64::try_from(number).map(LimitValue::Number).map_err(|_| E::custom("a limit cannot be negative"))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<LimitValue, E> {
        Ok(LimitValue::Number(number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<LimitValue, E> {
        read_text(text, self.0).map_err(E::custom)
    }

    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<LimitValue, E> {
        Ok(LimitValue::Flag(flag))
    }
}
