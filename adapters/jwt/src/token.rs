//! A signed token in its compact form, taken apart. Nothing of it is believed yet but what it says about itself: which
//! key should be tried.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use liveset::parts::engine::{JsonLimits, Object, Value, json};

use crate::{Algorithm, Refusal};

/// The longest key id.
pub(crate) const MAX_KEY_ID: usize = 256;

/// Header parameters that are refused whatever they say, and why.
///
/// RFC 8725, 3.10: a key from the token itself proves nothing, and an address in it makes the server call whomever an
/// attacker likes. RFC 7515, 4.1.11: who does not understand a critical extension must refuse.
const REFUSED: [(&str, Refusal); 9] = [
    ("crit", Refusal::Critical),
    ("jwk", Refusal::EmbeddedKey),
    ("jku", Refusal::EmbeddedKey),
    ("x5c", Refusal::EmbeddedKey),
    ("x5u", Refusal::EmbeddedKey),
    ("b64", Refusal::Payload),
    ("cty", Refusal::Payload),
    ("enc", Refusal::Payload),
    ("zip", Refusal::Payload),
];

/// `header.payload.signature`.
pub(crate) struct Compact<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<Box<str>>,
    /// `typ`, without `application/`.
    pub(crate) kind: Option<Box<str>>,
    /// What the signature is over: the first two parts as they came.
    pub(crate) signed: &'a [u8],
    payload: &'a str,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart; `max_bytes` is looked at before anything else.
    pub(crate) fn parse(token: &'a str, max_bytes: usize) -> Result<Compact<'a>, Refusal> {
        if token.len() > max_bytes {
            return Err(Refusal::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::NotCompact)?;
        if payload.contains('.') {
            return Err(Refusal::NotCompact);
        }
        let header = object(&decode(header)?).ok_or(Refusal::HeaderJson)?;
        for (name, refusal) in REFUSED {
            if header.field(name).is_some() {
                return Err(refusal);
            }
        }
        let algorithm = text(&header, "alg").map_err(|NoText| Refusal::Algorithm)?;
        let algorithm = algorithm.and_then(|name| name.parse().ok()).ok_or(Refusal::Algorithm)?;
        let key_id = text(&header, "kid").map_err(|NoText| Refusal::KeyId)?;
        if key_id.is_some_and(|id| id.len() > MAX_KEY_ID) {
            return Err(Refusal::KeyId);
        }
        let kind = text(&header, "typ").map_err(|NoText| Refusal::Type)?.map(without_application);
        Ok(Compact {
            algorithm,
            key_id: key_id.map(Box::from),
            kind: kind.map(Box::from),
            signed: signed.as_bytes(),
            payload,
            signature: decode(signature)?,
        })
    }

    /// The claims, as they are written.
    pub(crate) fn claims(&self) -> Result<Object, Refusal> {
        object(&decode(self.payload)?).ok_or(Refusal::ClaimsJson)
    }
}

/// RFC 7515, 4.1.9: `application/` is left out where nothing else has a slash.
pub(crate) fn without_application(kind: &str) -> &str {
    match kind.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") && !rest.contains('/') => rest,
        _ => kind,
    }
}

/// Base64url without padding and with zeros for spare bits: every text has one form only.
fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Base64)
}

/// Reads an object by the rules that hold for all JSON here: each key once, exact numbers, bounded depth, nothing behind.
pub(crate) fn object(json: &[u8]) -> Option<Object> {
    match json::parse(json, &JsonLimits::default().nesting(16)) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// There is something, but it is no text.
pub(crate) struct NoText;

pub(crate) fn text<'a>(object: &'a Object, name: &str) -> Result<Option<&'a str>, NoText> {
    object.field(name).map(|value| value.as_text().ok_or(NoText)).transpose()
}
