//! Why a token was refused. Hosts are told, in the log; clients never.

/// Why a token was refused. Says nothing of what stands in the token, so that it can be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Longer than [`max_token_bytes`](crate::JwtBuilder::max_token_bytes); nothing of it was decoded.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts with dots between them.
    #[error("not the three parts of a signed token")]
    NotCompact,
    /// A part is not base64url as RFC 7515 writes it: without padding, without spare bits, in its one form.
    #[error("a part is not base64url in its canonical form")]
    Base64,
    /// The header is no JSON object, or has a key twice.
    #[error("the header is not a JSON object with each key once")]
    HeaderJson,
    /// `crit` asks for extensions, of which none is known.
    #[error("the header has `crit`")]
    Critical,
    /// `jwk`, `jku`, `x5c` or `x5u`: the token brings the key that should judge it.
    #[error("the header brings its own key (`jwk`, `jku`, `x5c` or `x5u`)")]
    EmbeddedKey,
    /// `b64`, `cty`, `enc` or `zip`: the payload is something else than claims in base64url.
    #[error("the header says that the payload is not plain claims (`b64`, `cty`, `enc` or `zip`)")]
    Payload,
    /// `typ` is missing where one is asked for, or another one.
    #[error("the wrong type (`typ`)")]
    Type,
    /// `alg` is missing, unknown (`none` is), or not one of those that are accepted.
    #[error("the algorithm is not accepted (`alg`)")]
    Algorithm,
    /// `kid` is no text of at most 256 bytes.
    #[error("the key id is no text of at most 256 bytes (`kid`)")]
    KeyId,
    /// No key has this id and algorithm.
    #[error("no key has this id and algorithm")]
    UnknownKey,
    /// Without a key id, several keys could be meant.
    #[error("several keys could be meant, and there is no key id")]
    AmbiguousKey,
    /// Signed by another key, changed, or not signed.
    #[error("the signature is wrong")]
    Signature,
    /// The claims are no JSON object, or have a key twice.
    #[error("the claims are not a JSON object with each key once")]
    ClaimsJson,
    /// `iss` is missing, or another one.
    #[error("the wrong issuer (`iss`)")]
    Issuer,
    /// `aud` is missing, empty, no text, or somebody else.
    #[error("the wrong audience (`aud`)")]
    Audience,
    /// `sub` is missing, empty, no text, or longer than 256 bytes.
    #[error("the subject is no text of 1 to 256 bytes (`sub`)")]
    Subject,
    /// `exp` is missing.
    #[error("the token has no end (`exp`)")]
    NoExpiry,
    /// `exp`, `nbf` or `iat` is no whole number of seconds from 1970 to the year 9999.
    #[error("a time is no whole number of seconds between 1970 and 9999 (`exp`, `nbf` or `iat`)")]
    Time,
    /// `exp` is past.
    #[error("the token is expired (`exp`)")]
    Expired,
    /// `nbf` or `iat` is to come.
    #[error("the token is not valid yet (`nbf` or `iat`)")]
    NotYetValid,
    /// Not the token's fault: no keys of the issuer are known, or not this one, and they cannot be fetched now.
    #[error("the issuer's keys cannot be fetched now")]
    Unavailable,
    /// The host's own [`map`](crate::JwtBuilder::map) said no.
    #[error("the claims do not entitle to anything")]
    Claims,
}
