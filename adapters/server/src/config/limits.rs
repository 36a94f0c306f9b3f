//! `[limits]`: every limit of every part, under the name that it has there.
//!
//! ```toml
//! [limits.session]
//! auth_timeout = "10s"
//! live_queries = 256
//!
//! [limits.http]
//! max_body_bytes = 8388608
//! ```
//!
//! The table below is the whole list. A name that a part gains is added to it, and a name that it loses
//! stops this file from compiling.

use std::fmt;
use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::{Problem, duration};
use crate::accept::AcceptLimits;

/// `[limits.http]`: the limits of this program's own sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections open at once, WebSockets included. Default 10,000.
    pub max_connections: usize,
    /// Connections open at once from one address (one /64 of IPv6). Default 256.
    pub max_connections_per_address: usize,
    /// Connections that have not sent the head of a request yet. Default 1,024.
    pub max_handshakes: usize,
    /// Of these, from one address (one /64 of IPv6). Default 64.
    pub max_handshakes_per_address: usize,
    /// Connections that may be opened each second on the long run. Default 2,000.
    pub connections_per_second: u32,
    /// How many of them may come at once. Default 10,000: everybody that there is room for.
    pub connection_burst: u32,
    /// Whether loopback is an address like others; otherwise it is not counted. Default false.
    pub count_loopback: bool,
    /// How long a handshake of TLS and the head of a request may take, and how long a connection may be idle before one. Default 5 s.
    pub header_timeout: Duration,
    /// The largest head of a request. Default 16 KiB.
    pub max_header_bytes: usize,
    /// How long a client may take no byte of its answers; WebSockets have `transport.write_timeout`. Default 10 s.
    pub write_timeout: Duration,
    /// The largest body. Default 8 MiB.
    pub max_body_bytes: usize,
    /// How long a body may take. Default 30 s.
    pub body_timeout: Duration,
    /// Requests with a good token that one subject may send each second on the long run. Default 10,000.
    pub requests_per_second: u32,
    /// How many of them may come at once. Default 20,000.
    pub request_burst: u32,
    /// Queries over HTTP that are answered at once; at least 1. Default 4.
    pub queries_at_once: usize,
    /// Queries of one subject that are answered or wait; at least 1. Default 64.
    pub queries_per_subject: usize,
    /// How long a shutdown waits for requests and connections. Default 10 s.
    pub shutdown_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        let accept = AcceptLimits::default();
        ServerLimits {
            max_connections: accept.max_connections,
            max_connections_per_address: accept.max_connections_per_address,
            max_handshakes: accept.max_handshakes,
            max_handshakes_per_address: accept.max_handshakes_per_address,
            connections_per_second: accept.connections_per_second,
            connection_burst: accept.connection_burst,
            count_loopback: accept.count_loopback,
            header_timeout: accept.header_timeout,
            max_header_bytes: accept.max_header_bytes,
            write_timeout: accept.write_timeout,
            max_body_bytes: 8 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            requests_per_second: 10_000,
            request_burst: 20_000,
            queries_at_once: 4,
            queries_per_subject: 64,
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// `[limits.jwt]`: JSON Web Tokens, and the keys behind an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtLimits {
    /// The longest token. Default 8 KiB.
    pub max_token_bytes: usize,
    /// How old the keys of `jwks_url` may become before the next token has them fetched again. Default 10 min.
    pub keys_max_age: Duration,
    /// How old they may become at all, while they cannot be fetched; not less than `keys_max_age`. Default 24 h.
    pub keys_max_stale: Duration,
    /// How long after the beginning of a fetch no other begins. Default 10 s.
    pub keys_min_interval: Duration,
    /// How long a fetch may take. Default 5 s.
    pub keys_timeout: Duration,
}

impl Default for JwtLimits {
    fn default() -> Self {
        JwtLimits {
            max_token_bytes: 8 * 1024,
            keys_max_age: Duration::from_secs(600),
            keys_max_stale: Duration::from_secs(24 * 60 * 60),
            keys_min_interval: Duration::from_secs(10),
            keys_timeout: Duration::from_secs(5),
        }
    }
}

