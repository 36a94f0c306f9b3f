//! Which fields of a node are sent.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::json;
use crate::limits::QueryLimits;
use crate::path::Path;
use crate::schema::Schema;
use crate::steps::{Cost, halves};
use crate::syntax::{ExprError, excerpt};
use crate::value::Value;

mod write;

/// The fields of a node that a query wants, the key always among them; or the whole node.
///
/// A projected node keeps the nesting (`b.c` of `{"a":1,"b":{"c":2,"d":3}}` is `{"b":{"c":2}}`) and omits what is absent, together with
/// the objects that would be empty for it. Where fields overlap the wider one counts: `b` and `b.c` are `b`. A field that is
/// `null` is there.
///
/// ```
/// use liveset_engine::{Projection, QueryLimits};
///
/// let fields = ["customer.name".to_owned()];
/// let projection = Projection::parse(&fields, "id", &QueryLimits::default())?;
/// let node = br#"{"id":1,"customer":{"name":"Ada","email":"a@example.com"},"total":2}"#;
/// assert_eq!(projection.project(&node[..]), br#"{"id":1,"customer":{"name":"Ada"}}"#[..]);
/// # Ok::<(), liveset_engine::ExprError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Projection {
    fields: Fields,
    canonical: Box<str>,
}

/// What of a value is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Fields {
    /// All of it.
    All,
    /// These members of it, if it is an object. A tree as deep as the longest path.
    Members(BTreeMap<Box<str>, Fields>),
}

impl Projection {
    /// Reads the fields of a projection, each a path; `key` is the name of the key field, which is added.
    ///
    /// # Errors
    ///
    /// Names the field that is no path, or says that there are too many.
    pub fn parse(fields: &[String], key: &str, limits: &QueryLimits) -> Result<Projection, ExprError> {
        Projection::parse_where(fields, key, limits, |_| Ok(()))
    }

    /// Reads the fields of nodes of a set, of which they may name what the set allows for.
    pub(crate) fn parse_in(
        fields: &[String],
        schema: &Schema,
        limits: &QueryLimits,
    ) -> Result<Projection, ExprError> {
        Projection::parse_where(fields, &schema.key, limits, |path| match schema.may_name(path) {
            true => Ok(()),
            false => {
                let shown = path.to_string();
                let found = format!("{}, which the set does not declare", excerpt(&shown));
                let error = ExprError::at(&shown, 0, found, "a declared field");
                Err(*error.suggest(schema.nearest(path)))
            }
        })
    }

    fn parse_where(
        fields: &[String],
        key: &str,
        limits: &QueryLimits,
        may_name: impl Fn(&Path) -> Result<(), ExprError>,
    ) -> Result<Projection, ExprError> {
        if fields.len() > limits.fields {
            return Err(*ExprError::at(
                "",
                0,
                format!("{} fields", fields.len()),
                format!("at most {} fields", limits.fields),
            ));
        }
        let mut tree = BTreeMap::from([(Box::from(key), Fields::All)]);
        for field in fields {
            let path = Path::parse(field, limits).and_then(|path| may_name(&path).map(|()| path));
            let path = path.map_err(|error| error.in_field(field))?;
            insert(&mut tree, &path);
        }
        let mut paths = Vec::new();
        list(&tree, &mut Vec::new(), &mut paths);
        let canonical = paths.join(", ").into();
        Ok(Projection { fields: Fields::Members(tree), canonical })
    }

    /// The whole node.
    pub fn whole() -> Projection {
        Projection { fields: Fields::All, canonical: "*".into() }
    }

    /// Whether this is the whole node.
    pub fn is_whole(&self) -> bool {
        self.fields == Fields::All
    }

    /// Whether all of what stands at a path is in the projection.
    pub fn covers(&self, path: &Path) -> bool {
        let mut fields = &self.fields;
        for name in path.names() {
            match fields {
                Fields::All => return true,
                Fields::Members(members) => match members.get(name) {
                    Some(inner) => fields = inner,
                    None => return false,
                },
            }
        }
        *fields == Fields::All
    }

    /// The first of the fields that is not wholly in `other`, as text; for the whole node, `*`.
    pub(crate) fn beyond(&self, other: &Projection) -> Option<String> {
        fn beyond(mine: &Fields, theirs: &Fields) -> Option<Vec<Box<str>>> {
            match (mine, theirs) {
                (_, Fields::All) => None,
                (Fields::All, Fields::Members(_)) => Some(Vec::new()),
                (Fields::Members(mine), Fields::Members(theirs)) => mine.iter().find_map(|(name, inner)| {
                    let mut names = match theirs.get(name) {
                        Some(theirs) => beyond(inner, theirs)?,
                        None => Vec::new(),
                    };
                    names.insert(0, name.clone());
                    Some(names)
                }),
            }
        }
        let names = beyond(&self.fields, &other.fields)?;
        Some(if names.is_empty() { "*".to_owned() } else { names.join(".") })
    }

