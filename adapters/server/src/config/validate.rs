//! What must be true of a configuration beyond the types of its values.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{AbsentOrigin, Config, REDACTED, SetConfig};
use crate::proxies::Proxies;

/// The longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Something that is wrong, and the key that has it, as `set[1].name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

fn problem<T>(key: impl Into<String>, message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem { key: key.into(), message: message.into() })
}

impl Config {
    /// Checks everything that can be checked without the world: addresses, names, repetitions, origins.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), Problem> {
        self.validate_listen()?;
        if let Err(error) = self.log.parse::<tracing_subscriber::filter::Targets>() {
            // The richer directives of `RUST_LOG` are checked by the filter itself.
            if tracing_subscriber::EnvFilter::try_new(&self.log).is_err() {
                return problem("log", format!("{:?} is not a log filter: {error}", self.log));
            }
        }
        if let Err((place, error)) = Proxies::new(&self.trusted_proxies) {
            return problem(format!("trusted_proxies[{place}]"), error);
        }
        self.validate_tokens()?;
        if self.tenants.claim.as_ref().is_some_and(String::is_empty) {
            return problem("tenants.claim", "a claim has a name");
        }
        self.jwt.as_ref().map_or(Ok(()), super::JwtConfig::validate)?;
        self.store.as_ref().map_or(Ok(()), super::StoreConfig::validate)?;
        validate_origins("cors.origins", &self.cors.origins)?;
        validate_origins("websocket.origins", self.websocket.origins.as_deref().unwrap_or_default())?;
        self.validate_websocket()?;
        self.validate_sets()?;
        self.validate_resources()?;
        self.validate_policies()?;
        self.limits.validate()
    }

    fn validate_listen(&self) -> Result<(), Problem> {
        let port = self.listen.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        match port.map(str::parse::<u16>) {
            Some(Ok(_)) => Ok(()),
            _ => problem(
                "listen",
                format!("{:?} is not an address and a port, as \"127.0.0.1:8080\"", self.listen),
            ),
        }
    }

    fn validate_policies(&self) -> Result<(), Problem> {
        for (index, rule) in self.policies.iter().enumerate() {
            let key = |name: &str| format!("policy[{index}].{name}");
            validate_claims(&rule.claims, || key("claims"))?;
            match (&rule.set, &rule.path) {
                (Some(_), Some(_)) => {
                    return problem(key("path"), "a policy is about a set or about a path, not both");
                }
                (None, None) => {
                    return problem(format!("policy[{index}]"), "a policy names a `set` or a `path`");
                }
                (Some(set), None) if set != "*" && !self.sets.iter().any(|known| known.name == *set) => {
                    return problem(key("set"), format!("there is no set {set:?}"));
                }
                (Some(_), None) if rule.events.is_some() => {
                    return problem(key("events"), "events are of a path");
                }
                (None, Some(_)) if rule.rows.is_some() => return problem(key("rows"), "rows are of a set"),
                (None, Some(_)) if rule.fields.is_some() => {
                    return problem(key("fields"), "fields are of a set");
                }
                _ => {}
            }
            let limits = &self.limits.liveset.engine.query;
            let restriction = liveset::Restriction { rows: rule.rows.clone(), fields: None };
            if let Err(error) = restriction.check(limits) {
                return problem(key("rows"), error.to_string());
            }
            let of_rule = |set: &&SetConfig| rule.set.as_ref().is_some_and(|of| of == "*" || *of == set.name);
            for set in self.sets.iter().filter(of_rule) {
                if let Err(error) = restriction.check_in(&set.definition(), limits) {
                    return problem(key("rows"), format!("of the set {:?}: {error}", set.name));
                }
            }
            let restriction = liveset::Restriction { rows: None, fields: rule.fields.clone() };
            if let Err(error) = restriction.check(limits) {
                return problem(key("fields"), error.to_string());
            }
        }
        Ok(())
    }

    fn validate_tokens(&self) -> Result<(), Problem> {
        for (index, entry) in self.auth.tokens.iter().enumerate() {
            let key = format!("auth.tokens[{index}].token");
            let token = &entry.token;
            if token.is_empty() {
                return problem(key, "a token cannot be empty");
            }
            if token == REDACTED {
                return problem(key, format!("{REDACTED} is what --print-config writes in place of a token"));
            }
            if token.len() > MAX_TOKEN_BYTES {
                return problem(key, format!("a token has at most {MAX_TOKEN_BYTES} bytes"));
            }
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return problem(
                    key,
                    "a token is printable ASCII without white space, so that it fits a header",
                );
            }
            if self.auth.tokens[..index].iter().any(|other| other.token == *token) {
                return problem(key, "this token stands above already");
            }
            if entry.subject.is_empty() {
                return problem(format!("auth.tokens[{index}].subject"), "a subject cannot be empty");
            }
            validate_claims(&entry.claims, || format!("auth.tokens[{index}].claims"))?;
        }
        Ok(())
    }

    fn validate_websocket(&self) -> Result<(), Problem> {
        let is_listed = self.websocket.origins.is_some() || !self.cors.origins.is_empty();
        if self.websocket.absent_origin == AbsentOrigin::Refuse && !is_listed {
            return problem(
                "websocket.absent_origin",
                "without a list of origins any page is let in, so refusing those without one keeps nobody out: \
                 add origins",
            );
        }
        Ok(())
    }

    fn validate_sets(&self) -> Result<(), Problem> {
        for (index, set) in self.sets.iter().enumerate() {
            if set.name.is_empty() {
                return problem(format!("set[{index}].name"), "a set needs a name");
            }
            if set.key.is_empty() {
                return problem(format!("set[{index}].key"), "the key is the name of a field");
            }
            if self.sets[..index].iter().any(|other| other.name == set.name) {
                return problem(
                    format!("set[{index}].name"),
                    format!("the set {:?} stands above already", set.name),
                );
            }
            for (at, field) in set.fields.iter().enumerate() {
                if set.fields[..at].iter().any(|other| other.name == field.name) {
                    return problem(
                        format!("set[{index}].fields[{at}].name"),
                        format!("the field {:?} is declared already", field.name),
                    );
                }
            }
            if let Some(load) = &set.load {
                let name = load.to_string_lossy();
                if !(name.ends_with(".ndjson") || name.ends_with(".ndjson.gz")) {
                    return problem(
                        format!("set[{index}].load"),
                        format!("{name:?} does not end in .ndjson or .ndjson.gz"),
                    );
                }
            }
        }
        Ok(())
    }

    fn validate_resources(&self) -> Result<(), Problem> {
        for (index, resource) in self.resources.iter().enumerate() {
            if resource.events.is_empty() {
                return problem(format!("resource[{index}].events"), "a resource needs at least one event");
            }
            if self.resources[..index].iter().any(|other| other.path == resource.path) {
                return problem(
                    format!("resource[{index}].path"),
                    format!("the resource {:?} stands above already", resource.path),
                );
            }
        }
        Ok(())
    }
}

