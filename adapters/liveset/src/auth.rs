//! Who may come in: tokens to principals.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use liveset_core::Token;
use liveset_hub::Principal;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// A future on the heap, as [`Authenticator`] returns it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a token entitles to.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use liveset::Grant;
///
/// let wall = Grant::new("wall").read_only().claim("tenant", "acme").expires(SystemTime::now() + Duration::from_secs(3600));
/// assert!(wall.read_only && wall.claims["tenant"] == "acme");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The name of whoever it is; given to the policy, and to logs.
    pub subject: Arc<str>,
    /// May read and subscribe, but not write.
    pub read_only: bool,
    /// When the token stops being good, by the wall clock; the connection is closed then. `None`: never.
    pub expires: Option<SystemTime>,
    /// What else the token says: `$principal.<claim>` in the [row filters](crate::Restriction) of a policy, and whatever the policy
    /// itself looks at.
    pub claims: Arc<Map<String, Value>>,
    /// The tenant that the subject is one of: its subjects share the limits `hub.…_per_tenant`, and are counted together in metrics.
    pub tenant: Option<Arc<str>>,
    /// Which token of [`StaticTokens`] it was; 0 for others. See [`StaticTokens::renew`].
    pub(crate) credential: u64,
}

impl Grant {
    /// Reading and writing, without an end.
    pub fn new(subject: impl Into<Arc<str>>) -> Self {
        Self {
            subject: subject.into(),
            read_only: false,
            expires: None,
            claims: Arc::default(),
            tenant: None,
            credential: 0,
        }
    }

    /// Takes writing away.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Adds a claim.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        Arc::make_mut(&mut self.claims).insert(name.into(), value.into());
        self
    }

    /// Sets all claims at once.
    #[must_use]
    pub fn claims(mut self, claims: Map<String, Value>) -> Self {
        self.claims = Arc::new(claims);
        self
    }

    /// Sets the tenant.
    #[must_use]
    pub fn tenant(mut self, name: impl Into<Arc<str>>) -> Self {
        self.tenant = Some(name.into());
        self
    }

    /// Sets the end.
    #[must_use]
    pub fn expires(mut self, at: SystemTime) -> Self {
        self.expires = Some(at);
        self
    }
}

/// What becomes of a connection when it is asked anew for whom it acts; see
/// [`Liveset::reauthorize`](crate::Liveset::reauthorize).
///
/// ```
/// use liveset::{Liveset, Renewal};
///
/// let liveset = Liveset::builder().build()?;
/// // Bob is no longer one of us; whatever the policy knows of the others counts from now on.
/// let ended = liveset.reauthorize(|who| if &*who.subject == "bob" { Renewal::Revoke } else { Renewal::Keep });
/// assert_eq!(ended, 0);
/// # Ok::<(), liveset::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It acts for the same; the policy is asked again.
    Keep,
    /// It acts for this from now on: until the grant says, and no longer than the token that let it in. What a grant does not say
    /// (`read_only`, claims) is not carried over.
    Replace(Grant),
    /// It is ended: `TOKEN_EXPIRED`, close 1008.
    Revoke,
}

/// Why a token stands for nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthError {
    /// It was refused. Clients are told that, and never why; it counts against their address.
    #[default]
    Refused,
    /// Nobody can tell now: whoever would know, a database or an issuer, does not answer. The client is not to blame: nothing is
    /// counted, and it is told `OVERLOADED` (close 1013), so that it comes again with the same token.
    Unavailable,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the token was refused",
            Self::Unavailable => "tokens cannot be judged now; try again later",
        })
    }
}

impl std::error::Error for AuthError {}

/// Why nobody was let in; see [`Liveset::authenticate`](crate::Liveset::authenticate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// The token was refused.
    Token,
    /// Too many tokens from this address were refused; this one was not looked at.
    TooManyFailures {
        /// When one may be again, in whole seconds.
        retry_after: Duration,
    },
    /// Whether the token is good cannot be told now; see [`AuthError::Unavailable`].
    Unavailable,
}

impl From<AuthError> for Denied {
    fn from(error: AuthError) -> Denied {
        match error {
            AuthError::Refused => Denied::Token,
            AuthError::Unavailable => Denied::Unavailable,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => AuthError::Refused.fmt(f),
            Self::Unavailable => AuthError::Unavailable.fmt(f),
            Self::TooManyFailures { retry_after } => write!(
                f,
                "Too many failed authentications from this address; try again in {} s",
                retry_after.as_secs()
            ),
        }
    }
}

impl std::error::Error for Denied {}

