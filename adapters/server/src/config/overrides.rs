//! Flags and environment variables, which win over the file.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;

use clap::Args;

use liveset::Token;

use crate::log::Format;

use super::{
    AbsentOrigin, ClockSource, Config, ResourceConfig, SetConfig, StoreConfig, TlsConfig, TokenConfig,
};

/// Settings that a flag or an environment variable may give. A flag wins over the variable, both over the
/// file. Lists are added to those of the file, except the origins and the resources, which replace them.
#[derive(Debug, Clone, Default, Args)]
pub struct Overrides {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "LIVESET_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,

    /// A token that is accepted, and who it stands for; can be repeated. Better in the file or the
    /// environment: others on this machine can see a command line
    #[arg(
        long = "token",
        env = "LIVESET_TOKENS",
        value_name = "SUBJECT=TOKEN",
        value_delimiter = ',',
        value_parser = token,
        hide_env_values = true
    )]
    pub tokens: Vec<Token>,

    /// As --token, for tokens that may only read
    #[arg(
        long = "read-only-token",
        env = "LIVESET_READ_ONLY_TOKENS",
        value_name = "SUBJECT=TOKEN",
        value_delimiter = ',',
        value_parser = token,
        hide_env_values = true
    )]
    pub read_only_tokens: Vec<Token>,

    /// A set, its key (default `id`) and what it holds at start; can be repeated
    #[arg(long = "set", env = "LIVESET_SETS", value_name = "NAME[:KEY][=FILE]", value_delimiter = ',')]
    pub sets: Vec<String>,

    /// An event resource and its events; can be repeated. Replaces those of the file
    #[arg(
        long = "resource",
        env = "LIVESET_RESOURCES",
        value_name = "PATH=EVENT+EVENT",
        value_delimiter = ','
    )]
    pub resources: Vec<String>,

    /// A limit by part and name, as session.auth_timeout=5s; can be repeated
    #[arg(long = "limit", env = "LIVESET_LIMITS", value_name = "NAME=VALUE", value_delimiter = ',')]
    pub limits: Vec<String>,

    /// The file that keeps the sets; it is made where there is none. Needs a program that was built with the store
    #[arg(long, env = "LIVESET_STORE", value_name = "FILE")]
    pub store: Option<PathBuf>,

    /// When a commit is safe from a crash of the machine: always, or within a time, as 100ms. Needs a store
    #[arg(long, env = "LIVESET_DURABILITY", value_name = "always|TIME")]
    pub durability: Option<String>,

    /// Where `now` comes from: the machine's clock, or the largest `at` of any commit
    #[arg(long, env = "LIVESET_CLOCK", value_name = "SOURCE")]
    pub clock: Option<ClockSource>,

    /// Answer /metrics without a token
    #[arg(long, env = "LIVESET_METRICS_PUBLIC", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub metrics_public: Option<bool>,

    /// An origin whose pages may call the HTTP endpoints; can be repeated. Replaces those of the file
    #[arg(long = "cors-origin", env = "LIVESET_CORS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors_origins: Vec<String>,

    /// An origin whose pages may open /ws; can be repeated. Replaces those of the file. Without any, those of
    /// --cors-origin; without any of these either, every page may
    #[arg(long = "ws-origin", env = "LIVESET_WS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub ws_origins: Vec<String>,

    /// Whether /ws takes a handshake without an Origin, as programs other than browsers send [default: allow]
    #[arg(long, env = "LIVESET_ABSENT_ORIGIN", value_name = "POLICY")]
    pub absent_origin: Option<AbsentOrigin>,

    /// The chain of certificates for TLS, PEM; needs --tls-key. Read again on SIGHUP
    #[arg(long, env = "LIVESET_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// The key of the certificate, PEM
    #[arg(long, env = "LIVESET_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// The address or network of a proxy whose X-Forwarded-For is believed; can be repeated. Replaces those of the
    /// file
    #[arg(
        long = "trusted-proxy",
        env = "LIVESET_TRUSTED_PROXIES",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<String>,

    /// What is logged, in the form of RUST_LOG [default: info]
    #[arg(long, env = "LIVESET_LOG", value_name = "FILTER")]
    pub log: Option<String>,

    /// How lines of the log look [default: text]
    #[arg(long, env = "LIVESET_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<Format>,
}

