//! JSON Web Tokens as the tokens of a [`liveset`] endpoint: an [`Authenticator`](liveset::Authenticator) that finds out
//! whom a token stands for, with keys that the issuer has published.
//!
//! ```
//! use liveset::Liveset;
//! use liveset_jwt::{JwtAuthenticator, KeySet};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = KeySet::from_pem(
//!     "-----BEGIN PUBLIC KEY-----
//!     MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
//!     -----END PUBLIC KEY-----",
//! )?;
//! let tokens = JwtAuthenticator::builder(keys)
//!     .issuer("https://issuer.example")
//!     .audience("orders-service")
//!     // Without this, who has a token may read and write.
//!     .map(|claims| match claims.has_scope("orders:write") {
//!         true => Ok(claims.grant()),
//!         false => Ok(claims.grant().read_only()),
//!     })
//!     .build()?;
//! let liveset = Liveset::builder().authenticator(tokens).build()?;
//! # Ok(())
//! # }
//! ```
//!
//! Keys come from PEM ([`KeySet::from_pem`]), a JSON Web Key Set ([`KeySet::from_jwks`]), or, with the feature `url`, from
//! the address where the issuer publishes and rotates them (`Jwks::url("https://…")?`); a client of your own can fetch
//! them too ([`FetchJwks`]).
//!
//! # What is accepted
//!
//! - **Signature**: RS256, ES256, EdDSA (Ed25519); HS256 only with [`KeySet::from_secret`]. Each key is for one algorithm.
//!   What the token's header says chooses among your keys, and never how one is used.
//! - **Header**: `alg`, `kid` and `typ` (`JWT`, `at+jwt` or none, see [`types`](JwtBuilder::types)) are read; `crit`,
//!   `b64`, `cty`, `enc` and `zip` are refused, and so is whatever brings a key along (`jwk`, `jku`, `x5c`, `x5u`). A key
//!   id is compared with those of the keys. Without one it must be clear which key is meant.
//! - **Claims**: `iss` and `aud` must be yours, `exp` must be there and to come, `nbf` and `iat` must not be to come, `sub`
//!   must be a text of 1 to 256 bytes. Times are whole seconds between 1970 and 9999. Clocks may be 60 s apart
//!   ([`leeway`](JwtBuilder::leeway)).
//! - **Form**: at most 8 KiB ([`max_token_bytes`](JwtBuilder::max_token_bytes)), looked at before anything else; base64url
//!   in its one canonical form; JSON with each key once, at most 16 levels deep.
//!
//! Claims are not even decoded before the signature has been found good.
//!
//! # Who learns what
//!
//! Clients learn that a token was refused, and nothing else. The host finds the reason ([`Refusal`]) in a `tracing` line of
//! the level DEBUG, which shows nothing of the token, or asks [`JwtAuthenticator::verify`]. The time a refusal takes depends
//! on what anybody can read off the token and the published keys; a secret of HS256 is compared in constant time.
//!
//! # Cryptography
//!
//! [jsonwebtoken](https://docs.rs/jsonwebtoken) verifies the signatures, on aws-lc-rs. It is called by its name: whatever
//! provider the process has installed for everybody is neither used nor changed.
//!
//! # Features
//!
//! | feature | default | brings |
//! | --- | --- | --- |
//! | `url` | no | `Jwks::url`: HTTP/1.1 by hyper, TLS by rustls, the authorities of the system |

mod algorithm;
mod authenticator;
mod claims;
mod jwks;
mod keys;
mod refusal;
mod rules;
mod token;
#[cfg(feature = "url")]
mod url;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use authenticator::{JwtAuthenticator, JwtBuildError, JwtBuilder, KeySource, ReplaceKeysError};
pub use claims::Claims;
pub use jwks::{FetchJwks, Jwks};
pub use keys::{KeyError, KeySet};
pub use refusal::Refusal;
#[cfg(feature = "url")]
pub use url::{UrlError, UrlFetcher};
