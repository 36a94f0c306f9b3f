//! JSON as the reference reads it: `serde_json` says whether it is any, and what it checks not is checked here.

use serde_json::Value;

/// A value with its numbers as they are written.
#[derive(Debug)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// `None` for what is no JSON, has a key twice, a number that 64 bits cannot hold, or more than 16 levels.
    pub(super) fn read(text: &str) -> Option<Json> {
        // From here on the text is known to be well formed.
        serde_json::from_str::<Value>(text).ok()?;
        let mut rest = text.trim_matches([' ', '\t', '\r', '\n']);
        let value = value(&mut rest)?;
        (value.levels() <= 16 && value.is_strict()).then_some(value)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    fn levels(&self) -> usize {
        match self {
            Json::List(list) => 1 + list.iter().map(Json::levels).max().unwrap_or(0),
            Json::Object(object) => 1 + object.iter().map(|(_, value)| value.levels()).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn is_strict(&self) -> bool {
        match self {
            Json::Number(digits) if digits.contains(['.', 'e', 'E']) => {
                digits.parse::<f64>().is_ok_and(f64::is_finite)
            }
            Json::Number(digits) => digits.parse::<i64>().is_ok() || digits.parse::<u64>().is_ok(),
            Json::List(list) => list.iter().all(Json::is_strict),
            Json::Object(object) => object.iter().enumerate().all(|(at, (name, value))| {
                value.is_strict() && object[..at].iter().all(|(before, _)| before != name)
            }),
            Json::Null | Json::Bool(_) | Json::Text(_) => true,
        }
    }

    /// Whether a claim says the same.
    pub(super) fn is(&self, claim: &Value) -> bool {
        match (self, claim) {
            (Json::Null, Value::Null) => true,
            (Json::Bool(a), Value::Bool(b)) => a == b,
            (Json::Text(a), Value::String(b)) => a == b,
            (Json::Number(a), Value::Number(b)) => match (a.parse::<i64>(), a.parse::<u64>()) {
                (Ok(a), _) => b.as_i64() == Some(a) || (a == 0 && b.as_f64() == Some(0.0)),
                (_, Ok(a)) => b.as_u64() == Some(a),
                _ => a.parse::<f64>().ok() == b.as_f64(),
            },
            (Json::List(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is(b)),
            (Json::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| a.is(b)))
            }
            _ => false,
        }
    }
}

fn value(rest: &mut &str) -> Option<Json> {
    Some(match rest.as_bytes().first()? {
        b'{' => {
            let mut object = Vec::new();
            while !ends(rest, '}') {
                let name = string(rest)?;
                skip(rest);
                object.push((name, value(rest)?));
            }
            Json::Object(object)
        }
        b'[' => {
            let mut list = Vec::new();
            while !ends(rest, ']') {
                list.push(value(rest)?);
            }
            Json::List(list)
        }
        b'"' => Json::Text(string(rest)?),
        _ => {
            let (word, after) =
                rest.split_at(rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(rest.len()));
            *rest = after;
            match word {
                "null" => Json::Null,
                "true" => Json::Bool(true),
                "false" => Json::Bool(false),
                number => Json::Number(number.into()),
            }
        }
    })
}

/// Goes over one bracket, comma or colon where there is one, and the space around it.
fn skip(rest: &mut &str) {
    let space = [' ', '\t', '\r', '\n'];
    let text = rest.trim_start_matches(space);
    *rest = text.strip_prefix(['{', '[', ',', ':']).unwrap_or(text).trim_start_matches(space);
}

/// Whether the list or object ends here, and if so goes over its end.
fn ends(rest: &mut &str, bracket: char) -> bool {
    let before = *rest;
    let text = rest.trim_start_matches([' ', '\t', '\r', '\n']);
    if let Some(after) = text.strip_prefix(bracket) {
        *rest = after;
        return true;
    }
    *rest = before;
    skip(rest);
    match rest.strip_prefix(bracket) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

fn string(rest: &mut &str) -> Option<String> {
    let mut is_escaped = false;
    let end = rest.bytes().enumerate().skip(1).find_map(|(at, byte)| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end.then_some(at + 1)
    })?;
    let (text, after) = rest.split_at(end);
    *rest = after;
    serde_json::from_str(text).ok()
}
