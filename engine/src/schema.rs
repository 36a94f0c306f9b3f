//! Declared fields of a set: optional, checked at the commit, and wherever a query names them.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    error::OpProblem,
    json::{Skim, text_of},
    limits::QueryLimits,
    path::Path,
    suggest,
    value::Value,
};

/// A set of nodes, as the host declares it.
///
/// A declaration is a promise about every node: one that breaks it is refused at the commit, and a query that asks for what can never
/// be true of it is refused too (`total == 'ten'` where `total` is a number). So a declaration that is added later can break clients.
///
/// ```
/// use liveset_engine::{Engine, EngineLimits, FieldKind, HashSeed, Query, SetDef};
///
/// let mut engine = Engine::new(EngineLimits::default(), HashSeed::FIXED);
/// let orders = SetDef::new("orders")
///     .required("status", FieldKind::Text)
///     .field("customer.since", FieldKind::Instant)
///     .strict();
/// engine.define_set(orders)?;
///
/// let error = engine.prepare(&Query::new("orders").filter("statu == 'open'")).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "filter, line 1, column 1: found 'statu', which the set does not declare, \
///      expected a declared field; did you mean 'status'?"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetDef {
    /// The name that queries use as `edge`.
    pub name: String,
    /// The top-level field that holds a node's id: text or an integer.
    pub key: String,
    /// Fields with a declared type. Nodes may have others; without any, every object with a key is taken.
    pub fields: Vec<FieldDef>,
    /// Whether there are no other fields than the key and the declared ones; see [`strict`](SetDef::strict).
    pub strict: bool,
}

impl SetDef {
    /// A set whose rows are told apart by their field `id`, without declared fields.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), key: "id".into(), fields: Vec::new(), strict: false }
    }

    /// Names the top-level field that tells rows apart: a string or an integer.
    #[must_use]
    pub fn key(mut self, field: impl Into<String>) -> Self {
        self.key = field.into();
        self
    }

    /// Declares a field that may be absent. `path` may go into objects: `customer.since`.
    #[must_use]
    pub fn field(mut self, path: impl Into<String>, kind: FieldKind) -> Self {
        self.fields.push(FieldDef { path: path.into(), kind, required: false });
        self
    }

    /// Declares a field that every row must have.
    #[must_use]
    pub fn required(mut self, path: impl Into<String>, kind: FieldKind) -> Self {
        self.fields.push(FieldDef { path: path.into(), kind, required: true });
        self
    }

    /// Allows for no other fields than the key and the declared ones: a node with another is refused at the commit, and filters,
    /// orders and fields of queries may name no other. `a.b` has to be declared as `a.b`; what is declared as an object or a list
    /// may hold anything.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }
}

/// A declared field.
///
/// ```
/// use liveset_engine::{FieldDef, FieldKind, SetDef};
///
/// let set = SetDef::new("orders").required("total", FieldKind::Number);
/// assert_eq!(set.fields, [FieldDef { path: "total".into(), kind: FieldKind::Number, required: true }]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDef {
    /// The field, as a path of the query language: `total`, `customer.since`.
    pub path: String,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether it must be there; `null` is not there.
    pub required: bool,
}

/// The type of a declared field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// JSON text.
    Text,
    /// A JSON number.
    Number,
    /// `true` or `false`.
    Bool,
    /// Text in RFC 3339 form, date or date-time. Orders in time instead of by code point.
    Instant,
    /// A JSON array.
    List,
    /// A JSON object.
    Object,
}

