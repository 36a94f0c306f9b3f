//! Which views a change may touch: the predicate index.
//!
//! Every filter is classified once into the cheapest way to find it ([`Access`]). A filter that can only hold of nodes with
//! certain values at certain paths is found by hashing those values of the changed node; whatever is left over is tried
//! against every change. The index only ever narrows: the filter itself still decides.
//!
//! | filter | found by |
//! | --- | --- |
//! | `path == literal`, a boolean path | the value at the path |
//! | `path in [..]` | the value at the path, once for each item |
//! | `path anyof [..]`, `path allof [..]` | the items of the list at the path |
//! | `and` | its operand with the fewest values, the rest is checked afterwards |
//! | `or` | all of its operands, if each can be found |
//! | instants, ranges, text operators, `not`, `!=` and the rest | every change |

use std::hash::{Hash, Hasher};

use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashMap};
use indexmap::IndexSet;

use crate::{
    engine::ViewKey,
    filter::{Comparison, Expr, Literal, Membership, Sum, Term},
    path::Path,
    schema::{FieldKind, Schema},
    value::{Number, Value},
};

/// The cheapest way from a changed node to a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The filter can hold only of a node that has one of these; with none, of no node.
    Probes(Vec<Probe>),
    /// It can hold of any node.
    Scan,
}

/// A value at a path, or among the items of the list there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    path: Path,
    place: Place,
    key: Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Whole,
    Item,
}

/// A value by which a filter is found. Equal as the query language has it: `1` and `1.0` are one key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Nothing,
    Bool(bool),
    Number(Number),
    Text(Box<str>),
}

/// A [`Key`] over a node's own text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyRef<'a> {
    Nothing,
    Bool(bool),
    Number(Number),
    Text(&'a str),
}

impl Key {
    fn of(literal: &Literal) -> Option<Key> {
        match literal {
            Literal::Nothing => Some(Key::Nothing),
            Literal::Bool(value) => Some(Key::Bool(*value)),
            Literal::Number(number) => Some(Key::Number(*number)),
            Literal::Text(text) => Some(Key::Text(text.clone())),
            // An instant equals text in many spellings.
            Literal::Instant(_) | Literal::Duration(_) => None,
        }
    }

    fn as_ref(&self) -> KeyRef<'_> {
        match self {
            Key::Nothing => KeyRef::Nothing,
            Key::Bool(value) => KeyRef::Bool(*value),
            Key::Number(number) => KeyRef::Number(*number),
            Key::Text(text) => KeyRef::Text(text),
        }
    }
}

impl<'a> KeyRef<'a> {
    /// `None` for lists and objects, which no literal equals.
    fn of(value: &'a Value) -> Option<KeyRef<'a>> {
        match value {
            Value::Nothing => Some(KeyRef::Nothing),
            Value::Bool(value) => Some(KeyRef::Bool(*value)),
            Value::Number(number) => Some(KeyRef::Number(*number)),
            Value::Text(text) => Some(KeyRef::Text(text)),
            Value::Instant(timed) => Some(KeyRef::Text(timed.text())),
            Value::List(_) | Value::Object(_) => None,
        }
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            KeyRef::Nothing => 0_u8.hash(state),
            KeyRef::Bool(value) => (1_u8, value).hash(state),
            KeyRef::Number(number) => (2_u8, number).hash(state),
            KeyRef::Text(text) => (3_u8, text).hash(state),
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.as_ref()
    }
}

impl Access {
    /// Classifies a filter over a set of this schema. Costs O(filter).
    pub(crate) fn of(filter: &Expr, schema: &Schema) -> Access {
        match filter {
            Expr::Constant(false) => Access::Probes(Vec::new()),
            Expr::Field(path) => Access::probes(path, Place::Whole, [Some(Key::Bool(true))]),
            Expr::Compare { left, operator: Comparison::Equal, right } => match (single(left), single(right))
            {
                (Some(Term::Path(path)), Some(Term::Literal(literal)))
                | (Some(Term::Literal(literal)), Some(Term::Path(path)))
                    if !schema.declares(path, FieldKind::Instant) =>
                {
                    Access::probes(path, Place::Whole, [Key::of(literal)])
                }
                _ => Access::Scan,
            },
            Expr::Member { left, operator, list } => match (single(left), operator) {
                (Some(Term::Path(path)), Membership::In) if !schema.declares(path, FieldKind::Instant) => {
                    Access::probes(path, Place::Whole, list.iter().map(Key::of))
                }
                (Some(Term::Path(path)), Membership::AnyOf) => {
                    Access::probes(path, Place::Item, list.iter().map(Key::of))
                }
                // All of them are there, so the first is; of none, every list has all.
                (Some(Term::Path(path)), Membership::AllOf) if !list.is_empty() => {
                    Access::probes(path, Place::Item, list.iter().take(1).map(Key::of))
                }
                _ => Access::Scan,
            },
            Expr::And(operands) => {
                let of = |operand| Access::of(operand, schema);
                operands.iter().map(of).min_by_key(Access::breadth).unwrap_or(Access::Scan)
            }
            Expr::Or(operands) => {
                let mut all = Vec::new();
                for operand in operands {
                    match Access::of(operand, schema) {
                        Access::Probes(probes) => all.extend(probes),
                        Access::Scan => return Access::Scan,
                    }
                }
                Access::Probes(all)
            }
            Expr::Constant(true) | Expr::Not(_) | Expr::Compare { .. } | Expr::Text { .. } => Access::Scan,
        }
    }

