//! What a token must say to be accepted.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::token::Compact;
use crate::{Algorithm, Claims, KeySet, Refusal};

/// What a token must say.
pub(crate) struct Rules {
    pub(crate) issuer: Box<str>,
    /// `None`: whomever it is for.
    pub(crate) audiences: Option<Vec<Box<str>>>,
    /// `None`: any that there is a key for.
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    /// `None`: `JWT`, `at+jwt`, or none.
    pub(crate) kinds: Option<Vec<Box<str>>>,
    pub(crate) leeway: Duration,
    pub(crate) max_token_bytes: usize,
    pub(crate) clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl Rules {
    /// What can be told before a key is looked for.
    pub(crate) fn read<'a>(&self, token: &'a str) -> Result<Compact<'a>, Refusal> {
        let token = Compact::parse(token, self.max_token_bytes)?;
        if self.algorithms.as_ref().is_some_and(|accepted| !accepted.contains(&token.algorithm)) {
            return Err(Refusal::Algorithm);
        }
        // RFC 8725, 3.11: another kind of token from the same issuer is no access token.
        let is_kind = match (&self.kinds, &token.kind) {
            (Some(kinds), Some(kind)) => kinds.iter().any(|listed| listed.eq_ignore_ascii_case(kind)),
            (Some(_), None) => false,
            (None, Some(kind)) => ["JWT", "at+jwt"].iter().any(|usual| usual.eq_ignore_ascii_case(kind)),
            (None, None) => true,
        };
        if is_kind { Ok(token) } else { Err(Refusal::Type) }
    }

    /// The claims of a token. They are not even decoded before the signature has been found good.
    pub(crate) fn judge(&self, token: &Compact<'_>, keys: &KeySet) -> Result<Claims, Refusal> {
        keys.find(token.algorithm, token.key_id.as_deref())?.verify(token)?;
        Claims::read(&token.claims()?, self, (self.clock)())
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("algorithms", &self.algorithms)
            .field("kinds", &self.kinds)
            .field("leeway", &self.leeway)
            .field("max_token_bytes", &self.max_token_bytes)
            .finish_non_exhaustive()
    }
}
