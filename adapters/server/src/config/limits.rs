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

use liveset::Drain;
use liveset_core::model::{Floor, LimitParts, LimitSet, LimitValue, limit_from_text, read_limit_parts};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Problem, duration};
use crate::limits::{DrainLimits, HttpLimits, JwtLimits};

/// `[limits]`. `Default` has the defaults of each part.
#[derive(Debug, Clone, Default)]
pub struct LimitsConfig {
    /// `[limits.http]`
    pub http: HttpLimits,
    /// `[limits.drain]`
    pub drain: DrainLimits,
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

impl LimitParts for LimitsConfig {
    fn parts(&self) -> Vec<&dyn LimitSet> {
        let own: [&dyn LimitSet; 3] = [&self.http, &self.drain, &self.jwt];
        own.into_iter().chain(self.liveset.parts()).collect()
    }

    fn part_mut(&mut self, name: &str) -> Option<&mut dyn LimitSet> {
        match name {
            "http" => Some(&mut self.http),
            "drain" => Some(&mut self.drain),
            "jwt" => Some(&mut self.jwt),
            _ => self.liveset.part_mut(name),
        }
    }
}

impl LimitsConfig {
    /// What SIGTERM does.
    pub(crate) fn drain(&self) -> Drain {
        Drain { wait: self.drain.wait, spread: self.drain.spread, timeout: self.http.shutdown_timeout }
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
        let value = limit_from_text(value, kind);
        let result = value.and_then(|value| set.set(limit, value).unwrap_or(Ok(())));
        result.map_err(|error| format!("--limit {name}: {error}"))
    }

    /// The limits that differ and count from the start only, by their names.
    pub(super) fn needs_restart(&self, read: &LimitsConfig) -> Vec<String> {
        let mut taken = self.clone();
        taken.take(read.clone());
        let (parts, read) = (taken.parts(), read.parts());
        let mut named = Vec::new();
        for (part, read) in parts.iter().zip(read) {
            let differs = |name: &&str| part.value(name) != read.value(name);
            let names = names(*part).into_iter().filter(differs);
            named.extend(names.map(|name| format!("limits.{}.{name}", part.part())));
        }
        named
    }

    /// Takes over the limits that can change while a server runs: those of its own sockets and requests, of how it stops, and what
    /// [`Liveset::set_limits`](liveset::Liveset::set_limits) takes.
    pub(super) fn take(&mut self, read: LimitsConfig) {
        self.liveset.take_changeable(&read.liveset);
        self.http = read.http;
        self.drain = read.drain;
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
        let mut limits = LimitsConfig::default();
        read_limit_parts(&mut limits, deserializer)?;
        Ok(limits)
    }
}