    /// The fields in one spelling whatever their order and overlaps: the projection's identity. `*` for the whole node.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// What [`write`](Projection::write) costs at most for a node.
    pub fn cost(&self) -> Cost {
        /// Members in a block of JSON at most, as far as they have names.
        const MEMBERS: u64 = 4;
        match &self.fields {
            Fields::All => Cost::new(1, 1),
            // The node is read and what is wanted copied, and each member is looked up among those that are wanted: by names that
            // may be as long as the node.
            Fields::Members(members) => Cost::new(2, 2 + (MEMBERS + 1) * halves(widest(members))),
        }
    }

    /// Appends the projection of a node to `out`. The tokens of the wanted values are copied as they are; white space between
    /// members goes. `raw` is the node as JSON, valid as [`json::parse`](crate::json::parse) has it; of what is not valid,
    /// nothing but what could be read is written.
    ///
    /// Costs one pass over the node.
    pub fn write(&self, raw: &[u8], out: &mut Vec<u8>) {
        match &self.fields {
            Fields::All => out.extend_from_slice(raw),
            Fields::Members(members) => write::object(members, raw, out),
        }
    }

    /// The projection of a node as bytes of its own. See [`write`](Projection::write).
    pub fn project(&self, raw: &[u8]) -> Bytes {
        let mut out = Vec::new();
        self.write(raw, &mut out);
        // Into a buffer of its exact size: projections are kept and shared for long.
        Bytes::from(out.into_boxed_slice())
    }

    /// Whether the projections of two nodes, given as JSON text, are equal as JSON values.
    pub(crate) fn same_text(&self, a: &[u8], b: &[u8]) -> bool {
        let (mut shown_a, mut shown_b) = (Vec::new(), Vec::new());
        self.write(a, &mut shown_a);
        self.write(b, &mut shown_b);
        shown_a == shown_b || json::is_same(&shown_a, &shown_b)
    }

    /// Whether the projections of two nodes are equal as JSON values.
    pub fn same(&self, a: &Value, b: &Value) -> bool {
        match &self.fields {
            Fields::All => a == b,
            Fields::Members(members) => same_members(members, Some(a), Some(b)),
        }
    }
}

/// The most members that are wanted of one object.
fn widest(members: &BTreeMap<Box<str>, Fields>) -> usize {
    let inner = members.values().map(|fields| match fields {
        Fields::All => 0,
        Fields::Members(inner) => widest(inner),
    });
    inner.fold(members.len(), usize::max)
}

/// Adds a path to the tree of wanted members.
fn insert(tree: &mut BTreeMap<Box<str>, Fields>, path: &Path) {
    let mut members = tree;
    let mut names = path.names().peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            members.insert(name.into(), Fields::All);
            return;
        }
        match members.entry(name.into()).or_insert_with(|| Fields::Members(BTreeMap::new())) {
            Fields::All => return,
            Fields::Members(inner) => members = inner,
        }
    }
}

/// Lists the wanted paths in the order of their names.
fn list(members: &BTreeMap<Box<str>, Fields>, way: &mut Vec<Box<str>>, paths: &mut Vec<String>) {
    for (name, fields) in members {
        way.push(name.clone());
        match fields {
            Fields::All => paths.push(Path::from_names(way.clone()).to_string()),
            Fields::Members(inner) => list(inner, way, paths),
        }
        way.pop();
    }
}

fn same_members(members: &BTreeMap<Box<str>, Fields>, a: Option<&Value>, b: Option<&Value>) -> bool {
    members.iter().all(|(name, fields)| {
        let (a, b) = (member(a, name), member(b, name));
        match fields {
            Fields::All => a == b,
            Fields::Members(inner) => same_members(inner, a, b),
        }
    })
}

fn member<'a>(value: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    match value? {
        Value::Object(object) => object.field(name),
        _ => None,
    }
}

