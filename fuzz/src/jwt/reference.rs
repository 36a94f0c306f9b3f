//! What should become of a token, by lines that share nothing with those that decide it.

use liveset_jwt::Refusal;
use serde_json::Value;

use super::{Form, Making, NOW, Signer};
use crate::text::{Json, Kind, Member};

/// What an accepted token says.
#[derive(Debug)]
pub(super) struct Accepted<'a> {
    pub(super) subject: String,
    pub(super) expires: u64,
    pub(super) claims: Vec<Member<'a>>,
}

/// What one authenticator asks of a token.
struct Asks {
    /// `None`: anyone.
    audiences: Option<&'static [&'static str]>,
    types: &'static [&'static str],
    type_is_needed: bool,
    leeway: u64,
    bytes: usize,
    only_hs256: bool,
    is_secret: bool,
}

const ASKS: [Asks; 3] = [
    Asks {
        audiences: Some(&["a"]),
        types: &["jwt", "at+jwt"],
        type_is_needed: false,
        leeway: 60,
        bytes: 8192,
        only_hs256: false,
        is_secret: true,
    },
    Asks {
        audiences: Some(&["a", "c"]),
        types: &["jwt", "at+jwt"],
        type_is_needed: false,
        leeway: 5,
        bytes: 8192,
        only_hs256: false,
        is_secret: false,
    },
    Asks {
        audiences: None,
        types: &["own+jwt"],
        type_is_needed: true,
        leeway: 0,
        bytes: 400,
        only_hs256: true,
        is_secret: true,
    },
];

/// What it says, or everything that is wrong at the first step at which anything is: its length, its form and header, its
/// key, its signature, its claims.
pub(super) fn judge<'a>(
    making: Making,
    token: &str,
    header: &str,
    claims: &'a str,
) -> Result<Accepted<'a>, Vec<Refusal>> {
    let asks = &ASKS[making.authenticator];
    let wrong = |causes: Vec<Refusal>| if causes.is_empty() { Ok(()) } else { Err(causes) };
    if token.len() > asks.bytes {
        return Err(vec![Refusal::TooLong]);
    }
    if matches!(making.form, Form::FourParts | Form::TwoParts) {
        return Err(vec![Refusal::NotCompact]);
    }
    let mut causes = Vec::new();
    if matches!(making.form, Form::Padded | Form::SpareBits) {
        causes.push(Refusal::Base64);
    }
    let Some(Kind::Object(header)) = read(header) else {
        causes.push(Refusal::HeaderJson);
        return Err(causes);
    };
    header_faults(asks, &header, &mut causes);
    wrong(causes)?;
    let algorithm = field(&header, "alg").and_then(Json::text).unwrap_or_default();
    let key_id = field(&header, "kid").and_then(Json::text);
    let signer = match (asks.is_secret, algorithm, key_id) {
        (true, "HS256", _) => Signer::Secret,
        (false, "ES256", _) => Signer::Ec,
        (false, "EdDSA", Some("a" | "b")) => Signer::Ed,
        (false, "EdDSA", None) => return Err(vec![Refusal::AmbiguousKey]),
        _ => return Err(vec![Refusal::UnknownKey]),
    };
    if making.signer != signer || making.form != Form::AsItIs {
        return Err(vec![Refusal::Signature]);
    }
    let Some(Kind::Object(claims)) = read(claims) else { return Err(vec![Refusal::ClaimsJson]) };
    let mut causes = Vec::new();
    claim_faults(asks, &claims, &mut causes);
    wrong(causes)?;
    let subject = field(&claims, "sub").and_then(Json::text).unwrap_or_default().to_owned();
    let expires = seconds(field(&claims, "exp")).unwrap_or_default() + asks.leeway;
    Ok(Accepted { subject, expires, claims })
}

/// At most 16 levels.
fn read(text: &str) -> Option<Kind<'_>> {
    Json::strict(text, 16).map(|json| json.kind)
}

fn field<'a, 'j>(object: &'a [Member<'j>], name: &str) -> Option<&'a Json<'j>> {
    object.iter().find(|(field, _)| field.as_deref() == Some(name)).map(|(_, value)| value)
}

