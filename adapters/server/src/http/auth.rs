//! `Authorization: Bearer <token>`, checked by the same authenticator as `/ws`.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use liveset::{Authenticator as _, ClientAddress, Denied, Principal, Token};
use liveset_core::{Monotonic, model::limit};

use super::{ApiError, App};
use crate::limits::{HttpLimits, count_refusal};

/// When to come again where tokens cannot be judged.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(10);

/// Whoever sent the request. Extracting it is the check.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) who: Principal,
    token: Token,
    address: Option<ClientAddress>,
    epoch: u64,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(ApiError::not_authenticated());
        };
        let (scheme, token) = value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .ok_or_else(ApiError::not_authenticated)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(ApiError::not_authenticated());
        }
        let address = parts.extensions.get::<ClientAddress>().copied();
        let caller = Caller::authenticate(app, Token::new(token.trim()), address).await?;
        match app.rates.take(&caller.who.subject, Monotonic::from_epoch(app.start.elapsed())) {
            Ok(()) => Ok(caller),
            Err(retry_after) => {
                count_refusal(limit!(HttpLimits.requests_per_second));
                Err(ApiError::rate_limited("too many requests of this subject", retry_after))
            }
        }
    }
}

impl Caller {
    async fn authenticate(
        app: &App,
        token: Token,
        address: Option<ClientAddress>,
    ) -> Result<Caller, ApiError> {
        let epoch = app.liveset.auth_epoch();
        match app.liveset.authenticate(token.expose(), address).await {
            Ok(who) => Ok(Caller { who, token, address, epoch }),
            Err(denied @ Denied::TooManyFailures { retry_after }) => {
                Err(ApiError::rate_limited(denied.to_string(), retry_after))
            }
            Err(denied @ Denied::Unavailable) => {
                Err(ApiError::unavailable(denied.to_string(), RETRY_UNAVAILABLE))
            }
            Err(_) => {
                metrics::counter!("liveset_http_auth_failures_total").increment(1);
                Err(ApiError::auth_failed())
            }
        }
    }

    /// The same as they are now: a body may take its time, and meanwhile tokens are taken back.
    ///
    /// # Errors
    ///
    /// 401 where the token is none any more.
    pub(super) async fn still(self, app: &App) -> Result<Caller, ApiError> {
        match app.liveset.auth_epoch() == self.epoch {
            true => Ok(self),
            false => Caller::authenticate(app, self.token, self.address).await,
        }
    }

    /// The same for a request that goes on and on: as they are now, if they may still write.
    ///
    /// # Errors
    ///
    /// 401 where the token is none any more, or has expired; 403 where the policy does not let them write any more.
    pub(super) async fn still_writes(self, app: &App) -> Result<Caller, ApiError> {
        if app.liveset.has_expired(&self.who) {
            return Err(ApiError::auth_failed());
        }
        if app.liveset.auth_epoch() == self.epoch {
            return Ok(self);
        }
        let caller = self.still(app).await?;
        caller.may_write(app)?;
        Ok(caller)
    }

    /// # Errors
    ///
    /// 403 where the token is not one of an administrator.
    pub(super) async fn may_administer(&self, app: &App) -> Result<(), ApiError> {
        match app.options.admins.authenticate(&self.token).await {
            Ok(_) => Ok(()),
            Err(_) => Err(ApiError::forbidden("this needs a token of [auth] with `admin = true`")),
        }
    }

    /// # Errors
    ///
    /// 403 where the policy does not let them write.
    pub(super) fn may_write(&self, app: &App) -> Result<(), ApiError> {
        match app.liveset.may_write(&self.who) {
            true => Ok(()),
            false => Err(ApiError::forbidden(self.why_it_may_not_write(app))),
        }
    }

    /// What would have been needed.
    fn why_it_may_not_write(&self, app: &App) -> String {
        let subject = &self.who.subject;
        if self.who.read_only {
            return format!(
                "the token of {subject:?} is read-only: writing needs one that is not (`read_only` in [auth], `write_scope` in [jwt])"
            );
        }
        match app.rules.hidden_from(&self.who) {
            Some(set) => format!(
                "{subject:?} does not see all of set {set:?}, and an answer to a write tells what is in it: writing needs a \
                 [[policy]] for this set and subject without `rows` and `fields`"
            ),
            None => format!("the policy does not let {subject:?} write"),
        }
    }
}