/// `[limits]`. `Default` has the defaults of each part.
#[derive(Debug, Clone, Default)]
pub struct LimitsConfig {
    /// `[limits.http]`
    pub http: ServerLimits,
    /// `[limits.jwt]`
    pub jwt: JwtLimits,
    /// All the others.
    pub liveset: liveset::Limits,
}

macro_rules! limits {
    ($($part:literal, $limits:ident => $place:expr => { $($name:ident),+ $(,)? })+) => {
        const PARTS: &[&str] = &[$($part),+];

        fn names(part: &str) -> &'static [&'static str] {
            match part {
                $($part => &[$(stringify!($name)),+],)+
                _ => &[],
            }
        }

        impl LimitsConfig {
            fn write(&mut self, part: &str, name: &str, raw: &Raw) -> Result<(), String> {
                match part {
                    $($part => {
                        let $limits = self;
                        match name {
                            $(stringify!($name) => $place.$name = Limit::read(raw)?,)+
                            _ => return Err(format!("{part} has no limit {name}")),
                        }
                    })+
                    _ => return Err(format!("there are no limits of {part}")),
                }
                Ok(())
            }

            fn entries(&self, part: &str) -> Vec<(&'static str, Raw)> {
                match part {
                    $($part => {
                        let $limits = self;
                        vec![$((stringify!($name), $place.$name.print())),+]
                    })+
                    _ => Vec::new(),
                }
            }
        }
    };
}

limits! {
    "http", limits => limits.http => {
        max_connections, max_connections_per_address, max_handshakes, max_handshakes_per_address,
        connections_per_second, connection_burst, count_loopback, header_timeout, max_header_bytes, write_timeout,
        max_body_bytes, body_timeout, requests_per_second, request_burst, queries_at_once, queries_per_subject, shutdown_timeout,
    }
    "jwt", limits => limits.jwt => {
        max_token_bytes, keys_max_age, keys_max_stale, keys_min_interval, keys_timeout,
    }
    "auth", limits => limits.liveset.auth => {
        failures_per_address, failure_interval, addresses, count_loopback,
    }
    "transport", limits => limits.liveset.transport => {
        max_fragments, control_frames_per_second, control_burst, batch_bytes, outbox_bytes, write_timeout, write_bytes,
        close_timeout, shutdown_spread,
    }
    "session", limits => limits.liveset.session => {
        auth_timeout, ping_interval, pong_timeout, message_bytes, id_bytes, held_messages, held_bytes,
        subscriptions, subscription_events, path_bytes, live_queries, messages_per_second, message_burst, rate_limited_in_a_row,
        invalid_in_a_row, event_queue, event_bytes, chunk_rows, chunk_bytes, backlog_changes, backlog_bytes, control_messages, control_bytes,
    }
    "engine", limits => limits.liveset.engine => {
        max_sets, max_nodes_per_set, max_node_bytes, max_id_bytes, max_ops_per_commit, max_window, max_views,
        max_unindexed_views, max_filling, max_window_bytes, max_columns, slice_rows,
        hold_steps, filter_steps, standing_steps, max_behind_rows, max_behind_bytes, shards,
    }
    "json", limits => limits.liveset.engine.json => { nesting }
    "query", limits => limits.liveset.engine.query => {
        expression_bytes, nesting, list_items, order_keys, path_names, fields,
    }
    "hub", limits => limits.liveset.hub => {
        connections_per_subject, subscriptions_per_subject, live_queries_per_subject, event_data_bytes, initial_bytes, initial_backlog_bytes,
        initial_backlog_bytes_per_subject,
        watch_backlog_changes, resume_log_changes, resume_log_changes_total, resume_log_bytes, resume_log_changes_per_subject,
        resume_log_bytes_per_subject, resume_linger, resume_linger_feeds, resume_linger_feeds_per_subject,
        steps_per_second_per_connection, steps_per_second_per_subject, overdraft, standing_steps_per_subject,
        unindexed_views_per_subject, columns_per_subject, filling_per_subject, query_bytes_per_connection, query_bytes_per_subject, query_bytes,
    }
}

