//! The configuration: one TOML file, each part of which may also come from a flag or the environment.
//!
//! ```toml
//! listen = "127.0.0.1:8080"
//! metrics_public = false           # true opens /metrics to everyone
//! ready_stale_limit = "5m"         # /readyz says 503 once a set was stale for so long; without it, it does not
//! trusted_proxies = ["10.0.0.5"]   # whose X-Forwarded-For is believed; without it, nobody's
//! log = "info"                     # as RUST_LOG
//! log_format = "text"              # or "json", an object a line
//!
//! [auth]
//! tokens = [
//!   { token = "a-long-secret", subject = "shop" },
//!   { token = "another-one", subject = "dashboard", read_only = true, claims = { tenant = "acme" } },
//!   { token = "of-the-operator", subject = "operator", admin = true },
//! ]
//!
//! [jwt]                            # beside the tokens, or instead; needs the cargo feature `jwt`; see `JwtConfig`
//! issuer = "https://issuer.example"
//! audience = "liveset"
//! jwks_url = "https://issuer.example/jwks.json"
//! write_scope = "liveset:write"    # without it, these tokens may only read
//!
//! [tenants]                        # without it, subjects share no limits
//! claim = "tenant"                 # of which tenant a subject is: `limits.hub.…_per_tenant`, and metrics
//!
//! [[set]]
//! name = "orders"
//! key = "id"
//! load = "orders.ndjson.gz"        # beside this file
//! fields = [{ name = "createdAt", type = "instant", required = true }]
//! strict = false                   # true: the key and the fields that are declared here, and no others
//!
//! [store]                          # without it, sets live in memory; needs the cargo feature `store`
//! path = "liveset.db"              # beside this file
//! durability = "always"            # or "100ms": a crash of the machine may lose that much
//!
//! [[resource]]                     # without any: the stock catalogue
//! path = "jobs/{jobId}"
//! events = ["jobStarted"]
//!
//! [[policy]]                       # without any: every token sees everything
//! set = "orders"                   # or path = "jobs/{jobId}", with events = ["jobStarted"]
//! claims = { role = "customer" }   # or subjects = ["shop"]; without either, everyone
//! rows = "tenant == $principal.tenant"
//! fields = ["total", "status"]
//!
//! [tls]                            # without it, plain TCP
//! cert = "cert.pem"                # the server's own first; beside this file
//! key = "key.pem"
//!
//! [limits.session]                 # see `limits`
//! auth_timeout = "10s"
//!
//! [clock]
//! source = "system"                # or "commits": now is the largest `at` seen
//!
//! [cors]                           # empty: no page of another origin may call the HTTP endpoints
//! origins = ["https://shop.example"]
//!
//! [websocket]                      # without `origins`: those of [cors], and where there are none, any page
//! origins = ["https://shop.example"]
//! absent_origin = "allow"          # what is no page sends no Origin; "refuse" answers it with 403 too
//! ```

mod claims;
mod jwt;
mod limits;
mod locate;
mod overrides;
mod store;
mod time;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use liveset::http::Origins;
use liveset::{FieldKind, Grant, SetDef};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::log::Format;

pub use crate::limits::{DrainLimits, HttpLimits, JwtLimits};
pub use jwt::JwtConfig;
pub use limits::LimitsConfig;
pub use liveset_core::model::duration;
pub use overrides::{Overrides, token};
#[cfg(not(feature = "store"))]
pub(crate) use store::NOT_BUILT;
pub use store::StoreConfig;
pub use validate::Problem;

/// What `--print-config` writes in place of a token. It is refused as a token.
pub const REDACTED: &str = "<redacted>";

