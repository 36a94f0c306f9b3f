//! Tokens made by hand, so that they can be made wrong: the library that reads them would not write most of these.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, EncodingKey};
use liveset_jwt::{Claims, JwtAuthenticator, JwtBuilder, KeySet, KeySource, Refusal};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "liveset";
/// The second at which all tests take place.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const SECRET: &[u8] = b"a secret of more than 32 bytes, as it should be";

pub(crate) const RSA_PEM: &str = include_str!("../../keys/rsa.pem");
pub(crate) const EC_PEM: &str = include_str!("../../keys/ec.pem");
pub(crate) const ED_PEM: &str = include_str!("../../keys/ed.pem");

/// Who signs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Signer {
    Rsa,
    OtherRsa,
    Ec,
    Ed,
    Hmac(&'static [u8]),
}

impl Signer {
    pub(crate) fn algorithm(self) -> Algorithm {
        match self {
            Signer::Rsa | Signer::OtherRsa => Algorithm::RS256,
            Signer::Ec => Algorithm::ES256,
            Signer::Ed => Algorithm::EdDSA,
            Signer::Hmac(_) => Algorithm::HS256,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Signer::Rsa | Signer::OtherRsa => "RS256",
            Signer::Ec => "ES256",
            Signer::Ed => "EdDSA",
            Signer::Hmac(_) => "HS256",
        }
    }

    pub(crate) fn sign(self, message: &str) -> Vec<u8> {
        self.sign_as(self.algorithm(), message)
    }

    pub(crate) fn sign_as(self, algorithm: Algorithm, message: &str) -> Vec<u8> {
        let key = match self {
            Signer::Rsa => EncodingKey::from_rsa_der(&der(include_str!("../../keys/rsa.key.pem"))),
            Signer::OtherRsa => EncodingKey::from_rsa_der(&der(include_str!("../../keys/other-rsa.key.pem"))),
            Signer::Ec => EncodingKey::from_ec_der(&der(include_str!("../../keys/ec.key.pem"))),
            Signer::Ed => EncodingKey::from_ed_der(&der(include_str!("../../keys/ed.key.pem"))),
            Signer::Hmac(secret) => EncodingKey::from_secret(secret),
        };
        let signer = (DEFAULT_PROVIDER.signer_factory)(&algorithm, &key).expect("a signer");
        signer.try_sign(message.as_bytes()).expect("a signature")
    }
}

/// The bytes in a PEM with one block.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    STANDARD.decode(lines.collect::<String>()).expect("base64")
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of any header and claims, as text.
pub(crate) fn token_of(signer: Signer, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let signature = base64url(signer.sign(&message));
    format!("{message}.{signature}")
}

/// Claims that are accepted.
pub(crate) fn good_claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 600})
}

/// The good claims with others over them; `null` takes one out.
pub(crate) fn claims_with(changes: Value) -> String {
    let mut claims = good_claims();
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims.to_string()
}

pub(crate) fn header(signer: Signer) -> String {
    json!({"alg": signer.name(), "typ": "JWT"}).to_string()
}

/// The usual header with members over it.
pub(crate) fn header_with(signer: Signer, changes: Value) -> String {
    let mut header = json!({"alg": signer.name(), "typ": "JWT"});
    for (name, value) in changes.as_object().expect("an object") {
        header[name] = value.clone();
    }
    header.to_string()
}

/// A token that is accepted.
pub(crate) fn good_token(signer: Signer) -> String {
    token_of(signer, &header(signer), &good_claims().to_string())
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// All the asymmetric keys, without ids.
pub(crate) fn public_keys() -> KeySet {
    KeySet::from_pem(&format!("{RSA_PEM}{EC_PEM}{ED_PEM}")).expect("keys")
}

pub(crate) fn secret_key() -> KeySet {
    KeySet::from_secret(SECRET).expect("a secret")
}

/// The usual issuer, audience and time.
pub(crate) fn builder(keys: impl Into<KeySource>) -> JwtBuilder {
    JwtAuthenticator::builder(keys).issuer(ISSUER).audience(AUDIENCE).clock(|| at(NOW))
}

pub(crate) fn authenticator() -> JwtAuthenticator {
    builder(public_keys()).build().expect("an authenticator")
}

/// The verdict on a token, where keys need no fetching.
pub(crate) fn verdict(authenticator: &JwtAuthenticator, token: &str) -> Result<Claims, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(authenticator.verify(token))
}

/// The JWK of a public key.
pub(crate) fn jwk(signer: Signer, id: &str) -> Value {
    match signer {
        Signer::Rsa => rsa_jwk(include_str!("../../keys/rsa.pem"), id),
        Signer::OtherRsa => rsa_jwk(include_str!("../../keys/other-rsa.pem"), id),
        Signer::Ec => {
            let point = der(EC_PEM);
            let point = &point[point.len() - 64..];
            json!({"kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256",
                   "x": base64url(&point[..32]), "y": base64url(&point[32..])})
        }
        Signer::Ed => {
            let key = der(ED_PEM);
            json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": base64url(&key[key.len() - 32..])})
        }
        Signer::Hmac(secret) => json!({"kty": "oct", "alg": "HS256", "kid": id, "k": base64url(secret)}),
    }
}

fn rsa_jwk(pem: &str, id: &str) -> Value {
    // SPKI of 2048 bits: the modulus is followed by the five bytes of 65537.
    let der = der(pem);
    let end = der.len() - 5;
    json!({"kty": "RSA", "kid": id, "use": "sig", "alg": "RS256", "e": "AQAB", "n": base64url(&der[end - 256..end])})
}

pub(crate) fn jwks(keys: impl IntoIterator<Item = Value>) -> Vec<u8> {
    let keys: Vec<Value> = keys.into_iter().collect();
    json!({ "keys": keys }).to_string().into_bytes()
}
