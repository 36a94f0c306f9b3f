//! JSON Web Key Sets (RFC 7517, RFC 7518, RFC 8037).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use liveset::parts::engine::{Object, Value};

use super::{Key, KeyError, MAX_KEYS};
use crate::token::{NoText, object, text};

pub(super) fn keys(json: &[u8]) -> Result<Vec<Key>, KeyError> {
    let set = object(json).ok_or(KeyError::Jwks("not a JSON object with each key once"))?;
    let Some(Value::List(listed)) = set.field("keys") else {
        return Err(KeyError::Jwks("`keys` is not a list"));
    };
    if listed.len() > MAX_KEYS {
        return Err(KeyError::TooMany);
    }
    let mut keys = Vec::new();
    for jwk in listed {
        let Value::Object(jwk) = jwk else { return Err(KeyError::Jwks("a key is not an object")) };
        keys.extend(key(jwk)?);
    }
    Ok(keys)
}

/// `None` for a key that is not for signatures that are known here (RFC 7517, 5: such are to be ignored).
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
    let id = member("kid")?.map(Box::from);
    let kind = (member("kty")?.unwrap_or_default(), member("crv")?.unwrap_or_default());
    // Whatever it is for: who publishes half of one private key has published others.
    if matches!(kind.0, "RSA" | "EC" | "OKP") && jwk.field("d").is_some() {
        return Err(KeyError::Private);
    }
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
