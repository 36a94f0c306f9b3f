//! One commit as JSON text, as `POST /batch`, the lines of a change stream and `load` files write it:
//!
//! ```json
//! {"at":"2013-01-01T05:15:00Z","ops":[{"op":"upsert","set":"flights","node":{"id":"UA1545"}},
//!                                     {"op":"patch","set":"flights","id":"UA1545","patch":{"gate":"C7"},"if":"gate == nothing"},
//!                                     {"op":"remove","set":"flights","id":"UA1714"},
//!                                     {"op":"clear","set":"gates"}]}
//! ```
//!
//! or only the list of its ops. A patch with `"upsert":true` makes a row that is not there; `if` is a filter, with `params` if it
//! has any, or `nothing`. Nodes stay the bytes that were written: nothing here reads a number, so
//! nothing here can round one.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use liveset_core::Query;
use liveset_engine::{Condition, Op, Timestamp};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A commit that was read but not applied.
#[derive(Debug)]
pub struct Changes {
    /// The moment at which it happened, where one was written.
    pub at: Option<Timestamp>,
    /// What changes, in order.
    pub ops: Vec<Op>,
}

/// Why a text is not a commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ChangesError {
    /// The position in `ops`, from 0, of the op that is wrong; nothing where the text around the ops is.
    pub op: Option<usize>,
    /// What is wrong, with line and column in the text.
    pub message: String,
}

impl fmt::Display for ChangesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op {
            Some(index) => write!(f, "operation {index}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl ChangesError {
    fn whole(message: impl Into<String>) -> Self {
        ChangesError { op: None, message: message.into() }
    }
}

impl Changes {
    /// Reads a list of ops, or an object with `ops` and perhaps `at`. Cost: one pass over the text;
    /// nodes are slices of it.
    ///
    /// # Errors
    ///
    /// What is wrong, and in which op. Unknown and repeated fields are errors: a misspelt `ops` must not
    /// pass for an empty commit.
    pub fn parse(text: &Bytes) -> Result<Changes, ChangesError> {
        let at = Place { text, op: Cell::new(None) };
        let mut json = serde_json::Deserializer::from_slice(text);
        let parsed = match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'[') => OpsSeed { at: &at }.deserialize(&mut json).map(|ops| CommitText { at: None, ops }),
            Some(b'{') => CommitSeed { at: &at }.deserialize(&mut json),
            Some(_) => return Err(ChangesError::whole("expected a list of ops, or an object with `ops`")),
            None => {
                return Err(ChangesError::whole(
                    "expected a list of ops, or an object with `ops`, found nothing",
                ));
            }
        };
        let commit = parsed
            .and_then(|commit| json.end().map(|()| commit))
            .map_err(|error| ChangesError { op: at.op.get(), message: error.to_string() })?;
        let at = match commit.at {
            Some(text) => Some(Timestamp::parse_rfc3339(&text).ok_or_else(|| {
                ChangesError::whole(format!("`at` must be an RFC 3339 date or date-time, it is {text:?}"))
            })?),
            None => None,
        };
        Ok(Changes { at, ops: commit.ops })
    }
}

/// Whether a JSON object is a commit rather than a node: its only fields are `ops` and perhaps `at`, and
/// `ops` is a list. Anything that is not readable is not a commit. Cost: one pass over the text.
pub fn looks_like_commit(text: &[u8]) -> bool {
    struct Shape;
    impl<'de> Visitor<'de> for Shape {
        type Value = bool;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let (mut ops, mut other) = (false, false);
            while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                match name.as_ref() {
                    "ops" => ops = map.next_value::<&RawValue>()?.get().starts_with('['),
                    "at" => drop(map.next_value::<IgnoredAny>()?),
                    _ => {
                        other = true;
                        map.next_value::<IgnoredAny>()?;
                    }
                }
            }
            Ok(ops && !other)
        }
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    (&mut json).deserialize_map(Shape).unwrap_or(false)
}

/// Where reading is: the text, and the op that is being read.
struct Place<'t> {
    text: &'t Bytes,
    op: Cell<Option<usize>>,
}

struct CommitText<'de> {
    at: Option<Cow<'de, str>>,
    ops: Vec<Op>,
}

struct CommitSeed<'c> {
    at: &'c Place<'c>,
}

