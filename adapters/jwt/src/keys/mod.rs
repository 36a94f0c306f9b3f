//! The keys that signatures are verified with, each for one algorithm.

use std::fmt;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;

use crate::token::Compact;
use crate::{Algorithm, Refusal};

mod jwks;
mod pem;

/// The most keys of a set.
const MAX_KEYS: usize = 64;

/// The shortest secret for HS256 (RFC 7518, 3.2: as long as the hash).
const MIN_SECRET: usize = 32;

/// Keys. Each is for one algorithm, whatever a token says: what verifies RS256 never becomes a secret of HS256.
///
/// ```
/// use liveset_jwt::{Algorithm, KeySet};
///
/// let keys = KeySet::from_secret(b"a secret of at least 32 bytes, kept")?;
/// assert_eq!(keys.algorithms().collect::<Vec<_>>(), [Algorithm::Hs256]);
/// # Ok::<(), liveset_jwt::KeyError>(())
/// ```
#[derive(Clone)]
pub struct KeySet {
    keys: Vec<Key>,
    /// How many more there were that could not be used.
    pub(crate) passed_over: usize,
}

impl KeySet {
    /// Public keys in PEM: blocks `PUBLIC KEY` (SPKI, as `openssl pkey -pubout` writes them) with RSA for RS256, P-256
    /// for ES256 or Ed25519 for EdDSA. They have no ids, so there can be one for each algorithm.
    ///
    /// # Errors
    ///
    /// Something else stands there, a private key for instance; two keys are for the same algorithm.
    pub fn from_pem(pem: &str) -> Result<KeySet, KeyError> {
        KeySet::of(pem::keys(pem)?)
    }

    /// A JSON Web Key Set (RFC 7517): `{"keys": […]}` with at most 64 keys. Those that are for something else
    /// (encryption, another algorithm, another curve) are passed over. So are symmetric ones: HS256 is for
    /// [`from_secret`](Self::from_secret) alone. And so, with a line in the log (DEBUG), are those that are broken or too weak,
    /// and every one but the first where several of one algorithm share an id or have none.
    ///
    /// # Errors
    ///
    /// The JSON is no key set, or has a member twice; a key is private; no key is left.
    pub fn from_jwks(json: &[u8]) -> Result<KeySet, KeyError> {
        let (keys, passed_over) = jwks::keys(json)?;
        Ok(KeySet { passed_over, ..KeySet::of(keys)? })
    }

    /// The secret of HS256, as bytes.
    ///
    /// # Errors
    ///
    /// It is shorter than 32 bytes, or a PEM, a JSON Web Key, a set of them or a key of SSH: what is public cannot be a
    /// secret.
    pub fn from_secret(secret: &[u8]) -> Result<KeySet, KeyError> {
        if secret.len() < MIN_SECRET {
            return Err(KeyError::ShortSecret);
        }
        if is_published(secret) {
            return Err(KeyError::PublicSecret);
        }
        KeySet::of(vec![Key {
            id: None,
            algorithm: Algorithm::Hs256,
            material: DecodingKey::from_secret(secret),
        }])
    }

    /// How many keys there are, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "an empty one cannot be made")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The algorithms that there is a key for.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(|algorithm| self.has(*algorithm))
    }

    pub(crate) fn has(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.algorithm == algorithm)
    }

    fn of(keys: Vec<Key>) -> Result<KeySet, KeyError> {
        if keys.is_empty() {
            return Err(KeyError::None);
        }
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].iter().any(|other| key.is_like(other)) {
                return Err(KeyError::Twice(key.algorithm));
            }
        }
        Ok(KeySet { keys, passed_over: 0 })
    }

    /// Whether a key of the algorithm has this id, so that a token with it means this key and no other.
    pub(crate) fn has_named(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        id.is_some() && self.keys.iter().any(|key| key.algorithm == algorithm && key.id.as_deref() == id)
    }

    /// The key that a token means. The id is compared with those of the set, and nothing else is done with it.
    pub(crate) fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Result<&Key, Refusal> {
        let mut of_algorithm = self.keys.iter().filter(|key| key.algorithm == algorithm);
        match id {
            // A key that has no id goes by its algorithm; there is at most one.
            Some(id) => {
                let named = of_algorithm.clone().find(|key| key.id.as_deref() == Some(id));
                named.or_else(|| of_algorithm.find(|key| key.id.is_none())).ok_or(Refusal::UnknownKey)
            }
            None => match (of_algorithm.next(), of_algorithm.next()) {
                (Some(key), None) => Ok(key),
                (Some(_), Some(_)) => Err(Refusal::AmbiguousKey),
                (None, _) => Err(Refusal::UnknownKey),
            },
        }
    }
}