/// Without any of these nobody could connect, stay, or say anything. Others may be 0, to switch off what they limit.
const NEEDED: &[(&str, &str)] = &[
    ("http", "max_connections"),
    ("http", "max_connections_per_address"),
    ("http", "max_handshakes"),
    ("http", "max_handshakes_per_address"),
    ("http", "connections_per_second"),
    ("http", "connection_burst"),
    ("http", "header_timeout"),
    ("http", "write_timeout"),
    ("http", "body_timeout"),
    ("http", "requests_per_second"),
    ("http", "request_burst"),
    ("jwt", "max_token_bytes"),
    ("jwt", "keys_timeout"),
    ("transport", "write_timeout"),
    ("session", "auth_timeout"),
    ("session", "pong_timeout"),
    ("session", "message_bytes"),
    ("session", "messages_per_second"),
    ("session", "message_burst"),
    ("hub", "connections_per_subject"),
];

/// These are counts of which there is at least one.
const COUNTS: &[(&str, &str)] = &[
    ("http", "queries_at_once"),
    ("http", "queries_per_subject"),
    ("auth", "failures_per_address"),
    ("transport", "max_fragments"),
    ("transport", "batch_bytes"),
    ("transport", "write_bytes"),
    ("session", "rate_limited_in_a_row"),
    ("session", "invalid_in_a_row"),
    ("session", "event_queue"),
    ("session", "chunk_rows"),
    ("engine", "max_window"),
    ("engine", "slice_rows"),
    ("engine", "hold_steps"),
    ("engine", "shards"),
    ("hub", "filling_per_subject"),
];

/// A limit as it is written: a number, a length of time as text, or yes or no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Raw {
    Number(u64),
    Text(String),
    Bool(bool),
}

trait Limit: Sized {
    fn read(raw: &Raw) -> Result<Self, String>;
    fn print(&self) -> Raw;
}

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl Limit for $number {
            fn read(raw: &Raw) -> Result<Self, String> {
                match raw {
                    Raw::Number(number) => <$number>::try_from(*number).map_err(|_| format!("{number} is too large")),
                    Raw::Text(text) => Err(format!("{text:?} is not a number")),
                    Raw::Bool(it) => Err(format!("{it} is not a number")),
                }
            }

            fn print(&self) -> Raw {
                // TOML has no larger integers.
                Raw::Number(u64::try_from(*self).unwrap_or(u64::MAX).min(i64::MAX as u64))
            }
        }
    )+};
}

numbers!(usize, u64, u32);

impl Limit for Duration {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) => duration::parse(text),
            Raw::Number(number) => {
                Err(format!("a length of time has a unit: write \"{number}s\" or \"{number}ms\""))
            }
            Raw::Bool(it) => Err(format!("{it} is not a length of time, as \"10s\"")),
        }
    }

    fn print(&self) -> Raw {
        Raw::Text(duration::print(*self))
    }
}

impl Limit for bool {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Bool(it) => Ok(*it),
            Raw::Number(_) | Raw::Text(_) => Err("write true or false".into()),
        }
    }

    fn print(&self) -> Raw {
        Raw::Bool(*self)
    }
}

impl LimitsConfig {
    /// Sets one limit from text, as `session.auth_timeout` and `10s`.
    ///
    /// # Errors
    ///
    /// There is no such limit, or the value is none for it.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let (part, limit) = name.split_once('.').unwrap_or(("", name));
        if !PARTS.contains(&part) {
            return Err(format!(
                "--limit {name}: write PART.NAME=VALUE, where PART is one of {}",
                PARTS.join(", ")
            ));
        }
        if !names(part).contains(&limit) {
            return Err(format!("--limit {name}: {part} has {}", names(part).join(", ")));
        }
        let raw = match (value.replace('_', "").parse(), value.parse()) {
            (Ok(number), _) => Raw::Number(number),
            (_, Ok(it)) => Raw::Bool(it),
            _ => Raw::Text(value.into()),
        };
        self.write(part, limit, &raw).map_err(|error| format!("--limit {name}: {error}"))
    }

    pub(super) fn validate(&self) -> Result<(), Problem> {
        let is_zero = |(part, name): &&(&str, &str)| {
            let value = self.entries(part).into_iter().find(|(known, _)| known == name);
            value.is_some_and(|(_, raw)| raw == Raw::Number(0) || raw == Duration::ZERO.print())
        };
        if let Some((part, name)) = NEEDED.iter().find(is_zero) {
            let message = "with 0 nobody could be served".into();
            return Err(Problem { key: format!("limits.{part}.{name}"), message });
        }
        if let Some((part, name)) = COUNTS.iter().find(is_zero) {
            return Err(Problem {
                key: format!("limits.{part}.{name}"),
                message: "has to be at least 1".into(),
            });
        }
        if self.jwt.keys_max_stale < self.jwt.keys_max_age {
            let age = duration::print(self.jwt.keys_max_age);
            let message = format!("keys are believed for keys_max_age, {age}, in any case");
            return Err(Problem { key: "limits.jwt.keys_max_stale".into(), message });
        }
        Ok(())
    }
}