impl<'de> DeserializeSeed<'de> for CommitSeed<'_> {
    type Value = CommitText<'de>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for CommitSeed<'_> {
    type Value = CommitText<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `ops`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut at: Option<Option<Cow<'de, str>>> = None;
        let mut ops = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match name.as_ref() {
                "at" if at.is_none() => at = Some(optional_text(map.next_value()?, "at")?),
                "ops" if ops.is_none() => ops = Some(map.next_value_seed(OpsSeed { at: self.at })?),
                "at" => return Err(A::Error::duplicate_field("at")),
                "ops" => return Err(A::Error::duplicate_field("ops")),
                other => return Err(A::Error::unknown_field(other, &["at", "ops"])),
            }
        }
        let ops = ops.ok_or_else(|| A::Error::missing_field("ops"))?;
        Ok(CommitText { at: at.flatten(), ops })
    }
}

struct OpsSeed<'c> {
    at: &'c Place<'c>,
}

impl<'de> DeserializeSeed<'de> for OpsSeed<'_> {
    type Value = Vec<Op>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OpsSeed<'_> {
    type Value = Vec<Op>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of ops")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Op>, A::Error> {
        let mut ops = Vec::new();
        loop {
            self.at.op.set(Some(ops.len()));
            match list.next_element_seed(OpSeed { text: self.at.text })? {
                Some(op) => ops.push(op),
                None => break,
            }
        }
        self.at.op.set(None);
        Ok(ops)
    }
}

struct OpSeed<'c> {
    text: &'c Bytes,
}

impl<'de> DeserializeSeed<'de> for OpSeed<'_> {
    type Value = Op;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Op, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OpSeed<'_> {
    type Value = Op;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an op: an object with `op`, `set`, and what that op needs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Op, A::Error> {
        let mut all: [Option<&'de RawValue>; FIELDS.len()] = [None; FIELDS.len()];
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let Some(place) = FIELDS.iter().position(|known| *known == name) else {
                return Err(A::Error::unknown_field(&name, &FIELDS));
            };
            if all[place].replace(map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field(FIELDS[place]));
            }
        }
        let [op, set, node, id, patch, upsert, condition, params] = all;
        let kind = text(op.ok_or_else(|| A::Error::missing_field("op"))?, "op")?;
        let set: Arc<str> = text(set.ok_or_else(|| A::Error::missing_field("set"))?, "set")?.into();
        let bytes = |raw: &RawValue| self.text.slice_ref(raw.get().as_bytes());
        let id_of = |id: Option<&RawValue>| key_text(id.ok_or_else(|| A::Error::missing_field("id"))?);
        let condition = condition_of::<A::Error>(condition, params)?;
        let op = match kind.as_ref() {
            "upsert" if id.is_some() => {
                return Err(A::Error::custom("an upsert has no `id`: the node carries its key"));
            }
            "upsert" if patch.is_some() || upsert.is_some() => {
                return Err(A::Error::custom("an upsert has no `patch` and no `upsert`"));
            }
            "upsert" => {
                let node = node.ok_or_else(|| A::Error::missing_field("node"))?;
                Op::Upsert { set, node: bytes(node) }
            }
            "patch" if node.is_some() => {
                return Err(A::Error::custom("a patch has no `node`, only the `id` and the `patch`"));
            }
            "patch" => {
                let patch = patch.ok_or_else(|| A::Error::missing_field("patch"))?;
                let upsert = match upsert.map(RawValue::get) {
                    None | Some("false") => false,
                    Some("true") => true,
                    Some(_) => return Err(A::Error::custom("`upsert` must be true or false")),
                };
                Op::Patch { set, id: id_of(id)?, patch: bytes(patch), upsert }
            }
            "remove" if node.is_some() || patch.is_some() || upsert.is_some() => {
                return Err(A::Error::custom(
                    "a removal has no `node`, no `patch` and no `upsert`, only the `id`",
                ));
            }
            "remove" => Op::Remove { set, id: id_of(id)? },
            "clear" if [node, id, patch, upsert].iter().any(Option::is_some) || condition.is_some() => {
                return Err(A::Error::custom("a clear has only the `set`"));
            }
            "clear" => Op::Clear { set },
            other => return Err(A::Error::unknown_variant(other, &["upsert", "patch", "remove", "clear"])),
        };
        Ok(match condition {
            Some(condition) => Op::If { condition, op: Box::new(op) },
            None => op,
        })
    }
}

