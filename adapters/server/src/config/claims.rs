//! Claims in TOML: what a token would have as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// How `toml` hands over its dates and times to those who know none.
const DATETIME: &str = "$__toml_private_datetime";

pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Value>, D::Error> {
    let mut claims = BTreeMap::deserialize(deserializer)?;
    claims.values_mut().for_each(as_json);
    Ok(claims)
}

/// JSON has no dates and times: they are their text, as in a filter.
fn as_json(value: &mut Value) {
    match value {
        Value::Object(members) => match members.get_mut(DATETIME) {
            Some(text) => *value = text.take(),
            None => members.values_mut().for_each(as_json),
        },
        Value::Array(items) => items.iter_mut().for_each(as_json),
        _ => {}
    }
}
