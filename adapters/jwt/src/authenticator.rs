//! The authenticator, and what it is made of.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use liveset::{AuthError, Authenticator, BoxFuture, Grant, Token};

use crate::rules::Rules;
use crate::token::{Compact, without_application};
use crate::{Algorithm, Claims, Jwks, KeySet, Refusal};

/// The longest leeway.
const MAX_LEEWAY: Duration = Duration::from_secs(600);

/// Accepts the JSON Web Tokens of one issuer. A clone shares the keys.
///
/// A token costs one verification of its signature (some tens of microseconds), in the task of its own that
/// [`Authenticator`] promises; where the keys come from an address, it may wait for one fetch. No lock is held meanwhile.
///
/// ```
/// use liveset_jwt::{JwtAuthenticator, KeySet};
///
/// let keys = KeySet::from_secret(b"a secret of at least 32 bytes, kept")?;
/// let tokens = JwtAuthenticator::builder(keys).issuer("https://issuer.example").audience("orders").build()?;
/// let liveset = liveset::Liveset::builder().authenticator(tokens.clone()).build()?;
/// // When the issuer has new keys:
/// tokens.replace_keys(KeySet::from_secret(b"another secret of at least 32 bytes")?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct JwtAuthenticator {
    inner: Arc<Inner>,
}

struct Inner {
    rules: Rules,
    source: Source,
    map: Box<Map>,
}

type Map = dyn Fn(&Claims) -> Result<Grant, AuthError> + Send + Sync;

enum Source {
    Fixed(RwLock<Arc<KeySet>>),
    Jwks(Jwks),
}

impl JwtAuthenticator {
    /// Begins with the keys: a [`KeySet`], or a [`Jwks`] that fetches them.
    pub fn builder(keys: impl Into<KeySource>) -> JwtBuilder {
        JwtBuilder {
            source: keys.into(),
            issuer: None,
            audiences: None,
            any_audience: false,
            algorithms: None,
            kinds: None,
            leeway: Duration::from_secs(60),
            max_token_bytes: 8 * 1024,
            clock: Arc::new(SystemTime::now),
            map: Box::new(|claims| Ok(claims.grant())),
        }
    }

    /// Judges a token.
    ///
    /// # Errors
    ///
    /// Why it is refused; that is for the host, and not for the client.
    pub async fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        let Inner { rules, source, .. } = &*self.inner;
        let token = rules.read(token)?;
        let keys = source.keys_for(&token).await?;
        let judged = rules.judge(&token, &keys);
        // Where no id says which key is meant, it may be one that the issuer has put in the place of this.
        if judged.as_ref().is_err_and(|refusal| *refusal == Refusal::Signature)
            && let Source::Jwks(jwks) = source
            && !keys.has_named(token.algorithm, token.key_id.as_deref())
            && let Some(newer) = jwks.newer_than(&keys).await
        {
            return rules.judge(&token, &newer);
        }
        judged
    }

    /// Puts other keys in the place of a [`KeySet`]; connections that are authenticated stay as they are.
    ///
    /// # Errors
    ///
    /// The keys are those of a [`Jwks`], or there is none for one of the [`algorithms`](JwtBuilder::algorithms). The old ones
    /// stay.
    pub fn replace_keys(&self, keys: KeySet) -> Result<(), ReplaceKeysError> {
        let held = self.replaceable(&keys)?;
        *held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// Whether [`replace_keys`](Self::replace_keys) would take these.
    ///
    /// # Errors
    ///
    /// Those of [`replace_keys`](Self::replace_keys).
    pub fn check_keys(&self, keys: &KeySet) -> Result<(), ReplaceKeysError> {
        self.replaceable(keys).map(drop)
    }

    /// Where keys are held that these may replace.
    fn replaceable(&self, keys: &KeySet) -> Result<&RwLock<Arc<KeySet>>, ReplaceKeysError> {
        let Source::Fixed(held) = &self.inner.source else { return Err(ReplaceKeysError::Fetched) };
        let accepted = self.inner.rules.algorithms.as_deref().unwrap_or_default();
        match accepted.iter().find(|algorithm| !keys.has(**algorithm)) {
            Some(without) => Err(ReplaceKeysError::NoKeyFor(*without)),
            None => Ok(held),
        }
    }

    /// Verifies, asks the host's own rule, and logs a refusal.
    async fn grant(&self, token: &str) -> Result<Grant, AuthError> {
        let refusal = match self.verify(token).await {
            Ok(claims) => match (self.inner.map)(&claims) {
                Err(AuthError::Refused) => Refusal::Claims,
                mapped => return mapped,
            },
            Err(reason @ Refusal::Unavailable) => {
                tracing::debug!(%reason, "cannot judge a JSON Web Token");
                return Err(AuthError::Unavailable);
            }
            Err(reason) => reason,
        };
        tracing::debug!(reason = %refusal, "refused a JSON Web Token");
        Err(AuthError::Refused)
    }
}

