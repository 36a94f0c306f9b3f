//! Who may come in: the tokens of the configuration, and JSON Web Tokens beside them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use liveset::{AuthError, Authenticator, BoxFuture, Grant, StaticTokens, Token};

use crate::config::Config;
#[cfg(feature = "jwt")]
use crate::config::TenantsConfig;
use crate::error::ServeError;

/// So many subjects are kept out at once, at most.
const MOST_BANNED: usize = 10_000;

/// Subjects whose tokens are refused for a while, however good they are. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Banned(Arc<RwLock<HashMap<String, Instant>>>);

impl Banned {
    /// Refuses the tokens of a subject for so long from now on; for no time, no more. False where too many are kept out already.
    pub fn ban(&self, subject: &str, time: Duration) -> bool {
        let now = Instant::now();
        let mut banned = self.0.write().unwrap_or_else(PoisonError::into_inner);
        banned.retain(|_, until| *until > now);
        if time.is_zero() {
            banned.remove(subject);
            return true;
        }
        if banned.len() >= MOST_BANNED && !banned.contains_key(subject) {
            return false;
        }
        // Longer than this no process lives.
        let until = now.checked_add(time).unwrap_or_else(|| now + Duration::from_secs(100 * 365 * 86_400));
        banned.insert(subject.to_owned(), until);
        true
    }

    fn has(&self, subject: &str) -> bool {
        let banned = self.0.read().unwrap_or_else(PoisonError::into_inner);
        banned.get(subject).is_some_and(|until| *until > Instant::now())
    }
}

/// The tokens of the configuration first, then JSON Web Tokens. A clone shares them.
#[derive(Clone)]
pub(crate) struct Access {
    tokens: StaticTokens,
    banned: Banned,
    #[cfg(feature = "jwt")]
    jwt: Option<liveset_jwt::JwtAuthenticator>,
    /// Tokens of the configuration have their tenant already.
    #[cfg(feature = "jwt")]
    tenants: TenantsConfig,
}

impl Access {
    /// Reads the keys, and fetches those that have an address; if that fails now, theirs cannot be judged until it does not.
    pub(crate) async fn open(
        config: &Config,
        tokens: StaticTokens,
        banned: Banned,
    ) -> Result<Access, ServeError> {
        #[cfg(feature = "jwt")]
        {
            let jwt = match &config.jwt {
                Some(jwt) => Some(jwt::authenticator(jwt, &config.limits.jwt).await?),
                None => None,
            };
            Ok(Access { tokens, banned, jwt, tenants: config.tenants.clone() })
        }
        #[cfg(not(feature = "jwt"))]
        {
            // `[jwt]` was refused when the configuration was read.
            let _ = config;
            Ok(Access { tokens, banned })
        }
    }

    /// Reads the file with keys again, wherever it is now. Nothing where they would come from something else than what is running: a
    /// file of another kind makes other tokens good, which a restart may do.
    ///
    /// # Errors
    ///
    /// It cannot be read, or the keys do not fit the algorithms.
    #[cfg(feature = "jwt")]
    pub(crate) fn read_keys(&self, running: &Config, read: &Config) -> Result<NewKeys, ServeError> {
        let (Some(jwt), Some(running), Some(read)) = (&self.jwt, &running.jwt, &read.jwt) else {
            return Ok(NewKeys::default());
        };
        if !running.has_keys_like(read) {
            return Ok(NewKeys::default());
        }
        let keys = jwt::keys(read)?;
        if let Some(keys) = &keys {
            jwt.check_keys(keys).map_err(|error| ServeError::Jwt(error.to_string()))?;
        }
        Ok(NewKeys(keys))
    }

    /// Without JSON Web Tokens there are no keys.
    #[cfg(not(feature = "jwt"))]
    pub(crate) fn read_keys(&self, _: &Config, _: &Config) -> Result<NewKeys, ServeError> {
        Ok(NewKeys::default())
    }

    /// Goes by these keys from now on.
    pub(crate) fn replace_keys(&self, keys: NewKeys) {
        #[cfg(feature = "jwt")]
        if let (Some(jwt), Some(keys)) = (&self.jwt, keys.0) {
            let count = keys.len();
            match jwt.replace_keys(keys) {
                Ok(()) => tracing::info!(keys = count, "read the keys of JSON Web Tokens again"),
                Err(error) => tracing::error!("the old keys stay: {error}"),
            }
        }
        #[cfg(not(feature = "jwt"))]
        let NewKeys() = keys;
    }

