//! Authentication: verifies tokens, and asks again for whom open connections act.

use std::sync::Arc;

use liveset_core::{Attempt, ErrorCode, Token};
use liveset_hub::{AuthRefused, Principal};
use tracing::Instrument;

use super::Shared;
use crate::auth::{AuthError, Renewal};
use crate::contain::{Panicked, contain};
use crate::door::{Judged, log_lock_out};
use crate::peer::Peer;

/// How often it is looked whether a client has sent more while what it sent was read.
const HELD_ROUNDS: usize = 4;

impl Shared {
    /// Asks the authenticator in a task of its own, which ends with the connection.
    pub(super) fn verify(self: &Arc<Self>, peer: &Arc<Peer>, attempt: Attempt, token: Token) {
        if let Err(denied) = self.door.check_address(peer.address()) {
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
                let asked_in = shared.door.epoch();
                let judged = shared.door.judge(&token).await;
                if matches!(judged, Judged::Verdict(Ok(_))) {
                    shared.read_held(&of);
                }
                let mut is_stale = false;
                let mut one_too_many = false;
                shared.run_for(&of, |hub, now, conn| {
                    // Asked before something was taken back: asked again.
                    is_stale = shared.door.epoch() != asked_in;
                    if !is_stale {
                        // Before the client can know of it.
                        one_too_many = judged.is_refusal() && shared.door.count_failure(of.address());
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

    /// Asks anew for whom each connection acts; returns how many were ended.
    pub(crate) fn reauthorize(
        self: &Arc<Self>,
        mut renew: impl FnMut(&Principal) -> Renewal,
    ) -> Result<usize, Panicked> {
        // Whoever is let in from here on was judged by what is true now.
        let mut left = self.run(|hub, _| {
            self.door.begin_epoch();
            hub.connection_ids()
        })?;
        let mut ended = 0;
        while !left.is_empty() {
            ended += self.run(|hub, now| {
                hub.reauthorize_some(now, &mut left, |who| match renew(who) {
                    Renewal::Keep => Some(who.clone()),
                    Renewal::Replace(grant) => self.door.replaced(who, grant),
                    Renewal::Revoke => None,
                })
            })?;
        }
        Ok(ended)
    }

    /// Ends every connection of a subject; returns how many those were.
    pub(crate) fn revoke(self: &Arc<Self>, subject: &str) -> Result<usize, Panicked> {
        self.run(|hub, now| {
            self.door.begin_epoch();
            hub.revoke(now, subject)
        })
    }
}
