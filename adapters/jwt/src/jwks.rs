//! A key set that is fetched, kept, and fetched again.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use liveset::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::{Algorithm, KeySet, Refusal};

/// Gets the text of a JSON Web Key Set from wherever it is.
///
/// [`Jwks`] sees to it that one call is under way at a time, that it ends in time, and that calls are rare.
pub trait FetchJwks: Send + Sync + 'static {
    /// The text. The error is logged.
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>>;
}

/// A key set that an issuer publishes, and changes now and then. A clone shares it.
///
/// It is fetched for the first token that needs it, again when it is older than [`max_age`](Self::max_age), and again for
/// a token whose key is not in it, or whose signature is wrong where no id says which key is meant: that is how issuers
/// rotate their keys. Two fetches begin at least
/// [`min_interval`](Self::min_interval) apart, whatever tokens ask for. One fetch is under way at a time, for everybody that
/// waits, and goes on when they leave. A token whose key is known waits for none. A fetch that fails, or brings something
/// else than a key set, changes nothing, until the set is older than [`max_stale`](Self::max_stale): then nothing in it
/// is believed any more. Where no keys are known, or the last fetch failed and a token's key is not known, the token cannot be
/// judged ([`AuthError::Unavailable`](liveset::AuthError::Unavailable)).
///
/// ```
/// # #[cfg(feature = "url")] {
/// use std::time::Duration;
/// use liveset_jwt::{Jwks, JwtAuthenticator};
///
/// let keys = Jwks::url("https://issuer.example/jwks.json")?.max_age(Duration::from_secs(300));
/// let tokens = JwtAuthenticator::builder(keys).issuer("https://issuer.example").audience("orders").build()?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Jwks {
    shared: Arc<Shared>,
    max_age: Duration,
    max_stale: Duration,
    min_interval: Duration,
    timeout: Duration,
}

struct Shared {
    fetcher: Box<dyn FetchJwks>,
    state: Mutex<State>,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// When the fetch that brought them began.
    as_of: Option<Instant>,
    last_begin: Option<Instant>,
    is_fetching: bool,
    /// The last fetch that has ended brought no keys.
    has_failed: bool,
}

impl Jwks {
    /// A set that `fetcher` gets.
    pub fn new(fetcher: impl FetchJwks) -> Jwks {
        Jwks {
            shared: Arc::new(Shared {
                fetcher: Box::new(fetcher),
                state: Mutex::default(),
                ended: watch::Sender::new(0),
            }),
            max_age: Duration::from_secs(600),
            max_stale: Duration::from_secs(24 * 60 * 60),
            min_interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
        }
    }

    /// How old the set may become before the next token fetches it again. That token, and those that come while the
    /// fetch is under way, are still judged by the old set. Default 10 min.
    ///
    /// A key that the issuer has withdrawn is believed as long, where tokens come all the time and fetches succeed; in any
    /// case no longer than [`max_stale`](Self::max_stale).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// How old the set may become at all: then its keys are not believed any more, and tokens wait for a fetch. Where the
    /// issuer cannot be reached for so long, nobody is let in. Default 24 h; not shorter than
    /// [`max_age`](Self::max_age).
    #[must_use]
    pub fn max_stale(mut self, age: Duration) -> Self {
        self.max_stale = age;
        self
    }