impl FieldKind {
    /// With its article, for the errors of commits.
    pub(crate) fn described(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Instant => "an instant (RFC 3339 text)",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// The declared fields with their paths parsed.
#[derive(Debug)]
pub(crate) struct Schema {
    /// The name of the set.
    pub(crate) set: Arc<str>,
    /// The name of the key field.
    pub(crate) key: Box<str>,
    fields: Vec<(Path, FieldKind, bool)>,
    kinds: BTreeMap<Path, FieldKind>,
    /// Of a strict set, what a node may hold.
    allowed: Option<Members>,
}

/// The members that an object may have.
type Members = BTreeMap<Box<str>, Allowed>;

#[derive(Debug)]
enum Allowed {
    /// With anything in them.
    Whole,
    /// If they are objects, with these members.
    Members(Members),
}

impl Schema {
    /// Fails with the field and what is wrong with it.
    pub(crate) fn new(def: &SetDef, limits: &QueryLimits) -> Result<Self, (String, String)> {
        let mut fields: Vec<(Path, FieldKind, bool)> = Vec::with_capacity(def.fields.len());
        let mut kinds = BTreeMap::new();
        for field in &def.fields {
            let path = Path::parse(&field.path, limits).map_err(|e| (field.path.clone(), e.to_string()))?;
            if kinds.insert(path.clone(), field.kind).is_some() {
                return Err((field.path.clone(), "declared twice".into()));
            }
            fields.push((path, field.kind, field.required));
        }
        let allowed = def.strict.then(|| {
            let mut allowed = Members::from([(def.key.as_str().into(), Allowed::Whole)]);
            kinds.keys().for_each(|path| allow(&mut allowed, path));
            allowed
        });
        Ok(Self { set: def.name.as_str().into(), key: def.key.as_str().into(), fields, kinds, allowed })
    }

    /// Whether the field at `path` is declared as of this kind.
    pub(crate) fn declares(&self, path: &Path, kind: FieldKind) -> bool {
        self.kind_of(path) == Some(kind)
    }

    /// What the field at `path` is declared as.
    pub(crate) fn kind_of(&self, path: &Path) -> Option<FieldKind> {
        self.kinds.get(path).copied()
    }

    /// Whether a query may name a path.
    pub(crate) fn may_name(&self, path: &Path) -> bool {
        let is_key = || path.names().len() == 1 && path.names().next() == Some(&*self.key);
        self.allowed.is_none() || self.kinds.contains_key(path) || is_key()
    }

    /// The declared field, or the key, that is nearest to a path.
    pub(crate) fn nearest(&self, path: &Path) -> Option<String> {
        let key = Path::field(&self.key);
        let known: Vec<String> = self.kinds.keys().chain([&key]).map(Path::to_string).collect();
        let path = path.to_string();
        // `name` for `customer.name`: what is nested is looked for by its last name too.
        let nested = || {
            let ends = |known: &&String| known.strip_suffix(&*path).is_some_and(|it| it.ends_with('.'));
            known.iter().find(ends).map(String::as_str)
        };
        // `id` for `id.x`.
        let around = || {
            let begins = |known: &&String| path.strip_prefix(&**known).is_some_and(|it| it.starts_with('.'));
            known.iter().filter(begins).max_by_key(|known| known.len()).map(String::as_str)
        };
        let near = suggest::nearest(&path, known.iter().map(String::as_str));
        near.or_else(nested).or_else(around).map(str::to_owned)
    }

    /// A field of a node, given as JSON text, that the set does not allow for.
    pub(crate) fn stranger(&self, node: &[u8]) -> Option<Path> {
        let mut names = Vec::new();
        let found = stranger(&mut Skim::new(node), self.allowed.as_ref()?, &mut names);
        found.then(|| Path::from_names(names))
    }

    /// The declared fields, in the order of their declaration.
    pub(crate) fn fields(&self) -> impl ExactSizeIterator<Item = (&Path, FieldKind)> {
        self.fields.iter().map(|(path, kind, _)| (path, *kind))
    }

    /// The same, as the host declares them.
    pub(crate) fn declared(&self) -> impl Iterator<Item = FieldDef> {
        let def = |(path, kind, required): &(Path, FieldKind, bool)| FieldDef {
            path: path.to_string(),
            kind: *kind,
            required: *required,
        };
        self.fields.iter().map(def)
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.allowed.is_some()
    }

    /// Refuses a node that is not as declared. `value` finds a declared field by its place; `None` where it is absent.
    pub(crate) fn admit<'a>(
        &self,
        set: &str,
        id: &str,
        value: impl Fn(usize) -> Option<&'a Value>,
    ) -> Result<(), OpProblem> {
        for (place, (path, kind, required)) in self.fields.iter().enumerate() {
            let refused = |found: &'static str| OpProblem::Field {
                set: set.to_owned(),
                node: id.to_owned(),
                field: path.to_string(),
                expected: kind.described(),
                found,
            };
            let Some(value) = value(place) else {
                if *required {
                    return Err(refused("missing"));
                }
                continue;
            };
            match (kind, value) {
                (_, Value::Nothing) if !required => {}
                (FieldKind::Text, Value::Text(_))
                | (FieldKind::Number, Value::Number(_))
                | (FieldKind::Bool, Value::Bool(_))
                | (FieldKind::List, Value::List(_))
                | (FieldKind::Object, Value::Object(_))
                | (FieldKind::Instant, Value::Instant(_)) => {}
                (FieldKind::Instant, Value::Text(_)) => return Err(refused("text in another form")),
                (_, other) => return Err(refused(other.described())),
            }
        }
        Ok(())
    }
}