/// Finds out whom a token stands for.
///
/// It is asked once for every `auth` message, in a task of its own, so it may take its time: up to the session's
/// authentication deadline (`auth_timeout`, 10 s by default), after which the answer is not waited for: the client is told
/// `AUTH_TIMEOUT` (close 1008), whoever asked with [`Liveset::authenticate`](crate::Liveset::authenticate) is told
/// [`AuthError::Unavailable`]. The task is cancelled when the connection goes. A panic counts as a refusal. Where it cannot tell, it says so: [`AuthError::Unavailable`].
///
/// Every cause of a refusal should take the same time: whoever guesses tokens learns from a difference.
///
/// ```
/// use liveset::{AuthError, Authenticator, BoxFuture, Grant, Token};
///
/// struct Sessions(std::collections::HashMap<String, String>);
///
/// impl Authenticator for Sessions {
///     fn authenticate<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Result<Grant, AuthError>> {
///         Box::pin(async move {
///             let user = self.0.get(token.expose()).ok_or(AuthError::Refused)?;
///             Ok(Grant::new(user.as_str()))
///         })
///     }
/// }
///
/// let liveset = liveset::Liveset::builder().authenticator(Sessions(Default::default())).build()?;
/// # Ok::<(), liveset::BuildError>(())
/// ```
pub trait Authenticator: Send + Sync + 'static {
    /// Judges `token`.
    fn authenticate<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Result<Grant, AuthError>>;
}

impl<A: Authenticator + ?Sized> Authenticator for Arc<A> {
    fn authenticate<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Result<Grant, AuthError>> {
        (**self).authenticate(token)
    }
}

/// Takes any token, for demonstrations and tests. The subject is always `anyone`.
///
/// ```
/// use liveset::{AnyToken, Liveset};
///
/// let liveset = Liveset::builder().authenticator(AnyToken).build()?;
/// # Ok::<(), liveset::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyToken;

impl Authenticator for AnyToken {
    fn authenticate<'a>(&'a self, _: &'a Token) -> BoxFuture<'a, Result<Grant, AuthError>> {
        Box::pin(std::future::ready(Ok(Grant::new("anyone"))))
    }
}

/// Takes no token at all: what a [`Liveset`](crate::Liveset) has that was given no authenticator.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoToken;

impl Authenticator for NoToken {
    fn authenticate<'a>(&'a self, _: &'a Token) -> BoxFuture<'a, Result<Grant, AuthError>> {
        Box::pin(std::future::ready(Err(AuthError::Refused)))
    }
}

/// Makes an authenticator of a closure that returns a future.
///
/// ```
/// let authenticator = liveset::from_fn(|token| async move {
///     // Ask whoever knows. The token's text shows only where it is asked for.
///     if token.expose() == "open sesame" { Ok(liveset::Grant::new("ali baba")) } else { Err(liveset::AuthError::Refused) }
/// });
/// # let _ = authenticator;
/// ```
pub fn from_fn<F, R>(f: F) -> FromFn<F>
where
    F: Fn(Token) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Grant, AuthError>> + Send + 'static,
{
    FromFn(f)
}

/// See [`from_fn`].
#[derive(Clone, Copy)]
pub struct FromFn<F>(F);

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}

impl<F, R> Authenticator for FromFn<F>
where
    F: Fn(Token) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Grant, AuthError>> + Send + 'static,
{
    fn authenticate<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Result<Grant, AuthError>> {
        Box::pin((self.0)(token.clone()))
    }
}

/// A fixed list of tokens. A clone shares the list, so that one can be kept to [`replace`](Self::replace) it later.
///
/// Only their SHA-256 is kept. A token is compared with every one of the list in constant time, so that how long it takes tells
/// nothing of how near a guess was.
///
/// ```
/// use liveset::{Grant, StaticTokens};
///
/// let tokens = StaticTokens::new([("s3cret", Grant::new("alice")), ("v1ewer", Grant::new("bob").read_only())]);
/// let kept = tokens.clone();
/// let liveset = liveset::Liveset::builder().authenticator(tokens).build()?;
/// kept.replace([("n3w", Grant::new("alice"))]);
/// # Ok::<(), liveset::BuildError>(())
/// ```
#[derive(Clone, Default)]
pub struct StaticTokens {
    list: Arc<RwLock<Vec<Known>>>,
}

/// The hash of a token of the list, and what it entitles to.
type Known = ([u8; 32], Grant);

impl StaticTokens {
    /// The list. An empty token is never accepted. Of two equal tokens the first counts.
    pub fn new<T: Into<String>>(tokens: impl IntoIterator<Item = (T, Grant)>) -> Self {
        let made = Self::default();
        made.replace(tokens);
        made
    }

