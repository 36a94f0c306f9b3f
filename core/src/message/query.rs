//! A query as one JSON object. What is a set and a row elsewhere is called `edge` and `node` there.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, Error as _};

use super::ObjectWriter;
use super::declare::{kind, object};
use super::field::read::{Members, Refused};
use super::field::{Field, Node, Plain};
use crate::json::utf8;
use crate::limits::MESSAGE_NESTING;
use crate::model::{Param, Query};

/// What is wrong with a query object, and where: `INVALID_QUERY`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidQuery(String);

// A misspelt `filtr` must not serve the wrong set.
object!(Query, strict, InvalidQuery => {
    set: String = "edge",
    filter: Option<String> = "filter",
    params: BTreeMap<String, Param> = "params",
    order_by: Option<String> = "orderBy",
    limit: Option<u64> = "limit",
    fields: Option<Vec<String>> = "node" as Node,
});

/// `"node": { "fields": […] }`.
impl<'a> Field<'a, Node> for Option<Vec<String>> {
    fn read(piece: &'a str, id_bytes: usize) -> Result<Self, Refused> {
        let members = Members::inside(piece, &["fields"])?;
        members.strict(&["fields"])?;
        members.take::<_, Plain>("fields", id_bytes)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut node = ObjectWriter::begin(out);
        node.field::<_, Plain>("fields", self);
        node.end();
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl Query {
    /// Reads a query object, strictly: an unknown field and a wrong type are errors, and so is JSON that the policy refuses
    /// (see the [front page](crate#json)). Two passes over the text.
    pub fn parse(json: &[u8]) -> Result<Query, InvalidQuery> {
        let refused = |what: &dyn std::fmt::Display| InvalidQuery(format!("query: {what}"));
        let json = utf8(json).map_err(|error| refused(&error))?;
        Members::read(json, &[], MESSAGE_NESTING).map_err(|error| refused(&error))?;
        <Query as Field<'_, Plain>>::read(json, usize::MAX)
            .map_err(|refused| InvalidQuery(refused.within("query").to_string()))
    }

    /// Appends the query as one JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        Field::<Plain>::write(self, out);
    }
}

/// The object that stands as `query` on the wire, by the same rules.
///
/// ```
/// use liveset_core::Query;
///
/// let query: Query = serde_json::from_str(r#"{"edge": "orders", "filter": "open", "node": {"fields": ["total"]}}"#)?;
/// assert_eq!(query, Query::new("orders").filter("open").fields(["total"]));
/// # Ok::<(), serde_json::Error>(())
/// ```
impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Query, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Query::parse(value.to_string().as_bytes()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        Query::parse(json.as_bytes()).expect_err(json).to_string()
    }

    #[test]
    fn reads_back_what_it_writes() {
        let full = Query {
            set: "orders".into(),
            filter: Some("status == \"a\\b\"".into()),
            params: BTreeMap::new(),
            order_by: Some("createdAt desc".into()),
            limit: Some(50),
            fields: Some(vec!["id".into(), "customer.name".into()]),
        };
        let bare = Query { set: "orders".into(), ..Query::default() };
        let key_only = Query { fields: Some(vec![]), ..bare.clone() };
        for query in [full, bare, key_only] {
            let mut out = Vec::new();
            query.write(&mut out);
            assert_eq!(serde_json::from_slice::<Query>(&out).expect("a query"), query);
            assert_eq!(Query::parse(&out), Ok(query));
        }
    }

    #[test]
    fn null_is_absent() {
        let json = br#"{"edge":"a","filter":null,"orderBy":null,"limit":null,"node":{"fields":null}}"#;
        let bare = Query { set: "a".into(), ..Query::default() };
        assert_eq!(serde_json::from_slice::<Query>(json).expect("a query"), bare);
        assert_eq!(Query::parse(json), Ok(bare));
    }

    #[test]
    fn is_strict() {
        assert_eq!(
            refused(r#"{"edge":"a","filtr":"x"}"#),
            "'query' has an unknown field 'filtr': expected one of 'edge', 'filter', 'params', 'orderBy', 'limit', 'node'"
        );
        assert_eq!(refused(r#"{"filter":"x"}"#), "'query.edge' is missing");
        assert_eq!(refused(r#"{"edge":null}"#), "'query.edge' is missing");
        assert_eq!(refused(r#"{"edge":"a","filter":5}"#), "'query.filter' must be a string");
        assert!(refused(r#"{"edge":"a","limit":-1}"#).ends_with("found -1"));
        assert!(refused(r#"{"edge":"a","limit":1.5}"#).ends_with("found 1.5"));
        assert!(
            refused(r#"{"edge":"a","edge":"b"}"#).contains("duplicate key \"edge\" in the object at byte 0")
        );
        assert!(
            refused(r#"{"edge":"a","node":{"navigate":[]}}"#)
                .contains("'query.node' has an unknown field 'navigate'")
        );
        assert!(
            refused(r#"{"edge":"a","node":{"fields":["a",1]}}"#)
                .contains("'query.node.fields[1]' must be a string")
        );
        assert!(refused(r#"{"edge":"a"} x"#).contains("expected the end"));
        assert!(refused(r#"["a"]"#).contains("expected a JSON object"));
    }

    #[test]
    fn a_limit_is_any_integer_of_64_bits() {
        let query = Query::parse(br#"{"edge":"a","limit":0}"#);
        assert_eq!(query.map(|query| query.limit), Ok(Some(0)));
        let query = Query::parse(br#"{"edge":"a","limit":18446744073709551615}"#);
        assert_eq!(query.map(|query| query.limit), Ok(Some(u64::MAX)));
        assert!(refused(r#"{"edge":"a","limit":18446744073709551616}"#).contains("beyond 64 bits"));
    }
}
