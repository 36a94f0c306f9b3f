//! `Authorization: Bearer <token>`, checked by the same authenticator as `/ws`.

use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use liveset::{ClientAddress, Denied, Principal};

use super::{ApiError, App};

/// When to come again where tokens cannot be judged.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(10);

/// Whoever sent the request. Extracting it is the check.
#[derive(Debug)]
pub(super) struct Caller(pub(super) Principal);

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
        match app.liveset.authenticate_from(token.trim(), address).await {
            Ok(principal) => match app.rates.take(&principal.subject, Instant::now()) {
                Ok(()) => Ok(Caller(principal)),
                Err(retry_after) => {
                    metrics::counter!("liveset_limit_refusals_total", "limit" => "http.requests_per_second")
                        .increment(1);
                    Err(ApiError::rate_limited("too many requests of this subject", retry_after))
                }
            },
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
}

impl Caller {
    /// # Errors
    ///
    /// 403 where the policy does not let them write.
    pub(super) fn may_write(&self, app: &App) -> Result<(), ApiError> {
        match app.liveset.may_write(&self.0) {
            true => Ok(()),
            false => Err(ApiError::forbidden("this token may only read")),
        }
    }
}