/// The whole configuration. `Default` is what an empty file means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port; port 0 takes a free one. A host name is looked up.
    pub listen: String,
    /// Whether `/metrics` answers without a token.
    pub metrics_public: bool,
    /// For how long a set may be stale before `/readyz` says 503; without it, for ever.
    #[serde(
        deserialize_with = "time::read",
        serialize_with = "time::write",
        skip_serializing_if = "Option::is_none"
    )]
    pub ready_stale_limit: Option<Duration>,
    /// Addresses and networks of proxies that are believed when they say, by `X-Forwarded-For`, for whom they call. Failed
    /// authentications and WebSockets then count for these clients. Only for proxies that add the address they were called from, or
    /// replace what is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
    /// What is logged, in the form of `RUST_LOG`.
    pub log: String,
    /// How lines of the log look.
    pub log_format: Format,
    /// Who may connect.
    pub auth: AuthConfig,
    /// Whose subjects share limits.
    pub tenants: TenantsConfig,
    /// JSON Web Tokens that are accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtConfig>,
    /// The file that keeps the sets; without it, they live in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreConfig>,
    /// Where `now` comes from.
    pub clock: ClockConfig,
    /// TLS; without it, plain TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Which web pages may call the HTTP endpoints.
    pub cors: CorsConfig,
    /// Which web pages may open `/ws`.
    pub websocket: WebSocketConfig,
    /// Every limit.
    pub limits: LimitsConfig,
    /// The sets.
    #[serde(rename = "set")]
    pub sets: Vec<SetConfig>,
    /// The event resources; empty is the stock catalogue.
    #[serde(rename = "resource", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceConfig>,
    /// Who may see what; empty is everyone everything.
    #[serde(rename = "policy", skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: "127.0.0.1:8080".into(),
            metrics_public: false,
            ready_stale_limit: None,
            trusted_proxies: Vec::new(),
            log: "info".into(),
            log_format: Format::Text,
            auth: AuthConfig::default(),
            tenants: TenantsConfig::default(),
            jwt: None,
            store: None,
            clock: ClockConfig::default(),
            tls: None,
            cors: CorsConfig::default(),
            websocket: WebSocketConfig::default(),
            limits: LimitsConfig::default(),
            sets: Vec::new(),
            resources: Vec::new(),
            policies: Vec::new(),
        }
    }
}

/// `[auth]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// The tokens that are accepted.
    pub tokens: Vec<TokenConfig>,
}

/// One token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The secret.
    pub token: String,
    /// Who it stands for.
    pub subject: String,
    /// Whether it may only read.
    #[serde(default)]
    pub read_only: bool,
    /// Whether it may look at connections, and end them: the endpoints under `/admin`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
    /// What the policy knows of it, `$principal.<claim>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "claims::read")]
    pub claims: BTreeMap<String, Value>,
}

impl fmt::Debug for TokenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenConfig")
            .field("token", &REDACTED)
            .field("subject", &self.subject)
            .field("read_only", &self.read_only)
            .field("admin", &self.admin)
            .field("claims", &self.claims)
            .finish()
    }
}

/// `[tenants]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantsConfig {
    /// The claim that names the tenant of a subject: a text or a number. A subject without it is of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
}

impl TenantsConfig {
    /// What a token entitles to, with its tenant.
    pub(crate) fn tenancy(&self, grant: Grant) -> Grant {
        let claim = self.claim.as_ref().and_then(|claim| grant.claims.get(claim));
        let tenant = match claim {
            Some(Value::String(name)) if !name.is_empty() => name.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => return grant,
        };
        grant.tenant(tenant)
    }
}

/// `[clock]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockConfig {
    /// Where `now` comes from.
    pub source: ClockSource,
}

/// Where `now` comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ClockSource {
    /// The clock of the machine.
    #[default]
    System,
    /// The largest `at` of any commit: the server lives in its data's time.
    Commits,
}

/// `[cors]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorsConfig {
    /// Exact origins, as `https://shop.example`. Empty allows none.
    pub origins: Vec<String>,
}

/// `[websocket]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebSocketConfig {
    /// Exact origins of the pages that may open `/ws`; others are answered by 403 before any upgrade. An empty
    /// list allows no page. Without a list it is that of `[cors]`; where that is empty, any page may: without a token
    /// in its first message it gets nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origins: Option<Vec<String>>,
    /// What becomes of a handshake without an `Origin`.
    pub absent_origin: AbsentOrigin,
}

/// What becomes of a handshake without an `Origin`. Every browser sends one, other programs seldom do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AbsentOrigin {
    /// It is let in.
    #[default]
    Allow,
    /// It is answered by 403. Needs a list of origins.
    Refuse,
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The chain of certificates, the server's own first: PEM, relative to the configuration file.
    pub cert: PathBuf,
    /// The key of the server's certificate: PEM, relative to the configuration file.
    pub key: PathBuf,
}