    /// How long after the beginning of a fetch no other begins. Default 10 s.
    #[must_use]
    pub fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = interval;
        self
    }

    /// How long a fetch may take. Default 5 s; keep it under the session's authentication deadline.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Fetches the set now, unless it is known already: so that a wrong address shows at the start.
    ///
    /// Says whether there are keys. What went wrong is in the log.
    pub async fn prefetch(&self) -> bool {
        self.current(|_| true).await.is_some()
    }

    /// The set, fetched again if it is too old or has no key for such a token. Where there is none, or no such key though
    /// the issuer may have it, nobody can tell.
    pub(crate) async fn keys_for(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<Arc<KeySet>, Refusal> {
        if algorithm == Algorithm::Hs256 {
            // No set that is published has a secret in it.
            return Err(Refusal::UnknownKey);
        }
        let has_key = |keys: &KeySet| !matches!(keys.find(algorithm, id), Err(Refusal::UnknownKey));
        let keys = self.current(has_key).await.ok_or(Refusal::Unavailable)?;
        match !has_key(&keys) && self.shared.lock().has_failed {
            true => Err(Refusal::Unavailable),
            false => Ok(keys),
        }
    }

    /// Another set than this one, fetched if need be.
    pub(crate) async fn newer_than(&self, keys: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let mut ended = self.shared.ended.subscribe();
        let newer = || {
            let believed = self.believed(Instant::now());
            believed.map(|(found, _)| found).filter(|found| !Arc::ptr_eq(found, keys))
        };
        if let Some(found) = newer() {
            return Some(found);
        }
        if self.refresh(Instant::now()) {
            let _ = ended.changed().await;
        }
        newer()
    }

    async fn current(&self, has_key: impl Fn(&KeySet) -> bool) -> Option<Arc<KeySet>> {
        // Subscribed before the state is looked at, so that no end is missed in between.
        let mut ended = self.shared.ended.subscribe();
        let now = Instant::now();
        let known = self.believed(now).filter(|(keys, _)| has_key(keys));
        if let Some((keys, age)) = known {
            if age >= self.max_age {
                self.refresh(now);
            }
            return Some(keys);
        }
        if self.refresh(now) {
            // The sender is in `self`, so there is an end to see.
            let _ = ended.changed().await;
        }
        self.believed(Instant::now()).map(|(keys, _)| keys)
    }

    /// The set, and how old it is, unless that is too old.
    fn believed(&self, now: Instant) -> Option<(Arc<KeySet>, Duration)> {
        let state = self.shared.lock();
        let age = now.duration_since(state.as_of?);
        let keys = state.keys.as_ref().filter(|_| age < self.max_stale.max(self.max_age))?;
        Some((keys.clone(), age))
    }

    /// Begins a fetch, unless one is under way or the last has begun a moment ago. Says whether one is under way.
    fn refresh(&self, now: Instant) -> bool {
        let ending = {
            let mut state = self.shared.lock();
            if state.is_fetching {
                return true;
            }
            if state.last_begin.is_some_and(|begin| now.duration_since(begin) < self.min_interval) {
                return false;
            }
            state.is_fetching = true;
            state.last_begin = Some(now);
            Ending(self.shared.clone())
        };
        // Not under the lock, which `ending` takes if the runtime does not want the task.
        tokio::spawn(fetch(ending, now, self.timeout));
        true
    }
}

/// One fetch.
async fn fetch(ending: Ending, begin: Instant, timeout: Duration) {
    let Ending(shared) = &ending;
    let fetched = tokio::time::timeout(timeout, shared.fetcher.fetch()).await;
    let keys = match fetched {
        Ok(Ok(text)) => KeySet::from_jwks(&text).map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(format!("no answer within {timeout:?}")),
    };
    match keys {
        Ok(keys) => {
            let (count, passed_over) = (keys.len(), keys.passed_over);
            let before = {
                let mut state = shared.lock();
                state.as_of = Some(begin);
                state.keys.replace(Arc::new(keys)).map_or(0, |keys| keys.passed_over)
            };
            tracing::debug!(keys = count, "fetched the key set");
            // Once, and not with every fetch.
            if passed_over > 0 && passed_over != before {
                tracing::warn!(keys = count, passed_over, "the key set has keys that cannot be used");
            }
        }
        Err(error) => tracing::warn!(%error, "cannot fetch the key set; what was known stays"),
    }
}

/// Tells the end of a fetch, whatever happens: the fetcher panics, or the task is never run.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        {
            let mut state = self.0.lock();
            state.is_fetching = false;
            state.has_failed = state.as_of != state.last_begin;
        }
        self.0.ended.send_modify(|ended| *ended = ended.wrapping_add(1));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("keys", &self.shared.lock().keys).finish_non_exhaustive()
    }
}
