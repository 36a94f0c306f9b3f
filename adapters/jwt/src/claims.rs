//! What a token says of its bearer, once it is known who says so.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use liveset::Grant;
use liveset::parts::engine::{Number, Object, Value};
use serde_json::{Map, Value as Json};

use crate::Refusal;
use crate::rules::Rules;
use crate::token::text;

/// The longest subject.
const MAX_SUBJECT: usize = 256;

/// The last second of the year 9999. Milliseconds in place of seconds are beyond it.
const MAX_SECONDS: i64 = 253_402_300_799;

/// The claims of a token that was accepted.
#[derive(Clone, PartialEq)]
pub struct Claims {
    subject: Arc<str>,
    expires: SystemTime,
    all: Map<String, Json>,
}

impl Claims {
    /// `sub`: 1 to 256 bytes.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// When the token stops being accepted: `exp` and the leeway.
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    /// A claim by its name.
    pub fn claim(&self, name: &str) -> Option<&Json> {
        self.all.get(name)
    }

    /// Every claim, the registered ones too.
    pub fn all(&self) -> &Map<String, Json> {
        &self.all
    }

    /// Whether `scope` (text with spaces between, RFC 8693) or `scp` (the same, or a list) has this one.
    pub fn has_scope(&self, scope: &str) -> bool {
        [self.claim("scope"), self.claim("scp")].into_iter().flatten().any(|claim| match claim {
            Json::String(listed) => listed.split(' ').any(|listed| listed == scope),
            Json::Array(listed) => listed.iter().any(|listed| listed == scope),
            _ => false,
        })
    }

    /// What the token entitles to unless [`map`](crate::JwtBuilder::map) says otherwise: reading and writing, with all its claims, in the
    /// name of the subject, until it expires.
    pub fn grant(&self) -> Grant {
        Grant::new(self.subject.clone()).expires(self.expires).claims(self.all.clone())
    }

    /// Reads the claims of a token whose signature is good.
    pub(crate) fn read(object: &Object, rules: &Rules, now: SystemTime) -> Result<Claims, Refusal> {
        if text(object, "iss").ok().flatten() != Some(&*rules.issuer) {
            return Err(Refusal::Issuer);
        }
        if !rules.audiences.as_ref().is_none_or(|ours| is_for(ours, object.field("aud"))) {
            return Err(Refusal::Audience);
        }
        let expires = seconds(object, "exp")?.ok_or(Refusal::NoExpiry)?;
        let expires = at(expires).checked_add(rules.leeway).ok_or(Refusal::Time)?;
        if now >= expires {
            return Err(Refusal::Expired);
        }
        for claim in ["nbf", "iat"] {
            // Compared without adding to `now`, which may be as late as the system can tell.
            if seconds(object, claim)?
                .is_some_and(|from| at(from).duration_since(now).is_ok_and(|ahead| ahead > rules.leeway))
            {
                return Err(Refusal::NotYetValid);
            }
        }
        let subject = text(object, "sub").ok().flatten();
        let subject =
            subject.filter(|subject| (1..=MAX_SUBJECT).contains(&subject.len())).ok_or(Refusal::Subject)?;
        Ok(Claims { subject: subject.into(), expires, all: map(object) })
    }
}

impl fmt::Debug for Claims {
    /// Shows names, but no values: they are somebody's mail address more often than not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.all.keys().collect();
        f.debug_struct("Claims")
            .field("subject", &self.subject)
            .field("names", &names)
            .finish_non_exhaustive()
    }
}

/// RFC 7519, 4.1.3: a text, or a list of texts, one of which is ours.
fn is_for(ours: &[Box<str>], given: Option<&Value>) -> bool {
    let is_ours = |given: &str| ours.iter().any(|ours| **ours == *given);
    match given {
        Some(Value::List(given)) => {
            given.iter().all(|given| given.as_text().is_some())
                && given.iter().filter_map(Value::as_text).any(is_ours)
        }
        Some(given) => given.as_text().is_some_and(is_ours),
        None => false,
    }
}

/// A time of RFC 7519, but whole: a fraction, an exponent or a quoted number is some other program's mistake.
fn seconds(object: &Object, name: &str) -> Result<Option<u64>, Refusal> {
    match object.field(name) {
        None => Ok(None),
        Some(Value::Number(Number::Int(seconds @ 0..=MAX_SECONDS))) => Ok(Some(seconds.unsigned_abs())),
        Some(_) => Err(Refusal::Time),
    }
}

fn at(seconds: u64) -> SystemTime {
    // The year 9999 is within what every system's clock can tell; one that cannot sees its own epoch, long past.
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn map(object: &Object) -> Map<String, Json> {
    object.iter().map(|(name, value)| (name.to_owned(), json(value))).collect()
}

/// As deep as the reader of the token allowed.
fn json(value: &Value) -> Json {
    match value {
        Value::Nothing => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(Number::Int(value)) => Json::from(*value),
        Value::Number(Number::UInt(value)) => Json::from(*value),
        Value::Number(Number::Float(value)) => Json::from(*value),
        Value::Text(_) | Value::Instant(_) => Json::from(value.as_text().unwrap_or_default()),
        Value::List(list) => list.iter().map(json).collect(),
        Value::Object(object) => Json::Object(map(object)),
    }
}
