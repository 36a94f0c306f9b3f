//! JSON Web Key Sets (RFC 7517, RFC 7518, RFC 8037).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use liveset::parts::engine::{Object, Value};

use super::{Key, KeyError, MAX_KEYS};
use crate::token::{NoText, object, text};

/// How much of a key's id is logged, in characters.
const LOGGED_ID: usize = 64;

/// The keys of a set that can be used, and how many others it has that were meant to be: those are logged.
pub(super) fn keys(json: &[u8]) -> Result<(Vec<Key>, usize), KeyError> {
    let set = object(json).ok_or(KeyError::Jwks("not a JSON object with each key once"))?;
    let Some(Value::List(listed)) = set.field("keys") else {
        return Err(KeyError::Jwks("`keys` is not a list"));
    };
    if listed.len() > MAX_KEYS {
        return Err(KeyError::TooMany);
    }
    let mut keys: Vec<Key> = Vec::new();
    let mut unusable = Vec::new();
    for jwk in listed {
        let read = match jwk {
            Value::Object(jwk) => key(jwk),
            _ => Err(KeyError::Jwks("a key is not an object")),
        };
        let read = read.and_then(|key| match key {
            Some(key) if keys.iter().any(|other| key.is_like(other)) => Err(KeyError::Twice(key.algorithm)),
            key => Ok(key),
        });
        match read {
            Ok(key) => keys.extend(key),
            Err(KeyError::Private) => return Err(KeyError::Private),
            Err(error) => unusable.push((jwk, error)),
        }
    }
    for (jwk, error) in &unusable {
        let id = match jwk {
            Value::Object(jwk) => jwk.field("kid").and_then(Value::as_text).unwrap_or_default(),
            _ => "",
        };
        let id: String = id.chars().take(LOGGED_ID).collect();
        tracing::debug!(?id, %error, "passed over a key of the set");
    }
    let passed_over = unusable.len();
    match unusable.into_iter().next() {
        // Why there is none says more than that there is none.
        Some((_, error)) if keys.is_empty() => Err(error),
        _ => Ok((keys, passed_over)),
    }
}

/// `None` for a key that is not for signatures that are known here (RFC 7517, 5: such are to be ignored, and so are those that
/// cannot be used).
fn key(jwk: &Object) -> Result<Option<Key>, KeyError> {
    let member = |name| text(jwk, name).map_err(|NoText| KeyError::Jwks("a member of a key is not text"));
    let numbers = |name| {
        let encoded = member(name)?.ok_or(KeyError::Broken)?;
        URL_SAFE_NO_PAD.decode(encoded).map_err(|_| KeyError::Broken)
    };
    let is_for = |algorithm: &str| -> Result<bool, KeyError> {
        let verifies = match jwk.field("key_ops") {
            None => true,
            Some(Value::List(operations)) => operations.iter().any(|name| name.as_text() == Some("verify")),
            Some(_) => return Err(KeyError::Jwks("`key_ops` is not a list")),
        };
        let is_named = |name, value: &str| Ok(member(name)?.is_none_or(|given| given == value));
        Ok(verifies && is_named("use", "sig")? && is_named("alg", algorithm)?)
    };
    // Before anything else can be wrong with it, and whatever it is for: who publishes half of one private key has published
    // others.
    let kty = jwk.field("kty").and_then(Value::as_text);
    if matches!(kty, Some("RSA" | "EC" | "OKP")) && jwk.field("d").is_some() {
        return Err(KeyError::Private);
    }
    let id = member("kid")?.map(Box::from);
    let kind = (member("kty")?.unwrap_or_default(), member("crv")?.unwrap_or_default());
    match kind {
        ("RSA", _) if is_for("RS256")? => Key::rsa(id, &numbers("n")?, &numbers("e")?).map(Some),
        ("EC", "P-256") if is_for("ES256")? => {
            let (x, y) = (numbers("x")?, numbers("y")?);
            let point = [&[4][..], &x[..], &y[..]].concat();
            if x.len() != 32 { Err(KeyError::Broken) } else { Key::p256(id, &point).map(Some) }
        }
        ("OKP", "Ed25519") if is_for("EdDSA")? => Key::ed25519(id, &numbers("x")?).map(Some),
        _ => Ok(None),
    }
}