    #[cfg(feature = "jwt")]
    async fn find(&self, token: &Token) -> Result<Grant, AuthError> {
        match (self.tokens.authenticate(token).await, &self.jwt) {
            (Err(_), Some(jwt)) => jwt.authenticate(token).await.map(|grant| self.tenants.tenancy(grant)),
            (found, _) => found,
        }
    }

    #[cfg(not(feature = "jwt"))]
    async fn find(&self, token: &Token) -> Result<Grant, AuthError> {
        self.tokens.authenticate(token).await
    }
}

/// Keys that were read and are not used yet.
#[cfg(feature = "jwt")]
#[derive(Default)]
pub(crate) struct NewKeys(Option<liveset_jwt::KeySet>);

/// Without JSON Web Tokens there are none.
#[cfg(not(feature = "jwt"))]
#[derive(Default)]
pub(crate) struct NewKeys();

impl Authenticator for Access {
    fn authenticate<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Result<Grant, AuthError>> {
        Box::pin(async {
            let grant = self.find(token).await?;
            if self.banned.has(&grant.subject) { Err(AuthError::Refused) } else { Ok(grant) }
        })
    }
}

#[cfg(feature = "jwt")]
mod jwt {
    use std::path::Path;

    use liveset_jwt::{Jwks, JwtAuthenticator, KeyError, KeySet, KeySource, UrlFetcher};

    use crate::config::{JwtConfig, JwtLimits};
    use crate::error::ServeError;

    pub(super) async fn authenticator(
        config: &JwtConfig,
        limits: &JwtLimits,
    ) -> Result<JwtAuthenticator, ServeError> {
        let source: KeySource = match (keys(config)?, &config.jwks_url) {
            (Some(keys), _) => keys.into(),
            (None, url) => {
                let authorities = config.jwks_ca.as_deref().map(|file| read("jwks_ca", file)).transpose()?;
                let fetcher = UrlFetcher::new(url.as_deref().unwrap_or_default(), authorities.as_deref())
                    .map_err(|error| wrong("jwks_url", error))?;
                let jwks = Jwks::new(fetcher)
                    .max_age(limits.keys_max_age)
                    .max_stale(limits.keys_max_stale)
                    .min_interval(limits.keys_min_interval)
                    .timeout(limits.keys_timeout);
                jwks.prefetch().await;
                jwks.into()
            }
        };
        let mut builder = JwtAuthenticator::builder(source)
            .issuer(config.issuer.as_str())
            .leeway(config.leeway)
            .max_token_bytes(limits.max_token_bytes);
        for audience in &config.audience {
            builder = builder.audience(audience.as_str());
        }
        if config.any_audience {
            builder = builder.any_audience();
        }
        if !config.algorithms.is_empty() {
            let named: Result<Vec<_>, _> = config.algorithms.iter().map(|name| name.parse()).collect();
            builder = builder.algorithms(named.map_err(|error| wrong("algorithms", error))?);
        }
        if !config.types.is_empty() {
            builder = builder.types(&config.types);
        }
        let write_scope = config.write_scope.clone();
        builder = builder.map(move |claims| {
            let may_write = write_scope.as_ref().is_some_and(|scope| claims.has_scope(scope));
            Ok(if may_write { claims.grant() } else { claims.grant().read_only() })
        });
        builder.build().map_err(|error| ServeError::Jwt(error.to_string()))
    }

    /// The keys that stand in a file.
    pub(super) fn keys(config: &JwtConfig) -> Result<Option<KeySet>, ServeError> {
        type Reader = fn(&[u8]) -> Result<KeySet, KeyError>;
        let files: [(_, _, Reader); 3] = [
            ("pem_file", &config.pem_file, |text| KeySet::from_pem(&String::from_utf8_lossy(text))),
            ("jwks_file", &config.jwks_file, KeySet::from_jwks),
            ("secret_file", &config.secret_file, |text| {
                let text = text.strip_suffix(b"\n").unwrap_or(text);
                KeySet::from_secret(text.strip_suffix(b"\r").unwrap_or(text))
            }),
        ];
        for (name, file, reader) in files {
            if let Some(file) = file {
                let keys = reader(&read(name, file)?);
                return keys.map(Some).map_err(|error| wrong(name, format!("{}: {error}", file.display())));
            }
        }
        Ok(None)
    }

    fn read(name: &str, file: &Path) -> Result<Vec<u8>, ServeError> {
        std::fs::read(file).map_err(|error| wrong(name, format!("{}: {error}", file.display())))
    }

    fn wrong(name: &str, error: impl std::fmt::Display) -> ServeError {
        ServeError::Jwt(format!("{name}: {error}"))
    }
}