/// `[[set]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetConfig {
    /// The name, which queries call `edge`.
    pub name: String,
    /// The field that identifies a node.
    #[serde(default = "default_key")]
    pub key: String,
    /// What the set holds at start: `.ndjson` or `.ndjson.gz`, relative to the configuration file. With a store, it is read where the
    /// store has no row of the set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<PathBuf>,
    /// Whether there are no other fields than the key and the declared ones, neither in nodes nor in queries.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// Declared fields; a node that has them otherwise is refused, and so is a query that asks what can never be true of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldConfig>,
}

impl SetConfig {
    /// The set as the engine has it.
    pub(crate) fn definition(&self) -> SetDef {
        let mut definition = SetDef::new(&self.name).key(&self.key);
        definition.strict = self.strict;
        for field in &self.fields {
            let kind = match field.kind {
                FieldType::Text => FieldKind::Text,
                FieldType::Number => FieldKind::Number,
                FieldType::Bool => FieldKind::Bool,
                FieldType::Instant => FieldKind::Instant,
                FieldType::List => FieldKind::List,
                FieldType::Object => FieldKind::Object,
            };
            definition = match field.required {
                true => definition.required(&field.name, kind),
                false => definition.field(&field.name, kind),
            };
        }
        definition
    }
}

fn default_key() -> String {
    "id".into()
}

/// A declared field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldConfig {
    /// Its name, or a path with dots.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Whether it must be there.
    #[serde(default)]
    pub required: bool,
}

/// The type of a declared field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// JSON text.
    Text,
    /// A JSON number.
    Number,
    /// `true` or `false`.
    Bool,
    /// Text in RFC 3339 form.
    Instant,
    /// A JSON list.
    List,
    /// A JSON object.
    Object,
}

/// `[[resource]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceConfig {
    /// A path template, as `jobs/{jobId}`.
    pub path: String,
    /// The event types of it.
    pub events: Vec<String>,
}

/// `[[policy]]`: who may see what of one set, or of one path. The first that fits counts; with any at all, what none is about
/// is seen by nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// The name of the set, or `*` for every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// A path template, as `jobs/{jobId}`, or `*` for every path. Whoever may subscribe to a path gets the events of all paths below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only for these subjects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subjects: Option<Vec<String>>,
    /// Only for principals with all of these claims; of a claim that is a list, one item.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "claims::read")]
    pub claims: BTreeMap<String, Value>,
    /// Of a set: only nodes that pass this filter, in which `$principal.subject` and `$principal.<claim>` stand for what the
    /// principal brings. An instant in a claim is text: it is compared in time where the set declares the field as an instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// Of a set: only these fields and the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<String>>,
    /// Of a path: only these events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in the file is wrong: place, key and reason, with the line underneath.
    #[error("{0}")]
    Wrong(String),
}

impl Config {
    /// Reads a configuration. `file` only names it in errors.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with the line, the column and the key.
    pub fn parse(file: &Path, text: &str) -> Result<Config, ConfigError> {
        let wrong = |key: Option<&str>, error: &toml::de::Error| {
            ConfigError::Wrong(locate::describe(file, text, key, error))
        };
        let toml = toml::Deserializer::parse(text).map_err(|error| wrong(None, &error))?;
        let config: Config = serde_path_to_error::deserialize(toml)
            .map_err(|error| wrong(Some(&error.path().to_string()), error.inner()))?;
        config.validate().map_err(|problem| {
            ConfigError::Wrong(locate::describe_at(file, text, &problem.key, &problem.message))
        })?;
        Ok(config)
    }