    /// One probe for each key; a literal without a key makes a scan of it.
    fn probes(path: &Path, place: Place, keys: impl IntoIterator<Item = Option<Key>>) -> Access {
        let probe = |key| Probe { path: path.clone(), place, key };
        let probes: Option<Vec<Probe>> = keys.into_iter().map(|key| key.map(probe)).collect();
        probes.map_or(Access::Scan, Access::Probes)
    }

    fn breadth(&self) -> usize {
        match self {
            Access::Probes(probes) => probes.len(),
            Access::Scan => usize::MAX,
        }
    }
}

/// The term that stands alone on its side.
fn single(sum: &Sum) -> Option<&Term> {
    sum.rest.is_empty().then_some(&sum.first)
}

/// The views of one set, by what can touch them.
#[derive(Debug, Default)]
pub(crate) struct PredicateIndex {
    paths: HashMap<Path, Buckets, FixedState>,
    /// Tried against every change, in the order of their making but for removals.
    scan: IndexSet<ViewKey, FixedState>,
}

/// The views found by the value at one path, and by the items of the list there.
#[derive(Debug, Default)]
struct Buckets {
    whole: HashMap<Key, Bucket, FixedState>,
    item: HashMap<Key, Bucket, FixedState>,
}

type Bucket = IndexSet<ViewKey, FixedState>;

impl Buckets {
    fn at(&mut self, place: Place) -> &mut HashMap<Key, Bucket, FixedState> {
        match place {
            Place::Whole => &mut self.whole,
            Place::Item => &mut self.item,
        }
    }
}

impl PredicateIndex {
    /// O(probes).
    pub(crate) fn insert(&mut self, view: ViewKey, access: &Access) {
        let Access::Probes(probes) = access else {
            self.scan.insert(view);
            return;
        };
        for Probe { path, place, key } in probes {
            self.paths
                .entry(path.clone())
                .or_default()
                .at(*place)
                .entry(key.clone())
                .or_default()
                .insert(view);
        }
    }

    /// O(probes). Leaves nothing of the view behind.
    pub(crate) fn remove(&mut self, view: ViewKey, access: &Access) {
        let Access::Probes(probes) = access else {
            self.scan.swap_remove(&view);
            return;
        };
        for Probe { path, place, key } in probes {
            let Some(buckets) = self.paths.get_mut(path) else { continue };
            let keys = buckets.at(*place);
            if let Some(bucket) = keys.get_mut(key) {
                bucket.swap_remove(&view);
                if bucket.is_empty() {
                    keys.remove(key);
                }
            }
            if buckets.whole.is_empty() && buckets.item.is_empty() {
                self.paths.remove(path);
            }
        }
    }

    /// The views that every change is tried against.
    pub(crate) fn scanned(&self) -> impl ExactSizeIterator<Item = ViewKey> {
        self.scan.iter().copied()
    }