/// Claims are JSON, which has neither `nan` nor `inf`: those of TOML have become null, of which TOML has none.
fn validate_claims(claims: &BTreeMap<String, Value>, key: impl Fn() -> String) -> Result<(), Problem> {
    fn has_null(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.iter().any(has_null),
            Value::Object(members) => members.values().any(has_null),
            _ => false,
        }
    }
    match claims.iter().find(|(_, claim)| has_null(claim)) {
        Some((name, _)) => problem(format!("{}.{name}", key()), "a claim cannot be nan or inf"),
        None => Ok(()),
    }
}

fn validate_origins(key: &str, origins: &[String]) -> Result<(), Problem> {
    for (index, origin) in origins.iter().enumerate() {
        // Apps have schemes of their own: `capacitor://localhost`, `chrome-extension://…`.
        let parts = origin.split_once("://").filter(|(scheme, _)| {
            scheme.starts_with(|first: char| first.is_ascii_lowercase())
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
        });
        let exact = parts.is_some_and(|(_, host)| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#*@".contains(&byte))
                && !host.bytes().any(|byte| byte.is_ascii_uppercase())
        });
        if !exact {
            return problem(
                format!("{key}[{index}]"),
                format!(
                    "{origin:?} is not an exact origin, as \"https://shop.example\", \"http://localhost:5173\" or \
                     \"capacitor://localhost\"; one that can be anybody's, \"null\" or \"file://\", cannot be listed"
                ),
            );
        }
    }
    Ok(())
}