    /// Reads the file, if there is one, and puts what flags and environment say over it. Paths of `load`,
    /// `tls` and `store` become relative to the file's folder.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is wrong, or what flags and environment say is.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
        let Some(file) = file else { return Config::default().overridden(overrides) };
        let text = std::fs::read_to_string(file)
            .map_err(|source| ConfigError::Read { file: file.into(), source })?;
        Config::read(file, &text, overrides)
    }

    /// The same of a file whose text was read already.
    ///
    /// # Errors
    ///
    /// The file is wrong, or what flags and environment say is.
    pub fn read(file: &Path, text: &str, overrides: &Overrides) -> Result<Config, ConfigError> {
        let mut config = Config::parse(file, text)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        for set in &mut config.sets {
            set.load = set.load.take().map(|load| folder.join(load));
        }
        if let Some(tls) = &mut config.tls {
            tls.cert = folder.join(&tls.cert);
            tls.key = folder.join(&tls.key);
        }
        if let Some(jwt) = &mut config.jwt {
            jwt.relative_to(folder);
        }
        if let Some(store) = &mut config.store {
            store.path = folder.join(&store.path);
        }
        config.overridden(overrides)
    }

    fn overridden(mut self, overrides: &Overrides) -> Result<Config, ConfigError> {
        overrides.apply(&mut self).map_err(ConfigError::Wrong)?;
        self.validate().map_err(|problem| {
            ConfigError::Wrong(format!(
                "{}: {} (from a flag or the environment)",
                problem.key, problem.message
            ))
        })?;
        Ok(self)
    }

    /// The configuration as TOML that can be read back. Without `secrets` each token is [`REDACTED`].
    ///
    /// # Errors
    ///
    /// A path of `load` is not UTF-8.
    pub fn print(&self, secrets: bool) -> Result<String, toml::ser::Error> {
        let mut shown = self.clone();
        if !secrets {
            for token in &mut shown.auth.tokens {
                token.token = REDACTED.into();
            }
        }
        toml::to_string(&shown)
    }

    /// Which pages may open `/ws`.
    pub fn websocket_origins(&self) -> Origins {
        let listed = match &self.websocket.origins {
            Some(listed) => listed,
            None if self.cors.origins.is_empty() => return Origins::Any,
            None => &self.cors.origins,
        };
        Origins::Listed {
            origins: listed.iter().map(|origin| origin.as_str().into()).collect(),
            or_absent: self.websocket.absent_origin == AbsentOrigin::Allow,
        }
    }

    /// What a server that runs with this configuration cannot take from another without a restart, by the names of the file.
    pub fn needs_restart(&self, read: &Config) -> Vec<String> {
        let jwt_differs = match (&self.jwt, &read.jwt) {
            (Some(running), Some(read)) => running.needs_restart(read),
            (running, read) => running.is_some() != read.is_some(),
        };
        let named = [
            ("listen", self.listen != read.listen),
            ("log_format", self.log_format != read.log_format),
            ("jwt", jwt_differs),
            ("tenants", self.tenants != read.tenants),
            ("store", self.store != read.store),
            ("clock", self.clock != read.clock),
            ("tls", self.tls.is_some() != read.tls.is_some()),
        ];
        let mut names: Vec<String> =
            named.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect();
        names.extend(self.limits.needs_restart(&read.limits));
        let kept = |set: &&SetConfig| read.sets.iter().any(|read| read == *set);
        let changed = self.sets.iter().filter(|set| !kept(set));
        names.extend(changed.map(|set| format!("set {:?}", set.name)));
        names
    }

    /// Takes over what can be without a restart. Sets are added, and none is changed.
    pub(crate) fn take(&mut self, read: Config) {
        let Config {
            metrics_public,
            ready_stale_limit,
            trusted_proxies,
            log,
            auth,
            cors,
            websocket,
            resources,
            policies,
            ..
        } = read;
        self.limits.take(read.limits);
        for set in read.sets {
            if !self.sets.iter().any(|known| known.name == set.name) {
                self.sets.push(set);
            }
        }
        if let (Some(running), Some(read)) = (&mut self.jwt, read.jwt)
            && running.has_keys_like(&read)
        {
            running.take_files(read);
        }
        if let (Some(running), Some(read)) = (&mut self.tls, read.tls) {
            *running = read;
        }
        *self = Config {
            metrics_public,
            ready_stale_limit,
            trusted_proxies,
            log,
            auth,
            cors,
            websocket,
            resources,
            policies,
            ..std::mem::take(self)
        };
    }
}

#[cfg(test)]
mod tests;