    /// Puts another list in its place. Connections that are authenticated stay as they are: see
    /// [`renew`](Self::renew).
    pub fn replace<T: Into<String>>(&self, tokens: impl IntoIterator<Item = (T, Grant)>) {
        let list: Vec<Known> = tokens
            .into_iter()
            .map(|(token, grant)| (token.into(), grant))
            .filter(|(token, _)| !token.is_empty())
            .map(|(token, grant)| {
                let hash = hash(token.as_bytes());
                let credential = credential(&hash);
                (hash, Grant { credential, ..grant })
            })
            .collect();
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = list;
    }

    /// What becomes of a connection after [`replace`](Self::replace), for [`Liveset::reauthorize`](crate::Liveset::reauthorize): it is
    /// ended where its token is gone, and has what its token entitles to now otherwise. One that was not let in by a list of tokens
    /// is kept as it is.
    ///
    /// ```
    /// # fn of(liveset: &liveset::Liveset, tokens: &liveset::StaticTokens) {
    /// let ended = liveset.reauthorize(|who| tokens.renew(who));
    /// # }
    /// ```
    pub fn renew(&self, who: &Principal) -> Renewal {
        if who.credential == 0 {
            return Renewal::Keep;
        }
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let found = list.iter().find(|(_, grant)| grant.credential == who.credential);
        found.map_or(Renewal::Revoke, |(_, grant)| Renewal::Replace(grant.clone()))
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.list.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&self, token: &[u8]) -> Result<Grant, AuthError> {
        let given = hash(token);
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let place = place(&given, list.iter().map(|(known, _)| known));
        let found = place.and_then(|place| list.get(place));
        found.map(|(_, grant)| grant.clone()).ok_or(AuthError::Refused)
    }
}

/// Where in the list it stands first, compared with every one of the list.
fn place<'a>(
    given: &[u8; 32],
    list: impl ExactSizeIterator<Item = &'a [u8; 32]> + DoubleEndedIterator,
) -> Option<usize> {
    // From the last to the first, so that the first counts; no branch tells which.
    let (mut place, mut is_known) = (0_u64, Choice::from(0));
    for (at, known) in list.enumerate().rev() {
        let is_equal = known[..].ct_eq(given);
        place.conditional_assign(&(at as u64), is_equal);
        is_known |= is_equal;
    }
    bool::from(is_known).then_some(place as usize)
}

impl fmt::Debug for StaticTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticTokens").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Authenticator for StaticTokens {
    fn authenticate<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Result<Grant, AuthError>> {
        let verdict = self.find(token.expose().as_bytes());
        Box::pin(std::future::ready(verdict))
    }
}

/// A piece of a hash that tells tokens apart; never 0.
fn credential(hash: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) | 1
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_tokens_only() {
        let tokens = StaticTokens::new([
            ("alpha", Grant::new("a")),
            ("beta", Grant::new("b")),
            ("", Grant::new("none")),
            ("beta", Grant::new("the second of the same")),
        ]);
        assert_eq!(tokens.len(), 3);
        assert_eq!(tokens.find(b"alpha").map(|grant| grant.subject), Ok("a".into()));
        assert_eq!(tokens.find(b"beta").map(|grant| grant.subject), Ok("b".into()));
        for wrong in ["", "a", "alph", "alphaa", "alphaalpha", "Alpha", "gamma"] {
            assert_eq!(tokens.find(wrong.as_bytes()), Err(AuthError::Refused), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_compared_with_every_one_of_the_list_whatever_matches() {
        let hashes = ["a", "b", "c", "b"].map(|token| hash(token.as_bytes()));
        for (given, expected) in [("a", Some(0)), ("b", Some(1)), ("c", Some(2)), ("d", None), ("", None)] {
            let mut compared = 0;
            let found = place(&hash(given.as_bytes()), hashes.iter().inspect(|_| compared += 1));
            assert_eq!((found, compared), (expected, 4), "{given:?}");
        }
    }

    #[test]
    fn a_clone_shares_the_list() {
        let tokens = StaticTokens::new([("old", Grant::new("a"))]);
        let kept = tokens.clone();
        kept.replace([("new", Grant::new("a"))]);
        assert!(tokens.find(b"old").is_err());
        assert!(tokens.find(b"new").is_ok());
    }

    #[test]
    fn no_token_shows_in_debug() {
        let tokens = StaticTokens::new([("s3cret", Grant::new("a"))]);
        assert!(!format!("{tokens:?}").contains("s3cret"));
    }
}
