//! Authentication: verifies tokens, and asks again for whom open connections act.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use liveset_core::{Attempt, ErrorCode, Token};
use liveset_hub::{AuthRefused, Principal};
use tracing::Instrument;

use super::Shared;
use crate::address::ClientAddress;
use crate::auth::{AuthError, Denied, Grant, Renewal};
use crate::contain::{Panicked, contain, contain_future};
use crate::peer::Peer;
use crate::telemetry;

/// How often it is looked whether a client has sent more while what it sent was read.
const HELD_ROUNDS: usize = 4;

impl Shared {
    /// Asks the authenticator in a task of its own, which ends with the connection.
    pub(super) fn verify(self: &Arc<Self>, peer: &Arc<Peer>, attempt: Attempt, token: Token) {
        if let Err(denied) = self.check_address(peer.address()) {
            peer.span().in_scope(|| tracing::debug!(%denied, "a token was not looked at"));
            let message = denied.to_string();
            return self.run_for(peer, |hub, now, conn| {
                hub.deny(now, conn, attempt, ErrorCode::RateLimited, &message);
            });
        }
        let shared = self.clone();
        let of = peer.clone();
        let asking = async move {
            loop {
                let asked_in = shared.auth_epoch.load(Ordering::Acquire);
                let judged = shared.judge(&token).await;
                if matches!(judged, Judged::Verdict(Ok(_))) {
                    shared.read_held(&of);
                }
                let mut is_stale = false;
                let mut one_too_many = false;
                shared.run_for(&of, |hub, now, conn| {
                    // Asked before something was taken back: asked again.
                    is_stale = shared.auth_epoch.load(Ordering::Acquire) != asked_in;
                    if !is_stale {
                        // Before the client can know of it.
                        one_too_many = judged.is_refusal() && shared.count_failure(of.address());
                        match judged.verdict() {
                            Err(error @ AuthError::Unavailable) => {
                                hub.deny(now, conn, attempt, ErrorCode::Overloaded, &error.to_string());
                            }
                            Err(AuthError::Refused) => {
                                hub.handle_verdict(now, conn, attempt, Err(AuthRefused));
                            }
                            Ok(principal) => {
                                hub.handle_verdict(now, conn, attempt, Ok(principal));
                                if hub.principal(conn).is_some() {
                                    of.set_known();
                                }
                            }
                        }
                    }
                });
                if one_too_many {
                    log_lock_out(of.address());
                }
                if !is_stale {
                    return;
                }
            }
        };
        let task = peer.runtime().spawn(asking.instrument(peer.span().clone()));
        peer.keep_verification(task.abort_handle());
    }

    /// Reads what a client sent before its token was accepted, outside of the lock. It may still be sending.
    fn read_held(self: &Arc<Self>, peer: &Peer) {
        for _ in 0..HELD_ROUNDS {
            let texts = self.look(|hub| hub.held_texts(peer.id()));
            let read = || texts.iter().map(|text| self.parser.message(text)).collect();
            match contain(read) {
                // Where the parser panics, it does so again when the messages are handled, and that is dealt with.
                Err(Panicked) => return,
                Ok(_) if texts.is_empty() => return,
                Ok(messages) => self.run_for(peer, |hub, _, conn| hub.read_held(conn, messages)),
            }
        }
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

    fn check_address(&self, address: Option<ClientAddress>) -> Result<(), Denied> {
        self.door.failures.check(address, self.monotonic()).map_err(|wait| {
            telemetry::unauthenticated();
            Denied::TooManyFailures { retry_after: Duration::from_secs(wait.seconds()) }
        })
    }

    /// True where it was the one too many.
    fn count_failure(&self, address: Option<ClientAddress>) -> bool {
        self.door.failures.count(address, self.monotonic())
    }

    /// Asks the authenticator, and waits for it as long as a session would.
    async fn judge_in_time(&self, token: &Token) -> Judged {
        let patience = self.door.patience;
        tokio::time::timeout(patience, self.judge(token)).await.unwrap_or_else(|_| {
            telemetry::authenticated("late", patience);
            tracing::warn!(?patience, "the authenticator did not answer in time");
            Judged::Verdict(Err(AuthError::Unavailable))
        })
    }

    /// Asks the authenticator.
    async fn judge(&self, token: &Token) -> Judged {
        let started = tokio::time::Instant::now();
        let verdict = contain_future(async { self.door.authenticator.authenticate(token).await }).await;
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

    /// Asks anew for whom each connection acts; returns how many were ended.
    pub(crate) fn reauthorize(
        self: &Arc<Self>,
        mut renew: impl FnMut(&Principal) -> Renewal,
    ) -> Result<usize, Panicked> {
        // Whoever is let in from here on was judged by what is true now.
        let mut left = self.run(|hub, _| {
            self.auth_epoch.fetch_add(1, Ordering::AcqRel);
            hub.connection_ids()
        })?;
        let mut ended = 0;
        while !left.is_empty() {
            ended += self.run(|hub, now| {
                hub.reauthorize_some(now, &mut left, |who| match renew(who) {
                    Renewal::Keep => Some(who.clone()),
                    Renewal::Replace(grant) => self.replaced(who, grant),
                    Renewal::Revoke => None,
                })
            })?;
        }
        Ok(ended)
    }

    /// Whatever somebody is from now on, the token that let them in is the same: it ends when it did, and with the list that it is of.
    fn replaced(&self, who: &Principal, grant: Grant) -> Option<Principal> {
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

    /// How often principals were asked for anew.
    pub(crate) fn auth_epoch(&self) -> u64 {
        self.auth_epoch.load(Ordering::Acquire)
    }

    /// Ends every connection of a subject; returns how many those were.
    pub(crate) fn revoke(self: &Arc<Self>, subject: &str) -> Result<usize, Panicked> {
        self.run(|hub, now| {
            self.auth_epoch.fetch_add(1, Ordering::AcqRel);
            hub.revoke(now, subject)
        })
    }

    /// The end of a grant is given by the wall clock of the world, whatever clock the data goes by, and kept by the
    /// monotonic one.
    fn principal(&self, grant: Grant) -> Result<Principal, AuthError> {
        let mut principal = Principal::new(grant.subject);
        principal.read_only = grant.read_only;
        principal.claims = grant.claims;
        principal.credential = grant.credential;
        if let Some(at) = grant.expires {
            let left = at.duration_since(std::time::SystemTime::now()).map_err(|_| AuthError::Refused)?;
            principal.expires = Some(self.monotonic().saturating_add(left));
        }
        Ok(principal)
    }
}

/// What came of a token.
enum Judged {
    Verdict(Result<Principal, AuthError>),
    /// The client is told the same as of a refusal, but it is not to blame.
    Panicked,
}

impl Judged {
    fn is_refusal(&self) -> bool {
        matches!(self, Judged::Verdict(Err(AuthError::Refused)))
    }

    fn verdict(self) -> Result<Principal, AuthError> {
        match self {
            Judged::Verdict(verdict) => verdict,
            Judged::Panicked => Err(AuthError::Refused),
        }
    }
}

/// Outside of the lock, as every line of the log.
fn log_lock_out(address: Option<ClientAddress>) {
    if let Some(ClientAddress(address)) = address {
        tracing::warn!(%address, "too many failed authentications from this address: its tokens are not looked at for a while");
    }
}