impl PartialEq for LimitsConfig {
    fn eq(&self, other: &Self) -> bool {
        PARTS.iter().all(|part| self.entries(part) == other.entries(part))
    }
}

impl Serialize for LimitsConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Part(Vec<(&'static str, Raw)>);
        impl Serialize for Part {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, raw)| (name, raw)))
            }
        }
        serializer.collect_map(PARTS.iter().map(|part| (part, Part(self.entries(part)))))
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
                while let Some(part) = map.next_key_seed(NameSeed(PARTS))? {
                    map.next_value_seed(PartSeed { part, limits: &mut limits })?;
                }
                Ok(limits)
            }
        }
        deserializer.deserialize_map(Parts)
    }
}

/// One name out of a list. The error comes from here, so that it points at the name.
struct NameSeed(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        let name = String::deserialize(deserializer)?;
        self.0
            .iter()
            .find(|known| **known == name)
            .copied()
            .ok_or_else(|| D::Error::unknown_field(&name, self.0))
    }
}

struct PartSeed<'l> {
    part: &'static str,
    limits: &'l mut LimitsConfig,
}

impl<'de> DeserializeSeed<'de> for PartSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PartSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of limits")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(NameSeed(names(self.part)))? {
            map.next_value_seed(ValueSeed { part: self.part, name, limits: self.limits })?;
        }
        Ok(())
    }
}

struct ValueSeed<'l> {
    part: &'static str,
    name: &'static str,
    limits: &'l mut LimitsConfig,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        struct RawVisitor;
        impl Visitor<'_> for RawVisitor {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a length of time as \"10s\", or true or false")
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Raw, E> {
                u64::try_from(number).map(Raw::Number).map_err(|_| E::custom("a limit cannot be negative"))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Raw, E> {
                Ok(Raw::Number(number))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Raw, E> {
                Ok(Raw::Text(text.into()))
            }

            fn visit_bool<E: serde::de::Error>(self, it: bool) -> Result<Raw, E> {
                Ok(Raw::Bool(it))
            }
        }
        let raw = deserializer.deserialize_any(RawVisitor)?;
        self.limits.write(self.part, self.name, &raw).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the fields that a `Debug` shows, without those of the parts inside.
    fn fields(debug: &str) -> Vec<&str> {
        let inner = debug.split_once('{').map_or("", |(_, inner)| inner);
        inner.split([',', '{', '}']).filter_map(|field| Some(field.split_once(':')?.0.trim())).collect()
    }

    #[test]
    fn every_limit_of_every_part_can_be_set() {
        let LimitsConfig { http, jwt, liveset } = LimitsConfig::default();
        let (engine, session) = (&liveset.engine, &liveset.session);
        for (part, debug) in [
            ("http", format!("{http:?}")),
            ("jwt", format!("{jwt:?}")),
            ("auth", format!("{:?}", liveset.auth)),
            ("transport", format!("{:?}", liveset.transport)),
            ("session", format!("{session:?}")),
            ("json", format!("{:?}", engine.json)),
            ("query", format!("{:?}", engine.query)),
            ("hub", format!("{:?}", liveset.hub)),
        ] {
            assert_eq!(fields(&debug), names(part), "{part}");
        }
        let debug = format!("{engine:?}");
        // What is for tests alone is no setting.
        let tuning = format!("{:?}", liveset_engine::Tuning::default());
        let inside = [names("json"), names("query"), &fields(&tuning), &["json", "query", "tuning"]].concat();
        let own: Vec<_> = fields(&debug).into_iter().filter(|field| !inside.contains(field)).collect();
        assert_eq!(own, names("engine"));
    }
}
