//! Declared fields of a set: optional, checked at the commit.

use crate::{error::OpProblem, limits::QueryLimits, path::Path, value::Value};

/// A set of nodes, as the host declares it.
///
/// ```
/// use liveset_engine::{FieldKind, SetDef};
///
/// let orders = SetDef::new("orders", "id")
///     .field("createdAt", FieldKind::Instant, true)
///     .field("customer.since", FieldKind::Instant, false);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetDef {
    /// The name that queries use as `edge`.
    pub name: String,
    /// The top-level field that holds a node's id: text or an integer.
    pub key: String,
    /// Fields with a declared type. Nodes may have others; without any, every object with a key is taken.
    pub fields: Vec<FieldDef>,
}

impl SetDef {
    /// A set without declared fields.
    pub fn new(name: impl Into<String>, key: impl Into<String>) -> Self {
        Self { name: name.into(), key: key.into(), fields: Vec::new() }
    }

    /// Declares a field; see [`FieldDef`].
    #[must_use]
    pub fn field(mut self, path: impl Into<String>, kind: FieldKind, required: bool) -> Self {
        self.fields.push(FieldDef { path: path.into(), kind, required });
        self
    }
}

/// A declared field.
///
/// ```
/// use liveset_engine::{FieldDef, FieldKind, SetDef};
///
/// let set = SetDef::new("orders", "id").field("total", FieldKind::Number, true);
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
    /// With its article, for error messages.
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
#[derive(Debug, Default)]
pub(crate) struct Schema {
    fields: Vec<(Path, FieldKind, bool)>,
}

impl Schema {
    /// Fails with the field and what is wrong with it.
    pub(crate) fn new(defs: &[FieldDef], limits: &QueryLimits) -> Result<Self, (String, String)> {
        let mut fields: Vec<(Path, FieldKind, bool)> = Vec::with_capacity(defs.len());
        for def in defs {
            let path = Path::parse(&def.path, limits).map_err(|e| (def.path.clone(), e.to_string()))?;
            if fields.iter().any(|(p, ..)| *p == path) {
                return Err((def.path.clone(), "declared twice".into()));
            }
            fields.push((path, def.kind, def.required));
        }
        Ok(Self { fields })
    }

    /// Whether the field at `path` is declared as of this kind.
    pub(crate) fn declares(&self, path: &Path, kind: FieldKind) -> bool {
        self.fields.iter().any(|(declared, of, _)| declared == path && *of == kind)
    }

    /// The declared fields, in the order of their declaration.
    pub(crate) fn fields(&self) -> impl ExactSizeIterator<Item = (&Path, FieldKind)> {
        self.fields.iter().map(|(path, kind, _)| (path, *kind))
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
