//! A query as one JSON object. What is a set and a row elsewhere is called `edge` and `node` there.

use std::borrow::Cow;

use super::read::{fields, not_utf8, shortened, text, texts, whole_number};
use super::write::ObjectWriter;
use crate::limits::MESSAGE_NESTING;
use crate::model::Query;

/// What is wrong with a query object, and where: `INVALID_QUERY`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidQuery(String);

const QUERY: [&str; 5] = ["edge", "filter", "orderBy", "limit", "node"];
const NODE: [&str; 1] = ["fields"];

impl Query {
    /// Reads a query object, strictly: an unknown field and a wrong type are errors, and so is JSON that the policy refuses
    /// (see the [front page](crate#json)). A misspelt `filtr` must not serve the wrong set. One pass over the text.
    pub fn parse(json: &[u8]) -> Result<Query, InvalidQuery> {
        match std::str::from_utf8(json) {
            Ok(json) => Query::parse_str(json).map_err(InvalidQuery),
            Err(error) => Err(InvalidQuery(format!("query: {}", not_utf8(&error)))),
        }
    }

    pub(crate) fn parse_str(json: &str) -> Result<Query, String> {
        let object = fields(json, &QUERY, MESSAGE_NESTING).map_err(|what| format!("query: {what}"))?;
        if let Some(name) = object.unknown {
            return Err(format!("unknown field '{name}' in query: expected one of {}", listed(&QUERY)));
        }
        let [edge, filter, order_by, limit, node] = object.values;
        let edge = wanted_text("query.edge", edge)?.ok_or("'query.edge' is missing")?;
        let limit = match limit.map(|piece| (piece, whole_number(piece))) {
            None => None,
            Some((_, Some(limit))) => Some(limit),
            Some((piece, None)) => {
                let found = shortened(piece);
                return Err(format!("'query.limit' must be a whole number of 0 or more, found {found}"));
            }
        };
        Ok(Query {
            set: edge.into_owned(),
            filter: wanted_text("query.filter", filter)?.map(Cow::into_owned),
            order_by: wanted_text("query.orderBy", order_by)?.map(Cow::into_owned),
            limit,
            fields: node.map(node_fields).transpose()?.flatten(),
        })
    }

    /// Appends the query as one JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut object = ObjectWriter::begin(out);
        self.write_fields(&mut object);
        object.end();
    }

    pub(crate) fn write_fields(&self, object: &mut ObjectWriter<'_>) {
        object.text("edge", &self.set);
        object.maybe_text("filter", self.filter.as_deref());
        object.maybe_text("orderBy", self.order_by.as_deref());
        if let Some(limit) = self.limit {
            object.number("limit", limit);
        }
        if let Some(fields) = &self.fields {
            object.object("node", |node| node.texts("fields", fields.iter().map(String::as_str)));
        }
    }
}

fn node_fields(piece: &str) -> Result<Option<Vec<String>>, String> {
    let object = fields(piece, &NODE, MESSAGE_NESTING).map_err(|what| format!("query.node: {what}"))?;
    if let Some(name) = object.unknown {
        return Err(format!("unknown field '{name}' in query.node: expected {}", listed(&NODE)));
    }
    let [fields] = object.values;
    fields
        .map(|piece| {
            let names = texts(piece).ok_or("'query.node.fields' must be a list of texts")?;
            Ok(names.into_iter().map(Cow::into_owned).collect())
        })
        .transpose()
}

fn wanted_text<'a>(name: &str, piece: Option<&'a str>) -> Result<Option<Cow<'a, str>>, String> {
    piece.map(|piece| text(piece).ok_or_else(|| format!("'{name}' must be a text"))).transpose()
}

pub(super) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
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
            order_by: Some("createdAt desc".into()),
            limit: Some(50),
            fields: Some(vec!["id".into(), "customer.name".into()]),
        };
        let bare = Query { set: "orders".into(), ..Query::default() };
        let key_only = Query { fields: Some(vec![]), ..bare.clone() };
        for query in [full, bare, key_only] {
            let mut out = Vec::new();
            query.write(&mut out);
            assert_eq!(Query::parse(&out), Ok(query));
        }
    }

    #[test]
    fn null_is_absent() {
        let json = br#"{"edge":"a","filter":null,"orderBy":null,"limit":null,"node":{"fields":null}}"#;
        assert_eq!(Query::parse(json), Ok(Query { set: "a".into(), ..Query::default() }));
    }

    #[test]
    fn is_strict() {
        assert_eq!(
            refused(r#"{"edge":"a","filtr":"x"}"#),
            "unknown field 'filtr' in query: expected one of 'edge', 'filter', 'orderBy', 'limit', 'node'"
        );
        assert_eq!(refused(r#"{"filter":"x"}"#), "'query.edge' is missing");
        assert_eq!(refused(r#"{"edge":null}"#), "'query.edge' is missing");
        assert_eq!(refused(r#"{"edge":"a","filter":5}"#), "'query.filter' must be a text");
        assert!(refused(r#"{"edge":"a","limit":-1}"#).ends_with("found -1"));
        assert!(refused(r#"{"edge":"a","limit":1.5}"#).ends_with("found 1.5"));
        assert!(
            refused(r#"{"edge":"a","edge":"b"}"#).contains("duplicate key \"edge\" in the object at byte 0")
        );
        assert!(refused(r#"{"edge":"a","node":{"navigate":[]}}"#).contains("'navigate' in query.node"));
        assert!(refused(r#"{"edge":"a","node":{"fields":["a",1]}}"#).contains("list of texts"));
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
