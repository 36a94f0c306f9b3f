//! What a request that fails is answered: a status, a code and a message, as JSON.

use std::fmt;
use std::time::Duration;

use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use liveset::CommitError;
use liveset_engine::OpProblem;
use serde::Serialize;

/// Which realm a browser or a client is told to authenticate for.
const CHALLENGE: &str = "Bearer realm=\"liveset\"";

/// The longest message, in characters.
const MAX_MESSAGE_CHARS: usize = 2_000;

/// A request that failed. The codes of the wire protocol are used where they fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after: Option<Duration>,
    stopped: Option<Stopped>,
}

/// Where a stream of commits stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stopped {
    /// The line that was refused, from 1.
    pub line: u64,
    /// How many commits before it were applied.
    pub applied: u64,
    /// How many nodes have another value by these.
    pub changed: u64,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let mut message = message.into();
        // Some quote the request, which may be large.
        if let Some((cut, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
            message.truncate(cut);
            message.push('…');
        }
        ApiError { status, code, message, retry_after: None, stopped: None }
    }

    /// The same, of a line of a stream of commits.
    #[must_use]
    pub fn of_line(self, stopped: Stopped) -> Self {
        ApiError { stopped: Some(stopped), ..self }
    }

    /// The status that is answered.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// 400: the body is not JSON, or not of the form that the endpoint takes.
    pub fn invalid_message(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::BAD_REQUEST, "INVALID_MESSAGE", message)
    }

    /// 401: there is no `Authorization: Bearer …`.
    pub fn not_authenticated() -> Self {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "NOT_AUTHENTICATED",
            "this needs a token: Authorization: Bearer <token>",
        )
    }

    /// 401: the token was refused; never why.
    pub fn auth_failed() -> Self {
        ApiError::new(StatusCode::UNAUTHORIZED, "AUTH_FAILED", "the token was refused")
    }

    /// 403: the token is good, but not for this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
    }

    /// 404: there is no such endpoint.
    pub fn not_found(path: &str) -> Self {
        ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("there is nothing at {path}"))
    }

    /// 404: there is no such connection.
    pub fn no_connection() -> Self {
        ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is no such connection")
    }

    /// 405: the endpoint is there, the method is not.
    pub fn method_not_allowed() -> Self {
        ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            "that method is not for this path",
        )
    }

    /// 408: the body did not arrive in time.
    pub fn too_slow() -> Self {
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "TIMEOUT", "the body did not arrive in time")
    }

    /// 413: the body is larger than the limit.
    pub fn too_large(limit: usize) -> Self {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "MESSAGE_TOO_LARGE",
            format!("the body is larger than the limit of {limit} bytes"),
        )
    }

    /// 413: what came together is larger than the limit.
    pub fn too_large_together(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "MESSAGE_TOO_LARGE", message)
    }

    /// 409: something is not as it has to be.
    pub fn conflict(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::CONFLICT, "CONFLICT", message)
    }

    /// 422: readable, but refused: a node, a query or an event.
    pub fn refused(code: &'static str, message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// A commit that was not made: 409 where a row is not as it needs, 404 where there is none to patch, 422 where it was refused
    /// otherwise, 503 where it cannot be kept now, 500.
    pub fn not_committed(error: CommitError) -> Self {
        match error {
            CommitError::Internal => ApiError::internal(),
            CommitError::NotKept(error) => ApiError::overloaded(error.to_string()),
            error @ CommitError::ReadOnly { .. } => {
                ApiError::new(StatusCode::FORBIDDEN, "READ_ONLY_SET", error.to_string())
            }
            CommitError::Conflict(conflict) => ApiError::conflict(conflict.to_string()),
            CommitError::Refused(refused) => match *refused.problem {
                OpProblem::NotFound { .. } => {
                    ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", refused.to_string())
                }
                OpProblem::Condition { .. } => ApiError::refused("INVALID_QUERY", refused.to_string()),
                OpProblem::ConditionTooDear { .. } | OpProblem::TooMuchWork { .. } => {
                    ApiError::refused("LIMIT_EXCEEDED", refused.to_string())
                }
                _ => ApiError::refused("INVALID_NODE", refused.to_string()),
            },
            refused => ApiError::refused("INVALID_NODE", refused.to_string()),
        }
    }

    /// 429: not again before so long.
    pub fn rate_limited(message: impl Into<String>, retry_after: Duration) -> Self {
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message);
        ApiError { retry_after: Some(retry_after), ..error }
    }

    /// 503: not now.
    pub fn overloaded(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", message)
    }

    /// 503: not now, and not before so long.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        ApiError { retry_after: Some(retry_after), ..ApiError::overloaded(message) }
    }

    /// 500: a fault of ours. What it was stands in the log, not in the answer.
    pub fn internal() -> Self {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "a fault of the server")
    }
}

/// A body of JSON text with its content type.
pub(super) fn json(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body.into()).into_response()
}

/// Code and message.
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            code: &'a str,
            message: &'a str,
            #[serde(flatten, skip_serializing_if = "Option::is_none")]
            stopped: Option<Stopped>,
        }
        // Writing texts and numbers as JSON cannot fail.
        let body = Body { code: self.code, message: &self.message, stopped: self.stopped };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = json(self.status, body);
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
            }
            // What is left of the body will not be read, so the connection cannot be used again.
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // The router adds which methods there are, unless something stands here already.
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.remove(ALLOW);
            }
            _ => {}
        }
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use liveset::{Liveset, SetDef};

    use super::*;

    #[test]
    fn a_set_of_a_source_is_read_only() {
        let liveset = Liveset::builder().set_from("market", SetDef::new("prices")).build().unwrap();
        let error = liveset.commit(|tx| tx.remove("prices", 1)).unwrap_err();
        let error = ApiError::not_committed(error);
        assert_eq!(error.status(), StatusCode::FORBIDDEN);
        assert_eq!(
            error.to_string(),
            "READ_ONLY_SET: set 'prices' is read only: its commits come from the source 'market'"
        );
    }
}