/// Adds a declared path to what is allowed.
fn allow(allowed: &mut Members, path: &Path) {
    let mut members = allowed;
    let mut names = path.names().peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            members.insert(name.into(), Allowed::Whole);
            return;
        }
        match members.entry(name.into()).or_insert_with(|| Allowed::Members(Members::new())) {
            Allowed::Whole => return,
            Allowed::Members(inner) => members = inner,
        }
    }
}

/// Takes an object, up to a member that is not allowed: then its path is in `names`. Recursion is as deep as the declared paths.
fn stranger(skim: &mut Skim<'_>, allowed: &Members, names: &mut Vec<Box<str>>) -> bool {
    skim.skip(b'{');
    while let Some(key) = skim.key() {
        let name = text_of(key).unwrap_or_default();
        names.push((&*name).into());
        match allowed.get(&*name) {
            Some(Allowed::Whole) => {
                skim.value();
            }
            Some(Allowed::Members(inner)) if skim.peek() == Some(b'{') => {
                if stranger(skim, inner, names) {
                    return true;
                }
            }
            // Null is not there.
            Some(Allowed::Members(_)) if skim.peek() == Some(b'n') => {
                skim.value();
            }
            _ => return true,
        }
        names.pop();
        if !skim.skip(b',') {
            break;
        }
    }
    skim.skip(b'}');
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let def = SetDef::new("orders")
            .field("total", FieldKind::Number)
            .field("customer.name", FieldKind::Text)
            .field("customer.at.city", FieldKind::Text)
            .field("extra", FieldKind::Object);
        Schema::new(&def.strict(), &QueryLimits::default()).unwrap()
    }

    #[test]
    fn a_strict_set_allows_for_what_it_declares() {
        let schema = schema();
        let cases = [
            (r#"{"id":1}"#, None),
            (r#"{"id":1,"total":2,"customer":{"name":"a","at":{"city":"b"}},"extra":{"x":{"y":1}}}"#, None),
            (r#"{"id":1,"customer":{}}"#, None),
            (r#"{"id":1,"customer":null}"#, None),
            (r#"{"id":1,"totl":2}"#, Some("totl")),
            (r#"{"id":1,"totl":null}"#, Some("totl")),
            (r#"{"id":1,"customer":5}"#, Some("customer")),
            (r#"{"id":1,"customer":{"nme":"a"}}"#, Some("customer.nme")),
            (r#"{"id":1,"customer":{"at":{"zip":1}}}"#, Some("customer.at.zip")),
            (r#"{"\u0074otal":1,"a b":1}"#, Some("`a b`")),
        ];
        for (node, found) in cases {
            assert_eq!(schema.stranger(node.as_bytes()).map(|it| it.to_string()).as_deref(), found, "{node}");
        }
    }

    #[test]
    fn a_query_of_a_strict_set_names_what_is_declared() {
        let schema = schema();
        let path = |text: &str| Path::parse(text, &QueryLimits::default()).unwrap();
        for known in ["id", "total", "customer.name", "extra"] {
            assert!(schema.may_name(&path(known)), "{known}");
        }
        for (unknown, near) in [
            ("customer", Some("customer.at.city")),
            ("name", Some("customer.name")),
            ("totl", Some("total")),
            ("id.x", Some("id")),
            ("extra.x", Some("extra")),
            ("elephant", None),
        ] {
            assert!(!schema.may_name(&path(unknown)), "{unknown}");
            assert_eq!(schema.nearest(&path(unknown)).as_deref(), near, "{unknown}");
        }
    }
}
