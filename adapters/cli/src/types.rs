//! `liveset types`: what the sets of a server declare, as types of TypeScript.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use hyper::StatusCode;
use liveset_core::Token;
use liveset_server::config;
use serde_json::{Map, Value};

use crate::client::{self, Client, ClientError, Outcome};
use crate::url::ServerUrl;

/// Arguments of `liveset types`.
#[derive(Debug, Clone, Args)]
pub struct TypesArgs {
    /// The server
    #[arg(long, env = "LIVESET_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: ServerUrl,

    /// With https://: who vouches for the server's certificate, PEM [default: whom the system trusts]
    #[arg(long, env = "LIVESET_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// The token: what it may not see is left out
    #[arg(long, env = "LIVESET_TOKEN", value_name = "TOKEN", value_parser = config::token, hide_env_values = true)]
    pub token: Token,
}

/// Why there are no types.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TypesError {
    /// The server did not answer.
    #[error("{url}: {problem}")]
    Unreachable {
        /// The server.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// The server refused, or what answered is no such server.
    #[error("{url} answered with {answer}")]
    Refused {
        /// The server.
        url: String,
        /// What it said.
        answer: String,
    },
    /// The token cannot be sent, or the authorities that are to be trusted cannot be read.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Asks a server for the schema of its sets, and prints it as a file of types.
///
/// # Errors
///
/// No server answers, or it refuses.
pub async fn run(args: TypesArgs) -> Result<(), TypesError> {
    let url = args.url.to_string();
    let client = Client::new(args.url, args.ca.as_deref(), args.token.expose())?;
    let body = match client.get("/schema").await {
        Outcome::Answered(StatusCode::OK, body) => body,
        Outcome::Answered(status, body) => {
            let answer = client::refusal(&body).unwrap_or_else(|| status.to_string());
            return Err(TypesError::Refused { url, answer });
        }
        Outcome::NotSent(problem) | Outcome::Impossible(problem) | Outcome::Unanswered(problem) => {
            return Err(TypesError::Unreachable { url, problem });
        }
    };
    let Ok(sets) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return Err(TypesError::Refused { url, answer: "what is no schema".into() });
    };
    // Whoever closed our output does not want it.
    let _ = std::io::stdout().write_all(file(&sets).as_bytes());
    Ok(())
}

/// The whole file.
fn file(sets: &Map<String, Value>) -> String {
    let mut text = String::from(
        "// Written by `liveset types`.\nimport '@liveset/client'\n\n/** The sets of the server, and the rows of each. */\n\
         export type Schema = {\n",
    );
    for (name, schema) in sets {
        let _ = writeln!(text, "  {}: {}", property(name), row(schema));
    }
    text.push_str(
        "}\n\ndeclare module '@liveset/client' {\n  interface Register {\n    schema: Schema\n  }\n}\n",
    );
    text
}

/// A row. One that declares nothing but its key, and may have more, may have anything.
fn row(schema: &Value) -> String {
    let is_open = schema["additionalProperties"] != Value::Bool(false);
    let properties = schema["properties"].as_object().filter(|properties| properties.len() < 2);
    match properties {
        Some(properties) if is_open => {
            let mut text = members(properties, schema, 2);
            text.push_str("    [field: string]: unknown\n  }");
            text
        }
        _ => type_of(schema, 2),
    }
}

/// The type of a schema, whose members are indented below it.
fn type_of(schema: &Value, indent: usize) -> String {
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect::<Vec<_>>(),
    };
    let kinds: Vec<String> = kinds.into_iter().map(|kind| kind_of(kind, schema, indent)).collect();
    if kinds.is_empty() { "unknown".into() } else { kinds.join(" | ") }
}

fn kind_of(kind: &str, schema: &Value, indent: usize) -> String {
    match (kind, schema["properties"].as_object()) {
        ("string" | "number" | "boolean" | "null", _) => kind.into(),
        ("integer", _) => "number".into(),
        ("array", _) => "unknown[]".into(),
        ("object", Some(properties)) => {
            let mut text = members(properties, schema, indent);
            let _ = write!(text, "{:indent$}}}", "");
            text
        }
        ("object", None) => "{ [field: string]: unknown }".into(),
        _ => "unknown".into(),
    }
}

/// The members of an object, without its last brace.
fn members(properties: &Map<String, Value>, schema: &Value, indent: usize) -> String {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let (mut text, inner) = (String::from("{\n"), indent + 2);
    for (name, member) in properties {
        let mark = if required.contains(&&**name) { "" } else { "?" };
        let _ = writeln!(text, "{:inner$}{}{mark}: {}", "", property(name), type_of(member, inner));
    }
    text
}

/// A name as TypeScript writes it.
fn property(name: &str) -> String {
    let is_word = |c: char| c == '_' || c == '$' || c.is_ascii_alphanumeric();
    let is_name = name.chars().all(is_word) && name.starts_with(|c: char| !c.is_ascii_digit());
    if is_name { name.into() } else { Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_schema_is_a_type() {
        for (schema, expected) in [
            (json!({ "type": "string" }), "string"),
            (json!({ "type": ["string", "integer"] }), "string | number"),
            (json!({ "type": ["boolean", "null"] }), "boolean | null"),
            (json!({ "type": ["array", "null"] }), "unknown[] | null"),
            (json!({ "type": "object" }), "{ [field: string]: unknown }"),
            (json!({}), "unknown"),
            (json!({ "type": "later" }), "unknown"),
            (
                json!({ "type": ["object", "null"], "properties": { "a b": { "type": "number" } }, "required": ["a b"] }),
                "{\n  \"a b\": number\n} | null",
            ),
        ] {
            assert_eq!(type_of(&schema, 0), expected, "{schema}");
        }
    }

    #[test]
    fn names_that_are_no_words_are_quoted() {
        for (name, expected) in [
            ("orders", "orders"),
            ("_a1$", "_a1$"),
            ("1a", "\"1a\""),
            ("", "\"\""),
            ("job-definitions", "\"job-definitions\""),
            ("a\"b", "\"a\\\"b\""),
            ("ü", "\"ü\""),
        ] {
            assert_eq!(property(name), expected);
        }
    }

    #[test]
    fn a_set_that_declares_nothing_may_have_any_field() {
        let open =
            json!({ "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"] });
        assert_eq!(row(&open), "{\n    id: string\n    [field: string]: unknown\n  }");
        let mut strict = open;
        strict["additionalProperties"] = json!(false);
        assert_eq!(row(&strict), "{\n    id: string\n  }");
    }
}