/// The fields of operations, of whatever kind.
const FIELDS: [&str; 8] = ["op", "set", "node", "id", "patch", "upsert", "if", "params"];

/// `if` and its `params`.
fn condition_of<E: serde::de::Error>(
    condition: Option<&RawValue>,
    params: Option<&RawValue>,
) -> Result<Option<Condition>, E> {
    let Some(condition) = condition else {
        return match params {
            None => Ok(None),
            Some(_) => Err(E::custom("`params` are for an `if`")),
        };
    };
    let mut condition = Condition::filter(text::<E>(condition, "if")?);
    if let Some(params) = params {
        // As a query has them: one reader for both.
        let query = format!(r#"{{"edge":"","params":{}}}"#, params.get());
        let query = Query::parse(query.as_bytes())
            .map_err(|error| E::custom(error.to_string().replace("query.params", "params")))?;
        for (name, value) in query.params {
            condition = condition.bind(name, value);
        }
    }
    Ok(Some(condition))
}

fn text<'de, E: serde::de::Error>(raw: &'de RawValue, field: &str) -> Result<Cow<'de, str>, E> {
    optional_text(raw, field)?.ok_or_else(|| E::custom(format_args!("`{field}` must be text")))
}

fn optional_text<'de, E: serde::de::Error>(
    raw: &'de RawValue,
    field: &str,
) -> Result<Option<Cow<'de, str>>, E> {
    let token = raw.get();
    if token == "null" {
        return Ok(None);
    }
    // `Cow` of serde copies; most texts have no escape and can stay borrowed.
    match token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Ok(Some(Cow::Borrowed(inner))),
        Some(_) => serde_json::from_str(token).map(|text| Some(Cow::Owned(text))).map_err(E::custom),
        None => Err(E::custom(format_args!("`{field}` must be text"))),
    }
}