/// The canonical spelling.
impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::limits::JsonLimits;

    fn projection(fields: &[&str]) -> Projection {
        let fields: Vec<String> = fields.iter().map(|field| field.to_string()).collect();
        Projection::parse(&fields, "id", &QueryLimits::default()).unwrap()
    }

    fn written(fields: &[&str], raw: &str) -> String {
        let mut out = Vec::new();
        projection(fields).write(raw.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn value(raw: &str) -> Value {
        json::parse(raw.as_bytes(), &JsonLimits::default()).unwrap()
    }

    #[test]
    fn nesting_is_kept_and_what_is_absent_is_omitted() {
        let raw = r#"{"a":1,"b":{"c":2.50,"d":[1,{"c":3}]},"id":"x","n":null,"in":{"in":true}}"#;
        let cases: [(&[&str], &str); 11] = [
            (&[], r#"{"id":"x"}"#),
            (&["b.c"], r#"{"b":{"c":2.50},"id":"x"}"#),
            (&["b"], r#"{"b":{"c":2.50,"d":[1,{"c":3}]},"id":"x"}"#),
            (&["b.c", "b"], r#"{"b":{"c":2.50,"d":[1,{"c":3}]},"id":"x"}"#),
            (&["b", "b.c"], r#"{"b":{"c":2.50,"d":[1,{"c":3}]},"id":"x"}"#),
            (&["b.x", "y", "a.z"], r#"{"id":"x"}"#),
            (&["b.d.c"], r#"{"id":"x"}"#),
            (&["n", "n.x"], r#"{"id":"x","n":null}"#),
            (&["n.x"], r#"{"id":"x"}"#),
            (&["in.in"], r#"{"id":"x","in":{"in":true}}"#),
            (&["id.x", "a"], r#"{"a":1,"id":"x"}"#),
        ];
        for (fields, expected) in cases {
            assert_eq!(written(fields, raw), expected, "{fields:?}");
        }
    }

    #[test]
    fn keys_are_known_by_their_meaning_and_copied_as_written() {
        let raw = "{ \"\\u0069d\" : \"a\\\"}\" , \"x y\" : { \"b\" : [ \"]\" , 1 ] } , \"z\":0}";
        assert_eq!(written(&["`x y`.b"], raw), "{\"\\u0069d\":\"a\\\"}\",\"x y\":{\"b\":[ \"]\" , 1 ]}}");
    }

    #[test]
    fn spellings_of_one_projection_are_one() {
        assert_eq!(projection(&["b", "a", "b.c"]), projection(&["a", "b", "id", "b.d.e"]));
        assert_eq!(projection(&["b.`x y`", "b.in"]).canonical(), "b.in, b.`x y`, id");
        assert_ne!(projection(&["id"]), Projection::whole());
        assert!(Projection::whole().is_whole());
        let raw = Bytes::from_static(b"{ \"id\": 1, \"a\": 2 }");
        assert_eq!(Projection::whole().project(&raw), raw);
        assert_eq!(projection(&["a"]).project(&raw), "{\"id\":1,\"a\":2}");
    }

    #[test]
    fn sameness_is_that_of_what_is_sent() {
        let fields = projection(&["a", "b.c"]);
        let cases = [
            (r#"{"id":1,"a":1,"b":{"c":1,"d":1}}"#, r#"{"b":{"d":2,"c":1.0},"a":1.0,"id":1}"#, true),
            (r#"{"id":1,"a":null}"#, r#"{"id":1}"#, false),
            (r#"{"id":1,"b":{}}"#, r#"{"id":1}"#, true),
            (r#"{"id":1,"b":{"c":null}}"#, r#"{"id":1,"b":{}}"#, false),
            (r#"{"id":1,"b":[1]}"#, r#"{"id":1,"b":2}"#, true),
            (r#"{"id":1,"a":{"x":1}}"#, r#"{"id":1,"a":{"x":2}}"#, false),
        ];
        for (a, b, same) in cases {
            assert_eq!(fields.same(&value(a), &value(b)), same, "{a} {b}");
            let same_text = value(&written(&["a", "b.c"], a)) == value(&written(&["a", "b.c"], b));
            assert_eq!(same_text, same, "{a} {b}");
        }
    }

    #[test]
    fn a_projection_costs_a_pass_and_a_search_for_each_member() {
        assert_eq!(Projection::whole().cost(), Cost::new(1, 1));
        assert_eq!(projection(&[]).cost(), Cost::new(2, 7));
        assert_eq!(projection(&["a", "b.c", "b.d", "b.e", "b.f"]).cost(), Cost::new(2, 17));
    }

    #[test]
    fn bad_fields_are_named() {
        let fields = ["a".to_string(), "b..c".to_string()];
        let error = Projection::parse(&fields, "id", &QueryLimits::default()).unwrap_err();
        assert_eq!(error.to_string(), "field 'b..c': line 1, column 3: found '.', expected a name");
        let limits = QueryLimits::default().fields(1);
        assert!(Projection::parse(&fields, "id", &limits).is_err());
        assert!(Projection::parse(&[String::new()], "id", &QueryLimits::default()).is_err());
    }

    #[test]
    fn broken_json_never_panics() {
        let raw = r#"{"id":"x","b":{"c":[1,"\"]}"],"d":2}}"#;
        for end in 0..raw.len() {
            written(&["b.c", "b.d"], &raw[..end]);
            written(&["b.c", "b.d"], &raw[end..]);
        }
    }
}
