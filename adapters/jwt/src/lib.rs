//! JSON Web Tokens as the tokens of a [`liveset`] endpoint.
#![warn(missing_docs)]

mod algorithm;
mod authenticator;
mod claims;
#[cfg(any(fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod jwks;
mod keys;
mod refusal;
mod rules;
mod token;
#[cfg(feature = "url")]
mod url;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use authenticator::{JwtAuthenticator, JwtBuildError, JwtBuilder, KeySource};
pub use claims::Claims;
pub use jwks::{FetchJwks, Jwks};
pub use keys::{KeyError, KeySet};
pub use refusal::Refusal;
#[cfg(feature = "url")]
pub use url::{UrlError, UrlFetcher};
