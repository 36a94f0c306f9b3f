//! The authenticator, and the count of its refusals.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use liveset_core::{Monotonic, Token};
use liveset_hub::Principal;

use crate::address::ClientAddress;
use crate::auth::{AuthError, Authenticator, Denied, Grant};
use crate::contain::{Panicked, contain_future};
use crate::failures::Failures;
use crate::telemetry;

/// Authentication, with the state that is its own. It knows no connection.
pub(crate) struct Door {
    authenticator: Box<dyn Authenticator>,
    failures: Failures,
    /// For how long a verdict is waited for; a session bounds this itself.
    patience: Duration,
    /// Where the monotonic clock begins.
    pub(crate) start: tokio::time::Instant,
    /// Counts up whenever principals are looked at again: what was verified before is verified again.
    epoch: AtomicU64,
}

impl Door {
    pub(crate) fn new(
        authenticator: Box<dyn Authenticator>,
        failures: Failures,
        patience: Duration,
        start: tokio::time::Instant,
    ) -> Self {
        Self { authenticator, failures, patience, start, epoch: AtomicU64::new(0) }
    }

    fn now(&self) -> Monotonic {
        Monotonic::from_epoch(self.start.elapsed())
    }

    /// Has everything verified again that was verified before.
    pub(crate) fn begin_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Asks the authenticator about a token from an address, unless too many from there were refused.
    pub(crate) async fn authenticate(
        &self,
        token: &Token,
        address: Option<ClientAddress>,
    ) -> Result<Principal, Denied> {
        self.check_address(address)?;
        let judged = self.judge_in_time(token).await;
        if judged.is_refusal() && self.count_failure(address) {
            log_lock_out(address);
        }
        Ok(judged.verdict()?)
    }

    pub(crate) fn check_address(&self, address: Option<ClientAddress>) -> Result<(), Denied> {
        self.failures.check(address, self.now()).map_err(|wait| {
            telemetry::unauthenticated();
            Denied::TooManyFailures { retry_after: Duration::from_secs(wait.seconds()) }
        })
    }

    /// True where it was the one too many.
    pub(crate) fn count_failure(&self, address: Option<ClientAddress>) -> bool {
        self.failures.count(address, self.now())
    }

    /// Asks the authenticator, and waits for it as long as a session would.
    async fn judge_in_time(&self, token: &Token) -> Judged {
        let patience = self.patience;
        tokio::time::timeout(patience, self.judge(token)).await.unwrap_or_else(|_| {
            telemetry::authenticated("late", patience);
            tracing::warn!(?patience, "the authenticator did not answer in time");
            Judged::Verdict(Err(AuthError::Unavailable))
        })
    }

    /// Asks the authenticator.
    pub(crate) async fn judge(&self, token: &Token) -> Judged {
        let started = tokio::time::Instant::now();
        let verdict = contain_future(async { self.authenticator.authenticate(token).await }).await;
        let outcome = match &verdict {
            Ok(Ok(_)) => "accepted",
            Ok(Err(AuthError::Refused)) => "refused",
            Ok(Err(AuthError::Unavailable)) => "unavailable",
            Err(Panicked) => "panicked",
        };
        telemetry::authenticated(outcome, started.elapsed());
        match verdict {
            Ok(verdict) => Judged::Verdict(verdict.and_then(|grant| self.principal(grant))),
            Err(Panicked) => {
                telemetry::panicked("authenticator");
                tracing::error!("the authenticator panicked; the token counts as refused");
                Judged::Panicked
            }
        }
    }

    /// Whatever somebody is from now on, the token that let them in is the same: it ends when it did, and with the list that it is of.
    pub(crate) fn replaced(&self, who: &Principal, grant: Grant) -> Option<Principal> {
        let mut replaced = self.principal(grant).ok()?;
        replaced.expires = match (replaced.expires, who.expires) {
            (Some(new), Some(old)) => Some(new.min(old)),
            (new, old) => new.or(old),
        };
        if replaced.credential == 0 {
            replaced.credential = who.credential;
        }
        Some(replaced)
    }

    pub(crate) fn has_expired(&self, who: &Principal) -> bool {
        who.expires.is_some_and(|at| at <= self.now())
    }

    /// Counts revocations and renewals.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The end of a grant is given by the wall clock of the world, whatever clock the data goes by, and kept by the
    /// monotonic one.
    fn principal(&self, grant: Grant) -> Result<Principal, AuthError> {
        let mut principal = Principal::new(grant.subject);
        principal.read_only = grant.read_only;
        principal.claims = grant.claims;
        principal.tenant = grant.tenant;
        principal.credential = grant.credential;
        if let Some(at) = grant.expires {
            let left = at.duration_since(std::time::SystemTime::now()).map_err(|_| AuthError::Refused)?;
            principal.expires = Some(self.now().saturating_add(left));
        }
        Ok(principal)
    }
}

/// The answer to a token.
pub(crate) enum Judged {
    Verdict(Result<Principal, AuthError>),
    /// The client is told the same as of a refusal, but it is not to blame.
    Panicked,
}

impl Judged {
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Judged::Verdict(Err(AuthError::Refused)))
    }

    pub(crate) fn verdict(self) -> Result<Principal, AuthError> {
        match self {
            Judged::Verdict(verdict) => verdict,
            Judged::Panicked => Err(AuthError::Refused),
        }
    }
}

/// Outside of the lock, as every line of the log.
pub(crate) fn log_lock_out(address: Option<ClientAddress>) {
    if let Some(ClientAddress(address)) = address {
        tracing::warn!(%address, "too many failed authentications from this address: its tokens are not looked at for a while");
    }
}