impl Source {
    async fn keys_for(&self, token: &Compact<'_>) -> Result<Arc<KeySet>, Refusal> {
        match self {
            Source::Fixed(keys) => Ok(keys.read().unwrap_or_else(PoisonError::into_inner).clone()),
            Source::Jwks(jwks) => jwks.keys_for(token.algorithm, token.key_id.as_deref()).await,
        }
    }
}

impl Authenticator for JwtAuthenticator {
    fn authenticate<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Result<Grant, AuthError>> {
        Box::pin(self.grant(token.expose()))
    }
}

impl fmt::Debug for JwtAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("JwtAuthenticator");
        shown.field("rules", &self.inner.rules);
        match &self.inner.source {
            Source::Fixed(keys) => {
                shown.field("keys", &**keys.read().unwrap_or_else(PoisonError::into_inner))
            }
            Source::Jwks(jwks) => shown.field("keys", jwks),
        };
        shown.finish_non_exhaustive()
    }
}

/// Where the keys come from.
#[derive(Debug)]
pub struct KeySource(Kind);

#[derive(Debug)]
enum Kind {
    Set(KeySet),
    Jwks(Jwks),
}

impl From<KeySet> for KeySource {
    fn from(keys: KeySet) -> KeySource {
        KeySource(Kind::Set(keys))
    }
}

impl From<Jwks> for KeySource {
    fn from(jwks: Jwks) -> KeySource {
        KeySource(Kind::Jwks(jwks))
    }
}

/// Makes a [`JwtAuthenticator`].
///
/// ```
/// use std::time::Duration;
/// use liveset_jwt::{Algorithm, JwtAuthenticator, KeySet};
///
/// let keys = KeySet::from_secret(b"a secret of at least 32 bytes, kept")?;
/// let tokens = JwtAuthenticator::builder(keys)
///     .issuer("https://issuer.example")
///     .audience("orders")
///     .algorithms([Algorithm::Hs256])
///     .leeway(Duration::from_secs(5))
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct JwtBuilder {
    source: KeySource,
    issuer: Option<Box<str>>,
    audiences: Option<Vec<Box<str>>>,
    any_audience: bool,
    algorithms: Option<Vec<Algorithm>>,
    kinds: Option<Vec<Box<str>>>,
    leeway: Duration,
    max_token_bytes: usize,
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    map: Box<Map>,
}