/// Whether it looks like something that others have too, whoever may be able to use it.
fn is_published(secret: &[u8]) -> bool {
    let is_json = || {
        // Read by two, of which each takes what the other does not: members twice, numbers without bounds.
        crate::token::object(secret)
            .is_some_and(|set| set.field("kty").is_some() || set.field("keys").is_some())
            || serde_json::from_slice::<serde_json::Value>(secret)
                .is_ok_and(|set| set.get("kty").is_some() || set.get("keys").is_some())
    };
    let begin = secret.trim_ascii_start();
    let ssh: [&[u8]; 4] = [b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"---- BEGIN SSH2"];
    secret.windows(11).any(|window| window == b"-----BEGIN ")
        || ssh.iter().any(|prefix| begin.starts_with(prefix))
        || pem::key(secret).is_ok()
        || is_json()
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (key.algorithm, key.id.as_deref()))).finish()
    }
}

/// A key for one algorithm.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: Option<Box<str>>,
    pub(crate) algorithm: Algorithm,
    material: DecodingKey,
}

impl Key {
    /// `modulus` and `exponent` are big-endian.
    fn rsa(id: Option<Box<str>>, modulus: &[u8], exponent: &[u8]) -> Result<Key, KeyError> {
        // Some write the zero of a signed number along.
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        let modulus = &modulus[zeros..];
        let bits = 8 * modulus.len() - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
        if !(2048..=8192).contains(&bits) {
            return Err(KeyError::RsaSize);
        }
        // Not a product of two large primes.
        if modulus.last().is_none_or(|low| low % 2 == 0) {
            return Err(KeyError::Broken);
        }
        // With an exponent of 1 everything is its own signature.
        let is_odd = exponent.last().is_some_and(|low| low % 2 == 1);
        if !is_odd || exponent.len() > 4 || exponent == [1] || exponent[0] == 0 {
            return Err(KeyError::Broken);
        }
        let material = DecodingKey::from_rsa_raw_components(modulus, exponent);
        Key { id, algorithm: Algorithm::Rs256, material }.checked()
    }

    /// A point of P-256, uncompressed: 4, x, y.
    fn p256(id: Option<Box<str>>, point: &[u8]) -> Result<Key, KeyError> {
        if point.len() != 65 || point[0] != 4 {
            return Err(KeyError::Broken);
        }
        Key { id, algorithm: Algorithm::Es256, material: DecodingKey::from_ec_der(point) }.checked()
    }

    /// The 32 bytes of an Ed25519 key.
    fn ed25519(id: Option<Box<str>>, key: &[u8]) -> Result<Key, KeyError> {
        if key.len() != 32 {
            return Err(KeyError::Broken);
        }
        Key { id, algorithm: Algorithm::EdDsa, material: DecodingKey::from_ed_der(key) }.checked()
    }

    /// No token could tell them apart.
    fn is_like(&self, other: &Key) -> bool {
        self.algorithm == other.algorithm && self.id == other.id
    }

    fn checked(self) -> Result<Key, KeyError> {
        match self.id.as_ref().is_some_and(|id| id.len() > crate::token::MAX_KEY_ID) {
            true => Err(KeyError::Broken),
            false => Ok(self),
        }
    }

    /// Whether this key's owner signed the token with this key's algorithm.
    pub(crate) fn verify(&self, token: &Compact<'_>) -> Result<(), Refusal> {
        // This provider and no other, whatever else the process has installed for everybody.
        let verifier = (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm.of_library(), &self.material);
        let verifier = verifier.map_err(|_| Refusal::Signature)?;
        verifier.verify(token.signed, &token.signature).map_err(|_| Refusal::Signature)
    }
}

/// Why there are no keys. Shows nothing of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No key that could be used.
    #[error("there is no key for RS256, ES256 or EdDSA")]
    None,
    /// More than 64.
    #[error("there are more than 64 keys")]
    TooMany,
    /// Two keys that no token could tell apart.
    #[error("two keys for {0} have the same id or none")]
    Twice(Algorithm),
    /// No PEM, or a block of something else.
    #[error("not PEM with public keys: {0}")]
    Pem(&'static str),
    /// The JSON is no key set.
    #[error("not a JSON Web Key Set: {0}")]
    Jwks(&'static str),
    /// A private key where public ones belong.
    #[error(
        "there is a private key; only public keys belong here, so replace this one, it is no secret any more"
    )]
    Private,
    /// A key whose numbers are none.
    #[error("a key is broken")]
    Broken,
    /// RSA of a size that is not safe, or not known.
    #[error("a key of RSA must have 2048 to 8192 bits")]
    RsaSize,
    /// A secret that could be guessed.
    #[error("a secret for HS256 must have at least 32 bytes")]
    ShortSecret,
    /// A public key given as a secret.
    #[error("the secret for HS256 is a PEM, a key of SSH or a JSON Web Key, which others have too")]
    PublicSecret,
}
