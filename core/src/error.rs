//! Error codes, close codes, and the one function that leads from the first to the second.

use std::fmt;
use std::str::FromStr;

/// The `code` of an `error` message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// Not JSON, not an object, a field missing or of the wrong type.
    InvalidMessage,
    /// A `type` that the protocol does not have.
    UnknownType,
    /// A message before `auth`.
    NotAuthenticated,
    /// The token was refused.
    AuthFailed,
    /// Authentication was not complete in time.
    AuthTimeout,
    /// The principal's expiry passed.
    TokenExpired,
    /// A pong did not come in time.
    PingTimeout,
    /// The principal may not use that path, edge or field.
    Forbidden,
    /// A resource path that nobody declared.
    InvalidPath,
    /// An event type that the path does not declare.
    InvalidEvent,
    /// Edge, filter, order, limit or fields of a query are wrong.
    InvalidQuery,
    /// The id is in use on this connection.
    DuplicateId,
    /// The id is not in use on this connection.
    UnknownId,
    /// More subscriptions, live queries or held messages than a connection may have.
    LimitExceeded,
    /// More messages a second than a connection may send.
    RateLimited,
    /// A binary message.
    UnsupportedFrame,
    /// A message over the size limit.
    MessageTooLarge,
    /// The server sheds load.
    Overloaded,
    /// A position of another history.
    UnknownPosition,
    /// A fault of ours.
    Internal,
}

/// What an [`ErrorCode`] means for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consequence {
    /// The connection stays.
    Stays,
    /// The connection stays, unless it happens too often or too much at once: then it closes with this code.
    StaysAtFirst(CloseCode),
    /// The connection closes with this code.
    Closes(CloseCode),
}

impl ErrorCode {
    /// Every code, in the order of the protocol's table.
    pub const ALL: [ErrorCode; 20] = [
        ErrorCode::InvalidMessage,
        ErrorCode::UnknownType,
        ErrorCode::NotAuthenticated,
        ErrorCode::AuthFailed,
        ErrorCode::AuthTimeout,
        ErrorCode::TokenExpired,
        ErrorCode::PingTimeout,
        ErrorCode::Forbidden,
        ErrorCode::InvalidPath,
        ErrorCode::InvalidEvent,
        ErrorCode::InvalidQuery,
        ErrorCode::DuplicateId,
        ErrorCode::UnknownId,
        ErrorCode::LimitExceeded,
        ErrorCode::RateLimited,
        ErrorCode::UnsupportedFrame,
        ErrorCode::MessageTooLarge,
        ErrorCode::Overloaded,
        ErrorCode::UnknownPosition,
        ErrorCode::Internal,
    ];