impl JwtBuilder {
    /// What `iss` must be, to the letter. Must be given.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Who this endpoint is: `aud` must be it or have it. Can be given more than once; then one of them is enough.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.audiences.get_or_insert_default().push(audience.into());
        self
    }

    /// Accepts tokens for whomever they are. Only for an issuer that issues for nobody else: a token that was given
    /// to another service would open this one too.
    #[must_use]
    pub fn any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// The algorithms that are accepted. Without it, those that there are keys for.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// The types (`typ`) that are accepted, without regard to case and to `application/`; a token must have one then.
    /// Without it: `JWT`, `at+jwt`, or none.
    #[must_use]
    pub fn types<T: AsRef<str>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.kinds = Some(types.into_iter().map(|kind| without_application(kind.as_ref()).into()).collect());
        self
    }

    /// How far the issuer's clock and this one may be apart: a token is accepted so much before `nbf` and after `exp`.
    /// Default 60 s, at most 10 min.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The longest token, in bytes; a longer one is not looked at. Default 8 KiB.
    #[must_use]
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// Where the time comes from. Default [`SystemTime::now`].
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(now);
        self
    }

    /// What the claims of a good token entitle to. Default [`Claims::grant`]. It is called for every token, so it must
    /// not block. Let the grant end no later than the claims.
    #[must_use]
    pub fn map(mut self, map: impl Fn(&Claims) -> Result<Grant, AuthError> + Send + Sync + 'static) -> Self {
        self.map = Box::new(map);
        self
    }

    /// The authenticator.
    ///
    /// # Errors
    ///
    /// Something is missing, or does not fit together.
    pub fn build(self) -> Result<JwtAuthenticator, JwtBuildError> {
        let issuer = self.issuer.filter(|issuer| !issuer.is_empty()).ok_or(JwtBuildError::NoIssuer)?;
        let audiences = match (self.audiences, self.any_audience) {
            (Some(audiences), false) if audiences.iter().all(|audience| !audience.is_empty()) => {
                Some(audiences)
            }
            (None, true) => None,
            (Some(_), true) => return Err(JwtBuildError::AnyAudience),
            _ => return Err(JwtBuildError::NoAudience),
        };
        if self.leeway > MAX_LEEWAY {
            return Err(JwtBuildError::Leeway);
        }
        if let Some(accepted) = &self.algorithms {
            let fits = |algorithm: &Algorithm| match &self.source.0 {
                Kind::Set(keys) => keys.has(*algorithm),
                Kind::Jwks(_) => *algorithm != Algorithm::Hs256,
            };
            if let Some(without) = accepted.iter().find(|algorithm| !fits(algorithm)) {
                return Err(JwtBuildError::NoKeyFor(*without));
            }
            if accepted.is_empty() {
                return Err(JwtBuildError::NoAlgorithm);
            }
        }
        let rules = Rules {
            issuer,
            audiences,
            algorithms: self.algorithms,
            kinds: self.kinds,
            leeway: self.leeway,
            max_token_bytes: self.max_token_bytes,
            clock: self.clock,
        };
        let source = match self.source.0 {
            Kind::Set(keys) => Source::Fixed(RwLock::new(Arc::new(keys))),
            Kind::Jwks(jwks) => Source::Jwks(jwks),
        };
        Ok(JwtAuthenticator { inner: Arc::new(Inner { rules, source, map: self.map }) })
    }
}

impl fmt::Debug for JwtBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBuilder")
            .field("source", &self.source)
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .finish_non_exhaustive()
    }
}

/// Why the keys were not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceKeysError {
    /// They are fetched from the issuer.
    #[error("the keys are those that the issuer publishes")]
    Fetched,
    /// An algorithm that is accepted, and that none of these keys is for.
    #[error("there is no key for {0}")]
    NoKeyFor(Algorithm),
}

/// Why there is no authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwtBuildError {
    /// No issuer, or an empty one.
    #[error("an issuer must be given")]
    NoIssuer,
    /// No audience, or an empty one.
    #[error("an audience must be given; tokens for other services would be accepted otherwise")]
    NoAudience,
    /// An audience, and any.
    #[error("either an audience or any audience")]
    AnyAudience,
    /// A list of algorithms without one.
    #[error("the list of algorithms is empty")]
    NoAlgorithm,
    /// An algorithm that no key is for.
    #[error("there is no key for {0}")]
    NoKeyFor(Algorithm),
    /// More than 10 min.
    #[error("the leeway is more than 10 minutes")]
    Leeway,
}
