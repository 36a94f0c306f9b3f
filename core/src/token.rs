//! A client's secret, kept out of logs.

use std::fmt;

/// The token of an `auth` message. `Debug` shows none of it.
///
/// ```
/// use liveset_core::Token;
///
/// let token = Token::new("s3cret");
/// assert_eq!(token.expose(), "s3cret");
/// assert!(!format!("{token:?}").contains("s3cret"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// Wraps a secret.
    pub fn new(secret: impl Into<Box<str>>) -> Token {
        Token(secret.into())
    }

    /// The secret itself. Compare it in constant time.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        assert_eq!(format!("{:?}", Token::new("hunter2")), "Token(…)");
    }
}