/// The id as text: an integer key has its decimal form.
fn key_text<E: serde::de::Error>(raw: &RawValue) -> Result<String, E> {
    let token = raw.get();
    if token.starts_with('"') {
        return Ok(text::<E>(raw, "id")?.into_owned());
    }
    let integer =
        token.parse::<i64>().map(|n| n.to_string()).or_else(|_| token.parse::<u64>().map(|n| n.to_string()));
    integer.map_err(|_| E::custom("`id` must be text or an integer of 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Changes, String> {
        Changes::parse(&Bytes::copy_from_slice(text.as_bytes())).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_and_an_object_are_commits() {
        let list = parse(
            r#" [{"op":"upsert","set":"s","node":{"id":1, "n":1.10}},{"id":7,"op":"remove","set":"s"}]"#,
        );
        let ops = list.unwrap().ops;
        assert!(
            matches!(&ops[0], Op::Upsert { set, node } if &**set == "s" && &node[..] == br#"{"id":1, "n":1.10}"#)
        );
        assert!(matches!(&ops[1], Op::Remove { id, .. } if id == "7"));
        let object = parse(r#"{"ops":[],"at":"2013-01-01T05:15:00Z"}"#).unwrap();
        assert_eq!(object.at.unwrap().to_string(), "2013-01-01T05:15:00Z");
        assert!(parse(r#"{"at":null,"ops":[]}"#).unwrap().at.is_none());
    }

    #[test]
    fn patches_clears_and_conditions_are_read() {
        let ops = parse(
            r#"[{"op":"patch","set":"s","id":1,"patch":{"n":1.10},"if":"n == $n","params":{"n":2}},
                {"op":"patch","set":"s","id":"1","patch":{},"upsert":true},
                {"op":"upsert","set":"s","node":{"id":1},"if":"nothing"},{"op":"clear","set":"s"}]"#,
        );
        let patch = |patch: &'static str, upsert| Op::Patch {
            set: "s".into(),
            id: "1".into(),
            patch: patch.into(),
            upsert,
        };
        let only_if = |condition, op| Op::If { condition, op: Box::new(op) };
        assert_eq!(
            ops.unwrap().ops,
            [
                only_if(Condition::filter("n == $n").bind("n", 2), patch(r#"{"n":1.10}"#, false)),
                patch("{}", true),
                only_if(Condition::nothing(), Op::Upsert { set: "s".into(), node: r#"{"id":1}"#.into() }),
                Op::Clear { set: "s".into() },
            ]
        );
    }

    #[test]
    fn errors_name_the_op_and_what_is_wrong_with_it() {
        for (text, expected) in [
            ("", "found nothing"),
            ("7", "expected a list of ops"),
            ("[1]", "operation 0: invalid type: integer `1`, expected an op"),
            (r#"[["upsert","s",{}]]"#, "operation 0: invalid type: sequence"),
            (
                r#"[{"op":"upsert","set":"s","node":{}},{"op":"upsert","set":"s"}]"#,
                "operation 1: missing field `node`",
            ),
            (r#"[{"op":"drop","set":"s"}]"#, "operation 0: unknown variant `drop`"),
            (r#"[{"op":"remove","set":"s"}]"#, "operation 0: missing field `id`"),
            (r#"[{"op":"remove","set":"s","id":1.5}]"#, "operation 0: `id` must be text or an integer"),
            (r#"[{"op":"remove","set":"s","id":99999999999999999999}]"#, "operation 0: `id` must be text"),
            (r#"[{"op":"remove","set":3,"id":1}]"#, "operation 0: `set` must be text"),
            (r#"[{"op":"remove","set":"s","id":1,"node":{}}]"#, "operation 0: a removal has no `node`"),
            (r#"[{"op":"remove","set":"s","id":1,"upsert":true}]"#, "operation 0: a removal has no"),
            (r#"[{"op":"patch","set":"s","id":1}]"#, "operation 0: missing field `patch`"),
            (r#"[{"op":"patch","set":"s","patch":{}}]"#, "operation 0: missing field `id`"),
            (
                r#"[{"op":"patch","set":"s","id":1,"patch":{},"node":{}}]"#,
                "operation 0: a patch has no `node`",
            ),
            (
                r#"[{"op":"patch","set":"s","id":1,"patch":{},"upsert":1}]"#,
                "operation 0: `upsert` must be true",
            ),
            (r#"[{"op":"upsert","set":"s","node":{},"patch":{}}]"#, "operation 0: an upsert has no `patch`"),
            (r#"[{"op":"clear","set":"s","id":1}]"#, "operation 0: a clear has only the `set`"),
            (r#"[{"op":"clear","set":"s","if":"true"}]"#, "operation 0: a clear has only the `set`"),
            (r#"[{"op":"remove","set":"s","id":1,"if":true}]"#, "operation 0: `if` must be text"),
            (r#"[{"op":"remove","set":"s","id":1,"params":{}}]"#, "operation 0: `params` are for an `if`"),
            (
                r#"[{"op":"remove","set":"s","id":1,"if":"a == $b","params":{"b":{}}}]"#,
                "operation 0: 'params.b' must be a string",
            ),
            (r#"[{"op":"upsert","set":"s","nod":{}}]"#, "operation 0: unknown field `nod`"),
            (r#"[{"op":"upsert","op":"upsert","set":"s","node":{}}]"#, "operation 0: duplicate field `op`"),
            (r#"{"op":[]}"#, "unknown field `op`, expected `at` or `ops`"),
            (r#"{"ops":[]} x"#, "trailing characters"),
            (r#"{"ops":[],"at":"soon"}"#, "`at` must be an RFC 3339"),
            (r#"{"ops":[],"at":7}"#, "`at` must be text"),
            (r#"{"at":"2013-01-01T05:15:00Z"}"#, "missing field `ops`"),
            (r#"[{"op":"upsert","set":"s","node":{}},"#, "EOF"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_node_is_told_from_a_commit() {
        assert!(looks_like_commit(br#"{"at":"2013-01-01","ops":[]}"#));
        assert!(looks_like_commit(br#"{"ops":[]}"#));
        assert!(!looks_like_commit(br#"{"id":"1","ops":[]}"#));
        assert!(!looks_like_commit(br#"{"ops":3}"#));
        assert!(!looks_like_commit(b"[]"));
        assert!(!looks_like_commit(b"{"));
    }
}