    /// The other views whose filter may hold of `node`; a view may come more than once. Costs one look-up for each path that
    /// any of them is found by, and one for each item of a list there.
    pub(crate) fn candidates(&self, node: &Value, mut found: impl FnMut(ViewKey)) {
        for (path, buckets) in &self.paths {
            let value = node.at(path);
            let mut look_up = |keys: &HashMap<Key, Bucket, FixedState>, value| {
                if let Some(bucket) = KeyRef::of(value).and_then(|key| keys.get(&key)) {
                    bucket.iter().copied().for_each(&mut found);
                }
            };
            if !buckets.whole.is_empty() {
                look_up(&buckets.whole, value);
            }
            if let (Value::List(items), false) = (value, buckets.item.is_empty()) {
                items.iter().for_each(|item| look_up(&buckets.item, item));
            }
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.scan.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Filter, JsonLimits, QueryLimits, json};

    fn access(filter: &str) -> Access {
        let filter = Filter::parse(filter, &QueryLimits::default()).expect("a filter");
        Access::of(filter.expr(), &Schema::default())
    }

    fn found(index: &PredicateIndex, node: &str) -> bool {
        let node = json::parse(node.as_bytes(), &JsonLimits::default()).expect("a node");
        let mut found = false;
        index.candidates(&node, |_| found = true);
        found
    }

    #[test]
    fn filters_are_found_by_their_narrowest_part() {
        let breadth = |filter: &str| match access(filter) {
            Access::Probes(probes) => Some(probes.len()),
            Access::Scan => None,
        };
        for (filter, expected) in [
            ("a == 1", Some(1)),
            ("1 == a", Some(1)),
            ("open", Some(1)),
            ("a in [1, 2, 3]", Some(3)),
            ("a in []", Some(0)),
            ("tags anyof ['x', 'y']", Some(2)),
            ("tags allof ['x', 'y']", Some(1)),
            ("tags allof []", None),
            ("a in [1, 2] and b == 3", Some(1)),
            ("a > 1 and b == 3", Some(1)),
            ("a == 1 or b == 2", Some(2)),
            ("a == 1 or b > 2", None),
            ("a == 1 and (b > 2 or c < 3)", Some(1)),
            ("false", Some(0)),
            ("true", None),
            ("a == b", None),
            ("a + 1 == 2", None),
            ("a == 2023-01-01", None),
            ("a in ['x', 2023-01-01]", None),
            ("not a == 1", None),
            ("a != 1", None),
            ("a startswith 'x'", None),
        ] {
            assert_eq!(breadth(filter), expected, "{filter}");
        }
    }

    /// What a filter holds of, the index finds; and it finds nothing once the filter is gone.
    #[test]
    fn the_index_misses_nothing_and_keeps_nothing() {
        let nodes = [
            r#"{"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":9007199254740993}"#,
            r#"{"a":"1"}"#,
            r#"{"a":null}"#,
            r#"{}"#,
            r#"{"a":true}"#,
            r#"{"a":["x",1]}"#,
            r#"{"a":[]}"#,
            r#"{"a":{"b":"2023-01-01"}}"#,
            r#"{"a":"2023-01-01T00:00:00Z"}"#,
        ];
        for filter in [
            "a == 1",
            "a == 1.0",
            "a == 9007199254740993",
            "a == '1'",
            "a == nothing",
            "a",
            "a in [1, 'x', nothing]",
            "a anyof [1.0]",
            "a allof ['x', 1]",
            "a.b == '2023-01-01'",
            "a == '1' or a.b == nothing",
            "false",
        ] {
            let access = access(filter);
            let mut index = PredicateIndex::default();
            index.insert(ViewKey::TEST, &access);
            assert_eq!(index.scanned().len(), 0, "{filter}");
            let filter = Filter::parse(filter, &QueryLimits::default()).expect("a filter");
            for node in nodes {
                let value = json::parse(node.as_bytes(), &JsonLimits::default()).expect("a node");
                if filter.matches(&value, crate::Instant::MIN) {
                    assert!(found(&index, node), "{filter} of {node}");
                }
            }
            index.remove(ViewKey::TEST, &access);
            assert!(index.is_empty(), "{filter}");
        }
    }
}