    /// The code as it stands in the message: `INVALID_MESSAGE`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorCode::InvalidMessage => "INVALID_MESSAGE",
            ErrorCode::UnknownType => "UNKNOWN_TYPE",
            ErrorCode::NotAuthenticated => "NOT_AUTHENTICATED",
            ErrorCode::AuthFailed => "AUTH_FAILED",
            ErrorCode::AuthTimeout => "AUTH_TIMEOUT",
            ErrorCode::TokenExpired => "TOKEN_EXPIRED",
            ErrorCode::PingTimeout => "PING_TIMEOUT",
            ErrorCode::Forbidden => "FORBIDDEN",
            ErrorCode::InvalidPath => "INVALID_PATH",
            ErrorCode::InvalidEvent => "INVALID_EVENT",
            ErrorCode::InvalidQuery => "INVALID_QUERY",
            ErrorCode::DuplicateId => "DUPLICATE_ID",
            ErrorCode::UnknownId => "UNKNOWN_ID",
            ErrorCode::LimitExceeded => "LIMIT_EXCEEDED",
            ErrorCode::RateLimited => "RATE_LIMITED",
            ErrorCode::UnsupportedFrame => "UNSUPPORTED_FRAME",
            ErrorCode::MessageTooLarge => "MESSAGE_TOO_LARGE",
            ErrorCode::Overloaded => "OVERLOADED",
            ErrorCode::UnknownPosition => "UNKNOWN_POSITION",
            ErrorCode::Internal => "INTERNAL",
        }
    }

    /// What this code means for the connection: the third column of the protocol's table of errors, and the
    /// only place where codes become close codes.
    pub const fn consequence(self) -> Consequence {
        match self {
            ErrorCode::UnknownType
            | ErrorCode::Forbidden
            | ErrorCode::InvalidPath
            | ErrorCode::InvalidEvent
            | ErrorCode::InvalidQuery
            | ErrorCode::DuplicateId
            | ErrorCode::UnknownId
            | ErrorCode::UnknownPosition => Consequence::Stays,
            ErrorCode::InvalidMessage | ErrorCode::LimitExceeded | ErrorCode::RateLimited => {
                Consequence::StaysAtFirst(CloseCode::Policy)
            }
            ErrorCode::NotAuthenticated
            | ErrorCode::AuthFailed
            | ErrorCode::AuthTimeout
            | ErrorCode::TokenExpired
            | ErrorCode::PingTimeout => Consequence::Closes(CloseCode::Policy),
            ErrorCode::UnsupportedFrame => Consequence::Closes(CloseCode::Unsupported),
            ErrorCode::MessageTooLarge => Consequence::Closes(CloseCode::TooLarge),
            ErrorCode::Overloaded => Consequence::Closes(CloseCode::TryAgainLater),
            ErrorCode::Internal => Consequence::Closes(CloseCode::Internal),
        }
    }

    /// The close code of a connection that does close on this error.
    pub(crate) const fn close_code(self) -> CloseCode {
        match self.consequence() {
            Consequence::Stays => CloseCode::Policy,
            Consequence::StaysAtFirst(code) | Consequence::Closes(code) => code,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no [`ErrorCode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an error code of the protocol")]
pub struct UnknownErrorCode;

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<ErrorCode, UnknownErrorCode> {
        ErrorCode::ALL.into_iter().find(|code| code.as_str() == text).ok_or(UnknownErrorCode)
    }
}

/// The WebSocket close codes that the server uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum CloseCode {
    /// 1000: the client closed and was answered.
    Normal = 1000,
    /// 1001: the server shuts down.
    GoingAway = 1001,
    /// 1002: RFC 6455 was violated.
    Protocol = 1002,
    /// 1003: a binary message.
    Unsupported = 1003,
    /// 1007: text that is not UTF-8.
    InvalidData = 1007,
    /// 1008: the conversation's rules were violated.
    Policy = 1008,
    /// 1009: a message over the size limit.
    TooLarge = 1009,
    /// 1011: a fault of ours.
    Internal = 1011,
    /// 1013: the server sheds load.
    TryAgainLater = 1013,
}

impl CloseCode {
    /// The number on the wire.
    pub const fn as_u16(self) -> u16 {
        self as u16
    }
}

/// What the transport saw that no conversation survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// A violation of RFC 6455: close 1002.
    Protocol,
    /// A text message that is not UTF-8: close 1007.
    InvalidUtf8,
    /// A message over the limit: `MESSAGE_TOO_LARGE`, close 1009.
    TooLarge,
    /// A binary message: `UNSUPPORTED_FRAME`, close 1003.
    BinaryMessage,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back() {
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
        }
        assert_eq!("QUEUE_OVERFLOW".parse::<ErrorCode>(), Err(UnknownErrorCode));
    }

    #[test]
    fn the_table_of_the_protocol() {
        use Consequence::{Closes, Stays, StaysAtFirst};
        assert_eq!(ErrorCode::InvalidQuery.consequence(), Stays);
        assert_eq!(ErrorCode::RateLimited.consequence(), StaysAtFirst(CloseCode::Policy));
        assert_eq!(ErrorCode::TokenExpired.consequence(), Closes(CloseCode::Policy));
        assert_eq!(ErrorCode::UnsupportedFrame.consequence(), Closes(CloseCode::Unsupported));
        assert_eq!(ErrorCode::MessageTooLarge.consequence(), Closes(CloseCode::TooLarge));
        assert_eq!(ErrorCode::Overloaded.close_code().as_u16(), 1013);
        assert_eq!(ErrorCode::Internal.close_code().as_u16(), 1011);
    }
}