/// Whether a claim says the same.
pub(super) fn is_same(json: &Json<'_>, claim: &Value) -> bool {
    match (&json.kind, claim) {
        (Kind::Null, Value::Null) => true,
        (Kind::Bool(a), Value::Bool(b)) => a == b,
        (Kind::Text(a), Value::String(b)) => a.as_ref() == Some(b),
        (Kind::Number, Value::Number(b)) => match (json.raw.parse::<i64>(), json.raw.parse::<u64>()) {
            (Ok(a), _) => b.as_i64() == Some(a) || (a == 0 && b.as_f64() == Some(0.0)),
            (_, Ok(a)) => b.as_u64() == Some(a),
            _ => json.raw.parse::<f64>().ok() == b.as_f64(),
        },
        (Kind::List(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Kind::Object(a), Value::Object(b)) => {
            let is_there = |(name, a): &Member<'_>| {
                let b = name.as_ref().and_then(|name| b.get(name));
                b.is_some_and(|b| is_same(a, b))
            };
            a.len() == b.len() && a.iter().all(is_there)
        }
        _ => false,
    }
}

fn header_faults(asks: &Asks, header: &[Member<'_>], causes: &mut Vec<Refusal>) {
    for (name, _) in header {
        match name.as_deref().unwrap_or_default() {
            "crit" => causes.push(Refusal::Critical),
            "jwk" | "jku" | "x5c" | "x5u" => causes.push(Refusal::EmbeddedKey),
            "b64" | "cty" | "enc" | "zip" => causes.push(Refusal::Payload),
            _ => {}
        }
    }
    match field(header, "alg").and_then(Json::text) {
        Some("HS256") => {}
        Some("RS256" | "ES256" | "EdDSA") if !asks.only_hs256 => {}
        _ => causes.push(Refusal::Algorithm),
    }
    if field(header, "kid").is_some_and(|id| id.text().is_none_or(|id| id.len() > 256)) {
        causes.push(Refusal::KeyId);
    }
    let is_type = match field(header, "typ") {
        None => !asks.type_is_needed,
        Some(kind) => kind.text().is_some_and(|kind| {
            let kind = kind.to_ascii_lowercase();
            asks.types.iter().any(|asked| kind == *asked || kind == format!("application/{asked}"))
        }),
    };
    if !is_type {
        causes.push(Refusal::Type);
    }
}

fn claim_faults(asks: &Asks, claims: &[Member<'_>], causes: &mut Vec<Refusal>) {
    let text = |name| field(claims, name).and_then(Json::text);
    if text("iss") != Some("i") {
        causes.push(Refusal::Issuer);
    }
    let is_for = |ours: &&[&str]| match field(claims, "aud").map(|audience| &audience.kind) {
        Some(Kind::Text(Some(one))) => ours.contains(&&**one),
        Some(Kind::List(list)) => {
            let list: Option<Vec<&str>> = list.iter().map(Json::text).collect();
            list.is_some_and(|list| list.iter().any(|one| ours.contains(one)))
        }
        _ => false,
    };
    if !asks.audiences.as_ref().is_none_or(is_for) {
        causes.push(Refusal::Audience);
    }
    match field(claims, "exp") {
        None => causes.push(Refusal::NoExpiry),
        exp => match seconds(exp) {
            None => causes.push(Refusal::Time),
            Some(end) if NOW >= end + asks.leeway => causes.push(Refusal::Expired),
            Some(_) => {}
        },
    }
    for name in ["nbf", "iat"] {
        match field(claims, name) {
            None => {}
            given => match seconds(given) {
                None => causes.push(Refusal::Time),
                Some(begin) if begin > NOW + asks.leeway => causes.push(Refusal::NotYetValid),
                Some(_) => {}
            },
        }
    }
    if text("sub").is_none_or(|subject| subject.is_empty() || subject.len() > 256) {
        causes.push(Refusal::Subject);
    }
}

/// Whole seconds up to the end of the year 9999.
fn seconds(value: Option<&Json<'_>>) -> Option<u64> {
    value?.whole().filter(|seconds| *seconds <= 253_402_300_799)
}
