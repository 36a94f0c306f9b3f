//! `[jwt]`: JSON Web Tokens, beside or instead of the tokens of `[auth]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::duration;
use super::validate::Problem;

/// `[jwt]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// What `iss` must be, to the letter.
    pub issuer: String,
    /// Who this server is: `aud` must be one of these, or have one. A text, or a list.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// In place of an audience: tokens are accepted for whomever they are.
    #[serde(default)]
    pub any_audience: bool,
    /// Public keys in PEM, at most one for each algorithm. One of these four is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pem_file: Option<PathBuf>,
    /// A JSON Web Key Set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Where the issuer publishes its key set: `https://…`, or `http://…` of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// The secret of HS256, at least 32 bytes. A newline at its end is not part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// With `jwks_url`: certificates, in PEM, that are trusted in place of those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_ca: Option<PathBuf>,
    /// Of RS256, ES256, EdDSA and HS256 those that are accepted. Empty: those that there are keys for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<String>,
    /// The types (`typ`) that are accepted. Empty: `JWT`, `at+jwt`, or none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// How far the issuer's clock may be off.
    #[serde(default = "minute", deserialize_with = "read_duration", serialize_with = "write_duration")]
    pub leeway: Duration,
    /// Tokens whose `scope` or `scp` has this may write. Without it none may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_scope: Option<String>,
}

impl JwtConfig {
    pub(super) fn relative_to(&mut self, folder: &Path) {
        for file in [&mut self.pem_file, &mut self.jwks_file, &mut self.secret_file, &mut self.jwks_ca] {
            *file = file.take().map(|file| folder.join(file));
        }
    }

    /// Which of the four the keys come from.
    fn sources(&self) -> [bool; 4] {
        [
            self.pem_file.is_some(),
            self.jwks_file.is_some(),
            self.jwks_url.is_some(),
            self.secret_file.is_some(),
        ]
    }

    /// Whether more differs than where the files with keys are.
    pub(super) fn needs_restart(&self, read: &JwtConfig) -> bool {
        let mut moved = self.clone();
        if self.has_keys_like(read) {
            moved.take_files(read.clone());
        }
        moved != *read
    }

    /// Reads keys from where the other does.
    pub(super) fn take_files(&mut self, read: JwtConfig) {
        let JwtConfig { pem_file, jwks_file, secret_file, .. } = read;
        *self = JwtConfig { pem_file, jwks_file, secret_file, ..self.clone() };
    }

    /// Whether the keys come from a file, or an address, of the same kind.
    pub(crate) fn has_keys_like(&self, other: &JwtConfig) -> bool {
        self.sources() == other.sources()
    }

    pub(super) fn validate(&self) -> Result<(), Problem> {
        let problem =
            |key: &str, message: &str| Err(Problem { key: format!("jwt{key}"), message: message.into() });
        if cfg!(not(feature = "jwt")) {
            return problem(
                "",
                "this program was built without JSON Web Tokens; build it with `--features jwt`",
            );
        }
        if self.issuer.is_empty() {
            return problem(".issuer", "an issuer cannot be empty");
        }
        match (self.audience.is_empty(), self.any_audience) {
            (true, false) => {
                return problem("", "`audience` is missing: tokens for other services would be accepted");
            }
            (false, true) => return problem(".any_audience", "there is an audience"),
            _ => {}
        }
        if self.audience.iter().any(String::is_empty) {
            return problem(".audience", "an audience cannot be empty");
        }
        if self.sources().iter().filter(|given| **given).count() != 1 {
            return problem("", "one of `pem_file`, `jwks_file`, `jwks_url` and `secret_file` is needed");
        }
        if self.jwks_ca.is_some() && self.jwks_url.is_none() {
            return problem(".jwks_ca", "there is no `jwks_url`");
        }
        for name in &self.algorithms {
            match (name.as_str(), self.secret_file.is_some()) {
                ("RS256" | "ES256" | "EdDSA", false) | ("HS256", true) => {}
                ("HS256", false) => return problem(".algorithms", "HS256 needs a `secret_file`"),
                ("RS256" | "ES256" | "EdDSA", true) => {
                    return problem(".algorithms", "a secret is for HS256 alone");
                }
                _ => return problem(".algorithms", "not one of RS256, ES256, EdDSA and HS256"),
            }
        }
        if self.leeway > Duration::from_secs(600) {
            return problem(".leeway", "more than 10 minutes");
        }
        Ok(())
    }
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

fn read_duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    duration::parse(&String::deserialize(input)?).map_err(serde::de::Error::custom)
}

fn write_duration<S: Serializer>(length: &Duration, output: S) -> Result<S::Ok, S::Error> {
    output.serialize_str(&duration::print(*length))
}

fn one_or_many<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(input)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}