impl Overrides {
    /// Puts these settings over a configuration.
    pub(super) fn apply(&self, config: &mut Config) -> Result<(), String> {
        if let Some(listen) = &self.listen {
            config.listen.clone_from(listen);
        }
        for (texts, read_only) in [(&self.tokens, false), (&self.read_only_tokens, true)] {
            for text in texts {
                let (subject, token) = text.expose().split_once('=').ok_or("--token: write SUBJECT=TOKEN")?;
                config.auth.tokens.push(TokenConfig {
                    token: token.into(),
                    subject: subject.into(),
                    read_only,
                    admin: false,
                    claims: BTreeMap::new(),
                });
            }
        }
        for text in &self.sets {
            config.sets.push(set(text));
        }
        if !self.resources.is_empty() {
            config.resources = self.resources.iter().map(|text| resource(text)).collect::<Result<_, _>>()?;
        }
        for text in &self.limits {
            let (name, value) =
                text.split_once('=').ok_or_else(|| format!("--limit {text}: write NAME=VALUE"))?;
            config.limits.set(name.trim(), value.trim())?;
        }
        match (&self.store, &mut config.store) {
            (Some(path), Some(store)) => store.path.clone_from(path),
            (Some(path), none) => *none = Some(StoreConfig::new(path)),
            (None, _) => {}
        }
        if let Some(durability) = &self.durability {
            let Some(store) = &mut config.store else {
                return Err("--durability needs a store: --store FILE".into());
            };
            store.durability.clone_from(durability);
        }
        if let Some(clock) = self.clock {
            config.clock.source = clock;
        }
        if let Some(metrics_public) = self.metrics_public {
            config.metrics_public = metrics_public;
        }
        if !self.trusted_proxies.is_empty() {
            config.trusted_proxies.clone_from(&self.trusted_proxies);
        }
        if !self.cors_origins.is_empty() {
            config.cors.origins.clone_from(&self.cors_origins);
        }
        if !self.ws_origins.is_empty() {
            config.websocket.origins = Some(self.ws_origins.clone());
        }
        if let Some(absent_origin) = self.absent_origin {
            config.websocket.absent_origin = absent_origin;
        }
        match (&self.tls_cert, &self.tls_key, &mut config.tls) {
            (None, None, _) => {}
            (Some(cert), Some(key), tls) => *tls = Some(TlsConfig { cert: cert.clone(), key: key.clone() }),
            (Some(cert), None, Some(tls)) => tls.cert.clone_from(cert),
            (None, Some(key), Some(tls)) => tls.key.clone_from(key),
            (Some(_), None, None) => {
                return Err("--tls-cert needs --tls-key, the key of the certificate".into());
            }
            (None, Some(_), None) => return Err("--tls-key needs --tls-cert, its certificate".into()),
        }
        if let Some(log) = &self.log {
            config.log.clone_from(log);
        }
        if let Some(format) = self.log_format {
            config.log_format = format;
        }
        Ok(())
    }
}

/// Keeps a secret of the command line out of `Debug`, and so out of every log.
///
/// # Errors
///
/// None.
pub fn token(text: &str) -> Result<Token, Infallible> {
    Ok(Token::new(text))
}

fn set(text: &str) -> SetConfig {
    let (name, load) = match text.split_once('=') {
        Some((name, load)) => (name, Some(PathBuf::from(load))),
        None => (text, None),
    };
    let (name, key) = name.split_once(':').unwrap_or((name, "id"));
    SetConfig { name: name.into(), key: key.into(), load, fields: Vec::new(), strict: false }
}

fn resource(text: &str) -> Result<ResourceConfig, String> {
    let (path, events) =
        text.split_once('=').ok_or_else(|| format!("--resource {text}: write PATH=EVENT+EVENT"))?;
    Ok(ResourceConfig { path: path.into(), events: events.split('+').map(str::to_owned).collect() })
}
